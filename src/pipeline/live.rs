//! The sections `live`, `events` and `sources` of a pipeline, which only `earmark live` reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::problem::{At, Problem, did_you_mean};
use super::sections::{self, GivenSection};
use super::tree::{Kind, Node};

/// Most sources of a file.
const MOST: usize = 256;

/// The section `live`: how streams are kept going.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// Length of a file, minutes.
    pub segment_minutes: f64,
    /// From the start to the first media, seconds.
    pub start_s: u32,
    /// Without media before a source counts as silent, seconds.
    pub silence_s: u32,
    /// Without media before a source is restarted, seconds.
    pub restart_s: u32,
    /// Longest wait before a new attempt, seconds.
    pub retry_s: u32,
    /// Wait before a new attempt if a person has to act, seconds.
    pub slow_retry_s: u32,
    /// Files older than this many days are deleted; 0: none.
    pub keep_days: f64,
    /// The oldest files are deleted if all take more gigabytes than this; 0: none.
    pub keep_gb: f64,
    /// The oldest files are deleted if the disk has fewer gigabytes left; 0: none.
    pub free_gb: f64,
    /// Whether only the sound is played.
    pub sound_only: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            segment_minutes: 60.0,
            start_s: 15,
            silence_s: 3,
            restart_s: 8,
            retry_s: 6,
            slow_retry_s: 60,
            keep_days: 0.0,
            keep_gb: 0.0,
            free_gb: 0.2,
            sound_only: false,
        }
    }
}

/// The section `events`: where events go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// An MQTT broker; empty for none.
    pub mqtt: String,
    /// First part of every topic.
    pub mqtt_prefix: String,
    /// A file of certificates to trust for mqtts, instead of the system's.
    pub mqtt_ca: String,
    /// Home Assistant's discovery prefix; empty for none.
    pub discovery: String,
    /// A web server that receives anchors; empty for none.
    pub webhook: String,
    /// Most undelivered events on disk, megabytes for each output.
    pub store_mb: u32,
    /// Whether a JPEG of each anchor's frame is sent, too.
    pub jpeg: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            mqtt: String::new(),
            mqtt_prefix: "earmark".into(),
            mqtt_ca: String::new(),
            discovery: "homeassistant".into(),
            webhook: String::new(),
            store_mb: 16,
            jpeg: false,
        }
    }
}

