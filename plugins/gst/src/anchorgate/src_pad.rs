//! The source pad: a task pushes what the queue lets go of.

use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AnchorGate, CAT, CHECK, Flow, State};
use super::queue::{CueState, GateError, JumpTarget, Outgoing};
use super::warning::Warning;
use crate::{pads, structures};

/// After this long with nothing to push, the decoder is made to give out what it holds.
const SETTLE: Duration = Duration::from_millis(100);

/// What the task does next, without the lock.
enum Duty {
    Push(Outgoing),
    /// The next look is far away.
    Seek(JumpTarget),
    /// The video is over: will cues still come?
    CheckCues,
    /// The sound is over or long: will video ever come?
    CheckVideo,
    Fail(GateError),
    Stop,
}

impl AnchorGate {
    pub(super) fn start_task(&self) {
        let this = self.downgrade();
        let started = self.src.start_task(move || {
            if let Some(this) = this.upgrade() {
                this.run();
            }
        });
        if let Err(error) = started {
            gst::error!(CAT, imp = self, "{error}");
        }
    }

    /// One turn of the task: pushes one thing.
    fn run(&self) {
        let patience = self.properties().patience();
        match self.next_duty(patience) {
            Duty::Push(Outgoing::Buffer(buffer)) => self.pushed(self.src.push(buffer)),
            Duty::Push(Outgoing::Event(event)) => {
                if event.type_() == gst::EventType::Eos {
                    self.report();
                }
                if !self.src.push_event(event) {
                    gst::debug!(CAT, imp = self, "an event was refused downstream");
                }
            }
            Duty::CheckCues => {
                // The failure has been posted.
                let _ = self.check_cues(true);
            }
            Duty::Seek(to) => self.seek(to),
            Duty::CheckVideo => self.check_video(),
            Duty::Fail(error) => {
                let error = self.fail(&error);
                self.pushed(Err(error));
            }
            Duty::Stop => {}
        }
        self.post_warnings();
    }

    fn next_duty(&self, patience: Duration) -> Duty {
        let idle = Instant::now();
        let mut state = self.state();
        loop {
            if !state.pushing || state.video_flushing || state.flow.is_err() {
                // Under the lock, so that whoever lifts the reason and then starts the task does so after this.
                let _ = self.src.pause_task();
                return Duty::Stop;
            }
            let due = state.check_due();
            let State {
                queue: Some(queue),
                video_ended,
                video_seen,
                cue_progress,
                cues_touched,
                ..
            } = &mut *state
            else {
                let _ = self.src.pause_task();
                return Duty::Stop;
            };
            if let Some(to) = queue.jump() {
                return Duty::Seek(to);
            }
            if let Some(out) = queue.pop() {
                self.changed.notify_all();
                return Duty::Push(out);
            }
            let mut pause = Duration::from_secs(3600);
            if queue.needs_drain() {
                match SETTLE.checked_sub(idle.elapsed()) {
                    Some(left) if !left.is_zero() => pause = left,
                    _ => {
                        queue.drain();
                        continue;
                    }
                }
            }
            if queue.finished() {
                // Only a flush can bring something new.
            } else if let Some((eos, at)) = video_ended {
                let waited = (*cue_progress).max(*at).elapsed();
                let (finished, goes_on) = if !queue.cues_may_come() {
                    (queue.finish(eos.clone()), true)
                } else if waited > patience {
                    (queue.expect_no_cues(Warning::Late), true)
                } else {
                    if due && !*cues_touched {
                        return Duty::CheckCues;
                    }
                    pause = pause.min(CHECK);
                    (Ok(()), false)
                };
                if let Err(error) = finished {
                    return Duty::Fail(error);
                }
                if goes_on {
                    continue;
                }
            } else if !*video_seen
                && !queue.started()
                && (queue.cue_state == CueState::Ended || queue.pending_messages_full())
            {
                if due {
                    return Duty::CheckVideo;
                }
                pause = pause.min(CHECK);
            }
            state = self.wait(state, pause);
        }
    }

