//! The oracle: the most events that a number of frames can hit, if the labels are known.
//!
//! A frame that hits a set of events can move to the latest of their starts, so only starts are tried. The most events that `k` frames can hit
//! is concave in `k` (the constraints have consecutive ones), so a price per frame finds it: for each price, one pass over the starts finds
//! the best set of frames. Many sets hit equally many events and none is preferable, so an event's share is the share of a few randomly drawn
//! best sets that hit it.

use anchoring::time::{Nanos, Window};

use super::bootstrap::Random;

/// Number of best sets drawn.
const DRAWS: usize = 10;
/// Breaks ties between sets: a random number below this for every event.
const TIE: usize = 1 << 16;
/// The same recording gives the same sets.
const SEED: u64 = 2;

/// For each span the share of the best sets of `most` frames that hit it. The shares add up to the most hits possible.
pub(super) fn shares(spans: &[Window], most: usize) -> Vec<f64> {
    let mut times = vec![0_usize; spans.len()];
    let mut random = Random(SEED);
    // An event's worth: one more event always outweighs all tie-breaks.
    let event = TIE.saturating_mul(spans.len() + 1);
    for _ in 0..DRAWS {
        let worth = |_| (event + random.below(TIE)) as i64;
        let worths: Vec<i64> = (0..spans.len()).map(worth).collect();
        let placed = place(spans, &worths, most);
        for (times, span) in times.iter_mut().zip(spans) {
            *times += usize::from(hit(&placed, *span));
        }
    }
    times.iter().map(|n| *n as f64 / DRAWS as f64).collect()
}

/// Times of at most `most` frames, ascending, that together hit spans worth as much as possible.
fn place(spans: &[Window], worths: &[i64], most: usize) -> Vec<Nanos> {
    let mut starts: Vec<Nanos> = spans.iter().map(|span| span.start()).collect();
    starts.sort_unstable();
    starts.dedup();
    let active = active(spans, worths, &starts);
    // The lowest price at which not too many frames pay off: at a lower price, one more frame never brings more.
    let dearest = active.iter().map(|all| all.iter().map(|(_, w)| w).sum());
    let (mut low, mut high) = (0_i64, dearest.max().unwrap_or(0));
    while low < high {
        let price = low + (high - low) / 2;
        if best(&starts, &active, price).len() <= most {
            high = price;
        } else {
            low = price + 1;
        }
    }
    let chosen = best(&starts, &active, low);
    fill(spans, &starts, chosen, most)
}

/// For every start, the events that sound then, the latest first: number of starts before it, and its worth.
fn active(spans: &[Window], worths: &[i64], starts: &[Nanos]) -> Vec<Vec<(usize, i64)>> {
    let mut sorted: Vec<(&Window, i64)> = spans.iter().zip(worths.iter().copied()).collect();
    sorted.sort_by_key(|(span, _)| span.start());
    let mut sounding: Vec<(Window, usize, i64)> = Vec::new();
    let mut next = sorted.into_iter().peekable();
    let mut all = Vec::with_capacity(starts.len());
    for (place, &at) in starts.iter().enumerate() {
        sounding.retain(|(span, ..)| span.contains(at));
        while let Some((span, worth)) = next.next_if(|(span, _)| span.start() <= at) {
            sounding.push((*span, place, worth));
        }
        // They are ordered by start.
        let latest = sounding.iter().rev();
        all.push(latest.map(|&(_, before, worth)| (before, worth)).collect());
    }
    all
}

