//! The frames that clips need: each once, in the order of time.

use std::collections::BTreeSet;

use anchoring::plan::{Clip, Entry, Reason};
use anchoring::tier::Tier;
use anchoring::time::Nanos;

/// Frames of clips that have not been given out. Bounded by how many clips may overlap in a plan.
#[derive(Debug, Default)]
pub(super) struct ClipParts(BTreeSet<(Nanos, Tier)>);

impl ClipParts {
    /// Adds the frames of a clip; those that another clip needs at the same tier are there already.
    pub(super) fn add(&mut self, clip: &Clip) {
        let tier = clip.entry.tier;
        let parts = clip.frames.distinct().map(|at| (at, tier));
        self.0.extend(parts);
    }

    /// The time of the earliest frame.
    pub(super) fn first(&self) -> Option<Nanos> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Gives out the earliest frame, as an entry that costs nothing: the clip is paid for.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let (planned, tier) = self.0.pop_first()?;
        Some(Entry {
            planned,
            asked: None,
            tier,
            tokens: 0,
            reason: Reason::Uniform,
            anchor: None,
        })
    }
}
