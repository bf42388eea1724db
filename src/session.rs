//! Plays a recording through a pipeline: listen and plan, then look, encode and write.
//!
//! # Layout
//!
//! - `parts`: which part of the graph a pass plays.
//! - `build`: that part -> GStreamer elements, values and pads filled in.
//! - `listen`: the first pass: cues and the recording's length -> a plan.
//! - `maker`: cues -> a plan, by either way of planning.
//! - `play`: runs a pass to its end; errors in words, a watchdog, ^C.
//! - `place`: files that appear only when they are finished.
//! - `progress`: what is on stderr meanwhile.
//! - `summary`: what is told at the end.

mod build;
mod listen;
mod maker;
mod parts;
pub(crate) mod place;
mod play;
mod progress;
mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anchoring::settings::Policy;
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::models;

use crate::cli;
use crate::commands::{self, Output};
use crate::config::{Pipeline, Planning};
use crate::inspect;
use crate::probe::{self, Input, Recording};
use parts::Part;
use play::{Outcome, Player};
use summary::Report;

/// What every pass needs.
struct Session<'a> {
    pipeline: &'a Pipeline,
    input: &'a Input,
    recording: &'a Recording,
    audio_track: usize,
    stall: Duration,
    output: Output,
    stop: play::Stop,
}

/// `earmark run`.
///
/// # Errors
/// Anything that keeps the output from being complete; then there is no output.
pub fn run(args: &cli::Run, output: Output) -> anyhow::Result<()> {
    let begun = Instant::now();
    let stop = play::Stop::new()?;
    let mut pipeline = commands::read(&args.pipeline)?;
    if args.thumbnails {
        pipeline.keep_thumbnails();
    }
    let target = place::check(&args.output, args.overwrite)?;
    let input = Input::new(&args.input)?;
    place::differs(&args.output, input.path.as_deref())?;
    check_models(&pipeline)?;
    let user_plan = args
        .plan
        .as_deref()
        .map(|plan| inspect::plan(plan, Some(pipeline.prices)).map(|about| (plan, about)))
        .transpose()?;
    let recording = probe::probe(&input)?;
    let session = Session::new(&pipeline, &input, &recording, &args.listening, output, stop)?;
    let mut report = Report::new(&args.output, begun);
    let has_video = !recording.video.is_empty();
    let hears = session.hears();
    if !has_video && !hears {
        bail!(
            "{} has no video, and the pipeline does not listen: there is nothing to write (pipelines/gated.yaml listens)",
            input.given
        );
    }
    // The plan must outlive the pass that reads it.
    let plan: Option<(PathBuf, Option<tempfile::NamedTempFile>)>;
    let global =
        pipeline.planning == Planning::Global && pipeline.settings.budget.policy != Policy::Dense;
    if !has_video {
        report.warn(match &user_plan {
            None => "the recording has no video: only what was heard is written",
            Some(_) => "the recording has no video: the plan is not followed, only what was heard is written",
        });
    } else if global && user_plan.is_none() {
        session.warn_of_no_audio(&mut report);
    }
    let part = if !has_video && global && user_plan.is_none() {
        // The plan's anchors are written, its pictures can't be taken.
        let heard = session.listen(&mut report)?;
        let mut made = session.plan(heard, &mut report)?;
        made.plan.entries.clear();
        made.plan.header.spent_tokens = 0;
        let file = place::temporary(&target, ".plan.jsonl")?;
        listen::write(&made.plan, None, file.as_file())?;
        plan = Some((file.path().to_owned(), Some(file)));
        Part::Cues
    } else if !has_video {
        plan = None;
        Part::Cues
    } else if let Some((path, about)) = &user_plan {
        plan = Some((path.to_path_buf(), None));
        Part::Look {
            listen: about.cues == 0 && hears,
        }
    } else if global {
        let heard = session.listen(&mut report)?;
        let made = session.plan(heard, &mut report)?;
        let file = place::temporary(&target, ".plan.jsonl")?;
        listen::write(&made.plan, Some(made.cues), file.as_file())?;
        plan = Some((file.path().to_owned(), Some(file)));
        Part::Look { listen: false }
    } else {
        plan = None;
        Part::Stream
    };

    let built = session.build(part)?;
    let gate = built
        .element("anchorgate")
        .context("the graph has no anchorgate")?;
    if let Some((path, _)) = &plan {
        gate.set_property("plan", commands::text_of(path)?);
    }
    let sink = built
        .element("featuresink")
        .context("the graph has no featuresink")?;
    session.describe(&gate, &sink, args)?;
    sink.set_property("times", report.times_so_far().to_string());
    let trust = built
        .element("eventness")
        .map(|ears| listen::watch(&ears, &pipeline));
    let outcome = session.play(&built, part.stage(), Nanos::ZERO)?;
    report.looked(outcome);
    if plan.is_none() && trust.is_some_and(|trust| trust.nothing()) {
        report.warn(listen::NOTHING);
    }
    drop(plan);
    report.finish(output)
}

