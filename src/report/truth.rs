//! Compares labels with anchors and frames: which events were hit or missed, which anchors are false.

use gstearmark::h5::{AnchorRow, Tables};
use serde::Serialize;

use crate::eval::labels::Event;

/// Largest distance between an anchor and the start of its event, ns.
pub(crate) const TOLERANCE: i64 = 250_000_000;
/// Shortest length of an event when frames are matched to it, ns.
const SHORTEST: i64 = 400_000_000;

/// The result of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventResult {
    /// An anchor is at its start.
    Found,
    /// No anchor, but a background frame fell inside.
    Seen,
    /// Neither.
    Missed,
}

/// The result of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnchorResult {
    /// At the start of an event.
    Right,
    /// Inside an event: a chop in a row of chops.
    Inside,
    /// Without a label.
    False,
}

/// An event and its result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LabelledEvent {
    pub event: Event,
    pub result: EventResult,
    /// Row of the anchor at its start.
    pub anchor: Option<usize>,
    /// Row of the most expensive frame taken during it.
    pub frame: Option<usize>,
    /// Row of the likeliest candidate at its start that was not taken.
    pub candidate: Option<usize>,
}

/// Events by start, and the result of each anchor.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Comparison {
    pub events: Vec<LabelledEvent>,
    pub anchors: Vec<AnchorResult>,
}

/// Compares events with the anchors and frames of a run, all in time order. An anchor belongs to at most one event.
pub(crate) fn judge(events: &[Event], tables: &Tables) -> Comparison {
    let anchors = &tables.anchors;
    let mut standing = vec![AnchorResult::False; anchors.len()];
    let mut matched = vec![None; events.len()];
    // Both are sorted and the tolerance is constant, so the earliest match is the best.
    let (mut e, mut a) = (0, 0);
    while let (Some(event), Some(anchor)) = (events.get(e), anchors.get(a)) {
        let off = anchor.onset_ns.saturating_sub(start(event));
        if off < -TOLERANCE {
            a += 1;
        } else if off > TOLERANCE {
            e += 1;
        } else {
            matched[e] = Some(a);
            standing[a] = AnchorResult::Right;
            (e, a) = (e + 1, a + 1);
        }
    }
    let mut inside = EventCover::new(events);
    for (anchor, standing) in anchors.iter().zip(&mut standing) {
        if *standing != AnchorResult::Right && inside.holds(anchor) {
            *standing = AnchorResult::Inside;
        }
    }
    let judged = events.iter().zip(matched).map(|(event, anchor)| {
        let frame = dearest(event, tables);
        let result = match (anchor, frame) {
            (Some(_), _) => EventResult::Found,
            (None, Some(_)) => EventResult::Seen,
            (None, None) => EventResult::Missed,
        };
        LabelledEvent {
            event: event.clone(),
            result,
            anchor,
            frame,
            candidate: likeliest(event, tables),
        }
    });
    Comparison {
        events: judged.collect(),
        anchors: standing,
    }
}

/// How many events evenly spaced frames would fall into, each in the middle of its share of the recording.
pub(crate) fn evenly<'a>(
    events: impl Iterator<Item = &'a Event>,
    duration_ns: i64,
    frames: u64,
) -> usize {
    let (duration, frames) = (i128::from(duration_ns), i128::from(frames));
    let hit = |event: &&Event| {
        // The first frame not before the start: (k + 1/2) / frames of the recording.
        let from = i128::from(start(event));
        let k = (2 * frames * from + duration - 1).div_euclid(2 * duration);
        let at = (2 * k + 1) * duration / (2 * frames);
        k < frames && at < i128::from(stop(event))
    };
    if duration <= 0 || frames == 0 {
        return 0;
    }
    events.filter(hit).count()
}

fn start(event: &Event) -> i64 {
    event.span.start().get()
}

/// The end of an event, for hits by frames.
fn stop(event: &Event) -> i64 {
    let stop = event.span.stop().get();
    stop.max(start(event).saturating_add(SHORTEST))
}

/// The frame with the highest tier in an event; the first of several.
fn dearest(event: &Event, tables: &Tables) -> Option<usize> {
    let first = tables.pts_ns.partition_point(|pts| *pts < start(event));
    let last = tables.pts_ns.partition_point(|pts| *pts < stop(event));
    (first..last).min_by_key(|row| std::cmp::Reverse(tables.tier.get(*row)))
}

/// The likeliest untaken candidate during an event.
fn likeliest(event: &Event, tables: &Tables) -> Option<usize> {
    let candidates = &tables.candidates;
    let from = start(event).saturating_sub(TOLERANCE);
    let until = stop(event).max(start(event).saturating_add(TOLERANCE));
    let first = candidates.partition_point(|one| one.onset_ns < from);
    let last = candidates.partition_point(|one| one.onset_ns < until);
    (first..last).max_by(|a, b| candidates[*a].score.total_cmp(&candidates[*b].score))
}

