//! The video pad: stores units, and waits while there is no room.

use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AnchorGate, CAT, CHECK, Flow};
use super::queue::{CueState, GateQueue, Room};
use super::warning::Warning;

/// How long the audio branch may take to be linked while the gate waits for downstream.
const SETTLE: Duration = Duration::from_secs(1);

impl AnchorGate {
    pub(super) fn video_chain(&self, buffer: gst::Buffer) -> Flow {
        self.wait_for_jump();
        let began = Instant::now();
        let first = !self.state().video_seen;
        let unlinked = first && !self.cues.is_linked();
        if unlinked {
            self.learn_end();
        }
        let (stored, grown) = {
            let mut state = self.state();
            if state.is_flushing() {
                return Err(gst::FlowError::Flushing);
            }
            if state.video_ended.is_some() {
                return Err(gst::FlowError::Eos);
            }
            state.flow?;
            state.video_seen = true;
            let Some(queue) = &mut state.queue else {
                return Err(gst::FlowError::Flushing);
            };
            let stored = if unlinked && queue.cue_state == CueState::Waiting {
                queue.expect_no_cues(Warning::Unlinked)
            } else {
                Ok(())
            };
            let stored = stored.and_then(|()| queue.unit(buffer));
            let gop = queue.longest_gop();
            // In steps of half a second, so that not every GOP changes the latency.
            let grown = gop > state.latency + Nanos::from_ms(500);
            if grown {
                state.latency = gop;
            }
            state.busy += began.elapsed();
            self.changed.notify_all();
            (stored, grown)
        };
        stored.map_err(|error| self.fail(&error))?;
        self.post_news();
        if grown && self.is_live() {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Fails only without a bus.
            let _ = self.obj().post_message(message);
        }
        let flow = self.wait_for_room();
        self.post_news();
        flow
    }

    /// Returns when there is room for the next unit.
    pub(super) fn wait_for_room(&self) -> Flow {
        let patience = self.properties().patience();
        let began = Instant::now();
        loop {
            let (room, full) = {
                let mut state = self.state();
                if state.is_flushing() {
                    return Err(gst::FlowError::Flushing);
                }
                state.flow?;
                let Some(queue) = &mut state.queue else {
                    return Err(gst::FlowError::Flushing);
                };
                let full = queue.full();
                let room = if full {
                    Room::NeedsCues
                } else {
                    queue.make_room()
                };
                if room == Room::Freed {
                    self.changed.notify_all();
                }
                (room, full)
            };
            match room {
                Room::Enough => return Ok(gst::FlowSuccess::Ok),
                Room::Freed => continue,
                Room::NeedsCues => {}
            }
            if full {
                // Downstream is slow, or waits for PLAYING, which a branch without data may prevent.
                if began.elapsed() > SETTLE && !self.state().cues_touched {
                    self.check_cues(false)?;
                }
            } else {
                self.check_cues(false)?;
                let live = self.is_live();
                let mut state = self.state();
                let since = state.cue_progress.max(began).elapsed();
                let Some(queue) = &mut state.queue else {
                    return Err(gst::FlowError::Flushing);
                };
                if queue.cues_may_come()
                    && (live || queue.cue_state == CueState::Late || since > patience)
                {
                    let gone = queue.continue_without_cues();
                    self.changed.notify_all();
                    drop(state);
                    gone.map_err(|error| self.fail(&error))?;
                    self.post_news();
                    continue;
                }
            }
            let state = self.state();
            let still = state
                .queue
                .as_ref()
                .is_some_and(|queue| !full || queue.full());
            if still && !state.is_flushing() && state.flow.is_ok() {
                drop(self.wait(state, CHECK));
            }
        }
    }

