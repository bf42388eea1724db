//! EPIC-SOUNDS and EPIC-KITCHENS-100: reads annotations (CSV), and submissions (JSON) to their detection challenges.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::bail;
use serde::Deserialize;
use serde::de::{self, MapAccess, Visitor};

use super::table::Table;
use super::text;

/// Classes of EPIC-SOUNDS.
pub(crate) const SOUNDS: u32 = 44;
/// Verbs and nouns of EPIC-KITCHENS-100.
pub(crate) const VERBS: u32 = 97;
/// See [`VERBS`].
pub(crate) const NOUNS: u32 = 300;
/// The class that one version of the challenge leaves out.
const BACKGROUND: &str = "background";
/// Most detections of one submission.
const MOST_DETECTIONS: usize = 20_000_000;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sounds, by class.
    Sounds,
    /// Actions, by verb and noun.
    Kitchens,
}

impl Kind {
    /// The challenge's name.
    pub(crate) fn challenge(self) -> &'static str {
        match self {
            Self::Sounds => "audio_based_interaction_detection",
            Self::Kitchens => "action_detection",
        }
    }

    /// The dataset's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sounds => "EPIC-SOUNDS",
            Self::Kitchens => "EPIC-KITCHENS-100",
        }
    }
}

/// The class of a sound or an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// A class of EPIC-SOUNDS.
    Sound(u32),
    /// A verb and a noun of EPIC-KITCHENS-100.
    Action(u32, u32),
}

/// A labelled span.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    pub(crate) video: String,
    /// Seconds: start, stop.
    pub(crate) span: (f64, f64),
    pub(crate) class: Class,
    /// Whether it is of the class `background` of EPIC-SOUNDS.
    pub(crate) background: bool,
}

/// Annotations of one file.
#[derive(Debug)]
pub(crate) struct Annotations {
    pub(crate) kind: Kind,
    pub(crate) all: Vec<Annotation>,
}

/// Reads annotations; the columns show which dataset it is.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn annotations(path: &Path) -> anyhow::Result<Annotations> {
    const NEEDED: &str = "Annotations need video_id, start_timestamp, stop_timestamp and class_id (EPIC-SOUNDS), or verb_class and noun_class (EPIC-KITCHENS-100)";
    let mut table = Table::open(path)?;
    let video = table.column("video_id", NEEDED)?;
    let start = table.column("start_timestamp", NEEDED)?;
    let stop = table.column("stop_timestamp", NEEDED)?;
    let name = table.find(&["class"]);
    let verb = table.find(&["verb_class"]);
    let (kind, first, second) = match verb {
        Some(verb) => (Kind::Kitchens, verb, table.column("noun_class", NEEDED)?),
        None => {
            let class = table.column("class_id", NEEDED)?;
            (Kind::Sounds, class, class)
        }
    };
    let mut all = Vec::new();
    table.rows(|row| {
        let id = |column, most: u32| {
            let id = row.index(column)?;
            if id < most {
                return Ok(id);
            }
            let rule = format!("{} has the classes 0 to {}", kind.name(), most - 1);
            Err(row.wrong(column, &rule))
        };
        let class = match kind {
            Kind::Sounds => Class::Sound(id(first, SOUNDS)?),
            Kind::Kitchens => Class::Action(id(first, VERBS)?, id(second, NOUNS)?),
        };
        all.push(Annotation {
            video: row.word(video)?.to_owned(),
            span: row.span(start, stop)?,
            class,
            background: kind == Kind::Sounds
                && name.is_some_and(|name| row.text(name) == BACKGROUND),
        });
        Ok(())
    })?;
    Ok(Annotations { kind, all })
}

/// A detection of a submission.
#[derive(Clone, Debug)]
pub(crate) struct Detection {
    /// Index into [`Submission::videos`].
    pub(crate) video: usize,
    pub(crate) span: (f64, f64),
    pub(crate) score: f64,
    pub(crate) class: Class,
}

/// A checked submission.
#[derive(Debug)]
pub(crate) struct Submission {
    /// The version of the challenge.
    pub(crate) version: Option<String>,
    pub(crate) videos: Vec<String>,
    /// In the order of the file.
    pub(crate) detections: Vec<Detection>,
}

/// As in the file.
#[derive(Deserialize)]
struct EpicRow {
    version: Option<String>,
    challenge: Option<String>,
    results: Results,
}

