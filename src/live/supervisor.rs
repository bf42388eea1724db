//! The state machine of one source: when to start it, when it counts as lost, when to try again. It has no thread and no clock; the caller
//! passes the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Share by which waits vary, so that sources lost together do not come back together.
const JITTER: f64 = 0.2;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// From the start to the first media.
    pub start: Duration,
    /// Without media before a source counts as silent.
    pub silence: Duration,
    /// Without media before it is torn down.
    pub restart: Duration,
    /// Longest time to tear it down.
    pub down: Duration,
    /// The first wait before another attempt.
    pub first: Duration,
    /// The longest such wait.
    pub most: Duration,
    /// The wait if a person has to act.
    pub slow: Duration,
    /// Time with media after which earlier failures are forgotten.
    pub stable: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(15),
            silence: Duration::from_secs(3),
            restart: Duration::from_secs(8),
            down: Duration::from_secs(10),
            first: Duration::from_millis(500),
            most: Duration::from_secs(6),
            slow: Duration::from_secs(60),
            stable: Duration::from_secs(30),
        }
    }
}

/// The state of a source.
///
/// `Starting`: its graph runs and has given nothing yet. The first media makes it `Healthy`. None within [`Limits::start`], or an error, makes
/// it `Restarting`.
///
/// `Healthy`: encoded frames or sound keep arriving. None for [`Limits::silence`] makes it `Silent`; an error makes it `Restarting`. After
/// [`Limits::stable`] in this state, earlier failures are forgotten, so a source that keeps failing after a moment is tried less and less
/// often.
///
/// `Silent`: nothing arrives, which may pass. Media makes it `Healthy`; none for [`Limits::restart`] in all, or an error, makes it
/// `Restarting`.
///
/// `Restarting`: its graph is torn down and its file closed. Then, or after [`Limits::down`], when the graph is abandoned, it is `BackingOff`,
/// or `Failed` if a person has to act.
///
/// `BackingOff`: waits for the next attempt, twice as long after each failure up to [`Limits::most`], without end; then `Starting`.
///
/// `Failed`: the source refuses until somebody acts (a wrong password). After [`Limits::slow`] it is tried again all the same: `Starting`.
///
/// `Stopping`: asked to stop; torn down as in `Restarting`, then `Stopped`, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has arrived yet.
    Starting,
    /// Media keeps arriving.
    Healthy,
    /// Nothing arrives.
    Silent,
    /// Being torn down.
    Restarting,
    /// Waits for the next attempt.
    BackingOff,
    /// Needs a person; tried again slowly.
    Failed,
    /// Being torn down for good.
    Stopping,
    /// Ended.
    Stopped,
}

impl State {
    /// The state, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Silent => "silent",
            Self::Restarting => "restarting",
            Self::BackingOff => "waiting to try again",
            Self::Failed => "failed: needs you",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a source was torn down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No media came after the start.
    NoMedia,
    /// Media stopped arriving.
    Silence,
    /// The connection or the device was lost, or was never there.
    Lost,
    /// The source refuses: login, address, or no usable stream.
    Refused,
    /// The stream ended.
    Ended,
    /// Times jumped: another stream follows.
    Times,
    /// Decoding, encoding or writing failed.
    Work,
    /// A part that was lost is there again, and is played from here on.
    Returned,
}

impl Cause {
    /// Its name in metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoMedia => "no_media",
            Self::Silence => "silence",
            Self::Lost => "lost",
            Self::Refused => "refused",
            Self::Ended => "ended",
            Self::Times => "times",
            Self::Work => "work",
            Self::Returned => "returned",
        }
    }
}

/// What the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Build the graph and play it.
    Start,
    /// Tear it down, and report that with [`Supervisor::is_down`].
    TakeDown,
    /// The teardown took too long: abandon the graph.
    Abandon,
}

/// Watches one source. Times count from any fixed instant and never go back.
#[derive(Debug)]
pub struct Supervisor {
    limits: Limits,
    state: State,
    since: Duration,
    last_media: Duration,
    /// Failures in a row, without a stable time between them.
    failures: u32,
    until: Duration,
    faults: BTreeMap<Cause, u64>,
    last: Option<Cause>,
    starts: u64,
    seed: u64,
}

