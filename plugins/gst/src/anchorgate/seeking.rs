//! Seeks upstream, from the source pad's task, over parts that the plan does not need.

use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::EarmarkAccess;
use super::imp::{AnchorGate, CAT, CHECK};
use super::queue::JumpTarget;
use crate::pads;

/// Demuxers that know exactly where keyframes are.
const EXACT: [&str; 2] = ["qtdemux", "matroskademux"];

impl AnchorGate {
    /// Whether this thread is seeking: then a flush is the gate's own.
    pub(super) fn is_seeking(&self) -> bool {
        self.state().seeker == Some(std::thread::current().id())
    }

    /// Waits while a jump is due.
    pub(super) fn wait_for_jump(&self) {
        if self.is_seeking() {
            return;
        }
        let mut state = self.state();
        while !state.is_flushing()
            && state.pushing
            && state.flow.is_ok()
            && state
                .queue
                .as_ref()
                .is_some_and(|queue| queue.waits_for_jump())
        {
            state = self.wait(state, CHECK);
        }
    }

    /// Seeks to the keyframe before `to`, from the source pad's task. The flush goes no further than the gate.
    pub(super) fn seek(&self, to: JumpTarget) {
        if let JumpTarget::Frame(_) | JumpTarget::End(_) = to
            && let Err(why) = self.can_seek()
        {
            gst::debug!(CAT, imp = self, "not seeking: {why}");
            if self.properties().access() == EarmarkAccess::Seek {
                gst::element_imp_warning!(
                    self,
                    gst::StreamError::Failed,
                    ("access=seek cannot seek here ({why}): anchorgate reads the whole recording")
                );
            }
            self.resume(to);
            return;
        }
        let time = u64::try_from(to.time().get()).unwrap_or(0);
        let seek = gst::event::Seek::new(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE,
            gst::SeekType::Set,
            gst::ClockTime::from_nseconds(time),
            gst::SeekType::None,
            gst::ClockTime::NONE,
        );
        {
            let mut state = self.state();
            let sought = state
                .queue
                .as_ref()
                .is_some_and(|queue| queue.is_seeking_to(to));
            if state.video_flushing || !sought {
                return;
            }
            state.seeker = Some(std::thread::current().id());
        }
        gst::debug!(CAT, imp = self, "seeking: {to:?}");
        let sought = self.video.push_event(seek);
        {
            let mut state = self.state();
            state.seeker = None;
            state.own_flush = false;
        }
        if !sought {
            gst::debug!(CAT, imp = self, "upstream refused to seek: {to:?}");
        }
        // Does nothing if the flush came.
        self.resume(to);
    }

    /// Reads on if the seek did nothing.
    fn resume(&self, to: JumpTarget) {
        let resumed = {
            let mut state = self.state();
            let resumed = state.queue.as_mut().map(|queue| queue.jump_refused(to));
            self.changed.notify_all();
            resumed
        };
        if let Some(Err(error)) = resumed {
            let error = self.fail(&error);
            self.pushed(Err(error));
        }
    }

    /// Whether a seek lands on a keyframe from an index and disturbs nobody; else the reason.
    fn can_seek(&self) -> Result<(), String> {
        if self.cues.is_linked() {
            return Err("the audio plays in the same pass".into());
        }
        let mut demuxers = Vec::new();
        let mut local = false;
        for (element, inside) in pads::before(&self.video) {
            if element
                .src_pads()
                .iter()
                .filter(|pad| pad.is_linked())
                .count()
                > 1
            {
                return Err(format!("{} has other readers", element.name()));
            }
            for factory in inside.iter().filter_map(|element| element.factory()) {
                if factory.has_type(gst::ElementFactoryType::DEMUXER) {
                    demuxers.push(factory.name().to_string());
                }
                local |= factory.name() == "filesrc";
            }
        }
        if !local {
            return Err("the source is not a local file".into());
        }
        match demuxers.as_slice() {
            [one] if EXACT.contains(&one.as_str()) => {}
            [] => return Err("no demuxer lists keyframes".into()),
            [one] => return Err(format!("{one} does not know where keyframes are")),
            _ => return Err("there is more than one demuxer".into()),
        }
        let mut query = gst::query::Seeking::new(gst::Format::Time);
        if !self.video.peer_query(&mut query) || !query.result().0 {
            return Err("the source cannot seek".into());
        }
        Ok(())
    }

    /// Asks for the end of the recording: after the plan's last entry, only the last frames matter.
    pub(super) fn learn_end(&self) {
        if self.properties().access() == EarmarkAccess::Linear {
            return;
        }
        let end = self.video.peer_query_duration::<gst::ClockTime>();
        let end = end.and_then(|end| i64::try_from(end.nseconds()).ok());
        if let (Some(end), Some(queue)) = (end, &mut self.state().queue) {
            queue.ends_at(Nanos::new(end));
        }
    }
}
