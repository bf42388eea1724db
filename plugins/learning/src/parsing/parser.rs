//! The network that parses: features mapped to one width, TSAM if wanted, hybrid attention, PLSIM if wanted, a probability for every class in
//! every second of each modality, and their pooling to the video (MMIL).
//!
//! - Hybrid attention (HAN): each layer attends to its own modality and to the other, with the same weights for both modalities.
//! - Pooling: within a modality, attention over seconds, by class; between modalities, attention over both, by class and second.
//! - TSAM, as interpreted here: the weight of a second is `sigma(MLP(mean) + MLP(max))` of the means and maxima of all seconds; the weight of a
//!   value `sigma([mean; max])`, one map of its mean and its maximum over time; then each modality adds the other by an attention without
//!   matrices, `x + alpha softmax(x y^T) beta y`, alpha and beta trained. Products are divided by the root of the width, so that the softmax does not
//!   become a maximum.
//! - PLSIM: `f * gamma1 + gamma2 + f`, both gammas from an MLP of the mean embedding of the classes that are pseudo labels of that second.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid, softmax};
use burn::tensor::backend::Backend;

use super::experiment::Parser;
use super::layers::{self, Net, Shapes};
use super::videos::Modality;

/// Sizes that follow from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Seconds of a video.
    pub seconds: usize,
    /// Values of a second: sound, frames.
    pub widths: [usize; 2],
    /// Classes.
    pub classes: usize,
    /// Values of a name's embedding: for the sound, for the frames; 0 without PLSIM.
    pub words: [usize; 2],
}

/// Its matrices.
pub fn shapes(of: Parser, shape: Shape) -> Shapes {
    let mut s = Shapes::default();
    let h = of.encoder.hidden;
    for modality in Modality::BOTH {
        let m = modality.name();
        let hidden = [of.input_audio, of.input_visual][modality as usize];
        s.mlp(
            &format!("{m}.in"),
            shape.widths[modality as usize],
            hidden,
            h,
        );
        if of.tsam {
            s.mlp(
                &format!("{m}.seconds"),
                shape.seconds,
                shape.seconds,
                shape.seconds,
            );
            s.linear(&format!("{m}.values"), 2, 1);
            s.0.push((format!("{m}.alpha"), 1, 1));
            s.0.push((format!("{m}.beta"), 1, 1));
        }
        if of.plsim {
            for gamma in ["scale", "shift_by"] {
                s.mlp(
                    &format!("{m}.{gamma}"),
                    shape.words[modality as usize],
                    h,
                    h,
                );
            }
        }
    }
    for layer in 0..of.encoder.layers {
        let name = format!("{layer}");
        s.attention(&format!("{name}.self"), h);
        s.attention(&format!("{name}.other"), h);
        layers::feed_forward(&mut s, &name, of.encoder);
    }
    for head in ["class", "time", "modality"] {
        s.linear(head, h, shape.classes);
    }
    s.0.push(("similarity.mu".into(), 1, 1));
    s
}

/// The first value of a matrix that is neither map nor norm.
pub fn first(name: &str) -> f32 {
    match name {
        _ if name.ends_with(".beta") => 1.0,
        _ if name.ends_with(".alpha") => 0.1,
        // At mu = 1 S-LOSS would weigh every second the same, and its gradient would have no direction.
        "similarity.mu" => 0.5,
        _ => 0.0,
    }
}

/// The output of the network; sound first, frames second.
pub struct Parsed<B: Backend> {
    /// The input of the classifier: `[n, seconds, hidden]`.
    pub features: [Tensor<B, 3>; 2],
    /// The encoder's output, before PLSIM.
    pub encoded: [Tensor<B, 3>; 2],
    /// `[n, seconds, classes]`.
    pub logits: [Tensor<B, 3>; 2],
    /// Probability that a class is somewhere in the video: `[n, classes]`.
    pub video: Tensor<B, 2>,
    /// The same for the sound and for the frames.
    pub each: [Tensor<B, 2>; 2],
}

/// Attention over seconds (of each modality) and over modalities, from their scores `[n, seconds, classes]`: shares that sum to one over
/// seconds, and over both modalities.
pub fn shares<B: Backend>(
    time: [Tensor<B, 3>; 2],
    modality: [Tensor<B, 3>; 2],
) -> ([Tensor<B, 3>; 2], [Tensor<B, 3>; 2]) {
    let time = time.map(|x| softmax(x, 1));
    let [a, v] = modality;
    // The softmax of two is the sigmoid of their difference.
    let heard = sigmoid(a - v);
    let seen = heard.clone().neg() + 1.0;
    (time, [heard, seen])
}

