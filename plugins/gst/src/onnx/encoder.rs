//! Frame or clip -> embedding.

use anchoring::tier::Tier;

use super::provider::Device;
use super::session::{Feed, Model};
use crate::models::{Layout, Manifest, ModelError, TierSpec, find};

/// Frame, or clip of frames -> embedding.
pub struct Encoder(Model);

impl Encoder {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first. Falls back to the CPU if `device` cannot run it ([`Self::instead`]).
    /// `threads`: at least 1.
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
    /// Why the CPU runs it, if another device was requested.
    pub fn instead(&self) -> Option<String> {
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
            _ => [n, 3, px, px],
        };
        self.0.run(&shape, frames, take)
    }

    /// Encodes `n` clips of normalised squares of side `px`. `pathways`: what each of [`Manifest::pathways`] gets, in the model's layout,
    /// `[n, 3, frames, px, px]` or `[n, frames, 3, px, px]`. `take` gets the embeddings, row-major `[n, dim]`.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn encode_clips<T>(
        &mut self,
        n: usize,
        px: usize,
        pathways: &[Vec<f32>],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let layout = self.0.manifest.input.layout;
        let inputs = self.0.manifest.pathways();
        let feeds: Vec<Feed<'_>> = inputs
            .into_iter()
            .zip(pathways)
            .map(|(pathway, data)| Feed {
                name: pathway.name,
                shape: match layout {
                    Layout::Ntchw => vec![n, pathway.frames, 3, px, px],
                    _ => vec![n, 3, pathway.frames, px, px],
                },
                data,
            })
            .collect();
        self.0.run_all(&feeds, take)
    }
}

/// Which of a clip's `all` frames a pathway of `frames` gets: those at `linspace(0, all - 1, frames)`, rounded down, as SlowFast packs its slow
/// pathway.
pub fn pathway_frames(all: usize, frames: usize) -> impl Iterator<Item = usize> {
    let (last, steps) = (all.saturating_sub(1), frames.saturating_sub(1).max(1));
    (0..frames).map(move |k| k * last / steps)
}

/// Finds, checks and loads an encoder of frames or clips. `threads`: at least 1. `device`: falls back to the CPU ([`Encoder::instead`]).
///
/// # Errors
/// The model is unknown, altered, not an encoder, or cannot be loaded.
pub fn load_encoder(name: &str, threads: usize, device: Device) -> Result<Encoder, ModelError> {
    let manifest = find(name)?.encoder()?;
    manifest.check()?;
    Encoder::new(manifest, threads, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_pathway_has_the_frames_of_slowfast() {
        let slow: Vec<_> = pathway_frames(32, 8).collect();
        assert_eq!(slow, [0, 4, 8, 13, 17, 22, 26, 31]);
        assert!(pathway_frames(32, 32).eq(0..32));
        assert!(pathway_frames(5, 1).eq([0]));
    }
}
