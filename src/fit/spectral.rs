//! An effect on short-time spectra: the noise suppression of a camera, or the sharp band limit of a lower sampling rate.
//!
//! Frames of 32 ms, a quarter of that apart, root-Hann windows before and after. Sound comes out [`Spectral::DELAY`] samples late.

use std::f32::consts::PI;
use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use anchoring::hearing::mel::RATE;

/// Samples in a frame, and from one to the next.
const FRAME: usize = 512;
const HOP: usize = FRAME / 4;
/// Bins from 0 Hz to half the sampling rate.
const BINS: usize = FRAME / 2 + 1;
/// Frames per second.
const FRAMES_HZ: f32 = RATE as f32 / HOP as f32;
/// Sum of the squares of a window, and the factor by which overlapping windows amplify.
const WINDOW_POWER: f32 = FRAME as f32 / 2.0;
const OVERLAP_GAIN: f32 = 2.0;
/// Power of a bin that is digital silence: noise at -90 dB has two hundred times that.
const SILENCE: f32 = 1e-9;

/// What happens to a spectrum, as a channel is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// Nothing from this frequency on.
    BandLimit { hz: f32 },
    /// Power subtraction: bins near the noise are turned down, at most by `most_db`.
    Denoise {
        /// The level of white noise, RMS; without one, the noise of each bin is tracked, rising by a few dB a second.
        level: Option<f32>,
        most_db: f32,
        /// How many times the noise is subtracted.
        times: f32,
        /// In how many milliseconds a bin is turned down again.
        release_ms: f32,
    },
}

/// A change in the numbers that a frame needs.
#[derive(Clone, Copy, Debug)]
enum Gains {
    /// Nothing from this bin on.
    BandLimit(usize),
    Denoise {
        /// Whether the noise of each bin is tracked.
        tracks: bool,
        /// How many times the noise is subtracted, and the lowest gain.
        times: f32,
        least: f32,
        /// The share of the way that a gain falls in a frame.
        release: f32,
        /// For the tracked noise: the share of the way that the smoothed power moves in a frame, and the factor by which the noise rises.
        smoothing: f32,
        rise: f32,
    },
}

impl Gains {
    fn of(change: Change) -> Self {
        match change {
            Change::BandLimit { hz } => {
                Self::BandLimit(((hz / RATE as f32 * FRAME as f32) as usize).min(BINS))
            }
            Change::Denoise {
                level,
                most_db,
                times,
                release_ms,
            } => Self::Denoise {
                tracks: level.is_none(),
                times,
                least: 10f32.powf(-most_db / 20.0),
                release: 1.0 - (-1000.0 / (release_ms * FRAMES_HZ)).exp(),
                // The noise is the lowest power of late, smoothed over a tenth of a second; it rises by 4 dB a second.
                smoothing: 1.0 - (-10.0 / FRAMES_HZ).exp(),
                rise: 10f32.powf(0.4 / FRAMES_HZ),
            },
        }
    }
}

/// A stream of samples whose short-time spectra are changed.
#[derive(Clone)]
pub(super) struct Spectral {
    gains: Gains,
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    /// The last samples, and what is being added up; both from the sample `at` on, around.
    heard: Vec<f32>,
    summed: Vec<f32>,
    at: usize,
    frame: Vec<Complex32>,
    /// Smoothed power, power of the noise and gain, by bin.
    smoothed: Vec<f32>,
    noise: Vec<f32>,
    gain: Vec<f32>,
    /// Number of frames so far.
    frames: usize,
}

impl fmt::Debug for Spectral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spectral")
            .field("gains", &self.gains)
            .finish_non_exhaustive()
    }
}

impl Spectral {
    /// Samples by which the output is late.
    pub(super) const DELAY: usize = FRAME;

    pub(super) fn new(change: Change) -> Self {
        let mut planner = FftPlanner::new();
        let noise = match change {
            Change::Denoise {
                level: Some(level), ..
            } => level * level * WINDOW_POWER,
            _ => f32::MAX,
        };
        Self {
            gains: Gains::of(change),
            forward: planner.plan_fft_forward(FRAME),
            inverse: planner.plan_fft_inverse(FRAME),
            window: (0..FRAME)
                .map(|n| (PI * n as f32 / FRAME as f32).sin())
                .collect(),
            heard: vec![0.0; FRAME],
            summed: vec![0.0; FRAME],
            at: 0,
            frame: vec![Complex32::default(); FRAME],
            smoothed: vec![0.0; BINS],
            noise: vec![noise; BINS],
            gain: vec![1.0; BINS],
            frames: 0,
        }
    }

