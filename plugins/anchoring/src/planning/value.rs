//! The value of a frame: the expected number of events that it is the first to show.
//!
//! Events begin at `rate` per second and last longer than `u` seconds with probability `(s / (s + u))^2` (Lomax
//! distribution; event lengths in EPIC-SOUNDS from 0.3 to 30 s follow it with `s` = 2.4 s). So of frames that are `g`
//! seconds apart, each is the first to show `rate * g s / (g + s)` events. An anchor's frame has the calibrated
//! probability of its onset as value. A background frame has the value of the events that only it shows: all of them
//! where the sound can't be trusted, and those that the detector misses where it can. The value does not depend on
//! the tier.

use crate::settings::BudgetSettings;
use crate::time::Nanos;

/// An event that began longer before a frame is assumed to be over.
pub const HORIZON: Nanos = Nanos::from_ms(30_000);

/// Weight of the prior rate, in seconds of recording.
const PRIOR_S: f64 = 120.0;

/// Expected events of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueModel {
    /// Events per second.
    rate: f64,
    /// `s` of the distribution of lengths, seconds.
    length: f64,
    /// Share of the events without an onset.
    miss_rate: f64,
}

impl ValueModel {
    /// The prior, before anything is heard.
    pub fn new(settings: &BudgetSettings) -> Self {
        Self {
            rate: settings.events_per_min / 60.0,
            length: settings.event_s.max(1e-3),
            miss_rate: settings.miss_rate,
        }
    }

    /// The model after `heard_s` seconds of trusted sound with onsets whose probabilities sum to `expected`. A prior
    /// rate of 0 stays 0: then background frames have no value.
    pub fn updated(self, expected: f64, heard_s: f64) -> Self {
        if self.rate <= 0.0 {
            return self;
        }
        let begun = expected / (1.0 - self.miss_rate).max(0.1);
        let rate = (begun + self.rate * PRIOR_S) / (heard_s.max(0.0) + PRIOR_S);
        Self {
            rate: if rate.is_finite() { rate } else { self.rate },
            ..self
        }
    }

    /// Whether background frames have any value.
    pub fn expects_events(&self) -> bool {
        self.rate > 0.0
    }

    /// Share of a background frame's value that is left where the sound can be trusted.
    pub fn miss_rate(&self) -> f64 {
        self.miss_rate
    }

    /// Share of the events that last longer than this (survival function).
    pub fn survival(&self, seconds: f64) -> f64 {
        (self.length / (self.length + seconds.max(0.0))).powi(2)
    }

    /// Events that begin within `gap_s` before a frame and are visible in it.
    fn first_shown(&self, gap_s: f64) -> f64 {
        self.rate * gap_s * self.length / (gap_s + self.length)
    }

    /// Value of one more frame after `n` that share a stretch evenly.
    pub fn marginal(&self, stretch_s: f64, n: u64) -> f64 {
        let all = |n: f64| {
            if n > 0.0 {
                n * self.first_shown(stretch_s / n)
            } else {
                0.0
            }
        };
        all(n as f64 + 1.0) - all(n as f64)
    }

    /// Value of one more frame after `n` that split the gap between two frames evenly.
    pub fn marginal_in_gap(&self, gap_s: f64, n: u64) -> f64 {
        self.marginal(gap_s, n.saturating_add(1))
    }

    /// Value of one frame more or less among frames at this spacing.
    pub fn marginal_at_spacing(&self, gap_s: f64) -> f64 {
        self.first_shown(gap_s) * gap_s / (gap_s + self.length)
    }

    /// The spacing in seconds at which each frame has this value; `None` if no spacing gives it.
    pub fn spacing_for(&self, value: f64) -> Option<f64> {
        let share = (value.max(0.0) / (self.rate * self.length)).sqrt();
        (share < 1.0).then(|| self.length * share / (1.0 - share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ValueModel {
        ValueModel::new(&BudgetSettings::default())
    }

    #[test]
    fn every_further_frame_has_less_value() {
        let gains: Vec<_> = (0..50).map(|n| model().marginal(30.0, n)).collect();
        assert!(gains.windows(2).all(|w| w[0] > w[1] && w[1] > 0.0));
        // Together they show no more events than there are.
        assert!(gains.iter().sum::<f64>() < 0.25 * 30.0);
    }

    #[test]
    fn a_frame_right_after_another_has_little_value() {
        assert!(model().marginal_at_spacing(0.1) < 0.01 * model().marginal_at_spacing(10.0));
        assert!((model().marginal_at_spacing(5.0) - model().marginal(5_000.0, 1_000)).abs() < 1e-3);
    }

    #[test]
    fn frames_at_this_spacing_have_this_value() {
        let gap = model().spacing_for(0.3).unwrap();
        assert!((model().marginal_at_spacing(gap) - 0.3).abs() < 1e-9);
        assert_eq!(model().spacing_for(0.7), None);
        let none = model().spacing_for(f64::NAN);
        assert!(none.is_none_or(|gap| gap >= 0.0));
    }

    #[test]
    fn what_was_heard_outweighs_the_prior_in_time() {
        let rate = |expected, heard| model().updated(expected, heard).rate;
        assert_eq!(rate(0.0, 0.0), 0.25);
        assert!(rate(0.0, 3_600.0) < 0.01);
        assert!((rate(700.0, 1_000.0) - 1.0).abs() < 0.1);
        let none = ValueModel {
            rate: 0.0,
            ..model()
        };
        assert!(!none.updated(100.0, 10.0).expects_events());
    }
}
