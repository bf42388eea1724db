//! A candidate that was not taken, as a plan records it.

use serde::Serialize;

use crate::settings::{Policy, Settings};
use crate::tier::Tokens;
use crate::time::Nanos;

/// Most candidates that a plan keeps of those that were not taken, for every minute of the recording: the most probable.
pub const UNTAKEN_PER_MIN: u32 = 30;

/// A candidate that did not become an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Untaken {
    /// When its sound begins, in the recording's time.
    #[serde(rename = "onset_ns")]
    pub onset: Nanos,
    /// Probability that an event begins here, in [0, 1].
    pub score: f32,
    /// How many tokens more the budget needs for planning to take it, to within a step of
    /// `planning::global::BUDGET_STEPS`; `None` if that isn't known (streaming), or if no
    /// budget up to the largest step takes it, because it is too close to an anchor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_tokens: Option<Tokens>,
}

impl Settings {
    /// How many of the candidates that are not taken a plan of these settings keeps for every minute.
    pub const fn candidates_per_min(&self) -> u32 {
        match self.budget.policy {
            Policy::Gated | Policy::AnchorsOnly => UNTAKEN_PER_MIN,
            Policy::Uniform | Policy::Dense | Policy::Grid => 0,
        }
    }
}

/// Keeps the [`UNTAKEN_PER_MIN`] most probable of every minute, in order of their onsets.
pub(crate) fn keep_most_probable(mut untaken: Vec<Untaken>) -> Vec<Untaken> {
    const MINUTE: i64 = 60_000_000_000;
    let minute = |one: &Untaken| one.onset.get() / MINUTE;
    untaken.sort_by(|a, b| {
        let probable = b.score.total_cmp(&a.score);
        minute(a)
            .cmp(&minute(b))
            .then(probable)
            .then(a.onset.cmp(&b.onset))
    });
    let (mut last, mut kept) = (None, 0);
    untaken.retain(|one| {
        if last.replace(minute(one)) != Some(minute(one)) {
            kept = 0;
        }
        kept += 1;
        kept <= UNTAKEN_PER_MIN
    });
    untaken.sort_by_key(|one| one.onset);
    untaken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_of_every_minute_are_kept_in_order() {
        let one = |ms: i64, score: f32| Untaken {
            onset: Nanos::from_ms(ms),
            score,
            more_tokens: None,
        };
        let mut all: Vec<_> = (0..100).map(|i| one(500 * i, i as f32 / 100.0)).collect();
        all.push(one(61_000, 0.01));
        all.reverse();
        let kept = keep_most_probable(all);
        assert_eq!(kept.len(), 31);
        assert!(kept.is_sorted_by_key(|one| one.onset));
        assert!(kept[..30].iter().all(|one| one.score >= 0.7));
        assert_eq!(kept[30].score, 0.01);
    }
}
