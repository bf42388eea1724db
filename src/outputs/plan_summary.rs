//! Summarises a plan: counts, shares, largest gap.

use std::collections::BTreeMap;
use std::path::Path;

use anchoring::plan::{Clip, Header, Line, Reason};
use anchoring::settings::BudgetSettings;
use anchoring::tier::{Prices, Tier, Tokens};
use anchoring::time::Nanos;
use anyhow::Context;
use serde_json::Value;

use super::plan;
use super::untaken::LeftOut;
use super::untrusted::Untrusted;

/// Most candidates that are counted: twice what a plan of a hundred hours keeps.
const MOST: usize = 400_000;

/// The summary of a plan.
#[derive(Debug)]
pub struct PlanSummary {
    /// Its first line.
    pub header: Header,
    /// Number of anchors.
    pub anchors: u64,
    /// Number of cue lines.
    pub cues: u64,
    /// Frames and tokens by tier and reason.
    pub shares: BTreeMap<(Tier, Reason), (u64, Tokens)>,
    /// Largest gap, including those to the start and the end of the recording.
    pub largest_gap: Nanos,
    /// Candidates that were not taken.
    pub left_out: LeftOut,
    /// Untrusted sound, if the plan has cues.
    pub untrusted: Untrusted,
}

/// Uncertainty at which the sound stops being trusted.
pub(crate) fn distrust(config: &Value) -> f64 {
    let given = config["budget"]["distrust"].as_f64();
    given.unwrap_or(BudgetSettings::default().distrust)
}

/// Reads and checks a plan, in bounded memory.
///
/// # Errors
/// It cannot be read, or a line of it is wrong.
pub fn summarize(file: &Path, prices: Option<Prices>) -> anyhow::Result<PlanSummary> {
    let mut found: Option<PlanSummary> = None;
    let mut last = Nanos::ZERO;
    let mut untaken = Vec::new();
    plan::read(file, prices, |line| match (line, &mut found) {
        (Line::Plan(header), found) => {
            *found = Some(PlanSummary {
                header,
                anchors: 0,
                cues: 0,
                shares: BTreeMap::new(),
                largest_gap: Nanos::ZERO,
                left_out: LeftOut::default(),
                untrusted: Untrusted::default(),
            });
        }
        (Line::Anchor(_), Some(found)) => found.anchors += 1,
        (Line::Candidate(candidate), Some(_)) if untaken.len() < MOST => untaken.push(candidate),
        (Line::Cue(cue), Some(found)) => {
            found.cues += 1;
            let distrust = distrust(&found.header.config);
            found.untrusted.hear(cue.pts, cue.uncertainty, distrust);
        }
        (Line::Frame(entry) | Line::Clip(Clip { entry, .. }), Some(found)) => {
            let share = found.shares.entry((entry.tier, entry.reason)).or_default();
            *share = (share.0 + 1, share.1 + entry.tokens);
            found.largest_gap = found.largest_gap.max(entry.planned - last);
            last = entry.planned;
        }
        _ => {}
    })?;
    let mut found = found.with_context(|| format!("{} has no header", file.display()))?;
    found.largest_gap = found.largest_gap.max(found.header.duration - last);
    let header = &found.header;
    let kept = u64::from(header.candidates_per_min);
    found.left_out = LeftOut::new(kept, header.budget_tokens, &untaken);
    Ok(found)
}
