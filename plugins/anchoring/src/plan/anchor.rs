//! An anchor as it stands in a plan.

use serde::Serialize;

use crate::time::{Nanos, Window};

/// An instant at which something begins.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Row")]
pub struct Anchor {
    /// Counts from 0 in the order of windows; the row of `/anchors`.
    pub id: u32,
    /// When its sound begins, in the recording's time.
    pub onset: Nanos,
    /// Holds the instant at which it is expected to be seen, which is the onset if picture and sound are together, and
    /// overlaps no other anchor's window.
    pub window: Window,
    /// Name of the class; empty until somebody looks it up.
    pub label: String,
    /// Row of the tagger's class list, or -1.
    pub class_id: i32,
    /// How likely something begins here, in [0, 1].
    pub score: f32,
    /// `1 - score`, in [0, 1]: what windows widen by. It knows nothing beside the score: neither the probes' disagreement nor the trust in the sound tells more
    /// of which anchors are false.
    pub uncertainty: f32,
}

/// An [`Anchor`] as it stands in a plan.
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
