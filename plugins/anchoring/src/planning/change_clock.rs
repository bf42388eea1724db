//! Change time: a clock that runs fast where the video changes, and as long in all as the recording. What is even in
//! change time is even over change. What changes in a hop counts for the hop after it: a frame shows what came before it.
//!
//! Its rate follows how far a hop's change exceeds what is usual. Everywhere it keeps a share of the usual rate, so
//! that a recording that changes evenly, or whose changes say nothing, is sampled as if by time.

use std::collections::VecDeque;

use crate::cue::{HOP, MOST_CHANGE};
use crate::planning::change::Change;
use crate::planning::uniform::{MIN_SPACING, evenly_between, evenly_over};
use crate::planning::value::ValueModel;
use crate::time::Nanos;

/// Change up to this is usual: coding noise.
const USUAL: f32 = 1.2;

/// The rate where nothing exceeds the usual, as if frames cost this much more than usual.
const FLOOR: f64 = 0.05;

/// Hops whose mean change makes the rate: half a second, over which coding noise averages out and in which what is new
/// is probably still there.
const MEAN_OF: usize = 6;

/// Two frames of a spread come no closer than this, unless even spacing is closer than twice this.
const APART: Nanos = Nanos::from_ms(400);

/// The rate where nothing changes more than usual, before it is scaled.
pub(crate) const EVEN: f64 = FLOOR;

/// Change of one hop after the other -> the rate of the hop after it, before it is scaled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    recent: VecDeque<f32>,
}

impl Rates {
    pub(crate) fn push(&mut self, change: f32) -> f64 {
        if self.recent.len() == MEAN_OF {
            self.recent.pop_front();
        }
        self.recent.push_back(change.clamp(0.0, MOST_CHANGE));
        let mean = self.recent.iter().sum::<f32>() / self.recent.len() as f32;
        FLOOR + f64::from(mean - USUAL).max(0.0)
    }
}

/// How much changes in each hop of a recording.
#[derive(Clone, Debug)]
pub struct ChangeMap {
    duration: Nanos,
    /// The rate of each hop, not scaled.
    rates: Vec<f64>,
}

impl ChangeMap {
    /// For a recording of this duration. Hops that are left out get the rate of a usual one.
    pub fn new(changes: impl IntoIterator<Item = Change>, duration: Nanos) -> Self {
        let hops = (duration.get().max(0) as u64).div_ceil(HOP.get() as u64) as usize;
        let mut rates = vec![EVEN; hops];
        let mut running = Rates::default();
        for one in changes {
            let hop = usize::try_from(one.at.get().div_euclid(HOP.get()) + 1).ok();
            let rate = running.push(one.change);
            if let Some(place) = hop.and_then(|hop| rates.get_mut(hop)) {
                *place = rate;
            }
        }
        Self { duration, rates }
    }

    /// The clock that runs as the video changes.
    pub fn clock(&self) -> ChangeClock {
        ChangeClock::of(&self.rates, self.duration, APART)
    }

    /// A clock that runs at keyframes alone (ascending), at each by what has changed since the one before and is probably
    /// still there. What is even on it lies at keyframes, which are cheap to decode.
    pub fn clock_at(&self, keyframes: &[Nanos], model: &ValueModel) -> ChangeClock {
        let mut rates = vec![0.0; self.rates.len()];
        let mut next = 0;
        for (hop, rate) in self.rates.iter().enumerate() {
            let start = start_of(hop);
            while keyframes.get(next).is_some_and(|key| *key < start) {
                next += 1;
            }
            let key = keyframes.get(next).copied();
            let place = key.map(|key| (key.get() / HOP.get()) as usize);
            let waits = key.map_or(0.0, |key| (key - start).seconds());
            let left = EVEN + (rate - EVEN) * model.survival(waits);
            if let Some(place) = rates.get_mut(place.unwrap_or(hop)) {
                *place += left;
            }
        }
        ChangeClock::of(&rates, self.duration, HOP)
    }

