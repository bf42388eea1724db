//! Trains heads on the frames of a policy: writes features and labels, trains with every seed, and counts the right seconds of the test.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde_json::json;

use crate::{files, learning};

/// The layout of a file of features and labels, as `earmark-learning` reads it.
const LAYOUT: &str = "earmark-seconds/1";

/// Training data of a head; each piece is a recording in it.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) features: Vec<f32>,
    pub(super) labels: Vec<i64>,
    pub(super) split: Vec<u8>,
    pub(super) names: Vec<String>,
}

/// Writes the file, unless it exists.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(
    file: &Path,
    data: &Data,
    seconds: usize,
    classes: &[String],
) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    let n = data.names.len();
    let values = data.features.len() / (n * seconds).max(1);
    let features: Vec<u8> = data.features.iter().flat_map(|x| x.to_le_bytes()).collect();
    let labels: Vec<u8> = data.labels.iter().flat_map(|x| x.to_le_bytes()).collect();
    let views = [
        (
            "features",
            TensorView::new(Dtype::F32, vec![n, seconds, values], &features)?,
        ),
        (
            "labels",
            TensorView::new(Dtype::I64, vec![n, seconds], &labels)?,
        ),
        ("split", TensorView::new(Dtype::U8, vec![n], &data.split)?),
    ];
    let note = json!({ "layout": LAYOUT, "classes": classes, "names": data.names });
    let about = [("earmark".to_owned(), note.to_string())]
        .into_iter()
        .collect();
    let bytes = safetensors::serialize(views, Some(about))?;
    files::write(file, &bytes, true)
}

/// The test results of a head.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    /// For each test piece: right seconds, and right seconds among those with an event.
    pub(super) right: Vec<(usize, usize)>,
    pub(super) validation: Option<f64>,
}

/// How to train a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Training<'a> {
    pub(super) model: &'a str,
    pub(super) epochs: u32,
    pub(super) seed: u64,
}

/// Trains a head and predicts with it, unless that is done already.
///
/// # Errors
/// `earmark-learning` is missing, or fails.
pub(super) fn run(
    data_file: &Path,
    folder: &Path,
    training: Training<'_>,
    data: &Data,
    seconds: usize,
    background: usize,
) -> anyhow::Result<Outcome> {
    let of = |ending: &str| -> PathBuf { folder.join(format!("seed{}.{ending}", training.seed)) };
    let (head, scores, partial) = (of("safetensors"), of("scores.safetensors"), of("partial"));
    if !head.exists() {
        let (seed, epochs) = (training.seed.to_string(), training.epochs.to_string());
        let mut args: Vec<&std::ffi::OsStr> = [
            "train",
            "--model",
            training.model,
            "--seed",
            &seed,
            "--epochs",
            &epochs,
        ]
        .map(std::ffi::OsStr::new)
        .to_vec();
        let paths = [
            ("--data", data_file),
            ("--output", &head),
            ("--checkpoint", &partial),
        ];
        for (name, path) in paths {
            args.extend([std::ffi::OsStr::new(name), path.as_os_str()]);
        }
        learning::ask(args)?;
    }
    if !scores.exists() {
        let mut args = vec![std::ffi::OsStr::new("predict")];
        for (name, path) in [
            ("--data", data_file),
            ("--head", &head),
            ("--output", &scores),
        ] {
            args.extend([std::ffi::OsStr::new(name), path.as_os_str()]);
        }
        learning::ask(args)?;
    }
    let name = scores.display();
    let bytes = std::fs::read(&scores).with_context(|| format!("cannot read {name}"))?;
    let wrong = || format!("{name} is not what earmark-learning writes: delete it");
    let file = SafeTensors::deserialize(&bytes).with_context(wrong)?;
    let classes = file.tensor("classes").with_context(wrong)?;
    if classes.dtype() != Dtype::I64 || classes.shape() != [data.names.len(), seconds] {
        bail!(wrong());
    }
    let classes: Vec<i64> = classes
        .data()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|x| i64::from_le_bytes(*x))
        .collect();
    let mut right = Vec::new();
    for (i, split) in data.split.iter().enumerate() {
        if *split != 2 {
            continue;
        }
        let of = i * seconds..(i + 1) * seconds;
        let hits = data.labels[of.clone()]
            .iter()
            .zip(&classes[of])
            .filter(|(label, class)| label == class);
        let (mut all, mut events) = (0, 0);
        for (label, _) in hits {
            all += 1;
            events += usize::from(*label != background as i64);
        }
        right.push((all, events));
    }
    let card = std::fs::read_to_string(of("json")).unwrap_or_default();
    let card: serde_json::Value = serde_json::from_str(&card).unwrap_or_default();
    Ok(Outcome {
        right,
        validation: card["validation_accuracy"].as_f64(),
    })
}
