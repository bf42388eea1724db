//! Handling: tells a touched microphone from what happens in a room.
//!
//! Knocks and rubs of a housing begin and end within a few blocks of 5 ms, in all bands at once, and leave the floor between them as it was.
//! What happens in a room fades with the room. Nine measures of the levels of blocks, in three bands, over three seconds, are combined by a
//! logistic regression. `scripts/handling.py` fitted its weights and says on what; it computes the same measures.

use std::collections::VecDeque;

use crate::hearing::simd::{sum, vectorized};

/// Samples in a block (5 ms), blocks in a hop.
const BLOCK: usize = 80;
const BLOCKS: usize = 16;
/// Samples whose mean is one sample of the low band, and such means in a block.
const DECIMATE: usize = 16;
const LOW: usize = BLOCK / DECIMATE;
/// Bands: all frequencies; the differences between samples, which weigh high ones; the differences between means of 16, up to 500 Hz.
const BANDS: usize = 3;
/// Added to the mean squares, by band.
const FLOORS: [f32; BANDS] = [1e-9, 1e-9, 1e-10];
/// Blocks over which a level rises or falls, and the longest of them.
const STEPS: [usize; 2] = [2, 8];
const BACK: usize = 8;
/// Hops in the memory: 3 s.
const MEMORY: usize = 37;
/// Measures of a band in a hop: squares of the rises and of the falls over two blocks and over eight; changes of the smoothed level; from the
/// quietest block to the loudest, and from the median; changes of the quietest and of the loudest from hop to hop.
const MEASURES: usize = 9;
/// The first so many are sums, and enter as logarithms.
const SUMS: usize = 5;
const SCALES: [f32; SUMS] = [0.125, 0.125, 0.125, 0.125, 1.25];
const LEAST: f32 = 0.3;

/// Handling begins above the first logit and ends below the second.
pub(super) const BEGINS: f32 = 3.5;
pub(super) const ENDS: f32 = -0.75;

/// By band and measure: mean and spread where the weights were fitted, the weight of the distance from the mean by the spread, and that of its
/// square.
const TERMS: [[[f32; 4]; MEASURES]; BANDS] = [
    [
        [2.69, 0.54, -1.166, -0.309],
        [2.49, 0.49, 0.247, 0.317],
        [3.29, 0.74, 1.065, 0.248],
        [3.07, 0.65, -0.892, -0.32],
        [2.99, 0.26, 0.678, -0.031],
        [10.03, 2.8, -0.772, 0.006],
        [5.37, 1.73, 0.05, 0.04],
        [2.66, 1.39, -0.298, 0.012],
        [3.77, 2.03, -0.942, -0.157],
    ],
    [
        [2.37, 0.93, -1.033, 0.661],
        [1.94, 0.88, 3.157, -0.757],
        [3.1, 1.12, 0.629, -0.181],
        [2.73, 1.03, -0.057, 0.594],
        [2.67, 0.45, 2.615, 0.409],
        [8.21, 3.79, -4.436, 0.272],
        [4.9, 2.57, 0.741, -0.084],
        [2.25, 1.49, 0.005, -0.136],
        [4.18, 2.63, 1.441, -0.22],
    ],
    [
        [3.34, 0.33, -0.177, -0.042],
        [3.24, 0.28, 0.111, -0.05],
        [3.71, 0.55, -0.549, -0.092],
        [3.57, 0.47, 0.893, -0.103],
        [3.32, 0.15, -0.553, 0.008],
        [13.85, 2.61, -0.034, 0.11],
        [6.31, 1.73, 1.061, 0.01],
        [3.89, 1.44, -0.192, -0.004],
        [3.83, 2.11, 1.175, -0.001],
    ],
];
const BIAS: f32 = -2.818;
/// No measure counts as further from its mean than this many spreads.
const FARTHEST: f32 = 4.0;

/// The levels of the blocks of one hop or of the hops before, and what they are compared with.
#[derive(Clone, Copy, Debug, Default)]
struct Band {
    /// The last levels, dB, oldest first, and the last mean of three.
    recent: [f32; BACK],
    smooth: f32,
    quietest: f32,
    loudest: f32,
}

/// How much of handling a logit says: from none to certain.
pub(super) fn share(logit: f32) -> f32 {
    ((logit - BEGINS) / 2.0).clamp(0.0, 1.0)
}

/// Hops in, the logit of handling out.
#[derive(Debug, Default)]
pub(super) struct HandlingMeter {
    /// The last mean of the low band.
    low: f32,
    /// `None` before the first hop.
    bands: Option<[Band; BANDS]>,
    hops: VecDeque<[[f32; MEASURES]; BANDS]>,
}

