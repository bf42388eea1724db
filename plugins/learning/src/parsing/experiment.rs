//! An experiment: sizes, losses and training. Every field has a default: sizes for two cores, all optional parts off.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// How long and how fast a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Seed of the first weights, the order of videos, dropped values and mixing.
    pub seed: u64,
    /// Epochs.
    pub epochs: usize,
    /// Videos per step.
    pub batch: usize,
    /// AdamW's rate after the warm-up.
    pub lr: f64,
    /// Its rate in the last epoch: it falls along a cosine.
    pub lr_end: f64,
    /// Epochs of the warm-up, from 0 up.
    pub warm_up: usize,
    /// AdamW's decay, apart from the gradient.
    pub weight_decay: f32,
    /// AdamW's memory of gradients.
    pub beta_1: f32,
    /// AdamW's memory of their squares.
    pub beta_2: f32,
    /// Largest norm of all gradients; 0: no limit.
    pub clip: f64,
    /// Whether features are standardised with means and deviations of the training split.
    pub standardise: bool,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 20,
            batch: 64,
            lr: 1e-3,
            lr_end: 5e-5,
            warm_up: 1,
            weight_decay: 1e-3,
            beta_1: 0.9,
            beta_2: 0.999,
            clip: 1.0,
            standardise: true,
        }
    }
}

/// Sizes of layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layers {
    /// Width.
    pub hidden: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Heads of an attention; divides `hidden`.
    pub heads: usize,
    /// Width between the two matrices after an attention.
    pub feed_forward: usize,
    /// Share of values to drop while training, 0..1.
    pub dropout: f32,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            hidden: 64,
            layers: 1,
            heads: 4,
            feed_forward: 128,
            dropout: 0.1,
        }
    }
}

impl Layers {
    fn check(self, of: &str) -> anyhow::Result<()> {
        for (what, size, most) in [
            ("hidden", self.hidden, 1 << 13),
            ("layers", self.layers, 64),
            ("heads", self.heads, 256),
            ("feed_forward", self.feed_forward, 1 << 15),
        ] {
            if size == 0 || size > most {
                bail!("{of}.{what} is {size}: must be 1 to {most}");
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            bail!(
                "{of}.hidden is {}, which {of}.heads, {}, does not divide",
                self.hidden,
                self.heads
            );
        }
        if !(0.0..1.0).contains(&self.dropout) {
            bail!("{of}.dropout is {}: must lie in 0..1", self.dropout);
        }
        Ok(())
    }
}

impl Training {
    fn check(self, of: &str) -> anyhow::Result<()> {
        for (what, size, most) in [
            ("epochs", self.epochs, 100_000),
            ("batch", self.batch, 65_536),
        ] {
            if size == 0 || size > most {
                bail!("{of}.{what} is {size}: must be 1 to {most}");
            }
        }
        for (what, x, most) in [
            ("lr", self.lr, 10.0),
            ("lr_end", self.lr_end, 10.0),
            ("weight_decay", f64::from(self.weight_decay), 10.0),
            ("clip", self.clip, 1e9),
            ("beta_1", f64::from(self.beta_1), 0.999_999),
            ("beta_2", f64::from(self.beta_2), 0.999_999_9),
        ] {
            if !(0.0..=most).contains(&x) {
                bail!("{of}.{what} is {x}: must lie in 0..={most}");
            }
        }
        Ok(())
    }

    /// The rate of an epoch, from 0: rises over the warm-up, then falls along a cosine from `lr` to `lr_end`.
    pub fn rate(self, epoch: usize) -> f64 {
        if epoch < self.warm_up {
            return self.lr * (epoch + 1) as f64 / (self.warm_up + 1) as f64;
        }
        let left = self.epochs.saturating_sub(self.warm_up + 1).max(1);
        let share = ((epoch - self.warm_up) as f64 / left as f64).min(1.0);
        self.lr_end + (self.lr - self.lr_end) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
    }
}

/// The transformer that gives pseudo labels (UWAV's first stage).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Temporal {
    /// Its sizes.
    pub encoder: Layers,
    /// Factor on the product of a second with a class's embedding, for the sound.
    pub scale_audio: f32,
    /// The same for frames.
    pub scale_visual: f32,
    /// Weight of classes in the video, relative to those that are not.
    pub present_weight: f32,
    /// Most thresholds to try for a class, evenly among its logits; 0: all.
    pub thresholds: usize,
    /// How it is trained.
    pub training: Training,
}

impl Default for Temporal {
    fn default() -> Self {
        Self {
            encoder: Layers::default(),
            scale_audio: 3.2912,
            scale_visual: 4.6052,
            present_weight: 5.0,
            thresholds: 0,
            training: Training::default(),
        }
    }
}

