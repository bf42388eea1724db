//! A decoded frame -> what the encoder takes, and its thumbnail.
//!
//! # Layout
//!
//! - `colorimetry`: caps of full range that name no matrix.
//! - `pixels`: a mapped frame -> its planes. `luma`: those -> what measures of quality take.
//! - `prepare`: planes -> an upright square -> numbers. `scale`, `planes` and `orientation` do the parts.
//! - `thumbnail`: the square -> a small JPEG.

mod colorimetry;
mod luma;
mod orientation;
mod pixels;
mod planes;
mod prepare;
mod scale;
mod thumbnail;

pub(super) use colorimetry::with_matrix;
pub(super) use luma::FrameMeasure;
pub(super) use orientation::Orientation;
pub(super) use pixels::pixels;
pub(super) use prepare::{normalise, normalise_clip, packed};
pub(super) use scale::Scaler;
pub(super) use thumbnail::{ANCHOR_PX, Thumbnails, shape};
