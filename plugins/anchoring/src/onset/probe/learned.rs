//! The probes `onset` and `onset+tcn`: peaks, judged by networks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Row;
use crate::cue::Onset;
use crate::hearing::flux::Strength;
use crate::hearing::mel::{BANDS, STEP_TIME, frame_middle, log_mel};
use crate::hearing::simd::vectorized;
use crate::onset::calibration::sigmoid;
use crate::onset::inputs::{TCN_FEATURE_NAMES, inputs};
use crate::onset::peak_features::{DELAY, PeakFeatureStream, PeakFeatures};
use crate::onset::spec::ProbeSpec;
use crate::onset::tcn::TcnStream;
use crate::onset::uncertainty::Likeliest;
use crate::onset::weights::Weights;
use crate::time::Nanos;

/// Peaks, judged by networks.
#[derive(Debug)]
pub(super) struct LearnedProbe {
    weights: Arc<Weights>,
    spec: ProbeSpec,
    likeliest: Likeliest,
    peaks: PeakFeatureStream,
    /// Present if an MLP of the mix needs it.
    tcn: Option<TcnStream>,
    /// Mel frames so far, and the last of them.
    frames: u64,
    last: Row,
    /// Peaks that wait for the TCN.
    waiting: VecDeque<PeakFeatures>,
    ready: VecDeque<Onset>,
    /// The first frames, until there are [`OPENING`] of them: only then is it known whether the recording begins with an onset.
    opening: Option<Vec<Row>>,
    /// Frames that were put before the first one.
    ahead: u64,
}

/// An onset within the first [`STROKE`] frames has nothing before it to rise from. If they are much louder than the
/// frames from [`AFTERWARDS`] to [`OPENING`], [`BACKGROUND`] copies of the latter are put before them.
const OPENING: usize = 40;
const STROKE: usize = 6;
const AFTERWARDS: usize = 20;
const BACKGROUND: usize = 100;

/// How much louder: difference of the bands' means, natural log units of magnitude.
const LOUDER: f32 = 1.5;

/// Whether the recording begins with an onset.
fn begins_with_onset(opening: &[Row]) -> bool {
    let level = |row: &Row| log_mel(row).iter().sum::<f32>() / BANDS as f32;
    let loudest = opening
        .iter()
        .take(STROKE)
        .map(level)
        .fold(f32::MIN, f32::max);
    let after = opening.get(AFTERWARDS..).unwrap_or_default();
    let quiet = after.iter().map(level).sum::<f32>() / after.len().max(1) as f32;
    !after.is_empty() && loudest - quiet > LOUDER
}

/// Outputs on both sides of a peak in which the TCN's largest onset logit is taken, and the ranges over which its
/// activity is averaged.
const BESIDE: i64 = 4;
const AFTER: (i64, i64) = (1, 7);
const BEFORE: (i64, i64) = (-28, -4);

