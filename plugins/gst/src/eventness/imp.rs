//! `eventness`: pads, properties and state.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anchoring::cue::HOP;
use anchoring::listen::Listener;
use anchoring::stretch::{Arrival, Stretch};
use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::ears::{self, Ears, NONE, Settings};
use crate::visible::shown;
use crate::{carry, models, pads};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "eventness",
        gst::DebugColorFlags::empty(),
        Some("Earmark: sound to cues"),
    )
});

const RATE: i64 = 16_000;
/// Samples remembered, to know what comes a second time: two seconds of them.
const REMEMBERED: usize = 2 * RATE as usize;
/// So many are compared, at most.
const COMPARED: usize = 4096;
/// Holes of the sound shorter than this are not told.
const TOLD_HOLE: Nanos = Nanos::from_ms(250);
/// The latency is not known yet.
const UNKNOWN: i64 = -1;

/// Stopped (nothing loaded, no segment); waiting for sound (no listener: at the start, after a flush, a hole or a gap);
/// or listening. When what is heard sounds, [`Stretch`] says.
///
/// One lock. It is held while the models work, since only the streaming thread waits for it, and never while something
/// is pushed or posted.
#[derive(Default)]
struct State {
    ears: Option<Ears>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    listening: Option<Listener>,
    stretch: Stretch,
    samples: Vec<f32>,
    /// A cue has passed since the segment, the flush or the start; the first one is marked.
    goes_on: bool,
    /// The last of them that were heard.
    last: VecDeque<f32>,
    /// What a person is to be told, each once.
    news: Vec<String>,
    told: Told,
    stats: Stats,
}

/// What a person was told of.
#[derive(Clone, Copy, Default)]
struct Told {
    hole: bool,
    back: bool,
}

#[derive(Clone, Copy, Default)]
struct Stats {
    buffers: u64,
    samples: u64,
    cues: u64,
    onsets: u64,
    patches: u64,
    busy_ns: u64,
}

enum Out {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

pub struct Eventness {
    sink: gst::Pad,
    src: gst::Pad,
    settings: Mutex<Settings>,
    state: Mutex<State>,
    /// Its own, in nanoseconds, from the start on; [`UNKNOWN`] before.
    latency: AtomicI64,
}

impl State {
    /// Lets the listener say what it can, after tagging what it wants tagged.
    fn pump(&mut self, ended: bool, out: &mut Vec<Out>) -> Result<(), models::ModelError> {
        let Some(listening) = &mut self.listening else {
            return Ok(());
        };
        if let Some(ears) = &mut self.ears {
            self.stats.patches += ears.answer(listening, ended)?;
        }
        while let Some(cue) = listening.next_cue() {
            self.stats.cues += 1;
            self.stats.onsets += u64::from(cue.onset.is_some());
            let mut buffer = gst::Buffer::from_slice(carry::cue_to_text(&cue).into_bytes());
            {
                let buffer = buffer.make_mut();
                let segment = self.segment.as_ref();
                buffer.set_pts(segment.and_then(|s| pads::buffer_time(s, cue.pts)));
                buffer.set_duration(gst::ClockTime::from_nseconds(HOP.get() as u64));
                if !std::mem::replace(&mut self.goes_on, true) {
                    buffer.set_flags(gst::BufferFlags::DISCONT);
                }
            }
            out.push(Out::Buffer(buffer));
        }
        Ok(())
    }

    /// The sound is interrupted here: says what is left to say.
    fn finish(&mut self, out: &mut Vec<Out>) -> Result<(), models::ModelError> {
        if let Some(listening) = &mut self.listening {
            listening.finish();
        }
        self.pump(true, out)?;
        self.listening = None;
        Ok(())
    }

