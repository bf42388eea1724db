//! In which order onsets deserve a look: each next one is expected to show the most events that no look shows yet.
//!
//! A look shows what began before it and still sounds. Between looks at `a` and `b`, one at `t` is the first to show what begins in `(a, t]` and lasts
//! until `t`, less what the look at `b` would have shown of that anyway: the sum of `p (lasts(t - onset) - lasts(b - onset))`. So of two onsets in quick
//! succession the later one is looked at first, and the earlier one only if it was probably over by then. Further looks only lower what a look is worth:
//! old values are upper bounds, and few are computed anew. Where decoding counts too, a look makes others in its group of pictures cheaper: those are
//! asked again; and a look may wait for the next keyframe, if what it saves is worth more than what is over by then.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::decoding::Decoding;
use crate::anchor::Candidate;
use crate::time::Nanos;
use crate::worth::{HORIZON, Worth};

/// Events: what differs by less is worth the same, and comes in the order of time.
const STEP: f64 = 0.02;
/// The same where decoding counts, and takes most of the worth of many.
const FINE_STEP: f64 = 0.001;

/// Candidates that wait to be looked at.
pub(super) struct Order<'a> {
    /// In the order in which they are seen.
    candidates: &'a [Candidate],
    /// Times of their pictures.
    looks: &'a [Nanos],
    /// Where they may wait for a keyframe: when that is.
    keyframes: Vec<Option<Nanos>>,
    worth: Worth,
    min_gap: Nanos,
    decoding: Option<Decoding<'a>>,
    /// Upper bounds of what each is worth, in steps; equal ones in the order of time.
    waiting: BinaryHeap<(u64, Reverse<usize>)>,
    /// Those that had their turn.
    gone: Vec<bool>,
    seen: BTreeSet<Nanos>,
    taken: BTreeSet<Nanos>,
}

impl<'a> Order<'a> {
    /// Candidates in the order in which they are seen, and the times of their pictures. If nothing is expected of blind looks ([`Worth::any`]), the likeliest come first.
    pub(super) fn new(
        candidates: &'a [Candidate],
        looks: &'a [Nanos],
        worth: Worth,
        min_gap: Nanos,
    ) -> Self {
        Self {
            candidates,
            looks,
            keyframes: Vec::new(),
            worth,
            min_gap,
            decoding: None,
            gone: vec![false; candidates.len()],
            waiting: (0..candidates.len())
                .map(|i| (u64::MAX, Reverse(i)))
                .collect(),
            seen: BTreeSet::new(),
            taken: BTreeSet::new(),
        }
    }

    /// The same, where decoding counts too, and where pictures may be taken at these times instead.
    pub(super) fn weighing(
        mut self,
        decoding: Option<Decoding<'a>>,
        keyframes: Vec<Option<Nanos>>,
    ) -> Self {
        self.decoding = decoding;
        self.keyframes = keyframes;
        self
    }

    /// The next candidate that keeps its distance, when its picture is best taken, and what that is worth: events that it is expected to be the first
    /// to show.
    pub(super) fn next(&mut self) -> Option<(usize, Nanos, f64)> {
        while let Some((_, Reverse(i))) = self.waiting.pop() {
            if self.gone[i] {
                continue;
            }
            let seen = self.candidates[i].seen;
            let near = (seen - self.min_gap + Nanos::new(1))..(seen + self.min_gap);
            if self.seen.range(near).next().is_some() {
                self.gone[i] = true;
                continue;
            }
            let (at, gain, weighed) = self.best(i);
            let step = match self.decoding {
                Some(_) => FINE_STEP,
                None => STEP,
            };
            let entry = ((weighed / step) as u64, Reverse(i));
            if self.waiting.peek().is_none_or(|best| entry >= *best) {
                self.gone[i] = true;
                return Some((i, at, gain));
            }
            self.waiting.push(entry);
        }
        None
    }

