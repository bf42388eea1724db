//! Earmark extracts visual features from long recordings: it listens first, then decodes only the frames that are worth it. This is the
//! library behind the command.
//!
//! # Layout
//!
//! From the top down; each imports only from those below it:
//!
//! - [`commands`]: one file per command: arguments, a call, an exit status.
//! - `readers`: reads files of others and drops the result, for the fuzz targets.
//! - `parse`: parses videos: who is heard, who is seen.
//! - `evidence`: samples recordings at equal tokens, trains heads on their frames, compares.
//! - `qa`: scores such answers. `ask`: answers questions about recordings. `chat`: calls the server that answers.
//! - [`fit`]: trains probes on labelled recordings.
//! - [`report`]: makes pages and drawings of feature files.
//! - [`export`]: converts feature files for other programs.
//! - [`inspect`]: shows a file that Earmark wrote on one screen.
//! - `screen`: lists recordings that are not worth training on.
//! - [`batch`]: processes many recordings in worker processes.
//! - [`live`]: keeps streams going for weeks: hourly files, events, a status page.
//! - [`session`]: plays a recording through a pipeline: plan and features.
//! - [`eval`]: scores plans against labelled events.
//! - `scores`: the measures of published benchmarks.
//! - `datasets`: published label files, checked.
//! - [`outputs`]: reads feature files and plans.
//! - [`pipeline`]: checks a pipeline: YAML and gst-launch text.
//! - [`recording`]: probes and fingerprints a recording.
//! - [`machine`]: what this machine has and lacks.
//! - `text_encoder`: text -> vector.
//! - `http`: the basis of a small web server.
//! - `learning`: finds and starts the program that trains heads.
//! - `quality`: weights of audio-visual quality.
//! - `files`: output files that appear only once they are complete.
//! - [`terminal`], [`failure`], `stop`: output, errors, ^C.
//! - [`cli`]: the command line as data.

mod ask;
pub mod batch;
mod chat;
pub mod cli;
pub mod commands;
mod datasets;
pub mod eval;
mod evidence;
pub mod export;
pub mod failure;
mod files;
pub mod fit;
mod http;
pub mod inspect;
mod learning;
pub mod live;
pub mod machine;
pub mod outputs;
mod parse;
pub mod pipeline;
mod qa;
mod quality;
#[doc(hidden)]
pub mod readers;
pub mod recording;
pub mod report;
mod scores;
mod screen;
pub mod session;
mod stop;
pub mod terminal;
mod text_encoder;

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
