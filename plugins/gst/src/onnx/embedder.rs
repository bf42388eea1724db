//! Sound -> embedding, for probes with a head.

use anchoring::head::Head;

use super::provider::Place;
use super::session::Model;
use crate::models::{Kind, Layout, Manifest, ModelError, find, read_small};

/// Sound -> embedding.
pub struct Embedder(Model);

impl Embedder {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(manifest: Manifest, threads: usize) -> Result<Self, ModelError> {
        Model::new(manifest, threads, Place::default()).map(Self)
    }
    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// The embedding of one patch: of its log mel, row-major `[96, 64]`, or of its samples, as the manifest's layout says.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn embed(&mut self, log_mel: &[f32], samples: &[f32]) -> Result<Vec<f32>, ModelError> {
        let input = &self.0.manifest.input;
        match input.layout {
            Layout::Nt => self.0.run(&[1, samples.len()], samples, <[f32]>::to_vec),
            _ => {
                let shape = [1, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
                self.0.run(&shape, log_mel, <[f32]>::to_vec)
            }
        }
    }
}

/// A ready embedding with its head. `threads`: threads per patch, at least 1.
///
/// # Errors
/// Unknown, altered, not a probe, not runnable, or the head is for other embeddings.
pub fn load_probe(name: &str, threads: usize) -> Result<(Embedder, Head), ModelError> {
    let manifest = find(name)?.of_kind(Kind::Probe)?;
    manifest.check()?;
    let path = manifest.head_path().unwrap_or_default();
    let head = Head::read(&read_small(&path)?, manifest.output.dim)
        .map_err(|source| ModelError::Weights { path, source })?;
    Ok((Embedder::new(manifest, threads)?, head))
}
