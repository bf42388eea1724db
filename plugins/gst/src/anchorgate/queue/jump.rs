//! Going on elsewhere: where the plan's next look is far away, what lies between is not read.
//!
//! Reading on -> wanted (the chain waits) -> sought (the task's seek is on its way) -> landing (the next unit is where it led). A unit at
//! which a decoder can start, not later than the look and later than all that is held, is the place: what is held is settled and the work
//! goes on there. One that is held already only comes again, and is dropped up to where reading stopped. Anything else was led astray:
//! back to where reading stopped, and no further jump. So the same pictures are taken as when all is read.

use anchoring::time::Nanos;

use super::drain::SkippedSpan;
use super::{GateError, GateQueue};
use crate::anchorgate::EarmarkAccess;
use crate::pads;

/// What a jump must save at least: more than the queues before the gate have read ahead.
const WORTH: Nanos = Nanos::from_ms(2000);
/// So much is read before the first jump.
const SETTLED: Nanos = Nanos::from_ms(500);
/// A keyframe this little after the look is as good as at it: times are rounded to a container's ticks.
const ROUNDING: Nanos = Nanos::from_ms(1);

/// Where a jump stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Wanted(JumpTarget),
    Sought(JumpTarget),
    Landing(JumpTarget),
    /// What is held comes again; so many units from the last keyframe on, `None` before it.
    Again(Option<u64>),
}

/// Where to.
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
    /// What to seek to: the keyframe at or before this is wanted.
    pub(in super::super) fn place(self) -> Nanos {
        match self {
            Self::Frame(at) | Self::Back(at) => at + ROUNDING,
            Self::End(at) => at,
        }
    }
}

/// Whether and where to jump.
#[derive(Debug)]
pub(super) struct JumpState {
    access: EarmarkAccess,
    state: State,
    /// The last place jumped to.
    tried: Option<JumpTarget>,
    /// Where the recording ends, if that is known.
    end: Option<Nanos>,
    /// Seeking has led astray, or can't be done.
    off: bool,
    /// The first picture's time.
    first: Option<Nanos>,
    /// The last keyframe's time in its buffer, which means the same whatever the segment says.
    key: Option<gst::ClockTime>,
    /// Units from the last keyframe on.
    since_key: u64,
    /// Places gone on at.
    count: u64,
    /// Units that came a second time.
    again: u64,
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Take,
    Drop,
}

impl JumpState {
    pub(super) fn new(access: EarmarkAccess) -> Self {
        Self {
            access,
            state: State::Reading,
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

    /// The recording is entered anew.
    pub(super) fn flush(&mut self) {
        self.state = State::Reading;
        self.tried = None;
        self.since_key = 0;
        self.first = None;
        self.key = None;
    }

    /// A unit was taken.
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
        matches!(self.state, State::Landing(_))
    }
}

impl GateQueue {
    /// Whether nothing may come now, because the next thing is to come from elsewhere.
    pub(in super::super) fn waits_for_jump(&self) -> bool {
        matches!(self.jumps.state, State::Wanted(_) | State::Sought(_))
    }

    /// How often the work went on elsewhere.
    pub(in super::super) fn jumps(&self) -> u64 {
        self.jumps.count
    }

    /// Whether the next unit says where a jump led.
    pub(in super::super) fn is_landing(&self) -> bool {
        self.jumps.is_landing()
    }

    /// The jump that is to be made now; it is under way from then on.
    pub(in super::super) fn jump(&mut self) -> Option<JumpTarget> {
        let State::Wanted(to) = self.jumps.state else {
            return None;
        };
        self.jumps.state = State::Sought(to);
        Some(to)
    }

    /// The recording ends here.
    pub(in super::super) fn ends_at(&mut self, end: Nanos) {
        self.jumps.end = Some(end);
    }

    /// There is no jump, now or ever: reading goes on. A jump that was asked for anew since is another one.
    pub(in super::super) fn jump_refused(&mut self, to: JumpTarget) -> Result<(), GateError> {
        if self.jumps.state != State::Sought(to) {
            return Ok(());
        }
        self.jumps.state = State::Reading;
        self.jumps.off = true;
        match to {
            JumpTarget::Back(at) => Err(GateError::Astray(at)),
            JumpTarget::Frame(_) | JumpTarget::End(_) => Ok(()),
        }
    }

    /// Somebody else goes elsewhere: the jump that is under way is none any more.
    pub(in super::super) fn cancel_jump(&mut self) {
        self.jumps.state = State::Reading;
        self.jumps.tried = None;
    }

    /// Whether this jump is still to be made.
    pub(in super::super) fn is_sought(&self, to: JumpTarget) -> bool {
        self.jumps.state == State::Sought(to)
    }

