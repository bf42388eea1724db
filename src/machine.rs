//! What this machine has and lacks: packages, libraries, models.
//!
//! # Layout
//!
//! - [`packages`]: maps elements to Debian packages.
//! - [`doctor`]: checks everything that Earmark needs.
//! - [`models`]: lists the models that pipelines can name; `new_model`: adds one, `new_text_model` one of text;
//!   `manifest_text`: what the text of a manifest is made of.

pub mod doctor;
mod manifest_text;
pub mod models;
pub(crate) mod new_model;
mod new_text_model;
pub mod packages;
