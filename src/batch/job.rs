//! One recording of a batch, as the user named it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// One recording of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Job {
    /// Its name, also that of its output.
    pub video_id: String,
    /// A path (a `file://` URI if it is not UTF-8) or a URI.
    pub input: String,
    /// Its own variables.
    pub variables: BTreeMap<String, String>,
    /// Its audio track, if it differs from the default.
    pub audio_track: Option<usize>,
    /// Its length in seconds, if the list has it.
    pub duration_s: Option<f64>,
    /// Where it was named, for messages.
    pub named_in: String,
}

impl Job {
    /// A recording given only by its path.
    pub(super) fn new(path: &Path, named_in: &str) -> Self {
        let input = text(path);
        Self {
            video_id: stem(path.as_os_str()),
            input,
            variables: BTreeMap::new(),
            audio_track: None,
            duration_s: None,
            named_in: named_in.into(),
        }
    }

    /// Its output in this folder.
    pub(super) fn output(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.h5", self.video_id))
    }
}

/// A path as text; as a `file://` URI if it is not UTF-8.
pub(super) fn text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.into(),
        None => std::path::absolute(path)
            .ok()
            .and_then(|path| gst::glib::filename_to_uri(path, None).ok())
            .map_or_else(|| path.to_string_lossy().into_owned(), Into::into),
    }
}

/// The name of a recording, from its path or URI.
pub(super) fn stem(input: &OsStr) -> String {
    let text = input.to_string_lossy();
    let path = match is_uri(&text) {
        true => text.split(['?', '#']).next().unwrap_or_default(),
        false => &text,
    };
    Path::new(path)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

pub(super) fn is_uri(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}
