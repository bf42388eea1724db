//! Earmark listens to a long recording first and looks only where it pays. This is the library behind the command.
//!
//! # Layout
//!
//! In reading order:
//!
//! - [`cli`]: what may be typed.
//! - [`commands`]: what each command does, and its exit status.
//! - [`launch`]: gst-launch text -> elements and links, with places.
//! - [`config`]: YAML -> a checked pipeline, or everything that is wrong at once.
//! - [`graph`]: a pipeline -> a drawing.
//! - [`probe`]: a recording -> its streams, or why it cannot be used.
//! - [`inspect`]: a file that Earmark wrote -> one screen of text.
//! - [`doctor`]: this machine -> what it lacks.
//! - [`packages`]: which Debian package brings an element.

pub mod cli;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod graph;
pub mod inspect;
pub mod launch;
pub mod packages;
pub mod probe;

/// Prepares GStreamer and our elements; call it before anything else of this library.
///
/// # Errors
/// GStreamer cannot start.
pub fn init() -> Result<(), gst::glib::Error> {
    gst::init()?;
    gstearmark::plugin_register_static()
        .map_err(|e| gst::glib::Error::new(gst::CoreError::Failed, &e.to_string()))
}
