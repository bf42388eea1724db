//! `earmark-learning`: trains heads on frozen features, and predicts with them. `earmark` starts it.

mod parse;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Parser, Subcommand};
use learning::dataset::{Dataset, Split};
use learning::network::{Kind, Sizes};
use learning::runtime::Head;
use learning::score::{Accuracy, best};
use learning::tensors::{self, Array};
use learning::train::{self, NextStep, Settings};
use serde_json::{Map, Value, json};

/// Trains small networks on frozen features, and predicts with them.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Train a head on the training split; validation decides when to stop, the test split is not used.
    Train(Train),
    /// Score every second of every recording, and print how many are right.
    Predict(Predict),
    /// Parse videos: which events are heard and seen in every second, from weak labels. `earmark parse` runs these steps.
    #[command(subcommand)]
    Parse(parse::Parse),
}

#[derive(Debug, Args)]
#[command(after_help = "\
DATA is a safetensors file: features F32 [recordings, seconds, values], labels I64 [recordings, seconds] (-1: not labelled),
split U8 [recordings] (0 training, 1 validation, 2 test); metadata `earmark`: JSON with layout earmark-seconds/1, classes, names.

The same data, settings and seed give the same bytes. With --checkpoint, training that was interrupted goes on where it was.

Example:
  earmark-learning train --data seconds.safetensors --model conv --seed 0 --output head.safetensors --checkpoint head.partial")]
struct Train {
    /// Features and labels.
    #[arg(long, value_name = "DATA.safetensors")]
    data: PathBuf,
    /// mlp (each second by itself), conv (one temporal convolution), or transformer (one layer).
    #[arg(long, default_value = "mlp")]
    model: Kind,
    /// Output file for the head; its card goes beside it, with the ending json.
    #[arg(long, value_name = "HEAD.safetensors")]
    output: PathBuf,
    /// File for the state of training after each epoch, from which it continues; deleted at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Width of the hidden layer.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=16384))]
    hidden: u32,
    /// Heads of the attention.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    heads: u32,
    /// Seed of every random choice.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most epochs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    epochs: u32,
    /// Stop after so many epochs without a better validation.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    patience: u32,
    /// Recordings of a step.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// AdamW's rate.
    #[arg(long, default_value_t = 1e-3, value_parser = rate)]
    lr: f64,
    /// AdamW's weight decay.
    #[arg(long, default_value_t = 0.01, value_parser = rate)]
    weight_decay: f64,
    /// Share of hidden values to drop while training, below 1.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    dropout: f32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  earmark-learning predict --data seconds.safetensors --head head.safetensors --output scores.safetensors --json")]
struct Predict {
    /// Features and labels, as `train` takes them.
    #[arg(long, value_name = "DATA.safetensors")]
    data: PathBuf,
    /// The head, as `train` wrote it.
    #[arg(long, value_name = "HEAD.safetensors")]
    head: PathBuf,
    /// Output file: scores F32 [recordings, seconds, classes] and classes I64 [recordings, seconds].
    #[arg(long, value_name = "FILE.safetensors")]
    output: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if (0.0..=100.0).contains(&x) => Ok(x),
        _ => Err("must lie in 0..=100".into()),
    }
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(x) if (0.0..1.0).contains(&x) => Ok(x),
        _ => Err("must lie in 0..1".into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.what {
        What::Train(args) => fit(args),
        What::Predict(args) => predict(args),
        What::Parse(what) => parse::run(what),
    };
    match done {
        Ok(value) => {
            let text = if cli.json {
                format!("{value:#}")
            } else {
                plain(&value)
            };
            match writeln!(std::io::stdout(), "{text}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            let text: String = format!("{error:#}")
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            // Nowhere is left to report a failure of this.
            let _ = writeln!(std::io::stderr(), "error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// One line per value.
fn plain(value: &Value) -> String {
    let lines = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| match value {
            Value::Number(n) if n.is_f64() => {
                format!("{key}: {:.4}", n.as_f64().unwrap_or(f64::NAN))
            }
            Value::String(text) => format!("{key}: {text}"),
            other => format!("{key}: {other}"),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn fit(args: &Train) -> anyhow::Result<Value> {
    let data = Dataset::read(&args.data)?;
    let sizes = Sizes {
        model: args.model,
        values: data.values,
        seconds: data.seconds,
        hidden: args.hidden as usize,
        heads: args.heads as usize,
        classes: data.classes.len(),
    };
    let settings = Settings {
        seed: args.seed,
        epochs: args.epochs as usize,
        patience: args.patience as usize,
        batch: args.batch as usize,
        lr: args.lr,
        weight_decay: args.weight_decay as f32,
        dropout: args.dropout,
    };
    let mut stderr = std::io::stderr();
    let shown = stderr.is_terminal();
    let head = train::train(
        &data,
        sizes,
        settings,
        args.checkpoint.as_deref(),
        |epoch| {
            if shown {
                let accuracy = epoch
                    .accuracy
                    .map_or_else(String::new, |x| format!(", validation {x:.3}"));
                // Goes on without its terminal.
                let _ = write!(
                    stderr,
                    "\repoch {} of {}: loss {:.4}{accuracy}   ",
                    epoch.number, args.epochs, epoch.loss
                );
            }
            NextStep::On
        },
    )?;
    if shown {
        let _ = writeln!(std::io::stderr());
    }
    let Some(head) = head else {
        bail!("training was stopped");
    };
    head.write(&args.output)?;
    if let Some(path) = args.checkpoint.as_deref().filter(|path| path.exists()) {
        std::fs::remove_file(path)?;
    }
    let mut card = head.card.clone();
    if let Some(card) = card.as_object_mut() {
        card.remove("curve");
        card.remove("classes");
        card.insert("ok".into(), true.into());
    }
    Ok(card)
}

fn predict(args: &Predict) -> anyhow::Result<Value> {
    let data = Dataset::read(&args.data)?;
    let head = Head::read(&args.head)?;
    if head.classes != data.classes {
        bail!(
            "{} was trained on other classes than those of {}",
            args.head.display(),
            args.data.display()
        );
    }
    let mut scores = Vec::with_capacity(data.labels.len() * data.classes.len());
    let mut classes = Vec::with_capacity(data.labels.len());
    let mut splits = [Accuracy::default(); 3];
    for i in 0..data.names.len() {
        let of = head.scores(data.recording(i))?;
        splits[data.split[i] as usize].add(of.view(), data.labels_of(i));
        classes.extend(
            of.rows()
                .into_iter()
                .map(|row| best(row.iter().copied()) as i64),
        );
        scores.extend(of.iter().copied());
    }
    if let Some(output) = &args.output {
        let (n, t) = (data.names.len(), data.seconds);
        let arrays = [
            (
                "scores".to_owned(),
                Array::Floats(vec![n, t, data.classes.len()], &scores),
            ),
            ("classes".to_owned(), Array::Whole(vec![n, t], &classes)),
        ];
        let note = json!({
            "layout": "earmark-scores/1",
            "classes": data.classes,
            "names": data.names,
            "data_sha256": data.hash,
            "head": { "sizes": head.card["sizes"], "settings": head.card["settings"] },
        });
        tensors::write(output, &arrays, &note)?;
    }
    let mut said = Map::from_iter([("ok".to_owned(), Value::Bool(true))]);
    for ((split, name), accuracy) in Split::ALL.into_iter().zip(splits) {
        debug_assert_eq!(Split::ALL[split as usize].1, name);
        said.insert(format!("{name}_accuracy"), json!(accuracy.share()));
        said.insert(format!("{name}_seconds"), json!(accuracy.labelled));
    }
    Ok(Value::Object(said))
}
