//! Repairs raw audio before it is mixed down: timestamps that stand still, and channels in opposite phase.
//!
//! Both faults are visible only while the audio has its own channels and rate: a resampler restarts at every timestamp that does not follow,
//! and mixing loses what two channels cancel.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

use crate::pads;

/// Only one in this many samples is compared.
const STRIDE: usize = 4;
/// Channels are in opposite phase if their sum has less than this share of their energy.
const MOST_LEFT: f64 = 0.02;
/// Mean square of silence: -80 dBFS.
const SILENCE: f64 = 1e-8;
/// Most channels that are compared.
const MOST_CHANNELS: usize = 16;

/// A pad probe that repairs audio; dropping it removes the probe.
pub(super) struct AudioRepair(gst::Pad, Option<gst::PadProbeId>);

impl AudioRepair {
    /// Repairs the audio before the converters and resamplers upstream of this pad, if there are any.
    pub(super) fn before(pad: &gst::Pad, warn: impl Fn(&str) + Send + 'static) -> Option<Self> {
        let pad = entry(pad)?;
        let probe = repair_audio(&pad, warn);
        Some(Self(pad, probe))
    }
}

impl Drop for AudioRepair {
    fn drop(&mut self) {
        if let Some(probe) = self.1.take() {
            self.0.remove_probe(probe);
        }
    }
}

/// Repairs the raw audio at a pad, and warns once per kind of repair.
pub fn repair_audio(
    pad: &gst::Pad,
    warn: impl Fn(&str) + Send + 'static,
) -> Option<gst::PadProbeId> {
    let repair = Mutex::new(Repair {
        warn: Box::new(warn),
        info: None,
        stamp: None,
        end: None,
        count: 0,
        still: false,
        warned_of_still: false,
        warned_of_opposed: false,
    });
    let kinds = gst::PadProbeType::BUFFER
        | gst::PadProbeType::BUFFER_LIST
        | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let mut repair = repair.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = info
            .event()
            .is_some_and(|e| e.type_() == gst::EventType::Gap);
        if gap && repair.may_stand_still() {
            drop(info.data.take());
            return gst::PadProbeReturn::Handled;
        }
        repair.inspect(pad, info);
        gst::PadProbeReturn::Ok
    })
}

/// The sink pad of the first converter before a pad.
fn entry(pad: &gst::Pad) -> Option<gst::Pad> {
    let mut entry = None;
    for (element, _) in pads::before(pad) {
        let factory = element.factory().map(|factory| factory.name());
        if factory.is_some_and(|name| name == "audioconvert" || name == "audioresample") {
            entry = element.static_pad("sink");
        }
    }
    entry
}

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    /// Integers of this many bytes, at most four; true: big-endian.
    Whole(usize, bool),
    F32,
    F64,
}

impl Sample {
    fn of(format: gst_audio::AudioFormat) -> Option<Self> {
        let info = gst_audio::AudioFormatInfo::from_format(format);
        let big = info.endianness() == gst_audio::AudioEndianness::BigEndian;
        let bytes = info.width() as usize / 8;
        match format {
            gst_audio::AudioFormat::F32le => Some(Self::F32),
            gst_audio::AudioFormat::F64le => Some(Self::F64),
            _ if info.is_integer() && info.is_signed() && info.width() == info.depth() => {
                (2..=4).contains(&bytes).then_some(Self::Whole(bytes, big))
            }
            _ => None,
        }
    }