/// `earmark plan`.
///
/// # Errors
/// Anything that keeps the plan from being complete; then there is none.
pub fn plan(args: &cli::Plan, output: Output) -> anyhow::Result<()> {
    let begun = Instant::now();
    let stop = play::Stop::new()?;
    let pipeline = commands::read(&args.pipeline)?;
    if pipeline.settings.budget.policy == Policy::Dense {
        return Err(anchoring::plan::PlanError::Dense.into());
    }
    let target = place::check(&args.output, args.overwrite)?;
    let input = Input::new(&args.input)?;
    place::differs(&args.output, input.path.as_deref())?;
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    let recording = probe::probe(&input)?;
    let session = Session::new(&pipeline, &input, &recording, &args.listening, output, stop)?;
    let mut report = Report::new(&args.output, begun);
    session.warn_of_no_audio(&mut report);
    let heard = session.listen(&mut report)?;
    let made = session.plan(heard, &mut report)?;
    let file = place::temporary(&target, ".partial")?;
    listen::write(&made.plan, args.cues.then_some(made.cues), file.as_file())?;
    place::publish(file, &target, args.overwrite)?;
    report.finish_plan(&made.plan, output)
}

/// Both models are there and unaltered, and so is what runs them.
fn check_models(pipeline: &Pipeline) -> anyhow::Result<()> {
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    models::find(&pipeline.encoder)?.check()?;
    gstearmark::onnx::runtime_path()?;
    Ok(())
}

impl<'a> Session<'a> {
    fn new(
        pipeline: &'a Pipeline,
        input: &'a Input,
        recording: &'a Recording,
        listening: &cli::Listening,
        output: Output,
        stop: play::Stop,
    ) -> anyhow::Result<Self> {
        let tracks = recording.audio.len();
        if listening.audio_track > 0 && listening.audio_track >= tracks {
            bail!(
                "--audio-track {} is not there: {} has {tracks} audio tracks, counted from 0",
                listening.audio_track,
                input.given
            );
        }
        let session = Self {
            pipeline,
            input,
            recording,
            audio_track: listening.audio_track,
            stall: Duration::from_secs(listening.stall_timeout),
            output,
            stop,
        };
        let silenced = recording
            .missing
            .iter()
            .find(|missing| missing.media.starts_with("audio/"));
        if let Some(missing) = silenced.filter(|_| session.hears()) {
            bail!("{} cannot be heard here: {missing}", input.given);
        }
        Ok(session)
    }

    /// Whether the graph listens and there is something to listen to.
    fn hears(&self) -> bool {
        !self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some()
    }

    /// Says it once. In one pass the gate itself says that there are no cues.
    fn warn_of_no_audio(&self, report: &mut Report) {
        if self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some() {
            report.warn("the recording has no audio: evenly spaced looks (uniform fallback)");
        }
    }

    fn build(&self, part: Part) -> anyhow::Result<build::Built> {
        let has_audio = !self.recording.audio.is_empty();
        let has_video = !self.recording.video.is_empty();
        build::build(
            self.pipeline,
            self.input,
            &parts::choose(&self.pipeline.graph, part, has_video, has_audio),
            self.audio_track,
        )
    }

    /// What the file says about where it came from.
    fn describe(
        &self,
        gate: &gst::Element,
        sink: &gst::Element,
        args: &cli::Run,
    ) -> anyhow::Result<()> {
        gate.set_property("video-id", self.input.video_id());
        if let Some(manifest) = self
            .pipeline
            .tagger
            .as_ref()
            .and_then(|tagger| models::find(tagger).ok())
            && let Some(classes) = manifest.classes_path()
        {
            gate.set_property("classes", commands::text_of(&classes)?);
        }
        sink.set_property("location", commands::text_of(&args.output)?);
        sink.set_property("overwrite", args.overwrite);
        sink.set_property("video-id", self.input.video_id());
        sink.set_property("input-uri", &self.recording.uri);
        sink.set_property("input-bytes", self.recording.bytes.unwrap_or(0));
        sink.set_property("config", self.pipeline.config.to_string());
        sink.set_property(
            "streams",
            serde_json::json!({ "video": self.recording.video, "audio": self.recording.audio })
                .to_string(),
        );
        sink.set_property("tagger", self.pipeline.tagger.as_deref().unwrap_or("none"));
        Ok(())
    }

    fn play(
        &self,
        built: &build::Built,
        stage: &'static str,
        start: Nanos,
    ) -> anyhow::Result<Outcome> {
        let player = Player {
            name: &self.input.given,
            stage,
            start,
            duration: self.recording.duration,
            stall: self.stall,
            quiet: self.output.quiet,
            stop: &self.stop,
        };
        player.play(built)
    }
}
