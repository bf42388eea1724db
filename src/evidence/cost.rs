//! What policies cost besides tokens: the encoder's operations, and wall time, measured by running their plans.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anchoring::tier::Tier;
use anyhow::Context;
use gstearmark::models::Manifest;
use serde::{Deserialize, Serialize};

use super::allocation::Selection;
use super::clips::Clip;
use super::{PolicyPlans, Work, encode, listen};
use crate::files;
use crate::pipeline::Pipeline;

/// How much of the test is run, seconds of recordings; at least one recording.
const MEASURED_S: f64 = 30.0;
/// How often; the fastest counts, because other programs only ever slow it down.
const ROUNDS: usize = 3;

/// Wall time of a second of recording, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct WallTimes {
    /// To decode and encode the frames of a policy's plan.
    frames: BTreeMap<String, f64>,
    /// To listen.
    listening: f64,
    /// The cores it ran on.
    cores: u32,
}

/// Of each policy, per piece: the encoder's operations, and seconds of wall time.
///
/// # Errors
/// The encoder fails, a recording cannot be decoded or listened to, or the times cannot be kept.
pub(super) fn of(
    work: &Work<'_>,
    encoder: &Pipeline,
    plans: &[PolicyPlans<'_>],
) -> anyhow::Result<Vec<(Option<f64>, f64)>> {
    let model = encoder.config["features"]["model"]
        .as_str()
        .unwrap_or_default();
    let flops = flops(
        &gstearmark::models::find(model)?,
        work.protocol.tiers().into_iter(),
    )?;
    work.step("timed", 0, plans.len())?;
    let times = wall_times(work, encoder, plans)?;
    let seconds = work.protocol.seconds as f64;
    plans
        .iter()
        .map(|(policy, taken)| {
            let pieces = taken.iter().map(Vec::len).sum::<usize>().max(1) as f64;
            let tiers = taken.iter().flatten().flat_map(|piece| &piece.tiers);
            let operations: Option<f64> = tiers.map(|tier| flops.get(tier)).sum();
            let frames = times.frames.get(&policy.name).with_context(|| {
                format!(
                    "{} has no policy `{}`: delete it",
                    file(work).display(),
                    policy.name
                )
            })?;
            let listening = if policy.listens() {
                times.listening
            } else {
                0.0
            };
            Ok((
                operations.map(|all| all / pieces),
                seconds * (frames + listening),
            ))
        })
        .collect()
}

/// The tier of every frame of a recording.
fn tiers(taken: &[Selection]) -> impl Iterator<Item = Tier> {
    taken.iter().flat_map(|piece| piece.tiers.iter().copied())
}

/// Where times are kept.
fn file(work: &Work<'_>) -> PathBuf {
    work.folder.join("wall.json")
}

/// The operations of one frame of each tier; empty where they cannot be counted.
///
/// # Errors
/// The encoder cannot be loaded, or fails.
fn flops(
    encoder: &Manifest,
    tiers: impl Iterator<Item = Tier>,
) -> anyhow::Result<BTreeMap<Tier, f64>> {
    let mut all = BTreeMap::new();
    for tier in tiers {
        let Some(spec) = encoder.tiers.map(|tiers| tiers.of(tier)) else {
            continue;
        };
        if let Some(flops) = gstearmark::onnx::flops(encoder, spec.px)? {
            all.insert(tier, flops as f64);
        }
    }
    Ok(all)
}

/// Runs plans of some test recordings from end to end, unless that is done already.
///
/// # Errors
/// A recording cannot be decoded or listened to, or the file of times cannot be read or written.
fn wall_times(
    work: &Work<'_>,
    encoder: &Pipeline,
    plans: &[PolicyPlans<'_>],
) -> anyhow::Result<WallTimes> {
    let file = file(work);
    let name = file.display();
    let ears = listen::pipeline(&work.protocol.probe)?;
    if file.exists() {
        let text = std::fs::read(&file).with_context(|| format!("cannot read {name}"))?;
        return serde_json::from_slice(&text)
            .with_context(|| format!("{name} is not what earmark writes: delete it"));
    }
    let mut seconds = 0.0;
    let some: Vec<(usize, &Clip)> = work
        .clips
        .clips
        .iter()
        .enumerate()
        .filter(|(_, clip)| clip.split == 2)
        .take_while(|(_, clip)| {
            let more = seconds < MEASURED_S;
            seconds += clip.duration.seconds();
            more
        })
        .collect();
    let seconds: f64 = some.iter().map(|(_, clip)| clip.duration.seconds()).sum();
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut fastest: BTreeMap<&str, f64> = BTreeMap::new();
    let mut listening = f64::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for (_, clip) in &some {
            let cues = folder.path().join("cues.jsonl");
            listen::cues(&ears, clip, &cues, None, work.stop)?;
            std::fs::remove_file(&cues)?;
        }
        listening = listening.min(began.elapsed().as_secs_f64());
        for (policy, taken) in plans {
            // Policies that take the same frames cost the same.
            let mut earlier = plans
                .iter()
                .take_while(|(other, _)| other.name != policy.name);
            let same = |other: &&PolicyPlans<'_>| {
                some.iter()
                    .all(|(i, _)| tiers(&other.1[*i]).eq(tiers(&taken[*i])))
            };
            if let Some((other, _)) = earlier.find(same) {
                let took = fastest[&*other.name];
                fastest.insert(&policy.name, took);
                continue;
            }
            let began = Instant::now();
            for (_, clip) in &some {
                let features = folder.path().join("features.h5");
                let plan = work.plan_file(policy, clip);
                encode::extract(encoder, clip, &plan, &features, None, work.stop)?;
                std::fs::remove_file(&features)?;
            }
            let took = began.elapsed().as_secs_f64();
            let least = fastest.entry(&policy.name).or_insert(f64::MAX);
            *least = least.min(took);
        }
    }
    let each = |took: f64| took / seconds.max(1.0);
    let times = WallTimes {
        frames: fastest
            .into_iter()
            .map(|(policy, took)| (policy.to_owned(), each(took)))
            .collect(),
        listening: each(listening),
        cores: crate::session::cores(None),
    };
    files::write(
        &file,
        format!("{:#}\n", serde_json::to_value(&times)?).as_bytes(),
        true,
    )?;
    Ok(times)
}