/// Whether an instant lies in any event; call it in order of time.
struct EventCover<'a> {
    events: &'a [Event],
    next: usize,
    until: i64,
}

impl<'a> EventCover<'a> {
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

    use gstearmark::h5;

    use super::*;

    fn event(start_ms: i64, stop_ms: i64) -> Event {
        Event {
            span: Window::new(Nanos::from_ms(start_ms), Nanos::from_ms(stop_ms)).unwrap(),
            class: "knock".into(),
            level: None,
            video_id: None,
        }
    }

    fn run(onsets_ms: &[i64], frames: &[(i64, Tier)]) -> Tables {
        Tables {
            pts_ns: frames.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            planned_ns: frames.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            asked_ns: frames.iter().map(|(ms, _)| ms * 1_000_000).collect(),
            tier: frames.iter().map(|(_, tier)| *tier).collect(),
            reason: vec![Reason::Background; frames.len()],
            tokens: vec![49; frames.len()],
            anchor: vec![-1; frames.len()],
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
            quality: Vec::new(),
            clips: None,
            candidates: Vec::new(),
        }
    }

    fn results(verdict: &Comparison) -> Vec<EventResult> {
        verdict.events.iter().map(|event| event.result).collect()
    }

    #[test]
    fn an_event_is_found_at_its_start_shown_in_its_middle_or_missed() {
        let events = [
            event(1_000, 2_000),
            event(5_000, 5_100),
            event(8_000, 9_000),
        ];
        let run = run(&[1_250, 8_251], &[(1_900, Tier::Low), (5_399, Tier::Low)]);
        let verdict = judge(&events, &run);
        assert_eq!(
            results(&verdict),
            [EventResult::Found, EventResult::Seen, EventResult::Missed]
        );
        assert_eq!(verdict.events[0].frame, Some(0));
        assert_eq!(verdict.anchors, [AnchorResult::Right, AnchorResult::Inside]);
    }

    #[test]
    fn an_anchor_is_given_to_one_event_and_the_rest_are_false() {
        let events = [event(1_000, 1_100), event(1_100, 1_200)];
        let verdict = judge(&events, &run(&[1_050, 3_000], &[]));
        assert_eq!(results(&verdict), [EventResult::Found, EventResult::Missed]);
        assert_eq!(verdict.anchors, [AnchorResult::Right, AnchorResult::False]);
        // Two anchors serve both, although each fits the first.
        let verdict = judge(&events, &run(&[1_050, 1_150], &[]));
        assert_eq!(results(&verdict), [EventResult::Found, EventResult::Found]);
    }

    #[test]
    fn evenly_spaced_frames_hit_what_lies_under_them() {
        // Frames at 0.5, 1.5, ... 9.5 s.
        let events = [
            event(400, 900),
            event(600, 900),
            event(1_000, 1_501),
            event(9_600, 20_000),
        ];
        let hits = |frames| evenly(events.iter(), 10_000_000_000, frames);
        assert_eq!([hits(10), hits(0), hits(1)], [2, 0, 0]);
        assert_eq!(hits(1000), 4);
        assert_eq!(evenly(events.iter(), 0, 10), 0);
    }

    #[test]
    fn the_dearest_frame_of_an_event_is_shown() {
        let events = [event(1_000, 4_000)];
        let frames = [
            (500, Tier::High),
            (1_000, Tier::Low),
            (2_000, Tier::High),
            (3_000, Tier::High),
        ];
        assert_eq!(judge(&events, &run(&[], &frames)).events[0].frame, Some(2));
    }

    #[test]
    fn a_missed_event_may_have_an_untaken_candidate() {
        let events = [event(1_000, 1_100), event(5_000, 6_000)];
        let mut run = run(&[], &[]);
        let one = |ms: i64, score| h5::CandidateRow {
            onset_ns: ms * 1_000_000,
            score,
            more_tokens: 784,
        };
        run.candidates = vec![
            one(900, 0.25),
            one(1_240, 0.75),
            one(4_000, 0.5),
            one(7_000, 0.5),
        ];
        let heard = judge(&events, &run).events;
        assert_eq!(
            heard.iter().map(|e| e.candidate).collect::<Vec<_>>(),
            [Some(1), None]
        );
    }

    #[test]
    fn long_events_hold_anchors_of_later_short_ones() {
        let events = [event(0, 10_000), event(1_000, 1_100)];
        let verdict = judge(&events, &run(&[5_000, 12_000], &[]));
        assert_eq!(verdict.anchors, [AnchorResult::Inside, AnchorResult::False]);
    }
}
