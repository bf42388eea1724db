//! The last ten minutes of a source, for the page: one value per second of the sound, anchors, and frames taken. Bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anchoring::cue::Cue;
use serde::Serialize;
use serde_json::{Value, json};

/// Seconds to keep.
const SECONDS: usize = 600;
/// Anchors and frames to keep.
const MARKS: usize = 1_000;

/// The sound of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct SecondOfSound {
    /// Seconds since 1970.
    pub(super) t: i64,
    /// Highest eventness, in [0, 1].
    pub(super) e: f32,
    /// Mean uncertainty, in [0, 1].
    pub(super) u: f32,
    /// Loudest band, in [0, 1]: -60 to about 40 dB.
    pub(super) l: f32,
    #[serde(skip)]
    many: u32,
}

/// An anchor on the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct AnchorMark {
    /// Milliseconds since 1970.
    t: i64,
    label: String,
    score: f32,
}

#[derive(Debug, Default)]
struct History {
    seconds: VecDeque<SecondOfSound>,
    anchors: VecDeque<AnchorMark>,
    frames: VecDeque<i64>,
}

/// The last ten minutes of one source.
#[derive(Debug, Default)]
pub(super) struct RecentHistory(Mutex<History>);

impl RecentHistory {
    /// Adds a cue at a wall time.
    pub(super) fn cue(&self, cue: &Cue, wall_ns: i64) {
        let mut inside = self.inside();
        let t = wall_ns.div_euclid(1_000_000_000);
        let seconds = &mut inside.seconds;
        if seconds.back().is_none_or(|last| last.t != t) {
            seconds.push_back(SecondOfSound {
                t,
                ..SecondOfSound::default()
            });
            if seconds.len() > SECONDS {
                seconds.pop_front();
            }
        }
        if let Some(last) = seconds.back_mut() {
            let loud = f32::from(cue.bands.iter().copied().max().unwrap_or(0)) / 255.0;
            last.many += 1;
            last.e = last.e.max(cue.eventness);
            last.l = last.l.max(loud);
            last.u += (cue.uncertainty - last.u) / last.many as f32;
        }
    }

    /// Adds an anchor at a wall time.
    pub(super) fn anchor(&self, wall_ns: i64, label: &str, score: f32) {
        let mut inside = self.inside();
        inside.anchors.push_back(AnchorMark {
            t: wall_ns / 1_000_000,
            label: label.into(),
            score,
        });
        if inside.anchors.len() > MARKS {
            inside.anchors.pop_front();
        }
    }

    /// Adds a frame at a wall time.
    pub(super) fn frame(&self, wall_ns: i64) {
        let mut inside = self.inside();
        inside.frames.push_back(wall_ns / 1_000_000);
        if inside.frames.len() > MARKS {
            inside.frames.pop_front();
        }
    }

    /// Everything that is kept.
    pub(super) fn all(&self) -> Value {
        let inside = self.inside();
        json!({ "sound": inside.seconds, "anchors": inside.anchors, "frames": inside.frames })
    }

    /// The last complete second.
    pub(super) fn last(&self) -> Option<SecondOfSound> {
        let inside = self.inside();
        inside.seconds.iter().rev().nth(1).copied()
    }

    fn inside(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_peak_and_ten_minutes_are_kept() {
        let heard = RecentHistory::default();
        let mut cue = Cue::default();
        for k in 0..20_000_i64 {
            cue.eventness = if k % 10 == 0 { 0.9 } else { 0.1 };
            cue.uncertainty = if k % 2 == 0 { 0.2 } else { 0.4 };
            heard.cue(&cue, k * 100_000_000);
            heard.anchor(k, "Tap", 0.5);
            heard.frame(k);
        }
        let last = heard.last().unwrap();
        assert_eq!((last.t, last.e), (1_998, 0.9));
        assert!((last.u - 0.3).abs() < 1e-5, "{}", last.u);
        let all = heard.all();
        assert_eq!(all["sound"].as_array().unwrap().len(), SECONDS);
        assert_eq!(all["anchors"].as_array().unwrap().len(), MARKS);
        assert_eq!(all["frames"].as_array().unwrap().len(), MARKS);
    }
}
