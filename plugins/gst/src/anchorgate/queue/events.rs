//! Serialized events of the video, and messages for downstream, in order with the units.

use anchoring::time::Nanos;

use super::super::codec::{self, Kinds};
use super::super::warning::Warning;
use super::{EntrySource, GateError, GateQueue, Message, Outgoing};
use crate::pads;

impl GateQueue {
    /// Takes a serialized event of the video, other than EOS.
    pub(in super::super) fn video_event(&mut self, mut event: gst::Event) -> Result<(), GateError> {
        if let gst::EventView::Caps(caps) = event.view()
            && let Some(corrected) = codec::corrected(caps.caps())
        {
            event = gst::event::Caps::builder(&corrected)
                .seqnum(event.seqnum())
                .build();
        }
        let mut begins = false;
        match event.view() {
            // A GAP inside a GOP would make the decoder drop its reference frames.
            gst::EventView::Gap(_) => return Ok(()),
            gst::EventView::Caps(caps) => {
                self.drain_order()?;
                self.display_times.set_caps(caps.caps());
                self.inspector.set_caps(caps.caps());
                self.kinds = Kinds::new(caps.caps());
                self.frame = frame_of(caps.caps());
                self.entries.set_frame_interval(self.frame);
                let media = caps.caps().structure(0).map(|s| s.name().to_string());
                self.media = media.unwrap_or_default();
                let raw = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                self.raw = raw
                    .filter(|_| self.media == "video/x-raw")
                    .map(|raw| raw.size());
                if !self.inspector.knows_keyframes() {
                    self.warn(Warning::Unknown);
                }
            }
            gst::EventView::Segment(segment) => {
                self.drain_order()?;
                let segment = segment.segment().clone();
                let segment = segment.downcast::<gst::ClockTime>().ok();
                if let Some(segment) = &segment {
                    if self.jumps.is_landing() && !self.landed_in(segment)? {
                        return Ok(());
                    }
                    self.enter(segment);
                }
                self.segment = segment;
                begins = !self.started;
            }
            _ => {}
        }
        if self.gops.is_empty() {
            self.out.push_back(Outgoing::Event(event));
            if begins {
                self.begin();
            }
        } else {
            self.trailing_events.push(event);
        }
        Ok(())
    }

    /// When the recording is expected to end.
    pub(in super::super) fn expect_stop(&mut self, stop: Nanos) {
        self.entries.expect_stop(stop);
    }

    /// The plan starts where the first segment of video or cues starts; after a seek that is not the recording's start.
    pub(in super::super) fn enter(&mut self, segment: &gst::FormattedSegment<gst::ClockTime>) {
        if std::mem::replace(&mut self.entered, true) {
            return;
        }
        let start = segment
            .start()
            .and_then(|start| pads::stream_time(segment, start));
        if let (Some(start), EntrySource::Stream { origin, .. }) = (start, &mut self.entries) {
            *origin = start.max(Nanos::ZERO);
        }
    }

    pub(super) fn begin(&mut self) {
        self.started = true;
        if !std::mem::replace(&mut self.header_sent, true) {
            let header = Message::Plan(self.header.clone());
            self.out.push_back(Outgoing::Event(header.to_event()));
        }
        for message in std::mem::take(&mut self.pending_messages) {
            self.out.push_back(Outgoing::Event(message.to_event()));
        }
    }

    pub(super) fn send(&mut self, message: Message) {
        if self.started {
            self.out.push_back(Outgoing::Event(message.to_event()));
        } else {
            self.pending_messages.push_back(message);
        }
    }
}

/// Time from one frame to the next, if the caps have it.
fn frame_of(caps: &gst::CapsRef) -> Option<Nanos> {
    let rate = caps.structure(0)?.get::<gst::Fraction>("framerate").ok()?;
    let (frames, seconds) = (i64::from(rate.numer()), i64::from(rate.denom()));
    (frames > 0).then(|| Nanos::new(seconds * 1_000_000_000 / frames))
}
