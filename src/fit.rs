//! `earmark fit`: labelled recordings -> the weights of the probes `onset` and `onset+tcn`, or a head over an embedding, and their model card.
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
//! - `tune`: times, probabilities and thresholds of what a probe says; how far classes of labels lie from their sounds.
//! - `embed`: a linear head over any embedding.
//! - `overlap`: whether a held-out recording is learned from, too.
//! - `score`: what weights are worth on other recordings.
//! - `cross`: the same where what is fitted is fitted to the other held-out ones.
//! - `compare`: several probes beside each other.
//! - `store`: the weights file, checkpoints.
//! - `card`: the model card.

mod augment;
mod card;
mod compare;
mod corpus;
mod cross;
mod embed;
mod hear;
mod judge;
mod metric;
mod net;
mod overlap;
mod random;
mod score;
mod store;
mod tcn;
mod truth;
mod tune;
mod voice;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anchoring::onset::head::Head;
use anchoring::onset::probe::Probe;
use anchoring::onset::spec::{ONSET, ONSET_TCN};
use anchoring::onset::weights::Weights;
use anyhow::{Context, anyhow, bail};
use gstearmark::models;
use gstearmark::onnx;
use gstearmark::printable::line;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::{Fit, Part};
use crate::failure::Usage;
use crate::files;
use crate::terminal::{Output, print};

use self::compare::{Crossed, Scores, compare};
use self::corpus::Recording;
use self::judge::Judge;
use self::score::{Sample, Score};
use self::store::Learned;
use self::tune::{ClassOffset, Fitted, Shift, Threshold, Tuned};

/// Training steps from one checkpoint to the next.
const SAVE_EVERY: u32 = 100;
/// Networks of each kind whose logits are averaged: one alone depends on its seed.
const JUDGES: u64 = 3;

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
        // Not only when everything is learned.
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
            "{} is to be learned from and held out: hold out other recordings",
            same.display()
        ))
        .into());
    }
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
    overlap::refuse(&recordings, &held_out)?;
    let data = corpus::digest(&recordings);
    let hours: f64 = recordings.iter().map(|one| one.duration().seconds()).sum();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let about = card::About {
        name: &name,
        command: &format!("earmark {command}"),
        seed: args.seed,
        recordings: recordings.len(),
        hours: hours / 3600.0,
        events: recordings.iter().map(|one| one.events.len()).sum(),
        data: &data,
    };
    let (bytes, text, found) = match &args.embedding {
        Some(embedding) => head(embedding, &about, &recordings, &held_out, output)?,
        None => {
            let (bytes, tuning) = match &args.calibrate_only {
                Some(old) => calibrate_only(args, old, &recordings, &data)?,
                None => train(args, &name, &recordings, &held_out, &data, output)?,
            };
            let weights = Weights::read(&bytes)
                .context("the weights that were just made cannot be read back")?;
            let scores = compare(&held_out, &Arc::new(weights), &tuning.crossed)?;
            let text = card::text(&about, args.steps, &tuning, &hash(&bytes), &scores);
            (bytes, text, Found { scores, tuning })
        }
    };
    files::write(&args.output, &bytes, args.overwrite)?;
    files::write(&card_path, text.as_bytes(), args.overwrite)?;
    let _ = std::fs::remove_file(checkpoint(args));
    tell(args, &card_path, &hash(&bytes), &found, output)
}

/// SHA-256 in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// What is told of what was made.
struct Found {
    scores: Scores,
    tuning: Tuning,
}

/// What was fitted to what the probes say, and how.
#[derive(Default)]
struct Tuning {
    /// Where the calibration comes from.
    calibration: String,
    /// Of which recordings the rest is.
    on: String,
    probes: BTreeMap<String, (Tuned, Option<Shift>, Option<Threshold>)>,
    /// How far the labels of each class lie from its sounds.
    offsets: Vec<ClassOffset>,
    /// What is said of the recordings that are scored, where they are fitted to.
    crossed: Crossed,
}

