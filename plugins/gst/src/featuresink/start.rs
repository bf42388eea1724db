//! The start: checks properties, loads the encoder, opens the file, starts the worker.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anchoring::planning::clips::FrameSpacing;
use anchoring::tier::Tier;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::clips::OpenClips;
use super::closing::ClosingDraft;
use super::error_watch::ErrorWatch;
use super::frame::{FrameMeasure, Orientation, Scaler};
use super::job::Ending;
use super::keep_up::KeepUp;
use super::messages::{file_message, left_out_structure, model_message, settings_message};
use super::segments::Segments;
use super::settings::Settings;
use super::work::{FileEvent, Target, Work};
use super::worker::{FEW_JOBS, JOBS, JobQueue, Leaving, MANY_JOBS, Worker};
use super::{CAT, FeatureSink};
use crate::h5::{self, Opening};
use crate::models::{self, Input, ModelError};
use crate::onnx::{self, Encoder};

/// While started: between READY and PAUSED and back.
pub(super) struct Started {
    pub(super) worker: Worker,
    /// Shared with the worker.
    pub(super) closing: Arc<Mutex<ClosingDraft>>,
    /// `None` unless files follow one another.
    pub(super) segments: Option<Segments>,
    /// The file that is open, if files follow one another.
    pub(super) open: Option<PathBuf>,
    /// `None` if every source waits for the encoder.
    pub(super) keep_up: Option<KeepUp>,
    /// Errors of other elements.
    pub(super) errors: Option<ErrorWatch>,
    /// A flush came, and no data since.
    pub(super) flushed: bool,

    pub(super) input: Input,
    /// Side and price of low, base and high.
    pub(super) tiers: [models::TierSpec; 3],
    pub(super) scaler: Scaler,
    pub(super) measure: FrameMeasure,
    /// `None` unless the encoder takes clips.
    pub(super) clips: Option<OpenClips>,
    /// Whether thumbnails are wanted.
    pub(super) thumbnails: bool,
    /// `None` before caps, and with caps of cues.
    pub(super) info: Option<gst_video::VideoInfo>,
    /// From the tags of the stream and of the container; the stream's own wins.
    pub(super) stream_orientation: Option<Orientation>,
    pub(super) container_orientation: Option<Orientation>,
    pub(super) warned_of_prices: bool,
    pub(super) scaling: Duration,
    pub(super) measuring: Duration,
    /// Most jobs that waited at once.
    pub(super) most_waiting: usize,
}

