//! Raw sound put right before it is mixed down: stamps that stand still, channels in opposite phase.
//!
//! Both have to be seen where the sound still has its channels and its own rate: a resampler begins anew at every stamp that does not follow,
//! and what two channels cancel is gone once they are one.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

use super::warnings::Warnings;

/// One in so many samples is looked at.
const STRIDE: usize = 4;
/// Channels are in opposite phase where their sum holds less than this share of what they hold.
const LEFT: f64 = 0.02;
/// Mean square below which nothing sounds: -80 dBFS.
const SILENCE: f64 = 1e-8;

/// From now on, mends what comes to the elements that convert and resample for the listener.
pub(super) fn mend(pipeline: &gst::Pipeline, warnings: &Warnings) {
    let ears = pipeline.iterate_all_by_element_factory_name("eventness");
    for ears in ears.into_iter().flatten() {
        let Some(pad) = ears.static_pad("sink").and_then(|pad| entry(&pad)) else {
            continue;
        };
        let mender = Mutex::new(Mender {
            warnings: warnings.clone(),
            ..Mender::default()
        });
        let kinds = gst::PadProbeType::BUFFER
            | gst::PadProbeType::BUFFER_LIST
            | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(kinds, move |pad, info| {
            let mut mender = mender.lock().unwrap_or_else(PoisonError::into_inner);
            let gap = info
                .event()
                .is_some_and(|e| e.type_() == gst::EventType::Gap);
            if gap && mender.stands() {
                drop(info.data.take());
                return gst::PadProbeReturn::Handled;
            }
            mender.look(pad, info);
            gst::PadProbeReturn::Ok
        });
    }
}

/// Where sound comes to the first of the converters before a pad.
fn entry(pad: &gst::Pad) -> Option<gst::Pad> {
    let mut entry = None;
    let mut next = pad.peer();
    // A graph has an end; a loop is none that plays.
    for _ in 0..100 {
        let Some(element) = next.and_then(|pad| pad.parent_element()) else {
            break;
        };
        let sink = element.static_pad("sink");
        let factory = element.factory().map(|factory| factory.name());
        if factory.is_some_and(|name| name == "audioconvert" || name == "audioresample") {
            entry.clone_from(&sink);
        }
        next = sink.and_then(|sink| sink.peer());
    }
    entry
}

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S16,
    S32,
    F32,
    F64,
}

impl Kind {
    fn of(format: gst_audio::AudioFormat) -> Option<Self> {
        match format {
            gst_audio::AudioFormat::S16le => Some(Self::S16),
            gst_audio::AudioFormat::S32le => Some(Self::S32),
            gst_audio::AudioFormat::F32le => Some(Self::F32),
            gst_audio::AudioFormat::F64le => Some(Self::F64),
            _ => None,
        }
    }

    const fn width(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::S32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// A sample in [-1, 1].
    fn read(self, b: &[u8]) -> f64 {
        match (self, b) {
            (Self::S16, &[a, b, ..]) => f64::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Self::S32, &[a, b, c, d, ..]) => {
                f64::from(i32::from_le_bytes([a, b, c, d])) / 2_147_483_648.0
            }
            (Self::F32, &[a, b, c, d, ..]) => f32::from_le_bytes([a, b, c, d]).into(),
            (Self::F64, &[a, b, c, d, e, f, g, h, ..]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h])
            }
            _ => 0.0,
        }
    }

    /// Turns a sample round.
    fn turn(self, sample: &mut [u8]) {
        match (self, sample) {
            (Self::S16, [a, b, ..]) => {
                let turned = i16::from_le_bytes([*a, *b]).saturating_neg();
                [*a, *b] = turned.to_le_bytes();
            }
            (Self::S32, [a, b, c, d, ..]) => {
                let turned = i32::from_le_bytes([*a, *b, *c, *d]).saturating_neg();
                [*a, *b, *c, *d] = turned.to_le_bytes();
            }
            // The sign is the last byte's first bit.
            (Self::F32, [.., last]) | (Self::F64, [.., last]) => *last ^= 0x80,
            _ => {}
        }
    }
}

/// How two channels lie in a buffer.
#[derive(Clone, Copy, Debug)]
struct Layout {
    kind: Kind,
    /// Bytes from a sample to the next of its channel, and from the first channel to the second.
    step: usize,
    second: usize,
}

impl Layout {
    /// Where the first two channels of so many bytes lie; `None` where there are none.
    fn of(info: &gst_audio::AudioInfo, bytes: usize) -> Option<Self> {
        let kind = Kind::of(info.format())?;
        let channels = info.channels() as usize;
        if channels != 2 {
            return None;
        }
        Some(match info.layout() {
            gst_audio::AudioLayout::NonInterleaved => Self {
                kind,
                step: kind.width(),
                second: bytes / channels,
            },
            _ => Self {
                kind,
                step: kind.width() * channels,
                second: kind.width(),
            },
        })
    }

