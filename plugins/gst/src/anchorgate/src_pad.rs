//! The source pad: a task pushes what leaves the queue.

use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{AnchorGate, CAT, CHECK, Flow, State};
use super::queue::{CueState, GateError, JumpTarget, Outgoing};
use super::warning::Warning;
use crate::{pads, structures};

/// After so long without anything to push, the decoder must give out its frames.
const SETTLE: Duration = Duration::from_millis(100);

/// The next step of the task, taken without the lock.
enum Step {
    Push(Outgoing),
    /// The next planned frame is far away.
    Seek(JumpTarget),
    /// The video has ended: will more cues come?
    CheckCues,
    /// The audio has ended or gone far ahead: will there be video?
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

    /// One turn of the task.
    fn run(&self) {
        let patience = self.properties().patience();
        match self.next_step(patience) {
            Step::Push(Outgoing::Buffer(buffer)) => self.pushed(self.src.push(buffer)),
            Step::Push(Outgoing::Event(event)) => {
                if event.type_() == gst::EventType::Eos {
                    self.report();
                }
                if !self.src.push_event(event) {
                    gst::debug!(CAT, imp = self, "downstream refused an event");
                }
            }
            Step::CheckCues => {
                // The error has been posted.
                let _ = self.check_cues(true);
            }
            Step::Seek(to) => self.seek(to),
            Step::CheckVideo => self.check_video(),
            Step::Fail(error) => {
                let error = self.fail(&error);
                self.pushed(Err(error));
            }
            Step::Stop => {}
        }
        self.post_news();
    }

    fn next_step(&self, patience: Duration) -> Step {
        let idle = Instant::now();
        let mut state = self.state();
        loop {
            if !state.pushing || state.video_flushing || state.flow.is_err() {
                // Under the lock, so that a thread that lifts the reason starts the task after this.
                let _ = self.src.pause_task();
                return Step::Stop;
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
                return Step::Stop;
            };
            if let Some(to) = queue.jump() {
                return Step::Seek(to);
            }
            if let Some(out) = queue.pop() {
                self.changed.notify_all();
                return Step::Push(out);
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
                // Only a flush brings more.
            } else if let Some((eos, at)) = video_ended {
                let waited = (*cue_progress).max(*at).elapsed();
                let (finished, goes_on) = if !queue.cues_may_come() {
                    (queue.finish(eos.clone()), true)
                } else if waited > patience {
                    (queue.expect_no_cues(Warning::Late), true)
                } else {
                    if due && !*cues_touched {
                        return Step::CheckCues;
                    }
                    pause = pause.min(CHECK);
                    (Ok(()), false)
                };
                if let Err(error) = finished {
                    return Step::Fail(error);
                }
                if goes_on {
                    continue;
                }
            } else if !*video_seen
                && !queue.started()
                && (queue.cue_state == CueState::Ended || queue.pending_messages_full())
            {
                if due {
                    return Step::CheckVideo;
                }
                pause = pause.min(CHECK);
            }
            state = self.wait(state, pause);
        }
    }

    /// Keeps the result of a push, which the chains return too.
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
        gst::debug!(CAT, imp = self, "downstream returned {error}");
        // After EOS, upstream no longer sees the error.
        if let Some((eos, _)) = ended {
            if matches!(
                error,
                gst::FlowError::NotLinked | gst::FlowError::NotNegotiated
            ) {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    ("downstream refused the video: {error}")
                );
            }
            if error != gst::FlowError::Flushing {
                self.src.push_event(eos);
            }
        }
    }

    pub(super) fn src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // The decoder must not skip chosen frames.
            gst::EventView::Qos(_) => true,
            // Goes to the sources of audio and video; once if both are the same.
            gst::EventView::Seek(_) | gst::EventView::Latency(_) => {
                let upstream = self.upstream();
                let taken = upstream.push_event(event.clone());
                if *upstream != self.cues && self.cues.is_linked() && self.sources_differ() {
                    let sent = self.cues.push_event(event);
                    gst::debug!(CAT, imp = self, "sent upstream of pad cues too: {sent}");
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
                let latency_of = |pad: &gst::Pad| {
                    let mut query = gst::query::Latency::new();
                    pad.peer_query(&mut query).then(|| query.result())
                };
                let upstream = self.upstream();
                let Some((live, min, max)) = latency_of(upstream) else {
                    return false;
                };
                let audio = (*upstream != self.cues)
                    .then(|| latency_of(&self.cues))
                    .flatten();
                let (audio_live, audio_min) =
                    audio.map_or((false, min), |(live, min, _)| (live, min));
                let (ahead, lag) = {
                    let properties = self.properties();
                    (properties.look_ahead(), properties.max_lag())
                };
                let time = |nanos: Nanos| gst::ClockTime::from_nseconds(nanos.get().max(0) as u64);
                let (own, lag) = (time(ahead + self.state().latency), time(lag));
                // Frames wait here for their cues.
                let late = if audio_live {
                    audio_min.saturating_sub(min)
                } else {
                    gst::ClockTime::ZERO
                };
                let own = own + late;
                let max = max.map(|max| max.max(min) + own.max(lag));
                latency.set(live || audio_live, min + own, max);
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

    /// The pad that feeds the output.
    fn upstream(&self) -> &gst::Pad {
        let sound = !self.video.is_linked() && self.cues.is_linked();
        if sound || self.state().sound_only {
            &self.cues
        } else {
            &self.video
        }
    }

    /// Whether audio and video have separate sources, as far as that can be seen.
    fn sources_differ(&self) -> bool {
        let source = |pad| pads::before(pad).pop().map(|(element, _)| element);
        let (video, audio) = (source(&self.video), source(&self.cues));
        video.is_none() || video != audio
    }
}
