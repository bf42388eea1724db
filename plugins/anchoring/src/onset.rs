//! Finds onsets and their probability in mel frames, streaming.
//!
//! In reading order: [`peak_picking`] (where an onset may be), [`peak_features`] (its description), [`inputs`] (what networks see of it),
//! [`mlp`] and [`tcn`] (the networks), [`calibration`] (logit -> probability), [`spec`], [`tensors`] and [`weights`] (the file that holds
//! them), [`probe`] (all of it together), [`head`] (a probe over embeddings of other models).

pub mod calibration;
pub mod head;
pub mod inputs;
pub mod mlp;
pub mod peak_features;
pub mod peak_picking;
pub mod probe;
pub mod spec;
pub mod tcn;
pub mod tensors;
pub mod uncertainty;
pub mod weights;
