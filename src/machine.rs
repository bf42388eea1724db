//! What this machine has and lacks: packages, libraries, models.
//!
//! # Layout
//!
//! - [`packages`]: maps elements to Debian packages.
//! - [`doctor`]: checks everything that Earmark needs.
//! - [`models`]: lists the models that pipelines can name; `new_model`: adds one.

pub mod doctor;
pub mod models;
pub(crate) mod new_model;
pub mod packages;
