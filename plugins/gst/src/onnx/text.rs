//! Text, as tokens -> embedding.

use super::provider::Device;
use super::session::Model;
use super::{SessionInputValue, TensorRef};
use crate::models::{Dtype, Kind, Manifest, ModelError, TextInput, find};

/// Tokens of a text -> embedding of length 1.
pub struct TextEncoder {
    model: Model,
    text: TextInput,
}

impl TextEncoder {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, the model differs from its manifest, or is no encoder of text.
    pub fn new(manifest: Manifest, threads: usize) -> Result<Self, ModelError> {
        let manifest = manifest.of_kind(Kind::TextEncoder)?;
        // The rules of manifests demand it.
        let Some(text) = manifest.text.clone() else {
            return Err(ModelError::Load {
                name: manifest.name,
                message: "its manifest has no `text`".into(),
            });
        };
        let model = Model::new(manifest, threads, Device::default())?;
        Ok(Self { model, text })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }

    /// The embedding of a text. `tokens`: with those that begin and end it. Where the model gives a vector a token, their mean counts.
    ///
    /// # Errors
    /// There are no tokens, the model fails, or its output has another shape.
    pub fn encode(&mut self, tokens: &[i64]) -> Result<Vec<f32>, ModelError> {
        let manifest = &self.model.manifest;
        let fail = |message: String| ModelError::Run {
            name: manifest.name.clone(),
            message,
        };
        let Some(last) = tokens.last() else {
            return Err(fail("the text has no tokens".into()));
        };
        let longest = self.text.longest;
        let mut ids = tokens.to_vec();
        if ids.len() > longest {
            // What ends a text stays at its end.
            ids.truncate(longest - 1);
            ids.push(*last);
        }
        let own = ids.len();
        if self.text.padded {
            ids.resize(longest, self.text.pad);
        }
        let n = ids.len();
        let mask: Vec<i64> = (0..n).map(|at| i64::from(at < own)).collect();
        let zeros = vec![0; n];
        let mut feeds = vec![(manifest.input.name.as_str(), &ids)];
        feeds.extend(self.text.mask.iter().map(|name| (name.as_str(), &mask)));
        feeds.extend(self.text.types.iter().map(|name| (name.as_str(), &zeros)));
        let short: Vec<Vec<i32>> = feeds
            .iter()
            .map(|(_, data)| data.iter().map(|x| *x as i32).collect())
            .collect();
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(feeds.len());
        for ((name, data), short) in feeds.iter().zip(&short) {
            let value = match manifest.input.dtype {
                Dtype::I32 => {
                    TensorRef::from_array_view(([1, n], short.as_slice())).map(Into::into)
                }
                _ => TensorRef::from_array_view(([1, n], data.as_slice())).map(Into::into),
            };
            inputs.push((name, value.map_err(|err| fail(err.to_string()))?));
        }
        let mut ready = self.model.lease.lock(&manifest.name)?;
        let outputs = (ready.session.run(inputs)).map_err(|err| fail(err.to_string()))?;
        let (shape, numbers) = outputs[manifest.output.name.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|err| fail(err.to_string()))?;
        let dim = manifest.output.dim;
        let mut vector = vec![0.0_f32; dim];
        let rows = match numbers.len() {
            all if all == dim => 1,
            all if all == dim * n => own,
            _ => {
                return Err(fail(format!(
                    "its output has shape {shape:?}, but must have {dim} numbers (output.dim), or so many for each of {n} tokens"
                )));
            }
        };
        for row in numbers.chunks_exact(dim).take(rows) {
            for (sum, x) in vector.iter_mut().zip(row) {
                *sum += x;
            }
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        if !length.is_finite() || length == 0.0 {
            return Err(fail("its output is zero, or not finite".into()));
        }
        vector.iter_mut().for_each(|x| *x /= length);
        Ok(vector)
    }
}

/// Finds, checks and loads an encoder of text. `threads`: at least 1.
///
/// # Errors
/// The model is unknown, altered, not an encoder of text, or cannot be loaded.
pub fn load_text_encoder(name: &str, threads: usize) -> Result<TextEncoder, ModelError> {
    let manifest = find(name)?.of_kind(Kind::TextEncoder)?;
    manifest.check()?;
    TextEncoder::new(manifest, threads)
}
