//! Events shown against tokens: replans the cues of one listening pass at many budgets, beside even and random frames.

use std::fmt;
use std::path::{Path, PathBuf};

use anchoring::cue::Cue;
use anchoring::plan::{Line, PlanError};
use anchoring::planning::global::GlobalPlanner;
use anchoring::planning::uniform::evenly_over;
use anchoring::settings::{Policy, Settings};
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;

use super::measure::Recording;
use super::{oracle, pairs};
use crate::failure::Usage;
use crate::outputs::plan;

/// Most budgets at once.
const MOST: usize = 100;

/// All results. Means are over recordings, each counting the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Curve {
    /// Number of recordings.
    pub recordings: usize,
    /// Labelled events.
    pub events: usize,
    /// A point for each budget and tier: by budget, the lowest tier first.
    pub points: Vec<Point>,
}

/// Share of events shown at a tier or above, for a budget spent on frames of this tier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Point {
    /// The budget.
    pub tokens_per_s: f64,
    /// The tier of frames at anchors, of even and of random ones.
    pub tier: Tier,
    /// By frames at anchors; `None` if the budget does not pay for the largest gap.
    pub anchors: Option<f64>,
    /// By evenly spaced frames.
    pub even: f64,
    /// By randomly placed frames: the expectation.
    pub random: f64,
}

/// Evaluates plans with cues, and their labels, at these budgets.
///
/// # Errors
/// A plan or its labels cannot be read, or the plan has no cues.
pub(crate) fn curve(
    plans: &[PathBuf],
    labels: &[PathBuf],
    tokens_per_s: &[f64],
) -> anyhow::Result<Curve> {
    let budgets = budgets(tokens_per_s)?;
    let pairs = pairs::read(plans, labels, Some(Tier::Low))?;
    let n = pairs.len().max(1) as f64;
    let mut points: Vec<Point> = budgets
        .iter()
        .flat_map(|&tokens_per_s| {
            Tier::ALL.map(|tier| Point {
                tokens_per_s,
                tier,
                anchors: Some(0.0),
                even: 0.0,
                random: 0.0,
            })
        })
        .collect();
    for (path, pair) in plans.iter().zip(&pairs) {
        let recording = &pair.recording;
        let heard = RecordingCues::read(path)?;
        for point in &mut points {
            let own = heard.point(recording, point.tokens_per_s, point.tier)?;
            let both = point.anchors.zip(own.anchors);
            point.anchors = both.map(|(sum, own)| sum + own / n);
            point.even += own.even / n;
            point.random += own.random / n;
        }
    }
    Ok(Curve {
        recordings: pairs.len(),
        events: pairs.iter().map(|pair| pair.recording.events.len()).sum(),
        points,
    })
}

/// The budgets, ascending, without duplicates.
fn budgets(given: &[f64]) -> Result<Vec<f64>, Usage> {
    let mut budgets = given.to_vec();
    let wrong = |x: &&f64| !(0.001..=1e6).contains(*x);
    if let Some(wrong) = budgets.iter().find(wrong) {
        return Err(Usage(format!(
            "--tokens-per-s {wrong}: a budget lies in 0.001..=1000000 (did you give the budget of the whole recording?)"
        )));
    }
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    match budgets.len() {
        0 => Err(Usage("--tokens-per-s needs a budget, such as 49".into())),
        1..=MOST => Ok(budgets),
        n => Err(Usage(format!(
            "--tokens-per-s has {n} budgets; at most {MOST} at once"
        ))),
    }
}

/// The cues of a recording, and how its plan was made.
struct RecordingCues {
    cues: Vec<Cue>,
    settings: Settings,
}

