//! The state of a source, as the page, the metrics and the outputs may read it.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::heard::RecentHistory;
use super::media::{Wall, now_ns};
use super::skew::Skew;
use super::supervisor::{Cause, State};

/// The readable state of a source.
#[derive(Debug)]
pub(super) struct SourceStatus {
    pub(super) name: String,
    pub(super) counts: Counts,
    pub(super) heard: RecentHistory,
    /// Numbers of the current attempt.
    pub(super) skew: Mutex<Skew>,
    now: Mutex<CurrentState>,
}

/// Numbers since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) frames: AtomicU64,
    pub(super) sounds: AtomicU64,
    pub(super) anchors: AtomicU64,
    pub(super) taken: AtomicU64,
    pub(super) tokens: AtomicU64,
    /// Tokens that the budget has earned.
    pub(super) earned: AtomicU64,
    pub(super) missed: AtomicU64,
    /// Frames left out because the encoder was too slow, and those of anchors among them.
    pub(super) left_out: AtomicU64,
    pub(super) left_out_anchors: AtomicU64,
    /// Bytes in the gate.
    pub(super) held: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) abandoned: AtomicU64,
    pub(super) warnings: AtomicU64,
    /// Encoded frames left out after a loss.
    pub(super) damaged: AtomicU64,
}

/// Its state.
#[derive(Clone, Debug)]
pub(super) struct CurrentState {
    pub(super) state: State,
    pub(super) since_ns: i64,
    pub(super) starts: u64,
    pub(super) faults: Vec<(Cause, u64)>,
    pub(super) last_fault: Option<(Cause, String)>,
    pub(super) wall: Option<Wall>,
    /// The stream's zero by the camera's own clock, if it sends that.
    pub(super) camera: Option<Wall>,
    pub(super) without: Vec<&'static str>,
    /// How much faster the clocks of frames and sound run than ours, parts per million.
    pub(super) skew_ppm: [Option<f64>; 2],
}

impl SourceStatus {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            counts: Counts::default(),
            heard: RecentHistory::default(),
            skew: Mutex::default(),
            now: Mutex::new(CurrentState {
                state: State::Starting,
                since_ns: now_ns(),
                starts: 0,
                faults: Vec::new(),
                last_fault: None,
                wall: None,
                camera: None,
                without: Vec::new(),
                skew_ppm: [None; 2],
            }),
        }
    }

    /// Its current state.
    pub(super) fn now(&self) -> CurrentState {
        self.lock().clone()
    }

    /// Changes the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, CurrentState> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
