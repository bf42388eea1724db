//! Audio-visual video parsing with weak labels: which events are heard, seen, or both, in every second.
//!
//! # Layout
//!
//! In the order of the data; each imports only from those before it:
//!
//! - `experiment`: sizes, losses and training, each part on or off, as a YAML file sets them.
//! - `videos`: two streams of features, weak and dense labels, read from a file a batch at a time.
//! - `layers`: the layers of both networks.
//! - `losses`: binary cross entropy, targets by uncertainty, weights by class balance, mixing, similarity of segments (S-LOSS).
//! - `temporal`: the transformer that learns from densely labelled video and makes pseudo labels.
//! - `pseudo`: thresholds by class, pseudo labels.
//! - `parser`: the hybrid attention network, its pooling, TSAM and PLSIM.
//! - `score`: F1 of segments, for choosing an epoch.
//! - `model`: a trained network in its file.
//! - `fit`: the training loop of both networks. `labelling`: trains the transformer, makes pseudo labels. `tasks`: trains the parser, predicts.
//!
//! Written from the papers (HAN: Tian et al. 2020; UWAV: Lai et al. 2025; LINK: Wang et al. 2024). Where a paper leaves something open, the doc
//! comment says how it was interpreted.

pub mod experiment;
mod fit;
pub mod labelling;
pub mod layers;
pub mod losses;
pub mod model;
pub mod parser;
pub mod pseudo;
pub mod score;
pub mod tasks;
pub mod temporal;
pub mod videos;

pub use fit::Epoch;
