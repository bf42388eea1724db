//! Pads, properties and state of `featuresink`.
//!
//! The streaming thread scales frames and hands them, with anchors and cues, to the worker through a bounded channel; the worker (`work`)
//! encodes and writes. At the end of the stream the streaming thread waits for the worker, so the file is there when EOS is posted.
//!
//! The file is opened between READY and PAUSED and closed on the way back, so one element can write one file after another.
//!
//! A pause loses nothing: a thread that waits for the worker then waits for PLAYING too (`wait_preroll`) and continues. A flush restarts
//! the stream, and so the file, as in `filesink`: data from before it is dropped. After the end of the stream only a flush brings
//! new data, which replaces the file that this run finished.
//!
//! Locks: `settings` and `state` are never held together, nor during a wait. The draft of the closing has its own lock, taken last, as the
//! worker needs it when it fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, SendTimeoutError, bounded};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::clips::OpenClips;
use super::error_watch::ErrorWatch;
use super::frame::with_matrix;
use super::job::{Ending, Job, Report};
use super::messages::{self, kept_structure, kept_text, work_message};
use super::settings::{self, Settings};
use super::start::{self, Started};
use super::{CAT, lock};
use crate::printable::shown;
use crate::structures::{self, Message};

/// How often a waiting thread checks whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// Properties and state.
#[derive(Default)]
pub struct FeatureSink {
    pub(super) settings: Mutex<Settings>,
    pub(super) state: Mutex<Option<Started>>,
    /// True while the pad flushes or deactivates, or the element pauses: a waiting thread must give way.
    unlocked: AtomicBool,
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

    fn signals() -> &'static [glib::subclass::Signal] {
        settings::signals()
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Features are written as soon as possible, not when a screen would show the frame.
        self.obj().set_sync(false);
        // Nobody asks for the last frame, and it is large.
        self.obj().set_enable_last_sample(false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let any_time = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
        if !any_time && lock(&self.state).is_some() {
            gst::error!(
                CAT,
                imp = self,
                "property {} cannot change in PAUSED or PLAYING",
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
                "Earmark feature sink",
                "Sink/Video/Analyzer",
                "Encodes the frames that framepick passes and writes their features to HDF5, with time, reason and cost",
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
            caps.merge(gst::Caps::new_empty_simple(structures::CUE_CAPS));
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

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.open().map_err(|message| {
                self.post_error_message(message);
                gst::StateChangeError
            })?;
        }
        let changed = self.parent_change_state(transition);
        match transition {
            // The streaming thread has ended: no more data comes.
            gst::StateChange::PausedToReady => self.close(),
            gst::StateChange::ReadyToPaused if changed.is_err() => self.close(),
            _ => {}
        }
        changed
    }
}

impl BaseSinkImpl for FeatureSink {
    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.unlocked.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.unlocked.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn propose_allocation(
        &self,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        // Then a decoder's padded frames need no copy.
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = match caps.structure(0).map(|s| s.name().as_str()) {
            Some(structures::CUE_CAPS) => None,
            _ => Some(
                gst_video::VideoInfo::from_caps(&with_matrix(caps))
                    .map_err(|_| gst::loggable_error!(CAT, "unsupported caps: {caps}"))?,
            ),
        };
        let decoder = info.as_ref().and_then(|_| self.decoder());
        if let Some(started) = lock(&self.state).as_mut() {
            lock(&started.closing).caps(info.is_some(), decoder);
            started.info = info;
        }
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.restart_after_flush()?;
        let jobs = {
            let mut state = lock(&self.state);
            let started = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            match started.info.clone() {
                Some(info) => self.frame_jobs(started, buffer, &info),
                None => Self::cue_job(started, buffer).map(|job| vec![job]),
            }
        };
        let jobs = jobs.map_err(|message| {
            self.post_error_message(message);
            gst::FlowError::Error
        })?;
        for job in jobs {
            self.give(job)?;
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        let handled = match event.view() {
            gst::EventView::CustomDownstream(_) => match Message::from_event(&event) {
                Some(Ok(message)) => self.take_message(message),
                Some(Err(err)) => {
                    self.post_error_message(gst::error_msg!(
                        gst::StreamError::Format,
                        ("{}", shown(&err))
                    ));
                    false
                }
                None => true,
            },
            gst::EventView::StreamStart(_) => {
                if let Some(started) = lock(&self.state).as_mut() {
                    started.stream_orientation = None;
                }
                true
            }
            gst::EventView::Tag(tag) => {
                self.take_tags(tag.tag());
                true
            }
            // An EOS after an error is not the end of the recording.
            gst::EventView::Eos(_) => self.other_element_failed() || self.finish(),
            gst::EventView::FlushStop(_) => {
                if let Some(started) = lock(&self.state).as_mut() {
                    started.flushed = true;
                }
                true
            }
            _ => true,
        };
        // If this failed, the base class must not post EOS.
        handled && self.parent_event(event)
    }
}

impl FeatureSink {
    fn open(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let sink = self.obj().downgrade();
        let started = start::begin(&self.obj(), &settings, move |ending| {
            if let Some(sink) = sink.upgrade() {
                sink.imp().work_ended(&ending);
            }
        })?;
        self.unlocked.store(false, Ordering::SeqCst);
        *lock(&self.state) = Some(started);
        Ok(())
    }

