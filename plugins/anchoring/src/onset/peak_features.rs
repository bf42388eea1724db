//! Finds peaks of onset strength in mel frames, and describes each by the features that a probe judges it by.
//!
//! A peak is the strongest of the eight frames before and after it ([`crate::onset::peak_picking`]); a kitchen has one or two per second.
//! [`PeakFeatureStream::push_frame`] takes mel frames and returns each peak [`DELAY`] frames later, when all the sound that its features need
//! has arrived. Chunk sizes never change a number. The stream keeps the last 320 frames, the peaks of the last ten seconds and windows over
//! the last half minute.
//!
//! ```
//! use anchoring::onset::peak_features::{PeakFeatures, PeakFeatureStream};
//! use anchoring::hearing::mel::MelStream;
//!
//! let samples = vec![0.0; 16_000]; // mono, 16 kHz
//! let (mut mel, mut stream) = (MelStream::new(), PeakFeatureStream::new());
//! let mut found: Vec<PeakFeatures> = Vec::new();
//! mel.push(&samples, |frame| found.extend(stream.push_frame(frame)));
//! found.extend(stream.finish());
//! assert!(found.is_empty());
//! ```

mod comparison;
mod context;
mod metric;
mod names;

use std::collections::VecDeque;
use std::sync::Arc;

pub use self::comparison::{
    COMPARED, COMPARISON, COMPARISON_NAMES, Comparisons, METRIC_COMPARISONS,
};
use self::comparison::{ComparedPeak, RecentPeaks, Sound};
pub use self::context::{CONTEXT, CONTEXT_NAMES};
use self::context::{ContextQuery, ContextWindows, WINDOW};
pub use self::metric::Metric;
use self::metric::MetricSpectra;
pub use self::names::{FEATURE_NAMES, FEATURES, FLOOR_NAMES, GROUPS, STEADY, TIMBRE, TIMBRE_NAMES};
use crate::hearing::flux::{FluxStream, R100, REFERENCES, Strength};
use crate::hearing::mel::{BANDS, clamp_positive, frame_middle, log_mel};
use crate::hearing::noise_floor::{BLOCK, NoiseFloor};
use crate::hearing::simd::{fast_max, sum, vectorized};
use crate::onset::peak_picking::{AROUND, Peak, PeakPicker, REACH};
use crate::time::Nanos;

/// Frames averaged for a peak's spectrum; first and last frame, counted back from the peak, of the spectrum before
/// it.
const SOUND: u64 = 31;
const BEFORE: (u64, u64) = (36, 5);

/// A peak is returned this many frames later: the second after it is compared with what came before it.
pub const DELAY: u64 = context::AHEAD + 1;
/// Frames after a peak that its features use.
const AFTER: u64 = 40;
/// Frames in memory: 209 before a peak, and those until it is returned.
const RING: u64 = 320;
/// Frames for which a peak is remembered, the least distance of two peaks that are compared, and the largest at short
/// range.
const MEMORY: u64 = 1000;
const NEAR: u64 = 15;
const SHORT: u64 = 300;
/// Added inside logarithms of flux and seconds, and to norms.
const LEAST_FLUX: f32 = 1e-3;
const LEAST_SECONDS: f32 = 0.05;
const LEAST_NORM: f32 = 0.3;
const LONGEST_SECONDS: f32 = 10.0;
/// Half the width of `pl`, in frames.
const BESIDE: u64 = 5;

type Row = [f32; BANDS];

/// A peak of onset strength and its features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakFeatures {
    /// Index of its mel frame.
    pub frame: u64,
    /// The largest `flux_100` within three frames. On its own it is a good detector
    /// ([`crate::onset::peak_picking::likelihood`]).
    pub flux_100: f32,
    /// In the order of [`FEATURE_NAMES`]; finite.
    pub features: [f32; FEATURES],
    /// In the order of [`TIMBRE_NAMES`]; finite.
    pub timbre: [f32; TIMBRE],
    /// In the order of [`FLOOR_NAMES`]; finite.
    pub floors: [f32; GROUPS],
    /// Mean log spectrum, natural log units of magnitude: the bands' mean `L[c..c+31]`.
    pub spectrum: [f32; BANDS],
    /// Similarity to `L[c-36..c-5]` by the [`Metric`], in [-1, 1]; 0 without one.
    pub steady: f32,
    /// Comparisons with the peaks before it.
    pub comparisons: Comparisons,
    /// Comparisons with everything heard lately, in the order of [`CONTEXT_NAMES`]; all 0 without a [`Metric`].
    pub context: [f32; CONTEXT],
}

