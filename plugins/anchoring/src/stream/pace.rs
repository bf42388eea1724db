//! What a picture must be worth now, so that the bucket is spent as fast as it fills.
//!
//! What candidates were worth lately says how often something as good comes along. The price is what as many exceeded as can be paid: from what the
//! bucket earns, and from what it holds, spread over the time in which that is to be spent. So a full bucket takes what comes and an empty one waits
//! for the best, and a quiet or a busy recording finds its own price. Prices that jump about cost more than prices that are a little off: memory is long,
//! and what is usual counts as much as five minutes.

use std::collections::VecDeque;

use crate::time::Nanos;

/// How far back it remembers.
const MEMORY: Nanos = Nanos::from_ms(300_000);
/// Most candidates that it remembers.
const MOST: usize = 1_024;
/// What is usual: so many candidates in so many seconds, evenly spread in the fourth root of their worth (kitchen recordings and the
/// default probe: one in five seconds exceeds 0.47).
const USUAL: u32 = 360;
const USUAL_S: f64 = 300.0;
const USUAL_POWER: i32 = 4;

/// Remembers what candidates were worth.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    recent: VecDeque<(Nanos, f64)>,
}

impl Pace {
    /// A candidate came along.
    pub(super) fn came(&mut self, at: Nanos, gain: f64) {
        let old = |&(t, _): &(Nanos, f64)| at - t > MEMORY;
        while self.recent.front().is_some_and(old) || self.recent.len() >= MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((at, gain));
    }

    /// What `rate` candidates a second exceed, as far as is known at `at`.
    pub(super) fn price(&self, at: Nanos, rate: f64) -> f64 {
        let first = match self.recent.front() {
            Some(&(t, _)) if self.recent.len() >= MOST => t,
            _ => (at - MEMORY).max(Nanos::ZERO),
        };
        let usual = |i| ((f64::from(i) + 0.5) / f64::from(USUAL)).powi(USUAL_POWER);
        let recent = self.recent.iter().map(|&(_, gain)| gain);
        let mut gains: Vec<f64> = recent.chain((0..USUAL).map(usual)).collect();
        let exceeding = (rate.max(0.0) * ((at - first).seconds() + USUAL_S)) as usize;
        if exceeding >= gains.len() {
            return 0.0;
        }
        *gains
            .select_nth_unstable_by(exceeding, |a, b| b.total_cmp(a))
            .1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: i64) -> Nanos {
        Nanos::from_ms(1_000 * s)
    }

    #[test]
    fn the_more_can_be_paid_the_lower_the_price() {
        let pace = Pace::default();
        let prices = [0.05, 0.2, 0.5, 1.0].map(|rate| pace.price(s(0), rate));
        assert!(prices.windows(2).all(|w| w[0] > w[1]), "{prices:?}");
        assert!((prices[1] - 0.47).abs() < 0.03);
        assert_eq!(pace.price(s(0), 2.0), 0.0);
    }

    #[test]
    fn a_recording_finds_its_own_price() {
        let usual = Pace::default().price(s(0), 0.2);
        let (mut quiet, mut busy) = (Pace::default(), Pace::default());
        for i in 0..300 {
            busy.came(s(i), 0.9);
            quiet.came(s(i), 0.1);
        }
        assert!(quiet.price(s(300), 0.2) < usual && usual < busy.price(s(300), 0.2));
        // Forgotten after five minutes.
        busy.came(s(1_000), 0.5);
        assert_eq!(busy.recent.len(), 1);
        for _ in 0..5_000 {
            busy.came(s(1_000), 0.5);
        }
        assert_eq!(busy.recent.len(), MOST);
    }
}
