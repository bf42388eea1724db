//! 16 kHz samples and tags -> cues, one for every 80 ms.

use std::collections::VecDeque;

use crate::cue::{COARSE, Cue, HOP, Onset, TOP, Tag};
use crate::dead::{DeadStream, Trouble};
use crate::flux::log;
use crate::mel::{BANDS, FRAME, MIDDLE, MelStream, RATE, STEP, STEP_TIME};
use crate::probe::{Probe, ProbeStream};
use crate::time::Nanos;
use crate::voice::VoiceStream;
use crate::wide::wide;

/// Mel frames in a patch.
pub const PATCH_FRAMES: usize = 96;
/// Mel frames from one patch to the next.
pub const PATCH_STEP: usize = 48;
/// Patches that may wait for their tags: two minutes. The oldest is given up beyond it, and its hops go without tags.
pub const PATCHES: usize = 250;

/// Samples in a hop.
const HOP_SAMPLES: u32 = (HOP.get() / 1_000_000) as u32 * (RATE / 1000);
/// Mean square below which a hop is silent: -90 dBFS.
const SILENCE: f64 = 1e-9;
/// A frame sees at most this much beyond its middle: half its own length, and a frame more for the smoothing.
const SEES: Nanos = Nanos::new(22_500_000);
/// Hops after an untrusted one that have no onset: what is mended there makes one of its own.
const SHY: u32 = 2;
/// Uncertainty of a hop whose sound is there and can't be trusted; 1 is for those with nothing to hear.
const DOUBT: f32 = 0.95;

/// Around an onset in which a voice matters: a word begins before its detector is sure, and its sounds outlast it.
const VOICE_BEFORE: Nanos = Nanos::from_ms(100);
const VOICE_AFTER: Nanos = Nanos::from_ms(250);
/// Onsets at least this likely are worth naming.
const WORTH_NAMING: f32 = 0.1;
/// Most samples of a patch: ten seconds.
pub const LONGEST_WINDOW: usize = 160_000;

/// What becomes of speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// Onsets beside a voice count less ([`AboutProbe::voiced`](crate::weights::AboutProbe::voiced)), and cues don't tell of it.
    Ignore,
    /// Onsets beside a voice count less, and cues tell of it.
    #[default]
    Label,
    /// It makes anchors like any other sound, and cues tell of it.
    Anchor,
}

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

/// How to listen.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// What finds the onsets.
    pub probe: Probe,
    /// Which cues wait for what is said of their [`Patch`]; with [`Probe::Patches`] all do.
    pub naming: Naming,
    /// Samples that come with a patch: this many up to its end, at most [`LONGEST_WINDOW`].
    pub window: usize,
    /// Whether cues wait for a voice detector; without one, speech is what the tagger says it is.
    pub voices: bool,
    /// What becomes of speech.
    pub speech: Speech,
}

impl Default for Hearing {
    /// Flux alone.
    fn default() -> Self {
        Self {
            probe: Probe::Flux,
            naming: Naming::Nothing,
            window: 0,
            voices: false,
            speech: Speech::default(),
        }
    }
}

/// What is said of a patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Classes, in any order; the likeliest five are kept.
    pub tags: Vec<Tag>,
    /// How likely somebody speaks in it.
    pub speech: f32,
    /// How likely something begins in its middle, if that is what was asked: the onset of [`Probe::Patches`].
    pub onset: Option<f32>,
}

/// What the tagger looks at: 96 mel frames, one every 10 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// When its first sample sounds.
    pub pts: Nanos,
    /// `[96, 64]` row-major, frames by bands: `ln(mel + 0.001)`.
    pub log_mel: Vec<f32>,
    /// The last [`Hearing::window`] samples up to its end, silence before the first.
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

