//! Patches of sound for a tagger: cut, sent, answered, and dropped once no hop needs them.

use std::collections::VecDeque;

use crate::cue::{HOP, TOP, Tag};
use crate::hearing::mel::{
    BANDS, FRAME, HALF_FRAME, STEP_TIME, clamp_positive, clamp_sample, steps,
};
use crate::listener::hop::hops;
use crate::time::Nanos;

/// Mel frames in a patch.
pub const PATCH_FRAMES: usize = 96;
/// Mel frames from one patch to the next.
pub const PATCH_STEP: usize = 48;
/// Patches that may wait for their answers: two minutes. Beyond that, the oldest is given up, and its hops have no
/// tags.
pub const MAX_PATCHES: usize = 250;
/// Most samples in a patch: ten seconds.
pub const MAX_PATCH_SAMPLES: usize = 160_000;

/// Onsets with at least this probability are worth tagging.
const MIN_TAGGED_ONSET: f32 = 0.1;

/// Which patches are tagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagScope {
    /// None.
    #[default]
    Nothing,
    /// Those nearest to a probable onset.
    Onsets,
    /// All.
    All,
}

/// An answer to a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaggerAnswer {
    /// Classes, in any order; the five most probable are kept.
    pub tags: Vec<Tag>,
    /// Probability of speech.
    pub speech: f32,
    /// Probability that an event begins in the middle of the patch, if the model gives one: the onset of
    /// [`Probe::Patches`](crate::onset::probe::Probe::Patches).
    pub onset: Option<f32>,
}

/// The tagger's input: 96 mel frames, one every 10 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// When its first sample sounds.
    pub pts: Nanos,
    /// `[96, 64]` row-major, frames by bands: `ln(mel + 0.001)`.
    pub log_mel: Vec<f32>,
    /// The last samples up to its end, as many as the settings ask for; silence before the first.
    pub samples: Vec<f32>,
}

impl Patch {
    /// The time of [`TaggerAnswer::onset`].
    pub fn middle(&self) -> Nanos {
        self.pts + patch_middle(0)
    }
}

/// The state of a patch.
#[derive(Debug)]
enum State {
    /// Not sent.
    Waiting(Patch),
    /// The tagger has it.
    Sent,
    /// Its answer is here.
    Answered(TaggerAnswer),
}

/// Patches in order, from the first that a hop may still need.
#[derive(Debug)]
pub(super) struct PatchQueue {
    start: Nanos,
    tag_scope: TagScope,
    finished: bool,
    /// The last samples, if patches carry samples, and how many a patch carries.
    history: Vec<f32>,
    patch_samples: usize,
    /// The last log mel frames, up to a patch.
    recent: Vec<f32>,
    /// From patch `first` on.
    patches: VecDeque<State>,
    first: u64,
    /// Patches nearest to a probable onset, ascending.
    worth_tagging: VecDeque<u64>,
    /// Patches that were given up while the tagger had them: their answers are ignored.
    given_up: u64,
}

impl PatchQueue {
    pub(super) fn new(start: Nanos, tag_scope: TagScope, patch_samples: usize) -> Self {
        Self {
            start,
            tag_scope,
            finished: false,
            history: Vec::new(),
            patch_samples: patch_samples.min(MAX_PATCH_SAMPLES),
            recent: Vec::new(),
            patches: VecDeque::new(),
            first: 0,
            worth_tagging: VecDeque::new(),
            given_up: 0,
        }
    }

    pub(super) const fn tag_scope(&self) -> TagScope {
        self.tag_scope
    }

