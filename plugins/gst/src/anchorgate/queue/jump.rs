//! Jumps: where the plan's next frame is far away, the part between is not read.
//!
//! Reading -> wanted (the chain waits) -> seeking (the task seeks) -> landing (the next unit shows where the seek led). The seek succeeded if a
//! decoder can start at that unit, and it lies after everything held and not after the planned frame: held units are settled, and reading goes
//! on there. If that unit is held already, units repeat, and are dropped up to where reading stopped. Otherwise the seek failed: the gate seeks
//! back to where reading stopped and jumps no more. So the chosen frames are the same as without jumps.

use anchoring::time::Nanos;

use super::drain::SkippedSpan;
use super::{GateError, GateQueue};
use crate::anchorgate::EarmarkAccess;
use crate::pads;

/// The least that a jump must skip: more than the queues before the gate have read ahead.
const WORTH: Nanos = Nanos::from_ms(2000);
/// No jump before so much has been read.
const SETTLED: Nanos = Nanos::from_ms(500);
/// A keyframe may lie this much after its target, as containers round times.
const ROUNDING: Nanos = Nanos::from_ms(1);

/// The phase of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Wanted(JumpTarget),
    Seeking(JumpTarget),
    Landing(JumpTarget),
    /// Held units come again: so many are left from the last keyframe on, `None` before it.
    Repeating(Option<u64>),
}

/// The target of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum JumpTarget {
    /// A planned frame.
    Frame(Nanos),
    /// The end of the recording.
    End(Nanos),
    /// Where reading stopped.
    Back(Nanos),
}

impl JumpTarget {
    /// The time to seek to: the keyframe at or before it is wanted.
    pub(in super::super) fn time(self) -> Nanos {
        match self {
            Self::Frame(at) | Self::Back(at) => at + ROUNDING,
            Self::End(at) => at,
        }
    }
}

/// The state of jumps.
#[derive(Debug)]
pub(super) struct JumpState {
    access: EarmarkAccess,
    phase: Phase,
    /// The last target.
    tried: Option<JumpTarget>,
    /// The end of the recording, if that is known.
    end: Option<Nanos>,
    /// No more jumps: a seek failed, or cannot be done.
    off: bool,
    /// Time of the first frame.
    first: Option<Nanos>,
    /// The last keyframe's buffer time, which does not depend on the segment.
    key: Option<gst::ClockTime>,
    /// Units from the last keyframe on.
    since_key: u64,
    /// Jumps that succeeded.
    count: u64,
    /// Units that came again.
    again: u64,
}

/// What to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Take,
    Drop,
}

impl JumpState {
    pub(super) fn new(access: EarmarkAccess) -> Self {
        Self {
            access,
            phase: Phase::Reading,
            tried: None,
            end: None,
            off: access == EarmarkAccess::Linear,
            first: None,
            key: None,
            since_key: 0,
            count: 0,
            again: 0,
        }
    }

    /// Playback enters the recording again.
    pub(super) fn flush(&mut self) {
        self.phase = Phase::Reading;
        self.tried = None;
        self.since_key = 0;
        self.first = None;
        self.key = None;
    }

    /// The queue took a unit.
    pub(super) fn unit_taken(&mut self, pts: Nanos, buffer: Option<gst::ClockTime>, start: bool) {
        self.first.get_or_insert(pts);
        if start {
            self.key = buffer;
            self.since_key = 0;
        }
        self.since_key += 1;
    }

    pub(super) fn repeated_units(&self) -> u64 {
        self.again
    }

    pub(super) fn is_landing(&self) -> bool {
        matches!(self.phase, Phase::Landing(_))
    }
}

impl GateQueue {
    /// Whether nothing may come now, as a jump is due.
    pub(in super::super) fn waits_for_jump(&self) -> bool {
        matches!(self.jumps.phase, Phase::Wanted(_) | Phase::Seeking(_))
    }

    /// How many jumps succeeded.
    pub(in super::super) fn jumps(&self) -> u64 {
        self.jumps.count
    }

    /// Whether the next unit shows where a jump led.
    pub(in super::super) fn is_landing(&self) -> bool {
        self.jumps.is_landing()
    }

    /// The jump to make now, which is under way from here on.
    pub(in super::super) fn jump(&mut self) -> Option<JumpTarget> {
        let Phase::Wanted(to) = self.jumps.phase else {
            return None;
        };
        self.jumps.phase = Phase::Seeking(to);
        Some(to)
    }

    /// The recording ends at this time.
    pub(in super::super) fn ends_at(&mut self, end: Nanos) {
        self.jumps.end = Some(end);
    }

    /// The seek was refused: reading goes on, without jumps. A jump that is wanted since counts as another.
    pub(in super::super) fn jump_refused(&mut self, to: JumpTarget) -> Result<(), GateError> {
        if self.jumps.phase != Phase::Seeking(to) {
            return Ok(());
        }
        self.jumps.phase = Phase::Reading;
        self.jumps.off = true;
        match to {
            JumpTarget::Back(at) => Err(GateError::SeekFailed(at)),
            JumpTarget::Frame(_) | JumpTarget::End(_) => Ok(()),
        }
    }

    /// An application seeks: cancels the jump under way.
    pub(in super::super) fn cancel_jump(&mut self) {
        self.jumps.phase = Phase::Reading;
        self.jumps.tried = None;
    }

    /// Whether this jump is still under way.
    pub(in super::super) fn is_seeking_to(&self, to: JumpTarget) -> bool {
        self.jumps.phase == Phase::Seeking(to)
    }

