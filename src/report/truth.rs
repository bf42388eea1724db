//! Labels against what was heard and seen: which events were found, which were missed, which anchors are false.

use gstearmark::h5::{AnchorRow, Tables};
use serde::Serialize;

use crate::eval::labels::Event;

/// An anchor belongs to an event that begins within this time of it, ns.
pub(crate) const TOLERANCE: i64 = 250_000_000;
/// An event counts as this long at least when it is asked whether a picture falls into it, ns.
const SHORTEST: i64 = 400_000_000;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fate {
    /// An anchor stands at its beginning.
    Found,
    /// No anchor, but a plain look fell into it.
    Seen,
    /// Neither.
    Missed,
}

/// What an anchor stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// The beginning of an event.
    Right,
    /// The middle of one: a chop in a row of chops.
    Inside,
    /// Nothing that is labelled.
    False,
}

/// One event and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub event: Event,
    pub fate: Fate,
    /// Row of the anchor at its beginning.
    pub anchor: Option<usize>,
    /// Row of the dearest picture that was taken while it sounds.
    pub frame: Option<usize>,
}

/// Events by start, and what each anchor stands at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub events: Vec<Judged>,
    pub anchors: Vec<Standing>,
}

/// Events (by start) against the anchors and pictures of a run (both in the order of time). An anchor is given to one event at most.
pub(crate) fn judge(events: &[Event], tables: &Tables) -> Verdict {
    let anchors = &tables.anchors;
    let mut standing = vec![Standing::False; anchors.len()];
    let mut matched = vec![None; events.len()];
    // Both are sorted and the tolerance is the same for all, so that the earliest that fits is the best.
    let (mut e, mut a) = (0, 0);
    while let (Some(event), Some(anchor)) = (events.get(e), anchors.get(a)) {
        let off = anchor.onset_ns.saturating_sub(start(event));
        if off < -TOLERANCE {
            a += 1;
        } else if off > TOLERANCE {
            e += 1;
        } else {
            matched[e] = Some(a);
            standing[a] = Standing::Right;
            (e, a) = (e + 1, a + 1);
        }
    }
    let mut inside = Inside::new(events);
    for (anchor, standing) in anchors.iter().zip(&mut standing) {
        if *standing != Standing::Right && inside.holds(anchor) {
            *standing = Standing::Inside;
        }
    }
    let judged = events.iter().zip(matched).map(|(event, anchor)| {
        let frame = dearest(event, tables);
        let fate = match (anchor, frame) {
            (Some(_), _) => Fate::Found,
            (None, Some(_)) => Fate::Seen,
            (None, None) => Fate::Missed,
        };
        Judged {
            event: event.clone(),
            fate,
            anchor,
            frame,
        }
    });
    Verdict {
        events: judged.collect(),
        anchors: standing,
    }
}

/// How many events evenly spaced looks would fall into, each in the middle of its share of the recording.
pub(crate) fn evenly<'a>(
    events: impl Iterator<Item = &'a Event>,
    duration_ns: i64,
    looks: u64,
) -> usize {
    let (duration, looks) = (i128::from(duration_ns), i128::from(looks));
    let hit = |event: &&Event| {
        // The first look not before the start: (k + 1/2) / looks of the recording.
        let from = i128::from(start(event));
        let k = (2 * looks * from + duration - 1).div_euclid(2 * duration);
        let at = (2 * k + 1) * duration / (2 * looks);
        k < looks && at < i128::from(stop(event))
    };
    if duration <= 0 || looks == 0 {
        return 0;
    }
    events.filter(hit).count()
}

fn start(event: &Event) -> i64 {
    event.span.start().get()
}

/// When an event is over, for those who look.
fn stop(event: &Event) -> i64 {
    let stop = event.span.stop().get();
    stop.max(start(event).saturating_add(SHORTEST))
}

/// The picture of the highest tier in an event, the first of several.
fn dearest(event: &Event, tables: &Tables) -> Option<usize> {
    let first = tables.pts_ns.partition_point(|pts| *pts < start(event));
    let last = tables.pts_ns.partition_point(|pts| *pts < stop(event));
    (first..last).min_by_key(|row| std::cmp::Reverse(tables.tier.get(*row)))
}

/// Whether an instant lies in any event; asked in the order of time.
struct Inside<'a> {
    events: &'a [Event],
    next: usize,
    until: i64,
}