impl PeakFeatures {
    /// The middle of its frame, from the first sample.
    pub fn at(&self) -> Nanos {
        frame_middle(self.frame)
    }
}

/// The stored part of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    strength: Strength,
    /// `L` by band.
    log: Row,
    /// Mean of `L` over the bands.
    level: f32,
    /// `P` by band; `L` until the floor is known.
    above: Row,
    /// Mean of `P` over the bands.
    loudness: f32,
    /// Mean of `ln(floor + 0.001)`, over all bands and over groups of eight.
    floor: f32,
    floors: [f32; GROUPS],
    /// Rise of each band against the last 0.2 s.
    rise: Row,
}

/// The stored part of an earlier peak.
#[derive(Clone, Copy, Debug)]
struct PastPeak {
    frame: u64,
    flux_100: f32,
    /// `max pl[c+3..c+7]`.
    loudness: f32,
    /// `V`.
    sound: Sound,
}

/// Mel frames in, peaks out, [`DELAY`] frames later.
#[derive(Clone, Debug)]
pub struct PeakFeatureStream {
    flux: FluxStream,
    floor: NoiseFloor,
    peaks: PeakPicker,
    /// The last [`RING`] frames, at frame number modulo its length.
    ring: Vec<Frame>,
    /// Number of frames whose strength is known.
    strong: u64,
    /// Number of those whose noise floor is known.
    with_floor: u64,
    /// Noise floors of blocks whose strengths are not all known yet: at most one.
    floors: VecDeque<Row>,
    /// Peaks that wait for the frames after them.
    waiting: VecDeque<Peak>,
    past: VecDeque<PastPeak>,
    recent: RecentPeaks,
    /// Empty without a metric.
    windows: ContextWindows,
    metric: Option<Arc<Metric>>,
    finished: bool,
}

impl Default for PeakFeatureStream {
    fn default() -> Self {
        Self::new()
    }
}

impl PeakFeatureStream {
    /// A stream that has seen no frame yet, without a [`Metric`].
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A stream that has seen no frame yet.
    pub fn with(metric: Option<Arc<Metric>>) -> Self {
        let nothing = Frame {
            strength: Strength::default(),
            log: [0.0; BANDS],
            level: 0.0,
            above: [0.0; BANDS],
            loudness: 0.0,
            floor: 0.0,
            floors: [0.0; GROUPS],
            rise: [0.0; BANDS],
        };
        Self {
            flux: FluxStream::new(),
            floor: NoiseFloor::new(),
            peaks: PeakPicker::new(),
            ring: vec![nothing; RING as usize],
            strong: 0,
            with_floor: 0,
            floors: VecDeque::with_capacity(2),
            waiting: VecDeque::new(),
            past: VecDeque::new(),
            recent: RecentPeaks::default(),
            windows: ContextWindows::default(),
            metric,
            finished: false,
        }
    }

    /// Takes a mel frame (`[64]` magnitudes, from [`crate::hearing::mel::MelStream`]). Returns the next peak whose
    /// features are complete. Peaks come in order, at least nine frames apart. Does nothing after [`Self::finish`].
    pub fn push_frame(&mut self, mel: &Row) -> Option<PeakFeatures> {
        let log = vectorized(
            #[inline(always)]
            || log_mel(mel),
        );
        self.push_logged(mel, &log)
    }

    /// Like [`Self::push_frame`], for a frame whose `L` is known.
    pub(crate) fn push_logged(&mut self, mel: &Row, log: &Row) -> Option<PeakFeatures> {
        if self.finished {
            return None;
        }
        let mel = mel.map(|m| clamp_positive(m, 1e30));
        if let Some(floor) = self.floor.push(&mel) {
            self.floors.push_back(*floor);
        }
        let strength = vectorized(
            #[inline(always)]
            || self.flux.push_log(log),
        );
        if let Some(strength) = strength {
            self.strong(strength);
        }
        self.next()
    }

