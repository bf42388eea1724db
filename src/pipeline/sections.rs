//! Typed sections: `anchors` and `budget` become [`Settings`]; `ears`, `gate` and `features` become element properties.

use std::collections::HashMap;

use anchoring::settings::{AnchorSettings, BudgetSettings, Policy, Settings};
use anchoring::tier::Prices;
use gstearmark::{eventness, models};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Planning;
use super::mistakes::{explain, numeric_mistake};
use super::problem::{At, Problem, did_you_mean, either};
use super::properties;
use super::tree::{Key, Kind, Node};

/// A section as given; empty if it was left out.
pub(super) struct GivenSection<'a> {
    pub name: &'static str,
    at: At,
    pub entries: &'a [(Key, Node)],
}

impl<'a> GivenSection<'a> {
    pub(super) fn section(
        name: &'static str,
        given: Option<&'a (Key, Node)>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let at = given.map_or(At { line: 1, column: 1 }, |(key, _)| key.at);
        let entries = match given.map(|(_, node)| (node, &node.kind)) {
            Some((_, Kind::Map(entries))) => entries.as_slice(),
            Some((node, _)) if !node.json().is_null() => {
                problems.push(
                    Problem::new(
                        node.at,
                        name,
                        "must be a mapping, as in `anchors: { pre_ms: 200 }`",
                    )
                    .value(node.shown()),
                );
                &[]
            }
            _ => &[],
        };
        Self { name, at, entries }
    }

    /// Position of a key's value, or of the section if the key is missing.
    pub(super) fn place(&self, key: &str) -> At {
        self.entries
            .iter()
            .find(|(k, _)| k.name == key)
            .map_or(self.at, |(_, node)| node.at)
    }

    fn unknown(&self, key: &Key, names: &[&str], problems: &mut Vec<Problem>) {
        let elsewhere = belongs_to(&key.name).filter(|_| !names.contains(&key.name.as_str()));
        problems.push(
            Problem::new(
                key.at,
                format!("{}.{}", self.name, key.name),
                format!(
                    "unknown key `{}` in `{}`; use {}",
                    key.name,
                    self.name,
                    either(names)
                ),
            )
            .hint(
                renamed(&key.name)
                    .or(did_you_mean(&key.name, names.iter().copied()))
                    .or(elsewhere),
            ),
        );
    }
}

/// Keys of earlier versions, and their new names.
const RENAMED: [(&str, &str); 3] = [
    ("fallback_tier", "background_tier"),
    ("uniform_tier", "untrusted_tier"),
    ("picture_tokens", "decode_penalty_tokens"),
];

/// "`fallback_tier` is now called `background_tier`", for a key of an earlier version.
fn renamed(key: &str) -> Option<String> {
    RENAMED
        .iter()
        .find(|(old, _)| *old == key)
        .map(|(old, new)| format!("`{old}` is now called `{new}`"))
}

