//! Compares a peak with everything heard lately: distinguishes new sounds from those that were there before, with or without an onset of their
//! own.
//!
//! Earlier peaks ([`super::comparison`]) are not enough: running water has none. So the [`super::Metric`] compares
//! each peak, and the second after it, with windows of 0.32 s laid over the last half minute.

use std::collections::VecDeque;

use super::metric::Metric;
use crate::hearing::mel::BANDS;
use crate::hearing::simd::{fast_max, vectorized};

/// Number of context features.
pub const CONTEXT: usize = LAGS.len() * (COMPARED + 2) + 2 * LATER + 7;

/// Names of [`super::PeakFeatures::context`], in order.
///
/// A window is 32 frames long, and one begins every eighth frame. It is described by the direction of its mean `L` by the metric, and by
/// its level, the bands' mean of `L`. ContextWindows *behind* a peak end before `c-4`; similarity is in [-1, 1]. The number in a name is a range
/// of windows behind, counted back from the last: 1 is 0 to 2, 2 is 3 to 8, 3 is 9 to 19, 4 is 20 to 49 (4 s), 5 is 50 to 119, 6 is 120
/// to 374 (30 s). Where there is no such window, the feature is 0.
///
/// | name | definition |
/// |---|---|
/// | `now1` .. `now6` | similarity of `c..c+31` to the most similar window of the range |
/// | `soon1` .., `later1` .., `last1` .. | the same for the first windows that begin after `c`, `c+32` and `c+64` |
/// | `past1` .. | the same for `c-36..c-5` |
/// | `loudest1` .., `quietest1` .. | level of the loudest and of the quietest window of the range, minus that of `c..c+31` |
/// | `keeps1`, `keeps2`, `keeps3` | similarity of those three windows to `c..c+31` |
/// | `level1`, `level2`, `level3` | their level, minus that of `c..c+31` |
/// | `known`, `known_least` | similarity of each of the eight windows after `c` to the most similar of thirteen windows behind (1.3 s): mean and minimum |
/// | `across`, `after`, `behind` | mean similarity of those eight and those thirteen to each other, and among themselves |
/// | `known5`, `known5_least` | as `known`, to the most similar of 61 windows behind (5 s) |
pub const CONTEXT_NAMES: [&str; CONTEXT] = [
    "now1",
    "soon1",
    "later1",
    "last1",
    "past1",
    "loudest1",
    "quietest1",
    "now2",
    "soon2",
    "later2",
    "last2",
    "past2",
    "loudest2",
    "quietest2",
    "now3",
    "soon3",
    "later3",
    "last3",
    "past3",
    "loudest3",
    "quietest3",
    "now4",
    "soon4",
    "later4",
    "last4",
    "past4",
    "loudest4",
    "quietest4",
    "now5",
    "soon5",
    "later5",
    "last5",
    "past5",
    "loudest5",
    "quietest5",
    "now6",
    "soon6",
    "later6",
    "last6",
    "past6",
    "loudest6",
    "quietest6",
    "keeps1",
    "level1",
    "keeps2",
    "level2",
    "keeps3",
    "level3",
    "known",
    "known_least",
    "across",
    "after",
    "behind",
    "known5",
    "known5_least",
];

/// Frames in a window, and from one window to the next.
pub(super) const WINDOW: u64 = 32;
const STEP: u64 = 8;
/// ContextWindows behind a peak, counted back from the last one that ends before it: start and end of each range.
const LAGS: [(usize, usize); 6] = [(0, 3), (3, 9), (9, 20), (20, 50), (50, 120), (120, 375)];
/// A window is behind a peak if it begins at least this many frames before it.
const BEHIND: u64 = 36;
/// ContextWindows after the peak that are compared one by one.
const LATER: usize = 3;
/// Spectra that are compared with the windows of each range.
const COMPARED: usize = LATER + 2;
/// ContextWindows after the peak, and windows shortly and further behind, that are compared as groups.
const AFTER: usize = 8;
const SHORTLY: usize = 13;
const FURTHER: usize = 61;
/// Frames after a peak that the context uses.
pub(super) const AHEAD: u64 = STEP + LATER as u64 * WINDOW;
/// ContextWindows in memory: half a minute behind a peak, and those after it.
pub(super) const KEPT: usize = LAGS[LAGS.len() - 1].1 + ((BEHIND + AHEAD) / STEP) as usize + 2;

type Row = [f32; BANDS];

/// The stored part of a window.
#[derive(Clone, Copy, Debug)]
struct Window {
    spectra: Row,
    level: f32,
}

/// The peak that is compared with the windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextQuery<'a> {
    pub(super) frame: u64,
    /// Whitened directions of its own spectrum and of the one before it.
    pub(super) sound: &'a Row,
    pub(super) before: &'a Row,
    pub(super) level: f32,
}

/// ContextWindows over the last half minute.
#[derive(Clone, Debug, Default)]
pub(super) struct ContextWindows {
    /// The latest is last.
    last: VecDeque<Window>,
    /// Number of windows so far.
    count: u64,
}

