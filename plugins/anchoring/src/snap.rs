//! Plain looks are moved to keyframes, where a picture costs one decoded unit instead of half a GOP.
//!
//! A plain look may lie anywhere as long as the largest gap holds. Between two anchors the looks step from keyframe to keyframe, each
//! as far as the largest gap lets it; where that takes more looks than there are, the first stays between keyframes; where even so the
//! keyframes lie too far apart, nothing moves. Neither the number of looks nor what they cost changes.

use crate::plan::{Entry, Reason};
use crate::time::Nanos;
use crate::uniform::CLOSEST;

/// Moves the plain looks of a plan over `[start, stop)`, whose `keyframes` are sorted. Anchors' looks stay. The caller has made sure that
/// no gap between neighbouring looks, or to the ends, exceeds `max_gap`; none does afterwards.
pub fn to_keyframes(
    entries: &mut [Entry],
    keyframes: &[Nanos],
    start: Nanos,
    stop: Nanos,
    max_gap: Nanos,
) {
    let mut from = 0;
    let mut a = start;
    while from < entries.len() {
        let run = entries[from..]
            .iter()
            .take_while(|entry| entry.reason != Reason::Anchor)
            .count();
        let b = entries
            .get(from + run)
            .map_or(stop, |entry| entry.requested);
        let looks = &mut entries[from..from + run];
        if let Some(times) = place(run, keyframes, a, b, max_gap) {
            for (look, at) in looks.iter_mut().zip(times) {
                look.requested = at;
            }
        }
        a = b;
        from += run + 1;
    }
}

/// Times of `n` looks between `a` and `b`, as many as possible on keyframes; `None` if that can't be.
fn place(n: usize, keyframes: &[Nanos], a: Nanos, b: Nanos, max_gap: Nanos) -> Option<Vec<Nanos>> {
    let first = keyframes.partition_point(|&at| at < a + CLOSEST);
    let last = keyframes.partition_point(|&at| at + CLOSEST <= b);
    let keys = keyframes.get(first..last)?;
    let mut times = forward(n, keys, a, b, max_gap).or_else(|| backward(n, keys, a, b, max_gap))?;
    // Looks that are left over go to keyframes in the middle of the widest pieces.
    while times.len() < n {
        let edges: Vec<Nanos> = [a]
            .into_iter()
            .chain(times.iter().copied())
            .chain([b])
            .collect();
        let at = edges
            .windows(2)
            .filter_map(|piece| {
                let middle = Nanos::new(piece[0].get().midpoint(piece[1].get()));
                let inside = |at: &&Nanos| **at >= piece[0] + CLOSEST && **at + CLOSEST <= piece[1];
                let near = keys
                    .iter()
                    .filter(inside)
                    .min_by_key(|at| at.distance(middle))?;
                Some((piece[1] - piece[0], *near))
            })
            .max_by_key(|(length, _)| *length)?
            .1;
        times.insert(times.partition_point(|&t| t < at), at);
    }
    Some(times)
}

/// From keyframe to keyframe, each as late as the largest gap lets it; `None` if more than `n` would be needed.
fn forward(n: usize, keys: &[Nanos], a: Nanos, b: Nanos, max_gap: Nanos) -> Option<Vec<Nanos>> {
    let mut times = Vec::with_capacity(n);
    let mut at = a;
    while b - at > max_gap {
        let after = keys.partition_point(|&key| key <= at + max_gap);
        let next = *keys.get(after.checked_sub(1)?)?;
        if next < at + CLOSEST || times.len() == n {
            return None;
        }
        times.push(next);
        at = next;
    }
    Some(times)
}

/// The same from the end, with the first look halfway between `a` and the second.
fn backward(n: usize, keys: &[Nanos], a: Nanos, b: Nanos, max_gap: Nanos) -> Option<Vec<Nanos>> {
    let mut times = Vec::with_capacity(n);
    let mut at = b;
    for _ in 1..n {
        let next = *keys.get(keys.partition_point(|&key| key < at - max_gap))?;
        if next + CLOSEST > at {
            return None;
        }
        times.push(next);
        at = next;
    }
    let middle = Nanos::new(a.get().midpoint(at.get()));
    if n == 0
        || middle - a > max_gap
        || at - middle > max_gap
        || middle - a < CLOSEST
        || at - middle < CLOSEST
    {
        return None;
    }
    times.push(middle);
    times.reverse();
    Some(times)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tier::Tier;
    use crate::uniform::{between, needed};

    fn entry(requested: Nanos, reason: Reason) -> Entry {
        Entry {
            requested,
            tier: Tier::Low,
            tokens: 49,
            reason,
            anchor: (reason == Reason::Anchor).then_some(0),
        }
    }

    #[test]
    fn looks_step_from_keyframe_to_keyframe() {
        let keys: Vec<_> = (0..20).map(|i| Nanos::from_ms(500 * i)).collect();
        let mut entries: Vec<_> = [700, 1_500, 2_300, 3_100, 3_900]
            .map(|ms| entry(Nanos::from_ms(ms), Reason::Uniform))
            .to_vec();
        entries.push(entry(Nanos::from_ms(4_700), Reason::Anchor));
        to_keyframes(
            &mut entries,
            &keys,
            Nanos::ZERO,
            Nanos::from_ms(5_000),
            Nanos::from_ms(1_000),
        );
        let times: Vec<_> = entries
            .iter()
            .map(|e| e.requested.get() / 1_000_000)
            .collect();
        assert_eq!(times, [1_000, 2_000, 3_000, 3_500, 4_000, 4_700]);
    }

    proptest! {
        #[test]
        fn nothing_but_time_changes_and_the_largest_gap_holds(
            mut anchors in prop::collection::vec(0i64..60_000, 0..12),
            keys in prop::collection::vec(0i64..60_000, 0..200),
            more in 0u64..3,
        ) {
            let (stop, gap) = (Nanos::from_ms(60_000), Nanos::from_ms(1_000));
            anchors.sort_unstable();
            anchors.dedup_by_key(|at| *at / 500);
            let mut keys: Vec<_> = keys.into_iter().map(Nanos::from_ms).collect();
            keys.sort_unstable();
            let mut entries = Vec::new();
            let mut a = Nanos::ZERO;
            for b in anchors.into_iter().map(Nanos::from_ms).chain([stop]) {
                let n = needed(a, b, gap) + more;
                entries.extend(between(a, b, n).map(|at| entry(at, Reason::Uniform)));
                if b < stop {
                    entries.push(entry(b, Reason::Anchor));
                }
                a = b;
            }
            let before = entries.clone();
            to_keyframes(&mut entries, &keys, Nanos::ZERO, stop, gap);
            prop_assert_eq!(entries.len(), before.len());
            for (old, new) in before.iter().zip(&entries) {
                prop_assert_eq!((old.tier, old.reason, old.tokens), (new.tier, new.reason, new.tokens));
                prop_assert!(old.reason != Reason::Anchor || old == new);
            }
            let mut edges = vec![Nanos::ZERO];
            edges.extend(entries.iter().map(|entry| entry.requested));
            edges.push(stop);
            prop_assert!(edges.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= gap), "{edges:?}");
        }
    }
}
