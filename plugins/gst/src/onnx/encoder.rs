//! Frame -> embedding.

use anchoring::tier::Tier;

use super::provider::Place;
use super::session::Model;
use crate::models::{Kind, Layout, Manifest, ModelError, TierSpec, find};

/// Picture -> embedding.
pub struct Encoder(Model);

impl Encoder {
    /// Loads the manifest's ONNX file, which [`Manifest::check`] should have seen, to run at `place`, or on the processor where that
    /// cannot be. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model is not as described.
    pub fn new(manifest: Manifest, threads: usize, place: Place) -> Result<Self, ModelError> {
        Model::new(manifest, threads, place).map(Self)
    }
    /// What it was made from.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }
    /// What runs it.
    pub fn place(&self) -> Place {
        self.0.place()
    }
    /// Why the processor runs it, if something else was to.
    pub fn instead(&self) -> Option<&str> {
        self.0.instead()
    }
    /// Numbers per picture.
    pub fn dim(&self) -> usize {
        self.0.manifest.output.dim
    }
    /// Side and price of a tier; encoders have all three.
    pub fn tier(&self, tier: Tier) -> Option<TierSpec> {
        self.0.manifest.tiers.map(|tiers| tiers.of(tier))
    }
    /// Encodes `n` square pictures of side `px` in the model's own layout, `[n, 3, px, px]` or `[n, px, px, 3]`, normalised. `take`
    /// gets the embeddings, row-major `[n, dim]`.
    ///
    /// # Errors
    /// The model fails, or gives another shape.
    pub fn encode<T>(
        &mut self,
        n: usize,
        px: usize,
        pictures: &[f32],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let shape = match self.0.manifest.input.layout {
            Layout::Nhwc => [n, px, px, 3],
            Layout::Nchw | Layout::Nctf | Layout::Nt => [n, 3, px, px],
        };
        self.0.run(&shape, pictures, take)
    }
}

/// A ready encoder. `threads`: threads per picture batch, at least 1. `place`: what runs it, if it can ([`Encoder::instead`]).
///
/// # Errors
/// Unknown, altered, not an encoder, or not runnable.
pub fn load_encoder(name: &str, threads: usize, place: Place) -> Result<Encoder, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Encoder)?;
    manifest.check()?;
    Encoder::new(manifest, threads, place)
}
