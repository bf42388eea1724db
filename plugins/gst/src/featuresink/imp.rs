//! Pads, properties and state of `featuresink`.
//!
//! The streaming thread scales pictures and hands them, with anchors and cues, to the worker through a bounded channel; the worker
//! (`work`) encodes and writes. At the end of the stream the streaming thread waits for the worker, so whoever sees the pipeline's
//! EOS finds the file.
//!
//! Locks: `settings` and `state` are never held together, nor while something waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anchoring::plan::Entry;
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;
use gst_video::prelude::*;

use super::messages::{self, file_message, model_message, settings_message, work_message};
use super::planar::{Colours, Plane, Planes};
use super::prepare::{Pixels, Preparer, Turn};
use super::settings::{self, Settings};
use super::thumbnail;
use super::work::{Job, Picture, Report, Work};
use crate::carry::{self, Message};
use crate::h5::{self, Closing, Opening, Writer};
use crate::models::{self, Encoder, Input, ModelError};
use crate::pads;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "featuresink",
        gst::DebugColorFlags::empty(),
        Some("Features to HDF5"),
    )
});

/// How often whoever waits looks whether it should stop waiting.
const TICK: Duration = Duration::from_millis(50);
/// Pictures that may wait for the worker.
const QUEUE: usize = 16;

/// While started.
struct Started {
    /// `None` once the end of the stream was handed over.
    jobs: Option<Sender<Job>>,
    worker: JoinHandle<()>,
    /// The worker's last word; it has posted its error itself.
    outcome: Receiver<Result<Option<Report>, ()>>,
    stop: Arc<AtomicBool>,

    input: Input,
    /// Side and price of low, base and high.
    tiers: [models::TierSpec; 3],
    preparer: Preparer,
    /// `None` before caps, and with caps of cues.
    info: Option<gst_video::VideoInfo>,
    /// From the tags of the stream and of the whole container; the stream's own wins.
    stream_turn: Option<Turn>,
    global_turn: Option<Turn>,
    closing: Closing,
    /// Latest instant of any picture or cue.
    latest: Nanos,
    warned_of_prices: bool,
    scaling: Duration,
    /// Most jobs that waited for the worker at once.
    most_waiting: usize,
}

/// Holds properties and state.
#[derive(Default)]
pub struct FeatureSink {
    settings: Mutex<Settings>,
    state: Mutex<Option<Started>>,
    /// Set while the pad flushes or goes down: nobody may wait.
    flushing: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[glib::object_subclass]
impl ObjectSubclass for FeatureSink {
    const NAME: &'static str = "EarmarkFeatureSink";
    type Type = super::FeatureSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for FeatureSink {
    fn properties() -> &'static [glib::ParamSpec] {
        settings::properties()
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Features are wanted as fast as they come, not when a screen would show them.
        self.obj().set_sync(false);
        // Nobody looks at the last picture, and it is large.
        self.obj().set_enable_last_sample(false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if pspec.name() != "warnings" && lock(&self.state).is_some() {
            gst::error!(
                CAT,
                imp = self,
                "property {} cannot change while the element is started",
                pspec.name()
            );
            return;
        }
        lock(&self.settings).set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        lock(&self.settings)
            .get(pspec.name())
            .unwrap_or_else(|| pspec.default_value().clone())
    }
}

impl GstObjectImpl for FeatureSink {}

impl ElementImpl for FeatureSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Feature sink",
                "Sink/Video/Analyzer",
                "Encodes the pictures that framepick chose and writes them to HDF5, with why, when and at what cost",
                "Earmark",
            )
        });
        Some(&*METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = gst_video::VideoCapsBuilder::new()
                .format_list([
                    gst_video::VideoFormat::I420,
                    gst_video::VideoFormat::Nv12,
                    gst_video::VideoFormat::Rgb,
                ])
                .build();
            caps.merge(gst::Caps::new_empty_simple(carry::CUE_CAPS));
            gst::PadTemplate::new(
                "sink",
                gst::PadDirection::Sink,
                gst::PadPresence::Always,
                &caps,
            )
            .into_iter()
            .collect()
        });
        TEMPLATES.as_ref()
    }
}