    /// How much of the change frames at these ascending times show: each change counts for the next frame, as far as what
    /// is new is probably still there.
    pub fn seen(&self, times: impl IntoIterator<Item = Nanos>, model: &ValueModel) -> f64 {
        let mut times = times.into_iter().peekable();
        let mut seen = 0.0;
        for (hop, rate) in self
            .rates
            .iter()
            .enumerate()
            .filter(|(_, rate)| **rate > EVEN)
        {
            let start = start_of(hop);
            while times.next_if(|at| *at < start).is_some() {}
            let Some(at) = times.peek() else {
                break;
            };
            seen += (rate - EVEN) * model.survival((*at - start).seconds());
        }
        seen
    }
}

fn start_of(hop: usize) -> Nanos {
    Nanos::new(HOP.get().saturating_mul(hop as i64))
}

/// Media time -> change time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeClock {
    /// Change time at the start of each hop, in seconds; empty: change time is media time.
    starts: Vec<f64>,
    /// Two frames of a spread come no closer, unless even spacing is closer than twice this.
    apart: Nanos,
}

impl ChangeClock {
    /// With these rates, scaled so that it is as long as the recording.
    fn of(rates: &[f64], duration: Nanos, apart: Nanos) -> Self {
        let sum: f64 = rates.iter().sum();
        if sum <= 0.0 {
            return Self::default();
        }
        let scale = duration.seconds() / sum;
        let mut starts = Vec::with_capacity(rates.len() + 1);
        let mut at = 0.0;
        for rate in rates {
            starts.push(at);
            at += rate * scale;
        }
        starts.push(at);
        Self { starts, apart }
    }

    /// A clock that runs by this share of change, and for the rest by time.
    #[must_use]
    pub fn mixed(mut self, share: f64) -> Self {
        let last = self.starts.len().saturating_sub(1).max(1) as f64;
        let whole = self.starts.last().copied().unwrap_or(0.0);
        for (hop, start) in self.starts.iter_mut().enumerate() {
            *start = *start * share + whole * hop as f64 / last * (1.0 - share);
        }
        self
    }

    /// Whether change time is media time.
    pub fn is_time(&self) -> bool {
        self.starts.is_empty()
    }

    fn at(&self, time: Nanos) -> f64 {
        let hops = self.starts.len() - 1;
        let place = (time.get().max(0) as f64 / HOP.get() as f64).min(hops as f64);
        let hop = (place as usize).min(hops - 1);
        let (a, b) = (self.starts[hop], self.starts[hop + 1]);
        a + (b - a) * (place - hop as f64)
    }

    /// Change time between two instants, in seconds.
    pub fn seconds(&self, a: Nanos, b: Nanos) -> f64 {
        if self.is_time() {
            return (b - a).seconds();
        }
        self.at(b) - self.at(a)
    }

    /// The same as a duration.
    pub fn length(&self, a: Nanos, b: Nanos) -> Nanos {
        if self.is_time() {
            return b - a;
        }
        Nanos::from_seconds(self.seconds(a, b)).unwrap_or(b - a)
    }

    /// `n` times that split `[a, b]` into `n + 1` parts of equal change, as far as no part exceeds `max_gap`: what
    /// changes least then gets the largest gap. If `n` is at least
    /// [`frames_needed`](crate::planning::uniform::frames_needed), no part exceeds it.
    pub fn evenly_between(&self, a: Nanos, b: Nanos, n: u64, max_gap: Nanos) -> Vec<Nanos> {
        let even = || evenly_between(a, b, n).collect();
        if self.is_time() || n == 0 {
            return even();
        }
        let share = |i: u64| (i + 1) as f64 / (n + 1) as f64;
        self.spread(a, b, n, share, (a, b, max_gap))
            .unwrap_or_else(even)
    }

    /// `n` times over `[0, duration)`, each in the middle of its share of the change, as far as `max_gap` allows.
    /// `None` as for [`evenly_over`].
    pub fn evenly_over(&self, duration: Nanos, n: u64, max_gap: Nanos) -> Option<Vec<Nanos>> {
        let even: Vec<Nanos> = evenly_over(duration, n, max_gap)?.collect();
        if self.is_time() || n == 0 {
            return Some(even);
        }
        let share = |i: u64| (i as f64 + 0.5) / n as f64;
        let ends = (Nanos::ZERO, duration, max_gap);
        Some(
            self.spread(Nanos::ZERO, duration, n, share, ends)
                .unwrap_or(even),
        )
    }

