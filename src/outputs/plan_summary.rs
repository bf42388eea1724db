//! Summarises a plan: counts, shares, largest gap.

use std::collections::BTreeMap;
use std::path::Path;

use anchoring::plan::{Header, Line, Reason};
use anchoring::settings::BudgetSettings;
use anchoring::tier::{Prices, Tier, Tokens};
use anchoring::time::Nanos;
use anyhow::Context;
use serde_json::Value;

use super::plan;
use super::untrusted::Untrusted;

/// A plan at a glance.
#[derive(Debug)]
pub struct PlanSummary {
    /// Its first line.
    pub header: Header,
    /// How many anchors.
    pub anchors: u64,
    /// How many cue lines.
    pub cues: u64,
    /// Frames and tokens by tier and reason.
    pub shares: BTreeMap<(Tier, Reason), (u64, Tokens)>,
    /// Largest gap, including those to the start and the end of the recording.
    pub largest_gap: Nanos,
    /// Untrusted sound, if the plan has cues.
    pub untrusted: Untrusted,
}

/// Uncertainty from which on the sound is not trusted.
pub(crate) fn distrust(config: &Value) -> f64 {
    let given = config["budget"]["distrust"].as_f64();
    given.unwrap_or(BudgetSettings::default().distrust)
}

/// Reads and checks a plan, in constant memory.
///
/// # Errors
/// It cannot be read, or a line of it is wrong.
pub fn summarize(file: &Path, prices: Option<Prices>) -> anyhow::Result<PlanSummary> {
    let mut found: Option<PlanSummary> = None;
    let mut last = Nanos::ZERO;
    plan::read(file, prices, |line| match (line, &mut found) {
        (Line::Plan(header), found) => {
            *found = Some(PlanSummary {
                header,
                anchors: 0,
                cues: 0,
                shares: BTreeMap::new(),
                largest_gap: Nanos::ZERO,
                untrusted: Untrusted::default(),
            });
        }
        (Line::Anchor(_), Some(found)) => found.anchors += 1,
        (Line::Cue(cue), Some(found)) => {
            found.cues += 1;
            let distrust = distrust(&found.header.config);
            found.untrusted.hear(cue.pts, cue.uncertainty, distrust);
        }
        (Line::Frame(entry), Some(found)) => {
            let share = found.shares.entry((entry.tier, entry.reason)).or_default();
            *share = (share.0 + 1, share.1 + entry.tokens);
            found.largest_gap = found.largest_gap.max(entry.planned - last);
            last = entry.planned;
        }
        _ => {}
    })?;
    let mut found = found.with_context(|| format!("{} has no header", file.display()))?;
    found.largest_gap = found.largest_gap.max(found.header.duration - last);
    Ok(found)
}