/// "`pre_ms` belongs to the section `anchors`", for a key in the wrong section.
pub(super) fn belongs_to(key: &str) -> Option<String> {
    let has = |value: Value| value.get(key).is_some();
    let section = if has(json_of(&AnchorSettings::default())) || key == CUES_FROM {
        "anchors"
    } else if has(json_of(&BudgetSettings::default())) || key == "planning" {
        "budget"
    } else if ["probe", "weights", "tagger", "tagging", "vad", "speech"].contains(&key) {
        "ears"
    } else if GATE.contains(&key) {
        "gate"
    } else if [
        "model",
        "batch",
        "precision",
        "thumbnails",
        "provider",
        "device",
    ]
    .contains(&key)
    {
        "features"
    } else {
        return None;
    };
    Some(format!("`{key}` belongs to the section `{section}`"))
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Positions of the fields of [`Settings`], by name (`anchors.pre_ms`).
pub(super) type Places = HashMap<String, At>;

/// The settings, unless a type is wrong; the planning, if given; all positions.
pub(super) fn settings(
    anchors: &GivenSection<'_>,
    budget: &GivenSection<'_>,
    problems: &mut Vec<Problem>,
) -> (Option<Settings>, Option<Planning>, Places) {
    let mut places = Places::new();
    for given in [anchors, budget] {
        places.insert(given.name.into(), given.at);
        for (key, node) in given.entries {
            places.insert(format!("{}.{}", given.name, key.name), node.at);
        }
    }
    let mut planning = None;
    if let Some((_, node)) = budget
        .entries
        .iter()
        .find(|(key, _)| key.name == "planning")
    {
        match serde_json::from_value(node.json()) {
            Ok(way) => planning = Some(way),
            Err(_) => problems.push(
                Problem::new(node.at, "budget.planning", "must be global or streaming")
                    .value(node.shown())
                    .hint(did_you_mean(&node.shown(), ["global", "streaming"])),
            ),
        }
    }
    let before = problems.len();
    let anchors = typed::<AnchorSettings>(anchors, &[CUES_FROM], rule_of_anchors, problems);
    let budget = typed::<BudgetSettings>(budget, &["planning"], rule_of_budget, problems);
    // Wrong fields keep their defaults, so that the ranges of the others are still checked.
    let settings = Settings { anchors, budget };
    if problems.len() > before {
        check_ranges_only(&settings, &places, problems);
        return (None, planning, places);
    }
    (Some(settings), planning, places)
}

/// The section's defaults with the given values. Every wrong value is reported and keeps its default.
pub(super) fn typed<T: Default + DeserializeOwned + serde::Serialize>(
    given: &GivenSection<'_>,
    others: &[&str],
    rule_of: fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> T {
    let defaults = match json_of(&T::default()) {
        Value::Object(defaults) => defaults,
        _ => Map::new(),
    };
    let mut names: Vec<&str> = defaults.keys().map(String::as_str).collect();
    names.extend(others);
    let mut filled = defaults.clone();
    for (key, node) in given.entries {
        let name = key.name.as_str();
        if others.contains(&name) {
            continue;
        }
        let Some(default) = defaults.get(name) else {
            given.unknown(key, &names, problems);
            continue;
        };
        let mut alone = defaults.clone();
        alone.insert(name.into(), node.json());
        match serde_json::from_value::<T>(Value::Object(alone)) {
            Ok(_) => {
                filled.insert(name.into(), node.json());
            }
            Err(_) if default.is_object() => by_name(given.name, name, node, problems),
            Err(e) => {
                let (rule, hint) = explain(name, default, node, &e.to_string(), rule_of(name));
                problems.push(
                    Problem::new(node.at, format!("{}.{name}", given.name), rule)
                        .value(node.shown())
                        .hint(hint),
                );
            }
        }
    }
    serde_json::from_value(Value::Object(filled)).unwrap_or_default()
}

/// Reports what is not a mapping of names to whole numbers, each value at its position.
fn by_name(section: &str, name: &str, node: &Node, problems: &mut Vec<Problem>) {
    let field = format!("{section}.{name}");
    let Kind::Map(entries) = &node.kind else {
        let rule = format!(
            "must be a mapping of class names to whole numbers, as in `{name}: {{ \"Water tap, faucet\": -300 }}`"
        );
        problems.push(Problem::new(node.at, field, rule).value(node.shown()));
        return;
    };
    for (key, node) in entries {
        let value = node.json();
        let fits = value.as_i64().is_some_and(|ms| i32::try_from(ms).is_ok());
        if !fits {
            problems.push(
                Problem::new(
                    node.at,
                    format!("{field}.\"{}\"", key.name),
                    "must be a whole number",
                )
                .value(node.shown())
                .hint(numeric_mistake(name, &value)),
            );
        }
    }
}

/// Reports offsets for unknown classes, and any offsets without a tagger.
pub(super) fn class_offsets(
    anchors: &GivenSection<'_>,
    settings: &Settings,
    tagger: Option<&models::Manifest>,
    problems: &mut Vec<Problem>,
) {
    const KEY: &str = "class_offset_ms";
    let given = anchors.entries.iter().find(|(key, _)| key.name == KEY);
    let Some((_, node)) = given.filter(|_| !settings.anchors.class_offset_ms.is_empty()) else {
        return;
    };
    let field = format!("anchors.{KEY}");
    let Some(tagger) = tagger else {
        problems.push(
            Problem::new(
                node.at,
                field,
                "needs a tagger, because the classes are those of the tagger",
            )
            .value(node.shown())
            .hint(Some("write `ears: { tagger: yamnet }`".into())),
        );
        return;
    };
    // A list that cannot be read is reported where it is needed.
    let path = tagger.classes_path();
    let Some(classes) = path.and_then(|path| models::read_classes(&path).ok()) else {
        return;
    };
    let place = |name: &str| match &node.kind {
        Kind::Map(entries) => entries.iter().find(|(key, _)| key.name == name),
        _ => None,
    };
    for (name, meant) in anchoring::anchor::offset::unknown_classes(&settings.anchors, &classes) {
        let at = place(name).map_or(node.at, |(key, _)| key.at);
        let rule = format!(
            "must be one of the {} classes of the tagger {}",
            classes.len(),
            tagger.name
        );
        problems.push(
            Problem::new(at, field.clone(), rule)
                .value(format!("\"{name}\""))
                .hint(meant.map(|meant| format!("did you mean \"{meant}\"?"))),
        );
    }
}

/// The rule of a field, learned from [`Settings::check`] by giving it a value beyond every range.
fn rule_of_anchors(name: &str) -> Option<String> {
    rule_beyond("anchors", name)
}

fn rule_of_budget(name: &str) -> Option<String> {
    rule_beyond("budget", name)
}

pub(super) fn rule_beyond(section: &str, name: &str) -> Option<String> {
    let mut all = json_of(&Settings::default());
    let field = all.get_mut(section)?.get_mut(name)?;
    *field = if field.is_f64() {
        1e18.into()
    } else {
        i32::MAX.into()
    };
    let settings: Settings = serde_json::from_value(all).ok()?;
    let full = format!("{section}.{name}");
    let problem = settings
        .check(Prices::default())
        .into_iter()
        .find(|problem| problem.field == full)?;
    Some(problem.rule.trim_start_matches("must ").into())
}

/// Ranges only, without rules that depend on several fields, which may already be wrong.
fn check_ranges_only(settings: &Settings, places: &Places, problems: &mut Vec<Problem>) {
    let wrong: Vec<_> = problems
        .iter()
        .map(|problem| problem.field.clone())
        .collect();
    let mut more = Vec::new();
    check(settings, Prices::default(), places, &mut more);
    problems.extend(
        more.into_iter()
            .filter(|problem| problem.rule.contains("..=") && !wrong.contains(&problem.field)),
    );
}

/// All problems that [`Settings::check`] finds, with their positions.
pub(super) fn check(
    settings: &Settings,
    prices: Prices,
    places: &Places,
    problems: &mut Vec<Problem>,
) {
    for problem in settings.check(prices) {
        let section = problem.field.split('.').next().unwrap_or_default();
        let at = places
            .get(problem.field)
            .or_else(|| places.get(section))
            .copied()
            .unwrap_or_default();
        problems.push(
            Problem::new(at, problem.field, problem.rule)
                .value(problem.value)
                .hint(Some(problem.hint)),
        );
    }
}

/// The key of the section `anchors` for cues of another source.
pub(super) const CUES_FROM: &str = "cues_from";

/// The path of cues of another source, if the section names one.
pub(super) fn cues_from(
    anchors: &GivenSection<'_>,
    planning: Planning,
    policy: Policy,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let (_, node) = anchors
        .entries
        .iter()
        .find(|(key, _)| key.name == CUES_FROM)?;
    let mut wrong = |rule: &str, hint: &str| {
        let problem = Problem::new(node.at, format!("anchors.{CUES_FROM}"), rule);
        problems.push(problem.value(node.shown()).hint(Some(hint.into())));
        None
    };
    match node.json() {
        Value::Null => None,
        Value::String(path) if path.is_empty() => None,
        Value::String(_) if planning == Planning::Streaming => wrong(
            "needs global planning",
            "a plan in one pass cannot use other cues; write `budget: { planning: global }`",
        ),
        Value::String(_) if !matches!(policy, Policy::Gated | Policy::AnchorsOnly) => wrong(
            "needs the policy gated or anchors_only",
            "other policies have no anchors",
        ),
        Value::String(path) => Some(path),
        _ => wrong(
            "must be the path of a file or folder",
            "a file with one JSON object per line, or a folder with VIDEO_ID.cues.jsonl for each recording",
        ),
    }
}

/// The anchors as recorded in the file, with the other source of cues, if there is one.
pub(super) fn with_cues_from(anchors: &AnchorSettings, path: Option<&str>) -> Value {
    let mut value = json_of(anchors);
    if let (Value::Object(map), Some(path)) = (&mut value, path) {
        map.insert(CUES_FROM.into(), path.into());
    }
    value
}

/// The budget as recorded in the file, with the planning.
pub(super) fn with_planning(budget: &BudgetSettings, planning: Planning) -> Value {
    let mut value = json_of(budget);
    if let Value::Object(map) = &mut value {
        map.insert("planning".into(), json_of(&planning));
    }
    value
}

/// A section whose keys are properties of one element.
pub(super) struct Properties {
    /// Given properties: GStreamer's name and value.
    pub values: Vec<(String, String)>,
    /// All properties with given values or defaults, by YAML key.
    pub resolved: Map<String, Value>,
    places: HashMap<String, At>,
    at: At,
}

impl Properties {
    /// The value of a key, given or default.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.resolved.get(key)?.as_str().map(str::to_owned)
    }
    /// Position of a key's value, or of the section.
    pub(super) fn place(&self, key: &str) -> At {
        self.places.get(key).copied().unwrap_or(self.at)
    }
}

/// Checks a section against the properties of `factory`.
pub(super) fn properties(
    factory: &str,
    given: &GivenSection<'_>,
    problems: &mut Vec<Problem>,
) -> Properties {
    let mut found = Properties {
        values: Vec::new(),
        resolved: Map::new(),
        places: HashMap::new(),
        at: given.at,
    };
    let Some(loaded) = properties::factory(factory) else {
        problems.push(Problem::new(
            given.at,
            given.name,
            format!("the graph has no element `{factory}` to configure"),
        ));
        return found;
    };
    let specs = properties::own(&loaded);
    let keys: Vec<String> = specs
        .iter()
        .map(|spec| spec.name().replace('-', "_"))
        .filter(|key| is_key(given.name, key))
        .collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    for spec in &specs {
        let key = spec.name().replace('-', "_");
        if is_key(given.name, &key) {
            found.resolved.insert(key, properties::default(spec));
        }
    }
    for (key, node) in given.entries {
        let spec = specs.iter().find(|spec| {
            spec.name().replace('-', "_") == key.name && names.contains(&key.name.as_str())
        });
        let Some(spec) = spec else {
            given.unknown(key, &names, problems);
            continue;
        };
        let mut value = node.json();
        if given.name == "ears" && value == "onset+tagger" {
            value = "onset+tcn".into(); // the probe beside a tagger, by an older name
        }
        let text = match &value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            _ => None,
        };
        let kind_fits = value.is_string()
            == (spec.value_type() == gst::glib::Type::STRING || properties::names(spec).is_some());
        match text.filter(|text| kind_fits && properties::takes(spec, text)) {
            Some(text) => {
                found.values.push((spec.name().into(), text));
                found.places.insert(key.name.clone(), node.at);
                found.resolved.insert(key.name.clone(), value);
            }
            None => {
                let near = properties::names(spec).and_then(|names| {
                    did_you_mean(value.as_str()?, names.iter().map(String::as_str))
                });
                problems.push(
                    Problem::new(
                        node.at,
                        format!("{}.{}", given.name, key.name),
                        properties::rule(spec),
                    )
                    .value(node.shown())
                    .hint(near.or_else(|| numeric_mistake(&key.name, &value))),
                );
            }
        }
    }
    found
}