/// Checks everything that can be checked before the first frame, and starts the worker.
pub(super) fn begin(
    sink: &FeatureSink,
    settings: &Settings,
    ended: impl FnOnce(Ending) + Send + 'static,
) -> Result<Started, gst::ErrorMessage> {
    if settings.location.is_empty() {
        return Err(settings_message(
            "property `location` is empty: set it to the HDF5 file to write",
        ));
    }
    if !settings.streams.is_empty()
        && serde_json::from_str::<serde_json::Value>(&settings.streams).is_err()
    {
        return Err(settings_message("property `streams` must be JSON"));
    }
    let Ok(earlier) = serde_json::from_str::<Vec<serde_json::Value>>(match &*settings.times {
        "" => "[]",
        times => times,
    }) else {
        return Err(settings_message("property `times` must be a JSON array"));
    };
    settings.further().map_err(|text| settings_message(&text))?;
    let location = settings.path().map_err(|text| settings_message(&text))?;
    let threads = settings.threads as usize;
    let encoder = onnx::load_encoder(&settings.model, threads, settings.encoder_device())
        .map_err(|err| model_message(&err, ""))?;
    let mut warnings = Vec::new();
    if let Some(why) = encoder.instead() {
        let wanted = settings.encoder_device();
        warnings.push(format!(
            "cannot run the encoder on {wanted}; falling back to the CPU: {why}"
        ));
        gst::element_warning!(sink, gst::LibraryError::Init, ("{}", warnings[0]));
    }
    gst::info!(CAT, obj = sink, "the encoder runs on {}", encoder.device());
    let tiers = encoder
        .manifest()
        .tiers
        .ok_or_else(|| settings_message("the encoder's manifest has no tiers"))?;
    let tiers = Tier::ALL.map(|tier| tiers.of(tier));
    let opening = opening(settings, &encoder).map_err(|err| model_message(&err, ""))?;
    let input = encoder.manifest().input.clone();
    let clips = encoder.manifest().clip().map(|_| OpenClips::default());
    // A waiting clip holds all its frames.
    let room = if clips.is_some() { FEW_JOBS } else { JOBS };
    let keep_up = settings.keep_up.then(|| KeepUp::new(room));
    // Then frames have a bound of their own, and nothing else may make the source wait.
    let waiting = if keep_up.is_some() { MANY_JOBS } else { room };
    let stem = location.file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.unwrap_or_default().into_owned();
    let closing = ClosingDraft::new(&settings.video_id, &settings.config, stem, warnings);
    let closing = Arc::new(Mutex::new(closing));
    let leaving = Leaving::default();
    let segments = Segments::wanted(settings.segment_s);
    let target = Target {
        path: location,
        in_turn: segments.is_some(),
        overwrite: settings.overwrite,
        opening,
        flush: Duration::from_secs(settings.flush_s.into()),
        keep_up: settings.keep_up,
    };
    let element = sink.downgrade();
    let announce = move |news: FileEvent<'_>| {
        let Some(element) = element.upgrade() else {
            return;
        };
        match news {
            FileEvent::File(path, totals) => element.imp().post_segment(path, totals),
            FileEvent::Thumbnail(path, row, jpeg) => {
                element.imp().post_thumbnail(path, row, jpeg);
            }
            FileEvent::LeftOut(reason) => element.imp().post(left_out_structure(reason)),
        }
    };
    let work = Work::new(
        encoder,
        target,
        tiers.map(|tier| tier.px),
        settings.batch as usize,
        earlier,
        leaving.clone(),
        Box::new(announce),
    )
    .map_err(|err| file_message(&err, ""))?;
    let shared = closing.clone();
    let work = move |jobs: &JobQueue| work.run(jobs, &shared);
    let worker = Worker::start(waiting, leaving, work, ended).map_err(|err| {
        gst::error_msg!(gst::ResourceError::Failed, ("cannot start a thread: {err}"))
    })?;
    Ok(Started {
        worker,
        closing,
        segments,
        open: None,
        keep_up,
        errors: ErrorWatch::start(sink.upcast_ref()),
        flushed: false,
        input,
        tiers,
        scaler: Scaler::default(),
        measure: FrameMeasure::default(),
        clips,
        thumbnails: settings.thumbnails,
        info: None,
        stream_orientation: None,
        container_orientation: None,
        warned_of_prices: false,
        scaling: Duration::ZERO,
        measuring: Duration::ZERO,
        most_waiting: 0,
    })
}

fn opening(settings: &Settings, encoder: &Encoder) -> Result<Opening, ModelError> {
    let (major, minor, micro, _) = gst::version();
    Ok(Opening {
        dim: encoder.dim(),
        clip_frames: encoder
            .manifest()
            .clip()
            .map_or(0, |clip| clip.frames as usize),
        precision: settings.precision.into(),
        input_uri: settings.input_uri.clone(),
        input_bytes: settings.input_bytes,
        streams: settings.streams.clone(),
        models: models::notes::noted(encoder.manifest(), &settings.models, &settings.tagger)?,
        thumbnails: settings.thumbnails,
        quality: true,
        sound_quality: true,
        provider: encoder.device().to_string(),
        versions: BTreeMap::from([
            ("earmark".into(), env!("CARGO_PKG_VERSION").into()),
            ("gstreamer".into(), format!("{major}.{minor}.{micro}")),
            ("hdf5".into(), h5::library_version()),
            ("onnxruntime".into(), onnx::runtime_version()?),
        ]),
        further: further(settings, encoder),
    })
}

/// Attributes beyond the schema.
fn further(settings: &Settings, encoder: &Encoder) -> BTreeMap<String, String> {
    let mut further = settings.further().unwrap_or_default();
    if let Some(clip) = encoder.manifest().clip() {
        let every = match clip.every {
            FrameSpacing::Frames(n) => format!("{n} frames"),
            FrameSpacing::Time(time) => format!("{} ms", time.get() as f64 / 1e6),
        };
        further.insert("clip_every".into(), every);
    }
    further
}
