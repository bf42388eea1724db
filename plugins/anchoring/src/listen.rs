//! 16 kHz samples and tags -> cues, one for every 80 ms.

use crate::cue::{Cue, Tag};
use crate::time::Nanos;

/// What the tagger looks at: 96 mel frames, a frame every 10 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// When its first sample sounds.
    pub pts: Nanos,
    /// `[96, 64]` row-major, frames by bands: `ln(mel + 0.001)`.
    pub log_mel: Vec<f32>,
}

/// Hears samples, says cues.
#[derive(Debug)]
pub struct Listener {
    start: Nanos,
    tagging: bool,
}

impl Listener {
    /// `start` is the time of the first sample. With `tagging`, cues wait for the tags of their [`Patch`].
    pub fn new(start: Nanos, tagging: bool) -> Self {
        Self { start, tagging }
    }

    /// The next samples: 16 kHz, mono, in [-1, 1]. What is not finite counts as silence, and its hop is not trusted.
    pub fn push(&mut self, samples: &[f32]) {
        let _ = samples;
    }

    /// The next patch to tag; each is answered by [`Self::tagged`], in the same order.
    pub fn next_patch(&mut self) -> Option<Patch> {
        None
    }

    /// The tags of the oldest unanswered patch, and how likely somebody speaks in it.
    pub fn tagged(&mut self, tags: Vec<Tag>, speech: f32) {
        let _ = (tags, speech, self.start, self.tagging);
    }

    /// The next cue that nothing can change any more.
    pub fn next_cue(&mut self) -> Option<Cue> {
        None
    }

    /// End of stream: every hop that has begun yields a cue.
    pub fn finish(&mut self) {}

    /// From the start of a hop to the last sample that its cue needs.
    pub fn latency(&self) -> Nanos {
        Nanos::ZERO
    }
}