/// Videos with their detections, in the order of the file.
struct Results(Vec<(String, Vec<Entry>)>);

#[derive(Deserialize)]
struct Entry {
    interaction: Option<f64>,
    verb: Option<f64>,
    noun: Option<f64>,
    action: Option<String>,
    score: Option<f64>,
    segment: Option<Vec<f64>>,
}

impl<'de> Deserialize<'de> for Results {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor;
        impl<'de> Visitor<'de> for OrderedVisitor {
            type Value = Results;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of videos, each a list of detections")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Results, A::Error> {
                let (mut all, mut count) = (Vec::<(String, Vec<Entry>)>::new(), 0);
                let mut seen = BTreeSet::new();
                while let Some((video, entries)) = map.next_entry::<String, Vec<Entry>>()? {
                    count += entries.len();
                    if !seen.insert(video.clone()) {
                        return Err(de::Error::custom(format!("the video {video} comes twice")));
                    }
                    if count > MOST_DETECTIONS {
                        let most = format!("more than {MOST_DETECTIONS} detections");
                        return Err(de::Error::custom(most));
                    }
                    all.push((video, entries));
                }
                Ok(Results(all))
            }
        }
        deserializer.deserialize_map(OrderedVisitor)
    }
}

/// Reads a submission to the challenge of a dataset.
///
/// # Errors
/// The file cannot be read, belongs to another challenge, or a detection is invalid.
pub(crate) fn submission(path: &Path, kind: Kind) -> anyhow::Result<Submission> {
    let given: EpicRow = text::json(
        path,
        "a submission: {\"challenge\": …, \"results\": {VIDEO: [{\"interaction\": 3, \"score\": 0.5, \"segment\": [start_s, stop_s]}, …]}}",
    )?;
    let name = path.display();
    if let Some(challenge) = given.challenge.filter(|found| found != kind.challenge()) {
        bail!(
            "{name} is a submission to `{challenge}`, and the annotations are those of {} (`{}`)",
            kind.name(),
            kind.challenge()
        );
    }
    let mut submission = Submission {
        version: given.version,
        videos: Vec::new(),
        detections: Vec::new(),
    };
    for (video, entries) in given.results.0 {
        let index = submission.videos.len();
        for (i, entry) in entries.into_iter().enumerate() {
            let detection = entry
                .checked(index, kind)
                .map_err(|wrong| anyhow::anyhow!("{name}: {video}, detection {i}: {wrong}"))?;
            submission.detections.push(detection);
        }
        submission.videos.push(video);
    }
    if submission.detections.is_empty() {
        bail!("{name} has no detections");
    }
    Ok(submission)
}

impl Entry {
    fn checked(self, video: usize, kind: Kind) -> Result<Detection, String> {
        let class = match kind {
            Kind::Sounds => Class::Sound(id("interaction", self.interaction, SOUNDS)?),
            Kind::Kitchens => {
                let verb = id("verb", self.verb, VERBS)?;
                let noun = id("noun", self.noun, NOUNS)?;
                if let Some(action) = &self.action {
                    let parts = action.split_once(',');
                    let both = parts.map(|(v, n)| (v.trim().parse(), n.trim().parse()));
                    if both != Some((Ok(verb), Ok(noun))) {
                        return Err(format!(
                            "action is `{action}`: must be \"{verb},{noun}\", as its verb and noun are"
                        ));
                    }
                }
                Class::Action(verb, noun)
            }
        };
        let score = self.score.ok_or("score is missing")?;
        let span = match self.segment.as_deref() {
            None => return Err("segment is missing".into()),
            Some([start, stop]) => (*start, *stop),
            Some(other) => {
                return Err(format!(
                    "segment has {} numbers: must be [start_s, stop_s]",
                    other.len()
                ));
            }
        };
        if span.1 < span.0 {
            return Err(format!(
                "segment is [{}, {}]: must not stop before it starts",
                span.0, span.1
            ));
        }
        Ok(Detection {
            video,
            span,
            score,
            class,
        })
    }
}

fn id(name: &str, value: Option<f64>, most: u32) -> Result<u32, String> {
    let value = value.ok_or_else(|| format!("{name} is missing"))?;
    if value.fract() == 0.0 && (0.0..f64::from(most)).contains(&value) {
        Ok(value as u32)
    } else {
        Err(format!(
            "{name} is {value}: must be a whole number from 0 to {}",
            most - 1
        ))
    }
}
