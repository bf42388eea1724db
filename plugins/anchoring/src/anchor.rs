//! Cues -> candidates: onsets that may become anchors, with their windows and offsets.

pub(crate) mod candidate;
pub mod offset;
pub(crate) mod window;
