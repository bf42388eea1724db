//! Frame -> embedding.

use anchoring::tier::Tier;

use super::provider::Device;
use super::session::Model;
use crate::models::{Kind, Layout, Manifest, ModelError, TierSpec, find};

/// Frame -> embedding.
pub struct Encoder(Model);

impl Encoder {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first. Falls back to the processor if `device` cannot run it
    /// ([`Self::instead`]). `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model differs from its manifest.
    pub fn new(manifest: Manifest, threads: usize, device: Device) -> Result<Self, ModelError> {
        Model::new(manifest, threads, device).map(Self)
    }
    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// The device that runs it.
    pub fn device(&self) -> Device {
        self.0.device()
    }
    /// Why the processor runs it, if another device was asked for.
    pub fn instead(&self) -> Option<&str> {
        self.0.instead()
    }
    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        self.0.manifest.output.dim
    }
    /// Side and price of a tier; encoders have all three.
    pub fn tier(&self, tier: Tier) -> Option<TierSpec> {
        self.0.manifest.tiers.map(|tiers| tiers.of(tier))
    }
    /// Encodes `n` normalised squares of side `px` in the model's layout, `[n, 3, px, px]` or `[n, px, px, 3]`. `take` gets the
    /// embeddings, row-major `[n, dim]`.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn encode<T>(
        &mut self,
        n: usize,
        px: usize,
        frames: &[f32],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let shape = match self.0.manifest.input.layout {
            Layout::Nhwc => [n, px, px, 3],
            Layout::Nchw | Layout::Nctf | Layout::Nt => [n, 3, px, px],
        };
        self.0.run(&shape, frames, take)
    }
}

/// Finds, checks and loads an encoder. `threads`: at least 1. `device`: falls back to the processor ([`Encoder::instead`]).
///
/// # Errors
/// The model is unknown, altered, no encoder, or cannot be loaded.
pub fn load_encoder(name: &str, threads: usize, device: Device) -> Result<Encoder, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Encoder)?;
    manifest.check()?;
    Encoder::new(manifest, threads, device)
}
