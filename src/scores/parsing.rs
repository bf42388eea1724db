//! `earmark eval parsing`: audio-visual video parsing as in its authors' scorer (Tian et al., 2020), or with a strict matching; the accuracy
//! of AVE's segments (Tian et al., 2018).
//!
//! Segments: F1 of a class over the seconds of a video. Events: runs of seconds; a predicted one is right if a true one of its class has an
//! IoU of at least 0.5 with it. F1 is averaged over the classes in the prediction or the truth of a video (none: 1), then over videos. A is
//! what is heard, V what is seen, AV what is both; Type@AV is the mean of those three; Event@AV counts A and V together. The authors' scorer
//! lets several predicted events match the same true one; `strict` matches each to at most one. On runs of seconds the result is the same.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::{Scored, matching};
use crate::cli::{EvalParsing, Scorer};
use crate::datasets::llp::{self, SECONDS};
use crate::datasets::npz::Npz;

/// The IoU that makes an event right.
const LEAST_IOU: f64 = 0.5;
/// Videos to list.
const NAMED: usize = 5;
/// Figures of a video, in this order.
const NAMES: [&str; 8] = [
    "seg_A",
    "seg_V",
    "seg_AV",
    "seg_Event",
    "event_A",
    "event_V",
    "event_AV",
    "event_Event",
];

/// Right, false and missed of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    right: usize,
    false_ones: usize,
    missed: usize,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            false_ones: self.false_ones + other.false_ones,
            missed: self.missed + other.missed,
        }
    }

    fn f1(self) -> Option<f64> {
        let all = 2 * self.right + self.false_ones + self.missed;
        (all > 0).then(|| 2.0 * self.right as f64 / all as f64)
    }
}

/// The mean F1 of the classes present; 1 if there are none.
fn mean(counts: &[Counts]) -> f64 {
    let f1: Vec<f64> = counts.iter().filter_map(|counts| counts.f1()).collect();
    match f1.len() {
        0 => 1.0,
        n => f1.iter().sum::<f64>() / n as f64,
    }
}

/// A class's seconds in one video.
fn seconds(cells: &[bool], class: usize, classes: usize) -> Vec<bool> {
    cells.iter().skip(class).step_by(classes).copied().collect()
}

fn by_segment(predicted: &[bool], truth: &[bool]) -> Counts {
    let mut counts = Counts::default();
    for (predicted, truth) in predicted.iter().zip(truth) {
        match (predicted, truth) {
            (true, true) => counts.right += 1,
            (true, false) => counts.false_ones += 1,
            (false, true) => counts.missed += 1,
            (false, false) => {}
        }
    }
    counts
}

/// Runs of seconds: first, and the one after the last.
fn runs(seconds: &[bool]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (second, there) in seconds.iter().enumerate() {
        match runs.last_mut() {
            _ if !there => {}
            Some(last) if last.1 == second => last.1 = second + 1,
            _ => runs.push((second, second + 1)),
        }
    }
    runs
}

fn near(a: (usize, usize), b: (usize, usize)) -> bool {
    let inter = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    let union = (a.1 - a.0) + (b.1 - b.0) - inter;
    inter as f64 / union as f64 >= LEAST_IOU
}

fn by_event(predicted: &[bool], truth: &[bool], scorer: Scorer) -> Counts {
    let (predicted, truth) = (runs(predicted), runs(truth));
    let reach = |run: &(usize, usize)| -> Vec<usize> {
        let near = truth
            .iter()
            .enumerate()
            .filter(|(_, other)| near(*run, **other));
        near.map(|(i, _)| i).collect()
    };
    let edges: Vec<Vec<usize>> = predicted.iter().map(reach).collect();
    let (right, found) = if scorer == Scorer::Strict {
        let pairs = matching::largest(&edges, truth.len()).into_iter().flatten();
        let pairs = pairs.count();
        (pairs, pairs)
    } else {
        let right = edges.iter().filter(|reached| !reached.is_empty()).count();
        let found: BTreeSet<&usize> = edges.iter().flatten().collect();
        (right, found.len())
    };
    Counts {
        right,
        false_ones: predicted.len() - right,
        missed: truth.len() - found,
    }
}

/// VideoClasses and seen classes of a video: for each second, whether each class is there.
#[derive(Clone, Copy)]
struct VideoClasses<'a> {
    audio: &'a [bool],
    visual: &'a [bool],
}

