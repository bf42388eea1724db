//! `earmark-learning parse`: the trainings of audio-visual parsing, and its predictions.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use learning::dataset::Split;
use learning::parsing::Epoch;
use learning::parsing::experiment::Experiment;
use learning::parsing::labelling;
use learning::parsing::model::Model;
use learning::parsing::pseudo::Pseudo;
use learning::parsing::tasks;
use learning::parsing::videos::{Modality, Videos};
use learning::tensors::{self, Array};
use learning::train::NextStep;
use serde_json::{Map, Value, json};

/// `earmark-learning parse`.
#[derive(Debug, Subcommand)]
pub(crate) enum Parse {
    /// Train the transformer over time on densely labelled videos.
    Pretrain(Training),
    /// Make pseudo labels for weakly labelled videos: logits, and a threshold for every class.
    Label(Label),
    /// Train the parser on weak labels, with or without pseudo labels.
    Train(Training),
    /// Predict what is heard and seen in videos, second by second.
    Predict(Predict),
}

#[derive(Debug, Args)]
pub(crate) struct Training {
    /// Features and labels in one file; `earmark parse` writes it.
    #[arg(long, value_name = "DATA.safetensors")]
    data: PathBuf,
    /// The experiment, as JSON.
    #[arg(long, value_name = "EXPERIMENT.json")]
    experiment: PathBuf,
    /// Pseudo labels, as `label` wrote them.
    #[arg(long, value_name = "PSEUDO.safetensors")]
    pseudo: Option<PathBuf>,
    /// Output file for the model; its card goes beside it, with the ending json.
    #[arg(long, value_name = "MODEL.safetensors")]
    output: PathBuf,
    /// File for the state of training after each epoch, from which it continues; deleted at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Label {
    /// Videos with weak labels; their validation split has dense ones.
    #[arg(long, value_name = "DATA.safetensors")]
    data: PathBuf,
    /// The transformer, as `pretrain` wrote it; unset: compares seconds with the classes' names directly.
    #[arg(long, value_name = "MODEL.safetensors")]
    model: Option<PathBuf>,
    /// Output file for the labels.
    #[arg(long, value_name = "PSEUDO.safetensors")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// Videos.
    #[arg(long, value_name = "DATA.safetensors")]
    data: PathBuf,
    /// The parser, as `train` wrote it.
    #[arg(long, value_name = "MODEL.safetensors")]
    model: PathBuf,
    /// Pseudo labels of the same videos; for models with PLSIM.
    #[arg(long, value_name = "PSEUDO.safetensors")]
    pseudo: Option<PathBuf>,
    /// Which videos: train, validation, test or all.
    #[arg(long, default_value = "test")]
    split: String,
    /// Output file: audio and visual F32 [videos, seconds, classes], video F32 [videos, classes].
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

pub(crate) fn run(what: &Parse) -> anyhow::Result<Value> {
    match what {
        Parse::Pretrain(args) => train(args, true),
        Parse::Label(args) => label(args),
        Parse::Train(args) => train(args, false),
        Parse::Predict(args) => predict(args),
    }
}

fn experiment(path: &Path) -> anyhow::Result<Experiment> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Experiment::parse(&text).with_context(|| path.display().to_string())
}

fn train(args: &Training, pretraining: bool) -> anyhow::Result<Value> {
    let of = experiment(&args.experiment)?;
    let videos = Videos::open(&args.data)?;
    let epochs = if pretraining {
        of.temporal.training.epochs
    } else {
        of.training.epochs
    };
    let mut stderr = std::io::stderr();
    let shown = stderr.is_terminal();
    let mut each = |epoch: Epoch| {
        if shown {
            let score = epoch
                .score
                .map_or_else(String::new, |x| format!(", validation {x:.3}"));
            // Goes on without its terminal.
            let _ = write!(
                stderr,
                "\repoch {} of {epochs}: loss {:.4}{score}   ",
                epoch.number, epoch.loss
            );
        }
        NextStep::On
    };
    let checkpoint = args.checkpoint.as_deref();
    let model = if pretraining {
        if args.pseudo.is_some() {
            bail!("--pseudo is for `train` only: the model of `pretrain` makes the pseudo labels");
        }
        labelling::pretrain(&videos, of, checkpoint, &mut each)?
    } else {
        let pseudo = args
            .pseudo
            .as_deref()
            .map(|path| Pseudo::read(path, &videos))
            .transpose()?;
        tasks::train(&videos, pseudo.as_ref(), of, checkpoint, &mut each)?
    };
    if shown {
        let _ = writeln!(std::io::stderr());
    }
    let model = model.context("training was stopped")?;
    model.write(&args.output)?;
    if let Some(path) = checkpoint.filter(|path| path.exists()) {
        std::fs::remove_file(path)?;
    }
    let card = &model.card;
    Ok(json!({
        "ok": true, "kind": card["kind"], "epochs": card["epochs"], "best_epoch": card["best_epoch"], "validation": card["validation"]["value"],
    }))
}

fn label(args: &Label) -> anyhow::Result<Value> {
    let videos = Videos::open(&args.data)?;
    let pseudo = match &args.model {
        Some(path) => labelling::pseudo(&Model::read(path, "temporal")?, &videos)?,
        None => labelling::pseudo_of_names(&videos)?,
    };
    pseudo.write(
        &args.output,
        &videos,
        &json!({ "data_sha256": videos.hash }),
    )?;
    let mut predicted = Map::from_iter([("ok".to_owned(), Value::Bool(true))]);
    let all: Vec<usize> = (0..videos.names.len()).collect();
    for m in Modality::BOTH {
        let labels = pseudo.labels(&videos, m, &all, true);
        predicted.insert(
            format!("{}_labels", m.name()),
            json!(labels.iter().filter(|x| **x > 0.0).count()),
        );
    }
    Ok(Value::Object(predicted))
}

fn predict(args: &Predict) -> anyhow::Result<Value> {
    let videos = Videos::open(&args.data)?;
    let model = Model::read(&args.model, "parser")?;
    let pseudo = args
        .pseudo
        .as_deref()
        .map(|path| Pseudo::read(path, &videos))
        .transpose()?;
    let named = Split::ALL.into_iter().find(|(_, name)| *name == args.split);
    let which = match named {
        Some((split, _)) => videos.of(split),
        None if args.split == "all" => (0..videos.names.len()).collect(),
        None => bail!(
            "unknown split `{}`: use train, validation, test or all",
            args.split
        ),
    };
    if which.is_empty() {
        bail!(
            "{} has no video of the split {}",
            args.data.display(),
            args.split
        );
    }
    let predicted = tasks::predict(&model, &videos, pseudo.as_ref(), &which)?;
    let (n, t, c) = (which.len(), videos.seconds, videos.classes.len());
    let lengths: Vec<i64> = which.iter().map(|i| videos.lengths[*i] as i64).collect();
    let arrays = [
        (
            "audio".to_owned(),
            Array::Floats(vec![n, t, c], &predicted.segments[0]),
        ),
        (
            "visual".to_owned(),
            Array::Floats(vec![n, t, c], &predicted.segments[1]),
        ),
        (
            "video".to_owned(),
            Array::Floats(vec![n, c], &predicted.video),
        ),
        ("length".to_owned(), Array::Whole(vec![n], &lengths)),
    ];
    let names: Vec<&String> = which.iter().map(|i| &videos.names[*i]).collect();
    let note = json!({ "layout": "earmark-parsed/1", "classes": videos.classes, "names": names, "data_sha256": videos.hash });
    tensors::write(&args.output, &arrays, &note)?;
    Ok(json!({ "ok": true, "videos": n }))
}
