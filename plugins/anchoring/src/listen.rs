//! 16 kHz samples and tags -> cues, one for every 80 ms.

use std::collections::VecDeque;

use crate::cue::{COARSE, Cue, HOP, Onset, TOP, Tag};
use crate::dead::{DeadStream, Trouble};
use crate::flux::{FluxStream, Peak, PeakStream, Strength, likelihood};
use crate::mel::{BANDS, MIDDLE, MelStream, RATE, STEP_TIME};
use crate::time::Nanos;

/// Mel frames in a patch.
pub const PATCH_FRAMES: usize = 96;
/// Mel frames from one patch to the next.
pub const PATCH_STEP: usize = 48;
/// Patches that may wait for their tags: two minutes. The oldest is given up beyond it, and its hops go without tags.
pub const PATCHES: usize = 250;

/// Samples in a hop.
const HOP_SAMPLES: u32 = (HOP.get() / 1_000_000) as u32 * (RATE / 1000);
/// Mel frames in a hop.
const HOP_FRAMES: u64 = 8;
/// Mean square below which a hop is silent: -90 dBFS.
const SILENCE: f64 = 1e-9;
/// A frame sees at most this much beyond its middle: half its own length, and a frame more for the smoothing.
const SEES: Nanos = Nanos::new(22_500_000);
/// Hops after an untrusted one that have no onset: what is mended there makes one of its own.
const SHY: u32 = 2;
/// Uncertainty of a hop whose sound is there and can't be trusted; 1 is for those with nothing to hear.
const DOUBT: f32 = 0.95;

/// What the tagger looks at: 96 mel frames, one every 10 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// When its first sample sounds.
    pub pts: Nanos,
    /// `[96, 64]` row-major, frames by bands: `ln(mel + 0.001)`.
    pub log_mel: Vec<f32>,
}

/// Where a patch is.
#[derive(Debug)]
enum Tagging {
    /// Here.
    Waiting(Patch),
    /// With the tagger.
    Out,
    /// Back.
    Done(Vec<Tag>, f32),
}

/// What is known of one hop.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    /// Real samples; padding doesn't count.
    samples: u32,
    /// Sum of their squares.
    energy: f64,
    /// A sample was not finite.
    bad: bool,
    trouble: Option<Trouble>,
    eventness: f32,
    peak: Option<(Nanos, f32)>,
    /// Sum of the mel magnitudes of its frames, by coarse band.
    mel: [f32; COARSE],
    /// How many frames those are.
    frames: u16,
}

impl Hop {
    fn silent(&self) -> bool {
        self.energy <= SILENCE * f64::from(self.samples)
    }
    fn dead(&self) -> bool {
        self.bad || self.silent() || self.trouble == Some(Trouble::Silence)
    }

    fn add(&mut self, mel: &[f32; BANDS]) {
        for (sum, bands) in self.mel.iter_mut().zip(mel.chunks(BANDS / COARSE)) {
            *sum += bands.iter().sum::<f32>() / bands.len() as f32;
        }
        self.frames = self.frames.saturating_add(1);
    }

    /// As [`Cue::bands`].
    fn bands(&self) -> [u8; COARSE] {
        let frames = f32::from(self.frames.max(1));
        self.mel.map(|sum| {
            let decibel = 20.0 * (sum / frames).max(1e-3).log10();
            // A cast saturates, and takes NaN to 0.
            ((decibel + 60.0) / 0.4).round() as u8
        })
    }
}

