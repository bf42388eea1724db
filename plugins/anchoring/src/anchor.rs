//! Cues -> anchor candidates with their windows.

pub(crate) mod candidate;
pub mod offset;
pub(crate) mod window;

pub use crate::plan::Anchor;
