//! The counts and oddities of each dataset.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;

use super::Survey;
use crate::cli::Layout;
use crate::datasets::questions::{self, Question};
use crate::datasets::table::Table;
use crate::datasets::{ave, dcase, epic, llp, qvhighlights};

/// The files of a set, by name.
type Files<'a> = BTreeMap<&'a str, &'a Path>;

/// Reads the files of a layout and counts their content.
pub(super) fn read(
    layout: Layout,
    folder: &Path,
    files: &Files<'_>,
    survey: &mut Survey,
) -> anyhow::Result<()> {
    match layout {
        Layout::Ave => ave_set(folder, survey),
        Layout::EpicSounds | Layout::EpicKitchens => epic_set(files, survey),
        Layout::Llp => llp_set(folder, files, survey),
        Layout::Dcase => dcase_set(files, survey),
        Layout::Qvhighlights => highlights(files, survey),
        Layout::Nextqa => asked(files, survey, questions::nextqa, |name| match name {
            "train.csv" => Some(34_132),
            "val.csv" => Some(4_996),
            "test.csv" => Some(8_564),
            _ => None,
        }),
        Layout::MusicAvqa => asked(files, survey, questions::music_avqa, |name| match name {
            "avqa-train.json" => Some(31_927),
            "avqa-val.json" => Some(4_568),
            "avqa-test.json" => Some(9_129),
            _ => None,
        }),
        Layout::HmeQa => asked(files, survey, questions::hme_qa, |name| {
            (name == "HME-QA_annotations_v0.json").then_some(340)
        }),
        Layout::Kitchenmix => kitchenmix(files, survey),
    }
}

fn ave_set(folder: &Path, survey: &mut Survey) -> anyhow::Result<()> {
    let all = ave::annotations(&folder.join(ave::ANNOTATIONS))?;
    survey.count("annotations", all.len(), Some(4_143));
    let classes: BTreeSet<&str> = all.iter().map(|a| a.class.as_str()).collect();
    survey.count("classes, without background", classes.len(), Some(28));
    survey.name(all.iter().map(|a| a.video.clone()));
    let mut splits: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    let mut rows = BTreeSet::new();
    let mut shared = 0;
    for (split, published) in [("train", 3_339), ("val", 402), ("test", 402)] {
        let path = folder.join(format!("{split}_order.h5"));
        if !path.exists() {
            survey.count(format!("{split} split"), 0, Some(published));
            survey.notes.push(format!("{split}_order.h5 is missing"));
            continue;
        }
        let order = ave::order(&path, all.len())?;
        survey.count(format!("{split} split"), order.len(), Some(published));
        shared += order.iter().filter(|row| !rows.insert(**row)).count();
        splits.push((
            split,
            order.iter().map(|row| all[*row].video.as_str()).collect(),
        ));
    }
    if shared > 0 {
        survey
            .notes
            .push(format!("{shared} annotations are in two splits"));
    }
    for (i, (split, videos)) in splits.iter().enumerate() {
        for (other, others) in &splits[i + 1..] {
            let both = videos.intersection(others).count();
            if both > 0 {
                let note = format!("{both} videos are in {split} and in {other}");
                survey.notes.push(note);
            }
        }
    }
    let twice = all.len() - survey.named.len();
    if twice > 0 {
        survey.notes.push(format!(
            "{twice} annotations are of videos that have another one"
        ));
    }
    let empty = all.iter().filter(|a| a.span.0 == a.span.1).count();
    if empty > 0 {
        survey.notes.push(format!(
            "{empty} annotations end when they begin: all their seconds are background"
        ));
    }
    Ok(())
}

fn epic_set(files: &Files<'_>, survey: &mut Survey) -> anyhow::Result<()> {
    for (name, path) in files {
        let table = Table::open(path)?;
        if table.find(&["class_id", "verb_class"]).is_none() {
            let (count, videos) = timestamps(path)?;
            survey.count(format!("{name}, segments"), count, published_epic(name));
            survey.name(videos);
            continue;
        }
        let annotations = epic::annotations(path)?;
        let count = annotations.all.len();
        survey.count(format!("{name}, annotations"), count, published_epic(name));
        let classes: BTreeSet<epic::Class> = annotations.all.iter().map(|a| a.class).collect();
        survey.count(format!("{name}, classes in use"), classes.len(), None);
        let background = annotations.all.iter().filter(|a| a.background).count();
        if background > 0 {
            survey.notes.push(format!(
                "{name}: {background} annotations are `background`, which version 0.1 of the challenge leaves out"
            ));
        }
        let empty = annotations
            .all
            .iter()
            .filter(|a| a.span.0 == a.span.1)
            .count();
        if empty > 0 {
            survey
                .notes
                .push(format!("{name}: {empty} annotations stop when they start"));
        }
        survey.name(annotations.all.into_iter().map(|a| a.video));
    }
    Ok(())
}

