//! `earmark eval sed`: event- and segment-based F-measure of sound events, as in sed_eval (Mesaros, Heittola, Virtanen, 2016).
//!
//! Events: an estimated event can be matched to a true one of its label if their onsets differ by at most the collar, and their offsets by at
//! most the collar or a share of the true one's length, whichever is larger; the matching is the largest possible. Segments: a label is
//! present in a segment that one of its events touches. Overall figures count all labels together; averages are over labels. A figure without
//! anything to count (precision of a label that was never estimated, recall of one that is never true) is null, and averages skip it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::{Scored, matching};
use crate::cli::EvalSed;
use crate::datasets::dcase::{self, Event};

/// Most segments of a file.
const MOST_SEGMENTS: f64 = 1e7;
/// Files to list.
const NAMED: usize = 5;

/// Right ones of a label, and totals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    right: usize,
    true_ones: usize,
    estimated: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.true_ones += other.true_ones;
        self.estimated += other.estimated;
    }

    /// F-measure, precision, recall; NaN if there is nothing to count.
    fn figures(self) -> [f64; 3] {
        let precision = self.right as f64 / self.estimated as f64;
        let recall = self.right as f64 / self.true_ones as f64;
        let f = if precision == 0.0 && recall == 0.0 {
            0.0
        } else {
            2.0 * precision * recall / (precision + recall)
        };
        [f, precision, recall]
    }
}

/// Counts by label.
struct LabelCounts<'a> {
    labels: BTreeMap<&'a str, Counts>,
}

impl LabelCounts<'_> {
    fn overall(&self) -> Counts {
        let mut all = Counts::default();
        self.labels.values().for_each(|counts| all.add(*counts));
        all
    }

    /// Averages over labels, without NaN.
    fn average(&self) -> [f64; 3] {
        let figures: Vec<[f64; 3]> = self
            .labels
            .values()
            .map(|counts| counts.figures())
            .collect();
        [0, 1, 2].map(|i| {
            let known: Vec<f64> = figures
                .iter()
                .map(|f| f[i])
                .filter(|x| !x.is_nan())
                .collect();
            known.iter().sum::<f64>() / known.len() as f64
        })
    }

    fn value(&self) -> Value {
        let labels = self.labels.iter();
        let labels: Map<String, Value> = labels
            .map(|(label, counts)| ((*label).to_owned(), named(counts.figures())))
            .collect();
        json!({
            "overall": named(self.overall().figures()), "class_wise_average": named(self.average()), "class_wise": labels,
        })
    }
}

/// By sed_eval's names; NaN becomes null.
fn named([f, precision, recall]: [f64; 3]) -> Value {
    json!({ "f_measure": f, "precision": precision, "recall": recall })
}

fn of<'a>(events: &'a [Event], label: &str) -> Vec<&'a Event> {
    events.iter().filter(|event| event.label == label).collect()
}

/// Counts of a label's events in one file.
fn by_event(estimated: &[&Event], truth: &[&Event], collar: f64, share: f64) -> Counts {
    let near = |estimated: &Event, truth: &Event| {
        let reach = collar.max(share * (truth.offset - truth.onset));
        (truth.onset - estimated.onset).abs() <= collar
            && (truth.offset - estimated.offset).abs() <= reach
    };
    let edges: Vec<Vec<usize>> = estimated
        .iter()
        .map(|estimated| {
            (0..truth.len())
                .filter(|i| near(estimated, truth[*i]))
                .collect()
        })
        .collect();
    Counts {
        right: matching::largest(&edges, truth.len())
            .iter()
            .flatten()
            .count(),
        true_ones: truth.len(),
        estimated: estimated.len(),
    }
}

/// The segments that a label is in.
fn segments(events: &[&Event], segment: f64, count: usize) -> Vec<bool> {
    let mut there = vec![false; count];
    for event in events {
        let first = (event.onset / segment).floor() as usize;
        let last = ((event.offset / segment).ceil() as usize).min(count);
        if let Some(touched) = there.get_mut(first..last) {
            touched.fill(true);
        }
    }
    there
}

