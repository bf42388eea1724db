//! The element `eventness`: pads, properties and state.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anchoring::hearing::sample_clock::SampleClock;
use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::audio_repair::AudioRepair;
use super::settings::{self, Settings};
use super::sound_models::{self, SoundModels};
use super::state::{Outgoing, RATE, State};
use crate::models::ModelError;
use crate::printable::shown;
use crate::{pads, structures};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "eventness",
        gst::DebugColorFlags::empty(),
        Some("Earmark: sound to cues"),
    )
});

/// Stands for an unknown latency.
const UNKNOWN: i64 = -1;

pub struct Eventness {
    sink: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Repairs the audio before it is mixed down, while the element plays.
    repair: Mutex<Option<AudioRepair>>,
    /// The element's own, in nanoseconds; [`UNKNOWN`] before it starts.
    latency: AtomicI64,
}

impl Eventness {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the state, then posts its warnings and pushes its output.
    fn work(
        &self,
        work: impl FnOnce(&mut State, &mut Vec<Outgoing>) -> Result<(), ModelError>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let began = Instant::now();
        let mut out = Vec::new();
        let (worked, warnings) = {
            let mut state = self.state();
            let worked = work(&mut state, &mut out);
            state.stats.busy_ns += began.elapsed().as_nanos() as u64;
            (worked, std::mem::take(&mut state.warnings))
        };
        for warning in warnings {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{warning}"));
        }
        if let Err(error) = worked {
            gst::element_imp_error!(self, gst::LibraryError::Failed, ("{}", shown(&error)));
            return Err(gst::FlowError::Error);
        }
        for out in out {
            match out {
                Outgoing::Buffer(buffer) => {
                    self.src.push(buffer)?;
                }
                Outgoing::Event(event) => {
                    self.src.push_event(event);
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_) => {
                let caps = gst::Caps::new_empty_simple(structures::CUE_CAPS);
                let seqnum = event.seqnum();
                return self
                    .src
                    .push_event(gst::event::Caps::builder(&caps).seqnum(seqnum).build());
            }
            gst::EventView::Segment(segment) => {
                let Ok(segment) = segment.segment().clone().downcast::<gst::ClockTime>() else {
                    gst::element_imp_error!(
                        self,
                        gst::StreamError::Format,
                        ("the audio segment must be in time format (is this raw data without timestamps?)")
                    );
                    return false;
                };
                // Sound heard so far belongs to the old segment.
                let pushed = self.work(|state, out| state.finish(out));
                {
                    let mut state = self.state();
                    state.segment = Some(segment);
                    state.goes_on = false;
                    state.clock.new_segment();
                }
                if pushed.is_err() {
                    return false;
                }
            }
            gst::EventView::Gap(gap) => {
                let (pts, length) = gap.get();
                let until = pts + length.unwrap_or(gst::ClockTime::ZERO);
                if self.state().clock.is_running() {
                    // The GAP that goes downstream begins where the sound ended, and only if it is more than jitter.
                    let pushed = self.work(|state, out| {
                        let segment = state.segment.as_ref();
                        let until = segment.and_then(|segment| pads::stream_time(segment, until));
                        state.silent(until, out)
                    });
                    return pushed.is_ok();
                }
            }
            gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.listening = None;
                state.segment = None;
                state.goes_on = false;
                state.clock = SampleClock::default();
                state.last.clear();
            }
            gst::EventView::Eos(_) => {
                let pushed = self.work(|state, out| state.finish(out));
                if let Err(error) = pushed {
                    gst::debug!(CAT, imp = self, "downstream refused the last cues: {error}");
                }
                self.report();
            }
            _ => {}
        }
        gst::Pad::event_default(pad, Some(&*self.obj()), event)
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let mut upstream = gst::query::Latency::new();
                if !self.sink.peer_query(&mut upstream) {
                    return false;
                }
                let (live, min, max) = upstream.result();
                let own = match self.latency.load(Ordering::Relaxed) {
                    UNKNOWN => sound_models::latency(&self.settings().clone()),
                    known => Nanos::new(known),
                };
                let own = gst::ClockTime::from_nseconds(own.get().max(0) as u64);
                latency.set(live, min + own, max.map(|max| max + own));
                true
            }
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view() {
            // Upstream's buffers hold sound, not cues.
            gst::QueryView::Allocation(_) => false,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn report(&self) {
        let stats = self.state().stats;
        let message = structures::stats_message(
            &*self.obj(),
            "listen",
            &[
                ("units-seen", stats.buffers),
                ("samples", stats.samples),
                ("cues", stats.cues),
                ("onsets", stats.onsets),
                ("patches", stats.patches),
                ("busy-ns", stats.busy_ns),
            ],
        );
        // Fails only without a bus.
        let _ = self.obj().post_message(message);
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        let mut state = State::default();
        match SoundModels::load(&settings) {
            Ok(models) => {
                self.latency
                    .store(models.latency().get(), Ordering::Relaxed);
                state.models = Some(models);
            }
            Err(error) => {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{}", shown(&error)));
                return Err(gst::StateChangeError);
            }
        }
        *self.state() = state;
        let weak = self.obj().downgrade();
        self.set_repair(AudioRepair::before(&self.sink, move |text| {
            if let Some(element) = weak.upgrade() {
                gst::element_warning!(element, gst::StreamError::Decode, ("{text}"));
            }
        }));
        Ok(())
    }

    fn set_repair(&self, repair: Option<AudioRepair>) {
        *self.repair.lock().unwrap_or_else(PoisonError::into_inner) = repair;
    }
}

#[glib::object_subclass]
impl ObjectSubclass for Eventness {
    const NAME: &'static str = "EarmarkEventness";
    type Type = super::Eventness;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let sink = gst::Pad::builder_from_template(&pads::known(class.pad_template("sink")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.work(|state, out| state.hear(buffer, out)),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_event(pad, event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.sink_query(pad, query))
            })
            .build();
        let src = gst::Pad::builder_from_template(&pads::known(class.pad_template("src")))
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .flags(gst::PadFlags::FIXED_CAPS)
            .build();
        Self {
            sink,
            src,
            settings: Mutex::default(),
            state: Mutex::default(),
            repair: Mutex::default(),
            latency: AtomicI64::new(UNKNOWN),
        }
    }
}

