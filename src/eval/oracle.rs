//! The most events that so many looks can hit, when the labels are known.
//!
//! A look that hits a set of events may be moved to the latest of their starts, so only starts need be tried. How many events `k` looks hit at most
//! is concave in `k` (the constraints have consecutive ones), so a price per look finds it: for a price, the best set of looks follows
//! in one pass over the starts.

use anchoring::time::{Nanos, Window};

/// Times of at most `looks` looks, ascending, that together hit as many of `spans` as can be.
pub(super) fn place(spans: &[Window], looks: usize) -> Vec<Nanos> {
    let mut starts: Vec<Nanos> = spans.iter().map(|span| span.start()).collect();
    starts.sort_unstable();
    starts.dedup();
    let active = active(spans, &starts);
    // Any two prices next to each other, the higher of which needs too few looks.
    let dearest = active.iter().map(Vec::len).max().unwrap_or(0) as i64;
    let mut chosen = Vec::new();
    for price in (0..=dearest).rev() {
        let (few, many) = (
            best(&starts, &active, price, false),
            best(&starts, &active, price, true),
        );
        if few.len() <= looks {
            chosen = few;
        }
        if many.len() <= looks {
            chosen = many;
        } else {
            break;
        }
    }
    fill(spans, &starts, chosen, looks)
}

/// For every start, the starts of the events that sound then, the latest first.
fn active(spans: &[Window], starts: &[Nanos]) -> Vec<Vec<Nanos>> {
    let mut sorted: Vec<&Window> = spans.iter().collect();
    sorted.sort_by_key(|span| span.start());
    let mut sounding: Vec<Window> = Vec::new();
    let mut next = sorted.into_iter().peekable();
    let mut all = Vec::with_capacity(starts.len());
    for &at in starts {
        sounding.retain(|span| span.contains(at));
        while let Some(span) = next.next_if(|span| span.start() <= at) {
            sounding.push(*span);
        }
        let mut from: Vec<Nanos> = sounding.iter().map(|span| span.start()).collect();
        from.sort_unstable_by(|a, b| b.cmp(a));
        all.push(from);
    }
    all
}

/// The looks that hit most, each hit worth 1 and each look costing `price`; of equals those with the fewest looks, or with `more` the most.
fn best(starts: &[Nanos], active: &[Vec<Nanos>], price: i64, more: bool) -> Vec<Nanos> {
    // (worth, looks in the order of preference, previous look) of the best set whose last look is at a start, and the best up to it.
    let side = if more { 1 } else { -1 };
    let mut ending: Vec<(i64, i64, Option<usize>)> = Vec::with_capacity(starts.len());
    let mut so_far: Vec<(i64, i64, Option<usize>)> = vec![(0, 0, None)];
    for sounding in active {
        let mut best: Option<(i64, i64, Option<usize>)> = None;
        for (n, &from) in (1i64..).zip(sounding) {
            // The look before lies before `from`, so that the `n` latest events are new.
            let before = starts.partition_point(|&at| at < from);
            let (worth, count, last) = so_far[before];
            let found = (worth + n - price, count + side, last);
            if best.is_none_or(|b| (found.0, found.1) > (b.0, b.1)) {
                best = Some(found);
            }
        }
        let found = best.unwrap_or((i64::MIN, 0, None));
        let top = so_far[so_far.len() - 1];
        so_far.push(if (found.0, found.1) > (top.0, top.1) {
            (found.0, found.1, Some(ending.len()))
        } else {
            top
        });
        ending.push(found);
    }
    let mut at = so_far.last().and_then(|&(.., last)| last);
    let mut looks = Vec::new();
    while let Some(i) = at {
        looks.push(starts[i]);
        at = ending[i].2;
    }
    looks.reverse();
    looks
}

/// Looks that are left over go, one by one, where they hit most of what is not hit yet.
fn fill(spans: &[Window], starts: &[Nanos], mut chosen: Vec<Nanos>, looks: usize) -> Vec<Nanos> {
    let mut open: Vec<Window> = spans
        .iter()
        .copied()
        .filter(|span| !hit(&chosen, *span))
        .collect();
    let mut gains: Vec<(Nanos, usize)> = Vec::new();
    while chosen.len() < looks && !open.is_empty() {
        if gains.is_empty() {
            gains = gained(&open, starts);
            gains.sort_by_key(|&(at, n)| (n, std::cmp::Reverse(at)));
        }
        let Some((at, expected)) = gains.pop() else {
            break;
        };
        let before = open.len();
        let left: Vec<Window> = open
            .iter()
            .copied()
            .filter(|span| !span.contains(at))
            .collect();
        // A start whose events another look took since: count anew.
        if before - left.len() < expected {
            gains.clear();
            continue;
        }
        open = left;
        let place = chosen.partition_point(|&t| t < at);
        chosen.insert(place, at);
    }
    chosen
}

/// How many open events a look at each start would hit; starts without any are left out.
fn gained(open: &[Window], starts: &[Nanos]) -> Vec<(Nanos, usize)> {
    let both = active(open, starts);
    let pairs = starts
        .iter()
        .zip(both)
        .map(|(&at, events)| (at, events.len()));
    pairs.filter(|&(_, n)| n > 0).collect()
}

/// Whether one of the looks, which are ascending, lies inside.
pub(super) fn hit(looks: &[Nanos], span: Window) -> bool {
    let first = looks.partition_point(|&at| at < span.start());
    looks.get(first).is_some_and(|&at| span.contains(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(spans: &[Window], looks: &[Nanos]) -> usize {
        spans.iter().filter(|span| hit(looks, **span)).count()
    }

    /// Tries every set of starts.
    fn brute(spans: &[Window], starts: &[Nanos], looks: usize, from: usize) -> usize {
        fn go(
            spans: &[Window],
            starts: &[Nanos],
            left: usize,
            from: usize,
            at: &mut Vec<Nanos>,
        ) -> usize {
            let mut most = hits(spans, at);
            if left > 0 {
                for i in from..starts.len() {
                    at.push(starts[i]);
                    most = most.max(go(spans, starts, left - 1, i + 1, at));
                    at.pop();
                }
            }
            most
        }
        go(spans, starts, looks, from, &mut Vec::new())
    }

    #[test]
    fn no_set_of_looks_hits_more() {
        let mut state = 7_u64;
        let mut random = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % n
        };
        for _ in 0..200 {
            let spans: Vec<Window> = (0..1 + random(10))
                .filter_map(|_| {
                    let start = Nanos::from_ms(random(40) as i64);
                    Window::new(start, start + Nanos::from_ms(1 + random(15) as i64))
                })
                .collect();
            let mut starts: Vec<Nanos> = spans.iter().map(|span| span.start()).collect();
            starts.sort_unstable();
            starts.dedup();
            for looks in 0..6 {
                let placed = place(&spans, looks);
                assert!(placed.len() <= looks);
                assert!(placed.windows(2).all(|w| w[0] < w[1]));
                assert_eq!(
                    hits(&spans, &placed),
                    brute(&spans, &starts, looks, 0),
                    "{spans:?} {looks}"
                );
            }
        }
    }

    #[test]
    fn nothing_asks_for_no_looks() {
        assert!(place(&[], 5).is_empty());
    }
}
