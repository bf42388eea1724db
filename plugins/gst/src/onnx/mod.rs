//! Runs models with ONNX Runtime. This folder alone names `ort`.
//!
//! # Layout
//!
//! - `encoder`, `tagger`, `embedder`, `text`, `voice`: one kind of model each.
//! - `session`: loads a model, checks it against its manifest, keeps it for the next recording.
//! - `ports`: inputs and outputs of an ONNX file, and how they differ from its manifest. `examine`: examines a model before anything runs it.
//! - `flops`: how many operations an encoder takes.
//! - `provider`: the CPU or a device that runs it.
//! - `runtime`: finds and loads the library. `telemetry`: turns that off.

mod embedder;
mod encoder;
mod examine;
mod flops;
mod ports;
mod provider;
mod runtime;
mod session;
mod tagger;
mod telemetry;
mod text;
mod voice;

use ort::Error as RuntimeError;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};
use ort::{ep, info as build_info, init_from, inputs};

pub use embedder::{Embedder, load_probe};
pub use encoder::{Encoder, load_encoder, pathway_frames};
pub use examine::{check_model, ports, try_device};
pub use flops::flops;
pub use ports::{Port, Ports};
pub use provider::{Device, Provider, providers};
pub use runtime::{runtime_path, runtime_version};
pub use session::{keep_sessions, share_sessions, spare_memory};
pub use tagger::{Tagger, load_tagger};
pub use telemetry::forbid as forbid_telemetry;
pub use text::{TextEncoder, load_text_encoder};
pub use voice::{Voice, load_voice};

/// A score as a probability; 0 for NaN.
fn probability(score: f32) -> f32 {
    if score.is_nan() {
        0.0
    } else {
        score.clamp(0.0, 1.0)
    }
}
