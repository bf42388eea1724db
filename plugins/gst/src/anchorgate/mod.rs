//! Encoded pictures and cues -> the pictures worth decoding, each preceded by the plan entries it serves.
//!
//! # Layout
//!
//! - `imp`: threads, state, locks; `video_pad`, `cues_pad` and `src_pad` are its pads. `seeking`: jumps over what no look needs.
//! - `settings`: properties; `enums`: what some of them can be.
//! - `queue`: what is held and what is let go of, in order.
//! - `entry_source`: where plan entries come from: a plan file (`plan_file`), the planner behind the cues, or every picture.
//! - `warning`: what it warns of.
//! - `codec`: what is known of encoded video.

mod codec;
mod cues_pad;
mod entry_source;
mod enums;
mod imp;
mod plan_file;
mod queue;
mod seeking;
mod settings;
mod src_pad;
mod video_pad;
mod warning;

use gst::glib;
use gst::prelude::*;

pub use codec::{DisplayTimes, Timestamps, UnknownOrder, is_idr};
pub use enums::{EarmarkAccess, EarmarkPolicy, EarmarkTier, EarmarkWiden};

glib::wrapper! {
    /// `anchorgate`: holds encoded video until the plan around it is decided, then lets through what the plan wants.
    pub struct AnchorGate(ObjectSubclass<imp::AnchorGate>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "anchorgate",
        gst::Rank::NONE,
        AnchorGate::static_type(),
    )
}
