//! Plays a recording through a pipeline: listens and plans, then decodes, encodes and writes.
//!
//! # Layout
//!
//! - `pass`: selects the part of the graph that a pass plays.
//! - `build`: builds that part from GStreamer elements.
//! - `bundle`: passes buffers between threads in bundles, in the first pass.
//! - `import`: sound from HDF5 as the source of the first pass.
//! - `memory`: how much freed memory the C library keeps.
//! - `spans`: warns where sound and video do not begin or end together.
//! - `stream`: builds the graph of an endless stream.
//! - `listen`: the first pass: listens and plans.
//! - `taps`, `measure`, `changes`, `frame_times`, `cue_file`: what that pass records about video and sound.
//! - `given_cues`: cues of other sources.
//! - `frames`: decodes single frames, without the user's pipeline.
//! - `cue_planner`: plans from cues, globally or streaming.
//! - `trust`: watches the sound of a streaming pass.
//! - `play`: runs a pass to its end.
//! - `input_guard`: holds back the output if the recording changes.
//! - `cause`: maps errors to failure classes.
//! - `warnings`, `summary`: the result of a run.

mod build;
mod bundle;
mod cause;
mod changes;
mod cue_file;
mod cue_planner;
mod frame_times;
mod frames;
mod given_cues;
mod import;
mod input_guard;
mod listen;
mod measure;
pub(crate) mod memory;
mod pass;
mod play;
mod spans;
pub(crate) mod stream;
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
use input_guard::InputGuard;
use pass::Pass;
use play::{Outcome, Player};
use summary::RunLog;

pub(crate) use cause::class_of;
pub(crate) use frames::{DecodedFrame, frames};
pub(crate) use import::import_audio;
pub(crate) use summary::RunSummary;
pub(crate) use warnings::{ElementWarning, OURS};

/// Video that ends at most this many seconds before the file causes no warning.
const SHORT: f64 = 1.0;
/// The same, before the end of its track.
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
    /// The source of the sound, if it is not the input itself.
    feed: Option<import::SoundFeed>,
}

/// A request to extract the features of a recording.
pub(crate) struct Task<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The recording.
    pub input: &'a Input,
    /// Its streams, if already probed.
    pub recording: Option<Recording>,
    /// Its name in the output; `None` for the name of its file.
    pub video_id: Option<&'a str>,
    /// The file to write.
    pub output: &'a Path,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
    /// The plan to follow instead of making one.
    pub plan: Option<&'a Path>,
    /// Values of `${NAME}`, for the file's attributes.
    pub variables: BTreeMap<String, String>,
    /// The audio track, from 0.
    pub audio_track: usize,
    /// CPU cores to use; `None` for all.
    pub threads: Option<u32>,
    /// Whether to hash the whole recording.
    pub hash_whole: bool,
    /// Longest time without progress.
    pub stall: Duration,
}

/// A request to plan a recording.
pub(crate) struct PlanTask<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The recording.
    pub input: &'a Input,
    /// The plan to write.
    pub output: &'a Path,
    /// Whether an existing file may be replaced.
    pub overwrite: bool,
    /// Whether cues are written, too.
    pub cues: bool,
    /// Its streams, if already probed.
    pub recording: Option<Recording>,
    /// The audio track, from 0.
    pub audio_track: usize,
    /// CPU cores to use; `None` for all.
    pub threads: Option<u32>,
    /// Longest time without progress.
    pub stall: Duration,
}

