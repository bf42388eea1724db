//! Small networks on frozen features: per-second labels of recordings in, a head with its card out.
//!
//! # Layout
//!
//! In the order of the data; each imports only from those before it:
//!
//! - `tensors`: safetensors files with a JSON note, written whole or not at all.
//! - `dataset`: features, labels and splits, checked.
//! - `network`: what the heads are, their first weights, and their forward pass on any back-end of burn.
//! - `runtime`: the same forward pass with ndarray alone; what predicts.
//! - `score`: the share of seconds whose class is right.
//! - `checkpoint`: training as it stands after an epoch.
//! - `optimiser`: AdamW over named matrices.
//! - `train`: the loop.
//! - `parsing`: who is heard and who is seen, second by second: a crate within the crate, on `tensors`, `checkpoint` and `optimiser`.
//!
//! # Why burn
//!
//! burn 0.21 with `autodiff` and `ndarray` and nothing else compiles in three minutes of processor time, links no foreign library, and its
//! operations are deterministic on the processor. candle needs as many crates (its `candle-nn` brings a tokenizer), and its autodiff is meant for
//! inference first. tch needs libtorch. Weights are plain named matrices here, not burn's modules: what burn keeps of a module has random ids,
//! and the same seed must give the same bytes. Graphics cards: burn's `wgpu` and `cuda` are other back-ends of the same code; not a feature yet,
//! since nothing here was run on one.

mod checkpoint;
pub mod dataset;
pub mod network;
mod optimiser;
pub mod parsing;
pub mod runtime;
pub mod score;
pub mod tensors;
pub mod train;
