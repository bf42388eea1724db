//! Evenly spaced looks, and what the largest gap asks for.

use crate::settings::Settings;
use crate::tier::Tier;
use crate::time::Nanos;

/// Pictures closer than this are the same picture: a frame at 50 per second.
pub const CLOSEST: Nanos = Nanos::from_ms(20);

/// How many looks must lie between two instants so that no gap exceeds `max_gap`: `ceil((b - a) / max_gap) - 1`, at least 0.
pub fn needed(a: Nanos, b: Nanos, max_gap: Nanos) -> u64 {
    let length = u64::try_from((b - a).get()).unwrap_or(0);
    let gap = u64::try_from(max_gap.get()).unwrap_or(0).max(1);
    length.div_ceil(gap).saturating_sub(1)
}

/// `n` looks that part `[a, b]` into `n + 1` pieces of the same length, to the nanosecond. No piece exceeds the length that
/// [`needed`] was asked for, if it said at most `n`.
pub fn between(a: Nanos, b: Nanos, n: u64) -> impl Iterator<Item = Nanos> {
    let length = i128::from((b - a).get().max(0));
    (1..=n).map(move |i| {
        let part = length * i128::from(i) / (i128::from(n) + 1);
        a + Nanos::new(part as i64)
    })
}

/// `n` looks over `[0, duration)`, each in the middle of its share: at `(i + 0.5) * duration / n`. Where that would leave more than
/// `max_gap` between two looks (a recording of 10.3 s that can pay for 10), they are `max_gap` apart and the ends share the rest. `None`
/// if even so a gap exceeds `max_gap`.
pub fn spread(
    duration: Nanos,
    n: u64,
    max_gap: Nanos,
) -> Option<impl Iterator<Item = Nanos> + use<>> {
    let length = i128::from(duration.get().max(0));
    let gap = i128::from(max_gap.get().max(1));
    let looks = i128::from(n);
    if length > gap * (looks + 1) {
        return None;
    }
    // Twice the distance and twice the time of the first look, in n-ths.
    let (step, first, over) = if length > gap * looks {
        (2 * gap, length - gap * (looks - 1), 2)
    } else {
        (2 * length, length, 2 * looks)
    };
    Some((0..n).map(move |i| Nanos::new(((first + step * i128::from(i)) / over) as i64)))
}

/// The tiers of even looks, the preferred first: from the uniform tier down to the fallback tier.
pub(crate) fn tiers(settings: &Settings) -> Vec<Tier> {
    let (best, least) = (
        settings.budget.untrusted_tier,
        settings.budget.background_tier,
    );
    Tier::ALL
        .into_iter()
        .rev()
        .filter(|&tier| tier == best || (least <= tier && tier < best))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: i64) -> Nanos {
        Nanos::from_ms(ms)
    }

    #[test]
    fn as_many_looks_as_the_gap_needs() {
        assert_eq!(needed(ms(0), ms(10_000), ms(1_000)), 9);
        assert_eq!(needed(ms(0), ms(10_001), ms(1_000)), 10);
        assert_eq!(needed(ms(0), ms(1_000), ms(1_000)), 0);
        assert_eq!(needed(ms(5), ms(5), ms(1_000)), 0);
        assert_eq!(needed(ms(9), ms(5), ms(0)), 0);
    }

    #[test]
    fn looks_lie_in_the_middle_of_their_shares() {
        let looks: Vec<_> = spread(ms(10_000), 10, ms(1_000)).unwrap().collect();
        let middles: Vec<_> = (0..10).map(|i| ms(500 + 1_000 * i)).collect();
        assert_eq!(looks, middles);
    }

    #[test]
    fn looks_that_would_be_too_far_apart_leave_the_rest_to_the_ends() {
        let looks: Vec<_> = spread(ms(3_600), 3, ms(1_000)).unwrap().collect();
        assert_eq!(looks, [ms(800), ms(1_800), ms(2_800)]);
        assert!(spread(ms(4_001), 3, ms(1_000)).is_none());
        assert_eq!(spread(ms(1_000), 0, ms(1_000)).unwrap().count(), 0);
    }

    /// The longest of start to first, look to look, last to stop.
    fn largest(looks: &[Nanos], duration: Nanos) -> Nanos {
        let mut all = vec![Nanos::ZERO];
        all.extend(looks);
        all.push(duration);
        all.windows(2).map(|w| w[1] - w[0]).max().unwrap()
    }

    proptest! {
        #[test]
        fn no_gap_is_larger_than_asked(
            duration in 0i64..100_000_000_000,
            gap in 1_000_000i64..5_000_000_000,
            more in 0u64..5,
        ) {
            let (duration, gap) = (Nanos::new(duration), Nanos::new(gap));
            let n = needed(Nanos::ZERO, duration, gap);
            for looks in [
                between(Nanos::ZERO, duration, n + more).collect::<Vec<_>>(),
                spread(duration, n + more, gap).unwrap().collect(),
            ] {
                prop_assert_eq!(looks.len() as u64, n + more);
                prop_assert!(looks.windows(2).all(|w| w[0] <= w[1]));
                prop_assert!(largest(&looks, duration) <= gap);
            }
            if n > 0 {
                prop_assert!(spread(duration, n - 1, gap).is_none());
            }
        }

        #[test]
        fn any_input_is_borne(a in any::<i64>(), b in any::<i64>(), gap in any::<i64>(), n in any::<u64>()) {
            let (a, b, gap) = (Nanos::new(a), Nanos::new(b), Nanos::new(gap));
            needed(a, b, gap);
            between(a, b, n).take(3).for_each(drop);
            if let Some(looks) = spread(a, n, gap) {
                looks.take(3).for_each(drop);
            }
        }
    }
}
