//! The summary of a run: frames, cost, time, file, warnings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anchoring::plan::Plan;
use anchoring::time::Nanos;
use gstearmark::h5;
use serde_json::{Value, json};

use super::play::Outcome;
use super::warnings::Warnings;
use crate::outputs::LeftOut;
use crate::terminal::{self, Output, grouped, shares_text, time, tokens_text};

/// Collects results and warnings during a run.
pub(super) struct RunLog {
    output: PathBuf,
    begun: Instant,
    passes: Vec<(&'static str, Duration)>,
    stages: BTreeMap<String, BTreeMap<String, u64>>,
    warnings: Warnings,
}

/// The summary of a run.
pub(crate) struct RunSummary {
    /// As text.
    pub text: String,
    /// As JSON, with more detail.
    pub value: Value,
}

impl RunSummary {
    pub(crate) fn print(&self, output: Output) -> anyhow::Result<()> {
        if output.json {
            terminal::print(&format!("{:#}", self.value))
        } else {
            terminal::print(&self.text)
        }
    }
}

impl RunLog {
    pub(super) fn new(output: &Path, begun: Instant) -> Self {
        Self {
            output: output.into(),
            begun,
            passes: Vec::new(),
            stages: BTreeMap::new(),
            warnings: Warnings::default(),
        }
    }

    /// Adds a warning.
    pub(super) fn warn(&self, text: impl Into<String>) {
        self.warnings.push(text);
    }

    /// The warnings, for others to add to.
    pub(super) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    pub(super) fn listened(&mut self, outcome: Outcome) {
        self.pass("listen and plan", outcome);
    }

    pub(super) fn looked(&mut self, outcome: Outcome) {
        self.pass(
            if self.passes.is_empty() {
                "one pass"
            } else {
                "decode, encode, write"
            },
            outcome,
        );
    }

    fn pass(&mut self, name: &'static str, outcome: Outcome) {
        self.passes.push((name, outcome.took));
        for (stage, numbers) in outcome.stages {
            let all = self.stages.entry(stage).or_default();
            for (name, number) in numbers {
                *all.entry(name).or_default() += number;
            }
        }
    }

    /// Passes so far, for the file: name, seconds, and busy seconds of each stage.
    pub(super) fn times_so_far(&self) -> Value {
        let pass = |(name, took): &(&'static str, Duration)| {
            let busy: BTreeMap<_, _> = self.busy().into_iter().collect();
            json!({ "pass": name, "seconds": took.as_secs_f64(), "busy": busy })
        };
        self.passes.iter().map(pass).collect()
    }

    fn busy(&self) -> Vec<(&str, f64)> {
        let busy = |stage: &'static str| {
            Some((stage, *self.stages.get(stage)?.get("busy-ns")? as f64 / 1e9))
        };
        ["listen", "gate", "pick", "encode", "write"]
            .into_iter()
            .filter_map(busy)
            .collect()
    }

    /// Number of jumps of the gate.
    fn jumps(&self) -> u64 {
        let gate = self.stages.get("gate");
        gate.and_then(|gate| gate.get("jumps").copied())
            .unwrap_or(0)
    }

    fn timing(&self, duration: Nanos) -> (f64, f64) {
        let took = self.begun.elapsed().as_secs_f64();
        (took, duration.seconds() / took.max(1e-6))
    }

    /// The summary of `earmark run`, from the file.
    pub(super) fn finish(self) -> anyhow::Result<RunSummary> {
        let file = h5::read_summary(&self.output)?;
        for warning in &file.warnings {
            self.warn(warning);
        }
        let duration = Nanos::new(file.duration_ns);
        let (took, speed) = self.timing(duration);
        let shares = file
            .shares
            .iter()
            .map(|share| (share.tier, share.reason, share.frames));
        let mut lines = vec![
            format!("recording  {}, {duration}", file.video_id),
            format!(
                "anchors    {}{}",
                grouped(file.anchors),
                labels(&file.top_labels)
            ),
            format!("frames     {}", shares_text(shares)),
            format!(
                "spent      {}",
                tokens_text(file.spent_tokens, file.budget_tokens)
            ),
            format!(
                "decoded    {} of {} frames{}",
                grouped(file.access_units_passed),
                grouped(file.access_units_seen),
                match self.jumps() {
                    0 => String::new(),
                    jumps => format!(", jumped over the rest ({} times)", grouped(jumps)),
                }
            ),
        ];
        if !file.decoder.is_empty() {
            lines.push(format!(
                "used       {} for decoding, {} for encoding",
                file.decoder, file.provider
            ));
        }
        lines.push(self.times(took, speed));
        lines.push(format!("written    {}", self.output.display()));
        if file.frames_missed > 0 {
            self.warn(format!(
                "{} planned frames are missing: the recording is damaged or has no frame there",
                grouped(file.frames_missed)
            ));
        }
        let mut value = self.json(took, speed);
        value["features"] = json!(file);
        value["jumps"] = json!(self.jumps());
        Ok(self.with_warnings(lines, value))
    }

