//! The heads: their matrices, first weights, and forward pass on any back-end of burn.
//!
//! - `mlp`: each second by itself: one hidden layer.
//! - `conv`: the same, and a temporal convolution over three seconds with a bypass.
//! - `transformer`: the same with a learned position, and one pre-norm layer of self-attention and feed-forward.
//!
//! Features are standardised first, with the means and deviations of the training split.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::bail;
use burn::tensor::activation::{log_softmax, relu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::tensors::{Matrices, Matrix};

/// Added to a variance before taking its root.
pub(crate) const EPSILON: f64 = 1e-5;

/// The kind of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Each second by itself.
    Mlp,
    /// Three seconds at a time.
    Conv,
    /// All seconds.
    Transformer,
}

impl Kind {
    /// Each with its name.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Mlp, "mlp"),
        (Self::Conv, "conv"),
        (Self::Transformer, "transformer"),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Conv => "conv",
            Self::Transformer => "transformer",
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|(_, name)| *name == text)
            .map(|(kind, _)| kind)
            .ok_or_else(|| format!("unknown model `{text}`: use mlp, conv or transformer"))
    }
}

/// The sizes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The kind of a head.
    pub model: Kind,
    /// Values of a second.
    pub values: usize,
    /// Seconds of a recording.
    pub seconds: usize,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Heads of the attention; divides `hidden`.
    pub heads: usize,
    /// Classes.
    pub classes: usize,
}

impl Sizes {
    /// Whether they make sense.
    ///
    /// # Errors
    /// One is 0 or beyond its limit, or `heads` does not divide `hidden`.
    pub fn check(self) -> anyhow::Result<()> {
        for (what, size, most) in [
            ("values", self.values, 1 << 20),
            ("seconds", self.seconds, 1 << 14),
            ("hidden", self.hidden, 1 << 14),
            ("heads", self.heads, 1 << 8),
            ("classes", self.classes, 1 << 14),
        ] {
            if size == 0 || size > most {
                bail!("{what} is {size}: must be 1 to {most}");
            }
        }
        if !self.hidden.is_multiple_of(self.heads) {
            bail!(
                "hidden is {}, which {} heads do not divide",
                self.hidden,
                self.heads
            );
        }
        Ok(())
    }

    /// Name, rows, columns of every matrix.
    pub fn matrices(self) -> Vec<(&'static str, usize, usize)> {
        let (f, h, t, c) = (self.values, self.hidden, self.seconds, self.classes);
        let mut all = vec![
            ("in.w", f, h),
            ("in.b", 1, h),
            ("out.w", h, c),
            ("out.b", 1, c),
        ];
        match self.model {
            Kind::Mlp => {}
            Kind::Conv => all.extend([("conv.w", 3 * h, h), ("conv.b", 1, h)]),
            Kind::Transformer => all.extend([
                ("position", t, h),
                ("norm1.gain", 1, h),
                ("norm1.shift", 1, h),
                ("query.w", h, h),
                ("query.b", 1, h),
                ("key.w", h, h),
                ("key.b", 1, h),
                ("value.w", h, h),
                ("value.b", 1, h),
                ("mix.w", h, h),
                ("mix.b", 1, h),
                ("norm2.gain", 1, h),
                ("norm2.shift", 1, h),
                ("up.w", h, 2 * h),
                ("up.b", 1, 2 * h),
                ("down.w", 2 * h, h),
                ("down.b", 1, h),
            ]),
        }
        all.sort_unstable();
        all
    }

    /// The first weights for a seed: uniform in +-1/sqrt(rows) (biases 0, gains 1).
    pub fn first(self, seed: u64) -> Matrices {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x6865_6164);
        self.matrices()
            .into_iter()
            .map(|(name, rows, cols)| {
                let mut m = Matrix::zeros(rows, cols);
                if name.ends_with(".gain") {
                    m.data.fill(1.0);
                } else if name.ends_with(".w") || name == "position" {
                    let reach = 1.0
                        / if name == "position" {
                            cols as f32
                        } else {
                            rows as f32
                        }
                        .sqrt();
                    m.data.fill_with(|| (2.0 * random.f32() - 1.0) * reach);
                }
                (name.to_owned(), m)
            })
            .collect()
    }

    /// Whether these are matrices of this head.
    ///
    /// # Errors
    /// One is missing, too many, or of another size.
    pub fn fits(self, weights: &Matrices) -> anyhow::Result<()> {
        let wanted = self.matrices();
        for (name, rows, cols) in &wanted {
            match weights.get(*name) {
                Some(m) if (m.rows, m.cols) == (*rows, *cols) => {}
                Some(m) => bail!(
                    "`{name}` is {} x {}: must be {rows} x {cols}",
                    m.rows,
                    m.cols
                ),
                None => bail!("`{name}` is missing"),
            }
        }
        if weights.len() != wanted.len() {
            bail!(
                "has {} matrices: a head of this kind has {}",
                weights.len(),
                wanted.len()
            );
        }
        Ok(())
    }
}

