//! Checks a file in full: every dataset against its digest, and the tables against the rules of the schema.

use std::path::Path;

use anchoring::cue::MOST_CHANGE;
use anchoring::plan::Reason;
use anchoring::settings::FURTHEST_MS;
use half::f16;

use super::contents::{contents, merged};
use super::read::{Tables, summary, tables};
use super::reading::{Reading, sealed};
use super::tables::CLIPS;
use super::{BECAUSE, H5Error, MERGED, events, quality};

/// Rows of features in memory at a time.
const TOGETHER: usize = 256;
/// Most problems reported of a file.
const MOST: usize = 20;

/// Everything that is wrong with a file of one recording or of many, in words; empty if it is whole and complete.
///
/// # Errors
/// The file is missing, of another schema, or not sealed.
pub fn check(path: &Path) -> Result<Vec<String>, H5Error> {
    Ok(problems(&Reading::open_sealed(path)?, None))
}

/// As [`check`], for a file of either schema, sealed or not. It may crash HDF5: call this in a process that may die.
///
/// # Errors
/// The file is missing, or of another schema.
pub fn check_unsealed(path: &Path) -> Result<Vec<String>, H5Error> {
    let file = Reading::open_unsealed(path)?;
    let seal = match sealed(path) {
        Err(H5Error::Unsealed { message, .. }) if !file.is_old() => Some(message),
        _ => None,
    };
    Ok(problems(&file, seal))
}

/// `seal`: what is wrong with the seal.
fn problems(file: &Reading, seal: Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let complete = file.truth("complete");
    match &complete {
        Ok(true) => {}
        Ok(false) => problems.push(match file.text(BECAUSE) {
            Ok(because) => format!("it is not complete: {because}"),
            Err(_) => "it is not complete: its run did not finish".into(),
        }),
        Err(err) => problems.push(format!("cannot read `complete`: {err}")),
    }
    if file.schema == MERGED {
        merged(file, &mut problems);
    } else {
        // A run that did not finish left no digests.
        let before = problems.len();
        if !file.is_old() && (file.has_attribute("digests") || seal.is_none()) {
            contents(file, &file.file, "", &mut problems);
        }
        if problems.len() == before {
            schema(file, &mut problems);
        }
    }
    match seal {
        Some(seal) if problems.is_empty() => {
            problems.push(format!(
                "{seal}; all datasets and attributes match their digests"
            ));
        }
        Some(seal) if !matches!(complete, Ok(false)) || file.has_attribute("digests") => {
            problems.push(seal);
        }
        _ => {}
    }
    problems.dedup();
    problems.truncate(MOST);
    problems
}

/// Checks the rules of the schema.
fn schema(file: &Reading, problems: &mut Vec<String>) {
    if let Err(err) = summary(file) {
        problems.push(without_path(file, &err));
    }
    rows(file, problems);
    match tables(file) {
        Err(err) => problems.push(without_path(file, &err)),
        Ok(tables) => {
            rules(file, &tables, problems);
            features(file, tables.pts_ns.len(), problems);
            thumbnails(file, tables.pts_ns.len(), problems);
        }
    }
    events::rules(file, problems);
    if let Err(err) = cues(file, problems) {
        problems.push(without_path(file, &err));
    }
}

/// An error without the file's name, which precedes every problem.
fn without_path(file: &Reading, err: &H5Error) -> String {
    let text = err.to_string();
    let name = file.path.display().to_string();
    match text.strip_prefix(&name) {
        Some(rest) => format!("it{rest}"),
        None => text,
    }
}

/// The columns of a group have the same length, and units and axes.
fn rows(file: &Reading, problems: &mut Vec<String>) {
    for (group, first) in [
        ("frames", "frames/pts_ns"),
        (quality::FRAMES, "frames/pts_ns"),
        (CLIPS, "frames/pts_ns"),
        ("anchors", "anchors/onset_ns"),
        ("candidates", "candidates/onset_ns"),
        (events::GROUP, events::FIRST),
        ("cues", "cues/pts_ns"),
        (quality::CUES, "cues/pts_ns"),
    ] {
        let wanted = file.shape(first).ok().and_then(|s| s.first().copied());
        for name in file.columns_of(group) {
            let name = format!("{group}/{name}");
            let have = file.shape(&name).ok().and_then(|s| s.first().copied());
            if have != wanted {
                let count = |n: Option<usize>| n.map_or("no".into(), |n| n.to_string());
                problems.push(format!(
                    "/{name} has {} rows, but /{first} has {}",
                    count(have),
                    count(wanted)
                ));
            }
            if !file.is_described(&name) {
                problems.push(format!("/{name} lacks `units` or `axes`"));
            }
        }
    }
}

