//! Measures the video in the first pass: frame times, keyframes, stretches without frames, and how much it changes.

use std::sync::{Arc, Mutex};

use anchoring::discontinuity::{DiscontinuityFinder, MIN_LENGTH};
use anchoring::planning::change::FrameKind;
use anchoring::time::{Nanos, Window};
use anyhow::Context;
use gst::prelude::*;
use gstearmark::anchorgate::{DisplayTimes, Timestamps};
use gstearmark::pads::stream_time;

use super::changes::Changes;
use super::frame_times::FrameTimes;
use super::spans::MOST_DISCONTINUITIES;
use super::taps::{end, lock};

/// Keyframes closer than this to the last noted one are skipped.
const KEYS_APART: Nanos = Nanos::from_ms(100);
/// Most keyframes noted: 100 hours at two per second.
const MOST_KEYS: usize = 720_000;

/// What is known about the video so far.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// Computes presentation times for access units that have only decoding times.
    order: DisplayTimes<AccessUnit>,
    pub failed: Option<anyhow::Error>,
    /// No two closer than [`KEYS_APART`], at most [`MOST_KEYS`].
    pub keyframes: Vec<Nanos>,
    pub count: u64,
    pub first: Option<Nanos>,
    pub last: Nanos,
    pub stop: Nanos,
    pub frame_times: FrameTimes,
    pub finder: DiscontinuityFinder,
    /// At most [`MOST_DISCONTINUITIES`], and their total length.
    pub discontinuities: Vec<Window>,
    pub missing: Nanos,
    /// `None` unless it is requested.
    pub changes: Option<Changes>,
}

/// An access unit whose presentation time is not known yet.
#[derive(Debug)]
struct AccessUnit {
    length: Option<Nanos>,
    keyframe: bool,
    bytes: usize,
    kind: FrameKind,
}

impl Measure {
    /// With `change`, also measures how much the video changes.
    pub(super) fn new(change: bool) -> Self {
        Self {
            changes: change.then(Changes::default),
            ..Self::default()
        }
    }

    pub(super) fn frame_came(&mut self, at: Nanos, length: Option<Nanos>, keyframe: bool) {
        self.count += 1;
        self.frame_times.note(at);
        let window = self.finder.push(at);
        if let Some(window) = window.filter(|_| self.discontinuities.len() < MOST_DISCONTINUITIES) {
            self.missing = self.missing + (window.stop() - window.start());
            // The frame before it is shown for as long as any other.
            let shown = self.frame_length().min(MIN_LENGTH.scaled(0.5));
            self.discontinuities
                .extend(Window::new(window.start() + shown, window.stop()));
        }
        let far = self
            .keyframes
            .last()
            .is_none_or(|&last| at - last >= KEYS_APART);
        if keyframe && far && self.keyframes.len() < MOST_KEYS {
            self.keyframes.push(at);
        }
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = if self.count == 1 {
            at
        } else {
            self.last.max(at)
        };
        self.stop = self.stop.max(at + length.unwrap_or(Nanos::ZERO));
    }

    /// Average time between frames, at least 1 ms.
    pub(super) fn frame_length(&self) -> Nanos {
        let length = self
            .first
            .map_or(Nanos::ZERO, |first| self.last - first - self.missing);
        let usual = length.get()
            / i64::try_from(self.count)
                .unwrap_or(i64::MAX)
                .saturating_sub(1)
                .max(1);
        Nanos::new(usual).max(Nanos::from_ms(1))
    }

    /// From the first frame to the end of the last one.
    pub(super) fn span(&self) -> Option<(Nanos, Nanos)> {
        let first = self.first?;
        // Without durations, the last frame lasts as long as the average.
        let stop = if self.stop > self.last {
            self.stop
        } else {
            self.last + self.frame_length()
        };
        Some((first.max(Nanos::ZERO), stop))
    }
}

