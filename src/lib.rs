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
//! - [`fingerprint`]: a recording -> what tells its bytes from another's.
//! - [`probe`]: a recording -> its streams, or why it cannot be used.
//! - [`session`]: recording and pipeline -> plan and features.
//! - [`batch`]: many recordings -> worker processes, a status line each, features.
//! - [`inspect`]: a file that Earmark wrote -> one screen of text.
//! - `guard`: a feature file -> one that is safe to read here.
//! - `plan_file`: a plan's file, line by line.
//! - [`eval`]: plans against labels.
//! - [`report`]: a feature file -> a page for people.
//! - [`plot`]: a feature file -> a drawing for papers.
//! - [`fit`]: labelled recordings -> weights.
//! - [`export`]: feature files -> what other programs read.
//! - [`verify`]: such a file -> what is wrong with it, and what can be saved of it.
//! - [`doctor`]: this machine -> what it lacks.
//! - [`packages`]: which Debian package brings an element.

pub mod batch;
pub mod cli;
pub mod commands;
pub mod config;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod fingerprint;
pub mod fit;
pub mod graph;
mod guard;
pub mod inspect;
pub mod launch;
pub mod packages;
mod plan_file;
pub mod plot;
pub mod probe;
pub mod report;
pub mod session;
pub mod verify;

use std::sync::OnceLock;

/// Prepares GStreamer and our elements; call it before anything else of this library. Later calls do nothing.
///
/// # Errors
/// GStreamer cannot start.
pub fn init() -> Result<(), gst::glib::Error> {
    static DONE: OnceLock<Result<(), gst::glib::Error>> = OnceLock::new();
    DONE.get_or_init(|| {
        gst::init()?;
        gstearmark::plugin_register_static()
            .map_err(|e| gst::glib::Error::new(gst::CoreError::Failed, &e.to_string()))
    })
    .clone()
}
