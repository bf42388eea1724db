//! An access unit, as the gate sees it.

use crate::time::Nanos;

/// An encoded frame, in decoding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit<T> {
    /// When it is shown, in the recording's time.
    pub pts: Nanos,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// Whether it is shown. Frames that only help to decode others, or lie outside the segment, are not.
    pub shown: bool,
    /// Whether no other frame refers to it, so that it can be dropped alone.
    pub droppable: bool,
    /// Whether it is the second field of a frame; it is shown, passed or dropped with the unit before it.
    pub second_field: bool,
    /// Its size in bytes.
    pub bytes: usize,
    /// How long it is shown, if known.
    pub duration: Option<Nanos>,
    /// What the caller wants back.
    pub payload: T,
}