/// A sink that notes the times of access units.
pub(super) fn measuring(measure: &Arc<Mutex<Measure>>) -> anyhow::Result<gst::Element> {
    let (sink, pad) = end("measure")?;
    let measure = measure.clone();
    let kinds = gst::PadProbeType::BUFFER
        | gst::PadProbeType::BUFFER_LIST
        | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let segment = pad
            .sticky_event::<gst::event::Segment>(0)
            .and_then(|event| event.segment().downcast_ref::<gst::ClockTime>().cloned());
        let mut measure = lock(&measure);
        if let Some(event) = info.event() {
            let caps = match event.view() {
                gst::EventView::Caps(caps) => Some(caps.caps_owned()),
                gst::EventView::Segment(_) | gst::EventView::Eos(_) => None,
                _ => return gst::PadProbeReturn::Ok,
            };
            if let Some(segment) = &segment {
                note_ordered(&mut measure, segment, true);
            }
            if let Some(caps) = caps {
                measure.order.set_caps(&caps);
                if let Some(changes) = &mut measure.changes {
                    changes.kinds.set_caps(&caps);
                }
            }
            // Events pass, including the end of the stream.
            return gst::PadProbeReturn::Ok;
        }
        if let Some(segment) = segment {
            let list = info.buffer_list().into_iter().flat_map(|list| list.iter());
            for buffer in info
                .buffer()
                .map(|buffer| buffer.as_ref())
                .into_iter()
                .chain(list)
            {
                if let Err(e) = note(&mut measure, &segment, buffer)
                    && measure.failed.is_none()
                {
                    measure.failed = Some(e);
                    drop(measure);
                    // Ends the pass; the error is reported by the caller.
                    if let Some(sink) = pad.parent_element() {
                        gst::element_error!(
                            sink,
                            gst::StreamError::Format,
                            ["no presentation times"]
                        );
                    }
                    return gst::PadProbeReturn::Ok;
                }
            }
        }
        drop(info.data.take());
        gst::PadProbeReturn::Handled
    });
    Ok(sink)
}

fn note(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    buffer: &gst::BufferRef,
) -> anyhow::Result<()> {
    let Some(stamp) = Timestamps::of(buffer) else {
        return Ok(());
    };
    let length = stamp
        .duration
        .and_then(|length| i64::try_from(length).ok())
        .filter(|ns| *ns > 0);
    let keyframe = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    let kind = match &mut measure.changes {
        None => FrameKind::Silent,
        Some(_) if buffer.flags().contains(gst::BufferFlags::DECODE_ONLY) => FrameKind::Silent,
        Some(changes) => {
            let map = buffer
                .map_readable()
                .context("cannot read an access unit")?;
            changes.kinds.kind(keyframe, &map)
        }
    };
    let unit = AccessUnit {
        length: length.map(Nanos::new),
        keyframe,
        bytes: buffer.size(),
        kind,
    };
    let known = if measure.order.passes(stamp) {
        Some(unit)
    } else {
        let map = buffer
            .map_readable()
            .context("cannot read an access unit")?;
        let taken = measure.order.take(stamp, &map, unit);
        taken.context("the video has no presentation times")?
    };
    match known.zip(buffer.pts()) {
        Some((unit, pts)) => note_at(measure, segment, pts, &unit),
        None => note_ordered(measure, segment, false),
    }
    Ok(())
}

/// Notes access units whose times have become known; with `drain`, all.
fn note_ordered(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    drain: bool,
) {
    while let Some((unit, pts, _)) = measure.order.next(drain) {
        note_at(measure, segment, gst::ClockTime::from_nseconds(pts), &unit);
    }
}

fn note_at(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    pts: gst::ClockTime,
    unit: &AccessUnit,
) {
    if let Some(at) = stream_time(segment, pts) {
        measure.frame_came(at, unit.length, unit.keyframe);
        if let Some(changes) = &mut measure.changes {
            changes.unit(at, unit.kind, unit.bytes);
        }
    }
}
