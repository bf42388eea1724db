//! A token bucket in exact integers: no rounding error adds up.

use crate::tier::Tokens;
use crate::time::Nanos;

/// Units per token: thousandths of a token per second, times nanoseconds.
const UNITS: i128 = 1_000_000_000_000;

/// Fills evenly, overflows, and never goes below zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenBucket {
    /// Units per nanosecond: thousandths of a token per second.
    rate: i128,
    capacity: i128,
    level: i128,
    at: Nanos,
}

impl TokenBucket {
    /// Empty at the start. Holds `burst_s` seconds' worth, and at least `least` tokens.
    pub(super) fn new(tokens_per_s: f64, burst_s: f64, least: Tokens) -> Self {
        // As in `Settings::budget_of`. The casts turn NaN into 0 and saturate.
        let rate = i128::from((tokens_per_s * 1000.0).round() as u32);
        let burst = i128::from((burst_s * 1e9).round() as u64);
        let capacity = (rate * burst).max(i128::from(least) * UNITS);
        Self {
            rate,
            capacity,
            level: 0,
            at: Nanos::ZERO,
        }
    }

    /// Tokens earned from now until an instant.
    pub(super) fn earned(&self, until: Nanos) -> f64 {
        let units = self.rate * i128::from((until - self.at).get().max(0));
        units as f64 / UNITS as f64
    }

    /// Time to earn this many tokens, rounded up.
    pub(super) fn time_for(&self, tokens: Tokens) -> Nanos {
        time(i128::from(tokens) * UNITS, self.rate)
    }

    /// Fills until `at`; never goes back.
    pub(super) fn advance(&mut self, at: Nanos) {
        if at > self.at {
            let more = self.rate * i128::from((at - self.at).get());
            self.level = (self.level + more).min(self.capacity);
            self.at = at;
        }
    }

    /// Takes tokens out if there are enough.
    #[must_use]
    pub(super) fn spend(&mut self, tokens: Tokens) -> bool {
        let units = i128::from(tokens) * UNITS;
        let paid = units <= self.level;
        if paid {
            self.level -= units;
        }
        paid
    }

    /// When the bucket will hold this many.
    pub(super) fn holds_at(&self, tokens: Tokens) -> Nanos {
        self.at + time(i128::from(tokens) * UNITS - self.level, self.rate)
    }

    /// When it will be full.
    pub(super) fn full_at(&self) -> Nanos {
        self.at + time(self.capacity - self.level, self.rate)
    }

    pub(super) fn tokens(&self) -> Tokens {
        u64::try_from(self.level / UNITS).unwrap_or(0)
    }
}

/// Time to earn this many units, rounded up.
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
        let mut bucket = TokenBucket::new(196.0, 20.0, 833);
        assert!(!bucket.spend(1));
        assert_eq!(bucket.holds_at(196), Nanos::from_ms(1_000));
        assert_eq!(bucket.full_at(), Nanos::from_ms(20_000));
        bucket.advance(Nanos::from_ms(1_000));
        assert_eq!(bucket.tokens(), 196);
        assert!(bucket.spend(196) && !bucket.spend(1));
        assert_eq!(bucket.earned(Nanos::from_ms(3_000)), 392.0);
        assert_eq!(bucket.earned(Nanos::ZERO), 0.0);
        bucket.advance(Nanos::MAX);
        assert_eq!(bucket.tokens(), 3_920);
    }

    #[test]
    fn it_always_has_room_for_an_anchor_and_a_frame() {
        let mut bucket = TokenBucket::new(196.0, 1.0, 833);
        bucket.advance(Nanos::from_ms(60_000));
        assert_eq!(bucket.tokens(), 833);
    }
}