    /// What was on its way from the old place is gone.
    pub(in super::super) fn upstream_flushed(&mut self) {
        self.order.flush();
        if let State::Sought(to) = self.jumps.state {
            self.jumps.state = State::Landing(to);
        }
    }

    /// Wants a jump if the next look is so far away that it pays.
    pub(super) fn consider_jump(&mut self) {
        let jumps = &self.jumps;
        if jumps.off || jumps.state != State::Reading || !self.access.knows_keyframes() {
            return;
        }
        let (Some(newest), Some(key)) = (self.gops.newest(), self.last_key) else {
            return;
        };
        let to = match self.entries.ahead() {
            Some(Some(at)) => JumpTarget::Frame(at),
            // The last GOP says where the recording ends.
            Some(None) => match jumps.end {
                Some(end) => JumpTarget::End(end),
                None => return,
            },
            None => return,
        };
        // Seeking ends a recording where its container says, though there may be more.
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
        // Matroska's times may be set right once, when the first sound comes.
        let begun = jumps.first.is_some_and(|first| newest - first >= SETTLED);
        let plain = self.segment.as_ref().is_some_and(|s| s.rate() == 1.0);
        if jumps.tried != Some(to)
            && to.place() - newest > worth
            && plain
            && begun
            && self.gops.is_settled()
        {
            self.jumps.tried = Some(to);
            self.jumps.state = State::Wanted(to);
        }
    }

    /// Where a jump has led: whether times mean what they meant, so that nobody need be told.
    pub(super) fn same_times(&self, segment: &gst::FormattedSegment<gst::ClockTime>) -> bool {
        let time = |of: &gst::FormattedSegment<gst::ClockTime>| {
            pads::stream_time(of, segment.start().unwrap_or_default())
        };
        self.segment.as_ref().is_some_and(|old| {
            // An open end becomes the recording's with a seek.
            let stop = old.stop().is_none() || old.stop() == segment.stop();
            time(old) == time(segment) && stop && old.rate() == segment.rate()
        })
    }

    /// A jump led astray.
    pub(in super::super) fn jump_failed(&mut self) -> Result<(), GateError> {
        self.jumps.off = true;
        let key = self.last_key.unwrap_or(Nanos::ZERO);
        if let State::Landing(JumpTarget::Back(_)) = self.jumps.state {
            return Err(GateError::Astray(key));
        }
        self.jumps.state = State::Wanted(JumpTarget::Back(key));
        Ok(())
    }

    /// The segment that follows a seek of our own. Whether it is new to those downstream.
    pub(super) fn landed_in(
        &mut self,
        segment: &gst::FormattedSegment<gst::ClockTime>,
    ) -> Result<bool, GateError> {
        if self.same_times(segment) {
            return Ok(false);
        }
        if let State::Landing(JumpTarget::Back(_)) = self.jumps.state {
            return Ok(true);
        }
        self.jump_failed()?;
        Ok(false)
    }

    /// A unit at `pts`, by its buffer at `buffer`, at which a decoder can start or not.
    pub(super) fn classify_arrival(
        &mut self,
        pts: Nanos,
        buffer: Option<gst::ClockTime>,
        start: bool,
    ) -> Result<Arrival, GateError> {
        let newest = self.gops.newest().unwrap_or(pts);
        match self.jumps.state {
            State::Landing(JumpTarget::Back(_)) => self.jumps.state = State::Again(None),
            State::Landing(to) if !start || pts > to.place() => {
                self.jumps.again += 1;
                self.jump_failed()?;
                return Ok(Arrival::Drop);
            }
            State::Landing(_) if pts > newest => {
                self.resume_at(pts, newest);
                return Ok(Arrival::Take);
            }
            State::Landing(_) => self.jumps.state = State::Again(None),
            State::Again(_) => {}
            State::Reading | State::Wanted(_) | State::Sought(_) => return Ok(Arrival::Take),
        }
        let State::Again(left) = &mut self.jumps.state else {
            return Ok(Arrival::Take);
        };
        match left {
            Some(0) => {
                self.jumps.state = State::Reading;
                return Ok(Arrival::Take);
            }
            Some(left) => *left -= 1,
            None if buffer == self.jumps.key => {
                *left = Some(self.jumps.since_key.saturating_sub(1))
            }
            None if pts > newest => return Err(GateError::Astray(newest)),
            None => {}
        }
        self.jumps.again += 1;
        Ok(Arrival::Drop)
    }

    /// The next unit is at `pts`: settles what is held, of which the newest picture is at `newest`.
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
        self.jumps.state = State::Reading;
        self.jumps.count += 1;
    }
}
