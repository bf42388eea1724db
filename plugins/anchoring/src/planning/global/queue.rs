//! In which order onsets deserve a look: each next one is expected to show the most events that no look shows yet.
//!
//! A look shows what began before it and still sounds. Between looks at `a` and `b`, one at `t` is the first to show what begins in `(a, t]` and lasts
//! until `t`, less what the look at `b` would have shown of that anyway: the sum of `p (lasts(t - onset) - lasts(b - onset))`. So of two onsets in quick
//! succession the later one is looked at first, and the earlier one only if it was probably over by then. Further looks only lower what a look is worth:
//! old values are upper bounds, and few are computed anew. Of those worth the same, the one farthest from what is taken comes first: a sound that
//! repeats for an hour is looked at all over the hour.
//!
//! Where decoding counts too, a look makes others in its group of pictures cheaper, and may wait for the next keyframe if what it saves is worth more than
//! what is over by then. An upper bound then also allows for half of the way to a picture being paid by others: whoever is far away is asked
//! anew as often as that way is halved, not as often as somebody is taken, and so one group that lasts for hours is ordered as fast as many short ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::decode_penalty::Decoding;
use super::scattered;
use crate::anchor::candidate::Candidate;
use crate::planning::value::{HORIZON, Worth};
use crate::time::Nanos;

/// Events: what differs by less is worth the same.
const STEP: f64 = 0.02;
/// The same where decoding counts, and takes most of the worth of many.
const FINE_STEP: f64 = 0.001;

/// Candidates closer than this are neighbours: of those worth the same the earlier comes first, as the beginning of what they are heard of.
const NEIGHBOURS: i64 = 2_000_000_000;

/// Upper bounds of what a candidate is worth, in steps, and of how far it is from what is taken, in neighbourhoods; then the place in line of its
/// neighbourhood, and its own there.
type Turn = (u64, u64, Reverse<usize>, Reverse<usize>);

