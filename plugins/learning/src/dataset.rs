//! Frozen features of recordings and the class of every second, read from one safetensors file.
//!
//! # The file
//!
//! | array | type and shape | meaning |
//! |---|---|---|
//! | `features` | F32 `[recordings, seconds, values]` | one row a second |
//! | `labels` | I64 `[recordings, seconds]` | the class of each second, from 0; -1: not labelled, ignored |
//! | `split` | U8 `[recordings]` | 0 training, 1 validation, 2 test |
//!
//! Its metadata has the key `earmark`: JSON with `layout` (`earmark-seconds/1`), `classes` and `names` (of the recordings). Other keys are ignored.

use std::path::Path;

use anyhow::{Context, bail};
use safetensors::tensor::Dtype;
use serde_json::Value;

use crate::tensors;

/// The layout of the file.
pub const LAYOUT: &str = "earmark-seconds/1";
/// Most classes.
const MOST_CLASSES: usize = 10_000;

/// The use of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Weights are trained on it.
    Train,
    /// Decides when to stop.
    Validation,
    /// Only predicted.
    Test,
}

impl Split {
    /// Each split with its name.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Train, "train"),
        (Self::Validation, "validation"),
        (Self::Test, "test"),
    ];
}

/// Features and labels, checked.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `recordings * seconds * values` numbers, the last axis fastest.
    pub features: Vec<f32>,
    /// `recordings * seconds` classes; -1 is not labelled.
    pub labels: Vec<i64>,
    /// The split of every recording.
    pub split: Vec<Split>,
    /// Seconds of each recording.
    pub seconds: usize,
    /// Values of a second.
    pub values: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Names of the recordings.
    pub names: Vec<String>,
    /// SHA-256 of the file.
    pub hash: String,
}

impl Dataset {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or its arrays do not fit together.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let (bytes, hash) = tensors::bytes(path)?;
        let (file, note) = tensors::open(path, &bytes)?;
        match note["layout"].as_str() {
            Some(LAYOUT) => {}
            other => bail!("{name} has the layout {other:?}: must be {LAYOUT:?}"),
        }
        let (shape, features) = tensors::floats(path, &file, "features")?;
        let [recordings, seconds, values] = shape[..] else {
            bail!(
                "{name}: `features` has the shape {shape:?}: must be [recordings, seconds, values]"
            );
        };
        if recordings == 0 || seconds == 0 || values == 0 {
            bail!("{name}: `features` has the shape {shape:?}: no axis may be empty");
        }
        let whole = |key: &str, kind: Dtype, shape: &[usize]| -> anyhow::Result<Vec<u8>> {
            let tensor = file
                .tensor(key)
                .with_context(|| format!("{name} has no array `{key}`"))?;
            if tensor.dtype() != kind || tensor.shape() != shape {
                bail!(
                    "{name}: `{key}` is {:?} {:?}: must be {kind:?} {shape:?}",
                    tensor.dtype(),
                    tensor.shape()
                );
            }
            Ok(tensor.data().to_vec())
        };
        let classes = words(path, &note, "classes")?;
        let names = words(path, &note, "names")?;
        if classes.len() < 2 || classes.len() > MOST_CLASSES {
            bail!(
                "{name} has {} classes: must have 2 to {MOST_CLASSES}",
                classes.len()
            );
        }
        if names.len() != recordings {
            bail!(
                "{name} has {} names for {recordings} recordings",
                names.len()
            );
        }
        let labels: Vec<i64> = whole("labels", Dtype::I64, &[recordings, seconds])?
            .as_chunks::<8>()
            .0
            .iter()
            .map(|x| i64::from_le_bytes(*x))
            .collect();
        if let Some(at) = labels
            .iter()
            .position(|x| *x < -1 || *x >= classes.len() as i64)
        {
            bail!(
                "{name}: the label of `{}`, second {}, is {}: must be -1 (not labelled) or a class, 0 to {}",
                names[at / seconds],
                at % seconds,
                labels[at],
                classes.len() - 1
            );
        }
        let split = whole("split", Dtype::U8, &[recordings])?
            .iter()
            .zip(&names)
            .map(|(split, of)| match split {
                0 => Ok(Split::Train),
                1 => Ok(Split::Validation),
                2 => Ok(Split::Test),
                other => bail!("{name}: the split of `{of}` is {other}: must be 0 (training), 1 (validation) or 2 (test)"),
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            features,
            labels,
            split,
            seconds,
            values,
            classes,
            names,
            hash,
        })
    }

    /// The recordings of a split, by their numbers.
    pub fn of(&self, split: Split) -> Vec<usize> {
        (0..self.split.len())
            .filter(|i| self.split[*i] == split)
            .collect()
    }

    /// The features of a recording: `seconds * values` numbers.
    pub fn recording(&self, index: usize) -> &[f32] {
        let length = self.seconds * self.values;
        &self.features[index * length..(index + 1) * length]
    }

    /// The labels of a recording.
    pub fn labels_of(&self, index: usize) -> &[i64] {
        &self.labels[index * self.seconds..(index + 1) * self.seconds]
    }
}

fn words(path: &Path, note: &Value, key: &str) -> anyhow::Result<Vec<String>> {
    let list = note[key].as_array();
    list.and_then(|list| list.iter().map(|x| x.as_str().map(str::to_owned)).collect())
        .with_context(|| {
            format!(
                "{}: `{key}` of its note must be a list of names",
                path.display()
            )
        })
}
