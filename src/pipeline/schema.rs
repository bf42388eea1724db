//! JSON Schema of a pipeline, for editors: keys, types, ranges, names and what each key does.

use serde_json::{Map, Value, json};

use super::reference::{self, SECTIONS};

/// The schema, draft 7, which is what YAML editors read. `anchoring`'s rules across several keys are `earmark validate`'s alone.
pub fn schema() -> Value {
    let keys = reference::reference();
    let mut properties = Map::new();
    properties.insert(
        "version".into(),
        json!({ "const": 1, "description": "Of this format; there is one." }),
    );
    properties.insert(
        "graph".into(),
        json!({ "type": "string", "description": "The graph, as gst-launch-1.0 takes it." }),
    );
    for (section, _, about) in SECTIONS {
        let own = keys.iter().filter(|key| key.section == section);
        let of_key = |key: &reference::Reference| {
            let mut value = key.schema.clone();
            value["description"] = key.what.clone().into();
            (key.key.clone(), value)
        };
        let own: Map<String, Value> = own.map(of_key).collect();
        properties.insert(
            section.into(),
            json!({
                "type": ["object", "null"],
                "description": about,
                "additionalProperties": false,
                "properties": own,
            }),
        );
    }
    properties.insert(
        "sources".into(),
        json!({
            "type": "array",
            "description": "The sources of `earmark live`: a name each, and its variables.",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": { "type": ["string", "number", "boolean"] },
            },
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Earmark pipeline",
        "type": "object",
        "required": ["version", "graph"],
        "additionalProperties": false,
        "properties": properties,
    })
}
