//! Uncertainty of an onset: its probability, beside the likeliest onsets of its recording.
//!
//! A microphone that makes every onset less clear lowers all probabilities of a recording, though its likeliest onsets are right as often as
//! those of others. So an onset is the more certain, the nearer it comes to the likeliest of the last ten minutes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::onset::calibration::{one, sigmoid};
use crate::time::Nanos;

/// Probabilities are kept this far away from 0 and 1.
const LEAST: f32 = 1e-6;
/// How long an onset counts, and how many onsets of a minute are its likeliest.
const RECENT: Nanos = Nanos::from_ms(600_000);
const A_MINUTE: f64 = 5.0;
/// One more onset of this logit is among the likeliest, so that the first of a recording is not compared with itself alone.
const USUAL: f32 = 3.4;
/// Most onsets that are kept.
const MOST: usize = 1 << 13;

/// `1 - sigmoid(slope * logit(p) + bias + likeliest * m)`: `p` is the calibrated probability, `m` the mean logit of the five likeliest onsets a
/// minute of the last ten minutes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UncertaintySpec {
    /// Positive: of two onsets at the same time the more likely one is never the more uncertain one.
    #[serde(default = "one")]
    pub slope: f32,
    /// Added to the logit.
    #[serde(default)]
    pub bias: f32,
    /// Negative: where the likeliest onsets are less likely than elsewhere, others are more certain than their probability says.
    #[serde(default)]
    pub likeliest: f32,
}

impl UncertaintySpec {
    /// What is wrong with it: field, value and rule; `None` if nothing.
    pub(crate) fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        if !(self.slope.is_finite() && self.slope > 0.0) {
            return Some((
                "uncertainty.slope",
                self.slope.to_string(),
                "must be positive",
            ));
        }
        let others = [
            ("uncertainty.bias", self.bias),
            ("uncertainty.likeliest", self.likeliest),
        ];
        let wrong = others.into_iter().find(|(_, value)| !value.is_finite());
        wrong.map(|(field, value)| (field, value.to_string(), "must be finite"))
    }

    /// The uncertainty of an onset of probability `p` where the likeliest have this mean logit; in [0, 1].
    pub fn of(&self, p: f32, likeliest: f32) -> f32 {
        let logit = self.slope * logit(p) + self.bias + self.likeliest * likeliest;
        let right = sigmoid(logit);
        if right.is_nan() { 1.0 } else { 1.0 - right }
    }
}

/// The likeliest onsets of the last ten minutes of a stream.
#[derive(Clone, Debug, Default)]
pub struct Likeliest {
    /// Time and logit, by time.
    recent: VecDeque<(Nanos, f32)>,
    sorted: Vec<f32>,
}

impl Likeliest {
    /// Takes the next onset; returns the mean logit of the likeliest up to it.
    pub fn push(&mut self, at: Nanos, p: f32) -> f32 {
        self.recent.push_back((at, logit(p)));
        while let Some((first, _)) = self.recent.front()
            && (at - *first > RECENT || self.recent.len() > MOST)
        {
            self.recent.pop_front();
        }
        let minutes = at.min(RECENT).seconds().max(0.0) / 60.0;
        let n = ((A_MINUTE * minutes).ceil() as usize).clamp(1, self.recent.len());
        self.sorted.clear();
        self.sorted
            .extend(self.recent.iter().map(|(_, logit)| *logit));
        self.sorted
            .select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
        let sum: f32 = self.sorted[..n].iter().sum();
        (sum + USUAL) / (n + 1) as f32
    }
}

/// The logit of a probability that is kept away from 0 and 1.
pub fn logit(p: f32) -> f32 {
    let p = p.clamp(LEAST, 1.0 - LEAST);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: UncertaintySpec = UncertaintySpec {
        slope: 1.0,
        bias: 1.0,
        likeliest: -0.5,
    };

    #[test]
    fn it_grows_as_the_probability_falls_and_as_the_likeliest_get_likelier() {
        assert!((SPEC.of(0.5, 2.0) - 0.5).abs() < 1e-6);
        let all = [0.0, 0.1, 0.5, 0.9, 1.0].map(|p| SPEC.of(p, 2.0));
        assert!(all.is_sorted_by(|a, b| a >= b), "{all:?}");
        assert!(all.iter().all(|u| (0.0..=1.0).contains(u)));
        assert!(SPEC.of(0.5, 1.0) < 0.5 && SPEC.of(0.5, 3.0) > 0.5);
        assert_eq!(SPEC.of(f32::NAN, 2.0), 1.0);
    }

    #[test]
    fn the_likeliest_are_those_of_the_last_ten_minutes() {
        let mut likeliest = Likeliest::default();
        // A second without an onset of 90 % in twenty, for ten minutes: five a minute are three of these and two others.
        let mut last = 0.0;
        for i in 0..600 {
            let p = if i % 20 == 0 { 0.9 } else { 0.2 };
            last = likeliest.push(Nanos::from_ms(1_000 * i), p);
        }
        let wanted = (30.0 * logit(0.9) + 20.0 * logit(0.2) + USUAL) / 51.0;
        assert!((last - wanted).abs() < 1e-3, "{last} {wanted}");
        // An hour later nothing of that counts.
        for i in 3_600..4_200 {
            last = likeliest.push(Nanos::from_ms(1_000 * i), 0.3);
        }
        assert!(
            (last - (50.0 * logit(0.3) + USUAL) / 51.0).abs() < 1e-3,
            "{last}"
        );
        // However dense onsets are, only so many are kept.
        for i in 0..20_000 {
            likeliest.push(Nanos::from_ms(4_200_000 + i), 0.3);
        }
        assert_eq!(likeliest.recent.len(), MOST);
    }

    #[test]
    fn a_wrong_one_is_refused() {
        assert_eq!(SPEC.problem(), None);
        let wrong = |spec: UncertaintySpec| spec.problem().unwrap().0;
        assert_eq!(
            wrong(UncertaintySpec { slope: 0.0, ..SPEC }),
            "uncertainty.slope"
        );
        assert_eq!(
            wrong(UncertaintySpec {
                bias: f32::NAN,
                ..SPEC
            }),
            "uncertainty.bias"
        );
        assert_eq!(
            wrong(UncertaintySpec {
                likeliest: f32::INFINITY,
                ..SPEC
            }),
            "uncertainty.likeliest"
        );
    }
}
