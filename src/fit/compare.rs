//! Scores probes on held-out recordings side by side, and says which figures are out of sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use anchoring::cue::Onset;
use anchoring::onset::probe::Probe;
use anchoring::onset::spec::{ONSET, ONSET_TCN};
use anchoring::onset::weights::Weights;
use anyhow::{Context, anyhow};

use super::HeldOut;
use super::score::{self, Sample, Score};

/// Scores by recordings and probe.
pub(super) type Scores = Vec<(String, String, Score)>;
/// Per probe: cross-fitted onsets of all held-out recordings, or why there are none.
pub(super) type CrossFitted = BTreeMap<String, Result<Vec<Vec<Onset>>, String>>;

/// Scores each probe on each folder: the untrained one, the built-in weights, and these.
///
/// # Errors
/// Nothing to score.
pub(super) fn compare(
    held_out: &[HeldOut],
    weights: &Arc<Weights>,
    crossed: &CrossFitted,
) -> anyhow::Result<Scores> {
    if held_out.is_empty() {
        return Ok(Vec::new());
    }
    let built_in = Arc::new(Weights::embedded().context("the built-in weights")?);
    let mut all = vec![("flux".to_owned(), Probe::Flux, Sample::Nothing)];
    let old = probes(&built_in).into_iter();
    all.extend(old.map(|(name, probe)| (format!("{name} (built in)"), probe, Sample::Elsewhere)));
    all.extend(probes(weights).into_iter().map(|(name, probe)| {
        let sample = match crossed.get(&name) {
            Some(Ok(_)) => Sample::Out,
            Some(Err(_)) => Sample::In,
            None => Sample::Elsewhere,
        };
        (name, probe, sample)
    }));
    let mut scores = Vec::new();
    let mut first = 0;
    for (folder, recordings) in held_out {
        let these = first..first + recordings.len();
        first = these.end;
        let one = |name: &str, probe: &Probe| match crossed.get(name) {
            Some(Ok(said)) => score::score_of(recordings, &said[these.clone()]),
            _ => score::score(recordings, probe),
        };
        let folder_scores = std::thread::scope(|scope| {
            let run: Vec<_> = all
                .iter()
                .map(|(name, probe, sample)| (name, sample, scope.spawn(|| one(name, probe))))
                .collect();
            run.into_iter()
                .map(|(name, sample, run)| {
                    let score = run
                        .join()
                        .map_err(|_| anyhow!("scoring {name} on {folder} failed"))??;
                    let sample = *sample;
                    Ok((folder.clone(), name.clone(), Score { sample, ..score }))
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        scores.extend(folder_scores);
    }
    Ok(scores)
}

/// The probes that weights are for.
pub(super) fn probes(weights: &Arc<Weights>) -> Vec<(String, Probe)> {
    let both = [
        (ONSET, Probe::Onset(Arc::clone(weights))),
        (ONSET_TCN, Probe::OnsetTcn(Arc::clone(weights))),
    ];
    both.into_iter()
        .filter(|(_, probe)| probe.unsupported().is_none())
        .map(|(name, probe)| (name.to_owned(), probe))
        .collect()
}
