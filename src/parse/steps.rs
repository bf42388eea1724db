//! Turns an experiment into a trained parser: packs features, makes pseudo labels, trains. Keeps what exists already for the same data and
//! settings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::experiment::{Experiment, Labels, Pseudo, Streams, Words};
use super::features::{self, Stream};
use super::pack::{self, Parts};
use super::predictions::Predictions;
use super::set::{self, Set};
use crate::cli::{ParseSplit, ParseTrain};
use crate::terminal::{Output, tell};
use crate::{files, learning};

/// The card of a trained parser.
const NOTE: &str = "parse.json";
/// Its weights.
const PARSER: &str = "parser.safetensors";

/// Letters in names of intermediate files.
fn key(of: &Value) -> String {
    let hash = format!("{:x}", Sha256::digest(of.to_string()));
    hash[..16].to_owned()
}

/// What identifies an unchanged file or folder: its newest time, and its size.
fn mark(path: &Path) -> Value {
    let about = std::fs::metadata(path).ok();
    let changed = about.as_ref().and_then(|about| about.modified().ok());
    let changed = changed.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    json!([
        path,
        about.map(|about| about.len()),
        changed.map(|at| at.as_nanos().to_string())
    ])
}

/// The source of packed data.
struct Source<'a> {
    folder: &'a Path,
    /// Label files; any change to them makes new data.
    labels: Vec<PathBuf>,
    streams: [&'a [String]; 2],
    words: Option<&'a Words>,
}

/// Packs a set, unless that is done already; returns the file and what identifies it.
fn packed(
    cache: &Path,
    source: &Source<'_>,
    seconds: usize,
    read: impl FnOnce() -> anyhow::Result<Set>,
    output: Output,
) -> anyhow::Result<(PathBuf, String)> {
    let folder = source
        .folder
        .canonicalize()
        .with_context(|| format!("cannot read {}", source.folder.display()))?;
    let file = |text: &String| {
        let file = text
            .rsplit_once(':')
            .map_or(text.as_str(), |(file, _)| file);
        mark(&folder.join(file))
    };
    let streams: Vec<Value> = source
        .streams
        .iter()
        .flat_map(|of| of.iter())
        .map(file)
        .collect();
    let words = source.words.map(|w| [file(&w.audio), file(&w.visual)]);
    let labels: Vec<Value> = source.labels.iter().map(|path| mark(path)).collect();
    let of = json!({ "seconds": seconds, "streams": source.streams, "marks": streams, "words": source.words, "word_marks": words, "labels": labels });
    let name = key(&of);
    let path = cache.join(format!("data-{name}.safetensors"));
    if !path.exists() {
        if !output.quiet {
            tell(&format!("packing features of {}", folder.display()));
        }
        let set = read()?;
        let open = |of: &[String]| -> anyhow::Result<Vec<Stream>> {
            of.iter().map(|text| Stream::open(&folder, text)).collect()
        };
        let words = match source.words {
            Some(words) => Some([
                features::words(&folder.join(&words.audio), set.classes.len())?,
                features::words(&folder.join(&words.visual), set.classes.len())?,
            ]),
            None => None,
        };
        let parts = Parts {
            set: &set,
            streams: [open(source.streams[0])?, open(source.streams[1])?],
            words,
        };
        pack::write(&path, parts)?;
    }
    Ok((path, name))
}

/// What prediction with a trained parser needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trained {
    pub(super) experiment: Experiment,
    /// The folder of labels and features.
    pub(super) data: PathBuf,
    packed: PathBuf,
    pseudo: Option<PathBuf>,
    #[serde(skip)]
    folder: PathBuf,
}

