//! The results as a table: accuracy with intervals over recordings, differences from the first row, cost.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::run::{Method, Results};
use super::score::Outcome;
use super::set::Set;
use crate::eval::bootstrap::{Estimate, estimate};
use crate::terminal::grouped;

/// Seed of the resampling; the same answers give the same intervals.
const SEED: u64 = 1;

struct Row<'a> {
    way: &'a Method,
    accuracy: Option<Estimate>,
    /// Differences from the first row.
    difference: Option<Estimate>,
    by_type: BTreeMap<String, (u64, u64)>,
    unanswered: u64,
    /// Shares of answers whose evidence overlaps the label (of those with one), or lies in windows of anchors.
    in_label: Option<f64>,
    in_anchors: f64,
    tokens: u64,
    /// Whether every answer cost the same.
    equal: bool,
    calls: u64,
    localizer_calls: u64,
    localizer_tokens: u64,
    server_tokens: u64,
    server_ms: f64,
}

/// The table.
pub(super) struct Table<'a> {
    rows: Vec<Row<'a>>,
    questions: usize,
    recordings: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(results: &'a Results, set: &Set) -> Self {
        let kinds: Vec<&str> = set
            .recordings
            .iter()
            .flat_map(|one| one.questions.iter().map(|question| question.kind.as_str()))
            .collect();
        // Questions of one recording are not independent: recordings are resampled.
        let mut units: Vec<Vec<usize>> = Vec::new();
        let mut first = 0;
        for one in &set.recordings {
            units.push((first..first + one.questions.len()).collect());
            first += one.questions.len();
        }
        let base = results.outcomes.first();
        let rows = results
            .ways
            .iter()
            .zip(&results.outcomes)
            .map(|(way, outcomes)| {
                let right =
                    |outcomes: &[Outcome], at: usize| f64::from(u8::from(outcomes[at].right));
                let found = estimate(&units, SEED, |sample| {
                    let (mut sum, mut difference, mut n) = (0.0, 0.0, 0.0);
                    for at in sample.iter().copied().flatten() {
                        let own = right(outcomes, *at);
                        sum += own;
                        difference += own - base.map_or(0.0, |base| right(base, *at));
                        n += 1.0;
                    }
                    vec![sum / n, difference / n]
                });
                Row::new(way, outcomes, &kinds, found)
            });
        Self {
            rows: rows.collect(),
            questions: first,
            recordings: set.recordings.len(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "questions": self.questions, "recordings": self.recordings, "rows": rows })
    }

    pub(super) fn text(&self) -> String {
        let head = [
            "sampling",
            "prompt",
            "frames",
            "tokens",
            "accuracy",
            "beside the first",
            "in label",
            "in anchors",
            "calls",
            "localizer",
            "server's count",
            "s",
        ];
        let mut lines: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
        lines.extend(self.rows.iter().map(Row::line));
        let mut text = format!(
            "{} questions about {} recordings; tokens, calls, count and seconds are per question, intervals 95 % over recordings\n\n{}",
            self.questions,
            self.recordings,
            aligned(&lines)
        );
        let kinds: Vec<&String> = self
            .rows
            .first()
            .map(|row| row.by_type.keys().collect())
            .unwrap_or_default();
        if kinds.len() > 1 {
            let mut lines = vec![["sampling", "prompt", "frames"].map(str::to_owned).to_vec()];
            lines[0].extend(kinds.iter().map(|kind| (*kind).clone()));
            for row in &self.rows {
                let mut line = row.name().to_vec();
                line.extend(kinds.iter().map(|kind| {
                    let (right, n) = row.by_type.get(*kind).copied().unwrap_or_default();
                    format!("{} ({n})", percent(right as f64 / n.max(1) as f64))
                }));
                lines.push(line);
            }
            text.push_str(&format!(
                "\naccuracy by type of question (how many)\n\n{}",
                aligned(&lines)
            ));
        }
        for row in self.rows.iter().filter(|row| row.unanswered > 0) {
            text.push_str(&format!(
                "{}: {} questions have no answer and count as wrong\n",
                row.way.name(),
                row.unanswered
            ));
        }
        text
    }
}

