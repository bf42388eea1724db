//! Plan entries that wait for their frame.

use std::collections::VecDeque;

use anchoring::plan::Entry;
use anchoring::time::Nanos;

use crate::structures::Chosen;

/// Most entries that may wait; the decoder holds far fewer frames.
const MOST: usize = 1 << 20;
/// Containers round times to a millisecond.
const EXACT: Nanos = Nanos::from_ms(1);

/// Plan entries in order of their frame's time.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Chosen>);

/// What a frame means for the entries that wait.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// The entries that it serves.
    pub(super) served: Vec<Chosen>,
    /// The entries whose frame did not come.
    pub(super) missed: Vec<Entry>,
}

impl Pending {
    /// Waits for the frame of an entry; gives back the oldest entry if too many wait.
    pub(super) fn want(&mut self, chosen: Chosen) -> Option<Entry> {
        let at = self.0.partition_point(|other| other.pts <= chosen.pts);
        self.0.insert(at, chosen);
        (self.0.len() > MOST)
            .then(|| self.0.pop_front())
            .flatten()
            .map(|chosen| chosen.entry)
    }

    /// A frame at `at`. It serves entries whose frame's time is within a millisecond; once that time has passed, within half a
    /// frame. A damaged frame serves none.
    pub(super) fn frame(&mut self, at: Nanos, damaged: bool) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(&chosen) = self.0.front() {
            if chosen.pts > at + EXACT {
                break;
            }
            self.0.pop_front();
            let tolerance = EXACT.max(chosen.frame.scaled(0.5));
            if !damaged && at.distance(chosen.pts) <= tolerance {
                outcome.served.push(chosen);
            } else {
                outcome.missed.push(chosen.entry);
            }
        }
        outcome
    }

    /// The time asked for by the next entry, if a frame at `at` may be taken in place of its own.
    pub(super) fn candidate(&self, at: Nanos) -> Option<Nanos> {
        let next = self.0.front()?;
        (next.earliest..next.pts)
            .contains(&at)
            .then(|| next.entry.first_asked())
    }

    /// No frame before `until` will come; the entries that waited for one.
    pub(super) fn passed(&mut self, until: Nanos) -> Vec<Entry> {
        let count = self.0.partition_point(|chosen| chosen.pts < until);
        self.0.drain(..count).map(|chosen| chosen.entry).collect()
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;

    fn chosen(ms: i64) -> Chosen {
        Chosen {
            entry: Entry {
                planned: Nanos::from_ms(ms),
                asked: None,
                tier: Tier::Low,
                tokens: 49,
                reason: Reason::Background,
                anchor: None,
            },
            pts: Nanos::from_ms(ms),
            frame: Nanos::from_ms(40),
            earliest: Nanos::from_ms(ms),
        }
    }

    fn pending(times: &[i64]) -> Pending {
        let mut pending = Pending::default();
        for &ms in times {
            assert_eq!(pending.want(chosen(ms)), None);
        }
        pending
    }

    #[test]
    fn a_frame_serves_every_entry_that_names_it_and_no_other() {
        let mut pending = pending(&[80, 40, 40]);
        assert_eq!(pending.frame(Nanos::from_ms(0), false).served, []);
        let outcome = pending.frame(Nanos::from_ms(40), false);
        assert_eq!(outcome.served, [chosen(40), chosen(40)]);
        assert_eq!(
            pending.frame(Nanos::from_ms(80), false).served,
            [chosen(80)]
        );
        assert_eq!(
            pending.frame(Nanos::from_ms(120), false),
            Outcome::default()
        );
    }

    #[test]
    fn a_frame_may_be_off_by_rounding_or_by_half_a_frame_when_its_time_has_passed() {
        let mut pending = pending(&[40, 120]);
        assert_eq!(pending.frame(Nanos::new(40_900_000), false).served.len(), 1);
        assert_eq!(
            pending.frame(Nanos::from_ms(101), false),
            Outcome::default()
        );
        assert_eq!(pending.frame(Nanos::from_ms(139), false).served.len(), 1);
    }

    #[test]
    fn a_frame_that_was_skipped_or_is_damaged_is_missed() {
        let mut pending = pending(&[40, 120, 160, 200]);
        assert_eq!(
            pending.frame(Nanos::from_ms(80), false).missed,
            [chosen(40).entry]
        );
        assert_eq!(
            pending.frame(Nanos::from_ms(120), true).missed,
            [chosen(120).entry]
        );
        assert_eq!(pending.passed(Nanos::from_ms(200)), [chosen(160).entry]);
        assert_eq!(pending.passed(Nanos::MAX), [chosen(200).entry]);
    }
}
