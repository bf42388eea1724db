//! `earmark eval detection`: mAP at tIoU 0.1 to 0.5, as in the detection challenges of EPIC-SOUNDS and EPIC-KITCHENS-100.
//!
//! Damen et al., "Rescaling Egocentric Vision" (2022); Huh et al., "EPIC-SOUNDS" (2023). AP is averaged over the classes of the annotations;
//! detections of other classes do not count, detections in other videos are false. Version 0.1 of EPIC-SOUNDS' challenge leaves out the class
//! `background`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::Scored;
use super::order;
use super::precision::{ScoredSpan, Span, average_precision};
use crate::cli::{Background, EvalDetection};
use crate::datasets::epic::{self, Annotation, Class, Detection, Kind, Submission};

/// Videos to list; JSON has all.
const NAMED: usize = 10;

/// The version of the challenge that leaves out the background.
const WITHOUT_BACKGROUND: &str = "0.1";

/// The part of a class that a task compares.
#[derive(Clone, Copy)]
enum Task {
    Interaction,
    Verb,
    Noun,
    Action,
}

impl Task {
    fn all(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Sounds => &[Self::Interaction],
            Kind::Kitchens => &[Self::Verb, Self::Noun, Self::Action],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Interaction => "interaction",
            Self::Verb => "verb",
            Self::Noun => "noun",
            Self::Action => "action",
        }
    }

    fn label(self, class: Class) -> (u32, u32) {
        match (self, class) {
            (_, Class::Sound(id)) => (id, 0),
            (Self::Verb, Class::Action(verb, _)) => (verb, 0),
            (Self::Noun, Class::Action(_, noun)) => (noun, 0),
            (_, Class::Action(verb, noun)) => (verb, noun),
        }
    }

    fn written(self, label: (u32, u32)) -> String {
        match self {
            Self::Action => format!("{},{}", label.0, label.1),
            _ => label.0.to_string(),
        }
    }
}

/// The thresholds 0.1, 0.2, …, 0.5, computed like NumPy's `linspace`.
fn thresholds() -> [f64; 5] {
    [0.1, 0.1 + 0.1, 0.1 + 2.0 * 0.1, 0.1 + 3.0 * 0.1, 0.5]
}

/// The result of one task.
struct TaskScores {
    task: Task,
    /// By class, then threshold.
    classes: BTreeMap<(u32, u32), Vec<f64>>,
    /// Detections of classes that the annotations lack.
    unknown: usize,
    /// Classes without any detection.
    silent: usize,
}

impl TaskScores {
    fn map(&self) -> Vec<f64> {
        let n = self.classes.len() as f64;
        (0..thresholds().len())
            .map(|i| self.classes.values().map(|ap| ap[i]).sum::<f64>() / n)
            .collect()
    }

    fn average(&self) -> f64 {
        let map = self.map();
        map.iter().sum::<f64>() / map.len() as f64
    }
}

fn score(task: Task, truth: &[Annotation], submission: &Submission) -> TaskScores {
    let mut videos: HashMap<&str, usize> = HashMap::new();
    for video in &submission.videos {
        let next = videos.len();
        videos.entry(video).or_insert(next);
    }
    for annotation in truth {
        let next = videos.len();
        videos.entry(&annotation.video).or_insert(next);
    }
    let mut spans: BTreeMap<(u32, u32), BTreeMap<usize, Vec<Span>>> = BTreeMap::new();
    for annotation in truth {
        let own = spans.entry(task.label(annotation.class)).or_default();
        let video = videos[annotation.video.as_str()];
        own.entry(video).or_default().push(annotation.span);
    }
    let mut found: BTreeMap<(u32, u32), Vec<ScoredSpan>> = BTreeMap::new();
    let mut unknown = 0;
    for Detection {
        video,
        span,
        score,
        class,
    } in &submission.detections
    {
        let label = task.label(*class);
        if !spans.contains_key(&label) {
            unknown += 1;
            continue;
        }
        found.entry(label).or_default().push(ScoredSpan {
            video: *video,
            span: *span,
            score: *score,
        });
    }
    let mut silent = 0;
    let classes = spans.iter().map(|(label, truth)| {
        let found = found.remove(label).unwrap_or_default();
        silent += usize::from(found.is_empty());
        let scores: Vec<f64> = found.iter().map(|found| found.score).collect();
        let sorted = order::ascending(&scores).into_iter().rev();
        let found: Vec<ScoredSpan> = sorted.map(|i| found[i]).collect();
        (*label, average_precision(truth, &found, &thresholds()))
    });
    TaskScores {
        task,
        classes: classes.collect(),
        unknown,
        silent,
    }
}

