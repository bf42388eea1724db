//! The listener: turns 16 kHz samples, and the answers of a tagger and a voice detector, into one cue for every 80 ms.

mod hop;
mod patches;
mod voice;

use std::collections::VecDeque;

use self::hop::{HOP_SAMPLES, Hop, hops};
pub use self::patches::{
    MAX_PATCH_SAMPLES, MAX_PATCHES, PATCH_FRAMES, PATCH_STEP, Patch, TagScope, TaggerAnswer,
};
use self::patches::{PatchQueue, last_hop, nearest_patch, patch_middle};
use self::voice::VoiceStream;
use crate::cue::{Cue, HOP, Onset, SoundQuality};
use crate::hearing::mel::{BANDS, FRAME, MelStream, STEP, frame_middle, log_mel};
use crate::hearing::simd::vectorized;
use crate::hearing::trust::{Impairment, ImpairmentDetector};
use crate::onset::probe::{Probe, ProbeStream};
use crate::time::Nanos;

/// How far a frame sees beyond its middle: half its own length, and one frame more for the smoothing.
const FRAME_REACH: Nanos = Nanos::new(22_500_000);

/// Hops after a bad one that get no onset: the jump back to sound would make one.
const HOPS_AFTER_BAD: u32 = 2;

/// Uncertainty of a hop with impaired sound; 1 means that there is nothing to hear.
const IMPAIRED: f32 = 0.95;

/// Speech counts this long before and after an onset: a word begins before its detector is sure, and its sounds
/// outlast it.
const VOICE_BEFORE: Nanos = Nanos::from_ms(100);
const VOICE_AFTER: Nanos = Nanos::from_ms(250);

/// How speech is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpeechMode {
    /// Lowers the score of onsets near speech
    /// ([`ProbeSpec::speech_discount`](crate::onset::spec::ProbeSpec::speech_discount)); cues don't report it.
    Ignore,
    /// Lowers the score of onsets near speech; cues report it.
    #[default]
    Label,
    /// Speech makes anchors like any other sound; cues report it.
    Anchor,
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// What finds the onsets.
    pub probe: Probe,
    /// Which cues wait for an answer to their [`Patch`]; all of them with [`Probe::Patches`].
    pub tag_scope: TagScope,
    /// Samples in a patch, up to its end; at most [`MAX_PATCH_SAMPLES`].
    pub patch_samples: usize,
    /// Whether cues wait for a voice detector. Without one, the tagger says how likely speech is.
    pub voices: bool,
    /// How speech is treated.
    pub speech: SpeechMode,
}

impl Default for ListenerSettings {
    /// The probe `flux` alone.
    fn default() -> Self {
        Self {
            probe: Probe::Flux,
            tag_scope: TagScope::Nothing,
            patch_samples: 0,
            voices: false,
            speech: SpeechMode::default(),
        }
    }
}

/// Samples in, cues out. Drain patches and cues after each push: what waits here is bounded by what was pushed since.
#[derive(Debug)]
pub struct Listener {
    start: Nanos,
    speech: SpeechMode,
    /// How strongly speech lowers the score of an onset near it.
    speech_discount: f32,
    finished: bool,
    samples: u64,
    mel: MelStream,
    impairments: ImpairmentDetector,
    /// Hops that `impairments` has judged.
    measured_hops: u64,
    /// Buffer for the mel frames that a push completes.
    new_frames: Vec<[f32; BANDS]>,
    /// Buffer for the verdicts and energies of the hops that a push completes.
    verdicts: Vec<(Option<Impairment>, f64, SoundQuality)>,
    probe: ProbeStream,
    /// Whether onsets come with the answers to patches.
    onsets_from_patches: bool,
    voices: Option<VoiceStream>,
    patches: PatchQueue,
    /// Mel frames so far.
    mel_frames: u64,
    /// From hop `hop` on.
    hops: VecDeque<Hop>,
    hop: u64,
    /// Cues of the hops before `hop` that wait for their patches.
    judged: VecDeque<Cue>,
    /// The first hop that [`Self::next_early_cue`] has not given.
    early: u64,
    /// Hops left of [`HOPS_AFTER_BAD`].
    suppressed: u32,
    /// An onset whose frame begins in a silent hop; it belongs to the next hop.
    carried_onset: Option<Onset>,
}