    /// Stops the worker; it keeps an unfinished file.
    fn close(&self) {
        self.close_segment();
        let Some(started) = lock(&self.state).take() else {
            return;
        };
        let settings = lock(&self.settings).clone();
        {
            let mut closing = lock(&started.closing);
            for warning in settings.warnings.lines() {
                closing.warn(warning.into());
            }
        }
        let error = started.errors.as_ref().and_then(ErrorWatch::first_error);
        started
            .worker
            .leave(match (&*settings.incomplete_because, error) {
                ("", None) => "the pipeline stopped before the end of the stream".into(),
                ("", Some(error)) => error.into(),
                (because, _) => because.into(),
            });
    }

    /// Posts how the worker ended, from its thread: the error, and what is kept of the file.
    pub(super) fn work_ended(&self, ending: &Ending) {
        let kept = ending.kept.as_ref();
        if let Some(kept) = kept {
            self.post(kept_structure(kept, ending.error.is_some()));
        }
        match (&ending.error, kept) {
            (Some(err), kept) => self.post_error_message(work_message(err, kept)),
            // An application that stops without setting `incomplete-because`, as gst-launch-1.0, may not read the bus any more.
            (None, Some(kept)) if lock(&self.settings).incomplete_because.is_empty() => {
                let text = format!("stopped before the end of the stream; {}", kept_text(kept));
                gst::element_imp_warning!(self, gst::StreamError::Failed, ("{}", shown(&text)));
                glib::g_message!("earmark", "{text}");
            }
            _ => {}
        }
    }

    /// After a flush, makes the worker restart before it gets anything else.
    pub(super) fn restart_after_flush(&self) -> Result<(), gst::FlowError> {
        match lock(&self.state).as_mut() {
            Some(started) if started.flushed => {
                started.flushed = false;
                started.scaling = Duration::ZERO;
                started.measuring = Duration::ZERO;
                started.measure.restart();
                started.clips.as_mut().map(OpenClips::finish);
                lock(&started.closing).restart();
            }
            _ => return Ok(()),
        }
        self.hand_over(Job::Restart)
    }

    /// Gives the worker a job, waiting for room. Pauses only delay it; a flush gives up.
    pub(super) fn hand_over(&self, mut job: Job) -> Result<(), gst::FlowError> {
        let (jobs, frames) = match lock(&self.state).as_ref() {
            None => return Err(gst::FlowError::Flushing),
            Some(started) => (started.worker.jobs(), started.worker.frame_count()),
        };
        let is_frame = matches!(job, Job::Frame(_));
        loop {
            self.give_way()?;
            match jobs.send_timeout(job, TICK) {
                Ok(()) => {
                    if is_frame {
                        frames.fetch_add(1, Ordering::Relaxed);
                    }
                    if let Some(started) = lock(&self.state).as_mut() {
                        started.most_waiting = started.most_waiting.max(jobs.len());
                    }
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(back)) => job = back,
                // The worker has posted its error.
                Err(SendTimeoutError::Disconnected(_)) => return Err(gst::FlowError::Error),
            }
        }
    }

    /// Gives the streaming thread back to the base class for a pause or a flush. Ok once playing goes on.
    pub(super) fn give_way(&self) -> Result<(), gst::FlowError> {
        if self.unlocked.load(Ordering::SeqCst) {
            gst::debug!(CAT, imp = self, "unlocked while waiting for the worker");
            self.obj().wait_preroll()?;
        }
        Ok(())
    }

    /// The end of the stream: waits until the file has its name. False if it failed.
    fn finish(&self) -> bool {
        if self.restart_after_flush().is_err() || self.last_clips().is_err() {
            return false;
        }
        match self.end_segments() {
            Ok(true) => {}
            // Nothing came, and there is no file.
            Ok(false) => return true,
            Err(_) => return false,
        }
        let warnings = lock(&self.settings).warnings.clone();
        let (done, report) = bounded(1);
        let last = match lock(&self.state).as_ref() {
            None => return false,
            Some(started) => {
                let mut closing = lock(&started.closing);
                for warning in warnings.lines() {
                    closing.warn(warning.into());
                }
                let mut closing = closing.closing();
                if let Some(segments) = &started.segments {
                    segments.close(&mut closing);
                }
                Job::Finish {
                    closing: Box::new(closing),
                    scaling: started.scaling,
                    measuring: started.measuring,
                    done,
                }
            }
        };
        if self.hand_over(last).is_err() {
            return false;
        }
        loop {
            match report.recv_timeout(TICK) {
                Ok(report) => {
                    self.report(&report);
                    return true;
                }
                // It failed, and posted its error first.
                Err(_) if self.worker_is_over() => return false,
                Err(_) if self.give_way().is_err() => return false,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK / 10),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether another element failed, but not the worker.
    fn other_element_failed(&self) -> bool {
        let state = lock(&self.state);
        // With consecutive files, a stream that breaks off has ended: the next file begins with the next stream.
        if state
            .as_ref()
            .is_some_and(|started| started.segments.is_some())
        {
            return false;
        }
        let error = state.as_ref().and_then(|started| started.errors.as_ref());
        error.and_then(ErrorWatch::first_error).is_some()
            && state
                .as_ref()
                .is_some_and(|started| !started.worker.is_over())
    }

    fn worker_is_over(&self) -> bool {
        let state = lock(&self.state);
        state
            .as_ref()
            .is_none_or(|started| started.worker.is_over())
    }

    /// Posts statistics.
    fn report(&self, report: &Report) {
        let (scaling, most_waiting) = lock(&self.state)
            .as_ref()
            .map_or((Duration::ZERO, 0), |started| {
                (started.scaling, started.most_waiting)
            });
        for stats in messages::stats(report, scaling, most_waiting) {
            self.post(stats);
        }
    }

    pub(super) fn post(&self, structure: gst::Structure) {
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        // Fails only without a bus.
        let _ = self.obj().post_message(message);
    }
}
