//! Pads, properties and state of `featuresink`.
//!
//! The streaming thread scales pictures and hands them, with anchors and cues, to the worker through a bounded channel; the worker
//! (`work`) encodes and writes. At the end of the stream the streaming thread waits for the worker, so whoever sees the pipeline's
//! EOS finds the file.
//!
//! The file is opened between READY and PAUSED and closed on the way back; so one element can write one file after another.
//!
//! A pause takes nothing from the stream: whoever waits for the worker then waits for PLAYING as well (`wait_preroll`), and goes on.
//! A flush begins the stream anew, and so the file, as in `filesink`: what came before it does not count. After the end of the stream
//! only a flush brings something new; the file that was finished in the same run is then replaced.
//!
//! Locks: `settings` and `state` are never held together, nor while something waits. What is known for the closing has a lock of its
//! own, taken last: the worker needs it where it fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, SendTimeoutError, bounded};
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::prelude::*;

use super::error_watch::ErrorWatch;
use super::frame::named;
use super::job::{Ending, Job, Report};
use super::messages::{self, kept_structure, kept_text, work_message};
use super::settings::{self, Settings};
use super::start::{self, Started};
use super::{CAT, lock};
use crate::printable::shown;
use crate::structures::{self, Message};

/// How often whoever waits looks whether it should stop waiting.
const TICK: Duration = Duration::from_millis(50);

/// Holds properties and state.
#[derive(Default)]
pub struct FeatureSink {
    settings: Mutex<Settings>,
    pub(super) state: Mutex<Option<Started>>,
    /// Set while the pad flushes or goes down, or the element pauses: whoever waits lets others in.
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

    fn constructed(&self) {
        self.parent_constructed();
        // Features are wanted as fast as they come, not when a screen would show them.
        self.obj().set_sync(false);
        // Nobody looks at the last picture, and it is large.
        self.obj().set_enable_last_sample(false);
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let any_time = pspec.flags().contains(gst::PARAM_FLAG_MUTABLE_PLAYING);
        if !any_time && lock(&self.state).is_some() {
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
            // The streaming thread is gone: nothing more comes.
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
        // So that a decoder's padded pictures need not be copied.
        query.add_allocation_meta::<gst_video::VideoMeta>(None);
        self.parent_propose_allocation(query)
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info =
            match caps.structure(0).map(|s| s.name().as_str()) {
                Some(structures::CUE_CAPS) => None,
                _ => Some(gst_video::VideoInfo::from_caps(&named(caps)).map_err(|_| {
                    gst::loggable_error!(CAT, "these are no caps of pictures: {caps}")
                })?),
            };
        let decoder = info.as_ref().and_then(|_| self.decoder());
        if let Some(started) = lock(&self.state).as_mut() {
            lock(&started.closing).caps(info.is_some(), decoder);
            started.info = info;
        }
        Ok(())
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.begin_anew()?;
        let job = {
            let mut state = lock(&self.state);
            let started = state.as_mut().ok_or(gst::FlowError::Flushing)?;
            match started.info.clone() {
                Some(info) => self.frame_job(started, buffer, &info),
                None => Self::cue_job(started, buffer),
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
                    started.stream_turn = None;
                }
                true
            }
            gst::EventView::Tag(tag) => {
                self.take_tags(tag.tag());
                true
            }
            // After an error there is no end, only a stop; the base class goes on as with any sink.
            gst::EventView::Eos(_) => self.is_in_trouble() || self.finish(),
            gst::EventView::FlushStop(_) => {
                if let Some(started) = lock(&self.state).as_mut() {
                    started.flushed = true;
                }
                true
            }
            _ => true,
        };
        // An event that was not handled goes no further: after an error there is no EOS message.
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

    /// Puts away what is there, if the end of the stream did not.
    fn close(&self) {
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
                ("", None) => "the pipeline was stopped before the end of the stream".into(),
                ("", Some(error)) => error.into(),
                (because, _) => because.into(),
            });
    }

    /// Tells how the worker ended, at once and from its thread: why, if it failed, and what stays.
    pub(super) fn work_ended(&self, end: &Ending) {
        let kept = end.kept.as_ref();
        if let Some(kept) = kept {
            self.tell(kept_structure(kept, end.error.is_some()));
        }
        match (&end.error, kept) {
            (Some(err), kept) => self.post_error_message(work_message(err, kept)),
            // An application that stopped the pipeline without a word may not read the bus any more either, as gst-launch-1.0.
            (None, Some(kept)) if lock(&self.settings).incomplete_because.is_empty() => {
                let text = format!("stopped before the end of the stream; {}", kept_text(kept));
                gst::element_imp_warning!(self, gst::StreamError::Failed, ("{}", shown(&text)));
                glib::g_message!("earmark", "{text}");
            }
            _ => {}
        }
    }

    /// After a flush, has the worker begin anew before it gets anything.
    pub(super) fn begin_anew(&self) -> Result<(), gst::FlowError> {
        match lock(&self.state).as_mut() {
            Some(started) if started.flushed => {
                started.flushed = false;
                started.scaling = Duration::ZERO;
                lock(&started.closing).anew();
            }
            _ => return Ok(()),
        }
        self.hand_over(Job::Anew)
    }

    /// Gives the worker a job, waiting for room. Unless the pad flushes, the job is given, whatever pauses come between.
    pub(super) fn hand_over(&self, mut job: Job) -> Result<(), gst::FlowError> {
        let jobs = match lock(&self.state).as_ref() {
            None => return Err(gst::FlowError::Flushing),
            Some(started) => started.worker.jobs(),
        };
        loop {
            self.give_way()?;
            match jobs.send_timeout(job, TICK) {
                Ok(()) => {
                    if let Some(started) = lock(&self.state).as_mut() {
                        started.most_waiting = started.most_waiting.max(jobs.len());
                    }
                    return Ok(());
                }
                Err(SendTimeoutError::Timeout(back)) => job = back,
                // The worker has said why.
                Err(SendTimeoutError::Disconnected(_)) => return Err(gst::FlowError::Error),
            }
        }
    }

    /// Where the base class wants the streaming thread back: lets it pause or flush. Ok once playing goes on.
    fn give_way(&self) -> Result<(), gst::FlowError> {
        if self.unlocked.load(Ordering::SeqCst) {
            gst::debug!(CAT, imp = self, "unlocked while waiting for the worker");
            self.obj().wait_preroll()?;
        }
        Ok(())
    }

    /// The end of the stream: waits until the file is in place. False if there will be none.
    fn finish(&self) -> bool {
        if self.begin_anew().is_err() {
            return false;
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
                Job::Finish {
                    closing: Box::new(closing.closing()),
                    scaling: started.scaling,
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
                // It failed, and says why before it is over.
                Err(_) if self.worker_is_over() => return false,
                Err(_) if self.give_way().is_err() => return false,
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK / 10),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether something failed elsewhere, and the worker did not.
    fn is_in_trouble(&self) -> bool {
        let state = lock(&self.state);
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

    /// Tells the bus what was done.
    fn report(&self, report: &Report) {
        let (scaling, most_waiting) = lock(&self.state)
            .as_ref()
            .map_or((Duration::ZERO, 0), |started| {
                (started.scaling, started.most_waiting)
            });
        for stats in messages::stats(report, scaling, most_waiting) {
            self.tell(stats);
        }
    }

    fn tell(&self, structure: gst::Structure) {
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        // Fails only where there is no bus.
        let _ = self.obj().post_message(message);
    }
}
