//! The losses and their parts.

use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// Least distance of a probability from 0 and 1.
const MARGIN: f64 = 1e-7;

/// Binary cross entropy of every probability.
pub fn of_probability<B: Backend, const D: usize>(
    p: Tensor<B, D>,
    target: Tensor<B, D>,
) -> Tensor<B, D> {
    let p = p.clamp(MARGIN, 1.0 - MARGIN);
    let other = (p.clone().neg() + 1.0).log() * (target.clone().neg() + 1.0);
    (p.log() * target + other).neg()
}

/// Binary cross entropy of every logit.
pub fn of_logit<B: Backend, const D: usize>(x: Tensor<B, D>, target: Tensor<B, D>) -> Tensor<B, D> {
    relu(x.clone()) - x.clone() * target + (x.abs().neg().exp() + 1.0).log()
}

/// UWAV's target of a segment: `sigma((logit - threshold) / temperature)` where the weak label is 1, else 0.
pub fn uncertainty(logit: f32, threshold: f32, weak: bool, temperature: f32) -> f32 {
    if weak {
        1.0 / (1.0 + (-(logit - threshold) / temperature).exp())
    } else {
        0.0
    }
}

/// UWAV's weights by class balance, of a class that is in the video and of one that is not. `positive`: how many classes a segment has on
/// average; `classes`: how many there are.
pub fn balance(positive: f32, classes: usize, present: f32) -> (f32, f32) {
    ((classes as f32 - positive) * present, positive)
}

/// `share` of `x`, and the rest from the same row of `other`.
pub fn mix<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    other: Tensor<B, D>,
    share: f32,
) -> Tensor<B, D> {
    x * share + other * (1.0 - share)
}

/// Mixed targets; `ceiling`: what is above 0 becomes 1.
pub fn mix_targets(x: &[f32], other: &[f32], share: f32, ceiling: bool) -> Vec<f32> {
    x.iter()
        .zip(other)
        .map(|(x, other)| {
            let mixed = share * x + (1.0 - share) * other;
            if ceiling { mixed.ceil() } else { mixed }
        })
        .collect()
}

/// A draw from Beta(alpha, alpha): of two Gamma draws (Marsaglia and Tsang), the first one's share.
pub fn beta(alpha: f32, random: &mut fastrand::Rng) -> f32 {
    let (a, b) = (gamma(alpha, random), gamma(alpha, random));
    (a / (a + b)) as f32
}

fn gamma(shape: f32, random: &mut fastrand::Rng) -> f64 {
    // Below 1, Gamma(shape) is Gamma(shape + 1) times a power of a uniform draw.
    let shape = f64::from(shape);
    let boost = if shape < 1.0 {
        random.f64().max(1e-300).powf(1.0 / shape)
    } else {
        1.0
    };
    let d = shape.max(if shape < 1.0 { shape + 1.0 } else { shape }) - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    // Each draw is taken with a probability above 0.95.
    for _ in 0..1000 {
        let angle = std::f64::consts::TAU * random.f64();
        let x = (-2.0 * random.f64().max(1e-300).ln()).sqrt() * angle.cos();
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && random.f64().max(1e-300).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return boost * d * v;
        }
    }
    boost * d
}

/// Similarity below which S-LOSS weighs 1.
const FAR: f32 = -0.2;

/// LINK's weight of a second whose sound and frames have the cosine `s` (taken as given: no gradient flows through it here):
/// 1 for `s <= -0.2`; `e^|1 - mu|` for `-0.2 < s < 0`; `e^|1 - mu| + (1 - e^|1 - mu|) s` from 0 on. `mu` `[1, 1]` is trained.
pub fn weight<B: Backend>(s: Tensor<B, 2>, mu: Tensor<B, 2>) -> Tensor<B, 2> {
    let s = s.detach();
    let far = s.clone().lower_equal_elem(FAR).float();
    let near = s.clone().greater_equal_elem(0.0).float();
    let between = (far.clone() + near.clone()).neg() + 1.0;
    let e = (mu.neg() + 1.0).abs().exp();
    far + between * e.clone() + near * (e.clone() + s * (e.neg() + 1.0))
}

/// The cosine of the last axis of two tensors: `[n, t]`.
pub fn cosine<B: Backend>(a: Tensor<B, 3>, b: Tensor<B, 3>) -> Tensor<B, 2> {
    let length = |x: Tensor<B, 3>| ((x.clone() * x).sum_dim(2) + 1e-12).sqrt();
    let [n, t, _] = a.dims();
    ((a.clone() * b.clone()).sum_dim(2) / (length(a) * length(b))).reshape([n, t])
}

/// How much the labels of a second's sound and frames have in common: classes of both over classes of either; 0 where there are none.
pub fn in_common(audio: &[f32], visual: &[f32], classes: usize) -> Vec<f32> {
    audio
        .chunks(classes)
        .zip(visual.chunks(classes))
        .map(|(a, v)| {
            let both: f32 = a.iter().zip(v).map(|(a, v)| a.min(*v)).sum();
            let either: f32 = a.iter().zip(v).map(|(a, v)| a.max(*v)).sum();
            if either > 0.0 { both / either } else { 0.0 }
        })
        .collect()
}

