//! Mel frames -> candidates: instants at which something may begin, each with the numbers by which a probe judges it.
//!
//! A candidate is a peak of onset strength ([`crate::hearing::flux`]): the strongest of the eight frames before and after it. There are one to
//! two a second in a kitchen. [`CandidateStream::push_frame`] takes mel frames one by one and says each candidate [`DELAY`] frames later, when
//! everything that its features speak of has been heard; no cutting of the samples into chunks can change a number. What it keeps is
//! the last 320 frames, the candidates of the last ten seconds and windows over the last half minute.
//!
//! ```
//! use anchoring::candidate::{Candidate, CandidateStream};
//! use anchoring::mel::MelStream;
//!
//! let samples = vec![0.0; 16_000]; // mono, 16 kHz
//! let (mut mel, mut stream) = (MelStream::new(), CandidateStream::new());
//! let mut found: Vec<Candidate> = Vec::new();
//! mel.push(&samples, |frame| found.extend(stream.push_frame(frame)));
//! found.extend(stream.finish());
//! assert!(found.is_empty());
//! ```

mod likeness;
mod metric;
mod surroundings;

use std::collections::VecDeque;
use std::sync::Arc;

pub use self::likeness::{Beside, COMPARED, LEARNED, LIKENESS, LIKENESS_NAMES};
use self::likeness::{Sketch, Sketches, Sound};
use self::metric::Bearing;
pub use self::metric::Metric;
use self::surroundings::{Own, WINDOW, Windows};
pub use self::surroundings::{SURROUNDING_NAMES, SURROUNDINGS};
use crate::hearing::flux::{FluxStream, R100, REFERENCES, Strength};
use crate::hearing::mel::{BANDS, frame_middle, log, within};
use crate::hearing::noise_floor::{BLOCK, FloorStream};
use crate::hearing::simd::{larger, sum, wide};
use crate::onset::peaks::{AROUND, Peak, PeakStream, REACH};
use crate::time::Nanos;

/// How many numbers describe a candidate.
pub const FEATURES: usize = 22;
/// How many more tell its colour.
pub const COLOURS: usize = 3 * GROUPS;
/// Groups of eight bands that are told together.
const GROUPS: usize = 8;

/// What they are called, in their order. `c` is the candidate's frame; ranges are inclusive and are cut off where the recording
/// begins and ends; `L` is the smoothed log magnitude, `P` how far it lies above the noise floor (not negative), `pl` the mean of `P`
/// over the bands and eleven frames. Means are over bands too.
///
/// | name | what it is |
/// |---|---|
/// | `lR2` .. `lR400` | `ln(0.001 + max flux_R[c-3..c+3])` for each of [`REFERENCES`] |
/// | `jump` | mean `L[c..c+15]` less mean `L[c-30..c-4]` |
/// | `snr` | mean `L[c..c+19]` less mean `ln(floor[c] + 0.001)` |
/// | `busy` | `ln(0.001 + mean flux_20[c-200..c-11])` |
/// | `prevmax`, `since` | `ln(0.001 + max flux_100[c-200..c-10])`; `ln(0.05 + s)`, `s` the seconds, at most ten, since a candidate whose `flux_100` was no less |
/// | `nextmax` | `ln(0.001 + max flux_100[c+10..c+40])` |
/// | `cosd` | `1 - a.b / (|a||b| + 0.3)`, `a` the bands' mean `P[c..c+29]`, `b` that of `P[c-100..c-6]` |
/// | `fracb` | the largest share of bands, in `c-3..c+3`, that rise by more than a half against the last second |
/// | `sim3`, `sim10` | likeness `U.U'` to the likest candidate 0.15 to 3 (10) s before: `U = V / (|V| + 0.3)`, `V` the bands' mean `P[c..c+9]`; else 0 |
/// | `ldiff` | mean of `V - V'`, `V'` that of the likest in 10 s; else 0 |
/// | `gap.5`, `gap2` | `min pl[c-54..c-4]`, `min pl[c-204..c-4]` |
/// | `sustain` | mean `P[c+15..c+29]` less mean `P[c-30..c-5]` |
/// | `centroid` | `sum k a_k / (1 + sum a)` less the same of `b`, `a` the bands' mean `P[c..c+14]`, `b` that of `P[c-30..c-5]`, `k` = 0..63 |
/// | `sincelevel` | as `since`, of a candidate that was no quieter: `max pl[c+3..c+7]` |
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "lR2",
    "lR20",
    "lR50",
    "lR100",
    "lR200",
    "lR400",
    "jump",
    "snr",
    "busy",
    "prevmax",
    "since",
    "nextmax",
    "cosd",
    "fracb",
    "sim3",
    "sim10",
    "ldiff",
    "gap.5",
    "gap2",
    "sustain",
    "centroid",
    "sincelevel",
];

