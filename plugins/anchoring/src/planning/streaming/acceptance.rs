//! Which candidates become anchors: valuable enough, among the best within the look-ahead, and affordable.

use super::StreamPlanner;
use super::token_bucket::TokenBucket;
use crate::anchor::candidate::Candidate;
use crate::anchor::window::{midpoint, window_containing};
use crate::plan::{Anchor, Entry, Reason};
use crate::settings::Policy;
use crate::time::{Nanos, Window};

/// Share of the bucket that is kept for better candidates while the end is far.
const RESERVE_SHARE: f64 = 0.4;

/// Horizon of the spending plan, in multiples of the time that the bucket takes to fill.
const PLAN_AHEAD: f64 = 2.0;

/// Iterations of the fixed point in [`StreamPlanner::anchors_per_s`].
const ITERATIONS: usize = 4;

/// Most candidates that are compared with each other.
const MAX_CHOICE: usize = 16;

/// Expected time from the last known candidate to the next frame.
const NEXT_FRAME_AFTER: Nanos = Nanos::from_ms(2_500);

impl StreamPlanner {
    /// Expected number of events that a candidate's frame is the first to show, if the frame before it was at
    /// `since`. If background frames have no value, the candidate's probability.
    pub(super) fn value(&self, candidate: &Candidate, at: Nanos, since: Nanos) -> f64 {
        if !self.model.expects_events() {
            return candidate.p.into();
        }
        // A frame before the event is still meant to show it.
        self.expected_shown(since, candidate.visible, at.max(candidate.visible))
    }

    /// Expected number of known events that begin in `(since, until]` and still last at `at`.
    fn expected_shown(&self, since: Nanos, until: Nanos, at: Nanos) -> f64 {
        let waiting = self.candidates.iter().map(|(_, c)| (c.visible, c.p));
        let begun = self.not_shown.iter().copied().chain(waiting);
        begun
            .filter(|&(visible, _)| since < visible && visible <= until)
            .map(|(visible, p)| f64::from(p) * self.model.survival((at - visible).seconds()))
            .sum()
    }

    /// The least value of an anchor's frame at this time.
    pub(super) fn min_value(&self, bucket: &TokenBucket, at: Nanos) -> f64 {
        let b = &self.settings.budget;
        let end = self.expected.filter(|&stop| stop > at);
        let left = end.map_or(f64::INFINITY, |stop| (stop - at).seconds());
        let ahead = PLAN_AHEAD * b.burst_s;
        let within = left.min(ahead).max(1.0);
        // A reserve for better candidates: the smaller, the more of the recording's rest is planned for.
        let kept = RESERVE_SHARE * b.burst_s * b.tokens_per_s * (1.0 - ahead / left).max(0.0);
        let earned = bucket.earned(at + Nanos::from_seconds(within).unwrap_or(Nanos::ZERO));
        let tokens = (bucket.tokens() as f64 + earned - kept).max(0.0);
        let frames = within * self.anchors_per_s(tokens / within);
        if self.model.expects_events() {
            self.reserve_price.price(at, frames, within)
        } else {
            self.reserve_price.min_probability(at, frames, within)
        }
    }

    /// Anchors per second that this many tokens per second buy, together with the gap frames in gaps that exceed the
    /// largest. Anchors are assumed to come independently of each other.
    pub(super) fn anchors_per_s(&self, tokens: f64) -> f64 {
        let b = &self.settings.budget;
        let price = self.prices.of(b.anchor_tier) as f64;
        let gap_frame = match b.policy {
            Policy::Gated => self.prices.of(b.background_tier) as f64,
            _ => 0.0,
        };
        let gap = self.max_gap.seconds();
        let mut anchors = 0.0_f64;
        for _ in 0..ITERATIONS {
            let more = (anchors * gap).exp_m1();
            let frames = if more > 0.0 {
                anchors / more
            } else {
                1.0 / gap
            };
            anchors = (tokens - gap_frame * frames).max(0.0) / price;
        }
        anchors
    }