    fn hear(&mut self, buffer: gst::Buffer, out: &mut Vec<Out>) -> Result<(), models::ModelError> {
        self.stats.buffers += 1;
        let Some(segment) = self.segment.clone() else {
            return Ok(());
        };
        let size = size_of::<f32>();
        let Some(buffer) =
            gst_audio::audio_buffer_clip(buffer, segment.upcast_ref(), RATE as u32, size as u32)
        else {
            return Ok(());
        };
        let stated = buffer
            .pts()
            .and_then(|pts| pads::stream_time(&segment, pts));
        {
            let Ok(map) = buffer.map_readable() else {
                return Ok(());
            };
            self.samples.clear();
            let bytes = map.chunks_exact(size);
            self.samples
                .extend(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        let (samples, last) = (&self.samples, &self.last);
        let arrival = self.stretch.arrive(stated, |by| repeats(samples, last, by));
        let (begin, skip) = match arrival {
            Arrival::Follow { skip, back } => {
                if let Some(by) = back.filter(|_| !std::mem::replace(&mut self.told.back, true)) {
                    let at = stated.unwrap_or(Nanos::ZERO);
                    self.news.push(format!(
                        "the sound's times step back, first by {by} at {at} (were packets lost, or does its clock run fast?): it goes on by its samples, and what comes twice is left out"
                    ));
                }
                (None, skip)
            }
            Arrival::Begin { at, skip, hole } => {
                self.finish(out)?;
                if let Some(gap) = gap(&segment, hole, at) {
                    out.push(Out::Event(gap));
                }
                if let Some(from) = hole {
                    self.missing(from, at);
                }
                (Some(at), skip)
            }
        };
        let samples = self.samples.get(skip..).unwrap_or_default();
        if samples.is_empty() {
            return Ok(());
        }
        if let Some(start) = begin {
            self.last.clear();
            self.listening = self.ears.as_mut().map(|ears| ears.listener(start));
        }
        if let Some(listening) = &mut self.listening {
            listening.push(samples);
            self.stretch.hear(begin, samples.len());
            self.stats.samples += samples.len() as u64;
        }
        let spare = samples.len().saturating_sub(REMEMBERED);
        let surplus = (self.last.len() + samples.len() - spare).saturating_sub(REMEMBERED);
        self.last.drain(..surplus.min(self.last.len()));
        self.last.extend(&samples[spare..]);
        self.pump(false, out)
    }

    /// Upstream says that nothing sounds before `until`; whether that is news.
    fn silent(
        &mut self,
        until: Option<Nanos>,
        out: &mut Vec<Out>,
    ) -> Result<(), models::ModelError> {
        let silent = until.and_then(|until| self.stretch.silent(until));
        if let Some((from, until)) = silent {
            self.finish(out)?;
            let segment = self.segment.clone();
            let gap = segment.and_then(|segment| gap(&segment, Some(from), until));
            // Whoever sends gaps knows that nothing is there: no loss, and at the end of the sound no news.
            out.extend(gap.map(Out::Event));
        }
        Ok(())
    }

    /// Nothing sounds between these. What a decoder or a demuxer rounds off, or leaves at the end, is not worth a word.
    fn missing(&mut self, from: Nanos, until: Nanos) {
        let length = until - from;
        if length >= TOLD_HOLE && !std::mem::replace(&mut self.told.hole, true) {
            self.news.push(format!(
                "the sound has a hole of {length} at {from} (was something lost on the way?): nothing is heard there; further holes are not told"
            ));
        }
    }
}

/// Whether samples are those that ended so many samples ago.
fn repeats(samples: &[f32], last: &VecDeque<f32>, by: usize) -> bool {
    let Some(from) = last.len().checked_sub(by) else {
        return false;
    };
    let (mut apart, mut all) = (0.0_f64, 0.0_f64);
    for (a, b) in samples.iter().zip(last.range(from..)).take(COMPARED) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        apart += (a - b) * (a - b);
        all += a * a;
    }
    // Silence is like any other silence.
    all > 1e-6 && apart < 0.01 * all
}

/// The GAP event for `[from, to)`.
fn gap(
    segment: &gst::FormattedSegment<gst::ClockTime>,
    from: Option<Nanos>,
    to: Nanos,
) -> Option<gst::Event> {
    let from = from?;
    let length = u64::try_from((to - from).get()).ok().filter(|&ns| ns > 0)?;
    let pts = pads::buffer_time(segment, from)?;
    Some(
        gst::event::Gap::builder(pts)
            .duration(gst::ClockTime::from_nseconds(length))
            .build(),
    )
}

/// A string property's value, or what stands for none.
fn text(value: &glib::Value, otherwise: &str) -> String {
    value
        .get::<Option<String>>()
        .ok()
        .flatten()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| otherwise.into())
}

impl Eventness {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the state, then pushes what came of it.
    fn work(
        &self,
        work: impl FnOnce(&mut State, &mut Vec<Out>) -> Result<(), models::ModelError>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let began = Instant::now();
        let mut out = Vec::new();
        let (worked, news) = {
            let mut state = self.state();
            let worked = work(&mut state, &mut out);
            state.stats.busy_ns += began.elapsed().as_nanos() as u64;
            (worked, std::mem::take(&mut state.news))
        };
        for news in news {
            gst::element_imp_warning!(self, gst::StreamError::Decode, ("{news}"));
        }
        if let Err(error) = worked {
            gst::element_imp_error!(self, gst::LibraryError::Failed, ("{}", shown(&error)));
            return Err(gst::FlowError::Error);
        }
        for out in out {
            match out {
                Out::Buffer(buffer) => {
                    self.src.push(buffer)?;
                }
                Out::Event(event) => {
                    self.src.push_event(event);
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    }

    fn sink_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Caps(_) => {
                let caps = gst::Caps::new_empty_simple(carry::CUE_CAPS);
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
                        ("the sound's segment is not in time format (is this raw data without timestamps?)")
                    );
                    return false;
                };
                // What was heard belongs to the old segment.
                let pushed = self.work(|state, out| state.finish(out));
                {
                    let mut state = self.state();
                    state.segment = Some(segment);
                    state.goes_on = false;
                    state.stretch.enter();
                }
                if pushed.is_err() {
                    return false;
                }
            }
            gst::EventView::Gap(gap) => {
                let (pts, length) = gap.get();
                let until = pts + length.unwrap_or(gst::ClockTime::ZERO);
                if self.state().stretch.sounds() {
                    // What is told downstream begins where the sound ended, and only if that is more than jitter.
                    let told = self.work(|state, out| {
                        let segment = state.segment.as_ref();
                        let until = segment.and_then(|segment| pads::stream_time(segment, until));
                        state.silent(until, out)
                    });
                    return told.is_ok();
                }
            }
            gst::EventView::FlushStop(_) => {
                let mut state = self.state();
                state.listening = None;
                state.segment = None;
                state.goes_on = false;
                state.stretch = Stretch::default();
                state.last.clear();
            }
            gst::EventView::Eos(_) => {
                let pushed = self.work(|state, out| state.finish(out));
                if let Err(error) = pushed {
                    gst::debug!(CAT, imp = self, "last cues were refused: {error}");
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
                    UNKNOWN => ears::latency(&self.settings().clone()),
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
            // Cues need no buffers of upstream's kind.
            gst::QueryView::Allocation(_) => false,
            _ => gst::Pad::query_default(pad, Some(&*self.obj()), query),
        }
    }

    fn report(&self) {
        let stats = self.state().stats;
        let message = carry::stats_message(
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
        // Without a bus there is nobody to tell.
        let _ = self.obj().post_message(message);
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let settings = self.settings().clone();
        let mut state = State::default();
        match Ears::load(&settings) {
            Ok(ears) => {
                self.latency.store(ears.latency().get(), Ordering::Relaxed);
                state.ears = Some(ears);
            }
            Err(error) => {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{}", shown(&error)));
                return Err(gst::StateChangeError);
            }
        }
        *self.state() = state;
        Ok(())
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
            latency: AtomicI64::new(UNKNOWN),
        }
    }
}

impl ObjectImpl for Eventness {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let settings = Settings::default();
            vec![
                glib::ParamSpecString::builder("probe")
                    .nick("Onset probe")
                    .blurb("What finds the instants at which something begins: energy, flux (no model), onset (flux and small networks), onset+tcn (those and a larger one, half a second later), tagger (the tagger's largest probability), tagger-novelty (how its embedding changes), or the name or path of a manifest of kind probe (any embedding with a head)")
                    .default_value(settings.probe.as_str())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("weights")
                    .nick("Probe weights")
                    .blurb("Weights of the probes onset and onset+tcn: a safetensors file that `earmark fit` wrote (empty: those built in)")
                    .default_value(settings.weights.as_str())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("tagger")
                    .nick("Sound tagger")
                    .blurb("Model that names what is heard: a manifest's name (e.g. yamnet) or path, or none")
                    .default_value(settings.tagger.as_str())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("tagging", settings.tagging)
                    .nick("What is named")
                    .blurb("What the tagger is shown: where something probably begins, or all of the sound")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecString::builder("vad")
                    .nick("Voice activity detector")
                    .blurb("Model that hears whether somebody speaks: a manifest's name (e.g. silero-vad) or path, or none: then speech is what the tagger says it is")
                    .default_value(settings.vad.as_str())
                    .mutable_ready()
                    .build(),
                glib::ParamSpecEnum::builder_with_default("speech", settings.speech)
                    .nick("Speech")
                    .blurb("What becomes of speech: whether onsets in it may be anchors, and whether cues tell of it")
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("threads")
                    .nick("Model threads")
                    .blurb("Threads that the tagger and an embedding may use, count (0: as many as there are processors)")
                    .maximum(64)
                    .default_value(settings.threads)
                    .mutable_ready()
                    .build(),
                glib::ParamSpecUInt::builder("batch")
                    .nick("Patches at once")
                    .blurb("How many patches the tagger is shown at once, count; with more than one they wait for each other, up to 15.36 s of sound, so leave it alone where cues are awaited")
                    .minimum(1)
                    .maximum(64)
                    .default_value(settings.batch)
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = self.settings();
        match pspec.name() {
            "probe" => settings.probe = text(value, ears::DEFAULT),
            "weights" => settings.weights = text(value, ""),
            "tagger" => settings.tagger = text(value, NONE),
            "tagging" => settings.tagging = value.get().unwrap_or_default(),
            "vad" => settings.vad = text(value, NONE),
            "speech" => settings.speech = value.get().unwrap_or_default(),
            "threads" => settings.threads = value.get().unwrap_or(1),
            "batch" => settings.batch = value.get().unwrap_or(1),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = self.settings();
        match pspec.name() {
            "probe" => settings.probe.to_value(),
            "weights" => settings.weights.to_value(),
            "tagger" => settings.tagger.to_value(),
            "tagging" => settings.tagging.to_value(),
            "vad" => settings.vad.to_value(),
            "speech" => settings.speech.to_value(),
            "batch" => settings.batch.to_value(),
            _ => settings.threads.to_value(),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.sink, &self.src] {
            if let Err(error) = element.add_pad(pad) {
                gst::error!(CAT, imp = self, "{error}");
            }
        }
    }
}

impl GstObjectImpl for Eventness {}

impl ElementImpl for Eventness {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Earmark listener",
                "Analyzer/Audio",
                "Says for every 80 ms of sound whether something begins, how sure that is and what is heard",
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
            let cues = gst::Caps::new_empty_simple(carry::CUE_CAPS);
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
            self.latency.store(UNKNOWN, Ordering::Relaxed);
        }
        Ok(done)
    }
}