fn published_epic(name: &str) -> Option<usize> {
    match name {
        "EPIC_Sounds_validation.csv" => Some(8_035),
        "EPIC_Sounds_recognition_test_timestamps.csv" => Some(5_131),
        "EPIC_100_train.csv" => Some(67_217),
        "EPIC_100_validation.csv" => Some(9_668),
        "EPIC_100_test_timestamps.csv" => Some(13_092),
        _ => None,
    }
}

/// Segments without classes.
fn timestamps(path: &Path) -> anyhow::Result<(usize, BTreeSet<String>)> {
    const NEEDED: &str = "Timestamps need video_id, start_timestamp and stop_timestamp";
    let mut table = Table::open(path)?;
    let video = table.column("video_id", NEEDED)?;
    let (start, stop) = (
        table.column("start_timestamp", NEEDED)?,
        table.column("stop_timestamp", NEEDED)?,
    );
    let mut videos = BTreeSet::new();
    let count = table.rows(|row| {
        row.span(start, stop)?;
        videos.insert(row.word(video)?.to_owned());
        Ok(())
    })?;
    Ok((count, videos))
}

fn llp_set(folder: &Path, files: &Files<'_>, survey: &mut Survey) -> anyhow::Result<()> {
    let classes = llp::classes(folder)?;
    // Sets of the same layout have their own counts.
    let own = folder.join(llp::CLASS_LIST).exists();
    let published = |count: usize| (!own).then_some(count);
    survey.count("classes", classes.len(), published(25));
    let mut splits: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, count) in [
        (llp::TRAIN, 10_000),
        (llp::VALIDATION, 649),
        (llp::TEST, 1_200),
    ] {
        let Some(path) = files.get(name) else {
            survey.count(format!("{name}, videos"), 0, published(count));
            survey.notes.push(format!("{name} is missing"));
            continue;
        };
        let videos = llp::weak(path, &classes)?;
        survey.count(format!("{name}, videos"), videos.len(), published(count));
        let labels: usize = videos.iter().map(|video| video.classes.len()).sum();
        survey.count(format!("{name}, labels"), labels, None);
        splits.insert(name, videos.into_iter().map(|video| video.name).collect());
    }
    survey.named = splits.values().flatten().cloned().collect();
    let labelled: BTreeSet<&String> = [llp::VALIDATION, llp::TEST]
        .iter()
        .filter_map(|name| splits.get(name))
        .flatten()
        .collect();
    for (name, count) in [(llp::AUDIO, 4_131), (llp::VISUAL, 2_495)] {
        let Some(path) = files.get(name) else {
            survey.count(format!("{name}, stretches"), 0, published(count));
            survey.notes.push(format!("{name} is missing"));
            continue;
        };
        let stretches = llp::dense(path, &classes)?;
        survey.count(
            format!("{name}, stretches"),
            stretches.len(),
            published(count),
        );
        let other: BTreeSet<&String> = stretches
            .iter()
            .map(|s| &s.video)
            .filter(|video| !labelled.contains(video))
            .collect();
        if !other.is_empty() {
            survey.notes.push(format!(
                "{name} labels {} videos that are in no split with dense labels",
                other.len()
            ));
        }
        let empty = stretches.iter().filter(|s| !s.lasts()).count();
        if empty > 0 {
            survey.notes.push(format!(
                "{name}: {empty} stretches end when they begin or before, and label nothing"
            ));
        }
    }
    Ok(())
}

