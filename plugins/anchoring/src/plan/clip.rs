//! Clips: plan entries that several frames serve together.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::Entry;
use crate::time::Nanos;

/// Most frames of a clip.
pub const MOST_CLIP_FRAMES: usize = 512;

/// Most clips that may overlap.
pub const MOST_CLIPS_OPEN: usize = 1_024;

/// Stands for a missing frame: the encoder gets its mean colour.
pub const NO_FRAME: Nanos = Nanos::new(-1);

/// The frames of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipFrames {
    /// The time of its first frame.
    pub start: Nanos,
    /// The end of its last frame.
    pub stop: Nanos,
    /// The time of each frame, ascending; equal times are one frame again, [`NO_FRAME`] is none. At least one is a frame.
    pub times: Arc<[Nanos]>,
}

/// A plan entry that is encoded as a clip. `entry.planned` is the time of its middle frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clip {
    /// Price, reason and anchor.
    #[serde(flatten)]
    pub entry: Entry,
    /// What serves it.
    #[serde(flatten)]
    pub frames: ClipFrames,
}

impl ClipFrames {
    /// The clip of these times, the last one shown for `interval`. `None` if there is no frame among them.
    pub fn new(times: Vec<Nanos>, interval: Nanos) -> Option<Self> {
        let mut shown = times.iter().copied().filter(|at| *at != NO_FRAME);
        let start = shown.next()?;
        let last = shown.next_back().unwrap_or(start);
        Some(Self {
            start,
            stop: last + interval.max(Nanos::new(1)),
            times: times.into(),
        })
    }

    /// The times at which there is a frame, each once.
    pub fn distinct(&self) -> impl Iterator<Item = Nanos> {
        let mut last = NO_FRAME;
        let times = self.times.iter().copied();
        times.filter(move |at| *at != NO_FRAME && std::mem::replace(&mut last, *at) != *at)
    }

    /// The time of the last frame.
    pub fn last(&self) -> Nanos {
        let mut shown = self.times.iter().rev();
        shown
            .find(|at| **at != NO_FRAME)
            .copied()
            .unwrap_or(self.start)
    }

    /// The time of the middle frame; if it is missing, of the first frame after it, else of the last.
    pub fn middle(&self) -> Nanos {
        let (before, from) = self.times.split_at(self.times.len() / 2);
        let mut nearest = from.iter().chain(before.iter().rev());
        nearest
            .find(|at| **at != NO_FRAME)
            .copied()
            .unwrap_or(self.start)
    }
}

impl Serialize for ClipFrames {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            start_ns: Nanos,
            stop_ns: Nanos,
            frames_ns: &'a [Nanos],
        }
        Row {
            start_ns: self.start,
            stop_ns: self.stop,
            frames_ns: &self.times,
        }
        .serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(times: &[i64]) -> ClipFrames {
        let times = times.iter().map(|&ns| Nanos::new(ns)).collect();
        ClipFrames::new(times, Nanos::new(40)).unwrap()
    }

    #[test]
    fn a_clip_lasts_from_its_first_frame_to_the_end_of_its_last() {
        let clip = frames(&[-1, -1, 0, 40, 40, 80]);
        assert_eq!((clip.start, clip.stop), (Nanos::ZERO, Nanos::new(120)));
        assert_eq!(clip.middle(), Nanos::new(40));
        assert_eq!(clip.last(), Nanos::new(80));
        assert_eq!(
            clip.distinct().collect::<Vec<_>>(),
            [0, 40, 80].map(Nanos::new)
        );
        assert_eq!(frames(&[0, 40, -1, -1]).middle(), Nanos::new(40));
        assert_eq!(frames(&[0, 40, -1, -1]).stop, Nanos::new(80));
        assert_eq!(ClipFrames::new(vec![NO_FRAME], Nanos::new(40)), None);
    }
}
