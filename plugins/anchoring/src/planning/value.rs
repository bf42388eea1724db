//! What a look is worth: the expected number of events that it is the first to show.
//!
//! Events begin at `rate` a second and last longer than `u` seconds with probability `(s / (s + u))^2` (Lomax; EPIC-SOUNDS' lengths from 0.3 to 30 s follow it
//! with `s` = 2.4 s), so looks `g` apart are the first to show `rate * g s / (g + s)` events each. A look at an anchor is worth the anchor's calibrated
//! probability. A blind look is worth what begins and is seen by no other look: all of it where the sound can't be trusted, and what the
//! detector misses where it can. A token is worth what its picture is worth, so looks of all tiers compare by that number alone.

use crate::settings::BudgetSettings;
use crate::time::Nanos;

/// What began longer before a look is not expected to sound still.
pub const HORIZON: Nanos = Nanos::from_ms(30_000);

/// How many seconds of a recording the prior rate counts for.
const PRIOR_S: f64 = 120.0;

/// Events of a recording, as far as they are expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// Beginnings a second.
    rate: f64,
    /// `s` of the law of lengths, seconds.
    length: f64,
    /// Share of the events that no onset stands for.
    miss: f64,
}

impl Worth {
    /// Before anything is heard.
    pub fn new(settings: &BudgetSettings) -> Self {
        Self {
            rate: settings.events_per_min / 60.0,
            length: settings.event_s.max(1e-3),
            miss: settings.miss_rate,
        }
    }

    /// After onsets whose probabilities sum to `expected` were heard in `heard_s` seconds of sound that can be trusted. A prior rate of 0 stays:
    /// blind looks are worth nothing then.
    pub fn informed(self, expected: f64, heard_s: f64) -> Self {
        if self.rate <= 0.0 {
            return self;
        }
        let begun = expected / (1.0 - self.miss).max(0.1);
        let rate = (begun + self.rate * PRIOR_S) / (heard_s.max(0.0) + PRIOR_S);
        Self {
            rate: if rate.is_finite() { rate } else { self.rate },
            ..self
        }
    }

    /// Whether blind looks are worth anything.
    pub fn any(&self) -> bool {
        self.rate > 0.0
    }

    /// Share of the worth of blind looks that is left where the sound can be trusted.
    pub fn miss(&self) -> f64 {
        self.miss
    }

    /// Share of the events that last longer than this.
    pub fn lasts(&self, seconds: f64) -> f64 {
        (self.length / (self.length + seconds.max(0.0))).powi(2)
    }

    /// Events that begin within `gap_s` before a look and that it shows.
    fn seen(&self, gap_s: f64) -> f64 {
        self.rate * gap_s * self.length / (gap_s + self.length)
    }

    /// Of one more look, after `n` that share a stretch evenly.
    pub fn next(&self, stretch_s: f64, n: u64) -> f64 {
        let all = |n: f64| {
            if n > 0.0 {
                n * self.seen(stretch_s / n)
            } else {
                0.0
            }
        };
        all(n as f64 + 1.0) - all(n as f64)
    }

    /// Of one more look, after `n` that part the gap between two looks evenly.
    pub fn parting(&self, gap_s: f64, n: u64) -> f64 {
        self.next(gap_s, n.saturating_add(1))
    }

    /// Of one look more or less among looks that far apart.
    pub fn among(&self, gap_s: f64) -> f64 {
        self.seen(gap_s) * gap_s / (gap_s + self.length)
    }

    /// How far apart looks are of which each is worth this much, seconds; `None` if they never are.
    pub fn apart(&self, worth: f64) -> Option<f64> {
        let share = (worth.max(0.0) / (self.rate * self.length)).sqrt();
        (share < 1.0).then(|| self.length * share / (1.0 - share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth() -> Worth {
        Worth::new(&BudgetSettings::default())
    }

    #[test]
    fn every_further_look_is_worth_less() {
        let gains: Vec<_> = (0..50).map(|n| worth().next(30.0, n)).collect();
        assert!(gains.windows(2).all(|w| w[0] > w[1] && w[1] > 0.0));
        // Together they show no more than what begins.
        assert!(gains.iter().sum::<f64>() < 0.25 * 30.0);
    }

    #[test]
    fn a_look_right_after_another_is_worth_little() {
        assert!(worth().among(0.1) < 0.01 * worth().among(10.0));
        assert!((worth().among(5.0) - worth().next(5_000.0, 1_000)).abs() < 1e-3);
    }

    #[test]
    fn looks_that_far_apart_are_worth_that_much() {
        let gap = worth().apart(0.3).unwrap();
        assert!((worth().among(gap) - 0.3).abs() < 1e-9);
        assert_eq!(worth().apart(0.7), None);
        let none = worth().apart(f64::NAN);
        assert!(none.is_none_or(|gap| gap >= 0.0));
    }

    #[test]
    fn what_was_heard_outweighs_the_prior_in_time() {
        let rate = |expected, heard| worth().informed(expected, heard).rate;
        assert_eq!(rate(0.0, 0.0), 0.25);
        assert!(rate(0.0, 3_600.0) < 0.01);
        assert!((rate(700.0, 1_000.0) - 1.0).abs() < 0.1);
        let none = Worth {
            rate: 0.0,
            ..worth()
        };
        assert!(!none.informed(100.0, 10.0).any());
    }
}