impl BaseSinkImpl for FeatureSink {
    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let started = self.begin(&settings)?;
        self.flushing.store(false, Ordering::SeqCst);
        *lock(&self.state) = Some(started);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(Started {
            jobs, worker, stop, ..
        }) = lock(&self.state).take()
        {
            stop.store(true, Ordering::SeqCst);
            drop(jobs);
            // A panic there was reported when its outcome was missing.
            let _ = worker.join();
        }
        Ok(())
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.flushing.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn propose_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // So that a decoder's padded pictures need not be copied.
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info =
            match caps.structure(0).map(|s| s.name().as_str()) {
                Some(carry::CUE_CAPS) => None,
                _ => Some(gst_video::VideoInfo::from_caps(caps).map_err(|_| {
                    gst::loggable_error!(CAT, "these are no caps of pictures: {caps}")
                })?),
            };
        let decoder = info.as_ref().and_then(|_| self.decoder());
        if let Some(started) = lock(&self.state).as_mut() {
            started.info = info;
            started.closing.decoder = decoder.unwrap_or_default();
        }
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let job = {
            let mut state = lock(&self.state);
            let started = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            match started.info.clone() {
                Some(info) => self.picture(started, buffer, &info),
                None => cue(started, buffer),
            }
        };
        let job = job.map_err(|message| {
            self.post_error_message(message);
            gst::FlowError::Error
        })?;
        self.hand_over(job)?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        let handled = match event.view() {
            gst::EventView::CustomDownstream(_) => match Message::from_event(&event) {
                Some(Ok(message)) => self.message(message),
                Some(Err(err)) => {
                    self.post_error_message(gst::error_msg!(gst::StreamError::Format, ("{err}")));
                    false
                }
                None => true,
            },
            gst::EventView::StreamStart(_) => {
                if let Some(started) = lock(&self.state).as_mut() {
                    started.stream_turn = None;
                }
                true
            }
            gst::EventView::Tag(tag) => {
                self.tags(tag.tag());
                true
            }
            gst::EventView::Eos(_) => self.finish(),
            _ => true,
        };
        // An event that was not handled goes no further: after an error there is no EOS message.
        handled && self.parent_event(event)
    }
}

impl FeatureSink {
    /// Checks everything that can be checked before the first picture, and starts the worker.
    fn begin(&self, settings: &Settings) -> Result<Started, gst::ErrorMessage> {
        if settings.location.is_empty() {
            return Err(settings_message(
                "the property location is empty: name the HDF5 file to write",
            ));
        }
        if !settings.streams.is_empty()
            && serde_json::from_str::<serde_json::Value>(&settings.streams).is_err()
        {
            return Err(settings_message("the property streams is no JSON"));
        }
        let Ok(earlier) = serde_json::from_str::<Vec<serde_json::Value>>(match &*settings.times {
            "" => "[]",
            times => times,
        }) else {
            return Err(settings_message("the property times is no JSON array"));
        };
        settings.further().map_err(|text| settings_message(&text))?;
        let location = settings.place().map_err(|text| settings_message(&text))?;
        let threads = settings.threads as usize;
        let encoder = models::load_encoder(&settings.model, threads, settings.runs_on())
            .map_err(|err| model_message(&err))?;
        let mut warnings = Vec::new();
        if let Some(why) = encoder.instead() {
            let wanted = settings.runs_on();
            warnings.push(format!(
                "the encoder runs on the processor, not on {wanted}: {why}"
            ));
            gst::element_imp_warning!(self, gst::LibraryError::Init, ("{}", warnings[0]));
        }
        gst::info!(CAT, imp = self, "the encoder runs on {}", encoder.place());
        let tiers = encoder
            .manifest()
            .tiers
            .ok_or_else(|| settings_message("the encoder has no tiers"))?;
        let tiers = Tier::ALL.map(|tier| tiers.of(tier));
        let opening = opening(settings, &encoder).map_err(|err| model_message(&err))?;
        let writer = Writer::create(&location, settings.overwrite, &opening)
            .map_err(|err| file_message(&err))?;

        let input = encoder.manifest().input.clone();
        let work = Work::new(
            encoder,
            writer,
            tiers.map(|tier| tier.px),
            settings.batch as usize,
            settings.thumbnails,
            earlier,
        );
        let (jobs, queue) = bounded(QUEUE);
        let (done, outcome) = bounded(1);
        let stop = Arc::new(AtomicBool::new(false));
        let worker = std::thread::Builder::new()
            .name("earmark-features".into())
            .spawn({
                let stop = Arc::clone(&stop);
                let element = self.obj().downgrade();
                move || {
                    let result = work.run(&queue, &stop).map_err(|err| {
                        let message = work_message(&err);
                        if let Some(element) = element.upgrade() {
                            element.imp().post_error_message(message);
                        }
                    });
                    // Before the queue goes, so that whoever finds it gone finds the outcome.
                    let _ = done.send(result);
                }
            })
            .map_err(|err| {
                gst::error_msg!(gst::ResourceError::Failed, ("cannot start a thread: {err}"))
            })?;
        let stem = location
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        Ok(Started {
            jobs: Some(jobs),
            worker,
            outcome,
            stop,
            input,
            tiers,
            preparer: Preparer::default(),
            info: None,
            stream_turn: None,
            global_turn: None,
            closing: Closing {
                video_id: stem.unwrap_or_default(),
                duration: Nanos::new(-1),
                rotation: Turn::default().name().into(),
                warnings,
                ..Closing::default()
            },
            latest: Nanos::ZERO,
            warned_of_prices: false,
            scaling: Duration::ZERO,
            most_waiting: 0,
        })
    }

