//! Samples -> power spectrum: a real FFT, computed as a complex FFT of half the length.

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

use crate::hearing::simd::vectorized;

/// Power in the lowest bins of an FFT of a fixed, even length.
pub(crate) struct PowerSpectrum {
    fft: Arc<dyn Fft<f32>>,
    /// Two samples per complex number.
    packed: Vec<Complex32>,
    scratch: Vec<Complex32>,
    /// Cosines and sines of the twiddle factors, from bin 1 on.
    twiddles: (Vec<f32>, Vec<f32>),
    /// Power by bin.
    power: Vec<f32>,
}

impl fmt::Debug for PowerSpectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PowerSpectrum").finish_non_exhaustive()
    }
}

impl PowerSpectrum {
    /// For `samples` samples; `bins` is at most half of them.
    pub(crate) fn new(samples: usize, bins: usize) -> Self {
        let half = samples / 2;
        let fft = FftPlanner::new().plan_fft_forward(half);
        let turn = |bin: usize| TAU * bin as f64 / samples as f64;
        let bins = bins.min(half);
        Self {
            packed: vec![Complex32::default(); half],
            scratch: vec![Complex32::default(); fft.get_inplace_scratch_len()],
            twiddles: (1..bins)
                .map(|bin| (turn(bin).cos() as f32, turn(bin).sin() as f32))
                .unzip(),
            power: vec![0.0; bins],
            fft,
        }
    }

    /// Squared magnitudes of the bins of `samples * window`, padded with zeros.
    pub(crate) fn power(&mut self, samples: &[f32], window: &[f32]) -> &[f32] {
        vectorized(
            #[inline(always)]
            || {
                let (samples, _) = samples.as_chunks::<2>();
                let (window, _) = window.as_chunks::<2>();
                let filled = samples.len().min(self.packed.len());
                let (some, rest) = self.packed.split_at_mut(filled);
                for ((z, x), w) in some.iter_mut().zip(samples).zip(window) {
                    *z = Complex32::new(x[0] * w[0], x[1] * w[1]);
                }
                rest.fill(Complex32::default());
            },
        );
        self.fft
            .process_with_scratch(&mut self.packed, &mut self.scratch);
        vectorized(
            #[inline(always)]
            || self.combine(),
        );
        &self.power
    }

    /// Splits the packed spectrum into those of the even and the odd samples, and combines them into the whole.
    #[inline(always)]
    fn combine(&mut self) {
        let Some((first, power)) = self.power.split_first_mut() else {
            return;
        };
        let bins = power.len();
        let (cos, sin) = (&self.twiddles.0[..bins], &self.twiddles.1[..bins]);
        let zero = self.packed[0];
        *first = (zero.re + zero.im) * (zero.re + zero.im);
        let own = &self.packed[1..][..bins];
        let mirrored = &self.packed[self.packed.len() - bins..];
        for k in 0..bins {
            let (z, m) = (own[k], mirrored[bins - 1 - k]);
            let even = (z.re + m.re, z.im - m.im);
            let odd = (z.im + m.im, m.re - z.re);
            let re = even.0 + cos[k] * odd.0 + sin[k] * odd.1;
            let im = even.1 + cos[k] * odd.1 - sin[k] * odd.0;
            power[k] = 0.25 * (re * re + im * im);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_that_of_the_sum_over_all_samples() {
        for (samples, filled) in [(16, 16), (20, 14)] {
            let x: Vec<f32> = (0..filled).map(|n| ((n * n) as f32).sin()).collect();
            let window: Vec<f32> = (0..filled).map(|n| 1.0 + n as f32).collect();
            let mut spectrum = PowerSpectrum::new(samples, samples / 2);
            for (bin, &power) in spectrum.power(&x, &window).iter().enumerate() {
                let (mut re, mut im) = (0.0, 0.0);
                for (n, (x, w)) in x.iter().zip(&window).enumerate() {
                    let turn = TAU * (bin * n) as f64 / samples as f64;
                    re += f64::from(x * w) * turn.cos();
                    im += f64::from(x * w) * turn.sin();
                }
                let exact = re * re + im * im;
                assert!((f64::from(power) - exact).abs() < 1e-5 * (1.0 + exact));
            }
        }
    }
}
