//! Probes: find onsets and their probability in mel frames, streaming.
//!
//! | probe | finds | judges by | returns an onset |
//! |---|---|---|---|
//! | `energy` | sudden rises of the overall level | the rise | 9 frames later |
//! | `flux` | peaks of onset strength | `flux_100` | 9 frames later |
//! | `onset` | the same | a small network over features of the peak, the peaks before it and everything heard lately | 105 frames later |
//! | `onset+tcn` | the same | that network, averaged with one that also sees a TCN's output | as late as the TCN: about 96 frames |
//!
//! A frame is 10 ms. Probes that judge a whole patch of sound at once, such as a tagger, answer the `Listener`
//! directly.

mod learned;
mod strength;

use std::sync::Arc;

use self::learned::LearnedProbe;
pub use self::learned::tcn_features;
use self::strength::StrengthProbe;
use crate::cue::Onset;
use crate::hearing::mel::{BANDS, STEP_TIME, frame_middle};
use crate::onset::peak_picking::likelihood;
use crate::onset::spec::{ONSET, ONSET_TCN};
use crate::onset::weights::Weights;
use crate::time::Nanos;

type Row = [f32; BANDS];

/// What finds the onsets in mel frames.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Rises of the overall level.
    Energy,
    /// Peaks of spectral flux against a reference of one second.
    Flux,
    /// The same peaks, judged by an MLP.
    Onset(Arc<Weights>),
    /// The same peaks, judged by two MLPs and a TCN.
    OnsetTcn(Arc<Weights>),
    /// No onsets of its own: they come with the answers to patches.
    Patches,
}

impl Probe {
    /// Why the weights do not support this probe, as a sentence; `None` if they do.
    pub fn unsupported(&self) -> Option<String> {
        let (weights, name) = self.learned()?;
        let has: Vec<&str> = weights.spec().probes.keys().map(String::as_str).collect();
        weights.probe(name).is_none().then(|| {
            format!(
                "the weights `{}` do not support the probe {name}: they support {}",
                weights.spec().name,
                has.join(", ")
            )
        })
    }

    /// How strongly speech lowers the score of an onset near it ([`crate::onset::spec::ProbeSpec::speech_discount`]);
    /// 1 unless the weights say otherwise.
    pub(crate) fn speech_discount(&self) -> f32 {
        let spec = self
            .learned()
            .and_then(|(weights, name)| weights.probe(name));
        spec.map_or(1.0, |spec| spec.speech_discount)
    }

    /// The weights that it uses, and its name in them.
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
    /// A stream that has seen no frame yet. If the weights do not support the probe ([`Probe::unsupported`]), it
    /// works as `flux`.
    pub fn new(probe: &Probe) -> Self {
        let learned = |weights: &Arc<Weights>, name: &str| {
            let spec = weights.probe(name)?.clone();
            let probe = LearnedProbe::new(Arc::clone(weights), spec);
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

    /// Takes a mel frame (`[64]` magnitudes).
    pub fn push_frame(&mut self, mel: &Row) {
        match &mut self.0 {
            Kind::Strength(probe) => probe.push_frame(mel),
            Kind::Learned(probe) => probe.push_frame(mel),
            Kind::Patches { frames } => *frames += 1,
        }
    }

    /// The next onset. Onsets come in order, at least nine frames apart. Drain them after each push: at most one
    /// waits then.
    pub fn next_onset(&mut self) -> Option<Onset> {
        match &mut self.0 {
            Kind::Strength(probe) => probe.next_onset(),
            Kind::Learned(probe) => probe.next_onset(),
            Kind::Patches { .. } => None,
        }
    }

    /// Every onset before this time has been returned.
    pub fn judged(&self) -> Nanos {
        match &self.0 {
            Kind::Strength(probe) => probe.judged(),
            Kind::Learned(probe) => probe.judged(),
            Kind::Patches { frames } => frame_middle(*frames),
        }
    }

    /// How likely an event begins at the last frame but one, by onset strength alone, in [0, 1], and the frame's
    /// time.
    pub fn eventness(&self) -> Option<(Nanos, f32)> {
        let (frame, strength) = match &self.0 {
            Kind::Strength(probe) => probe.last()?,
            Kind::Learned(probe) => probe.last()?,
            Kind::Patches { .. } => return None,
        };
        Some((frame_middle(frame), likelihood(strength.flux_100())))
    }

    /// The recording ends here: the onsets that are left are judged as if nothing followed.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Kind::Strength(probe) => probe.finish(),
            Kind::Learned(probe) => probe.finish(),
            Kind::Patches { .. } => {}
        }
    }

    /// Time from the last sample of a frame to the last sample that is needed to judge an onset in it.
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
