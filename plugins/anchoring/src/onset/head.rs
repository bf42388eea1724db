//! A linear head over any audio embedding: embedding -> probability of an onset.
//!
//! The file is safetensors, F32: `head.weight` `[dim]` and `head.bias` `[1]`. Its metadata entry `head` is JSON,
//! [`HeadSpec`]:
//! `{"schema": "earmark-head/1", "name": "..", "normalise": true, "temperature": 1.0, "bias": 0.0, "knots": [[0, 0],
//! [1, 0.9]]}`.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::onset::calibration::Calibration;
use crate::onset::tensors::{WeightsError, shaped};

/// The value of [`HeadSpec::schema`].
pub const SCHEMA: &str = "earmark-head/1";

/// The metadata of a head's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// Its [`SCHEMA`].
    pub schema: String,
    /// Its name in reports.
    pub name: String,
    /// Whether embeddings are divided by their norm first.
    #[serde(default)]
    pub normalise: bool,
    /// How logits become probabilities.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Where it comes from.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

/// Embedding -> probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    spec: HeadSpec,
    weight: Vec<f32>,
    bias: f32,
}

impl Head {
    /// Reads and checks a head for embeddings of `dim` numbers.
    ///
    /// # Errors
    /// The file is not safetensors, is not a head, or is a head for other embeddings.
    pub fn read(bytes: &[u8], dim: usize) -> Result<Self, WeightsError> {
        let format = |error: safetensors::SafeTensorError| WeightsError::Format(error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let text = metadata.metadata().as_ref().and_then(|all| all.get("head"));
        let text = text.ok_or_else(|| WeightsError::Metadata("there is no entry `head`".into()))?;
        let spec: HeadSpec = serde_json::from_str(text)
            .map_err(|error| WeightsError::Metadata(error.to_string()))?;
        let field = |field: &str, value: String, rule: &str| WeightsError::Field {
            field: field.into(),
            value,
            rule: rule.into(),
        };
        if spec.schema != SCHEMA {
            return Err(field("schema", spec.schema, "must be earmark-head/1"));
        }
        if let Some((of, value, rule)) = spec.calibration.problem() {
            return Err(field(of, value, rule));
        }
        let (_, weight) = shaped(&tensors, "head.weight", [dim], 0)?;
        let (_, bias) = shaped(&tensors, "head.bias", [1], 0)?;
        Ok(Self {
            spec,
            weight,
            bias: bias.first().copied().unwrap_or(0.0),
        })
    }

    /// The file's metadata.
    pub const fn spec(&self) -> &HeadSpec {
        &self.spec
    }

    /// Probability of an onset, in [0, 1]; 0 for an embedding with NaN.
    pub fn judge(&self, embedding: &[f32]) -> f32 {
        let norm = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
        let by = if self.spec.normalise {
            1.0 / norm.max(1e-9)
        } else {
            1.0
        };
        let sum: f32 = embedding.iter().zip(&self.weight).map(|(x, w)| x * w).sum();
        self.spec.calibration.apply(sum * by + self.bias)
    }
}

/// Cosine distance of two embeddings, in [0, 1]; 0 where one is zero or not finite.
pub fn novelty(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 && norms.is_finite() {
        (1.0 - dot(a, b) / norms).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;
    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    fn file(spec: &str) -> Vec<u8> {
        let (weight, bias) = ([3f32, 4.0].map(f32::to_le_bytes), 1f32.to_le_bytes());
        let views = [
            (
                "head.weight",
                TensorView::new(Dtype::F32, vec![2], weight.as_flattened()).unwrap(),
            ),
            (
                "head.bias",
                TensorView::new(Dtype::F32, vec![1], &bias).unwrap(),
            ),
        ];
        let entry = ("head".to_owned(), spec.to_owned());
        serialize(views, Some([entry].into_iter().collect())).unwrap()
    }

    #[test]
    fn a_head_scores_its_embedding_and_refuses_others() {
        let spec =
            r#"{"schema": "earmark-head/1", "name": "tiny", "normalise": true, "temperature": 6}"#;
        let head = Head::read(&file(spec), 2).unwrap();
        // (0.6, 0.8) . (3, 4) + 1 = 6.
        assert!((head.judge(&[6.0, 8.0]) - 1.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
        assert_eq!(head.judge(&[f32::NAN, 0.0]), 0.0);
        assert!(Head::read(&file(spec), 3).is_err());
        for wrong in [
            "{}",
            &spec.replace("head/1", "head/2"),
            &spec.replace(": 6", ": -6"),
        ] {
            assert!(Head::read(&file(wrong), 2).is_err(), "{wrong}");
        }
        assert!(Head::read(crate::onset::weights::EMBEDDED, 2).is_err());
    }

    #[test]
    fn novelty_is_an_angle() {
        assert_eq!(novelty(&[1.0, 0.0], &[5.0, 0.0]), 0.0);
        assert_eq!(novelty(&[1.0, 0.0], &[0.0, 5.0]), 1.0);
        assert_eq!(novelty(&[1.0, 0.0], &[0.0, 0.0]), 0.0);
    }
}
