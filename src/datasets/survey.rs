//! Surveys a dataset on disk: its files, counts beside the published ones, and the videos that its labels name. `sets`: what is counted for
//! each dataset.

mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use gstearmark::printable::line;
use serde::Serialize;

use super::ave;
use super::recordings::Search;
use crate::cli::Layout;

/// Most files to visit for videos.
const MOST_FILES: usize = 2_000_000;
/// Most levels of folders.
const DEEPEST: usize = 16;
/// Missing videos to list; JSON has all.
const SHOWN: usize = 20;
/// Extensions of videos and sounds.
const RECORDINGS: Search = Search {
    endings: &[
        "mp4", "mkv", "webm", "mov", "avi", "m4v", "mpg", "flv", "wav", "flac", "mp3", "ogg",
        "opus", "m4a",
    ],
    most_files: MOST_FILES,
    deepest: DEEPEST,
};

/// The order in which layouts are tried: the one with the most common file names last.
const ORDER: [Layout; 10] = [
    Layout::Ave,
    Layout::EpicSounds,
    Layout::EpicKitchens,
    Layout::Llp,
    Layout::Qvhighlights,
    Layout::Nextqa,
    Layout::MusicAvqa,
    Layout::HmeQa,
    Layout::Kitchenmix,
    Layout::Dcase,
];

impl Layout {
    /// The names of its files.
    fn files(self) -> &'static str {
        match self {
            Self::Ave => "Annotations.txt, {train,val,test}_order.h5",
            Self::EpicSounds => "EPIC_Sounds_*.csv",
            Self::EpicKitchens => "EPIC_100_*.csv",
            Self::Llp => "AVVP_*.csv",
            Self::Dcase => "*.tsv",
            Self::Qvhighlights => "highlight_*.jsonl",
            Self::Nextqa => "{train,val,test}.csv",
            Self::MusicAvqa => "avqa-*.json",
            Self::HmeQa => "HME-QA_annotations*.json",
            Self::Kitchenmix => "*.csv with start_s, stop_s and class, here or in events/",
        }
    }

    /// Whether a file of this name belongs to it; a final `.gz` is ignored.
    fn has(self, name: &str) -> bool {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let between = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
        match self {
            Self::Ave => name == ave::ANNOTATIONS,
            Self::EpicSounds => between("EPIC_Sounds_", ".csv"),
            Self::EpicKitchens => between("EPIC_100_", ".csv") && !name.contains("_classes"),
            Self::Llp => between("AVVP_", ".csv"),
            Self::Dcase => name.ends_with(".tsv"),
            Self::Qvhighlights => between("highlight_", ".jsonl"),
            Self::Nextqa => ["train.csv", "val.csv", "test.csv"].contains(&name),
            Self::MusicAvqa => between("avqa-", ".json"),
            Self::HmeQa => between("HME-QA_annotations", ".json"),
            // Those two give the origin of sounds, and the lengths of recordings.
            Self::Kitchenmix => {
                name.ends_with(".csv") && name != "attribution.csv" && name != "videos.csv"
            }
        }
    }
}

/// A count beside the published one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) what: String,
    pub(crate) found: usize,
    /// `None` if unknown.
    pub(crate) published: Option<usize>,
}

/// The videos that labels name, and those on disk.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Videos {
    pub(crate) named: usize,
    pub(crate) there: usize,
    pub(crate) missing: Vec<String>,
    /// Files that no label names.
    pub(crate) unnamed: usize,
}

/// The result of a survey.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Survey {
    pub(crate) layout: &'static str,
    pub(crate) files: Vec<String>,
    pub(crate) counts: Vec<Count>,
    /// Oddities of the labels that users must know.
    pub(crate) notes: Vec<String>,
    pub(crate) videos: Option<Videos>,
    /// Whether every known count is as published.
    pub(crate) as_published: bool,
    #[serde(skip)]
    named: BTreeSet<String>,
}

impl Survey {
    fn new(layout: Layout) -> Self {
        Self {
            layout: layout.name(),
            files: Vec::new(),
            counts: Vec::new(),
            notes: Vec::new(),
            videos: None,
            as_published: true,
            named: BTreeSet::new(),
        }
    }

