//! The loop: AdamW over mini-batches of recordings, the best weights on validation kept, early stop, checkpoints.
//!
//! Every random choice comes from the seed and the number of the epoch, so training that was interrupted goes on as if it had not been.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use burn::optim::AdamWConfig;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::checkpoint::{Checkpoint, Progress};
use crate::dataset::{Dataset, Split};
use crate::network::{self, Sizes};
use crate::optimiser::{Optimiser, Tracked};
use crate::runtime::Head;
use crate::score::Accuracy;
use crate::tensors::{Matrices, Matrix};

/// Settings of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Decides the first weights, the order of recordings and what is dropped.
    pub seed: u64,
    /// Most epochs.
    pub epochs: usize,
    /// Epochs without a better validation after which it stops.
    pub patience: usize,
    /// Recordings of a step.
    pub batch: usize,
    /// AdamW's rate.
    pub lr: f64,
    /// AdamW's decay, apart from the gradient.
    pub weight_decay: f32,
    /// Share of hidden values that are dropped while training, 0..1.
    pub dropout: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 20,
            patience: 5,
            batch: 16,
            lr: 1e-3,
            weight_decay: 0.01,
            dropout: 0.2,
        }
    }
}

/// An epoch that is done.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// Mean loss of its steps.
    pub loss: f64,
    /// On validation, 0..=1.
    pub accuracy: Option<f64>,
}

/// Whether to go on after an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Yes.
    On,
    /// No: the checkpoint stays.
    Stop,
}

/// Trains a head. `None` if `each` stopped it.
///
/// # Errors
/// The data has no training split, the sizes make no sense, the checkpoint is of another training or cannot be written.
pub fn train(
    data: &Dataset,
    sizes: Sizes,
    settings: Settings,
    checkpoint: Option<&Path>,
    mut each: impl FnMut(Epoch) -> NextStep,
) -> anyhow::Result<Option<Head>> {
    let checkpoint: Option<PathBuf> = checkpoint.map(Into::into);
    sizes.check()?;
    if (sizes.values, sizes.seconds, sizes.classes)
        != (data.values, data.seconds, data.classes.len())
    {
        bail!("the sizes of the head are not those of the data");
    }
    if settings.batch == 0 || settings.epochs == 0 || !(0.0..1.0).contains(&settings.dropout) {
        bail!("batch and epochs must be above 0, dropout in 0..1");
    }
    let training: Vec<usize> = data
        .of(Split::Train)
        .into_iter()
        .filter(|i| data.labels_of(*i).iter().any(|label| *label >= 0))
        .collect();
    if training.is_empty() {
        bail!("no recording of the training split has a labelled second");
    }
    let (mean, scale) = standard(data, &training);
    let of = json!({ "sizes": sizes, "settings": settings, "data_sha256": data.hash, "version": env!("CARGO_PKG_VERSION") });
    let mut state = match &checkpoint {
        Some(path) if path.exists() => {
            let read = Checkpoint::read(path, &of)?;
            for part in [
                &read.weights,
                &read.moments[0],
                &read.moments[1],
                &read.best,
            ] {
                sizes
                    .fits(part)
                    .with_context(|| format!("{} is damaged", path.display()))?;
            }
            read
        }
        _ => Checkpoint::begin(sizes.first(settings.seed)),
    };
    let head = |weights: &Matrices, progress: &Progress| {
        let card = json!({
            "kind": "head",
            "version": env!("CARGO_PKG_VERSION"),
            "sizes": sizes,
            "classes": data.classes,
            "settings": settings,
            "data_sha256": data.hash,
            "epochs": progress.epochs,
            "best_epoch": progress.best_epoch,
            "validation_accuracy": progress.best_accuracy,
            "curve": progress.curve,
        });
        Head::new(
            sizes,
            data.classes.clone(),
            mean.clone(),
            scale.clone(),
            weights.clone(),
            card,
        )
    };
    let validation = data.of(Split::Validation);
    let done = |progress: &Progress| {
        progress.epochs >= settings.epochs
            || (progress.best_accuracy.is_some()
                && progress.epochs >= progress.best_epoch + settings.patience.max(1))
    };
    while !done(&state.progress) {
        let loss = epoch(
            data,
            sizes,
            settings,
            &training,
            (&mean, &scale),
            &mut state,
        )?;
        state.progress.epochs += 1;
        let now = head(&state.weights, &state.progress)?;
        let accuracy = accuracy(data, &now, &validation)?.share();
        // Without a validation split, the last weights are the best there are.
        if accuracy.is_none() || accuracy > state.progress.best_accuracy {
            state.progress.best_accuracy = accuracy;
            state.progress.best_epoch = state.progress.epochs;
            state.best = state.weights.clone();
        }
        state.progress.curve.push((loss, accuracy));
        if let Some(path) = &checkpoint {
            state.write(path, &of)?;
        }
        let number = state.progress.epochs;
        if each(Epoch {
            number,
            loss,
            accuracy,
        }) == NextStep::Stop
        {
            return Ok(None);
        }
    }
    head(&state.best, &state.progress).map(Some)
}

