//! The layers of both networks: named matrices, linear maps, norms, attention, dropout.

use burn::tensor::activation::{relu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

use super::experiment::Layers;
use crate::network::Weights;
use crate::tensors::{Matrices, Matrix};

/// Added to a variance before taking its root.
const EPSILON: f64 = 1e-5;

/// Name, rows and columns of matrices.
#[derive(Debug, Default)]
pub struct Shapes(pub Vec<(String, usize, usize)>);

impl Shapes {
    /// A linear map.
    pub fn linear(&mut self, name: &str, from: usize, to: usize) {
        self.0.push((format!("{name}.w"), from, to));
        self.0.push((format!("{name}.b"), 1, to));
    }

    /// Two with a hidden layer between; one if `hidden` is 0.
    pub fn mlp(&mut self, name: &str, from: usize, hidden: usize, to: usize) {
        if hidden == 0 {
            self.linear(&format!("{name}.0"), from, to);
        } else {
            self.linear(&format!("{name}.0"), from, hidden);
            self.linear(&format!("{name}.1"), hidden, to);
        }
    }

    /// A norm.
    pub fn norm(&mut self, name: &str, width: usize) {
        self.0.push((format!("{name}.gain"), 1, width));
        self.0.push((format!("{name}.shift"), 1, width));
    }

    /// An attention.
    pub fn attention(&mut self, name: &str, width: usize) {
        for part in ["query", "key", "value", "mix"] {
            self.linear(&format!("{name}.{part}"), width, width);
        }
    }

    /// The first weights: maps uniform in +-1/sqrt(rows), gains 1, biases 0; `of` gives the value of any other matrix.
    pub fn first(&self, seed: u64, of: impl Fn(&str) -> f32) -> Matrices {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x7061_7273);
        let one = |(name, rows, cols): &(String, usize, usize)| {
            let mut m = Matrix::zeros(*rows, *cols);
            if name.ends_with(".w") {
                let reach = 1.0 / (*rows as f32).sqrt();
                m.data.fill_with(|| (2.0 * random.f32() - 1.0) * reach);
            } else if name.ends_with(".gain") {
                m.data.fill(1.0);
            } else if !name.ends_with(".b") && !name.ends_with(".shift") {
                m.data.fill(of(name));
            }
            (name.clone(), m)
        };
        self.0.iter().map(one).collect()
    }

    /// Whether these are matrices of this network.
    ///
    /// # Errors
    /// One is missing, too many, or of another size.
    pub fn fit(&self, weights: &Matrices) -> anyhow::Result<()> {
        for (name, rows, cols) in &self.0 {
            match weights.get(name) {
                Some(m) if (m.rows, m.cols) == (*rows, *cols) => {}
                Some(m) => anyhow::bail!(
                    "`{name}` is {} x {}: must be {rows} x {cols}",
                    m.rows,
                    m.cols
                ),
                None => anyhow::bail!("`{name}` is missing"),
            }
        }
        if weights.len() != self.0.len() {
            anyhow::bail!(
                "has {} matrices: this network has {}",
                weights.len(),
                self.0.len()
            );
        }
        Ok(())
    }
}

/// Weights, and the dropout while training.
pub struct Net<'a, B: Backend> {
    weights: &'a Weights<B>,
    dropped: Option<(&'a mut fastrand::Rng, f32)>,
}

