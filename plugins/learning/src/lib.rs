//! Small networks on frozen features: per-second labels of recordings in, a head with its card out.
//!
//! # Layout
//!
//! In the order of the data; each imports only from those before it:
//!
//! - `tensors`: safetensors files with a JSON note, written whole or not at all.
//! - `dataset`: features, labels and splits, checked.
//! - `network`: the heads: their matrices, first weights, and forward pass on any back-end of burn.
//! - `runtime`: the same forward pass with ndarray alone, for predictions.
//! - `score`: the share of seconds whose class is right.
//! - `checkpoint`: the state of a training after an epoch.
//! - `optimiser`: AdamW over named matrices.
//! - `train`: the training loop.
//! - `parsing`: audio-visual video parsing: which events are heard and seen in every second. Uses `tensors`, `checkpoint` and `optimiser`.
//!
//! # Why burn
//!
//! burn 0.21 with `autodiff` and `ndarray` alone compiles in three minutes of CPU time, links no foreign library, and its
//! operations are deterministic on the CPU. candle needs as many crates (its `candle-nn` brings a tokenizer), and its autodiff is meant for
//! inference first. tch needs libtorch. Weights are plain named matrices here, not burn's modules: burn's saved modules have random ids,
//! and the same seed must give the same bytes. GPUs: burn's `wgpu` and `cuda` are back-ends of the same code; not a feature yet, because
//! nothing here was run on one.

mod checkpoint;
pub mod dataset;
pub mod network;
mod optimiser;
pub mod parsing;
pub mod runtime;
pub mod score;
pub mod tensors;
pub mod train;
