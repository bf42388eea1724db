//! Trains the probes `onset` and `onset+tcn`, or a head on an embedding, on labelled recordings, and writes a model card.
//!
//! # Layout
//!
//! In the order of the data flow:
//!
//! - `spectral`, `channels`: simulates microphones and cameras.
//! - `sound`: decodes a recording into mel frames.
//! - `corpus`: reads a folder and its labels.
//! - `random`, `net`: seeded random numbers; small networks, gradients, optimiser.
//! - `augment`: augments training crops.
//! - `tcn`: the temporal convolutional network.
//! - `metric`: the metric that compares candidates.
//! - `candidate_net`: the small networks that score candidates.
//! - `matching`: matches candidates to events; calibration.
//! - `linear`, `logistic`: linear equations; logistic regression with few inputs.
//! - `uncertainty`: how far a probability holds on this channel.
//! - `tune`: shift, calibration, threshold; class offsets.
//! - `speech`: how strongly speech lowers the score of onsets.
//! - `train`: all of that in order.
//! - `embed`, `head`: a linear head on an embedding.
//! - `overlap`: refuses held-out recordings that are trained on.
//! - `score`: scores weights on other recordings.
//! - `cross_validation`: scores with parameters fitted to the other held-out recordings.
//! - `compare`: several probes side by side.
//! - `verdict`: whether the result is better than the built-in weights.
//! - `store`: weights files and checkpoints.
//! - `card`: the model card.
//! - `quality`: `earmark fit quality`.

mod augment;
mod candidate_net;
mod card;
mod channels;
mod compare;
mod corpus;
mod cross_validation;
mod embed;
mod head;
mod linear;
mod logistic;
#[cfg(test)]
mod made;
mod matching;
mod metric;
mod net;
mod overlap;
mod quality;
mod random;
mod score;
mod sound;
mod spectral;
mod speech;
mod store;
mod tcn;
mod train;
mod tune;
mod uncertainty;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anchoring::onset::spec::ONSET;
use anchoring::onset::weights::Weights;
use anyhow::Context;
use gstearmark::printable::line;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::{Fit, FitQuality};
use crate::failure::{Reported, Usage};
use crate::files;
use crate::recording::Input;
use crate::terminal::{Output, print};

use self::compare::{CrossFitted, Scores, compare};
use self::corpus::{Channels, Recording};
use self::tune::{ClassOffset, Shift, Threshold, Tuned};
use self::verdict::{Judgement, Verdict};

/// A held-out folder: its name and its recordings.
type HeldOut = (String, Vec<Recording>);

/// The mel frames of a recording's sound; the sound itself is not kept.
///
/// # Errors
/// It is not a recording, has no sound, cannot be decoded here, or is too long.
pub(crate) fn mel(input: &Input) -> anyhow::Result<sound::Mel> {
    sound::mel(input, None)
}

/// `earmark fit`.
///
/// # Errors
/// Recordings or labels cannot be read, the output exists, or a checkpoint is of another run.
pub fn run(args: &Fit, output: Output) -> anyhow::Result<()> {
    let card_path = args
        .card
        .clone()
        .unwrap_or_else(|| args.output.with_extension("md"));
    for path in [&args.output, &card_path] {
        if path.exists() && !args.overwrite {
            return Err(Usage(format!(
                "{} already exists; use --overwrite to replace it",
                path.display()
            ))
            .into());
        }
        // Checked even if only the calibration is fitted.
        files::check(path, args.overwrite)?;
    }
    let name = args.output.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let real = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
    if let Some(same) = args
        .held_out
        .iter()
        .find(|folder| real(folder) == real(&args.recordings))
    {
        return Err(Usage(format!(
            "{} is given both for training and as held out; hold out other recordings",
            same.display()
        ))
        .into());
    }
    let channels = Channels {
        count: args.channels,
        seed: args.seed,
    };
    let labels = args.labels.as_deref();
    let recordings = listen(&args.recordings, labels, channels, output)?;
    let held_out: Vec<HeldOut> = args
        .held_out
        .iter()
        .map(|folder| {
            let recordings = listen(folder, labels, Channels::default(), output)?;
            let name = folder.file_name().unwrap_or_default();
            anyhow::Ok((name.to_string_lossy().into_owned(), recordings))
        })
        .collect::<Result<_, _>>()?;
    overlap::refuse(&recordings, &held_out)?;
    let data = corpus::digest(&recordings);
    let hours: f64 = recordings.iter().map(|one| one.duration().seconds()).sum();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let about = card::CardFacts {
        name: &name,
        command: &format!("earmark {command}"),
        seed: args.seed,
        recordings: recordings.len(),
        hours: hours / 3600.0,
        events: recordings.iter().map(|one| one.events.len()).sum(),
        data: &data,
    };
    let (bytes, text, found) = match &args.embedding {
        Some(embedding) => head::head(embedding, &about, &recordings, &held_out, output)?,
        None => {
            let (bytes, tuning) = match &args.calibrate_only {
                Some(old) => train::calibrate_only(args, old, &recordings, &data)?,
                None => train::train(args, &name, &recordings, &held_out, &data, output)?,
            };
            let weights = Weights::read(&bytes)
                .context("cannot read back the weights that were just written")?;
            let scores = compare(&held_out, &Arc::new(weights), &tuning.crossed)?;
            let text = card::text(&about, args.steps, &tuning, &hash(&bytes), &scores);
            (bytes, text, FitResult { scores, tuning })
        }
    };
    files::write(&args.output, &bytes, args.overwrite)?;
    files::write(&card_path, text.as_bytes(), args.overwrite)?;
    let _ = std::fs::remove_file(checkpoint(args));
    let verdicts = verdict::verdicts(&found.scores);
    report(args, &card_path, &hash(&bytes), &found, &verdicts, output)?;
    // The default probe decides; of a head, its own.
    let judged = verdicts
        .iter()
        .find(|own| own.probe == ONSET)
        .or(verdicts.first());
    let is_better = judged.is_some_and(|own| own.judgement == Judgement::Better);
    match args.require_better && !is_better {
        true => Err(Reported.into()),
        false => Ok(()),
    }
}

