//! Plays a recording through a pipeline: listen and plan, then look, encode and write.
//!
//! # Layout
//!
//! - `parts`: which part of the graph a pass plays.
//! - `build`: that part -> GStreamer elements, values and pads filled in.
//! - `bundle`: hands sound and pictures from thread to thread in bundles, in the first pass.
//! - `import`: sound out of HDF5 -> the source of the first pass.
//! - `memory`: what the C library keeps of freed memory.
//! - `spans`: when sound and pictures begin and end, and what is told of it.
//! - `listen`: the first pass: cues and the recording's length -> a plan.
//! - `taps`, `measure`, `pictures`, `cue_file`: what that pass notes of pictures and sound.
//! - `maker`: cues -> a plan, by either way of planning.
//! - `trust`: whether anything could be heard in a pass that the gate plans.
//! - `play`: runs a pass to its end; errors in words, a watchdog, ^C.
//! - `guard`: the recording's fingerprint, and that it stays the same until the end.
//! - `cause`: the class of an error.
//! - `warnings`, `summary`: what is told at the end.

mod build;
mod bundle;
mod cause;
mod cue_file;
mod guard;
mod import;
mod listen;
mod maker;
mod measure;
mod memory;
mod parts;
mod pictures;
mod play;
mod spans;
mod summary;
mod taps;
mod trust;
mod warnings;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anchoring::settings::Policy;
use anchoring::time::Nanos;
use anyhow::Context;
use gst::prelude::*;
use gstearmark::{h5, models};

use crate::failure::{Class, Failure};
use crate::files;
use crate::outputs;
use crate::pipeline::{Pipeline, Planning};
use crate::recording::{self, Input, Recording, fingerprint};
use crate::stop::Stop;
use crate::terminal::Watch;
use guard::Guard;
use parts::Part;
use play::{Outcome, Player};
use summary::Report;

pub(crate) use cause::class_of;
pub(crate) use import::import_audio;
pub(crate) use summary::Told;

/// Pictures may end so many seconds before the file does without a word.
const SHORT: f64 = 1.0;
/// And so many before their track does.
const LOST: f64 = 0.5;

/// What every pass needs.
struct Session<'a> {
    pipeline: &'a Pipeline,
    input: &'a Input,
    recording: &'a Recording,
    video_id: &'a str,
    audio_track: usize,
    threads: Option<u32>,
    stall: Duration,
    watch: Watch,
    stop: Stop,
    /// Where the sound comes from, if not from the input itself.
    feed: Option<import::Feed>,
}

/// One recording, and what becomes of it.
pub(crate) struct Task<'a> {
    /// How.
    pub pipeline: &'a Pipeline,
    /// The recording.
    pub input: &'a Input,
    /// What it is, if that is known already.
    pub recording: Option<Recording>,
    /// Its name in the output; without one, that of its file.
    pub video_id: Option<&'a str>,
    /// The file to write.
    pub output: &'a Path,
    /// Whether a file that is there may be replaced.
    pub overwrite: bool,
    /// The plan to follow instead of making one.
    pub plan: Option<&'a Path>,
    /// Values of `${NAME}`, for the file's attributes.
    pub variables: BTreeMap<String, String>,
    /// Which audio track, from 0.
    pub audio_track: usize,
    /// Processor cores to use; `None` for all.
    pub threads: Option<u32>,
    /// Whether the recording is hashed whole.
    pub hash_whole: bool,
    /// How long nothing may move.
    pub stall: Duration,
}

/// One recording, and the plan that is made of its sound.
pub(crate) struct PlanTask<'a> {
    /// How.
    pub pipeline: &'a Pipeline,
    /// The recording.
    pub input: &'a Input,
    /// The plan to write.
    pub output: &'a Path,
    /// Whether a file that is there may be replaced.
    pub overwrite: bool,
    /// Whether cues are written, too.
    pub cues: bool,
    /// Which audio track, from 0.
    pub audio_track: usize,
    /// Processor cores to use; `None` for all.
    pub threads: Option<u32>,
    /// How long nothing may move.
    pub stall: Duration,
}

