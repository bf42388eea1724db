//! Candidates and a budget -> plan entries, for a whole recording or behind a stream.
//!
//! In reading order: [`value`] (what a frame is worth), [`uniform`] (even spacing, the largest gap), [`change`] (how much the
//! video changes), [`change_clock`] (even spacing over change), [`decode_cost`], [`global`] (the whole recording at once),
//! [`snapping`] (to frames that are cheap to decode), `deduplicate` (one entry per frame), [`clips`] (which frames clips
//! have), [`streaming`].

pub mod change;
pub mod change_clock;
pub mod clips;
pub mod decode_cost;
mod deduplicate;
pub mod global;
pub mod snapping;
pub mod streaming;
pub mod uniform;
pub mod value;