impl RecordingCues {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let (mut cues, mut config) = (Vec::new(), Value::Null);
        plan::read(path, None, |line| match line {
            Line::Plan(header) => config = header.config,
            Line::Cue(cue) => cues.push(cue),
            _ => {}
        })?;
        let name = path.display();
        if cues.is_empty() {
            bail!("{name} has no cues to plan from: write it with `earmark plan --cues`");
        }
        if let Some(anchors) = config["anchors"].as_object_mut() {
            // Given cues of other sources are not planned again.
            anchors.remove("cues_from");
        }
        if let Some(budget) = config["budget"].as_object_mut() {
            // The mode of planning of the plan; here the whole recording is known.
            budget.remove("planning");
        }
        let part = |section: &str| config.get(section).cloned().unwrap_or_default();
        let settings = serde_json::json!({ "anchors": part("anchors"), "budget": part("budget") });
        let settings = match config.get("budget") {
            None => Settings::default(),
            Some(_) => serde_json::from_value(settings)
                .with_context(|| format!("{name}: its config has settings of another version"))?,
        };
        if !settings.anchors.class_offset_ms.is_empty() {
            bail!(
                "{name} was made with class_offset_ms, which cannot be planned again from cues: make it without"
            );
        }
        if !matches!(settings.budget.policy, Policy::Gated | Policy::AnchorsOnly) {
            bail!(
                "{name} was made by the policy {}, which takes no anchors: make it with gated",
                config["budget"]["policy"]
            );
        }
        Ok(Self { cues, settings })
    }

    /// The shares of one recording.
    fn point(&self, recording: &Recording, tokens_per_s: f64, tier: Tier) -> anyhow::Result<Point> {
        let prices: Prices = recording.prices;
        let mut settings = self.settings.clone();
        let budget = &mut settings.budget;
        budget.tokens_per_s = tokens_per_s;
        budget.anchor_tier = tier;
        // No tier costs more than the one that the budget is for.
        budget.untrusted_tier = budget.untrusted_tier.min(tier);
        budget.background_tier = budget.background_tier.min(tier);
        let tokens = settings.budget_of(recording.duration);
        let mut planner = GlobalPlanner::new(settings, prices).without_untaken();
        for cue in &self.cues {
            planner.push_cue(cue);
        }
        let anchors = match planner.finish(recording.duration, "", Value::Null) {
            Ok(plan) => {
                let fine = plan.entries.iter().filter(|entry| entry.tier >= tier);
                let frames: Vec<Nanos> = fine.map(|entry| entry.planned).collect();
                Some(share(recording, &frames))
            }
            Err(PlanError::TooSmall { .. }) => None,
            Err(other) => return Err(other.into()),
        };
        let n = tokens / prices.of(tier).max(1);
        let even: Vec<Nanos> = evenly_over(recording.duration, n, recording.duration)
            .into_iter()
            .flatten()
            .collect();
        let whole = recording.duration.seconds().max(1e-9);
        let spans = recording.events.iter().map(|event| event.span);
        let random: f64 = spans
            .map(|span| {
                let lasts = span.stop().min(recording.duration) - span.start();
                1.0 - (1.0 - (lasts.seconds() / whole).min(1.0)).powf(n as f64)
            })
            .sum();
        Ok(Point {
            tokens_per_s,
            tier,
            anchors,
            even: share(recording, &even),
            random: random / recording.events.len().max(1) as f64,
        })
    }
}

/// Share of the events that these frames, ascending, fall into.
fn share(recording: &Recording, frames: &[Nanos]) -> f64 {
    let spans = recording.events.iter().map(|event| event.span);
    let hit = spans.filter(|span| oracle::hit(frames, *span)).count();
    hit as f64 / recording.events.len().max(1) as f64
}

/// The name of a tier and all above.
pub(super) fn at_least(tier: Tier) -> &'static str {
    match tier {
        Tier::Low => "any tier",
        Tier::Base => "base or high tier",
        Tier::High => "high tier",
    }
}

impl Curve {
    /// The points as CSV.
    pub(crate) fn csv(&self) -> String {
        let mut text = String::from("tokens_per_s,tier,anchors,even,random\n");
        for point in &self.points {
            let anchors = point.anchors.map_or(String::new(), |x| format!("{x:.4}"));
            text.push_str(&format!(
                "{},{},{anchors},{:.4},{:.4}\n",
                point.tokens_per_s, point.tier, point.even, point.random
            ));
        }
        text
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "share of {} events seen, mean over {} recording{}; each budget spent on frames of one size",
            self.events,
            self.recordings,
            if self.recordings == 1 { "" } else { "s" }
        )?;
        write!(f, "{:>10}", "")?;
        for tier in Tier::ALL {
            write!(f, "   {:<23}", at_least(tier))?;
        }
        write!(f, "\n{:>10}", "tokens/s")?;
        for _ in Tier::ALL {
            write!(f, "   {:>7} {:>7} {:>7}", "anchors", "even", "random")?;
        }
        for row in self.points.chunks(Tier::ALL.len()) {
            write!(f, "\n{:>10}", row.first().map_or(0.0, |p| p.tokens_per_s))?;
            for point in row {
                let anchors = point.anchors.map_or("-".into(), |x| format!("{x:.3}"));
                write!(
                    f,
                    "   {anchors:>7} {:>7.3} {:>7.3}",
                    point.even, point.random
                )?;
            }
        }
        if self.points.iter().any(|point| point.anchors.is_none()) {
            write!(
                f,
                "\n-: this budget does not pay for the largest gap (max_gap_ms)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_in_order_and_in_range() {
        assert_eq!(budgets(&[49.0, 20.0, 49.0]).unwrap(), [20.0, 49.0]);
        assert!(budgets(&[]).is_err());
        for wrong in [0.0, -1.0, f64::NAN, 2e6] {
            assert!(budgets(&[wrong]).is_err(), "{wrong}");
        }
        let many: Vec<f64> = (1..=101).map(f64::from).collect();
        assert!(budgets(&many).is_err());
    }
}
