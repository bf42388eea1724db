//! What this machine has and lacks.
//!
//! # Layout
//!
//! - [`packages`]: which Debian package brings an element.
//! - [`doctor`]: everything that Earmark needs, looked at.
//! - [`models`]: the models that pipelines can name.

pub mod doctor;
pub mod models;
pub mod packages;
