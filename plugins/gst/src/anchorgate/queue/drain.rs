//! What is left out, and when the decoder must give out what it holds.

use anchoring::time::Nanos;

use super::{GateQueue, Outgoing, UnitWithEvents};

/// A stretch that was left out, which the decoder has not been told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkippedSpan {
    pub(super) from: gst::ClockTime,
    pub(super) length: gst::ClockTime,
}

impl GateQueue {
    /// Leaves units out.
    pub(super) fn skip(&mut self, length: Nanos, left: Vec<UnitWithEvents>) {
        self.discont = true;
        let mut first = None;
        for parcel in left {
            first = first.into_iter().chain(parcel.buffer.pts()).min();
            self.out
                .extend(parcel.events.into_iter().map(Outgoing::Event));
        }
        // A decoder that has seen no picture yet would have to guess its output format.
        if let Some(from) = first.filter(|_| self.passed_any) {
            let length = gst::ClockTime::from_nseconds(length.get().max(0) as u64);
            self.skipped.get_or_insert(SkippedSpan { from, length });
        }
    }

    /// Whether the decoder may hold chosen pictures back that only [`Self::drain`], or a unit to come, brings out.
    pub(in super::super) fn needs_drain(&self) -> bool {
        self.skipped.is_some()
    }

    /// Says that there is nothing to decode for now. The still-frame event makes the decoder give out all it holds, so that no chosen
    /// picture waits in it; a GAP alone doesn't, but takes the event through a parser at once.
    ///
    /// It also empties the decoder's threads, which takes as long as decoding a picture does: a unit that resets the decoder brings out
    /// what came before it as well, so this is for when there is no such unit, or none comes soon.
    pub(in super::super) fn drain(&mut self) {
        let Some(SkippedSpan { from, length }) = self.skipped.take() else {
            return;
        };
        let drain = gst_video::StillFrameEvent::builder(true).build();
        let gap = gst::event::Gap::builder(from).duration(length).build();
        self.out
            .extend([Outgoing::Event(drain), Outgoing::Event(gap)]);
    }
}
