//! Reads labelled recordings: a folder of sound or video files, with labels beside them or in one file.

use std::path::{Path, PathBuf};

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::channels::Channel;
use super::random::Random;
use super::sound::{Mel, mel};
use crate::eval::labels::{self, Event};
use crate::recording::Input;

/// Extensions of sound and video files.
const SOUNDS: [&str; 14] = [
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "mp4", "m4v", "mkv", "webm", "mov",
    "avi",
];
/// Limits: recordings, and hours of sound, which is held in memory as mel frames (46 MB per hour).
const MOST: usize = 10_000;
const MOST_HOURS: f64 = 100.0;

/// A labelled recording as mel frames.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) name: String,
    /// Its path.
    pub(super) given: String,
    pub(super) mel: Mel,
    /// By start; all begin within the recording.
    pub(super) events: Vec<Event>,
}

impl Recording {
    /// Start and end of each event, s.
    pub(super) fn spans(&self) -> impl Iterator<Item = (f32, f32)> {
        self.events.iter().map(|event| {
            let span = event.span;
            (span.start().seconds() as f32, span.stop().seconds() as f32)
        })
    }

    /// Length of the decoded sound.
    pub(super) fn duration(&self) -> Nanos {
        Nanos::from_ms(
            (self.mel.len() as i64)
                .saturating_mul(10)
                .saturating_add(15),
        )
    }
}

/// How often each recording is used again, through a channel drawn from a seed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Channels {
    pub(super) count: u32,
    pub(super) seed: u64,
}

/// A file and its events.
struct Labelled {
    path: PathBuf,
    name: String,
    events: Vec<Event>,
}

/// Reads and decodes every labelled recording of a folder, by name.
///
/// `labels`: one file for all, with a column `video_id`; without it, `NAME.labels.csv` or `NAME.csv` beside each.
///
/// # Errors
/// No recording has labels, a file is invalid or has no sound, or there is more than fits into memory.
pub(super) fn read(
    folder: &Path,
    labels: Option<&Path>,
    channels: Channels,
    mut said: impl FnMut(usize, usize, &str),
) -> anyhow::Result<Vec<Recording>> {
    let found = match labels {
        Some(file) => by_video_id(folder, file)?,
        None => beside(folder)?,
    };
    let times = channels.count as usize + 1;
    let (all, mut hours) = (found.len() * times, 0.0);
    let mut recordings = Vec::with_capacity(all);
    for (i, k, labelled) in found
        .iter()
        .enumerate()
        .flat_map(|(i, labelled)| (0..times).map(move |k| (i, k, labelled)))
    {
        said(i * times + k, all, &labelled.name);
        let given = labelled.path.display().to_string();
        let channel =
            (k > 0).then(|| Channel::drawn(&mut Random::of(channels.seed, &[i as u64, k as u64])));
        let mel = mel(&Input::new(&given)?, channel)?;
        let mut one = Recording {
            name: labelled.name.clone(),
            given: given.clone(),
            mel,
            events: labelled.events.clone(),
        };
        hours += one.duration().seconds() / 3600.0;
        if hours > MOST_HOURS {
            bail!(
                "{} has more than {MOST_HOURS} hours of labelled sound; use fewer recordings",
                folder.display()
            );
        }
        let (stop, before) = (one.duration(), one.events.len());
        one.events.retain(|event| event.span.start() < stop);
        if one.events.is_empty() {
            bail!(
                "{given}: none of its {before} labelled events begins within its {stop} (are the times in milliseconds, or of another recording?)"
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
            bail!("{name} has more than {MOST} recordings");
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("{name} has no sound or video files ({})", SOUNDS.join(", "));
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
                "{} has no events; leave the recording out if nothing happens in it",
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
            "none of the {} recordings in {} has labels; put NAME.labels.csv or NAME.csv beside NAME.wav, or give one file for all with --labels",
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
            "{} has no column video_id; labels of many recordings need it",
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
            "{} has no labels for the recordings in {}: its first video_id is `{}`, the first file is {}",
            labels.display(),
            folder.display(),
            first.unwrap_or_default(),
            files.first().map(|path| stem(path)).unwrap_or_default()
        );
    }
    Ok(found)
}

/// A hash of sounds and labels.
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
