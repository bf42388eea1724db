//! `earmark eval onsets`: F-measure of onsets, as in mir_eval (Raffel et al., 2014; Böck et al., 2012).
//!
//! An estimated onset can be matched to a reference onset no farther away than the collar, one to one; the matching is the largest possible.
//! If either list is empty, all figures are 0.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::Scored;
use crate::cli::EvalOnsets;
use crate::datasets::text;

/// The largest time that mir_eval accepts, seconds: larger ones are probably milliseconds.
const LATEST: f64 = 30_000.0;

/// Figures at one collar.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score {
    matched: usize,
    f_measure: f64,
    precision: f64,
    recall: f64,
}

/// Size of the largest matching. Both lists ascend and the collar is constant, so taking the first possible match is optimal.
fn matched(reference: &[f64], estimated: &[f64], collar: f64) -> usize {
    let (mut next, mut count) = (0, 0);
    for at in estimated {
        while next < reference.len() && reference[next] < at - collar {
            next += 1;
        }
        if next < reference.len() && reference[next] <= at + collar {
            next += 1;
            count += 1;
        }
    }
    count
}

fn score(reference: &[f64], estimated: &[f64], collar: f64) -> Score {
    let matched = matched(reference, estimated, collar);
    let share = |of: usize| match of {
        0 => 0.0,
        of => matched as f64 / of as f64,
    };
    let (precision, recall) = (share(estimated.len()), share(reference.len()));
    let f_measure = match precision + recall {
        0.0 => 0.0,
        sum => 2.0 * precision * recall / sum,
    };
    Score {
        matched,
        f_measure,
        precision,
        recall,
    }
}

/// The times of a file, ascending: the first field of each line, seconds. Lines that begin with # are comments.
fn times(path: &Path) -> anyhow::Result<Vec<f64>> {
    let name = path.display();
    let mut times: Vec<f64> = Vec::new();
    for (i, line) in text::text(path)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let first = line.split([',', '\t', ' ']).next().unwrap_or_default();
        let Some(at) = first
            .parse()
            .ok()
            .filter(|at: &f64| at.is_finite() && *at >= 0.0)
        else {
            bail!(
                "{name} line {}: the time is `{}`: must be seconds, finite and not negative{}",
                i + 1,
                first.chars().take(100).collect::<String>(),
                if i == 0 {
                    " (a header? begin it with #)"
                } else {
                    ""
                }
            );
        };
        if at > LATEST {
            bail!(
                "{name} line {}: the time is {at} s: must not be after {LATEST} s (did you give it in milliseconds?)",
                i + 1
            );
        }
        if let Some(before) = times.last().filter(|before| **before > at) {
            bail!(
                "{name} line {}: the time {at} s comes after {before} s: times must ascend",
                i + 1
            );
        }
        times.push(at);
    }
    Ok(times)
}

/// `earmark eval onsets`.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn run(args: &EvalOnsets) -> anyhow::Result<Scored> {
    let reference = times(&args.reference)?;
    let estimated = times(&args.estimated)?;
    if reference.is_empty() {
        bail!("{} has no onsets", args.reference.display());
    }
    let warnings: Vec<String> = Some(&args.estimated)
        .filter(|_| estimated.is_empty())
        .map(|file| format!("{} has no onsets: every figure is 0", file.display()))
        .into_iter()
        .collect();
    let scores: Vec<(f64, Score)> = args
        .collar_ms
        .iter()
        .map(|ms| (*ms, score(&reference, &estimated, ms / 1e3)))
        .collect();
    let value = {
        let collars: Vec<_> = scores
            .iter()
            .map(|(ms, s)| {
                json!({
                    "collar_ms": ms, "F-measure": s.f_measure, "Precision": s.precision, "Recall": s.recall, "matched": s.matched,
                })
            })
            .collect();
        let mut value = json!({
            "ok": true, "reference": reference.len(), "estimated": estimated.len(), "collars": collars, "warnings": warnings,
        });
        if let [(ms, s)] = scores[..] {
            value["collar_ms"] = json!(ms);
            value["F-measure"] = json!(s.f_measure);
            value["Precision"] = json!(s.precision);
            value["Recall"] = json!(s.recall);
        }
        value
    };
    let mut text = format!(
        "{} onsets estimated, {} in the reference\n\ncollar, ms  F-measure  precision  recall  matched\n",
        estimated.len(),
        reference.len()
    );
    for (ms, s) in &scores {
        let _ = writeln!(
            text,
            "{ms:>10}  {:>9.4}  {:>9.4}  {:>6.4}  {:>7}",
            s.f_measure, s.precision, s.recall, s.matched
        );
    }
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored { value, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matching_is_the_largest() {
        // The nearest pair (2.0 with 2.0) would leave two unmatched.
        assert_eq!(matched(&[1.0, 2.0], &[2.0, 3.0], 1.0), 2);
        assert_eq!(matched(&[1.0, 1.0, 1.0], &[1.0, 1.0], 0.1), 2);
        assert_eq!(matched(&[1.0], &[1.25], 0.25), 1);
        assert_eq!(matched(&[1.0], &[1.26], 0.25), 0);
    }

    #[test]
    fn without_matches_all_is_zero_and_not_nan() {
        let score = score(&[1.0], &[5.0], 0.05);
        assert_eq!(
            (score.f_measure, score.precision, score.recall),
            (0.0, 0.0, 0.0)
        );
    }
}