impl LearnedProbe {
    pub(super) fn new(weights: Arc<Weights>, spec: ProbeSpec) -> Self {
        let needed = spec.mix.iter().any(|name| {
            let mut mlps = weights.spec().mlps.iter();
            let mlp = mlps.find(|mlp| mlp.name == *name);
            mlp.is_some_and(|mlp| {
                mlp.inputs
                    .iter()
                    .any(|i| TCN_FEATURE_NAMES.contains(&i.as_str()))
            })
        });
        let tcn = weights.tcn().filter(|_| needed).cloned();
        Self {
            tcn: tcn.map(TcnStream::new),
            peaks: PeakFeatureStream::with(weights.metric().cloned()),
            frames: 0,
            last: [0.0; BANDS],
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            opening: Some(Vec::with_capacity(OPENING)),
            ahead: 0,
            likeliest: Likeliest::default(),
            weights,
            spec,
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
        if begins_with_onset(&opening) {
            self.restart_with_background(&opening);
        }
    }

    /// Takes the first frames again, after the background that they fade into. No onset has been returned yet.
    fn restart_with_background(&mut self, opening: &[Row]) {
        self.peaks = PeakFeatureStream::with(self.weights.metric().cloned());
        if self.tcn.is_some() {
            self.tcn = self.weights.tcn().cloned().map(TcnStream::new);
        }
        self.waiting.clear();
        self.ready.clear();
        self.likeliest = Likeliest::default();
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
        let log = vectorized(
            #[inline(always)]
            || log_mel(mel),
        );
        if let Some(tcn) = &mut self.tcn {
            tcn.push_logged(mel, &log);
        }
        self.waiting.extend(self.peaks.push_logged(mel, &log));
        self.judge();
    }

    pub(super) fn finish(&mut self) {
        self.opening = None;
        self.waiting.extend(self.peaks.finish());
        if let (Some(tcn), Some(last)) = (&mut self.tcn, self.waiting.back()) {
            // The last frame is repeated for the network.
            while self.frames < needed(tcn, last) {
                tcn.push_frame(&self.last);
                self.frames += 1;
            }
        }
        self.judge();
    }

    /// Judges the peaks for which everything is known.
    fn judge(&mut self) {
        while let Some(peak) = self.waiting.front() {
            let mut seen = None;
            if let Some(tcn) = &mut self.tcn {
                if self.frames < needed(tcn, peak) {
                    return;
                }
                tcn.advance();
                seen = Some(tcn_features(tcn, peak));
            }
            let all = inputs(peak, seen);
            let logits = self
                .spec
                .mix
                .iter()
                .filter_map(|name| self.weights.mlp(name));
            let (sum, n) = logits.fold((0.0, 0.0), |(sum, n), mlp| {
                (sum + soft(mlp.logit(&all, &peak.comparisons)), n + 1.0)
            });
            let p = self.spec.calibration.apply(sum / n);
            // A frame includes a little of what follows it.
            let own = peak.frame + 2 >= self.ahead;
            let at = self.shifted(peak.at());
            let uncertainty = match self.spec.uncertainty {
                Some(spec) if own => spec.of(p, self.likeliest.push(at, p)),
                _ => 1.0 - p,
            };
            if own && p >= self.spec.threshold {
                self.ready.push_back(Onset { at, p, uncertainty });
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn next_onset(&mut self) -> Option<Onset> {
        self.ready.pop_front()
    }

    /// The last frame of the recording whose strength is known, and its strength.
    pub(super) fn last(&self) -> Option<(u64, Strength)> {
        let (frame, strength) = self.peaks.last()?;
        Some((frame.checked_sub(self.ahead)?, strength))
    }

    pub(super) fn judged(&self) -> Nanos {
        if self.opening.is_some() {
            return Nanos::ZERO;
        }
        let waiting = self.waiting.front().map_or(u64::MAX, |c| c.frame);
        self.shifted(frame_middle(waiting.min(self.peaks.judged())))
    }

    /// The reported time of an instant; never before the recording.
    fn shifted(&self, at: Nanos) -> Nanos {
        let ahead = Nanos::new(STEP_TIME.get() * self.ahead as i64);
        (at - ahead + Nanos::from_ms(self.spec.shift_ms.into())).max(Nanos::ZERO)
    }

    /// In frames.
    pub(super) fn latency(&self) -> i64 {
        let late = self.tcn.as_ref().map_or(0, |tcn| {
            // The worst case over one stride, for a peak far from the start.
            (1000..1000 + tcn.tcn().stride() as u64)
                .map(|frame| {
                    tcn.tcn().frames_for(last_output(tcn, frame)) as i64 - 1 - frame as i64
                })
                .max()
                .unwrap_or(0)
        });
        let earlier = self.spec.shift_ms.min(0).unsigned_abs();
        late.max(DELAY as i64) + i64::from(earlier.div_ceil(10))
    }
}

/// The output for a frame's time, before the network's delay.
fn own_output(tcn: &TcnStream, frame: u64) -> i64 {
    let tcn = tcn.tcn();
    let place = frame as f64 - tcn.middle();
    (place / tcn.stride() as f64).round() as i64
}

/// The last output that a peak at this frame needs.
fn last_output(tcn: &TcnStream, frame: u64) -> u64 {
    let last = own_output(tcn, frame) + tcn.tcn().delay() as i64 + AFTER.1.max(BESIDE);
    last.max(0) as u64
}

/// Mel frames that a peak needs.
fn needed(tcn: &TcnStream, peak: &PeakFeatures) -> u64 {
    tcn.tcn().frames_for(last_output(tcn, peak.frame))
}

/// What the TCN says about a peak, in the order of [`TCN_FEATURE_NAMES`].
pub fn tcn_features(tcn: &TcnStream, peak: &PeakFeatures) -> [f32; TCN_FEATURE_NAMES.len()] {
    let own = own_output(tcn, peak.frame) + tcn.tcn().delay() as i64;
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

/// A clipped logit, so that no network outvotes the others: its probability is kept 1e-5 away from 0 and 1.
fn soft(logit: f32) -> f32 {
    const LEAST: f32 = 1e-5;
    let p = sigmoid(logit);
    ((p + LEAST) / (1.0 - p + LEAST)).ln()
}
