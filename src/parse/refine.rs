//! Beginnings of events moved from the grid of seconds to onsets that were heard.
//!
//! A second has an event if the event covers its middle, so an event whose first second is `s` began up to half a second before or after `s`.

use super::events::Event;

/// How far from the grid an onset is looked for, ns: half a second, and how far an onset may lie from its event's beginning.
const REACH: i64 = 600_000_000;
/// How far apart the beginnings of what is heard and of what is seen may lie to be those of one event, s.
const TOGETHER: usize = 1;
/// A second.
const SECOND: i64 = 1_000_000_000;

/// An onset: its time, and how likely something begins there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onset {
    pub(super) at_ns: i64,
    pub(super) score: f32,
}

/// An event with its time, ns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) event: Event,
    pub(super) onset_ns: i64,
    pub(super) offset_ns: i64,
    /// Whether its beginning is that of an onset.
    pub(super) moved: bool,
}

/// The times of what is heard and what is seen. `onsets` ascend; with none, they are those of the grid. What is heard begins at the likeliest onset
/// near its first second; what is seen begins with what is heard of its class, if that begins about then.
pub(super) fn timed(heard: Vec<Event>, seen: Vec<Event>, onsets: &[Onset]) -> [Vec<Timed>; 2] {
    let on_grid = |event: Event| Timed {
        onset_ns: event.span.0 as i64 * SECOND,
        offset_ns: event.span.1 as i64 * SECOND,
        event,
        moved: false,
    };
    let mut heard: Vec<Timed> = heard.into_iter().map(on_grid).collect();
    for one in &mut heard {
        let first = onsets.partition_point(|o| o.at_ns < one.onset_ns - REACH);
        let near = onsets[first..]
            .iter()
            .take_while(|o| o.at_ns <= one.onset_ns + REACH);
        let best = near.max_by(|a, b| a.score.total_cmp(&b.score));
        if let Some(best) = best.filter(|o| o.at_ns < one.offset_ns) {
            one.onset_ns = best.at_ns.max(0);
            one.moved = true;
        }
    }
    let mut seen: Vec<Timed> = seen.into_iter().map(on_grid).collect();
    for one in &mut seen {
        let begins = one.event.span.0;
        let same = heard.iter().filter(|other| {
            other.moved
                && other.event.class == one.event.class
                && other.event.span.0.abs_diff(begins) <= TOGETHER
        });
        let same = same.min_by_key(|other| other.event.span.0.abs_diff(begins));
        if let Some(same) = same.filter(|other| other.onset_ns < one.offset_ns) {
            one.onset_ns = same.onset_ns;
            one.moved = true;
        }
    }
    [heard, seen]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(class: usize, from: usize, until: usize) -> Event {
        Event {
            class,
            span: (from, until),
            score: 0.9,
        }
    }

    #[test]
    fn what_is_heard_begins_at_the_likeliest_onset_near_the_grid() {
        let onset = |ms: i64, score| Onset {
            at_ns: ms * 1_000_000,
            score,
        };
        let onsets = [
            onset(300, 0.9),
            onset(1600, 0.4),
            onset(2300, 0.8),
            onset(2700, 0.99),
        ];
        let heard = vec![event(0, 2, 5), event(1, 7, 8)];
        let seen = vec![event(0, 3, 5), event(1, 2, 5)];
        let [heard, seen] = timed(heard, seen, &onsets);
        // 2700 ms is further away than half a second and an onset's error.
        assert_eq!(
            (heard[0].onset_ns, heard[0].offset_ns, heard[0].moved),
            (2_300_000_000, 5_000_000_000, true)
        );
        assert_eq!((heard[1].onset_ns, heard[1].moved), (7_000_000_000, false));
        // What is seen goes with what is heard of its class, and with nothing else.
        assert_eq!((seen[0].onset_ns, seen[0].moved), (2_300_000_000, true));
        assert_eq!((seen[1].onset_ns, seen[1].moved), (2_000_000_000, false));
        let [heard, _] = timed(vec![event(0, 2, 5)], Vec::new(), &[]);
        assert!(!heard[0].moved);
        // Never before the recording, nor from its end on.
        let [heard, _] = timed(vec![event(0, 0, 1)], Vec::new(), &[onset(0, 0.5)]);
        assert_eq!(heard[0].onset_ns, 0);
    }
}
