//! A trained network in its file, and the standardised features that it takes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde_json::{Value, json};

use super::experiment::{Experiment, Training};
use super::layers::Shapes;
use super::losses::tensor;
use super::parser::{self, Shape};
use super::temporal;
use super::videos::{Modality, Videos};
use crate::checkpoint::Progress;
use crate::network::{self, Weights};
use crate::optimiser::Plain;
use crate::tensors::{self, Matrices, Matrix};

/// Mean and one over the deviation of every value, of sound and of frames.
pub(super) type Standard = [[Matrix; 2]; 2];

/// Trained weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its card: `kind` is `temporal` or `parser`.
    pub card: Value,
    pub(super) experiment: Experiment,
    pub(super) shape: Shape,
    pub(super) standard: Standard,
    pub(super) weights: Matrices,
}

impl Model {
    fn shapes(&self) -> anyhow::Result<Shapes> {
        match self.card["kind"].as_str() {
            Some("temporal") => Ok(temporal::shapes(
                self.experiment.temporal,
                self.shape.widths,
                self.shape.words,
            )),
            Some("parser") => Ok(parser::shapes(self.experiment.parser, self.shape)),
            other => bail!("its kind is {other:?}: must be temporal or parser"),
        }
    }

    /// Writes it, and its card as JSON beside it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut arrays = tensors::arrays("weights/", &self.weights);
        let standard: Matrices = Modality::BOTH
            .into_iter()
            .zip(&self.standard)
            .flat_map(|(m, [mean, scale])| {
                [
                    (format!("{}.mean", m.name()), mean.clone()),
                    (format!("{}.scale", m.name()), scale.clone()),
                ]
            })
            .collect();
        arrays.extend(tensors::arrays("input/", &standard));
        tensors::write(path, &arrays, &self.card)?;
        tensors::replace(
            &path.with_extension("json"),
            format!("{:#}\n", self.card).as_bytes(),
        )
    }

    /// Reads one from its file.
    ///
    /// # Errors
    /// It cannot be read, or is not such a model.
    pub fn read(path: &Path, kind: &str) -> anyhow::Result<Self> {
        let (bytes, _) = tensors::bytes(path)?;
        let (file, card) = tensors::open(path, &bytes)?;
        let wrong = || format!("{} is not a model of kind {kind}", path.display());
        if card["kind"] != json!(kind) {
            bail!("{}: its kind is {}", wrong(), card["kind"]);
        }
        let experiment = Experiment::parse(&card["experiment"].to_string()).with_context(wrong)?;
        let shape: Shape = serde_json::from_value(card["shape"].clone())
            .context("its card has no shape")
            .with_context(wrong)?;
        let mut input = tensors::matrices(path, &file, "input/")?;
        let mut one = |m: Modality, part: &str| {
            let name = format!("{}.{part}", m.name());
            let wide = shape.widths[m as usize];
            match input.remove(&name) {
                Some(found) if (found.rows, found.cols) == (1, wide) => Ok(found),
                _ => bail!("{}: `input/{name}` is missing or not 1 x {wide}", wrong()),
            }
        };
        let mut two = |m| Ok::<_, anyhow::Error>([one(m, "mean")?, one(m, "scale")?]);
        let it = Self {
            standard: [two(Modality::Audio)?, two(Modality::Visual)?],
            weights: tensors::matrices(path, &file, "weights/")?,
            card,
            experiment,
            shape,
        };
        it.shapes()?.fit(&it.weights).with_context(wrong)?;
        Ok(it)
    }

    /// Whether it fits these videos.
    pub(super) fn takes(&self, videos: &Videos) -> anyhow::Result<()> {
        let widths = Modality::BOTH.map(|m| videos.width(m));
        if widths != self.shape.widths {
            bail!(
                "the model takes {:?} values a second (sound, frames), and the data has {widths:?}",
                self.shape.widths
            );
        }
        if self.card["kind"] == "parser" {
            if self.card["classes"] != json!(videos.classes) {
                bail!("the model was trained on other classes than the data has");
            }
            if self.experiment.parser.tsam && self.shape.seconds != videos.seconds {
                bail!(
                    "the model takes videos of {} seconds, and the data has {}",
                    self.shape.seconds,
                    videos.seconds
                );
            }
        }
        Ok(())
    }
}

pub(super) fn standard(
    videos: &Videos,
    training: Training,
    of: &[usize],
) -> anyhow::Result<Standard> {
    let mut both = Vec::new();
    for m in Modality::BOTH {
        both.push(if training.standardise {
            videos.standard(m, of)?
        } else {
            let row = |x: f32| Matrix {
                rows: 1,
                cols: videos.width(m),
                data: vec![x; videos.width(m)],
            };
            [row(0.0), row(1.0)]
        });
    }
    let visual = both.pop().context("two modalities")?;
    Ok([both.pop().context("two modalities")?, visual])
}

/// Features of some videos, standardised: `[n, seconds, values]`.
pub(super) fn input<B: Backend>(
    videos: &Videos,
    standard: &Standard,
    m: Modality,
    of: &[usize],
) -> anyhow::Result<Tensor<B, 3>> {
    let mut data = videos.features(m, of)?;
    let wide = videos.width(m);
    let [mean, scale] = &standard[m as usize];
    for row in data.chunks_mut(wide) {
        for ((x, mean), scale) in row.iter_mut().zip(&mean.data).zip(&scale.data) {
            *x = (*x - mean) * scale;
        }
    }
    Ok(tensor(data, [of.len(), videos.seconds, wide]))
}

pub(super) fn inputs<B: Backend>(
    videos: &Videos,
    standard: &Standard,
    of: &[usize],
) -> anyhow::Result<[Tensor<B, 3>; 2]> {
    Ok([
        input(videos, standard, Modality::Audio, of)?,
        input(videos, standard, Modality::Visual, of)?,
    ])
}

pub(super) fn on(weights: &Matrices) -> Weights<Plain> {
    let device = Default::default();
    weights
        .iter()
        .map(|(name, m)| (name.clone(), network::tensor(m, &device)))
        .collect::<BTreeMap<_, _>>()
}

pub(super) fn numbers<B: Backend, const D: usize>(x: Tensor<B, D>) -> anyhow::Result<Vec<f32>> {
    let data = x.into_data().to_vec::<f32>();
    data.map_err(|e| anyhow::anyhow!("burn returned something other than numbers: {e:?}"))
}

/// The card of a model.
pub(super) fn card(
    kind: &str,
    of: &Experiment,
    videos: &Videos,
    shape: Shape,
    progress: &Progress,
    measure: &str,
) -> Value {
    json!({
        "kind": kind,
        "version": env!("CARGO_PKG_VERSION"),
        "experiment": of,
        "shape": shape,
        "classes": videos.classes,
        "data_sha256": videos.hash,
        "epochs": progress.epochs,
        "best_epoch": progress.best_epoch,
        "validation": { "measure": measure, "value": progress.best_accuracy },
        "curve": progress.curve,
    })
}