/// The figures of a video, in the order of [`NAMES`].
fn video(
    predicted: VideoClasses<'_>,
    truth: VideoClasses<'_>,
    classes: usize,
    scorer: Scorer,
) -> [f64; 8] {
    let mut segments: [Vec<Counts>; 4] = Default::default();
    let mut events: [Vec<Counts>; 4] = Default::default();
    for class in 0..classes {
        let of = |cells: &[bool]| seconds(cells, class, classes);
        let both = |heard: VideoClasses<'_>| -> Vec<bool> {
            let (audio, visual) = (of(heard.audio), of(heard.visual));
            audio.iter().zip(&visual).map(|(a, v)| *a && *v).collect()
        };
        let pairs = [
            (of(predicted.audio), of(truth.audio)),
            (of(predicted.visual), of(truth.visual)),
            (both(predicted), both(truth)),
        ];
        for (i, (predicted, truth)) in pairs.iter().enumerate() {
            segments[i].push(by_segment(predicted, truth));
            events[i].push(by_event(predicted, truth, scorer));
        }
        segments[3].push(segments[0][class].plus(segments[1][class]));
        events[3].push(events[0][class].plus(events[1][class]));
    }
    let mut figures = [0.0; 8];
    for i in 0..4 {
        figures[i] = mean(&segments[i]);
        figures[4 + i] = mean(&events[i]);
    }
    figures
}

/// Predictions of a file, in the order of `videos`.
struct Predictions {
    audio: Vec<Vec<bool>>,
    visual: Vec<Vec<bool>>,
}

fn predictions(args: &EvalParsing, test: &llp::Test) -> anyhow::Result<Predictions> {
    let path = args.predictions.display();
    let mut file = Npz::open(&args.predictions)?;
    let names = file.text("filenames")?;
    let classes = file.text("classes")?;
    let order = order(&path.to_string(), &names, &test.videos)?;
    let columns = columns(&path.to_string(), &classes, &test.classes)?;
    let shape = [
        ("videos", Some(names.len())),
        ("seconds", Some(SECONDS)),
        ("classes", Some(classes.len())),
    ];
    let mut read = |name: &str| -> anyhow::Result<Vec<Vec<bool>>> {
        let (_, cells) = file.numbers(name, &shape)?;
        let odd = cells.iter().position(|cell| *cell != 0.0 && *cell != 1.0);
        if let Some(at) = odd {
            bail!(
                "{path}: `{name}` of {}, second {}, class {} is {}: must be 0 or 1 (compare probabilities with a threshold first)",
                names[at / (SECONDS * classes.len())],
                at / classes.len() % SECONDS,
                classes[at % classes.len()],
                cells[at]
            );
        }
        let video = |row: &usize| {
            let mut video = vec![false; SECONDS * classes.len()];
            for second in 0..SECONDS {
                for (from, to) in columns.iter().enumerate() {
                    let at = (row * SECONDS + second) * classes.len() + from;
                    video[second * classes.len() + to] = cells[at] == 1.0;
                }
            }
            video
        };
        Ok(order.iter().map(video).collect())
    };
    Ok(Predictions {
        audio: read("audio")?,
        visual: read("visual")?,
    })
}

/// The row of every wanted video.
fn order(path: &str, names: &[String], wanted: &[String]) -> anyhow::Result<Vec<usize>> {
    let mut rows: HashMap<&str, usize> = HashMap::new();
    for (row, name) in names.iter().enumerate() {
        if let Some(before) = rows.insert(name, row) {
            bail!("{path}: `filenames` has {name} twice, in rows {before} and {row}");
        }
    }
    let known: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let other: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    let missing: Vec<&str> = wanted
        .iter()
        .map(String::as_str)
        .filter(|name| !rows.contains_key(name))
        .collect();
    if !other.is_empty() || !missing.is_empty() {
        let some = |names: &[&str]| {
            let more = if names.len() > NAMED { ", …" } else { "" };
            let named = names
                .iter()
                .take(NAMED)
                .copied()
                .collect::<Vec<_>>()
                .join(", ");
            if names.is_empty() {
                String::new()
            } else {
                format!(" ({named}{more})")
            }
        };
        bail!(
            "{path} must have the {} videos of the test split: {} are missing{}, {} are not in it{} (is it another split's?)",
            wanted.len(),
            missing.len(),
            some(&missing),
            other.len(),
            some(&other)
        );
    }
    Ok(wanted.iter().map(|name| rows[name.as_str()]).collect())
}

/// The index of every class of the file among the known ones.
fn columns(path: &str, classes: &[String], known: &[String]) -> anyhow::Result<Vec<usize>> {
    let columns: Vec<usize> = classes
        .iter()
        .map(|class| {
            llp::index(class, known).map_err(|wrong| anyhow::anyhow!("{path}: `classes`: {wrong}"))
        })
        .collect::<anyhow::Result<_>>()?;
    let unique: BTreeSet<usize> = columns.iter().copied().collect();
    if unique.len() != columns.len() || columns.len() != known.len() {
        bail!(
            "{path}: `classes` has {} classes, {} of them different: must have each of the {} exactly once",
            columns.len(),
            unique.len(),
            known.len()
        );
    }
    Ok(columns)
}

