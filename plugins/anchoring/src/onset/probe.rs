//! Mel frames -> onsets with their probability, streaming: the probes that hear for themselves.
//!
//! | probe | finds | judges by | says an onset |
//! |---|---|---|---|
//! | `energy` | sudden rises of the whole level | how large | 9 frames later |
//! | `flux` | peaks of onset strength | `flux_100` | 9 frames later |
//! | `onset` | the same | a small network over its features, beside those before it and among everything heard lately | 105 frames later |
//! | `onset+tcn` | the same | that and one that also knows what a TCN says | as late as that: about 96 frames |
//!
//! A frame is 10 ms. Probes that judge a whole patch of sound at once, such as a tagger's, are answered to the
//! [`crate::listener::Listener`] directly.

mod learned;
mod strength;

use std::sync::Arc;

use self::learned::LearnedProbe;
pub use self::learned::view;
use self::strength::StrengthProbe;
use crate::cue::Onset;
use crate::hearing::mel::{BANDS, STEP_TIME, frame_middle};
use crate::onset::peaks::likelihood;
use crate::onset::spec::{ONSET, ONSET_TCN};
use crate::onset::weights::Weights;
use crate::time::Nanos;

type Row = [f32; BANDS];

/// What finds the onsets in mel frames.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Rises of the whole level.
    Energy,
    /// Peaks of spectral flux against a one-second reference.
    Flux,
    /// Those, judged by the MLP.
    Onset(Arc<Weights>),
    /// Those, judged by both MLPs and the TCN.
    OnsetTcn(Arc<Weights>),
    /// None: onsets come with the answers to patches.
    Patches,
}

impl Probe {
    /// What the weights lack for this probe, as a sentence; `None` if nothing.
    pub fn lacks(&self) -> Option<String> {
        let (weights, name) = self.learned()?;
        let has: Vec<&str> = weights.about().probes.keys().map(String::as_str).collect();
        weights.probe(name).is_none().then(|| {
            format!(
                "the weights `{}` are not made for the probe {name}: they have {}",
                weights.about().name,
                has.join(", ")
            )
        })
    }

    /// What a voice takes from an onset ([`AboutProbe::voiced`]): all of it, unless weights say otherwise.
    pub(crate) fn voiced(&self) -> f32 {
        let about = self
            .learned()
            .and_then(|(weights, name)| weights.probe(name));
        about.map_or(1.0, |about| about.voiced)
    }

    /// The weights that it goes by, and its name in them.
    const fn learned(&self) -> Option<(&Arc<Weights>, &'static str)> {
        match self {
            Self::Energy | Self::Flux | Self::Patches => None,
            Self::Onset(weights) => Some((weights, ONSET)),
            Self::OnsetTcn(weights) => Some((weights, ONSET_TCN)),
        }
    }
}

/// Mel frames in, onsets out.
#[derive(Debug)]
pub struct ProbeStream(Kind);

#[derive(Debug)]
enum Kind {
    Strength(Box<StrengthProbe>),
    Learned(Box<LearnedProbe>),
    Patches { frames: u64 },
}

impl ProbeStream {
    /// Nothing heard yet. A probe that its weights are not made for ([`Probe::lacks`]) hears what `flux` does.
    pub fn new(probe: &Probe) -> Self {
        let learned = |weights: &Arc<Weights>, name: &str| {
            let about = weights.probe(name)?.clone();
            let probe = LearnedProbe::new(Arc::clone(weights), about);
            Some(Kind::Learned(Box::new(probe)))
        };
        let own = match probe {
            Probe::Energy => Some(Kind::Strength(Box::new(StrengthProbe::energy()))),
            Probe::Flux => None,
            Probe::Onset(weights) => learned(weights, ONSET),
            Probe::OnsetTcn(weights) => learned(weights, ONSET_TCN),
            Probe::Patches => Some(Kind::Patches { frames: 0 }),
        };
        Self(own.unwrap_or_else(|| Kind::Strength(Box::new(StrengthProbe::flux()))))
    }

    /// Hears a mel frame (`[64]` magnitudes).
    pub fn push_frame(&mut self, mel: &Row) {
        match &mut self.0 {
            Kind::Strength(probe) => probe.push_frame(mel),
            Kind::Learned(probe) => probe.push_frame(mel),
            Kind::Patches { frames } => *frames += 1,
        }
    }

    /// The next onset; they come in order, at least nine frames apart. Drain it after each push: at most one waits then.
    pub fn next_onset(&mut self) -> Option<Onset> {
        match &mut self.0 {
            Kind::Strength(probe) => probe.next_onset(),
            Kind::Learned(probe) => probe.next_onset(),
            Kind::Patches { .. } => None,
        }
    }

    /// Every onset before this time has been said.
    pub fn judged(&self) -> Nanos {
        match &self.0 {
            Kind::Strength(probe) => probe.judged(),
            Kind::Learned(probe) => probe.judged(),
            Kind::Patches { frames } => frame_middle(*frames),
        }
    }

    /// How likely something begins in the last frame but one, by its strength alone, in [0, 1], and when that is.
    pub fn eventness(&self) -> Option<(Nanos, f32)> {
        let (frame, strength) = match &self.0 {
            Kind::Strength(probe) => probe.last()?,
            Kind::Learned(probe) => probe.last()?,
            Kind::Patches { .. } => return None,
        };
        Some((frame_middle(frame), likelihood(strength.flux_100())))
    }

    /// The recording ends here: what is left is judged as if nothing followed.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Kind::Strength(probe) => probe.finish(),
            Kind::Learned(probe) => probe.finish(),
            Kind::Patches { .. } => {}
        }
    }

    /// From the last sample of a frame's own to the last that the judgement of an onset in it needs.
    pub fn latency(&self) -> Nanos {
        let frames = match &self.0 {
            Kind::Strength(_) => 9,
            Kind::Learned(probe) => probe.latency(),
            Kind::Patches { .. } => 0,
        };
        Nanos::new(STEP_TIME.get() * frames)
    }
}

#[cfg(test)]
mod tests;
