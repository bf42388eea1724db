//! Opinion scores -> the quality of the sound and frames of each clip: from the file itself, from feature files, or from recordings.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use gstearmark::h5;

use crate::batch::recordings_in;
use crate::cli::FitQuality;
use crate::datasets::opinions::Opinions;
use crate::failure::{Class, Failure, Usage};
use crate::outputs::RecordingQuality;
use crate::outputs::features::Readable;
use crate::quality::{Scene, Weights};
use crate::screen::Screener;
use crate::stop::Stop;
use crate::terminal::Output;

/// Keyframes of a recording.
const KEYFRAMES: usize = 24;

/// A clip.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub content: String,
    pub scene: Option<Scene>,
    /// Quality of the sound.
    pub sound: f32,
    /// Quality of the frames.
    pub frames: f32,
    /// The score, as a share of the scale.
    pub share: f64,
    /// The score.
    pub mos: f64,
}

impl Sample {
    pub(super) fn qualities(&self) -> [f64; 2] {
        [self.sound.into(), self.frames.into()]
    }
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default)]
struct KnownFile {
    sound: Option<f32>,
    frames: Option<f32>,
    scene: Option<Scene>,
}

/// The clips whose quality is known, and the names of the others.
///
/// # Errors
/// The recordings cannot be listed, a feature file is damaged, or ^C.
pub(super) fn of(
    given: &Opinions,
    args: &FitQuality,
    output: Output,
    stop: &Stop,
) -> anyhow::Result<(Vec<Sample>, Vec<String>)> {
    let mut folder = match &args.recordings {
        Some(path) => Some(Folder::open(path, args, output)?),
        None if given.clips.iter().all(|clip| clip.measured.is_none()) => bail!(Usage(format!(
            "{} says nothing of the quality of sound and frames: --recordings FOLDER names the clips, or their feature files",
            args.mos.display()
        ))),
        None => None,
    };
    let [low, high] = given.scale;
    let (mut samples, mut missing) = (Vec::new(), Vec::new());
    for clip in &given.clips {
        let mut known = KnownFile {
            sound: clip.measured.map(|[sound, _]| sound),
            frames: clip.measured.map(|[_, frames]| frames),
            scene: clip.scene,
        };
        if let (None, Some(folder)) = (clip.measured, &mut folder) {
            let whole = folder.known(&clip.name, stop)?;
            let found = match (&clip.apart, whole) {
                (_, Some(whole)) => whole,
                (Some([video, sound]), None) => {
                    let video = folder.known(video, stop)?.unwrap_or_default();
                    let sound = folder.known(sound, stop)?.unwrap_or_default();
                    KnownFile {
                        sound: sound.sound,
                        frames: video.frames,
                        scene: sound.scene.or(video.scene),
                    }
                }
                (None, None) => KnownFile::default(),
            };
            known = KnownFile {
                scene: clip.scene.or(found.scene),
                ..found
            };
        }
        match known.sound.zip(known.frames) {
            Some((sound, frames)) => samples.push(Sample {
                content: clip.content.clone(),
                scene: known.scene,
                sound,
                frames,
                share: (clip.mos - low) / (high - low),
                mos: clip.mos,
            }),
            None => missing.push(clip.name.clone()),
        }
    }
    Ok((samples, missing))
}

/// The files of a folder, measured once each.
struct Folder {
    files: BTreeMap<String, PathBuf>,
    known: HashMap<String, KnownFile>,
    screener: Screener,
    output: Output,
}

impl Folder {
    fn open(path: &Path, args: &FitQuality, output: Output) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let listed = std::fs::read_dir(path)
            .with_context(|| format!("cannot read the folder {}", path.display()))?;
        for entry in listed {
            let path = entry?.path();
            if path.extension().is_some_and(|own| own == "h5")
                && let Some(name) = path.file_stem()
            {
                files.insert(name.to_string_lossy().into_owned(), path);
            }
        }
        if files.is_empty() {
            let recordings = recordings_in(&[path])?;
            files = recordings
                .into_iter()
                .map(|(name, file)| (name, file.into()))
                .collect();
        }
        Ok(Self {
            files,
            known: HashMap::new(),
            screener: Screener::new(KEYFRAMES, Duration::from_secs(args.stall_timeout))?,
            output,
        })
    }

    /// What is known of a file; `None` if there is none of this name, or it cannot be read.
    fn known(&mut self, name: &str, stop: &Stop) -> anyhow::Result<Option<KnownFile>> {
        if stop.is_wanted() {
            return Err(Failure::error(
                Class::Stopped,
                "stopped; nothing was written",
            ));
        }
        let Some(path) = self.files.get(name) else {
            return Ok(None);
        };
        if let Some(known) = self.known.get(name) {
            return Ok(Some(*known));
        }
        let known = match path.extension().is_some_and(|own| own == "h5") {
            true => of_features(path)?,
            false => {
                let given = path.to_string_lossy();
                let found = self.screener.one(name.into(), &given, self.output, stop);
                KnownFile {
                    sound: found.sound,
                    frames: found.frames,
                    scene: None,
                }
            }
        };
        self.known.insert(name.into(), known);
        Ok(Some(known))
    }
}

/// Means of a feature file, and its most frequent scene.
fn of_features(path: &Path) -> anyhow::Result<KnownFile> {
    let features = Readable::open(path, h5::Parts::Tables)?;
    let (tables, cues) = (
        h5::read_tables(features.path())?,
        h5::read_cues(features.path())?,
    );
    let Some(quality) = RecordingQuality::of(&tables, &cues, &Weights::default()) else {
        return Ok(KnownFile::default());
    };
    let count = |scene: &Scene| {
        quality
            .stretches
            .iter()
            .filter(|one| one.scene == *scene)
            .count()
    };
    Ok(KnownFile {
        sound: quality.sound.map(|sound| sound.score),
        frames: quality.frames.map(|frames| frames.score),
        scene: Scene::ALL.into_iter().rev().max_by_key(count),
    })
}
