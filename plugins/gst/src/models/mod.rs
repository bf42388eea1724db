//! Model manifests (`models/*.yaml`): read, checked, found by name, and tied to their ONNX files by SHA-256.
//!
//! # Layout
//!
//! - `manifest`: what one says.
//! - `search`: where they lie.
//! - `files`: weights, class lists, hashes.
//! - `notes`: which models have a part in a feature file.
//!
//! What runs them is [`crate::onnx`].

mod files;
mod manifest;
pub mod notes;
mod search;

use std::path::PathBuf;

pub use anchoring::weights::{Weights, WeightsError};

pub(crate) use files::read_small;
pub use files::{load_weights, read_classes, sha256};
pub use manifest::{
    Colour, Dtype, Fit, Input, Kind, Layout, Manifest, Memory, Output, Resize, SCHEMA, Source,
    TierSpec, Tiers,
};
pub use notes::{ModelNote, PROBES};
pub use search::{Listed, find, list, search_dirs};

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
