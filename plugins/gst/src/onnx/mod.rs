//! ONNX Runtime: encoders, taggers, embeddings and voice detectors, ready to run. The one file that names `ort`.
//!
//! # Layout
//!
//! - `encoder`, `tagger`, `embedder`, `voice`: what a kind of model takes and gives.
//! - `session`: a model loaded, checked against its manifest, kept for the next recording.
//! - `provider`: what runs it.
//! - `runtime`: the library. `telemetry`: kept off.

mod embedder;
mod encoder;
mod provider;
mod runtime;
mod session;
mod tagger;
mod telemetry;
mod voice;

use ort::Error as RuntimeError;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{TensorElementType, TensorRef, ValueType};
use ort::{ep, info as build_info, init_from, inputs};

pub use embedder::{Embedder, load_probe};
pub use encoder::{Encoder, load_encoder};
pub use provider::{Place, Provider, providers};
pub use runtime::{runtime_path, runtime_version};
pub use session::{keep_sessions, spare_memory};
pub use tagger::{Tagger, load_tagger};
pub use telemetry::forbid as forbid_telemetry;
pub use voice::{Voice, load_voice};

fn probability(score: f32) -> f32 {
    if score.is_nan() {
        0.0
    } else {
        score.clamp(0.0, 1.0)
    }
}
