//! `anchorgate`: pads, threads and state.

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::codec;
use super::queue::{GateError, GateQueue};
use super::settings::Properties;
use crate::printable::shown;
use crate::unfed_branch::UnfedBranch;
use crate::{pads, structures};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "anchorgate",
        gst::DebugColorFlags::empty(),
        Some("Earmark: the gate before the decoder"),
    )
});

/// How often a waiting thread checks whether to go on waiting.
pub(super) const CHECK: Duration = Duration::from_millis(100);

pub(super) type Flow = Result<gst::FlowSuccess, gst::FlowError>;

// Threads: the chain functions of video and cues store units and cues and return; a task on the source pad pushes. The video's chain waits
// when the held video reaches its bound, the cues' chain when the outgoing items do. The task waits for something to push; once the video
// has ended, it waits for the remaining cues, at most `patience-ms` without one. Where the plan's next frame is far away, the video's chain
// waits and the task seeks; the flush that follows stops here.
//
// Lock order: a pad's stream lock (GStreamer takes it), then `state`. `properties` and `state` are never held together. While `state` is held,
// nothing is pushed, posted, or asked of a pad, a peer or the bin. Threads wait on `changed`, which releases `state`; deactivating or flushing
// a pad marks `state` and wakes them all, so that the stream lock comes free.

/// Stopped: no queue. Started: a queue, and each of the three pads is active or flushing on its own.
///
/// Video: nothing seen -> seen -> ended (EOS kept) -> finished (the queue is empty, EOS is on its way).
/// Cues: see [`super::queue::CueState`]; stale from a flush of the video until the cues flush too or begin a new segment.
pub(super) struct State {
    pub(super) queue: Option<GateQueue>,
    /// The source pad is active: the task may run.
    pub(super) pushing: bool,
    /// Inactive, or flushed by somebody else.
    pub(super) video_flushing: bool,
    /// Flushed by the gate's own seek.
    pub(super) own_flush: bool,
    pub(super) cues_flushing: bool,
    pub(super) cues_stale: bool,
    /// Since when the cues have been flushed and the video's flush, part of the same seek, may still come.
    pub(super) cues_ahead: Option<Instant>,
    /// The video was flushed, and the cues' flush, part of the same seek, may still come.
    pub(super) video_ahead: bool,
    /// There is no video: the cues are the stream.
    pub(super) sound_only: bool,
    pub(super) video_seen: bool,
    /// The video's EOS, and when it came.
    pub(super) video_ended: Option<(gst::Event, Instant)>,
    pub(super) cue_segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Anything has come from the cues pad.
    pub(super) cues_touched: bool,
    /// When anything last came from the cues pad.
    pub(super) cue_progress: Instant,
    /// Result of the last push.
    pub(super) flow: Flow,
    pub(super) live: Option<bool>,
    pub(super) latency: Nanos,
    /// Time of the next check for an unfed branch.
    pub(super) next_check: Instant,
    pub(super) busy: Duration,
    /// The thread that seeks right now: its flushes are the gate's own.
    pub(super) seeker: Option<ThreadId>,
}

impl State {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            queue: None,
            pushing: false,
            // The source pad is activated first; its task must not take the other pads for flushing.
            video_flushing: false,
            own_flush: false,
            cues_flushing: false,
            cues_stale: false,
            cues_ahead: None,
            video_ahead: false,
            sound_only: false,
            video_seen: false,
            video_ended: None,
            cue_segment: None,
            cues_touched: false,
            cue_progress: now,
            flow: Ok(gst::FlowSuccess::Ok),
            live: None,
            latency: Nanos::ZERO,
            next_check: now,
            busy: Duration::ZERO,
            seeker: None,
        }
    }

    /// Nothing may come from the video pad.
    pub(super) fn is_flushing(&self) -> bool {
        self.video_flushing || self.own_flush
    }

    pub(super) fn check_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.next_check <= now;
        if due {
            self.next_check = now + CHECK;
        }
        due
    }
}

/// Branches that were set aside because they get no data.
#[derive(Default)]
pub(super) struct RetiredBranches {
    /// Number of the current run; `None` while stopped.
    run: Option<u64>,
    runs: u64,
    branches: Vec<UnfedBranch>,
}