impl HandlingMeter {
    /// The next hop; the first sample is the last one before it.
    pub(super) fn hop(&mut self, samples: &[f32]) -> f32 {
        let energies = vectorized(
            #[inline(always)]
            || energies(samples),
        );
        let low = self.low_energies(samples.get(1..).unwrap_or_default());
        let levels = [energies[0], energies[1], low];
        let first = self.bands.is_none();
        let mut bands = self.bands.unwrap_or_default();
        let mut hop = [[0.0; MEASURES]; BANDS];
        for (((band, energies), floor), measures) in
            bands.iter_mut().zip(levels).zip(FLOORS).zip(&mut hop)
        {
            let levels = energies.map(|energy| 10.0 * (energy + floor).log10());
            if first {
                *band = Band::flat(&levels);
            }
            *measures = band.measure(&levels);
        }
        self.bands = Some(bands);
        if self.hops.len() == MEMORY {
            self.hops.pop_front();
        }
        self.hops.push_back(hop);
        self.logit()
    }

    /// Mean squares of the low band.
    fn low_energies(&mut self, samples: &[f32]) -> [f32; BLOCKS] {
        let mut energies = [0.0; BLOCKS];
        for (energy, block) in energies.iter_mut().zip(samples.chunks_exact(BLOCK)) {
            for some in block.chunks_exact(DECIMATE) {
                let mean = some.iter().sum::<f32>() / DECIMATE as f32;
                *energy += (mean - self.low) * (mean - self.low) / LOW as f32;
                self.low = mean;
            }
        }
        energies
    }

    fn logit(&self) -> f32 {
        let n = self.hops.len().max(1) as f32;
        let mut logit = BIAS;
        for (band, terms) in TERMS.iter().enumerate() {
            for (at, [usual, spread, weight, square]) in terms.iter().enumerate() {
                let mean = self.hops.iter().map(|hop| hop[band][at]).sum::<f32>() / n;
                let measure = match SCALES.get(at) {
                    Some(scale) => (mean * scale + LEAST).ln(),
                    None => mean,
                };
                let off = ((measure - usual) / spread).clamp(-FARTHEST, FARTHEST);
                logit += off * (weight + off * square);
            }
        }
        logit
    }
}

impl Band {
    /// As if the level had always been that of the first block.
    fn flat(levels: &[f32; BLOCKS]) -> Self {
        let (quietest, loudest, _) = ends(levels);
        Self {
            recent: [levels[0]; BACK],
            smooth: levels[0],
            quietest,
            loudest,
        }
    }

    fn measure(&mut self, levels: &[f32; BLOCKS]) -> [f32; MEASURES] {
        let mut all = [0.0; BACK + BLOCKS];
        all[..BACK].copy_from_slice(&self.recent);
        all[BACK..].copy_from_slice(levels);
        let mut measures = [0.0; MEASURES];
        for now in BACK..all.len() {
            for (at, step) in STEPS.into_iter().enumerate() {
                let change = all[now] - all[now - step];
                measures[2 * at + usize::from(change < 0.0)] += change * change;
            }
            let smooth = (all[now] + all[now - 1] + all[now - 2]) / 3.0;
            measures[4] += (smooth - self.smooth).abs();
            self.smooth = smooth;
        }
        let (quietest, loudest, median) = ends(levels);
        measures[5] = loudest - quietest;
        measures[6] = loudest - median;
        measures[7] = (quietest - self.quietest).abs();
        measures[8] = (loudest - self.loudest).abs();
        (self.quietest, self.loudest) = (quietest, loudest);
        self.recent.copy_from_slice(&all[BLOCKS..]);
        measures
    }
}

/// The quietest level, the loudest, and the median.
fn ends(levels: &[f32; BLOCKS]) -> (f32, f32, f32) {
    let mut sorted = *levels;
    sorted.sort_unstable_by(f32::total_cmp);
    let [.., last] = sorted;
    let middle = (sorted[BLOCKS / 2 - 1] + sorted[BLOCKS / 2]) / 2.0;
    (sorted[0], last, middle)
}

/// Mean squares of the samples of each block, and of the differences between them.
#[inline(always)]
fn energies(samples: &[f32]) -> [[f32; BLOCKS]; 2] {
    let (mut all, mut high) = ([0.0; BLOCKS], [0.0; BLOCKS]);
    for (at, (all, high)) in all.iter_mut().zip(&mut high).enumerate() {
        let block = samples
            .get(at * BLOCK..=(at + 1) * BLOCK)
            .unwrap_or_default();
        let (mut squares, mut rises) = ([0.0; BLOCK], [0.0; BLOCK]);
        for (i, pair) in block.windows(2).enumerate().take(BLOCK) {
            squares[i] = pair[1] * pair[1];
            rises[i] = (pair[1] - pair[0]) * (pair[1] - pair[0]);
        }
        *all = sum(&squares) / BLOCK as f32;
        *high = sum(&rises) / BLOCK as f32;
    }
    [all, high]
}
