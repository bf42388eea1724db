//! Background frames at the untrusted tier: in silent stretches, and for events that the detector misses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::allocation::Allocation;
use super::queue::CandidateQueue;
use super::{GlobalPlanner, bit_reversed, heap_key};
use crate::planning::uniform::{MIN_SPACING, frames_needed};
use crate::planning::value::ValueModel;
use crate::tier::Tokens;
use crate::time::Nanos;

/// Silent stretches get at least 75 % of the frames that even sampling would give them, even where the last of these
/// have less value than an anchor elsewhere.
const MIN_SILENT_SHARE: f64 = 0.75;

impl GlobalPlanner {
    /// The value model of this recording.
    pub(super) fn value_model(&self, duration: Nanos) -> ValueModel {
        let heard = self.audible.iter().map(|window| {
            let (from, until) = (window.start().max(Nanos::ZERO), window.stop().min(duration));
            (until - from).seconds()
        });
        let expected = self.candidates.iter().map(|c| f64::from(c.p));
        ValueModel::new(&self.settings.budget).updated(expected.sum(), heard.sum())
    }

    /// What an anchor's frame shows besides the anchor's own event: as much as a background frame there.
    fn value_beside_anchor(&self, duration: Nanos, budget: Tokens, model: &ValueModel) -> f64 {
        let anchors = budget as f64 / self.prices.of(self.settings.budget.anchor_tier) as f64;
        model.miss_rate() * model.marginal_at_spacing(duration.seconds() / anchors.max(1e-9))
    }

    /// Stretches where there is nothing to hear, in order.
    fn inaudible_stretches(&self, duration: Nanos) -> Vec<(Nanos, Nanos)> {
        let mut stretches = Vec::new();
        let mut from = Nanos::ZERO;
        for window in &self.audible {
            if from < window.start().min(duration) {
                stretches.push((from, window.start().min(duration)));
            }
            from = from.max(window.stop());
        }
        if from < duration {
            stretches.push((from, duration));
        }
        stretches
    }

    /// Values of all candidates that keep their distance, the best last.
    fn anchor_values(&self, duration: Nanos, model: &ValueModel) -> Vec<f64> {
        let times = self.frame_times(duration);
        let mut queue = CandidateQueue::new(&self.candidates, &times, *model, self.min_gap());
        let mut gains = Vec::new();
        while let Some((i, at, value)) = queue.next() {
            queue.take(i, at);
            gains.push(value);
        }
        gains.reverse();
        gains
    }

