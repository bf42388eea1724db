//! The times of pictures -> where there are none for long, and a recording's time without those stretches.
//!
//! A jump of timestamps, be it of a minute or of a year, costs no more than a step: it is one hole, in which nothing is planned.

use crate::time::{Nanos, Window};

/// Shorter stretches are no hole, however close pictures lie elsewhere.
pub const LEAST: Nanos = Nanos::from_ms(2_000);
/// A hole is so many times as long as pictures usually lie apart,
const USUALLY: i64 = 20;
/// which is known after so many.
const KNOWN: i64 = 10;

/// Finds holes in the times of pictures, given in decoding order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finder {
    newest: Option<Nanos>,
    /// How many lie how far from the first to the newest, holes left out.
    count: i64,
    length: Nanos,
}

impl Finder {
    /// A picture; the hole that it ends: from the newest picture before it to itself.
    pub fn picture(&mut self, at: Nanos) -> Option<Window> {
        let Some(newest) = self.newest else {
            self.newest = Some(at);
            return None;
        };
        self.newest = Some(newest.max(at));
        let apart = at - newest;
        let usual = Nanos::new(self.length.get() / self.count.max(1));
        if self.count >= KNOWN && apart >= LEAST && apart.get() / USUALLY >= usual.get() {
            return Window::new(newest, at);
        }
        self.count += 1;
        self.length = self.length + apart.max(Nanos::ZERO);
        None
    }
}

/// A recording's time with some stretches cut out of it.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    /// What is cut out: apart, ascending; and how much was cut out before each.
    cuts: Vec<(Window, Nanos)>,
}

impl Cuts {
    /// Cuts these out, which must ascend and not overlap; those that do are left out.
    pub fn new(holes: impl IntoIterator<Item = Window>) -> Self {
        let mut cuts: Vec<(Window, Nanos)> = Vec::new();
        for hole in holes {
            let before = match cuts.last() {
                Some((last, _)) if last.stop() > hole.start() => continue,
                Some((last, before)) => *before + (last.stop() - last.start()),
                None => Nanos::ZERO,
            };
            cuts.push((hole, before));
        }
        Self { cuts }
    }

    /// What is cut out, in the recording's time.
    pub fn holes(&self) -> impl ExactSizeIterator<Item = Window> + '_ {
        self.cuts.iter().map(|(hole, _)| *hole)
    }

    /// An instant's place in the time that is left, and whether it was cut out: then where the cut is.
    pub fn shorten(&self, at: Nanos) -> (Nanos, bool) {
        let next = self.cuts.partition_point(|(hole, _)| hole.start() <= at);
        let Some((hole, before)) = next.checked_sub(1).map(|i| self.cuts[i]) else {
            return (at, false);
        };
        if at < hole.stop() {
            return (hole.start() - before, true);
        }
        (at - before - (hole.stop() - hole.start()), false)
    }

    /// The other way round. The instant of a cut is the end of what was cut out.
    pub fn lengthen(&self, at: Nanos) -> Nanos {
        let left = |(hole, before): &(Window, Nanos)| hole.start() - *before <= at;
        let next = self.cuts.partition_point(left);
        let cut = next.checked_sub(1).map(|i| self.cuts[i]);
        cut.map_or(at, |(hole, before)| {
            at + before + (hole.stop() - hole.start())
        })
    }

    /// A window's place, on that side of every cut on which `near` lies, which is given in the time that is left.
    pub fn lengthen_window(&self, window: Window, near: Nanos) -> Window {
        let last = Nanos::new(1);
        let near = self.lengthen(near.max(window.start()).min(window.stop() - last));
        let (mut start, mut stop) = (
            self.lengthen(window.start()),
            self.lengthen(window.stop() - last) + last,
        );
        let next = self.cuts.partition_point(|(hole, _)| hole.start() <= near);
        if let Some((hole, _)) = next.checked_sub(1).map(|i| self.cuts[i]) {
            start = start.max(hole.stop());
        }
        if let Some((hole, _)) = self.cuts.get(next) {
            stop = stop.min(hole.start());
        }
        Window::new(start, stop).unwrap_or(Window::at_least(near, near))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s(s: i64) -> Nanos {
        Nanos::from_ms(1000 * s)
    }

    fn window(from: i64, to: i64) -> Window {
        Window::new(s(from), s(to)).unwrap()
    }

    #[test]
    fn a_jump_is_one_hole_and_slow_pictures_are_none() {
        let found = |times: Vec<i64>| {
            let mut finder = Finder::default();
            let times = times.into_iter().map(Nanos::from_ms);
            times
                .filter_map(|at| finder.picture(at))
                .collect::<Vec<_>>()
        };
        let mut fast: Vec<i64> = (0..50).map(|i| 40 * i).collect();
        fast.extend([62_000, 62_040, 62_080]);
        let from = Nanos::from_ms(1960);
        assert_eq!(found(fast), [Window::new(from, s(62)).unwrap()]);
        // One picture in ten seconds, and one twice as late.
        let mut slow: Vec<i64> = (0..50).map(|i| 10_000 * i).collect();
        slow.push(510_000);
        assert_eq!(found(slow), []);
    }

    #[test]
    fn windows_stay_on_their_side_of_a_cut() {
        let cuts = Cuts::new([window(10, 70), window(100, 1_000_000)]);
        assert_eq!(cuts.shorten(s(5)), (s(5), false));
        assert_eq!(cuts.shorten(s(30)), (s(10), true));
        assert_eq!(cuts.shorten(s(80)), (s(20), false));
        assert_eq!(cuts.lengthen(s(20)), s(80));
        let across = window(8, 12);
        assert_eq!(cuts.lengthen_window(across, s(9)), window(8, 10));
        assert_eq!(cuts.lengthen_window(across, s(11)), window(70, 72));
        let none = Cuts::default();
        assert_eq!(none.lengthen_window(across, s(11)), across);
    }

    proptest! {
        #[test]
        fn there_and_back(
            lengths in prop::collection::vec((1i64..1000, 1i64..1000), 0..6),
            at in 0i64..8000,
        ) {
            let mut from = 0;
            let holes: Vec<Window> = lengths.into_iter().map(|(left, cut)| {
                let hole = Window::new(Nanos::new(from + left), Nanos::new(from + left + cut)).unwrap();
                from += left + cut;
                hole
            }).collect();
            let cuts = Cuts::new(holes);
            let at = Nanos::new(at);
            let (short, cut) = cuts.shorten(at);
            if !cut {
                prop_assert_eq!(cuts.lengthen(short), at);
            }
            prop_assert_eq!(cuts.shorten(cuts.lengthen(at)), (at, false));
        }

        #[test]
        fn any_times_are_borne(times in prop::collection::vec(any::<i64>(), 0..50)) {
            let mut finder = Finder::default();
            let holes: Vec<_> = times.iter().filter_map(|at| finder.picture(Nanos::new(*at))).collect();
            let cuts = Cuts::new(holes);
            for at in times {
                cuts.lengthen(cuts.shorten(Nanos::new(at)).0);
            }
        }
    }
}
