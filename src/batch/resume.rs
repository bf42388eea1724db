//! Whether a recording's output is there already: complete, whole, and what this batch would make.

use std::collections::BTreeMap;
use std::path::Path;

use gstearmark::h5::{self, ModelNote, Summary};
use serde_json::Value;

use super::inputs::{Job, is_uri};
use crate::fingerprint::Fingerprint;
use crate::probe::Input;

/// What a finished output must have been made with.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The resolved pipeline.
    pub config: Value,
    /// Encoder, and tagger if there is one.
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
    match h5::read_summary(output) {
        Err(e) => Err(format!("it cannot be read ({e})")),
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
    if file.models != wanted.models {
        let changed = wanted
            .models
            .iter()
            .find(|model| !file.models.contains(model));
        let what = changed.map_or("fewer", |model| model.name.as_str());
        return Some(format!("the models were others ({what})"));
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
    fn what_is_no_feature_file_is_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.h5");
        assert_eq!(is_complete(&path), Found::Absent);
        std::fs::write(&path, "nothing of the kind").unwrap();
        assert!(matches!(is_complete(&path), Found::Other(why) if why.contains("cannot be read")));
    }
}