/// What the numbers of [`Candidate::colours`] are called, in their order: the mean of `P` over eight neighbouring bands, the lowest first,
/// in `c..c+14`, `c-30..c-5` and `c+25..c+40`.
pub const COLOUR_NAMES: [&str; COLOURS] = [
    "body0", "body1", "body2", "body3", "body4", "body5", "body6", "body7", "before0", "before1",
    "before2", "before3", "before4", "before5", "before6", "before7", "later0", "later1", "later2",
    "later3", "later4", "later5", "later6", "later7",
];

/// What [`Candidate::steady`] is called.
pub const STEADY: &str = "steady";

/// Frames that a candidate's spectrum is the mean of, and those of what was before it, counted back from it.
const SOUND: u64 = 31;
const BEFORE: (u64, u64) = (36, 5);

/// So many frames later a candidate is said: what follows it for a second is compared with what was before it.
pub const DELAY: u64 = surroundings::AHEAD + 1;
/// Frames after a candidate that its features speak of.
const AFTER: u64 = 40;
/// Frames remembered: 209 before a candidate, and those until it is said.
const RING: u64 = 320;
/// How long candidates are remembered, in frames, and how near they are too near to be compared, and compared at short range.
const MEMORY: u64 = 1000;
const NEAR: u64 = 15;
const SHORT: u64 = 300;
/// Added inside logarithms of flux, of seconds, and to norms.
const LEAST_FLUX: f32 = 1e-3;
const LEAST_SECONDS: f32 = 0.05;
const LEAST_NORM: f32 = 0.3;
const LONGEST_SECONDS: f32 = 10.0;
/// Half the width of `pl`, in frames.
const BESIDE: u64 = 5;

type Row = [f32; BANDS];

/// An instant at which something may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Counts from the first mel frame.
    pub frame: u64,
    /// The largest `flux_100` within three frames: by itself a good detector ([`crate::onset::peaks::likelihood`]).
    pub flux_100: f32,
    /// What a probe judges it by, in the order of [`FEATURE_NAMES`]; finite.
    pub features: [f32; FEATURES],
    /// What it sounds like, in the order of [`COLOUR_NAMES`]; finite.
    pub colours: [f32; COLOURS],
    /// Its mean log spectrum, natural log units of magnitude: the bands' mean `L[c..c+31]`.
    pub spectrum: [f32; BANDS],
    /// How like `L[c-36..c-5]` it is by the [`Metric`], in [-1, 1]; 0 without one.
    pub steady: f32,
    /// How it compares with those before it.
    pub beside: Beside,
    /// How it lies among everything heard lately, in the order of [`SURROUNDING_NAMES`]; all 0 without a [`Metric`].
    pub surroundings: [f32; SURROUNDINGS],
}

impl Candidate {
    /// When it begins, from the first sample: the middle of its frame.
    pub fn at(&self) -> Nanos {
        frame_middle(self.frame)
    }
}