/// The frames that bring the most, each costing `price`; among equals, the fewest frames.
fn best(starts: &[Nanos], active: &[Vec<(usize, i64)>], price: i64) -> Vec<Nanos> {
    // (worth, fewer frames, previous frame) of the best set whose last frame is at a start, and the best so far.
    let mut ending: Vec<(i64, i64, Option<usize>)> = Vec::with_capacity(starts.len());
    let mut so_far: Vec<(i64, i64, Option<usize>)> = vec![(0, 0, None)];
    for sounding in active {
        let mut best: Option<(i64, i64, Option<usize>)> = None;
        let mut new = 0;
        for &(before, own) in sounding {
            // The previous frame lies before this event's start, so this and all later events are new.
            new += own;
            let (worth, fewer, last) = so_far[before];
            let found = (worth + new - price, fewer - 1, last);
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
    let mut frames = Vec::new();
    while let Some(i) = at {
        frames.push(starts[i]);
        at = ending[i].2;
    }
    frames.reverse();
    frames
}

/// Places left-over frames one by one where they hit most events not hit yet.
fn fill(spans: &[Window], starts: &[Nanos], mut chosen: Vec<Nanos>, most: usize) -> Vec<Nanos> {
    let mut open: Vec<Window> = spans
        .iter()
        .copied()
        .filter(|span| !hit(&chosen, *span))
        .collect();
    let mut gains: Vec<(Nanos, usize)> = Vec::new();
    while chosen.len() < most && !open.is_empty() {
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
        // Another frame has since hit some of its events: counts again.
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

/// Number of open events that a frame at each start would hit; leaves out starts without any.
fn gained(open: &[Window], starts: &[Nanos]) -> Vec<(Nanos, usize)> {
    let both = active(open, &vec![1; open.len()], starts);
    let pairs = starts
        .iter()
        .zip(both)
        .map(|(&at, events)| (at, events.len()));
    pairs.filter(|&(_, n)| n > 0).collect()
}

/// Whether one of the frames, which are ascending, lies inside.
pub(super) fn hit(frames: &[Nanos], span: Window) -> bool {
    let first = frames.partition_point(|&at| at < span.start());
    frames.get(first).is_some_and(|&at| span.contains(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(spans: &[Window], frames: &[Nanos]) -> usize {
        spans.iter().filter(|span| hit(frames, **span)).count()
    }

    /// Tries every set of starts.
    fn brute(spans: &[Window], starts: &[Nanos], n: usize, from: usize) -> usize {
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
        go(spans, starts, n, from, &mut Vec::new())
    }

    /// A few random spans.
    fn made(random: &mut Random) -> Vec<Window> {
        let n = 1 + random.below(10);
        let span = |_| {
            let start = Nanos::from_ms(random.below(40) as i64);
            Window::new(start, start + Nanos::from_ms(1 + random.below(15) as i64))
        };
        (0..n).filter_map(span).collect()
    }

    #[test]
    fn no_set_of_frames_hits_more() {
        let mut random = Random(7);
        for _ in 0..200 {
            let spans = made(&mut random);
            let mut starts: Vec<Nanos> = spans.iter().map(|span| span.start()).collect();
            starts.sort_unstable();
            starts.dedup();
            for n in 0..6 {
                let placed = place(&spans, &vec![1; spans.len()], n);
                assert!(placed.len() <= n);
                assert!(placed.windows(2).all(|w| w[0] < w[1]));
                let most = brute(&spans, &starts, n, 0);
                assert_eq!(hits(&spans, &placed), most, "{spans:?} {n}");
                let all: f64 = shares(&spans, n).iter().sum();
                assert!((all - most as f64).abs() < 1e-9, "{spans:?} {n}: {all}");
            }
        }
    }

    #[test]
    fn without_events_there_are_no_frames() {
        assert!(place(&[], &[], 5).is_empty());
        assert!(shares(&[], 5).is_empty());
    }

    #[test]
    fn among_equally_good_events_none_is_preferred() {
        let at = |i: i64| Window::new(Nanos::from_ms(100 * i), Nanos::from_ms(100 * i + 50));
        let spans: Vec<Window> = (0..40).filter_map(at).collect();
        let shares = shares(&spans, 20);
        for half in shares.chunks(20) {
            let hit: f64 = half.iter().sum();
            assert!((hit - 10.0).abs() < 2.5, "{shares:?}");
        }
    }
}