/// Reports unknown probes, unusable weights, and a probe without what it needs.
pub(super) fn probe(ears: &Properties, problems: &mut Vec<Problem>) {
    let text = |key| ears.text(key).unwrap_or_default();
    let (probe, weights) = (text("probe"), text("weights"));
    if let Err(error) = eventness::check_probe(&probe, &weights, &text("tagger")) {
        let key = match error {
            models::ModelError::Weights { .. } | models::ModelError::Read { .. } => "weights",
            _ => "probe",
        };
        problems.push(
            Problem::new(ears.place(key), format!("ears.{key}"), error.to_string())
                .value(text(key))
                .hint(did_you_mean(&probe, eventness::PROBES).filter(|_| key == "probe")),
        );
    }
}

/// Keys of the section `gate`: how the gate reads and waits, and which frames framepick may choose from. Planning is set in `anchors` and
/// `budget`.
pub(super) const GATE: [&str; 5] = [
    "access",
    "max_bytes",
    "max_lag_ms",
    "patience_ms",
    "sharpest_ms",
];

/// The tagger is set in `ears`, and the sink only records its name; the command sets the other recorded values.
pub(super) fn is_key(section: &str, key: &str) -> bool {
    match section {
        "gate" => GATE.contains(&key),
        "features" => ![
            "tagger",
            "models",
            "attributes",
            "warnings",
            "incomplete_because",
        ]
        .contains(&key),
        _ => true,
    }
}

