//! Access units, once their presentation times are known.

use anchoring::gate::access_unit::AccessUnit;
use anchoring::time::Nanos;

use anchoring::planning::change::FrameKind;

use super::super::codec::{Timestamps, UnitInfo};
use super::super::warning::Warning;
use super::jump::Arrival;
use super::{CueState, EntrySource, GateError, GateQueue, Outgoing, UnitWithEvents};
use crate::pads;

/// Units after which the frame interval is measured: enough to see past reordered frames.
const EARLY_UNITS: u32 = 8;

impl GateQueue {
    /// Takes an access unit.
    pub(in super::super) fn unit(&mut self, buffer: gst::Buffer) -> Result<(), GateError> {
        let Some(stamp) = Timestamps::of(&buffer) else {
            self.out_bytes += buffer.size();
            self.out.push_back(Outgoing::Buffer(buffer));
            return Ok(());
        };
        if self.display_times.passes(stamp) {
            return self.timed_unit(buffer);
        }
        let known = match buffer.clone().map_readable() {
            Ok(map) => self.display_times.take(stamp, &map, buffer)?,
            Err(_) => Some(buffer),
        };
        match known {
            Some(buffer) => self.timed_unit(buffer),
            None => self.take_ordered(false),
        }
    }

    /// Takes units whose presentation times have become known; all of them, if no more come.
    pub(super) fn take_ordered(&mut self, drain: bool) -> Result<(), GateError> {
        while let Some((mut buffer, pts, dts)) = self.display_times.next(drain) {
            let made = buffer.make_mut();
            made.set_pts(gst::ClockTime::from_nseconds(pts));
            made.set_dts(gst::ClockTime::from_nseconds(dts));
            self.timed_unit(buffer)?;
        }
        Ok(())
    }

    pub(in super::super) fn drain_order(&mut self) -> Result<(), GateError> {
        self.take_ordered(true)
    }

    /// Takes an access unit whose time is known as well as possible.
    pub(super) fn timed_unit(&mut self, mut buffer: gst::Buffer) -> Result<(), GateError> {
        if let Some(wanted) = self.raw.filter(|&wanted| buffer.size() < wanted) {
            let there = buffer.size();
            return Err(GateError::NotRaw { wanted, there });
        }
        let frame = self.gops.frame();
        let duration = buffer
            .duration()
            .map(|duration| Nanos::new(duration.nseconds() as i64));
        let time = buffer.pts().or(buffer.dts());
        let stated = self.segment.as_ref().zip(time);
        let stated = stated.and_then(|(segment, time)| pads::stream_time(segment, time));
        let pts = stated
            .or(self.previous.map(|previous| previous + frame))
            .unwrap_or(Nanos::ZERO);
        let inside = |segment: &gst::FormattedSegment<gst::ClockTime>| {
            time.is_none_or(|time| {
                segment.start().is_none_or(|start| start <= time)
                    && segment.stop().is_none_or(|stop| time < stop)
            })
        };
        let flags = buffer.flags();
        let shown = self.segment.as_ref().is_none_or(inside)
            && !flags.contains(gst::BufferFlags::DECODE_ONLY);
        let keyframe = !flags.contains(gst::BufferFlags::DELTA_UNIT);
        let landing = self.jumps.is_landing();
        let (found, kind) = match buffer.map_readable() {
            Ok(map) => {
                let found = match landing {
                    true => self.inspector.inspect_alone(keyframe, pts, &map),
                    false => self.inspector.inspect(keyframe, pts, &map),
                };
                let kind = self.kinds.kind(keyframe, &found, &map);
                (found, kind)
            }
            Err(_) => (UnitInfo::default(), FrameKind::Silent),
        };
        // Both fields make one frame, shown from the first field's time on.
        let first = self.previous.filter(|_| found.second);
        let stop = pts + duration.unwrap_or(frame);
        let pts = first.unwrap_or(pts);
        if self.classify_arrival(pts, time, found.start)? == Arrival::Drop {
            return Ok(());
        }
        if shown {
            self.measure_change(pts, kind, buffer.size());
        }
        self.previous = Some(pts);
        self.jumps.unit_taken(pts, time, found.start);
        if let Some(sets) = found.sets {
            buffer
                .make_mut()
                .prepend_memory(gst::Memory::from_slice(sets));
        }
        if shown {
            // Where the segment ends inside a frame, so does the recording.
            let end = self.segment.as_ref().and_then(|segment| {
                let stop = segment.stop()?;
                pads::stream_time(segment, stop)
            });
            self.video_stop = self.video_stop.max(end.map_or(stop, |end| stop.min(end)));
            self.first_shown = self.first_shown.into_iter().chain([pts]).min();
        }
        if found.start {
            if let Some(last) = self.last_key {
                self.longest_gop = self.longest_gop.max(pts - last);
            }
            self.last_key = Some(pts);
            if !self.passed_any && self.first_keyframe.is_none() {
                self.first_keyframe = Some(buffer.clone());
            }
        }
        if let Some(window) = self.discontinuities.push(pts).filter(|_| !landing)
            && matches!(self.entries, EntrySource::Stream { .. })
        {
            self.entries.discontinuity(window);
            self.warn(Warning::Discontinuity(window));
        }
        let unit = AccessUnit {
            pts,
            keyframe: found.start,
            shown,
            droppable: found.droppable,
            second_field: found.second,
            // Bookkeeping counts too, so that tiny units are bounded.
            bytes: buffer.size() + 512,
            duration,
            payload: UnitWithEvents {
                events: std::mem::take(&mut self.trailing_events),
                buffer,
                resets: found.resets,
            },
        };
        if shown
            && !found.second
            && let Some(entry) = self.entries.dense_entry(pts)
        {
            self.counts.entries += 1;
            self.counts.tokens += entry.tokens;
            self.gops.request(entry);
        }
        if let Some(dropped) = self.gops.push(unit) {
            // It cannot be decoded; the events before it still count.
            self.out
                .extend(dropped.events.into_iter().map(Outgoing::Event));
            self.discont = true;
        }
        if self.frame.is_none() && matches!(self.entries, EntrySource::Stream { .. }) {
            self.measure_frame(found.start);
        }
        let (bytes, time) = self.held();
        self.counts.most_bytes = self.counts.most_bytes.max(bytes);
        self.counts.most_time = self.counts.most_time.max(time);
        if self.cue_state == CueState::Ended {
            self.note_early_end(self.video_stop);
        }
        self.progress()
    }

    /// Gives the planner the time between frames where the caps lack it: after the first units, and with every GOP.
    fn measure_frame(&mut self, keyframe: bool) {
        self.measured = (self.measured + 1).min(EARLY_UNITS + 1);
        if self.measured == EARLY_UNITS {
            self.gops.learn_early();
        } else if self.measured < EARLY_UNITS || !keyframe {
            return;
        }
        self.entries.set_frame_interval(self.gops.spacing());
    }
}
