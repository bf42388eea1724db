//! The frames of a plan in the making, and what they cost together with the gap frames between them.

use std::collections::BTreeSet;

use crate::planning::uniform::{MIN_SPACING, frames_needed};
use crate::tier::Tokens;
use crate::time::Nanos;

/// Frames by time. Their price never exceeds the budget.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) duration: Nanos,
    budget: Tokens,
    /// Gap frames included, if there are any.
    spent: Tokens,
    /// Price of a gap frame, and the largest gap; `None` without gap frames.
    gap_frames: Option<(Tokens, Nanos)>,
    frames: BTreeSet<Nanos>,
}

impl Allocation {
    /// Starts without a frame; `spent` is the price of the gap frames, which the budget covers.
    pub(super) fn new(
        duration: Nanos,
        budget: Tokens,
        gap_frames: Option<(Tokens, Nanos)>,
        spent: Tokens,
    ) -> Self {
        Self {
            duration,
            budget,
            spent,
            gap_frames,
            frames: BTreeSet::new(),
        }
    }

    pub(super) fn left(&self) -> Tokens {
        self.budget.saturating_sub(self.spent)
    }

    /// The frames before and after an instant, or the ends.
    pub(super) fn around(&self, at: Nanos) -> (Nanos, Nanos) {
        (
            self.before(at).unwrap_or(Nanos::ZERO),
            self.after(at).unwrap_or(self.duration),
        )
    }

    fn before(&self, at: Nanos) -> Option<Nanos> {
        self.frames.range(..=at).next_back().copied()
    }

    fn after(&self, at: Nanos) -> Option<Nanos> {
        self.frames.range(at..).next().copied()
    }

    /// Whether a frame of this price would fit if it and one more frame each saved a gap frame.
    pub(super) fn nearly_affordable(&self, price: Tokens) -> bool {
        let gap_frame = self.gap_frames.map_or(0, |(price, _)| price);
        price <= self.left().saturating_add(2 * gap_frame)
    }

    /// Removes a frame that was added at this price.
    pub(super) fn remove(&mut self, at: Nanos, price: Tokens) {
        if self.frames.remove(&at) {
            let saved = self.saved(at);
            self.spent = self.spent.saturating_add(saved).saturating_sub(price);
        }
    }

    /// Price of the gap frames that a frame there saves.
    fn saved(&self, at: Nanos) -> Tokens {
        self.gap_frames.map_or(0, |(price, gap)| {
            let (a, b) = self.around(at);
            let parted = frames_needed(a, at, gap) + frames_needed(at, b, gap);
            frames_needed(a, b, gap).saturating_sub(parted) * price
        })
    }

    /// Adds a frame if the budget pays for it and no other is too close.
    pub(super) fn add(&mut self, at: Nanos, price: Tokens) -> bool {
        let (before, after) = (self.before(at), self.after(at));
        let near = before.is_some_and(|b| at - b < MIN_SPACING)
            || after.is_some_and(|a| a - at < MIN_SPACING);
        let saved = self.saved(at);
        let spent = self.spent.saturating_add(price).saturating_sub(saved);
        let added = !near && spent <= self.budget;
        if added {
            self.spent = spent;
            self.frames.insert(at);
        }
        added
    }

    /// From the start to the first frame, between frames, and from the last to the end.
    pub(super) fn gaps(&self) -> Vec<(Nanos, Nanos)> {
        let mut edges = vec![Nanos::ZERO];
        edges.extend(&self.frames);
        edges.push(self.duration);
        edges.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }
}
