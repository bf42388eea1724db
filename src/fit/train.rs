//! Trains the networks of the probes, and fits calibration, shift, threshold and speech to their output.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anchoring::onset::spec::{ONSET, ONSET_TCN};
use anchoring::onset::weights::{EMBEDDED, Weights};
use anyhow::{Context, anyhow, bail};
use gstearmark::models;
use gstearmark::onnx;

use super::candidate_net::{self, CandidateNet};
use super::compare::probes;
use super::corpus::Recording;
use super::store::{self, Learned};
use super::tune::{self, Fitted, Tuned};
use super::{HeldOut, Tuning, bar, checkpoint, cross_validation, matching, metric, speech, tcn};
use crate::cli::{Fit, Part};
use crate::terminal::Output;

/// The name of the built-in weights.
const BUILT_IN: &str = "builtin";

/// Training steps between checkpoints.
const SAVE_EVERY: u32 = 100;
/// Networks of each kind whose logits are averaged, because a single one depends on its seed.
const NETS: u64 = 3;

/// Trains weights, and fits parameters to their output.
pub(super) fn train(
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
                "training failed at step {}: the loss is not a number",
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
        .context("cannot read back the network that was just trained")?;
    let rows = candidate_net::rows(recordings, &view, seed);
    if rows.iter().filter(|row| row.right).count() < matching::FEWEST {
        bail!(
            "of {} candidates, fewer than {} begin an event; are these the labels of these recordings?",
            rows.len(),
            matching::FEWEST
        );
    }
    let several = |seen: bool| -> Vec<CandidateNet> {
        let seeds = (0..NETS).map(|i| seed.wrapping_mul(NETS).wrapping_add(i));
        seeds
            .map(|seed| CandidateNet::learn(&rows, seen, seed))
            .collect()
    };
    let (dsp, seen) = std::thread::scope(|scope| {
        let dsp = scope.spawn(|| several(false));
        let seen = several(true);
        dsp.join().map(|dsp| (dsp, seen))
    })
    .map_err(|_| anyhow!("training the candidate networks failed"))?;
    learned.dsp = &dsp;
    learned.seen = &seen;
    learned.provenance = BTreeMap::from([
        ("data".to_owned(), data.to_owned()),
        ("seed".to_owned(), seed.to_string()),
        ("steps".to_owned(), steps.to_string()),
    ]);
    let plain = Arc::new(Weights::read(&store::weights(&learned)?)?);
    let given = args.calibration.as_deref().map(given).transpose()?;
    // Probabilities from another calibration need its own threshold.
    let parts: &[Part] = match given {
        Some(_) => &[Part::Shift],
        None => &[Part::Calibration, Part::Shift, Part::Threshold, Part::Voice],
    };
    let (on, whose): (Vec<&Recording>, _) = if held_out.is_empty() {
        (recordings.iter().collect(), "the training recordings")
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
            "calibration and thresholds of {}, which were fitted to other recordings and weights",
            path.display()
        ),
        None if held_out.is_empty() => format!(
            "temperature and bias, fitted to {whose}, so overconfident on others; `earmark fit --calibrate-only` fits them to yours"
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

/// The parameters of another weights file.
fn given(path: &Path) -> anyhow::Result<BTreeMap<String, Tuned>> {
    let weights = read(path)?.1;
    let all = weights.spec().probes.iter();
    Ok(all
        .map(|(name, probe)| (name.clone(), Tuned::of(probe)))
        .collect())
}

/// The classes of the tagger for which offsets may be proposed; empty without one, or if the default one is not installed.
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

/// The tagger for speech, if these parts need one; `None` if the default one is not installed.
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
    // A file of that name comes first.
    if path == Path::new(BUILT_IN) && !path.exists() {
        let weights = Weights::embedded().context("the built-in weights")?;
        return Ok((EMBEDDED.to_vec(), weights));
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let weights = Weights::read(&bytes).with_context(|| format!("cannot use {name}"))?;
    Ok((bytes, weights))
}

/// Fits `parts` to the onsets of each probe. `weights` give every candidate with its time and logit; times are shifted as given if the shift
/// is not fitted. `cross`: the same recordings are scored, so cross-fitted onsets are kept as well.
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
    let ear = tagger.map(speech::SpeechTagger::new);
    for (name, probe) in probes(weights) {
        let given = given.get(&name);
        let raw = tune::heard_by(recordings, &probe);
        if cross {
            let said = cross_validation::said(recordings, &raw, given, parts);
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
            own.voiced = speech::share(&judged).unwrap_or(own.voiced);
        }
        // The last probe is the best.
        tuning.offsets = tune::by_class(recordings, &said, classes);
        tuning.probes.insert(name, (own, shift, threshold));
    }
    Ok(tuning)
}

/// Fits another calibration to existing weights, and what else is requested.
pub(super) fn calibrate_only(
    args: &Fit,
    old: &Path,
    recordings: &[Recording],
    data: &str,
) -> anyhow::Result<(Vec<u8>, Tuning)> {
    let (bytes, _) = read(old)?;
    let given = given(old)?;
    let mut parts = vec![Part::Calibration];
    parts.extend(args.also.iter().filter(|part| **part != Part::Calibration));
    // Plain logits: no calibration, no threshold.
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
            "--also voice needs a tagger: install one (see `earmark models`), or name it with --tagger"
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
