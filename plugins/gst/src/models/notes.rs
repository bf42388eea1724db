//! Notes on the models behind a feature file: each with the hash of its file and of its manifest.

use std::path::Path;

use anchoring::onset::weights::EMBEDDED;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ModelError;
use super::files::{cached_sha256, read_small};
use super::manifest::{Kind, Manifest};
use super::search::find;

/// The probes that need no manifest.
pub const PROBES: [&str; 6] = [
    "energy",
    "flux",
    "onset",
    "onset+tcn",
    "tagger",
    "tagger-novelty",
];
/// The value for no model.
const NONE: &str = "none";
/// The probes that have weights.
const WEIGHED: [&str; 2] = [
    anchoring::onset::spec::ONSET,
    anchoring::onset::spec::ONSET_TCN,
];

/// A model, or a file that one uses, behind a feature file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelNote {
    /// `encoder`, `tagger`, `voice` or `probe`; `weights`, `classes` or `head` for a file that one of them uses.
    pub role: String,
    /// Name of its manifest or file; `built in` for built-in weights.
    pub name: String,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 of its manifest's content ([`Manifest::canonical_sha256`]); `None` without a manifest and in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

/// The values of the section `ears`.
#[derive(Clone, Copy, Debug)]
pub struct AudioModels<'a> {
    /// A probe, or the name of a manifest of kind probe.
    pub probe: &'a str,
    /// Path of its weights; empty: the built-in ones.
    pub weights: &'a str,
    /// The tagger, or `none`.
    pub tagger: &'a str,
    /// The voice detector, or `none`.
    pub vad: &'a str,
}

/// The models of the section `ears`: tagger, voice detector, probe, each followed by the files beside it (class list, head); or the
/// weights of a built-in probe.
///
/// # Errors
/// A model is unknown, missing, altered, unreadable or of the wrong kind.
pub fn of_audio(named: AudioModels<'_>) -> Result<Vec<ModelNote>, ModelError> {
    let mut notes = Vec::new();
    for (name, kind) in [(named.tagger, Kind::Tagger), (named.vad, Kind::Voice)] {
        if !matches!(name, "" | NONE) {
            notes.extend(of(&find(name)?.of_kind(kind)?)?);
        }
    }
    if WEIGHED.contains(&named.probe) {
        let (name, sha256) = match named.weights {
            "" => ("built in".to_owned(), hex(Sha256::digest(EMBEDDED))),
            path => (
                file_name(Path::new(path)),
                hex(Sha256::digest(read_small(Path::new(path))?)),
            ),
        };
        notes.push(plain("weights", name, sha256));
    } else if !PROBES.contains(&named.probe) {
        notes.extend(of(&find(named.probe)?.of_kind(Kind::Probe)?)?);
    }
    Ok(notes)
}

/// A model and the files beside it.
///
/// # Errors
/// A file is missing, altered or unreadable.
pub fn of(manifest: &Manifest) -> Result<Vec<ModelNote>, ModelError> {
    manifest.check()?;
    let mut notes = vec![ModelNote {
        role: manifest.kind.to_string(),
        name: manifest.name.clone(),
        sha256: manifest.sha256.clone(),
        manifest_sha256: Some(manifest.canonical_sha256()),
    }];
    for (role, path) in [
        ("classes", manifest.classes_path()),
        ("head", manifest.head_path()),
    ] {
        if let Some(path) = path {
            notes.push(plain(role, file_name(&path), cached_sha256(&path)?));
        }
    }
    Ok(notes)
}

/// The encoder and the models of the audio. `said`: these as a JSON array of notes, from the application; if empty, `tagger` counts.
///
/// # Errors
/// `said` is not such an array, or a model cannot be used.
pub(crate) fn noted(
    encoder: &Manifest,
    said: &str,
    tagger: &str,
) -> Result<Vec<ModelNote>, ModelError> {
    let mut notes = of(encoder)?;
    if !said.is_empty() {
        let said: Vec<ModelNote> = serde_json::from_str(said).map_err(ModelError::Notes)?;
        notes.extend(said);
    } else if !matches!(tagger, "" | NONE) {
        notes.extend(of(&find(tagger)?.of_kind(Kind::Tagger)?)?);
    }
    Ok(notes)
}