pub struct AnchorGate {
    pub(super) aside: Mutex<RetiredBranches>,
    pub(super) video: gst::Pad,
    pub(super) cues: gst::Pad,
    pub(super) src: gst::Pad,
    pub(super) properties: Mutex<Properties>,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

impl AnchorGate {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn properties(&self) -> MutexGuard<'_, Properties> {
        self.properties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        at_most: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Posts the queue's new warnings, and the anchors that were planned since. Call without the lock.
    pub(super) fn post_news(&self) {
        let news = self.state().queue.as_mut().map(|queue| {
            let warnings = queue.take_warnings();
            (warnings, queue.take_decided())
        });
        let (warnings, decided) = news.unwrap_or_default();
        for anchor in decided {
            // Fails only without a bus.
            let _ = self
                .obj()
                .post_message(structures::decided_message(&*self.obj(), &anchor));
        }
        for text in warnings {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{}", shown(&text)));
        }
    }

    pub(super) fn fail(&self, error: &GateError) -> gst::FlowError {
        match error {
            GateError::Plan(_) => {
                gst::element_imp_error!(self, gst::ResourceError::Read, ("{}", shown(&error)));
            }
            GateError::SeekFailed(_) => {
                gst::element_imp_error!(self, gst::ResourceError::Seek, ("{}", shown(&error)));
            }
            GateError::Cue(_) | GateError::Unordered(_) | GateError::NotRaw { .. } => {
                gst::element_imp_error!(self, gst::StreamError::Format, ("{}", shown(&error)));
            }
            GateError::Overspent { .. } => {
                gst::element_imp_error!(self, gst::StreamError::Failed, ("{}", shown(&error)));
            }
        }
        gst::FlowError::Error
    }

    pub(super) fn is_live(&self) -> bool {
        if let Some(live) = self.state().live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        let live = self.video.peer_query(&mut query) && query.result().0;
        self.state().live = Some(live);
        live
    }

    fn aside(&self) -> MutexGuard<'_, RetiredBranches> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a branch aside in another thread, until the gate stops.
    pub(super) fn set_aside(&self, unfed: UnfedBranch) {
        let run = self.aside().run;
        if unfed.elements().is_empty() || run.is_none() {
            return;
        }
        gst::info!(CAT, imp = self, "setting aside {:?}", unfed.elements());
        self.obj().call_async(move |element| {
            let mut aside = element.imp().aside();
            if aside.run == run {
                unfed.retire();
                aside.branches.push(unfed);
            }
        });
    }

    pub(super) fn activate(
        &self,
        pad: &gst::Pad,
        mode: gst::PadMode,
        active: bool,
    ) -> Result<(), gst::LoggableError> {
        pads::push_only(*CAT, mode, active)?;
        {
            let mut state = self.state();
            if *pad == self.video {
                state.video_flushing = !active;
            } else if *pad == self.cues {
                state.cues_flushing = !active;
            } else {
                state.pushing = active;
                if active {
                    state.flow = Ok(gst::FlowSuccess::Ok);
                }
            }
            self.changed.notify_all();
        }
        if *pad == self.video && active && self.state().pushing {
            // The source pad is activated first; its task may have stopped because this pad was inactive.
            self.start_task();
        }
        if *pad == self.src {
            if active {
                self.start_task();
            } else {
                self.src
                    .stop_task()
                    .map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
            }
        }
        Ok(())
    }

    pub(super) fn numbers(&self) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let Some(queue) = &state.queue else {
            return Vec::new();
        };
        let units = queue.gop_stats();
        let counts = queue.counts;
        let (bytes, time) = queue.held();
        vec![
            ("units-seen", queue.units_read()),
            ("units-passed", units.passed),
            ("jumps", queue.jumps()),
            ("units-before-keyframe", units.dropped_before_keyframe),
            ("served", units.served),
            ("missed", units.missed),
            ("cues", counts.cues),
            ("anchors", counts.anchors),
            ("entries", counts.entries),
            ("tokens", counts.tokens),
            ("held-bytes", bytes as u64),
            ("held-ns", time.get().max(0) as u64),
            ("most-held-bytes", counts.most_bytes as u64),
            ("most-held-ns", counts.most_time.get().max(0) as u64),
            ("busy-ns", state.busy.as_nanos() as u64),
        ]
    }