    /// `n` times in `[a, b)`, each in the middle of its share of the change; gaps don't matter.
    pub fn shares(&self, a: Nanos, b: Nanos, n: u64) -> Vec<Nanos> {
        let share = |i: u64| (i as f64 + 0.5) / n as f64;
        let even = || (0..n).map(|i| a + (b - a).scaled(share(i))).collect();
        if self.is_time() || n == 0 {
            return even();
        }
        self.spread(a, b, n, share, (a, b, Nanos::MAX))
            .unwrap_or_else(even)
    }

    /// Times at these shares of the change in `[a, b)`. Rates are limited from above, so that no two times come too
    /// close, and from below, so that no gap exceeds the largest: the lower limit is the least that will do. `None`
    /// if even spacing alone would do.
    fn spread(
        &self,
        a: Nanos,
        b: Nanos,
        n: u64,
        share: impl Fn(u64) -> f64,
        ends: (Nanos, Nanos, Nanos),
    ) -> Option<Vec<Nanos>> {
        let length = (b - a).seconds();
        if length <= 0.0 || MIN_SPACING.get().saturating_mul(n as i64 + 1) > (b - a).get() {
            return None;
        }
        // Edges of the hops inside, and the rate of each piece.
        let hop = HOP.get();
        let first = a.get().div_euclid(hop) + 1;
        let inner = (first..)
            .map(|k| k * hop)
            .take_while(|&edge| edge < b.get());
        let mut edges = vec![a];
        edges.extend(inner.map(Nanos::new));
        edges.push(b);
        let pieces: Vec<(f64, f64)> = edges
            .windows(2)
            .map(|pair| {
                let long = (pair[1] - pair[0]).seconds();
                (long, self.seconds(pair[0], pair[1]) / long)
            })
            .collect();
        let parts = n as f64 + 1.0;
        let apart = self.apart.seconds().min(length / parts / 2.0);
        let mut high = f64::INFINITY;
        for _ in 0..8 {
            let sum: f64 = pieces
                .iter()
                .map(|(long, rate)| long * rate.min(high))
                .sum();
            high = sum / (parts * apart);
        }
        let at_least = |low: f64| -> Option<Vec<Nanos>> {
            let mut ends_at = Vec::with_capacity(pieces.len());
            let mut sum = 0.0;
            for (long, rate) in &pieces {
                sum += long * rate.min(high).max(low);
                ends_at.push(sum);
            }
            let mut times = Vec::with_capacity(n as usize);
            let mut piece = 0;
            for i in 0..n {
                let wanted = share(i) * sum;
                while piece + 1 < pieces.len() && ends_at[piece] < wanted {
                    piece += 1;
                }
                let before = if piece == 0 { 0.0 } else { ends_at[piece - 1] };
                let whole = (ends_at[piece] - before).max(f64::MIN_POSITIVE);
                let part = ((wanted - before) / whole).clamp(0.0, 1.0);
                times.push(edges[piece] + (edges[piece + 1] - edges[piece]).scaled(part));
            }
            let (from, until, max_gap) = ends;
            let mut last = from;
            for &at in times.iter().chain([&until]) {
                if at - last > max_gap {
                    return None;
                }
                last = at;
            }
            let rising = times
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= MIN_SPACING);
            rising.then_some(times)
        };
        let most = pieces
            .iter()
            .map(|piece| piece.1.min(high))
            .fold(0.0, f64::max);
        if let Some(times) = at_least(0.0) {
            return Some(times);
        }
        let (mut low, mut enough) = (0.0, most);
        let mut best = at_least(most)?;
        for _ in 0..24 {
            let middle = (low + enough) / 2.0;
            match at_least(middle) {
                Some(times) => (best, enough) = (times, middle),
                None => low = middle,
            }
        }
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planning::uniform::frames_needed;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    /// A minute with this change in each hop.
    fn clock(change: impl Fn(i64) -> f32) -> ChangeClock {
        let hops = (0..750).map(|k| Change {
            at: ms(80 * k),
            change: change(k),
        });
        ChangeMap::new(hops, ms(60_000)).clock()
    }

