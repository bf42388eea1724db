//! 16 kHz samples and tags -> cues, one for every 80 ms.

mod hop;
mod patches;
mod voice;

use std::collections::VecDeque;

use self::hop::{HOP_SAMPLES, Hop, hops};
pub use self::patches::{Answer, LONGEST_WINDOW, Naming, PATCH_FRAMES, PATCH_STEP, PATCHES, Patch};
use self::patches::{PatchQueue, last_hop, nearest_patch, patch_middle};
use self::voice::VoiceStream;
use crate::cue::{Cue, HOP, Onset};
use crate::hearing::mel::{BANDS, FRAME, MelStream, STEP, frame_middle, log};
use crate::hearing::simd::wide;
use crate::hearing::trust::{DeadStream, Trouble};
use crate::onset::probe::{Probe, ProbeStream};
use crate::time::Nanos;

/// A frame sees at most this much beyond its middle: half its own length, and a frame more for the smoothing.
const SEES: Nanos = Nanos::new(22_500_000);

/// Hops after an untrusted one that have no onset: what is mended there makes one of its own.
const SHY: u32 = 2;

/// Uncertainty of a hop whose sound is there and can't be trusted; 1 is for those with nothing to hear.
const DOUBT: f32 = 0.95;

/// Around an onset in which a voice matters: a word begins before its detector is sure, and its sounds outlast it.
const VOICE_BEFORE: Nanos = Nanos::from_ms(100);
const VOICE_AFTER: Nanos = Nanos::from_ms(250);

/// What becomes of speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// Onsets beside a voice count less ([`AboutProbe::voiced`](crate::onset::weights::AboutProbe::voiced)), and cues don't tell of it.
    Ignore,
    /// Onsets beside a voice count less, and cues tell of it.
    #[default]
    Label,
    /// It makes anchors like any other sound, and cues tell of it.
    Anchor,
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

/// Hears samples, says cues. Drain patches and cues after each push: what waits here is bounded by what was pushed since.
#[derive(Debug)]
pub struct Listener {
    start: Nanos,
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
    patches: PatchQueue,
    /// Mel frames heard.
    mel_frames: u64,
    /// From hop `hop` on.
    hops: VecDeque<Hop>,
    hop: u64,
    /// Left of [`SHY`].
    shy: u32,
    /// An onset whose frame begins in a silent hop: it belongs to the next.
    carried: Option<f32>,
}

impl Listener {
    /// `start` is the time of the first sample.
    pub fn new(start: Nanos, hearing: &Hearing) -> Self {
        let patchwise = matches!(hearing.probe, Probe::Patches);
        let naming = if patchwise {
            Naming::All
        } else {
            hearing.naming
        };
        Self {
            start,
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
            patches: PatchQueue::new(start, naming, hearing.window),
            mel_frames: 0,
            hops: VecDeque::new(),
            hop: 0,
            shy: 0,
            carried: None,
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
        self.patches.push_samples(samples);
        let mut frames = std::mem::take(&mut self.complete);
        self.mel.push(samples, |frame| frames.push(*frame));
        for frame in &frames {
            self.frame(frame);
        }
        frames.clear();
        self.complete = frames;
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
        if self.patches.naming() == Naming::Nothing {
            return;
        }
        let log = wide(
            #[inline(always)]
            || log(mel),
        );
        self.patches.push_frame(&log, self.after_last_frame());
    }

    /// How many samples follow the frame heard last.
    fn after_last_frame(&self) -> u64 {
        let end = STEP as u64 * self.mel_frames.saturating_sub(1) + FRAME as u64;
        self.samples.saturating_sub(end)
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
            let hop = at.get() as u64 / HOP.get() as u64;
            self.patches.onset(hop, heard.p);
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
        self.patches.next(self.probe.judged())
    }

    /// The beginning of the first patch that [`Self::next_patch`] has not come to.
    pub fn undecided(&self) -> Nanos {
        self.patches.undecided()
    }

    /// What is said of the oldest unanswered patch; what is not a number is dropped.
    pub fn tagged(&mut self, answer: Answer) {
        self.patches.answer(answer);
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
        } = self.patches.answer_of(index)?;
        let mut hop = self.hops.pop_front().unwrap_or_default();
        self.hop += 1;
        let patch = nearest_patch(index);
        if self.patchwise
            && patch < self.patches.end()
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
        let own = match self.patches.naming() {
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

/// How likely something other than speech begins where an onset is this likely and a voice is, if a voice takes that much.
pub fn beside_voice(p: f32, voice: f32, voiced: f32) -> f32 {
    p * (1.0 - voiced * voice)
}

#[cfg(test)]
mod tests;
