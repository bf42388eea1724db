//! Among everything heard lately: what tells something new from what was there already, whether or not that had a beginning of its own.
//!
//! Other candidates ([`super::likeness`]) are not all that was heard: water that runs has none. So each candidate is compared, by the
//! [`super::Metric`], with windows of a third of a second laid over the last half minute, and so is the second that follows it.

use std::collections::VecDeque;

use super::metric::Metric;
use crate::hearing::mel::BANDS;
use crate::hearing::simd::{larger, wide};

/// How many numbers tell a candidate's surroundings.
pub const SURROUNDINGS: usize = LAGS.len() * (COMPARED + 2) + 2 * LATER + 7;

/// What they are called, in their order. A window is 32 frames, one begins every eighth frame; it is known by the direction of its mean `L`
/// by the metric, and by its level, the bands' mean of that. Those *behind* a candidate end before `c-4`; likeness is in [-1, 1].
/// A number in a name is a range of windows behind, counted from the last: 1 is 0 to 2, 2 is 3 to 8, 3 is 9 to 19, 4 is 20 to 49 (four
/// seconds), 5 is 50 to 119, 6 is 120 to 374 (half a minute). Where there is no such window, it is 0.
///
/// | name | what it is |
/// |---|---|
/// | `now1` .. `now6` | likeness of `c..c+31` to the likest window of the range |
/// | `soon1` .., `later1` .., `last1` .. | the same of the first windows that begin after `c`, `c+32` and `c+64` |
/// | `past1` .. | the same of `c-36..c-5` |
/// | `loudest1` .., `quietest1` .. | level of the loudest and the quietest window of the range, less that of `c..c+31` |
/// | `keeps1`, `keeps2`, `keeps3` | likeness of those three windows to `c..c+31` |
/// | `level1`, `level2`, `level3` | their level, less that of `c..c+31` |
/// | `known`, `known_least` | of each of the eight windows after `c`, the likeness to the likest of thirteen windows behind (1.3 s): their mean, the least |
/// | `across`, `after`, `behind` | mean likeness of those eight and those thirteen to each other, and among themselves |
/// | `known5`, `known5_least` | as `known`, to the likest of 61 windows behind (5 s) |
pub const SURROUNDING_NAMES: [&str; SURROUNDINGS] = [
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

/// Frames of a window, and from one to the next.
pub(super) const WINDOW: u64 = 32;
const STEP: u64 = 8;
/// Windows behind a candidate, from the last that ends before it: first of each range, and the first that is in none.
const LAGS: [(usize, usize); 6] = [(0, 3), (3, 9), (9, 20), (20, 50), (50, 120), (120, 375)];
/// How long before a candidate a window must begin to be behind it, in frames.
const BEHIND: u64 = 36;
/// Windows after it that are looked at one by one.
const LATER: usize = 3;
/// What is compared with the windows of each range.
const COMPARED: usize = LATER + 2;
/// Windows after it, and those shortly and further behind, that are looked at together.
const AFTER: usize = 8;
const SHORTLY: usize = 13;
const FURTHER: usize = 61;
/// Frames after a candidate that all of this speaks of.
pub(super) const AHEAD: u64 = STEP + LATER as u64 * WINDOW;
/// Windows that are remembered: half a minute behind a candidate, and what follows it.
pub(super) const KEPT: usize = LAGS[LAGS.len() - 1].1 + ((BEHIND + AHEAD) / STEP) as usize + 2;

type Row = [f32; BANDS];

/// What is remembered of a window.
#[derive(Clone, Copy, Debug)]
struct Window {
    bearing: Row,
    level: f32,
}

/// What a candidate is compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own<'a> {
    pub(super) frame: u64,
    /// Directions of what it sounds like and of what was before it.
    pub(super) sound: &'a Row,
    pub(super) before: &'a Row,
    pub(super) level: f32,
}

/// Windows over the last half minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// The latest last.
    last: VecDeque<Window>,
    /// How many there were.
    count: u64,
}

impl Windows {
    /// Whether a window ends before frame `stop`, that is not known yet, and where it begins.
    pub(super) fn due(&self, stop: u64) -> Option<u64> {
        let start = self.count * STEP;
        (start + WINDOW <= stop).then_some(start)
    }

