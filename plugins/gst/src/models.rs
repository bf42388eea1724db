//! Model manifests (`models/*.yaml`): read, checked, found by name, and tied to their ONNX files by SHA-256.

mod manifest;
pub mod used;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anchoring::head::Head;
pub use anchoring::weights::{Weights, WeightsError};
use sha2::{Digest, Sha256};

pub use crate::onnx::{Embedder, Encoder, Place, Provider, Tagger, Voice, keep_sessions};
pub use manifest::{
    Colour, Dtype, Fit, Input, Kind, Layout, Manifest, Memory, Output, Resize, SCHEMA, Source,
    TierSpec, Tiers,
};

/// What is wrong with a model, its manifest or the library that runs it.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No manifest of that name.
    #[error(
        "there is no model `{name}`: no {name}.yaml in {searched}; `earmark models` lists what there is, and EARMARK_MODELS names further folders"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The folders searched.
        searched: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A manifest that is no YAML of the right shape.
    #[error("{path} is no model manifest: {message}")]
    Syntax {
        /// Which manifest.
        path: PathBuf,
        /// What the YAML reader says, with line and column.
        message: String,
    },
    /// A manifest that contradicts itself; every problem at once.
    #[error("{path}: {problems}")]
    Manifest {
        /// Which manifest.
        path: PathBuf,
        /// Field, value and rule of each problem, separated by semicolons.
        problems: String,
    },
    /// The ONNX file has not been built.
    #[error("the model `{name}` has no file {file}: run `make setup`, which builds it")]
    Missing {
        /// Which model.
        name: String,
        /// The file that is not there.
        file: PathBuf,
    },
    /// A probe's head has not been learned.
    #[error(
        "the probe {manifest} has no head {file}: `earmark fit --embedding {manifest} --output {file}` learns one from labelled recordings"
    )]
    NoHead {
        /// The probe's manifest.
        manifest: PathBuf,
        /// The file that is not there.
        file: PathBuf,
    },
    /// The ONNX file is not the one that the manifest describes.
    #[error(
        "the model file {file} was altered: its SHA-256 is {found}, but {name}.yaml says {expected}; run `make setup` to build it again"
    )]
    Altered {
        /// Which model.
        name: String,
        /// Its file.
        file: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// An encoder where a tagger was wanted, or the other way round.
    #[error("the model `{name}` is of kind {is}, but kind {wanted} is needed here")]
    Kind {
        /// Which model.
        name: String,
        /// What it is.
        is: Kind,
        /// What it should be.
        wanted: Kind,
    },
    /// ONNX Runtime is not there or cannot be loaded.
    #[error(
        "cannot load ONNX Runtime: {0}; run `make setup`, or name its libonnxruntime.so in ORT_DYLIB_PATH"
    )]
    Runtime(String),
    /// The ONNX file cannot be loaded, or has other inputs and outputs than its manifest says.
    #[error("the model `{name}` cannot be used: {message}")]
    Load {
        /// Which model.
        name: String,
        /// Why not.
        message: String,
    },
    /// A file of weights or a head that is none.
    #[error("{path}: {source}")]
    Weights {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// A probe that cannot listen.
    #[error("{0}")]
    Probe(String),
    /// What an application says of the models that listened is no list of them.
    #[error("the property models is no JSON array of role, name and sha256: {0}")]
    Notes(serde_json::Error),
    /// The model failed, or gave something else than its manifest says.
    #[error("the model `{name}` failed: {message}")]
    Run {
        /// Which model.
        name: String,
        /// How.
        message: String,
    },
}

/// A manifest found in a search folder, or what is wrong with it.
#[derive(Debug)]
pub struct Listed {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Result<Manifest, ModelError>,
}

/// The folders in which manifests are looked for, first to last: those in `EARMARK_MODELS` (separated like `PATH`), `models/`
/// of the build tree, `share/earmark/models/` of the place where the command or the plugin is installed.
pub fn search_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = std::env::var_os("EARMARK_MODELS")
        .map(|value| {
            std::env::split_paths(&value)
                .filter(|dir| !dir.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    for home in homes() {
        dirs.push(home.join("models"));
        dirs.push(home.join("share/earmark/models"));
    }
    let mut seen = HashSet::new();
    dirs.retain(|dir| {
        dir.is_dir() && seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone()))
    });
    dirs
}

