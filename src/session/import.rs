//! `earmark import-audio`: plans from an HDF5 file with the sound of many recordings.
//!
//! Samples are read in small blocks and pushed in place of the recording's bytes; everything after that is as in `earmark plan`. No sound
//! is written to disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anchoring::plan::PlanError;
use anchoring::settings::Policy;
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::models;
use serde_json::json;

use super::Session;
use super::build::Built;
use super::summary::{RunLog, RunSummary};
use crate::cli;
use crate::failure::Usage;
use crate::files::{self, Target};
use crate::outputs::foreign::{self, Sound};
use crate::pipeline::Pipeline;
use crate::recording::{Audio, Input, Recording};
use crate::stop::Stop;
use crate::terminal::{self, Output};

/// Samples of a block: 170 ms at 24 kHz.
const BLOCK: usize = 4096;
/// Most bytes of sound in the queue.
const WAITING: u64 = 1 << 20;
/// Most names listed in an error.
const MOST_NAMES: usize = 5;

/// `earmark import-audio`.
///
/// # Errors
/// The file or the arguments are wrong, before listening starts; or a plan cannot be completed. Finished plans are kept.
pub(crate) fn import_audio(
    args: &cli::ImportAudio,
    pipeline: &Pipeline,
    stop: &Stop,
    output: Output,
) -> anyhow::Result<()> {
    if pipeline.settings.budget.policy == Policy::Dense {
        return Err(PlanError::Dense.into());
    }
    if pipeline.find("eventness").is_none() {
        return Err(Usage(format!(
            "{} has no eventness to listen with (pipelines/gated.yaml has one)",
            args.pipeline.pipeline.display()
        ))
        .into());
    }
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    let sounds = choose(args)?;
    let targets = places(&sounds, args)?;
    let mut plans = Vec::new();
    for (id, target) in sounds.iter().zip(targets) {
        let plan = one(id, &target, args, pipeline, stop, output)?;
        if !output.json {
            terminal::print(&plan.text)?;
        }
        plans.push(plan.value);
    }
    if output.json {
        let value = json!({ "ok": true, "output": args.output.to_string_lossy(), "plans": plans });
        terminal::print(&format!("{value:#}"))?;
    }
    Ok(())
}

/// The requested datasets, all checked.
fn choose(args: &cli::ImportAudio) -> anyhow::Result<Vec<String>> {
    let path = args.file.display();
    let names = foreign::names(&args.file)?;
    if names.is_empty() {
        bail!("{path} has no datasets; it needs one dataset of samples per recording");
    }
    let wanted: BTreeSet<&String> = match args.video_ids.is_empty() {
        true => names.iter().collect(),
        false => args.video_ids.iter().collect(),
    };
    let mut sounds = Vec::new();
    for id in wanted {
        if !names.contains(id) {
            let close =
                closest(id, &names).map_or(".".into(), |name| format!("; did you mean `{name}`?"));
            let some: Vec<_> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
            bail!(
                "{path} has no dataset `{id}`{close} It has {} datasets: {}{}",
                names.len(),
                some.join(", "),
                if names.len() > MOST_NAMES {
                    ", ..."
                } else {
                    ""
                }
            );
        }
        if id.starts_with('.') || id.contains(['/', '\0']) {
            bail!("{path} has a dataset {id:?}, which cannot be a file name");
        }
        if Sound::open(&args.file, id)?.samples() == 0 {
            bail!(
                "the dataset `{id}` of {path} is empty (0 samples); was the file written completely?"
            );
        }
        sounds.push(id.clone());
    }
    Ok(sounds)
}

fn closest<'a>(id: &str, names: &'a [String]) -> Option<&'a str> {
    let far = |name: &&String| strsim::damerau_levenshtein(id, name);
    let best = names.iter().min_by_key(far)?;
    (far(&best) <= 2).then_some(best.as_str())
}