/// The manifest of a model; reports a missing one, or one of the wrong kind.
pub(super) fn model(
    name: &str,
    kind: models::Kind,
    at: At,
    field: &str,
    problems: &mut Vec<Problem>,
) -> Option<models::Manifest> {
    let of_kind = |manifest: models::Manifest| match kind {
        // Of frames or of clips.
        models::Kind::Encoder => manifest.encoder(),
        _ => manifest.of_kind(kind),
    };
    match models::find(name).and_then(of_kind) {
        Ok(manifest) => Some(manifest),
        Err(e) => {
            let listed = models::list();
            let names = listed
                .iter()
                .filter_map(|listed| listed.path.file_stem()?.to_str());
            problems.push(
                Problem::new(at, field, e.to_string())
                    .value(name)
                    .hint(did_you_mean(name, names)),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_converted_to_the_unit_of_its_key() {
        for (key, text, meant) in [
            ("pre_ms", "0.2s", "200"),
            ("snap_ms", "1 s", "1000"),
            ("max_gap_ms", "2min", "120000"),
            ("flush_s", "500ms", "0.5"),
            ("distrust", "90%", "0.9"),
            ("tokens_per_s", "98tokens", "98"),
            ("pre_ms", "3 px", "3"),
        ] {
            let hint = numeric_mistake(key, &Value::String(text.into())).unwrap();
            assert!(hint.ends_with(&format!(": {meant}")), "{text}: {hint}");
        }
    }
}
