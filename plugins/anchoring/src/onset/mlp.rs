//! A small network: features of a peak, and comparisons with earlier peaks -> a logit.

use crate::hearing::simd::vectorized;
use crate::onset::inputs::INPUTS;
use crate::onset::peak_features::Comparisons;

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
pub struct Standardizer {
    /// One per number.
    pub mean: Vec<f32>,
    /// One per number, never 0.
    pub scale: Vec<f32>,
}

impl Standardizer {
    /// Standardises as many numbers as there are means.
    pub fn apply<'a>(
        &'a self,
        x: impl Iterator<Item = f32> + 'a,
    ) -> impl Iterator<Item = f32> + 'a {
        let standards = self.mean.iter().zip(&self.scale);
        x.zip(standards)
            .map(|(x, (mean, scale))| (x - mean) / scale)
    }
}

/// Layers with ReLU that see one earlier peak at a time: (comparison, the peak's own inputs), standardised. Their
/// outputs are pooled over the earlier peaks (the sum times [`PEER_SUM_SCALE`], and the maximum) and join the output
/// of the first layer of [`Mlp`]. After Zaheer et al. 2017 (deep sets).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeerLayers {
    pub(crate) inputs: Vec<usize>,
    pub(crate) standard: Standardizer,
    pub(crate) layers: Vec<Dense>,
}

/// Factor of the sum over the earlier peaks.
pub const PEER_SUM_SCALE: f32 = 0.3;

/// Standardised inputs, layers with ReLU between them, one logit.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    inputs: Vec<usize>,
    standard: Standardizer,
    layers: Vec<Dense>,
    peers: Option<PeerLayers>,
}

impl Mlp {
    /// `inputs`: indices among all inputs. The caller has checked that sizes fit.
    pub(crate) fn new(
        inputs: Vec<usize>,
        standard: Standardizer,
        layers: Vec<Dense>,
        peers: Option<PeerLayers>,
    ) -> Self {
        Self {
            inputs,
            standard,
            layers,
            peers,
        }
    }

    /// The logit of a peak. `all` holds every input, in the order of [`crate::onset::inputs::input_names`].
    pub fn logit(&self, all: &[f32; INPUTS], comparisons: &Comparisons) -> f32 {
        let own: Vec<f32> = self
            .standard
            .apply(self.inputs.iter().map(|i| all[*i]))
            .collect();
        let peers = self.peers.as_ref().map(|peers| peers.of(&own, comparisons));
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

impl PeerLayers {
    fn of(&self, own: &[f32], comparisons: &Comparisons) -> Vec<f32> {
        let width = self.layers.last().map_or(0, |layer| layer.bias.len());
        let mut pooled = vec![0.0f32; 2 * width];
        let Some((first, rest)) = self.layers.split_first() else {
            return pooled;
        };
        // The peak's own share is the same for each comparison.
        let (by_compared, by_own) = first.weight.split_at(self.inputs.len() * first.bias.len());
        let mut alone = first.bias.clone();
        add(&mut alone, own, by_own);
        let (sum, most) = pooled.split_at_mut(width);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in comparisons.rows() {
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
                *sum += PEER_SUM_SCALE * x;
                *most = most.max(*x);
            }
        }
        pooled
    }
}

impl Dense {
    /// Writes the layer's output for `x` to `y`.
    fn of(&self, x: &[f32], y: &mut Vec<f32>) {
        y.clone_from(&self.bias);
        add(y, x, &self.weight);
    }
}

/// `y += x W`. Works on many columns at once, so that no addition waits for the one before; each column is summed in
/// the same order.
fn add(y: &mut [f32], x: &[f32], weight: &[f32]) {
    let n = y.len();
    vectorized(
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

/// As [`add`], for groups of `LANES` columns, from column `at` of `n` on.
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
        let standard = Standardizer {
            mean: vec![1.0, 0.0],
            scale: vec![2.0, 1.0],
        };
        let mlp = Mlp::new(vec![1, 0], standard, layers, None);
        let mut all = [f32::NAN; INPUTS];
        all[..2].copy_from_slice(&[2.0, 7.0]);
        // x = ((7 - 1) / 2, 2) = (3, 2); first layer (3 + 4, -3 + 1 + 1) -> (7, 0); then 21 - 1.
        assert_eq!(mlp.logit(&all, &Comparisons::default()), 20.0);
    }
}
