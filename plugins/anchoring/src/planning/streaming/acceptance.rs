//! Which candidates become anchors: worth their price, among the best choice within the look-ahead, and paid for.

use super::StreamPlanner;
use super::token_bucket::Bucket;
use crate::anchor::candidate::Candidate;
use crate::anchor::window::{holding, midpoint};
use crate::plan::{Anchor, Entry, Reason};
use crate::settings::Policy;
use crate::time::{Nanos, Window};

/// Share of the bucket that waits for what is better than usual, while the end is far.
const SPARE: f64 = 0.4;

/// How far ahead spending is planned, in the time that it takes the bucket to fill.
const AHEAD: f64 = 2.0;

/// How often the number of anchors is reckoned anew with the thin looks that they save.
const STEPS: usize = 4;

/// Most candidates that are weighed against each other.
const CHOICE: usize = 16;

/// How long after what is heard the next picture is expected.
const LATER: Nanos = Nanos::from_ms(2_500);

impl StreamPlanner {
    /// Events that a candidate's picture is expected to be the first to show if the last one before was at `since`. If nothing is
    /// expected of blind looks, just how likely it is.
    pub(super) fn gain(&self, candidate: &Candidate, at: Nanos, since: Nanos) -> f64 {
        if !self.worth.any() {
            return candidate.p.into();
        }
        // A picture from before the event is meant to show it all the same.
        self.shown(since, candidate.seen, at.max(candidate.seen))
    }

    /// Events that begin in `(since, until]`, as far as they are known, and still sound at an instant.
    fn shown(&self, since: Nanos, until: Nanos, at: Nanos) -> f64 {
        let waiting = self.candidates.iter().map(|(_, c)| (c.seen, c.p));
        let begun = self.unseen.iter().copied().chain(waiting);
        begun
            .filter(|&(seen, _)| since < seen && seen <= until)
            .map(|(seen, p)| f64::from(p) * self.worth.lasts((at - seen).seconds()))
            .sum()
    }

    /// What a picture at an anchor must be worth.
    pub(super) fn wanted(&self, bucket: &Bucket, at: Nanos) -> f64 {
        let b = &self.settings.budget;
        let end = self.expected.filter(|&stop| stop > at);
        let left = end.map_or(f64::INFINITY, |stop| (stop - at).seconds());
        let ahead = AHEAD * b.burst_s;
        let within = left.min(ahead).max(1.0);
        // Some stays for what is better than usual: the less, the more of what is left of the recording is planned for.
        let kept = SPARE * b.burst_s * b.tokens_per_s * (1.0 - ahead / left).max(0.0);
        let earned = bucket.earned(at + Nanos::from_seconds(within).unwrap_or(Nanos::ZERO));
        let tokens = (bucket.tokens() as f64 + earned - kept).max(0.0);
        let looks = within * self.anchors_a_second(tokens / within);
        if self.worth.any() {
            self.pace.price(at, looks, within)
        } else {
            self.pace.likelihood(at, looks, within)
        }
    }

    /// How many anchors a second so many tokens a second pay for, with the thin looks in the gaps that are larger than the largest may be: as many as
    /// instants have between them that know nothing of each other.
    pub(super) fn anchors_a_second(&self, tokens: f64) -> f64 {
        let b = &self.settings.budget;
        let price = self.prices.of(b.anchor_tier) as f64;
        let thin = match b.policy {
            Policy::Gated => self.prices.of(b.background_tier) as f64,
            _ => 0.0,
        };
        let gap = self.max_gap.seconds();
        let mut anchors = 0.0_f64;
        for _ in 0..STEPS {
            let more = (anchors * gap).exp_m1();
            let looks = if more > 0.0 {
                anchors / more
            } else {
                1.0 / gap
            };
            anchors = (tokens - thin * looks).max(0.0) / price;
        }
        anchors
    }

    /// Whether the pictures that together show most, of the candidates heard so far, leave this one out.
    fn better_without(&self, candidate: &Candidate, at: Nanos, price: f64) -> bool {
        let end = candidate.seen + self.look_ahead;
        let rest = self.candidates.iter();
        let rest = rest.filter(|(_, other)| candidate.seen < other.seen && other.seen <= end);
        let this = (at, *candidate);
        let choice: Vec<&(Nanos, Candidate)> =
            std::iter::once(&this).chain(rest.take(CHOICE)).collect();
        // What is not seen by then may be seen by the picture that comes next.
        let after = |since: Nanos| self.shown(since, end, end + LATER);
        // The best that ends with each of them, and whether that begins with this one.
        let mut ends: Vec<(f64, bool)> = Vec::with_capacity(choice.len());
        let mut best = (after(self.last_full), false);
        for (j, (look, other)) in choice.iter().enumerate() {
            let mut most = (self.gain(other, *look, self.last_full), j == 0);
            for ((before, earlier), end) in choice.iter().zip(&ends) {
                let sum = end.0 + self.gain(other, *look, *before);
                if other.seen >= earlier.seen + self.min_gap && sum > most.0 {
                    most = (sum, end.1);
                }
            }
            most.0 -= price;
            let all = most.0 + after(*look);
            if all > best.0 {
                best = (all, most.1);
            }
            ends.push(most);
        }
        !best.1
    }

    pub(super) fn accept(&mut self, at: Nanos, candidate: &Candidate) -> Option<(Anchor, Entry)> {
        let seen = candidate.seen;
        let (last_seen, last_stop) = self
            .last_anchor
            .map_or((None, Nanos::ZERO), |(seen, stop)| (Some(seen), stop));
        if last_seen.is_some_and(|last| seen < last + self.min_gap)
            || at <= self.last
            // The window before can't part from one that would hold both the event and its picture.
            || seen.min(at) < last_stop
            || self.stop.is_some_and(|stop| candidate.onset >= stop)
        {
            return None;
        }
        let price = self.prices.of(self.settings.budget.anchor_tier);
        let mut bucket = self.bucket;
        bucket.advance(at);
        let wanted = self.wanted(&bucket, at);
        let gain = self.gain(candidate, at, self.last_full);
        if gain < wanted || !bucket.spend(price) {
            return None;
        }
        if self.better_without(candidate, at, wanted) {
            return None;
        }
        if self.settings.budget.policy == Policy::Gated {
            bucket.advance(at + self.max_gap);
            if !bucket.spend(self.prices.of(self.settings.budget.background_tier)) {
                return None;
            }
        }
        // What comes later may begin a window of its own: leave it room.
        let within = |length: Nanos| {
            self.candidates
                .iter()
                .map(|(_, other)| other)
                .filter(move |other| seen < other.seen && other.seen <= seen + length)
        };
        let window = candidate.window(&self.settings.anchors, self.stop.unwrap_or(Nanos::MAX));
        let next = within(self.look_ahead)
            .map(|other| other.seen)
            .filter(|&other| other >= seen + self.min_gap)
            .min();
        let cut = next.map_or(seen + self.look_ahead, |next| midpoint(seen, next));
        let cut = cut.max(at + Nanos::new(1));
        let window = window_between(seen, window, last_stop, cut);
        let id = self.anchors;
        let tier = self.settings.budget.anchor_tier;
        let entry = self.take(at, tier, Reason::Anchor, Some(id))?;
        self.anchors = self.anchors.saturating_add(1);
        self.last_anchor = Some((seen, window.stop()));
        Some((candidate.anchor(id, window), entry))
    }
}

fn window_between(seen: Nanos, window: Window, from: Nanos, until: Nanos) -> Window {
    holding(seen, window.start().max(from), window.stop().min(until))
}
