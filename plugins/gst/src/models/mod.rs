//! Model manifests (`models/*.yaml`): found by name, read, checked, and tied to their ONNX files by SHA-256.
//!
//! # Layout
//!
//! - `manifest`: what a manifest says, and its rules.
//! - `search`: finds manifests by name.
//! - `files`: hashes, weights, class lists.
//! - `notes`: the models behind a feature file.
//!
//! `onnx` runs them.

mod files;
mod manifest;
pub mod notes;
mod search;

use std::path::PathBuf;

pub use anchoring::onset::tensors::WeightsError;
pub use anchoring::onset::weights::Weights;

pub(crate) use files::read_small;
pub use files::{load_weights, read_classes, sha256};
pub use manifest::{
    ClipStep, Colour, Dtype, Fit, Input, Kind, Layout, Manifest, Memory, Output, Pathway, Pool,
    Resize, SCHEMA, Source, TextInput, TierSpec, Tiers,
};
pub use notes::{ModelNote, PROBES};
pub use search::{Listed, find, list, search_dirs};

/// What is wrong with a model, its manifest or ONNX Runtime.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No manifest of that name.
    #[error(
        "unknown model `{name}`: no {name}.yaml in {searched} (`earmark models` lists the models, EARMARK_MODELS adds folders)"
    )]
    Unknown {
        /// The name.
        name: String,
        /// The folders searched.
        searched: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file that is not a manifest.
    #[error("{path} is not a model manifest: {message}")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// The YAML reader's error, with line and column.
        message: String,
    },
    /// A manifest that breaks rules; every problem at once.
    #[error("{path}: {problems}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Field, value and rule of each problem, separated by semicolons.
        problems: String,
    },
    /// A file of the model is missing.
    #[error("model `{name}`: its file {file} does not exist (`make setup` builds it)")]
    Missing {
        /// The model.
        name: String,
        /// The missing file.
        file: PathBuf,
    },
    /// A probe without its head.
    #[error(
        "probe {manifest}: its head {file} does not exist (`earmark fit --embedding {manifest} --output {file}` fits one to labelled recordings)"
    )]
    NoHead {
        /// The probe's manifest.
        manifest: PathBuf,
        /// The missing file.
        file: PathBuf,
    },
    /// An ONNX file with another SHA-256 than its manifest says.
    #[error(
        "model file {file} has changed: its SHA-256 is {found}, but {name}.yaml says {expected} (`make setup` builds it again)"
    )]
    Altered {
        /// The model.
        name: String,
        /// Its file.
        file: PathBuf,
        /// The SHA-256 in the manifest.
        expected: String,
        /// The SHA-256 of the file.
        found: String,
    },
    /// A model of the wrong kind.
    #[error("model `{name}` is of kind {is}, but must be of kind {wanted} here")]
    Kind {
        /// The model.
        name: String,
        /// Its kind.
        is: Kind,
        /// The kind that is needed.
        wanted: Kind,
    },
    /// ONNX Runtime is missing or cannot be loaded.
    #[error(
        "cannot load ONNX Runtime: {0} (`make setup` installs it; ORT_DYLIB_PATH names another libonnxruntime.so)"
    )]
    Runtime(String),
    /// An ONNX file that cannot be loaded, or has other inputs or outputs than its manifest says.
    #[error("cannot load model `{name}`: {message}")]
    Load {
        /// The model.
        name: String,
        /// The reason.
        message: String,
    },
    /// A bad file of weights or bad head.
    #[error("{path}: {source}")]
    Weights {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// A probe that cannot run as set.
    #[error("{0}")]
    Probe(String),
    /// A bad value of the property `models`.
    #[error("property `models` must be a JSON array of objects with role, name and sha256: {0}")]
    Notes(serde_json::Error),
    /// A model that failed, or gave another output than its manifest says.
    #[error("model `{name}` failed: {message}")]
    Run {
        /// The model.
        name: String,
        /// The reason.
        message: String,
    },
}
