//! Pseudo labels: from the transformer over time, which is trained here on densely labelled video, or from the classes' names alone.

use std::path::Path;

use anyhow::{Context, bail};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde_json::json;

use super::experiment::Experiment;
use super::fit::{self, Epoch, Task};
use super::layers::{Net, Shapes};
use super::losses::tensor;
use super::model::{Model, Standard, card, input, inputs, numbers, on, standard};
use super::parser::Shape;
use super::pseudo::Pseudo;
use super::temporal;
use super::videos::{Modality, Videos};
use crate::dataset::Split;
use crate::network::Weights;
use crate::optimiser::{Plain, Tracked};
use crate::tensors::{Matrices, Matrix};
use crate::train::NextStep;

/// Videos per prediction.
const AT_ONCE: usize = 64;

struct Pretraining<'a> {
    videos: &'a Videos,
    of: Experiment,
    words: [&'a Matrix; 2],
    standard: Standard,
    validation: Vec<usize>,
}

pub(super) fn words(videos: &Videos) -> anyhow::Result<[&Matrix; 2]> {
    match &videos.words {
        [Some(audio), Some(visual)] => Ok([audio, visual]),
        _ => bail!(
            "the data has no embeddings of the classes' names (words_audio, words_visual), which pseudo labels and PLSIM need"
        ),
    }
}

impl Pretraining<'_> {
    fn loss_of<B: Backend>(
        &self,
        net: &mut Net<'_, B>,
        of: &[usize],
    ) -> anyhow::Result<Tensor<B, 1>> {
        let (t, c) = (self.videos.seconds, self.videos.classes.len());
        let lengths: Vec<usize> = of.iter().map(|i| self.videos.lengths[*i]).collect();
        let [a, v] = inputs(self.videos, &self.standard, of)?;
        let settings = self.of.temporal;
        let a = temporal::logits(settings, net, Modality::Audio, a, self.words[0], &lengths);
        let v = temporal::logits(settings, net, Modality::Visual, v, self.words[1], &lengths);
        let heard = self.videos.dense_labels(Modality::Audio, of);
        let seen = self.videos.dense_labels(Modality::Visual, of);
        let both: Vec<f32> = heard.iter().zip(&seen).map(|(a, v)| a * v).collect();
        let mut weights = vec![0.0; both.len()];
        for (n, length) in lengths.iter().enumerate() {
            let cells = &both[n * t * c..(n + 1) * t * c];
            for class in 0..c {
                let present = cells.iter().skip(class).step_by(c).any(|x| *x > 0.0);
                let weight = if present {
                    settings.present_weight
                } else {
                    1.0
                };
                for second in 0..*length {
                    weights[(n * t + second) * c + class] = weight;
                }
            }
        }
        let dims = [of.len(), t, c];
        let valid = lengths.iter().sum();
        Ok(temporal::loss(
            [a, v],
            tensor(both, dims),
            tensor(weights, dims),
            valid,
        ))
    }
}

impl Task for Pretraining<'_> {
    fn shapes(&self) -> Shapes {
        let widths = Modality::BOTH.map(|m| self.videos.width(m));
        temporal::shapes(self.of.temporal, widths, self.words.map(|w| w.cols))
    }

    fn first(&self, seed: u64) -> Matrices {
        self.shapes().first(seed, |_| 0.0)
    }

    fn loss(
        &self,
        weights: &Weights<Tracked>,
        videos: &[usize],
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<Tensor<Tracked, 1>> {
        let dropout = self.of.temporal.encoder.dropout;
        self.loss_of(&mut Net::new(weights, Some((random, dropout))), videos)
    }

    fn score(&self, weights: &Matrices) -> anyhow::Result<Option<f64>> {
        let weights = on(weights);
        let mut losses = Vec::new();
        for of in self.validation.chunks(AT_ONCE) {
            let loss = self.loss_of(&mut Net::new(&weights, None), of)?;
            losses.push(-f64::from(loss.into_scalar()));
        }
        Ok((!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64))
    }
}