    const fn width(self) -> usize {
        match self {
            Self::Whole(bytes, _) => bytes,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// An integer, shifted to the upper bytes of 32 bits.
    fn whole(bytes: &[u8], big: bool) -> i32 {
        let upper = |number: i32, byte: &u8| number << 8 | i32::from(*byte);
        let number = match big {
            true => bytes.iter().fold(0, upper),
            false => bytes.iter().rev().fold(0, upper),
        };
        number << (32 - 8 * bytes.len().clamp(1, 4))
    }

    /// A sample in [-1, 1]; 0 if there is none.
    fn read(self, bytes: &[u8]) -> f64 {
        let Some(bytes) = bytes.get(..self.width()) else {
            return 0.0;
        };
        match (self, bytes) {
            (Self::Whole(_, big), bytes) => f64::from(Self::whole(bytes, big)) / 2_147_483_648.0,
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]).into(),
            (Self::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0.0,
        }
    }

    /// Inverts a sample.
    fn invert(self, sample: &mut [u8]) {
        match (self, sample) {
            (Self::Whole(width, big), sample) if sample.len() == width => {
                let inverted = Self::whole(sample, big).saturating_neg();
                if big {
                    sample.copy_from_slice(&inverted.to_be_bytes()[..width]);
                } else {
                    sample.copy_from_slice(&inverted.to_le_bytes()[4 - width..]);
                }
            }
            // The sign is the last byte's first bit.
            (Self::F32 | Self::F64, [.., last]) => *last ^= 0x80,
            _ => {}
        }
    }
}

/// How channels lie in a buffer.
#[derive(Clone, Copy, Debug)]
struct Layout {
    kind: Sample,
    channels: usize,
    /// Samples of a channel.
    frames: usize,
    /// Bytes from a sample to the next of its channel, and from a channel to the next.
    step: usize,
    next: usize,
}

impl Layout {
    /// The layout of a buffer of this many bytes; `None` for a single channel, or too many.
    fn of(info: &gst_audio::AudioInfo, bytes: usize) -> Option<Self> {
        let kind = Sample::of(info.format())?;
        let channels = info.channels() as usize;
        if !(2..=MOST_CHANNELS).contains(&channels) {
            return None;
        }
        let together = info.layout() != gst_audio::AudioLayout::NonInterleaved;
        Some(Self::new(kind, channels, bytes, together))
    }

    const fn new(kind: Sample, channels: usize, bytes: usize, together: bool) -> Self {
        let (width, frames) = (kind.width(), bytes / channels / kind.width());
        let (step, next) = match together {
            true => (width * channels, width),
            false => (width, width * frames),
        };
        Self {
            kind,
            channels,
            frames,
            step,
            next,
        }
    }

    fn sample(self, bytes: &[u8], channel: usize, frame: usize) -> f64 {
        let at = channel * self.next + frame * self.step;
        bytes.get(at..).map_or(0.0, |bytes| self.kind.read(bytes))
    }

    /// The channels to invert: each cancels an earlier one, after inversion of those found before.
    fn opposed(self, bytes: &[u8]) -> Vec<usize> {
        let mut turned: Vec<usize> = Vec::new();
        for channel in 1..self.channels {
            let opposes = |other: &usize| {
                let sign = if turned.contains(other) { -1.0 } else { 1.0 };
                self.cancel(bytes, *other, channel, sign)
            };
            if (0..channel).any(|other| opposes(&other)) {
                turned.push(channel);
            }
        }
        turned
    }

    /// Whether two channels cancel each other, the first one times `sign`.
    fn cancel(self, bytes: &[u8], one: usize, other: usize, sign: f64) -> bool {
        let (mut all, mut sum, mut n) = (0.0, 0.0, 0.0);
        for frame in (0..self.frames).step_by(STRIDE) {
            let left = sign * self.sample(bytes, one, frame);
            let right = self.sample(bytes, other, frame);
            all += left * left + right * right;
            sum += (left + right) * (left + right);
            n += 1.0;
        }
        all > SILENCE * n && sum < MOST_LEFT * all
    }

    /// Inverts a channel.
    fn invert(self, bytes: &mut [u8], channel: usize) {
        for frame in 0..self.frames {
            let at = channel * self.next + frame * self.step;
            if let Some(sample) = bytes.get_mut(at..at + self.kind.width()) {
                self.kind.invert(sample);
            }
        }
    }
}

/// The state of a repair.
struct Repair {
    warn: Box<dyn Fn(&str) + Send>,
    info: Option<(gst::Caps, Option<gst_audio::AudioInfo>)>,
    /// The last timestamp, as it came.
    stamp: Option<gst::ClockTime>,
    /// End of the last buffer.
    end: Option<gst::ClockTime>,
    /// Buffers so far, and whether their timestamps stand still.
    count: u64,
    still: bool,
    warned_of_still: bool,
    warned_of_opposed: bool,
}

impl Repair {
    /// Whether timestamps stand still, or may: a demuxer that trusts them sends a GAP for such audio.
    const fn may_stand_still(&self) -> bool {
        self.still || self.count == 1
    }

    fn inspect(&mut self, pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>) {
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => self.buffer(pad, buffer),
            Some(gst::PadProbeData::BufferList(list)) => {
                let repaired = list.iter_owned().map(|mut buffer| {
                    self.buffer(pad, &mut buffer);
                    buffer
                });
                *list = repaired.collect();
            }
            _ => {}
        }
    }

