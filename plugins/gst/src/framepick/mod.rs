//! Decoded frames -> the chosen ones, each with its plan entry.

mod decoder_qos;
mod imp;
#[expect(
    unsafe_code,
    reason = "GStreamer calls an allocator through C functions, which no binding wraps"
)]
mod memory;
mod pending;
mod sharpest;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// `framepick`: passes the frames that plan entries name and drops all others, uncopied.
    pub struct FramePick(ObjectSubclass<imp::FramePick>) @extends gst::Element, gst::Object;
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "framepick",
        gst::Rank::NONE,
        FramePick::static_type(),
    )
}
