//! What an experiment is made of. Every field has a default: the 2-core size, all ingredients off.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// How long and how fast a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Decides the first weights, the order of videos, what is dropped and what is mixed.
    pub seed: u64,
    /// Epochs.
    pub epochs: usize,
    /// Videos of a step.
    pub batch: usize,
    /// AdamW's rate after the warm-up.
    pub lr: f64,
    /// Its rate in the last epoch: it falls along a cosine.
    pub lr_end: f64,
    /// Epochs in which it rises from nothing.
    pub warm_up: usize,
    /// AdamW's decay, apart from the gradient.
    pub weight_decay: f32,
    /// AdamW's memory of gradients.
    pub beta_1: f32,
    /// AdamW's memory of their squares.
    pub beta_2: f32,
    /// Most that the norm of all gradients may be; 0 for no limit.
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
    /// Share of values that are dropped while training, 0..1.
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
    /// What the product of a second with a class's embedding is multiplied with: of the sound.
    pub scale_audio: f32,
    /// The same of the frames.
    pub scale_visual: f32,
    /// What classes of the video weigh against those that are not in it.
    pub present_weight: f32,
    /// At most so many thresholds are tried for a class, evenly among its logits; 0: all.
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
    /// LINK: the pseudo labels' embeddings scale and shift what comes out of the encoder.
    pub plsim: bool,
}

/// What pseudo labels are as targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// There are none: weak labels alone.
    None,
    /// 0 or 1.
    Hard,
    /// How far a logit is from its class's threshold.
    Uncertainty,
}

/// Mixing of segments (mixup).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixup {
    /// Off.
    None,
    /// Targets are mixed as features are.
    Linear,
    /// Mixed targets are rounded up: for AVE.
    Ceiling,
}

/// The loss that pulls sound and frames of a second together or apart.
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

/// Losses and what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Losses {
    /// The weak label, taken for what the sound has somewhere in the video. 1: as it is; less: smoothed towards a half by the rest; 0: off.
    pub weak_audio: f32,
    /// The same of the frames.
    pub weak_visual: f32,
    /// Pseudo labels of segments.
    pub pseudo: Targets,
    /// Whether each modality's video is told what its pseudo labels have anywhere (VALOR's losses, on which LINK stands).
    pub pseudo_video: bool,
    /// By what a logit's distance from its threshold is divided.
    pub temperature: f32,
    /// Whether classes that are in the video and those that are not weigh by how rare positive segments are.
    pub reweight: bool,
    /// What the weight of classes that are in the video is multiplied with.
    pub reweight_present: f32,
    /// Mixing of segments.
    pub mixup: Mixup,
    /// Of the Beta distribution of shares.
    pub mixup_alpha: f32,
    /// Similarity of segments.
    pub similarity: Similarity,
    /// What it is multiplied with.
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
    /// A field is not known, of another type, or beyond its limits.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let it: Self = serde_json::from_str(text).context("the experiment makes no sense")?;
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