/// The section `events`, and everything that is wrong with it.
pub(super) fn events(given: &GivenSection<'_>, problems: &mut Vec<Problem>) -> Events {
    let before = problems.len();
    for (key, node) in given.entries {
        if !["store_mb", "jpeg"].contains(&key.name.as_str()) && !node.json().is_string() {
            problems.push(
                Problem::new(node.at, format!("events.{}", key.name), "must be text")
                    .value(node.shown()),
            );
        }
    }
    if problems.len() > before {
        return Events::default();
    }
    let rule = |_: &str| Some("be in 1..=1024".into());
    let events: Events = sections::typed(given, &[], rule, problems);
    if !(1..=1024).contains(&events.store_mb) {
        problems.push(
            Problem::new(
                given.place("store_mb"),
                "events.store_mb",
                "must be in 1..=1024",
            )
            .value(events.store_mb.to_string()),
        );
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    for (key, value) in [
        ("mqtt_prefix", &events.mqtt_prefix),
        ("discovery", &events.discovery),
    ] {
        let ends = value.starts_with('/') || value.ends_with('/');
        let empty = value.is_empty() && key == "mqtt_prefix";
        if ends || empty || !value.chars().all(plain) {
            problems.push(
                Problem::new(
                    given.place(key),
                    format!("events.{key}"),
                    "must be a topic of letters, digits, `-`, `_` and `/` inside",
                )
                .value(value.clone()),
            );
        }
    }
    events
}

/// Ranges, and what each key does.
pub(super) const KEYS: [(&str, f64, f64, &str); 9] = [
    ("segment_minutes", 0.05, 1440.0, "length of a file, minutes"),
    (
        "start_s",
        2.0,
        600.0,
        "time from the start of a source to its first media, s; without any the source is restarted",
    ),
    (
        "silence_s",
        1.0,
        600.0,
        "time without media after which a source counts as silent, s",
    ),
    (
        "restart_s",
        2.0,
        3600.0,
        "time without media after which a source is restarted, s",
    ),
    (
        "retry_s",
        1.0,
        3600.0,
        "longest wait before a new attempt, s; the first is half a second, and each is twice as long",
    ),
    (
        "slow_retry_s",
        1.0,
        86400.0,
        "wait before a new attempt if somebody has to act, as after a wrong password, s",
    ),
    (
        "keep_days",
        0.0,
        36500.0,
        "delete files older than this, days; 0: never",
    ),
    (
        "keep_gb",
        0.0,
        1e6,
        "delete the oldest files if all together take more than this, GB; 0: never",
    ),
    (
        "free_gb",
        0.0,
        1e6,
        "delete the oldest files if the disk has less than this left, GB; 0: never",
    ),
];

/// The key of `live` that is no number.
const SOUND_ONLY: (&str, &str) = (
    "sound_only",
    "play the sound alone: the video is not even asked for, and anchors get no frames",
);

/// What each key of the section `events` does.
const EVENT_KEYS: [(&str, &str); 7] = [
    (
        "mqtt",
        "an MQTT broker that receives all events: mqtt://[USER:PASSWORD@]HOST[:PORT], or mqtts:// for TLS; empty: none",
    ),
    ("mqtt_prefix", "first part of every topic"),
    (
        "mqtt_ca",
        "a file of certificates to trust for mqtts://, instead of the system's",
    ),
    (
        "discovery",
        "Home Assistant's discovery prefix; empty: no discovery messages",
    ),
    (
        "webhook",
        "a web server that gets a POST of JSON for each anchor; empty: none",
    ),
    (
        "store_mb",
        "most undelivered events on disk, MB for each of the two outputs; the oldest are dropped first",
    ),
    (
        "jpeg",
        "send a JPEG of each anchor's frame, 320 px, as an event of its own; such thumbnails are then stored, too",
    ),
];
/// Range of `store_mb`.
const STORE: (f64, f64) = (1.0, 1024.0);

/// A key, for the reference.
pub(super) struct Key {
    pub section: &'static str,
    pub name: &'static str,
    pub default: serde_json::Value,
    pub range: Option<(f64, f64)>,
    pub what: &'static str,
}

/// The keys of `live` or of `events`.
pub(super) fn keys(section: &'static str) -> std::vec::IntoIter<Key> {
    let defaults = match section {
        "live" => serde_json::to_value(Live::default()),
        _ => serde_json::to_value(Events::default()),
    };
    let defaults = defaults.unwrap_or_default();
    let key = |name: &'static str, range, what| Key {
        section,
        name,
        default: defaults[name].clone(),
        range,
        what,
    };
    let all: Vec<Key> = match section {
        "live" => KEYS
            .into_iter()
            .map(|(name, least, most, what)| key(name, Some((least, most)), what))
            .chain([key(SOUND_ONLY.0, None, SOUND_ONLY.1)])
            .collect(),
        _ => EVENT_KEYS
            .into_iter()
            .map(|(name, what)| key(name, (name == "store_mb").then_some(STORE), what))
            .collect(),
    };
    all.into_iter()
}

/// One of several sources of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSet {
    /// Used in the names of its files and in its events.
    pub name: String,
    /// Its variables.
    pub set: BTreeMap<String, String>,
}

pub(super) fn rule(key: &str) -> Option<String> {
    let (_, least, most, _) = KEYS.iter().find(|(name, ..)| *name == key)?;
    Some(format!("be in {least}..={most}"))
}

