//! Candidates and a budget -> plan entries: for the whole recording at once, or behind a stream.

pub mod decode_cost;
mod deduplicate;
pub mod global;
pub mod snapping;
pub mod streaming;
pub mod uniform;
pub mod value;
