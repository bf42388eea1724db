//! Labelled recordings: a folder of sound or video files, and labels beside them or in one file.

use std::path::{Path, PathBuf};

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::hear::{Mel, hear};
use crate::eval::labels::{self, Event};
use crate::recording::Input;

/// Files that may hold sound.
const SOUNDS: [&str; 14] = [
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "mp4", "m4v", "mkv", "webm", "mov",
    "avi",
];
/// Most recordings, and most sound: it is held in memory as mel frames, 46 MB an hour.
const MOST: usize = 10_000;
const MOST_HOURS: f64 = 100.0;

/// What was heard in a recording, and what begins in it when.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) name: String,
    /// Where it is.
    pub(super) given: String,
    pub(super) mel: Mel,
    /// By start; all begin within the recording.
    pub(super) events: Vec<Event>,
}

impl Recording {
    /// When each event starts and stops, s.
    pub(super) fn spans(&self) -> impl Iterator<Item = (f32, f32)> {
        self.events.iter().map(|event| {
            let span = event.span;
            (span.start().seconds() as f32, span.stop().seconds() as f32)
        })
    }

    /// How long it lasts, as far as it was heard.
    pub(super) fn duration(&self) -> Nanos {
        Nanos::from_ms(
            (self.mel.len() as i64)
                .saturating_mul(10)
                .saturating_add(15),
        )
    }
}

/// A file and the events in it.
struct Labelled {
    path: PathBuf,
    name: String,
    events: Vec<Event>,
}

/// Reads and hears every labelled recording of a folder, by name.
///
/// `labels`: one file for all, which names recordings in its column `video_id`; unset: `NAME.labels.csv` or `NAME.csv` beside each.
///
/// # Errors
/// No recording has labels, a file makes no sense or has no sound, or there is more than fits into memory.
pub(super) fn read(
    folder: &Path,
    labels: Option<&Path>,
    mut said: impl FnMut(usize, usize, &str),
) -> anyhow::Result<Vec<Recording>> {
    let found = match labels {
        Some(file) => by_video_id(folder, file)?,
        None => beside(folder)?,
    };
    let (all, mut hours) = (found.len(), 0.0);
    let mut recordings = Vec::with_capacity(all);
    for (i, labelled) in found.into_iter().enumerate() {
        said(i, all, &labelled.name);
        let given = labelled.path.display().to_string();
        let mel = hear(&Input::new(&given)?)?;
        let mut one = Recording {
            name: labelled.name,
            given: given.clone(),
            mel,
            events: labelled.events,
        };
        hours += one.duration().seconds() / 3600.0;
        if hours > MOST_HOURS {
            bail!(
                "{} holds more than {MOST_HOURS} hours of labelled sound: use fewer recordings",
                folder.display()
            );
        }
        let (stop, before) = (one.duration(), one.events.len());
        one.events.retain(|event| event.span.start() < stop);
        if one.events.is_empty() {
            bail!(
                "{given}: {before} events are labelled, and none begins within its {stop} (are the times in milliseconds, or another recording's?)"
            );
        }
        recordings.push(one);
    }
    Ok(recordings)
}

/// The sound and video files of a folder, by name.
fn sounds(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = folder.display();
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {name}"))?
    {
        let path = entry
            .with_context(|| format!("cannot read the folder {name}"))?
            .path();
        let ending = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        if SOUNDS.contains(&ending.as_str()) {
            found.push(path);
        }
        if found.len() > MOST {
            bail!("{name} holds more than {MOST} recordings");
        }
    }
    found.sort();
    if found.is_empty() {
        bail!(
            "{name} holds no sound or video file ({})",
            SOUNDS.join(", ")
        );
    }
    Ok(found)
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn beside(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let files = sounds(folder)?;
    let mut found = Vec::new();
    for path in &files {
        let name = stem(path);
        let labels = [".labels.csv", ".csv"]
            .map(|end| folder.join(format!("{name}{end}")))
            .into_iter()
            .find(|labels| labels.is_file());
        let Some(labels) = labels else { continue };
        let events = labels::read(&labels)?;
        if events.is_empty() {
            bail!(
                "{} labels no event: leave the recording out if nothing happens in it",
                labels.display()
            );
        }
        found.push(Labelled {
            path: path.clone(),
            name,
            events,
        });
    }
    if found.is_empty() {
        bail!(
            "none of the {} recordings in {} has labels: NAME.labels.csv or NAME.csv beside NAME.wav, or one file for all with --labels",
            files.len(),
            folder.display()
        );
    }
    Ok(found)
}

fn by_video_id(folder: &Path, labels: &Path) -> anyhow::Result<Vec<Labelled>> {
    let files = sounds(folder)?;
    let all = labels::read(labels)?;
    if all.iter().all(|event| event.video_id.is_none()) {
        bail!(
            "{} has no column video_id: labels of many recordings must say whose they are",
            labels.display()
        );
    }
    let mut found = Vec::new();
    for path in files.iter() {
        let name = stem(path);
        let own = |event: &&Event| event.video_id.as_deref() == Some(name.as_str());
        let events: Vec<Event> = all.iter().filter(own).cloned().collect();
        if !events.is_empty() {
            found.push(Labelled {
                path: path.clone(),
                name,
                events,
            });
        }
    }
    if found.is_empty() {
        let first = all.iter().find_map(|event| event.video_id.clone());
        bail!(
            "{} names no recording of {}: its first video_id is `{}`, the first file is {}",
            labels.display(),
            folder.display(),
            first.unwrap_or_default(),
            files.first().map(|path| stem(path)).unwrap_or_default()
        );
    }
    Ok(found)
}

/// What recordings sound like and what is labelled in them, as a hash: the same data gives the same.
pub(super) fn digest(recordings: &[Recording]) -> String {
    let mut hash = Sha256::new();
    for one in recordings {
        hash.update(one.name.as_bytes());
        for event in &one.events {
            hash.update(event.span.start().get().to_le_bytes());
            hash.update(event.span.stop().get().to_le_bytes());
        }
        for bytes in one.mel.bytes() {
            hash.update(bytes);
        }
    }
    format!("{:x}", hash.finalize())
}