/// `earmark eval sed`.
///
/// # Errors
/// A file cannot be read, or one was estimated that the reference lacks.
pub(crate) fn run(args: &EvalSed) -> anyhow::Result<Scored> {
    let truth = dcase::events(&args.reference)?;
    if truth.count() == 0 {
        bail!("{} has no events", args.reference.display());
    }
    let estimated = dcase::detections(&args.estimated)?;
    let mut files: BTreeSet<&str> = truth.by_file.keys().map(String::as_str).collect();
    let durations = args
        .durations
        .as_deref()
        .map(dcase::durations)
        .transpose()?;
    files.extend(durations.iter().flatten().map(|(file, _)| file.as_str()));
    let other: Vec<&str> = estimated
        .by_file
        .keys()
        .map(String::as_str)
        .filter(|file| !files.contains(file))
        .collect();
    if !other.is_empty() {
        bail!(
            "{} has {} files that {} doesn't have: {}{} (is it another split's? Give a file without events a line of its own, or list it in --durations)",
            args.estimated.display(),
            other.len(),
            args.reference.display(),
            other
                .iter()
                .take(NAMED)
                .copied()
                .collect::<Vec<_>>()
                .join(", "),
            if other.len() > NAMED { ", …" } else { "" }
        );
    }
    let mut warnings = Vec::new();
    let silent = files
        .iter()
        .filter(|file| !estimated.by_file.contains_key(**file))
        .count();
    if silent > 0 {
        warnings.push(format!(
            "{silent} of {} files have no line in {}: nothing was found in them",
            files.len(),
            args.estimated.display()
        ));
    }
    let (collar, segment) = (args.collar_ms / 1e3, args.segment_ms / 1e3);
    let labels: BTreeSet<&str> = truth.labels().union(&estimated.labels()).copied().collect();
    let new = || LabelCounts {
        labels: labels
            .iter()
            .map(|label| (*label, Counts::default()))
            .collect(),
    };
    let (mut events, mut by_segment) = (new(), new());
    let mut errors = 0;
    for file in &files {
        let pair = [estimated.of(file), truth.of(file)];
        let last = pair
            .iter()
            .flat_map(|events| events.iter())
            .map(|event| event.offset)
            .fold(0.0, f64::max);
        let count = (last / segment).ceil();
        if count > MOST_SEGMENTS {
            bail!(
                "{file} has {count} segments of {} ms: more than {MOST_SEGMENTS}; give a longer --segment-ms",
                args.segment_ms
            );
        }
        let count = count as usize;
        let mut said = vec![0_usize; count];
        let mut so = vec![0_usize; count];
        let mut both = vec![0_usize; count];
        for label in &labels {
            let [estimated, truth] = pair.map(|events| of(events, label));
            if estimated.is_empty() && truth.is_empty() {
                continue;
            }
            if let Some(counts) = events.labels.get_mut(label) {
                counts.add(by_event(&estimated, &truth, collar, args.offset_share));
            }
            let there = [&estimated, &truth].map(|events| segments(events, segment, count));
            let mut counts = Counts::default();
            for (i, (estimated, truth)) in there[0].iter().zip(&there[1]).enumerate() {
                counts.estimated += usize::from(*estimated);
                counts.true_ones += usize::from(*truth);
                counts.right += usize::from(*estimated && *truth);
                said[i] += usize::from(*estimated);
                so[i] += usize::from(*truth);
                both[i] += usize::from(*estimated && *truth);
            }
            if let Some(all) = by_segment.labels.get_mut(label) {
                all.add(counts);
            }
        }
        // Substitutions, deletions and insertions: the larger number, less what is right.
        errors += said
            .iter()
            .zip(&so)
            .zip(&both)
            .map(|((said, so), both)| said.max(so) - both)
            .sum::<usize>();
    }
    let error_rate = errors as f64 / by_segment.overall().true_ones as f64;
    let mut segment_value = by_segment.value();
    segment_value["overall"]["error_rate"] = json!(error_rate);
    let value = json!({
        "ok": true, "files": files.len(), "reference": truth.count(), "estimated": estimated.count(), "collar_ms": args.collar_ms,
        "offset_share": args.offset_share, "segment_ms": args.segment_ms, "event_based": events.value(), "segment_based": segment_value,
        "warnings": warnings,
    });
    let mut text = format!(
        "{} files, {} events in the reference, {} estimated\nevents within {} ms, offsets within that or {} of the length; segments of {} ms\n\n",
        files.len(),
        truth.count(),
        estimated.count(),
        args.collar_ms,
        args.offset_share,
        args.segment_ms
    );
    text.push_str(&table(&events, &by_segment));
    let _ = writeln!(text, "\nsegment-based error rate  {error_rate:.4}");
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored { value, text })
}

