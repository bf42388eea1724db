//! Reads the anchors and frames of recordings from feature files or plans, each with its recording.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anchoring::plan::{Clip, Line};
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gstearmark::h5::{self, Parts};

use crate::outputs::features::Readable;
use crate::outputs::plan;
use crate::report::recording_named;

/// Most recordings of a folder.
const MOST: usize = 20_000;

/// An anchor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sound {
    pub(crate) onset: Nanos,
    /// Its window.
    pub(crate) start: Nanos,
    pub(crate) stop: Nanos,
    /// Probability that an event begins here.
    pub(crate) score: f64,
    /// The tagger's label; may be empty.
    pub(crate) label: String,
}

/// A recording with its anchors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeardRecording {
    pub(crate) name: String,
    pub(crate) video: PathBuf,
    /// Its feature file or plan.
    pub(crate) file: PathBuf,
    pub(crate) duration: Nanos,
    pub(crate) sounds: Vec<Sound>,
    /// Frames of anchors: time, and index into `sounds`.
    pub(crate) frames: Vec<(Nanos, usize)>,
}

/// The recording of one file, or all of a folder, by name. `video`: the recording, or the folder of recordings.
///
/// # Errors
/// A file cannot be read, or its recording is missing.
pub(crate) fn read(given: &Path, video: &Path) -> anyhow::Result<Vec<HeardRecording>> {
    if !given.is_dir() {
        return Ok(vec![one(given, video)?]);
    }
    if !video.is_dir() {
        bail!(
            "{} is a folder, so --video must be a folder of recordings with the same names; {} is none",
            given.display(),
            video.display()
        );
    }
    let files = files(given)?;
    if files.is_empty() {
        bail!(
            "the folder {} has neither feature files (.h5) nor plans (.jsonl)",
            given.display()
        );
    }
    files.values().map(|file| one(file, video)).collect()
}

/// The feature files and plans of a folder by name; a feature file hides a plan of the same name.
///
/// # Errors
/// The folder cannot be read, or holds too many.
pub(crate) fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the folder {}", folder.display()))?
            .path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let fits = match ending {
            Some("h5") => true,
            Some("jsonl") => begins_as_plan(&path),
            _ => false,
        };
        let Some(stem) = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|stem| fits && !stem.starts_with('.'))
        else {
            continue;
        };
        let there = found.contains_key(stem);
        if !there || ending == Some("h5") {
            found.insert(stem.to_owned(), path);
        }
        if found.len() > MOST {
            bail!(
                "{} has more than {MOST} files; name a smaller folder",
                folder.display()
            );
        }
    }
    Ok(found)
}

/// Whether a file starts like a plan; a batch's `status.jsonl` does not.
fn begins_as_plan(path: &Path) -> bool {
    let Ok(file) = std::fs::File::open(path) else {
        return false;
    };
    let mut line = String::new();
    let mut reader = BufReader::new(file.take(200));
    let _ = reader.read_line(&mut line);
    line.contains("\"kind\":\"plan\"") || line.contains("\"kind\": \"plan\"")
}

/// One recording.
///
/// # Errors
/// The file cannot be read, or its recording is missing.
pub(crate) fn one(file: &Path, video: &Path) -> anyhow::Result<HeardRecording> {
    let stem = file.file_stem().unwrap_or_default();
    let video = recording_named(stem, video).with_context(|| {
        format!(
            "{} has no recording {} (mp4, mkv, webm, mov, m4v, avi, ts or mpg); check --video",
            video.display(),
            stem.to_string_lossy()
        )
    })?;
    let is_plan = file.extension().is_some_and(|ending| ending == "jsonl");
    let mut heard = if is_plan {
        of_plan(file)?
    } else {
        of_features(file)?
    };
    heard.video = video;
    heard.file = file.to_owned();
    if heard.name.is_empty() {
        heard.name = stem.to_string_lossy().into_owned();
    }
    if heard.duration <= Nanos::ZERO {
        bail!(
            "{} does not say how long its recording is; is it complete?",
            file.display()
        );
    }
    Ok(heard)
}

fn of_features(file: &Path) -> anyhow::Result<HeardRecording> {
    let readable = Readable::open(file, Parts::Tables)?;
    let summary = readable.summary()?;
    let tables = h5::read_tables(readable.path())?;
    let sounds: Vec<Sound> = tables
        .anchors
        .iter()
        .map(|row| Sound {
            onset: Nanos::new(row.onset_ns),
            start: Nanos::new(row.start_ns),
            stop: Nanos::new(row.stop_ns),
            score: f64::from(row.score),
            label: row.label.clone(),
        })
        .collect();
    let frames = tables.pts_ns.iter().zip(&tables.anchor);
    let frames = frames.filter_map(|(pts, row)| {
        let row = usize::try_from(*row)
            .ok()
            .filter(|row| *row < sounds.len())?;
        Some((Nanos::new(*pts), row))
    });
    Ok(HeardRecording {
        name: summary.video_id,
        video: PathBuf::new(),
        file: PathBuf::new(),
        duration: Nanos::new(summary.duration_ns),
        frames: frames.collect(),
        sounds,
    })
}

fn of_plan(file: &Path) -> anyhow::Result<HeardRecording> {
    let mut heard = HeardRecording {
        name: String::new(),
        video: PathBuf::new(),
        file: PathBuf::new(),
        duration: Nanos::ZERO,
        sounds: Vec::new(),
        frames: Vec::new(),
    };
    let mut rows: BTreeMap<u32, usize> = BTreeMap::new();
    plan::read(file, None, |line| match line {
        Line::Plan(header) => {
            heard.name = header.video_id;
            heard.duration = header.duration;
        }
        Line::Anchor(anchor) => {
            rows.insert(anchor.id, heard.sounds.len());
            heard.sounds.push(Sound {
                onset: anchor.onset,
                start: anchor.window.start(),
                stop: anchor.window.stop(),
                score: f64::from(anchor.score),
                label: anchor.label,
            });
        }
        Line::Frame(entry) | Line::Clip(Clip { entry, .. }) => {
            if let Some(row) = entry.anchor.and_then(|id| rows.get(&id)) {
                heard.frames.push((entry.planned, *row));
            }
        }
        _ => {}
    })?;
    Ok(heard)
}
