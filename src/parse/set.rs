//! Reads sets of videos with labels: LLP's layout, AVE's, and densely labelled ones in ActivityNet's format.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::experiment::Labels;
use crate::datasets::{ave, llp, text};

/// Most classes of a densely labelled set, and most cells of labels.
const MOST_CLASSES: usize = 10_000;
const MOST_CELLS: usize = 1 << 30;

/// Videos and labels; splits are 0 training, 1 validation, 2 test.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub(super) seconds: usize,
    pub(super) classes: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) split: Vec<u8>,
    /// Whether each video has dense labels.
    pub(super) dense: Vec<u8>,
    /// `videos * classes`.
    pub(super) weak: Vec<u8>,
    /// `videos * seconds * classes`: heard, seen.
    pub(super) labels: [Vec<u8>; 2],
    /// The row of each video in files with all of them; ascending.
    pub(super) rows: Option<Vec<usize>>,
    /// Whether a video may be shorter than `seconds`.
    pub(super) shorter: bool,
}

impl Set {
    /// Videos without any label.
    pub(super) fn unlabelled(names: Vec<String>, classes: Vec<String>, seconds: usize) -> Self {
        let (n, c) = (names.len(), classes.len());
        Self {
            seconds,
            classes,
            split: vec![2; n],
            dense: vec![0; n],
            weak: vec![0; n * c],
            labels: [vec![0; n * seconds * c], vec![0; n * seconds * c]],
            names,
            rows: None,
            shorter: false,
        }
    }

    fn room(&mut self) -> anyhow::Result<()> {
        let (n, c) = (self.names.len(), self.classes.len());
        let cells = n.saturating_mul(c).saturating_mul(self.seconds);
        if n == 0 || c < 2 || cells > MOST_CELLS {
            bail!(
                "{n} videos of {} seconds and {c} classes: there must be videos and two classes, and {MOST_CELLS} cells at most",
                self.seconds
            );
        }
        self.weak = vec![0; n * c];
        self.labels = [vec![0; cells], vec![0; cells]];
        Ok(())
    }

    fn mark(&mut self, modality: usize, video: usize, span: std::ops::Range<usize>, class: usize) {
        let c = self.classes.len();
        for second in span.start..span.end.min(self.seconds) {
            self.labels[modality][(video * self.seconds + second) * c + class] = 1;
        }
    }
}

/// Reads a folder.
///
/// # Errors
/// A file is missing or invalid.
pub(super) fn read(labels: Labels, folder: &Path, seconds: usize) -> anyhow::Result<Set> {
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    match labels {
        Labels::Llp => of_llp(folder, seconds),
        Labels::Ave => of_ave(folder, seconds),
    }
}

fn of_llp(folder: &Path, seconds: usize) -> anyhow::Result<Set> {
    let mut set = Set {
        seconds,
        classes: llp::classes(folder)?,
        ..Set::default()
    };
    let mut weak = Vec::new();
    let mut index = HashMap::new();
    for (split, file) in [llp::TRAIN, llp::VALIDATION, llp::TEST]
        .into_iter()
        .enumerate()
    {
        for video in llp::weak(&folder.join(file), &set.classes)? {
            if index.insert(video.name.clone(), set.names.len()).is_some() {
                bail!(
                    "{}: {} is in another split too",
                    folder.join(file).display(),
                    video.name
                );
            }
            set.names.push(video.name);
            set.split.push(split as u8);
            set.dense.push(u8::from(split > 0));
            weak.push(video.classes);
        }
    }
    set.room()?;
    let c = set.classes.len();
    for (video, classes) in weak.into_iter().enumerate() {
        for class in classes {
            set.weak[video * c + class] = 1;
        }
    }
    for (modality, file) in [llp::AUDIO, llp::VISUAL].into_iter().enumerate() {
        let mut used = 0;
        for stretch in llp::dense(&folder.join(file), &set.classes)? {
            // A video of the training split may be in it: its dense labels are ignored.
            let Some(video) = index
                .get(&stretch.video)
                .copied()
                .filter(|i| set.dense[*i] == 1)
            else {
                continue;
            };
            used += 1;
            set.mark(modality, video, stretch.from..stretch.until, stretch.class);
        }
        if used == 0 {
            bail!(
                "{} labels no video of the validation and test splits: are they of the same set?",
                folder.join(file).display()
            );
        }
    }
    Ok(set)
}