    /// The element that decodes what comes here.
    fn decoder(&self) -> Option<String> {
        let kinds = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
        let pad = self.obj().static_pad("sink")?;
        let decodes = |element: &gst::Element| {
            let factory = element.factory()?;
            factory.has_type(kinds).then(|| factory.name().to_string())
        };
        let decoder = pads::before(&pad)
            .iter()
            .find_map(|(_, inside)| inside.iter().find_map(decodes));
        gst::info!(CAT, imp = self, "decoded by {decoder:?}");
        decoder
    }

    /// A tagged picture, scaled.
    fn picture(
        &self,
        started: &mut Started,
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
    ) -> Result<Job, gst::ErrorMessage> {
        let segment = self.obj().segment();
        let pts = buffer.pts().and_then(|pts| {
            segment
                .downcast_ref::<gst::ClockTime>()?
                .to_stream_time(pts)
        });
        let Some(pts) = pts.map(|pts| Nanos::new(pts.nseconds() as i64)) else {
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("a picture has no time in the recording")
            ));
        };
        let chosen = match carry::buffer_tag(buffer) {
            Some(chosen) => {
                chosen.map_err(|err| gst::error_msg!(gst::StreamError::Format, ("{err}")))?
            }
            None => {
                return Err(gst::error_msg!(
                    gst::StreamError::Format,
                    ("the picture at {pts} carries no plan entry: put framepick before featuresink, and anchorgate before the decoder")
                ));
            }
        };
        let unreadable = |why: &dyn std::fmt::Display| {
            gst::error_msg!(
                gst::StreamError::Decode,
                ("the picture at {pts} cannot be read: {why}")
            )
        };
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)
            .map_err(|err| unreadable(&err))?;
        let pixels = pixels(&frame).map_err(|err| unreadable(&err))?;

        let turn = started
            .stream_turn
            .or(started.global_turn)
            .unwrap_or_default();
        let tier = started.tiers[chosen.entry.tier as usize];
        let begun = Instant::now();
        let square = started
            .preparer
            .scale(
                (info.width() as usize, info.height() as usize),
                &pixels,
                tier.px,
                turn,
                &started.input,
            )
            .map_err(|err| unreadable(&err))?;
        started.scaling += begun.elapsed();
        let par = (info.par().numer(), info.par().denom());
        let size = (info.width(), info.height());
        let shape = thumbnail::shape(size, par, turn, started.input.fit);
        started.closing.rotation = turn.name().into();
        started.latest = started.latest.max(pts);
        self.check_price(started, &chosen.entry);
        Ok(Job::Picture(Picture {
            pts,
            entry: chosen.entry,
            square,
            shape,
        }))
    }

    /// Says once when a plan was priced for another encoder.
    fn check_price(&self, started: &mut Started, entry: &Entry) {
        let price = started.tiers[entry.tier as usize].tokens;
        if entry.tokens == price || started.warned_of_prices {
            return;
        }
        started.warned_of_prices = true;
        let text = format!(
            "the plan pays {} tokens for a picture of tier {}, but the encoder's manifest says {price}: was it made for another model?",
            entry.tokens, entry.tier
        );
        gst::element_imp_warning!(self, gst::StreamError::Format, ("{text}"));
        started.closing.warnings.push(text);
    }

    /// Takes a message of `anchorgate` or `framepick`.
    fn message(&self, message: Message) -> bool {
        let job = {
            let mut state = lock(&self.state);
            let Some(started) = state.as_mut() else {
                return false;
            };
            let closing = &mut started.closing;
            match message {
                Message::Plan(header) => {
                    if !header.video_id.is_empty() {
                        closing.video_id = header.video_id;
                    }
                    closing.duration = header.duration;
                    closing.budget_tokens = header.budget_tokens;
                    closing.config = header.config.to_string();
                    return true;
                }
                Message::Summary(summary) => {
                    closing.duration = summary.duration;
                    closing.budget_tokens = summary.budget_tokens;
                    closing.pictures_seen = summary.pictures_seen;
                    closing.pictures_passed = summary.pictures_passed;
                    closing.warnings.extend(summary.warnings);
                    return true;
                }
                Message::Miss(_) => {
                    closing.frames_missed += 1;
                    return true;
                }
                // The picture brings it along.
                Message::Chosen(_) => return true,
                Message::Anchor(anchor) => Job::Anchor(anchor),
                Message::Cue(cue) => {
                    started.latest = started.latest.max(cue.pts);
                    Job::Cue(cue)
                }
            }
        };
        self.hand_over(job).is_ok()
    }

    fn tags(&self, tags: &gst::TagListRef) {
        let Some(tag) = tags.get::<gst::tags::ImageOrientation>() else {
            return;
        };
        let turn = Turn::from_tag(tag.get());
        if turn.is_none() {
            gst::warning!(CAT, imp = self, "unknown image-orientation {}", tag.get());
        }
        if let Some(started) = lock(&self.state).as_mut() {
            match tags.scope() {
                gst::TagScope::Global => started.global_turn = turn,
                _ => started.stream_turn = turn,
            }
        }
    }

    /// Gives the worker a job, waiting for room unless the pad flushes.
    fn hand_over(&self, mut job: Job) -> Result<(), gst::FlowError> {
        let jobs = match lock(&self.state).as_ref() {
            None => return Err(gst::FlowError::Flushing),
            Some(started) => started.jobs.clone().ok_or(gst::FlowError::Eos)?,
        };
        loop {
            if self.flushing.load(Ordering::SeqCst) {
                return Err(gst::FlowError::Flushing);
            }
            match jobs.send_timeout(job, TICK) {
                Ok(()) => {
                    if let Some(started) = lock(&self.state).as_mut() {
                        started.most_waiting = started.most_waiting.max(jobs.len());
                    }
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(back)) => job = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    // It has said why, unless it panicked.
                    self.outcome(Duration::ZERO);
                    return Err(gst::FlowError::Error);
                }
            }
        }
    }

    /// The worker's last word, if it comes in time. Posts an error if it never can.
    fn outcome(&self, patience: Duration) -> Option<Result<Option<Report>, ()>> {
        let outcome = lock(&self.state).as_ref()?.outcome.clone();
        match outcome.recv_timeout(patience) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.post_error_message(gst::error_msg!(
                    gst::StreamError::Failed,
                    ("the thread that encodes and writes ended unexpectedly")
                ));
                Some(Err(()))
            }
        }
    }

    /// The end of the stream: waits until the file is in place. False if there will be none.
    fn finish(&self) -> bool {
        let settings = lock(&self.settings).clone();
        let last = match lock(&self.state).as_mut() {
            None => return false,
            Some(started) if started.jobs.is_none() => return true, // a second end
            Some(started) => {
                let closing = &mut started.closing;
                if !settings.video_id.is_empty() {
                    closing.video_id = settings.video_id;
                }
                if !settings.config.is_empty() {
                    closing.config = settings.config;
                }
                if closing.duration < Nanos::ZERO {
                    closing.duration = started.latest;
                }
                let mut closing = closing.clone();
                for warning in settings.warnings.lines().map(str::to_owned) {
                    if !warning.is_empty() && !closing.warnings.contains(&warning) {
                        closing.warnings.push(warning);
                    }
                }
                Job::Finish {
                    closing: Box::new(closing),
                    scaling: started.scaling,
                }
            }
        };
        if self.hand_over(last).is_err() {
            return false;
        }
        if let Some(started) = lock(&self.state).as_mut() {
            started.jobs = None;
        }
        loop {
            match self.outcome(TICK) {
                Some(Ok(Some(report))) => {
                    self.report(&report);
                    return true;
                }
                Some(_) => return false,
                None if self.flushing.load(Ordering::SeqCst) => return false,
                None => {}
            }
        }
    }

    /// Tells the bus what was done.
    fn report(&self, report: &Report) {
        let (scaling, most_waiting) = lock(&self.state)
            .as_ref()
            .map_or((Duration::ZERO, 0), |started| {
                (started.scaling, started.most_waiting)
            });
        for stats in messages::stats(report, scaling, most_waiting) {
            let message = gst::message::Element::builder(stats)
                .src(&*self.obj())
                .build();
            // Fails only where there is no bus.
            let _ = self.obj().post_message(message);
        }
    }
}