impl ContextWindows {
    /// The start of the next window, if it ends before frame `stop`.
    pub(super) fn due(&self, stop: u64) -> Option<u64> {
        let start = self.count * STEP;
        (start + WINDOW <= stop).then_some(start)
    }

    /// Adds the next window, given its mean `L`.
    pub(super) fn push(&mut self, metric: &Metric, mean: &Row) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Window {
            spectra: super::metric::unit(metric.of(mean)),
            level: super::mean(mean),
        });
        self.count += 1;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// The windows `from..to`, as far as they are remembered.
    fn range(&self, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Window> + Clone {
        let first = self.count - self.last.len() as u64;
        let place = |n: u64| (n.max(first) - first).min(self.last.len() as u64) as usize;
        self.last.range(place(from)..place(to).max(place(from)))
    }

    /// In the order of [`CONTEXT_NAMES`]; finite.
    pub(super) fn around(&self, own: &ContextQuery<'_>) -> [f32; CONTEXT] {
        vectorized(
            #[inline(always)]
            || self.features(own),
        )
    }

    #[inline(always)]
    fn features(&self, own: &ContextQuery<'_>) -> [f32; CONTEXT] {
        let mut all = [0.0; CONTEXT];
        let mut slots = all.iter_mut();
        let mut put = |x: f32| {
            if let Some(slot) = slots.next() {
                *slot = x;
            }
        };
        // One past the last window behind.
        let behind = match own.frame.checked_sub(BEHIND) {
            Some(start) => (start / STEP + 1).min(self.count),
            None => 0,
        };
        // ContextWindows behind the peak, counted back from it.
        let back = |from: usize, to: usize| {
            let place = |n: usize| behind.saturating_sub(n as u64);
            self.range(place(to), place(from))
        };
        let next = own.frame / STEP + 1;
        let nothing = Window {
            spectra: [0.0; BANDS],
            level: own.level,
        };
        let later: [&Window; LATER] = std::array::from_fn(|k| {
            let wanted = next + k as u64 * (WINDOW / STEP);
            let there = wanted.min(self.count.saturating_sub(1));
            self.range(there, there + 1).next().unwrap_or(&nothing)
        });
        let [soon, then, last] = later;
        let compared = [
            own.sound,
            &soon.spectra,
            &then.spectra,
            &last.spectra,
            own.before,
        ];
        for (from, to) in LAGS {
            let range = back(from, to);
            if range.len() == 0 {
                (0..COMPARED + 2).for_each(|_| put(0.0));
                continue;
            }
            let mut most = [f32::MIN; COMPARED];
            let (mut loudest, mut quietest) = (f32::MIN, f32::MAX);
            for window in range {
                for (most, one) in most.iter_mut().zip(compared) {
                    *most = fast_max(*most, super::dot(&window.spectra, one));
                }
                loudest = fast_max(loudest, window.level);
                quietest = quietest.min(window.level);
            }
            most.into_iter().for_each(&mut put);
            put(loudest - own.level);
            put(quietest - own.level);
        }
        for window in later {
            put(super::dot(&window.spectra, own.sound));
            put(window.level - own.level);
        }
        let after = self.range(next, next + AFTER as u64);
        let (shortly, further) = (back(0, SHORTLY), back(0, FURTHER));
        let (known1, least1) = most_similar(after.clone(), shortly.clone());
        let (known5, least5) = most_similar(after.clone(), further);
        put(known1);
        put(least1);
        put(mean_similarity(after.clone(), shortly.clone()));
        put(mean_similarity(after.clone(), after));
        put(mean_similarity(shortly.clone(), shortly));
        put(known5);
        put(least5);
        all
    }
}

/// The similarity of each window to the most similar of `others`: mean and minimum; 0 if there are none.
#[inline(always)]
fn most_similar<'a>(
    some: impl ExactSizeIterator<Item = &'a Window>,
    others: impl ExactSizeIterator<Item = &'a Window> + Clone,
) -> (f32, f32) {
    let n = some.len();
    if n == 0 || others.len() == 0 {
        return (0.0, 0.0);
    }
    let (mut sum, mut least) = (0.0, f32::MAX);
    for one in some {
        let most = others.clone().fold(f32::MIN, |most, other| {
            fast_max(most, super::dot(&one.spectra, &other.spectra))
        });
        sum += most;
        least = least.min(most);
    }
    (sum / n as f32, least)
}

/// Mean similarity between two groups of windows, from the means of both.
#[inline(always)]
fn mean_similarity<'a>(
    some: impl ExactSizeIterator<Item = &'a Window>,
    others: impl ExactSizeIterator<Item = &'a Window>,
) -> f32 {
    super::dot(&mean_direction(some), &mean_direction(others))
}

/// Mean direction; zero if there are none.
#[inline(always)]
fn mean_direction<'a>(windows: impl ExactSizeIterator<Item = &'a Window>) -> Row {
    let n = windows.len().max(1) as f32;
    let mut sums = [0.0; BANDS];
    for window in windows {
        for (sum, x) in sums.iter_mut().zip(&window.spectra) {
            *sum += x;
        }
    }
    sums.map(|sum| sum / n)
}
