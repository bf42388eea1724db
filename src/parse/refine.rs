//! Moves the beginnings of events from the grid of seconds to detected onsets.
//!
//! A second has an event if the event covers its middle, so an event whose first second is `s` began up to half a second before or after `s`.

use super::events::Event;

/// Largest distance of an onset from the grid, ns: half a second, plus the largest distance of an onset from its event's beginning.
const REACH: i64 = 600_000_000;
/// Largest distance between the beginnings of a heard and a seen event that count as one, s.
const TOGETHER: usize = 1;
/// A second.
const SECOND: i64 = 1_000_000_000;

/// An onset: its time and probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Onset {
    pub(super) at_ns: i64,
    pub(super) score: f32,
}

/// An event with its times, ns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) event: Event,
    pub(super) onset_ns: i64,
    pub(super) offset_ns: i64,
    /// Whether it begins at an onset.
    pub(super) moved: bool,
}

/// The times of heard and seen events. `onsets` ascend; without any, the times stay on the grid. A heard event begins at the likeliest onset
/// near its first second; a seen event begins with the heard one of its class, if their beginnings are close.
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
    fn a_heard_event_begins_at_the_likeliest_onset_near_the_grid() {
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
        // A seen event follows the heard event of its class, and nothing else.
        assert_eq!((seen[0].onset_ns, seen[0].moved), (2_300_000_000, true));
        assert_eq!((seen[1].onset_ns, seen[1].moved), (2_000_000_000, false));
        let [heard, _] = timed(vec![event(0, 2, 5)], Vec::new(), &[]);
        assert!(!heard[0].moved);
        // Never before the recording, nor at or after its end.
        let [heard, _] = timed(vec![event(0, 0, 1)], Vec::new(), &[onset(0, 0.5)]);
        assert_eq!(heard[0].onset_ns, 0);
    }
}