/// `earmark eval detection`.
///
/// # Errors
/// A file cannot be read, or the two share no video.
pub(crate) fn run(args: &EvalDetection) -> anyhow::Result<Scored> {
    let mut annotations = epic::annotations(&args.annotations)?;
    let submission = epic::submission(&args.submission, annotations.kind)?;
    let drop = match args.background {
        Some(choice) => choice == Background::Drop,
        None => submission.version.as_deref() == Some(WITHOUT_BACKGROUND),
    };
    let all = annotations.all.len();
    annotations.all.retain(|a| !(drop && a.background));
    let dropped = all - annotations.all.len();
    if annotations.all.is_empty() {
        bail!("{} has only background", args.annotations.display());
    }
    let labelled: BTreeSet<&str> = annotations.all.iter().map(|a| a.video.as_str()).collect();
    let submitted: BTreeSet<&str> = submission.videos.iter().map(String::as_str).collect();
    if labelled.is_disjoint(&submitted) {
        bail!(
            "{} and {} have no video in common: {} against {} (are they of different splits?)",
            args.submission.display(),
            args.annotations.display(),
            some(&submitted),
            some(&labelled)
        );
    }
    let missing: BTreeSet<&str> = labelled.difference(&submitted).copied().collect();
    let other: BTreeSet<&str> = submitted.difference(&labelled).copied().collect();
    let scored: Vec<TaskScores> = Task::all(annotations.kind)
        .iter()
        .map(|task| score(*task, &annotations.all, &submission))
        .collect();
    let mut warnings = Vec::new();
    if !missing.is_empty() {
        warnings.push(format!(
            "{} of {} annotated videos are not in the submission, and count as without detections: {}",
            missing.len(),
            labelled.len(),
            some(&missing)
        ));
    }
    if !other.is_empty() {
        warnings.push(format!(
            "{} videos of the submission are not annotated: their detections are false: {}",
            other.len(),
            some(&other)
        ));
    }
    for scored in &scored {
        if scored.unknown > 0 {
            warnings.push(format!(
                "{}: {} detections are of classes that the annotations don't have, and don't count",
                scored.task.name(),
                scored.unknown
            ));
        }
        if scored.silent > 0 {
            warnings.push(format!(
                "{}: {} of {} classes have no detection, and count as 0",
                scored.task.name(),
                scored.silent,
                scored.classes.len()
            ));
        }
    }
    let value = value(
        &annotations,
        dropped,
        &submission,
        &scored,
        &missing,
        &other,
        &warnings,
    );
    let mut text = format!(
        "{}: {} annotations of {} videos, {} detections\n\n{:<14}",
        annotations.kind.name(),
        annotations.all.len(),
        labelled.len(),
        submission.detections.len(),
        "mAP, %  tIoU"
    );
    for threshold in thresholds() {
        let _ = write!(text, "{threshold:>8.1}");
    }
    let _ = writeln!(text, "{:>9}", "average");
    for scored in &scored {
        let _ = write!(text, "{:<14}", scored.task.name());
        for map in scored.map() {
            let _ = write!(text, "{:>8.2}", 100.0 * map);
        }
        let _ = writeln!(text, "{:>9.2}", 100.0 * scored.average());
    }
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored { value, text })
}

fn value(
    annotations: &epic::Annotations,
    dropped: usize,
    submission: &Submission,
    scored: &[TaskScores],
    missing: &BTreeSet<&str>,
    other: &BTreeSet<&str>,
    warnings: &[String],
) -> Value {
    let one = |scored: &TaskScores| {
        let by_threshold = |values: &[f64]| -> Map<String, Value> {
            let named = thresholds().into_iter().zip(values);
            named.map(|(t, v)| (format!("{t:.1}"), json!(v))).collect()
        };
        let classes: Map<String, Value> = scored
            .classes
            .iter()
            .map(|(label, ap)| (scored.task.written(*label), json!(by_threshold(ap))))
            .collect();
        json!({ "mAP@tIoU": by_threshold(&scored.map()), "average_mAP": scored.average(), "AP": classes })
    };
    let mut value = json!({
        "ok": true, "dataset": annotations.kind.name(), "challenge": annotations.kind.challenge(),
        "annotations": annotations.all.len(), "background_left_out": dropped, "detections": submission.detections.len(),
        "videos_missing": missing, "videos_not_annotated": other, "warnings": warnings,
    });
    for scored in scored {
        let one = one(scored);
        match (annotations.kind, one) {
            (Kind::Sounds, Value::Object(fields)) => {
                for (key, field) in fields {
                    value[key] = field;
                }
            }
            (_, one) => value[scored.task.name()] = one,
        }
    }
    value
}

/// The first few of them.
fn some(names: &BTreeSet<&str>) -> String {
    let mut text = names
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > NAMED {
        let _ = write!(text, " and {} more", names.len() - NAMED);
    }
    text
}
