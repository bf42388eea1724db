//! Access units and cues -> the access units worth decoding, each preceded by the plan entries it serves.
//!
//! # Layout
//!
//! - `imp`: threads, state, locks; `video_pad`, `cues_pad`, `src_pad`: its pads. `seeking`: skips parts that the plan does not need.
//! - `settings`: the properties; `enums`: their enum types.
//! - `queue`: holds access units, and passes or drops them in order.
//! - `entry_source`: where plan entries come from: a plan file (`plan_file`), the streaming planner, or every frame.
//! - `clip_parts`: the frames that clips need, each once.
//! - `warning`: its warnings in words.
//! - `codec`: what the gate knows of codecs.

mod clip_parts;
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

pub use codec::{DisplayTimes, Timestamps, UnitKinds, UnknownOrder, is_idr};
pub use enums::{EarmarkAccess, EarmarkPolicy, EarmarkSpread, EarmarkTier, EarmarkWiden};

glib::wrapper! {
    /// `anchorgate`: holds encoded video until the plan for it is decided, then passes what the plan needs.
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
