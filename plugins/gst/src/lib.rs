//! `libgstearmark.so`: GStreamer elements that listen to a recording and decode only the frames that pay.
//!
//! ```text
//! audio -> eventness -> cues ----+
//!                                v
//! encoded video ----------> anchorgate -> decoder -> framepick -> featuresink -> HDF5
//! ```
//!
//! # Layout
//!
//! The elements, in the order of the flow:
//!
//! - [`eventness`]: sound -> cues.
//! - [`anchorgate`]: access units and cues -> the access units worth decoding.
//! - [`framepick`]: decoded frames -> the chosen ones, each with its plan entry.
//! - [`featuresink`]: chosen frames -> features in an HDF5 file.
//!
//! What they build on; none of these imports an element:
//!
//! - [`structures`]: cues, anchors, plan entries <-> GStreamer structures.
//! - [`models`]: model manifests. [`onnx`]: runs the models.
//! - [`h5`]: the HDF5 feature file.
//! - [`atomic_file`]: output files that appear only once they are complete.
//! - [`frame_quality`]: quality of a frame.
//! - [`pads`]: helpers for pads, and a buffer's time in the recording.
//! - [`unfed_branch`]: sets aside a branch of a running pipeline that gets no data.
//! - [`printable`]: makes foreign text safe to print.

pub mod anchorgate;
pub mod atomic_file;
pub mod eventness;
pub mod featuresink;
pub mod frame_quality;
pub mod framepick;
pub mod h5;
pub mod models;
pub mod onnx;
pub mod pads;
pub mod printable;
pub mod structures;
pub mod unfed_branch;

use gst::glib;

pub use plugin::plugin_desc::plugin_register_static;

fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    onnx::forbid_telemetry();
    structures::register_meta();
    eventness::register(plugin)?;
    anchorgate::register(plugin)?;
    framepick::register(plugin)?;
    featuresink::register(plugin)
}

/// The symbols by which GStreamer recognises a plugin.
mod plugin {
    #![expect(missing_docs, reason = "gst::plugin_define! exports C symbols")]

    use super::plugin_init;

    gst::plugin_define!(
        earmark,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        env!("CARGO_PKG_VERSION"),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        "Earmark",
        env!("CARGO_PKG_REPOSITORY")
    );
}