/// Listens, plans, looks, encodes and writes.
///
/// # Errors
/// Anything that keeps the output from being complete; then there is no output, but what was done is kept beside it.
pub(crate) fn extract(task: Task<'_>, watch: Watch, stop: &Stop) -> anyhow::Result<Told> {
    let begun = Instant::now();
    memory::share();
    let (pipeline, input) = (task.pipeline, task.input);
    let target =
        files::check(task.output, task.overwrite).map_err(|e| Failure::of(Class::Output, &e))?;
    files::differs(task.output, input.path.as_deref())?;
    if h5::is_being_written(task.output) {
        return Err(h5::H5Error::from(h5::PlaceError::Busy(task.output.into())).into());
    }
    let user_plan = task
        .plan
        .map(|plan| outputs::summarize(plan, Some(pipeline.prices)).map(|about| (plan, about)))
        .transpose();
    // Models are hashed while the recording is looked at, on another core if there is one.
    let (models, looked_at) = std::thread::scope(|scope| {
        let models = scope.spawn(|| check_models(pipeline));
        let looked_at = Guard::new(input, task.hash_whole).and_then(|guard| {
            let recording = match task.recording {
                Some(recording) => recording,
                None => recording::probe(input)?,
            };
            Ok((guard, recording))
        });
        (models.join(), looked_at)
    });
    models.map_err(|_| anyhow::anyhow!("the check of the models ended unexpectedly"))??;
    let user_plan = user_plan?;
    let (guard, recording) = looked_at?;
    let named = input.video_id();
    let session = Session {
        pipeline,
        input,
        recording: &recording,
        video_id: task.video_id.unwrap_or(&named),
        audio_track: task.audio_track,
        threads: task.threads,
        stall: task.stall,
        watch,
        stop: stop.clone(),
        feed: None,
    };
    session.check()?;
    let mut report = Report::new(task.output, begun);
    let has_video = !recording.video.is_empty();
    let hears = session.hears();
    if !has_video && !hears {
        return Err(Failure::error(
            Class::Configuration,
            format!(
                "{} has no video, and the pipeline does not listen: there is nothing to write (pipelines/gated.yaml listens)",
                input.given
            ),
        ));
    }
    if let Some((named, there)) = input.path.as_deref().and_then(recording::cut_off) {
        report.warn(format!(
            "the recording is cut off: its container speaks of {named} bytes, but {there} are there; what is there is used"
        ));
    }
    session.warn_of_short_pictures(&report);
    // The plan must outlive the pass that reads it.
    let plan: Option<files::Passed>;
    let global =
        pipeline.planning == Planning::Global && pipeline.settings.budget.policy != Policy::Dense;
    if !has_video {
        report.warn(match &user_plan {
            None => "the recording has no video: only what was heard is written",
            Some(_) => "the recording has no video: the plan is not followed, only what was heard is written",
        });
    } else if global && user_plan.is_none() {
        session.warn_of_no_audio(&report);
    }
    let part = if !has_video && global && user_plan.is_none() {
        // The plan's anchors are written, its pictures can't be taken.
        let heard = session.listen(&mut report)?;
        let mut made = session.plan(heard, &report)?;
        made.plan.entries.clear();
        made.plan.header.spent_tokens = 0;
        plan = Some(files::Passed::new(|file| {
            listen::write(&made.plan, None, file)
        })?);
        Part::Cues
    } else if !has_video {
        plan = None;
        Part::Cues
    } else if let Some((path, about)) = &user_plan {
        plan = Some(files::Passed::open(path)?);
        Part::Look {
            listen: about.cues == 0 && hears,
        }
    } else if global {
        let heard = session.listen(&mut report)?;
        let made = session.plan(heard, &report)?;
        plan = Some(files::Passed::new(|file| {
            listen::write(&made.plan, Some(made.cues), file)
        })?);
        Part::Look { listen: false }
    } else {
        plan = None;
        Part::Stream
    };

    let mut built = session.build(part)?;
    let gate = built
        .element("anchorgate")
        .context("the graph has no anchorgate")?;
    if let Some(plan) = &plan {
        gate.set_property("plan", plan.name());
        let words = match task.plan {
            Some(path) => path.display().to_string(),
            None => "that was made of what was heard".into(),
        };
        built.plan = Some((plan.name(), words));
    }
    let sink = built
        .element("featuresink")
        .context("the graph has no featuresink")?;
    let mut further = guard.attributes();
    further.insert("audio_track".into(), task.audio_track.to_string());
    if !task.variables.is_empty() {
        further.insert("variables".into(), serde_json::to_string(&task.variables)?);
    }
    if let Some(plan) = task.plan {
        let hash =
            fingerprint::sha256(plan).with_context(|| format!("cannot read {}", plan.display()))?;
        further.insert("plan_sha256".into(), hash);
    }
    session.describe(&gate, &sink)?;
    sink.set_property("location", files::location(&target.file)?);
    sink.set_property("overwrite", task.overwrite);
    sink.set_property("attributes", serde_json::to_string(&further)?);
    sink.set_property("times", report.times_so_far().to_string());
    let trust = built
        .element("eventness")
        .filter(|_| plan.is_none())
        .map(|ears| trust::watch(&ears, has_video.then_some(&gate), pipeline));
    let warnings = report.warnings().clone();
    let refused = guard.stand_before(&sink, move |sink| {
        for warning in trust.iter().flat_map(trust::Trust::warnings) {
            warnings.push(warning);
        }
        sink.set_property("warnings", warnings.all().join("\n"));
    })?;
    let outcome = session.play(&built, part.stage(), Nanos::ZERO, &report);
    report.looked(outcome.map_err(|e| refused.instead(e))?);
    drop(plan);
    report.finish()
}