impl Trained {
    /// Reads the output of [`train`].
    ///
    /// # Errors
    /// It does not exist, or is invalid.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(NOTE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{} is not a trained parser: cannot read {}",
                folder.display(),
                path.display()
            )
        })?;
        let mut it: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} was not written by `earmark parse train`",
                path.display()
            )
        })?;
        it.folder = folder.to_owned();
        Ok(it)
    }

    pub(super) fn labels(&self) -> Labels {
        self.experiment.labels
    }

    /// The names of its classes.
    ///
    /// # Errors
    /// Its card cannot be read.
    pub(super) fn classes(&self) -> anyhow::Result<Vec<String>> {
        let path = self.folder.join(PARSER).with_extension("json");
        let wrong = || format!("{} is not the card of a parser", path.display());
        let text = std::fs::read_to_string(&path).with_context(wrong)?;
        let card: Value = serde_json::from_str(&text).with_context(wrong)?;
        serde_json::from_value(card["classes"].clone()).with_context(wrong)
    }

    /// Predicts a split.
    ///
    /// # Errors
    /// `earmark-learning` is missing, or fails.
    pub(super) fn predict(&self, split: ParseSplit) -> anyhow::Result<Predictions> {
        if !self.packed.exists() {
            bail!(
                "{} does not exist any more: run `earmark parse train` again",
                self.packed.display()
            );
        }
        self.ask(&self.packed, split.name(), self.pseudo.as_deref())
    }

    /// Predicts other videos.
    ///
    /// # Errors
    /// `earmark-learning` is missing, or fails: the parser takes other features, or needs pseudo labels.
    pub(super) fn predict_on(&self, packed: &Path, split: &str) -> anyhow::Result<Predictions> {
        self.ask(packed, split, None)
    }

    fn ask(
        &self,
        packed: &Path,
        split: &str,
        pseudo: Option<&Path>,
    ) -> anyhow::Result<Predictions> {
        let folder = tempfile::TempDir::with_prefix("earmark-")
            .context("cannot create a temporary folder")?;
        let out = folder.path().join("said.safetensors");
        let mut args: Vec<String> = ["parse", "predict", "--split", split]
            .map(Into::into)
            .into();
        args.extend(named("--data", packed)?);
        args.extend(named("--model", &self.folder.join(PARSER))?);
        args.extend(named("--output", &out)?);
        if let Some(pseudo) = pseudo {
            args.extend(named("--pseudo", pseudo)?);
        }
        learning::ask(&args)?;
        Predictions::read(&out)
    }
}

/// An argument and its path.
fn named(name: &str, path: &Path) -> anyhow::Result<[String; 2]> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok([name.to_owned(), text.to_owned()])
}

/// Runs a step of `earmark-learning`, unless its output exists.
fn step(
    what: &str,
    message: &str,
    args: &[(&str, &Path)],
    output: &Path,
    quiet: bool,
) -> anyhow::Result<()> {
    if output.exists() {
        return Ok(());
    }
    if !quiet {
        tell(message);
    }
    let mut all = vec!["parse".to_owned(), what.to_owned()];
    for (name, path) in args {
        all.extend(named(name, path)?);
    }
    all.extend(named("--output", output)?);
    if what != "label" {
        all.extend(named("--checkpoint", &output.with_extension("partial"))?);
    }
    learning::ask(&all)?;
    Ok(())
}

