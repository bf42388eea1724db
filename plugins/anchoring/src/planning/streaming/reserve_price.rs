//! The reserve price: the least value of an anchor's frame at which the bucket is spent as fast as it fills.
//!
//! Of `frames` frames at the best onsets, while `events` events begin, the least valuable has a value of about
//! [`TOP`]` * exp(-frames / (`[`SPREAD`]` * events))`. Kitchen recordings follow this law with the default probe at
//! 20 to 0 dB, from one frame per three events to three frames per event. So the price depends on the number of
//! events, and the probabilities of all onsets show that sooner than the few that are worth a frame. Quiet and busy
//! recordings find their own price; until then the prior counts.
//!
//! With few frames or little time left, chance does not even out. The best price can then be computed exactly for
//! such a law: about `exp(-(frames + 0.7) / (events + 1))`. Half of the correction ([`EXTRA_FRAMES`],
//! [`EXTRA_EVENTS`]) works best, because it leaves fewer tokens over.

use crate::time::Nanos;

/// Time constant of the memory, seconds.
const MEMORY_S: f64 = 300.0;
/// The prior: sum of onset probabilities per second, and its weight in seconds of recording.
const PRIOR_RATE: f64 = 0.2;
const PRIOR_S: f64 = 90.0;
/// The highest value of a frame; and the events per frame over which the price falls by a factor of e.
const TOP: f64 = 1.55;
const SPREAD: f64 = 0.6;
/// The correction for chance.
const EXTRA_FRAMES: f64 = 0.35;
const EXTRA_EVENTS: f64 = 0.5;

/// Estimates how many events begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReservePrice {
    at: Nanos,
    /// Seconds and probabilities fade alike.
    heard_s: f64,
    expected: f64,
}

impl ReservePrice {
    /// Records an onset of this probability.
    pub(super) fn record(&mut self, at: Nanos, p: f64) {
        let mut now = self.faded(at);
        now.expected += p;
        *self = now;
    }

    fn faded(self, at: Nanos) -> Self {
        let left = (-(at - self.at).seconds().max(0.0) / MEMORY_S).exp();
        Self {
            at: self.at.max(at),
            heard_s: self.heard_s * left + MEMORY_S * (1.0 - left),
            expected: self.expected * left,
        }
    }

    /// Onsets per second, as estimated at `at`.
    fn rate(&self, at: Nanos) -> f64 {
        let now = self.faded(at);
        (now.expected + PRIOR_RATE * PRIOR_S) / (now.heard_s + PRIOR_S)
    }

    /// The least value of a frame at `at`, if `frames` frames can be paid in the next `seconds`.
    pub(super) fn price(&self, at: Nanos, frames: f64, seconds: f64) -> f64 {
        let events = SPREAD * self.rate(at) * seconds.max(0.0);
        TOP * (-(frames.max(0.0) + EXTRA_FRAMES) / (events + EXTRA_EVENTS)).exp()
    }

    /// The same if a frame shows nothing but its own onset: a probability.
    pub(super) fn min_probability(&self, at: Nanos, frames: f64, seconds: f64) -> f64 {
        self.price(at, frames, seconds) / TOP
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
        let reserve_price = ReservePrice::default();
        let prices =
            [0.0, 5.0, 20.0, 50.0, 100.0].map(|frames| reserve_price.price(s(0), frames, 100.0));
        assert!(prices.windows(2).all(|w| w[0] > w[1]), "{prices:?}");
        // One frame every five seconds.
        assert!((prices[2] - 0.3).abs() < 0.03, "{prices:?}");
        assert!(prices[4] < 0.01);
        let likelihood = reserve_price.min_probability(s(0), 0.0, 100.0);
        assert!((0.9..1.0).contains(&likelihood));
    }

    #[test]
    fn a_recording_finds_its_own_price() {
        let price = |reserve_price: &ReservePrice, at| reserve_price.price(at, 20.0, 100.0);
        let usual = price(&ReservePrice::default(), s(0));
        let (mut quiet, mut busy) = (ReservePrice::default(), ReservePrice::default());
        for i in 0..300 {
            busy.record(s(i), 0.5);
            quiet.record(s(i), 0.05);
        }
        assert!(price(&quiet, s(300)) < usual && usual < price(&busy, s(300)));
        // Known after half a minute, and forgotten after a few minutes.
        let mut early = ReservePrice::default();
        for i in 0..30 {
            early.record(s(i), 0.5);
        }
        assert!(price(&early, s(30)) > 1.2 * usual);
        assert!(price(&busy, s(2_000)) < usual);
    }

    #[test]
    fn near_the_end_there_is_less_to_wait_for() {
        let reserve_price = ReservePrice::default();
        let prices = [100.0, 30.0, 10.0, 1.0].map(|left| reserve_price.price(s(0), 2.0, left));
        assert!(prices.windows(2).all(|w| w[0] > w[1]), "{prices:?}");
        assert!(prices[3] < 0.05, "{prices:?}");
    }

    #[test]
    fn any_times_are_accepted() {
        let mut reserve_price = ReservePrice::default();
        for at in [Nanos::MAX, Nanos::ZERO, s(-5), s(5)] {
            reserve_price.record(at, 1.0);
            let price = reserve_price.price(at, 1.0, 10.0);
            assert!(price > 0.0 && price <= TOP);
        }
    }
}