/// The pixels of a mapped picture.
fn pixels<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
) -> Result<Pixels<'a>, gst::glib::BoolError> {
    let stride = |plane: usize| {
        let stride = frame.plane_stride().get(plane).copied();
        stride
            .and_then(|stride| usize::try_from(stride).ok())
            .unwrap_or(0)
    };
    if frame.format() == gst_video::VideoFormat::Rgb {
        return Ok(Pixels::Rgb(frame.plane_data(0)?, stride(0)));
    }
    let info = frame.info();
    let plane = |component: u32| -> Result<Plane<'a>, gst::glib::BoolError> {
        let index = info.format_info().plane()[component as usize];
        let data = frame.plane_data(index)?;
        let offset = info.format_info().poffset()[component as usize] as usize;
        Ok(Plane {
            data: data.get(offset..).unwrap_or_default(),
            stride: stride(index as usize),
            step: info.format_info().pixel_stride()[component as usize] as usize,
        })
    };
    let colorimetry = info.colorimetry();
    // What a stream that says nothing most likely means: standard definition has its own primaries.
    let usual = match info.height() {
        ..=576 => (0.299, 0.114),
        _ => (0.2126, 0.0722),
    };
    let (kr, kb) = colorimetry.matrix().kr_kb().unwrap_or(usual);
    Ok(Pixels::Planes(Planes {
        width: info.width() as usize,
        height: info.height() as usize,
        y: plane(0)?,
        u: plane(1)?,
        v: plane(2)?,
        colours: Colours {
            kr: kr as f32,
            kb: kb as f32,
            full: colorimetry.range() == gst_video::VideoColorRange::Range0_255,
        },
    }))
}

