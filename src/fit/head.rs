//! Trains a linear head on an embedding, and scores it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchoring::onset::head::Head;
use anchoring::onset::probe::Probe;
use anchoring::onset::weights::Weights;
use anyhow::Context;
use gstearmark::printable::line;

use super::corpus::Recording;
use super::score::{self, Sample, Score};
use super::verdict::BUILT_IN;
use super::{
    FitResult, HeldOut, Tuning, bar, card, cross_validation, embed, hash, matching, store,
};
use crate::terminal::Output;

/// Trains a head, writes its card, and scores it.
pub(super) fn head(
    embedding: &str,
    about: &card::CardFacts<'_>,
    recordings: &[Recording],
    held_out: &[HeldOut],
    output: Output,
) -> anyhow::Result<(Vec<u8>, String, FitResult)> {
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
    let calibration = matching::calibrate(&judged, None);
    let provenance = BTreeMap::from([
        ("data".to_owned(), about.data.to_owned()),
        ("seed".to_owned(), about.seed.to_string()),
        ("embedding".to_owned(), manifest.name.clone()),
        ("embedding sha256".to_owned(), manifest.sha256.clone()),
    ]);
    let said = embed::about(about.name, calibration, provenance);
    let bytes = store::head(&said, &learned.weight, learned.bias)?;
    let head =
        Head::read(&bytes, dim).context("cannot read back the head that was just trained")?;
    let pairs = held_out.iter().zip(&held);
    let pairs: Vec<(&Recording, &embed::Patches)> = pairs
        .flat_map(|((_, recordings), patches)| recordings.iter().zip(patches))
        .collect();
    // Scored as it is, unless there are other recordings to calibrate on.
    let mut said: Vec<_> = pairs
        .iter()
        .map(|(_, patches)| embed::heard(patches, &head, dim))
        .collect();
    for (own, others) in cross_validation::folds(pairs.len()) {
        let judged = embed::judged(others.iter().map(|&i| pairs[i]), &learned);
        let about = embed::about(
            about.name,
            matching::calibrate(&judged, None),
            BTreeMap::new(),
        );
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
    let built_in = Arc::new(Weights::embedded().context("the built-in weights")?);
    let mut scores = Vec::new();
    let mut first = 0;
    for (folder, recordings) in held_out {
        let flux = score::score(recordings, &Probe::Flux)?;
        scores.push((folder.clone(), "flux".to_owned(), flux));
        let old = score::score(recordings, &Probe::Onset(Arc::clone(&built_in)))?;
        let old = Score {
            sample: Sample::Elsewhere,
            ..old
        };
        scores.push((folder.clone(), BUILT_IN.to_owned(), old));
        let these = first..first + recordings.len();
        first = these.end;
        let own = score::score_of(recordings, &said[these])?;
        let own = Score { sample, ..own };
        scores.push((folder.clone(), manifest.name.clone(), own));
    }
    let on = if held.is_empty() {
        "the training recordings, so overconfident on others"
    } else {
        "the held-out recordings"
    };
    let text = card::head_text(about, &manifest, on, &hash(&bytes), &scores);
    let found = FitResult {
        scores,
        tuning: Tuning::default(),
    };
    Ok((bytes, text, found))
}
