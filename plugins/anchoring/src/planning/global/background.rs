//! Where to look without having heard anything: in stretches where nothing is to be heard, and for what the sound didn't tell.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::allocation::Board;
use super::queue::Order;
use super::{Planner, key, scattered};
use crate::planning::uniform::{CLOSEST, between, needed};
use crate::planning::value::Worth;
use crate::tier::Tokens;
use crate::time::Nanos;

/// Where nothing is to be heard, there are at least so many looks to an even one: what can be had without listening is not given away
/// for what is heard elsewhere, though the last of it is worth less.
const UNHEARD: f64 = 0.75;

impl Planner {
    /// What looks are worth in this recording.
    pub(super) fn worth(&self, duration: Nanos) -> Worth {
        let heard = self.audible.iter().map(|window| {
            let (from, until) = (window.start().max(Nanos::ZERO), window.stop().min(duration));
            (until - from).seconds()
        });
        let expected = self.candidates.iter().map(|c| f64::from(c.p));
        Worth::new(&self.settings.budget).informed(expected.sum(), heard.sum())
    }

    /// What a picture at an anchor shows beside the anchor's own event: what a blind look there would.
    fn beside(&self, duration: Nanos, budget: Tokens, worth: &Worth) -> f64 {
        let anchors = budget as f64 / self.prices.of(self.settings.budget.anchor_tier) as f64;
        worth.miss() * worth.among(duration.seconds() / anchors.max(1e-9))
    }

    /// Stretches where nothing is to be heard, in order.
    fn deaf(&self, duration: Nanos) -> Vec<(Nanos, Nanos)> {
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

    /// What the candidates are worth if all are looked at that keep their distance, the best last.
    fn likely(&self, duration: Nanos, worth: &Worth) -> Vec<f64> {
        let looks = self.looks(duration);
        let mut order = Order::new(&self.candidates, &looks, *worth, self.min_gap());
        let mut gains = Vec::new();
        while let Some((i, at, gain)) = order.next() {
            order.take(i, at);
            gains.push(gain);
        }
        gains.reverse();
        gains
    }

    /// Times of the blind looks in stretches without sound: as many as are worth more than the anchors that they cost, and at least [`UNHEARD`] of
    /// as many as even anchors would be; evenly spread over each.
    pub(super) fn blind(&self, duration: Nanos, budget: Tokens, worth: &Worth) -> Vec<Nanos> {
        if !worth.any() {
            return Vec::new();
        }
        let b = &self.settings.budget;
        let (anchor, look) = (
            self.prices.of(b.anchor_tier),
            self.prices.of(b.untrusted_tier),
        );
        let thin = self.prices.of(b.background_tier);
        let least = needed(Nanos::ZERO, duration, self.max_gap());
        let stretches = self.deaf(duration);
        let beside = self.beside(duration, budget, worth);
        let mut likely = self.likely(duration, worth);
        let mut counts = vec![0_u64; stretches.len()];
        let length = |i: usize| stretches[i].1 - stretches[i].0;
        // Of anchors if they were all there is and spread evenly.
        let even = UNHEARD * budget as f64 / anchor as f64;
        let even = |i: usize| even * length(i).seconds() / duration.seconds().max(1e-9);
        let gain = |i: usize, n: u64| {
            if (n as f64 + 0.5) < even(i) {
                f64::INFINITY
            } else {
                worth.next(length(i).seconds(), n)
            }
        };
        let mut best: BinaryHeap<(u64, Reverse<usize>)> = (0..stretches.len())
            .map(|i| (key(gain(i, 0)), Reverse(scattered(i))))
            .collect();
        let mut sum: Tokens = 0;
        loop {
            let onset = likely.last().map(|&p| key(p + beside));
            let blind = best
                .peek()
                .map(|&(gain, Reverse(place))| (gain, scattered(place)));
            let (price, stretch) = match (onset, blind) {
                (None, None) => break,
                (Some(p), Some((gain, _))) if p > gain => (anchor, None),
                (Some(_), None) => (anchor, None),
                (_, Some((_, i))) => (look, Some(i)),
            };
            // Pictures may save none of the thin looks: onsets come where they come.
            let rest = least.saturating_mul(thin);
            let affordable = sum.saturating_add(price).saturating_add(rest) <= budget;
            match stretch {
                None if affordable => drop(likely.pop()),
                None => likely.clear(),
                Some(i) => {
                    best.pop();
                    let room = CLOSEST.get().saturating_mul(counts[i] as i64 + 2);
                    if !affordable || length(i).get() < room {
                        continue;
                    }
                    counts[i] += 1;
                    best.push((key(gain(i, counts[i])), Reverse(scattered(i))));
                }
            }
            if affordable {
                sum = sum.saturating_add(price);
            }
        }
        let mut times = Vec::new();
        for (&(a, b), &n) in stretches.iter().zip(&counts) {
            let share = |i: u64| (b - a).scaled((i as f64 + 0.5) / n as f64);
            times.extend((0..n).map(|i| a + share(i)));
        }
        times
    }

    /// Blind looks for what is left, where they are worth most: between pictures that are far apart.
    pub(super) fn fill(&self, board: &mut Board, worth: &Worth) -> Vec<Nanos> {
        let price = self.prices.of(self.settings.budget.untrusted_tier);
        let thin = self.prices.of(self.settings.budget.background_tier);
        let gaps = board.gaps();
        let mut counts = vec![0_u64; gaps.len()];
        let gain = |i: usize, n: u64| {
            let (a, b) = gaps[i];
            let middle = Nanos::new(a.get().midpoint(b.get()));
            let share = if self.trusts(middle) {
                worth.miss()
            } else {
                1.0
            };
            share * worth.parting((b - a).seconds(), n)
        };
        // At most what the thin looks between the pieces cost.
        let between_pieces = |i: usize, n: u64| {
            let length = (gaps[i].1 - gaps[i].0).get().max(0) as u64;
            let piece = Nanos::new(length.div_ceil(n + 1) as i64);
            (n + 1).saturating_mul(needed(Nanos::ZERO, piece, self.max_gap())) * thin
        };
        let mut left = board.left();
        let mut best: BinaryHeap<(u64, Reverse<usize>)> = (0..gaps.len())
            .map(|i| (key(gain(i, 0)), Reverse(scattered(i))))
            .collect();
        while let Some((worth, Reverse(place))) = best.pop() {
            let i = scattered(place);
            let n = counts[i];
            let length = (gaps[i].1 - gaps[i].0).get();
            if worth == 0 || length < CLOSEST.get().saturating_mul(n as i64 + 2) {
                continue;
            }
            let more = price.saturating_add(between_pieces(i, n + 1));
            let Some(rest) = (left.saturating_add(between_pieces(i, n))).checked_sub(more) else {
                continue;
            };
            left = rest;
            counts[i] += 1;
            best.push((key(gain(i, n + 1)), Reverse(place)));
        }
        let parts = gaps.iter().zip(&counts);
        let times: Vec<Nanos> = parts.flat_map(|(&(a, b), &n)| between(a, b, n)).collect();
        times
            .into_iter()
            .filter(|&at| board.place(at, price))
            .collect()
    }
}
