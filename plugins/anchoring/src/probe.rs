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
//! [`crate::listen::Listener`] directly.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::candidate::{Candidate, CandidateStream, DELAY};
use crate::flux::{FluxStream, PeakStream, REFERENCES, Strength, likelihood, log};
use crate::mel::{BANDS, MIDDLE, STEP_TIME};
use crate::tcn::TcnStream;
use crate::time::Nanos;
use crate::weights::{AboutProbe, ONSET, ONSET_TCN, VIEW, Weights, inputs, sigmoid};
use crate::wide::wide;

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

/// The beginning of a sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// When, from the first sample on; may lie a little before it.
    pub at: Nanos,
    /// How likely an event begins there, in [0, 1].
    pub p: f32,
    /// How unsure that is, in [0, 1].
    pub uncertainty: f32,
}

impl Heard {
    fn new(at: Nanos, p: f32) -> Self {
        Self {
            at,
            p,
            uncertainty: 1.0 - p,
        }
    }
}

/// Mel frames in, onsets out.
#[derive(Debug)]
pub struct ProbeStream(Kind);

#[derive(Debug)]
enum Kind {
    Peaks(Box<Peaks>),
    Judge(Box<Judge>),
    Patches { frames: u64 },
}

impl ProbeStream {
    /// Nothing heard yet. A probe that its weights are not made for ([`Probe::lacks`]) hears what `flux` does.
    pub fn new(probe: &Probe) -> Self {
        let judge = |weights: &Arc<Weights>, name: &str| {
            let about = weights.probe(name)?.clone();
            Some(Self(Kind::Judge(Box::new(Judge::new(
                Arc::clone(weights),
                about,
            )))))
        };
        let own = match probe {
            Probe::Energy | Probe::Flux => None,
            Probe::Onset(weights) => judge(weights, ONSET),
            Probe::OnsetTcn(weights) => judge(weights, ONSET_TCN),
            Probe::Patches => Some(Self(Kind::Patches { frames: 0 })),
        };
        own.unwrap_or_else(|| {
            let strengths = match probe {
                Probe::Energy => Strengths::Energy(EnergyStream::default()),
                _ => Strengths::Flux(Box::default()),
            };
            Self(Kind::Peaks(Box::new(Peaks {
                strengths,
                peaks: PeakStream::new(),
                frames: 0,
                last: None,
                ready: VecDeque::new(),
            })))
        })
    }

    /// Hears a mel frame (`[64]` magnitudes).
    pub fn push_frame(&mut self, mel: &Row) {
        match &mut self.0 {
            Kind::Peaks(peaks) => peaks.push_frame(mel),
            Kind::Judge(judge) => judge.push_frame(mel),
            Kind::Patches { frames } => *frames += 1,
        }
    }

    /// The next onset; they come in order, at least nine frames apart. Drain it after each push: at most one waits then.
    pub fn next_onset(&mut self) -> Option<Heard> {
        match &mut self.0 {
            Kind::Peaks(peaks) => peaks.ready.pop_front(),
            Kind::Judge(judge) => judge.ready.pop_front(),
            Kind::Patches { .. } => None,
        }
    }

    /// Every onset before this time has been said.
    pub fn judged(&self) -> Nanos {
        match &self.0 {
            Kind::Peaks(peaks) => middle(peaks.peaks.judged()),
            Kind::Judge(judge) => judge.judged(),
            Kind::Patches { frames } => middle(*frames),
        }
    }

    /// How likely something begins in the last frame but one, by its strength alone, in [0, 1], and when that is.
    pub fn eventness(&self) -> Option<(Nanos, f32)> {
        let (frame, strength) = match &self.0 {
            Kind::Peaks(peaks) => peaks.last?,
            Kind::Judge(judge) => {
                let (frame, strength) = judge.candidates.last()?;
                (frame.checked_sub(judge.ahead)?, strength)
            }
            Kind::Patches { .. } => return None,
        };
        Some((middle(frame), likelihood(strength.flux_100())))
    }

