//! Whether a recording's output is there already: complete, whole, and what this batch would make.

use std::collections::BTreeMap;
use std::path::Path;

use gstearmark::h5::{ModelNote, Summary};
use serde_json::Value;

use super::job::{Job, is_uri};
use crate::outputs::features;
use crate::recording::Input;
use crate::recording::fingerprint::Fingerprint;

/// What a finished output must have been made with.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The resolved pipeline.
    pub config: Value,
    /// Encoder, and everything that listens.
    pub models: Vec<ModelNote>,
    /// Variables, the recording's own included.
    pub variables: BTreeMap<String, String>,
    /// Which audio track.
    pub audio_track: usize,
    /// Whether the recording's hash is that of all of it.
    pub whole: bool,
}

/// What is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// What this batch would make.
    Good,
    /// Something else, and what.
    Other(String),
}

/// A file that says it is complete and whose tables agree.
pub(super) fn is_complete(output: &Path) -> Found {
    match complete(output) {
        Ok(Some(_)) => Found::Good,
        Ok(None) => Found::Absent,
        Err(why) => Found::Other(why),
    }
}

/// That, made from this recording in this way.
pub(super) fn verified(output: &Path, job: &Job, wanted: &Wanted) -> Found {
    let file = match complete(output) {
        Ok(Some(file)) => file,
        Ok(None) => return Found::Absent,
        Err(why) => return Found::Other(why),
    };
    match made_as(&file, wanted).or_else(|| made_from(&file, job, wanted.whole)) {
        None => Found::Good,
        Some(why) => Found::Other(why),
    }
}

fn complete(output: &Path) -> Result<Option<Summary>, String> {
    if output.symlink_metadata().is_err() {
        return Ok(None);
    }
    match features::summary(output) {
        Err(e) => Err(format!("it cannot be read ({e:#})")),
        Ok(file) if !file.complete => Err("it is not complete".into()),
        Ok(file) => Ok(Some(file)),
    }
}

/// What was different in the making.
fn made_as(file: &Summary, wanted: &Wanted) -> Option<String> {
    let config: Value = serde_json::from_str(&file.config).unwrap_or(Value::Null);
    if config != wanted.config {
        let names = differing(&config, &wanted.config);
        return Some(format!("the pipeline was another ({names})"));
    }
    if let Some(why) = models_differ(&file.models, &wanted.models) {
        return Some(why);
    }
    let further = |name: &str| file.further.get(name).map(String::as_str);
    if further("audio_track") != Some(wanted.audio_track.to_string().as_str()) {
        return Some("the audio track was another".into());
    }
    let variables: BTreeMap<String, String> = further("variables")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if variables != wanted.variables {
        return Some("a variable of the pipeline had another value".into());
    }
    if further("plan_sha256").is_some() {
        return Some("it followed a plan that was given".into());
    }
    None
}

/// What is different in the models. Files of versions that noted neither manifests nor weights don't say by which they were made, so they don't count.
fn models_differ(made: &[ModelNote], wanted: &[ModelNote]) -> Option<String> {
    if made == wanted {
        return None;
    }
    for model in wanted {
        let (role, name) = (&model.role, &model.name);
        let Some(before) = made.iter().find(|made| made.role == *role) else {
            // Every file that notes weights notes manifests.
            if made.iter().all(|made| made.manifest_sha256.is_none()) {
                break;
            }
            return Some(format!("the models were others (no {role}, now {name})"));
        };
        if before.sha256 != model.sha256 {
            return Some(format!("the models were others ({role} {name})"));
        }
        match &before.manifest_sha256 {
            None if model.manifest_sha256.is_some() => break,
            same if *same != model.manifest_sha256 => {
                return Some(format!(
                    "the models were others (what the manifest of the {role} {name} says)"
                ));
            }
            _ if before.name != *name => {
                return Some(format!(
                    "the models were others ({role} {}, now {name})",
                    before.name
                ));
            }
            _ => {}
        }
    }
    if made.iter().all(|made| made.manifest_sha256.is_none()) {
        return Some(
            "it does not say which manifests and weights made it, as files of older versions don't; --resume skip takes it as it is"
                .into(),
        );
    }
    Some("the models were others (there were more)".into())
}

/// Sections that differ, for the message.
fn differing(a: &Value, b: &Value) -> String {
    let empty = serde_json::Map::new();
    let (a, b) = (
        a.as_object().unwrap_or(&empty),
        b.as_object().unwrap_or(&empty),
    );
    let mut names: Vec<_> = b
        .keys()
        .chain(a.keys())
        .filter(|name| a.get(*name) != b.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// What is different in the recording.
fn made_from(file: &Summary, job: &Job, whole: bool) -> Option<String> {
    if is_uri(&job.input) && !job.input.starts_with("file://") {
        let same = file.input_uri == job.input;
        return (!same).then(|| format!("it came from {}", file.input_uri));
    }
    let input = match Input::new(&job.input) {
        Ok(input) => input,
        // Its features are there all the same; whoever moved the recording away wants them kept.
        Err(_) => return Some("the recording can't be read to compare it".into()),
    };
    let print = input
        .path
        .as_deref()
        .map(|path| Fingerprint::of(path, whole));
    let print = match print {
        Some(Ok(Some(print))) => print,
        _ => return Some("the recording can't be read to compare it".into()),
    };
    if file.input_bytes != print.bytes {
        return Some(format!(
            "the recording had {} bytes and now has {}",
            file.input_bytes, print.bytes
        ));
    }
    if file.further.get("input_ends_sha256") != Some(&print.ends) {
        return Some("the recording's first or last MiB changed".into());
    }
    match (whole, file.further.get("input_sha256")) {
        (true, None) => Some("it does not hold the hash of the whole recording".into()),
        (true, hash) if hash != print.whole.as_ref() => Some("the recording changed".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named() {
        let (a, b) = (
            json!({"budget": 1, "ears": 2}),
            json!({"budget": 2, "ears": 2, "x": 1}),
        );
        assert_eq!(differing(&a, &b), "budget, x");
    }

    #[test]
    fn models_are_told_apart_by_file_manifest_and_weights() {
        let note = |role: &str, sha: &str, manifest: Option<&str>| ModelNote {
            role: role.into(),
            name: "m".into(),
            sha256: sha.into(),
            manifest_sha256: manifest.map(Into::into),
        };
        let now = [note("encoder", "a", Some("x")), note("weights", "b", None)];
        assert_eq!(models_differ(&now, &now), None);
        for (made, word) in [
            (
                vec![note("encoder", "z", Some("x")), now[1].clone()],
                "encoder m",
            ),
            (
                vec![note("encoder", "a", Some("y")), now[1].clone()],
                "manifest",
            ),
            (
                vec![now[0].clone(), note("weights", "c", None)],
                "weights m",
            ),
            (vec![now[0].clone()], "no weights"),
            (vec![note("encoder", "a", None)], "older versions"),
            (vec![note("encoder", "z", None)], "encoder m"),
            (
                vec![
                    now[0].clone(),
                    now[1].clone(),
                    note("voice", "v", Some("v")),
                ],
                "more",
            ),
        ] {
            let why = models_differ(&made, &now).unwrap_or_default();
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    #[test]
    fn what_is_no_feature_file_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        assert_eq!(is_complete(&path), Found::Absent);
        std::fs::write(&path, "nothing of the kind").unwrap();
        assert!(matches!(is_complete(&path), Found::Other(why) if why.contains("cannot be read")));
    }
}