    /// The recording ends here. Returns the peaks that are left, at most thirteen, as if silence followed.
    pub fn finish(&mut self) -> Vec<PeakFeatures> {
        if self.finished {
            return Vec::new();
        }
        self.finished = true;
        if let Some(strength) = self.flux.finish() {
            self.strong(strength);
        }
        if self.with_floor < self.strong {
            let floor = *self.floor.finish();
            self.ground(&floor, self.strong);
        }
        for _ in 0..REACH {
            self.waiting.extend(self.peaks.push(Strength::default()));
        }
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Every peak before this frame has been returned.
    pub fn judged(&self) -> u64 {
        let waiting = self.waiting.front().map_or(u64::MAX, |peak| peak.frame);
        waiting.min(self.peaks.judged())
    }

    /// The last frame whose strength is known (the last but one that was pushed), and its strength.
    pub fn last(&self) -> Option<(u64, Strength)> {
        let last = self.strong.checked_sub(1)?;
        Some((last, self.frame(last).strength))
    }

    fn strong(&mut self, strength: Strength) {
        let frame = &mut self.ring[(self.strong % RING) as usize];
        vectorized(
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
                    floors: [0.0; GROUPS],
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

    /// Sets the noise floor of the frames before `stop` that have none yet.
    fn ground(&mut self, floor: &Row, stop: u64) {
        vectorized(
            #[inline(always)]
            || {
                let log = log_mel(floor);
                let mean_log = mean(&log);
                let floors = by_group(&log);
                for t in self.with_floor..stop {
                    let frame = &mut self.ring[(t % RING) as usize];
                    for (above, log) in frame.above.iter_mut().zip(&log) {
                        *above = fast_max(*above - log, 0.0);
                    }
                    frame.loudness = mean(&frame.above);
                    frame.floor = mean_log;
                    frame.floors = floors;
                }
            },
        );
        self.with_floor = stop;
    }

    fn next(&mut self) -> Option<PeakFeatures> {
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

    /// The known frames from `c - before` to `c + after`; never empty.
    fn around(&self, c: u64, before: u64, after: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c.saturating_sub(before), c + after)
    }

    /// The known frames from `c - from` to `c - to`; never empty.
    fn before(&self, c: u64, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c.saturating_sub(from), c.saturating_sub(to))
    }

    /// The known frames from `c + from` to `c + to`; never empty.
    fn after(&self, c: u64, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Frame> {
        self.between(c + from, c + to)
    }

    fn between(&self, first: u64, last: u64) -> impl ExactSizeIterator<Item = &Frame> {
        let newest = self.strong.saturating_sub(1);
        let first = first.min(newest) as usize;
        let last = last.min(newest) as usize;
        (first..last + 1).map(|t| self.frame(t as u64))
    }

    /// `pl` of a frame: mean loudness of the frame and of five frames on both sides.
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

    fn describe(&mut self, peak: Peak) -> PeakFeatures {
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
        let own = PastPeak {
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
        let (sim3, sim10, ldiff) = self.most_similar(&own);

        let aloud = |frame: &Frame| frame.loudness;
        let mut features = [0.0; FEATURES];
        let mut slots = features.iter_mut();
        let mut put = |x: f32| {
            if let Some(slot) = slots.next() {
                *slot = x;
            }
        };
        for r in 0..REFERENCES.len() {
            let near = self.around(c, AROUND as u64, AROUND as u64);
            put((LEAST_FLUX + near.map(|f| f.strength.flux[r]).fold(0.0, f32::max)).ln());
        }
        put(mean_of(self.after(c, 0, 15).map(level)) - mean_of(self.before(c, 30, 4).map(level)));
        put(mean_of(self.after(c, 0, 19).map(level)) - self.frame(c).floor);
        let busy = self.before(c, 200, 11).map(|f| f.strength.flux_20());
        put((LEAST_FLUX + mean_of(busy)).ln());
        put((LEAST_FLUX + self.before(c, 200, 10).map(long).fold(0.0, f32::max)).ln());
        put(self.since(c, |past| past.flux_100 >= own.flux_100));
        put((LEAST_FLUX + self.after(c, 10, AFTER).map(long).fold(0.0, f32::max)).ln());
        let (a, b) = (bands(self.after(c, 0, 29)), bands(self.before(c, 100, 6)));
        let norms = (dot(&a, &a) * dot(&b, &b)).sqrt();
        put(1.0 - dot(&a, &b) / (norms + LEAST_NORM));
        let near = self.around(c, AROUND as u64, AROUND as u64);
        put(near.map(|f| f.strength.broad).fold(0.0, f32::max));
        put(sim3);
        put(sim10);
        put(ldiff);
        put(self.quietest(c, 54, 4));
        put(self.quietest(c, 204, 4));
        put(mean_of(self.after(c, 15, 29).map(aloud)) - mean_of(self.before(c, 30, 5).map(aloud)));
        let (body, before) = (bands(self.after(c, 0, 14)), bands(self.before(c, 30, 5)));
        put(centroid(&body) - centroid(&before));
        put(self.since(c, |past| past.loudness >= own.loudness));
        self.past.push_back(own);
        let later = bands(self.after(c, 25, AFTER));
        let mut timbre = [0.0; TIMBRE];
        let groups = [&body, &before, &later].map(by_group);
        for (slot, mean) in timbre.iter_mut().zip(groups.into_iter().flatten()) {
            *slot = mean;
        }
        let spectrum = mean_row(self.after(c, 0, SOUND), |frame| &frame.log);
        let preceding = mean_row(self.before(c, BEFORE.0, BEFORE.1), |frame| &frame.log);
        let spectra = MetricSpectra::new(self.metric.as_deref(), &spectrum, &preceding);
        let context = self.windows.around(&ContextQuery {
            frame: c,
            sound: &spectra.sound,
            before: &spectra.before,
            level: mean(&spectrum),
        });
        let rows = [&body, &later, &self.max_rise(c)];
        // The first features are the flux against each reference.
        let compared = ComparedPeak::new(c, own.sound, rows, features[R100], spectra);
        PeakFeatures {
            frame: c,
            flux_100: peak.flux_100,
            features,
            timbre,
            floors: self.frame(c).floors,
            spectrum,
            steady: spectra.steady(),
            comparisons: self.comparisons(compared),
            context,
        }
    }

    /// The largest rise of each band around a peak.
    fn max_rise(&self, c: u64) -> Row {
        let mut most = [0.0f32; BANDS];
        for frame in self.around(c, 1, AROUND as u64) {
            for (most, rise) in most.iter_mut().zip(&frame.rise) {
                *most = most.max(*rise);
            }
        }
        most
    }

    fn comparisons(&mut self, own: ComparedPeak) -> Comparisons {
        let oldest = self.strong.saturating_sub(RING - BESIDE);
        let mut recent = std::mem::take(&mut self.recent);
        let comparisons = recent.compare(own, oldest, |t| self.smooth_loudness(t));
        self.recent = recent;
        comparisons
    }

    /// Similarity to the most similar peak within 3 s and within 10 s, and how much louder this peak is than the
    /// latter.
    fn most_similar(&self, own: &PastPeak) -> (f32, f32, f32) {
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

    /// `ln(0.05 + s)`, `s` the seconds, at most ten, since the last peak for which `holds` is true.
    fn since(&self, c: u64, holds: impl Fn(&PastPeak) -> bool) -> f32 {
        let last = self.past.iter().rev().find(|past| holds(past));
        let seconds = last.map_or(LONGEST_SECONDS, |past| (c - past.frame) as f32 * 0.01);
        (LEAST_SECONDS + seconds.min(LONGEST_SECONDS)).ln()
    }
}

#[inline(always)]
fn mean(row: &Row) -> f32 {
    sum(row) / BANDS as f32
}

/// The mean of each group of eight bands.
#[inline(always)]
fn by_group(row: &Row) -> [f32; GROUPS] {
    let (groups, _) = row.as_chunks::<{ BANDS / GROUPS }>();
    std::array::from_fn(|g| {
        groups
            .get(g)
            .map_or(0.0, |group| group.iter().sum::<f32>() / group.len() as f32)
    })
}

fn mean_of(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let n = values.len().max(1) as f32;
    values.sum::<f32>() / n
}

/// The mean of `P` by band.
fn bands<'a>(frames: impl ExactSizeIterator<Item = &'a Frame>) -> Row {
    mean_row(frames, |frame| &frame.above)
}

/// The mean of a row by band.
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