    /// The recording ends here: what is left is judged as if nothing followed.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Kind::Peaks(peaks) => peaks.finish(),
            Kind::Judge(judge) => judge.finish(),
            Kind::Patches { .. } => {}
        }
    }

    /// From the last sample of a frame's own to the last that the judgement of an onset in it needs.
    pub fn latency(&self) -> Nanos {
        let frames = match &self.0 {
            Kind::Peaks(_) => 9,
            Kind::Judge(judge) => judge.latency(),
            Kind::Patches { .. } => 0,
        };
        Nanos::new(STEP_TIME.get() * frames)
    }
}

/// The middle of a frame.
fn middle(frame: u64) -> Nanos {
    Nanos::new((STEP_TIME.get() as u64).saturating_mul(frame) as i64) + MIDDLE
}

#[derive(Debug)]
enum Strengths {
    Energy(EnergyStream),
    Flux(Box<FluxStream>),
}

/// Strength and its peaks, nothing learned.
#[derive(Debug)]
struct Peaks {
    strengths: Strengths,
    peaks: PeakStream,
    frames: u64,
    last: Option<(u64, Strength)>,
    ready: VecDeque<Heard>,
}

impl Peaks {
    fn push_frame(&mut self, mel: &Row) {
        let strength = match &mut self.strengths {
            Strengths::Energy(energy) => energy.push(mel),
            Strengths::Flux(flux) => flux.push(mel),
        };
        if let Some(strength) = strength {
            self.strength(strength);
        }
    }

    fn strength(&mut self, strength: Strength) {
        self.last = Some((self.frames, strength));
        self.frames += 1;
        if let Some(peak) = self.peaks.push(strength) {
            let p = likelihood(peak.flux_100);
            self.ready.push_back(Heard::new(middle(peak.frame), p));
        }
    }

    fn finish(&mut self) {
        // The frame that waits for the one after it, and the eight that an onset is compared with.
        for _ in 0..9 {
            self.strength(Strength::default());
        }
    }
}

/// Mel frames in, rises of the level out: how far the log level, averaged over three frames, lies above its mean over the 30 frames
/// that ended three frames ago. One frame later, as [`FluxStream`], and in its shape: as flux against the second before.
#[derive(Debug, Default)]
struct EnergyStream {
    /// Log levels of the last frames, the oldest first; at most [`EnergyStream::KEPT`].
    levels: VecDeque<f32>,
    frames: u64,
}

impl EnergyStream {
    const REFERENCE: usize = 30;
    const LAG: usize = 3;
    const KEPT: usize = Self::REFERENCE + Self::LAG + 2;

    fn push(&mut self, mel: &Row) -> Option<Strength> {
        let energy: f32 = mel.iter().map(|m| m.clamp(0.0, 1e10)).map(|m| m * m).sum();
        self.levels.push_back(0.5 * (energy + 1e-4).ln());
        self.frames += 1;
        if self.levels.len() > Self::KEPT {
            self.levels.pop_front();
        }
        let n = self.levels.len();
        if n < Self::KEPT {
            return (self.frames > 1).then(Strength::default);
        }
        let smooth = self.levels.iter().skip(n - 3).sum::<f32>() / 3.0;
        let before = self.levels.iter().take(Self::REFERENCE).sum::<f32>() / Self::REFERENCE as f32;
        let mut flux = [0.0; REFERENCES.len()];
        flux[3] = (smooth - before).max(0.0);
        Some(Strength { flux, broad: 0.0 })
    }
}

/// Candidates, judged by networks.
#[derive(Debug)]
struct Judge {
    weights: Arc<Weights>,
    about: AboutProbe,
    candidates: CandidateStream,
    /// Where the mix has a part that needs it.
    tcn: Option<TcnStream>,
    /// Mel frames heard, and the last of them.
    frames: u64,
    last: Row,
    /// Candidates that wait for the TCN.
    waiting: VecDeque<Candidate>,
    ready: VecDeque<Heard>,
    /// The first frames, until [`OPENING`] of them have come: only then is known whether the recording begins with a beginning.
    opening: Option<Vec<Row>>,
    /// Frames that were put before the first one.
    ahead: u64,
}

