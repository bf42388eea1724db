//! The order in which candidates get their frames: next comes the one whose frame shows the most events that no frame
//! shows yet.
//!
//! A frame shows what began before it and still lasts. Between frames at `a` and `b`, a frame at `t` is the first to
//! show what begins in `(a, t]` and lasts until `t`, minus what the frame at `b` would have shown anyway: the sum of
//! `p (survival(t - onset) - survival(b - onset))`. So of two onsets in quick succession the later comes first, and
//! the earlier only if its event was probably over by then. Every frame lowers the value of others: old values are
//! upper bounds, and few are computed again. Of candidates with equal value, the one farthest from the chosen ones
//! comes first, so a sound that repeats for an hour is sampled all over the hour.
//!
//! With a decode penalty, a frame (or a clip) makes others in its GOPs cheaper, and may wait for the next keyframe if
//! that saves more than what is over by then. The upper bound then assumes that half of the way to a frame is paid by others. A
//! distant candidate is evaluated again whenever that way is halved, not whenever another is chosen. So one GOP that
//! lasts for hours is ordered as fast as many short ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::bit_reversed;
use super::decode_penalty::DecodePenalty;
use crate::anchor::candidate::Candidate;
use crate::planning::value::{HORIZON, ValueModel};
use crate::time::Nanos;

/// Values, in events, that differ by less are equal.
const STEP: f64 = 0.02;
/// The same with a decode penalty, which takes most of the value from many.
const FINE_STEP: f64 = 0.001;

/// Candidates closer than this are neighbours: of neighbours with equal value the earlier comes first.
const NEIGHBOURS: i64 = 2_000_000_000;

/// Upper bounds of a candidate's value (in steps) and of its distance from the chosen ones (in neighbourhoods); then
/// the order of its neighbourhood, and its order there.
type Rank = (u64, u64, Reverse<usize>, Reverse<usize>);

/// What is known about a candidate's rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Nothing.
    Unknown,
    /// A bound that assumes that half of the way is paid by others.
    Loose(Rank),
    /// A bound that holds until another frame pays for part of the way.
    Tight(Rank),
    /// It has been returned or dropped.
    Done,
}

/// Candidates that wait for their frame.
pub(super) struct CandidateQueue<'a> {
    /// In order of visibility.
    candidates: &'a [Candidate],
    /// Times of their frames.
    frame_times: &'a [Nanos],
    /// The keyframes for which the frames may wait.
    keyframes: Vec<Option<Nanos>>,
    model: ValueModel,
    min_gap: Nanos,
    penalty: Option<DecodePenalty<'a>>,
    /// The ranks of all candidates that wait.
    ranks: BTreeSet<Rank>,
    bounds: Vec<Bound>,
    /// The chosen candidates by visibility: the candidate, and the time of its frame.
    chosen: BTreeMap<Nanos, (usize, Nanos)>,
    /// Times of the frames taken.
    taken: BTreeSet<Nanos>,
    /// Number of evaluations.
    #[cfg(test)]
    evaluations: std::cell::Cell<usize>,
}

impl<'a> CandidateQueue<'a> {
    /// Candidates in order of visibility, and the times of their frames. If background frames have no value
    /// ([`ValueModel::expects_events`]), the most probable comes first.
    pub(super) fn new(
        candidates: &'a [Candidate],
        frame_times: &'a [Nanos],
        model: ValueModel,
        min_gap: Nanos,
    ) -> Self {
        Self {
            candidates,
            frame_times,
            keyframes: Vec::new(),
            model,
            min_gap,
            penalty: None,
            ranks: (0..candidates.len())
                .map(|i| unranked(candidates, i))
                .collect(),
            bounds: vec![Bound::Unknown; candidates.len()],
            chosen: BTreeMap::new(),
            taken: BTreeSet::new(),
            #[cfg(test)]
            evaluations: std::cell::Cell::new(0),
        }
    }

