//! The cues pad: takes cues, and finds out whether its branch gets data.

use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AnchorGate, CAT, CHECK, Flow};
use super::queue::{CueState, GateQueue};
use super::warning::Warning;
use crate::{pads, structures, unfed_branch};

/// With separate sources for audio and video, flushed cues wait this long for the video's flush.
const TOGETHER: Duration = Duration::from_secs(1);

impl AnchorGate {
    /// Waits while the cues belong to a recording, or a place in it, that the video has not reached.
    fn wait_for_video(&self, begins: bool) {
        let mut state = self.state();
        loop {
            let ahead = state.cues_ahead;
            let flush_due = ahead.is_some_and(|since| since.elapsed() < TOGETHER);
            let ended = state.queue.as_ref().map(|queue| queue.cue_state) == Some(CueState::Ended);
            let waits = flush_due || (begins && ended && ahead.is_none() && !state.cues_stale);
            if !waits || state.cues_flushing || state.queue.is_none() || state.flow.is_err() {
                return;
            }
            state = self.wait(state, CHECK);
        }
    }

    pub(super) fn cues_chain(&self, buffer: &gst::Buffer) -> Flow {
        self.wait_for_video(false);
        let began = Instant::now();
        let taken = {
            let Ok(map) = buffer.map_readable() else {
                return Err(gst::FlowError::Error);
            };
            let mut state = self.state();
            if state.cues_flushing {
                return Err(gst::FlowError::Flushing);
            }
            state.cues_touched = true;
            state.cue_progress = Instant::now();
            if state.cues_stale || state.video_flushing {
                return Ok(gst::FlowSuccess::Ok);
            }
            state.flow?;
            let Some(queue) = &mut state.queue else {
                return Err(gst::FlowError::Flushing);
            };
            let taken = queue.cue(&map);
            state.busy += began.elapsed();
            self.changed.notify_all();
            taken
        };
        taken.map_err(|error| self.fail(&error))?;
        self.post_news();
        let mut state = self.state();
        loop {
            if state.cues_flushing {
                return Err(gst::FlowError::Flushing);
            }
            let waits = state
                .queue
                .as_ref()
                .is_some_and(|queue| queue.full() || queue.pending_messages_full());
            if !waits || state.video_flushing || state.flow.is_err() {
                break;
            }
            state = self.wait(state, CHECK);
        }
        state.flow
    }

    pub(super) fn cues_event(&self, event: &gst::Event) -> bool {
        // Files have a duration, cameras do not.
        let enters = matches!(event.view(), gst::EventView::Segment(_));
        let begins = enters || matches!(event.view(), gst::EventView::StreamStart(_));
        if event.is_serialized() && event.type_() != gst::EventType::FlushStop {
            self.wait_for_video(begins);
        }
        let stop = enters.then(|| self.cues.peer_query_duration::<gst::ClockTime>());
        let mut state = self.state();
        let mut done = Ok(());
        match event.view() {
            gst::EventView::FlushStart(_) => {
                state.cues_flushing = true;
                state.cues_stale = false;
            }
            gst::EventView::FlushStop(_) => {
                state.cues_flushing = false;
                state.cues_stale = false;
                state.cue_segment = None;
                // Of the two flushes of one seek, this is the second or the first.
                let second = std::mem::take(&mut state.video_ahead);
                state.cues_ahead = (!second).then(Instant::now);
            }
            gst::EventView::Segment(segment) => {
                if std::mem::take(&mut state.cues_stale) {
                    state.video_ahead = false;
                }
                let segment = segment.segment().clone();
                let segment = segment.downcast::<gst::ClockTime>().ok();
                if let (Some(segment), Some(queue)) = (&segment, &mut state.queue) {
                    queue.enter(segment);
                    let stop = stop
                        .flatten()
                        .and_then(|stop| i64::try_from(stop.nseconds()).ok());
                    if let Some(stop) = stop {
                        queue.expect_stop(Nanos::new(stop));
                    }
                }
                state.cue_segment = segment;
            }
            gst::EventView::Gap(gap) if !state.cues_stale => {
                let (pts, length) = gap.get();
                let until = pts + length.unwrap_or(gst::ClockTime::ZERO);
                let segment = state.cue_segment.as_ref();
                let until = segment.and_then(|segment| pads::stream_time(segment, until));
                if let (Some(until), Some(queue)) = (until, &mut state.queue) {
                    done = queue.no_sound_until(until);
                }
            }
            gst::EventView::CustomDownstream(_) if !state.cues_stale && !state.video_flushing => {
                if let (Some(cue), Some(queue)) = (structures::early_cue(event), &mut state.queue) {
                    done = queue.early_cue(cue);
                }
            }
            gst::EventView::Eos(_) | gst::EventView::SegmentDone(_) if !state.cues_stale => {
                if let Some(queue) = &mut state.queue {
                    done = queue.cues_ended();
                }
            }
            _ => {}
        }
        state.cues_touched = true;
        state.cue_progress = Instant::now();
        self.changed.notify_all();
        drop(state);
        self.post_news();
        done.map_err(|error| self.fail(&error)).is_ok()
    }

    pub(super) fn cues_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view() {
            gst::QueryView::Caps(_) | gst::QueryView::AcceptCaps(_) => {
                gst::Pad::query_default(pad, Some(&*self.obj()), query)
            }
            _ => false,
        }
    }

    /// Checks whether the cues pad gets data; if not, goes on without cues and sets the branch aside. `now`: even before the next regular check.
    pub(super) fn check_cues(&self, now: bool) -> Result<(), gst::FlowError> {
        {
            let mut state = self.state();
            let hopeful = state.queue.as_ref().is_some_and(GateQueue::cues_may_come);
            if state.cues_touched || !hopeful || !(now || state.check_due()) {
                return Ok(());
            }
        }
        let element = self.obj();
        let Some(unfed) = unfed_branch::find(element.upcast_ref(), &self.cues, &[&self.video])
        else {
            return Ok(());
        };
        let done = {
            let mut state = self.state();
            let Some(queue) = &mut state.queue else {
                return Ok(());
            };
            let done = queue.expect_no_cues(Warning::Unfed);
            self.changed.notify_all();
            done
        };
        done.map_err(|error| self.fail(&error))?;
        self.post_news();
        self.set_aside(unfed);
        Ok(())
    }

    /// Checks whether the video pad gets data; if not, makes the cues the stream.
    pub(super) fn check_video(&self) {
        let element = self.obj();
        let Some(unfed) = unfed_branch::find(element.upcast_ref(), &self.video, &[&self.cues])
        else {
            return;
        };
        let cue_start = self.cues.sticky_event::<gst::event::StreamStart>(0);
        let group = cue_start.as_ref().and_then(|event| event.group_id());
        let id = cue_start
            .as_ref()
            .map_or("earmark", |event| event.stream_id());
        {
            let mut state = self.state();
            let Some(queue) = &mut state.queue else {
                return;
            };
            queue.sound_only(id, group);
            let eos = gst::event::Eos::builder();
            let eos = eos.build();
            state.video_ended = Some((eos, Instant::now()));
            state.sound_only = true;
            self.changed.notify_all();
        }
        gst::info!(CAT, imp = self, "no video: the cues are the stream");
        self.set_aside(unfed);
    }
}
