//! AdamW over named matrices; its moments can be written and read.

use anyhow::bail;
use burn::backend::Autodiff;
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, SimpleOptimizer};
use burn::tensor::Tensor;

use crate::network::{Weights, tensor};
use crate::tensors::{Matrices, Matrix};

/// What computes: the processor, or a graphics card with a feature of this crate.
#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
pub(crate) type Plain = burn::backend::NdArray<f32>;
/// The same on any graphics card.
#[cfg(all(feature = "wgpu", not(feature = "cuda")))]
pub(crate) type Plain = burn::backend::Wgpu<f32, i32>;
/// The same on NVIDIA's.
#[cfg(feature = "cuda")]
pub(crate) type Plain = burn::backend::Cuda<f32, i32>;
/// The same, with gradients.
pub(crate) type Tracked = Autodiff<Plain>;
/// The gradients of burn's backward pass.
type Gradients = <Tracked as burn::tensor::backend::AutodiffBackend>::Gradients;

/// Weights in training.
pub(crate) struct Optimiser {
    adam: AdamW,
    weights: Weights<Plain>,
    moments: [Weights<Plain>; 2],
    steps: usize,
}

fn all(of: &Matrices) -> Weights<Plain> {
    let device = Default::default();
    of.iter()
        .map(|(name, m)| (name.clone(), tensor(m, &device)))
        .collect()
}

impl Optimiser {
    /// Continues after `steps` steps.
    pub(crate) fn new(
        adam: &AdamWConfig,
        weights: &Matrices,
        moments: &[Matrices; 2],
        steps: usize,
    ) -> Self {
        Self {
            adam: adam.build(),
            weights: all(weights),
            moments: [all(&moments[0]), all(&moments[1])],
            steps,
        }
    }

    /// The weights, for one forward pass whose gradients are wanted.
    pub(crate) fn tracked(&self) -> Weights<Tracked> {
        self.weights
            .iter()
            .map(|(name, w)| (name.clone(), Tensor::from_inner(w.clone()).require_grad()))
            .collect()
    }

    /// One step. With `clip`, gradients whose norm over all weights is above it are scaled down to it.
    pub(crate) fn step(
        &mut self,
        tracked: &Weights<Tracked>,
        gradients: &Gradients,
        lr: f64,
        clip: Option<f64>,
    ) {
        let factor = clip.map(|most| {
            let square: f64 = tracked
                .values()
                .filter_map(|w| w.grad(gradients))
                .map(|g| f64::from((g.clone() * g).sum().into_scalar()))
                .sum();
            (most / (square.sqrt() + 1e-6)).min(1.0)
        });
        for (name, tracked) in tracked {
            let (Some(gradient), Some(weight)) =
                (tracked.grad(gradients), self.weights.get_mut(name))
            else {
                continue;
            };
            let gradient = match factor {
                Some(factor) if factor < 1.0 => gradient * factor,
                _ => gradient,
            };
            let momentum = AdaptiveMomentumState::new(
                self.steps,
                self.moments[0][name].clone(),
                self.moments[1][name].clone(),
            );
            // At its first step AdamW has no moments yet, and counts that step itself.
            let before = (self.steps > 0).then(|| AdamWState::new(momentum));
            let (next, after) = self.adam.step(lr, weight.clone(), gradient, before);
            *weight = next;
            if let Some(after) = after {
                self.moments[0].insert(name.clone(), after.momentum.moment_1);
                self.moments[1].insert(name.clone(), after.momentum.moment_2);
            }
        }
        self.steps += 1;
    }

    /// The current weights, moments and steps.
    ///
    /// # Errors
    /// A weight is no longer finite.
    pub(crate) fn end(self) -> anyhow::Result<(Matrices, [Matrices; 2], usize)> {
        let [mean, square] = self.moments;
        Ok((
            matrices(self.weights)?,
            [matrices(mean)?, matrices(square)?],
            self.steps,
        ))
    }
}

fn matrices(weights: Weights<Plain>) -> anyhow::Result<Matrices> {
    weights
        .into_iter()
        .map(|(name, w)| {
            let [rows, cols] = w.dims();
            let data = w
                .into_data()
                .to_vec::<f32>()
                .map_err(|e| anyhow::anyhow!("burn returned `{name}` in another type: {e:?}"))?;
            if data.iter().any(|x| !x.is_finite()) {
                bail!("training diverged: `{name}` is no longer finite; try a smaller rate");
            }
            Ok((name, Matrix { rows, cols, data }))
        })
        .collect()
}