/// `[n, classes]`: probabilities of seconds, weighed and summed.
fn over_time<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 2> {
    let [n, _, c] = x.dims();
    x.sum_dim(1).reshape([n, c])
}

/// The forward pass. `names`: the mean embedding of each second's pseudo labels `[n, seconds, words]`, for PLSIM.
pub fn forward<B: Backend>(
    of: Parser,
    net: &mut Net<'_, B>,
    x: [Tensor<B, 3>; 2],
    names: Option<[Tensor<B, 3>; 2]>,
) -> Parsed<B> {
    let [a, v] = x;
    let a = net.mlp(a, "audio.in");
    let v = net.mlp(v, "visual.in");
    let (mut a, mut v) = if of.tsam { tsam(net, a, v) } else { (a, v) };
    for layer in 0..of.encoder.layers {
        let (heard, seen) = (a.clone(), v.clone());
        a = hybrid(of, net, layer, heard.clone(), seen.clone());
        v = hybrid(of, net, layer, seen, heard);
    }
    let encoded = [a.clone(), v.clone()];
    let features = match names {
        Some([heard, seen]) if of.plsim => [
            plsim(net, Modality::Audio, a, heard),
            plsim(net, Modality::Visual, v, seen),
        ],
        _ => [a, v],
    };
    let [a, v] = features.clone();
    let logits = [
        net.linear(a.clone(), "class"),
        net.linear(v.clone(), "class"),
    ];
    let time = [net.linear(a.clone(), "time"), net.linear(v.clone(), "time")];
    let modality = [net.linear(a, "modality"), net.linear(v, "modality")];
    let (time, modality) = shares(time, modality);
    let [a, v] = logits.clone().map(sigmoid);
    let [of_a, of_v] = time;
    let (a, v) = (a * of_a, v * of_v);
    let [to_a, to_v] = modality;
    let video = over_time(a.clone() * to_a + v.clone() * to_v);
    Parsed {
        features,
        encoded,
        logits,
        video,
        each: [over_time(a), over_time(v)],
    }
}

fn hybrid<B: Backend>(
    of: Parser,
    net: &mut Net<'_, B>,
    layer: usize,
    x: Tensor<B, 3>,
    other: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let heads = of.encoder.heads;
    let y = net.attention(x.clone(), other, heads, &format!("{layer}.other"), None);
    let y = net.drop(y);
    let z = net.attention(x.clone(), x.clone(), heads, &format!("{layer}.self"), None);
    let z = net.drop(z);
    let x = net.norm(x + y + z, &format!("{layer}.norm1"));
    net.feed_forward(x, &format!("{layer}"))
}

fn tsam<B: Backend>(
    net: &mut Net<'_, B>,
    a: Tensor<B, 3>,
    v: Tensor<B, 3>,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let a = weighed(net, Modality::Audio, a);
    let v = weighed(net, Modality::Visual, v);
    let taken = |m: &str, x: Tensor<B, 3>, y: Tensor<B, 3>| {
        let root = (x.dims()[2] as f64).sqrt();
        let scalar = |part: &str| net.named(&format!("{m}.{part}")).reshape([1, 1, 1]);
        let shares = softmax(x.clone().matmul(y.clone().swap_dims(1, 2)) / root, 2);
        x + shares.matmul(y * scalar("beta")) * scalar("alpha")
    };
    (taken("audio", a.clone(), v.clone()), taken("visual", v, a))
}

/// Seconds, then values, by their weights.
fn weighed<B: Backend>(net: &mut Net<'_, B>, modality: Modality, x: Tensor<B, 3>) -> Tensor<B, 3> {
    let m = modality.name();
    let [n, t, h] = x.dims();
    let by_second = |pooled: Tensor<B, 3>| {
        let x = net.linear(pooled.reshape([n, 1, t]), &format!("{m}.seconds.0"));
        net.linear(relu(x), &format!("{m}.seconds.1"))
    };
    let seconds = by_second(x.clone().mean_dim(2)) + by_second(x.clone().max_dim(2));
    let x = x * sigmoid(seconds).reshape([n, t, 1]);
    let pooled = Tensor::cat(vec![x.clone().mean_dim(1), x.clone().max_dim(1)], 1).swap_dims(1, 2);
    let values = sigmoid(net.linear(pooled, &format!("{m}.values")));
    x * values.reshape([n, 1, h])
}

