//! What is left out, and when the decoder must give out what it holds.

use anchoring::time::Nanos;

use super::{Desk, Out, Parcel};

/// A stretch that was left out, which the decoder has not been told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) from: gst::ClockTime,
    pub(super) length: gst::ClockTime,
}

impl Desk {
    /// Leaves units out.
    pub(super) fn skip(&mut self, length: Nanos, left: Vec<Parcel>) {
        self.discont = true;
        let mut first = None;
        for parcel in left {
            first = first.into_iter().chain(parcel.buffer.pts()).min();
            self.out.extend(parcel.events.into_iter().map(Out::Event));
        }
        // A decoder that has seen no picture yet would have to guess its output format.
        if let Some(from) = first.filter(|_| self.passed_any) {
            let length = gst::ClockTime::from_nseconds(length.get().max(0) as u64);
            self.hole.get_or_insert(Hole { from, length });
        }
    }

    /// Whether the decoder may hold chosen pictures back that only [`Self::drain`], or a unit to come, brings out.
    pub(in super::super) fn holds_back(&self) -> bool {
        self.hole.is_some()
    }

    /// Says that there is nothing to decode for now. The still-frame event makes the decoder give out all it holds, so that no chosen
    /// picture waits in it; a GAP alone doesn't, but takes the event through a parser at once.
    ///
    /// It also empties the decoder's threads, which takes as long as decoding a picture does: a unit that resets the decoder brings out
    /// what came before it as well, so this is for when there is no such unit, or none comes soon.
    pub(in super::super) fn drain(&mut self) {
        let Some(Hole { from, length }) = self.hole.take() else {
            return;
        };
        let drain = gst_video::StillFrameEvent::builder(true).build();
        let gap = gst::event::Gap::builder(from).duration(length).build();
        self.out.extend([Out::Event(drain), Out::Event(gap)]);
    }
}