    pub(super) fn report(&self) {
        let message = structures::stats_message(&*self.obj(), "gate", &self.numbers());
        // Fails only without a bus.
        let _ = self.obj().post_message(message);
    }

    pub(super) fn start(&self) -> Result<(), gst::StateChangeError> {
        let setup = self.properties().setup();
        let queue = setup.map_err(|error| error.to_string());
        let queue =
            queue.and_then(|setup| GateQueue::new(setup).map_err(|error| error.to_string()));
        match queue {
            Ok(queue) => {
                *self.state() = State {
                    queue: Some(queue),
                    ..State::new()
                };
                let mut aside = self.aside();
                aside.runs += 1;
                aside.run = Some(aside.runs);
                Ok(())
            }
            Err(error) => {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{}", shown(&error)));
                Err(gst::StateChangeError)
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for AnchorGate {
    const NAME: &'static str = "EarmarkAnchorGate";
    type Type = super::AnchorGate;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let activate = |pad: &gst::Pad, parent: Option<&gst::Object>, mode, active| {
            Self::catch_panic_pad_function(
                parent,
                || Err(gst::loggable_error!(CAT, "panicked before")),
                |this| this.activate(pad, mode, active),
            )
        };
        let video = gst::Pad::builder_from_template(&pads::known(class.pad_template("video")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.video_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.video_event(pad, event),
                )
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.video_query(pad, query),
                )
            })
            .activatemode_function(move |pad, parent, mode, active| {
                activate(pad, parent, mode, active)
            })
            .build();
        let cues = gst::Pad::builder_from_template(&pads::known(class.pad_template("cues")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.cues_chain(&buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.cues_event(&event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.cues_query(pad, query))
            })
            .activatemode_function(move |pad, parent, mode, active| {
                activate(pad, parent, mode, active)
            })
            .build();
        let src = gst::Pad::builder_from_template(&pads::known(class.pad_template("src")))
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .activatemode_function(move |pad, parent, mode, active| {
                activate(pad, parent, mode, active)
            })
            .build();
        Self {
            aside: Mutex::default(),
            video,
            cues,
            src,
            properties: Mutex::default(),
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
        }
    }
}

impl ObjectImpl for AnchorGate {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb(
                    "Counts so far: access units seen and passed, plan entries, tokens, held video",
                )
                .read_only()
                .build();
            Properties::specs().iter().cloned().chain([stats]).collect()
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.properties().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if let Some(value) = self.properties().get(pspec.name()) {
            return value;
        }
        let mut stats = gst::Structure::new_empty("earmark-stats");
        stats.set("stage", "gate");
        for (name, number) in self.numbers() {
            stats.set(name, number);
        }
        stats.to_value()
    }

    fn constructed(&self) {
        self.parent_constructed();
        pads::add(
            *CAT,
            self.obj().upcast_ref(),
            &[&self.video, &self.cues, &self.src],
        );
    }
}

impl GstObjectImpl for AnchorGate {}

impl ElementImpl for AnchorGate {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Earmark gate",
                "Filter/Video",
                "Holds encoded video until cues or a plan file decide which frames to take, then passes only what those need",
                "Earmark",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let video = codec::caps();
            let cues = gst::Caps::new_empty_simple(structures::CUE_CAPS);
            let mut both = video.clone();
            both.merge(cues.clone());
            vec![
                pads::template("video", gst::PadDirection::Sink, &video),
                pads::template("cues", gst::PadDirection::Sink, &cues),
                pads::template("src", gst::PadDirection::Src, &both),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.start()?;
        }
        let done = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *self.state() = State::new();
            // The next recording may feed them.
            let mut aside = self.aside();
            aside.run = None;
            for unfed in aside.branches.drain(..) {
                unfed.restore();
            }
        }
        Ok(done)
    }
}
