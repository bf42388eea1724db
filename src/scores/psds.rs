//! `earmark eval psds`: the polyphonic sound detection score (Bilen et al., 2020), as in psds_eval.
//!
//! A detection is good if true events of its label cover at least `dtc` of it; a true event is found if good detections cover at least `gtc`
//! of it. Every other detection is false, and a cross-trigger on each label whose events cover at least `cttc` of it. Over the operating
//! points (one set of detections each), every label has a curve of the share found over false detections per hour, with cross-triggers added
//! at weight `alpha_ct`. The mean of the curves, less `alpha_st` times their deviation, is integrated up to `max_efpr`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::Scored;
use crate::cli::EvalPsds;
use crate::datasets::dcase::{self, Event, Events};

/// Seconds of the unit of time for false detections.
const HOUR: f64 = 3600.0;
/// Most labels: each can be confused with each.
const MOST_LABELS: usize = 2_000;
/// Files and labels to list.
const NAMED: usize = 5;

/// Criteria for detections.
#[derive(Clone, Copy, Debug)]
struct Criteria {
    dtc: f64,
    gtc: f64,
    cttc: f64,
    alpha_ct: f64,
    alpha_st: f64,
    max_efpr: f64,
}

/// DCASE's two scenarios: early reaction, and no confusion of labels.
const SCENARIOS: [(&str, Criteria); 2] = [
    (
        "psds1",
        Criteria {
            dtc: 0.7,
            gtc: 0.7,
            cttc: 0.3,
            alpha_ct: 0.0,
            alpha_st: 1.0,
            max_efpr: 100.0,
        },
    ),
    (
        "psds2",
        Criteria {
            dtc: 0.1,
            gtc: 0.1,
            cttc: 0.3,
            alpha_ct: 0.5,
            alpha_st: 1.0,
            max_efpr: 100.0,
        },
    ),
];

/// The reference.
struct ReferenceEvents<'a> {
    events: &'a Events,
    durations: &'a BTreeMap<String, f64>,
    labels: Vec<&'a str>,
}

/// One label at one operating point.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    /// Share of the true events that are found.
    found: f64,
    /// False detections per hour, with cross-triggers.
    false_an_hour: f64,
}

/// A sum without rounding errors: shares that add up to a criterion must reach it.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    lost: f64,
    any: bool,
}

impl Sum {
    fn add(&mut self, x: f64) {
        let x = x - self.lost;
        let sum = self.sum + x;
        self.lost = (sum - self.sum) - x;
        self.sum = sum;
        self.any = true;
    }

    fn reaches(self, least: f64) -> bool {
        self.any && self.sum >= least
    }
}

fn length(event: &Event) -> f64 {
    event.offset - event.onset
}

/// The overlap of two events, if there is one.
fn common(a: &Event, b: &Event) -> Option<f64> {
    let common = a.offset.min(b.offset) - a.onset.max(b.onset);
    (common > 0.0).then_some(common)
}

/// The value of events without length: none.
fn lasting(events: &[Event]) -> Vec<&Event> {
    events
        .iter()
        .filter(|event| event.offset > event.onset)
        .collect()
}

/// Every label at an operating point.
fn point(truth: &ReferenceEvents<'_>, detections: &Events, criteria: &Criteria) -> Vec<Point> {
    let n = truth.labels.len();
    let index: BTreeMap<&str, usize> = truth
        .labels
        .iter()
        .enumerate()
        .map(|(i, label)| (*label, i))
        .collect();
    let mut found = vec![0_usize; n];
    let mut count = vec![0_usize; n];
    let mut seconds = vec![0.0; n];
    let mut false_ones = vec![0_usize; n];
    let mut crossed = vec![vec![0_usize; n]; n];
    for (file, duration) in truth.durations {
        let true_ones = lasting(truth.events.of(file));
        for event in &true_ones {
            if let Some(label) = index.get(event.label.as_str()) {
                count[*label] += 1;
                seconds[*label] += length(event);
            }
        }
        let mut covered = vec![Sum::default(); true_ones.len()];
        for detection in lasting(detections.of(file)) {
            let Some(&label) = index.get(detection.label.as_str()) else {
                continue;
            };
            // How much of it events of each label cover.
            let mut shares = vec![Sum::default(); n];
            for event in &true_ones {
                if let (Some(common), Some(other)) =
                    (common(detection, event), index.get(event.label.as_str()))
                {
                    shares[*other].add(common / length(detection));
                }
            }
            if shares[label].reaches(criteria.dtc) {
                for (event, covered) in true_ones.iter().zip(&mut covered) {
                    if event.label == detection.label
                        && let Some(common) = common(detection, event)
                    {
                        covered.add(common / length(event));
                    }
                }
                continue;
            }
            false_ones[label] += usize::from(detection.onset < *duration);
            for (other, share) in shares.into_iter().enumerate() {
                crossed[label][other] +=
                    usize::from(other != label && share.reaches(criteria.cttc));
            }
        }
        for (event, covered) in true_ones.iter().zip(covered) {
            if covered.reaches(criteria.gtc)
                && let Some(label) = index.get(event.label.as_str())
            {
                found[*label] += 1;
            }
        }
    }
    let hours = truth.durations.values().sum::<f64>() / HOUR;
    (0..n)
        .map(|label| {
            let others = (0..n).filter(|other| *other != label);
            let rates: Vec<f64> = others
                .map(|other| crossed[label][other] as f64 * HOUR / seconds[other])
                .collect();
            // A single label has no other to be confused with.
            let crossed = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
            Point {
                found: found[label] as f64 / count[label] as f64,
                false_an_hour: false_ones[label] as f64 / hours + criteria.alpha_ct * crossed,
            }
        })
        .collect()
}

