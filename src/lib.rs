//! Earmark listens to a long recording first and looks only where it pays. This is the library behind the command.
//!
//! # Layout
//!
//! From the top down; each imports only what stands below it:
//!
//! - [`commands`]: what each command does with its arguments, and its exit status.
//! - [`fit`]: labelled recordings -> weights.
//! - [`report`]: a feature file -> a page for people, a drawing for papers.
//! - [`export`]: feature files -> what other programs read.
//! - [`inspect`]: a file that Earmark wrote -> one screen of text.
//! - [`batch`]: many recordings -> worker processes, a status line each, features.
//! - [`session`]: recording and pipeline -> plan and features.
//! - [`eval`]: plans against labels.
//! - `scores`: the measures of published benchmarks.
//! - `datasets`: published label files, checked.
//! - [`outputs`]: feature files and plans, read back.
//! - [`pipeline`]: YAML and gst-launch text -> a checked pipeline, or everything that is wrong at once.
//! - [`recording`]: a recording -> its streams and fingerprint, or why it cannot be used.
//! - [`machine`]: this machine -> what it has and lacks.
//! - `files`: outputs that appear only when they are finished.
//! - `terminal`, `failure`, `stop`: what is told, why not, whether to go on.
//! - [`cli`]: what may be typed.

pub mod batch;
pub mod cli;
pub mod commands;
mod datasets;
pub mod eval;
pub mod export;
pub mod failure;
mod files;
pub mod fit;
pub mod inspect;
pub mod machine;
pub mod outputs;
pub mod pipeline;
pub mod recording;
pub mod report;
mod scores;
pub mod session;
mod stop;
pub mod terminal;

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