/// `earmark eval parsing`.
///
/// # Errors
/// A file cannot be read, or the predictions are not for the test split.
pub(super) fn run(args: &EvalParsing) -> anyhow::Result<Scored> {
    let test = llp::test(&args.labels)?;
    let predicted = predictions(args, &test)?;
    let each: Vec<[f64; 8]> = (0..test.videos.len())
        .map(|i| {
            let predicted = VideoClasses {
                audio: &predicted.audio[i],
                visual: &predicted.visual[i],
            };
            let truth = VideoClasses {
                audio: &test.audio[i],
                visual: &test.visual[i],
            };
            video(predicted, truth, test.classes.len(), args.scorer)
        })
        .collect();
    let mut percent = [0.0; 8];
    for (i, percent) in percent.iter_mut().enumerate() {
        *percent = 100.0 * each.iter().map(|figures| figures[i]).sum::<f64>() / each.len() as f64;
    }
    let kind = |from: usize| (percent[from] + percent[from + 1] + percent[from + 2]) / 3.0;
    let warnings: Vec<String> = Some(test.empty)
        .filter(|empty| *empty > 0)
        .map(|empty| {
            format!(
                "{empty} stretches of the labels end when they begin or before, and label nothing"
            )
        })
        .into_iter()
        .collect();
    let value = {
        let mut metrics: Map<String, Value> = named(&percent);
        metrics.insert("seg_Type".into(), json!(kind(0)));
        metrics.insert("event_Type".into(), json!(kind(4)));
        let each: Vec<Value> = test
            .videos
            .iter()
            .zip(&each)
            .map(|(video, figures)| {
                let mut one = named(figures);
                one.insert("filename".into(), json!(video));
                Value::Object(one)
            })
            .collect();
        json!({
            "ok": true, "scorer": args.scorer.name(), "videos": test.videos.len(), "classes": test.classes.len(), "metrics": metrics, "warnings": warnings,
            "per_video": each,
        })
    };
    let mut text = format!(
        "{} videos, {} classes, scorer {}\n\n{:<10}{:>8}{:>8}{:>8}{:>9}{:>10}\n",
        test.videos.len(),
        test.classes.len(),
        args.scorer.name(),
        "F1, %",
        "A",
        "V",
        "AV",
        "Type@AV",
        "Event@AV"
    );
    for (name, from) in [("segments", 0), ("events", 4)] {
        let _ = writeln!(
            text,
            "{name:<10}{:>8.2}{:>8.2}{:>8.2}{:>9.2}{:>10.2}",
            percent[from],
            percent[from + 1],
            percent[from + 2],
            kind(from),
            percent[from + 3]
        );
    }
    for warning in &warnings {
        let _ = write!(text, "\nwarning: {warning}");
    }
    Ok(Scored { value, text })
}

fn named(figures: &[f64; 8]) -> Map<String, Value> {
    let named = NAMES.into_iter().zip(figures);
    named
        .map(|(name, figure)| (name.to_owned(), json!(figure)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<bool> {
        text.bytes().map(|byte| byte == b'#').collect()
    }

    #[test]
    fn events_are_right_at_an_iou_of_a_half() {
        let counts = |right, false_ones, missed| Counts {
            right,
            false_ones,
            missed,
        };
        for (predicted, truth, expected) in [
            ("###.......", "######....", counts(1, 0, 0)),
            ("##........", "#####.....", counts(0, 1, 1)),
            // One part overlaps the true one by half, the other does not.
            ("###.##....", "######....", counts(1, 1, 0)),
            ("######....", "###.##....", counts(1, 0, 1)),
            ("#.#.......", "..........", counts(0, 2, 0)),
            ("..........", "#........#", counts(0, 0, 2)),
        ] {
            let found = by_event(&cells(predicted), &cells(truth), Scorer::Avvp);
            assert_eq!(found, expected, "{predicted} {truth}");
        }
    }

    /// Two runs with a second between them cannot both overlap half of a third, so both ways of counting agree.
    #[test]
    fn on_runs_of_seconds_both_matchings_agree() {
        let all: Vec<Vec<bool>> = (0..256_u32)
            .map(|bits| (0..8).map(|second| bits >> second & 1 == 1).collect())
            .collect();
        for predicted in &all {
            for truth in &all {
                let avvp = by_event(predicted, truth, Scorer::Avvp);
                assert_eq!(avvp, by_event(predicted, truth, Scorer::Strict));
            }
        }
    }

    #[test]
    fn a_video_without_events_is_right_if_none_is_predicted() {
        let nothing = vec![false; 20];
        let heard = VideoClasses {
            audio: &nothing,
            visual: &nothing,
        };
        assert_eq!(video(heard, heard, 2, Scorer::Avvp), [1.0; 8]);
        let mut one = nothing.clone();
        one[0] = true;
        let wrong = VideoClasses {
            audio: &one,
            visual: &nothing,
        };
        let figures = video(wrong, heard, 2, Scorer::Avvp);
        assert_eq!(figures, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    }
}
