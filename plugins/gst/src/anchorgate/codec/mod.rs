//! Knowledge of codecs: where a decoder can start, what it can skip, when frames are shown.
//!
//! # Layout
//!
//! - `media_types`: the codecs that the gate takes, and how it knows their keyframes.
//! - `access_unit`: inspects access units, with the help of `av1` and `field_pairs`.
//! - `frame_kind`: what a unit's size says about change.
//! - `display_order`, `display_times`: presentation times from decoding times.
//! - `colour_range`: corrects the colour range of caps.
//! - `nal`: splits access units into NAL units.

mod access_unit;
mod av1;
mod colour_range;
mod display_order;
mod display_times;
mod field_pairs;
mod frame_kind;
mod media_types;
mod nal;

pub use access_unit::is_idr;
pub(super) use access_unit::{Inspector, UnitInfo};
pub(super) use colour_range::corrected;
pub use display_order::UnknownOrder;
pub use display_times::{DisplayTimes, Timestamps};
pub(super) use frame_kind::Kinds;
pub use frame_kind::UnitKinds;
pub(super) use media_types::caps;