    fn buffer(&mut self, pad: &gst::Pad, buffer: &mut gst::Buffer) {
        let Some(caps) = pad.current_caps() else {
            return;
        };
        if self.info.as_ref().is_none_or(|(known, _)| *known != caps) {
            let info = gst_audio::AudioInfo::from_caps(&caps).ok();
            self.info = Some((caps, info));
        }
        let Some((_, Some(info))) = &self.info else {
            return;
        };
        let (rate, frame) = (u64::from(info.rate()), u64::from(info.bpf()));
        let layout = Layout::of(info, buffer.size());
        let frames = (buffer.size() as u64).checked_div(frame).unwrap_or(0);
        let still = buffer.pts().is_some() && buffer.pts() == self.stamp && frames > 0;
        self.count += 1;
        self.still = still;
        if buffer.pts().is_some() {
            self.stamp = buffer.pts();
        }
        if let Some(end) = self.end.filter(|_| still) {
            let buffer = buffer.make_mut();
            buffer.set_pts(end);
            buffer.unset_flags(gst::BufferFlags::DISCONT);
            if !std::mem::replace(&mut self.warned_of_still, true) {
                (self.warn)(&format!(
                    "the audio's times stand still at {:.3} s: Earmark counts samples instead",
                    self.stamp.unwrap_or_default().nseconds() as f64 / 1e9
                ));
            }
        }
        let length = gst::ClockTime::SECOND.mul_div_floor(frames, rate.max(1));
        self.end = buffer
            .pts()
            .or(self.end)
            .zip(length)
            .map(|(pts, length)| pts + length);
        let Some(layout) = layout else {
            return;
        };
        let opposed = buffer.map_readable().map(|map| layout.opposed(&map));
        let opposed = opposed.unwrap_or_default();
        if !opposed.is_empty()
            && let Ok(mut map) = buffer.make_mut().map_writable()
        {
            for channel in opposed {
                layout.invert(&mut map, channel);
            }
            drop(map);
            if !std::mem::replace(&mut self.warned_of_opposed, true) {
                (self.warn)(
                    "two audio channels are in opposite phase (a microphone with reversed wiring?): Earmark inverts one, as they would cancel each other when mixed down",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_in_opposite_phase_are_inverted_and_others_stay() {
        let base: Vec<f64> = (0..400).map(|i| 0.5 * (f64::from(i) * 0.3).sin()).collect();
        let whole =
            [2, 3, 4].map(|width| [Sample::Whole(width, false), Sample::Whole(width, true)]);
        for kind in whole.concat().into_iter().chain([Sample::F32, Sample::F64]) {
            let write = |x: f64| match kind {
                Sample::Whole(width, big) => {
                    // Exact in any width.
                    let x = ((x * 32_767.0) as i32) << 16;
                    match big {
                        true => x.to_be_bytes()[..width].to_vec(),
                        false => x.to_le_bytes()[4 - width..].to_vec(),
                    }
                }
                Sample::F32 => (x as f32).to_le_bytes().to_vec(),
                Sample::F64 => x.to_le_bytes().to_vec(),
            };
            for together in [true, false] {
                // Each channel is the first one by a factor.
                let sound = |by: &[f64]| -> (Layout, Vec<u8>) {
                    let bytes: Vec<u8> = match together {
                        true => base
                            .iter()
                            .flat_map(|x| by.iter().flat_map(move |by| write(by * x)))
                            .collect(),
                        false => by
                            .iter()
                            .flat_map(|by| base.iter().flat_map(move |x| write(by * x)))
                            .collect(),
                    };
                    (Layout::new(kind, by.len(), bytes.len(), together), bytes)
                };
                for (by, opposed) in [
                    (&[1.0, 1.0][..], &[][..]),
                    (&[1.0, 0.0], &[]),
                    (&[1.0, -0.2], &[]),
                    (&[1.0, -1.0], &[1]),
                    (&[1.0, 0.3, -1.0], &[2]),
                    (&[1.0, -1.0, -1.0, 1.0], &[1, 2]),
                    (&[0.2, 0.0, 0.5, -0.5, 0.0, 0.0], &[3]),
                ] {
                    let (layout, mut bytes) = sound(by);
                    assert_eq!(layout.opposed(&bytes), opposed, "{layout:?} {by:?}");
                    for channel in opposed {
                        layout.invert(&mut bytes, *channel);
                    }
                    let mut turned = by.to_vec();
                    opposed.iter().for_each(|channel| turned[*channel] *= -1.0);
                    assert_eq!(bytes, sound(&turned).1, "{layout:?} {by:?}");
                }
                let (layout, _) = sound(&[1.0, 1.0]);
                assert!(layout.opposed(&[]).is_empty());
            }
        }
    }
}