/// Trains the transformer over time on densely labelled videos. `None` if `each` stopped it.
///
/// # Errors
/// The data has no densely labelled training split or no names, or the checkpoint is of another training.
pub fn pretrain(
    videos: &Videos,
    of: Experiment,
    checkpoint: Option<&Path>,
    each: &mut dyn FnMut(Epoch) -> NextStep,
) -> anyhow::Result<Option<Model>> {
    let dense = |split| -> Vec<usize> {
        let all = videos.of(split).into_iter();
        all.filter(|i| videos.dense[*i]).collect()
    };
    let training = dense(Split::Train);
    let task = Pretraining {
        videos,
        of,
        words: words(videos)?,
        standard: standard(videos, of.temporal.training, &training)?,
        validation: dense(Split::Validation),
    };
    let note = json!({ "kind": "temporal", "temporal": of.temporal, "data_sha256": videos.hash, "version": env!("CARGO_PKG_VERSION") });
    let trained = fit::fit(
        &task,
        of.temporal.training,
        &training,
        &note,
        checkpoint,
        each,
    )
    .context("training on dense labels")?;
    let Some((weights, progress)) = trained else {
        return Ok(None);
    };
    let shape = Shape {
        seconds: videos.seconds,
        widths: Modality::BOTH.map(|m| videos.width(m)),
        classes: videos.classes.len(),
        words: task.words.map(|w| w.cols),
    };
    Ok(Some(Model {
        card: card("temporal", &of, videos, shape, &progress, "minus the loss"),
        experiment: of,
        shape,
        standard: task.standard,
        weights,
    }))
}

/// Logits and thresholds of videos. Their classes may differ from those in training: only the names' embeddings are used.
///
/// # Errors
/// The data does not fit the model, or has no names or no densely labelled validation split.
pub fn pseudo(model: &Model, videos: &Videos) -> anyhow::Result<Pseudo> {
    model.takes(videos)?;
    let words = words(videos)?;
    if words.map(|w| w.cols) != model.shape.words {
        bail!(
            "names have {:?} values (sound, frames) in the data, and {:?} in the model",
            words.map(|w| w.cols),
            model.shape.words
        );
    }
    let weights = on(&model.weights);
    let mut logits = [Vec::new(), Vec::new()];
    let all: Vec<usize> = (0..videos.names.len()).collect();
    for of in all.chunks(AT_ONCE) {
        let lengths: Vec<usize> = of.iter().map(|i| videos.lengths[*i]).collect();
        for m in Modality::BOTH {
            let x = input::<Plain>(videos, &model.standard, m, of)?;
            let mut net = Net::new(&weights, None);
            let settings = model.experiment.temporal;
            let x = temporal::logits(settings, &mut net, m, x, words[m as usize], &lengths);
            logits[m as usize].extend(numbers(x)?);
        }
    }
    Pseudo::new(videos, logits, model.experiment.temporal.thresholds)
}

/// Factor on the cosine of a second with a class's name, as in CLIP.
const OF_COSINE: f32 = 100.0;

/// Logits and thresholds without a trained transformer: how close each second's features lie to the classes' names (as in VALOR, on which LINK
/// builds).
///
/// # Errors
/// The data has no names, or names of another space than the features, or no densely labelled validation split.
pub fn pseudo_of_names(videos: &Videos) -> anyhow::Result<Pseudo> {
    let words = words(videos)?;
    let mut logits = [Vec::new(), Vec::new()];
    for m in Modality::BOTH {
        let (name, wide) = (words[m as usize], videos.width(m));
        if name.cols != wide {
            bail!(
                "names have {} values in the space of {}, and its features {wide}: they must be of one space",
                name.cols,
                m.name()
            );
        }
        for video in 0..videos.names.len() {
            for row in videos.features(m, &[video])?.chunks(wide) {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
                let near = |name: &[f32]| row.iter().zip(name).map(|(x, w)| x * w).sum::<f32>();
                let all = name.data.chunks(wide);
                logits[m as usize].extend(all.map(|name| OF_COSINE * near(name) / length));
            }
        }
    }
    Pseudo::new(videos, logits, 0)
}
