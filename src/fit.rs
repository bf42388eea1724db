//! `earmark fit`: labelled recordings -> the weights of the probes `onset` and `onset+tcn`, and their model card.
//!
//! # Layout
//!
//! In the order in which data flows:
//!
//! - `hear`: a recording -> mel frames.
//! - `corpus`: a folder and its labels -> recordings with events.
//! - `random`, `net`: numbers that are the same for a seed; small nets, their gradients, their optimiser.
//! - `augment`: crops, varied.
//! - `tcn`: the network that hears beginnings, and how it learns.
//! - `metric`: the measure by which candidates are compared.
//! - `judge`: the small networks that judge candidates by what it says.
//! - `truth`: which candidates are right; calibration.
//! - `score`: what weights are worth on other recordings.
//! - `store`: the weights file, checkpoints.
//! - `card`: the model card.

mod augment;
mod card;
mod corpus;
mod hear;
mod judge;
mod metric;
mod net;
mod random;
mod score;
mod store;
mod tcn;
mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anchoring::probe::Probe;
use anchoring::weights::{Calibration, ONSET, ONSET_TCN, Weights};
use anyhow::{Context, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::Fit;
use crate::commands::{Output, Usage, print};

use self::corpus::Recording;
use self::judge::Judge;
use self::score::Score;
use self::store::Learned;

/// Training steps from one checkpoint to the next.
const SAVE_EVERY: u32 = 100;
/// Networks of each kind whose logits are averaged: one alone depends on its seed.
const JUDGES: u64 = 3;
/// Less likely candidates are not said.
const THRESHOLD: f32 = 0.02;

/// A folder's name and its recordings, none of which anything is learned from.
type HeldOut = (String, Vec<Recording>);

/// `earmark fit`.
///
/// # Errors
/// Recordings or labels cannot be read, the output exists, or a checkpoint is another job's.
pub fn run(args: &Fit, output: Output) -> anyhow::Result<()> {
    let card_path = args
        .card
        .clone()
        .unwrap_or_else(|| args.output.with_extension("md"));
    for path in [&args.output, &card_path] {
        if path.exists() && !args.overwrite {
            return Err(Usage(format!(
                "{} exists: give --overwrite to replace it",
                path.display()
            ))
            .into());
        }
    }
    let name = args.output.file_stem().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let recordings = listen(&args.recordings, args.labels.as_deref(), output)?;
    let held_out: Vec<HeldOut> = args
        .held_out
        .iter()
        .map(|folder| {
            let recordings = listen(folder, args.labels.as_deref(), output)?;
            let name = folder.file_name().unwrap_or_default();
            anyhow::Ok((name.to_string_lossy().into_owned(), recordings))
        })
        .collect::<Result<_, _>>()?;
    let data = corpus::digest(&recordings);
    let (bytes, calibration) = match &args.calibrate_only {
        Some(old) => calibrate_only(old, &recordings, &data)?,
        None => train(args, &name, &recordings, &held_out, &data, output)?,
    };
    let weights = Arc::new(
        Weights::read(&bytes).context("the weights that were just made cannot be read back")?,
    );
    let scores = compare(&held_out, &weights)?;
    let hash = format!("{:x}", Sha256::digest(&bytes));
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let hours: f64 = recordings.iter().map(|one| one.duration().seconds()).sum();
    let text = card::text(&card::Card {
        name: &name,
        command: &format!("earmark {command}"),
        seed: args.seed,
        steps: args.steps,
        recordings: recordings.len(),
        hours: hours / 3600.0,
        events: recordings.iter().map(|one| one.events.len()).sum(),
        data: &data,
        hash: &hash,
        calibration: &calibration,
        scores: &scores,
    });
    store::write(&args.output, &bytes)?;
    store::write(&card_path, text.as_bytes())?;
    let _ = std::fs::remove_file(checkpoint(args));
    tell(args, &card_path, &hash, &scores, output)
}

fn tell(
    args: &Fit,
    card: &Path,
    hash: &str,
    scores: &[(String, String, Score)],
    output: Output,
) -> anyhow::Result<()> {
    if output.json {
        let scores: Vec<_> = scores
            .iter()
            .map(|(data, probe, score)| {
                let recall: BTreeMap<_, _> = score::NAMES
                    .iter()
                    .map(|placement| placement.name())
                    .zip(score.recall)
                    .collect();
                json!({ "recordings": data, "probe": probe, "recall": recall, "recovery": score.recovery(),
                    "auroc": score.auroc, "ece": score.ece, "precision": score.precision })
            })
            .collect();
        let value = json!({ "ok": true, "weights": args.output, "card": card, "sha256": hash, "scores": scores });
        return print(&format!("{value:#}"));
    }
    let mut text = format!("{} and {}", args.output.display(), card.display());
    for (data, probe, score) in scores {
        text.push_str(&format!(
            "\n{data}  {probe}: recall {:.3}, recovery {:.3}, AUROC {}, ECE {}",
            score.recall[0],
            score.recovery(),
            score::said(score.auroc),
            score::said(score.ece)
        ));
    }
    print(&text)
}

/// What each probe is worth on each folder: that of no learning, those of the built-in weights, and those of these.
fn compare(
    held_out: &[HeldOut],
    weights: &Arc<Weights>,
) -> anyhow::Result<Vec<(String, String, Score)>> {
    if held_out.is_empty() {
        return Ok(Vec::new());
    }
    let built_in = Arc::new(Weights::embedded().context("the built-in weights")?);
    let mut all = vec![("flux".to_owned(), Probe::Flux)];
    let old = probes(&built_in).into_iter();
    all.extend(old.map(|(name, probe)| (format!("{name} (built in)"), probe)));
    all.extend(probes(weights));
    let mut scores = Vec::new();
    for (folder, recordings) in held_out {
        let folder_scores = std::thread::scope(|scope| {
            let run: Vec<_> = all
                .iter()
                .map(|(name, probe)| (name, scope.spawn(|| score::score(recordings, probe))))
                .collect();
            run.into_iter()
                .map(|(name, run)| {
                    let score = run
                        .join()
                        .map_err(|_| anyhow!("scoring {name} on {folder} broke off"))??;
                    Ok((folder.clone(), name.clone(), score))
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        scores.extend(folder_scores);
    }
    Ok(scores)
}

fn listen(folder: &Path, labels: Option<&Path>, output: Output) -> anyhow::Result<Vec<Recording>> {
    let bar = bar(0, "hear", output);
    let recordings = corpus::read(folder, labels, |i, all, name| {
        bar.set_length(all as u64);
        bar.set_position(i as u64);
        bar.set_message(name.to_owned());
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

/// The probes that weights are made for.
fn probes(weights: &Arc<Weights>) -> Vec<(String, Probe)> {
    let both = [
        (ONSET, Probe::Onset(Arc::clone(weights))),
        (ONSET_TCN, Probe::OnsetTcn(Arc::clone(weights))),
    ];
    both.into_iter()
        .filter(|(_, probe)| probe.lacks().is_none())
        .map(|(name, probe)| (name.to_owned(), probe))
        .collect()
}

/// Weights, and where their calibration comes from.
fn train(
    args: &Fit,
    name: &str,
    recordings: &[Recording],
    held_out: &[HeldOut],
    data: &str,
    output: Output,
) -> anyhow::Result<(Vec<u8>, String)> {
    let (seed, steps) = (args.seed, args.steps);
    let job = format!("{data} {seed} {steps}");
    let part = checkpoint(args);
    let mut adam = store::resume(&part, &job)?.unwrap_or_else(|| tcn::start(seed));
    let net = tcn::net();
    let bar = bar(steps.into(), "tcn", output);
    let (mut loss, mut n) = (0.0, 0);
    while adam.steps < steps {
        loss += tcn::step(&net, &mut adam, recordings, seed, steps);
        n += 1;
        if !loss.is_finite() {
            bail!(
                "training went astray at step {}: the loss is no number",
                adam.steps
            );
        }
        if adam.steps.is_multiple_of(SAVE_EVERY) {
            store::save(&part, &adam, &job)?;
            tracing::info!(
                "step {} of {steps}: loss {:.5}",
                adam.steps,
                loss / n as f32
            );
            bar.set_message(format!("loss {:.4}", loss / n as f32));
            (loss, n) = (0.0, 0);
        }
        bar.set_position(adam.steps.into());
    }
    store::save(&part, &adam, &job)?;
    bar.finish_and_clear();
    let metric = metric::learn(recordings);
    let mut learned = Learned {
        name,
        tcn: &adam.mean,
        metric: &metric,
        dsp: &[],
        seen: &[],
        calibration: [Calibration::default(), Calibration::default()],
        shift_ms: 0,
        threshold: 0.0,
        provenance: BTreeMap::new(),
    };
    let view = Weights::read(&store::weights(&learned)?)
        .context("the network that was just trained cannot be read back")?;
    let rows = judge::rows(recordings, &view, seed);
    if rows.iter().filter(|row| row.right).count() < truth::FEWEST {
        bail!(
            "{} candidates were heard and fewer than {} of them begin an event: are the labels those of these recordings?",
            rows.len(),
            truth::FEWEST
        );
    }
    let several = |seen: bool| -> Vec<Judge> {
        let seeds = (0..JUDGES).map(|i| seed.wrapping_mul(JUDGES).wrapping_add(i));
        seeds.map(|seed| Judge::learn(&rows, seen, seed)).collect()
    };
    let (dsp, seen) = std::thread::scope(|scope| {
        let dsp = scope.spawn(|| several(false));
        let seen = several(true);
        dsp.join().map(|dsp| (dsp, seen))
    })
    .map_err(|_| anyhow!("learning to judge candidates broke off"))?;
    learned.dsp = &dsp;
    learned.seen = &seen;
    learned.provenance = BTreeMap::from([
        ("data".to_owned(), data.to_owned()),
        ("seed".to_owned(), seed.to_string()),
        ("steps".to_owned(), steps.to_string()),
    ]);
    let uncalibrated = Arc::new(Weights::read(&store::weights(&learned)?)?);
    let (found, said) = match &args.calibration {
        Some(path) => (given(path)?, format!("that of {}, made from recordings and weights of its own", path.display())),
        None if held_out.is_empty() => (
            fitted(recordings, &uncalibrated)?,
            "temperature and bias, fitted to the recordings that the weights were made from: too sure of itself on others; \
             `earmark fit --calibrate-only` fits them to yours"
                .to_owned(),
        ),
        None => (
            fitted(held_out.iter().flat_map(|(_, recordings)| recordings), &uncalibrated)?,
            "temperature and bias, fitted to the held-out recordings".to_owned(),
        ),
    };
    let of = |probe: &str| found.get(probe).cloned().unwrap_or_default();
    learned.calibration = [of(ONSET), of(ONSET_TCN)];
    learned.threshold = THRESHOLD;
    Ok((store::weights(&learned)?, said))
}

/// The calibrations of another weights file.
fn given(path: &Path) -> anyhow::Result<BTreeMap<String, Calibration>> {
    let weights = read(path)?.1;
    let all = weights.about().probes.iter();
    Ok(all
        .map(|(name, probe)| (name.clone(), probe.calibration.clone()))
        .collect())
}

fn read(path: &Path) -> anyhow::Result<(Vec<u8>, Weights)> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let weights = Weights::read(&bytes).with_context(|| format!("{name} cannot be used"))?;
    Ok((bytes, weights))
}

/// Calibrations under which what the probes say of these recordings is likeliest.
fn fitted<'a>(
    recordings: impl IntoIterator<Item = &'a Recording> + Clone,
    weights: &Arc<Weights>,
) -> anyhow::Result<BTreeMap<String, Calibration>> {
    let mut found = BTreeMap::new();
    for (name, probe) in probes(weights) {
        let mut judged = Vec::new();
        for one in recordings.clone() {
            let said = score::heard(one, &probe);
            let at: Vec<f32> = said.iter().map(|heard| heard.at.seconds() as f32).collect();
            let events: Vec<(f32, f32)> = one.spans().collect();
            let right = truth::truth(&events, &at);
            let logit = |p: f32| {
                let p = p.clamp(1e-6, 1.0 - 1e-6);
                (p / (1.0 - p)).ln()
            };
            judged.extend(
                said.iter()
                    .zip(right)
                    .map(|(heard, right)| (logit(heard.p), right)),
            );
        }
        let right = judged.iter().filter(|(_, right)| *right).count();
        if right.min(judged.len() - right) < truth::FEWEST {
            bail!(
                "{} onsets were heard and {right} of them begin an event: a calibration needs {} of each kind; label a few minutes more",
                judged.len(),
                truth::FEWEST
            );
        }
        found.insert(name, truth::calibrate(&judged));
    }
    Ok(found)
}

/// Other calibrations for weights that there are.
fn calibrate_only(
    old: &Path,
    recordings: &[Recording],
    data: &str,
) -> anyhow::Result<(Vec<u8>, String)> {
    let (bytes, weights) = read(old)?;
    // Logits as they are: without calibration, and every candidate said.
    let plain: BTreeMap<String, Calibration> = weights
        .about()
        .probes
        .keys()
        .map(|name| (name.clone(), Calibration::default()))
        .collect();
    let plain = Arc::new(Weights::read(&store::recalibrated(&bytes, &plain, &[])?)?);
    let found = fitted(recordings, &plain)?;
    let note = ("calibration".to_owned(), data.to_owned());
    let said = format!(
        "temperature and bias, fitted to these recordings; the weights are those of {}",
        old.display()
    );
    Ok((store::recalibrated(&bytes, &found, &[note])?, said))
}
