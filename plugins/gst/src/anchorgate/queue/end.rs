//! The end of a recording, and the stream of one that has no video.

use anchoring::time::Nanos;

use super::drain::SkippedSpan;
use super::{EntrySource, GateError, GateQueue, Message, Outgoing, Summary};
use crate::{pads, structures};

impl GateQueue {
    /// The video has ended, and no more cues come.
    pub(in super::super) fn finish(&mut self, eos: gst::Event) -> Result<(), GateError> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        self.drain_order()?;
        self.end_change();
        self.note_early_end(self.video_stop);
        self.entries.finish(self.video_stop);
        self.read_entries(Nanos::MAX)?;
        let verdicts = self.gops.finish();
        self.carry_out(verdicts);
        if let Some(spare) = self.first_keyframe.take() {
            self.pass(spare, true);
        }
        let trailing = std::mem::take(&mut self.trailing_events);
        self.out.extend(trailing.into_iter().map(Outgoing::Event));
        let duration = self.video_stop.max(self.cue_stop);
        if let EntrySource::Stream { .. } = self.entries {
            let (spent, budget) = (self.counts.spent, self.setup.settings.budget_of(duration));
            if spent > budget {
                return Err(GateError::Overspent { spent, budget });
            }
        }
        let stats = self.gops.stats();
        if !self.started {
            // Messages must follow a segment, and there is none.
            self.pending_messages.clear();
            self.out.push_back(Outgoing::Event(eos));
            return Ok(());
        }
        let summary = Summary {
            duration,
            first_frame: self.first_shown,
            budget_tokens: match &self.entries {
                EntrySource::Plan(file) => file.header().budget_tokens,
                EntrySource::Dense { .. } => self.counts.tokens,
                EntrySource::Stream { .. } => self.setup.settings.budget_of(duration),
            },
            access_units_seen: self.units_read(),
            access_units_passed: stats.passed,
            warnings: self.warnings.clone(),
        };
        self.send(Message::Summary(summary));
        // A decoder keeps events until its next frame and would lose these at the end; a GAP takes them through.
        if self.passed_any {
            let from = self
                .segment
                .as_ref()
                .and_then(|segment| pads::buffer_time(segment, self.video_stop).or(segment.stop()));
            self.skipped = Some(SkippedSpan {
                from: from.unwrap_or_default(),
                length: gst::ClockTime::ZERO,
            });
            self.drain();
        }
        self.out.push_back(Outgoing::Event(eos));
        Ok(())
    }

    /// There is no video: the cues become the stream.
    pub(in super::super) fn sound_only(&mut self, stream_id: &str, group: Option<gst::GroupId>) {
        if self.started {
            return;
        }
        self.entries.no_change_until(Nanos::MAX);
        self.end_change();
        self.change = None;
        let mut start = gst::event::StreamStart::builder(stream_id);
        if let Some(group) = group {
            start = start.group_id(group);
        }
        let caps = gst::Caps::new_empty_simple(structures::CUE_CAPS);
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        // Earlier events of the video pad belong to a stream that never came.
        self.out.clear();
        self.out.push_back(Outgoing::Event(start.build()));
        self.out
            .push_back(Outgoing::Event(gst::event::Caps::new(&caps)));
        self.out
            .push_back(Outgoing::Event(gst::event::Segment::new(&segment)));
        self.begin();
    }
}