/// Listens and writes a plan.
///
/// # Errors
/// Anything that keeps the plan from being complete; then there is none.
pub(crate) fn plan(task: &PlanTask<'_>, watch: Watch, stop: &Stop) -> anyhow::Result<Told> {
    let begun = Instant::now();
    let (pipeline, input) = (task.pipeline, task.input);
    let target = files::check(task.output, task.overwrite)?;
    files::differs(task.output, input.path.as_deref())?;
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    let recording = recording::probe(input)?;
    let named = input.video_id();
    let session = Session {
        pipeline,
        input,
        recording: &recording,
        video_id: &named,
        audio_track: task.audio_track,
        threads: task.threads,
        stall: task.stall,
        watch,
        stop: stop.clone(),
        feed: None,
    };
    session.check()?;
    let report = Report::new(task.output, begun);
    session.warn_of_no_audio(&report);
    session.warn_of_short_pictures(&report);
    session.write_plan(report, &target, task.cues, task.overwrite)
}

/// How many processor cores to use, if so many are wanted.
pub(crate) fn cores(wanted: Option<u32>) -> u32 {
    let all = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    wanted.unwrap_or_else(|| u32::try_from(all()).unwrap_or(1))
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

impl Session<'_> {
    /// The recording has what the command line asks for.
    fn check(&self) -> anyhow::Result<()> {
        let tracks = self.recording.audio.len();
        if self.audio_track > 0 && self.audio_track >= tracks {
            return Err(Failure::error(
                Class::Configuration,
                format!(
                    "--audio-track {} is not there: {} has {tracks} audio tracks, counted from 0",
                    self.audio_track, self.input.given
                ),
            ));
        }
        let silenced = self
            .recording
            .missing
            .iter()
            .find(|missing| missing.media.starts_with("audio/"));
        if let Some(missing) = silenced.filter(|_| self.hears()) {
            return Err(Failure::error(
                Class::InputForeign,
                format!("{} cannot be heard here: {missing}", self.input.given),
            ));
        }
        Ok(())
    }

    /// Whether the graph listens and there is something to listen to.
    fn hears(&self) -> bool {
        !self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some()
    }

    /// Says it once. In one pass the gate itself says that there are no cues.
    fn warn_of_no_audio(&self, report: &Report) {
        if self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some() {
            report.warn("the recording has no audio: evenly spaced looks (uniform fallback)");
        }
    }

    /// The tracks of pictures that an MP4 file itself speaks of.
    fn picture_tracks(&self) -> Vec<recording::PictureTrack> {
        match &self.input.path {
            Some(path) if !self.recording.video.is_empty() => recording::picture_tracks(path),
            _ => Vec::new(),
        }
    }

    /// Pictures that end long before the file does.
    fn warn_of_short_pictures(&self, report: &Report) {
        let tracks = self.picture_tracks();
        let Some(track) = tracks.first().filter(|_| tracks.len() == 1) else {
            return;
        };
        let (lasts, whole) = track.seconds;
        if lasts + SHORT < whole {
            let edits = match track.edits {
                0 | 1 => String::new(),
                edits => format!(", put together of {edits} edits,"),
            };
            report.warn(format!(
                "the video track{edits} lasts {lasts:.1} s, the file {whole:.1} s: no pictures are taken after it"
            ));
        }
    }

    /// Pictures that could not be read as far as the file says; `until` is the end of the last one.
    fn warn_of_lost_pictures(&self, until: Nanos, report: &Report) {
        let tracks = self.picture_tracks();
        let Some(track) = tracks.first().filter(|_| tracks.len() == 1) else {
            return;
        };
        let (lasts, _) = track.seconds;
        if until.seconds() + LOST < lasts {
            report.warn(format!(
                "pictures could be read up to {until}, but the file speaks of {lasts:.1} s of them ({}): the rest is missing",
                match track.edits {
                    0 | 1 => "is it damaged?".to_owned(),
                    edits => format!("it is put together of {edits} edits"),
                }
            ));
        }
    }

    /// Listens and writes the plan.
    fn write_plan(
        &self,
        mut report: Report,
        target: &files::Target,
        cues: bool,
        overwrite: bool,
    ) -> anyhow::Result<Told> {
        let heard = self.listen(&mut report)?;
        if let Some(warning) = self.feed.as_ref().and_then(import::Feed::warning) {
            report.warn(warning);
        }
        let made = self.plan(heard, &report)?;
        let file = files::temporary(target, ".partial")?;
        listen::write(&made.plan, cues.then_some(made.cues), file.as_file())?;
        files::publish(file, target, overwrite)?;
        Ok(report.finish_plan(&made.plan))
    }

    fn build(&self, part: Part) -> anyhow::Result<build::Built> {
        let has_audio = !self.recording.audio.is_empty();
        let has_video = !self.recording.video.is_empty();
        let built = build::build(
            self.pipeline,
            self.input,
            &parts::choose(&self.pipeline.graph, part, has_video, has_audio),
            self.audio_track,
            // Beside a video, a stream of images is something else.
            self.recording
                .video
                .iter()
                .all(|video| video.media.starts_with("image/")),
        )?;
        if let Some(feed) = &self.feed {
            feed.join(&built)?;
        }
        let pixels = |video: &recording::Video| u64::from(video.width) * u64::from(video.height);
        let pixels = self.recording.video.iter().map(pixels).max().unwrap_or(0);
        memory::prepare(pixels);
        // One thread of avdec_h264 loses the pictures of open groups that it comes to after others were left out.
        let h264 = |video: &recording::Video| video.media == "video/x-h264";
        let risky = build::decoding(cores(self.threads), pixels, 1) == 1
            && self.recording.video.iter().any(h264)
            && matches!(part, Part::Look { .. } | Part::Stream);
        let least = if risky && recording::open_groups(self.input) {
            2
        } else {
            1
        };
        build::divide(&built.pipeline, cores(self.threads), pixels, least);
        Ok(built)
    }

    /// What the file says about where it came from.
    fn describe(&self, gate: &gst::Element, sink: &gst::Element) -> anyhow::Result<()> {
        gate.set_property("video-id", self.video_id);
        if let Some(manifest) = self
            .pipeline
            .tagger
            .as_ref()
            .and_then(|tagger| models::find(tagger).ok())
            && let Some(classes) = manifest.classes_path()
        {
            gate.set_property("classes", files::text_of(&classes)?);
        }
        sink.set_property("video-id", self.video_id);
        sink.set_property("input-uri", &self.recording.uri);
        sink.set_property("input-bytes", self.recording.bytes.unwrap_or(0));
        sink.set_property("config", self.pipeline.config.to_string());
        sink.set_property(
            "streams",
            serde_json::json!({ "video": self.recording.video, "audio": self.recording.audio })
                .to_string(),
        );
        sink.set_property("tagger", self.pipeline.tagger.as_deref().unwrap_or("none"));
        if let Some(named) = self.pipeline.listening() {
            let notes = models::notes::of_audio(named)?;
            sink.set_property("models", serde_json::to_string(&notes)?);
        }
        Ok(())
    }

    fn play(
        &self,
        built: &build::Built,
        stage: &'static str,
        start: Nanos,
        report: &Report,
    ) -> anyhow::Result<Outcome> {
        let player = Player {
            name: &self.input.given,
            stage,
            start,
            duration: self.recording.duration,
            stall: self.stall,
            watch: &self.watch,
            stop: &self.stop,
            warnings: report.warnings(),
            plan: built.plan.as_ref(),
        };
        player.play(built)
    }
}