/// What is remembered of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    strength: Strength,
    /// `L` by band.
    log: Row,
    /// Mean of `L` over the bands.
    level: f32,
    /// `P` by band; `L` until the floor is known.
    above: Row,
    /// Its mean over the bands.
    loudness: f32,
    /// Mean of `ln(floor + 0.001)`.
    floor: f32,
    /// By how much each band rose against the last fifth of a second.
    rise: Row,
}

/// What is remembered of an earlier candidate.
#[derive(Clone, Copy, Debug)]
struct Past {
    frame: u64,
    flux_100: f32,
    /// `max pl[c+3..c+7]`.
    loudness: f32,
    /// `V`.
    sound: Sound,
}

/// Mel frames in, candidates out, [`DELAY`] frames later.
#[derive(Clone, Debug)]
pub struct CandidateStream {
    flux: FluxStream,
    floor: FloorStream,
    peaks: PeakStream,
    /// The last [`RING`] frames, by frame number modulo its length.
    ring: Vec<Frame>,
    /// Frames whose strength is known.
    strong: u64,
    /// Of those, frames whose floor is known.
    grounded: u64,
    /// Floors of the blocks whose frames' strengths aren't all known yet: at most one.
    floors: VecDeque<Row>,
    /// Peaks whose future is not all heard.
    waiting: VecDeque<Peak>,
    past: VecDeque<Past>,
    sketches: Sketches,
    /// Empty without a metric.
    windows: Windows,
    metric: Option<Arc<Metric>>,
    finished: bool,
}

impl Default for CandidateStream {
    fn default() -> Self {
        Self::new()
    }
}

impl CandidateStream {
    /// Nothing heard yet; candidates are compared without a [`Metric`].
    pub fn new() -> Self {
        Self::with(None)
    }

    /// Nothing heard yet.
    pub fn with(metric: Option<Arc<Metric>>) -> Self {
        let nothing = Frame {
            strength: Strength::default(),
            log: [0.0; BANDS],
            level: 0.0,
            above: [0.0; BANDS],
            loudness: 0.0,
            floor: 0.0,
            rise: [0.0; BANDS],
        };
        Self {
            flux: FluxStream::new(),
            floor: FloorStream::new(),
            peaks: PeakStream::new(),
            ring: vec![nothing; RING as usize],
            strong: 0,
            grounded: 0,
            floors: VecDeque::with_capacity(2),
            waiting: VecDeque::new(),
            past: VecDeque::new(),
            sketches: Sketches::default(),
            windows: Windows::default(),
            metric,
            finished: false,
        }
    }

    /// Hears a mel frame (`[64]` magnitudes, as [`crate::hearing::mel::MelStream`] says them) and says the candidate of which everything is
    /// known now, if there is one. Candidates come in order, at least nine frames apart. Does nothing after [`Self::finish`].
    pub fn push_frame(&mut self, mel: &Row) -> Option<Candidate> {
        let log = wide(
            #[inline(always)]
            || log(mel),
        );
        self.push_logged(mel, &log)
    }

    /// The same where the frame's `L` is known.
    pub(crate) fn push_logged(&mut self, mel: &Row, log: &Row) -> Option<Candidate> {
        if self.finished {
            return None;
        }
        let mel = mel.map(|m| within(m, 1e30));
        if let Some(floor) = self.floor.push(&mel) {
            self.floors.push_back(*floor);
        }
        let strength = wide(
            #[inline(always)]
            || self.flux.push_log(log),
        );
        if let Some(strength) = strength {
            self.strong(strength);
        }
        self.next()
    }