/// A curve's steps: start and height of each.
type Curve = Vec<(f64, f64)>;

/// The curve of all labels together. `points`: by operating point, then label.
fn curve(points: &[Vec<Point>], alpha_st: f64) -> Curve {
    let labels = points.first().map_or(0, Vec::len);
    let mut places: Vec<f64> = points
        .iter()
        .flatten()
        .map(|point| point.false_an_hour)
        .chain([0.0])
        .collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    // The best of each label so far: a worse one with more false detections is never chosen.
    let mut heights = vec![Vec::with_capacity(places.len()); labels];
    for (label, heights) in heights.iter_mut().enumerate() {
        let mut own: Vec<Point> = points.iter().map(|point| point[label]).collect();
        own.sort_by(|a, b| a.false_an_hour.total_cmp(&b.false_an_hour));
        let (mut next, mut best) = (0, 0.0_f64);
        for place in &places {
            while next < own.len() && own[next].false_an_hour <= *place {
                best = best.max(own[next].found);
                next += 1;
            }
            heights.push(best);
        }
    }
    let n = labels as f64;
    places
        .into_iter()
        .enumerate()
        .map(|(i, place)| {
            let mean = heights.iter().map(|h| h[i]).sum::<f64>() / n;
            let variance = heights.iter().map(|h| (h[i] - mean).powi(2)).sum::<f64>() / n;
            (place, (mean - alpha_st * variance.sqrt()).max(0.0))
        })
        .collect()
}

/// Mean height of a curve from 0 to `until`.
fn area(curve: &Curve, until: f64) -> f64 {
    let ends = curve
        .iter()
        .skip(1)
        .map(|step| step.0)
        .chain([f64::INFINITY]);
    let steps = curve.iter().zip(ends);
    let area: f64 = steps
        .map(|((start, height), end)| (end.min(until) - start).max(0.0) * height)
        .sum();
    area / until
}

/// The requested scores, by name.
fn asked(args: &EvalPsds) -> Vec<(&'static str, Criteria)> {
    let given = [
        args.dtc,
        args.gtc,
        args.cttc,
        args.alpha_ct,
        args.alpha_st,
        args.max_efpr,
    ];
    if given.iter().all(Option::is_none) {
        return SCENARIOS.to_vec();
    }
    let criteria = Criteria {
        dtc: args.dtc.unwrap_or(0.5),
        gtc: args.gtc.unwrap_or(0.5),
        cttc: args.cttc.unwrap_or(0.3),
        alpha_ct: args.alpha_ct.unwrap_or(0.0),
        alpha_st: args.alpha_st.unwrap_or(0.0),
        max_efpr: args.max_efpr.unwrap_or(100.0),
    };
    vec![("psds", criteria)]
}

/// Reads an operating point; warns about labels that the reference lacks.
fn operating_point(
    path: &Path,
    truth: &ReferenceEvents<'_>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Events> {
    let detections = dcase::detections(path)?;
    dcase::apart(path, &detections)?;
    let other: BTreeSet<&str> = detections
        .by_file
        .keys()
        .map(String::as_str)
        .filter(|file| !truth.durations.contains_key(*file))
        .collect();
    if !other.is_empty() {
        bail!(
            "{} has {} files that --durations doesn't have: {} (is it another split's?)",
            path.display(),
            other.len(),
            some(&other)
        );
    }
    let known: BTreeSet<&str> = truth.labels.iter().copied().collect();
    let unknown: BTreeSet<&str> = detections.labels().difference(&known).copied().collect();
    if !unknown.is_empty() {
        warnings.push(format!(
            "{} has labels that the reference doesn't have, and that don't count: {}",
            path.display(),
            some(&unknown)
        ));
    }
    Ok(detections)
}