    /// Adds a decode penalty, and keyframes for which frames may wait.
    pub(super) fn with_penalty(
        mut self,
        penalty: Option<DecodePenalty<'a>>,
        keyframes: Vec<Option<Nanos>>,
    ) -> Self {
        self.penalty = penalty;
        self.keyframes = keyframes;
        self
    }

    /// The next candidate that keeps its distance, the best time for its frame, and its value: the expected number of
    /// events that it is the first to show.
    pub(super) fn next(&mut self) -> Option<(usize, Nanos, f64)> {
        while let Some((.., Reverse(i))) = self.ranks.pop_last() {
            let Some((at, value, weighed)) = self.best(i, false) else {
                self.bounds[i] = Bound::Done;
                continue;
            };
            let rank = self.rank(i, weighed);
            if self.ranks.last().is_none_or(|best| rank >= *best) {
                self.bounds[i] = Bound::Done;
                return Some((i, at, value));
            }
            self.requeue(i, rank);
        }
        None
    }

    /// Whether a candidate's frame may be taken at this time: visible events keep their distance, and the windows can
    /// part so that each contains its event and its frame.
    pub(super) fn fits(&self, i: usize, at: Nanos) -> bool {
        let own = (self.candidates[i].visible, at);
        let others = |(&visible, &(other, at)): (&Nanos, &(usize, Nanos))| {
            (other != i).then_some((visible, at))
        };
        let before = self.chosen.range(..own.0).rev().find_map(others);
        let after = self.chosen.range(own.0..).find_map(others);
        let apart =
            |a: (Nanos, Nanos), b: (Nanos, Nanos)| b.0 - a.0 >= self.min_gap && can_part(a, b);
        before.is_none_or(|before| apart(before, own))
            && after.is_none_or(|after| apart(own, after))
    }

    /// The same for two candidates beside each other that are not chosen yet.
    pub(super) fn fit(&self, (i, at): (usize, Nanos), (j, other): (usize, Nanos)) -> bool {
        let (a, b) = (
            (self.candidates[i].visible, at),
            (self.candidates[j].visible, other),
        );
        can_part(a.min(b), a.max(b))
    }

    /// The frame of this candidate is taken at this time.
    pub(super) fn take(&mut self, i: usize, at: Nanos) {
        self.chosen.insert(self.candidates[i].visible, (i, at));
        self.taken.insert(at);
        let cheaper = self.penalty.as_mut().map(|penalty| penalty.take(at));
        for other in cheaper.into_iter().flatten() {
            let (Bound::Loose(rank) | Bound::Tight(rank)) = self.bounds[other] else {
                continue;
            };
            self.ranks.remove(&rank);
            self.ranks.insert(unranked(self.candidates, other));
            self.bounds[other] = Bound::Unknown;
        }
    }

    /// The frame of a chosen candidate moves to this time.
    pub(super) fn moved(&mut self, i: usize, at: Nanos) {
        self.chosen.insert(self.candidates[i].visible, (i, at));
    }

