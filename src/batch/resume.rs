//! Decides whether a recording's output already exists, is complete, and is what this batch would make.

use std::collections::BTreeMap;
use std::path::Path;

use gstearmark::h5::{ModelNote, Summary};
use serde_json::Value;

use super::job::{Job, is_uri};
use crate::outputs::features;
use crate::recording::Input;
use crate::recording::fingerprint::Fingerprint;

/// What a finished output must match.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The resolved pipeline.
    pub config: Value,
    /// The encoder and all models that listen.
    pub models: Vec<ModelNote>,
    /// Variables, including the recording's own.
    pub variables: BTreeMap<String, String>,
    /// The audio track.
    pub audio_track: usize,
    /// Whether the whole recording is hashed.
    pub whole: bool,
}

/// The existing output.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Existing {
    /// There is none.
    Absent,
    /// It is what this batch would make.
    Good,
    /// It is something else; says what.
    Other(String),
}

/// Checks only that the file is marked complete and its tables agree.
pub(super) fn is_complete(output: &Path) -> Existing {
    match complete(output) {
        Ok(Some(_)) => Existing::Good,
        Ok(None) => Existing::Absent,
        Err(why) => Existing::Other(why),
    }
}

/// Also checks that it was made from this recording in this way.
pub(super) fn verified(output: &Path, job: &Job, wanted: &Expected) -> Existing {
    let file = match complete(output) {
        Ok(Some(file)) => file,
        Ok(None) => return Existing::Absent,
        Err(why) => return Existing::Other(why),
    };
    match made_as(&file, wanted).or_else(|| made_from(&file, job, wanted.whole)) {
        None => Existing::Good,
        Some(why) => Existing::Other(why),
    }
}

fn complete(output: &Path) -> Result<Option<Summary>, String> {
    if output.symlink_metadata().is_err() {
        return Ok(None);
    }
    match features::summary(output) {
        Err(e) => Err(format!("its output cannot be read ({e:#})")),
        Ok(file) if !file.complete => Err("its output is incomplete".into()),
        Ok(file) => Ok(Some(file)),
    }
}

/// How the output was made differently.
fn made_as(file: &Summary, wanted: &Expected) -> Option<String> {
    let config: Value = serde_json::from_str(&file.config).unwrap_or(Value::Null);
    if config != wanted.config {
        let names = differing(&config, &wanted.config);
        return Some(format!("the pipeline differs ({names})"));
    }
    if let Some(why) = models_differ(&file.models, &wanted.models) {
        return Some(why);
    }
    let further = |name: &str| file.further.get(name).map(String::as_str);
    if further("audio_track") != Some(wanted.audio_track.to_string().as_str()) {
        return Some("the audio track differs".into());
    }
    let variables: BTreeMap<String, String> = further("variables")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if variables != wanted.variables {
        return Some("a variable of the pipeline differs".into());
    }
    if further("plan_sha256").is_some() {
        return Some("its output followed a given plan".into());
    }
    None
}

/// How the models differ. Files of versions that recorded neither manifests nor weights cannot be compared, so they do not count.
fn models_differ(made: &[ModelNote], wanted: &[ModelNote]) -> Option<String> {
    if made == wanted {
        return None;
    }
    for model in wanted {
        let (role, name) = (&model.role, &model.name);
        let Some(before) = made.iter().find(|made| made.role == *role) else {
            // Every file that records weights also records manifests.
            if made.iter().all(|made| made.manifest_sha256.is_none()) {
                break;
            }
            return Some(format!("the models differ (no {role}, now {name})"));
        };
        if before.sha256 != model.sha256 {
            return Some(format!("the models differ ({role} {name})"));
        }
        match &before.manifest_sha256 {
            None if model.manifest_sha256.is_some() => break,
            same if *same != model.manifest_sha256 => {
                return Some(format!(
                    "the models differ (the manifest of the {role} {name})"
                ));
            }
            _ if before.name != *name => {
                return Some(format!(
                    "the models differ ({role} {}, now {name})",
                    before.name
                ));
            }
            _ => {}
        }
    }
    if made.iter().all(|made| made.manifest_sha256.is_none()) {
        return Some(
            "its output does not record its manifests and weights, because an older version wrote it; --resume skip accepts it"
                .into(),
        );
    }
    Some("the models differ (there were more)".into())
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

/// How the recording differs.
fn made_from(file: &Summary, job: &Job, whole: bool) -> Option<String> {
    if is_uri(&job.input) && !job.input.starts_with("file://") {
        let same = file.input_uri == job.input;
        return (!same).then(|| format!("it was made from {}", file.input_uri));
    }
    let input = match Input::new(&job.input) {
        Ok(input) => input,
        // The recording was moved away, and the features are to be kept.
        Err(_) => return Some("the recording cannot be read for comparison".into()),
    };
    let print = input
        .path
        .as_deref()
        .map(|path| Fingerprint::of(path, whole));
    let print = match print {
        Some(Ok(Some(print))) => print,
        _ => return Some("the recording cannot be read for comparison".into()),
    };
    if file.input_bytes != print.bytes {
        return Some(format!(
            "the recording had {} bytes and now has {}",
            file.input_bytes, print.bytes
        ));
    }
    if file.further.get("input_ends_sha256") != Some(&print.ends) {
        return Some("the first or last MiB of the recording changed".into());
    }
    match (whole, file.further.get("input_sha256")) {
        (true, None) => Some("its output does not record the hash of the whole recording".into()),
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
    fn models_differ_by_file_manifest_or_weights() {
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
            (vec![note("encoder", "a", None)], "older version"),
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
    fn a_file_that_is_not_a_feature_file_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        assert_eq!(is_complete(&path), Existing::Absent);
        std::fs::write(&path, "nothing of the kind").unwrap();
        assert!(
            matches!(is_complete(&path), Existing::Other(why) if why.contains("cannot be read"))
        );
    }
}
