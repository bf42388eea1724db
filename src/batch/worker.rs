//! The worker: a process that plays one recording after the other, told what by lines of JSON on stdin, telling by lines on stdout.
//! It keeps models between recordings. When stdin ends, it abandons what it does and ends.

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
use crate::terminal::{Moved, Watch};

/// Longest order or reply, in bytes.
pub(super) const LONGEST_LINE: u64 = 16 << 20;
/// Models kept between recordings: an encoder and a tagger, and one of each beside them.
const KEPT_MODELS: usize = 4;
/// How long a worker whose master is gone may take to put away what it does.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(super) enum Order {
    /// Say what a recording is.
    Probe {
        /// Which.
        input: String,
    },
    /// Make a recording's features.
    Extract(Box<Extract>),
}

/// One recording, and what becomes of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Extract {
    /// Where the pipeline was read, for messages.
    pub pipeline: PathBuf,
    /// What it said when the batch began.
    pub text: String,
    pub variables: BTreeMap<String, String>,
    pub input: String,
    pub recording: Recording,
    pub video_id: String,
    /// A path, or a `file://` URI where it is no UTF-8.
    pub output: String,
    pub overwrite: bool,
    pub audio_track: usize,
    pub threads: Option<u32>,
    pub hash_whole: bool,
    pub stall_s: u64,
}

/// What a worker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(super) enum Reply {
    /// It waits for its first order.
    Ready,
    /// It is this far.
    Moved {
        stage: String,
        at_ns: i64,
        count: u64,
    },
    /// What the recording is.
    Probed { recording: Recording },
    /// The features are there; what `earmark run --json` says.
    Done { said: Value },
    /// They are not.
    Failed { class: Class, error: String },
}

/// `earmark worker`.
///
/// # Errors
/// stdin or stdout fail.
pub(crate) fn work() -> anyhow::Result<()> {
    gstearmark::onnx::keep_sessions(KEPT_MODELS);
    let stop = Stop::new()?;
    let (sender, orders) = bounded::<Order>(1);
    let master_gone = stop.clone();
    std::thread::Builder::new()
        .name("earmark-orders".into())
        .spawn(move || {
            let mut lines = BufReader::new(std::io::stdin());
            let mut line = Vec::new();
            loop {
                line.clear();
                let n = Read::take(&mut lines, LONGEST_LINE).read_until(b'\n', &mut line);
                let order = match n {
                    Ok(n) if n > 0 => serde_json::from_slice::<Order>(&line),
                    _ => break,
                };
                if !order.is_ok_and(|order| sender.send(order).is_ok()) {
                    break;
                }
            }
            master_gone.now();
            drop(sender);
            std::thread::sleep(PATIENCE);
            std::process::exit(1);
        })
        .context("cannot start a thread")?;
    let voice = Voice::default();
    voice.say(&Reply::Ready)?;
    let mut known = None;
    for order in &orders {
        if stop.is_wanted() {
            break;
        }
        let reply = match order {
            Order::Probe { input } => Input::new(&input)
                .and_then(|input| recording::probe(&input))
                .map(|recording| Reply::Probed { recording })
                .map_err(Into::into),
            Order::Extract(order) => extract(&order, &mut known, &voice, &stop),
        };
        voice.say(&reply.unwrap_or_else(|e| Reply::Failed {
            class: class_of(&e),
            error: format!("{e:#}"),
        }))?;
        if stop.is_wanted() {
            break;
        }
    }
    Ok(())
}

/// The pipeline of the last order, and what it was made of.
type Known = Option<(String, BTreeMap<String, String>, Pipeline)>;

fn extract(
    order: &Extract,
    known: &mut Known,
    voice: &Voice,
    stop: &Stop,
) -> anyhow::Result<Reply> {
    let is_known = |known: &Known| {
        known.as_ref().is_some_and(|(text, variables, _)| {
            *text == order.text && *variables == order.variables
        })
    };
    if !is_known(known) {
        let pairs: Vec<_> = order
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let variables =
            Variables::new(&pairs).map_err(|text| Failure::error(Class::Configuration, text))?;
        let pipeline = Pipeline::parse(&order.pipeline, &order.text, &variables)
            .map_err(crate::pipeline::Error::from)?;
        *known = Some((order.text.clone(), order.variables.clone(), pipeline));
    }
    let Some((_, _, pipeline)) = known else {
        return Err(Failure::error(Class::Other, "there is no pipeline"));
    };
    let input = Input::new(&order.input)?;
    let output = path_of(&order.output)?;
    let task = Task {
        pipeline,
        input: &input,
        recording: Some(order.recording.clone()),
        video_id: Some(&order.video_id),
        output: &output,
        overwrite: order.overwrite,
        plan: None,
        variables: order.variables.clone(),
        audio_track: order.audio_track,
        threads: order.threads,
        hash_whole: order.hash_whole,
        stall: Duration::from_secs(order.stall_s),
    };
    let teller = voice.clone();
    let watch = Watch::Program(Arc::new(move |moved: &Moved| {
        let _ = teller.say(&Reply::Moved {
            stage: moved.stage.into(),
            at_ns: moved.at.max(Nanos::ZERO).get(),
            count: moved.count,
        });
    }));
    let told = session::extract(task, watch, stop)?;
    Ok(Reply::Done { said: told.value })
}

/// The path that a text names; see [`super::job::text`].
pub(super) fn path_of(text: &str) -> anyhow::Result<PathBuf> {
    if !text.starts_with("file://") {
        return Ok(text.into());
    }
    let (path, _) = gst::glib::filename_from_uri(text)
        .with_context(|| format!("{text} is no URI of a file"))?;
    Ok(path)
}

/// Lines on stdout, one at a time.
#[derive(Clone, Default)]
struct Voice(Arc<Mutex<()>>);

impl Voice {
    fn say(&self, reply: &Reply) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(reply)?;
        text.push('\n');
        let _one = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .context("nobody listens any more")
    }
}
