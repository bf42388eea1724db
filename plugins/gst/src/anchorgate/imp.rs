//! `anchorgate`: pads, threads and state.

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::desk::{Cause, Desk, DeskError, Ears, Out, Room};
use super::settings::Properties;
use crate::{branch, carry, pads};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "anchorgate",
        gst::DebugColorFlags::empty(),
        Some("Earmark: the gate before the decoder"),
    )
});

/// How often a waiting thread looks whether the wait is in vain.
const CHECK: Duration = Duration::from_millis(100);
/// The audio branch is given this long to be linked while the gate waits for room downstream.
const SETTLE: Duration = Duration::from_secs(1);

type Flow = Result<gst::FlowSuccess, gst::FlowError>;

// Threads: the video's chain and the cues' chain store units and cues and return; a task on the source pad pushes. The video's
// chain waits when what is held reaches its bound, the cues' chain when what waits to be pushed does; the task waits for
// something to push, and once the video is over for the cues that are still to come, at most `patience-ms` without one.
//
// Lock order: a pad's stream lock (GStreamer takes it), then `state`. `properties` is never held together with `state`. While
// `state` is held nothing is pushed, posted or asked of a pad, a peer or the bin. Whatever waits does so on `changed`,
// which gives `state` up; deactivating a pad or flushing it marks `state` and wakes all, so that the stream lock comes free.

/// Stopped: no desk. Started: a desk, and each of the three pads either active or flushing on its own.
///
/// Video: nothing seen -> seen -> ended (EOS kept) -> finished (the desk has let go of everything, EOS is on its way).
/// Cues: see [`Ears`]; stale from a flush of the video until the cues flush too or begin a new segment.
struct State {
    desk: Option<Desk>,
    /// The source pad is active: the task may run.
    pushing: bool,
    video_flushing: bool,
    cues_flushing: bool,
    cues_stale: bool,
    video_seen: bool,
    /// The video's EOS, and when it came.
    video_ended: Option<(gst::Event, Instant)>,
    cue_segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// Anything at all has come from the cues pad.
    cues_touched: bool,
    /// When something last came from the cues pad.
    cue_progress: Instant,
    /// What the last push returned.
    flow: Flow,
    live: Option<bool>,
    latency: Nanos,
    /// No check for an unfed branch before this.
    next_check: Instant,
    busy: Duration,
}

impl State {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            desk: None,
            pushing: false,
            // The source pad is activated first, and its task must not take the others' rest for a flush.
            video_flushing: false,
            cues_flushing: false,
            cues_stale: false,
            video_seen: false,
            video_ended: None,
            cue_segment: None,
            cues_touched: false,
            cue_progress: now,
            flow: Ok(gst::FlowSuccess::Ok),
            live: None,
            latency: Nanos::ZERO,
            next_check: now,
            busy: Duration::ZERO,
        }
    }

    fn check_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.next_check <= now;
        if due {
            self.next_check = now + CHECK;
        }
        due
    }
}

/// What the task does next, without the lock.
enum Duty {
    Push(Out),
    /// The video is over: will cues still come?
    CheckCues,
    /// The sound is over or long: will video ever come?
    CheckVideo,
    Fail(DeskError),
    Stop,
}

pub struct AnchorGate {
    video: gst::Pad,
    cues: gst::Pad,
    src: gst::Pad,
    properties: Mutex<Properties>,
    state: Mutex<State>,
    changed: Condvar,
}