/// What is known about a candidate's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing that holds.
    Unasked,
    /// A bound that allows for half of the way being paid by others.
    Roughly(Turn),
    /// A bound that holds until somebody pays for anything on the way.
    Closely(Turn),
    /// It had its turn.
    Gone,
}

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
    /// One for everybody who still waits.
    turns: BTreeSet<Turn>,
    waits: Vec<Waits>,
    /// When those taken are seen: who, and when the picture is.
    seen: BTreeMap<Nanos, (usize, Nanos)>,
    taken: BTreeSet<Nanos>,
    /// How often somebody was asked.
    #[cfg(test)]
    asked: std::cell::Cell<usize>,
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
            turns: (0..candidates.len())
                .map(|i| first(candidates, i))
                .collect(),
            waits: vec![Waits::Unasked; candidates.len()],
            seen: BTreeMap::new(),
            taken: BTreeSet::new(),
            #[cfg(test)]
            asked: std::cell::Cell::new(0),
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
        while let Some((.., Reverse(i))) = self.turns.pop_last() {
            let Some((at, gain, weighed)) = self.best(i, false) else {
                self.waits[i] = Waits::Gone;
                continue;
            };
            let turn = self.turn(i, weighed);
            if self.turns.last().is_none_or(|best| turn >= *best) {
                self.waits[i] = Waits::Gone;
                return Some((i, at, gain));
            }
            self.wait(i, turn);
        }
        None
    }

    /// Whether a candidate's picture may be taken at this time: what is seen keeps its distance, and windows can part so that each holds what it is
    /// for and its picture.
    pub(super) fn fits(&self, i: usize, at: Nanos) -> bool {
        let own = (self.candidates[i].seen, at);
        let others =
            |(&seen, &(who, at)): (&Nanos, &(usize, Nanos))| (who != i).then_some((seen, at));
        let before = self.seen.range(..own.0).rev().find_map(others);
        let after = self.seen.range(own.0..).find_map(others);
        let apart =
            |a: (Nanos, Nanos), b: (Nanos, Nanos)| b.0 - a.0 >= self.min_gap && parted(a, b);
        before.is_none_or(|before| apart(before, own))
            && after.is_none_or(|after| apart(own, after))
    }

    /// The same of two that are not taken yet, beside each other.
    pub(super) fn fit(&self, (i, at): (usize, Nanos), (j, other): (usize, Nanos)) -> bool {
        let (a, b) = (
            (self.candidates[i].seen, at),
            (self.candidates[j].seen, other),
        );
        parted(a.min(b), a.max(b))
    }

    /// A picture of this candidate is taken at this time.
    pub(super) fn take(&mut self, i: usize, at: Nanos) {
        self.seen.insert(self.candidates[i].seen, (i, at));
        self.taken.insert(at);
        let cheaper = self.decoding.as_mut().map(|decoding| decoding.take(at));
        for who in cheaper.into_iter().flatten() {
            let (Waits::Roughly(turn) | Waits::Closely(turn)) = self.waits[who] else {
                continue;
            };
            self.turns.remove(&turn);
            self.turns.insert(first(self.candidates, who));
            self.waits[who] = Waits::Unasked;
        }
    }

    /// The picture of a candidate that was taken is taken at this time instead.
    pub(super) fn moved(&mut self, i: usize, at: Nanos) {
        self.seen.insert(self.candidates[i].seen, (i, at));
    }

    /// A candidate's place in line if it is worth so much.
    fn turn(&self, i: usize, weighed: f64) -> Turn {
        let seen = self.candidates[i].seen;
        let before = self.seen.range(..=seen).next_back();
        let after = self.seen.range(seen..).next();
        let beside = before.into_iter().chain(after);
        let far = beside.map(|(other, _)| other.distance(seen)).min();
        let step = match self.decoding {
            Some(_) => FINE_STEP,
            None => STEP,
        };
        (
            (weighed / step) as u64,
            far.map_or(u64::MAX, |far| (far.get() / NEIGHBOURS) as u64),
            neighbourhood(self.candidates, i),
            Reverse(i),
        )
    }

    /// Puts a candidate back in line that is worth so much now.
    fn wait(&mut self, i: usize, mut turn: Turn) {
        let roughly = self.decoding.is_some() && self.waits[i] == Waits::Unasked;
        if roughly && let Some((.., most)) = self.best(i, true) {
            turn.0 = self.turn(i, most).0.max(turn.0);
        }
        if let Some(decoding) = &mut self.decoding {
            for at in places(self.looks, &self.keyframes, i) {
                decoding.tell(i, decoding.share(at, roughly));
            }
        }
        self.waits[i] = if roughly {
            Waits::Roughly(turn)
        } else {
            Waits::Closely(turn)
        };
        self.turns.insert(turn);
    }

    /// When a candidate's picture is best taken, what it is worth then, and the same less what decoding counts for: now, or with room for half of that being
    /// paid by others. `None` if it can't be taken any more.
    fn best(&self, i: usize, room: bool) -> Option<(Nanos, f64, f64)> {
        #[cfg(test)]
        self.asked.set(self.asked.get() + 1);
        let weigh = |at: Nanos| {
            let gain = self.gain(i, at);
            let share = self.decoding.as_ref().map_or(1.0, |d| d.share(at, room).of);
            (at, gain, gain * share)
        };
        let fitting = places(self.looks, &self.keyframes, i).filter(|&at| self.fits(i, at));
        // The earlier of two that are alike.
        fitting
            .map(weigh)
            .reduce(|own, later| if later.2 > own.2 { later } else { own })
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

/// Before anything is known.
fn first(candidates: &[Candidate], i: usize) -> Turn {
    (u64::MAX, u64::MAX, neighbourhood(candidates, i), Reverse(i))
}

/// The place in line of a candidate's neighbourhood.
fn neighbourhood(candidates: &[Candidate], i: usize) -> Reverse<usize> {
    Reverse(scattered((candidates[i].seen.get() / NEIGHBOURS) as usize))
}

/// When a candidate's picture may be taken: when it is best seen, and where it may wait for a keyframe.
fn places(
    looks: &[Nanos],
    keyframes: &[Option<Nanos>],
    i: usize,
) -> impl Iterator<Item = Nanos> + use<> {
    let keyframe = keyframes.get(i).copied().flatten();
    std::iter::once(looks[i]).chain(keyframe)
}

/// Whether two windows can part, so that what the first is for and its picture lie before, the second one's after.
fn parted(first: (Nanos, Nanos), second: (Nanos, Nanos)) -> bool {
    first.0.max(first.1) < second.0.min(second.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planning::decode_cost::Pictures;
    use crate::settings::BudgetSettings;

    fn worth() -> Worth {
        Worth::new(&BudgetSettings::default())
    }

    fn candidate(ms: i64, p: f32) -> Candidate {
        Candidate {
            onset: Nanos::from_ms(ms),
            seen: Nanos::from_ms(ms),
            p,
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

    #[test]
    fn of_equals_those_far_from_what_is_taken_come_first() {
        // A sound every 20 s for an hour, and 24 looks.
        let loops: Vec<_> = (0..180).map(|i| candidate(20_000 * i, 0.9)).collect();
        let mut taken: Vec<i64> = indexes(&all(&loops, worth(), 500)[..24])
            .into_iter()
            .map(|i| 20 * i as i64)
            .collect();
        taken.sort_unstable();
        for third in 0..3 {
            let inside = taken.iter().filter(|&&s| s / 1_200 == third).count();
            assert!((6..=10).contains(&inside), "{taken:?}");
        }
        let gaps = taken.windows(2).map(|w| w[1] - w[0]);
        assert!(gaps.max().unwrap() <= 2 * 3_600 / 24, "{taken:?}");
        // What is worth more comes first wherever it lies.
        let mut one = loops;
        one[1].p = 1.0;
        assert_eq!(all(&one, worth(), 500)[0].0, 1);
    }

    #[test]
    fn no_window_would_leave_out_its_own_picture() {
        // 100 ms apart, pictures 60 ms later: the windows can part between. 50 ms: they can't.
        let two = |apart: i64| [candidate(1_000, 0.9), candidate(1_000 + apart, 0.8)];
        assert_eq!(all(&two(100), worth(), 0).len(), 2);
        assert_eq!(all(&two(50), worth(), 0).len(), 1);
    }

    #[test]
    fn one_group_of_hours_asks_no_more_of_each_than_a_short_one() {
        // A sound every 1 to 3 s, likely or not as it comes, and one keyframe; a quarter of them is taken.
        let asked = |hours: i64| {
            let candidates: Vec<_> = (0..1_800 * hours)
                .map(|i| {
                    candidate(
                        2_000 * i + (i * 7_919) % 1_000,
                        0.05 + ((i * 6_151) % 89) as f32 / 100.0,
                    )
                })
                .collect();
            let looks = looks(&candidates);
            let pictures = Pictures {
                keyframes: &[Nanos::ZERO],
                frame: Nanos::from_ms(40),
            };
            let decoding = Decoding::new(pictures, 10.0, 784);
            let gap = Nanos::from_ms(500);
            let mut order =
                Order::new(&candidates, &looks, worth(), gap).weighing(decoding, Vec::new());
            for _ in 0..450 * hours {
                let (i, at, _) = order.next().unwrap();
                order.take(i, at);
            }
            assert!(order.turns.len() <= candidates.len());
            order.asked.get() as f64 / candidates.len() as f64
        };
        let (short, long) = (asked(1), asked(8));
        assert!(long < 1.5 * short + 5.0, "{short} {long}");
    }

    /// Times of pictures, of the keyframes that they may wait for, and of all keyframes: one every ten seconds.
    fn with_keyframes(
        candidates: &[Candidate],
        reach: i64,
    ) -> (Vec<Nanos>, Vec<Option<Nanos>>, Vec<Nanos>) {
        let keyframes: Vec<_> = (0..10).map(|i| Nanos::from_ms(10_000 * i)).collect();
        let looks = looks(candidates);
        let near = |look: &Nanos| {
            let next = keyframes.iter().find(|key| *key > look);
            next.copied()
                .filter(|key| *key - *look <= Nanos::from_ms(reach))
        };
        let later = looks.iter().map(near).collect();
        (looks, later, keyframes)
    }

    /// What decoding alone decides, asked in the plainest way: everybody anew after each look.
    fn plainly(candidates: &[Candidate], per_picture: f64, reach: i64) -> Vec<f64> {
        let (looks, later, keyframes) = with_keyframes(candidates, reach);
        let pictures = Pictures {
            keyframes: &keyframes,
            frame: Nanos::from_ms(20),
        };
        let gap = Nanos::new(1);
        let decoding = Decoding::new(pictures, per_picture, 784);
        let mut order = Order::new(candidates, &looks, worth(), gap).weighing(decoding, later);
        let mut left: Vec<usize> = (0..candidates.len()).collect();
        let mut worths = Vec::new();
        loop {
            left.retain(|&i| order.best(i, false).is_some());
            let best = left.iter().filter_map(|&i| {
                let (at, _, weighed) = order.best(i, false)?;
                Some((order.turn(i, weighed), i, at))
            });
            let Some((turn, i, at)) = best.max() else {
                return worths;
            };
            left.retain(|&other| other != i);
            order.take(i, at);
            worths.push(turn.0 as f64);
        }
    }

    /// In which order candidates come where a keyframe stands every ten seconds, pictures are 20 ms apart and each counts for so many tokens.
    fn weighed(candidates: &[Candidate], per_picture: f64) -> Vec<usize> {
        let taken = waiting(candidates, per_picture, 0);
        taken.into_iter().map(|(i, _)| i).collect()
    }

    /// The same and when, where pictures may wait so long for a keyframe.
    fn waiting(candidates: &[Candidate], per_picture: f64, reach: i64) -> Vec<(usize, i64)> {
        let (looks, later, keyframes) = with_keyframes(candidates, reach);
        let pictures = Pictures {
            keyframes: &keyframes,
            frame: Nanos::from_ms(20),
        };
        let gap = Nanos::new(1);
        let decoding = Decoding::new(pictures, per_picture, 784);
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
            let fit = taken.len();
            taken.sort_unstable();
            taken.dedup();
            // But for those whose windows would leave out somebody's picture.
            let close = candidates.windows(2).filter(|w| w[1].seen - w[0].seen <= Nanos::from_ms(60));
            prop_assert!(taken.len() == fit && fit + close.count() >= candidates.len());
        }

        #[test]
        fn who_comes_next_is_worth_as_much_as_if_everybody_were_asked_anew(
            onsets in prop::collection::btree_map(0i64..90_000, 0.01f32..1.0, 0..60),
            per_picture in 0.0f64..100.0, reach in 0i64..2_000,
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let (looks, later, keyframes) = with_keyframes(&candidates, reach);
            let pictures = Pictures { keyframes: &keyframes, frame: Nanos::from_ms(20) };
            let decoding = Decoding::new(pictures, per_picture, 784);
            let mut order = Order::new(&candidates, &looks, worth(), Nanos::new(1)).weighing(decoding, later);
            let mut worths = Vec::new();
            while let Some((i, at, _)) = order.next() {
                let (_, _, weighed) = order.best(i, false).unwrap();
                worths.push(order.turn(i, weighed).0 as f64);
                order.take(i, at);
            }
            prop_assert_eq!(worths, plainly(&candidates, per_picture, reach));
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
