//! 16 kHz samples -> mel spectrogram frames, streaming: the front end of YAMNet.
//!
//! Frames of 400 samples every 160, periodic Hann, FFT of 512, magnitude, 64 HTK mel bands from 125 to 7500 Hz
//! (`mel(f) = 1127 ln(1 + f / 700)`, triangles in mel). Source: `features.py` of YAMNet in TensorFlow's model garden.

use std::fmt;

use crate::hearing::simd::{ln, vectorized};
use crate::hearing::spectrum::PowerSpectrum;
use crate::time::Nanos;

/// Samples per second.
pub const RATE: u32 = 16_000;

/// Mel bands.
pub const BANDS: usize = 64;

/// Samples in a frame: 25 ms.
pub const FRAME: usize = 400;

/// Samples from one frame to the next: 10 ms.
pub const STEP: usize = 160;

/// Time from one frame to the next.
pub const STEP_TIME: Nanos = Nanos::from_ms(10);

/// Time from a frame's first sample to its middle.
pub const HALF_FRAME: Nanos = Nanos::new(12_500_000);
const FFT: usize = 512;

/// Bins below the end of the highest band.
const BINS: usize = 240;
const LOW_HZ: f64 = 125.0;
const HIGH_HZ: f64 = 7500.0;

/// Samples are clamped to this: louder ones are invalid, and their magnitudes would overflow.
const LOUDEST: f32 = 1e4;

/// Weights of four neighbouring bins.
type Weights = [f32; 4];

/// The bins under one triangle.
struct Band {
    first: usize,
    /// Padded with zeros to a multiple of four bins.
    weights: Vec<Weights>,
}

/// Samples in, mel frames out. Chunks of any size give the same frames, bit for bit.
pub struct MelStream {
    spectrum: PowerSpectrum,
    window: [f32; FRAME],
    bands: Vec<Band>,
    /// The samples of the frame that is being filled.
    frame: [f32; FRAME],
    filled: usize,
    /// Zeros follow the last bin, as many as the padding of a band can reach.
    magnitude: [f32; BINS + 4],
}

impl fmt::Debug for MelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MelStream")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

impl Default for MelStream {
    fn default() -> Self {
        Self::new()
    }
}

impl MelStream {
    /// A stream that has seen no sample yet.
    pub fn new() -> Self {
        let window = std::array::from_fn(|n| {
            let turn = std::f64::consts::TAU * n as f64 / FRAME as f64;
            (0.5 - 0.5 * turn.cos()) as f32
        });
        Self {
            spectrum: PowerSpectrum::new(FFT, BINS),
            window,
            bands: bands(),
            frame: [0.0; FRAME],
            filled: 0,
            magnitude: [0.0; BINS + 4],
        }
    }

    /// Forgets every sample.
    pub fn reset(&mut self) {
        self.filled = 0;
    }

    /// Takes samples and calls `each` with every frame that they complete: `[64]` magnitudes by band, without
    /// logarithm, finite for any input (non-finite samples count as silence). Frame `t` holds the samples from `160
    /// t` to `160 t + 400`.
    pub fn push(&mut self, mut samples: &[f32], mut each: impl FnMut(&[f32; BANDS])) {
        while !samples.is_empty() {
            let n = samples.len().min(FRAME - self.filled);
            let (now, rest) = samples.split_at(n);
            let free = &mut self.frame[self.filled..];
            vectorized(
                #[inline(always)]
                || {
                    for (slot, &x) in free.iter_mut().zip(now) {
                        *slot = clamp_sample(x, LOUDEST);
                    }
                },
            );
            self.filled += n;
            samples = rest;
            if self.filled == FRAME {
                each(&self.mel());
                self.frame.copy_within(STEP.., 0);
                self.filled = FRAME - STEP;
            }
        }
    }

    fn mel(&mut self) -> [f32; BANDS] {
        let power = self.spectrum.power(&self.frame, &self.window);
        vectorized(
            #[inline(always)]
            || {
                for (m, power) in self.magnitude.iter_mut().zip(power) {
                    *m = power.sqrt();
                }
                let mut mel = [0.0; BANDS];
                for (mel, band) in mel.iter_mut().zip(&self.bands) {
                    let (bins, _) = self.magnitude[band.first..].as_chunks::<4>();
                    let mut sums: Weights = [0.0; 4];
                    for (weights, bins) in band.weights.iter().zip(bins) {
                        for ((sum, w), m) in sums.iter_mut().zip(weights).zip(bins) {
                            *sum += w * m;
                        }
                    }
                    *mel = (sums[0] + sums[1]) + (sums[2] + sums[3]);
                }
                mel
            },
        )
    }
}

