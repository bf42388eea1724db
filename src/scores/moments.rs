//! `earmark eval moments`: moment retrieval and highlight detection on QVHighlights, as in its authors' scorer (Lei et al., 2021).
//!
//! R1: the share of queries whose first window reaches an IoU with the nearest true window. mAP: of the first ten windows, by score, averaged
//! over queries. Both also for true windows of up to 10 s (short), 10 to 30 s (middle) and longer (long), for queries that have such windows.
//! Highlights: AP and the best clip, against each judge, where a clip counts from Fair, Good or VeryGood on. All in percent, rounded to
//! hundredths, as the scorer prints them.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::Scored;
use super::precision::{ScoredSpan, Span, average_precision, iou};
use crate::cli::EvalMoments;
use crate::datasets::qvhighlights::{self, JUDGES, Predicted, Query};

/// Windows of a query that count.
const MOST_WINDOWS: usize = 10;
/// Names of ranges, and the lengths of true windows in them, seconds: above the first, up to the second; without, all count.
const RANGES: [(&str, Option<(f64, f64)>); 4] = [
    ("full", None),
    ("long", Some((30.0, 150.0))),
    ("middle", Some((10.0, 30.0))),
    ("short", Some((0.0, 10.0))),
];
/// The grade that makes a clip a highlight.
const LEVELS: [(&str, u8); 3] = [("Fair", 2), ("Good", 3), ("VeryGood", 4)];
/// Queries to list.
const NAMED: usize = 10;

/// IoU thresholds 0.5, 0.55, …, 0.95, with their names.
fn thresholds() -> Vec<(String, f64)> {
    (0..10)
        .map(|i| f64::from(50 + 5 * i) / 100.0)
        .map(|t| (t.to_string(), t))
        .collect()
}

/// Percent, rounded to hundredths; none if there is nothing to average.
fn percent(share: f64) -> Value {
    let rounded = format!("{:.2}", 100.0 * share);
    json!(rounded.parse::<f64>().ok().filter(|x| x.is_finite()))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / count as f64
}

/// A query's true windows and the predicted ones.
type Pair<'a> = (Vec<Span>, &'a [(f64, f64, f64)]);

