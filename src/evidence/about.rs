//! What a table was made with: versions, hashes, counts; and what there is to make one of.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::heads::Data;
use super::protocol::Protocol;
use super::{Work, clips};
use crate::cli::EvalTokens;
use crate::pipeline::Pipeline;
use crate::scores::Scored;

/// `earmark eval tokens --dry-run`: counts, writes nothing.
///
/// # Errors
/// The protocol or the labels cannot be read.
pub(super) fn dry_run(args: &EvalTokens) -> anyhow::Result<Scored> {
    let protocol = Protocol::read(args.sampled.protocol.as_deref())?;
    let clips = clips::read(&args.sampled, protocol.seconds)?;
    let of = |split: u8| {
        let own = clips.clips.iter().filter(|clip| clip.split == split);
        own.fold((0, 0), |(recordings, pieces), clip| {
            (
                recordings + 1,
                pieces + clip.labels.len() / protocol.seconds,
            )
        })
    };
    let splits = [("training", of(0)), ("validation", of(1)), ("test", of(2))];
    let seconds: usize = clips.clips.iter().map(|clip| clip.labels.len()).sum();
    let (tiers, policies) = (protocol.tiers().len(), protocol.policies.len());
    let heads = policies as u64 * args.seeds;
    let [training, validation, test] = clips.in_splits;
    let mut text = format!(
        "labels: {training} recordings for training, {validation} for validation, {test} for the test; {} classes and background\n",
        clips.background()
    );
    text += &clips.said();
    for (name, (recordings, pieces)) in splits {
        text += &format!(
            "{name}: {recordings} recordings, {pieces} pieces of {} s\n",
            protocol.seconds
        );
    }
    text += &format!(
        "would encode {} frames ({seconds} s at {tiers} tiers) and train {heads} heads ({policies} policies, {} seeds)\n",
        seconds * tiers,
        args.seeds
    );
    let counted = |(name, (recordings, pieces)): (&str, (usize, usize))| {
        (
            name.to_owned(),
            json!({ "recordings": recordings, "pieces": pieces }),
        )
    };
    let value = json!({
        "ok": true, "dry_run": true, "classes": clips.background(),
        "labelled": { "training": training, "validation": validation, "test": test }, "recordings": clips.clips.len(), "missing": clips.missing, "left_out": clips.left_out,
        "splits": splits.map(counted).into_iter().collect::<serde_json::Map<_, _>>(),
        "frames": seconds * tiers, "policies": policies, "heads": heads,
    });
    Ok(Scored { value, text })
}

/// A line for each thing.
pub(super) fn made_with(
    args: &EvalTokens,
    work: &Work<'_>,
    encoder: &Pipeline,
    trainer: &Path,
    data: Option<&Data>,
) -> Vec<(String, String)> {
    let count =
        |split: u8| data.map_or(0, |data| data.split.iter().filter(|s| **s == split).count());
    let hash = |path: &Path| {
        crate::recording::fingerprint::sha256(path).unwrap_or_else(|_| "unknown".into())
    };
    let model = encoder.config["features"]["model"]
        .as_str()
        .unwrap_or(&args.encoder);
    let model_hash = gstearmark::models::find(model)
        .map_or_else(|_| "unknown".into(), |found| hash(&found.onnx_path()));
    let protocol = serde_json::to_string(&work.protocol).unwrap_or_default();
    let clips = &work.clips;
    let lines = [
        ("earmark", env!("CARGO_PKG_VERSION").to_owned()),
        (
            "ONNX Runtime",
            gstearmark::onnx::runtime_version().unwrap_or_else(|_| "unknown".into()),
        ),
        ("earmark-learning, SHA-256", hash(trainer)),
        (
            "labels",
            format!("{}, SHA-256 {}", args.sampled.layout.name(), clips.hash),
        ),
        (
            "protocol, SHA-256",
            format!("{:x}", Sha256::digest(protocol)),
        ),
        ("encoder", format!("{model}, SHA-256 {model_hash}")),
        ("probe", work.protocol.probe.clone()),
        (
            "head",
            format!(
                "{}, AdamW 1e-3, weight decay 0.01, {} epochs or early stop on validation, {} seeds",
                args.head.name(),
                args.epochs,
                args.seeds
            ),
        ),
        (
            "pieces",
            format!(
                "{} training, {} validation, {} test",
                count(0),
                count(1),
                count(2)
            ),
        ),
        (
            "recordings",
            format!(
                "{} there, {} missing, {} left out",
                clips.clips.len(),
                clips.missing.len(),
                clips.left_out.len()
            ),
        ),
        (
            "wall time",
            format!("on {} cores", crate::session::cores(None)),
        ),
    ];
    lines.map(|(what, value)| (what.to_owned(), value)).into()
}