    pub(super) fn video_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStart(_) if self.is_seeking() => {
                self.state().own_flush = true;
                self.changed.notify_all();
                true
            }
            gst::EventView::FlushStop(_) if self.is_seeking() => {
                let mut state = self.state();
                // An application's flush may be under way too, and ends by itself.
                state.own_flush = false;
                state.video_ended = None;
                if let Some(queue) = &mut state.queue {
                    queue.upstream_flushed();
                }
                true
            }
            gst::EventView::FlushStart(_) => {
                {
                    let mut state = self.state();
                    state.video_flushing = true;
                    // Cues that were flushed first belong to the new place already.
                    if state.cues_ahead.is_none() {
                        state.cues_stale = !state.cues_flushing && state.cues_touched;
                        state.video_ahead = state.cues_touched;
                    }
                    if let Some(queue) = &mut state.queue {
                        queue.cancel_jump();
                    }
                    self.changed.notify_all();
                }
                let pushed = self.src.push_event(event);
                // The task sees the flag; this waits until it has left.
                let _ = self.src.pause_task();
                pushed
            }
            gst::EventView::FlushStop(_) => {
                let flushed = {
                    let mut state = self.state();
                    state.video_flushing = false;
                    state.video_ended = None;
                    state.video_seen = false;
                    state.cues_ahead = None;
                    state.flow = Ok(gst::FlowSuccess::Ok);
                    let flushed = state.queue.as_mut().map_or(Ok(()), GateQueue::flush);
                    self.changed.notify_all();
                    flushed
                };
                let pushed = self.src.push_event(event);
                if let Err(error) = flushed {
                    // The failure has been posted.
                    let _ = self.fail(&error);
                    return false;
                }
                if self.state().pushing {
                    self.start_task();
                }
                pushed
            }
            // The end of a segment seek ends the held video too.
            gst::EventView::Eos(_) | gst::EventView::SegmentDone(_) => {
                self.wait_for_jump();
                let astray = {
                    let mut state = self.state();
                    if state.is_flushing() {
                        return false;
                    }
                    let queue = state.queue.as_mut().filter(|queue| queue.is_landing());
                    let astray = queue.map(|queue| queue.jump_failed());
                    self.changed.notify_all();
                    astray
                };
                match astray {
                    // The task seeks back, and the end comes again.
                    Some(Ok(())) => return true,
                    Some(Err(error)) => {
                        // The error has been posted.
                        let _ = self.fail(&error);
                        return false;
                    }
                    None => {}
                }
                let refused = {
                    let mut state = self.state();
                    if state.flow.is_ok() {
                        state.video_ended = Some((event.clone(), Instant::now()));
                        self.changed.notify_all();
                        false
                    } else {
                        true
                    }
                };
                // Downstream refuses held units: pass on the end alone.
                if refused {
                    return self.src.push_event(event);
                }
                // Not only in the task: a sink that waits for PLAYING may block it, and a branch without data may prevent that.
                self.check_cues(true).is_ok()
            }
            gst::EventView::Segment(segment) if segment.segment().format() != gst::Format::Time => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    (
                        "the video segment is in {} format, but must be in time format (is a parser or demuxer missing before the gate?)",
                        segment.segment().format().to_string()
                    )
                );
                false
            }
            _ if event.is_serialized() => {
                self.wait_for_jump();
                if !self.restart(&event) {
                    return false;
                }
                let taken = {
                    let mut state = self.state();
                    if state.is_flushing() {
                        return false;
                    }
                    let taken = state.queue.as_mut().map(|queue| queue.video_event(event));
                    self.changed.notify_all();
                    taken
                };
                match taken {
                    Some(Err(error)) => {
                        // The error has been posted.
                        let _ = self.fail(&error);
                        false
                    }
                    _ => true,
                }
            }
            _ => {
                gst::log!(CAT, imp = self, "passing on {:?} of {}", event, pad.name());
                self.src.push_event(event)
            }
        }
    }

    /// If another stream or segment follows one that has ended, waits until that has gone out. Whether anything may come now.
    fn restart(&self, event: &gst::Event) -> bool {
        let mut state = self.state();
        loop {
            let Some((end, _)) = &state.video_ended else {
                return true;
            };
            let again = match event.type_() {
                gst::EventType::StreamStart => true,
                gst::EventType::Segment => end.type_() == gst::EventType::SegmentDone,
                _ => false,
            };
            if !again {
                return true;
            }
            if state.is_flushing() || !state.pushing || state.flow.is_err() {
                return false;
            }
            let Some(queue) = &mut state.queue else {
                return false;
            };
            if queue.finished() {
                let begun = queue.restart();
                state.video_ended = None;
                state.video_seen = false;
                state.sound_only = false;
                self.changed.notify_all();
                drop(state);
                return begun.map_err(|error| self.fail(&error)).is_ok();
            }
            state = self.wait(state, CHECK);
        }
    }

    pub(super) fn video_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let serialized = query.is_serialized();
        match query.view_mut() {
            gst::QueryViewMut::Caps(caps) => {
                let template = pad.pad_template_caps();
                let filter = caps.filter_owned();
                let downstream = self.src.peer_query_caps(filter.as_ref());
                let mut result =
                    downstream.intersect_with_mode(&template, gst::CapsIntersectMode::First);
                if let Some(filter) = &filter {
                    result = filter.intersect_with_mode(&result, gst::CapsIntersectMode::First);
                }
                caps.set_result(&result);
                true
            }
            // Held units would drain any pool but upstream's own.
            gst::QueryViewMut::Allocation(_) => false,
            _ if serialized => false,
            gst::QueryViewMut::AcceptCaps(_) => {
                gst::Pad::query_default(pad, Some(&*self.obj()), query)
            }
            _ => self.src.peer_query(query),
        }
    }
}