/// A stroke within the first [`STROKE`] frames has nothing before it that it could rise from. Where they are much louder than the frames
/// from [`AFTERWARDS`] to [`OPENING`], [`BACKGROUND`] frames of what those sound like are heard before them.
const OPENING: usize = 40;
const STROKE: usize = 6;
const AFTERWARDS: usize = 20;
const BACKGROUND: usize = 100;
/// How much louder, as the bands' mean in natural log units of magnitude.
const LOUDER: f32 = 1.5;

/// Whether these first frames begin with a stroke.
fn begins_loud(opening: &[Row]) -> bool {
    let level = |row: &Row| log(row).iter().sum::<f32>() / BANDS as f32;
    let loudest = opening
        .iter()
        .take(STROKE)
        .map(level)
        .fold(f32::MIN, f32::max);
    let after = opening.get(AFTERWARDS..).unwrap_or_default();
    let quiet = after.iter().map(level).sum::<f32>() / after.len().max(1) as f32;
    !after.is_empty() && loudest - quiet > LOUDER
}

/// Outputs beside a candidate in which the TCN's onset logit is sought, and the ranges over which its activity is averaged.
const BESIDE: i64 = 4;
const AFTER: (i64, i64) = (1, 7);
const BEFORE: (i64, i64) = (-28, -4);

impl Judge {
    fn new(weights: Arc<Weights>, about: AboutProbe) -> Self {
        let needed = about.mix.iter().any(|name| {
            let mut mlps = weights.about().mlps.iter();
            let mlp = mlps.find(|mlp| mlp.name == *name);
            mlp.is_some_and(|mlp| mlp.inputs.iter().any(|i| VIEW.contains(&i.as_str())))
        });
        let tcn = weights.tcn().filter(|_| needed).cloned();
        Self {
            tcn: tcn.map(TcnStream::new),
            candidates: CandidateStream::with(weights.metric().cloned()),
            frames: 0,
            last: [0.0; BANDS],
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            opening: Some(Vec::with_capacity(OPENING)),
            ahead: 0,
            weights,
            about,
        }
    }

    fn push_frame(&mut self, mel: &Row) {
        self.hear(mel);
        let Some(opening) = &mut self.opening else {
            return;
        };
        opening.push(*mel);
        if opening.len() < OPENING {
            return;
        }
        let opening = self.opening.take().unwrap_or_default();
        if begins_loud(&opening) {
            self.begin_again(&opening);
        }
    }

    /// Hears the first frames once more, after what they fade into. Nothing has been said of them yet.
    fn begin_again(&mut self, opening: &[Row]) {
        self.candidates = CandidateStream::with(self.weights.metric().cloned());
        if self.tcn.is_some() {
            self.tcn = self.weights.tcn().cloned().map(TcnStream::new);
        }
        self.waiting.clear();
        self.ready.clear();
        self.frames = 0;
        self.ahead = BACKGROUND as u64;
        let background = opening[AFTERWARDS..].iter().cycle().take(BACKGROUND);
        for mel in background.chain(opening) {
            self.hear(mel);
        }
    }

    fn hear(&mut self, mel: &Row) {
        self.frames += 1;
        self.last = *mel;
        let log = wide(
            #[inline(always)]
            || log(mel),
        );
        if let Some(tcn) = &mut self.tcn {
            tcn.push_logged(mel, &log);
        }
        self.waiting.extend(self.candidates.push_logged(mel, &log));
        self.judge();
    }

    fn finish(&mut self) {
        self.opening = None;
        self.waiting.extend(self.candidates.finish());
        if let (Some(tcn), Some(last)) = (&mut self.tcn, self.waiting.back()) {
            // The network hears its last frame go on.
            while self.frames < needed(tcn, last) {
                tcn.push_frame(&self.last);
                self.frames += 1;
            }
        }
        self.judge();
    }

