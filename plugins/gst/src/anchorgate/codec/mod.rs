//! What the gate knows of codecs: encoded video -> where a decoder can start, what it can do without, when frames are shown.
//!
//! # Layout
//!
//! - `media_types`: what the gate takes, and by what it knows keyframes.
//! - `access_unit`: what a unit is to a decoder; `av1` and `field_pairs` help it.
//! - `display_order`, `display_times`: when frames are shown whose units have decoding times only.
//! - `colour_range`: caps whose colours a demuxer gets wrong.
//! - `nal`: units cut into NAL units.

mod access_unit;
mod av1;
mod colour_range;
mod display_order;
mod display_times;
mod field_pairs;
mod media_types;
mod nal;

pub use access_unit::is_idr;
pub(super) use access_unit::{Access, Found};
pub(super) use colour_range::put_right;
pub use display_order::UnknownOrder;
pub use display_times::{DisplayTimes, Timestamps};
pub(super) use media_types::caps;
