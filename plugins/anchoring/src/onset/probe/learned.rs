//! Candidates, judged by networks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Row;
use crate::cue::Onset;
use crate::hearing::flux::Strength;
use crate::hearing::mel::{BANDS, STEP_TIME, frame_middle, log};
use crate::hearing::simd::wide;
use crate::onset::calibration::sigmoid;
use crate::onset::candidate::{Candidate, CandidateStream, DELAY};
use crate::onset::inputs::{VIEW, inputs};
use crate::onset::spec::AboutProbe;
use crate::onset::tcn::TcnStream;
use crate::onset::weights::Weights;
use crate::time::Nanos;

/// Candidates, judged by networks.
#[derive(Debug)]
pub(super) struct LearnedProbe {
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
    ready: VecDeque<Onset>,
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

impl LearnedProbe {
    pub(super) fn new(weights: Arc<Weights>, about: AboutProbe) -> Self {
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

    pub(super) fn push_frame(&mut self, mel: &Row) {
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

    pub(super) fn finish(&mut self) {
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
                self.ready.push_back(Onset::new(at, p));
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn next_onset(&mut self) -> Option<Onset> {
        self.ready.pop_front()
    }

    /// The last frame of the recording whose strength is known, and its strength.
    pub(super) fn last(&self) -> Option<(u64, Strength)> {
        let (frame, strength) = self.candidates.last()?;
        Some((frame.checked_sub(self.ahead)?, strength))
    }

    pub(super) fn judged(&self) -> Nanos {
        if self.opening.is_some() {
            return Nanos::ZERO;
        }
        let waiting = self.waiting.front().map_or(u64::MAX, |c| c.frame);
        self.shifted(frame_middle(waiting.min(self.candidates.judged())))
    }

    /// What is said of that instant, never before the recording.
    fn shifted(&self, at: Nanos) -> Nanos {
        let ahead = Nanos::new(STEP_TIME.get() * self.ahead as i64);
        (at - ahead + Nanos::from_ms(self.about.shift_ms.into())).max(Nanos::ZERO)
    }

    /// In frames.
    pub(super) fn latency(&self) -> i64 {
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