    /// The recording ends here: the candidates that are left, judged as if nothing followed; at most thirteen.
    pub fn finish(&mut self) -> Vec<Candidate> {
        if self.finished {
            return Vec::new();
        }
        self.finished = true;
        if let Some(strength) = self.flux.finish() {
            self.strong(strength);
        }
        if self.grounded < self.strong {
            let floor = *self.floor.finish();
            self.ground(&floor, self.strong);
        }
        for _ in 0..REACH {
            self.waiting.extend(self.peaks.push(Strength::default()));
        }
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Every frame before this one is known to be a candidate that was said, or none.
    pub fn judged(&self) -> u64 {
        let waiting = self.waiting.front().map_or(u64::MAX, |peak| peak.frame);
        waiting.min(self.peaks.judged())
    }

    /// The last frame whose strength is known, and its strength: the last that was heard but one.
    pub fn last(&self) -> Option<(u64, Strength)> {
        let last = self.strong.checked_sub(1)?;
        Some((last, self.frame(last).strength))
    }

    fn strong(&mut self, strength: Strength) {
        let frame = &mut self.ring[(self.strong % RING) as usize];
        wide(
            #[inline(always)]
            || {
                let level = self.flux.level();
                *frame = Frame {
                    strength,
                    log: *level,
                    level: mean(level),
                    above: *level,
                    loudness: 0.0,
                    floor: 0.0,
                    rise: self.flux.rise_20(),
                };
            },
        );
        self.strong += 1;
        if self.strong.is_multiple_of(BLOCK as u64)
            && let Some(floor) = self.floors.pop_front()
        {
            self.ground(&floor, self.strong);
        }
        if let Some(metric) = &self.metric
            && let Some(start) = self.windows.due(self.strong)
        {
            let frames = self.between(start, start + WINDOW - 1);
            let mean = mean_row(frames, |frame| &frame.log);
            self.windows.push(metric, &mean);
        }
        self.waiting.extend(self.peaks.push(strength));
    }

    /// The floor of the frames before `stop` that have none yet.
    fn ground(&mut self, floor: &Row, stop: u64) {
        wide(
            #[inline(always)]
            || {
                let log = log(floor);
                let mean_log = mean(&log);
                for t in self.grounded..stop {
                    let frame = &mut self.ring[(t % RING) as usize];
                    for (above, log) in frame.above.iter_mut().zip(&log) {
                        *above = larger(*above - log, 0.0);
                    }
                    frame.loudness = mean(&frame.above);
                    frame.floor = mean_log;
                }
            },
        );
        self.grounded = stop;
    }

    fn next(&mut self) -> Option<Candidate> {
        let peak = self.waiting.front()?;
        let heard = self.strong >= peak.frame + DELAY;
        if !heard && !self.finished {
            return None;
        }
        let peak = self.waiting.pop_front()?;
        Some(self.describe(peak))
    }

    fn frame(&self, t: u64) -> &Frame {
        &self.ring[(t % RING) as usize]
    }

    /// The frames from `c - before` to `c + after`, as far as they were heard; never none.
    fn around(&self, c: u64, before: u64, after: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c.saturating_sub(before), c + after)
    }