fn of_ave(folder: &Path, seconds: usize) -> anyhow::Result<Set> {
    let annotations = ave::annotations(&folder.join(ave::ANNOTATIONS))?;
    let mut split_of = BTreeMap::new();
    for (split, name) in ["train", "val", "test"].into_iter().enumerate() {
        let path = folder.join(format!("{name}_order.h5"));
        for row in ave::order(&path, annotations.len())? {
            if split_of.insert(row, split as u8).is_some() {
                bail!(
                    "{}: annotation {row} is in another split too",
                    path.display()
                );
            }
        }
    }
    let mut classes: Vec<String> = annotations.iter().map(|a| a.class.clone()).collect();
    classes.sort();
    classes.dedup();
    let mut set = Set {
        seconds,
        classes,
        rows: Some(split_of.keys().copied().collect()),
        ..Set::default()
    };
    for (row, split) in &split_of {
        set.names.push(annotations[*row].video.clone());
        set.split.push(*split);
        set.dense.push(u8::from(*split > 0));
    }
    set.room()?;
    let c = set.classes.len();
    for (video, row) in split_of.into_keys().enumerate() {
        let one = &annotations[row];
        let class = set.classes.iter().position(|class| *class == one.class);
        let class = class.context("every class is in the list that was made of them")?;
        set.weak[video * c + class] = 1;
        if set.dense[video] == 1 {
            set.mark(0, video, one.span.0..one.span.1, class);
            set.mark(1, video, one.span.0..one.span.1, class);
        }
    }
    Ok(set)
}

/// A file of annotations in ActivityNet's form.
#[derive(Deserialize)]
struct Annotations {
    database: BTreeMap<String, Video>,
}

#[derive(Deserialize)]
struct Video {
    subset: String,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Annotation {
    segment: [f64; 2],
    label: String,
    #[serde(default)]
    label_id: Option<usize>,
}

/// Reads a densely labelled set, whose events count as both heard and seen; a second has an event if the event covers its middle. Classes are
/// in the order of `label_id`, or alphabetical without it. Subsets that begin with `train` are for training, with `val` for validation, others
/// for the test.
///
/// # Errors
/// The file cannot be read or is invalid.
pub(super) fn dense(path: &Path, seconds: usize) -> anyhow::Result<Set> {
    let name = path.display();
    let all: Annotations = serde_json::from_str(&text::text(path)?)
        .with_context(|| format!("{name} is not JSON in ActivityNet's format: database, then videos with subset and annotations"))?;
    let mut ids: BTreeMap<(Option<usize>, String), ()> = BTreeMap::new();
    for annotation in all.database.values().flat_map(|video| &video.annotations) {
        ids.insert((annotation.label_id, annotation.label.clone()), ());
    }
    let classes: Vec<String> = ids.into_keys().map(|(_, label)| label).collect();
    let mut index = HashMap::new();
    for (i, class) in classes.iter().enumerate() {
        if index.insert(class.clone(), i).is_some() {
            bail!("{name}: `{class}` has two values of label_id");
        }
    }
    if classes.len() > MOST_CLASSES {
        bail!(
            "{name} has {} classes, more than {MOST_CLASSES}",
            classes.len()
        );
    }
    let mut set = Set {
        seconds,
        classes,
        shorter: true,
        ..Set::default()
    };
    for (video, about) in &all.database {
        set.names.push(video.clone());
        set.split.push(match about.subset.to_lowercase() {
            subset if subset.starts_with("train") => 0,
            subset if subset.starts_with("val") => 1,
            _ => 2,
        });
        set.dense.push(1);
    }
    set.room().with_context(|| format!("{name}"))?;
    let c = set.classes.len();
    for (i, (video, about)) in all.database.iter().enumerate() {
        for annotation in &about.annotations {
            let [from, until] = annotation.segment;
            if !(from >= 0.0 && until >= from && until < 1e9) {
                bail!(
                    "{name}: {video} has the segment [{from}, {until}]: must be seconds, the end not before the beginning"
                );
            }
            let class = index[&annotation.label];
            let span =
                (from - 0.5).ceil().max(0.0) as usize..(until - 0.5).ceil().max(0.0) as usize;
            set.weak[i * c + class] = 1;
            set.mark(0, i, span.clone(), class);
            set.mark(1, i, span, class);
        }
    }
    Ok(set)
}
