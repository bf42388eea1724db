//! A small network over a candidate's features, and beside those before it: features -> logit.

use crate::hearing::simd::wide;
use crate::onset::candidate::Beside;
use crate::onset::inputs::INPUTS;

/// One layer: `y = x W + b`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    /// `[in, out]`, row-major.
    pub(crate) weight: Vec<f32>,
    /// `[out]`.
    pub(crate) bias: Vec<f32>,
}

/// Subtracts a mean and divides by a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    /// Of each number.
    pub mean: Vec<f32>,
    /// Of each number, not 0.
    pub scale: Vec<f32>,
}

impl Standard {
    /// As many numbers as there are means.
    pub fn apply<'a>(
        &'a self,
        x: impl Iterator<Item = f32> + 'a,
    ) -> impl Iterator<Item = f32> + 'a {
        let standards = self.mean.iter().zip(&self.scale);
        x.zip(standards)
            .map(|(x, (mean, scale))| (x - mean) / scale)
    }
}

/// What looks at the candidate beside each earlier one: layers with ReLU over (the comparison, the candidate's own inputs), standardised.
/// Their outputs, summed over the earlier candidates times [`SUMMED`] and the largest of them, join what the first layer says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Peers {
    pub(crate) inputs: Vec<usize>,
    pub(crate) standard: Standard,
    pub(crate) layers: Vec<Dense>,
}

/// What the sum over the earlier candidates is multiplied by.
pub const SUMMED: f32 = 0.3;

/// Standardises its inputs; ReLU between the layers; one logit.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    inputs: Vec<usize>,
    standard: Standard,
    layers: Vec<Dense>,
    peers: Option<Peers>,
}

impl Mlp {
    /// `inputs`: places among all that may be given. Sizes fit together; whoever reads weights has seen to it.
    pub(crate) fn new(
        inputs: Vec<usize>,
        standard: Standard,
        layers: Vec<Dense>,
        peers: Option<Peers>,
    ) -> Self {
        Self {
            inputs,
            standard,
            layers,
            peers,
        }
    }

    /// The logit of a candidate: `all` holds the features, the colours and, after them, the TCN's view (anything where it has none).
    pub fn logit(&self, all: &[f32; INPUTS], beside: &Beside) -> f32 {
        let own: Vec<f32> = self
            .standard
            .apply(self.inputs.iter().map(|i| all[*i]))
            .collect();
        let peers = self.peers.as_ref().map(|peers| peers.of(&own, beside));
        let mut x = own;
        let mut y = Vec::new();
        for (k, layer) in self.layers.iter().enumerate() {
            layer.of(&x, &mut y);
            if k + 1 < self.layers.len() {
                relu(&mut y);
            }
            if k == 0 {
                y.extend(peers.iter().flatten());
            }
            std::mem::swap(&mut x, &mut y);
        }
        x.first().copied().unwrap_or(f32::NAN)
    }
}

impl Peers {
    fn of(&self, own: &[f32], beside: &Beside) -> Vec<f32> {
        let width = self.layers.last().map_or(0, |layer| layer.bias.len());
        let mut pooled = vec![0.0f32; 2 * width];
        let Some((first, rest)) = self.layers.split_first() else {
            return pooled;
        };
        // What the candidate itself adds is the same beside each of the others.
        let (by_compared, by_own) = first.weight.split_at(self.inputs.len() * first.bias.len());
        let mut alone = first.bias.clone();
        add(&mut alone, own, by_own);
        let (sum, most) = pooled.split_at_mut(width);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in beside.rows() {
            y.clear();
            y.extend(self.standard.apply(self.inputs.iter().map(|i| row[*i])));
            x.clone_from(&alone);
            add(&mut x, &y, by_compared);
            relu(&mut x);
            for layer in rest {
                layer.of(&x, &mut y);
                relu(&mut y);
                std::mem::swap(&mut x, &mut y);
            }
            for ((sum, most), x) in sum.iter_mut().zip(most.iter_mut()).zip(&x) {
                *sum += SUMMED * x;
                *most = most.max(*x);
            }
        }
        pooled
    }
}

impl Dense {
    /// What it says of `x`, in place of what `y` held.
    fn of(&self, x: &[f32], y: &mut Vec<f32>) {
        y.clone_from(&self.bias);
        add(y, x, &self.weight);
    }
}

/// `y += x W`. Many numbers of `y` at a time, so that none waits for its own last sum; each is the same sum in the same order.
fn add(y: &mut [f32], x: &[f32], weight: &[f32]) {
    let n = y.len();
    wide(
        #[inline(always)]
        || {
            let (many, rest) = y.as_chunks_mut::<32>();
            let (some, rest) = rest.as_chunks_mut::<16>();
            let (few, ones) = rest.as_chunks_mut::<4>();
            let mut at = 0;
            columns(many, x, weight, n, &mut at);
            columns(some, x, weight, n, &mut at);
            columns(few, x, weight, n, &mut at);
            columns(ones.as_chunks_mut::<1>().0, x, weight, n, &mut at);
        },
    );
}

/// The same for groups of `LANES` columns, from column `at` of `n` on.
#[inline(always)]
fn columns<const LANES: usize>(
    groups: &mut [[f32; LANES]],
    x: &[f32],
    weight: &[f32],
    n: usize,
    at: &mut usize,
) {
    for y in groups {
        let mut sums = *y;
        for (x, row) in x.iter().zip(weight.chunks_exact(n)) {
            for (sum, w) in sums.iter_mut().zip(&row[*at..][..LANES]) {
                *sum += x * w;
            }
        }
        *y = sums;
        *at += LANES;
    }
}

fn relu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
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
        let standard = Standard {
            mean: vec![1.0, 0.0],
            scale: vec![2.0, 1.0],
        };
        let mlp = Mlp::new(vec![1, 0], standard, layers, None);
        let mut all = [f32::NAN; INPUTS];
        all[..2].copy_from_slice(&[2.0, 7.0]);
        // x = ((7 - 1) / 2, 2) = (3, 2); first layer (3 + 4, -3 + 1 + 1) -> (7, 0); then 21 - 1.
        assert_eq!(mlp.logit(&all, &Beside::default()), 20.0);
    }
}
