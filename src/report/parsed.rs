//! The events of a parser: a table, and rows of the timeline.

use gstearmark::h5::{EventModality, EventRow};
use serde_json::{Value, json};

use super::columns::{bytes, numbered, share, short, times};

/// Most events that are listed.
const MOST: usize = 300;

/// A table of them, by time.
pub(super) fn table(events: &[EventRow]) -> Value {
    let rows = events.iter().take(MOST).map(|event| {
        let how = match event.modality {
            EventModality::Audio => "heard",
            EventModality::Visual => "seen",
        };
        json!({
            "class": short(&event.class), "how": how, "onset": event.onset_ns as f64 / 1e9, "offset": event.offset_ns as f64 / 1e9,
            "score": event.score,
        })
    });
    let rows: Vec<Value> = rows.collect();
    json!({ "more": events.len().saturating_sub(MOST), "rows": rows })
}

/// Columns for the timeline, for what is heard and what is seen, in order of their beginnings.
pub(super) fn timeline(events: &[EventRow]) -> Value {
    let of = |modality: EventModality| {
        let mut own: Vec<&EventRow> = events
            .iter()
            .filter(|event| event.modality == modality)
            .collect();
        own.sort_by_key(|event| event.onset_ns);
        let (classes, class) = numbered(own.iter().map(|event| event.class.as_str()));
        json!({
            "n": own.len(),
            "start": times(own.iter().map(|event| event.onset_ns)),
            "stop": times(own.iter().map(|event| event.offset_ns)),
            "class": class, "classes": classes,
            "score": bytes(&own.iter().map(|event| share(event.score)).collect::<Vec<_>>()),
        })
    };
    json!({ "heard": of(EventModality::Audio), "seen": of(EventModality::Visual) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_and_what_is_seen_are_apart_and_in_order() {
        let event = |onset_ns, modality| EventRow {
            onset_ns,
            offset_ns: onset_ns + 1_000_000_000,
            class: "Tap".into(),
            modality,
            score: 1.0,
        };
        let events = [
            event(5_000_000_000, EventModality::Audio),
            event(0, EventModality::Visual),
            event(1_000_000_000, EventModality::Audio),
        ];
        let value = timeline(&events);
        assert_eq!(value["heard"]["n"], 2);
        assert_eq!(
            value["heard"]["start"],
            times([1_000_000_000, 5_000_000_000].into_iter())
        );
        assert_eq!(value["seen"]["n"], 1);
        assert_eq!(table(&events)["rows"].as_array().map(Vec::len), Some(3));
    }
}
