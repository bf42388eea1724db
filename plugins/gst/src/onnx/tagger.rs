//! Sound -> class probabilities.

use anchoring::cue::{TOP, Tag};

use super::provider::Device;
use super::session::Model;
use super::{TensorRef, probability};
use crate::models::{Kind, Manifest, ModelError, find, read_classes};

/// Sound -> class probabilities.
pub struct Tagger {
    model: Model,
    labels: Vec<String>,
}

impl Tagger {
    /// Loads the manifest's ONNX file; call [`Manifest::check`] first. `labels`: one per class. `threads`: at least 1.
    ///
    /// # Errors
    /// ONNX Runtime or the model cannot be loaded, or the model differs from its manifest.
    pub fn new(
        manifest: Manifest,
        labels: Vec<String>,
        threads: usize,
    ) -> Result<Self, ModelError> {
        let model = Model::new(manifest, threads, Device::default())?;
        Ok(Self { model, labels })
    }
    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.model.manifest
    }
    /// The class names, by class.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }
    /// All class probabilities of one patch, row-major `[96, 64]` log mel.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn scores(&mut self, log_mel: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.all_scores(1, log_mel)
    }
    /// The five likeliest classes of one patch, likeliest first, and the probability of speech: that of the likeliest speech class.
    /// A probability that is not a number counts as 0.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn tag(&mut self, log_mel: &[f32]) -> Result<(Vec<Tag>, f32), ModelError> {
        let scores = self.scores(log_mel)?;
        Ok(self.named(&scores))
    }

    /// Whether it takes several patches at once: the first axis of its input has no fixed length.
    pub fn takes_many(&self) -> bool {
        self.model.fixed_batch().is_none()
    }

    /// Like [`Self::tag`], of `n` patches together: `[n, 96, 64]`.
    ///
    /// # Errors
    /// The model fails, or its output has another shape.
    pub fn tag_all(
        &mut self,
        n: usize,
        log_mels: &[f32],
    ) -> Result<Vec<(Vec<Tag>, f32)>, ModelError> {
        let scores = self.all_scores(n, log_mels)?;
        let patches = scores.chunks_exact(self.manifest().output.dim.max(1));
        Ok(patches.map(|one| self.named(one)).collect())
    }

    fn all_scores(&mut self, n: usize, log_mels: &[f32]) -> Result<Vec<f32>, ModelError> {
        let input = &self.model.manifest.input;
        let shape = [n, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
        self.model.run(&shape, log_mels, <[f32]>::to_vec)
    }

    /// The likeliest classes and the probability of speech, from one patch's scores.
    fn named(&self, scores: &[f32]) -> (Vec<Tag>, f32) {
        (
            top(scores),
            speech(scores, &self.model.manifest.speech_classes),
        )
    }

    /// The embedding of one patch, row-major `[96, 64]` log mel, as [`Output::embedding`](crate::models::Output) names it.
    ///
    /// # Errors
    /// The manifest names none, the model fails or gives another shape.
    pub fn embed(&mut self, log_mel: &[f32]) -> Result<Vec<f32>, ModelError> {
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
        let embedding = output
            .embedding
            .as_deref()
            .ok_or_else(|| fail("its manifest has no output.embedding".into()))?;
        let shape = [1, 1, input.frames.unwrap_or(96), input.bands.unwrap_or(64)];
        let tensor =
            TensorRef::from_array_view((shape, log_mel)).map_err(|err| fail(err.to_string()))?;
        let mut ready = self.model.lease.lock(name)?;
        let session = &mut ready.session;
        let outputs = session
            .run(super::inputs![input.name.as_str() => tensor])
            .map_err(|err| fail(err.to_string()))?;
        let (_, numbers) = outputs
            .get(embedding)
            .ok_or_else(|| fail(format!("it has no output {embedding:?}")))?
            .try_extract_tensor::<f32>()
            .map_err(|err| fail(err.to_string()))?;
        Ok(numbers.to_vec())
    }
}

/// Finds, checks and loads a tagger. `threads`: at least 1.
///
/// # Errors
/// The model is unknown, altered, not a tagger, or cannot be loaded.
pub fn load_tagger(name: &str, threads: usize) -> Result<Tagger, ModelError> {
    let manifest = find(name)?.of_kind(Kind::Tagger)?;
    manifest.check()?;
    let labels = match manifest.classes_path() {
        Some(path) => read_classes(&path)?,
        None => Vec::new(),
    };
    if labels.len() != manifest.output.dim {
        return Err(ModelError::Load {
            name: manifest.name,
            message: format!(
                "its class list has {} classes, but the manifest's output.dim is {}",
                labels.len(),
                manifest.output.dim
            ),
        });
    }
    Tagger::new(manifest, labels, threads)
}

/// The likeliest classes, likeliest first; the first of equal ones.
fn top(scores: &[f32]) -> Vec<Tag> {
    let mut tags: Vec<Tag> = Vec::with_capacity(TOP + 1);
    for (class_id, score) in scores.iter().enumerate().take(usize::from(u16::MAX)) {
        let p = probability(*score);
        let place = tags.partition_point(|tag| tag.p >= p);
        if place < TOP {
            tags.insert(
                place,
                Tag {
                    class_id: class_id as u16,
                    p,
                },
            );
            tags.truncate(TOP);
        }
    }
    tags
}

fn speech(scores: &[f32], classes: &[usize]) -> f32 {
    classes
        .iter()
        .filter_map(|class| scores.get(*class))
        .map(|score| probability(*score))
        .fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_likeliest_classes_come_likeliest_first() {
        let scores = [0.1, 0.9, f32::NAN, 0.3, 0.3, 0.2, 0.05, 2.0];
        let ids: Vec<u16> = top(&scores).iter().map(|tag| tag.class_id).collect();
        assert_eq!(ids, [7, 1, 3, 4, 5]);
        assert_eq!(top(&scores)[0].p, 1.0);
        assert_eq!(top(&[0.5]).len(), 1);
    }

    #[test]
    fn speech_is_the_likeliest_speech_class() {
        assert_eq!(speech(&[0.1, 0.9, 0.4], &[0, 2, 9]), 0.4);
        assert_eq!(speech(&[0.1], &[]), 0.0);
    }
}