/// How a head does on some recordings.
///
/// # Errors
/// The head is of other sizes than the data.
pub fn accuracy(data: &Dataset, head: &Head, recordings: &[usize]) -> anyhow::Result<Accuracy> {
    let mut all = Accuracy::default();
    for i in recordings {
        all.add(head.scores(data.recording(*i))?.view(), data.labels_of(*i));
    }
    Ok(all)
}

/// The mean of every value over the training split, and one over its deviation; 0 for a value that never changes.
fn standard(data: &Dataset, training: &[usize]) -> (Matrix, Matrix) {
    let f = data.values;
    let rows = (training.len() * data.seconds) as f64;
    let mut sums = vec![(0.0_f64, 0.0_f64); f];
    for row in training.iter().flat_map(|i| data.recording(*i).chunks(f)) {
        for (sum, x) in sums.iter_mut().zip(row) {
            sum.0 += f64::from(*x);
        }
    }
    for sum in &mut sums {
        sum.0 /= rows;
    }
    for row in training.iter().flat_map(|i| data.recording(*i).chunks(f)) {
        for (sum, x) in sums.iter_mut().zip(row) {
            sum.1 += (f64::from(*x) - sum.0).powi(2);
        }
    }
    let scale = |square: f64| {
        let deviation = (square / rows).sqrt();
        if deviation > 1e-6 {
            (1.0 / deviation) as f32
        } else {
            0.0
        }
    };
    let row = |data: Vec<f32>| Matrix {
        rows: 1,
        cols: f,
        data,
    };
    (
        row(sums.iter().map(|sum| sum.0 as f32).collect()),
        row(sums.iter().map(|sum| scale(sum.1)).collect()),
    )
}

/// One pass over the training split; the mean loss.
fn epoch(
    data: &Dataset,
    sizes: Sizes,
    settings: Settings,
    training: &[usize],
    (mean, scale): (&Matrix, &Matrix),
    state: &mut Checkpoint,
) -> anyhow::Result<f64> {
    let device = Default::default();
    let number = state.progress.epochs as u64;
    let mut random =
        fastrand::Rng::with_seed(settings.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number + 1));
    let mut order = training.to_vec();
    random.shuffle(&mut order);
    let adam = AdamWConfig::new()
        .with_epsilon(1e-8)
        .with_weight_decay(settings.weight_decay);
    let mut optimiser = Optimiser::new(&adam, &state.weights, &state.moments, state.progress.steps);
    let mut losses = 0.0;
    for batch in order.chunks(settings.batch) {
        let tracked = optimiser.tracked();
        let rows = batch.len() * sizes.seconds;
        let mut x = Vec::with_capacity(rows * sizes.values);
        let mut hot = vec![0.0_f32; rows * sizes.classes];
        let mut labelled = 0;
        for (n, i) in batch.iter().enumerate() {
            for row in data.recording(*i).chunks(sizes.values) {
                x.extend(
                    row.iter()
                        .zip(&mean.data)
                        .zip(&scale.data)
                        .map(|((x, mean), scale)| (x - mean) * scale),
                );
            }
            for (second, label) in data.labels_of(*i).iter().enumerate() {
                if let Ok(class) = usize::try_from(*label) {
                    hot[(n * sizes.seconds + second) * sizes.classes + class] = 1.0;
                    labelled += 1;
                }
            }
        }
        let x = Tensor::from_data(TensorData::new(x, [rows, sizes.values]), &device);
        let hot = Tensor::from_data(TensorData::new(hot, [rows, sizes.classes]), &device);
        let keep = 1.0 - settings.dropout;
        let mut drop = |x: Tensor<Tracked, 2>| {
            let [rows, cols] = x.dims();
            let mask: Vec<f32> = (0..rows * cols)
                .map(|_| if random.f32() < keep { 1.0 / keep } else { 0.0 })
                .collect();
            x * Tensor::from_data(TensorData::new(mask, [rows, cols]), &device)
        };
        let scores = network::forward(sizes, &tracked, x, Some(&mut drop));
        let loss = network::loss(scores, hot, labelled);
        losses += f64::from(loss.clone().into_scalar());
        let gradients = loss.backward();
        optimiser.step(&tracked, &gradients, settings.lr, None);
    }
    (state.weights, state.moments, state.progress.steps) = optimiser.end()?;
    Ok(losses / order.len().div_ceil(settings.batch) as f64)
}