    /// The next window: its mean `L`.
    pub(super) fn push(&mut self, metric: &Metric, mean: &Row) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(Window {
            bearing: super::metric::unit(metric.of(mean)),
            level: super::mean(mean),
        });
        self.count += 1;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// Windows from one to before another, as far as they are remembered.
    fn range(&self, from: u64, to: u64) -> impl ExactSizeIterator<Item = &Window> + Clone {
        let first = self.count - self.last.len() as u64;
        let place = |n: u64| (n.max(first) - first).min(self.last.len() as u64) as usize;
        self.last.range(place(from)..place(to).max(place(from)))
    }

    /// In the order of [`SURROUNDING_NAMES`]; finite.
    pub(super) fn around(&self, own: &Own<'_>) -> [f32; SURROUNDINGS] {
        wide(
            #[inline(always)]
            || self.tell(own),
        )
    }

    #[inline(always)]
    fn tell(&self, own: &Own<'_>) -> [f32; SURROUNDINGS] {
        let mut all = [0.0; SURROUNDINGS];
        let mut slots = all.iter_mut();
        let mut say = |x: f32| {
            if let Some(slot) = slots.next() {
                *slot = x;
            }
        };
        // One more than the last window behind.
        let behind = match own.frame.checked_sub(BEHIND) {
            Some(start) => (start / STEP + 1).min(self.count),
            None => 0,
        };
        // Windows behind, by how many come after them.
        let back = |from: usize, to: usize| {
            let place = |n: usize| behind.saturating_sub(n as u64);
            self.range(place(to), place(from))
        };
        let next = own.frame / STEP + 1;
        let nothing = Window {
            bearing: [0.0; BANDS],
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
            &soon.bearing,
            &then.bearing,
            &last.bearing,
            own.before,
        ];
        for (from, to) in LAGS {
            let range = back(from, to);
            if range.len() == 0 {
                (0..COMPARED + 2).for_each(|_| say(0.0));
                continue;
            }
            let mut most = [f32::MIN; COMPARED];
            let (mut loudest, mut quietest) = (f32::MIN, f32::MAX);
            for window in range {
                for (most, one) in most.iter_mut().zip(compared) {
                    *most = larger(*most, super::dot(&window.bearing, one));
                }
                loudest = larger(loudest, window.level);
                quietest = quietest.min(window.level);
            }
            most.into_iter().for_each(&mut say);
            say(loudest - own.level);
            say(quietest - own.level);
        }
        for window in later {
            say(super::dot(&window.bearing, own.sound));
            say(window.level - own.level);
        }
        let after = self.range(next, next + AFTER as u64);
        let (shortly, further) = (back(0, SHORTLY), back(0, FURTHER));
        let (known1, least1) = known(after.clone(), shortly.clone());
        let (known5, least5) = known(after.clone(), further);
        say(known1);
        say(least1);
        say(alike(after.clone(), shortly.clone()));
        say(alike(after.clone(), after));
        say(alike(shortly.clone(), shortly));
        say(known5);
        say(least5);
        all
    }
}

/// Of each of some windows, the likeness to the likest of others: the mean, and the least; 0 without any.
#[inline(always)]
fn known<'a>(
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
            larger(most, super::dot(&one.bearing, &other.bearing))
        });
        sum += most;
        least = least.min(most);
    }
    (sum / n as f32, least)
}

/// Mean likeness of windows to others: that of their sums.
#[inline(always)]
fn alike<'a>(
    some: impl ExactSizeIterator<Item = &'a Window>,
    others: impl ExactSizeIterator<Item = &'a Window>,
) -> f32 {
    super::dot(&middle(some), &middle(others))
}

/// Mean direction; zero without any.
#[inline(always)]
fn middle<'a>(windows: impl ExactSizeIterator<Item = &'a Window>) -> Row {
    let n = windows.len().max(1) as f32;
    let mut sums = [0.0; BANDS];
    for window in windows {
        for (sum, x) in sums.iter_mut().zip(&window.bearing) {
            *sum += x;
        }
    }
    sums.map(|sum| sum / n)
}
