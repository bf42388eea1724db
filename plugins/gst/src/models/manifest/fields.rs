//! Finds missing and unknown fields of a manifest: reports all at once, each with an example.

use serde_json::{Map, Value};

/// A section: its fields, and examples for required ones.
type Section = (
    &'static str,
    &'static [(&'static str, Option<&'static str>)],
);

const SECTIONS: [Section; 5] = [
    (
        "",
        &[
            ("schema", Some("earmark-model/1")),
            ("name", Some("my-vit")),
            ("kind", Some("encoder")),
            ("file", Some("my-vit.onnx")),
            ("sha256", Some("\"0123...\" (as sha256sum prints it)")),
            ("source", None),
            (
                "input",
                Some("{ name: pixel_values, layout: NCHW, dtype: f32 }"),
            ),
            ("output", Some("{ name: image_embeds, dim: 512 }")),
            ("tiers", None),
            ("classes", None),
            ("speech_classes", None),
            ("memory", None),
            ("head", None),
            ("text", None),
        ],
    ),
    (
        "text",
        &[
            ("tokenizer", Some("tokenizer.json")),
            (
                "tokenizer_sha256",
                Some("\"0123...\" (as sha256sum prints it)"),
            ),
            ("mask", None),
            ("types", None),
            ("longest", Some("128")),
            ("padded", None),
            ("pad", None),
        ],
    ),
    (
        "input",
        &[
            ("name", Some("pixel_values")),
            ("layout", Some("NCHW")),
            ("dtype", Some("f32")),
            ("colour", None),
            ("mean", None),
            ("std", None),
            ("resize", None),
            ("fit", None),
            ("crop", None),
            ("every", None),
            ("pathways", None),
            ("sample_rate", None),
            ("frames", None),
            ("bands", None),
            ("hop_frames", None),
            ("samples", None),
        ],
    ),
    (
        "output",
        &[
            ("name", Some("image_embeds")),
            ("dim", Some("512")),
            ("pool", None),
            ("embedding", None),
            ("embedding_dim", None),
        ],
    ),
    (
        "source",
        &[
            ("package", None),
            ("version", None),
            ("licence", None),
            ("sha256", None),
            ("note", None),
        ],
    ),
];

/// Every problem; none if the text is not a mapping, which the reader itself reports.
pub(super) fn wrong(text: &str) -> Vec<String> {
    let Ok(Value::Object(whole)) = serde_yaml::from_str::<Value>(text) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for (section, fields) in SECTIONS {
        let found = match section {
            "" => Some(&whole),
            _ => whole.get(section).and_then(Value::as_object),
        };
        if let Some(found) = found {
            in_section(section, found, fields, &mut problems);
        }
    }
    problems
}

fn in_section(
    section: &str,
    found: &Map<String, Value>,
    fields: &[(&str, Option<&str>)],
    problems: &mut Vec<String>,
) {
    let whole = |name: &str| match section {
        "" => name.to_owned(),
        _ => format!("{section}.{name}"),
    };
    for (name, example) in fields {
        // Pathways have names of their own.
        let is_named = section == "input" && *name == "name" && found.contains_key("pathways");
        if let Some(example) = example
            && !found.contains_key(*name)
            && !is_named
        {
            problems.push(format!(
                "{} is missing: write `{name}: {example}`",
                whole(name)
            ));
        }
    }
    for name in found
        .keys()
        .filter(|name| fields.iter().all(|(known, _)| known != name))
    {
        let near = fields
            .iter()
            .map(|(known, _)| (strsim::damerau_levenshtein(known, name), known))
            .min()
            .filter(|(distance, _)| *distance <= 2);
        let hint = match near {
            Some((_, known)) => format!("did you mean `{known}`?"),
            None => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                format!("there are {}", names.join(", "))
            }
        };
        problems.push(format!("{} is unknown: {hint}", whole(name)));
    }
}
