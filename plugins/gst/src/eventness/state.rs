//! What the element knows of the sound, and the cues that come of it. No pads, no locks.

use std::collections::VecDeque;

use anchoring::cue::HOP;
use anchoring::listen::Listener;
use anchoring::stretch::{Arrival, Stretch};
use anchoring::time::Nanos;

use super::sound_models::SoundModels;
use crate::models::ModelError;
use crate::{pads, structures};

pub(super) const RATE: i64 = 16_000;
/// Samples remembered, to know what comes a second time: two seconds of them.
const REMEMBERED: usize = 2 * RATE as usize;
/// So many are compared, at most.
const COMPARED: usize = 4096;
/// Holes of the sound shorter than this are not told.
const TOLD_HOLE: Nanos = Nanos::from_ms(250);
/// Stopped (nothing loaded, no segment); waiting for sound (no listener: at the start, after a flush, a hole or a gap);
/// or listening. When what is heard sounds, [`Stretch`] says.
///
/// One lock. It is held while the models work, since only the streaming thread waits for it, and never while something
/// is pushed or posted.
#[derive(Default)]
pub(super) struct State {
    pub(super) models: Option<SoundModels>,
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) listening: Option<Listener>,
    pub(super) stretch: Stretch,
    samples: Vec<f32>,
    /// A cue has passed since the segment, the flush or the start; the first one is marked.
    pub(super) goes_on: bool,
    /// The last of them that were heard.
    pub(super) last: VecDeque<f32>,
    /// What a person is to be told, each once.
    pub(super) warnings: Vec<String>,
    warned: Warned,
    pub(super) stats: Stats,
}

/// What a person was told of.
#[derive(Clone, Copy, Default)]
struct Warned {
    hole: bool,
    back: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Stats {
    pub(super) buffers: u64,
    pub(super) samples: u64,
    pub(super) cues: u64,
    pub(super) onsets: u64,
    pub(super) patches: u64,
    pub(super) busy_ns: u64,
}

pub(super) enum Out {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

impl State {
    /// Lets the listener say what it can, after tagging what it wants tagged.
    fn pump(&mut self, ended: bool, out: &mut Vec<Out>) -> Result<(), ModelError> {
        let Some(listening) = &mut self.listening else {
            return Ok(());
        };
        if let Some(models) = &mut self.models {
            self.stats.patches += models.answer(listening, ended)?;
        }
        while let Some(cue) = listening.next_cue() {
            self.stats.cues += 1;
            self.stats.onsets += u64::from(cue.onset.is_some());
            let mut buffer = gst::Buffer::from_slice(structures::cue_to_text(&cue).into_bytes());
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
    pub(super) fn finish(&mut self, out: &mut Vec<Out>) -> Result<(), ModelError> {
        if let Some(listening) = &mut self.listening {
            listening.finish();
        }
        self.pump(true, out)?;
        self.listening = None;
        Ok(())
    }

    pub(super) fn hear(
        &mut self,
        buffer: gst::Buffer,
        out: &mut Vec<Out>,
    ) -> Result<(), ModelError> {
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
                if let Some(by) = back.filter(|_| !std::mem::replace(&mut self.warned.back, true)) {
                    let at = stated.unwrap_or(Nanos::ZERO);
                    self.warnings.push(format!(
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
            self.listening = self.models.as_mut().map(|models| models.listener(start));
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
    pub(super) fn silent(
        &mut self,
        until: Option<Nanos>,
        out: &mut Vec<Out>,
    ) -> Result<(), ModelError> {
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
        if length >= TOLD_HOLE && !std::mem::replace(&mut self.warned.hole, true) {
            self.warnings.push(format!(
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