    #[test]
    fn change_time_is_as_long_as_the_recording() {
        let clock = clock(|k| if (200..210).contains(&k) { 9.0 } else { 1.0 });
        assert!((clock.seconds(ms(0), ms(60_000)) - 60.0).abs() < 1e-9);
        assert!(clock.seconds(ms(16_000), ms(17_300)) > 20.0);
        assert!((ChangeClock::default().seconds(ms(5), ms(1_005)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn frames_go_where_something_changes() {
        let clock = clock(|k| {
            if [100, 300, 301, 600].contains(&k) {
                20.0
            } else {
                1.0
            }
        });
        let times = clock.evenly_between(ms(0), ms(60_000), 9, ms(60_000));
        assert_eq!(times.len(), 9);
        for at in [8_000, 24_000, 48_000] {
            let near = times.iter().filter(|t| t.distance(ms(at + 80)) < ms(1_000));
            assert!(near.count() >= 1, "{at}: {times:?}");
        }
        assert!(times.windows(2).all(|w| w[1] - w[0] >= ms(20)), "{times:?}");
    }

    #[test]
    fn at_keyframes_a_frame_shows_what_changed_shortly_before() {
        let hops = (0..750).map(|k| Change {
            at: ms(80 * k),
            change: if k % 125 == 60 { 20.0 } else { 1.0 },
        });
        let map = ChangeMap::new(hops, ms(60_000));
        let model = ValueModel::new(&crate::settings::BudgetSettings::default());
        let keys: Vec<_> = (0..30).map(|i| ms(2_000 * i)).collect();
        let times = map
            .clock_at(&keys, &model)
            .evenly_over(ms(60_000), 6, ms(60_000))
            .unwrap();
        // What changes at 4.8, 14.8, ... s is seen at 6, 16, ... s.
        for (k, at) in times.iter().enumerate() {
            assert!(
                at.distance(ms(10_000 * k as i64 + 6_000)) <= ms(80),
                "{times:?}"
            );
        }
        let even: Vec<_> = (0..6).map(|k| ms(10_000 * k + 4_000)).collect();
        assert!(map.seen(times, &model) > 2.0 * map.seen(even, &model));
        assert_eq!(map.seen([], &model), 0.0);
    }

    #[test]
    fn what_changes_evenly_is_sampled_by_time() {
        let clock = clock(|k| 0.9 + 0.2 * (k % 3) as f32 / 2.0);
        let times = clock.evenly_over(ms(60_000), 12, ms(60_000)).unwrap();
        let even: Vec<_> = evenly_over(ms(60_000), 12, ms(60_000)).unwrap().collect();
        for (at, even) in times.iter().zip(&even) {
            assert!(at.distance(*even) < ms(2), "{at} {even}");
        }
    }

    #[test]
    fn quiet_stretches_get_the_largest_gap_and_no_more() {
        let clock = clock(|k| if k >= 375 { 3.0 } else { 1.0 });
        let times = clock.evenly_between(ms(0), ms(60_000), 20, ms(6_000));
        let quiet = times.iter().filter(|at| **at < ms(30_000)).count();
        assert!((4..=6).contains(&quiet), "{times:?}");
    }

    proptest! {
        #[test]
        fn no_gap_is_larger_than_asked(
            changes in prop::collection::vec(0f32..70.0, 0..400),
            from in 0i64..5_000,
            length in 1i64..40_000,
            gap in 20i64..20_000,
            more in 0u64..20,
        ) {
            let hops = (0..).zip(changes).map(|(k, change)| Change { at: ms(80 * k), change });
            let duration = ms(from + length);
            let clock = ChangeMap::new(hops, duration).clock();
            let (a, b, gap) = (ms(from), duration, ms(gap));
            let n = frames_needed(a, b, gap) + more;
            let times = clock.evenly_between(a, b, n, gap);
            prop_assert_eq!(times.len() as u64, n);
            let mut last = a;
            for &at in times.iter().chain([&b]) {
                prop_assert!(at >= last && at - last <= gap, "{:?}", times);
                last = at;
            }
            let n = frames_needed(Nanos::ZERO, duration, gap) + more;
            if let Some(times) = clock.evenly_over(duration, n, gap) {
                prop_assert_eq!(times.len() as u64, n);
                let mut last = Nanos::ZERO;
                for &at in times.iter().chain([&duration]) {
                    prop_assert!(at >= last && at - last <= gap, "{:?}", times);
                    last = at;
                }
            }
            prop_assert_eq!(clock.shares(a, b, 3).len(), 3);
        }
    }
}