fn dcase_set(files: &Files<'_>, survey: &mut Survey) -> anyhow::Result<()> {
    for (name, path) in files {
        let table = Table::open(path)?;
        if table.find(&["event_label"]).is_some() {
            let events = dcase::events(path)?;
            survey.count(format!("{name}, events"), events.count(), None);
            survey.count(format!("{name}, files"), events.by_file.len(), None);
            survey.count(format!("{name}, labels"), events.labels().len(), None);
            if let Err(e) = dcase::apart(path, &events) {
                survey.notes.push(format!("{e}"));
            }
            survey.name(events.by_file.keys().map(|file| stem(file)));
        } else if table.find(&["duration"]).is_some() {
            let durations = dcase::durations(path)?;
            survey.count(
                format!("{name}, files with a duration"),
                durations.len(),
                None,
            );
            survey.name(durations.keys().map(|file| stem(file)));
        } else if table.find(&["event_labels"]).is_some() {
            let videos = weak_dcase(path)?;
            survey.count(
                format!("{name}, files with weak labels"),
                videos.len(),
                None,
            );
            survey.name(videos);
        } else {
            bail!(
                "{} is not a table of DCASE: it has neither event_label, event_labels nor duration",
                path.display()
            );
        }
    }
    Ok(())
}

fn weak_dcase(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut table = Table::open(path)?;
    let file = table.column(
        "filename",
        "Weak labels need filename and event_labels, with a tab between",
    )?;
    let mut files = BTreeSet::new();
    table.rows(|row| {
        files.insert(stem(row.word(file)?));
        Ok(())
    })?;
    Ok(files)
}

/// A file's name without its extension.
fn stem(file: &str) -> String {
    Path::new(file)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn highlights(files: &Files<'_>, survey: &mut Survey) -> anyhow::Result<()> {
    for (name, path) in files {
        let published = match *name {
            "highlight_train_release.jsonl" => Some(7_218),
            "highlight_val_release.jsonl" => Some(1_550),
            "highlight_test_release.jsonl" => Some(1_542),
            _ => None,
        };
        if name.contains("test") {
            let videos = qvhighlights::unlabelled(path)?;
            survey.count(format!("{name}, queries"), videos.len(), published);
            survey.name(videos);
            continue;
        }
        let queries = qvhighlights::labels(path)?;
        survey.count(format!("{name}, queries"), queries.len(), published);
        let windows = queries.iter().map(|query| query.windows.len()).sum();
        survey.count(format!("{name}, windows"), windows, None);
        survey.name(queries.into_iter().map(|query| query.video));
    }
    Ok(())
}

fn asked(
    files: &Files<'_>,
    survey: &mut Survey,
    read: fn(&Path) -> anyhow::Result<Vec<Question>>,
    published: impl Fn(&str) -> Option<usize>,
) -> anyhow::Result<()> {
    for (name, path) in files {
        let questions = read(path)?;
        let ids: BTreeSet<&str> = questions.iter().map(|q| q.id.as_str()).collect();
        survey.count(format!("{name}, questions"), ids.len(), published(name));
        if ids.len() < questions.len() {
            survey.notes.push(format!(
                "{name}: {} questions have the id of another one",
                questions.len() - ids.len()
            ));
        }
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for question in &questions {
            *kinds.entry(question.kind.as_str()).or_default() += 1;
        }
        for (kind, count) in kinds.into_iter().filter(|(kind, _)| !kind.is_empty()) {
            survey.count(format!("{name}, {kind}"), count, None);
        }
        let located = questions.iter().filter(|q| q.span.is_some()).count();
        if located > 0 {
            survey.count(format!("{name}, questions with a span"), located, None);
        }
        survey.name(questions.into_iter().map(|q| q.video));
    }
    Ok(())
}

fn kitchenmix(files: &Files<'_>, survey: &mut Survey) -> anyhow::Result<()> {
    const NEEDED: &str = "KitchenMix's labels have start_s, stop_s and class";
    let mut all = 0;
    let mut classes = BTreeSet::new();
    for (name, path) in files {
        let mut table = Table::open(path)?;
        let (start, stop) = (
            table.column("start_s", NEEDED)?,
            table.column("stop_s", NEEDED)?,
        );
        let class = table.column("class", NEEDED)?;
        all += table.rows(|row| {
            row.span(start, stop)?;
            classes.insert(row.word(class)?.to_owned());
            Ok(())
        })?;
        let stem = name.trim_end_matches(".csv").trim_end_matches(".labels");
        survey.name([stem]);
    }
    survey.count("recordings", files.len(), None);
    survey.count("events", all, None);
    survey.count("classes", classes.len(), None);
    Ok(())
}