    /// The frames from `c - from` to `c - to`, as far as they were heard; never none.
    fn before(&self, c: u64, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c.saturating_sub(from), c.saturating_sub(to))
    }

    /// The frames from `c + from` to `c + to`, as far as they were heard; never none.
    fn after(&self, c: u64, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c + from, c + to)
    }

    fn between(&self, first: u64, last: u64) -> impl ExactSizeIterator<Item = &Frame> {
        let newest = self.strong.saturating_sub(1);
        let first = first.min(newest) as usize;
        let last = last.min(newest) as usize;
        (first..last + 1).map(|t| self.frame(t as u64))
    }

    /// `pl` of a frame: its loudness and that of the five before and after it.
    fn smooth_loudness(&self, t: u64) -> f32 {
        mean_of(self.around(t, BESIDE, BESIDE).map(|frame| frame.loudness))
    }

    fn quietest(&self, c: u64, from: u64, to: u64) -> f32 {
        let newest = self.strong.saturating_sub(1);
        let (first, last) = (c.saturating_sub(from), c.saturating_sub(to).min(newest));
        (first..=last)
            .map(|t| self.smooth_loudness(t))
            .fold(f32::MAX, f32::min)
    }

    fn describe(&mut self, peak: Peak) -> Candidate {
        let c = peak.frame;
        let long = |frame: &Frame| frame.strength.flux_100();
        let level = |frame: &Frame| frame.level;
        let own_flux = long(self.frame(c));
        let own_loudness = {
            let newest = self.strong.saturating_sub(1);
            let last = (c + 7).min(newest);
            ((c + 3).min(last)..=last)
                .map(|t| self.smooth_loudness(t))
                .fold(0.0, f32::max)
        };
        let onset = bands(self.after(c, 0, 9));
        let own = Past {
            frame: c,
            flux_100: own_flux,
            loudness: own_loudness,
            sound: Sound::new(&onset),
        };
        while self
            .past
            .front()
            .is_some_and(|past| past.frame + MEMORY < c)
        {
            self.past.pop_front();
        }
        let (sim3, sim10, ldiff) = self.likest(&own);

        let aloud = |frame: &Frame| frame.loudness;
        let mut features = [0.0; FEATURES];
        let mut slots = features.iter_mut();
        let mut say = |x: f32| {
            if let Some(slot) = slots.next() {
                *slot = x;
            }
        };
        for r in 0..REFERENCES.len() {
            let near = self.around(c, AROUND as u64, AROUND as u64);
            say((LEAST_FLUX + near.map(|f| f.strength.flux[r]).fold(0.0, f32::max)).ln());
        }
        say(mean_of(self.after(c, 0, 15).map(level)) - mean_of(self.before(c, 30, 4).map(level)));
        say(mean_of(self.after(c, 0, 19).map(level)) - self.frame(c).floor);
        let busy = self.before(c, 200, 11).map(|f| f.strength.flux_20());
        say((LEAST_FLUX + mean_of(busy)).ln());
        say((LEAST_FLUX + self.before(c, 200, 10).map(long).fold(0.0, f32::max)).ln());
        say(self.since(c, |past| past.flux_100 >= own.flux_100));
        say((LEAST_FLUX + self.after(c, 10, AFTER).map(long).fold(0.0, f32::max)).ln());
        let (a, b) = (bands(self.after(c, 0, 29)), bands(self.before(c, 100, 6)));
        let norms = (dot(&a, &a) * dot(&b, &b)).sqrt();
        say(1.0 - dot(&a, &b) / (norms + LEAST_NORM));
        let near = self.around(c, AROUND as u64, AROUND as u64);
        say(near.map(|f| f.strength.broad).fold(0.0, f32::max));
        say(sim3);
        say(sim10);
        say(ldiff);
        say(self.quietest(c, 54, 4));
        say(self.quietest(c, 204, 4));
        say(mean_of(self.after(c, 15, 29).map(aloud)) - mean_of(self.before(c, 30, 5).map(aloud)));
        let (body, before) = (bands(self.after(c, 0, 14)), bands(self.before(c, 30, 5)));
        say(centroid(&body) - centroid(&before));
        say(self.since(c, |past| past.loudness >= own.loudness));
        self.past.push_back(own);
        let later = bands(self.after(c, 25, AFTER));
        let mut colours = [0.0; COLOURS];
        let groups = [&body, &before, &later].map(|row| row.chunks_exact(BANDS / GROUPS));
        for (slot, group) in colours.iter_mut().zip(groups.into_iter().flatten()) {
            *slot = group.iter().sum::<f32>() / (BANDS / GROUPS) as f32;
        }
        let spectrum = mean_row(self.after(c, 0, SOUND), |frame| &frame.log);
        let preceding = mean_row(self.before(c, BEFORE.0, BEFORE.1), |frame| &frame.log);
        let bearing = Bearing::new(self.metric.as_deref(), &spectrum, &preceding);
        let surroundings = self.windows.around(&Own {
            frame: c,
            sound: &bearing.sound,
            before: &bearing.before,
            level: mean(&spectrum),
        });
        let rows = [&body, &later, &self.risen(c)];
        // The features begin with the flux against each reference.
        let sketch = Sketch::new(c, own.sound, rows, features[R100], bearing);
        Candidate {
            frame: c,
            flux_100: peak.flux_100,
            features,
            colours,
            spectrum,
            steady: bearing.steady(),
            beside: self.beside(sketch),
            surroundings,
        }
    }

    /// By how much each band rose, at most, about a candidate.
    fn risen(&self, c: u64) -> Row {
        let mut most = [0.0f32; BANDS];
        for frame in self.around(c, 1, AROUND as u64) {
            for (most, rise) in most.iter_mut().zip(&frame.rise) {
                *most = most.max(*rise);
            }
        }
        most
    }

    fn beside(&mut self, own: Sketch) -> Beside {
        let oldest = self.strong.saturating_sub(RING - BESIDE);
        let mut sketches = std::mem::take(&mut self.sketches);
        let beside = sketches.compare(own, oldest, |t| self.smooth_loudness(t));
        self.sketches = sketches;
        beside
    }

    /// How like the likest earlier candidate within 3 and 10 s is, and how much louder this one is than the latter.
    fn likest(&self, own: &Past) -> (f32, f32, f32) {
        let (mut sim3, mut sim10): (Option<f32>, Option<(f32, f32)>) = (None, None);
        for past in &self.past {
            let ago = own.frame - past.frame;
            if ago < NEAR {
                continue;
            }
            let like = own.sound.like(&past.sound);
            if ago <= SHORT {
                sim3 = Some(sim3.map_or(like, |most| most.max(like)));
            }
            if sim10.is_none_or(|(most, _)| like > most) {
                sim10 = Some((like, past.sound.mean));
            }
        }
        let (most, ldiff) =
            sim10.map_or((0.0, 0.0), |(like, level)| (like, own.sound.mean - level));
        (sim3.unwrap_or(0.0), most, ldiff)
    }

    /// `ln(0.05 + s)`, `s` the seconds since the last candidate of which something holds, at most ten.
    fn since(&self, c: u64, holds: impl Fn(&Past) -> bool) -> f32 {
        let last = self.past.iter().rev().find(|past| holds(past));
        let seconds = last.map_or(LONGEST_SECONDS, |past| (c - past.frame) as f32 * 0.01);
        (LEAST_SECONDS + seconds.min(LONGEST_SECONDS)).ln()
    }
}

#[inline(always)]
fn mean(row: &Row) -> f32 {
    sum(row) / BANDS as f32
}

fn mean_of(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len().max(1) as f32;
    values.sum::<f32>() / n
}

/// The mean of `P` by band.
fn bands<'a>(frames: impl ExactSizeIterator<Item = &'a Frame>) -> Row {
    mean_row(frames, |frame| &frame.above)
}

/// The mean of something by band.
fn mean_row<'a>(
    frames: impl ExactSizeIterator<Item = &'a Frame>,
    of: impl Fn(&Frame) -> &Row,
) -> Row {
    let n = frames.len().max(1) as f32;
    let mut sums = [0.0; BANDS];
    for frame in frames {
        for (sum, x) in sums.iter_mut().zip(of(frame)) {
            *sum += x;
        }
    }
    sums.map(|sum| sum / n)
}

fn dot(a: &Row, b: &Row) -> f32 {
    sum(&std::array::from_fn::<f32, BANDS, _>(|k| a[k] * b[k]))
}

fn centroid(row: &Row) -> f32 {
    let weighed: f32 = row.iter().enumerate().map(|(k, x)| k as f32 * x).sum();
    weighed / (row.iter().sum::<f32>() + 1.0)
}

#[cfg(test)]
mod tests;
