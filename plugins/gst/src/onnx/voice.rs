//! Sound -> probability of speech.

use anchoring::hearing::mel::RATE;

use super::provider::Device;
use super::session::Model;
use super::{RuntimeError, TensorRef, probability};
use crate::models::{Kind, Manifest, Memory, ModelError, find};

/// Sound -> probability of speech, chunk by chunk, with a state.
pub struct Voice {
    model: Model,
    memory: Memory,
    state: Vec<f32>,
    /// The end of the previous chunk, then this chunk.
    samples: Vec<f32>,
}

impl Voice {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model differs from its manifest.
    pub fn new(manifest: Manifest) -> Result<Self, ModelError> {
        let model = Model::new(manifest, 1, Device::default())?;
        let Some(memory) = model.manifest.memory.clone() else {
            return Err(ModelError::Load {
                name: model.manifest.name,
                message: "its manifest has no memory".into(),
            });
        };
        let ready = model.lease.lock(&model.manifest.name)?;
        let outputs = ready.session.outputs();
        let keeps = outputs.iter().any(|output| output.name() == memory.output);
        drop(ready);
        if !keeps {
            return Err(ModelError::Load {
                name: model.manifest.name,
                message: format!("it has no output {:?}", memory.output),
            });
        }
        let mut voice = Self {
            state: Vec::new(),
            samples: Vec::new(),
            model,
            memory,
        };
        voice.reset();
        Ok(voice)
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }

    /// Resets the state.
    pub fn reset(&mut self) {
        self.state = vec![0.0; self.memory.shape.iter().product()];
        self.samples = vec![0.0; self.memory.context];
    }

    /// The probability of speech in the next chunk: 512 samples in -1..=1.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn hear(&mut self, chunk: &[f32]) -> Result<f32, ModelError> {
        let Manifest {
            name,
            input,
            output,
            ..
        } = &self.model.manifest;
        let fail = |message: String| ModelError::Run {
            name: name.clone(),
            message,
        };
        let broken = |err: RuntimeError| fail(err.to_string());
        let spare = self.samples.len().saturating_sub(self.memory.context);
        self.samples.drain(..spare);
        self.samples.extend_from_slice(chunk);
        let shape = [1, self.samples.len()];
        let sound = TensorRef::from_array_view((shape, self.samples.as_slice())).map_err(broken)?;
        let state = TensorRef::from_array_view((self.memory.shape, self.state.as_slice()))
            .map_err(broken)?;
        let rate = [i64::from(RATE)];
        let rate = TensorRef::from_array_view(([0usize; 0], rate.as_slice())).map_err(broken)?;
        let mut ready = self.model.lease.lock(name)?;
        let session = &mut ready.session;
        let outputs = session
            .run(super::inputs![
                input.name.as_str() => sound,
                self.memory.input.as_str() => state,
                self.memory.rate.as_str() => rate,
            ])
            .map_err(broken)?;
        let numbers = |name: &str| {
            let (_, numbers) = outputs[name].try_extract_tensor::<f32>().map_err(broken)?;
            Ok::<_, ModelError>(numbers.to_vec())
        };
        let p = numbers(&output.name)?;
        let next = numbers(&self.memory.output)?;
        drop(outputs);
        match p.as_slice() {
            &[p] if next.len() == self.state.len() => {
                self.state = next;
                Ok(probability(p))
            }
            _ => Err(fail(format!(
                "it gave {} probabilities and a state of {} numbers, but must give one and {}",
                p.len(),
                next.len(),
                self.state.len()
            ))),
        }
    }
}

/// Finds, checks and loads a voice detector.
///
/// # Errors
/// The model is unknown, altered, not a voice detector, or cannot be loaded.
pub fn load_voice(name: &str) -> Result<Voice, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Voice)?;
    manifest.check()?;
    Voice::new(manifest)
}