    /// Whether the best choice among the known candidates leaves this one out.
    fn is_outranked(&self, candidate: &Candidate, at: Nanos, price: f64) -> bool {
        let end = candidate.visible + self.look_ahead;
        let rest = self.candidates.iter();
        let rest =
            rest.filter(|(_, other)| candidate.visible < other.visible && other.visible <= end);
        let this = (at, *candidate);
        let choice: Vec<&(Nanos, Candidate)> = std::iter::once(&this)
            .chain(rest.take(MAX_CHOICE))
            .collect();
        // What is not visible by then may be visible in the next frame.
        let after = |since: Nanos| self.expected_shown(since, end, end + NEXT_FRAME_AFTER);
        // The best choice that ends with each candidate, and whether it begins with this one.
        let mut ends: Vec<(f64, bool)> = Vec::with_capacity(choice.len());
        let mut best = (after(self.last_full_frame), false);
        for (j, (frame, other)) in choice.iter().enumerate() {
            let mut most = (self.value(other, *frame, self.last_full_frame), j == 0);
            for ((before, earlier), end) in choice.iter().zip(&ends) {
                let sum = end.0 + self.value(other, *frame, *before);
                if other.visible >= earlier.visible + self.min_gap && sum > most.0 {
                    most = (sum, end.1);
                }
            }
            most.0 -= price;
            let all = most.0 + after(*frame);
            if all > best.0 {
                best = (all, most.1);
            }
            ends.push(most);
        }
        !best.1
    }

    pub(super) fn try_anchor(
        &mut self,
        at: Nanos,
        candidate: &Candidate,
    ) -> Option<(Anchor, Entry)> {
        let visible = candidate.visible;
        let (last_visible, last_stop) = self
            .last_anchor
            .map_or((None, Nanos::ZERO), |(visible, stop)| (Some(visible), stop));
        if last_visible.is_some_and(|last| visible < last + self.min_gap)
            || at <= self.last
            // The window before can't part from one that contains both the event and its frame.
            || visible.min(at) < last_stop
            || self.stop.is_some_and(|stop| candidate.onset >= stop)
        {
            return None;
        }
        let price = self.prices.of(self.settings.budget.anchor_tier);
        let mut bucket = self.bucket;
        bucket.advance(at);
        let min_value = self.min_value(&bucket, at);
        let value = self.value(candidate, at, self.last_full_frame);
        if value < min_value || !bucket.spend(price) {
            return None;
        }
        if self.is_outranked(candidate, at, min_value) {
            return None;
        }
        if self.settings.budget.policy == Policy::Gated {
            bucket.advance(at + self.max_gap);
            if !bucket.spend(self.prices.of(self.settings.budget.background_tier)) {
                return None;
            }
        }
        // Later candidates may need windows of their own.
        let within = |length: Nanos| {
            self.candidates
                .iter()
                .map(|(_, other)| other)
                .filter(move |other| visible < other.visible && other.visible <= visible + length)
        };
        let window = candidate.window(&self.settings.anchors, self.stop.unwrap_or(Nanos::MAX));
        let next = within(self.look_ahead)
            .map(|other| other.visible)
            .filter(|&other| other >= visible + self.min_gap)
            .min();
        let cut = next.map_or(visible + self.look_ahead, |next| midpoint(visible, next));
        let cut = cut.max(at + Nanos::new(1));
        let window = window_between(visible, window, last_stop, cut);
        let id = self.anchors;
        let tier = self.settings.budget.anchor_tier;
        let entry = self.pay(at, tier, Reason::Anchor, Some(id))?;
        self.anchors = self.anchors.saturating_add(1);
        self.last_anchor = Some((visible, window.stop()));
        Some((candidate.anchor(id, window), entry))
    }
}

fn window_between(visible: Nanos, window: Window, from: Nanos, until: Nanos) -> Window {
    window_containing(visible, window.start().max(from), window.stop().min(until))
}
