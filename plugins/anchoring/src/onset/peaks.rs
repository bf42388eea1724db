//! Onset strengths -> their peaks, eight frames later: where an onset may be.

use crate::hearing::flux::Strength;
use crate::hearing::mel::within;

/// An onset is the strongest of this many frames before and after it.
pub(crate) const REACH: usize = 8;
const SPAN: usize = 2 * REACH + 1;

/// Frames around an onset among which its strength is sought.
pub(crate) const AROUND: usize = 3;

/// Weaker ones are no onsets.
const FAINT: f32 = 0.02;

/// `flux_100` at which [`likelihood`] is a half.
const EVEN: f32 = 0.7;

/// How likely an event begins at a frame with this `flux_100`: `flux_100 / (flux_100 + 0.7)`, in [0, 1]; 0 for what is no strength. It
/// rises with the flux. The 0.7 comes from five KitchenMix recordings at 10 and 20 dB, on which it follows the share of peaks within 0.15 s of
/// a labelled start up to a half, and falls short of it above.
pub fn likelihood(flux_100: f32) -> f32 {
    let flux = within(flux_100, 1e9);
    flux / (flux + EVEN)
}

/// A frame in which something begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Counts from the first mel frame.
    pub frame: u64,
    /// The largest `flux_100` within three frames of it.
    pub flux_100: f32,
}

/// Strengths in, onsets out, eight frames later. Two onsets are at least nine frames apart.
#[derive(Clone, Debug)]
pub struct PeakStream {
    /// The last [`SPAN`] strengths, oldest first.
    window: [Strength; SPAN],
    frames: u64,
}

impl Default for PeakStream {
    fn default() -> Self {
        Self::new()
    }
}

impl PeakStream {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            window: [Strength::default(); SPAN],
            frames: 0,
        }
    }

    /// How many frames have been judged: all before this one are onsets or not.
    pub fn judged(&self) -> u64 {
        self.frames.saturating_sub(REACH as u64)
    }

    /// Hears the strength of frame `t` and says whether frame `t - 8` is an onset: stronger than the eight before it, at least as
    /// strong as the eight after it, and not faint.
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
    fn of_equals_the_first_is_the_onset() {
        let mut stream = PeakStream::new();
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
            let mut stream = PeakStream::new();
            let frames: Vec<u64> = x
                .iter()
                .filter_map(|&f| stream.push(strong(f, f)))
                .map(|peak| peak.frame)
                .collect();
            prop_assert!(frames.windows(2).all(|w| w[1] - w[0] > 8));
        }
    }
}
