//! Events for other systems, as JSON: anchors as soon as they are decided and again once they are written, their frames as JPEG, states,
//! files. Each output has its own bounded queue; a slow output loses its own events, and
//! they are counted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde_json::{Value, json};

use super::files;
use super::media::Wall;
use super::supervisor::{Cause, State};
use crate::terminal;

/// The schema's name, in every event.
pub(super) const SCHEMA: &str = "earmark-event/1";
/// The schema itself, as JSON Schema.
pub(crate) const EVENT_SCHEMA: &str = include_str!("event.schema.json");
/// Most events that may wait for one output.
const QUEUE: usize = 1_024;

/// An event. `kind` and `id` stay the same when the same event is sent again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    /// `anchor`, `written`, `image`, `state` or `file`.
    pub(super) kind: &'static str,
    /// Its source.
    pub(super) source: String,
    /// One JSON object.
    pub(super) value: Value,
}

/// An anchor, as the gate decides it and as the sink reports it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Anchor {
    pub(super) id: u32,
    pub(super) onset_ns: i64,
    pub(super) window_ns: [i64; 2],
    pub(super) label: String,
    pub(super) class_id: i32,
    pub(super) score: f32,
    pub(super) uncertainty: f32,
}

/// Where an anchor was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) frame_ns: Option<i64>,
    pub(super) location: String,
    pub(super) row: u32,
}

impl Anchor {
    pub(super) fn read(structure: &gst::StructureRef) -> Option<Self> {
        Some(Self {
            id: structure.get("id").ok()?,
            onset_ns: structure.get("onset-ns").ok()?,
            window_ns: [
                structure.get("start-ns").ok()?,
                structure.get("stop-ns").ok()?,
            ],
            label: structure.get("label").ok()?,
            class_id: structure.get("class-id").ok()?,
            score: structure.get("score").ok()?,
            uncertainty: structure.get("uncertainty").ok()?,
        })
    }
}

impl Place {
    pub(super) fn read(structure: &gst::StructureRef) -> Option<Self> {
        Some(Self {
            frame_ns: structure.get("frame-ns").ok(),
            location: structure.get("location").ok()?,
            row: structure.get("row").ok()?,
        })
    }
}

impl Event {
    /// An onset became an anchor. `run`: as in file names. `epoch`: how often the source was started.
    pub(super) fn anchor(
        source: &str,
        run: &str,
        epoch: u64,
        heard: &Anchor,
        wall: Option<Wall>,
    ) -> Self {
        Self {
            kind: "anchor",
            source: source.into(),
            value: json!({
                "schema": SCHEMA,
                "kind": "anchor",
                "id": format!("{source}-{run}-{epoch}-{}", heard.id),
                "source": source,
                "onset_ns": heard.onset_ns,
                "window_ns": heard.window_ns,
                "label": heard.label,
                "class_id": heard.class_id,
                "score": heard.score,
                "uncertainty": heard.uncertainty,
                "onset_wall": wall.map(|wall| files::wall(wall.at(heard.onset_ns))),
                "wall_uncertainty_ms": wall.map(|wall| wall.uncertainty.as_millis() as u64),
            }),
        }
    }

    /// This anchor was written: the same, with its frame and its row.
    pub(super) fn written(mut self, place: &Place, folder: &Path) -> Self {
        let file = Path::new(&place.location);
        let file = file.strip_prefix(folder).unwrap_or(file);
        self.kind = "written";
        self.value["kind"] = json!("written");
        self.value["frames_ns"] = json!(place.frame_ns.into_iter().collect::<Vec<_>>());
        self.value["file"] = json!(file.to_string_lossy());
        self.value["row"] = json!(place.row);
        self
    }

    /// The frame of an anchor, as JPEG. `anchor`: the id of its event.
    pub(super) fn image(source: &str, anchor: &str, jpeg: &[u8]) -> Self {
        Self {
            kind: "image",
            source: source.into(),
            value: json!({
                "schema": SCHEMA,
                "kind": "image",
                "id": format!("{anchor}-image"),
                "source": source,
                "anchor": anchor,
                "jpeg": STANDARD.encode(jpeg),
            }),
        }
    }

