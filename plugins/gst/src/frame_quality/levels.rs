//! Exposure and contrast, from the histogram of the working image.

use super::luma::WorkingImage;

/// What counts as black and as burnt out, as shares of the span from black to white.
const BLACK: f32 = 0.04;
const WHITE: f32 = 0.98;
/// Spread from the darkest tenth to the lightest that counts as full contrast.
const SPREAD: f32 = 0.4;

/// Exposure and contrast, each in [0, 1].
pub(super) fn exposure_and_contrast(working: &WorkingImage) -> (f32, f32) {
    let mut counts = [[0_u32; 256]; 4];
    // Four tables, because neighbours often have the same level.
    let (fours, rest) = working.pixels().as_chunks::<4>();
    for four in fours {
        for (counts, &pixel) in counts.iter_mut().zip(four) {
            counts[usize::from(pixel)] += 1;
        }
    }
    for &pixel in rest {
        counts[0][usize::from(pixel)] += 1;
    }
    let counts: [u32; 256] = std::array::from_fn(|k| counts.iter().map(|c| c[k]).sum());
    let all: u32 = counts.iter().sum();
    if all == 0 {
        return (0.0, 0.0);
    }
    let level = |byte: usize| match working.full() {
        true => byte as f32 / 255.0,
        false => (byte as f32 - 16.0) / 219.0,
    };
    let lost: u32 = (0..256)
        .filter(|&byte| !(BLACK..WHITE).contains(&level(byte)))
        .map(|byte| counts[byte])
        .sum();
    let exposure = 1.0 - lost as f32 / all as f32;
    let quantile = |share: f32| {
        let mut left = (share * all as f32) as u32;
        (0..256)
            .find(|&byte| match left.checked_sub(counts[byte]) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .unwrap_or(255)
    };
    let spread = level(quantile(0.9)) - level(quantile(0.1));
    (exposure, (spread / SPREAD).clamp(0.0, 1.0))
}