/// The folders above the command and above the plugin: PREFIX is one of them (PREFIX/bin, PREFIX/lib/ARCH/gstreamer-1.0), and so
/// is the root of the build tree (target/release, target/release/deps).
fn homes() -> Vec<PathBuf> {
    let files = [plugin_path(), std::env::current_exe().ok()];
    files
        .into_iter()
        .flatten()
        .filter_map(|file| file.canonicalize().ok())
        .flat_map(|file| {
            file.ancestors()
                .skip(2)
                .take(4)
                .map(Path::to_path_buf)
                .collect::<Vec<_>>()
        })
        .filter(|dir| dir.parent().is_some())
        .collect()
}

/// Where GStreamer loaded the plugin from; `None` when it is linked into the program.
fn plugin_path() -> Option<PathBuf> {
    gst::init().ok()?;
    gst::Registry::get().find_plugin("earmark")?.filename()
}

/// Every manifest in the search folders, sorted by name; of two with one name, the one that is found first.
pub fn list() -> Vec<Listed> {
    let mut seen = HashSet::new();
    let mut listed = Vec::new();
    for dir in search_dirs() {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            if path.extension().is_some_and(|ext| ext == "yaml")
                && seen.insert(path.file_name().map(ToOwned::to_owned))
            {
                let manifest = Manifest::read(&path);
                listed.push(Listed { path, manifest });
            }
        }
    }
    listed.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
    listed
}

/// The manifest of that name, or at that path if it ends in `.yaml`.
///
/// # Errors
/// There is none, or it is wrong.
pub fn find(name: &str) -> Result<Manifest, ModelError> {
    if name.ends_with(".yaml") {
        return Manifest::read(Path::new(name));
    }
    let dirs = search_dirs();
    let plain = !name.is_empty() && !name.contains(['/', '\\']);
    match dirs
        .iter()
        .map(|dir| dir.join(format!("{name}.yaml")))
        .find(|path| plain && path.is_file())
    {
        Some(path) => Manifest::read(&path),
        None => Err(ModelError::Unknown {
            name: name.into(),
            searched: if dirs.is_empty() {
                "any folder (there is none to search)".into()
            } else {
                dirs.iter()
                    .map(|dir| dir.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            },
        }),
    }
}

/// A ready encoder. `threads`: threads per picture batch, at least 1. `place`: what runs it, if it can ([`Encoder::instead`]).
///
/// # Errors
/// Unknown, altered, not an encoder, or not runnable.
pub fn load_encoder(name: &str, threads: usize, place: Place) -> Result<Encoder, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Encoder)?;
    manifest.check()?;
    Encoder::new(manifest, threads, place)
}

/// A ready tagger. `threads`: threads per patch, at least 1.
///
/// # Errors
/// Unknown, altered, not a tagger, or not runnable.
pub fn load_tagger(name: &str, threads: usize) -> Result<Tagger, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Tagger)?;
    manifest.check()?;
    let labels = match manifest.classes_path() {
        Some(path) => read_classes(&path)?,
        None => Vec::new(),
    };
    if labels.len() != manifest.output.dim {
        return Err(ModelError::Load {
            name: manifest.name,
            message: format!(
                "its class list has {} classes, but output.dim is {}",
                labels.len(),
                manifest.output.dim
            ),
        });
    }
    Tagger::new(manifest, labels, threads)
}

/// A ready voice detector.
///
/// # Errors
/// Unknown, altered, not a voice detector, or not runnable.
pub fn load_voice(name: &str) -> Result<Voice, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Voice)?;
    manifest.check()?;
    Voice::new(manifest)
}

/// A ready embedding with its head. `threads`: threads per patch, at least 1.
///
/// # Errors
/// Unknown, altered, not a probe, not runnable, or the head is for other embeddings.
pub fn load_probe(name: &str, threads: usize) -> Result<(Embedder, Head), ModelError> {
    let manifest = find(name)?.of_kind(Kind::Probe)?;
    manifest.check()?;
    let path = manifest.head_path().unwrap_or_default();
    let head = Head::read(&small(&path)?, manifest.output.dim)
        .map_err(|source| ModelError::Weights { path, source })?;
    Ok((Embedder::new(manifest, threads)?, head))
}