    fn count(&mut self, what: impl Into<String>, found: usize, published: Option<usize>) {
        self.as_published &= published.is_none_or(|published| published == found);
        self.counts.push(Count {
            what: what.into(),
            found,
            published,
        });
    }

    fn name(&mut self, videos: impl IntoIterator<Item = impl Into<String>>) {
        self.named.extend(videos.into_iter().map(Into::into));
    }
}

/// Surveys a dataset in a folder; its files show which one it is, unless the caller does. `videos`: the folder of its recordings.
///
/// # Errors
/// The folder has no file of a known layout, or an invalid one.
pub(crate) fn survey(
    folder: &Path,
    layout: Option<Layout>,
    videos: Option<&Path>,
) -> anyhow::Result<Survey> {
    let names = names(folder)?;
    let found = |layout: &Layout| names.iter().any(|(name, _)| layout.has(name));
    let layout = match layout {
        Some(layout) if found(&layout) => layout,
        Some(layout) => bail!(
            "{} has none of the files of {}: {}",
            folder.display(),
            layout.name(),
            layout.files()
        ),
        None => match ORDER.into_iter().find(found) {
            Some(layout) => layout,
            None => bail!(
                "{} has no file of a known layout: {}",
                folder.display(),
                ORDER
                    .map(|l| format!("{} ({})", l.name(), l.files()))
                    .join(", ")
            ),
        },
    };
    let files: BTreeMap<&str, &Path> = names
        .iter()
        .filter(|(name, _)| layout.has(name))
        .map(|(name, path)| (name.strip_suffix(".gz").unwrap_or(name), path.as_path()))
        .collect();
    let mut survey = Survey::new(layout);
    survey.files = files.keys().map(|name| (*name).to_owned()).collect();
    sets::read(layout, folder, &files, &mut survey)?;
    if let Some(folder) = videos {
        let there = recordings(folder)?;
        let missing: Vec<String> = survey.named.difference(&there).cloned().collect();
        survey.videos = Some(Videos {
            named: survey.named.len(),
            there: survey.named.len() - missing.len(),
            unnamed: there.difference(&survey.named).count(),
            missing,
        });
    }
    let named = survey.named.len();
    survey.count("videos named", named, None);
    Ok(survey)
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "layout {}: {}\n",
            self.layout,
            line(&self.files.join(", "))
        )?;
        let width = self
            .counts
            .iter()
            .map(|count| count.what.chars().count())
            .max();
        let width = width.unwrap_or(0).clamp(20, 70);
        writeln!(f, "{:<width$}{:>10}{:>12}", "", "found", "published")?;
        for count in &self.counts {
            let (published, differs) = match count.published {
                None => ("-".to_owned(), ""),
                Some(published) if published == count.found => (published.to_string(), ""),
                Some(published) => (published.to_string(), "  differs"),
            };
            let what = line(&count.what);
            writeln!(
                f,
                "{what:<width$}{:>10}{published:>12}{differs}",
                count.found
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {}", line(note))?;
        }
        if let Some(videos) = &self.videos {
            writeln!(
                f,
                "videos: {} of {} are there, {} are missing; {} files that no label names",
                videos.there,
                videos.named,
                videos.missing.len(),
                videos.unnamed
            )?;
            for missing in videos.missing.iter().take(SHOWN) {
                writeln!(f, "  missing: {}", line(missing))?;
            }
            if videos.missing.len() > SHOWN {
                writeln!(
                    f,
                    "  and {} more (--json has all)",
                    videos.missing.len() - SHOWN
                )?;
            }
        }
        Ok(())
    }
}

/// The files of a folder and of its `events/`, by name.
fn names(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    let mut names = Vec::new();
    for place in [folder.to_owned(), folder.join("events")] {
        let Ok(entries) = std::fs::read_dir(&place) else {
            continue;
        };
        for entry in entries.take(MOST_FILES) {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() {
                names.push((name.into_owned(), path));
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The recordings of a folder and below, by name without extension.
fn recordings(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    if !folder.is_dir() {
        bail!("{} is not a folder of recordings", folder.display());
    }
    Ok(RECORDINGS.within(folder)?.into_keys().collect())
}
