//! A token bucket in exact integers.

use crate::tier::Tokens;
use crate::time::Nanos;

/// Units in a token: thousandths of a token a second, times nanoseconds.
const UNITS: i128 = 1_000_000_000_000;

/// Fills evenly, overflows, never goes below zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// Units per nanosecond: thousandths of a token per second.
    rate: i128,
    capacity: i128,
    level: i128,
    at: Nanos,
    loan: Option<Loan>,
}

/// What the last seconds of a recording earn was there from the start; they pay it back.
#[derive(Clone, Copy, Debug)]
struct Loan {
    from: Nanos,
    until: Nanos,
    /// What is still earned while it is paid back.
    rate: i128,
}

impl Bucket {
    /// Empty at the recording's start. Holds `burst_s` seconds' worth, and no less than `least`.
    pub(super) fn new(tokens_per_s: f64, burst_s: f64, least: Tokens) -> Self {
        // As in `Settings::budget_of`. The casts turn NaN into 0 and keep the ranges.
        let rate = i128::from((tokens_per_s * 1000.0).round() as u32);
        let burst = i128::from((burst_s * 1e9).round() as u64);
        let capacity = (rate * burst).max(i128::from(least) * UNITS);
        Self {
            rate,
            capacity,
            level: 0,
            at: Nanos::ZERO,
            loan: None,
        }
    }

    /// The recording goes on until `stop`: what is earned in its last quarter, as far as that fills half of the bucket, is there from the
    /// start, but for `kept_per_s`. Only before anything else, and once.
    pub(super) fn lend(&mut self, stop: Nanos, kept_per_s: f64) {
        let kept = ((kept_per_s * 1000.0).ceil() as u32).into();
        if self.at > Nanos::ZERO || self.loan.is_some() || stop <= Nanos::ZERO || kept >= self.rate
        {
            return;
        }
        let half = i64::try_from(self.capacity / 2 / self.rate).unwrap_or(i64::MAX);
        let length = Nanos::new(half.min(stop.get() / 4));
        self.level += (self.rate - kept) * i128::from(length.get());
        self.loan = Some(Loan {
            from: stop - length,
            until: stop,
            rate: kept,
        });
    }

    /// Tokens that it earns from now on until an instant.
    pub(super) fn earned(&self, until: Nanos) -> f64 {
        let (mut at, mut units) = (self.at, 0);
        for (rate, stop) in self.pieces() {
            let stop = stop.min(until).max(at);
            units += rate * i128::from((stop - at).get());
            at = stop;
        }
        units as f64 / UNITS as f64
    }

    /// What it earns from now on: rates, each with its stop.
    fn pieces(&self) -> impl Iterator<Item = (i128, Nanos)> + use<> {
        let at = self.at;
        let loan = self
            .loan
            .map(|loan| [(self.rate, loan.from), (loan.rate, loan.until)]);
        let pieces = loan.into_iter().flatten().chain([(self.rate, Nanos::MAX)]);
        pieces.filter(move |&(_, stop)| stop > at)
    }

    /// How long it takes to fill by so many tokens, rounded up.
    pub(super) fn time_for(&self, tokens: Tokens) -> Nanos {
        time(i128::from(tokens) * UNITS, self.rate)
    }

    /// When so many more units will have been earned.
    fn earned_at(&self, mut units: i128) -> Nanos {
        let mut at = self.at;
        for (rate, stop) in self.pieces() {
            let all = rate * i128::from((stop - at).get());
            if units <= all {
                return at + time(units, rate);
            }
            units -= all;
            at = stop;
        }
        Nanos::MAX
    }

    /// Fills until `at`; never goes back.
    pub(super) fn advance(&mut self, at: Nanos) {
        while at > self.at
            && let Some((rate, stop)) = self.pieces().next()
        {
            let stop = stop.min(at);
            let more = rate * i128::from((stop - self.at).get());
            self.level = (self.level + more).min(self.capacity);
            self.at = stop;
        }
    }

    /// Takes tokens out if they are there.
    #[must_use]
    pub(super) fn spend(&mut self, tokens: Tokens) -> bool {
        let units = i128::from(tokens) * UNITS;
        let paid = units <= self.level;
        if paid {
            self.level -= units;
        }
        paid
    }

    /// When it will hold so many.
    pub(super) fn holds_at(&self, tokens: Tokens) -> Nanos {
        self.earned_at(i128::from(tokens) * UNITS - self.level)
    }

    /// When it will be full.
    pub(super) fn full_at(&self) -> Nanos {
        self.earned_at(self.capacity - self.level)
    }

    pub(super) fn tokens(&self) -> Tokens {
        u64::try_from(self.level / UNITS).unwrap_or(0)
    }
}

/// How long it takes to earn so many units, rounded up.
fn time(units: i128, rate: i128) -> Nanos {
    if units <= 0 {
        return Nanos::ZERO;
    }
    if rate == 0 {
        return Nanos::MAX;
    }
    let ns = (units + rate - 1) / rate;
    i64::try_from(ns).map_or(Nanos::MAX, Nanos::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_overflows_and_never_owes() {
        let mut bucket = Bucket::new(196.0, 20.0, 833);
        assert!(!bucket.spend(1));
        assert_eq!(bucket.holds_at(196), Nanos::from_ms(1_000));
        assert_eq!(bucket.full_at(), Nanos::from_ms(20_000));
        bucket.advance(Nanos::from_ms(1_000));
        assert_eq!(bucket.tokens(), 196);
        assert!(bucket.spend(196) && !bucket.spend(1));
        bucket.advance(Nanos::MAX);
        assert_eq!(bucket.tokens(), 3_920);
    }

    #[test]
    fn what_is_lent_is_paid_back_by_the_end() {
        let s = |s: i64| Nanos::from_ms(1_000 * s);
        let mut bucket = Bucket::new(196.0, 100.0, 833);
        bucket.lend(s(300), 96.0);
        assert_eq!(bucket.tokens(), 50 * 100);
        bucket.advance(s(10));
        assert!(bucket.spend(50 * 100 + 10 * 196));
        // The last 50 s earn what was kept.
        assert_eq!(bucket.holds_at(240 * 196), s(250));
        assert_eq!(bucket.holds_at(240 * 196 + 96), s(251));
        assert_eq!(bucket.holds_at(240 * 196 + 50 * 96 + 196), s(301));
        assert_eq!(bucket.earned(s(301)), f64::from(240 * 196 + 50 * 96 + 196));
        assert_eq!(bucket.earned(s(5)), 0.0);
        bucket.advance(s(60));
        assert!(bucket.spend(50 * 196));
        bucket.advance(s(170));
        assert_eq!((bucket.tokens(), bucket.earned(s(172))), (19_600, 392.0));
        assert!(bucket.spend(19_600));
        bucket.advance(s(250));
        assert!(bucket.spend(80 * 196));
        assert_eq!(bucket.earned(s(251)), 96.0);
        bucket.advance(s(300));
        assert_eq!((bucket.tokens(), bucket.earned(s(301))), (50 * 96, 196.0));
        // Of a short recording at most a quarter.
        let mut short = Bucket::new(196.0, 100.0, 833);
        short.lend(Nanos::from_ms(20_000), 0.0);
        assert_eq!(short.tokens(), 5 * 196);
    }

    #[test]
    fn it_always_has_room_for_an_anchor_and_a_look() {
        let mut bucket = Bucket::new(196.0, 1.0, 833);
        bucket.advance(Nanos::from_ms(60_000));
        assert_eq!(bucket.tokens(), 833);
    }
}
