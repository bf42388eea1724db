//! Sound and video from devices of their own: while one is lost, the other goes on, and the lost one is tried alone until it is back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;
use gst::prelude::*;

use super::attempt::Attempt;
use super::graph::stop;
use super::hanging::MayHang;
use super::media::Kind;
use super::plan::{Parts, Plan};
use super::seen::SourceStatus;

/// The first wait before a lost device is tried.
const FIRST: Duration = Duration::from_millis(500);
/// Longest time for a trial to give media.
const TRIAL: Duration = Duration::from_secs(10);
/// A trial that has not ended by then is abandoned.
const HANGS: Duration = Duration::from_secs(60);
/// Longest wait for it at the end.
const LAST: Duration = Duration::from_secs(3);
/// A device that is lost again within this time is tried more and more seldom.
const STABLE: Duration = Duration::from_secs(30);
/// How often a trial looks for media.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// The lost parts of a source.
#[derive(Debug, Default)]
pub(super) struct LostParts {
    lost: [Option<Lost>; 2],
    /// When each came back, and how often it was lost again soon.
    back: [Option<(Instant, u32)>; 2],
}

#[derive(Debug)]
struct Lost {
    /// When it is tried next.
    due: Instant,
    wait: Duration,
    /// How often it was lost soon after it had come back.
    soon: u32,
    trial: Option<Trial>,
}

/// A trial of a lost device: whether it gives media.
#[derive(Debug)]
struct Trial {
    since: Instant,
    thread: MayHang<bool>,
    stop: Arc<AtomicBool>,
}

impl LostParts {
    /// Whether a part is lost.
    pub(super) fn is_lost(&self, kind: Kind) -> bool {
        self.lost[kind as usize].is_some()
    }

    /// What is left of the wanted media; if nothing is, all of them are tried.
    pub(super) fn left(&mut self, wanted: Parts) -> Parts {
        let mut left = wanted;
        for kind in [Kind::Video, Kind::Audio] {
            if self.is_lost(kind) {
                left = left.without(kind);
            }
        }
        if left.sees || left.hears {
            return left;
        }
        self.lost = [None, None];
        wanted
    }

    /// A part is lost. False if nothing of the source would be left.
    pub(super) fn lose(&mut self, kind: Kind, wanted: Parts, slowest: Duration) -> bool {
        let other = match kind {
            Kind::Video => Kind::Audio,
            Kind::Audio => Kind::Video,
        };
        if !wanted.has(other) || self.is_lost(other) {
            return false;
        }
        let soon = match self.back[kind as usize] {
            Some((at, soon)) if at.elapsed() < STABLE => soon.saturating_add(1),
            _ => 0,
        };
        let wait = FIRST.saturating_mul(1 << soon.min(16)).min(slowest);
        self.lost[kind as usize].get_or_insert(Lost {
            due: Instant::now() + wait,
            wait,
            soon,
            trial: None,
        });
        true
    }

    /// Tries what is lost, as far as it is due. Returns a part that is there again.
    pub(super) fn tick(&mut self, plan: &Plan, hanging: &Arc<AtomicUsize>) -> Option<Kind> {
        let longest = Duration::from_secs(plan.pipeline.live.retry_s.into());
        for kind in [Kind::Video, Kind::Audio] {
            let Some(lost) = &mut self.lost[kind as usize] else {
                continue;
            };
            let over = match &lost.trial {
                None if Instant::now() >= lost.due => {
                    lost.trial = Trial::start(kind, plan, hanging);
                    lost.trial.is_none()
                }
                None => false,
                Some(trial) => match trial.thread.answer().try_recv() {
                    Ok(true) => {
                        self.back[kind as usize] = Some((Instant::now(), lost.soon));
                        self.lost[kind as usize] = None;
                        return Some(kind);
                    }
                    Err(TryRecvError::Empty) => {
                        trial.since.elapsed() >= HANGS && {
                            trial.thread.abandon();
                            true
                        }
                    }
                    Ok(false) | Err(TryRecvError::Disconnected) => true,
                },
            };
            if over {
                lost.trial = None;
                lost.wait = lost
                    .wait
                    .saturating_mul(2)
                    .clamp(FIRST, longest.max(lost.wait));
                lost.due = Instant::now() + lost.wait;
            }
        }
        None
    }

    /// Ends the trials.
    pub(super) fn end(&mut self) {
        for trial in self
            .lost
            .iter()
            .flatten()
            .filter_map(|one| one.trial.as_ref())
        {
            trial.stop.store(true, Ordering::Relaxed);
            // It may hang.
            let _ = trial.thread.answer().recv_timeout(LAST);
        }
    }
}

impl Trial {
    fn start(kind: Kind, plan: &Plan, hanging: &Arc<AtomicUsize>) -> Option<Self> {
        let stop: Arc<AtomicBool> = Arc::default();
        let (asked, plan) = (stop.clone(), plan.clone());
        Some(Self {
            since: Instant::now(),
            thread: MayHang::start("earmark-try", hanging, move || {
                gives_media(kind, &plan, &asked)
            })?,
            stop,
        })
    }
}

/// Plays one part alone until its first buffer, which goes nowhere.
fn gives_media(kind: Kind, plan: &Plan, asked: &AtomicBool) -> bool {
    let nobody = Arc::new(SourceStatus::new(&plan.name));
    let Ok(attempt) = Attempt::build(plan, &nobody, 0, Parts::only(kind)) else {
        return false;
    };
    let stream = &attempt.stream;
    let pad = match kind {
        Kind::Video => stream.gate.static_pad("video"),
        Kind::Audio => stream
            .ears
            .as_ref()
            .and_then(|ears| ears.static_pad("sink")),
    };
    let came: Arc<AtomicBool> = Arc::default();
    let noted = came.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.and_then(|pad| {
        pad.add_probe(kinds, move |_, _| {
            noted.store(true, Ordering::Relaxed);
            // Not `Drop`: on a sink pad GStreamer 1.22 complains about data that a probe has dropped.
            gst::PadProbeReturn::Handled
        })
    });
    let begun = Instant::now();
    let mut fails = stream.pipeline.set_state(gst::State::Playing).is_err();
    let is_over = || {
        came.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed) || begun.elapsed() >= TRIAL
    };
    while !fails && !is_over() {
        fails = attempt.bus.timed_pop(TICK).is_some_and(|message| {
            let kind = message.type_();
            matches!(kind, gst::MessageType::Error | gst::MessageType::Eos)
        });
    }
    stop(stream);
    !fails && came.load(Ordering::Relaxed)
}
