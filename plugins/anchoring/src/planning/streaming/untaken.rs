//! Candidates that were not taken: the most probable of every minute, given out once it is over.

use std::collections::VecDeque;

use super::Decision;
use crate::anchor::candidate::Candidate;
use crate::plan::{Untaken, keep_most_probable};
use crate::time::Nanos;

/// Most candidates that may wait: more than a minute of the densest onsets. Further ones are dropped.
pub(super) const MAX_WAITING: usize = 1_024;

/// Nanoseconds of a minute.
const MINUTE: i64 = 60_000_000_000;

/// Collects them, and gives them out.
#[derive(Debug, Default)]
pub(super) struct UntakenQueue {
    /// Those of the minute that goes on.
    minute: Vec<Untaken>,
    /// Those of earlier minutes that wait to be returned.
    out: VecDeque<Untaken>,
}

impl UntakenQueue {
    /// Notes one of a recording that ends at `stop`; those of the minute before are given out next.
    pub(super) fn note(&mut self, candidate: &Candidate, stop: Option<Nanos>) {
        if stop.is_some_and(|stop| candidate.onset >= stop) {
            return;
        }
        let minute = |onset: Nanos| onset.get() / MINUTE;
        let first = self.minute.first().map(|one| minute(one.onset));
        let over = first.is_some_and(|first| first < minute(candidate.onset));
        if over || self.minute.len() >= MAX_WAITING {
            self.end();
        }
        self.minute.push(Untaken {
            onset: candidate.onset,
            score: candidate.p,
            more_tokens: None,
        });
    }

    /// The next one of a minute that is over.
    pub(super) fn next(&mut self) -> Option<Decision> {
        self.out.pop_front().map(Decision::Untaken)
    }

    /// The same; once the recording's end is known, of the last minute, too.
    pub(super) fn last(&mut self, stop: Option<Nanos>) -> Option<Decision> {
        if stop.is_some() {
            self.end();
        }
        self.next()
    }

    fn end(&mut self) {
        let kept = keep_most_probable(std::mem::take(&mut self.minute));
        self.out.extend(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::super::StreamPlanner;
    use super::*;
    use crate::cue::testing::heard;
    use crate::settings::Settings;
    use crate::tier::Prices;

    #[test]
    fn candidates_that_were_not_taken_come_once_their_minute_is_over() {
        let onsets: Vec<(i64, f32)> = (0..180)
            .map(|i| (500 + 1_000 * i, 0.2 + (i * 7 % 40) as f32 / 60.0))
            .collect();
        let mut settings = Settings::default();
        settings.budget.tokens_per_s = 98.0;
        let mut planner = StreamPlanner::new(settings, Prices::default());
        let (mut untaken, mut taken) = (Vec::new(), Vec::new());
        let mut drain = |planner: &mut StreamPlanner| {
            while let Some(decision) = planner.next() {
                match decision {
                    Decision::Untaken(one) => untaken.push(one),
                    Decision::Anchor(anchor) => taken.push(anchor.onset),
                    Decision::Frame(_) => {}
                }
            }
            untaken.len()
        };
        let mut before = 0;
        for cue in heard(Nanos::from_ms(181_000), &onsets) {
            planner.push_cue(&cue);
            before = drain(&mut planner);
        }
        assert!((30..=60).contains(&before), "{before}");
        planner.finish(Nanos::from_ms(181_000));
        let all = drain(&mut planner);
        // Thirty a minute are kept.
        assert!(all <= 91 && all > before, "{all}");
        assert!(
            untaken
                .iter()
                .all(|one| !taken.contains(&one.onset) && one.more_tokens.is_none())
        );
    }
}