impl AnchorGate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn properties(&self) -> MutexGuard<'_, Properties> {
        self.properties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, at_most: Duration) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Posts what the desk warns of. Call without the lock.
    fn tell(&self) {
        let news = self.state().desk.as_mut().map(Desk::news);
        for text in news.unwrap_or_default() {
            gst::element_imp_warning!(self, gst::StreamError::Failed, ("{text}"));
        }
    }

    fn fail(&self, error: &DeskError) -> gst::FlowError {
        match error {
            DeskError::Plan(_) => {
                gst::element_imp_error!(self, gst::ResourceError::Read, ("{error}"));
            }
            DeskError::Cue(_) => {
                gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
            }
        }
        gst::FlowError::Error
    }

    fn is_live(&self) -> bool {
        if let Some(live) = self.state().live {
            return live;
        }
        let mut query = gst::query::Latency::new();
        let live = self.video.peer_query(&mut query) && query.result().0;
        self.state().live = Some(live);
        live
    }

    // ---- video ----

    fn video_chain(&self, buffer: gst::Buffer) -> Flow {
        let began = Instant::now();
        let first = !self.state().video_seen;
        let unlinked = first && !self.cues.is_linked();
        let (stored, grown) = {
            let mut state = self.state();
            if state.video_flushing {
                return Err(gst::FlowError::Flushing);
            }
            if state.video_ended.is_some() {
                return Err(gst::FlowError::Eos);
            }
            state.flow?;
            state.video_seen = true;
            let Some(desk) = &mut state.desk else {
                return Err(gst::FlowError::Flushing);
            };
            let stored = if unlinked && desk.ears == Ears::Waiting {
                desk.deaf(Cause::Unlinked)
            } else {
                Ok(())
            };
            let stored = stored.and_then(|()| desk.unit(buffer));
            let gop = desk.longest_gop();
            // Half seconds, so that the latency is not told anew with every GOP.
            let grown = gop > state.latency + Nanos::from_ms(500);
            if grown {
                state.latency = gop;
            }
            state.busy += began.elapsed();
            self.changed.notify_all();
            (stored, grown)
        };
        stored.map_err(|error| self.fail(&error))?;
        self.tell();
        if grown && self.is_live() {
            let message = gst::message::Latency::builder().src(&*self.obj()).build();
            // Without a bus there is nobody to tell.
            let _ = self.obj().post_message(message);
        }
        let flow = self.wait_for_room();
        self.tell();
        flow
    }

    /// Returns when there is room for the next unit.
    fn wait_for_room(&self) -> Flow {
        let patience = self.properties().patience();
        let began = Instant::now();
        loop {
            let (room, full) = {
                let mut state = self.state();
                if state.video_flushing {
                    return Err(gst::FlowError::Flushing);
                }
                state.flow?;
                let Some(desk) = &mut state.desk else {
                    return Err(gst::FlowError::Flushing);
                };
                let full = desk.full();
                let room = if full {
                    Room::NeedsCues
                } else {
                    desk.make_room()
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
                // Downstream is slow, or waits for the pipeline to play, which an unfed branch may prevent.
                if began.elapsed() > SETTLE && !self.state().cues_touched {
                    self.check_cues(false)?;
                }
            } else {
                self.check_cues(false)?;
                let live = self.is_live();
                let mut state = self.state();
                let since = state.cue_progress.max(began).elapsed();
                let Some(desk) = &mut state.desk else {
                    return Err(gst::FlowError::Flushing);
                };
                if desk.cues_may_come() && (live || desk.ears == Ears::Late || since > patience) {
                    let gone = desk.go_on_without();
                    self.changed.notify_all();
                    drop(state);
                    gone.map_err(|error| self.fail(&error))?;
                    self.tell();
                    continue;
                }
            }
            let state = self.state();
            let still = state.desk.as_ref().is_some_and(|desk| !full || desk.full());
            if still && !state.video_flushing && state.flow.is_ok() {
                drop(self.wait(state, CHECK));
            }
        }
    }

    fn video_event(&self, pad: &gst::Pad, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::FlushStart(_) => {
                {
                    let mut state = self.state();
                    state.video_flushing = true;
                    state.cues_stale = !state.cues_flushing && state.cues_touched;
                    self.changed.notify_all();
                }
                let pushed = self.src.push_event(event);
                // The task has seen the flag; this waits for it to leave.
                let _ = self.src.pause_task();
                pushed
            }
            gst::EventView::FlushStop(_) => {
                let flushed = {
                    let mut state = self.state();
                    state.video_flushing = false;
                    state.video_ended = None;
                    state.video_seen = false;
                    state.flow = Ok(gst::FlowSuccess::Ok);
                    state.desk.as_mut().map_or(Ok(()), Desk::flush)
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
            gst::EventView::Eos(_) => {
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
                // What is held is refused downstream: only the end is news.
                if refused {
                    return self.src.push_event(event);
                }
                // Not the task's business alone: it may be held by a sink that waits for the pipeline to play, which an unfed
                // branch may prevent.
                self.check_cues(true).is_ok()
            }
            gst::EventView::Segment(segment) if segment.segment().format() != gst::Format::Time => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Format,
                    (
                        "the video's segment is in {}, but must be in time (is there no parser or demuxer before the gate?)",
                        segment.segment().format().to_string()
                    )
                );
                false
            }
            _ if event.is_serialized() => {
                let mut state = self.state();
                if state.video_flushing {
                    return false;
                }
                if let Some(desk) = &mut state.desk {
                    desk.video_event(event);
                    self.changed.notify_all();
                }
                true
            }
            _ => {
                gst::log!(CAT, imp = self, "passing on {:?} of {}", event, pad.name());
                self.src.push_event(event)
            }
        }
    }

    fn video_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
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
            // What waits here would drain any pool but upstream's own.
            gst::QueryViewMut::Allocation(_) => false,
            _ if serialized => false,
            gst::QueryViewMut::AcceptCaps(_) => {
                gst::Pad::query_default(pad, Some(&*self.obj()), query)
            }
            _ => self.src.peer_query(query),
        }
    }

    // ---- cues ----

    fn cues_chain(&self, buffer: &gst::Buffer) -> Flow {
        let began = Instant::now();
        let heard = {
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
            let Some(desk) = &mut state.desk else {
                return Err(gst::FlowError::Flushing);
            };
            let heard = desk.cue(&map);
            state.busy += began.elapsed();
            self.changed.notify_all();
            heard
        };
        heard.map_err(|error| self.fail(&error))?;
        self.tell();
        let mut state = self.state();
        loop {
            if state.cues_flushing {
                return Err(gst::FlowError::Flushing);
            }
            let waits = state
                .desk
                .as_ref()
                .is_some_and(|desk| desk.full() || desk.early_full());
            if !waits || state.video_flushing || state.flow.is_err() {
                break;
            }
            state = self.wait(state, CHECK);
        }
        state.flow
    }

    fn cues_event(&self, event: &gst::Event) -> bool {
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
            }
            gst::EventView::Segment(segment) => {
                state.cues_stale = false;
                let segment = segment.segment().clone();
                let segment = segment.downcast::<gst::ClockTime>().ok();
                if let (Some(segment), Some(desk)) = (&segment, &mut state.desk) {
                    desk.enter(segment);
                }
                state.cue_segment = segment;
            }
            gst::EventView::Gap(gap) if !state.cues_stale => {
                let (pts, length) = gap.get();
                let until = pts + length.unwrap_or(gst::ClockTime::ZERO);
                let segment = state.cue_segment.as_ref();
                let until = segment.and_then(|segment| pads::stream_time(segment, until));
                if let (Some(until), Some(desk)) = (until, &mut state.desk) {
                    done = desk.silence(until);
                }
            }
            gst::EventView::Eos(_) if !state.cues_stale => {
                if let Some(desk) = &mut state.desk {
                    done = desk.cues_end();
                }
            }
            _ => {}
        }
        state.cues_touched = true;
        state.cue_progress = Instant::now();
        self.changed.notify_all();
        drop(state);
        self.tell();
        done.map_err(|error| self.fail(&error)).is_ok()
    }

    fn cues_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        match query.view() {
            gst::QueryView::Caps(_) | gst::QueryView::AcceptCaps(_) => {
                gst::Pad::query_default(pad, Some(&*self.obj()), query)
            }
            _ => false,
        }
    }

    /// Finds out whether anything feeds the cues pad, and if nothing does, goes on without and sets the branch aside. With
    /// `now` that happens although cues were expected; otherwise only while none have been seen.
    fn check_cues(&self, now: bool) -> Result<(), gst::FlowError> {
        {
            let mut state = self.state();
            let hopeful = state.desk.as_ref().is_some_and(Desk::cues_may_come);
            if state.cues_touched || !hopeful || !(now || state.check_due()) {
                return Ok(());
            }
        }
        let element = self.obj();
        let Some(unfed) = branch::unfed(element.upcast_ref(), &self.cues, &[&self.video]) else {
            return Ok(());
        };
        let deaf = {
            let mut state = self.state();
            let Some(desk) = &mut state.desk else {
                return Ok(());
            };
            let deaf = desk.deaf(Cause::Unfed);
            self.changed.notify_all();
            deaf
        };
        deaf.map_err(|error| self.fail(&error))?;
        self.tell();
        if !unfed.elements().is_empty() {
            gst::info!(CAT, imp = self, "setting aside {:?}", unfed.elements());
            element.call_async(move |_| unfed.retire());
        }
        Ok(())
    }

    /// Finds out whether anything feeds the video pad, and if nothing does, makes what is heard the stream.
    fn check_video(&self) {
        let element = self.obj();
        let Some(unfed) = branch::unfed(element.upcast_ref(), &self.video, &[&self.cues]) else {
            return;
        };
        let cue_start = self.cues.sticky_event::<gst::event::StreamStart>(0);
        let group = cue_start.as_ref().and_then(|event| event.group_id());
        let id = cue_start
            .as_ref()
            .map_or("earmark", |event| event.stream_id());
        {
            let mut state = self.state();
            let Some(desk) = &mut state.desk else {
                return;
            };
            desk.sound_only(id, group);
            let eos = gst::event::Eos::builder();
            let eos = eos.build();
            state.video_ended = Some((eos, Instant::now()));
            self.changed.notify_all();
        }
        gst::info!(CAT, imp = self, "no video: the cues are the stream");
        if !unfed.elements().is_empty() {
            element.call_async(move |_| unfed.retire());
        }
    }

    // ---- source ----

    fn start_task(&self) {
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
            Duty::Push(Out::Buffer(buffer)) => self.pushed(self.src.push(buffer)),
            Duty::Push(Out::Event(event)) => {
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
            Duty::CheckVideo => self.check_video(),
            Duty::Fail(error) => {
                let error = self.fail(&error);
                self.pushed(Err(error));
            }
            Duty::Stop => {}
        }
        self.tell();
    }

    fn next_duty(&self, patience: Duration) -> Duty {
        let mut state = self.state();
        loop {
            if !state.pushing || state.video_flushing || state.flow.is_err() {
                // Under the lock, so that whoever lifts the reason and then starts the task does so after this.
                let _ = self.src.pause_task();
                return Duty::Stop;
            }
            let due = state.check_due();
            let State {
                desk: Some(desk),
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
            if let Some(out) = desk.pop() {
                self.changed.notify_all();
                return Duty::Push(out);
            }
            let mut pause = Duration::from_secs(3600);
            if desk.finished() {
                // Only a flush can bring something new.
            } else if let Some((eos, at)) = video_ended {
                let waited = (*cue_progress).max(*at).elapsed();
                let finished = if !desk.cues_may_come() {
                    desk.finish(eos.clone())
                } else if waited > patience {
                    desk.deaf(Cause::Late)
                } else {
                    if due && !*cues_touched {
                        return Duty::CheckCues;
                    }
                    pause = CHECK;
                    Ok(())
                };
                if let Err(error) = finished {
                    return Duty::Fail(error);
                }
                if pause > CHECK {
                    continue;
                }
            } else if !*video_seen
                && !desk.started()
                && (desk.ears == Ears::Ended || desk.early_full())
            {
                if due {
                    return Duty::CheckVideo;
                }
                pause = CHECK;
            }
            state = self.wait(state, pause);
        }
    }

    /// Keeps what a push returned, for the chains to return too.
    fn pushed(&self, flow: Flow) {
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

    fn src_event(&self, event: gst::Event) -> bool {
        match event.view() {
            // The decoder behind the gate must not skip what was chosen.
            gst::EventView::Qos(_) => true,
            _ => self.video.push_event(event),
        }
    }

    fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        let serialized = query.is_serialized();
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let mut upstream = gst::query::Latency::new();
                if !self.video.peer_query(&mut upstream) {
                    return false;
                }
                let (live, mut min, max) = upstream.result();
                let mut ears = gst::query::Latency::new();
                if self.cues.peer_query(&mut ears) && ears.result().0 {
                    min = min.max(ears.result().1);
                }
                let (ahead, lag) = {
                    let properties = self.properties();
                    (properties.look_ahead(), properties.max_lag())
                };
                let own = ahead + self.state().latency;
                let time = |nanos: Nanos| gst::ClockTime::from_nseconds(nanos.get().max(0) as u64);
                latency.set(
                    live,
                    min + time(own),
                    max.map(|max| max + time(own.max(lag))),
                );
                true
            }
            gst::QueryViewMut::Caps(caps) => {
                let template = pad.pad_template_caps();
                let filter = caps.filter_owned();
                let mut result = pad.current_caps().unwrap_or_else(|| {
                    let upstream = self.video.peer_query_caps(filter.as_ref());
                    let mut upstream = upstream.intersect(&template);
                    let cues = gst::Caps::new_empty_simple(carry::CUE_CAPS);
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
            _ => self.video.peer_query(query),
        }
    }

    fn activate(&self, pad: &gst::Pad, active: bool) -> Result<(), gst::LoggableError> {
        {
            let mut state = self.state();
            if *pad == self.video {
                state.video_flushing = !active;
            } else if *pad == self.cues {
                state.cues_flushing = !active;
            } else {
                state.pushing = active;
                if active {
                    state.flow = Ok(gst::FlowSuccess::Ok);
                }
            }
            self.changed.notify_all();
        }
        if *pad == self.video && active && self.state().pushing {
            // The source pad is activated first: its task may have stopped for want of this pad.
            self.start_task();
        }
        if *pad == self.src {
            if active {
                self.start_task();
            } else {
                self.src
                    .stop_task()
                    .map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<(&'static str, u64)> {
        let state = self.state();
        let Some(desk) = &state.desk else {
            return Vec::new();
        };
        let units = desk.gop_stats();
        let counts = desk.counts;
        let (bytes, time) = desk.held();
        vec![
            ("units-seen", units.seen),
            ("units-passed", units.passed),
            ("units-before-keyframe", units.dropped_before_keyframe),
            ("served", units.served),
            ("missed", units.missed),
            ("cues", counts.cues),
            ("anchors", counts.anchors),
            ("entries", counts.entries),
            ("tokens", counts.tokens),
            ("held-bytes", bytes as u64),
            ("held-ns", time.get().max(0) as u64),
            ("busy-ns", state.busy.as_nanos() as u64),
        ]
    }

    fn report(&self) {
        let message = carry::stats_message(&*self.obj(), "gate", &self.numbers());
        // Without a bus there is nobody to tell.
        let _ = self.obj().post_message(message);
    }

    fn start(&self) -> Result<(), gst::StateChangeError> {
        let setup = self.properties().setup();
        let desk = setup.map_err(|error| error.to_string());
        let desk = desk.and_then(|setup| Desk::new(setup).map_err(|error| error.to_string()));
        match desk {
            Ok(desk) => {
                *self.state() = State {
                    desk: Some(desk),
                    ..State::new()
                };
                Ok(())
            }
            Err(error) => {
                gst::element_imp_error!(self, gst::LibraryError::Settings, ("{error}"));
                Err(gst::StateChangeError)
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for AnchorGate {
    const NAME: &'static str = "EarmarkAnchorGate";
    type Type = super::AnchorGate;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let activate = |pad: &gst::Pad, parent: Option<&gst::Object>, active| {
            Self::catch_panic_pad_function(
                parent,
                || Err(gst::loggable_error!(CAT, "panicked before")),
                |this| this.activate(pad, active),
            )
        };
        let video = gst::Pad::builder_from_template(&pads::known(class.pad_template("video")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.video_chain(buffer),
                )
            })
            .event_function(|pad, parent, event| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.video_event(pad, event),
                )
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(
                    parent,
                    || false,
                    |this| this.video_query(pad, query),
                )
            })
            .activatemode_function(move |pad, parent, _, active| activate(pad, parent, active))
            .build();
        let cues = gst::Pad::builder_from_template(&pads::known(class.pad_template("cues")))
            .chain_function(|_, parent, buffer| {
                Self::catch_panic_pad_function(
                    parent,
                    || Err(gst::FlowError::Error),
                    |this| this.cues_chain(&buffer),
                )
            })
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.cues_event(&event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.cues_query(pad, query))
            })
            .activatemode_function(move |pad, parent, _, active| activate(pad, parent, active))
            .build();
        let src = gst::Pad::builder_from_template(&pads::known(class.pad_template("src")))
            .event_function(|_, parent, event| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_event(event))
            })
            .query_function(|pad, parent, query| {
                Self::catch_panic_pad_function(parent, || false, |this| this.src_query(pad, query))
            })
            .activatemode_function(move |pad, parent, _, active| activate(pad, parent, active))
            .build();
        Self {
            video,
            cues,
            src,
            properties: Mutex::default(),
            state: Mutex::new(State::new()),
            changed: Condvar::new(),
        }
    }
}

