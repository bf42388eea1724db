//! LLP (Look, Listen and Parse): weak labels of ten-second videos, and dense ones of what is heard and seen (tab-separated or CSV, by column
//! name).

use std::collections::HashMap;
use std::path::Path;

use anyhow::bail;

use super::table::Table;
use super::text;

/// Seconds of a video.
pub(crate) const SECONDS: usize = 10;
/// The files of a folder.
pub(crate) const TRAIN: &str = "AVVP_train.csv";
pub(crate) const VALIDATION: &str = "AVVP_val_pd.csv";
pub(crate) const TEST: &str = "AVVP_test_pd.csv";
pub(crate) const AUDIO: &str = "AVVP_eval_audio.csv";
pub(crate) const VISUAL: &str = "AVVP_eval_visual.csv";

/// A file beside them with other classes for sets of the same layout: one name per line.
pub(crate) const CLASS_LIST: &str = "classes.txt";
/// Most classes of such a set.
const MOST_CLASSES: usize = 10_000;

/// LLP's classes, in the authors' order.
const CLASSES: [&str; 25] = [
    "Speech",
    "Car",
    "Cheering",
    "Dog",
    "Cat",
    "Frying_(food)",
    "Basketball_bounce",
    "Fire_alarm",
    "Chainsaw",
    "Cello",
    "Banjo",
    "Singing",
    "Chicken_rooster",
    "Violin_fiddle",
    "Vacuum_cleaner",
    "Baby_laughter",
    "Accordion",
    "Lawn_mower",
    "Motorcycle",
    "Helicopter",
    "Acoustic_guitar",
    "Telephone_bell_ringing",
    "Baby_cry_infant_cry",
    "Blender",
    "Clapping",
];

/// The classes of a folder: those of its `classes.txt`, else LLP's.
///
/// # Errors
/// The list cannot be read, or names a class twice.
pub(crate) fn classes(folder: &Path) -> anyhow::Result<Vec<String>> {
    let list = folder.join(CLASS_LIST);
    if !list.exists() {
        return Ok(CLASSES.map(str::to_owned).to_vec());
    }
    let mut classes: Vec<String> = Vec::new();
    for (i, line) in text::text(&list)?.lines().enumerate() {
        let class = line.trim();
        if class.is_empty() {
            continue;
        }
        if classes.iter().any(|known| known == class) {
            bail!("{} line {}: `{class}` comes twice", list.display(), i + 1);
        }
        if classes.len() == MOST_CLASSES {
            bail!("{} has more than {MOST_CLASSES} classes", list.display());
        }
        classes.push(class.to_owned());
    }
    Ok(classes)
}

/// A video with the classes that occur somewhere in it.
#[derive(Clone, Debug)]
pub(crate) struct Video {
    pub(crate) name: String,
    pub(crate) classes: Vec<usize>,
}

/// Weak labels of a split.
///
/// # Errors
/// The file cannot be read, a class is unknown, or a video comes twice.
pub(crate) fn weak(path: &Path, known: &[String]) -> anyhow::Result<Vec<Video>> {
    const NEEDED: &str = "LLP's weak labels have filename and event_labels, with a tab between";
    let mut table = Table::open(path)?;
    let name = table.column("filename", NEEDED)?;
    let labels = table.column("event_labels", NEEDED)?;
    let mut seen = HashMap::new();
    let mut videos = Vec::new();
    table.rows(|row| {
        let video = row.word(name)?.to_owned();
        if let Some(before) = seen.insert(video.clone(), row.line()) {
            return Err(row.wrong(name, &format!("is in line {before} too")));
        }
        let classes = row.word(labels)?.split(',');
        let classes = classes
            .map(|class| index(class, known).map_err(|rule| row.wrong(labels, &rule)))
            .collect::<anyhow::Result<_>>()?;
        videos.push(Video {
            name: video,
            classes,
        });
        Ok(())
    })?;
    Ok(videos)
}