/// Numbers as a tensor.
pub(crate) fn tensor<B: Backend, const D: usize>(data: Vec<f32>, dims: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(data, dims), &Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::{Autodiff, NdArray};

    type B = NdArray<f32>;

    fn near(found: &[f32], wanted: &[f32]) {
        assert_eq!(found.len(), wanted.len());
        for (f, w) in found.iter().zip(wanted) {
            assert!((f - w).abs() < 1e-5, "{found:?}, not {wanted:?}");
        }
    }

    fn vec<const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
        x.into_data().to_vec().unwrap()
    }

    #[test]
    fn s_loss_weighs_as_computed_by_hand() {
        let s = tensor::<B, 2>(vec![-1.0, -0.2, -0.1, 0.0, 0.5, 1.0], [1, 6]);
        // e^|1 - 0.5| = 1.6487213; half way from it to 1 at s = 0.5.
        let found = weight(s.clone(), tensor([0.5].into(), [1, 1]));
        near(
            &vec(found),
            &[1.0, 1.0, 1.648_721, 1.648_721, 1.324_361, 1.0],
        );
        // mu on the other side of 1 weighs the same.
        let found = weight(s.clone(), tensor([1.5].into(), [1, 1]));
        near(
            &vec(found),
            &[1.0, 1.0, 1.648_721, 1.648_721, 1.324_361, 1.0],
        );
        // At mu = 1 every second weighs 1.
        near(&vec(weight(s, tensor([1.0].into(), [1, 1]))), &[1.0; 6]);
    }

    #[test]
    fn the_weight_of_s_loss_is_trained_by_mu_alone() {
        let mu = tensor::<Autodiff<B>, 2>(vec![0.5], [1, 1]).require_grad();
        let s = tensor::<Autodiff<B>, 2>(vec![-0.1, 0.5, -1.0], [1, 3]).require_grad();
        let gradients = weight(s.clone(), mu.clone()).sum().backward();
        // d/dmu e^(1 - mu) = -1.6487 at s = -0.1, half of that at 0.5, nothing at -1.
        near(&vec(mu.grad(&gradients).unwrap()), &[-2.473_082]);
        assert!(s.grad(&gradients).is_none_or(|g| vec(g) == [0.0; 3]));
    }

    #[test]
    fn targets_follow_the_distance_from_the_threshold() {
        assert_eq!(uncertainty(3.0, 3.0, true, 2.0), 0.5);
        near(
            &[
                uncertainty(5.0, 1.0, true, 2.0),
                uncertainty(-1.0, 1.0, true, 2.0),
                uncertainty(5.0, 1.0, false, 2.0),
            ],
            // sigma(2), sigma(-1), and nothing where the weak label is absent.
            &[0.880_797, 0.268_941, 0.0],
        );
    }

    #[test]
    fn balance_follows_how_rare_positive_segments_are() {
        let (present, absent) = balance(1.5, 25, 0.5);
        assert_eq!((present, absent), (11.75, 1.5));
    }

    #[test]
    fn mixing_is_linear_and_its_ceiling_takes_either() {
        let (x, y) = ([1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 1.0, 1.0]);
        near(&mix_targets(&x, &y, 0.7, false), &[0.7, 0.0, 0.65, 0.3]);
        assert_eq!(mix_targets(&x, &y, 0.7, true), [1.0, 0.0, 1.0, 1.0]);
        let mixed = mix(
            tensor::<B, 2>(vec![2.0, 4.0], [1, 2]),
            tensor([0.0, 1.0].into(), [1, 2]),
            0.25,
        );
        near(&vec(mixed), &[0.5, 1.75]);
    }

    #[test]
    fn shares_of_mixing_are_of_their_distribution() {
        let mut random = fastrand::Rng::with_seed(3);
        for alpha in [0.5_f32, 1.7] {
            let draws: Vec<f32> = (0..20_000).map(|_| beta(alpha, &mut random)).collect();
            let mean = draws.iter().sum::<f32>() / draws.len() as f32;
            let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / draws.len() as f32;
            // Beta(a, a) has the variance 1 / (4 (2 a + 1)).
            assert!((mean - 0.5).abs() < 0.01, "{mean}");
            assert!(
                (spread - 0.25 / (2.0 * alpha + 1.0)).abs() < 0.003,
                "{spread}"
            );
        }
    }

    #[test]
    fn cross_entropies_are_those_of_the_textbook() {
        // -ln 0.8 and -ln 0.2; from a logit ln 4, whose probability is 0.8.
        let target = tensor::<B, 2>(vec![1.0, 0.0], [1, 2]);
        let p = tensor::<B, 2>(vec![0.8, 0.8], [1, 2]);
        let x = tensor::<B, 2>(vec![4.0_f32.ln(), 4.0_f32.ln()], [1, 2]);
        near(
            &vec(of_probability(p, target.clone())),
            &[0.223_144, 1.609_438],
        );
        near(&vec(of_logit(x, target)), &[0.223_144, 1.609_438]);
        // Nothing is infinite at the ends.
        let ends = of_logit(
            tensor::<B, 2>(vec![-200.0, 200.0], [1, 2]),
            tensor([1.0, 0.0].into(), [1, 2]),
        );
        near(&vec(ends), &[200.0, 200.0]);
    }

    #[test]
    fn labels_in_common_are_counted_by_second() {
        let audio = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let visual = [0.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        near(&in_common(&audio, &visual, 3), &[1.0 / 3.0, 0.0]);
        let a = tensor::<B, 3>(vec![3.0, 4.0, 1.0, 0.0], [1, 2, 2]);
        let b = tensor::<B, 3>(vec![4.0, 3.0, -2.0, 0.0], [1, 2, 2]);
        near(&vec(cosine(a, b)), &[0.96, -1.0]);
    }
}
