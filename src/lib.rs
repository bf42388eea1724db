//! Earmark listens to a long recording first and looks only where it pays. This is the library behind the command.
//!
//! # Layout
//!
//! In reading order:
//!
//! - [`launch`]: gst-launch text -> elements and links, with places.
//! - [`config`]: YAML -> a checked pipeline, or everything that is wrong at once.
//! - [`packages`]: which Debian package brings an element.

pub mod config;
pub mod launch;
pub mod packages;

/// Prepares GStreamer and our elements; call it before anything else of this library.
///
/// # Errors
/// GStreamer cannot start.
pub fn init() -> Result<(), gst::glib::Error> {
    gst::init()?;
    // gstearmark::plugin_register_static()
    Ok(())
}
