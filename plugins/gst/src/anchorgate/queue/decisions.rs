//! Takes entries from the plan, and passes or drops units accordingly.

use anchoring::gate::verdict::Verdict;
use anchoring::time::Nanos;

use super::super::plan_file::Item;
use super::super::warning::Warning;
use super::{
    Chosen, CueState, EntrySource, GateError, GateQueue, Message, Outgoing, Room, UnitWithEvents,
};
use crate::pads;

impl GateQueue {
    pub(super) fn is_over_limit(&self) -> bool {
        // Outgoing items have their own bound: a slow decoder is no reason to plan without cues.
        self.gops.held_bytes() > self.setup.max_bytes || self.gops.held_time() > self.setup.max_lag
    }

    /// Makes room for the next unit, where decisions allow.
    pub(in super::super) fn make_room(&mut self) -> Room {
        if !self.is_over_limit() || self.gops.held_bytes() == 0 {
            return Room::Enough;
        }
        let until = self.gops.oldest_until().unwrap_or(Nanos::ZERO);
        if self.entries.decided_until() < until && self.needs_cues() && self.cues_may_come() {
            return Room::NeedsCues;
        }
        let verdicts = self.gops.overflow();
        self.carry_out(verdicts);
        Room::Freed
    }

    /// Takes the next entries and releases what is decided.
    pub(super) fn progress(&mut self) -> Result<(), GateError> {
        let newest = self.gops.newest();
        let no_cues = matches!(self.cue_state, CueState::Ended | CueState::Absent);
        if let Some(newest) = newest
            && (no_cues || !self.needs_cues())
        {
            self.entries.missing_until(newest);
        }
        // Without video, every decision goes out at once.
        let until = match &self.entries {
            EntrySource::Stream { .. } => newest.unwrap_or(Nanos::MAX),
            _ => newest.unwrap_or(Nanos::ZERO),
        };
        self.read_entries(until)?;
        let verdicts = self.gops.release(self.entries.decided_until());
        self.carry_out(verdicts);
        if self.entries.ahead().is_some() {
            let verdicts = self.gops.advance(self.entries.decided_until());
            self.carry_out(verdicts);
        }
        self.consider_jump();
        Ok(())
    }

    pub(super) fn read_entries(&mut self, until: Nanos) -> Result<(), GateError> {
        while let Some(item) = self.entries.next(until)? {
            match item {
                Item::Entry(entry) => {
                    // What costs nothing is a clip's, which is counted already.
                    self.counts.entries += u64::from(entry.tokens > 0);
                    self.counts.tokens += entry.tokens;
                    self.gops.request(entry);
                }
                Item::Anchor(mut anchor) => {
                    let label = usize::try_from(anchor.class_id).ok();
                    let label = label.and_then(|class| self.setup.labels.get(class));
                    if let Some(label) = label.filter(|_| anchor.label.is_empty()) {
                        anchor.label.clone_from(label);
                    }
                    self.counts.anchors += 1;
                    self.sharpest.anchor(&anchor);
                    if matches!(self.entries, EntrySource::Stream { .. }) {
                        self.decided.push(anchor.clone());
                    }
                    self.send(Message::Anchor(anchor));
                }
                Item::Clip(clip) => {
                    self.counts.entries += 1;
                    self.counts.tokens += clip.entry.tokens;
                    let (start, stop) = (clip.frames.start, clip.frames.stop);
                    self.unspent.push((start, stop, clip.entry.tokens));
                    self.send(Message::Clip(clip));
                }
                Item::Candidate(one) => self.send(Message::Candidate(one)),
                Item::Cue(cue) => self.keep_cue(cue),
            }
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self, verdicts: Vec<Verdict<UnitWithEvents>>) {
        let frame = self.gops.frame();
        for verdict in verdicts {
            match verdict {
                Verdict::Serve { entry, pts } => {
                    self.counts.spent += entry.tokens;
                    self.spend_clips(entry.planned);
                    let earliest = self.sharpest.earliest(&entry, pts);
                    self.send(Message::Chosen(Chosen {
                        entry,
                        pts,
                        frame,
                        earliest,
                    }));
                }
                Verdict::Merge(entry) => {
                    let own = u64::from(entry.tokens > 0);
                    self.counts.entries = self.counts.entries.saturating_sub(own);
                    self.counts.tokens = self.counts.tokens.saturating_sub(entry.tokens);
                    // A plan made here has warned of the discontinuity already.
                    if matches!(self.entries, EntrySource::Plan(_)) {
                        self.warn(Warning::Merged);
                    }
                }
                Verdict::Miss(entry) => {
                    self.warn(Warning::Missed);
                    self.send(Message::Miss(entry));
                }
                Verdict::Pass {
                    payload: unit,
                    wanted,
                } => {
                    if !unit.resets {
                        self.drain();
                    }
                    self.skipped = None;
                    self.out
                        .extend(unit.events.into_iter().map(Outgoing::Event));
                    let shown = wanted || self.may_be_taken(&unit.buffer);
                    self.pass(unit.buffer, shown);
                }
                Verdict::Drop(unit) => {
                    self.out
                        .extend(unit.events.into_iter().map(Outgoing::Event));
                }
                Verdict::Skip { from, to, left } => self.skip(to - from, left),
            }
        }
    }

    /// Counts clips as spent with the first of their frames that is there; a clip without any costs nothing.
    fn spend_clips(&mut self, planned: Nanos) {
        let counts = &mut self.counts;
        self.unspent.retain(|&(start, stop, tokens)| {
            let has_come = start <= planned && planned < stop;
            counts.spent += if has_come { tokens } else { 0 };
            !has_come && stop > planned
        });
    }

    /// Whether the frame of a unit that is decoded anyway may be taken in place of a wanted one.
    fn may_be_taken(&self, buffer: &gst::Buffer) -> bool {
        let at = self.segment.as_ref().zip(buffer.pts());
        let at = at.and_then(|(segment, pts)| pads::stream_time(segment, pts));
        at.is_some_and(|at| self.sharpest.holds(at))
    }

    /// Passes a unit. If its frame is not `wanted`, it only helps to decode others, and the decoder need not give it out.
    pub(super) fn pass(&mut self, mut buffer: gst::Buffer, wanted: bool) {
        if !wanted {
            buffer.make_mut().set_flags(gst::BufferFlags::DECODE_ONLY);
        }
        if std::mem::take(&mut self.discont) {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        } else if buffer.flags().contains(gst::BufferFlags::DISCONT) {
            buffer.make_mut().unset_flags(gst::BufferFlags::DISCONT);
        }
        self.passed_any = true;
        self.first_keyframe = None;
        self.out_bytes += buffer.size();
        self.out.push_back(Outgoing::Buffer(buffer));
    }
}