/// The weights of the probes `onset` and `onset+tcn`: those in a file, or those that are built in if the path is empty.
///
/// # Errors
/// Unreadable, or not such weights.
pub fn load_weights(path: &str) -> Result<Weights, ModelError> {
    let read = if path.is_empty() {
        Weights::embedded()
    } else {
        Weights::read(&small(Path::new(path))?)
    };
    read.map_err(|source| ModelError::Weights {
        path: if path.is_empty() {
            "the built-in weights"
        } else {
            path
        }
        .into(),
        source,
    })
}

/// A file of at most 64 MiB.
fn small(path: &Path) -> Result<Vec<u8>, ModelError> {
    const MOST: u64 = 64 << 20;
    let wrap = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrap)?;
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(wrap)?;
    if bytes.len() as u64 > MOST {
        return Err(wrap(std::io::Error::other(
            "it is larger than 64 MiB (is it a weights file?)",
        )));
    }
    Ok(bytes)
}

/// The class names of a CSV file (`index,mid,display_name`, one line a class in order, after a heading).
///
/// # Errors
/// Unreadable, or an index out of order.
pub fn read_classes(path: &Path) -> Result<Vec<String>, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read {
        path: path.into(),
        source,
    })?;
    let mut labels = Vec::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .skip(1)
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let mut fields = line.splitn(3, ',');
        let index = fields
            .next()
            .and_then(|field| field.trim().parse::<usize>().ok());
        let label = fields.nth(1);
        match (index, label) {
            (Some(index), Some(label)) if index == labels.len() => {
                labels.push(unquote(label.trim()))
            }
            _ => {
                return Err(ModelError::Syntax {
                    path: path.into(),
                    message: format!(
                        "line {}: `{line}` should be index,mid,display_name with index {}",
                        number + 1,
                        labels.len()
                    ),
                });
            }
        }
    }
    Ok(labels)
}

/// A CSV field without its quotes.
fn unquote(field: &str) -> String {
    match field
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\"\"", "\""),
        None => field.into(),
    }
}

/// SHA-256 of a file in lower-case hexadecimal.
///
/// # Errors
/// Unreadable.
pub fn sha256(path: &Path) -> Result<String, ModelError> {
    let wrap = |source| ModelError::Read {
        path: path.into(),
        source,
    };
    let mut file = File::open(path).map_err(wrap)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        let n = file.read(&mut block).map_err(wrap)?;
        if n == 0 {
            return Ok(hash
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        hash.update(&block[..n]);
    }
}

/// Most files whose hash is remembered.
const MOST_KNOWN: usize = 16;

/// As [`sha256`]. The hash of a file whose size and time of change stay is remembered.
fn known_sha256(path: &Path) -> Result<String, ModelError> {
    type Known = (PathBuf, u64, SystemTime, String);
    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    let about = path
        .metadata()
        .ok()
        .and_then(|about| Some((about.len(), about.modified().ok()?)));
    let Some((len, time)) = about else {
        return sha256(path);
    };
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |known: &&Known| known.0 == path && known.1 == len && known.2 == time;
    if let Some(known) = lock().iter().find(same) {
        return Ok(known.3.clone());
    }
    let hash = sha256(path)?;
    let mut known = lock();
    known.retain(|known| known.0 != path);
    if known.len() >= MOST_KNOWN {
        known.remove(0);
    }
    known.push((path.into(), len, time, hash.clone()));
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_may_hold_commas_and_quotes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.csv");
        std::fs::write(
            &path,
            "index,mid,display_name\n0,/m/1,Speech\n1,/m/2,\"Kid, \"\"small\"\"\"\n",
        )
        .unwrap();
        assert_eq!(read_classes(&path).unwrap(), ["Speech", "Kid, \"small\""]);
        std::fs::write(&path, "index,mid,display_name\n1,/m/1,Speech\n").unwrap();
        assert!(read_classes(&path).is_err());
    }

    #[test]
    fn sha256_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn names_cannot_leave_the_search_folders() {
        assert!(matches!(
            find("../models/yamnet"),
            Err(ModelError::Unknown { .. })
        ));
        assert!(matches!(find(""), Err(ModelError::Unknown { .. })));
    }
}
