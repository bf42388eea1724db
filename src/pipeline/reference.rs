//! The reference of all pipeline keys for the guide, generated from the elements' own properties.

use gst::glib;
use serde_json::{Value, json};

use super::properties::{self, or_variable};
use super::sections::{CUES_FROM, GATE, is_key, rule_beyond};

/// A key of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Its section: `anchors`.
    pub section: &'static str,
    /// Its name in YAML: `pre_ms`.
    pub key: String,
    /// The unit of a number: `ms`, `tokens/s`; otherwise empty.
    pub unit: &'static str,
    /// Valid values: `whole number, 0 to 60000`, `low, base or high`.
    pub takes: String,
    /// Its default.
    pub default: String,
    /// The version that introduced it; empty if unknown.
    pub since: &'static str,
    /// What it does, in one line.
    pub what: String,
    /// Valid values as JSON Schema.
    pub schema: Value,
}

/// The keys that each version introduced.
const SINCE: [(&str, &str); 1] = [(
    "0.1",
    "access anchor_snap_ms anchor_tier background_tier batch burst_s class_offset_ms clip_end clip_lead_ms clip_near_ms clip_stills clip_stride cues_from \
     decode_penalty_tokens device discovery distrust event_s events_per_min flush_s free_gb jpeg keep_days keep_gb look_ahead_ms look_ms \
     max_bytes max_gap_ms max_lag_ms max_window_ms min_gap_ms min_window_ms miss_rate model mqtt mqtt_ca mqtt_prefix offset_ms \
     patience_ms pictures_during_speech planning policy post_ms pre_ms precision probe provider refractory_ms restart_s retry_s segment_minutes sharpest_ms silence_s slow_retry_s snap_ms sound_only speech spread start_s store_mb tagger \
     tagging threads threshold thumbnails tokens_per_s uncertainty_gain untrusted_tier vad webhook weights \
     widen",
)];

/// The sections, with their subject and the element that takes their keys.
pub(super) const SECTIONS: [(&str, &str, &str); 8] = [
    ("ears", "eventness", "How to listen."),
    (
        "gate",
        "anchorgate",
        "How encoded video is read, and how long it waits for the sound.",
    ),
    (
        "anchors",
        "anchorgate",
        "How onsets become anchors and windows.",
    ),
    ("budget", "anchorgate", "What may be spent, and on what."),
    (
        "features",
        "featuresink",
        "How frames are encoded and written.",
    ),
    // No element: the command itself reads these.
    (
        "quality",
        "",
        "How the quality of sound and frames is combined.",
    ),
    ("live", "", "How `earmark live` keeps streams going."),
    ("events", "", "Where `earmark live` sends events."),
];

/// Keys of `budget` for global planning, which runs before any element, with what they do.
pub(crate) const GLOBAL_ONLY: [(&str, &str); 6] = [
    (
        "snap_ms",
        "global planning: how far a frame that serves no anchor may move to a frame that is cheaper to decode, ms",
    ),
    (
        "decode_penalty_tokens",
        "global planning: decode-cost penalty per decoded frame, tokens; weighs anchors against each other and is not charged to the budget",
    ),
    (
        "anchor_snap_ms",
        "global planning, with decode_penalty_tokens above 0: how long an anchor's frame may wait for a keyframe inside its window, ms",
    ),
    (
        "clip_stride",
        "policy grid: frames of the recording from one clip to the next; where the model's `every` is in ms, so many times that",
    ),
    (
        "clip_end",
        "policy grid: what it does at the ends of the recording, as these extractors have it. ego4d: a last clip is moved back to end with the recording; video_features: clips that would reach beyond the end are left out; slowfast: clips lie around every stride, and where there is no frame, the model gets its mean colour",
    ),
    (
        "clip_near_ms",
        "policy grid: clips further than this from every onset are left out, ms; -1: none is",
    ),
];