impl ObjectImpl for AnchorGate {
    fn properties() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let stats = glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Counts so far: units seen and passed, entries, tokens, what is held")
                .read_only()
                .build();
            Properties::specs().iter().cloned().chain([stats]).collect()
        });
        &SPECS
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.properties().set(pspec.name(), value);
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        if let Some(value) = self.properties().get(pspec.name()) {
            return value;
        }
        let mut stats = gst::Structure::new_empty("earmark-stats");
        stats.set("stage", "gate");
        for (name, number) in self.numbers() {
            stats.set(name, number);
        }
        stats.to_value()
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for pad in [&self.video, &self.cues, &self.src] {
            if let Err(error) = element.add_pad(pad) {
                gst::error!(CAT, imp = self, "{error}");
            }
        }
    }
}

impl GstObjectImpl for AnchorGate {}

impl ElementImpl for AnchorGate {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Earmark gate",
                "Filter/Video",
                "Holds encoded video until the plan around it is decided by cues or a plan file, then lets through only what the chosen pictures need",
                "Earmark",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let au = |name: &str| {
                gst::Structure::builder(name)
                    .field("alignment", "au")
                    .build()
            };
            let video = gst::Caps::builder_full()
                .structure(au("video/x-h264"))
                .structure(au("video/x-h265"))
                .structure(gst::Structure::new_empty("video/x-vp8"))
                .structure(
                    gst::Structure::builder("video/x-vp9")
                        .field("alignment", "super-frame")
                        .build(),
                )
                .structure(
                    gst::Structure::builder("video/x-av1")
                        .field("alignment", "tu")
                        .build(),
                )
                .structure(
                    gst::Structure::builder("video/mpeg")
                        .field("mpegversion", gst::List::new([1i32, 2, 4]))
                        .field("systemstream", false)
                        .build(),
                )
                .structure(gst::Structure::new_empty("video/x-h263"))
                .structure(gst::Structure::new_empty("video/x-theora"))
                .structure(gst::Structure::new_empty("video/x-wmv"))
                .structure(gst::Structure::new_empty("video/x-dv"))
                .structure(gst::Structure::new_empty("video/x-prores"))
                .structure(gst::Structure::new_empty("image/jpeg"))
                .structure(gst::Structure::new_empty("image/png"))
                .build();
            let cues = gst::Caps::new_empty_simple(carry::CUE_CAPS);
            let mut both = video.clone();
            both.merge(cues.clone());
            vec![
                pads::template("video", gst::PadDirection::Sink, &video),
                pads::template("cues", gst::PadDirection::Sink, &cues),
                pads::template("src", gst::PadDirection::Src, &both),
            ]
        });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            self.start()?;
        }
        let done = self.parent_change_state(transition)?;
        if transition == gst::StateChange::PausedToReady {
            *self.state() = State::new();
        }
        Ok(done)
    }
}