/// `earmark parse train`.
///
/// # Errors
/// The experiment or the data is invalid, or a step fails.
pub(super) fn train(args: &ParseTrain, output: Output) -> anyhow::Result<Value> {
    let wanted = "is required";
    let name = args.experiment.as_deref().context(wanted)?;
    let data = args.data.as_deref().context(wanted)?;
    let out = args.output.as_deref().context(wanted)?;
    let mut experiment = Experiment::read(name)?;
    for change in &args.changes {
        experiment.set(change)?;
    }
    if let Some(seed) = args.seed {
        for of in ["training.seed", "temporal.training.seed"] {
            experiment.set(&format!("{of}={seed}"))?;
        }
    }
    learning::find()?;
    let cache = args.cache.clone().unwrap_or_else(|| out.join("cache"));
    for folder in [out, &cache] {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let seconds = experiment.seconds;
    let source = |streams: &'_ Streams| -> anyhow::Result<(PathBuf, String)> {
        let files: &[&str] = match experiment.labels {
            Labels::Llp => &[
                "AVVP_train.csv",
                "AVVP_val_pd.csv",
                "AVVP_test_pd.csv",
                "AVVP_eval_audio.csv",
                "AVVP_eval_visual.csv",
                "classes.txt",
            ],
            Labels::Ave => &[
                "Annotations.txt",
                "train_order.h5",
                "val_order.h5",
                "test_order.h5",
            ],
        };
        let source = Source {
            folder: data,
            labels: files.iter().map(|file| data.join(file)).collect(),
            streams: [&streams.audio, &streams.visual],
            words: experiment.words.as_ref(),
        };
        packed(
            &cache,
            &source,
            seconds,
            || set::read(experiment.labels, data, seconds),
            output,
        )
    };
    let (packed_data, own) = source(&experiment.features)?;
    let settings = out.join("experiment.json");
    let model = Value::Object(experiment.model.clone());
    files::write(&settings, format!("{model:#}\n").as_bytes(), true)?;
    let pseudo = match experiment.pseudo {
        Pseudo::None => None,
        kind => {
            let (label_data, label_key) = match &experiment.label_features {
                Some(streams) => source(streams)?,
                None => (packed_data.clone(), own.clone()),
            };
            let model = match (kind, &experiment.dense) {
                (Pseudo::Temporal, Some(dense)) => {
                    let folder = args.dense.as_deref().with_context(|| {
                        format!("{name} trains a transformer on densely labelled videos: say where they are with --dense")
                    })?;
                    let annotations = folder.join(&dense.annotations);
                    let source = Source {
                        folder,
                        labels: vec![annotations.clone()],
                        streams: [&dense.audio, &dense.visual],
                        words: Some(&dense.words),
                    };
                    let read = || set::dense(&annotations, dense.seconds);
                    let (dense_data, dense_key) =
                        packed(&cache, &source, dense.seconds, read, output)?;
                    let of = key(&json!([dense_key, experiment.model.get("temporal")]));
                    let model = cache.join(format!("temporal-{of}.safetensors"));
                    let given = [
                        ("--data", dense_data.as_path()),
                        ("--experiment", settings.as_path()),
                    ];
                    step(
                        "pretrain",
                        "training the transformer over time",
                        &given,
                        &model,
                        output.quiet,
                    )?;
                    Some((model, of))
                }
                _ => None,
            };
            let of = key(&json!([label_key, model.as_ref().map(|(_, of)| of)]));
            let pseudo = cache.join(format!("pseudo-{of}.safetensors"));
            let mut given = vec![("--data", label_data.as_path())];
            if let Some((model, _)) = &model {
                given.push(("--model", model.as_path()));
            }
            step(
                "label",
                "making pseudo labels",
                &given,
                &pseudo,
                output.quiet,
            )?;
            Some(pseudo)
        }
    };
    let trained = Trained {
        experiment,
        data: data.canonicalize()?,
        packed: packed_data.canonicalize()?,
        pseudo: pseudo.map(|path| path.canonicalize()).transpose()?,
        folder: out.to_owned(),
    };
    let note = format!("{:#}\n", serde_json::to_value(&trained)?);
    let parser = out.join(PARSER);
    // A parser with other settings or data must not be replaced.
    if std::fs::read_to_string(out.join(NOTE)).is_ok_and(|old| old != note) && parser.exists() {
        bail!(
            "{} has a parser of other settings or data: choose another folder",
            out.display()
        );
    }
    files::write(&out.join(NOTE), note.as_bytes(), true)?;
    let mut given = vec![
        ("--data", trained.packed.as_path()),
        ("--experiment", settings.as_path()),
    ];
    if let Some(pseudo) = &trained.pseudo {
        given.push(("--pseudo", pseudo.as_path()));
    }
    step(
        "train",
        "training the parser",
        &given,
        &parser,
        output.quiet,
    )?;
    let card =
        std::fs::read_to_string(parser.with_extension("json")).context("the parser has no card")?;
    let card: Value = serde_json::from_str(&card).context("the parser's card is not JSON")?;
    Ok(json!({
        "ok": true, "title": trained.experiment.title, "epochs": card["epochs"], "best_epoch": card["best_epoch"],
        "validation": card["validation"]["value"], "output": out,
    }))
}
