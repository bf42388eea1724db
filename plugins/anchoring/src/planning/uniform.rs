//! Evenly spaced frames, and how many the largest gap needs.

use crate::settings::Settings;
use crate::tier::Tier;
use crate::time::Nanos;

/// Closer times mean the same frame: one frame at 50 fps.
pub const MIN_SPACING: Nanos = Nanos::from_ms(20);

/// How many frames must lie between two instants so that no gap exceeds `max_gap`: `ceil((b - a) / max_gap) - 1`, at
/// least 0.
pub fn frames_needed(a: Nanos, b: Nanos, max_gap: Nanos) -> u64 {
    let length = u64::try_from((b - a).get()).unwrap_or(0);
    let gap = u64::try_from(max_gap.get()).unwrap_or(0).max(1);
    length.div_ceil(gap).saturating_sub(1)
}

/// `n` times that split `[a, b]` into `n + 1` equal parts, to the nanosecond. If `n` is at least [`frames_needed`],
/// no part exceeds its `max_gap`.
pub fn evenly_between(a: Nanos, b: Nanos, n: u64) -> impl Iterator<Item = Nanos> {
    let length = i128::from((b - a).get().max(0));
    (1..=n).map(move |i| {
        let part = length * i128::from(i) / (i128::from(n) + 1);
        a + Nanos::new(part as i64)
    })
}

/// `n` times over `[0, duration)`, each in the middle of its share: `(i + 0.5) * duration / n`. If that leaves more
/// than `max_gap` between two (a recording of 10.3 s with 10 frames), they are `max_gap` apart and the ends share the
/// rest. `None` if even then a gap exceeds `max_gap`.
pub fn evenly_over(
    duration: Nanos,
    n: u64,
    max_gap: Nanos,
) -> Option<impl Iterator<Item = Nanos> + use<>> {
    let length = i128::from(duration.get().max(0));
    let gap = i128::from(max_gap.get().max(1));
    let times = i128::from(n);
    if length > gap * (times + 1) {
        return None;
    }
    // Twice the spacing and twice the first time, in units of 1/n.
    let (step, first, over) = if length > gap * times {
        (2 * gap, length - gap * (times - 1), 2)
    } else {
        (2 * length, length, 2 * times)
    };
    Some((0..n).map(move |i| Nanos::new(((first + step * i128::from(i)) / over) as i64)))
}

/// The tiers of uniform frames in order of preference: from the untrusted tier down to the background tier.
pub(crate) fn uniform_tiers(settings: &Settings) -> Vec<Tier> {
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
    fn as_many_frames_as_the_gap_needs() {
        assert_eq!(frames_needed(ms(0), ms(10_000), ms(1_000)), 9);
        assert_eq!(frames_needed(ms(0), ms(10_001), ms(1_000)), 10);
        assert_eq!(frames_needed(ms(0), ms(1_000), ms(1_000)), 0);
        assert_eq!(frames_needed(ms(5), ms(5), ms(1_000)), 0);
        assert_eq!(frames_needed(ms(9), ms(5), ms(0)), 0);
    }

    #[test]
    fn frames_lie_in_the_middle_of_their_shares() {
        let times: Vec<_> = evenly_over(ms(10_000), 10, ms(1_000)).unwrap().collect();
        let middles: Vec<_> = (0..10).map(|i| ms(500 + 1_000 * i)).collect();
        assert_eq!(times, middles);
    }

    #[test]
    fn frames_too_far_apart_leave_the_rest_to_the_ends() {
        let times: Vec<_> = evenly_over(ms(3_600), 3, ms(1_000)).unwrap().collect();
        assert_eq!(times, [ms(800), ms(1_800), ms(2_800)]);
        assert!(evenly_over(ms(4_001), 3, ms(1_000)).is_none());
        assert_eq!(evenly_over(ms(1_000), 0, ms(1_000)).unwrap().count(), 0);
    }

    /// The largest gap, the ends included.
    fn largest(times: &[Nanos], duration: Nanos) -> Nanos {
        let mut all = vec![Nanos::ZERO];
        all.extend(times);
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
            let n = frames_needed(Nanos::ZERO, duration, gap);
            for times in [
                evenly_between(Nanos::ZERO, duration, n + more).collect::<Vec<_>>(),
                evenly_over(duration, n + more, gap).unwrap().collect(),
            ] {
                prop_assert_eq!(times.len() as u64, n + more);
                prop_assert!(times.windows(2).all(|w| w[0] <= w[1]));
                prop_assert!(largest(&times, duration) <= gap);
            }
            if n > 0 {
                prop_assert!(evenly_over(duration, n - 1, gap).is_none());
            }
        }

        #[test]
        fn any_input_is_accepted(a in any::<i64>(), b in any::<i64>(), gap in any::<i64>(), n in any::<u64>()) {
            let (a, b, gap) = (Nanos::new(a), Nanos::new(b), Nanos::new(gap));
            frames_needed(a, b, gap);
            evenly_between(a, b, n).take(3).for_each(drop);
            if let Some(times) = evenly_over(a, n, gap) {
                times.take(3).for_each(drop);
            }
        }
    }
}