impl<'a> Inside<'a> {
    fn new(events: &'a [Event]) -> Self {
        Self {
            events,
            next: 0,
            until: i64::MIN,
        }
    }

    fn holds(&mut self, anchor: &AnchorRow) -> bool {
        let at = anchor.onset_ns.saturating_add(TOLERANCE);
        while let Some(event) = self
            .events
            .get(self.next)
            .filter(|event| start(event) <= at)
        {
            self.until = self.until.max(event.span.stop().get());
            self.next += 1;
        }
        anchor.onset_ns < self.until
    }
}

#[cfg(test)]
mod tests {
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;
    use anchoring::time::{Nanos, Window};

    use super::*;

    fn event(start_ms: i64, stop_ms: i64) -> Event {
        Event {
            span: Window::new(Nanos::from_ms(start_ms), Nanos::from_ms(stop_ms)).unwrap(),
            class: "knock".into(),
            level: None,
            video_id: None,
        }
    }

    fn run(onsets_ms: &[i64], looks: &[(i64, Tier)]) -> Tables {
        Tables {
            pts_ns: looks.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            planned_ns: looks.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            asked_ns: looks.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            tier: looks.iter().map(|(_, tier)| *tier).collect(),
            reason: vec![Reason::Background; looks.len()],
            tokens: vec![49; looks.len()],
            anchor: vec![-1; looks.len()],
            anchors: onsets_ms
                .iter()
                .map(|ms| AnchorRow {
                    onset_ns: ms * 1_000_000,
                    start_ns: ms * 1_000_000,
                    stop_ns: (ms + 1) * 1_000_000,
                    score: 1.0,
                    uncertainty: 0.0,
                    class_id: -1,
                    label: String::new(),
                })
                .collect(),
        }
    }

    fn fates(verdict: &Verdict) -> Vec<Fate> {
        verdict.events.iter().map(|event| event.fate).collect()
    }

    #[test]
    fn an_event_is_found_at_its_beginning_seen_in_its_middle_or_missed() {
        let events = [
            event(1_000, 2_000),
            event(5_000, 5_100),
            event(8_000, 9_000),
        ];
        let run = run(&[1_250, 8_251], &[(1_900, Tier::Low), (5_399, Tier::Low)]);
        let verdict = judge(&events, &run);
        assert_eq!(fates(&verdict), [Fate::Found, Fate::Seen, Fate::Missed]);
        assert_eq!(verdict.events[0].frame, Some(0));
        assert_eq!(verdict.anchors, [Standing::Right, Standing::Inside]);
    }

    #[test]
    fn an_anchor_is_given_to_one_event_and_the_rest_are_false() {
        let events = [event(1_000, 1_100), event(1_100, 1_200)];
        let verdict = judge(&events, &run(&[1_050, 3_000], &[]));
        assert_eq!(fates(&verdict), [Fate::Found, Fate::Missed]);
        assert_eq!(verdict.anchors, [Standing::Right, Standing::False]);
        // Two anchors serve both, though each fits the first.
        let verdict = judge(&events, &run(&[1_050, 1_150], &[]));
        assert_eq!(fates(&verdict), [Fate::Found, Fate::Found]);
    }

    #[test]
    fn evenly_spaced_looks_fall_where_they_fall() {
        // Looks at 0.5, 1.5, ... 9.5 s.
        let events = [
            event(400, 900),
            event(600, 900),
            event(1_000, 1_501),
            event(9_600, 20_000),
        ];
        let hits = |looks| evenly(events.iter(), 10_000_000_000, looks);
        assert_eq!([hits(10), hits(0), hits(1)], [2, 0, 0]);
        assert_eq!(hits(1000), 4);
        assert_eq!(evenly(events.iter(), 0, 10), 0);
    }

    #[test]
    fn the_dearest_picture_of_an_event_is_shown() {
        let events = [event(1_000, 4_000)];
        let looks = [
            (500, Tier::High),
            (1_000, Tier::Low),
            (2_000, Tier::High),
            (3_000, Tier::High),
        ];
        assert_eq!(judge(&events, &run(&[], &looks)).events[0].frame, Some(2));
    }

    #[test]
    fn long_events_hold_anchors_of_later_short_ones() {
        let events = [event(0, 10_000), event(1_000, 1_100)];
        let verdict = judge(&events, &run(&[5_000, 12_000], &[]));
        assert_eq!(verdict.anchors, [Standing::Inside, Standing::False]);
    }
}