/// Hears samples, says cues. Drain patches and cues after each push: what waits here is bounded by what was pushed since.
#[derive(Debug)]
pub struct Listener {
    start: Nanos,
    tagging: bool,
    finished: bool,
    samples: u64,
    mel: MelStream,
    dead: DeadStream,
    /// Hops that `dead` has judged.
    judged: u64,
    /// Mel frames that a push completed; kept for its memory.
    complete: Vec<[f32; BANDS]>,
    /// Verdicts on the hops that a push completed; kept for its memory.
    troubles: Vec<Option<Trouble>>,
    flux: FluxStream,
    peaks: PeakStream,
    /// Mel frames heard.
    mel_frames: u64,
    /// Strengths given to `peaks`.
    frames: u64,
    /// From hop `hop` on.
    hops: VecDeque<Hop>,
    hop: u64,
    /// Left of [`SHY`].
    shy: u32,
    /// An onset whose frame begins in a silent hop: it belongs to the next.
    carried: Option<f32>,
    /// The last mel frames, logged, up to a patch.
    recent: Vec<f32>,
    /// From patch `patch` on.
    patches: VecDeque<Tagging>,
    patch: u64,
    /// Patches given up while they were with the tagger: their answers are ignored.
    given_up: u64,
}

impl Listener {
    /// `start` is the time of the first sample. With `tagging`, cues wait for the tags of their [`Patch`].
    pub fn new(start: Nanos, tagging: bool) -> Self {
        Self {
            start,
            tagging,
            finished: false,
            samples: 0,
            mel: MelStream::new(),
            dead: DeadStream::new(),
            judged: 0,
            complete: Vec::new(),
            troubles: Vec::new(),
            flux: FluxStream::new(),
            peaks: PeakStream::new(),
            mel_frames: 0,
            frames: 0,
            hops: VecDeque::new(),
            hop: 0,
            shy: 0,
            carried: None,
            recent: Vec::new(),
            patches: VecDeque::new(),
            patch: 0,
            given_up: 0,
        }
    }

    /// The next samples: 16 kHz, mono, in [-1, 1]; at most some seconds at once. What is not finite counts as silence, and its hop
    /// is not trusted. Chunks of any size give the same cues. Does nothing after [`Self::finish`].
    pub fn push(&mut self, samples: &[f32]) {
        if self.finished {
            return;
        }
        let mut rest = samples;
        while !rest.is_empty() {
            // Up to the end of the hop, so that each hop's sum is the same for any chunk size.
            let at = (self.samples % u64::from(HOP_SAMPLES)) as usize;
            let (now, later) = rest.split_at(rest.len().min(HOP_SAMPLES as usize - at));
            let index = self.samples / u64::from(HOP_SAMPLES);
            if let Some(hop) = self.hop_mut(index) {
                for &x in now {
                    if x.is_finite() {
                        hop.energy += f64::from(x) * f64::from(x);
                    } else {
                        hop.bad = true;
                    }
                }
                hop.samples += now.len() as u32;
            }
            self.samples += now.len() as u64;
            rest = later;
        }
        let mut troubles = std::mem::take(&mut self.troubles);
        self.dead.push(samples, |trouble| troubles.push(trouble));
        for trouble in troubles.drain(..) {
            if let Some(hop) = self.hop_mut(self.judged) {
                hop.trouble = trouble;
            }
            self.judged += 1;
        }
        self.troubles = troubles;
        let mut frames = std::mem::take(&mut self.complete);
        self.mel.push(samples, |frame| frames.push(*frame));
        for frame in &frames {
            self.frame(frame);
        }
        frames.clear();
        self.complete = frames;
    }

    fn hop_mut(&mut self, index: u64) -> Option<&mut Hop> {
        let i = usize::try_from(index.checked_sub(self.hop)?).ok()?;
        while self.hops.len() <= i {
            self.hops.push_back(Hop::default());
        }
        self.hops.get_mut(i)
    }

    fn frame(&mut self, mel: &[f32; BANDS]) {
        let middle = steps(self.mel_frames) + MIDDLE;
        self.mel_frames += 1;
        if let Some(hop) = self.hop_mut(middle.get() as u64 / HOP.get() as u64) {
            hop.add(mel);
        }
        if let Some(strength) = self.flux.push(mel) {
            self.strength(strength);
        }
        if !self.tagging {
            return;
        }
        self.recent.extend(mel.iter().map(|m| (m + 1e-3).ln()));
        if self.recent.len() == PATCH_FRAMES * BANDS {
            self.ask();
            self.recent.drain(..PATCH_STEP * BANDS);
        }
    }