    /// A candidate's rank at this value.
    fn rank(&self, i: usize, weighed: f64) -> Rank {
        let visible = self.candidates[i].visible;
        let before = self.chosen.range(..=visible).next_back();
        let after = self.chosen.range(visible..).next();
        let beside = before.into_iter().chain(after);
        let far = beside.map(|(other, _)| other.distance(visible)).min();
        let step = match self.penalty {
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

    /// Puts a candidate back into the queue.
    fn requeue(&mut self, i: usize, mut rank: Rank) {
        let loose = self.penalty.is_some() && self.bounds[i] == Bound::Unknown;
        if loose && let Some((.., most)) = self.best(i, true) {
            rank.0 = self.rank(i, most).0.max(rank.0);
        }
        if let Some(penalty) = &mut self.penalty {
            for at in frame_options(self.frame_times, &self.keyframes, i) {
                penalty.watch(i, at, loose);
            }
        }
        self.bounds[i] = if loose {
            Bound::Loose(rank)
        } else {
            Bound::Tight(rank)
        };
        self.ranks.insert(rank);
    }

    /// The best time for a candidate's frame, its value, and the value after the penalty; with `optimistic`, as if
    /// half of the missing frames were paid by others. `None` if no time fits any more.
    fn best(&self, i: usize, optimistic: bool) -> Option<(Nanos, f64, f64)> {
        #[cfg(test)]
        self.evaluations.set(self.evaluations.get() + 1);
        let weigh = |at: Nanos| {
            let value = self.value(i, at);
            let share = self
                .penalty
                .as_ref()
                .map_or(1.0, |d| d.share(at, optimistic));
            (at, value, value * share)
        };
        let fitting =
            frame_options(self.frame_times, &self.keyframes, i).filter(|&at| self.fits(i, at));
        // Of equal times the earlier.
        fitting
            .map(weigh)
            .reduce(|own, later| if later.2 > own.2 { later } else { own })
    }

    fn value(&self, i: usize, at: Nanos) -> f64 {
        if !self.model.expects_events() {
            return self.candidates[i].p.into();
        }
        // A frame before the event is still meant to show it.
        let at = at.max(self.candidates[i].visible);
        let before = self.taken.range(..=at).next_back().copied();
        let after = self.taken.range(at + Nanos::new(1)..).next().copied();
        let since = before.unwrap_or(at - HORIZON).max(at - HORIZON);
        let begun = self.candidates.partition_point(|c| c.visible <= at);
        let recent = self.candidates[..begun].iter().rev();
        recent
            .take_while(|c| c.visible > since)
            .map(|c| {
                let lasts =
                    |frame_time: Nanos| self.model.survival((frame_time - c.visible).seconds());
                f64::from(c.p) * (lasts(at) - after.map_or(0.0, lasts))
            })
            .sum()
    }
}

/// The rank before anything is known.
fn unranked(candidates: &[Candidate], i: usize) -> Rank {
    (u64::MAX, u64::MAX, neighbourhood(candidates, i), Reverse(i))
}

/// The order of a candidate's neighbourhood.
fn neighbourhood(candidates: &[Candidate], i: usize) -> Reverse<usize> {
    Reverse(bit_reversed(
        (candidates[i].visible.get() / NEIGHBOURS) as usize,
    ))
}

/// The times at which a candidate's frame may be taken: its own, and a keyframe's.
fn frame_options(
    frame_times: &[Nanos],
    keyframes: &[Option<Nanos>],
    i: usize,
) -> impl Iterator<Item = Nanos> + use<> {
    let keyframe = keyframes.get(i).copied().flatten();
    std::iter::once(frame_times[i]).chain(keyframe)
}

/// Whether two windows can part, so that each contains its event and its frame.
fn can_part(first: (Nanos, Nanos), second: (Nanos, Nanos)) -> bool {
    first.0.max(first.1) < second.0.min(second.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planning::decode_cost::{DecodeCost, FramesOfEntry, FramesOfPlan};
    use crate::settings::BudgetSettings;

    fn model() -> ValueModel {
        ValueModel::new(&BudgetSettings::default())
    }

    fn candidate(ms: i64, p: f32) -> Candidate {
        Candidate {
            onset: Nanos::from_ms(ms),
            visible: Nanos::from_ms(ms),
            p,
            uncertainty: 1.0 - p,
            class_id: -1,
        }
    }

    /// Frames 60 ms after the onsets.
    fn frame_times(candidates: &[Candidate]) -> Vec<Nanos> {
        let frame_time = |c: &Candidate| c.visible + Nanos::from_ms(60);
        candidates.iter().map(frame_time).collect()
    }

    /// All candidates in order, with their values.
    fn all(candidates: &[Candidate], model: ValueModel, min_gap: i64) -> Vec<(usize, f64)> {
        let frame_times = frame_times(candidates);
        let min_gap = Nanos::from_ms(min_gap).max(Nanos::new(1));
        let mut queue = CandidateQueue::new(candidates, &frame_times, model, min_gap);
        let mut taken = Vec::new();
        while let Some((i, at, value)) = queue.next() {
            assert_eq!(at, frame_times[i]);
            queue.take(i, at);
            taken.push((i, value));
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
        let taken = all(&three, model(), 0);
        assert_eq!(indexes(&taken), [1, 2, 0]);
        assert!(taken[0].1 > 1.0 && taken[2].1 < 0.3);
        // If they must keep their distance, the other one is dropped.
        assert_eq!(indexes(&all(&three, model(), 500)), [1, 2]);
        // If no events are expected, the most probable comes first.
        let none = ValueModel::new(&BudgetSettings {
            events_per_min: 0.0,
            ..BudgetSettings::default()
        });
        assert_eq!(indexes(&all(&three, none, 0)), [2, 0, 1]);
    }

    #[test]
    fn of_equals_those_far_from_what_is_taken_come_first() {
        // A sound every 20 s for an hour, and 24 frames.
        let loops: Vec<_> = (0..180).map(|i| candidate(20_000 * i, 0.9)).collect();
        let mut taken: Vec<i64> = indexes(&all(&loops, model(), 500)[..24])
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
        // A more valuable one comes first wherever it lies.
        let mut one = loops;
        one[1].p = 1.0;
        assert_eq!(all(&one, model(), 500)[0].0, 1);
    }

    #[test]
    fn no_window_would_leave_out_its_own_frame() {
        // With 100 ms between onsets and frames 60 ms later, the windows can part. With 50 ms they can't.
        let two = |apart: i64| [candidate(1_000, 0.9), candidate(1_000 + apart, 0.8)];
        assert_eq!(all(&two(100), model(), 0).len(), 2);
        assert_eq!(all(&two(50), model(), 0).len(), 1);
    }

    #[test]
    fn a_gop_of_hours_needs_no_more_evaluations_than_a_short_one() {
        // A sound every 1 to 3 s with varying probability, and a single keyframe; a quarter of them is taken.
        let asked = |hours: i64| {
            let candidates: Vec<_> = (0..1_800 * hours)
                .map(|i| {
                    candidate(
                        2_000 * i + (i * 7_919) % 1_000,
                        0.05 + ((i * 6_151) % 89) as f32 / 100.0,
                    )
                })
                .collect();
            let frame_times = frame_times(&candidates);
            let decode_cost = DecodeCost::of_frames(&[Nanos::ZERO], Nanos::from_ms(40));
            let penalty = DecodePenalty::new(decode_cost, 10.0, 784);
            let gap = Nanos::from_ms(500);
            let mut queue = CandidateQueue::new(&candidates, &frame_times, model(), gap)
                .with_penalty(penalty, Vec::new());
            for _ in 0..450 * hours {
                let (i, at, _) = queue.next().unwrap();
                queue.take(i, at);
            }
            assert!(queue.ranks.len() <= candidates.len());
            queue.evaluations.get() as f64 / candidates.len() as f64
        };
        let (short, long) = (asked(1), asked(8));
        assert!(long < 1.5 * short + 5.0, "{short} {long}");
    }

    /// Times of frames, of the keyframes for which they may wait, and of all keyframes: one every ten seconds.
    fn with_keyframes(
        candidates: &[Candidate],
        reach: i64,
    ) -> (Vec<Nanos>, Vec<Option<Nanos>>, Vec<Nanos>) {
        let keyframes: Vec<_> = (0..10).map(|i| Nanos::from_ms(10_000 * i)).collect();
        let frame_times = frame_times(candidates);
        let near = |frame_time: &Nanos| {
            let next = keyframes.iter().find(|key| *key > frame_time);
            next.copied()
                .filter(|key| *key - *frame_time <= Nanos::from_ms(reach))
        };
        let later = frame_times.iter().map(near).collect();
        (frame_times, later, keyframes)
    }

    /// What the penalty decides, by brute force: every candidate is evaluated again after each frame.
    fn by_brute_force(
        candidates: &[Candidate],
        per_frame: f64,
        reach: i64,
        takes: FramesOfPlan,
    ) -> Vec<f64> {
        let (frame_times, later, keyframes) = with_keyframes(candidates, reach);
        let decode_cost = DecodeCost {
            takes,
            ..DecodeCost::of_frames(&keyframes, Nanos::from_ms(20))
        };
        let gap = Nanos::new(1);
        let penalty = DecodePenalty::new(decode_cost, per_frame, 784);
        let mut queue = CandidateQueue::new(candidates, &frame_times, model(), gap)
            .with_penalty(penalty, later);
        let mut left: Vec<usize> = (0..candidates.len()).collect();
        let mut values = Vec::new();
        loop {
            left.retain(|&i| queue.best(i, false).is_some());
            let best = left.iter().filter_map(|&i| {
                let (at, _, weighed) = queue.best(i, false)?;
                Some((queue.rank(i, weighed), i, at))
            });
            let Some((rank, i, at)) = best.max() else {
                return values;
            };
            left.retain(|&other| other != i);
            queue.take(i, at);
            values.push(rank.0 as f64);
        }
    }

    /// The order of candidates with a keyframe every ten seconds, frames 20 ms apart and this penalty per frame.
    fn weighed(candidates: &[Candidate], per_frame: f64) -> Vec<usize> {
        let taken = waiting(candidates, per_frame, 0);
        taken.into_iter().map(|(i, _)| i).collect()
    }

    /// The same with times, if frames may wait this long for a keyframe.
    fn waiting(candidates: &[Candidate], per_frame: f64, reach: i64) -> Vec<(usize, i64)> {
        let (frame_times, later, keyframes) = with_keyframes(candidates, reach);
        let decode_cost = DecodeCost::of_frames(&keyframes, Nanos::from_ms(20));
        let gap = Nanos::new(1);
        let penalty = DecodePenalty::new(decode_cost, per_frame, 784);
        let mut queue = CandidateQueue::new(candidates, &frame_times, model(), gap)
            .with_penalty(penalty, later);
        let mut taken = Vec::new();
        while let Some((i, at, _)) = queue.next() {
            queue.take(i, at);
            taken.push((i, at.get() / 1_000_000));
        }
        taken
    }

    #[test]
    fn with_a_penalty_candidates_near_a_keyframe_or_paid_for_come_first() {
        let four = [
            candidate(4_000, 0.3),
            candidate(9_000, 0.9),
            candidate(20_100, 0.5),
            candidate(39_000, 0.8),
        ];
        assert_eq!(weighed(&four, 0.0), [1, 3, 2, 0]);
        // The third is near a keyframe. The second pays for the first, which then costs nothing.
        assert_eq!(weighed(&four, 10.0), [2, 1, 0, 3]);
    }

    /// The third clip begins in the GOP before its frame's and needs almost all of it; what it decodes pays for the second.
    #[test]
    fn a_clip_is_weighed_with_all_that_it_needs() {
        let three = [
            candidate(20_700, 0.5),
            candidate(28_000, 0.3),
            candidate(30_200, 0.5),
        ];
        let order = |takes| {
            let (frame_times, _, keyframes) = with_keyframes(&three, 0);
            let decode_cost = DecodeCost {
                takes,
                ..DecodeCost::of_frames(&keyframes, Nanos::from_ms(20))
            };
            let penalty = DecodePenalty::new(decode_cost, 10.0, 784);
            let mut queue = CandidateQueue::new(&three, &frame_times, model(), Nanos::from_ms(500))
                .with_penalty(penalty, Vec::new());
            let mut order = Vec::new();
            while let Some((i, at, _)) = queue.next() {
                queue.take(i, at);
                order.push(i);
            }
            order
        };
        assert_eq!(order(FramesOfPlan::FRAMES), [2, 0, 1]);
        let within = (Nanos::ZERO, Nanos::from_ms(99_980));
        let clip = FramesOfEntry::clip(32, Nanos::from_ms(20), Nanos::from_ms(320), within);
        let takes = FramesOfPlan {
            anchor: clip,
            other: clip,
        };
        assert_eq!(order(takes), [0, 2, 1]);
    }

    #[test]
    fn a_frame_waits_for_a_keyframe_where_that_saves_more_than_is_over_by_then() {
        // The first lies deep in its GOP, just before the next keyframe; the second is deep, but far from one.
        let two = [candidate(9_700, 0.9), candidate(15_000, 0.9)];
        assert_eq!(waiting(&two, 10.0, 0), [(1, 15_060), (0, 9_760)]);
        assert_eq!(waiting(&two, 10.0, 400), [(0, 10_000), (1, 15_060)]);
        assert_eq!(waiting(&two, 10.0, 100), waiting(&two, 10.0, 0));
        // It does not wait for next to nothing.
        assert_eq!(waiting(&two, 0.001, 400), [(1, 15_060), (0, 9_760)]);
    }

    proptest! {
        #[test]
        fn with_a_penalty_every_candidate_still_has_one_turn(
            onsets in prop::collection::btree_map(0i64..90_000, 0.01f32..1.0, 0..40),
            per_frame in 0.0f64..100.0,
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let mut taken = weighed(&candidates, per_frame);
            let fit = taken.len();
            taken.sort_unstable();
            taken.dedup();
            // Except those whose windows would exclude a frame.
            let close = candidates.windows(2).filter(|w| w[1].visible - w[0].visible <= Nanos::from_ms(60));
            prop_assert!(taken.len() == fit && fit + close.count() >= candidates.len());
        }

        #[test]
        fn the_next_candidate_is_as_valuable_as_by_brute_force(
            onsets in prop::collection::btree_map(0i64..90_000, 0.01f32..1.0, 0..60),
            per_frame in 0.0f64..100.0, reach in 0i64..2_000, clip in (1u32..64, 20i64..400, 0i64..3_000),
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let (frame_times, later, keyframes) = with_keyframes(&candidates, reach);
            // Frames, or clips that reach over keyframes.
            let (frames, step, before) = clip;
            let within = (Nanos::ZERO, Nanos::from_ms(99_980));
            let anchor = match frames {
                1 => FramesOfEntry::FRAME,
                _ => FramesOfEntry::clip(frames, Nanos::from_ms(step), Nanos::from_ms(before), within),
            };
            let takes = FramesOfPlan { anchor, ..FramesOfPlan::FRAMES };
            let decode_cost = DecodeCost { takes, ..DecodeCost::of_frames(&keyframes, Nanos::from_ms(20)) };
            let penalty = DecodePenalty::new(decode_cost, per_frame, 784);
            let mut queue = CandidateQueue::new(&candidates, &frame_times, model(), Nanos::new(1)).with_penalty(penalty, later);
            let mut values = Vec::new();
            while let Some((i, at, _)) = queue.next() {
                let (_, _, weighed) = queue.best(i, false).unwrap();
                values.push(queue.rank(i, weighed).0 as f64);
                queue.take(i, at);
            }
            prop_assert_eq!(values, by_brute_force(&candidates, per_frame, reach, takes));
        }

        #[test]
        fn frame_values_add_up_to_what_frames_show(
            onsets in prop::collection::btree_map(0i64..20_000, 0.01f32..1.0, 0..12),
        ) {
            let candidates: Vec<_> = onsets.into_iter().map(|(ms, p)| candidate(ms, p)).collect();
            let taken = all(&candidates, model(), 0);
            let at = frame_times(&candidates);
            for n in 0..=taken.len() {
                let mut chosen: Vec<Nanos> = taken[..n].iter().map(|&(i, _)| at[i]).collect();
                chosen.sort_unstable();
                let shown: f64 = candidates.iter().map(|c| {
                    let first = chosen.iter().find(|&&t| t >= c.visible);
                    first.map_or(0.0, |&t| f64::from(c.p) * model().survival((t - c.visible).seconds()))
                }).sum();
                let sum: f64 = taken[..n].iter().map(|&(_, value)| value).sum();
                prop_assert!((shown - sum).abs() < 1e-6, "{shown} {sum}");
            }
            prop_assert!(taken.windows(2).all(|w| w[0].1 >= w[1].1 - STEP - 1e-9));
        }
    }
}