/// Both kinds of figures side by side, by label.
fn table(events: &LabelCounts<'_>, segments: &LabelCounts<'_>) -> String {
    let width = events
        .labels
        .keys()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0)
        .clamp(12, 40);
    let mut text = format!(
        "{:<width$}{:>30}{:>30}\n{:<width$}",
        "", "events", "segments", "label"
    );
    for _ in 0..2 {
        let _ = write!(text, "{:>10}{:>10}{:>10}", "F1", "precision", "recall");
    }
    text.push('\n');
    let mut row = |name: &str, figures: [[f64; 3]; 2]| {
        let _ = write!(text, "{name:<width$}");
        for x in figures.iter().flatten() {
            let shown = if x.is_nan() {
                "-".into()
            } else {
                format!("{x:.4}")
            };
            let _ = write!(text, "{shown:>10}");
        }
        text.push('\n');
    };
    for (label, counts) in &events.labels {
        let other = segments.labels.get(label).copied().unwrap_or_default();
        row(label, [counts.figures(), other.figures()]);
    }
    row("average", [events.average(), segments.average()]);
    row(
        "overall",
        [events.overall().figures(), segments.overall().figures()],
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(onset: f64, offset: f64) -> Event {
        Event {
            label: "x".into(),
            onset,
            offset,
            line: 1,
        }
    }

    #[test]
    fn an_offset_may_differ_by_a_share_of_the_length() {
        let truth = event(1.0, 11.0);
        let counts = |offset, share| by_event(&[&event(1.1, offset)], &[&truth], 0.2, share).right;
        assert_eq!(counts(15.9, 0.5), 1);
        assert_eq!(counts(16.1, 0.5), 0);
        assert_eq!(counts(12.9, 0.2), 1);
        assert_eq!(counts(13.1, 0.2), 0);
    }

    #[test]
    fn a_figure_without_counts_is_null_and_averages_skip_it() {
        let silent = Counts {
            right: 0,
            true_ones: 3,
            estimated: 0,
        };
        let good = Counts {
            right: 1,
            true_ones: 2,
            estimated: 1,
        };
        assert!(silent.figures()[0].is_nan() && silent.figures()[2] == 0.0);
        let measured = LabelCounts {
            labels: [("a", silent), ("b", good)].into(),
        };
        let [f, precision, recall] = measured.average();
        assert_eq!((f, precision, recall), (2.0 / 3.0, 1.0, 0.25));
        assert_eq!(named(silent.figures())["precision"], Value::Null);
    }

    #[test]
    fn a_segment_is_touched_by_any_part_of_an_event() {
        assert_eq!(segments(&[&event(0.9, 1.1)], 1.0, 3), [true, true, false]);
        assert_eq!(segments(&[&event(1.0, 2.0)], 1.0, 3), [false, true, false]);
        assert_eq!(segments(&[&event(5.0, 5.0)], 1.0, 3), [false; 3]);
    }
}