impl Listener {
    /// `start` is the time of the first sample.
    pub fn new(start: Nanos, settings: &ListenerSettings) -> Self {
        let onsets_from_patches = matches!(settings.probe, Probe::Patches);
        let tag_scope = if onsets_from_patches {
            TagScope::All
        } else {
            settings.tag_scope
        };
        Self {
            start,
            speech: settings.speech,
            speech_discount: settings.probe.speech_discount(),
            finished: false,
            samples: 0,
            mel: MelStream::new(),
            impairments: ImpairmentDetector::new(),
            measured_hops: 0,
            new_frames: Vec::new(),
            verdicts: Vec::new(),
            probe: ProbeStream::new(&settings.probe),
            onsets_from_patches,
            voices: settings.voices.then(VoiceStream::default),
            patches: PatchQueue::new(start, tag_scope, settings.patch_samples),
            mel_frames: 0,
            hops: VecDeque::new(),
            hop: 0,
            judged: VecDeque::new(),
            early: 0,
            suppressed: 0,
            carried_onset: None,
        }
    }

    /// Takes the next samples: 16 kHz, mono, in [-1, 1], at most some seconds at once. Non-finite samples count as
    /// silence, and their hop is not trusted. Chunks of any size give the same cues. Does nothing after
    /// [`Self::finish`].
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
                hop.bad |= vectorized(
                    #[inline(always)]
                    || now.iter().fold(false, |bad, x| bad | !x.is_finite()),
                );
                hop.samples += now.len() as u32;
            }
            self.samples += now.len() as u64;
            rest = later;
        }
        let mut verdicts = std::mem::take(&mut self.verdicts);
        self.impairments
            .push(samples, |impairment, energy, quality| {
                verdicts.push((impairment, energy, quality))
            });
        for (impairment, energy, quality) in verdicts.drain(..) {
            if let Some(hop) = self.hop_mut(self.measured_hops) {
                (hop.impairment, hop.energy) = (impairment, energy);
                hop.quality = Some(quality);
            }
            self.measured_hops += 1;
        }
        self.verdicts = verdicts;
        if let Some(voices) = &mut self.voices {
            voices.push(samples);
        }
        self.patches.push_samples(samples);
        let mut frames = std::mem::take(&mut self.new_frames);
        self.mel.push(samples, |frame| frames.push(*frame));
        for frame in &frames {
            self.frame(frame);
        }
        frames.clear();
        self.new_frames = frames;
        self.patches.trim();
    }

    fn hop_mut(&mut self, index: u64) -> Option<&mut Hop> {
        let i = usize::try_from(index.checked_sub(self.hop)?).ok()?;
        while self.hops.len() <= i {
            self.hops.push_back(Hop::default());
        }
        self.hops.get_mut(i)
    }

    fn frame(&mut self, mel: &[f32; BANDS]) {
        let middle = frame_middle(self.mel_frames);
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
        if self.patches.tag_scope() == TagScope::Nothing {
            return;
        }
        let log = vectorized(
            #[inline(always)]
            || log_mel(mel),
        );
        self.patches.push_frame(&log, self.after_last_frame());
    }

    /// Number of samples that follow the last mel frame.
    fn after_last_frame(&self) -> u64 {
        let end = STEP as u64 * self.mel_frames.saturating_sub(1) + FRAME as u64;
        self.samples.saturating_sub(end)
    }

    /// The hop that contains a time since the start; `None` if it is finished.
    fn hop_at(&mut self, at: Nanos) -> Option<&mut Hop> {
        self.hop_mut(at.get().max(0) as u64 / HOP.get() as u64)
    }

    fn place_onsets(&mut self) {
        while let Some(heard) = self.probe.next_onset() {
            let at = heard.at.max(Nanos::ZERO);
            if let Some(hop) = self.hop_at(at) {
                hop.onset = Some(Onset { at, ..heard });
            }
            let hop = at.get() as u64 / HOP.get() as u64;
            self.patches.onset(hop, heard.p);
        }
    }

    /// The next 512 samples for the voice detector, in -1..=1. Answer each with [`Self::push_voice`], in the same
    /// order.
    pub fn next_voice_chunk(&mut self) -> Option<Vec<f32>> {
        self.voices.as_mut()?.next_chunk()
    }

    /// The probability of speech in the oldest unanswered chunk.
    pub fn push_voice(&mut self, p: f32) {
        if let Some(voices) = &mut self.voices {
            voices.answer(p);
        }
    }

    /// The next patch to tag. Answer each with [`Self::push_answer`], in the same order.
    pub fn next_patch(&mut self) -> Option<Patch> {
        self.patches.next(self.probe.judged())
    }

    /// The beginning of the first patch that [`Self::next_patch`] has not reached.
    pub fn undecided(&self) -> Nanos {
        self.patches.undecided()
    }

    /// The answer to the oldest unanswered patch; tags with NaN are dropped.
    pub fn push_answer(&mut self, answer: TaggerAnswer) {
        self.patches.answer(answer);
    }

    /// The next cue that is final.
    pub fn next_cue(&mut self) -> Option<Cue> {
        let index = self.hop - self.judged.len() as u64;
        if self.judged.is_empty() {
            self.judge()?;
        }
        let TaggerAnswer { tags, speech, .. } = self.patches.answer_of(index)?;
        let mut cue = self.judged.pop_front()?;
        self.early = self.early.max(index + 1);
        cue.tags = tags;
        if self.voices.is_none() && self.speech != SpeechMode::Ignore {
            cue.speech = speech;
        }
        Some(cue)
    }

    /// The next cue before it is final: all that planning needs. It comes as soon as its onset is known, in the order of cues, and only if
    /// [`Self::next_cue`] has not given it. With an onset it equals the final one; without, tags are missing, and speech without a voice
    /// detector.
    pub fn next_early_cue(&mut self) -> Option<Cue> {
        let first = self.hop - self.judged.len() as u64;
        self.early = self.early.max(first);
        if self.early >= self.hop {
            self.judge()?;
        }
        let cue = self.judged.get((self.early - first) as usize)?.clone();
        self.early += 1;
        Some(cue)
    }

    /// Makes the next cue, except for what only its patch can tell.
    fn judge(&mut self) -> Option<()> {
        let index = self.hop;
        let heard = if self.finished {
            index * u64::from(HOP_SAMPLES) < self.samples
        } else {
            self.probe.judged() >= hops(index + 1)
        };
        if !heard {
            return None;
        }
        // Speech counts around every instant of the hop.
        let (from, to) = (hops(index), hops(index + 1));
        if let Some(voices) = &self.voices {
            voices.likeliest(from - VOICE_BEFORE, to + VOICE_AFTER)?;
        }
        let has_onset = self.carried_onset.is_some()
            || self.hops.front().is_some_and(|hop| hop.onset.is_some());
        let answer = self.patches.known_answer(index);
        if answer.is_none() && (has_onset || self.onsets_from_patches) {
            return None;
        }
        let TaggerAnswer {
            tags,
            speech,
            onset,
        } = answer.unwrap_or_default();
        let mut hop = self.hops.pop_front().unwrap_or_default();
        self.hop += 1;
        let patch = nearest_patch(index);
        if self.onsets_from_patches
            && patch < self.patches.end()
            && let Some(p) = onset
        {
            hop.eventness = p;
            let onset = Onset::new(patch_middle(patch), p);
            hop.onset = Some(onset).filter(|onset| (from..to).contains(&onset.at));
        }
        // By now the samples of the next hop have come, if there are any.
        let next_bad = self.hops.front().is_some_and(|next| next.bad);
        let own = self.start + hops(index);
        let carried_onset = self.carried_onset.take().map(|onset| Onset {
            at: hops(index),
            ..onset
        });
        let onset = [carried_onset, hop.onset]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.p.total_cmp(&b.p));
        if hop.silent() && !hop.bad {
            // Sound at the very start of the next hop: frames centred in this one already include it.
            self.carried_onset = hop
                .onset
                .filter(|onset| onset.at + FRAME_REACH >= hops(index + 1));
        }
        let trusted = !hop.inaudible() && !next_bad && self.suppressed == 0;
        self.suppressed = if hop.bad {
            HOPS_AFTER_BAD
        } else {
            self.suppressed.saturating_sub(1)
        };
        let inaudible = hop.inaudible();
        let heard = |from, to| match &self.voices {
            Some(voices) => voices.likeliest(from, to).unwrap_or(0.0),
            None => speech,
        };
        let onset = onset.map(|onset| match self.speech {
            SpeechMode::Anchor => onset,
            SpeechMode::Ignore | SpeechMode::Label => {
                let voice = heard(onset.at - VOICE_BEFORE, onset.at + VOICE_AFTER);
                onset.scaled(discount_speech(1.0, voice, self.speech_discount))
            }
        });
        let speech = match self.speech {
            SpeechMode::Ignore => 0.0,
            SpeechMode::Label | SpeechMode::Anchor => heard(from, to),
        };
        if let Some(voices) = &mut self.voices {
            voices.forget(to - VOICE_BEFORE - HOP);
        }
        self.judged.push_back(Cue {
            pts: own,
            eventness: if inaudible { 0.0 } else { hop.eventness },
            uncertainty: match hop.impairment {
                _ if inaudible => 1.0,
                Some(_) => IMPAIRED,
                None => 0.0,
            },
            speech,
            tags,
            onset: onset.filter(|_| trusted).map(|onset| Onset {
                at: self.start + onset.at,
                ..onset
            }),
            bands: hop.bands(),
            change: None,
            quality: match inaudible {
                true => Some(SoundQuality::SILENT),
                false => hop.quality,
            },
        });
        Some(())
    }

    /// End of stream: every hop that has begun yields a cue. A recording shorter than a patch is padded to one.
    pub fn finish(&mut self) {
        if self.finished {
            return;
        }
        self.probe.finish();
        self.place_onsets();
        if self.samples > 0 {
            self.patches.pad(self.after_last_frame());
        }
        self.patches.finish();
        if let Some(voices) = &mut self.voices {
            voices.finish();
        }
        // An incomplete hop is as impaired as the one before it.
        let (verdict, energy) = (self.impairments.verdict(), self.impairments.energy());
        let quality = self.impairments.quality();
        if let Some(hop) = self.hop_mut(self.measured_hops) {
            hop.energy = energy;
            hop.quality = hop.quality.or(quality);
            hop.impairment = verdict.filter(|impairment| *impairment != Impairment::Silence);
        }
        self.finished = true;
    }

    /// Time from the start of a hop to the last sample that the judgement on its onset needs: how far the probe hears ahead.
    pub fn hears_ahead(&self) -> Nanos {
        // The hop's last frame begins 60 ms after the hop, and is 25 ms long.
        Nanos::from_ms(60 + 25) + self.probe.latency()
    }

    /// Time from the start of a hop to the last sample that its cue needs. The tagger's own time comes on top.
    pub fn latency(&self) -> Nanos {
        let onset = self.hears_ahead();
        // A chunk of 32 ms may begin with the last sample that counts.
        let voices = HOP + VOICE_AFTER + Nanos::from_ms(32);
        // The first hop whose nearest patch is the second one starts at 720 ms; that patch ends at 480 + 975 ms.
        let tags = Nanos::from_ms(480 + 975 - 720);
        let own = match self.patches.tag_scope() {
            TagScope::Nothing => onset,
            TagScope::All => tags.max(onset),
            // A hop may be the first of those that share its patch, and all of them are judged before the patch is sent.
            TagScope::Onsets => tags.max(onset + hops(last_hop(1) - last_hop(0) - 1)),
        };
        if self.voices.is_some() {
            own.max(voices)
        } else {
            own
        }
    }
}

/// The probability of an onset, lowered by the probability of speech: `p * (1 - speech_discount * voice)`.
pub fn discount_speech(p: f32, voice: f32, speech_discount: f32) -> f32 {
    p * (1.0 - speech_discount * voice)
}

#[cfg(test)]
mod tests;