    /// A source changed its state. `number` counts its changes.
    pub(super) fn state(
        source: &str,
        run: &str,
        number: u64,
        state: State,
        why: Option<(Cause, &str)>,
        wall_ns: i64,
    ) -> Self {
        Self {
            kind: "state",
            source: source.into(),
            value: json!({
                "schema": SCHEMA,
                "kind": "state",
                "id": format!("{source}-{run}-state-{number}"),
                "source": source,
                "state": state,
                "words": state.words(),
                "cause": why.map(|(cause, _)| cause),
                "detail": why.map(|(_, text)| text),
                "wall": files::wall(wall_ns),
            }),
        }
    }

    /// A file was completed.
    pub(super) fn file(
        source: &str,
        run: &str,
        location: &str,
        folder: &Path,
        counts: [u64; 4],
    ) -> Self {
        let file = Path::new(location);
        let file = file.strip_prefix(folder).unwrap_or(file).to_string_lossy();
        let [frames, anchors, cues, tokens] = counts;
        Self {
            kind: "file",
            source: source.into(),
            value: json!({
                "schema": SCHEMA,
                "kind": "file",
                "id": format!("{source}-{run}-file-{file}"),
                "source": source,
                "file": file,
                "frames": frames,
                "anchors": anchors,
                "cues": cues,
                "spent_tokens": tokens,
            }),
        }
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }
}

