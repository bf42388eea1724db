//! Patches of sound for a tagger: cut, asked about, answered, and dropped once no hop needs them.

use std::collections::VecDeque;

use crate::cue::{HOP, TOP, Tag};
use crate::hearing::mel::{BANDS, FRAME, MIDDLE, STEP_TIME, steps};
use crate::listener::hop::hops;
use crate::time::Nanos;

/// Mel frames in a patch.
pub const PATCH_FRAMES: usize = 96;
/// Mel frames from one patch to the next.
pub const PATCH_STEP: usize = 48;
/// Patches that may wait for their tags: two minutes. The oldest is given up beyond it, and its hops go without tags.
pub const PATCHES: usize = 250;
/// Most samples of a patch: ten seconds.
pub const LONGEST_WINDOW: usize = 160_000;

/// Onsets at least this likely are worth naming.
const WORTH_NAMING: f32 = 0.1;

/// Which patches are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// None.
    #[default]
    Nothing,
    /// Those nearest to a hop in which something probably begins.
    Onsets,
    /// Every one.
    All,
}

/// What is said of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Classes, in any order; the likeliest five are kept.
    pub tags: Vec<Tag>,
    /// How likely somebody speaks in it.
    pub speech: f32,
    /// How likely something begins in its middle, if that is what was asked: the onset of [`Probe::Patches`](crate::onset::probe::Probe::Patches).
    pub onset: Option<f32>,
}

/// What the tagger looks at: 96 mel frames, one every 10 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// When its first sample sounds.
    pub pts: Nanos,
    /// `[96, 64]` row-major, frames by bands: `ln(mel + 0.001)`.
    pub log_mel: Vec<f32>,
    /// The last samples up to its end, as many as were asked for, silence before the first.
    pub samples: Vec<f32>,
}

impl Patch {
    /// The instant that [`Answer::onset`] speaks of.
    pub fn middle(&self) -> Nanos {
        self.pts + patch_middle(0)
    }
}

/// Where a patch is.
#[derive(Debug)]
enum Tagging {
    /// Here.
    Waiting(Patch),
    /// With the tagger.
    Out,
    /// Back.
    Done(Answer),
}

/// Patches in order, from the first that a hop may still need.
#[derive(Debug)]
pub(super) struct PatchQueue {
    start: Nanos,
    naming: Naming,
    finished: bool,
    /// The last samples, for patches that come with some, and how many those are.
    history: Vec<f32>,
    window: usize,
    /// The last mel frames, logged, up to a patch.
    recent: Vec<f32>,
    /// From patch `first` on.
    patches: VecDeque<Tagging>,
    first: u64,
    /// Patches nearest to a hop in which something probably begins, ascending.
    worth: VecDeque<u64>,
    /// Patches given up while they were with the tagger: their answers are ignored.
    given_up: u64,
}

impl PatchQueue {
    pub(super) fn new(start: Nanos, naming: Naming, window: usize) -> Self {
        Self {
            start,
            naming,
            finished: false,
            history: Vec::new(),
            window: window.min(LONGEST_WINDOW),
            recent: Vec::new(),
            patches: VecDeque::new(),
            first: 0,
            worth: VecDeque::new(),
            given_up: 0,
        }
    }

    pub(super) const fn naming(&self) -> Naming {
        self.naming
    }