/// Figures of moment retrieval over some queries.
fn retrieval(pairs: &[Pair<'_>]) -> Value {
    let thresholds = thresholds();
    let at: Vec<f64> = thresholds.iter().map(|(_, t)| *t).collect();
    let precisions: Vec<Vec<f64>> = pairs
        .iter()
        .map(|(truth, windows)| {
            let first = &windows[..windows.len().min(MOST_WINDOWS)];
            let mut found: Vec<ScoredSpan> = first
                .iter()
                .map(|(start, stop, score)| ScoredSpan {
                    video: 0,
                    span: (*start, *stop),
                    score: *score,
                })
                .collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            average_precision(&[(0, truth.clone())].into(), &found, &at)
        })
        .collect();
    let nearest: Vec<f64> = pairs
        .iter()
        .map(|(truth, windows)| {
            let first = windows.first().map_or((0.0, 0.0), |w| (w.0, w.1));
            truth
                .iter()
                .map(|span| iou(first, *span))
                .fold(0.0, f64::max)
        })
        .collect();
    let (mut map, mut r1) = (Map::new(), Map::new());
    let mut averages = Vec::new();
    for (i, (name, threshold)) in thresholds.iter().enumerate() {
        let average = mean(precisions.iter().map(|ap| ap[i]));
        averages.push(average);
        map.insert(name.clone(), percent(average));
        let reached = nearest
            .iter()
            .map(|iou| f64::from(u8::from(iou >= threshold)));
        r1.insert(name.clone(), percent(mean(reached)));
    }
    map.insert("average".into(), percent(mean(averages.into_iter())));
    json!({ "MR-mAP": map, "MR-R1": r1 })
}

/// AP of clips by one judge: the mean of the interpolated precision at each score that finds a highlight.
fn clip_precision(truth: &[bool], scores: &[f64]) -> f64 {
    let all = truth.iter().filter(|is| **is).count();
    if all == 0 || all == truth.len() {
        return if all == 0 { 0.0 } else { 1.0 };
    }
    // Clips without a score get 0; scores without a clip are ignored.
    let score = |i: usize| scores.get(i).copied().unwrap_or(0.0);
    let mut order: Vec<usize> = (0..truth.len()).collect();
    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    // Clips of equal score come together.
    let mut steps: Vec<(bool, f64)> = Vec::new();
    let (mut right, mut taken) = (0, 0);
    while taken < order.len() {
        let before = right;
        let same = score(order[taken]);
        while taken < order.len() && score(order[taken]) == same {
            right += usize::from(truth[order[taken]]);
            taken += 1;
        }
        steps.push((right > before, right as f64 / taken as f64));
    }
    let mut best = 0.0_f64;
    for step in steps.iter_mut().rev() {
        best = best.max(step.1);
        step.1 = best;
    }
    mean(steps.iter().filter(|step| step.0).map(|step| step.1))
}

/// Figures of highlight detection for a lowest grade.
fn highlights(pairs: &[(&Query, &[f64])], least: u8) -> Value {
    let mut precisions = Vec::new();
    let mut hits = Vec::new();
    for (query, scores) in pairs {
        for judge in 0..JUDGES {
            let truth: Vec<bool> = query
                .saliency
                .iter()
                .map(|clip| clip[judge] >= least)
                .collect();
            precisions.push(clip_precision(&truth, scores));
        }
        // The first of the best.
        let best =
            (0..scores.len()).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
        let hit = query
            .saliency
            .get(best)
            .is_some_and(|clip| clip.iter().any(|score| *score >= least));
        hits.push(f64::from(u8::from(hit)));
    }
    json!({ "HL-mAP": percent(mean(precisions.into_iter())), "HL-Hit1": percent(mean(hits.into_iter())) })
}

/// A query and its predicted windows: start, stop, score.
type Answered<'a> = (&'a Query, &'a [(f64, f64, f64)]);

/// The figures of the authors' scorer, under its names.
fn score(queries: &[Query], predicted: &HashMap<i64, &Predicted>) -> Map<String, Value> {
    let mut all = Map::new();
    let mut brief = Map::new();
    let windows: Vec<Answered<'_>> = queries
        .iter()
        .filter_map(|query| Some((query, predicted.get(&query.id)?.windows.as_deref()?)))
        .collect();
    if !windows.is_empty() {
        for (name, range) in RANGES {
            let inside = |span: &&Span| {
                range.is_none_or(|(over, upto)| span.1 - span.0 > over && span.1 - span.0 <= upto)
            };
            let pairs: Vec<Pair<'_>> = windows
                .iter()
                .map(|(query, windows)| {
                    (
                        query
                            .windows
                            .iter()
                            .filter(inside)
                            .copied()
                            .collect::<Vec<_>>(),
                        *windows,
                    )
                })
                .filter(|(truth, _)| !truth.is_empty())
                .collect();
            let figures = retrieval(&pairs);
            brief.insert(
                format!("MR-{name}-mAP"),
                figures["MR-mAP"]["average"].clone(),
            );
            if range.is_none() {
                for t in ["0.5", "0.75"] {
                    brief.insert(format!("MR-full-mAP@{t}"), figures["MR-mAP"][t].clone());
                }
                for t in ["0.5", "0.7"] {
                    brief.insert(format!("MR-full-R1@{t}"), figures["MR-R1"][t].clone());
                }
            }
            all.insert(name.into(), figures);
        }
    }
    let scored: Vec<(&Query, &[f64])> = queries
        .iter()
        .filter_map(|query| Some((query, predicted.get(&query.id)?.saliency.as_deref()?)))
        .collect();
    if !scored.is_empty() {
        for (name, least) in LEVELS {
            let figures = highlights(&scored, least);
            let name = format!("HL-min-{name}");
            brief.insert(format!("{name}-mAP"), figures["HL-mAP"].clone());
            brief.insert(format!("{name}-Hit1"), figures["HL-Hit1"].clone());
            all.insert(name, figures);
        }
    }
    all.insert("brief".into(), Value::Object(brief));
    all
}

/// `earmark eval moments`.
///
/// # Errors
/// A file cannot be read, or the two cover different queries.
pub(crate) fn run(args: &EvalMoments) -> anyhow::Result<Scored> {
    let queries = qvhighlights::labels(&args.labels)?;
    let predicted = qvhighlights::predictions(&args.submission)?;
    let labelled: BTreeSet<i64> = queries.iter().map(|query| query.id).collect();
    let submitted: BTreeSet<i64> = predicted.iter().map(|p| p.id).collect();
    let missing: Vec<i64> = labelled.difference(&submitted).copied().collect();
    let other: Vec<i64> = submitted.difference(&labelled).copied().collect();
    if !missing.is_empty() || !other.is_empty() {
        bail!(
            "{} and {} must be about the same queries: {} have no prediction{}, {} have no label{} (are they of different splits?)",
            args.submission.display(),
            args.labels.display(),
            missing.len(),
            some(&missing),
            other.len(),
            some(&other)
        );
    }
    let first = predicted.first();
    let windows = first.is_some_and(|p| p.windows.is_some());
    let saliency = first.is_some_and(|p| p.saliency.is_some());
    if !windows && !saliency {
        bail!(
            "{} has neither pred_relevant_windows nor pred_saliency_scores",
            args.submission.display()
        );
    }
    let differs =
        |p: &&Predicted| p.windows.is_some() != windows || p.saliency.is_some() != saliency;
    if let Some(other) = predicted.iter().find(differs) {
        bail!(
            "{}: qid {} has other predictions than the first line: all lines need pred_relevant_windows, or all pred_saliency_scores, or all both",
            args.submission.display(),
            other.id
        );
    }
    let by_id: HashMap<i64, &Predicted> = predicted.iter().map(|p| (p.id, p)).collect();
    let mut all = score(&queries, &by_id);
    let clips = |query: &&Query| {
        let scores = by_id.get(&query.id).and_then(|p| p.saliency.as_ref());
        scores.is_some_and(|scores| scores.len() != query.saliency.len())
    };
    let uneven = queries.iter().filter(clips).count();
    let mut warnings = Vec::new();
    if uneven > 0 {
        warnings.push(format!(
            "{uneven} queries have more or fewer saliency scores than their videos have clips of 2 s: clips without a score have 0, scores without a clip are ignored"
        ));
    }
    all.insert("ok".into(), json!(true));
    all.insert("queries".into(), json!(queries.len()));
    all.insert("warnings".into(), json!(warnings));
    let videos: BTreeSet<&str> = queries.iter().map(|query| query.video.as_str()).collect();
    let hours: f64 = queries.iter().map(|query| query.duration).sum::<f64>() / 3600.0;
    let mut text = format!(
        "QVHighlights: {} queries about {} videos, {hours:.1} h asked about\n",
        queries.len(),
        videos.len()
    );
    let figure = |value: &Value| value.as_f64().map_or("-".into(), |x| format!("{x:.2}"));
    if windows {
        let _ = writeln!(
            text,
            "\n{:<10}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "moments, %", "R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP"
        );
        for (name, _) in RANGES {
            let f = &all[name];
            let row = [
                &f["MR-R1"]["0.5"],
                &f["MR-R1"]["0.7"],
                &f["MR-mAP"]["0.5"],
                &f["MR-mAP"]["0.75"],
                &f["MR-mAP"]["average"],
            ];
            let _ = write!(text, "{name:<10}");
            for value in row {
                let _ = write!(text, "{:>9}", figure(value));
            }
            text.push('\n');
        }
    }
    if saliency {
        let _ = writeln!(text, "\n{:<14}{:>8}{:>8}", "highlights, %", "mAP", "Hit1");
        for (name, _) in LEVELS {
            let f = &all[&format!("HL-min-{name}")];
            let _ = writeln!(
                text,
                "{name:<14}{:>8}{:>8}",
                figure(&f["HL-mAP"]),
                figure(&f["HL-Hit1"])
            );
        }
    }
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored {
        value: Value::Object(all),
        text,
    })
}

/// The first few of them, in brackets.
fn some(ids: &[i64]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let named: Vec<String> = ids.iter().take(NAMED).map(i64::to_string).collect();
    let more = if ids.len() > NAMED { ", …" } else { "" };
    format!(" (qid {}{more})", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_of_one_score_come_together() {
        // By hand: at 0.9 one of two is right, at 0.1 two of four.
        let ap = clip_precision(&[true, false, true, false], &[0.9, 0.9, 0.1, 0.1]);
        assert!((ap - 0.5).abs() < 1e-12, "{ap}");
        assert_eq!(clip_precision(&[false; 3], &[1.0; 3]), 0.0);
        assert_eq!(clip_precision(&[true; 3], &[1.0; 3]), 1.0);
    }

    #[test]
    fn thresholds_have_the_scorers_names() {
        let names: Vec<String> = thresholds().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[0], "0.5");
        assert_eq!(names[1], "0.55");
        assert_eq!(names[9], "0.95");
    }

    #[test]
    fn nothing_to_average_is_null() {
        assert_eq!(percent(mean(std::iter::empty())), Value::Null);
        assert_eq!(percent(0.539_351), json!(53.94));
    }
}