impl Supervisor {
    /// A source to start at once. `seed`: for the jitter.
    pub fn new(limits: Limits, seed: u64, now: Duration) -> Self {
        Self {
            limits,
            state: State::BackingOff,
            since: now,
            last_media: now,
            failures: 0,
            until: now,
            faults: BTreeMap::new(),
            last: None,
            starts: 0,
            seed,
        }
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when.
    pub fn since(&self) -> Duration {
        self.since
    }

    /// When it is tried again, while it waits.
    pub fn until(&self) -> Option<Duration> {
        matches!(self.state, State::BackingOff | State::Failed).then_some(self.until)
    }

    /// How often each cause tore it down.
    pub fn faults(&self) -> &BTreeMap<Cause, u64> {
        &self.faults
    }

    /// The last of them.
    pub fn last_cause(&self) -> Option<Cause> {
        self.last
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Media came on an encoded pad.
    pub fn media(&mut self, now: Duration) {
        self.last_media = now;
        if matches!(self.state, State::Starting | State::Silent) {
            self.enter(State::Healthy, now);
        }
    }

    /// It failed or ended.
    pub fn failed(&mut self, cause: Cause, now: Duration) {
        if !matches!(self.state, State::Starting | State::Healthy | State::Silent) {
            return;
        }
        *self.faults.entry(cause).or_default() += 1;
        self.last = Some(cause);
        self.failures = self.failures.saturating_add(1);
        self.enter(State::Restarting, now);
        self.until = now + self.limits.down;
    }

    /// Ends it for good; [`Self::tick`] says what to do.
    pub fn stop(&mut self, now: Duration) {
        match self.state {
            State::Stopping | State::Stopped => {}
            State::BackingOff | State::Failed => self.enter(State::Stopped, now),
            State::Restarting => {
                self.enter(State::Stopping, now);
            }
            State::Starting | State::Healthy | State::Silent => {
                self.enter(State::Stopping, now);
                // Returns what is due.
                self.until = Duration::ZERO;
            }
        }
    }

    /// The teardown is complete, or the graph is abandoned.
    pub fn is_down(&mut self, now: Duration) {
        match self.state {
            State::Stopping => self.enter(State::Stopped, now),
            State::Restarting if self.last == Some(Cause::Refused) => {
                self.enter(State::Failed, now);
                self.until = now + self.jittered(self.limits.slow);
            }
            State::Restarting => {
                self.enter(State::BackingOff, now);
                let doublings = self.failures.saturating_sub(1).min(16);
                let wait = self.limits.first.saturating_mul(1 << doublings);
                self.until = now + self.jittered(wait.min(self.limits.most));
            }
            _ => {}
        }
    }

    /// What is due now. Call it often.
    pub fn tick(&mut self, now: Duration) -> Option<Action> {
        let quiet = now.saturating_sub(self.last_media);
        match self.state {
            State::Starting => {
                if now.saturating_sub(self.since) >= self.limits.start {
                    self.failed(Cause::NoMedia, now);
                    return Some(Action::TakeDown);
                }
            }
            State::Healthy => {
                if quiet >= self.limits.silence {
                    self.enter(State::Silent, now);
                } else if now.saturating_sub(self.since) >= self.limits.stable {
                    self.failures = 0;
                }
            }
            State::Silent => {
                if quiet >= self.limits.restart {
                    self.failed(Cause::Silence, now);
                    return Some(Action::TakeDown);
                }
            }
            State::BackingOff | State::Failed => {
                if now >= self.until {
                    self.enter(State::Starting, now);
                    self.starts += 1;
                    return Some(Action::Start);
                }
            }
            State::Restarting => {
                if now >= self.until {
                    self.is_down(now);
                    return Some(Action::Abandon);
                }
            }
            State::Stopping => {
                if self.until == Duration::ZERO {
                    self.until = now + self.limits.down;
                    return Some(Action::TakeDown);
                }
                if now >= self.until {
                    self.is_down(now);
                    return Some(Action::Abandon);
                }
            }
            State::Stopped => {}
        }
        None
    }

    fn enter(&mut self, state: State, now: Duration) {
        self.state = state;
        self.since = now;
    }

    fn jittered(&mut self, wait: Duration) -> Duration {
        // SplitMix64: sources only need to differ.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(1.0 + JITTER * (2.0 * unit - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A supervisor with a clock that the test advances, in tenths of a second.
    struct ManualClock {
        supervisor: Supervisor,
        now: Duration,
        acts: Vec<(Duration, Action)>,
    }

    impl ManualClock {
        fn new(seed: u64) -> Self {
            Self {
                supervisor: Supervisor::new(Limits::default(), seed, Duration::ZERO),
                now: Duration::ZERO,
                acts: Vec::new(),
            }
        }

        /// Advances the clock; `each` runs at every tenth. Teardowns are instant.
        fn turn(&mut self, by: Duration, mut each: impl FnMut(&mut Supervisor, Duration)) {
            let until = self.now + by;
            while self.now < until {
                self.now += Duration::from_millis(100);
                each(&mut self.supervisor, self.now);
                if let Some(act) = self.supervisor.tick(self.now) {
                    self.acts.push((self.now, act));
                    if act == Action::TakeDown {
                        self.supervisor.is_down(self.now);
                    }
                }
            }
        }

        fn starts(&self) -> Vec<Duration> {
            let starts = self.acts.iter().filter(|(_, act)| *act == Action::Start);
            starts.map(|(at, _)| *at).collect()
        }

        fn state(&self) -> State {
            self.supervisor.state()
        }
    }

    fn plays(supervisor: &mut Supervisor, now: Duration) {
        supervisor.media(now);
    }

    fn nothing(_: &mut Supervisor, _: Duration) {}

    #[test]
    fn it_starts_at_once_and_is_healthy_with_the_first_media() {
        let mut hand = ManualClock::new(1);
        hand.turn(s(1), nothing);
        assert_eq!((hand.state(), hand.acts.len()), (State::Starting, 1));
        hand.turn(s(1), plays);
        assert_eq!(hand.state(), State::Healthy);
        hand.turn(s(600), plays);
        assert_eq!((hand.state(), hand.acts.len()), (State::Healthy, 1));
    }

    #[test]
    fn a_freeze_is_silence_that_passes() {
        let mut hand = ManualClock::new(2);
        hand.turn(s(10), plays);
        hand.turn(s(5), nothing);
        assert_eq!(hand.state(), State::Silent);
        hand.turn(s(1), plays);
        assert_eq!((hand.state(), hand.acts.len()), (State::Healthy, 1));
        assert!(hand.supervisor.faults().is_empty());
    }

    #[test]
    fn lasting_silence_restarts_and_the_source_is_back_within_ten_seconds_of_its_return() {
        for seed in 0..50 {
            let mut hand = ManualClock::new(seed);
            hand.turn(s(60), plays);
            let away = Duration::from_millis(61_300 + seed * 1_700);
            hand.turn(away, nothing);
            let back = hand.now;
            // From here on each attempt gives media half a second later.
            let mut since = None;
            hand.turn(s(12), |supervisor, now| match supervisor.state() {
                State::Starting if now - supervisor.since() >= Duration::from_millis(500) => {
                    supervisor.media(now);
                    since.get_or_insert(now);
                }
                State::Healthy => supervisor.media(now),
                _ => {}
            });
            let after = since.unwrap() - back;
            // An attempt may run in vain for fifteen seconds: a real camera would answer it at once, this one does not.
            assert!(after <= s(10), "seed {seed}: {after:?}");
            assert!(hand.supervisor.last_cause().is_some());
        }
    }

    #[test]
    fn attempts_become_rarer_up_to_a_limit_and_never_end() {
        let mut hand = ManualClock::new(3);
        let fails = |supervisor: &mut Supervisor, now| {
            if supervisor.state() == State::Starting {
                supervisor.failed(Cause::Lost, now);
                supervisor.is_down(now);
            }
        };
        hand.turn(s(3600), fails);
        let starts = hand.starts();
        let waits: Vec<_> = starts
            .windows(2)
            .map(|w| (w[1] - w[0]).as_secs_f64())
            .collect();
        assert!(
            waits[0] < 0.9 && waits[1] > 0.7 && waits[2] > 1.5,
            "{:?}",
            &waits[..4]
        );
        assert!(
            waits.iter().all(|&wait| wait <= 6.0 * 1.2 + 0.21),
            "{waits:?}"
        );
        let last = &waits[waits.len() - 10..];
        assert!(last.iter().all(|&wait| wait >= 6.0 * 0.8), "{last:?}");
        let spread = last
            .iter()
            .fold((f64::MAX, 0.0_f64), |(a, b), &w| (a.min(w), b.max(w)));
        assert!(spread.1 - spread.0 > 0.2, "no jitter: {last:?}");
    }

    #[test]
    fn a_moment_of_media_does_not_forget_failures() {
        let mut hand = ManualClock::new(4);
        // Plays for five seconds each time, then breaks.
        let flaps = |supervisor: &mut Supervisor, now: Duration| match supervisor.state() {
            State::Starting => supervisor.media(now),
            State::Healthy if now - supervisor.since() >= s(5) => {
                supervisor.failed(Cause::Lost, now);
                supervisor.is_down(now);
            }
            State::Healthy => supervisor.media(now),
            _ => {}
        };
        hand.turn(s(300), flaps);
        let starts = hand.starts();
        let last = starts.windows(2).last().unwrap();
        assert!(last[1] - last[0] > s(9), "{starts:?}");
        // Half a minute of media does.
        hand.turn(s(60), plays);
        hand.supervisor.failed(Cause::Lost, hand.now);
        hand.supervisor.is_down(hand.now);
        let wait = hand.supervisor.until().unwrap() - hand.now;
        assert!(wait <= Duration::from_millis(600), "{wait:?}");
    }

    #[test]
    fn a_refused_source_waits_long_and_is_tried_again() {
        let mut hand = ManualClock::new(5);
        let refused = |supervisor: &mut Supervisor, now| {
            if supervisor.state() == State::Starting {
                supervisor.failed(Cause::Refused, now);
                supervisor.is_down(now);
            }
        };
        hand.turn(s(600), refused);
        assert_eq!(hand.state(), State::Failed);
        let starts = hand.starts();
        assert!((9..=13).contains(&starts.len()), "{starts:?}");
        assert_eq!(
            hand.supervisor.faults()[&Cause::Refused],
            starts.len() as u64
        );
    }

    #[test]
    fn a_graph_that_does_not_stop_is_abandoned() {
        let mut supervisor = Supervisor::new(Limits::default(), 6, Duration::ZERO);
        assert_eq!(supervisor.tick(s(0)), Some(Action::Start));
        supervisor.media(s(1));
        supervisor.failed(Cause::Lost, s(2));
        assert_eq!(supervisor.tick(s(11)), None);
        assert_eq!(supervisor.tick(s(12)), Some(Action::Abandon));
        assert_eq!(supervisor.state(), State::BackingOff);
        // So it is when asked to stop.
        assert_eq!(supervisor.tick(s(13)), Some(Action::Start));
        supervisor.media(s(14));
        supervisor.stop(s(15));
        assert_eq!(supervisor.tick(s(15)), Some(Action::TakeDown));
        assert_eq!(supervisor.tick(s(24)), None);
        assert_eq!(supervisor.tick(s(25)), Some(Action::Abandon));
        assert_eq!(supervisor.state(), State::Stopped);
        assert_eq!(supervisor.tick(s(99)), None);
    }

    #[test]
    fn nothing_starts_after_a_stop() {
        let mut supervisor = Supervisor::new(Limits::default(), 7, Duration::ZERO);
        supervisor.stop(s(0));
        assert_eq!(
            (supervisor.state(), supervisor.tick(s(99))),
            (State::Stopped, None)
        );
        let mut supervisor = Supervisor::new(Limits::default(), 7, Duration::ZERO);
        supervisor.tick(s(0));
        supervisor.failed(Cause::Lost, s(1));
        supervisor.stop(s(2));
        assert_eq!(supervisor.state(), State::Stopping);
        supervisor.is_down(s(3));
        assert_eq!(
            (supervisor.state(), supervisor.tick(s(99))),
            (State::Stopped, None)
        );
    }

    #[test]
    fn late_reports_change_nothing() {
        let mut supervisor = Supervisor::new(Limits::default(), 8, Duration::ZERO);
        supervisor.tick(s(0));
        supervisor.failed(Cause::Lost, s(1));
        supervisor.failed(Cause::Work, s(1));
        supervisor.media(s(1));
        assert_eq!(supervisor.state(), State::Restarting);
        assert_eq!(supervisor.faults().len(), 1);
    }
}
