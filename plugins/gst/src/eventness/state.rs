//! The state of `eventness`: samples in, cues and gaps out. No pads, no locks.

use std::collections::VecDeque;

use anchoring::cue::HOP;
use anchoring::hearing::sample_clock::{Arrival, SampleClock};
use anchoring::listener::Listener;
use anchoring::time::Nanos;

use super::sound_models::SoundModels;
use crate::models::ModelError;
use crate::{pads, structures};

pub(super) const RATE: i64 = 16_000;
/// Samples kept to recognise repeated sound: two seconds.
const REMEMBERED: usize = 2 * RATE as usize;
/// Most samples that are compared.
const COMPARED: usize = 4096;
/// Missing audio shorter than this causes no warning.
const LEAST_WARNED: Nanos = Nanos::from_ms(250);
/// Stopped: nothing loaded, no segment. Waiting for sound: no listener, at the start and after a flush, lost data or a gap. Otherwise listening;
/// [`SampleClock`] knows the time of the sound.
///
/// One lock guards it. The streaming thread holds it while the models run, which blocks nobody, and never while it pushes or posts.
#[derive(Default)]
pub(super) struct State {
    pub(super) models: Option<SoundModels>,
    pub(super) segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    pub(super) listening: Option<Listener>,
    pub(super) clock: SampleClock,
    samples: Vec<f32>,
    /// False until the first cue after a start, a segment or a flush, which is marked DISCONT.
    pub(super) goes_on: bool,
    /// The last samples that the listener got.
    pub(super) last: VecDeque<f32>,
    /// Warnings to be posted, each once.
    pub(super) warnings: Vec<String>,
    warned: Warned,
    pub(super) stats: Stats,
}

/// Which warnings have been given.
#[derive(Clone, Copy, Default)]
struct Warned {
    lost: bool,
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

pub(super) enum Outgoing {
    Buffer(gst::Buffer),
    Event(gst::Event),
}

impl State {
    /// Runs the models that the listener asks for and collects the cues that are ready.
    fn pump(&mut self, ended: bool, out: &mut Vec<Outgoing>) -> Result<(), ModelError> {
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
            out.push(Outgoing::Buffer(buffer));
        }
        // At the end every cue is final. Before the first buffer, events have no place in the stream.
        let early = self.models.as_ref().is_some_and(SoundModels::early);
        if early && !ended && self.goes_on {
            while let Some(cue) = listening.next_early_cue() {
                out.push(Outgoing::Event(structures::early_cue_event(&cue)));
            }
        }
        Ok(())
    }

    /// The sound is interrupted here: outputs the remaining cues.
    pub(super) fn finish(&mut self, out: &mut Vec<Outgoing>) -> Result<(), ModelError> {
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
        out: &mut Vec<Outgoing>,
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
        let arrival = self.clock.arrive(stated, |by| repeats(samples, last, by));
        let (begin, skip) = match arrival {
            Arrival::Follow { skip, back } => {
                if let Some(by) = back.filter(|_| !std::mem::replace(&mut self.warned.back, true)) {
                    let at = stated.unwrap_or(Nanos::ZERO);
                    self.warnings.push(format!(
                        "the audio's times step back, first by {by} at {at} (were packets lost, or does its clock run fast?): eventness counts samples instead and drops repeated sound"
                    ));
                }
                (None, skip)
            }
            Arrival::Begin {
                at,
                skip,
                missing_since,
            } => {
                self.finish(out)?;
                if let Some(gap) = gap(&segment, missing_since, at) {
                    out.push(Outgoing::Event(gap));
                }
                if let Some(from) = missing_since {
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
            self.clock.advance(begin, samples.len());
            self.stats.samples += samples.len() as u64;
        }
        let spare = samples.len().saturating_sub(REMEMBERED);
        let surplus = (self.last.len() + samples.len() - spare).saturating_sub(REMEMBERED);
        self.last.drain(..surplus.min(self.last.len()));
        self.last.extend(&samples[spare..]);
        self.pump(false, out)
    }

    /// Upstream says that there is no sound before `until`.
    pub(super) fn silent(
        &mut self,
        until: Option<Nanos>,
        out: &mut Vec<Outgoing>,
    ) -> Result<(), ModelError> {
        let silent = until.and_then(|until| self.clock.no_sound_until(until));
        if let Some((from, until)) = silent {
            self.finish(out)?;
            let segment = self.segment.clone();
            let gap = segment.and_then(|segment| gap(&segment, Some(from), until));
            // A GAP is not a loss, so it causes no warning.
            out.extend(gap.map(Outgoing::Event));
        }
        Ok(())
    }

    /// Audio is missing between these. Rounding by a decoder or demuxer causes no warning.
    fn missing(&mut self, from: Nanos, until: Nanos) {
        let length = until - from;
        if length >= LEAST_WARNED && !std::mem::replace(&mut self.warned.lost, true) {
            self.warnings.push(format!(
                "the audio has no data for {length} from {from} on (was data lost on the way?): that time has no cues, and further losses cause no warning"
            ));
        }
    }
}

/// Whether these samples equal those that lie `by` samples before the end.
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
    // Silence always matches silence.
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