    /// Keeps what a push returned, for the chains to return too.
    pub(super) fn pushed(&self, flow: Flow) {
        let Err(error) = flow else {
            return;
        };
        let ended = {
            let mut state = self.state();
            state.flow = Err(error);
            self.changed.notify_all();
            state.video_ended.clone()
        };
        gst::debug!(CAT, imp = self, "downstream says {error}");
        // Nobody upstream will be told any more.
        if let Some((eos, _)) = ended {
            if matches!(
                error,
                gst::FlowError::NotLinked | gst::FlowError::NotNegotiated
            ) {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    ("downstream refused the pictures: {error}")
                );
            }
            if error != gst::FlowError::Flushing {
                self.src.push_event(eos);
            }
        }
    }

    pub(super) fn src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // The decoder behind the gate must not skip what was chosen.
            gst::EventView::Qos(_) => true,
            // Each goes to whatever plays sound and pictures; where that is one source, it goes there once.
            gst::EventView::Seek(_) | gst::EventView::Latency(_) => {
                let upstream = self.upstream();
                let taken = upstream.push_event(event.clone());
                if *upstream != self.cues && self.cues.is_linked() && self.sources_differ() {
                    let heard = self.cues.push_event(event);
                    gst::debug!(CAT, imp = self, "sent up pad cues, too: {heard}");
                }
                taken
            }
            _ => self.upstream().push_event(event),
        }
    }

    pub(super) fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let serialized = query.is_serialized();
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let told = |pad: &gst::Pad| {
                    let mut query = gst::query::Latency::new();
                    pad.peer_query(&mut query).then(|| query.result())
                };
                let upstream = self.upstream();
                let Some((live, min, max)) = told(upstream) else {
                    return false;
                };
                let ears = (*upstream != self.cues).then(|| told(&self.cues)).flatten();
                let (hears_live, heard) = ears.map_or((false, min), |(live, min, _)| (live, min));
                let (ahead, lag) = {
                    let properties = self.properties();
                    (properties.look_ahead(), properties.max_lag())
                };
                let time = |nanos: Nanos| gst::ClockTime::from_nseconds(nanos.get().max(0) as u64);
                let (own, lag) = (time(ahead + self.state().latency), time(lag));
                // Pictures wait for what is heard of them, and so long they are kept here.
                let late = if hears_live {
                    heard.saturating_sub(min)
                } else {
                    gst::ClockTime::ZERO
                };
                let own = own + late;
                let max = max.map(|max| max.max(min) + own.max(lag));
                latency.set(live || hears_live, min + own, max);
                true
            }
            gst::QueryViewMut::Scheduling(scheduling) => {
                scheduling.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                scheduling.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
            gst::QueryViewMut::Caps(caps) => {
                let template = pad.pad_template_caps();
                let filter = caps.filter_owned();
                let mut result = pad.current_caps().unwrap_or_else(|| {
                    let upstream = self.video.peer_query_caps(filter.as_ref());
                    let mut upstream = upstream.intersect(&template);
                    let cues = gst::Caps::new_empty_simple(structures::CUE_CAPS);
                    if !self.video.is_linked() {
                        upstream.merge(cues);
                    }
                    upstream
                });
                if let Some(filter) = &filter {
                    result = filter.intersect_with_mode(&result, gst::CapsIntersectMode::First);
                }
                caps.set_result(&result);
                true
            }
            gst::QueryViewMut::AcceptCaps(_) => {
                gst::Pad::query_default(pad, Some(&*self.obj()), query)
            }
            _ if serialized => false,
            _ => self.upstream().peer_query(query),
        }
    }

    /// The pad that what goes out comes from.
    fn upstream(&self) -> &gst::Pad {
        let sound = !self.video.is_linked() && self.cues.is_linked();
        if sound || self.state().sound_only {
            &self.cues
        } else {
            &self.video
        }
    }

    /// Whether sound and pictures come from elements of their own, as far as that can be seen.
    fn sources_differ(&self) -> bool {
        let source = |pad| pads::before(pad).pop().map(|(element, _)| element);
        let (pictures, sound) = (source(&self.video), source(&self.cues));
        pictures.is_none() || pictures != sound
    }
}
