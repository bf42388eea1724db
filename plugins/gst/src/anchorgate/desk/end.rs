//! The end of a recording, and the stream of one that has no video.

use anchoring::time::Nanos;

use super::drain::Hole;
use super::{Desk, DeskError, Looks, Message, Out, Summary};
use crate::{carry, pads};

impl Desk {
    /// The video is over, and so is everything that may still be heard.
    pub(in super::super) fn finish(&mut self, eos: gst::Event) -> Result<(), DeskError> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        self.drain_order()?;
        self.note_early_end(self.video_stop);
        self.looks.finish(self.video_stop);
        self.read_looks(Nanos::MAX)?;
        let verdicts = self.queue.finish();
        self.carry_out(verdicts);
        if let Some(spare) = self.spare.take() {
            self.pass(spare, true);
        }
        let trailing = std::mem::take(&mut self.trailing);
        self.out.extend(trailing.into_iter().map(Out::Event));
        let duration = self.video_stop.max(self.cue_stop);
        if let Looks::Stream { .. } = self.looks {
            let (spent, budget) = (self.counts.spent, self.setup.settings.budget_of(duration));
            if spent > budget {
                return Err(DeskError::Overspent { spent, budget });
            }
        }
        let stats = self.queue.stats();
        if !self.started {
            // Messages may not come before a segment; without one there is nobody to read them.
            self.early.clear();
            self.out.push_back(Out::Event(eos));
            return Ok(());
        }
        let summary = Summary {
            duration,
            budget_tokens: match &self.looks {
                Looks::Plan(file) => file.header().budget_tokens,
                Looks::Dense { .. } => self.counts.tokens,
                Looks::Stream { .. } => self.setup.settings.budget_of(duration),
            },
            pictures_seen: self.units_read(),
            pictures_passed: stats.passed,
            warnings: self.warnings.clone(),
        };
        self.say(Message::Summary(summary));
        // A decoder keeps events for the next picture and would lose these at the end; a GAP takes them through.
        if self.passed_any {
            let from = self
                .segment
                .as_ref()
                .and_then(|segment| pads::buffer_time(segment, self.video_stop).or(segment.stop()));
            self.hole = Some(Hole {
                from: from.unwrap_or_default(),
                length: gst::ClockTime::ZERO,
            });
            self.drain();
        }
        self.out.push_back(Out::Event(eos));
        Ok(())
    }

    /// There is no video: what is heard becomes the stream.
    pub(in super::super) fn sound_only(&mut self, stream_id: &str, group: Option<gst::GroupId>) {
        if self.started {
            return;
        }
        let mut start = gst::event::StreamStart::builder(stream_id);
        if let Some(group) = group {
            start = start.group_id(group);
        }
        let caps = gst::Caps::new_empty_simple(carry::CUE_CAPS);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        // Events that the video pad saw before it fell silent belong to a stream that never came.
        self.out.clear();
        self.out.push_back(Out::Event(start.build()));
        self.out.push_back(Out::Event(gst::event::Caps::new(&caps)));
        self.out
            .push_back(Out::Event(gst::event::Segment::new(&segment)));
        self.begin();
    }
}
