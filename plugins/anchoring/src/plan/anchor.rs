//! An anchor, as a plan records it.

use serde::Serialize;

use crate::time::{Nanos, Window};

/// An onset that was chosen and paid for, with its window.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Row")]
pub struct Anchor {
    /// Index in the order of windows; the row of `/anchors`.
    pub id: u32,
    /// When its sound begins, in the recording's time.
    pub onset: Nanos,
    /// Contains the instant at which the event is expected to be visible (the onset, unless there is an offset), and
    /// overlaps no other anchor's window.
    pub window: Window,
    /// Name of the class; empty until it is looked up.
    pub label: String,
    /// Row of the tagger's class list, or -1.
    pub class_id: i32,
    /// Probability that an event begins here, in [0, 1].
    pub score: f32,
    /// The chance that no event begins here, in [0, 1]: windows widen by it. `1 - score` unless the probe's weights correct it
    /// ([`crate::onset::uncertainty`]).
    pub uncertainty: f32,
}

/// The JSON form of an [`Anchor`].
#[derive(Serialize)]
struct Row {
    id: u32,
    onset_ns: Nanos,
    start_ns: Nanos,
    stop_ns: Nanos,
    label: String,
    class_id: i32,
    score: f32,
    uncertainty: f32,
}

impl From<Anchor> for Row {
    fn from(anchor: Anchor) -> Self {
        Self {
            id: anchor.id,
            onset_ns: anchor.onset,
            start_ns: anchor.window.start(),
            stop_ns: anchor.window.stop(),
            label: anchor.label,
            class_id: anchor.class_id,
            score: anchor.score,
            uncertainty: anchor.uncertainty,
        }
    }
}
