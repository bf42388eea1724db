//! The state of a training after an epoch: everything needed to continue it.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tensors::{self, Matrices, Matrix};

/// A checkpoint.
pub(crate) struct Checkpoint {
    pub(crate) weights: Matrices,
    /// AdamW's running means of gradients, and of their squares.
    pub(crate) moments: [Matrices; 2],
    /// The best weights so far.
    pub(crate) best: Matrices,
    pub(crate) progress: Progress,
}

/// The progress of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Finished epochs.
    pub(crate) epochs: usize,
    /// Steps that AdamW has taken.
    pub(crate) steps: usize,
    /// The epoch of the best weights, and their score.
    pub(crate) best_epoch: usize,
    pub(crate) best_accuracy: Option<f64>,
    /// The loss and the accuracy on validation after each epoch.
    pub(crate) curve: Vec<(f64, Option<f64>)>,
}

const PARTS: [&str; 4] = ["weights/", "mean/", "square/", "best/"];

impl Checkpoint {
    /// Before the first step.
    pub(crate) fn begin(weights: Matrices) -> Self {
        let zeros: Matrices = weights
            .iter()
            .map(|(name, m)| (name.clone(), Matrix::zeros(m.rows, m.cols)))
            .collect();
        Self {
            best: weights.clone(),
            weights,
            moments: [zeros.clone(), zeros],
            progress: Progress {
                epochs: 0,
                steps: 0,
                best_epoch: 0,
                best_accuracy: None,
                curve: Vec::new(),
            },
        }
    }

    pub(crate) fn write(&self, path: &Path, of: &Value) -> anyhow::Result<()> {
        let parts = [
            &self.weights,
            &self.moments[0],
            &self.moments[1],
            &self.best,
        ];
        let arrays: Vec<_> = PARTS
            .into_iter()
            .zip(parts)
            .flat_map(|(start, all)| tensors::arrays(start, all))
            .collect();
        let note = serde_json::json!({ "checkpoint_of": of, "progress": self.progress });
        tensors::write(path, &arrays, &note)
    }

    /// Reads one; `of`: the training that it must belong to.
    pub(crate) fn read(path: &Path, of: &Value) -> anyhow::Result<Self> {
        let name = path.display();
        let (bytes, _) = tensors::bytes(path)?;
        let (file, note) = tensors::open(path, &bytes)?;
        if note["checkpoint_of"] != *of {
            bail!(
                "{name} is a checkpoint of another training ({}), but this one is {of}: delete it, or name another file",
                note["checkpoint_of"]
            );
        }
        let progress = serde_json::from_value(note["progress"].clone())
            .with_context(|| format!("{name} has no progress"))?;
        let [weights, mean, square, best] =
            PARTS.map(|start| tensors::matrices(path, &file, start));
        Ok(Self {
            weights: weights?,
            moments: [mean?, square?],
            best: best?,
            progress,
        })
    }
}
