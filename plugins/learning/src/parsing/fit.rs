//! The loop: AdamW over mini-batches of videos, the best weights on validation kept, checkpoints.
//!
//! Every random choice comes from the seed and the number of the epoch, so interrupted training continues as if it had not been.

use std::path::Path;

use anyhow::{Context, bail};
use burn::optim::AdamWConfig;
use burn::tensor::Tensor;
use serde_json::Value;

use super::experiment::Training;
use super::layers::Shapes;
use crate::checkpoint::{Checkpoint, Progress};
use crate::network::Weights;
use crate::optimiser::{Optimiser, Tracked};
use crate::tensors::Matrices;
use crate::train::NextStep;

/// A finished epoch.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Mean loss of its steps.
    pub loss: f64,
    /// Score on validation; higher is better.
    pub score: Option<f64>,
}

/// A network and its loss, to train.
pub(crate) trait Task {
    fn shapes(&self) -> Shapes;
    fn first(&self, seed: u64) -> Matrices;
    fn loss(
        &self,
        weights: &Weights<Tracked>,
        videos: &[usize],
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<Tensor<Tracked, 1>>;
    /// Score of these weights on validation; higher is better.
    fn score(&self, weights: &Matrices) -> anyhow::Result<Option<f64>>;
}

/// Trains; `None` if `each` stopped it. `of`: the training that the checkpoint must belong to.
pub(crate) fn fit(
    task: &dyn Task,
    training: Training,
    videos: &[usize],
    of: &Value,
    checkpoint: Option<&Path>,
    each: &mut dyn FnMut(Epoch) -> NextStep,
) -> anyhow::Result<Option<(Matrices, Progress)>> {
    if videos.is_empty() {
        bail!("the training split has no video to train on");
    }
    let shapes = task.shapes();
    let mut state = match checkpoint {
        Some(path) if path.exists() => {
            let read = Checkpoint::read(path, of)?;
            for part in [
                &read.weights,
                &read.moments[0],
                &read.moments[1],
                &read.best,
            ] {
                shapes
                    .fit(part)
                    .with_context(|| format!("{} is damaged", path.display()))?;
            }
            read
        }
        _ => Checkpoint::begin(task.first(training.seed)),
    };
    let adam = AdamWConfig::new()
        .with_epsilon(1e-8)
        .with_beta_1(training.beta_1)
        .with_beta_2(training.beta_2)
        .with_weight_decay(training.weight_decay);
    while state.progress.epochs < training.epochs {
        let number = state.progress.epochs;
        let mut random = fastrand::Rng::with_seed(
            training.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number as u64 + 1),
        );
        let mut order = videos.to_vec();
        random.shuffle(&mut order);
        let mut optimiser =
            Optimiser::new(&adam, &state.weights, &state.moments, state.progress.steps);
        let clip = (training.clip > 0.0).then_some(training.clip);
        let mut losses = 0.0;
        for batch in order.chunks(training.batch) {
            let tracked = optimiser.tracked();
            let loss = task.loss(&tracked, batch, &mut random)?;
            losses += f64::from(loss.clone().into_scalar());
            optimiser.step(&tracked, &loss.backward(), training.rate(number), clip);
        }
        (state.weights, state.moments, state.progress.steps) = optimiser.end()?;
        let loss = losses / order.len().div_ceil(training.batch) as f64;
        state.progress.epochs += 1;
        let score = task.score(&state.weights)?;
        // Without validation, the last weights count as the best.
        if score.is_none() || score > state.progress.best_accuracy {
            state.progress.best_accuracy = score;
            state.progress.best_epoch = state.progress.epochs;
            state.best = state.weights.clone();
        }
        state.progress.curve.push((loss, score));
        if let Some(path) = checkpoint {
            state.write(path, of)?;
        }
        let epoch = Epoch {
            number: state.progress.epochs,
            loss,
            score,
        };
        if each(epoch) == NextStep::Stop {
            return Ok(None);
        }
    }
    Ok(Some((state.best, state.progress)))
}