    /// How many wait, are with the tagger, or are answered and needed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.patches.len()
    }

    /// Answers that will be ignored.
    #[cfg(test)]
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// The index after the newest patch.
    pub(super) fn end(&self) -> u64 {
        self.first + self.patches.len() as u64
    }

    pub(super) fn push_samples(&mut self, samples: &[f32]) {
        if self.window > 0 {
            let sound = |&x: &f32| {
                if x.is_finite() {
                    x.clamp(-1.0, 1.0)
                } else {
                    0.0
                }
            };
            self.history.extend(samples.iter().map(sound));
        }
    }

    /// Drops the samples that no patch to come needs.
    pub(super) fn trim(&mut self) {
        let spare = self.history.len().saturating_sub(self.window + FRAME);
        self.history.drain(..spare);
    }

    /// The next mel frame, logged; `later` samples have been pushed that follow it.
    pub(super) fn push_frame(&mut self, log_mel: &[f32; BANDS], later: u64) {
        self.recent.extend_from_slice(log_mel);
        if self.recent.len() == PATCH_FRAMES * BANDS {
            self.cut(later);
            self.recent.drain(..PATCH_STEP * BANDS);
        }
    }

    /// A patch of what is in `recent`, which holds 96 frames.
    fn cut(&mut self, later: u64) {
        if self.patches.len() == PATCHES {
            self.given_up += u64::from(matches!(self.patches.pop_front(), Some(Tagging::Out)));
            self.first += 1;
        }
        self.patches.push_back(Tagging::Waiting(Patch {
            pts: self.start + steps(self.end() * PATCH_STEP as u64),
            log_mel: self.recent.clone(),
            samples: self.last_samples(later),
        }));
    }

    /// The last samples up to the end of the frame heard last, which `later` samples follow.
    fn last_samples(&self, later: u64) -> Vec<f32> {
        let known = &self.history[..self.history.len().saturating_sub(later as usize)];
        let some = &known[known.len().saturating_sub(self.window)..];
        let mut samples = vec![0.0; self.window - some.len()];
        samples.extend_from_slice(some);
        samples
    }

    /// An onset this likely begins in a hop.
    pub(super) fn onset(&mut self, hop: u64, p: f32) {
        if self.naming == Naming::Onsets && p >= WORTH_NAMING {
            let patch = nearest_patch(hop);
            if self.worth.back() != Some(&patch) {
                self.worth.push_back(patch);
            }
        }
    }

    /// The next patch to tag, if every onset before `judged` is known.
    pub(super) fn next(&mut self, judged: Nanos) -> Option<Patch> {
        while let Some(at) = self.first_waiting() {
            let wanted = self.wanted(self.first + at as u64, judged)?;
            let slot = self.patches.get_mut(at)?;
            if !wanted {
                *slot = Tagging::Done(Answer::default());
                continue;
            }
            return match std::mem::replace(slot, Tagging::Out) {
                Tagging::Waiting(patch) => Some(patch),
                Tagging::Out | Tagging::Done(_) => None,
            };
        }
        None
    }

    /// The beginning of the first patch that [`Self::next`] has not come to.
    pub(super) fn undecided(&self) -> Nanos {
        let at = self.first_waiting().unwrap_or(self.patches.len());
        self.start + steps((self.first + at as u64) * PATCH_STEP as u64)
    }

    fn first_waiting(&self) -> Option<usize> {
        self.patches
            .iter()
            .position(|slot| matches!(slot, Tagging::Waiting(_)))
    }

    /// Whether a patch is worth naming; `None` while that isn't known.
    fn wanted(&mut self, patch: u64, judged: Nanos) -> Option<bool> {
        if self.naming != Naming::Onsets {
            return Some(true);
        }
        if !self.finished && judged < hops(last_hop(patch) + 1) {
            return None;
        }
        while self.worth.front().is_some_and(|worth| *worth < patch) {
            self.worth.pop_front();
        }
        // The last one speaks for what comes after it.
        let last = self.finished && patch + 1 == self.end();
        let next = self.worth.front();
        Some(next.is_some_and(|worth| *worth == patch || last))
    }

    /// What is said of the oldest unanswered patch; what is not a number is dropped.
    pub(super) fn answer(&mut self, mut answer: Answer) {
        if self.given_up > 0 {
            self.given_up -= 1;
            return;
        }
        let out = |slot: &&mut Tagging| matches!(slot, Tagging::Out);
        if let Some(slot) = self.patches.iter_mut().find(out) {
            let tags = &mut answer.tags;
            tags.retain(|tag| tag.p.is_finite());
            tags.sort_by(|a, b| b.p.total_cmp(&a.p));
            tags.truncate(TOP);
            for tag in tags {
                tag.p = tag.p.clamp(0.0, 1.0);
            }
            answer.speech = unit(answer.speech);
            answer.onset = answer.onset.map(unit);
            *slot = Tagging::Done(answer);
        }
    }

    /// What was said of a hop: of the patch whose middle is nearest. `None` while they are outstanding.
    pub(super) fn answer_of(&mut self, hop: u64) -> Option<Answer> {
        if self.naming == Naming::Nothing {
            return Some(Answer::default());
        }
        let mut wanted = nearest_patch(hop);
        if self.finished {
            wanted = wanted.min(self.end().saturating_sub(1));
        }
        // The newest stays: it may have to do for the hops at the end.
        while self.first < wanted
            && self.patches.len() > 1
            && matches!(self.patches.front(), Some(Tagging::Done(_)))
        {
            self.patches.pop_front();
            self.first += 1;
        }
        if wanted < self.first {
            // Given up.
            return Some(Answer::default());
        }
        match self.patches.get((wanted - self.first) as usize) {
            Some(Tagging::Done(answer)) => Some(answer.clone()),
            Some(Tagging::Waiting(_) | Tagging::Out) => None,
            // No patch at all, because nothing was heard.
            None => self.finished.then(Answer::default),
        }
    }

    /// No frame will come any more: where no patch was cut, pads what there is to one; `later` as in [`Self::push_frame`].
    pub(super) fn pad(&mut self, later: u64) {
        if self.naming != Naming::Nothing && self.end() == 0 {
            self.recent.resize(PATCH_FRAMES * BANDS, 1e-3f32.ln());
            self.cut(later);
        }
    }

    /// Every onset is known.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

/// The last hop to which a patch is the nearest.
pub(super) fn last_hop(patch: u64) -> u64 {
    let mut hop = (PATCH_STEP as i64 * STEP_TIME.get() / HOP.get()) as u64 * patch;
    while nearest_patch(hop + 1) <= patch {
        hop += 1;
    }
    hop
}

/// In [0, 1]; 0 for what is no number.
fn unit(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// The middle of a patch, since the start.
pub(super) fn patch_middle(patch: u64) -> Nanos {
    let half = ((PATCH_FRAMES as i64 - 1) * STEP_TIME.get() + 2 * MIDDLE.get()) / 2;
    steps(patch.saturating_mul(PATCH_STEP as u64)) + Nanos::new(half)
}

/// The patch whose middle is nearest to the middle of a hop.
pub(super) fn nearest_patch(hop: u64) -> u64 {
    const STEP_NS: i64 = PATCH_STEP as i64 * STEP_TIME.get();
    let middle = hops(hop).get() + HOP.get() / 2;
    (middle - patch_middle(0).get() + STEP_NS / 2).max(0) as u64 / STEP_NS as u64
}
