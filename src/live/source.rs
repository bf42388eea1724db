//! One source: plays it, watches it, tears it down and restarts it, as its supervisor decides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::announced::Announced;
use super::attempt::Attempt;
use super::events::Event;
use super::graph::{drain, explain, stop};
use super::hanging::MayHang;
use super::media::{Kind, Media, now_ns};
use super::parts::LostParts;
use super::plan::{Parts, Plan, limits};
use super::seen::SourceStatus;
use super::shared::Shared;
use super::supervisor::{Action, Cause, State, Supervisor};
use crate::session::ElementWarning;

/// How often a source is checked.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// Time after which missing video or audio is reported.
const GONE: Duration = Duration::from_secs(10);

/// How a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As asked, or because its file ended.
    Done,
    /// Its file ended, but something had failed.
    Failed,
}

/// One source.
pub(super) struct Source {
    plan: Plan,
    shared: Shared,
    pub(super) seen: Arc<SourceStatus>,
    supervisor: Supervisor,
    begun: Instant,
    attempt: Option<Attempt>,
    parts: LostParts,
    /// The attempt that is being torn down.
    down: Option<Teardown>,
    changes: u64,
    announced: Announced,
    last: State,
    why: String,
    finished: bool,
}

/// An attempt that is being torn down.
struct Teardown {
    thread: MayHang<()>,
    bus: gst::Bus,
    ended: Arc<AtomicBool>,
}

impl Source {
    pub(super) fn new(plan: Plan, shared: Shared) -> Self {
        let seed = now_ns() as u64
            ^ plan
                .name
                .bytes()
                .fold(7, |h: u64, b| h.wrapping_mul(31) + u64::from(b));
        Self {
            seen: Arc::new(SourceStatus::new(&plan.name)),
            supervisor: Supervisor::new(limits(&plan.pipeline.live), seed, Duration::ZERO),
            begun: Instant::now(),
            attempt: None,
            parts: LostParts::default(),
            down: None,
            changes: 0,
            announced: Announced::default(),
            last: State::Stopped,
            why: String::new(),
            finished: false,
            plan,
            shared,
        }
    }

    /// Runs until asked to stop, or until its file ends.
    pub(super) fn run(mut self) -> End {
        loop {
            let now = self.begun.elapsed();
            if self.shared.stop.load(Ordering::Relaxed) || self.finished {
                self.supervisor.stop(now);
            }
            self.listen(now);
            self.check(now);
            if self.supervisor.state() != State::Stopping {
                self.find();
            }
            match self.supervisor.tick(self.begun.elapsed()) {
                Some(Action::Start) => self.start(),
                Some(Action::TakeDown) => {
                    self.say_quiet();
                    self.take_down();
                }
                Some(Action::Abandon) => self.abandon(),
                None => {}
            }
            self.tell_state();
            if self.supervisor.state() == State::Stopped {
                self.parts.end();
                let failed =
                    self.finished && !self.supervisor.faults().keys().all(|c| *c == Cause::Ended);
                return if failed { End::Failed } else { End::Done };
            }
            if self.attempt.is_none() && self.down.is_none() {
                std::thread::sleep(Duration::from_millis(TICK.mseconds()));
            }
        }
    }

    fn fail(&mut self, cause: Cause, why: String) {
        self.why = why;
        let now = self.begun.elapsed();
        self.supervisor.failed(cause, now);
        if self.supervisor.state() == State::Restarting {
            self.say_fault(cause, cause.name());
            self.take_down();
        }
    }

    /// Whether it plays a file, which ends once, and waits for the encoder.
    fn is_file(&self) -> bool {
        self.plan.pipeline.find("filesrc").is_some()
    }

    /// The device of its own to which an element belongs.
    fn part_of(&self, element: &gst::Object) -> Option<Kind> {
        let part = self.attempt.as_ref()?.stream.part_of(element)?;
        Some([Kind::Video, Kind::Audio][part])
    }