/// `earmark eval psds`.
///
/// # Errors
/// A file cannot be read, is not among the durations, or has overlapping events of one label.
pub(crate) fn run(args: &EvalPsds) -> anyhow::Result<Scored> {
    let events = dcase::events(&args.reference)?;
    let durations = dcase::durations(&args.durations)?;
    dcase::apart(&args.reference, &events)?;
    let other: BTreeSet<&str> = events
        .by_file
        .keys()
        .map(String::as_str)
        .filter(|file| !durations.contains_key(*file))
        .collect();
    if !other.is_empty() {
        bail!(
            "{} has {} files that {} doesn't have: {}",
            args.reference.display(),
            other.len(),
            args.durations.display(),
            some(&other)
        );
    }
    let labels: BTreeSet<&str> = events
        .by_file
        .values()
        .flat_map(|events| lasting(events))
        .map(|event| event.label.as_str())
        .collect();
    if labels.is_empty() {
        bail!("{} has no event that lasts", args.reference.display());
    }
    if labels.len() > MOST_LABELS {
        bail!(
            "{} has {} labels: must be no more than {MOST_LABELS} (is event_label another column?)",
            args.reference.display(),
            labels.len()
        );
    }
    let truth = ReferenceEvents {
        events: &events,
        durations: &durations,
        labels: labels.into_iter().collect(),
    };
    let mut warnings = Vec::new();
    let detections: Vec<Events> = args
        .estimated
        .iter()
        .map(|path| operating_point(path, &truth, &mut warnings))
        .collect::<anyhow::Result<_>>()?;
    if detections.len() == 1 {
        warnings.push(
            "a single operating point: the score needs many, one for each threshold of a system"
                .into(),
        );
    }
    let mut value = json!({
        "ok": true, "files": durations.len(), "reference": events.count(), "operating_points": detections.len(), "labels": truth.labels,
        "warnings": warnings,
    });
    let mut text = format!(
        "{} files, {} events of {} labels, {} operating points\n\n{:<8}{:>8}{:>7}{:>7}{:>7}{:>10}{:>10}{:>10}\n",
        durations.len(),
        events.count(),
        truth.labels.len(),
        detections.len(),
        "score",
        "PSDS",
        "dtc",
        "gtc",
        "cttc",
        "alpha_ct",
        "alpha_st",
        "max_efpr"
    );
    for (name, c) in asked(args) {
        let points: Vec<Vec<Point>> = detections
            .iter()
            .map(|events| point(&truth, events, &c))
            .collect();
        let curve = curve(&points, c.alpha_st);
        let psds = area(&curve, c.max_efpr);
        let _ = writeln!(
            text,
            "{name:<8}{psds:>8.4}{:>7}{:>7}{:>7}{:>10}{:>10}{:>10}",
            c.dtc, c.gtc, c.cttc, c.alpha_ct, c.alpha_st, c.max_efpr
        );
        let (places, heights): (Vec<f64>, Vec<f64>) = curve.into_iter().unzip();
        let each: Map<String, Value> = truth
            .labels
            .iter()
            .enumerate()
            .map(|(i, label)| {
                let own = points
                    .iter()
                    .map(|point| json!({ "tpr": point[i].found, "efpr": point[i].false_an_hour }));
                ((*label).to_owned(), own.collect())
            })
            .collect();
        value[name] = json!({
            "value": psds, "dtc": c.dtc, "gtc": c.gtc, "cttc": c.cttc, "alpha_ct": c.alpha_ct, "alpha_st": c.alpha_st,
            "max_efpr": c.max_efpr, "curve": { "efpr": places, "etpr": heights }, "labels": each,
        });
    }
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored { value, text })
}

/// The first few of them.
fn some(names: &BTreeSet<&str>) -> String {
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!(
        "{}{more}",
        names
            .iter()
            .take(NAMED)
            .copied()
            .collect::<Vec<_>>()
            .join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_a_staircase_that_never_falls() {
        let point = |found, false_an_hour| {
            vec![Point {
                found,
                false_an_hour,
            }]
        };
        let points = [point(0.5, 10.0), point(0.4, 20.0), point(0.9, 50.0)];
        let curve = curve(&points, 1.0);
        assert_eq!(curve, [(0.0, 0.0), (10.0, 0.5), (20.0, 0.5), (50.0, 0.9)]);
        assert!((area(&curve, 100.0) - 0.65).abs() < 1e-12);
        assert!((area(&curve, 30.0) - 10.0 / 30.0).abs() < 1e-12);
    }

    #[test]
    fn labels_that_differ_cost() {
        let points = [vec![
            Point {
                found: 1.0,
                false_an_hour: 0.0,
            },
            Point {
                found: 0.0,
                false_an_hour: 0.0,
            },
        ]];
        assert_eq!(curve(&points, 0.0), [(0.0, 0.5)]);
        assert_eq!(curve(&points, 1.0), [(0.0, 0.0)]);
    }

    #[test]
    fn shares_that_add_up_reach_a_criterion() {
        let mut sum = Sum::default();
        assert!(!sum.reaches(0.0));
        (0..7).for_each(|_| sum.add(0.1));
        assert!(sum.reaches(0.7));
    }
}
