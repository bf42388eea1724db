//! Change time behind a stream: fast where the video changes more than it did so far. On the whole it runs like time.

use std::collections::VecDeque;

use crate::cue::HOP;
use crate::planning::change::Change;
use crate::planning::change_clock::{EVEN, Rates};
use crate::time::Nanos;

/// Most hops that are kept: five minutes and a half. What lies before runs like time.
const KEPT: usize = 4_096;

/// Weight of an even recording in the mean rate, in hops: 8 s.
const PRIOR: f64 = 100.0;

/// Change time of what came so far.
#[derive(Clone, Debug)]
pub(super) struct RunningClock {
    /// Start of each piece, and the change time there, in seconds. Pieces are contiguous up to `known`.
    pieces: VecDeque<(Nanos, f64)>,
    known: Nanos,
    at_known: f64,
    rates: Rates,
    sum: f64,
    hops: f64,
}

impl RunningClock {
    pub(super) fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            known: Nanos::ZERO,
            at_known: 0.0,
            rates: Rates::default(),
            sum: EVEN * PRIOR,
            hops: PRIOR,
        }
    }

    /// Takes the change of the next hop; it counts for the hop after it, as a frame shows what came before it. Hops
    /// that are left out run like time, and a hop before what is known is ignored.
    pub(super) fn push(&mut self, change: Change) {
        let start = change.at + HOP;
        if start < self.known {
            return;
        }
        self.even_until(start);
        let rate = self.rates.push(change.change);
        self.add(start + HOP, rate * self.hops / self.sum);
        self.sum += rate;
        self.hops += 1.0;
    }

    /// Nothing more is known before this: up to there it runs like time.
    pub(super) fn even_until(&mut self, until: Nanos) {
        if until > self.known {
            self.add(until, 1.0);
        }
    }

    fn add(&mut self, until: Nanos, rate: f64) {
        if self.pieces.len() == KEPT {
            self.pieces.pop_front();
        }
        self.pieces.push_back((self.known, self.at_known));
        self.at_known += rate * (until - self.known).seconds();
        self.known = until;
    }

    /// What is decided before this can't change.
    pub(super) fn known(&self) -> Nanos {
        self.known
    }

    /// When this much change time has passed since an instant. Beyond what is known it runs like time.
    pub(super) fn after(&self, from: Nanos, distance: Nanos) -> Nanos {
        let wanted = self.at(from) + distance.seconds();
        if wanted >= self.at_known {
            let rest = Nanos::from_seconds(wanted - self.at_known).unwrap_or(Nanos::MAX);
            return (self.known + rest).max(from);
        }
        let next = self.pieces.partition_point(|&(_, at)| at <= wanted);
        let Some(&(start, at)) = next.checked_sub(1).and_then(|piece| self.pieces.get(piece))
        else {
            return from + distance;
        };
        let (end, at_end) = self.piece_end(next);
        let part = (wanted - at) / (at_end - at).max(f64::MIN_POSITIVE);
        (start + (end - start).scaled(part.min(1.0))).max(from)
    }

    fn at(&self, time: Nanos) -> f64 {
        if time >= self.known {
            return self.at_known + (time - self.known).seconds();
        }
        let next = self.pieces.partition_point(|&(start, _)| start <= time);
        let Some(piece) = next.checked_sub(1) else {
            let &(start, at) = self.pieces.front().unwrap_or(&(self.known, self.at_known));
            return at - (start - time).seconds();
        };
        let (start, at) = self.pieces[piece];
        let (end, at_end) = self.piece_end(next);
        at + (at_end - at) * (time - start).seconds() / (end - start).seconds().max(1e-12)
    }

    /// End of the piece before this index.
    fn piece_end(&self, next: usize) -> (Nanos, f64) {
        let known = (self.known, self.at_known);
        self.pieces.get(next).copied().unwrap_or(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    fn running(changes: impl IntoIterator<Item = f32>) -> RunningClock {
        let mut clock = RunningClock::new();
        for (k, change) in (0..).zip(changes) {
            clock.push(Change {
                at: ms(80 * k),
                change,
            });
        }
        clock
    }

    #[test]
    fn even_change_runs_like_time() {
        let clock = running(vec![1.0; 1_000]);
        assert_eq!(clock.known(), ms(80_080));
        for from in [0, 1_234, 70_000, 90_000] {
            let after = clock.after(ms(from), ms(5_000));
            assert!(after.distance(ms(from + 5_000)) < ms(1), "{after}");
        }
    }

    #[test]
    fn a_change_comes_soon_and_quiet_takes_longer() {
        let clock = running((0..2_000).map(|k| if k % 250 == 200 { 20.0 } else { 1.0 }));
        // Changes at 96 and 116 s.
        let after = clock.after(ms(100_500), ms(5_000));
        assert!(after > ms(108_000) && after < ms(116_000), "{after}");
        let after = clock.after(ms(115_000), ms(5_000));
        assert!(after > ms(116_000) && after < ms(116_600), "{after}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let clock = running((0..20_000).map(|k| (k % 7) as f32));
        assert!(clock.pieces.len() <= KEPT);
        assert!(clock.after(ms(0), ms(1_000)) >= ms(0));
        let mut clock = clock;
        clock.push(Change {
            at: ms(0),
            change: 9.0,
        });
        clock.even_until(ms(5));
        assert_eq!(clock.known(), ms(80 * 20_001));
    }
}
