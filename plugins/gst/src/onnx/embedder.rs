//! Sound -> embedding, for probes with a head.

use anchoring::onset::head::Head;

use super::provider::Device;
use super::session::Model;
use crate::models::{Kind, Layout, Manifest, ModelError, find, read_small};

/// Sound -> embedding.
pub struct Embedder(Model);

impl Embedder {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model differs from its manifest.
    pub fn new(manifest: Manifest, threads: usize) -> Result<Self, ModelError> {
        Model::new(manifest, threads, Device::default()).map(Self)
    }
    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// The embedding of one patch: of its log mel, row-major `[96, 64]`, or of its samples, as the manifest's layout says.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
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

/// Finds, checks and loads an embedding and its head. `threads`: at least 1.
///
/// # Errors
/// The model is unknown, altered, not a probe, or cannot be loaded, or the head is made for another embedding.
pub fn load_probe(name: &str, threads: usize) -> Result<(Embedder, Head), ModelError> {
    let manifest = find(name)?.of_kind(Kind::Probe)?;
    manifest.check()?;
    let path = manifest.head_path().unwrap_or_default();
    let head = Head::read(&read_small(&path)?, manifest.output.dim)
        .map_err(|source| ModelError::Weights { path, source })?;
    Ok((Embedder::new(manifest, threads)?, head))
}
