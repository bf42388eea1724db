//! Verdicts on access units and plan entries, and statistics.

use crate::plan::Entry;
use crate::time::Nanos;

/// What happens to entries and units; carry verdicts out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<T> {
    /// The frame shown at `pts` serves the entry. Comes before the unit of that frame, and before its whole GOP
    /// unless the GOP was too large to hold.
    Serve {
        /// The plan entry.
        entry: Entry,
        /// Time of the nearest frame.
        pts: Nanos,
    },
    /// The unit goes to the decoder.
    Pass {
        /// The unit's payload.
        payload: T,
        /// Whether its frame serves an entry; otherwise it only helps to decode others.
        wanted: bool,
    },
    /// The unit is dropped, but those after it pass: nothing refers to it.
    Drop(T),
    /// The rest of a GOP is skipped: these units, adjacent in decoding order.
    Skip {
        /// Earliest time shown among them.
        from: Nanos,
        /// The beginning of the next GOP, or the end of the last unit.
        to: Nanos,
        /// Their payloads, in decoding order.
        left: Vec<T>,
    },
    /// No frame can serve the entry: it lies more than one frame interval outside the frames there are.
    Miss(Entry),
    /// The entry lies in a discontinuity, and the frame at its edge serves another entry at the same or a better
    /// tier; or the entry is an anchor's, whose event no frame there shows.
    Merge(Entry),
}

/// Statistics since the start, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units pushed.
    pub pushed: u64,
    /// Units passed.
    pub passed: u64,
    /// Entries served.
    pub served: u64,
    /// Entries that no frame could serve.
    pub missed: u64,
    /// Entries in a discontinuity that were merged with another.
    pub merged: u64,
    /// Units dropped before the first keyframe.
    pub dropped_before_keyframe: u64,
}