fn plsim<B: Backend>(
    net: &mut Net<'_, B>,
    modality: Modality,
    f: Tensor<B, 3>,
    names: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let m = modality.name();
    let scale = net.mlp(names.clone(), &format!("{m}.scale"));
    let shift = net.mlp(names, &format!("{m}.shift_by"));
    f.clone() * scale + shift + f
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Weights, tensor as on};
    use crate::parsing::experiment::Layers;
    use crate::parsing::losses::tensor;
    use burn::backend::NdArray;

    type B = NdArray<f32>;

    const SHAPE: Shape = Shape {
        seconds: 3,
        widths: [4, 5],
        classes: 2,
        words: [6, 7],
    };

    fn parser() -> Parser {
        Parser {
            encoder: Layers {
                hidden: 8,
                layers: 2,
                heads: 2,
                feed_forward: 8,
                dropout: 0.0,
            },
            input_audio: 3,
            input_visual: 0,
            tsam: true,
            plsim: true,
        }
    }

    fn numbers<const D: usize>(dims: [usize; D], seed: u64) -> Tensor<B, D> {
        let mut random = fastrand::Rng::with_seed(seed);
        let all = (0..dims.iter().product()).map(|_| 4.0 * random.f32() - 2.0);
        tensor(all.collect(), dims)
    }

    fn vec<const D: usize>(x: Tensor<B, D>) -> Vec<f32> {
        x.into_data().to_vec().unwrap()
    }

    #[test]
    fn shares_of_the_pooling_sum_to_one() {
        let scores = |seed| numbers::<3>([2, 3, 4], seed);
        let (time, modality) = shares([scores(1), scores(2)], [scores(3), scores(4)]);
        for time in time {
            for sum in vec(time.sum_dim(1)) {
                assert!((sum - 1.0).abs() < 1e-6, "{sum}");
            }
        }
        let [a, v] = modality;
        for sum in vec(a + v) {
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    /// Where every second has the same logit, each pooling gives its probability back.
    #[test]
    fn pooling_of_equal_seconds_is_their_probability() {
        let of = Parser {
            tsam: false,
            plsim: false,
            ..parser()
        };
        let shapes = shapes(of, SHAPE);
        let mut all = shapes.first(1, first);
        for w in all.get_mut("class.w").unwrap().data.iter_mut() {
            *w = 0.0;
        }
        all.get_mut("class.b").unwrap().data = vec![4.0_f32.ln(), 0.0];
        let weights: Weights<B> = all
            .iter()
            .map(|(k, m)| (k.clone(), on(m, &Default::default())))
            .collect();
        let x = [numbers([2, 3, 4], 5), numbers([2, 3, 5], 6)];
        let parsed = forward(of, &mut Net::new(&weights, None), x, None);
        for found in parsed.each {
            for (p, wanted) in vec(found).iter().zip([0.8, 0.5, 0.8, 0.5]) {
                assert!((p - wanted).abs() < 1e-5, "{p}");
            }
        }
    }

    #[test]
    fn every_part_changes_what_comes_out_and_every_matrix_is_used() {
        let of = parser();
        let all = shapes(of, SHAPE).first(2, first);
        shapes(of, SHAPE).fit(&all).unwrap();
        let weights: Weights<B> = all
            .iter()
            .map(|(k, m)| (k.clone(), on(m, &Default::default())))
            .collect();
        let x = || [numbers([2, 3, 4], 5), numbers([2, 3, 5], 6)];
        let names = || Some([numbers([2, 3, 6], 7), numbers([2, 3, 7], 8)]);
        let run = |of: Parser, weights: &Weights<B>| {
            let [a, v] = forward(of, &mut Net::new(weights, None), x(), names()).logits;
            [vec(a), vec(v)].concat()
        };
        let whole = run(of, &weights);
        assert_ne!(whole, run(Parser { tsam: false, ..of }, &weights));
        assert_ne!(whole, run(Parser { plsim: false, ..of }, &weights));
        for name in all.keys().filter(|name| {
            !name.starts_with("time") && !name.starts_with("modality") && *name != "similarity.mu"
        }) {
            // A key's bias adds the same to every score of a softmax.
            if name.ends_with("key.b") {
                continue;
            }
            let mut other = weights.clone();
            let w = &weights[name];
            other.insert(name.clone(), w.clone() + numbers(w.dims(), 9));
            assert_ne!(whole, run(of, &other), "{name} is not used");
        }
    }
}
