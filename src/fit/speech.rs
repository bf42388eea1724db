//! Fits how strongly speech lowers the score of onsets near it.

use std::sync::{Arc, Mutex};

use anchoring::cue::Onset;
use anchoring::listener::{
    Listener, ListenerSettings, SpeechMode, TagScope, TaggerAnswer, discount_speech,
};
use anchoring::onset::probe::Probe;
use anchoring::time::Nanos;
use gstearmark::onnx::Tagger;

use super::corpus::Recording;
use super::matching;
use super::sound::{self, lock};
use crate::recording::Input;

/// Lowest probability of speech, and of an onset, that is used.
const VOICE: f32 = 0.1;
const LIKELY: f32 = 0.02;
/// Probability at which speech counts as certain.
const SURE: f32 = 0.5;
/// Number of steps from 0 to 1 that are tried.
const STEPS: u16 = 20;

/// An onset, and the probability of speech near it.
pub(super) type OnsetWithSpeech = (Onset, f32);

/// A probe and a tagger that run together.
pub(super) struct SpeechTagger {
    tagger: Tagger,
    listener: Listener,
    said: Vec<OnsetWithSpeech>,
}

impl SpeechTagger {
    pub(super) fn new(tagger: Tagger) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            tagger,
            listener: Listener::new(Nanos::ZERO, &ListenerSettings::default()),
            said: Vec::new(),
        }))
    }
}

impl sound::SoundTaker for SpeechTagger {
    fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    fn answer(&mut self) -> anyhow::Result<()> {
        while let Some(patch) = self.listener.next_patch() {
            let (_, speech) = self.tagger.tag(&patch.log_mel)?;
            self.listener.push_answer(TaggerAnswer {
                speech,
                ..TaggerAnswer::default()
            });
        }
        while let Some(cue) = self.listener.next_cue() {
            if let Some(onset) = cue.onset {
                let heard = Onset {
                    at: onset.at,
                    p: onset.p,
                    uncertainty: onset.uncertainty,
                };
                self.said.push((heard, cue.speech));
            }
        }
        Ok(())
    }
}

/// The onsets of a recording, each with the probability of speech.
///
/// # Errors
/// The recording cannot be decoded, or the tagger fails.
pub(super) fn heard(
    ear: &Arc<Mutex<SpeechTagger>>,
    recording: &Recording,
    probe: &Probe,
) -> anyhow::Result<Vec<OnsetWithSpeech>> {
    let hearing = ListenerSettings {
        probe: probe.clone(),
        tag_scope: TagScope::Onsets,
        speech: SpeechMode::Anchor,
        ..ListenerSettings::default()
    };
    lock(ear).listener = Listener::new(Nanos::ZERO, &hearing);
    sound::listen(ear, &Input::new(&recording.given)?)?;
    Ok(std::mem::take(&mut lock(ear).said))
}

/// The share under which the labels of onsets near speech are most likely. `judged`: probability of the onset, probability of speech, whether an event begins.
/// `None` if too few onsets are near certain speech, true or false.
pub(super) fn share(judged: &[(f32, f32, bool)]) -> Option<f32> {
    let beside = || {
        judged
            .iter()
            .filter(|(p, voice, _)| *voice >= VOICE && *p >= LIKELY)
    };
    let sure = beside().filter(|(_, voice, _)| *voice >= SURE);
    let (all, right) = sure.fold((0, 0), |(all, n), (_, _, right)| {
        (all + 1, n + usize::from(*right))
    });
    if right.min(all - right) < matching::FEWEST {
        return None;
    }
    let loss = |share: f32| -> f64 {
        let one = |&(p, voice, right): &(f32, f32, bool)| {
            let p = f64::from(discount_speech(p, voice, share).clamp(1e-3, 1.0 - 1e-3));
            -(if right { p } else { 1.0 - p }).ln()
        };
        beside().map(one).sum()
    };
    let shares = (0..=STEPS).map(|step| f32::from(step) / f32::from(STEPS));
    shares.min_by(|a, b| loss(*a).total_cmp(&loss(*b)))
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Onsets that are true as often as their probability says, less the share of speech.
    fn judged(taken: f32) -> Vec<(f32, f32, bool)> {
        let mut random = Random::of(3, &[]);
        let one = |_| {
            let (p, voice) = (random.unit(), random.unit());
            (p, voice, random.unit() < discount_speech(p, voice, taken))
        };
        (0..20_000).map(one).collect()
    }

    #[test]
    fn the_share_that_speech_takes_is_found() {
        for taken in [0.0, 0.3, 1.0] {
            let found = share(&judged(taken)).unwrap_or(f32::NAN);
            assert!((found - taken).abs() < 0.06, "{taken}: {found}");
        }
    }

    #[test]
    fn without_speech_there_is_no_share() {
        let quiet: Vec<_> = judged(0.3)
            .into_iter()
            .map(|(p, _, right)| (p, 0.2, right))
            .collect();
        assert_eq!(share(&quiet), None);
        assert_eq!(share(&[]), None);
    }
}