fn tell(args: &Fit, card: &Path, hash: &str, found: &Found, output: Output) -> anyhow::Result<()> {
    let Found { scores, tuning } = found;
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
                let told = json!({ "temperature": tuned.calibration.temperature, "bias": tuned.calibration.bias,
                    "threshold": tuned.threshold, "shift_ms": tuned.shift_ms, "voiced": tuned.voiced, "fitted_shift": shift, "fitted_threshold": threshold });
                (name, told)
            })
            .collect();
        let value = json!({ "ok": true, "weights": args.output, "card": card, "sha256": hash, "scores": scores, "probes": probes,
            "offsets": tuning.offsets, "yaml": yaml });
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
    for (name, (tuned, ..)) in &tuning.probes {
        text.push_str(&format!(
            "\n{name}: threshold {}, shift {} ms, a voice takes {}",
            tuned.threshold, tuned.shift_ms, tuned.voiced
        ));
    }
    if let Some(yaml) = yaml {
        text.push_str(&format!("\nlabels lie elsewhere than their sounds; if they say when something is seen: anchors: {{ {yaml} }}"));
    }
    print(&text)
}

fn listen(folder: &Path, labels: Option<&Path>, output: Output) -> anyhow::Result<Vec<Recording>> {
    let bar = bar(0, "hear", output);
    let recordings = corpus::read(folder, labels, |i, all, name| {
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

/// The probes that weights are made for.
fn probes(weights: &Arc<Weights>) -> Vec<(String, Probe)> {
    let both = [
        (ONSET, Probe::Onset(Arc::clone(weights))),
        (ONSET_TCN, Probe::OnsetTcn(Arc::clone(weights))),
    ];
    both.into_iter()
        .filter(|(_, probe)| probe.unsupported().is_none())
        .map(|(name, probe)| (name.to_owned(), probe))
        .collect()
}

/// Weights, and what was fitted to what they say.
fn train(
    args: &Fit,
    name: &str,
    recordings: &[Recording],
    held_out: &[HeldOut],
    data: &str,
    output: Output,
) -> anyhow::Result<(Vec<u8>, Tuning)> {
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
        tuned: Default::default(),
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
    let plain = Arc::new(Weights::read(&store::weights(&learned)?)?);
    let given = args.calibration.as_deref().map(given).transpose()?;
    // Probabilities that are another's ask for the threshold that goes with them.
    let parts: &[Part] = match given {
        Some(_) => &[Part::Shift],
        None => &[Part::Calibration, Part::Shift, Part::Threshold, Part::Voice],
    };
    let (on, whose): (Vec<&Recording>, _) = if held_out.is_empty() {
        (
            recordings.iter().collect(),
            "the recordings that the weights were made from",
        )
    } else {
        let all = held_out.iter().flat_map(|(_, recordings)| recordings);
        (all.collect(), "the held-out recordings")
    };
    let mut tuning = tuned(
        &on,
        &plain,
        &given.unwrap_or_default(),
        parts,
        &classes(args)?,
        tagger(args, parts)?,
        !held_out.is_empty(),
    )?;
    tuning.on = whose.to_owned();
    tuning.calibration = match &args.calibration {
        Some(path) => format!(
            "that of {}, made from recordings and weights of its own, and its thresholds",
            path.display()
        ),
        None if held_out.is_empty() => format!(
            "temperature and bias, fitted to {whose}: too sure of itself on others; `earmark fit --calibrate-only` fits them to yours"
        ),
        None => format!("temperature and bias, fitted to {whose}"),
    };
    let of = |probe: &str| {
        let found = tuning.probes.get(probe).map(|(tuned, ..)| tuned.clone());
        found.unwrap_or_default()
    };
    learned.tuned = [of(ONSET), of(ONSET_TCN)];
    Ok((store::weights(&learned)?, tuning))
}

/// What another weights file holds of this.
fn given(path: &Path) -> anyhow::Result<BTreeMap<String, Tuned>> {
    let weights = read(path)?.1;
    let all = weights.spec().probes.iter();
    Ok(all
        .map(|(name, probe)| (name.clone(), Tuned::of(probe)))
        .collect())
}

/// The tagger's classes, for which offsets may be proposed; none without one, and none if the default one is not installed.
fn classes(args: &Fit) -> anyhow::Result<Vec<String>> {
    let list = |name: &str| {
        let manifest = models::find(name)?.of_kind(models::Kind::Tagger)?;
        let path = manifest.classes_path();
        path.map_or(Ok(Vec::new()), |path| models::read_classes(&path))
    };
    match args.tagger.as_deref() {
        Some("none") => Ok(Vec::new()),
        Some(name) => Ok(list(name)?),
        None => Ok(list("yamnet").unwrap_or_default()),
    }
}

/// The tagger that hears voices, if these parts ask for one; none if the default one is not installed.
fn tagger(args: &Fit, parts: &[Part]) -> anyhow::Result<Option<onnx::Tagger>> {
    match args.tagger.as_deref() {
        Some("none") => Ok(None),
        _ if !parts.contains(&Part::Voice) => Ok(None),
        Some(name) => Ok(Some(onnx::load_tagger(name, 1)?)),
        None => Ok(onnx::load_tagger("yamnet", 1).ok()),
    }
}

fn read(path: &Path) -> anyhow::Result<(Vec<u8>, Weights)> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let weights = Weights::read(&bytes).with_context(|| format!("{name} cannot be used"))?;
    Ok((bytes, weights))
}

/// Fits what is asked for to what each probe says of recordings. `weights` say every candidate, when it is found and by its logit, but shifted as given
/// if shifts are not fitted. `cross`: the same recordings are scored, so that what others say of each is kept, too.
fn tuned(
    recordings: &[&Recording],
    weights: &Arc<Weights>,
    given: &BTreeMap<String, Tuned>,
    parts: &[Part],
    classes: &[String],
    tagger: Option<onnx::Tagger>,
    cross: bool,
) -> anyhow::Result<Tuning> {
    let mut tuning = Tuning::default();
    let ear = tagger.map(voice::Ear::new);
    for (name, probe) in probes(weights) {
        let given = given.get(&name);
        let raw = tune::heard_by(recordings, &probe);
        if cross {
            let said = cross::said(recordings, &raw, given, parts);
            tuning.crossed.insert(name.clone(), said);
        }
        let (fitted, said) = tune::fit(recordings, raw, given, parts)?;
        let Fitted {
            tuned: mut own,
            shift,
            threshold,
        } = fitted;
        if let Some(ear) = &ear {
            let by = shift.as_ref().map_or(0, |found| found.ms);
            let judged = tune::beside_voices(recordings, ear, &probe, by, &own.calibration)?;
            own.voiced = voice::share(&judged).unwrap_or(own.voiced);
        }
        // The last probe is the best.
        tuning.offsets = tune::by_class(recordings, &said, classes);
        tuning.probes.insert(name, (own, shift, threshold));
    }
    Ok(tuning)
}

/// Another calibration for weights that there are, and what else is asked for.
fn calibrate_only(
    args: &Fit,
    old: &Path,
    recordings: &[Recording],
    data: &str,
) -> anyhow::Result<(Vec<u8>, Tuning)> {
    let (bytes, _) = read(old)?;
    let given = given(old)?;
    let mut parts = vec![Part::Calibration];
    parts.extend(args.also.iter().filter(|part| **part != Part::Calibration));
    // Logits as they are: without calibration, and every candidate said.
    let plain: BTreeMap<String, Tuned> = given
        .iter()
        .map(|(name, tuned)| {
            let shift_ms = if parts.contains(&Part::Shift) {
                0
            } else {
                tuned.shift_ms
            };
            let plain = Tuned {
                shift_ms,
                ..Tuned::default()
            };
            (name.clone(), plain)
        })
        .collect();
    let plain = Arc::new(Weights::read(&store::retuned(&bytes, &plain, &[])?)?);
    let on: Vec<&Recording> = recordings.iter().collect();
    let tagger = tagger(args, &parts)?;
    if parts.contains(&Part::Voice) && tagger.is_none() {
        bail!(
            "--also voice needs a tagger, and there is none: install one (`earmark models`) or name it with --tagger"
        );
    }
    let mut tuning = tuned(&on, &plain, &given, &parts, &classes(args)?, tagger, false)?;
    tuning.on = "these recordings".to_owned();
    tuning.calibration = format!(
        "temperature and bias, fitted to these recordings; the weights are those of {}",
        old.display()
    );
    let note = ("calibration".to_owned(), data.to_owned());
    let of = tuning.probes.iter();
    let found = of.map(|(name, (tuned, ..))| (name.clone(), tuned.clone()));
    let bytes = store::retuned(&bytes, &found.collect(), &[note])?;
    Ok((bytes, tuning))
}

/// A head over an embedding, its card, and what it is worth.
fn head(
    embedding: &str,
    about: &card::About<'_>,
    recordings: &[Recording],
    held_out: &[HeldOut],
    output: Output,
) -> anyhow::Result<(Vec<u8>, String, Found)> {
    let manifest = embed::manifest(embedding)?;
    let dim = manifest.output.dim;
    let all = recordings.len() + held_out.iter().map(|(_, held)| held.len()).sum::<usize>();
    let bar = bar(all as u64, "embed", output);
    let patches = |recordings: &[Recording]| -> anyhow::Result<Vec<embed::Patches>> {
        let one = |one: &Recording| {
            bar.inc(1);
            bar.set_message(line(&one.name).into_owned());
            embed::patches(one, &manifest)
        };
        recordings.iter().map(one).collect()
    };
    let own = patches(recordings)?;
    let mut held = Vec::new();
    for (_, recordings) in held_out {
        held.push(patches(recordings)?);
    }
    bar.finish_and_clear();
    let learned = embed::learn(recordings, &own, dim, about.seed)?;
    let judged = if held.is_empty() {
        embed::judged(recordings.iter().zip(&own), &learned)
    } else {
        let pairs = held_out.iter().zip(&held);
        let pairs = pairs.flat_map(|((_, recordings), patches)| recordings.iter().zip(patches));
        embed::judged(pairs, &learned)
    };
    let calibration = truth::calibrate(&judged, None);
    let provenance = BTreeMap::from([
        ("data".to_owned(), about.data.to_owned()),
        ("seed".to_owned(), about.seed.to_string()),
        ("embedding".to_owned(), manifest.name.clone()),
        ("embedding sha256".to_owned(), manifest.sha256.clone()),
    ]);
    let said = embed::about(about.name, calibration, provenance);
    let bytes = store::head(&said, &learned.weight, learned.bias)?;
    let head =
        Head::read(&bytes, dim).context("the head that was just made cannot be read back")?;
    let pairs = held_out.iter().zip(&held);
    let pairs: Vec<(&Recording, &embed::Patches)> = pairs
        .flat_map(|((_, recordings), patches)| recordings.iter().zip(patches))
        .collect();
    // What is said of a recording by the head as it is, unless others can say how likely its patches are.
    let mut said: Vec<_> = pairs
        .iter()
        .map(|(_, patches)| embed::heard(patches, &head, dim))
        .collect();
    for (own, others) in cross::folds(pairs.len()) {
        let judged = embed::judged(others.iter().map(|&i| pairs[i]), &learned);
        let about = embed::about(about.name, truth::calibrate(&judged, None), BTreeMap::new());
        let head = Head::read(&store::head(&about, &learned.weight, learned.bias)?, dim)?;
        for i in own {
            said[i] = embed::heard(pairs[i].1, &head, dim);
        }
    }
    let sample = if pairs.len() < 2 {
        Sample::In
    } else {
        Sample::Out
    };
    let mut scores = Vec::new();
    let mut first = 0;
    for (folder, recordings) in held_out {
        let flux = score::score(recordings, &Probe::Flux)?;
        scores.push((folder.clone(), "flux".to_owned(), flux));
        let these = first..first + recordings.len();
        first = these.end;
        let own = score::score_of(recordings, &said[these])?;
        let own = Score { sample, ..own };
        scores.push((folder.clone(), manifest.name.clone(), own));
    }
    let on = if held.is_empty() {
        "the recordings that it was made from: too sure of itself on others"
    } else {
        "the held-out recordings"
    };
    let text = card::head_text(about, &manifest, on, &hash(&bytes), &scores);
    let found = Found {
        scores,
        tuning: Tuning::default(),
    };
    Ok((bytes, text, found))
}
