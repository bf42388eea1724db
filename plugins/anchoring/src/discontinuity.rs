//! Discontinuities: stretches without frames, found in timestamps, and the recording's time without them.
//!
//! A jump of timestamps, be it a minute or a year, costs one step: it is one discontinuity, and nothing is planned
//! inside.

use crate::time::{Nanos, Window};

/// Shorter stretches are not discontinuities, however dense the frames are elsewhere.
pub const MIN_LENGTH: Nanos = Nanos::from_ms(2_000);
/// A discontinuity is at least this many times the usual distance of two frames.
const USUAL_FACTOR: i64 = 20;
/// Frames after which the usual distance is known.
const KNOWN_AFTER: i64 = 10;

/// Finds discontinuities in the times of frames, given in decoding order.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscontinuityFinder {
    newest: Option<Nanos>,
    /// Number and sum of the distances so far, without discontinuities.
    count: i64,
    length: Nanos,
}

impl DiscontinuityFinder {
    /// Takes the time of a frame. Returns the discontinuity that ends here: from the newest frame before to this one.
    pub fn push(&mut self, at: Nanos) -> Option<Window> {
        let Some(newest) = self.newest else {
            self.newest = Some(at);
            return None;
        };
        self.newest = Some(newest.max(at));
        let apart = at - newest;
        let usual = Nanos::new(self.length.get() / self.count.max(1));
        if self.count >= KNOWN_AFTER
            && apart >= MIN_LENGTH
            && apart.get() / USUAL_FACTOR >= usual.get()
        {
            return Window::new(newest, at);
        }
        self.count += 1;
        self.length = self.length + apart.max(Nanos::ZERO);
        None
    }
}

/// The time of a recording with some stretches cut out.
#[derive(Clone, Debug, Default)]
pub struct CompactTimeline {
    /// The cuts, disjoint and ascending, each with the time that was cut out before it.
    cuts: Vec<(Window, Nanos)>,
}

impl CompactTimeline {
    /// Cuts out these stretches, which must ascend. Any that overlaps the one before is ignored.
    pub fn new(stretches: impl IntoIterator<Item = Window>) -> Self {
        let mut cuts: Vec<(Window, Nanos)> = Vec::new();
        for stretch in stretches {
            let before = match cuts.last() {
                Some((last, _)) if last.stop() > stretch.start() => continue,
                Some((last, before)) => *before + (last.stop() - last.start()),
                None => Nanos::ZERO,
            };
            cuts.push((stretch, before));
        }
        Self { cuts }
    }

    /// The cuts, in the recording's time.
    pub fn cuts(&self) -> impl ExactSizeIterator<Item = Window> + '_ {
        self.cuts.iter().map(|(cut, _)| *cut)
    }

    /// The recording's time -> compact time, and whether the instant was cut out; then it maps to the position of the
    /// cut.
    pub fn compact(&self, at: Nanos) -> (Nanos, bool) {
        let next = self.cuts.partition_point(|(cut, _)| cut.start() <= at);
        let Some((cut, before)) = next.checked_sub(1).map(|i| self.cuts[i]) else {
            return (at, false);
        };
        if at < cut.stop() {
            return (cut.start() - before, true);
        }
        (at - before - (cut.stop() - cut.start()), false)
    }

    /// Compact time -> the recording's time. The position of a cut maps to its end.
    pub fn expand(&self, at: Nanos) -> Nanos {
        let left = |(cut, before): &(Window, Nanos)| cut.start() - *before <= at;
        let next = self.cuts.partition_point(left);
        let cut = next.checked_sub(1).map(|i| self.cuts[i]);
        cut.map_or(at, |(cut, before)| at + before + (cut.stop() - cut.start()))
    }

    /// Compact time -> the recording's time, for a window. The window stays on that side of every cut where `near`
    /// lies, which is given in compact time.
    pub fn expand_window(&self, window: Window, near: Nanos) -> Window {
        let last = Nanos::new(1);
        let near = self.expand(near.max(window.start()).min(window.stop() - last));
        let (mut start, mut stop) = (
            self.expand(window.start()),
            self.expand(window.stop() - last) + last,
        );
        let next = self.cuts.partition_point(|(cut, _)| cut.start() <= near);
        if let Some((cut, _)) = next.checked_sub(1).map(|i| self.cuts[i]) {
            start = start.max(cut.stop());
        }
        if let Some((cut, _)) = self.cuts.get(next) {
            stop = stop.min(cut.start());
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
    fn a_jump_is_one_discontinuity_and_slow_frames_are_none() {
        let found = |times: Vec<i64>| {
            let mut finder = DiscontinuityFinder::default();
            let times = times.into_iter().map(Nanos::from_ms);
            times.filter_map(|at| finder.push(at)).collect::<Vec<_>>()
        };
        let mut fast: Vec<i64> = (0..50).map(|i| 40 * i).collect();
        fast.extend([62_000, 62_040, 62_080]);
        let from = Nanos::from_ms(1960);
        assert_eq!(found(fast), [Window::new(from, s(62)).unwrap()]);
        // One frame every ten seconds, then one after twenty.
        let mut slow: Vec<i64> = (0..50).map(|i| 10_000 * i).collect();
        slow.push(510_000);
        assert_eq!(found(slow), []);
    }

    #[test]
    fn windows_stay_on_their_side_of_a_cut() {
        let timeline = CompactTimeline::new([window(10, 70), window(100, 1_000_000)]);
        assert_eq!(timeline.compact(s(5)), (s(5), false));
        assert_eq!(timeline.compact(s(30)), (s(10), true));
        assert_eq!(timeline.compact(s(80)), (s(20), false));
        assert_eq!(timeline.expand(s(20)), s(80));
        let across = window(8, 12);
        assert_eq!(timeline.expand_window(across, s(9)), window(8, 10));
        assert_eq!(timeline.expand_window(across, s(11)), window(70, 72));
        let none = CompactTimeline::default();
        assert_eq!(none.expand_window(across, s(11)), across);
    }

    proptest! {
        #[test]
        fn there_and_back(
            lengths in prop::collection::vec((1i64..1000, 1i64..1000), 0..6),
            at in 0i64..8000,
        ) {
            let mut from = 0;
            let cuts: Vec<Window> = lengths.into_iter().map(|(left, cut)| {
                let stretch = Window::new(Nanos::new(from + left), Nanos::new(from + left + cut)).unwrap();
                from += left + cut;
                stretch
            }).collect();
            let timeline = CompactTimeline::new(cuts);
            let at = Nanos::new(at);
            let (short, cut) = timeline.compact(at);
            if !cut {
                prop_assert_eq!(timeline.expand(short), at);
            }
            prop_assert_eq!(timeline.compact(timeline.expand(at)), (at, false));
        }

        #[test]
        fn any_times_are_accepted(times in prop::collection::vec(any::<i64>(), 0..50)) {
            let mut finder = DiscontinuityFinder::default();
            let cuts: Vec<_> = times.iter().filter_map(|at| finder.push(Nanos::new(*at))).collect();
            let timeline = CompactTimeline::new(cuts);
            for at in times {
                timeline.expand(timeline.compact(Nanos::new(at)).0);
            }
        }
    }
}