/// A buffer of the cue stream: recordings without pictures.
fn cue(started: &mut Started, buffer: &gst::Buffer) -> Result<Job, gst::ErrorMessage> {
    let wrong = |why: &dyn std::fmt::Display| {
        gst::error_msg!(gst::StreamError::Format, ("a cue cannot be read: {why}"))
    };
    let data = buffer.map_readable().map_err(|err| wrong(&err))?;
    let cue = carry::cue_from_text(&data).map_err(|err| wrong(&err))?;
    started.latest = started.latest.max(cue.pts);
    Ok(Job::Cue(cue))
}

fn opening(settings: &Settings, encoder: &Encoder) -> Result<Opening, ModelError> {
    let (major, minor, micro, _) = gst::version();
    Ok(Opening {
        dim: encoder.dim(),
        precision: settings.precision.into(),
        input_uri: settings.input_uri.clone(),
        input_bytes: settings.input_bytes,
        streams: settings.streams.clone(),
        models: models::used::noted(encoder.manifest(), &settings.models, &settings.tagger)?,
        thumbnails: settings.thumbnails,
        provider: encoder.place().to_string(),
        versions: BTreeMap::from([
            ("earmark".into(), env!("CARGO_PKG_VERSION").into()),
            ("gstreamer".into(), format!("{major}.{minor}.{micro}")),
            ("hdf5".into(), h5::library_version()),
            ("onnxruntime".into(), crate::onnx::runtime_version()?),
        ]),
        further: settings.further().unwrap_or_default(),
    })
}