fn rules(file: &Reading, tables: &Tables, problems: &mut Vec<String>) {
    let mut need = |holds: bool, problem: &dyn Fn() -> String| {
        if !holds {
            problems.push(problem());
        }
    };
    need(tables.pts_ns.is_sorted(), &|| {
        "/frames/pts_ns does not ascend".into()
    });
    let spent: u64 = tables.tokens.iter().copied().map(u64::from).sum();
    if let Ok(stated) = file.number("spent_tokens") {
        need(stated == spent, &|| {
            format!("spent_tokens is {stated}, but the rows' tokens add up to {spent}")
        });
    }
    if let Ok(budget) = file.number("budget_tokens") {
        // An unfinished run may not know its budget.
        let unknown = budget == 0 && !matches!(file.truth("complete"), Ok(true));
        need(unknown || spent <= budget, &|| {
            format!("{spent} tokens are spent of a budget of {budget}")
        });
    }
    if let Some(clips) = &tables.clips {
        let rows = clips.frame_pts_ns.chunks_exact(clips.frames.max(1));
        let rows = rows.zip(clips.start_ns.iter().zip(&clips.stop_ns));
        let mut rows = rows.zip(&tables.pts_ns);
        let fits = |((times, (start, stop)), pts): ((&[i64], (&i64, &i64)), &i64)| {
            let shown: Vec<i64> = times.iter().copied().filter(|at| *at != -1).collect();
            shown.first() == Some(start)
                && shown.last().is_some_and(|last| last < stop)
                && shown.is_sorted()
                && shown.contains(pts)
        };
        need(rows.all(fits), &|| {
            "/clips contradicts itself: its frames must ascend from start_ns to below stop_ns, and one of them must be at /frames/pts_ns".into()
        });
    }
    let anchors = tables.anchors.len();
    let fits = |row: &i32| *row == -1 || usize::try_from(*row).is_ok_and(|row| row < anchors);
    need(tables.anchor.iter().all(fits), &|| {
        format!("/frames/anchor refers to a row beyond the {anchors} of /anchors")
    });
    let pairs = tables.reason.iter().zip(&tables.anchor);
    let agree = |(reason, row): (&Reason, &i32)| (*reason == Reason::Anchor) == (*row >= 0);
    need(pairs.into_iter().all(agree), &|| {
        "/frames/reason and /frames/anchor contradict each other".into()
    });
    let windows = &tables.anchors;
    let apart = windows.windows(2).all(|w| w[0].stop_ns <= w[1].start_ns);
    need(apart, &|| {
        "the windows of /anchors are out of order, or overlap".into()
    });
    // A window lies where the event is seen, up to some seconds before or after its sound.
    let furthest = i64::from(FURTHEST_MS) * 1_000_000;
    let holds = |anchor: &super::AnchorRow| {
        let from = anchor.start_ns.saturating_sub(furthest);
        let until = anchor.stop_ns.saturating_add(furthest);
        anchor.start_ns < anchor.stop_ns && (from..until).contains(&anchor.onset_ns)
    };
    need(tables.anchors.iter().all(holds), &|| {
        format!("an anchor lies more than {FURTHEST_MS} ms outside its own window")
    });
    let likely = |p: f32| (0.0..=1.0).contains(&p);
    let sure = |anchor: &super::AnchorRow| likely(anchor.score) && likely(anchor.uncertainty);
    let mut measures = tables.quality.iter().flat_map(|q| q.values());
    need(measures.all(likely), &|| {
        format!("/{} has values outside [0, 1]", quality::FRAMES)
    });
    need(tables.anchors.iter().all(sure), &|| {
        "/anchors/score or /anchors/uncertainty has values outside [0, 1]".into()
    });
    let candidates = &tables.candidates;
    need(candidates.iter().all(|one| likely(one.score)), &|| {
        "/candidates/score has values outside [0, 1]".into()
    });
    need(candidates.iter().all(|one| one.more_tokens >= -1), &|| {
        "/candidates/more_tokens has values below -1".into()
    });
}

/// Every JPEG can be read.
fn thumbnails(file: &Reading, rows: usize, problems: &mut Vec<String>) {
    if !file.has_thumbnails() {
        return;
    }
    for at in (0..rows).step_by(TOGETHER) {
        if let Err(err) = file.thumbnails(at..(at + TOGETHER).min(rows)) {
            problems.push(without_path(file, &err));
            return;
        }
    }
}

/// Every feature can be read and is finite.
fn features(file: &Reading, rows: usize, problems: &mut Vec<String>) {
    let mut at = 0;
    while at < rows {
        let until = (at + TOGETHER).min(rows);
        match file.block(at..until) {
            Err(err) => {
                problems.push(format!(
                    "rows {at} to {}: {}",
                    until - 1,
                    without_path(file, &err)
                ));
                return;
            }
            Ok((numbers, _)) if numbers.iter().any(|x| !x.is_finite()) => {
                problems.push(format!(
                    "rows {at} to {} of /frames/features have values that are not finite",
                    until - 1
                ));
                return;
            }
            Ok(_) => at = until,
        }
    }
}

fn cues(file: &Reading, problems: &mut Vec<String>) -> Result<(), H5Error> {
    let pts: Vec<i64> = file.column("cues/pts_ns")?;
    if !pts.is_sorted() {
        problems.push("/cues/pts_ns does not ascend".into());
    }
    for name in ["eventness", "uncertainty", "speech"] {
        let values: Vec<f32> = file.column(&format!("cues/{name}"))?;
        if values.iter().any(|p| !(0.0..=1.0).contains(p)) {
            problems.push(format!("/cues/{name} has values outside [0, 1]"));
        }
    }
    if file.has("cues/change") {
        let change: Vec<f32> = file.column("cues/change")?;
        // Not a number where it is not known.
        if change
            .iter()
            .any(|x| !x.is_nan() && !(0.0..=MOST_CHANGE).contains(x))
        {
            problems.push(format!(
                "/cues/change has values outside [0, {MOST_CHANGE}]"
            ));
        }
    }
    for name in file.columns_of(quality::CUES) {
        let values: Vec<f32> = file.column(&format!("{}/{name}", quality::CUES))?;
        let fits = |p: &f32| p.is_nan() || (0.0..=1.0).contains(p);
        if !values.iter().all(fits) {
            problems.push(format!(
                "/{}/{name} has values outside [0, 1]",
                quality::CUES
            ));
        }
    }
    file.column::<u16>("cues/class_id")?;
    file.column::<f16>("cues/class_p")?;
    Ok(())
}
