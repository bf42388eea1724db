//! Scores plans against labelled events.
//!
//! # Layout
//!
//! - [`labels`]: reads labels from CSV, and KitchenMix's notes.
//! - `pairs`: pairs plans with labels.
//! - [`measure`]: scores one recording: hits, onsets, calibration.
//! - `oracle`: the most events that can be hit.
//! - [`bootstrap`]: intervals by resampling.
//! - [`results`]: combines all recordings.
//! - `text`, `plot`: results for people.
//! - `curve`, `curve_plot`: events shown against tokens.

pub mod bootstrap;
pub(crate) mod curve;
mod curve_plot;
pub mod labels;
pub mod measure;
mod oracle;
mod pairs;
mod plot;
pub mod results;
pub(crate) mod text;

use std::path::PathBuf;

use anchoring::tier::Tier;

use results::Results;

pub(crate) use curve_plot::svg as curve_svg;
pub(crate) use plot::svg;

/// Seed of the resampling; the same plans give the same intervals.
const SEED: u64 = 1;

/// Scores plans against labels, paired by name; frames of `tier` or above count.
///
/// # Errors
/// A plan or its labels cannot be read, or there is nothing to measure.
pub fn anchors(
    plans: &[PathBuf],
    labels: &[PathBuf],
    tier: Option<Tier>,
) -> anyhow::Result<Results> {
    let pairs = pairs::read(plans, labels, tier)?;
    Ok(results::measure(&pairs, SEED))
}