/// Listens, plans, decodes, encodes and writes.
///
/// # Errors
/// Anything that keeps the output from being complete; then there is no output, but a partial file is kept beside it.
pub(crate) fn extract(task: Task<'_>, watch: Watch, stop: &Stop) -> anyhow::Result<RunSummary> {
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
    // Models are hashed while the recording is probed, on another core if there is one.
    let (models, probed) = std::thread::scope(|scope| {
        let models = scope.spawn(|| check_models(pipeline));
        let probed = InputGuard::new(input, task.hash_whole).and_then(|guard| {
            let recording = match task.recording {
                Some(recording) => recording,
                None => recording::probe(input)?,
            };
            Ok((guard, recording))
        });
        (models.join(), probed)
    });
    models.map_err(|_| anyhow::anyhow!("checking the models failed unexpectedly"))??;
    let user_plan = user_plan?;
    let (guard, recording) = probed?;
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
    let mut log = RunLog::new(task.output, begun);
    let has_video = !recording.video.is_empty();
    let hears = session.hears();
    if !has_video && !hears {
        return Err(Failure::error(
            Class::Configuration,
            format!(
                "{} has no video, and the pipeline has no eventness to listen with: there is nothing to write (pipelines/gated.yaml has one)",
                input.given
            ),
        ));
    }
    if let Some((named, there)) = input.path.as_deref().and_then(recording::cut_off) {
        log.warn(format!(
            "the recording is cut off: its container announces {named} bytes, but the file has {there}; Earmark uses what is there"
        ));
    }
    session.warn_of_short_video(&log);
    // The plan must outlive the pass that reads it.
    let plan: Option<files::InheritedFile>;
    let global =
        pipeline.planning == Planning::Global && pipeline.settings.budget.policy != Policy::Dense;
    if !has_video {
        log.warn(match &user_plan {
            None => "the recording has no video: the file holds only anchors and cues",
            Some(_) => "the recording has no video: the plan is ignored, and the file holds only anchors and cues",
        });
    } else if global && user_plan.is_none() {
        session.warn_of_no_audio(&log);
    }
    let part = if !has_video && global && user_plan.is_none() {
        // Anchors of the plan are written; its frames cannot be taken.
        let heard = session.listen(&mut log)?;
        let mut made = session.plan(heard, &log)?;
        made.plan.entries.clear();
        made.plan.header.spent_tokens = 0;
        plan = Some(files::InheritedFile::new(|file| {
            listen::write(&made.plan, None, file)
        })?);
        Pass::Cues
    } else if !has_video {
        plan = None;
        Pass::Cues
    } else if let Some((path, about)) = &user_plan {
        plan = Some(files::InheritedFile::open(path)?);
        Pass::Extract {
            listen: about.cues == 0 && hears,
        }
    } else if global {
        let heard = session.listen(&mut log)?;
        let made = session.plan(heard, &log)?;
        plan = Some(files::InheritedFile::new(|file| {
            listen::write(&made.plan, Some(made.cues), file)
        })?);
        Pass::Extract { listen: false }
    } else {
        plan = None;
        Pass::Stream
    };

    let mut built = session.build(part)?;
    let gate = built
        .element("anchorgate")
        .context("the graph has no anchorgate")?;
    if let Some(plan) = &plan {
        gate.set_property("plan", plan.name());
        let words = match task.plan {
            Some(path) => path.display().to_string(),
            None => "made from the sound".into(),
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
    sink.set_property("times", log.times_so_far().to_string());
    let trust = built
        .element("eventness")
        .filter(|_| plan.is_none())
        .map(|ears| trust::watch(&ears, has_video.then_some(&gate), pipeline));
    let warnings = log.warnings().clone();
    let refused = guard.stand_before(&sink, move |sink| {
        for warning in trust.iter().flat_map(trust::SoundTrust::warnings) {
            warnings.push(warning);
        }
        sink.set_property("warnings", warnings.all().join("\n"));
    })?;
    let outcome = session.play(&built, part.stage(), Nanos::ZERO, &log);
    log.looked(outcome.map_err(|e| refused.instead(e))?);
    drop(plan);
    log.finish()
}

/// Listens and writes a plan.
///
/// # Errors
/// Anything that keeps the plan from being complete; then there is none.
pub(crate) fn plan(task: &PlanTask<'_>, watch: Watch, stop: &Stop) -> anyhow::Result<RunSummary> {
    let begun = Instant::now();
    let (pipeline, input) = (task.pipeline, task.input);
    let target = files::check(task.output, task.overwrite)?;
    files::differs(task.output, input.path.as_deref())?;
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    let recording = match &task.recording {
        Some(recording) => recording,
        None => &recording::probe(input)?,
    };
    let named = input.video_id();
    let session = Session {
        pipeline,
        input,
        recording,
        video_id: &named,
        audio_track: task.audio_track,
        threads: task.threads,
        stall: task.stall,
        watch,
        stop: stop.clone(),
        feed: None,
    };
    session.check()?;
    let log = RunLog::new(task.output, begun);
    session.warn_of_no_audio(&log);
    session.warn_of_short_video(&log);
    session.write_plan(log, &target, task.cues, task.overwrite)
}

/// CPU cores to use: the number wanted, else all.
pub(crate) fn cores(wanted: Option<u32>) -> u32 {
    let all = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    wanted.unwrap_or_else(|| u32::try_from(all()).unwrap_or(1))
}

/// Checks that both models and ONNX Runtime are there and unaltered.
pub(crate) fn check_models(pipeline: &Pipeline) -> anyhow::Result<()> {
    if let Some(tagger) = &pipeline.tagger {
        models::find(tagger)?.check()?;
    }
    models::find(&pipeline.encoder)?.check()?;
    gstearmark::onnx::runtime_path()?;
    Ok(())
}

impl Session<'_> {
    /// Checks that the recording has what the command line asks for.
    fn check(&self) -> anyhow::Result<()> {
        let tracks = self.recording.audio.len();
        if self.audio_track > 0 && self.audio_track >= tracks {
            return Err(Failure::error(
                Class::Configuration,
                format!(
                    "--audio-track {} does not exist: {} has {tracks} audio tracks, counted from 0",
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
                format!(
                    "cannot decode the sound of {} here: {missing}",
                    self.input.given
                ),
            ));
        }
        Ok(())
    }

    /// Whether the graph has an eventness and the recording has sound.
    fn hears(&self) -> bool {
        !self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some()
    }

    /// Warns once. In a streaming pass, the gate itself warns that there are no cues.
    fn warn_of_no_audio(&self, log: &RunLog) {
        if self.recording.audio.is_empty() && self.pipeline.find("eventness").is_some() {
            log.warn("the recording has no audio: falls back to evenly spaced frames (reason `untrusted`)");
        }
    }

    /// The video track that Earmark takes, as an MP4 file announces it: the first that the demuxer exposes.
    fn video_track(&self) -> Option<recording::VideoTrack> {
        let path = self.input.path.as_ref()?;
        if self.recording.video.is_empty() {
            return None;
        }
        let tracks = recording::video_tracks(path);
        tracks.into_iter().find(|track| !track.is_left_out())
    }

    /// Warns if the video ends long before the file does.
    fn warn_of_short_video(&self, log: &RunLog) {
        let Some(track) = self.video_track() else {
            return;
        };
        let (lasts, whole) = track.seconds;
        if lasts + SHORT < whole {
            let edits = match track.edits {
                0 | 1 => String::new(),
                edits => format!(", made of {edits} edits,"),
            };
            log.warn(format!(
                "the video track{edits} lasts {lasts:.1} s, the file {whole:.1} s: no frames are taken after it"
            ));
        }
    }

    /// Warns if fewer frames could be read than the file announces; `until` is the end of the last one.
    fn warn_of_lost_frames(&self, until: Nanos, log: &RunLog) {
        let Some(track) = self.video_track() else {
            return;
        };
        let (lasts, _) = track.seconds;
        if until.seconds() + LOST < lasts {
            log.warn(format!(
                "frames can be read up to {until}, but the file announces {lasts:.1} s of video ({}): the rest is missing",
                match track.edits {
                    0 | 1 => "is it damaged?".to_owned(),
                    edits => format!("it is made of {edits} edits"),
                }
            ));
        }
    }

    /// Listens and writes the plan.
    fn write_plan(
        &self,
        mut log: RunLog,
        target: &files::Target,
        cues: bool,
        overwrite: bool,
    ) -> anyhow::Result<RunSummary> {
        let heard = self.listen(&mut log)?;
        if let Some(warning) = self.feed.as_ref().and_then(import::SoundFeed::warning) {
            log.warn(warning);
        }
        let made = self.plan(heard, &log)?;
        let file = files::temporary(target, ".partial")?;
        listen::write(&made.plan, cues.then_some(made.cues), file.as_file())?;
        files::publish(file, target, overwrite)?;
        Ok(log.finish_plan(&made.plan))
    }

    fn build(&self, part: Pass) -> anyhow::Result<build::Built> {
        let has_audio = !self.recording.audio.is_empty();
        let has_video = !self.recording.video.is_empty();
        let built = build::build(
            self.pipeline,
            self.input,
            &pass::choose(&self.pipeline.graph, part, has_video, has_audio),
            self.audio_track,
            // Next to a video, an image stream is something else.
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
        // With one thread, avdec_h264 loses the leading frames of an open GOP after skipped access units.
        let h264 = |video: &recording::Video| video.media == "video/x-h264";
        let risky = build::decoding(cores(self.threads), pixels, 1) == 1
            && self.recording.video.iter().any(h264)
            && matches!(part, Pass::Extract { .. } | Pass::Stream);
        let least = if risky && recording::open_groups(self.input) {
            2
        } else {
            1
        };
        build::divide(&built.pipeline, cores(self.threads), pixels, least);
        Ok(built)
    }

    /// Sets the attributes of the file that say where it came from.
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
        log: &RunLog,
    ) -> anyhow::Result<Outcome> {
        let player = Player {
            name: &self.input.given,
            stage,
            start,
            duration: self.recording.duration,
            stall: self.stall,
            watch: &self.watch,
            stop: &self.stop,
            warnings: log.warnings(),
            plan: built.plan.as_ref(),
        };
        player.play(built)
    }
}
