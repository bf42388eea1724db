//! The worker process: reads requests as JSON lines on stdin, processes one recording at a time, writes replies as JSON lines on stdout.
//!
//! It keeps models loaded between recordings. When stdin closes, it abandons its work and exits.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anchoring::time::Nanos;
use anyhow::Context;
use crossbeam_channel::bounded;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Class, Failure};
use crate::pipeline::{Pipeline, Variables};
use crate::recording::{self, Input, Recording};
use crate::session::{self, Task, class_of};
use crate::stop::Stop;
use crate::terminal::{PassProgress, Watch};

/// Longest request or reply, in bytes.
pub(super) const LONGEST_LINE: u64 = 16 << 20;
/// Models kept between recordings: one encoder and one tagger in use, and one more of each.
const KEPT_MODELS: usize = 4;
/// Time that a worker gets to clean up when the batch is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub(super) enum Request {
    /// Probe a recording.
    Probe {
        /// The recording.
        input: String,
    },
    /// Extract the features of a recording.
    Extract(Box<Extract>),
}

/// A request to extract features.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Extract {
    /// Path of the pipeline, for messages.
    pub pipeline: PathBuf,
    /// Its text when the batch began.
    pub text: String,
    pub variables: BTreeMap<String, String>,
    pub input: String,
    pub recording: Recording,
    pub video_id: String,
    /// A path; a `file://` URI if it is not UTF-8.
    pub output: String,
    pub overwrite: bool,
    pub audio_track: usize,
    pub threads: Option<u32>,
    pub hash_whole: bool,
    pub stall_s: u64,
}

/// A reply of a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(super) enum Reply {
    /// Ready for the first request.
    Ready,
    /// Progress.
    PassProgress {
        stage: String,
        at_ns: i64,
        count: u64,
    },
    /// The probed recording.
    Probed { recording: Recording },
    /// The features are complete; `said` is what `earmark run --json` prints.
    Done { said: Value },
    /// The request failed.
    Failed { class: Class, error: String },
}

/// `earmark worker`.
///
/// # Errors
/// stdin or stdout fail.
pub(crate) fn work() -> anyhow::Result<()> {
    gstearmark::onnx::keep_sessions(KEPT_MODELS);
    let stop = Stop::new()?;
    let (sender, requests) = bounded::<Request>(1);
    let master_gone = stop.clone();
    std::thread::Builder::new()
        .name("earmark-requests".into())
        .spawn(move || {
            let mut lines = BufReader::new(std::io::stdin());
            let mut line = Vec::new();
            loop {
                line.clear();
                let n = Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut line);
                let request = match n {
                    Ok(n) if n > 0 => serde_json::from_slice::<Request>(&line),
                    _ => break,
                };
                if !request.is_ok_and(|request| sender.send(request).is_ok()) {
                    break;
                }
            }
            master_gone.now();
            drop(sender);
            std::thread::sleep(PATIENCE);
            std::process::exit(1);
        })
        .context("cannot start a thread")?;
    let replies = ReplyWriter::default();
    replies.say(&Reply::Ready)?;
    let mut known = None;
    for request in &requests {
        if stop.is_wanted() {
            break;
        }
        let reply = match request {
            Request::Probe { input } => Input::new(&input)
                .and_then(|input| recording::probe(&input))
                .map(|recording| Reply::Probed { recording })
                .map_err(Into::into),
            Request::Extract(request) => extract(&request, &mut known, &replies, &stop),
        };
        replies.say(&reply.unwrap_or_else(|e| Reply::Failed {
            class: class_of(&e),
            error: format!("{e:#}"),
        }))?;
        if stop.is_wanted() {
            break;
        }
    }
    Ok(())
}

/// The pipeline of the last request, with its text and variables.
type Known = Option<(String, BTreeMap<String, String>, Pipeline)>;

fn extract(
    request: &Extract,
    known: &mut Known,
    replies: &ReplyWriter,
    stop: &Stop,
) -> anyhow::Result<Reply> {
    let is_known = |known: &Known| {
        known.as_ref().is_some_and(|(text, variables, _)| {
            *text == request.text && *variables == request.variables
        })
    };
    if !is_known(known) {
        let pairs: Vec<_> = request
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let variables =
            Variables::new(&pairs).map_err(|text| Failure::error(Class::Configuration, text))?;
        let pipeline = Pipeline::parse(&request.pipeline, &request.text, &variables)
            .map_err(crate::pipeline::Error::from)?;
        *known = Some((request.text.clone(), request.variables.clone(), pipeline));
    }
    let Some((_, _, pipeline)) = known else {
        return Err(Failure::error(Class::Other, "there is no pipeline"));
    };
    let input = Input::new(&request.input)?;
    let output = path_of(&request.output)?;
    let task = Task {
        pipeline,
        input: &input,
        recording: Some(request.recording.clone()),
        video_id: Some(&request.video_id),
        output: &output,
        overwrite: request.overwrite,
        plan: None,
        variables: request.variables.clone(),
        audio_track: request.audio_track,
        threads: request.threads,
        hash_whole: request.hash_whole,
        stall: Duration::from_secs(request.stall_s),
    };
    let writer = replies.clone();
    let watch = Watch::Program(Arc::new(move |moved: &PassProgress| {
        let _ = writer.say(&Reply::PassProgress {
            stage: moved.stage.into(),
            at_ns: moved.at.max(Nanos::ZERO).get(),
            count: moved.count,
        });
    }));
    let summary = session::extract(task, watch, stop)?;
    Ok(Reply::Done {
        said: summary.value,
    })
}

/// Inverse of [`super::job::text`].
pub(super) fn path_of(text: &str) -> anyhow::Result<PathBuf> {
    if !text.starts_with("file://") {
        return Ok(text.into());
    }
    let (path, _) =
        gst::glib::filename_from_uri(text).with_context(|| format!("{text} is not a file URI"))?;
    Ok(path)
}

/// Writes replies to stdout, one at a time.
#[derive(Clone, Default)]
struct ReplyWriter(Arc<Mutex<()>>);

impl ReplyWriter {
    fn say(&self, reply: &Reply) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(reply)?;
        text.push('\n');
        let _one = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("the batch no longer reads replies")
    }
}