    /// A patch of what is in `recent`, which holds 96 frames.
    fn ask(&mut self) {
        if self.patches.len() == PATCHES {
            self.given_up += u64::from(matches!(self.patches.pop_front(), Some(Tagging::Out)));
            self.patch += 1;
        }
        let index = self.patch + self.patches.len() as u64;
        self.patches.push_back(Tagging::Waiting(Patch {
            pts: self.start + steps(index * PATCH_STEP as u64),
            log_mel: self.recent.clone(),
        }));
    }

    fn strength(&mut self, strength: Strength) {
        // A frame belongs to the hop in which its middle lies.
        let index = (steps(self.frames) + MIDDLE).get() as u64 / HOP.get() as u64;
        self.frames += 1;
        let eventness = likelihood(strength.flux_100());
        if eventness > 0.0
            && let Some(hop) = self.hop_mut(index)
        {
            hop.eventness = hop.eventness.max(eventness);
        }
        if let Some(Peak { frame, flux_100 }) = self.peaks.push(strength) {
            let at = steps(frame) + MIDDLE;
            if let Some(hop) = self.hop_mut(at.get() as u64 / HOP.get() as u64) {
                hop.peak = Some((at, likelihood(flux_100)));
            }
        }
    }

    /// The next patch to tag; each is answered by [`Self::tagged`], in the same order.
    pub fn next_patch(&mut self) -> Option<Patch> {
        let slot = self
            .patches
            .iter_mut()
            .find(|slot| matches!(slot, Tagging::Waiting(_)))?;
        match std::mem::replace(slot, Tagging::Out) {
            Tagging::Waiting(patch) => Some(patch),
            Tagging::Out | Tagging::Done(..) => None,
        }
    }

    /// The tags of the oldest unanswered patch, and how likely somebody speaks in it. The likeliest five are kept; what is not a
    /// number is dropped.
    pub fn tagged(&mut self, mut tags: Vec<Tag>, speech: f32) {
        if self.given_up > 0 {
            self.given_up -= 1;
            return;
        }
        let out = |slot: &&mut Tagging| matches!(slot, Tagging::Out);
        if let Some(slot) = self.patches.iter_mut().find(out) {
            tags.retain(|tag| tag.p.is_finite());
            tags.sort_by(|a, b| b.p.total_cmp(&a.p));
            tags.truncate(TOP);
            for tag in &mut tags {
                tag.p = tag.p.clamp(0.0, 1.0);
            }
            let speech = if speech.is_finite() {
                speech.clamp(0.0, 1.0)
            } else {
                0.0
            };
            *slot = Tagging::Done(tags, speech);
        }
    }

    /// The next cue that nothing can change any more.
    pub fn next_cue(&mut self) -> Option<Cue> {
        let index = self.hop;
        let heard = if self.finished {
            index * u64::from(HOP_SAMPLES) < self.samples
        } else {
            self.peaks.judged() >= (index + 1) * HOP_FRAMES - 1
        };
        if !heard {
            return None;
        }
        let (tags, speech) = self.tags_of(index)?;
        let hop = self.hops.pop_front().unwrap_or_default();
        self.hop += 1;
        // By now the next hop's samples have come, if there are any.
        let next_bad = self.hops.front().is_some_and(|next| next.bad);
        let own = self.start + hops(index);
        let carried = self.carried.take().map(|p| (hops(index), p));
        let peak = [carried, hop.peak]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if hop.silent() && !hop.bad {
            // Sound at the very start of the next hop: frames whose middles lie in this one already see it.
            self.carried = hop
                .peak
                .and_then(|(at, p)| (at + SEES >= hops(index + 1)).then_some(p));
        }
        let trusted = !hop.dead() && !next_bad && self.shy == 0;
        self.shy = if hop.bad {
            SHY
        } else {
            self.shy.saturating_sub(1)
        };
        let dead = hop.dead();
        Some(Cue {
            pts: own,
            eventness: if dead { 0.0 } else { hop.eventness },
            uncertainty: match hop.trouble {
                _ if dead => 1.0,
                Some(_) => DOUBT,
                None => 0.0,
            },
            speech,
            tags,
            onset: peak.filter(|_| trusted).map(|(at, p)| Onset {
                at: self.start + at,
                p,
                uncertainty: 1.0 - p,
            }),
            bands: hop.bands(),
        })
    }

