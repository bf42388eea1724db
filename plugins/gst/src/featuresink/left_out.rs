//! Waits for room before the encoder, and leaves frames out if it is too slow for a live source.

use std::time::{Duration, Instant};

use anchoring::plan::Reason;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::FeatureSink;
use super::job::Frame;
use super::keep_up::Room;
use super::lock;
use super::messages::{TOO_SLOW, left_out_structure};

/// How often a frame that waits looks for room.
const LOOK: Duration = Duration::from_millis(20);

impl FeatureSink {
    /// Waits until there is room for a frame. False if it is left out.
    pub(super) fn has_room(&self, reason: Reason) -> Result<bool, gst::FlowError> {
        loop {
            let (room, live) = match lock(&self.state).as_mut() {
                None => return Err(gst::FlowError::Flushing),
                Some(started) => {
                    let waiting = started.worker.frames();
                    match &mut started.keep_up {
                        Some(keep_up) if !started.worker.is_over() => {
                            (keep_up.room(reason, waiting), keep_up.live)
                        }
                        _ => return Ok(true),
                    }
                }
            };
            match (room, live) {
                (Room::Free, _) => return Ok(true),
                (Room::NoneForLong, Some(true)) => return Ok(false),
                (Room::NoneForLong, None) => self.ask_source(),
                (Room::None, _) | (Room::NoneForLong, Some(false)) => {}
            }
            let begun = Instant::now();
            self.give_way()?;
            std::thread::sleep(LOOK);
            if let Some(started) = lock(&self.state).as_mut()
                && let Some(keep_up) = &mut started.keep_up
            {
                keep_up.waited = keep_up.waited.saturating_add(begun.elapsed());
            }
        }
    }

    /// Notes whether the source is live. A file waits for the encoder instead.
    fn ask_source(&self) {
        let mut query = gst::query::Latency::new();
        let pad = self.obj().static_pad("sink");
        let live = pad.is_some_and(|pad| pad.peer_query(&mut query)) && query.result().0;
        if let Some(started) = lock(&self.state).as_mut()
            && let Some(keep_up) = &mut started.keep_up
        {
            keep_up.live = Some(live);
        }
    }

    /// Leaves a frame out, and counts it.
    pub(super) fn leave_out(&self, frame: &Frame) -> Result<(), gst::FlowError> {
        let reason = frame.entry.reason;
        let (steps, warns) = {
            let mut state = lock(&self.state);
            let Some(started) = state.as_mut() else {
                return Err(gst::FlowError::Flushing);
            };
            let segments = started.segments.as_mut();
            let steps = segments.map(|segments| segments.left_out(frame.pts, frame.entry.anchor));
            let keep_up = started.keep_up.as_mut();
            let warns = keep_up.is_some_and(|one| !std::mem::replace(&mut one.warned, true));
            (steps.unwrap_or_default(), warns)
        };
        self.carry_out(steps)?;
        if let Some(started) = lock(&self.state).as_ref() {
            let mut closing = lock(&started.closing);
            closing.left_out(reason);
            closing.warn(TOO_SLOW.into());
        }
        if warns {
            gst::element_imp_warning!(self, gst::CoreError::TooLazy, ("{TOO_SLOW}"));
        }
        self.post(left_out_structure(reason));
        Ok(())
    }
}
