//! `earmark eval`: plans against labels.
//!
//! # Layout
//!
//! - [`labels`]: CSV -> events; KitchenMix's notes.
//! - `pairs`: which plan belongs to which labels.
//! - [`measure`]: one recording: who hits what; onsets, calibration.
//! - `oracle`: the most that can be hit.
//! - [`bootstrap`]: intervals by resampling.
//! - [`results`]: all recordings together.
//! - `text`, `plot`: results for people.

pub mod bootstrap;
pub mod labels;
pub mod measure;
mod oracle;
mod pairs;
mod plot;
pub mod results;
pub(crate) mod text;

use anyhow::Context;
use serde_json::json;

use crate::cli::EvalAnchors;
use crate::commands::{Output, print};

/// Resampling begins here; the same plans give the same intervals.
const SEED: u64 = 1;

/// `earmark eval anchors`.
///
/// # Errors
/// A plan or its labels cannot be read, or there is nothing to measure.
pub fn anchors(args: &EvalAnchors, output: Output) -> anyhow::Result<()> {
    let pairs = pairs::read(&args.plan, &args.labels, args.tier)?;
    let results = results::measure(&pairs, SEED);
    if let Some(file) = &args.plot {
        std::fs::write(file, plot::svg(&results))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if output.json {
        let mut value = serde_json::to_value(&results)?;
        value["ok"] = json!(true);
        return print(&format!("{value:#}"));
    }
    print(results.to_string().trim_end())
}