    /// Tags and speech of a hop: those of the patch whose middle is nearest. `None` while they are outstanding.
    fn tags_of(&mut self, hop: u64) -> Option<(Vec<Tag>, f32)> {
        if !self.tagging {
            return Some((Vec::new(), 0.0));
        }
        let mut wanted = nearest_patch(hop);
        if self.finished {
            let made = self.patch + self.patches.len() as u64;
            wanted = wanted.min(made.saturating_sub(1));
        }
        // The newest stays: it may have to do for the hops at the end.
        while self.patch < wanted
            && self.patches.len() > 1
            && matches!(self.patches.front(), Some(Tagging::Done(..)))
        {
            self.patches.pop_front();
            self.patch += 1;
        }
        if wanted < self.patch {
            // Given up.
            return Some((Vec::new(), 0.0));
        }
        match self.patches.get((wanted - self.patch) as usize) {
            Some(Tagging::Done(tags, speech)) => Some((tags.clone(), *speech)),
            Some(Tagging::Waiting(_) | Tagging::Out) => None,
            // No patch at all, because nothing was heard.
            None => self.finished.then(|| (Vec::new(), 0.0)),
        }
    }

    /// End of stream: every hop that has begun yields a cue. A recording shorter than a patch is padded to one.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        if self.tagging && self.patch == 0 && self.patches.is_empty() && self.samples > 0 {
            self.recent.resize(PATCH_FRAMES * BANDS, 1e-3f32.ln());
            self.ask();
        }
        // What is left to judge is judged as if nothing followed.
        while self.peaks.judged() * u64::from(HOP_SAMPLES) < self.samples * HOP_FRAMES {
            self.strength(Strength::default());
        }
        // A hop that is begun goes on as the one before it.
        let verdict = self.dead.verdict();
        if let Some(hop) = self.hop_mut(self.judged) {
            hop.trouble = verdict.filter(|trouble| *trouble != Trouble::Silence);
        }
        self.finished = true;
    }

    /// From the start of a hop to the last sample that its cue needs; the tagger's own time comes on top.
    pub fn latency(&self) -> Nanos {
        // The hop's last frame, the eight after it that it is compared with, one for the smoothing, and that one's length.
        let onset = Nanos::from_ms(150 + 25);
        // The first hop whose nearest patch is the second one starts at 720 ms, and that patch ends at 480 + 975 ms.
        let tags = Nanos::from_ms(480 + 975 - 720);
        if self.tagging { tags } else { onset }
    }
}

/// So many mel frames.
fn steps(n: u64) -> Nanos {
    Nanos::new((STEP_TIME.get() as u64).saturating_mul(n) as i64)
}

/// So many hops.
fn hops(n: u64) -> Nanos {
    Nanos::new((HOP.get() as u64).saturating_mul(n) as i64)
}

/// The patch whose middle is nearest to the middle of a hop.
fn nearest_patch(hop: u64) -> u64 {
    const STEP_NS: i64 = PATCH_STEP as i64 * STEP_TIME.get();
    let first = ((PATCH_FRAMES as i64 - 1) * STEP_TIME.get() + 2 * MIDDLE.get()) / 2;
    let middle = hops(hop).get() + HOP.get() / 2;
    (middle - first + STEP_NS / 2).max(0) as u64 / STEP_NS as u64
}

#[cfg(test)]
mod tests;