    /// A picture of this candidate is taken at this time.
    pub(super) fn take(&mut self, i: usize, at: Nanos) {
        self.seen.insert(self.candidates[i].seen);
        self.taken.insert(at);
        if let Some(decoding) = &mut self.decoding {
            let cheaper = decoding.take(at).iter().filter(|&&i| !self.gone[i]);
            self.waiting
                .extend(cheaper.map(|&i| (u64::MAX, Reverse(i))));
        }
    }

    /// When a candidate's picture is best taken, what it is worth then, and the same less what decoding counts for.
    fn best(&self, i: usize) -> (Nanos, f64, f64) {
        let weigh = |at: Nanos| {
            let gain = self.gain(i, at);
            let share = self.decoding.as_ref().map_or(1.0, |d| d.share(at));
            (at, gain, gain * share)
        };
        let own = weigh(self.looks[i]);
        let keyframe = self.keyframes.get(i).copied().flatten().map(weigh);
        keyframe.filter(|later| later.2 > own.2).unwrap_or(own)
    }

    fn gain(&self, i: usize, at: Nanos) -> f64 {
        if !self.worth.any() {
            return self.candidates[i].p.into();
        }
        // A picture from before the event is meant to show it all the same.
        let at = at.max(self.candidates[i].seen);
        let before = self.taken.range(..=at).next_back().copied();
        let after = self.taken.range(at + Nanos::new(1)..).next().copied();
        let since = before.unwrap_or(at - HORIZON).max(at - HORIZON);
        let begun = self.candidates.partition_point(|c| c.seen <= at);
        let recent = self.candidates[..begun].iter().rev();
        recent
            .take_while(|c| c.seen > since)
            .map(|c| {
                let lasts = |look: Nanos| self.worth.lasts((look - c.seen).seconds());
                f64::from(c.p) * (lasts(at) - after.map_or(0.0, lasts))
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::BudgetSettings;
    use crate::snap::Pictures;

    fn worth() -> Worth {
        Worth::new(&BudgetSettings::default())
    }

    fn candidate(ms: i64, p: f32) -> Candidate {
        Candidate {
            onset: Nanos::from_ms(ms),
            seen: Nanos::from_ms(ms),
            p,
            uncertainty: 1.0 - p,
            class_id: -1,
        }
    }

    /// Pictures 60 ms after the onsets.
    fn looks(candidates: &[Candidate]) -> Vec<Nanos> {
        let after = Nanos::from_ms(60);
        candidates.iter().map(|c| c.seen + after).collect()
    }

    /// All of them, in order, with what they were worth.
    fn all(candidates: &[Candidate], worth: Worth, min_gap: i64) -> Vec<(usize, f64)> {
        let looks = looks(candidates);
        let mut order = Order::new(
            candidates,
            &looks,
            worth,
            Nanos::from_ms(min_gap).max(Nanos::new(1)),
        );
        let mut taken = Vec::new();
        while let Some((i, at, gain)) = order.next() {
            assert_eq!(at, looks[i]);
            order.take(i, at);
            taken.push((i, gain));
        }
        taken
    }

    fn indexes(taken: &[(usize, f64)]) -> Vec<usize> {
        taken.iter().map(|&(i, _)| i).collect()
    }

    #[test]
    fn of_two_in_quick_succession_the_later_shows_both() {
        let three = [
            candidate(1_000, 0.8),
            candidate(1_300, 0.7),
            candidate(9_000, 0.9),
        ];
        let taken = all(&three, worth(), 0);
        assert_eq!(indexes(&taken), [1, 2, 0]);
        assert!(taken[0].1 > 1.0 && taken[2].1 < 0.3);
        // Where they must keep their distance, the other one has lost its turn.
        assert_eq!(indexes(&all(&three, worth(), 500)), [1, 2]);
        // Without an expectation of what lasts how long, the likeliest come first.
        let none = Worth::new(&BudgetSettings {
            events_per_min: 0.0,
            ..BudgetSettings::default()
        });
        assert_eq!(indexes(&all(&three, none, 0)), [2, 0, 1]);
    }

    /// In which order candidates come where a keyframe stands every ten seconds, pictures are 20 ms apart and each counts for so many tokens.
    fn weighed(candidates: &[Candidate], per_picture: f64) -> Vec<usize> {
        let taken = waiting(candidates, per_picture, 0);
        taken.into_iter().map(|(i, _)| i).collect()
    }

    /// The same and when, where pictures may wait so long for a keyframe.
    fn waiting(candidates: &[Candidate], per_picture: f64, reach: i64) -> Vec<(usize, i64)> {
        let keyframes: Vec<_> = (0..10).map(|i| Nanos::from_ms(10_000 * i)).collect();
        let pictures = Pictures {
            keyframes: &keyframes,
            frame: Nanos::from_ms(20),
        };
        let looks = looks(candidates);
        let gap = Nanos::new(1);
        let decoding = Decoding::new(pictures, per_picture, 784, &looks);
        let near = |look: &Nanos| {
            let next = keyframes.iter().find(|key| *key > look);
            next.copied()
                .filter(|key| *key - *look <= Nanos::from_ms(reach))
        };
        let later = looks.iter().map(near).collect();
        let mut order = Order::new(candidates, &looks, worth(), gap).weighing(decoding, later);
        let mut taken = Vec::new();
        while let Some((i, at, _)) = order.next() {
            order.take(i, at);
            taken.push((i, at.get() / 1_000_000));
        }
        taken
    }

    #[test]
    fn where_decoding_counts_what_lies_near_a_keyframe_and_what_is_paid_for_come_first() {
        let four = [
            candidate(4_000, 0.3),
            candidate(9_000, 0.9),
            candidate(20_100, 0.5),
            candidate(39_000, 0.8),
        ];
        assert_eq!(weighed(&four, 0.0), [1, 3, 2, 0]);
        // A keyframe is near the third. The second pays for the first, which then costs nothing.
        assert_eq!(weighed(&four, 10.0), [2, 1, 0, 3]);
    }

    #[test]
    fn a_look_waits_for_a_keyframe_where_that_saves_more_than_is_over_by_then() {
        // The first lies deep in its group of pictures and just before the next; the second is deep, but far from it.
        let two = [candidate(9_700, 0.9), candidate(15_000, 0.9)];
        assert_eq!(waiting(&two, 10.0, 0), [(1, 15_060), (0, 9_760)]);
        assert_eq!(waiting(&two, 10.0, 400), [(0, 10_000), (1, 15_060)]);
        assert_eq!(waiting(&two, 10.0, 100), waiting(&two, 10.0, 0));
        // For next to nothing it doesn't wait.
        assert_eq!(waiting(&two, 0.001, 400), [(1, 15_060), (0, 9_760)]);
    }

    proptest! {
        #[test]
        fn where_decoding_counts_everyone_still_has_one_turn(
            onsets in prop::collection::btree_map(0i64..90_000, 0.01f32..1.0, 0..40),
            per_picture in 0.0f64..100.0,
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let mut taken = weighed(&candidates, per_picture);
            taken.sort_unstable();
            prop_assert!(taken.into_iter().eq(0..candidates.len()));
        }

        #[test]
        fn what_looks_are_worth_adds_up_to_what_they_show(
            onsets in prop::collection::btree_map(0i64..20_000, 0.01f32..1.0, 0..12),
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let taken = all(&candidates, worth(), 0);
            let at = looks(&candidates);
            for n in 0..=taken.len() {
                let mut chosen: Vec<Nanos> = taken[..n].iter().map(|&(i, _)| at[i]).collect();
                chosen.sort_unstable();
                let shown: f64 = candidates.iter().map(|c| {
                    let first = chosen.iter().find(|&&t| t >= c.seen);
                    first.map_or(0.0, |&t| f64::from(c.p) * worth().lasts((t - c.seen).seconds()))
                }).sum();
                let sum: f64 = taken[..n].iter().map(|&(_, gain)| gain).sum();
                prop_assert!((shown - sum).abs() < 1e-6, "{shown} {sum}");
            }
            prop_assert!(taken.windows(2).all(|w| w[0].1 >= w[1].1 - STEP - 1e-9));
        }
    }
}