    /// Times of the background frames in silent stretches, evenly spread over each: as many as have more value than
    /// the anchors that they displace, and at least [`MIN_SILENT_SHARE`] of even sampling.
    pub(super) fn background_frames(
        &self,
        duration: Nanos,
        budget: Tokens,
        model: &ValueModel,
    ) -> Vec<Nanos> {
        if !model.expects_events() {
            return Vec::new();
        }
        let b = &self.settings.budget;
        let (anchor, full) = (
            self.prices.of(b.anchor_tier),
            self.prices.of(b.untrusted_tier),
        );
        let gap_frame = self.prices.of(b.background_tier);
        let least = frames_needed(Nanos::ZERO, duration, self.max_gap());
        let stretches = self.inaudible_stretches(duration);
        let beside = self.value_beside_anchor(duration, budget, model);
        let mut anchor_values = self.anchor_values(duration, model);
        let mut counts = vec![0_u64; stretches.len()];
        let length = |i: usize| stretches[i].1 - stretches[i].0;
        // The number of frames if the whole budget bought evenly spaced anchors.
        let even = MIN_SILENT_SHARE * budget as f64 / anchor as f64;
        let changed = |i: usize| self.clock.seconds(stretches[i].0, stretches[i].1);
        let even = |i: usize| even * changed(i) / duration.seconds().max(1e-9);
        let value = |i: usize, n: u64| {
            if (n as f64 + 0.5) < even(i) {
                f64::INFINITY
            } else {
                model.marginal(changed(i), n)
            }
        };
        let mut best: BinaryHeap<(u64, Reverse<usize>)> = (0..stretches.len())
            .map(|i| (heap_key(value(i, 0)), Reverse(bit_reversed(i))))
            .collect();
        let mut sum: Tokens = 0;
        loop {
            let onset = anchor_values.last().map(|&p| heap_key(p + beside));
            let background = best
                .peek()
                .map(|&(value, Reverse(place))| (value, bit_reversed(place)));
            let (price, stretch) = match (onset, background) {
                (None, None) => break,
                (Some(p), Some((value, _))) if p > value => (anchor, None),
                (Some(_), None) => (anchor, None),
                (_, Some((_, i))) => (full, Some(i)),
            };
            // Frames might save no gap frame: onsets come where they come.
            let rest = least.saturating_mul(gap_frame);
            let affordable = sum.saturating_add(price).saturating_add(rest) <= budget;
            match stretch {
                None if affordable => drop(anchor_values.pop()),
                None => anchor_values.clear(),
                Some(i) => {
                    best.pop();
                    let room = MIN_SPACING.get().saturating_mul(counts[i] as i64 + 2);
                    if !affordable || length(i).get() < room {
                        continue;
                    }
                    counts[i] += 1;
                    best.push((heap_key(value(i, counts[i])), Reverse(bit_reversed(i))));
                }
            }
            if affordable {
                sum = sum.saturating_add(price);
            }
        }
        let mut times = Vec::new();
        for (&(a, b), &n) in stretches.iter().zip(&counts) {
            times.extend(self.clock.shares(a, b, n));
        }
        times
    }

    /// Background frames for what is left, where they have most value: in large gaps.
    pub(super) fn fill_gaps(&self, allocation: &mut Allocation, model: &ValueModel) -> Vec<Nanos> {
        let price = self.prices.of(self.settings.budget.untrusted_tier);
        let gap_frame = self.prices.of(self.settings.budget.background_tier);
        let gaps = allocation.gaps();
        let mut counts = vec![0_u64; gaps.len()];
        let value = |i: usize, n: u64| {
            let (a, b) = gaps[i];
            let middle = Nanos::new(a.get().midpoint(b.get()));
            let share = if self.trusts(middle) {
                model.miss_rate()
            } else {
                1.0
            };
            share * model.marginal_in_gap(self.clock.seconds(a, b), n)
        };
        // At most the price of the gap frames between the parts.
        let between_pieces = |i: usize, n: u64| {
            let length = (gaps[i].1 - gaps[i].0).get().max(0) as u64;
            let piece = Nanos::new(length.div_ceil(n + 1) as i64);
            (n + 1).saturating_mul(frames_needed(Nanos::ZERO, piece, self.max_gap())) * gap_frame
        };
        let mut left = allocation.left();
        let mut best: BinaryHeap<(u64, Reverse<usize>)> = (0..gaps.len())
            .map(|i| (heap_key(value(i, 0)), Reverse(bit_reversed(i))))
            .collect();
        while let Some((key, Reverse(place))) = best.pop() {
            let i = bit_reversed(place);
            let n = counts[i];
            let length = (gaps[i].1 - gaps[i].0).get();
            if key == 0 || length < MIN_SPACING.get().saturating_mul(n as i64 + 2) {
                continue;
            }
            let more = price.saturating_add(between_pieces(i, n + 1));
            let Some(rest) = (left.saturating_add(between_pieces(i, n))).checked_sub(more) else {
                continue;
            };
            left = rest;
            counts[i] += 1;
            best.push((heap_key(value(i, n + 1)), Reverse(place)));
        }
        let parts = gaps.iter().zip(&counts);
        let times: Vec<Nanos> = parts
            .flat_map(|(&(a, b), &n)| self.clock.evenly_between(a, b, n, self.max_gap()))
            .collect();
        times
            .into_iter()
            .filter(|&at| allocation.add(at, price))
            .collect()
    }
}
