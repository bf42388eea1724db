//! Compares a peak with earlier ones: distinguishes a new sound from a repetition.
//!
//! A peak is compared with each of the last peaks: time between them, similarity, loudness, and whether it was quiet
//! in between. So a chop after a chop is recognised as one.

use std::collections::VecDeque;

use super::metric::MetricSpectra;
use crate::hearing::mel::BANDS;

/// Number of features that compare two peaks.
pub const COMPARISON: usize = 14;
/// Most earlier peaks that one is compared with, and their greatest age in frames.
pub const COMPARED: usize = 16;
const OLDEST: u64 = 3000;

/// Names of the features that compare two peaks, in order. `c` is the later peak's frame, `c'` the earlier one's. `P`, `V`, `pl` and
/// means as in [`super::FEATURE_NAMES`]; similarity is `U.U'`, `U = X / (|X| + 0.3)`.
///
/// | name | definition |
/// |---|---|
/// | `ago` | `ln(0.05 + s)`, `s` the seconds between |
/// | `like10`, `like15` | similarity of the bands' mean `P[c..c+9]`, `P[c..c+14]` |
/// | `like_later` | similarity of the bands' mean `P[c+25..c+40]` |
/// | `like_rise` | similarity of the rise of each band against the last 0.2 s, the maximum of `c-1..c+3` |
/// | `louder10`, `louder15` | mean `P[c..c+9]`, `P[c..c+14]`, minus that of `c'` |
/// | `sharper` | `lR100'` minus `lR100` |
/// | `longer` | how much louder `c+25..c+40` is than `c..c+9`, minus the same of `c'` |
/// | `lull` | `min pl[c'+5..c-5]` (of the last two seconds, where no peak was in them) |
/// | `its_lR100` | `lR100'` |
/// | `like_sound`, `like_change`, `like_before` | by the [`super::Metric`], in [-1, 1], 0 without one: similarity of the mean `L[c..c+31]`; of its difference from the mean `L[c-36..c-5]`; of the latter and `L[c'..c'+31]` |
pub const COMPARISON_NAMES: [&str; COMPARISON] = [
    "ago",
    "like10",
    "like15",
    "like_later",
    "like_rise",
    "louder10",
    "louder15",
    "sharper",
    "longer",
    "lull",
    "its_lR100",
    "like_sound",
    "like_change",
    "like_before",
];

/// Those that need a [`super::Metric`].
pub const METRIC_COMPARISONS: [&str; 3] = ["like_sound", "like_change", "like_before"];

type Row = [f32; BANDS];

/// Comparisons with earlier peaks, the latest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparisons {
    rows: [[f32; COMPARISON]; COMPARED],
    n: usize,
}

impl Default for Comparisons {
    fn default() -> Self {
        Self {
            rows: [[0.0; COMPARISON]; COMPARED],
            n: 0,
        }
    }
}

impl Comparisons {
    /// Each in the order of [`COMPARISON_NAMES`]; finite.
    pub fn rows(&self) -> &[[f32; COMPARISON]] {
        &self.rows[..self.n]
    }
}

/// The stored part of a peak, for comparison with later ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparedPeak {
    pub(super) frame: u64,
    /// The bands' mean `P[c..c+9]`, `P[c..c+14]`, `P[c+25..c+40]`, and their rise.
    early: Sound,
    body: Sound,
    later: Sound,
    rise: Sound,
    /// `lR100`.
    sharp: f32,
    spectra: MetricSpectra,
    /// The smallest `pl` since the peak, as far as it was searched.
    lull: f32,
}

/// A row of bands: its direction (`U`) and its mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound {
    unit: Row,
    pub(super) mean: f32,
}

impl Sound {
    pub(super) fn new(row: &Row) -> Self {
        let norm = super::dot(row, row).sqrt() + super::LEAST_NORM;
        Self {
            unit: row.map(|x| x / norm),
            mean: super::mean(row),
        }
    }

    pub(super) fn like(&self, other: &Self) -> f32 {
        super::dot(&self.unit, &other.unit)
    }
}

impl ComparedPeak {
    pub(super) fn new(
        frame: u64,
        early: Sound,
        [body, later, rise]: [&Row; 3],
        sharp: f32,
        spectra: MetricSpectra,
    ) -> Self {
        Self {
            frame,
            early,
            body: Sound::new(body),
            later: Sound::new(later),
            rise: Sound::new(rise),
            sharp,
            spectra,
            lull: f32::MAX,
        }
    }

    fn longer(&self) -> f32 {
        self.later.mean - self.early.mean
    }

    fn compare(&self, earlier: &Self) -> [f32; COMPARISON] {
        let seconds = self.frame.saturating_sub(earlier.frame) as f32 * 0.01;
        let [sound, change, before] = self.spectra.compare(&earlier.spectra);
        [
            (super::LEAST_SECONDS + seconds).ln(),
            self.early.like(&earlier.early),
            self.body.like(&earlier.body),
            self.later.like(&earlier.later),
            self.rise.like(&earlier.rise),
            self.early.mean - earlier.early.mean,
            self.body.mean - earlier.body.mean,
            earlier.sharp - self.sharp,
            self.longer() - earlier.longer(),
            earlier.lull,
            earlier.sharp,
            sound,
            change,
            before,
        ]
    }
}

/// The last peaks.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentPeaks {
    /// The latest is last.
    last: VecDeque<ComparedPeak>,
    /// Frames before this one have been searched for quiet.
    until: u64,
}

impl RecentPeaks {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// Compares a peak with those before it, and remembers it. `loudness` gives `pl` of a frame, from frame `oldest`
    /// on.
    pub(super) fn compare(
        &mut self,
        own: ComparedPeak,
        oldest: u64,
        loudness: impl Fn(u64) -> f32,
    ) -> Comparisons {
        while self
            .last
            .front()
            .is_some_and(|past| past.frame + OLDEST < own.frame)
        {
            self.last.pop_front();
        }
        let stop = own.frame.saturating_sub(4);
        for t in self.until.max(oldest)..stop {
            let loudness = loudness(t);
            for past in self.last.iter_mut().filter(|past| past.frame + 5 <= t) {
                past.lull = past.lull.min(loudness);
            }
        }
        self.until = self.until.max(stop);
        let mut comparisons = Comparisons::default();
        for (row, past) in comparisons.rows.iter_mut().zip(self.last.iter_mut().rev()) {
            if past.lull == f32::MAX {
                // Nothing lies between two peaks this close.
                past.lull = loudness(past.frame + 5);
            }
            *row = own.compare(past);
            comparisons.n += 1;
        }
        if self.last.len() == COMPARED {
            self.last.pop_front();
        }
        self.last.push_back(own);
        comparisons
    }
}
