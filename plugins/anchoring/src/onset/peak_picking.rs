//! Finds the peaks of onset strength, eight frames later: where an onset may be.

use crate::hearing::flux::Strength;
use crate::hearing::mel::clamp_positive;

/// A peak is the maximum of this many frames before and after it.
pub(crate) const REACH: usize = 8;
const SPAN: usize = 2 * REACH + 1;

/// The strength of a peak is the maximum of this many frames before and after it.
pub(crate) const AROUND: usize = 3;

/// Weaker maxima are not peaks.
const FAINT: f32 = 0.02;

/// `flux_100` at which [`likelihood`] is 0.5.
const EVEN: f32 = 0.7;

/// How likely an event begins at a frame with this `flux_100`: `flux_100 / (flux_100 + 0.7)`, in [0, 1]; 0 for NaN.
///
/// The 0.7 comes from five KitchenMix recordings at 10 and 20 dB. On them the value follows the share of peaks within
/// 0.15 s of a labelled start up to 0.5, and lies below that share above.
pub fn likelihood(flux_100: f32) -> f32 {
    let flux = clamp_positive(flux_100, 1e9);
    flux / (flux + EVEN)
}

/// A peak of onset strength.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Index of its mel frame.
    pub frame: u64,
    /// The largest `flux_100` within three frames of it.
    pub flux_100: f32,
}

/// Strengths in, peaks out, eight frames later. Two peaks are at least nine frames apart.
#[derive(Clone, Debug)]
pub struct PeakPicker {
    /// The last [`SPAN`] strengths, oldest first.
    window: [Strength; SPAN],
    frames: u64,
}

impl Default for PeakPicker {
    fn default() -> Self {
        Self::new()
    }
}

impl PeakPicker {
    /// A picker that has seen no frame yet.
    pub fn new() -> Self {
        Self {
            window: [Strength::default(); SPAN],
            frames: 0,
        }
    }

    /// Frames that have been decided: every peak before this one has been returned.
    pub fn judged(&self) -> u64 {
        self.frames.saturating_sub(REACH as u64)
    }

    /// Takes the strength of frame `t` and returns frame `t - 8` if it is a peak: stronger than the eight frames
    /// before it, at least as strong as the eight after it, and not faint.
    pub fn push(&mut self, strength: Strength) -> Option<Peak> {
        self.window.copy_within(1.., 0);
        self.window[SPAN - 1] = strength;
        self.frames += 1;
        let frame = self.frames.checked_sub(1 + REACH as u64)?;
        let (earlier, rest) = self.window.split_at(REACH);
        let (own, later) = rest.split_first()?;
        let total = own.total();
        let onset = total > FAINT
            && earlier.iter().all(|s| s.total() < total)
            && later.iter().all(|s| s.total() <= total);
        let around = &self.window[REACH - AROUND..=REACH + AROUND];
        onset.then(|| Peak {
            frame,
            flux_100: around.iter().map(Strength::flux_100).fold(0.0, f32::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hearing::flux::{R20, R100};

    fn strong(flux_20: f32, flux_100: f32) -> Strength {
        let mut strength = Strength::default();
        strength.flux[R20] = flux_20;
        strength.flux[R100] = flux_100;
        strength
    }

    #[test]
    fn the_first_of_equal_frames_is_the_peak() {
        let mut stream = PeakPicker::new();
        let mut found = Vec::new();
        for t in 0..40 {
            let flux_100 = if (10..14).contains(&t) { 0.5 } else { 0.0 };
            found.extend(stream.push(strong(0.0, flux_100)));
        }
        assert_eq!(
            found,
            vec![Peak {
                frame: 10,
                flux_100: 0.5
            }]
        );
    }

    #[test]
    fn likelihood_rises_and_stays_in_range() {
        assert_eq!(likelihood(0.0), 0.0);
        assert!(likelihood(0.1) < likelihood(0.2));
        assert!(likelihood(1e9) <= 1.0);
        assert_eq!(likelihood(f32::NAN), 0.0);
    }

    proptest! {
        #[test]
        fn onsets_are_more_than_eight_frames_apart(x in prop::collection::vec(0f32..1.0, 1..300)) {
            let mut stream = PeakPicker::new();
            let frames: Vec<u64> = x
                .iter()
                .filter_map(|&f| stream.push(strong(f, f)))
                .map(|peak| peak.frame)
                .collect();
            prop_assert!(frames.windows(2).all(|w| w[1] - w[0] > 8));
        }
    }
}
