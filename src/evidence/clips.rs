//! Cuts labelled recordings into pieces of a protocol: the class of each second, and the split of each recording.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::workers;
use crate::cli::{SampleLayout, Sampled};
use crate::datasets::ave;
use crate::datasets::recordings::Search;
use crate::eval::labels;
use crate::recording::{self, Input, Recording};

/// The class of a second without an event.
pub(super) const BACKGROUND: &str = "Background";
/// How much shorter than its last piece a recording may be.
const SHORT: Nanos = Nanos::from_ms(400);
/// Most files to visit for recordings.
const MOST_FILES: usize = 1_000_000;
/// Most levels of folders.
const DEEPEST: usize = 8;
/// Extensions of videos.
const VIDEOS: Search = Search {
    endings: &["mp4", "mkv", "webm", "mov", "avi", "m4v"],
    most_files: MOST_FILES,
    deepest: DEEPEST,
};

/// A recording, cut into pieces of the protocol.
#[derive(Clone, Debug)]
pub(super) struct Clip {
    /// Names its files; unique.
    pub(super) name: String,
    pub(super) video: PathBuf,
    /// 0 training, 1 validation, 2 test.
    pub(super) split: u8,
    /// The class of every second of every piece.
    pub(super) labels: Vec<usize>,
    pub(super) duration: Nanos,
    /// Its streams.
    pub(super) recording: Recording,
}

/// All pieces.
#[derive(Debug)]
pub(super) struct Clips {
    /// Where recordings were searched.
    folder: PathBuf,
    /// Labelled recordings for training, validation and the test, whether they are there or not.
    pub(super) in_splits: [usize; 3],
    /// The last is [`BACKGROUND`].
    pub(super) classes: Vec<String>,
    pub(super) clips: Vec<Clip>,
    /// Recordings that labels name but that are missing.
    pub(super) missing: Vec<String>,
    /// Recordings that cannot be read, or are shorter than a piece; with the reason.
    pub(super) left_out: Vec<String>,
    /// SHA-256 of all labels.
    pub(super) hash: String,
}

impl Clips {
    pub(super) fn background(&self) -> usize {
        self.classes.len() - 1
    }

    /// # Errors
    /// None of them is there.
    pub(super) fn some(self) -> anyhow::Result<Self> {
        if self.clips.is_empty() {
            bail!(
                "none of the {} labelled recordings is in {}: is it the right folder? (--videos){}",
                self.in_splits.iter().sum::<usize>(),
                self.folder.display(),
                self.left_out
                    .first()
                    .map_or_else(String::new, |why| format!("; {why}"))
            );
        }
        Ok(self)
    }

    /// How many there are, and the first that are missing or left out.
    pub(super) fn said(&self) -> String {
        let mut text = format!(
            "{} recordings, {} classes and background; {} missing, {} left out\n",
            self.clips.len(),
            self.background(),
            self.missing.len(),
            self.left_out.len()
        );
        for one in self
            .missing
            .iter()
            .map(|name| format!("missing: {name}"))
            .chain(self.left_out.iter().map(|why| format!("left out: {why}")))
            .take(20)
        {
            text += &format!("  {one}\n");
        }
        text
    }
}

/// A recording with its labels.
struct Labelled {
    name: String,
    video: String,
    split: u8,
    /// Begin, end in seconds, and class.
    events: Vec<(f64, f64, String)>,
}

fn probe(video: &Path) -> anyhow::Result<Recording> {
    let path = video.to_str().context("its path is not UTF-8")?;
    Ok(recording::probe(&Input::new(path)?)?)
}