fn bands() -> Vec<Band> {
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let edge =
        |i: usize| mel(LOW_HZ) + (mel(HIGH_HZ) - mel(LOW_HZ)) * i as f64 / (BANDS + 1) as f64;
    let bin = |k: usize| mel(k as f64 * f64::from(RATE) / FFT as f64);
    (0..BANDS)
        .map(|b| {
            let (low, centre, high) = (edge(b), edge(b + 1), edge(b + 2));
            // Bin 0 (DC) never counts.
            let first = (1..BINS).find(|&k| bin(k) > low).unwrap_or(BINS - 1);
            let weights: Vec<f32> = (first..BINS)
                .map(bin)
                .take_while(|&m| m < high)
                .map(|m| ((m - low) / (centre - low)).min((high - m) / (high - centre)) as f32)
                .collect();
            let fours = weights.chunks(4);
            let weights = fours
                .map(|some| std::array::from_fn(|i| some.get(i).copied().unwrap_or(0.0)))
                .collect();
            Band { first, weights }
        })
        .collect()
}

/// The middle of a frame, from the first sample; saturates.
pub(crate) fn frame_middle(frame: u64) -> Nanos {
    steps(frame) + HALF_FRAME
}

/// The time from frame 0 to frame `n`; saturates.
pub(crate) fn steps(n: u64) -> Nanos {
    Nanos::new((STEP_TIME.get() as u64).saturating_mul(n) as i64)
}

/// `L = ln(mel + 0.001)`.
#[inline(always)]
pub(crate) fn log_mel(mel: &[f32; BANDS]) -> [f32; BANDS] {
    let mut shifted = [0.0; BANDS];
    for (slot, &m) in shifted.iter_mut().zip(mel) {
        *slot = clamp_positive(m, 1e30) + 1e-3;
    }
    ln(&shifted)
}

/// A sample clamped to [-most, most]; 0 if it is not finite.
#[inline(always)]
pub(crate) fn clamp_sample(x: f32, most: f32) -> f32 {
    if x.is_finite() {
        x.clamp(-most, most)
    } else {
        0.0
    }
}

/// `x` clamped to [0, most]; 0 for NaN.
#[inline(always)]
pub(crate) fn clamp_positive(x: f32, most: f32) -> f32 {
    if x > 0.0 { x.min(most) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[f32]]) -> Vec<[f32; BANDS]> {
        let mut stream = MelStream::new();
        let mut out = Vec::new();
        for chunk in chunks {
            stream.push(chunk, |mel| out.push(*mel));
        }
        out
    }

    #[test]
    fn a_tone_is_loudest_in_its_own_band() {
        // 1 kHz is mel 1000; the bands are 40.7 mel apart from mel 185.
        let tone: Vec<f32> = (0..800)
            .map(|n| (std::f32::consts::TAU * 1000.0 * n as f32 / 16_000.0).sin())
            .collect();
        let mel = frames(&[&tone]);
        assert_eq!(mel.len(), 3);
        let loudest = (0..BANDS).max_by(|&a, &b| mel[1][a].total_cmp(&mel[1][b]));
        assert_eq!(loudest, Some(19));
    }

    #[test]
    fn fewer_samples_than_a_frame_give_none() {
        assert!(frames(&[&[0.5; FRAME - 1]]).is_empty());
        assert_eq!(frames(&[&[0.5; FRAME]]).len(), 1);
        assert_eq!(frames(&[&[0.5; FRAME + STEP]]).len(), 2);
    }

    #[test]
    fn non_finite_samples_count_as_silence() {
        let mut x = vec![0.0; FRAME];
        x[7] = f32::NAN;
        x[8] = f32::INFINITY;
        assert_eq!(frames(&[&x]), vec![[0.0; BANDS]]);
        let huge = frames(&[&[f32::MAX; FRAME]]);
        assert!(huge[0].iter().all(|m| m.is_finite()));
    }

    #[test]
    fn reset_forgets() {
        let mut stream = MelStream::new();
        stream.push(&[1.0; 399], |_| panic!("no frame yet"));
        stream.reset();
        stream.push(&[1.0; 399], |_| panic!("no frame yet"));
    }

    proptest! {
        #[test]
        fn chunks_of_any_size_give_the_same_frames(
            x in prop::collection::vec(-1f32..1.0, 0..3000),
            cut in 1usize..700,
        ) {
            let chunks: Vec<&[f32]> = x.chunks(cut).collect();
            prop_assert_eq!(frames(&[&x]), frames(&chunks));
        }
    }
}