impl Manifest {
    /// SHA-256, in lower-case hexadecimal, of everything in the manifest that says how the model is used, with defaults written out. Comments,
    /// order, source and file paths do not count; files have hashes of their own.
    pub fn canonical_sha256(&self) -> String {
        let mut used = self.clone();
        used.source = Default::default();
        used.file = Default::default();
        used.classes = None;
        used.head = None;
        if let Some(text) = &mut used.text {
            text.tokenizer = Default::default();
        }
        // Fields are written in the order in which they are declared.
        hex(Sha256::digest(
            serde_json::to_vec(&used).unwrap_or_default(),
        ))
    }
}

fn plain(role: &str, name: String, sha256: String) -> ModelNote {
    ModelNote {
        role: role.into(),
        name,
        sha256,
        manifest_sha256: None,
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn hex(hash: impl AsRef<[u8]>) -> String {
    let bytes = hash.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "schema: earmark-model/1
name: m
kind: encoder
file: m.onnx
sha256: 00000000000000000000000000000000000000000000000000000000000000aa
source: { package: p, version: '1', licence: none }
input: { name: image, layout: NCHW, dtype: f32, mean: [127, 127, 127], std: [128, 128, 128] }
output: { name: embedding, dim: 8 }
tiers: { low: { px: 8, tokens: 1 }, base: { px: 16, tokens: 4 }, high: { px: 32, tokens: 16 } }
";

    fn canonical(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.yaml");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path).unwrap().canonical_sha256()
    }

    #[test]
    fn only_what_changes_the_numbers_changes_the_hash() {
        let plain = canonical(TEXT);
        for (from, to) in [
            ("mean: [127, 127, 127]", "mean: [127, 127, 128]"),
            ("std: [128, 128, 128]", "std: [128, 127, 128]"),
            ("px: 32", "px: 33"),
            ("tokens: 4", "tokens: 5"),
            ("dim: 8", "dim: 9"),
            ("layout: NCHW", "layout: NCHW, colour: BGR"),
            ("layout: NCHW", "layout: NCHW, fit: crop"),
        ] {
            assert!(TEXT.contains(from));
            assert_ne!(canonical(&TEXT.replace(from, to)), plain, "{to}");
        }
        for (from, to) in [
            ("kind: encoder", "# a remark\nkind:   encoder"),
            ("version: '1'", "version: '2'"),
            ("layout: NCHW", "layout: NCHW, colour: RGB, resize: bicubic"),
            ("file: m.onnx", "file: elsewhere/m.onnx"),
        ] {
            assert!(TEXT.contains(from));
            assert_eq!(canonical(&TEXT.replace(from, to)), plain, "{to}");
        }
    }

    #[test]
    fn weights_are_noted_if_the_probe_has_some() {
        let named = |probe, weights| AudioModels {
            probe,
            weights,
            tagger: NONE,
            vad: NONE,
        };
        assert_eq!(of_audio(named("flux", "")).unwrap(), []);
        let own = of_audio(named("onset", "")).unwrap();
        assert_eq!(
            (own[0].role.as_str(), own[0].name.as_str()),
            ("weights", "built in")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.safetensors");
        std::fs::write(&path, EMBEDDED).unwrap();
        let path = path.to_str().unwrap();
        let copied = of_audio(named("onset+tcn", path)).unwrap();
        assert_eq!(copied[0].sha256, own[0].sha256);
        std::fs::write(path, [EMBEDDED, b"x"].concat()).unwrap();
        let other = of_audio(named("onset", path)).unwrap();
        assert_ne!(other[0].sha256, own[0].sha256);
    }
}
