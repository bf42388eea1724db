//! A small network over a candidate's features: features -> logit.

use crate::weights::INPUTS;

/// One layer: `y = x W + b`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    /// `[in, out]`, row-major.
    pub(crate) weight: Vec<f32>,
    /// `[out]`.
    pub(crate) bias: Vec<f32>,
}

/// Standardises its inputs; ReLU between the layers; one logit.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    inputs: Vec<usize>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    layers: Vec<Dense>,
}

impl Mlp {
    /// `inputs`: places among the features and the TCN's view. Sizes fit together; [`crate::weights`] has seen to it.
    pub(crate) fn new(
        inputs: Vec<usize>,
        mean: Vec<f32>,
        scale: Vec<f32>,
        layers: Vec<Dense>,
    ) -> Self {
        Self {
            inputs,
            mean,
            scale,
            layers,
        }
    }

    /// The logit of a candidate: `all` holds the features and, after them, the TCN's view (anything where it has none).
    pub fn logit(&self, all: &[f32; INPUTS]) -> f32 {
        let standards = self.mean.iter().zip(&self.scale);
        let mut x: Vec<f32> = self
            .inputs
            .iter()
            .zip(standards)
            .map(|(i, (mean, scale))| (all[*i] - mean) / scale)
            .collect();
        for (k, layer) in self.layers.iter().enumerate() {
            let mut y = layer.bias.clone();
            for (x, row) in x.iter().zip(layer.weight.chunks_exact(y.len())) {
                for (y, w) in y.iter_mut().zip(row) {
                    *y += x * w;
                }
            }
            if k + 1 < self.layers.len() {
                y.iter_mut().for_each(|y| *y = y.max(0.0));
            }
            x = y;
        }
        x.first().copied().unwrap_or(f32::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_layers_by_hand() {
        let layers = vec![
            Dense {
                weight: vec![1.0, -1.0, 2.0, 0.5],
                bias: vec![0.0, 1.0],
            },
            Dense {
                weight: vec![3.0, 4.0],
                bias: vec![-1.0],
            },
        ];
        let mlp = Mlp::new(vec![1, 0], vec![1.0, 0.0], vec![2.0, 1.0], layers);
        let mut all = [f32::NAN; INPUTS];
        all[..2].copy_from_slice(&[2.0, 7.0]);
        // x = ((7 - 1) / 2, 2) = (3, 2); first layer (3 + 4, -3 + 1 + 1) -> (7, 0); then 21 - 1.
        assert_eq!(mlp.logit(&all), 20.0);
    }
}
