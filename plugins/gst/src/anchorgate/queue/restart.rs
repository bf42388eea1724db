//! Restarts: after a flush, and where another stream or segment follows one that has ended.

use anchoring::time::Nanos;

use super::change::ChangeState;
use super::{CueState, DiscontinuityFinder, EntrySource, GateError, GateQueue, Outgoing};
use crate::structures;

impl GateQueue {
    /// A flush: drops everything held. Counts and warnings stay.
    pub(in super::super) fn flush(&mut self) -> Result<(), GateError> {
        self.reset()?;
        let held = self.gops.flush();
        let out = std::mem::take(&mut self.out);
        let waiting = out.into_iter().filter_map(|out| match out {
            Outgoing::Event(event) => Some(event),
            Outgoing::Buffer(_) => None,
        });
        let held = held.into_iter().flat_map(|unit| unit.events);
        let trailing = std::mem::take(&mut self.trailing_events);
        for event in waiting.chain(held).chain(trailing) {
            self.keep(event);
        }
        self.pending_messages.clear();
        self.out_bytes = 0;
        Ok(())
    }

    /// Another stream or segment follows one whose end has gone out.
    pub(in super::super) fn restart(&mut self) -> Result<(), GateError> {
        self.reset()?;
        // The queue is empty, but still knows its last times.
        self.gops.flush();
        self.header_sent = false;
        self.video_stop = Nanos::ZERO;
        self.cue_stop = Nanos::ZERO;
        Ok(())
    }

    /// Forgets the recording; counts, warnings and outgoing items stay.
    fn reset(&mut self) -> Result<(), GateError> {
        self.entries = match &self.entries {
            EntrySource::Plan(file) => EntrySource::Plan(Box::new(file.again()?)),
            EntrySource::Stream { .. } => {
                let setup = &self.setup;
                let settings = setup.settings.clone();
                EntrySource::stream(
                    settings,
                    setup.prices,
                    &setup.labels,
                    Nanos::ZERO,
                    setup.clips,
                )
            }
            EntrySource::Dense { tier, tokens } => EntrySource::Dense {
                tier: *tier,
                tokens: *tokens,
            },
        };
        self.entries
            .set_frame_interval(self.frame.or_else(|| self.gops.spacing()));
        self.change = ChangeState::new(&self.setup, &self.entries);
        self.display_times.flush();
        self.inspector.flush();
        self.counts.spent = 0;
        self.unspent.clear();
        self.sharpest.restart();
        self.segment = None;
        self.first_keyframe = None;
        self.discont = true;
        self.skipped = None;
        self.previous = None;
        self.first_shown = None;
        self.last_key = None;
        self.last_cue = None;
        self.discontinuities = DiscontinuityFinder::default();
        self.jumps.flush();
        self.entered = false;
        self.started = false;
        self.finished = false;
        if self.cue_state != CueState::Absent {
            self.cue_state = CueState::Waiting;
        }
        Ok(())
    }

    /// Keeps an event through a flush, as GStreamer's queue does: sticky ones (stream, caps, tags), the last of each kind. A dropped plan header
    /// is sent again later.
    fn keep(&mut self, event: gst::Event) {
        if !event.is_sticky() {
            let header = event.structure().map(gst::StructureRef::name);
            if header.is_some_and(|name| name == structures::HEADER) {
                self.header_sent = false;
            }
            return;
        }
        if matches!(event.type_(), gst::EventType::Segment | gst::EventType::Eos) {
            return;
        }
        let kind = |event: &gst::Event| {
            let name = event.structure().map(|s| s.name().to_string());
            (event.type_(), name)
        };
        let new = kind(&event);
        self.out
            .retain(|out| !matches!(out, Outgoing::Event(old) if kind(old) == new));
        self.out.push_back(Outgoing::Event(event));
    }
}