/// Reads labels and finds recordings.
///
/// # Errors
/// A label file cannot be read or is invalid.
pub(super) fn read(sampled: &Sampled, seconds: usize) -> anyhow::Result<Clips> {
    let labelled = match sampled.layout {
        SampleLayout::Ave => of_ave(&sampled.data)?,
        SampleLayout::Kitchenmix => of_kitchenmix(&sampled.data)?,
    };
    let classes: BTreeSet<&str> = labelled
        .iter()
        .flat_map(|one| one.events.iter().map(|event| event.2.as_str()))
        .filter(|class| *class != BACKGROUND)
        .collect();
    let mut classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    if classes.is_empty() {
        bail!("{} has no labelled events", sampled.data.display());
    }
    classes.push(BACKGROUND.into());
    let numbers: HashMap<&str, usize> = classes
        .iter()
        .enumerate()
        .map(|(i, class)| (class.as_str(), i))
        .collect();
    let background = classes.len() - 1;
    let folder = sampled.videos.as_ref().unwrap_or(&sampled.data);
    let there = VIDEOS.within(folder)?;
    let mut hash = Sha256::new();
    let (mut clips, mut missing, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    let probed = workers::each(&labelled, workers::count(), |one, _| {
        let found = there.get(&one.video);
        Ok(found.map(|video| probe(video)))
    })?;
    for (one, probed) in labelled.iter().zip(probed) {
        hash.update(format!("{} {} {:?}\n", one.name, one.split, one.events));
        let Some((video, probed)) = there.get(&one.video).zip(probed) else {
            missing.push(one.video.clone());
            continue;
        };
        let recording: Recording = match probed {
            Ok(found) if !found.video.is_empty() => found,
            Ok(_) => {
                left_out.push(format!("{}: has no video", one.name));
                continue;
            }
            Err(e) => {
                left_out.push(format!("{}: {e:#}", one.name));
                continue;
            }
        };
        let duration = recording.duration.unwrap_or_default();
        let length = (duration + SHORT).seconds();
        let pieces = (length / seconds as f64) as usize;
        let pieces = match sampled.layout {
            SampleLayout::Ave => pieces.min(1),
            SampleLayout::Kitchenmix => pieces,
        };
        if pieces == 0 {
            left_out.push(format!(
                "{}: {:.1} s, shorter than a piece of {seconds} s",
                one.name,
                duration.seconds()
            ));
            continue;
        }
        let labels = (0..pieces * seconds)
            .map(|second| class_of(second, &one.events, &numbers, background))
            .collect();
        clips.push(Clip {
            name: one.name.clone(),
            video: video.clone(),
            split: one.split,
            labels,
            duration,
            recording,
        });
    }
    let mut in_splits = [0; 3];
    for one in &labelled {
        in_splits[usize::from(one.split).min(2)] += 1;
    }
    Ok(Clips {
        folder: folder.clone(),
        in_splits,
        classes,
        clips,
        missing,
        left_out,
        hash: format!("{:x}", hash.finalize()),
    })
}

/// The class of the event that fills most of a second, if it fills at least half of it or lies in it completely.
fn class_of(
    second: usize,
    events: &[(f64, f64, String)],
    numbers: &HashMap<&str, usize>,
    background: usize,
) -> usize {
    let (from, until) = (second as f64, second as f64 + 1.0);
    let mut best = (0.0, background);
    for (start, stop, class) in events {
        let within = stop.min(until) - start.max(from);
        let enough = within >= 0.5 || (within > 0.0 && within >= (stop - start) - 1e-9);
        if enough && within > best.0 {
            best = (
                within,
                numbers.get(class.as_str()).copied().unwrap_or(background),
            );
        }
    }
    best.1
}

fn of_ave(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let all = ave::annotations(&folder.join(ave::ANNOTATIONS))?;
    let mut labelled = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (split, file) in [(0, "train"), (1, "val"), (2, "test")] {
        for row in ave::order(&folder.join(format!("{file}_order.h5")), all.len())? {
            let one = &all[row];
            let seen = names.entry(&one.video).or_default();
            *seen += 1;
            labelled.push(Labelled {
                // Some videos have two annotations.
                name: if *seen == 1 {
                    one.video.clone()
                } else {
                    format!("{}.{seen}", one.video)
                },
                video: one.video.clone(),
                split,
                events: vec![(one.span.0 as f64, one.span.1 as f64, one.class.clone())],
            });
        }
    }
    for one in &labelled {
        plain(&one.name)?;
    }
    Ok(labelled)
}

/// Every fifth recording by name is for validation, the next one for the test.
fn of_kitchenmix(folder: &Path) -> anyhow::Result<Vec<Labelled>> {
    let mut files = BTreeMap::new();
    for place in [folder.to_owned(), folder.join("events")] {
        let Ok(entries) = std::fs::read_dir(&place) else {
            continue;
        };
        for entry in entries.take(MOST_FILES) {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let stem = name
                .strip_suffix(".csv")
                .map(|stem| stem.strip_suffix(".labels").unwrap_or(stem));
            if let Some(stem) = stem.filter(|stem| !["attribution", "videos"].contains(stem)) {
                files.insert(stem.to_owned(), path);
            }
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no labels: NAME.csv, here or in events/",
            folder.display()
        );
    }
    let mut labelled = Vec::new();
    for (i, (name, path)) in files.into_iter().enumerate() {
        plain(&name)?;
        let events = labels::read(&path)?
            .into_iter()
            .map(|event| {
                (
                    event.span.start().seconds(),
                    event.span.stop().seconds(),
                    event.class,
                )
            })
            .collect();
        let split = [0, 0, 0, 1, 2][i % 5];
        labelled.push(Labelled {
            video: name.clone(),
            name,
            split,
            events,
        });
    }
    Ok(labelled)
}

/// Names become file names.
fn plain(name: &str) -> anyhow::Result<()> {
    if name.contains(['/', '\0']) || name.starts_with('.') {
        bail!("the labels name a recording `{name}`: must be a file name without its extension");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_the_class_that_fills_most_of_it() {
        let numbers = HashMap::from([("a", 0), ("b", 1)]);
        let events = [
            (0.0, 1.6, "a".to_owned()),
            (1.3, 4.0, "b".to_owned()),
            (7.2, 7.4, "a".to_owned()),
        ];
        let found: Vec<usize> = (0..9)
            .map(|second| class_of(second, &events, &numbers, 2))
            .collect();
        assert_eq!(found, [0, 1, 1, 1, 2, 2, 2, 0, 2]);
    }
}