/// The outputs of all plans, checked to be writable.
fn places(sounds: &[String], args: &cli::ImportAudio) -> anyhow::Result<Vec<Target>> {
    let folder = &args.output;
    if folder.is_file() {
        bail!(
            "the output {} is a file; name a folder for the plans",
            folder.display()
        );
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    sounds
        .iter()
        .map(|id| files::check(&folder.join(format!("{id}.jsonl")), args.overwrite))
        .collect()
}

fn one(
    id: &str,
    target: &Target,
    args: &cli::ImportAudio,
    pipeline: &Pipeline,
    stop: &Stop,
    output: Output,
) -> anyhow::Result<RunSummary> {
    let begun = Instant::now();
    let input = input(&args.file, id);
    let samples = Sound::open(&args.file, id)?.samples() as u64;
    let recording = Recording {
        uri: input.uri.clone(),
        bytes: None,
        duration: i64::try_from(at(samples, args.rate).nseconds())
            .ok()
            .map(Nanos::new),
        video: Vec::new(),
        audio: vec![Audio {
            codec: "32-bit float".into(),
            media: "audio/x-raw".into(),
            sample_rate: args.rate,
            channels: 1,
            language: None,
        }],
        missing: Vec::new(),
    };
    let session = Session {
        pipeline,
        input: &input,
        recording: &recording,
        video_id: id,
        audio_track: 0,
        threads: None,
        stall: Duration::from_secs(args.stall_timeout),
        watch: output.watch(),
        stop: stop.clone(),
        feed: Some(SoundFeed::new(&args.file, id, args.rate)),
    };
    let log = RunLog::new(&target.file, begun);
    session.write_plan(log, target, args.cues, args.overwrite)
}

/// An input for which GStreamer creates an `appsrc`.
fn input(file: &Path, id: &str) -> Input {
    Input {
        given: format!("{}: {id}", file.display()),
        uri: "appsrc://".into(),
        path: None,
    }
}

/// Time of this sample.
fn at(sample: u64, rate: u32) -> gst::ClockTime {
    let ns = u128::from(sample) * 1_000_000_000;
    gst::ClockTime::from_nseconds(ns.div_ceil(u128::from(rate.max(1))) as u64)
}

/// Pushes a sound into a graph.
pub(super) struct SoundFeed {
    file: PathBuf,
    id: String,
    /// Samples that are NaN or infinite.
    no_numbers: Arc<AtomicU64>,
    rate: u32,
}

struct Reader {
    sound: Sound,
    next: usize,
}

impl SoundFeed {
    fn new(file: &Path, id: &str, rate: u32) -> Self {
        Self {
            file: file.into(),
            id: id.into(),
            no_numbers: Arc::default(),
            rate,
        }
    }

    /// A warning for the end, if there is one.
    pub(super) fn warning(&self) -> Option<String> {
        let count = self.no_numbers.load(Ordering::Relaxed);
        (count > 0).then(|| format!("{count} samples are NaN or infinite; they count as silence"))
    }

    /// Feeds the sound to the graph's source, from the beginning.
    pub(super) fn join(&self, built: &Built) -> anyhow::Result<()> {
        let source = built
            .element("appsrc")
            .and_then(|source| source.downcast::<gst_app::AppSrc>().ok())
            .context("the pipeline must open its source with `filesrc location=${input}`")?;
        let caps = gst::Caps::builder("audio/x-raw")
            .field(
                "format",
                if cfg!(target_endian = "big") {
                    "F32BE"
                } else {
                    "F32LE"
                },
            )
            .field("rate", i32::try_from(self.rate)?)
            .field("channels", 1)
            .field("layout", "interleaved")
            .build();
        source.set_caps(Some(&caps));
        source.set_format(gst::Format::Time);
        source.set_stream_type(gst_app::AppStreamType::Stream);
        source.set_max_bytes(WAITING);
        let sound = Sound::open(&self.file, &self.id)?;
        let reader = Mutex::new(Reader { sound, next: 0 });
        let (no_numbers, rate) = (self.no_numbers.clone(), self.rate);
        let give = move |source: &gst_app::AppSrc, _| {
            match lock(&reader).block(rate, &no_numbers) {
                Ok(Some(buffer)) => {
                    // A graph that is being stopped accepts nothing more.
                    let _ = source.push_buffer(buffer);
                }
                Ok(None) => {
                    let _ = source.end_of_stream();
                }
                Err(e) => {
                    gst::element_error!(source, gst::ResourceError::Read, ["{e:#}"]);
                }
            }
        };
        source.set_callbacks(gst_app::AppSrcCallbacks::builder().need_data(give).build());
        Ok(())
    }
}

impl Reader {
    /// The next block; `None` at the end. NaN and infinite samples become 0.
    fn block(&mut self, rate: u32, no_numbers: &AtomicU64) -> anyhow::Result<Option<gst::Buffer>> {
        let from = self.next;
        let until = (from + BLOCK).min(self.sound.samples());
        if from == until {
            return Ok(None);
        }
        let mut block = self.sound.next(until - from)?;
        self.next = until;
        for sample in block.iter_mut().filter(|sample| !sample.is_finite()) {
            *sample = 0.0;
            no_numbers.fetch_add(1, Ordering::Relaxed);
        }
        let bytes: Vec<u8> = block
            .iter()
            .flat_map(|sample| sample.to_ne_bytes())
            .collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            let (start, stop) = (at(from as u64, rate), at(until as u64, rate));
            buffer.set_pts(start);
            buffer.set_duration(stop - start);
        }
        Ok(Some(buffer))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
