//! What a picture must be worth now, so that the bucket is spent as fast as it fills.
//!
//! Of pictures taken at the best onsets, `looks` of them while `events` begin, the least is worth about [`TOP`]` * exp(-looks / (`[`SPREAD`]` * events))`: so it
//! is in kitchen recordings with the default probe, at 20 to 0 dB, from one look for three events to three looks for one. What must be known of a
//! recording is therefore how many events begin in it, and the probabilities of all its onsets together tell that sooner than the few that are worth a
//! picture. A quiet and a busy recording find their own price; until then it is the usual one.
//!
//! With few looks or little time left chance doesn't even out. What is best then can be reckoned exactly for such a law: about
//! `exp(-(looks + 0.7) / (events + 1))`. Half of that ([`MORE_LOOKS`], [`MORE_EVENTS`]) does best, because it leaves less over.

use crate::time::Nanos;

/// How far back it remembers, seconds: what is older fades.
const MEMORY_S: f64 = 300.0;
/// What is usual: onsets whose probabilities sum to so much a second, and how many seconds of a recording that counts for.
const USUAL: f64 = 0.2;
const USUAL_S: f64 = 90.0;
/// More than this no picture is worth; and events for a look, by which the price falls to an e-th.
const TOP: f64 = 1.55;
const SPREAD: f64 = 0.6;
/// What chance adds to them.
const MORE_LOOKS: f64 = 0.35;
const MORE_EVENTS: f64 = 0.5;

/// Remembers how much began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    at: Nanos,
    /// What faded away counts less, of seconds and of probabilities alike.
    heard_s: f64,
    expected: f64,
}

impl Pace {
    /// An onset of this probability came along.
    pub(super) fn came(&mut self, at: Nanos, p: f64) {
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

    /// Onsets a second, as far as is known at `at`.
    fn rate(&self, at: Nanos) -> f64 {
        let now = self.faded(at);
        (now.expected + USUAL * USUAL_S) / (now.heard_s + USUAL_S)
    }

    /// What a picture must be worth at `at`, if so many can be paid in the next so many seconds.
    pub(super) fn price(&self, at: Nanos, looks: f64, seconds: f64) -> f64 {
        let events = SPREAD * self.rate(at) * seconds.max(0.0);
        TOP * (-(looks.max(0.0) + MORE_LOOKS) / (events + MORE_EVENTS)).exp()
    }

    /// The same where a picture counts for nothing but its own onset.
    pub(super) fn likelihood(&self, at: Nanos, looks: f64, seconds: f64) -> f64 {
        self.price(at, looks, seconds) / TOP
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
        let prices = [0.0, 5.0, 20.0, 50.0, 100.0].map(|looks| pace.price(s(0), looks, 100.0));
        assert!(prices.windows(2).all(|w| w[0] > w[1]), "{prices:?}");
        // One look in five seconds.
        assert!((prices[2] - 0.3).abs() < 0.03, "{prices:?}");
        assert!(prices[4] < 0.01);
        let likelihood = pace.likelihood(s(0), 0.0, 100.0);
        assert!((0.9..1.0).contains(&likelihood));
    }

    #[test]
    fn a_recording_finds_its_own_price() {
        let price = |pace: &Pace, at| pace.price(at, 20.0, 100.0);
        let usual = price(&Pace::default(), s(0));
        let (mut quiet, mut busy) = (Pace::default(), Pace::default());
        for i in 0..300 {
            busy.came(s(i), 0.5);
            quiet.came(s(i), 0.05);
        }
        assert!(price(&quiet, s(300)) < usual && usual < price(&busy, s(300)));
        // Known after half a minute, and forgotten after some minutes.
        let mut early = Pace::default();
        for i in 0..30 {
            early.came(s(i), 0.5);
        }
        assert!(price(&early, s(30)) > 1.2 * usual);
        assert!(price(&busy, s(2_000)) < usual);
    }

    #[test]
    fn near_the_end_there_is_less_to_wait_for() {
        let pace = Pace::default();
        let prices = [100.0, 30.0, 10.0, 1.0].map(|left| pace.price(s(0), 2.0, left));
        assert!(prices.windows(2).all(|w| w[0] > w[1]), "{prices:?}");
        assert!(prices[3] < 0.05, "{prices:?}");
    }

    #[test]
    fn times_that_cannot_be_are_borne() {
        let mut pace = Pace::default();
        for at in [Nanos::MAX, Nanos::ZERO, s(-5), s(5)] {
            pace.came(at, 1.0);
            let price = pace.price(at, 1.0, 10.0);
            assert!(price > 0.0 && price <= TOP);
        }
    }
}
