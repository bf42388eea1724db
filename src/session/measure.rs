//! The first pass's view of the video: when each picture is shown, where decoding can start, where there is nothing for long.

use std::sync::{Arc, Mutex};

use anchoring::discontinuity::{DiscontinuityFinder, MIN_LENGTH};
use anchoring::time::{Nanos, Window};
use anyhow::Context;
use gst::prelude::*;
use gstearmark::anchorgate::{DisplayTimes, Timestamps};
use gstearmark::pads::stream_time;

use super::pictures::Pictures;
use super::spans::MOST_HOLES;
use super::taps::{end, lock};

/// Keyframes closer than this to the last one noted are not noted.
const KEYS_APART: Nanos = Nanos::from_ms(100);
/// Most keyframes noted: a hundred hours at two a second.
const MOST_KEYS: usize = 720_000;

/// First and last time of pictures, and where decoding can start.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// Times of pictures that have only decoding times.
    order: DisplayTimes<Picture>,
    pub failed: Option<anyhow::Error>,
    /// No two closer than [`KEYS_APART`], at most [`MOST_KEYS`].
    pub keyframes: Vec<Nanos>,
    pub count: u64,
    pub first: Option<Nanos>,
    pub last: Nanos,
    pub stop: Nanos,
    pub pictures: Pictures,
    pub finder: DiscontinuityFinder,
    /// At most [`MOST_HOLES`], and how long they are together.
    pub holes: Vec<Window>,
    pub missing: Nanos,
}

/// What is kept of a picture whose time is not known yet.
#[derive(Debug)]
struct Picture {
    length: Option<Nanos>,
    keyframe: bool,
}

impl Measure {
    pub(super) fn picture(&mut self, at: Nanos, length: Option<Nanos>, keyframe: bool) {
        self.count += 1;
        self.pictures.note(at);
        let hole = self.finder.push(at);
        if let Some(hole) = hole.filter(|_| self.holes.len() < MOST_HOLES) {
            self.missing = self.missing + (hole.stop() - hole.start());
            // The picture before it is shown as long as any other.
            let shown = self.frame().min(MIN_LENGTH.scaled(0.5));
            self.holes
                .extend(Window::new(hole.start() + shown, hole.stop()));
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

    /// From one picture to the next on average, at least a millisecond.
    pub(super) fn frame(&self) -> Nanos {
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

    /// From the first picture to the end of the last one.
    pub(super) fn span(&self) -> Option<(Nanos, Nanos)> {
        let first = self.first?;
        // Where pictures carry no length, the last one is as long as they are on average.
        let stop = if self.stop > self.last {
            self.stop
        } else {
            self.last + self.frame()
        };
        Some((first.max(Nanos::ZERO), stop))
    }
}

/// A sink that notes the times of pictures.
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
            }
            // Events go on: the end of the stream is one.
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
                    // Ends the pass; the reason is told from here.
                    if let Some(sink) = pad.parent_element() {
                        gst::element_error!(sink, gst::StreamError::Format, ["no times"]);
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
    let picture = Picture {
        length: length.map(Nanos::new),
        keyframe: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
    };
    let known = if measure.order.passes(stamp) {
        Some(picture)
    } else {
        let map = buffer.map_readable().context("cannot read a picture")?;
        let taken = measure.order.take(stamp, &map, picture);
        taken.context("the video has no presentation times")?
    };
    match known.zip(buffer.pts()) {
        Some((picture, pts)) => note_at(measure, segment, pts, &picture),
        None => note_ordered(measure, segment, false),
    }
    Ok(())
}

/// Notes pictures whose times have become known; all, if no more come.
fn note_ordered(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    drain: bool,
) {
    while let Some((picture, pts, _)) = measure.order.next(drain) {
        note_at(
            measure,
            segment,
            gst::ClockTime::from_nseconds(pts),
            &picture,
        );
    }
}

fn note_at(
    measure: &mut Measure,
    segment: &gst::FormattedSegment<gst::ClockTime>,
    pts: gst::ClockTime,
    picture: &Picture,
) {
    if let Some(at) = stream_time(segment, pts) {
        measure.picture(at, picture.length, picture.keyframe);
    }
}