    /// Whether the two channels cancel each other.
    fn opposed(self, bytes: &[u8]) -> bool {
        let (mut all, mut sum, mut n) = (0.0, 0.0, 0.0);
        let ends = bytes.len().min(if self.step == self.kind.width() {
            self.second
        } else {
            bytes.len()
        });
        let mut at = 0;
        while at + self.kind.width() <= ends {
            let left = self.kind.read(&bytes[at..]);
            let right = bytes
                .get(at + self.second..)
                .map_or(0.0, |b| self.kind.read(b));
            all += left * left + right * right;
            sum += (left + right) * (left + right);
            n += 1.0;
            at += STRIDE * self.step;
        }
        all > SILENCE * n && sum < LEFT * all
    }

    /// Turns the second channel round.
    fn turn(self, bytes: &mut [u8]) {
        let (width, step) = (self.kind.width(), self.step);
        let channel = bytes.get_mut(self.second..).unwrap_or_default();
        for sample in channel.chunks_mut(step) {
            if let Some(sample) = sample.get_mut(..width) {
                self.kind.turn(sample);
            }
        }
    }
}

/// What is known of the sound so far.
#[derive(Default)]
struct Mender {
    info: Option<(gst::Caps, Option<gst_audio::AudioInfo>)>,
    /// The last stamp as it came.
    stamp: Option<gst::ClockTime>,
    /// Where the last buffer ended.
    end: Option<gst::ClockTime>,
    /// How many came, and whether their stamps stand still.
    count: u64,
    still: bool,
    warnings: Warnings,
}

impl Mender {
    /// Whether the stamps stand still, or may: a demuxer that goes by them takes such sound for a gap.
    const fn stands(&self) -> bool {
        self.still || self.count == 1
    }

    fn look(&mut self, pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>) {
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => self.buffer(pad, buffer),
            Some(gst::PadProbeData::BufferList(list)) => {
                let mended = list.iter_owned().map(|mut buffer| {
                    self.buffer(pad, &mut buffer);
                    buffer
                });
                *list = mended.collect();
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
            self.warnings.push(format!(
                "the sound's times stand still at {:.3} s: its samples are counted instead",
                self.stamp.unwrap_or_default().nseconds() as f64 / 1e9
            ));
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
        let opposed = buffer.map_readable().is_ok_and(|map| layout.opposed(&map));
        if opposed && let Ok(mut map) = buffer.make_mut().map_writable() {
            layout.turn(&mut map);
            drop(map);
            self.warnings.push(
                "the sound's two channels are in opposite phase (is a microphone wired the wrong way round?): mixed down they would cancel each other, so one is turned round",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_in_opposite_phase_are_turned_and_others_stay() {
        let left: Vec<f64> = (0..400).map(|i| 0.5 * (f64::from(i) * 0.3).sin()).collect();
        for kind in [Kind::S16, Kind::S32, Kind::F32, Kind::F64] {
            let write = |x: f64| match kind {
                Kind::S16 => ((x * 32_767.0) as i16).to_le_bytes().to_vec(),
                Kind::S32 => ((x * 2_147_483_647.0) as i32).to_le_bytes().to_vec(),
                Kind::F32 => (x as f32).to_le_bytes().to_vec(),
                Kind::F64 => x.to_le_bytes().to_vec(),
            };
            let width = kind.width();
            let together = Layout {
                kind,
                step: 2 * width,
                second: width,
            };
            let apart = Layout {
                kind,
                step: width,
                second: 400 * width,
            };
            let sound = |layout: Layout, right: f64| -> Vec<u8> {
                if layout.step == width {
                    let channel = |by: f64| left.iter().flat_map(move |x| write(by * x));
                    channel(1.0).chain(channel(right)).collect()
                } else {
                    left.iter()
                        .flat_map(|x| [write(*x), write(right * x)].concat())
                        .collect()
                }
            };
            for layout in [together, apart] {
                for right in [1.0, 0.0, -0.2] {
                    assert!(!layout.opposed(&sound(layout, right)), "{layout:?} {right}");
                }
                let mut opposite = sound(layout, -1.0);
                assert!(layout.opposed(&opposite), "{layout:?}");
                layout.turn(&mut opposite);
                assert_eq!(opposite, sound(layout, 1.0), "{layout:?}");
                assert!(!layout.opposed(&[]) && !layout.opposed(&[0; 100]));
            }
        }
    }
}