    /// A device of its own is lost: starts again without it, if that leaves something.
    fn lose(&mut self, kind: Kind, cause: Cause, why: String) {
        let slowest = Duration::from_secs(self.plan.pipeline.live.slow_retry_s.into());
        let wanted = Parts::wanted(&self.plan);
        let goes_on = match kind {
            _ if !self.parts.lose(kind, wanted, slowest) => "",
            Kind::Video => "; the sound is recorded without it",
            Kind::Audio => "; frames are taken evenly without it",
        };
        self.why = why + goes_on;
        self.supervisor.failed(cause, self.begun.elapsed());
        if self.supervisor.state() == State::Restarting {
            self.say_fault(cause, &format!("{} {kind:?}", cause.name()));
            self.take_down();
        }
    }

    /// Tries what is lost; starts again once it is back.
    fn find(&mut self) {
        let back = match self.parts.tick(&self.plan, &self.shared.hanging) {
            None => return,
            Some(Kind::Video) => "the frames are back",
            Some(Kind::Audio) => "the sound is back",
        };
        self.shared.notices.say(&self.plan.name, back, back);
        if self.attempt.is_some() {
            self.why = format!("{back}: it starts again with both");
            self.supervisor
                .failed(Cause::Returned, self.begun.elapsed());
            if self.supervisor.state() == State::Restarting {
                self.take_down();
            }
        }
    }

    /// Builds the graph and starts it.
    fn start(&mut self) {
        let parts = self.parts.left(Parts::wanted(&self.plan));
        match Attempt::build(&self.plan, &self.seen, self.supervisor.starts(), parts) {
            Ok(attempt) => {
                let played = attempt.stream.pipeline.set_state(gst::State::Playing);
                let bus = attempt.bus.clone();
                self.attempt = Some(attempt);
                if played.is_err() {
                    let error = bus.iter().find_map(|message| match message.view() {
                        gst::MessageView::Error(error) => {
                            let part = error.src().and_then(|src| self.part_of(src));
                            Some((part, explain(error)))
                        }
                        _ => None,
                    });
                    match error {
                        Some((Some(kind), (_, why))) => self.lose(kind, Cause::Lost, why),
                        Some((None, (cause, why))) => self.fail(cause, why),
                        None => self.fail(Cause::Lost, "the graph does not start".into()),
                    }
                }
            }
            Err(e) => self.fail(Cause::Work, format!("{e:#}")),
        }
    }

    /// Handles messages of the bus.
    fn listen(&mut self, now: Duration) {
        if let Some(down) = &self.down {
            let (over, bus) = (down.thread.answer().clone(), down.bus.clone());
            let over = over
                .recv_timeout(Duration::from_millis(TICK.mseconds()))
                .is_ok();
            while let Some(message) = bus.pop() {
                self.message(&message);
            }
            if over {
                self.down = None;
                self.supervisor.is_down(now);
            }
            return;
        }
        let Some(bus) = self.attempt.as_ref().map(|attempt| attempt.bus.clone()) else {
            return;
        };
        let mut next = bus.timed_pop(TICK);
        while let Some(message) = next {
            self.message(&message);
            if self.down.is_some() {
                return;
            }
            next = bus.pop();
        }
    }