/// A labelled stretch of a video: whole seconds, half-open. Some of LLP's end at or before their start: they label nothing.
#[derive(Clone, Debug)]
pub(crate) struct LabelledSpan {
    pub(crate) video: String,
    pub(crate) from: usize,
    pub(crate) until: usize,
    pub(crate) class: usize,
}

impl LabelledSpan {
    /// Whether it labels anything.
    pub(crate) fn lasts(&self) -> bool {
        self.from < self.until
    }
}

/// Dense labels of what is heard, or of what is seen.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn dense(path: &Path, known: &[String]) -> anyhow::Result<Vec<LabelledSpan>> {
    const NEEDED: &str =
        "LLP's dense labels have filename, onset, offset and event_labels, with tabs between";
    let mut table = Table::open(path)?;
    let name = table.column("filename", NEEDED)?;
    let onset = table.column("onset", NEEDED)?;
    let offset = table.column("offset", NEEDED)?;
    let label = table.column("event_labels", NEEDED)?;
    let mut stretches = Vec::new();
    table.rows(|row| {
        let (from, until) = (row.index(onset)? as usize, row.index(offset)? as usize);
        if until > SECONDS {
            return Err(row.wrong(offset, "a video has the seconds 0 to 10"));
        }
        let class = row.word(label)?;
        stretches.push(LabelledSpan {
            video: row.word(name)?.to_owned(),
            from,
            until,
            class: index(class, known).map_err(|rule| row.wrong(label, &rule))?,
        });
        Ok(())
    })?;
    Ok(stretches)
}

/// A class by name, or an error.
pub(crate) fn index(class: &str, known: &[String]) -> Result<usize, String> {
    let class = class.trim();
    if let Some(index) = known.iter().position(|known| known == class) {
        return Ok(index);
    }
    let near = known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(known, class), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(near, _)| *near > 0.5);
    Err(match near {
        Some((_, known)) => {
            format!("`{class}` is not a class of this set; did you mean `{known}`?")
        }
        None => format!("`{class}` is not a class of this set"),
    })
}

/// Dense labels of the videos of the test split.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) classes: Vec<String>,
    pub(crate) videos: Vec<String>,
    /// Heard classes by video: for each second, whether each class is there.
    pub(crate) audio: Vec<Vec<bool>>,
    /// The same for seen classes.
    pub(crate) visual: Vec<Vec<bool>>,
    /// Stretches that label nothing.
    pub(crate) empty: usize,
}

/// Reads the dense labels of a folder.
///
/// # Errors
/// A file is missing or invalid, or labels no video of the test split.
pub(crate) fn test(folder: &Path) -> anyhow::Result<Test> {
    if !folder.is_dir() {
        bail!(
            "{} is not a folder: the labels are {TEST}, {AUDIO} and {VISUAL} in one",
            folder.display()
        );
    }
    let classes = classes(folder)?;
    let videos: Vec<String> = weak(&folder.join(TEST), &classes)?
        .into_iter()
        .map(|video| video.name)
        .collect();
    let mut empty = 0;
    let mut cells = |file: &str| cells(&folder.join(file), &videos, &classes, &mut empty);
    Ok(Test {
        audio: cells(AUDIO)?,
        visual: cells(VISUAL)?,
        empty,
        videos,
        classes,
    })
}

fn cells(
    path: &Path,
    videos: &[String],
    classes: &[String],
    empty: &mut usize,
) -> anyhow::Result<Vec<Vec<bool>>> {
    let names = videos.iter().enumerate();
    let index: HashMap<&str, usize> = names.map(|(i, name)| (name.as_str(), i)).collect();
    let mut cells = vec![vec![false; SECONDS * classes.len()]; videos.len()];
    let mut used = 0;
    // The file also has the validation split's videos.
    for stretch in dense(path, classes)? {
        let Some(video) = index.get(stretch.video.as_str()) else {
            continue;
        };
        used += 1;
        *empty += usize::from(!stretch.lasts());
        for second in stretch.from..stretch.until {
            cells[*video][second * classes.len() + stretch.class] = true;
        }
    }
    if used == 0 {
        bail!(
            "{} labels no video of {TEST}: are they of the same set?",
            path.display()
        );
    }
    Ok(cells)
}