    /// Judges the candidates of which everything is known.
    fn judge(&mut self) {
        while let Some(candidate) = self.waiting.front() {
            let mut seen = None;
            if let Some(tcn) = &mut self.tcn {
                if self.frames < needed(tcn, candidate) {
                    return;
                }
                tcn.advance();
                seen = Some(view(tcn, candidate));
            }
            let all = inputs(candidate, seen);
            let logits = self
                .about
                .mix
                .iter()
                .filter_map(|name| self.weights.mlp(name));
            let (sum, n) = logits.fold((0.0, 0.0), |(sum, n), mlp| {
                (sum + soft(mlp.logit(&all, &candidate.beside)), n + 1.0)
            });
            let p = self.about.calibration.apply(sum / n);
            // A frame sees a little of what follows it.
            let own = candidate.frame + 2 >= self.ahead;
            if own && p >= self.about.threshold {
                let at = self.shifted(candidate.at());
                self.ready.push_back(Heard::new(at, p));
            }
            self.waiting.pop_front();
        }
    }

    fn judged(&self) -> Nanos {
        if self.opening.is_some() {
            return Nanos::ZERO;
        }
        let waiting = self.waiting.front().map_or(u64::MAX, |c| c.frame);
        self.shifted(middle(waiting.min(self.candidates.judged())))
    }

    /// What is said of that instant, never before the recording.
    fn shifted(&self, at: Nanos) -> Nanos {
        let ahead = Nanos::new(STEP_TIME.get() * self.ahead as i64);
        (at - ahead + Nanos::from_ms(self.about.shift_ms.into())).max(Nanos::ZERO)
    }

    /// In frames.
    fn latency(&self) -> i64 {
        let late = self.tcn.as_ref().map_or(0, |tcn| {
            // A candidate at frame 1000; the worst of as many as the stride.
            (1000..1000 + tcn.tcn().stride() as u64)
                .map(|frame| tcn.tcn().needs(last_output(tcn, frame)) as i64 - 1 - frame as i64)
                .max()
                .unwrap_or(0)
        });
        let earlier = self.about.shift_ms.min(0).unsigned_abs();
        late.max(DELAY as i64) + i64::from(earlier.div_ceil(10))
    }
}

/// The output that speaks of a frame's time, before the network's delay.
fn own_output(tcn: &TcnStream, frame: u64) -> i64 {
    let tcn = tcn.tcn();
    let place = frame as f64 - tcn.middle();
    (place / tcn.stride() as f64).round() as i64
}

/// The last output that is looked at for a candidate at a frame.
fn last_output(tcn: &TcnStream, frame: u64) -> u64 {
    let last = own_output(tcn, frame) + tcn.tcn().delay() as i64 + AFTER.1.max(BESIDE);
    last.max(0) as u64
}

/// Mel frames that must have been heard.
fn needed(tcn: &TcnStream, candidate: &Candidate) -> u64 {
    tcn.tcn().needs(last_output(tcn, candidate.frame))
}

/// What the TCN says about a candidate, in the order of [`VIEW`].
pub fn view(tcn: &TcnStream, candidate: &Candidate) -> [f32; VIEW.len()] {
    let own = own_output(tcn, candidate.frame) + tcn.tcn().delay() as i64;
    let onset = (-BESIDE..=BESIDE)
        .map(|k| tcn.output(own + k).onset)
        .fold(f32::MIN, f32::max);
    let active = |(from, to): (i64, i64)| {
        let sum: f32 = (from..=to)
            .map(|k| sigmoid(tcn.output(own + k).active))
            .sum();
        sum / (to - from + 1) as f32
    };
    [onset, active(AFTER), active(BEFORE)]
}

/// A logit that can't outvote the other for ever: that of a probability kept a hundred-thousandth away from 0 and 1.
fn soft(logit: f32) -> f32 {
    const LEAST: f32 = 1e-5;
    let p = sigmoid(logit);
    ((p + LEAST) / (1.0 - p + LEAST)).ln()
}

#[cfg(test)]
mod tests;