    fn message(&mut self, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Eos(_) => {
                let attempt = self.attempt.as_ref().map(|attempt| &attempt.ended);
                if let Some(ended) = self.down.as_ref().map(|down| &down.ended).or(attempt) {
                    ended.store(true, Ordering::Relaxed);
                }
                if self.down.is_none() && self.supervisor.state() != State::Stopping {
                    // A file ends once; a stream comes back.
                    self.finished = self.is_file();
                    if !self.finished {
                        self.fail(Cause::Ended, "the stream ended".into());
                    }
                }
            }
            gst::MessageView::Error(error) if self.down.is_none() => {
                let (cause, why) = explain(error);
                match error.src().and_then(|src| self.part_of(src)) {
                    Some(kind) => self.lose(kind, Cause::Lost, why),
                    None => self.fail(cause, why),
                }
            }
            gst::MessageView::Warning(warning) => {
                self.seen.counts.warnings.fetch_add(1, Ordering::Relaxed);
                let ElementWarning { kind, text } = ElementWarning::of(warning);
                self.shared.notices.say(&self.plan.name, &kind, &text);
            }
            gst::MessageView::Latency(_) => {
                if let Some(attempt) = &self.attempt {
                    let _ = attempt.stream.pipeline.recalculate_latency();
                }
            }
            gst::MessageView::Element(element) => {
                if let Some(structure) = element.structure() {
                    let epoch = self.supervisor.starts();
                    self.announced
                        .element(structure, epoch, &self.plan, &self.shared, &self.seen);
                }
            }
            _ => {}
        }
    }

    /// Checks whether media arrives.
    fn check(&mut self, now: Duration) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let media = attempt.media.clone();
        let counts = [media.frames(), media.sounds()];
        let came = [counts[0] - attempt.last[0], counts[1] - attempt.last[1]];
        attempt.last = counts;
        self.seen
            .counts
            .frames
            .fetch_add(came[0], Ordering::Relaxed);
        self.seen
            .counts
            .sounds
            .fetch_add(came[1], Ordering::Relaxed);
        // A file that has begun is never silent: it waits for the encoder.
        if came != [0; 2] || (counts != [0; 2] && self.is_file()) {
            self.supervisor.media(now);
        }
        if let Some(why) = media.jumped() {
            self.fail(Cause::Times, why);
            return;
        }
        self.miss(&media);
        self.ask_gate();
        {
            let mut seen = self.seen.lock();
            seen.wall = media.wall().or(seen.wall);
            seen.camera = media.camera().or(seen.camera);
        }
    }

    /// Reads what the gate has spent and holds, once a second.
    fn ask_gate(&mut self) {
        let earns = self.plan.pipeline.settings.budget.tokens_per_s;
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        if attempt.asked.elapsed() < Duration::from_secs(1) {
            return;
        }
        attempt.asked = Instant::now();
        let skew_ppm = {
            let skew = self.seen.skew.lock();
            let skew = skew.unwrap_or_else(PoisonError::into_inner);
            [skew.ppm(Kind::Video), skew.ppm(Kind::Audio)]
        };
        self.seen.lock().skew_ppm = skew_ppm;
        let stats = attempt.stream.gate.property::<gst::Structure>("stats");
        let number = |field| stats.get::<u64>(field).unwrap_or(0);
        let now = [number("tokens"), number("missed")];
        let more = [
            now[0].saturating_sub(attempt.gate[0]),
            now[1].saturating_sub(attempt.gate[1]),
        ];
        attempt.gate = now;
        let counts = &self.seen.counts;
        counts.tokens.fetch_add(more[0], Ordering::Relaxed);
        counts.missed.fetch_add(more[1], Ordering::Relaxed);
        counts.held.store(number("held-bytes"), Ordering::Relaxed);
        let earned = attempt.begun.elapsed().as_secs_f64() * earns;
        let whole = (earned - attempt.counted).max(0.0) as u64;
        attempt.counted += whole as f64;
        counts.earned.fetch_add(whole, Ordering::Relaxed);
    }

    /// Warns once if video or audio is missing while the other arrives.
    fn miss(&mut self, media: &Media) {
        if self.supervisor.state() != State::Healthy {
            return;
        }
        let healthy = self.begun.elapsed().saturating_sub(self.supervisor.since());
        let is_file = self.is_file();
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let wanted = Parts::wanted(&self.plan);
        // A file that ended does not come back.
        let comes_back = attempt.stream.is_apart() && !is_file;
        let (mut without, mut lost) = (Vec::new(), None);
        for (at, (kind, word)) in [(Kind::Video, "frames"), (Kind::Audio, "sound")]
            .into_iter()
            .enumerate()
        {
            let quiet = match media.quiet(kind) {
                None => healthy,
                Some(_) if is_file => Duration::ZERO,
                Some(quiet) => quiet,
            };
            let is_lost = self.parts.is_lost(kind);
            let ended = comes_back && media.ended(kind);
            let gone = wanted.has(kind) && (is_lost || ended || quiet >= GONE);
            if gone {
                without.push(word);
            }
            if gone == attempt.gone[at] {
                continue;
            }
            attempt.gone[at] = gone;
            if is_lost {
                continue;
            }
            if gone && comes_back {
                lost = Some((kind, format!("no {word} any more")));
                continue;
            }
            let text = match (gone, kind) {
                (false, _) => format!("{word} comes again"),
                (true, Kind::Video) => "no frames arrive: the sound is still recorded".into(),
                (true, Kind::Audio) => {
                    "no sound arrives: falls back to evenly spaced frames until it does".into()
                }
            };
            self.shared.notices.say(&self.plan.name, &text, &text);
        }
        {
            let mut seen = self.seen.lock();
            seen.without = without;
        }
        if let Some((kind, why)) = lost {
            self.lose(kind, Cause::Silence, why);
        }
    }

    /// Tears down the graph, in a thread that may hang.
    fn take_down(&mut self) {
        let Some(attempt) = self.attempt.take() else {
            // It was never built.
            self.supervisor.is_down(self.begun.elapsed());
            return;
        };
        let (bus, ended) = (attempt.bus.clone(), attempt.ended.clone());
        let noted = ended.clone();
        let thread = MayHang::start("earmark-down", &self.shared.hanging, move || {
            // Where nothing came, nothing is in the graph.
            if attempt.media.frames() + attempt.media.sounds() > 0 {
                drain(&attempt.stream, &noted);
            }
            stop(&attempt.stream);
        });
        match thread {
            Some(thread) => self.down = Some(Teardown { thread, bus, ended }),
            None => self.supervisor.is_down(self.begun.elapsed()),
        }
    }

    /// Nothing arrived for too long, so it is torn down.
    fn say_quiet(&mut self) {
        if self.supervisor.state() != State::Restarting {
            return;
        }
        let live = &self.plan.pipeline.live;
        let (cause, why) = match self.supervisor.last_cause() {
            Some(Cause::NoMedia) => (
                Cause::NoMedia,
                format!("nothing arrived within {} s of its start", live.start_s),
            ),
            _ => (
                Cause::Silence,
                format!("nothing arrived for {} s", live.restart_s),
            ),
        };
        self.why = why;
        self.say_fault(cause, cause.name());
    }

    /// `what`: notices of the same are not repeated.
    fn say_fault(&self, cause: Cause, what: &str) {
        self.shared.notices.say(
            &self.plan.name,
            what,
            &format!("{}; it will be tried again", self.why),
        );
        {
            let mut seen = self.seen.lock();
            seen.last_fault = Some((cause, self.why.clone()));
        }
    }

    /// Abandons a graph that hangs while it is torn down.
    fn abandon(&mut self) {
        let Some(down) = self.down.take() else { return };
        if !down.thread.abandon() {
            return;
        }
        self.seen.counts.abandoned.fetch_add(1, Ordering::Relaxed);
        self.shared.notices.say(
            &self.plan.name,
            "abandoned",
            "the source does not stop: Earmark abandons it and tries again",
        );
    }

    fn tell_state(&mut self) {
        let state = self.supervisor.state();
        if state == self.last {
            return;
        }
        self.last = state;
        self.changes += 1;
        let cause = self.supervisor.last_cause();
        let in_trouble = matches!(state, State::Restarting | State::BackingOff | State::Failed);
        let why = cause
            .filter(|_| in_trouble)
            .map(|cause| (cause, &*self.why));
        let at = now_ns();
        {
            let mut seen = self.seen.lock();
            seen.state = state;
            seen.since_ns = at;
            seen.starts = self.supervisor.starts();
            seen.faults = self
                .supervisor
                .faults()
                .iter()
                .map(|(c, n)| (*c, *n))
                .collect();
        }
        if state == State::Healthy && self.supervisor.starts() > 1 {
            let text = match [Kind::Video, Kind::Audio].map(|kind| self.parts.is_lost(kind)) {
                [true, _] => "it goes on without frames",
                [_, true] => "it goes on without sound",
                _ => "it is back",
            };
            self.shared.notices.say(&self.plan.name, text, text);
        }
        self.shared.hub.send(Event::state(
            &self.plan.name,
            &self.plan.run,
            self.changes,
            state,
            why,
            at,
        ));
    }
}
