//! Skipped units, and when the decoder must give out the frames it holds.

use anchoring::time::Nanos;

use super::{GateQueue, Outgoing, UnitWithEvents};

/// A skipped span that the decoder does not know of yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct SkippedSpan {
    pub(super) from: gst::ClockTime,
    pub(super) length: gst::ClockTime,
}

impl GateQueue {
    /// Skips units.
    pub(super) fn skip(&mut self, length: Nanos, left: Vec<UnitWithEvents>) {
        self.discont = true;
        let mut first = None;
        for unit in left {
            first = first.into_iter().chain(unit.buffer.pts()).min();
            self.out
                .extend(unit.events.into_iter().map(Outgoing::Event));
        }
        // A decoder that has had no unit yet would have to guess its output format.
        if let Some(from) = first.filter(|_| self.passed_any) {
            let length = gst::ClockTime::from_nseconds(length.get().max(0) as u64);
            self.skipped.get_or_insert(SkippedSpan { from, length });
        }
    }

    /// Whether the decoder may hold chosen frames that only [`Self::drain`] or a later unit brings out.
    pub(in super::super) fn needs_drain(&self) -> bool {
        self.skipped.is_some()
    }

    /// Makes the decoder give out all its frames. The still-frame event does that; a GAP alone does not, but takes the event through a parser
    /// at once.
    ///
    /// It also empties the decoder's threads, which takes as long as decoding a frame. A unit that resets the decoder brings out earlier frames
    /// too, so this is for when no such unit comes soon.
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