/// The section `live`, and everything that is wrong with it.
pub(super) fn section(given: &GivenSection<'_>, problems: &mut Vec<Problem>) -> Live {
    let live: Live = sections::typed(given, &[], rule, problems);
    let values = serde_json::to_value(&live).unwrap_or_default();
    for (key, least, most, _) in KEYS {
        let value = values[key].as_f64().unwrap_or(least);
        if !(least..=most).contains(&value) {
            problems.push(
                Problem::new(
                    given.place(key),
                    format!("live.{key}"),
                    format!("must be in {least}..={most}"),
                )
                .value(values[key].to_string()),
            );
        }
    }
    if live.restart_s < live.silence_s {
        problems.push(
            Problem::new(
                given.place("restart_s"),
                "live.restart_s",
                "must be at least silence_s",
            )
            .value(live.restart_s.to_string()),
        );
    }
    live
}

/// Whether there is something to hear where only the sound is played. `hears`: whether the graph has an `eventness`.
pub(super) fn check_sound(live: &Live, hears: bool, at: At, problems: &mut Vec<Problem>) {
    if live.sound_only && !hears {
        let rule = "needs an `eventness` in the graph: otherwise nothing is left to play";
        problems.push(Problem::new(at, "live.sound_only", rule).value("true"));
    }
}

/// The list `sources`; the keys of an entry are variables, and `name`.
pub(super) fn sources(root: &Node, problems: &mut Vec<Problem>) -> Vec<SourceSet> {
    let Kind::Map(entries) = &root.kind else {
        return Vec::new();
    };
    let Some((key, node)) = entries.iter().find(|(key, _)| key.name == "sources") else {
        return Vec::new();
    };
    let Kind::List(items) = &node.kind else {
        problems.push(
            Problem::new(
                key.at,
                "sources",
                "must be a list, as in `sources: [{ name: door, url: rtsp://10.0.0.7/stream }]`",
            )
            .value(node.shown()),
        );
        return Vec::new();
    };
    if items.is_empty() || items.len() > MOST {
        problems.push(
            Problem::new(
                node.at,
                "sources",
                format!("must have 1 to {MOST} entries; leave the key out for one source"),
            )
            .value(items.len().to_string()),
        );
    }
    let mut sources: Vec<SourceSet> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let field = format!("sources[{number}]");
        let Kind::Map(entries) = &item.kind else {
            problems.push(
                Problem::new(item.at, field, "must be a mapping of name and variables")
                    .value(item.shown()),
            );
            continue;
        };
        let mut source = SourceSet {
            name: String::new(),
            set: BTreeMap::new(),
        };
        for (key, node) in entries {
            let Kind::Scalar { text, .. } = &node.kind else {
                let field = format!("{field}.{}", key.name);
                problems.push(Problem::new(node.at, field, "must be text").value(node.shown()));
                continue;
            };
            match key.name.as_str() {
                "name" => source.name.clone_from(text),
                "input" | "output" => problems.push(Problem::new(
                    key.at,
                    format!("{field}.{}", key.name),
                    "is the command's to give",
                )),
                name => {
                    source.set.insert(name.into(), text.clone());
                }
            }
        }
        if !is_name(&source.name) {
            problems.push(
                Problem::new(
                    item.at,
                    format!("{field}.name"),
                    "must be a name of 1 to 64 letters, digits, `-` and `_`, because file names contain it",
                )
                .value(if source.name.is_empty() {
                    "missing".into()
                } else {
                    source.name.clone()
                })
                .hint(
                    entries
                        .iter()
                        .find_map(|(key, _)| did_you_mean(&key.name, ["name"])),
                ),
            );
        } else if sources.iter().any(|other| other.name == source.name) {
            problems.push(
                Problem::new(
                    item.at,
                    format!("{field}.name"),
                    "is another source's already",
                )
                .value(source.name.clone()),
            );
        }
        sources.push(source);
    }
    sources
}

/// Whether it can be part of a file name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