/// The network that parses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parser {
    /// Its sizes.
    pub encoder: Layers,
    /// Width of a hidden layer before the encoder, for the sound; 0: features are mapped by one matrix.
    pub input_audio: usize,
    /// The same for frames.
    pub input_visual: usize,
    /// LINK: attention over time and values, and adaptive weights of the other modality, before the encoder.
    pub tsam: bool,
    /// LINK: the pseudo labels' embeddings scale and shift the encoder's output.
    pub plsim: bool,
}

/// How pseudo labels become targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// No pseudo labels: weak labels alone.
    None,
    /// 0 or 1.
    Hard,
    /// By the distance of a logit from its class's threshold.
    Uncertainty,
}

/// Mixing of segments (mixup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixup {
    /// Off.
    None,
    /// Mixes targets like features.
    Linear,
    /// Rounds mixed targets up: for AVE.
    Ceiling,
}

/// The loss that pulls the sound and the frames of a second together or apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// Off.
    None,
    /// Every second weighs the same.
    Plain,
    /// LINK's S-LOSS: its weight follows from the similarity.
    Dynamic,
}

/// The losses and their settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Losses {
    /// The weak label as target for the sound of the whole video. 1: unchanged; less: smoothed towards a half by the rest; 0: off.
    pub weak_audio: f32,
    /// The same for frames.
    pub weak_visual: f32,
    /// Pseudo labels of segments.
    pub pseudo: Targets,
    /// Whether each modality of the video gets the classes of all its pseudo labels as target (VALOR's losses, on which LINK builds).
    pub pseudo_video: bool,
    /// Divisor of a logit's distance from its threshold.
    pub temperature: f32,
    /// Whether to weigh classes in and not in the video by how rare positive segments are.
    pub reweight: bool,
    /// Factor on the weight of classes in the video.
    pub reweight_present: f32,
    /// Mixing of segments.
    pub mixup: Mixup,
    /// Parameter of the Beta distribution of shares.
    pub mixup_alpha: f32,
    /// Similarity of segments.
    pub similarity: Similarity,
    /// Weight of that loss.
    pub similarity_weight: f32,
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            weak_audio: 1.0,
            weak_visual: 0.9,
            pseudo: Targets::None,
            pseudo_video: false,
            temperature: 2.0,
            reweight: false,
            reweight_present: 0.5,
            mixup: Mixup::None,
            mixup_alpha: 1.7,
            similarity: Similarity::None,
            similarity_weight: 1.0,
        }
    }
}

/// An experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// The transformer that gives pseudo labels.
    pub temporal: Temporal,
    /// The network that parses.
    pub parser: Parser,
    /// Its losses.
    pub losses: Losses,
    /// How it is trained.
    pub training: Training,
}

impl Experiment {
    /// From JSON.
    ///
    /// # Errors
    /// A field is unknown, of another type, or out of range.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let it: Self = serde_json::from_str(text).context("the experiment is invalid")?;
        it.temporal.encoder.check("temporal.encoder")?;
        it.temporal.training.check("temporal.training")?;
        it.parser.encoder.check("parser.encoder")?;
        it.training.check("training")?;
        for (what, size) in [
            ("input_audio", it.parser.input_audio),
            ("input_visual", it.parser.input_visual),
        ] {
            if size > 1 << 14 {
                bail!("parser.{what} is {size}: must be 0 to {}", 1 << 14);
            }
        }
        for (what, x, least, most) in [
            ("losses.weak_audio", it.losses.weak_audio, 0.0, 1.0),
            ("losses.weak_visual", it.losses.weak_visual, 0.0, 1.0),
            ("losses.temperature", it.losses.temperature, 1e-3, 1e3),
            (
                "losses.reweight_present",
                it.losses.reweight_present,
                0.0,
                1e3,
            ),
            ("losses.mixup_alpha", it.losses.mixup_alpha, 1e-2, 1e2),
            (
                "losses.similarity_weight",
                it.losses.similarity_weight,
                0.0,
                1e3,
            ),
            (
                "temporal.present_weight",
                it.temporal.present_weight,
                0.0,
                1e3,
            ),
            ("temporal.scale_audio", it.temporal.scale_audio, 1e-3, 1e3),
            ("temporal.scale_visual", it.temporal.scale_visual, 1e-3, 1e3),
        ] {
            if !(least..=most).contains(&x) {
                bail!("{what} is {x}: must lie in {least}..={most}");
            }
        }
        Ok(it)
    }

    /// Whether it needs pseudo labels.
    pub fn needs_pseudo(&self) -> bool {
        self.losses.pseudo != Targets::None
            || self.losses.pseudo_video
            || self.losses.mixup != Mixup::None
            || self.losses.similarity != Similarity::None
            || self.parser.plsim
    }
}
