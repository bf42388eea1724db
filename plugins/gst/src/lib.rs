//! `libgstearmark.so`: GStreamer elements that listen to a recording and look only where it pays.
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
//! - [`anchorgate`]: encoded pictures and cues -> the pictures worth decoding.
//! - [`framepick`]: decoded frames -> exactly the chosen ones, tagged with their plan entry.
//! - [`featuresink`]: chosen frames -> features in an HDF5 file.
//!
//! What they stand on; none of these imports an element:
//!
//! - [`structures`]: cues, anchors, plan entries <-> GStreamer structures.
//! - [`models`]: manifests. [`onnx`]: the models they describe, ready to run.
//! - [`h5`]: the HDF5 file.
//! - [`atomic_file`]: files that are whole or not there.
//! - [`pads`]: pad templates, and the recording's time of what passes a pad.
//! - [`unfed_branch`]: takes a branch that nothing feeds out of a running pipeline.
//! - [`printable`]: text that others wrote -> text that does nothing to a terminal.

pub mod anchorgate;
pub mod atomic_file;
pub mod eventness;
pub mod featuresink;
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

/// What GStreamer looks for in the library.
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