impl<'a, B: Backend> Net<'a, B> {
    /// `dropped`: by which random numbers, and how large a share; `None` for predictions.
    pub fn new(weights: &'a Weights<B>, dropped: Option<(&'a mut fastrand::Rng, f32)>) -> Self {
        Self { weights, dropped }
    }

    /// A matrix by its name.
    pub fn named(&self, name: &str) -> Tensor<B, 2> {
        self.weights[name].clone()
    }

    /// Drops some values, and scales the others up.
    pub fn drop<const D: usize>(&mut self, x: Tensor<B, D>) -> Tensor<B, D> {
        let Some((random, share)) = &mut self.dropped else {
            return x;
        };
        if *share == 0.0 {
            return x;
        }
        let keep = 1.0 - *share;
        let dims = x.dims();
        let mask: Vec<f32> = (0..dims.iter().product())
            .map(|_| if random.f32() < keep { 1.0 / keep } else { 0.0 })
            .collect();
        let device = x.device();
        x * Tensor::from_data(TensorData::new(mask, dims), &device)
    }

    /// A linear map of the last axis.
    pub fn linear(&self, x: Tensor<B, 3>, name: &str) -> Tensor<B, 3> {
        let [n, t, f] = x.dims();
        let w = self.named(&format!("{name}.w"));
        let to = w.dims()[1];
        (x.reshape([n * t, f]).matmul(w) + self.named(&format!("{name}.b"))).reshape([n, t, to])
    }

    /// The maps of [`Shapes::mlp`].
    pub fn mlp(&mut self, x: Tensor<B, 3>, name: &str) -> Tensor<B, 3> {
        let x = self.linear(x, &format!("{name}.0"));
        let next = format!("{name}.1");
        if !self.weights.contains_key(&format!("{next}.w")) {
            return x;
        }
        let x = self.drop(relu(x));
        self.linear(x, &next)
    }

    /// Mean 0 and variance 1 of the last axis, then gain and shift.
    pub fn norm(&self, x: Tensor<B, 3>, name: &str) -> Tensor<B, 3> {
        let width = x.dims()[2];
        let x = x.clone() - x.mean_dim(2);
        let spread = (x.clone() * x.clone()).mean_dim(2) + EPSILON;
        let of = |part: &str| self.named(&format!("{name}.{part}")).reshape([1, 1, width]);
        x / spread.sqrt() * of("gain") + of("shift")
    }

    /// Attention of `x` to `to`. `blocked` `[n, 1, 1, t]`: added to scores; far below 0 where attention is not allowed.
    pub fn attention(
        &mut self,
        x: Tensor<B, 3>,
        to: Tensor<B, 3>,
        heads: usize,
        name: &str,
        blocked: Option<&Tensor<B, 4>>,
    ) -> Tensor<B, 3> {
        let [n, t, h] = x.dims();
        let wide = h / heads;
        let split = |x: Tensor<B, 3>| {
            let t = x.dims()[1];
            x.reshape([n, t, heads, wide]).swap_dims(1, 2)
        };
        let q = split(self.linear(x, &format!("{name}.query")));
        let k = split(self.linear(to.clone(), &format!("{name}.key")));
        let v = split(self.linear(to, &format!("{name}.value")));
        let mut scores = q.matmul(k.swap_dims(2, 3)) / (wide as f64).sqrt();
        if let Some(blocked) = blocked {
            scores = scores + blocked.clone();
        }
        let mixed = softmax(scores, 3)
            .matmul(v)
            .swap_dims(1, 2)
            .reshape([n, t, h]);
        self.linear(mixed, &format!("{name}.mix"))
    }

    /// Two maps with a hidden layer between, added to `x`, and a norm.
    pub fn feed_forward(&mut self, x: Tensor<B, 3>, name: &str) -> Tensor<B, 3> {
        let y = relu(self.linear(x.clone(), &format!("{name}.up")));
        let y = self.drop(y);
        let y = self.linear(y, &format!("{name}.down"));
        let y = self.drop(y);
        self.norm(x + y, &format!("{name}.norm2"))
    }
}

/// Matrices of one layer after its attentions.
pub fn feed_forward(shapes: &mut Shapes, name: &str, of: Layers) {
    shapes.norm(&format!("{name}.norm1"), of.hidden);
    shapes.norm(&format!("{name}.norm2"), of.hidden);
    shapes.linear(&format!("{name}.up"), of.hidden, of.feed_forward);
    shapes.linear(&format!("{name}.down"), of.feed_forward, of.hidden);
}
