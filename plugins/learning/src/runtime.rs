//! Predicts: the forward pass with ndarray alone. Equal to `network::forward` without dropped values to 1e-4.

use std::path::Path;

use anyhow::{Context, bail};
use ndarray::{Array2, ArrayView2, Axis, s};
use serde_json::Value;

use crate::network::{EPSILON, Kind, Sizes};
use crate::tensors::{self, Matrices, Matrix};

/// Names of the matrices that standardise features.
pub(crate) const MEAN: &str = "input.mean";
pub(crate) const SCALE: &str = "input.scale";

/// A trained head.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its sizes.
    pub sizes: Sizes,
    /// Names of its classes.
    pub classes: Vec<String>,
    /// Its card.
    pub card: Value,
    mean: Matrix,
    scale: Matrix,
    weights: Matrices,
}

impl Head {
    /// From weights, and the mean and factor that standardise every value; each 1 x `values`.
    ///
    /// # Errors
    /// Their sizes differ from these.
    pub fn new(
        sizes: Sizes,
        classes: Vec<String>,
        mean: Matrix,
        scale: Matrix,
        weights: Matrices,
        card: Value,
    ) -> anyhow::Result<Self> {
        sizes.check()?;
        sizes.fits(&weights)?;
        for (name, m) in [(MEAN, &mean), (SCALE, &scale)] {
            if (m.rows, m.cols) != (1, sizes.values) {
                bail!(
                    "`{name}` is {} x {}: must be 1 x {}",
                    m.rows,
                    m.cols,
                    sizes.values
                );
            }
        }
        if classes.len() != sizes.classes {
            bail!("has {} names for {} classes", classes.len(), sizes.classes);
        }
        Ok(Self {
            sizes,
            classes,
            card,
            mean,
            scale,
            weights,
        })
    }

    /// Reads an exported head.
    ///
    /// # Errors
    /// It cannot be read, or is not a head.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let (bytes, _) = tensors::bytes(path)?;
        let (file, card) = tensors::open(path, &bytes)?;
        let wrong = || format!("{} is not a head", path.display());
        let sizes: Sizes = serde_json::from_value(card["sizes"].clone())
            .context("its card has no sizes")
            .with_context(wrong)?;
        let classes: Vec<String> = serde_json::from_value(card["classes"].clone())
            .context("its card has no classes")
            .with_context(wrong)?;
        let mut all = tensors::matrices(path, &file, "")?;
        let mut part = |name: &str| {
            all.remove(name)
                .with_context(|| format!("`{name}` is missing"))
                .with_context(wrong)
        };
        let (mean, scale) = (part(MEAN)?, part(SCALE)?);
        Self::new(sizes, classes, mean, scale, all, card).with_context(wrong)
    }

    /// Writes it, and its card as JSON beside it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut all = self.weights.clone();
        all.insert(MEAN.into(), self.mean.clone());
        all.insert(SCALE.into(), self.scale.clone());
        tensors::write(path, &tensors::arrays("", &all), &self.card)?;
        tensors::replace(
            &path.with_extension("json"),
            format!("{:#}\n", self.card).as_bytes(),
        )
    }

    /// Scores of every class for the seconds of one recording: `seconds * values` numbers in, `seconds x classes` out.
    ///
    /// # Errors
    /// The number of numbers differs.
    pub fn scores(&self, features: &[f32]) -> anyhow::Result<Array2<f32>> {
        let Sizes {
            seconds: t,
            values,
            hidden: h,
            heads,
            ..
        } = self.sizes;
        let x = ArrayView2::from_shape((t, values), features).with_context(|| {
            format!(
                "{} numbers are not {t} seconds of {values} values",
                features.len()
            )
        })?;
        let x = (&x - &self.matrix(&self.mean)) * self.matrix(&self.scale);
        let x = self.linear(x, "in");
        let x = match self.sizes.model {
            Kind::Mlp => relu(x),
            Kind::Conv => {
                let x = relu(x);
                let mut around = Array2::zeros((t, 3 * h));
                around.slice_mut(s![.., h..2 * h]).assign(&x);
                if t > 1 {
                    around
                        .slice_mut(s![1.., ..h])
                        .assign(&x.slice(s![..t - 1, ..]));
                    around
                        .slice_mut(s![..t - 1, 2 * h..])
                        .assign(&x.slice(s![1.., ..]));
                }
                x + relu(self.linear(around, "conv"))
            }
            Kind::Transformer => {
                let x = x + self.named("position");
                let y = self.norm(&x, "norm1");
                let (q, k, v) = (
                    self.linear(y.clone(), "query"),
                    self.linear(y.clone(), "key"),
                    self.linear(y, "value"),
                );
                let wide = h / heads;
                let mut mixed = Array2::zeros((t, h));
                for head in 0..heads {
                    let of = s![.., head * wide..(head + 1) * wide];
                    let mut scores = q.slice(of).dot(&k.slice(of).t()) / (wide as f32).sqrt();
                    for mut row in scores.rows_mut() {
                        let top = row.fold(f32::NEG_INFINITY, |a, b| a.max(*b));
                        row.mapv_inplace(|x| (x - top).exp());
                        let sum = row.sum();
                        row.mapv_inplace(|x| x / sum);
                    }
                    mixed.slice_mut(of).assign(&scores.dot(&v.slice(of)));
                }
                let x = x + self.linear(mixed, "mix");
                let y = self.linear(relu(self.linear(self.norm(&x, "norm2"), "up")), "down");
                x + y
            }
        };
        Ok(self.linear(x, "out"))
    }

    fn matrix<'a>(&self, m: &'a Matrix) -> ArrayView2<'a, f32> {
        // Every matrix was checked to have as many values as its shape says.
        ArrayView2::from_shape((m.rows, m.cols), &m.data)
            .unwrap_or_else(|_| ArrayView2::from(&[[0.0; 1]; 0]))
    }

    fn named(&self, name: &str) -> ArrayView2<'_, f32> {
        self.matrix(&self.weights[name])
    }

    fn linear(&self, x: Array2<f32>, name: &str) -> Array2<f32> {
        x.dot(&self.named(&format!("{name}.w"))) + self.named(&format!("{name}.b"))
    }

    fn norm(&self, x: &Array2<f32>, name: &str) -> Array2<f32> {
        let mut x = x.clone();
        for mut row in x.axis_iter_mut(Axis(0)) {
            let n = row.len() as f32;
            let mean = row.sum() / n;
            row.mapv_inplace(|x| x - mean);
            let spread = (row.fold(0.0, |sum, x| sum + x * x) / n + EPSILON as f32).sqrt();
            row.mapv_inplace(|x| x / spread);
        }
        x * self.named(&format!("{name}.gain")) + self.named(&format!("{name}.shift"))
    }
}

fn relu(mut x: Array2<f32>) -> Array2<f32> {
    x.mapv_inplace(|x| x.max(0.0));
    x
}