    /// The flush of the seek: units from the old place are gone.
    pub(in super::super) fn upstream_flushed(&mut self) {
        self.display_times.flush();
        if let Phase::Seeking(to) = self.jumps.phase {
            self.jumps.phase = Phase::Landing(to);
        }
    }

    /// Wants a jump if the next planned frame is far enough away.
    pub(super) fn consider_jump(&mut self) {
        let jumps = &self.jumps;
        if jumps.off || jumps.phase != Phase::Reading || !self.inspector.knows_keyframes() {
            return;
        }
        let (Some(newest), Some(key)) = (self.gops.newest(), self.last_key) else {
            return;
        };
        let to = match self.entries.ahead() {
            Some(Some(at)) => JumpTarget::Frame(at),
            // The last GOP shows where the recording ends.
            Some(None) => match jumps.end {
                Some(end) => JumpTarget::End(end),
                None => return,
            },
            None => return,
        };
        // A seek ends the recording where its container says, though there may be more.
        let half = Nanos::new(self.gops.frame().get() / 2);
        if jumps
            .end
            .is_some_and(|end| self.header.duration > end + half)
        {
            return;
        }
        let gop = self.longest_gop.max(newest - key);
        let worth = match jumps.access {
            EarmarkAccess::Auto => gop + WORTH,
            EarmarkAccess::Linear | EarmarkAccess::Seek => gop,
        };
        // Matroska times may be corrected once, when the first sound comes.
        let begun = jumps.first.is_some_and(|first| newest - first >= SETTLED);
        let plain = self.segment.as_ref().is_some_and(|s| s.rate() == 1.0);
        if jumps.tried != Some(to)
            && to.time() - newest > worth
            && plain
            && begun
            && self.gops.is_settled()
        {
            self.jumps.tried = Some(to);
            self.jumps.phase = Phase::Wanted(to);
        }
    }

    /// Whether times mean the same in the segment after a jump, so that downstream need not get it.
    pub(super) fn same_times(&self, segment: &gst::FormattedSegment<gst::ClockTime>) -> bool {
        let time = |of: &gst::FormattedSegment<gst::ClockTime>| {
            pads::stream_time(of, segment.start().unwrap_or_default())
        };
        self.segment.as_ref().is_some_and(|old| {
            // A seek turns an open end into the recording's end.
            let stop = old.stop().is_none() || old.stop() == segment.stop();
            time(old) == time(segment) && stop && old.rate() == segment.rate()
        })
    }

    /// A jump failed: seeks back.
    pub(in super::super) fn jump_failed(&mut self) -> Result<(), GateError> {
        self.jumps.off = true;
        let key = self.last_key.unwrap_or(Nanos::ZERO);
        if let Phase::Landing(JumpTarget::Back(_)) = self.jumps.phase {
            return Err(GateError::SeekFailed(key));
        }
        self.jumps.phase = Phase::Wanted(JumpTarget::Back(key));
        Ok(())
    }

    /// The segment after the gate's own seek. Whether downstream needs it.
    pub(super) fn landed_in(
        &mut self,
        segment: &gst::FormattedSegment<gst::ClockTime>,
    ) -> Result<bool, GateError> {
        if self.same_times(segment) {
            return Ok(false);
        }
        if let Phase::Landing(JumpTarget::Back(_)) = self.jumps.phase {
            return Ok(true);
        }
        self.jump_failed()?;
        Ok(false)
    }

    /// A unit at `pts`, with buffer time `buffer`. `start`: a decoder can start at it.
    pub(super) fn classify_arrival(
        &mut self,
        pts: Nanos,
        buffer: Option<gst::ClockTime>,
        start: bool,
    ) -> Result<Arrival, GateError> {
        let newest = self.gops.newest().unwrap_or(pts);
        match self.jumps.phase {
            Phase::Landing(JumpTarget::Back(_)) => self.jumps.phase = Phase::Repeating(None),
            Phase::Landing(to) if !start || pts > to.time() => {
                self.jumps.again += 1;
                self.jump_failed()?;
                return Ok(Arrival::Drop);
            }
            Phase::Landing(_) if pts > newest => {
                self.resume_at(pts, newest);
                return Ok(Arrival::Take);
            }
            Phase::Landing(_) => self.jumps.phase = Phase::Repeating(None),
            Phase::Repeating(_) => {}
            Phase::Reading | Phase::Wanted(_) | Phase::Seeking(_) => return Ok(Arrival::Take),
        }
        let Phase::Repeating(left) = &mut self.jumps.phase else {
            return Ok(Arrival::Take);
        };
        match left {
            Some(0) => {
                self.jumps.phase = Phase::Reading;
                return Ok(Arrival::Take);
            }
            Some(left) => *left -= 1,
            None if buffer == self.jumps.key => {
                *left = Some(self.jumps.since_key.saturating_sub(1))
            }
            None if pts > newest => return Err(GateError::SeekFailed(newest)),
            None => {}
        }
        self.jumps.again += 1;
        Ok(Arrival::Drop)
    }

    /// The jump succeeded, to a unit at `pts`: settles held units, of which the newest is at `newest`.
    fn resume_at(&mut self, pts: Nanos, newest: Nanos) {
        let verdicts = self.gops.finish();
        self.carry_out(verdicts);
        self.discont = true;
        let from = self.segment.as_ref();
        let from = from.and_then(|segment| pads::buffer_time(segment, newest));
        if let Some(from) = from.filter(|_| self.passed_any) {
            let length = gst::ClockTime::from_nseconds((pts - newest).get().max(0) as u64);
            self.skipped.get_or_insert(SkippedSpan { from, length });
        }
        self.last_key = None;
        self.jumps.phase = Phase::Reading;
        self.jumps.count += 1;
    }
}