    /// The summary of `earmark plan`.
    pub(super) fn finish_plan(self, plan: &Plan) -> RunSummary {
        let header = &plan.header;
        let (took, speed) = self.timing(header.duration);
        let mut shares: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for entry in &plan.entries {
            let share = shares.entry((entry.tier, entry.reason)).or_default();
            *share = (share.0 + 1, share.1 + entry.tokens);
        }
        let mut value = self.json(took, speed);
        {
            let shares: Vec<_> = shares.iter().map(|((tier, reason), (frames, tokens))| json!({ "tier": tier, "reason": reason, "frames": frames, "tokens": tokens })).collect();
            value["plan"] = json!({
                "video_id": header.video_id, "duration_ns": header.duration, "budget_tokens": header.budget_tokens,
                "spent_tokens": header.spent_tokens, "anchors": plan.anchors.len(), "frames": plan.entries.len(), "shares": shares,
            });
        }
        let kept = u64::from(header.candidates_per_min);
        let left_out = LeftOut::new(kept, header.budget_tokens, &plan.untaken);
        value["plan"]["not_taken"] = json!(left_out);
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for anchor in plan
            .anchors
            .iter()
            .filter(|anchor| !anchor.label.is_empty())
        {
            *counts.entry(&anchor.label).or_default() += 1;
        }
        let mut top: Vec<_> = counts
            .into_iter()
            .map(|(label, n)| (label.to_owned(), n))
            .collect();
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut lines = vec![
            format!("recording  {}, {}", header.video_id, header.duration),
            format!(
                "anchors    {}{}",
                grouped(plan.anchors.len() as u64),
                labels(&top)
            ),
            format!(
                "frames     {}",
                shares_text(
                    shares
                        .iter()
                        .map(|((tier, reason), (frames, _))| (*tier, *reason, *frames))
                )
            ),
            format!(
                "planned    {}",
                tokens_text(header.spent_tokens, header.budget_tokens)
            ),
            self.times(took, speed),
            format!("written    {}", self.output.display()),
        ];
        if let Some(text) = left_out.text() {
            lines.insert(2, format!("not taken  {text}"));
        }
        self.with_warnings(lines, value)
    }

    fn times(&self, took: f64, speed: f64) -> String {
        let passes: Vec<_> = self
            .passes
            .iter()
            .map(|(name, took)| format!("{name} {}", time(took.as_secs_f64())))
            .collect();
        let busy: Vec<_> = self
            .busy()
            .into_iter()
            .map(|(stage, seconds)| format!("{stage} {seconds:.2} s"))
            .collect();
        let busy = if busy.is_empty() {
            String::new()
        } else {
            format!("\nbusy       {}", busy.join(", "))
        };
        format!(
            "time       {} ({speed:.1} x real time): {}{busy}",
            time(took),
            passes.join(", ")
        )
    }

    fn json(&self, took: f64, speed: f64) -> Value {
        json!({
            "ok": true,
            "output": self.output.to_string_lossy(),
            "seconds": took,
            "times_real_time": speed,
            "passes": self.passes.iter().map(|(name, took)| json!({ "name": name, "seconds": took.as_secs_f64() })).collect::<Vec<_>>(),
            "stages": self.stages,
            "warnings": self.warnings.all(),
        })
    }

    fn with_warnings(&self, mut lines: Vec<String>, value: Value) -> RunSummary {
        let warnings = self.warnings.all();
        lines.extend(
            warnings
                .iter()
                .map(|warning| format!("warning    {warning}")),
        );
        RunSummary {
            text: lines.join("\n"),
            value,
        }
    }
}

/// ": Chop 3, Speech 1", at most five.
fn labels(top: &[(String, u64)]) -> String {
    let named: Vec<_> = top
        .iter()
        .filter(|(label, _)| !label.is_empty())
        .take(5)
        .map(|(label, n)| format!("{label} {n}"))
        .collect();
    if named.is_empty() {
        String::new()
    } else {
        format!(" (most often {})", named.join(", "))
    }
}