/// What is known of one hop.
#[derive(Clone, Copy, Debug, Default)]
struct Hop {
    /// Real samples; padding doesn't count.
    samples: u32,
    /// Sum of their squares; known once all of them are.
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
        let (groups, _) = mel.as_chunks::<{ BANDS / COARSE }>();
        for (sum, bands) in self.mel.iter_mut().zip(groups) {
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
    naming: Naming,
    speech: Speech,
    /// What a voice takes from an onset.
    voiced: f32,
    finished: bool,
    samples: u64,
    mel: MelStream,
    dead: DeadStream,
    /// Hops that `dead` has judged.
    judged: u64,
    /// Mel frames that a push completed; kept for its memory.
    complete: Vec<[f32; BANDS]>,
    /// Verdicts on the hops that a push completed, and their energy; kept for its memory.
    verdicts: Vec<(Option<Trouble>, f64)>,
    probe: ProbeStream,
    /// Whether onsets come with the answers to patches.
    patchwise: bool,
    voices: Option<VoiceStream>,
    /// The last samples, for patches that come with some, and how many those are.
    history: Vec<f32>,
    window: usize,
    /// Mel frames heard.
    mel_frames: u64,
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
    /// Patches nearest to a hop in which something probably begins, ascending.
    worth: VecDeque<u64>,
    /// Patches given up while they were with the tagger: their answers are ignored.
    given_up: u64,
}

impl Listener {
    /// `start` is the time of the first sample.
    pub fn new(start: Nanos, hearing: &Hearing) -> Self {
        let patchwise = matches!(hearing.probe, Probe::Patches);
        Self {
            start,
            naming: if patchwise {
                Naming::All
            } else {
                hearing.naming
            },
            speech: hearing.speech,
            voiced: hearing.probe.voiced(),
            finished: false,
            samples: 0,
            mel: MelStream::new(),
            dead: DeadStream::new(),
            judged: 0,
            complete: Vec::new(),
            verdicts: Vec::new(),
            probe: ProbeStream::new(&hearing.probe),
            patchwise,
            voices: hearing.voices.then(VoiceStream::default),
            history: Vec::new(),
            window: hearing.window.min(LONGEST_WINDOW),
            mel_frames: 0,
            hops: VecDeque::new(),
            hop: 0,
            shy: 0,
            carried: None,
            recent: Vec::new(),
            patches: VecDeque::new(),
            patch: 0,
            worth: VecDeque::new(),
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
            let at = (self.samples % u64::from(HOP_SAMPLES)) as usize;
            let (now, later) = rest.split_at(rest.len().min(HOP_SAMPLES as usize - at));
            let index = self.samples / u64::from(HOP_SAMPLES);
            if let Some(hop) = self.hop_mut(index) {
                hop.bad |= wide(
                    #[inline(always)]
                    || now.iter().fold(false, |bad, x| bad | !x.is_finite()),
                );
                hop.samples += now.len() as u32;
            }
            self.samples += now.len() as u64;
            rest = later;
        }
        let mut verdicts = std::mem::take(&mut self.verdicts);
        self.dead
            .push(samples, |trouble, energy| verdicts.push((trouble, energy)));
        for (trouble, energy) in verdicts.drain(..) {
            if let Some(hop) = self.hop_mut(self.judged) {
                (hop.trouble, hop.energy) = (trouble, energy);
            }
            self.judged += 1;
        }
        self.verdicts = verdicts;
        if let Some(voices) = &mut self.voices {
            voices.push(samples);
        }
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
        let mut frames = std::mem::take(&mut self.complete);
        self.mel.push(samples, |frame| frames.push(*frame));
        for frame in &frames {
            self.frame(frame);
        }
        frames.clear();
        self.complete = frames;
        let spare = self.history.len().saturating_sub(self.window + FRAME);
        self.history.drain(..spare);
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
        self.probe.push_frame(mel);
        if let Some((at, eventness)) = self.probe.eventness()
            && let Some(hop) = self.hop_at(at)
        {
            hop.eventness = hop.eventness.max(eventness);
        }
        self.place_onsets();
        if self.naming == Naming::Nothing {
            return;
        }
        let log = wide(
            #[inline(always)]
            || log(mel),
        );
        self.recent.extend_from_slice(&log);
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
            samples: self.sounding(),
        }));
    }

    /// The last samples up to the end of the frame heard last.
    fn sounding(&self) -> Vec<f32> {
        let end = STEP as u64 * self.mel_frames.saturating_sub(1) + FRAME as u64;
        // The frame's last sample may have been followed by others.
        let later = self.samples.saturating_sub(end) as usize;
        let known = &self.history[..self.history.len().saturating_sub(later)];
        let some = &known[known.len().saturating_sub(self.window)..];
        let mut samples = vec![0.0; self.window - some.len()];
        samples.extend_from_slice(some);
        samples
    }

    /// The hop in which an instant since the start lies, unless it is over.
    fn hop_at(&mut self, at: Nanos) -> Option<&mut Hop> {
        self.hop_mut(at.get().max(0) as u64 / HOP.get() as u64)
    }

    fn place_onsets(&mut self) {
        while let Some(heard) = self.probe.next_onset() {
            let at = heard.at.max(Nanos::ZERO);
            if let Some(hop) = self.hop_at(at) {
                hop.peak = Some((at, heard.p));
            }
            if self.naming == Naming::Onsets && heard.p >= WORTH_NAMING {
                let patch = nearest_patch(at.get() as u64 / HOP.get() as u64);
                if self.worth.back() != Some(&patch) {
                    self.worth.push_back(patch);
                }
            }
        }
    }

    /// The next 512 samples for the voice detector, in -1..=1; each is answered by [`Self::voice`], in the same order.
    pub fn next_voice_chunk(&mut self) -> Option<Vec<f32>> {
        self.voices.as_mut()?.next_chunk()
    }

    /// How likely somebody speaks in the oldest unanswered chunk.
    pub fn voice(&mut self, p: f32) {
        if let Some(voices) = &mut self.voices {
            voices.answer(p);
        }
    }

    /// The next patch to tag; each is answered by [`Self::tagged`], in the same order.
    pub fn next_patch(&mut self) -> Option<Patch> {
        while let Some(at) = self.first_waiting() {
            let wanted = self.wanted(self.patch + at as u64)?;
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

    /// The beginning of the first patch that [`Self::next_patch`] has not come to.
    pub fn undecided(&self) -> Nanos {
        let at = self.first_waiting().unwrap_or(self.patches.len());
        self.start + steps((self.patch + at as u64) * PATCH_STEP as u64)
    }

    fn first_waiting(&self) -> Option<usize> {
        self.patches
            .iter()
            .position(|slot| matches!(slot, Tagging::Waiting(_)))
    }

    /// Whether a patch is worth naming; `None` while that isn't known.
    fn wanted(&mut self, patch: u64) -> Option<bool> {
        if self.naming != Naming::Onsets {
            return Some(true);
        }
        if !self.finished && self.probe.judged() < hops(last_hop(patch) + 1) {
            return None;
        }
        while self.worth.front().is_some_and(|worth| *worth < patch) {
            self.worth.pop_front();
        }
        // The last one speaks for what comes after it.
        let last = self.finished && patch + 1 == self.patch + self.patches.len() as u64;
        let next = self.worth.front();
        Some(next.is_some_and(|worth| *worth == patch || last))
    }

    /// What is said of the oldest unanswered patch; what is not a number is dropped.
    pub fn tagged(&mut self, mut answer: Answer) {
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

    /// The next cue that nothing can change any more.
    pub fn next_cue(&mut self) -> Option<Cue> {
        let index = self.hop;
        let heard = if self.finished {
            index * u64::from(HOP_SAMPLES) < self.samples
        } else {
            self.probe.judged() >= hops(index + 1)
        };
        if !heard {
            return None;
        }
        // Voices are heard around every instant of the hop.
        let (from, to) = (hops(index), hops(index + 1));
        if let Some(voices) = &self.voices {
            voices.likeliest(from - VOICE_BEFORE, to + VOICE_AFTER)?;
        }
        let Answer {
            tags,
            speech,
            onset,
        } = self.answer_of(index)?;
        let mut hop = self.hops.pop_front().unwrap_or_default();
        self.hop += 1;
        let patch = nearest_patch(index);
        if self.patchwise
            && patch < self.patch + self.patches.len() as u64
            && let Some(p) = onset
        {
            hop.eventness = p;
            hop.peak = Some((patch_middle(patch), p)).filter(|(at, _)| (from..to).contains(at));
        }
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
        let heard = |from, to| match &self.voices {
            Some(voices) => voices.likeliest(from, to).unwrap_or(0.0),
            None => speech,
        };
        let peak = peak.map(|(at, p)| match self.speech {
            Speech::Anchor => (at, p),
            Speech::Ignore | Speech::Label => {
                let voice = heard(at - VOICE_BEFORE, at + VOICE_AFTER);
                (at, beside_voice(p, voice, self.voiced))
            }
        });
        let speech = match self.speech {
            Speech::Ignore => 0.0,
            Speech::Label | Speech::Anchor => heard(from, to),
        };
        if let Some(voices) = &mut self.voices {
            voices.forget(to - VOICE_BEFORE - HOP);
        }
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

    /// What was said of a hop: of the patch whose middle is nearest. `None` while they are outstanding.
    fn answer_of(&mut self, hop: u64) -> Option<Answer> {
        if self.naming == Naming::Nothing {
            return Some(Answer::default());
        }
        let mut wanted = nearest_patch(hop);
        if self.finished {
            let made = self.patch + self.patches.len() as u64;
            wanted = wanted.min(made.saturating_sub(1));
        }
        // The newest stays: it may have to do for the hops at the end.
        while self.patch < wanted
            && self.patches.len() > 1
            && matches!(self.patches.front(), Some(Tagging::Done(_)))
        {
            self.patches.pop_front();
            self.patch += 1;
        }
        if wanted < self.patch {
            // Given up.
            return Some(Answer::default());
        }
        match self.patches.get((wanted - self.patch) as usize) {
            Some(Tagging::Done(answer)) => Some(answer.clone()),
            Some(Tagging::Waiting(_) | Tagging::Out) => None,
            // No patch at all, because nothing was heard.
            None => self.finished.then(Answer::default),
        }
    }

    /// End of stream: every hop that has begun yields a cue. A recording shorter than a patch is padded to one.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        if self.naming != Naming::Nothing
            && self.patch == 0
            && self.patches.is_empty()
            && self.samples > 0
        {
            self.recent.resize(PATCH_FRAMES * BANDS, 1e-3f32.ln());
            self.ask();
        }
        self.probe.finish();
        self.place_onsets();
        if let Some(voices) = &mut self.voices {
            voices.finish();
        }
        // A hop that is begun goes on as the one before it.
        let (verdict, energy) = (self.dead.verdict(), self.dead.energy());
        if let Some(hop) = self.hop_mut(self.judged) {
            hop.energy = energy;
            hop.trouble = verdict.filter(|trouble| *trouble != Trouble::Silence);
        }
        self.finished = true;
    }

    /// From the start of a hop to the last sample that its cue needs; the tagger's own time comes on top.
    pub fn latency(&self) -> Nanos {
        // The hop's last frame begins 60 ms after it, and is 25 ms long.
        let onset = Nanos::from_ms(60 + 25) + self.probe.latency();
        // A chunk of 32 ms may begin with the last sample that matters.
        let voices = HOP + VOICE_AFTER + Nanos::from_ms(32);
        // The first hop whose nearest patch is the second one starts at 720 ms, and that patch ends at 480 + 975 ms.
        let tags = Nanos::from_ms(480 + 975 - 720);
        let own = match self.naming {
            Naming::Nothing => onset,
            Naming::All => tags.max(onset),
            // A hop may be the first of those that its patch speaks for, and all of them are judged before it is asked.
            Naming::Onsets => tags.max(onset + hops(last_hop(1) - last_hop(0) - 1)),
        };
        if self.voices.is_some() {
            own.max(voices)
        } else {
            own
        }
    }
}

/// The last hop to which a patch is the nearest.
fn last_hop(patch: u64) -> u64 {
    let mut hop = (PATCH_STEP as i64 * STEP_TIME.get() / HOP.get()) as u64 * patch;
    while nearest_patch(hop + 1) <= patch {
        hop += 1;
    }
    hop
}

/// How likely something other than speech begins where an onset is this likely and a voice is, if a voice takes that much.
pub fn beside_voice(p: f32, voice: f32, voiced: f32) -> f32 {
    p * (1.0 - voiced * voice)
}

/// In [0, 1]; 0 for what is no number.
fn unit(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// So many mel frames.
fn steps(n: u64) -> Nanos {
    Nanos::new((STEP_TIME.get() as u64).saturating_mul(n) as i64)
}

/// So many hops.
fn hops(n: u64) -> Nanos {
    Nanos::new((HOP.get() as u64).saturating_mul(n) as i64)
}

/// The middle of a patch, since the start.
fn patch_middle(patch: u64) -> Nanos {
    let half = ((PATCH_FRAMES as i64 - 1) * STEP_TIME.get() + 2 * MIDDLE.get()) / 2;
    steps(patch.saturating_mul(PATCH_STEP as u64)) + Nanos::new(half)
}

/// The patch whose middle is nearest to the middle of a hop.
fn nearest_patch(hop: u64) -> u64 {
    const STEP_NS: i64 = PATCH_STEP as i64 * STEP_TIME.get();
    let middle = hops(hop).get() + HOP.get() / 2;
    (middle - patch_middle(0).get() + STEP_NS / 2).max(0) as u64 / STEP_NS as u64
}

#[cfg(test)]
mod tests;