/// An output's name, its queue, and the number of events that it lost.
type HubOutput = (&'static str, Sender<Arc<Event>>, Arc<AtomicU64>);

/// Takes events and passes them to every output.
#[derive(Clone, Debug, Default)]
pub(super) struct Hub {
    outputs: Vec<HubOutput>,
}

impl Hub {
    /// Adds an output; its events come out of the receiver until the hub is gone.
    pub(super) fn output(&mut self, name: &'static str) -> Receiver<Arc<Event>> {
        let (sender, receiver) = bounded(QUEUE);
        self.outputs.push((name, sender, Arc::default()));
        receiver
    }

    /// Passes an event to every output.
    pub(super) fn send(&self, event: Event) {
        let event = Arc::new(event);
        for (_, sender, lost) in &self.outputs {
            if let Err(TrySendError::Full(_)) = sender.try_send(event.clone()) {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts lost events; does not keep the hub alive.
    pub(super) fn numbers(&self) -> LostEvents {
        let one = |(name, _, lost): &(&'static str, _, Arc<AtomicU64>)| (*name, lost.clone());
        LostEvents(self.outputs.iter().map(one).collect())
    }

    /// Events that each output lost.
    #[cfg(test)]
    pub(super) fn lost(&self) -> Vec<(&'static str, u64)> {
        let lost = |(name, _, lost): &(&'static str, _, Arc<AtomicU64>)| {
            (*name, lost.load(Ordering::Relaxed))
        };
        self.outputs.iter().map(lost).collect()
    }
}

/// Counts of lost events.
#[derive(Clone, Debug, Default)]
pub(super) struct LostEvents(Vec<(&'static str, Arc<AtomicU64>)>);

impl LostEvents {
    /// By output.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        let one =
            |(name, lost): &(&'static str, Arc<AtomicU64>)| (*name, lost.load(Ordering::Relaxed));
        self.0.iter().map(one).collect()
    }
}

/// Where lines of JSON go.
pub(super) enum Lines {
    /// stdout.
    Stdout,
    /// The end of a file.
    File(File),
}

impl Lines {
    /// `-` is stdout.
    pub(super) fn open(place: &Path) -> anyhow::Result<Self> {
        if place == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(place);
        let file = file.with_context(|| format!("cannot write events to {}", place.display()))?;
        Ok(Self::File(file))
    }

    /// Writes until the hub is gone. Stops at the first error and returns it.
    pub(super) fn write(mut self, events: &Receiver<Arc<Event>>) -> anyhow::Result<()> {
        for event in events {
            match &mut self {
                Self::Stdout => terminal::print(&event.value.to_string())?,
                Self::File(file) => {
                    writeln!(file, "{}", event.value).context("cannot write events")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> Event {
        Event::state("door", "ab", n, State::Healthy, None, 0)
    }

    #[test]
    fn a_stuck_output_blocks_nobody_and_its_losses_are_counted() {
        let mut hub = Hub::default();
        let (quick, slow) = (hub.output("quick"), hub.output("slow"));
        for n in 0..3_000 {
            hub.send(event(n));
            quick.try_recv().unwrap();
        }
        assert_eq!(hub.lost(), [("quick", 0), ("slow", 3_000 - QUEUE as u64)]);
        assert_eq!(slow.try_recv().unwrap().id(), "door-ab-state-0");
    }

    #[test]
    fn an_anchor_says_where_it_is() {
        let heard = Anchor {
            id: 7,
            onset_ns: 2_000_000_000,
            window_ns: [1_800_000_000, 2_400_000_000],
            label: "Tap".into(),
            class_id: 3,
            score: 0.75,
            uncertainty: 0.25,
        };
        let place = Place {
            frame_ns: Some(2_040_000_000),
            location: "/out/2026-11-30/door.h5".into(),
            row: 2,
        };
        let wall = Wall {
            zero_ns: 0,
            uncertainty: std::time::Duration::from_millis(120),
        };
        let event = Event::anchor("door", "ab", 4, &heard, Some(wall));
        assert_eq!(event.id(), "door-ab-4-7");
        let value = event.value.clone();
        assert_eq!(value["onset_wall"], "1970-01-01T00:00:02.000Z");
        assert_eq!(value["wall_uncertainty_ms"], 120);
        assert_eq!(value.get("file"), None);
        // What is written has the same id, everything that was said before, and its place.
        let written = event.written(&place, "/out".as_ref());
        assert_eq!((written.kind, written.id()), ("written", "door-ab-4-7"));
        for (key, before) in value.as_object().unwrap() {
            assert!(key == "kind" || written.value[key] == *before, "{key}");
        }
        assert_eq!(written.value["file"], "2026-11-30/door.h5");
        assert_eq!(written.value["row"], 2);
        assert_eq!(written.value["frames_ns"], json!([2_040_000_000_i64]));
    }

    /// Whether a value is one that a property of the schema allows.
    fn allowed(value: &Value, schema: &Value) -> bool {
        if let Some(constant) = schema.get("const") {
            return value == constant;
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.contains(value);
        }
        let is = |name: &str| match name {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            "array" => value
                .as_array()
                .is_some_and(|all| all.iter().all(|one| allowed(one, &schema["items"]))),
            _ => false,
        };
        match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).any(is),
            one => one.as_str().is_some_and(is),
        }
    }

    #[test]
    fn every_kind_of_event_is_as_the_schema_says() {
        let schema: Value = serde_json::from_str(EVENT_SCHEMA).unwrap();
        let heard = Anchor {
            id: 1,
            onset_ns: 2,
            window_ns: [1, 3],
            label: String::new(),
            class_id: -1,
            score: 0.5,
            uncertainty: 0.5,
        };
        let place = Place {
            frame_ns: None,
            location: "/out/door.h5".into(),
            row: 0,
        };
        let anchor = Event::anchor("door", "ab", 0, &heard, None);
        let why = Some((Cause::NoMedia, "nothing came"));
        let events = [
            anchor.clone(),
            anchor.written(&place, "/out".as_ref()),
            Event::image("door", "door-ab-0-1", &[0xff, 0xd8, 0xff]),
            Event::state("door", "ab", 0, State::BackingOff, why, 0),
            Event::state("door", "ab", 1, State::Healthy, None, 0),
            Event::file("door", "ab", "/out/door.h5", "/out".as_ref(), [1, 2, 3, 4]),
        ];
        for event in events {
            let about = &schema["$defs"][event.kind];
            let properties = about["properties"].as_object().unwrap();
            let value = event.value.as_object().unwrap();
            assert!(properties.keys().eq(value.keys()), "{value:?}");
            assert_eq!(
                about["required"].as_array().unwrap().len(),
                properties.len()
            );
            for (key, schema) in properties {
                assert!(allowed(&value[key], schema), "{key}: {}", value[key]);
            }
        }
    }

    #[test]
    fn lines_are_added_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("events.jsonl");
        for n in 0..2 {
            let mut hub = Hub::default();
            let events = hub.output("lines");
            hub.send(event(n));
            drop(hub);
            Lines::open(&place).unwrap().write(&events).unwrap();
        }
        let text = std::fs::read_to_string(place).unwrap();
        let ids: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
            .collect();
        assert_eq!(ids, ["door-ab-state-0", "door-ab-state-1"]);
    }
}