    /// Patches that wait, are with the tagger, or are answered and still needed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.patches.len()
    }

    /// Answers that will be ignored.
    #[cfg(test)]
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// One past the index of the newest patch.
    pub(super) fn end(&self) -> u64 {
        self.first + self.patches.len() as u64
    }

    pub(super) fn push_samples(&mut self, samples: &[f32]) {
        if self.patch_samples > 0 {
            let samples = samples.iter().map(|&x| clamp_sample(x, 1.0));
            self.history.extend(samples);
        }
    }

    /// Drops samples that no later patch needs.
    pub(super) fn trim(&mut self) {
        let spare = self
            .history
            .len()
            .saturating_sub(self.patch_samples + FRAME);
        self.history.drain(..spare);
    }

    /// Takes the next log mel frame; `later` samples that follow it have been pushed.
    pub(super) fn push_frame(&mut self, log_mel: &[f32; BANDS], later: u64) {
        self.recent.extend_from_slice(log_mel);
        if self.recent.len() == PATCH_FRAMES * BANDS {
            self.cut(later);
            self.recent.drain(..PATCH_STEP * BANDS);
        }
    }

    /// Cuts a patch from the 96 frames in `recent`.
    fn cut(&mut self, later: u64) {
        if self.patches.len() == MAX_PATCHES {
            self.given_up += u64::from(matches!(self.patches.pop_front(), Some(State::Sent)));
            self.first += 1;
        }
        self.patches.push_back(State::Waiting(Patch {
            pts: self.start + steps(self.end() * PATCH_STEP as u64),
            log_mel: self.recent.clone(),
            samples: self.last_samples(later),
        }));
    }

    /// The last samples up to the end of the last frame, which `later` samples follow.
    fn last_samples(&self, later: u64) -> Vec<f32> {
        let known = &self.history[..self.history.len().saturating_sub(later as usize)];
        let some = &known[known.len().saturating_sub(self.patch_samples)..];
        let mut samples = vec![0.0; self.patch_samples - some.len()];
        samples.extend_from_slice(some);
        samples
    }

    /// Notes an onset of this probability in a hop.
    pub(super) fn onset(&mut self, hop: u64, p: f32) {
        if self.tag_scope == TagScope::Onsets && p >= MIN_TAGGED_ONSET {
            let patch = nearest_patch(hop);
            if self.worth_tagging.back() != Some(&patch) {
                self.worth_tagging.push_back(patch);
            }
        }
    }

    /// The next patch to tag, given that every onset before `judged` is known.
    pub(super) fn next(&mut self, judged: Nanos) -> Option<Patch> {
        while let Some(at) = self.first_waiting() {
            let wanted = self.wanted(self.first + at as u64, judged)?;
            let slot = self.patches.get_mut(at)?;
            if !wanted {
                *slot = State::Answered(TaggerAnswer::default());
                continue;
            }
            return match std::mem::replace(slot, State::Sent) {
                State::Waiting(patch) => Some(patch),
                State::Sent | State::Answered(_) => None,
            };
        }
        None
    }

    /// The beginning of the first patch that [`Self::next`] has not reached.
    pub(super) fn undecided(&self) -> Nanos {
        let at = self.first_waiting().unwrap_or(self.patches.len());
        self.start + steps((self.first + at as u64) * PATCH_STEP as u64)
    }

    fn first_waiting(&self) -> Option<usize> {
        self.patches
            .iter()
            .position(|slot| matches!(slot, State::Waiting(_)))
    }

    /// Whether a patch is to be tagged; `None` while that is unknown.
    fn wanted(&mut self, patch: u64, judged: Nanos) -> Option<bool> {
        if self.tag_scope != TagScope::Onsets {
            return Some(true);
        }
        while self
            .worth_tagging
            .front()
            .is_some_and(|worth| *worth < patch)
        {
            self.worth_tagging.pop_front();
        }
        if self.worth_tagging.front() == Some(&patch) {
            return Some(true);
        }
        if !self.finished && judged < hops(last_hop(patch) + 1) {
            return None;
        }
        // The last patch also stands for what comes after it.
        let last = self.finished && patch + 1 == self.end();
        Some(last && !self.worth_tagging.is_empty())
    }

    /// The answer to the oldest patch that the tagger has; tags with NaN are dropped.
    pub(super) fn answer(&mut self, mut answer: TaggerAnswer) {
        if self.given_up > 0 {
            self.given_up -= 1;
            return;
        }
        let out = |slot: &&mut State| matches!(slot, State::Sent);
        if let Some(slot) = self.patches.iter_mut().find(out) {
            let tags = &mut answer.tags;
            tags.retain(|tag| tag.p.is_finite());
            tags.sort_by(|a, b| b.p.total_cmp(&a.p));
            tags.truncate(TOP);
            for tag in tags {
                tag.p = tag.p.clamp(0.0, 1.0);
            }
            answer.speech = clamp_positive(answer.speech, 1.0);
            answer.onset = answer.onset.map(|p| clamp_positive(p, 1.0));
            *slot = State::Answered(answer);
        }
    }

    /// The answer for a hop: that to the patch whose middle is nearest. `None` while it is outstanding.
    pub(super) fn answer_of(&mut self, hop: u64) -> Option<TaggerAnswer> {
        if self.tag_scope == TagScope::Nothing {
            return Some(TaggerAnswer::default());
        }
        let wanted = self.patch_of(hop);
        // The newest patch stays: it may stand for the hops at the end.
        while self.first < wanted
            && self.patches.len() > 1
            && matches!(self.patches.front(), Some(State::Answered(_)))
        {
            self.patches.pop_front();
            self.first += 1;
        }
        self.known_answer(hop)
    }

    /// The patch that stands for a hop.
    fn patch_of(&self, hop: u64) -> u64 {
        match self.finished {
            true => nearest_patch(hop).min(self.end().saturating_sub(1)),
            false => nearest_patch(hop),
        }
    }

    /// Like [`Self::answer_of`], but hops before this one may still be queried.
    pub(super) fn known_answer(&self, hop: u64) -> Option<TaggerAnswer> {
        if self.tag_scope == TagScope::Nothing {
            return Some(TaggerAnswer::default());
        }
        let wanted = self.patch_of(hop);
        if wanted < self.first {
            // It was given up.
            return Some(TaggerAnswer::default());
        }
        match self.patches.get((wanted - self.first) as usize) {
            Some(State::Answered(answer)) => Some(answer.clone()),
            Some(State::Waiting(_) | State::Sent) => None,
            // There is no patch, because there was no sound.
            None => self.finished.then(TaggerAnswer::default),
        }
    }

    /// End of stream: if no patch was cut, pads the frames to one. `later`: see [`Self::push_frame`].
    pub(super) fn pad(&mut self, later: u64) {
        if self.tag_scope != TagScope::Nothing && self.end() == 0 {
            self.recent.resize(PATCH_FRAMES * BANDS, 1e-3f32.ln());
            self.cut(later);
        }
    }

    /// Every onset is known now.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

/// The last hop whose nearest patch this is.
pub(super) fn last_hop(patch: u64) -> u64 {
    let mut hop = (PATCH_STEP as i64 * STEP_TIME.get() / HOP.get()) as u64 * patch;
    while nearest_patch(hop + 1) <= patch {
        hop += 1;
    }
    hop
}

/// The middle of a patch, from the start.
pub(super) fn patch_middle(patch: u64) -> Nanos {
    let half = ((PATCH_FRAMES as i64 - 1) * STEP_TIME.get() + 2 * HALF_FRAME.get()) / 2;
    steps(patch.saturating_mul(PATCH_STEP as u64)) + Nanos::new(half)
}

/// The patch whose middle is nearest to the middle of a hop.
pub(super) fn nearest_patch(hop: u64) -> u64 {
    const STEP_NS: i64 = PATCH_STEP as i64 * STEP_TIME.get();
    let middle = hops(hop).get() + HOP.get() / 2;
    (middle - patch_middle(0).get() + STEP_NS / 2).max(0) as u64 / STEP_NS as u64
}