impl<'a> Row<'a> {
    fn new(
        way: &'a Method,
        outcomes: &[Outcome],
        kinds: &[&str],
        found: Vec<Option<Estimate>>,
    ) -> Self {
        let mut by_type: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (outcome, kind) in outcomes.iter().zip(kinds) {
            let name = if kind.is_empty() { "(none)" } else { kind };
            let count = by_type.entry(name.into()).or_default();
            count.0 += u64::from(outcome.right);
            count.1 += 1;
        }
        let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum();
        let answered: Vec<&Outcome> = outcomes
            .iter()
            .filter(|outcome| outcome.unanswered.is_none())
            .collect();
        let labelled: Vec<bool> = answered
            .iter()
            .filter_map(|outcome| outcome.in_label)
            .collect();
        let share = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        let first = answered.first().map_or(0, |outcome| outcome.tokens);
        let mut found = found.into_iter();
        Self {
            way,
            accuracy: found.next().flatten(),
            difference: found.next().flatten(),
            by_type,
            unanswered: (outcomes.len() - answered.len()) as u64,
            in_label: (!labelled.is_empty())
                .then(|| share(labelled.iter().filter(|is| **is).count(), labelled.len())),
            in_anchors: share(
                answered.iter().filter(|outcome| outcome.in_anchors).count(),
                answered.len(),
            ),
            tokens: sum(|outcome| outcome.tokens),
            equal: answered.iter().all(|outcome| outcome.tokens == first),
            calls: sum(|outcome| outcome.calls),
            localizer_calls: sum(|outcome| outcome.localizer_calls),
            localizer_tokens: sum(|outcome| outcome.localizer_tokens),
            server_tokens: sum(|outcome| outcome.server_tokens),
            server_ms: outcomes.iter().map(|outcome| outcome.server_ms).sum(),
        }
    }

    fn asked(&self) -> u64 {
        self.by_type.values().map(|(_, n)| n).sum()
    }

    fn json(&self) -> Value {
        let kinds: BTreeMap<&String, Value> = self
            .by_type
            .iter()
            .map(|(kind, (right, n))| (kind, json!({ "right": right, "questions": n })))
            .collect();
        json!({
            "sampling": self.way.sampling.name(),
            "prompt": self.way.template.name,
            "tier": self.way.tier,
            "frames": self.way.frames,
            "accuracy": self.accuracy,
            "difference_from_first": self.difference,
            "by_type": kinds,
            "unanswered": self.unanswered,
            "evidence": { "in_label": self.in_label, "in_anchors": self.in_anchors },
            "tokens": self.tokens,
            "tokens_equal": self.equal,
            "calls": self.calls,
            "localizer": { "calls": self.localizer_calls, "tokens": self.localizer_tokens },
            "server_tokens": self.server_tokens,
            "server_s": (self.server_ms / 1e3 * 1e3).round() / 1e3,
        })
    }

    fn name(&self) -> [String; 3] {
        [
            self.way.sampling.name().into(),
            self.way.template.name.clone(),
            format!("{} {}", self.way.frames, self.way.tier),
        ]
    }

    fn line(&self) -> Vec<String> {
        let n = self.asked().max(1);
        let interval = |estimate: &Option<Estimate>, signed: bool| match estimate {
            Some(Estimate {
                value,
                low: Some(low),
                high: Some(high),
            }) if signed => {
                format!(
                    "{:+.1} ({:+.1} to {:+.1})",
                    100.0 * value,
                    100.0 * low,
                    100.0 * high
                )
            }
            Some(Estimate {
                value,
                low: Some(low),
                high: Some(high),
            }) => {
                format!(
                    "{} ({:.1} to {:.1})",
                    percent(*value),
                    100.0 * low,
                    100.0 * high
                )
            }
            Some(Estimate { value, .. }) if signed => format!("{:+.1}", 100.0 * value),
            Some(Estimate { value, .. }) => percent(*value),
            None => "-".into(),
        };
        let mut line = self.name().to_vec();
        line.extend([
            format!(
                "{}{}",
                grouped(self.tokens / n),
                if self.equal { "" } else { " *" }
            ),
            interval(&self.accuracy, false),
            interval(&self.difference, true),
            self.in_label.map_or_else(|| "-".into(), percent),
            percent(self.in_anchors),
            format!("{:.1}", self.calls as f64 / n as f64),
            grouped(self.localizer_tokens / n),
            grouped(self.server_tokens / n),
            format!("{:.2}", self.server_ms / 1e3 / n as f64),
        ]);
        line
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Columns side by side.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