/// `earmark fit quality`.
///
/// # Errors
/// The scores or recordings cannot be read, there are too few, or an output exists.
pub fn quality(args: &FitQuality, output: Output) -> anyhow::Result<()> {
    quality::run(args, output)
}

/// SHA-256 in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The result of a fit.
struct FitResult {
    scores: Scores,
    tuning: Tuning,
}

/// What was fitted to the output of the probes, and how.
#[derive(Default)]
struct Tuning {
    /// Source of the calibration.
    calibration: String,
    /// The recordings that the rest was fitted to.
    on: String,
    probes: BTreeMap<String, (Tuned, Option<Shift>, Option<Threshold>)>,
    /// Offset of the labels of each class from their sounds.
    offsets: Vec<ClassOffset>,
    /// Cross-fitted onsets of the recordings that are scored.
    crossed: CrossFitted,
}

/// How to use the file.
fn usage(args: &Fit) -> String {
    match &args.embedding {
        Some(embedding) => {
            let name = args
                .output
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            format!(
                "write `head: {name}` into the manifest {embedding} (paths are relative to it), then `earmark run gated --set ears.probe={embedding} ...`"
            )
        }
        None => format!(
            "`earmark run gated --set ears.weights={0} ...`, or `ears: {{ weights: {0} }}` in the pipeline",
            args.output.display()
        ),
    }
}

fn report(
    args: &Fit,
    card: &Path,
    hash: &str,
    found: &FitResult,
    verdicts: &[Verdict],
    output: Output,
) -> anyhow::Result<()> {
    let FitResult { scores, tuning } = found;
    let yaml = tune::yaml(&tuning.offsets);
    if output.json {
        let scores: Vec<_> = scores
            .iter()
            .map(|(data, probe, score)| {
                let recall: BTreeMap<_, _> = score::NAMES
                    .iter()
                    .map(|placement| placement.name())
                    .zip(score.recall)
                    .collect();
                json!({ "recordings": data, "probe": probe, "figures": score.sample.name(), "recall": recall, "recovery": score.recovery(),
                    "auroc": score.auroc, "ece": score.ece, "precision": score.precision })
            })
            .collect();
        let probes: BTreeMap<_, _> = tuning
            .probes
            .iter()
            .map(|(name, (tuned, shift, threshold))| {
                let value = json!({ "temperature": tuned.calibration.temperature, "bias": tuned.calibration.bias,
                    "threshold": tuned.threshold, "shift_ms": tuned.shift_ms, "voiced": tuned.voiced, "fitted_shift": shift, "fitted_threshold": threshold });
                (name, value)
            })
            .collect();
        let value = json!({ "ok": true, "weights": args.output, "card": card, "sha256": hash, "scores": scores, "probes": probes,
            "offsets": tuning.offsets, "yaml": yaml, "verdicts": verdicts, "usage": usage(args) });
        return print(&format!("{value:#}"));
    }
    let mut text = format!("{} and {}", args.output.display(), card.display());
    for (data, probe, score) in scores {
        text.push_str(&format!(
            "\n{data}  {probe}: recall {:.3}, recovery {}, AUROC {}, ECE {} ({})",
            score.recall[0],
            score::said(score.recovery()),
            score::said(score.auroc),
            score::said(score.ece),
            score.sample.name()
        ));
    }
    for one in verdicts {
        text.push_str(&format!("\nverdict     {one}"));
    }
    if verdicts.is_empty() {
        text.push_str(
            "\nverdict     none: nothing was held out; --held-out FOLDER scores the result on other recordings, beside the built-in weights",
        );
    }
    text.push_str(&format!("\nto use it   {}", usage(args)));
    for (name, (tuned, ..)) in &tuning.probes {
        text.push_str(&format!(
            "\n{name}: threshold {}, shift {} ms, speech takes {}",
            tuned.threshold, tuned.shift_ms, tuned.voiced
        ));
    }
    if let Some(yaml) = yaml {
        text.push_str(&format!("\nthe labels are offset from their sounds; if they mark what is seen, use: anchors: {{ {yaml} }}"));
    }
    print(&text)
}

fn listen(
    folder: &Path,
    labels: Option<&Path>,
    channels: Channels,
    output: Output,
) -> anyhow::Result<Vec<Recording>> {
    let bar = bar(0, "listen", output);
    let recordings = corpus::read(folder, labels, channels, |i, all, name| {
        bar.set_length(all as u64);
        bar.set_position(i as u64);
        bar.set_message(line(name).into_owned());
    })?;
    bar.finish_and_clear();
    Ok(recordings)
}

fn bar(length: u64, stage: &str, output: Output) -> ProgressBar {
    if output.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(stage.to_owned());
    bar
}

fn checkpoint(args: &Fit) -> PathBuf {
    let mut name = args.output.clone().into_os_string();
    name.push(".part");
    name.into()
}