/// Every key of every section, in the order of pipelines; empty if the elements are not registered.
pub fn reference() -> Vec<Reference> {
    SECTIONS
        .iter()
        .flat_map(|&(section, factory, _)| {
            let specs = properties::factory(factory)
                .map(|factory| properties::own(&factory))
                .unwrap_or_default();
            if section == "quality" {
                return super::quality::keys().map(of_live).to_vec();
            }
            if factory.is_empty() {
                return super::live::keys(section).map(of_live).collect();
            }
            let mut keys: Vec<Reference> = specs
                .iter()
                .filter(|spec| belongs(section, &name(spec)))
                .map(|spec| of(section, spec))
                .collect();
            if section == "anchors" {
                keys.push(cues_from());
            }
            if section == "budget" {
                keys.insert(1.min(keys.len()), planning());
                keys.extend(GLOBAL_ONLY.map(|(key, what)| global_only(key, what)));
            }
            keys
        })
        .collect()
}

/// The guide's page continues with [`tables`] after this line; the part before it is written by hand.
pub const GENERATED: &str = "<!-- Generated from here on, from the elements' properties: EARMARK_WRITE_GUIDE=1 cargo test --test tests guide writes it anew. -->\n";

/// A table for each section, for the guide.
pub fn tables() -> String {
    let keys = reference();
    let mut page = String::new();
    for (section, _, about) in SECTIONS {
        page += &format!(
            "\n## {section}\n\n{about}\n\n| key | takes | unit | default | since | what it does |\n|---|---|---|---|---|---|\n"
        );
        for key in keys.iter().filter(|key| key.section == section) {
            let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
            page += &format!(
                "| `{}` | {} | {} | {} | {} | {} |\n",
                key.key,
                cell(&key.takes),
                key.unit,
                cell(&key.default),
                key.since,
                cell(&key.what)
            );
        }
    }
    page
}

/// The unit of a key, from its name.
fn unit(key: &str) -> &'static str {
    const ENDS: [(&str, &str); 11] = [
        ("_minutes", "minutes"),
        ("_days", "days"),
        ("_gb", "GB"),
        ("_mb", "MB"),
        ("tokens_per_s", "tokens/s"),
        ("events_per_min", "events/min"),
        ("_ms", "ms"),
        ("_s", "s"),
        ("_bytes", "bytes"),
        ("_tokens", "tokens"),
        ("threads", "threads"),
    ];
    const OTHERS: [(&str, &str); 7] = [
        ("clip_stride", "frames"),
        ("threshold", "probability"),
        ("miss_rate", "share"),
        ("distrust", "uncertainty"),
        ("uncertainty_gain", "factor"),
        ("batch", "count"),
        ("device", "index"),
    ];
    let ends = ENDS.into_iter().find(|(end, _)| key.ends_with(end));
    let found = ends.or_else(|| OTHERS.into_iter().find(|(name, _)| key == *name));
    found.map_or("", |(_, unit)| unit)
}

fn since(key: &str) -> &'static str {
    let brought = |keys: &str| keys.split_whitespace().any(|other| other == key);
    SINCE
        .into_iter()
        .find(|(_, keys)| brought(keys))
        .map_or("", |(version, _)| version)
}

fn name(spec: &glib::ParamSpec) -> String {
    spec.name().replace('-', "_")
}

/// Whether a property of the section's element is a key of the section.
fn belongs(section: &str, key: &str) -> bool {
    let settings = serde_json::to_value(anchoring::settings::Settings::default());
    let of = |section: &str| {
        settings
            .as_ref()
            .is_ok_and(|all| all[section].get(key).is_some())
    };
    match section {
        "gate" => GATE.contains(&key),
        "anchors" | "budget" => of(section),
        _ => is_key(section, key),
    }
}