    /// Takes a sample; returns the one [`Self::DELAY`] before it.
    pub(super) fn take(&mut self, x: f32) -> f32 {
        let y = std::mem::take(&mut self.summed[self.at]);
        self.heard[self.at] = x;
        self.at = (self.at + 1) % FRAME;
        if self.at.is_multiple_of(HOP) {
            self.next_frame();
        }
        y
    }

    fn next_frame(&mut self) {
        let samples = self.heard[self.at..].iter().chain(&self.heard[..self.at]);
        for ((slot, x), w) in self.frame.iter_mut().zip(samples).zip(&self.window) {
            *slot = Complex32::new(x * w, 0.0);
        }
        self.forward.process(&mut self.frame);
        self.frames += 1;
        self.set_gains();
        for (k, z) in self.frame.iter_mut().enumerate() {
            *z *= self.gain[k.min(FRAME - k)];
        }
        self.inverse.process(&mut self.frame);
        let scale = 1.0 / (FRAME as f32 * OVERLAP_GAIN);
        for (n, (z, w)) in self.frame.iter().zip(&self.window).enumerate() {
            self.summed[(self.at + n) % FRAME] += z.re * w * scale;
        }
    }

    fn set_gains(&mut self) {
        match self.gains {
            Gains::BandLimit(first) => self.gain[first..].fill(0.0),
            Gains::Denoise {
                tracks,
                times,
                least,
                release,
                smoothing,
                rise,
            } => {
                let noises = self.noise.iter_mut().zip(&mut self.smoothed);
                for ((gain, (noise, smoothed)), z) in
                    self.gain.iter_mut().zip(noises).zip(&self.frame)
                {
                    let power = z.norm_sqr() + 1e-12;
                    // Digital silence and frames that are not full yet tell nothing about the noise.
                    if tracks && power > SILENCE && self.frames >= FRAME / HOP {
                        let is_first = *noise == f32::MAX;
                        *smoothed += if is_first { 1.0 } else { smoothing } * (power - *smoothed);
                        *noise = smoothed.min(if is_first { f32::MAX } else { *noise * rise });
                    }
                    if *noise == f32::MAX {
                        continue;
                    }
                    let wanted = (1.0 - times * *noise / power).max(0.0).sqrt().max(least);
                    *gain = if wanted > *gain {
                        wanted
                    } else {
                        *gain + release * (wanted - *gain)
                    };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn pass(change: Change, samples: &[f32]) -> Vec<f32> {
        let mut spectral = Spectral::new(change);
        let zeros = std::iter::repeat_n(0.0, Spectral::DELAY);
        let out = samples.iter().copied().chain(zeros);
        out.map(|x| spectral.take(x))
            .skip(Spectral::DELAY)
            .collect()
    }

    fn tone(hz: f32, level: f32) -> Vec<f32> {
        (0..RATE)
            .map(|n| level * (TAU * hz * n as f32 / RATE as f32).sin())
            .collect()
    }

    fn noise(level: f32, seconds: u32) -> Vec<f32> {
        let mut random = super::super::random::Random::of(7, &[]);
        let samples = 0..seconds * RATE;
        samples.map(|_| level * random.normal()).collect()
    }

    fn loudness(samples: &[f32]) -> f32 {
        (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn nothing_is_moved_and_only_the_band_above_is_lost() {
        let plain = tone(1_000.0, 0.1);
        let heard = pass(Change::BandLimit { hz: 4_000.0 }, &plain);
        // The ends of the tone are not a tone.
        let inside = FRAME..plain.len() - FRAME;
        for (x, y) in plain[inside.clone()].iter().zip(&heard[inside]) {
            assert!((x - y).abs() < 5e-4, "{x} {y}");
        }
        let lost = pass(Change::BandLimit { hz: 4_000.0 }, &tone(5_000.0, 0.1));
        assert!(loudness(&lost[FRAME..lost.len() - FRAME]) < 1e-4);
    }

    #[test]
    fn noise_is_turned_down_and_a_clap_is_not() {
        for level in [None, Some(0.01)] {
            let mut samples = noise(0.01, 4);
            let clap = 3 * RATE as usize;
            for (n, x) in samples[clap..clap + 800].iter_mut().enumerate() {
                *x += 0.5 * (-(n as f32) / 200.0).exp() * if n % 3 == 0 { 1.0 } else { -0.6 };
            }
            let change = Change::Denoise {
                level,
                most_db: 20.0,
                times: 2.0,
                release_ms: 40.0,
            };
            let heard = pass(change, &samples);
            let second = 2 * RATE as usize..clap - FRAME;
            let left = loudness(&heard[second.clone()]) / loudness(&samples[second]);
            assert!(left < 0.6, "{level:?}: {left}");
            let kept = loudness(&heard[clap..clap + 400]) / loudness(&samples[clap..clap + 400]);
            assert!((0.9..1.05).contains(&kept), "{level:?}: {kept}");
        }
    }
}
