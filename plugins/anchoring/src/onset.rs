//! Mel frames -> onsets with their probability, streaming.

pub mod calibration;
pub mod candidate;
pub mod head;
pub mod inputs;
pub mod mlp;
pub mod peaks;
pub mod probe;
pub mod spec;
pub mod tcn;
pub mod tensors;
pub mod weights;