fn of(section: &'static str, spec: &glib::ParamSpec) -> Reference {
    let key = name(spec);
    // GStreamer has no type for a mapping.
    let mapping = key == "class_offset_ms";
    let default = match properties::default(spec) {
        serde_json::Value::String(text) if text.is_empty() => String::new(),
        serde_json::Value::String(text) => format!("`{text}`"),
        _ if mapping => "`{}`".into(),
        other => format!("`{other}`"),
    };
    Reference {
        section,
        unit: unit(&key),
        since: since(&key),
        takes: if mapping {
            "mapping of class names to milliseconds, -5000 to 5000".into()
        } else {
            properties::rule(spec)
                .trim_start_matches("must be ")
                .trim_start_matches("a ")
                .replace("..=", " to ")
                .replace(" in ", ", ")
        },
        default: if mapping { "`{}`".into() } else { default },
        schema: if mapping {
            json!({
                "type": ["object", "null"],
                "additionalProperties": { "type": "number", "minimum": -5000, "maximum": 5000 },
            })
        } else {
            or_variable(properties::schema(spec))
        },
        what: spec.blurb().unwrap_or_default().to_owned(),
        key,
    }
}

/// A key that only `earmark live` reads.
fn of_live(key: super::live::Key) -> Reference {
    let (kind, takes) = match (&key.default, key.range) {
        (serde_json::Value::Bool(_), _) => ("boolean", "true or false".to_owned()),
        (serde_json::Value::String(_), _) | (_, None) => ("string", "text".to_owned()),
        (default, Some((least, most))) => {
            let whole = default.is_u64();
            let (kind, word) = match whole {
                true => ("integer", "whole number"),
                false => ("number", "number"),
            };
            (kind, format!("{word}, {least} to {most}"))
        }
    };
    let mut schema = json!({ "type": kind });
    if let Some((least, most)) = key.range {
        schema["minimum"] = json!(least);
        schema["maximum"] = json!(most);
    }
    Reference {
        section: key.section,
        key: key.name.into(),
        unit: unit(key.name),
        since: since(key.name),
        takes,
        default: match &key.default {
            serde_json::Value::String(text) if text.is_empty() => String::new(),
            serde_json::Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        },
        what: key.what.into(),
        schema: or_variable(schema),
    }
}

/// A key that no element takes: global planning runs before any element.
fn cues_from() -> Reference {
    Reference {
        section: "anchors",
        key: CUES_FROM.into(),
        unit: "",
        since: since(CUES_FROM),
        takes: "text".into(),
        default: String::new(),
        schema: json!({ "type": ["string", "null"] }),
        what: "global planning: cues of another source, merged with Earmark's own: a file with one JSON object per line (time_s, p, label), or a folder with VIDEO_ID.cues.jsonl for each recording".into(),
    }
}

/// Another one: the command makes one pass or two.
fn planning() -> Reference {
    Reference {
        section: "budget",
        key: "planning".into(),
        unit: "",
        since: since("planning"),
        takes: "global or streaming".into(),
        default: "`global` for files with sound".into(),
        schema: or_variable(json!({ "enum": ["global", "streaming"] })),
        what: "global: listen to the whole recording first, then plan it exactly; streaming: plan while listening, in one pass".into(),
    }
}

fn global_only(key: &str, what: &str) -> Reference {
    let settings = serde_json::to_value(anchoring::settings::BudgetSettings::default());
    let default = settings.ok().and_then(|budget| budget.get(key).cloned());
    if key == "clip_end" {
        return Reference {
            section: "budget",
            key: key.into(),
            unit: "",
            since: since(key),
            takes: "ego4d, slowfast or video_features".into(),
            default: "`ego4d`".into(),
            schema: or_variable(json!({ "enum": ["ego4d", "slowfast", "video_features"] })),
            what: what.into(),
        };
    }
    let whole = default.as_ref().is_some_and(serde_json::Value::is_i64);
    let range = rule_beyond("budget", key).unwrap_or_default();
    let range = range.trim_start_matches("lie in ");
    let mut schema = json!({ "type": if whole { "integer" } else { "number" } });
    if let Some((low, high)) = range.split_once("..=") {
        schema["minimum"] = serde_json::from_str(low).unwrap_or_default();
        schema["maximum"] = serde_json::from_str(high).unwrap_or_default();
    }
    let range = range.replace("..=", " to ");
    Reference {
        schema: or_variable(schema),
        section: "budget",
        key: key.into(),
        unit: unit(key),
        since: since(key),
        takes: format!("{}, {range}", if whole { "whole number" } else { "number" }),
        default: default.map_or(String::new(), |value| format!("`{value}`")),
        what: what.into(),
    }
}