impl ObjectImpl for Eventness {
    fn properties() -> &'static [glib::ParamSpec] {
        settings::properties()
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.settings().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        if pspec.name() == "hears-ahead" {
            let ahead = sound_models::hears_ahead(&settings);
            return (ahead.get().max(0) as u64).to_value();
        }
        let value = settings.get(pspec.name());
        value.unwrap_or_else(|| pspec.default_value().clone())
    }

    fn constructed(&self) {
        self.parent_constructed();
        pads::add(*CAT, self.obj().upcast_ref(), &[&self.sink, &self.src]);
    }
}

impl GstObjectImpl for Eventness {}

impl ElementImpl for Eventness {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Earmark listener",
                "Analyzer/Audio",
                "Turns sound into cues: every 80 ms, how likely something begins, how uncertain that is and what is heard",
                "Earmark",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let sound = gst_audio::AudioCapsBuilder::new_interleaved()
                .format(gst_audio::AudioFormat::F32le)
                .rate(RATE as i32)
                .channels(1)
                .build();
            let cues = gst::Caps::new_empty_simple(structures::CUE_CAPS);
            vec![
                pads::template("sink", gst::PadDirection::Sink, &sound),
                pads::template("src", gst::PadDirection::Src, &cues),
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
            *self.state() = State::default();
            self.set_repair(None);
            self.latency.store(UNKNOWN, Ordering::Relaxed);
        }
        Ok(done)
    }
}