/// Weights on a back-end.
pub type Weights<B> = BTreeMap<String, Tensor<B, 2>>;

/// A matrix on a back-end.
pub fn tensor<B: Backend>(m: &Matrix, device: &B::Device) -> Tensor<B, 2> {
    Tensor::from_data(TensorData::new(m.data.clone(), [m.rows, m.cols]), device)
}

/// Applied between two layers while training: drops some values.
pub type Dropped<'a, B> = Option<&'a mut dyn FnMut(Tensor<B, 2>) -> Tensor<B, 2>>;

/// Scores of every class: rows of `recordings * seconds` in, the same rows of `classes` out. `x` is standardised.
pub fn forward<B: Backend>(
    sizes: Sizes,
    weights: &Weights<B>,
    x: Tensor<B, 2>,
    mut dropped: Dropped<'_, B>,
) -> Tensor<B, 2> {
    let (t, h) = (sizes.seconds, sizes.hidden);
    let rows = x.dims()[0];
    let n = rows / t;
    let linear = |x: Tensor<B, 2>, name: &str| {
        x.matmul(weights[&format!("{name}.w")].clone()) + weights[&format!("{name}.b")].clone()
    };
    let mut drop = |x: Tensor<B, 2>| match &mut dropped {
        Some(dropped) => dropped(x),
        None => x,
    };
    let x = linear(x, "in");
    let x = match sizes.model {
        Kind::Mlp => drop(relu(x)),
        Kind::Conv => {
            let x = drop(relu(x));
            let cube = x.clone().reshape([n, t, h]);
            let blank = Tensor::<B, 3>::zeros([n, 1, h], &cube.device());
            let around = if t > 1 {
                let before = Tensor::cat(
                    vec![blank.clone(), cube.clone().slice([0..n, 0..t - 1, 0..h])],
                    1,
                );
                let after = Tensor::cat(vec![cube.clone().slice([0..n, 1..t, 0..h]), blank], 1);
                Tensor::cat(vec![before, cube, after], 2)
            } else {
                Tensor::cat(vec![blank.clone(), cube, blank], 2)
            };
            x + drop(relu(linear(around.reshape([rows, 3 * h]), "conv")))
        }
        Kind::Transformer => {
            let position = weights["position"].clone().reshape([1, t, h]);
            let x = (x.reshape([n, t, h]) + position).reshape([rows, h]);
            let norm = |x: Tensor<B, 2>, name: &str| {
                let x = x.clone() - x.mean_dim(1);
                let spread = (x.clone() * x.clone()).mean_dim(1) + EPSILON;
                x / spread.sqrt() * weights[&format!("{name}.gain")].clone()
                    + weights[&format!("{name}.shift")].clone()
            };
            let heads = |x: Tensor<B, 2>| {
                x.reshape([n, t, sizes.heads, h / sizes.heads])
                    .swap_dims(1, 2)
            };
            let y = norm(x.clone(), "norm1");
            let (q, k, v) = (
                heads(linear(y.clone(), "query")),
                heads(linear(y.clone(), "key")),
                heads(linear(y, "value")),
            );
            let scores = q.matmul(k.swap_dims(2, 3)) / ((h / sizes.heads) as f64).sqrt();
            let y = softmax(scores, 3)
                .matmul(v)
                .swap_dims(1, 2)
                .reshape([rows, h]);
            let x = x + drop(linear(y, "mix"));
            let y = linear(drop(relu(linear(norm(x.clone(), "norm2"), "up"))), "down");
            x + y
        }
    };
    linear(x, "out")
}

/// The mean over labelled rows of the cross entropy. `hot`: 1 at each labelled row's class, else 0.
pub fn loss<B: Backend>(scores: Tensor<B, 2>, hot: Tensor<B, 2>, labelled: usize) -> Tensor<B, 1> {
    (log_softmax(scores, 1) * hot).sum().neg() / labelled.max(1) as f64
}
