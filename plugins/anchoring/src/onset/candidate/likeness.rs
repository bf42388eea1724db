//! Beside what was heard before: what tells a new sound from another stroke of one that was there already.
//!
//! A candidate is compared with each of the last candidates: how long ago that was, how like it sounded, how loud, and whether there was
//! quiet in between. By these numbers a chop after a chop is known for what it is.

use std::collections::VecDeque;

use super::metric::Bearing;
use crate::hearing::mel::BANDS;

/// How many numbers compare two candidates.
pub const LIKENESS: usize = 14;
/// With how many earlier candidates one is compared, at most; and how long ago they may have been, in frames.
pub const COMPARED: usize = 16;
const OLDEST: u64 = 3000;

/// What they are called, in their order; `c` is the later candidate's frame, `c'` the earlier one's. `P`, `V`, `pl` and means as in
/// [`super::FEATURE_NAMES`]; likeness is `U.U'`, `U = X / (|X| + 0.3)`.
///
/// | name | what it is |
/// |---|---|
/// | `ago` | `ln(0.05 + s)`, `s` the seconds between |
/// | `like10`, `like15` | likeness of the bands' mean `P[c..c+9]`, `P[c..c+14]` |
/// | `like_later` | likeness of the bands' mean `P[c+25..c+40]` |
/// | `like_rise` | likeness of how far each band rose against the last fifth of a second, the most of `c-1..c+3` |
/// | `louder10`, `louder15` | mean `P[c..c+9]`, `P[c..c+14]`, less that of `c'` |
/// | `sharper` | `lR100'` less `lR100` |
/// | `longer` | how much louder `c+25..c+40` is than `c..c+9`, less the same of `c'` |
/// | `lull` | `min pl[c'+5..c-5]` (of the last two seconds, where no candidate was in them) |
/// | `its_lR100` | `lR100'` |
/// | `like_sound`, `like_change`, `like_before` | by the [`super::Metric`], in [-1, 1], 0 without one: likeness of the mean `L[c..c+31]`; of how far that lies from the mean `L[c-36..c-5]`; of the latter and `L[c'..c'+31]` |
pub const LIKENESS_NAMES: [&str; LIKENESS] = [
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

/// Those of them that need a [`super::Metric`].
pub const LEARNED: [&str; 3] = ["like_sound", "like_change", "like_before"];

type Row = [f32; BANDS];

/// Comparisons with earlier candidates, the latest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    rows: [[f32; LIKENESS]; COMPARED],
    n: usize,
}

impl Default for Beside {
    fn default() -> Self {
        Self {
            rows: [[0.0; LIKENESS]; COMPARED],
            n: 0,
        }
    }
}

impl Beside {
    /// Each in the order of [`LIKENESS_NAMES`]; finite.
    pub fn rows(&self) -> &[[f32; LIKENESS]] {
        &self.rows[..self.n]
    }
}

/// What is known of a candidate by which others are compared with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketch {
    pub(super) frame: u64,
    /// The bands' mean `P[c..c+9]`, `P[c..c+14]`, `P[c+25..c+40]`, and how far they rose.
    early: Sound,
    body: Sound,
    later: Sound,
    rise: Sound,
    /// `lR100`.
    sharp: f32,
    bearing: Bearing,
    /// The least `pl` since, as far as it was looked for.
    lull: f32,
}

/// Bands, by direction (`U`) and mean.
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

impl Sketch {
    pub(super) fn new(
        frame: u64,
        early: Sound,
        [body, later, rise]: [&Row; 3],
        sharp: f32,
        bearing: Bearing,
    ) -> Self {
        Self {
            frame,
            early,
            body: Sound::new(body),
            later: Sound::new(later),
            rise: Sound::new(rise),
            sharp,
            bearing,
            lull: f32::MAX,
        }
    }

    fn longer(&self) -> f32 {
        self.later.mean - self.early.mean
    }

    fn compare(&self, earlier: &Self) -> [f32; LIKENESS] {
        let seconds = self.frame.saturating_sub(earlier.frame) as f32 * 0.01;
        let [sound, change, before] = self.bearing.compare(&earlier.bearing);
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

/// The last candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketches {
    /// The latest last.
    last: VecDeque<Sketch>,
    /// Quiet was looked for before this frame.
    until: u64,
}

impl Sketches {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// Compares a candidate with those before it, and remembers it. `loudness` is `pl` of a frame, `oldest` the first frame that it knows.
    pub(super) fn compare(
        &mut self,
        own: Sketch,
        oldest: u64,
        loudness: impl Fn(u64) -> f32,
    ) -> Beside {
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
        let mut beside = Beside::default();
        for (row, past) in beside.rows.iter_mut().zip(self.last.iter_mut().rev()) {
            if past.lull == f32::MAX {
                // Too near for anything to lie between.
                past.lull = loudness(past.frame + 5);
            }
            *row = own.compare(past);
            beside.n += 1;
        }
        if self.last.len() == COMPARED {
            self.last.pop_front();
        }
        self.last.push_back(own);
        beside
    }
}
