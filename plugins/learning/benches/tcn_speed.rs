//! How fast the network of `earmark fit` trains on burn, beside the hand-written gradients that it trains with: one crop at a time, on one
//! core, in turns. `cargo bench --bench tcn_speed -- [ROUNDS]`; both must give the same loss and gradients first.

#[path = "../../../src/fit/net.rs"]
#[expect(dead_code, reason = "only training is timed")]
mod net;
#[path = "../../../src/fit/random.rs"]
#[expect(dead_code, reason = "only training is timed")]
mod random;

use std::time::Instant;

use burn::backend::{Autodiff, NdArray};
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorData};

use net::{Activation, Adam, Layer, Net};
use random::Random;

type Plain = NdArray<f32>;
type Tracked = Autodiff<Plain>;

/// The shape of `src/fit/tcn.rs`: inputs, width, dilations, rows of a crop.
const INPUTS: usize = 128;
const WIDTH: usize = 48;
const DILATIONS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 1, 2];
const ROWS: usize = 1800;

fn shape() -> Net {
    let mut layers = vec![Layer::dense(INPUTS, WIDTH, Activation::Relu)];
    layers.extend(DILATIONS.map(|dilation| Layer {
        taps: 3,
        dilation,
        inputs: WIDTH,
        outputs: WIDTH,
        after: Activation::Residual,
    }));
    layers.push(Layer::dense(WIDTH, 2, Activation::Linear));
    Net(layers)
}

/// The summed cross entropy of all rows, and its gradient, by hand.
fn by_hand(net: &Net, params: &[f32], x: &[f32], wanted: &[f32]) -> (f32, Vec<f32>) {
    let trace = net.forward(params, x);
    let mut loss = 0.0;
    let slope = trace
        .output()
        .iter()
        .zip(wanted)
        .map(|(logit, wanted)| {
            let (l, s) = net::cross_entropy(*logit, *wanted);
            loss += l;
            s
        })
        .collect();
    let mut gradient = vec![0.0; params.len()];
    net.backward(params, x, &trace, slope, &mut gradient, false);
    (loss, gradient)
}

/// How burn computes a convolution.
#[derive(Clone, Copy)]
enum Way {
    /// Shifted rows beside each other, and a matrix product.
    Product,
    /// Its own convolution.
    Convolution,
}

/// The weights of every layer, `[taps * inputs, outputs]`, and its bias.
type Weights<B> = Vec<(Tensor<B, 2>, Tensor<B, 1>)>;

fn weights(net: &Net, params: &[f32]) -> Weights<Tracked> {
    let device = Default::default();
    net.split(params)
        .map(|(layer, w, b)| {
            let sizes = [layer.taps * layer.inputs, layer.outputs];
            let w = Tensor::from_data(TensorData::new(w.to_vec(), sizes), &device);
            let b = Tensor::from_data(TensorData::new(b.to_vec(), [layer.outputs]), &device);
            (w.require_grad(), b.require_grad())
        })
        .collect()
}

fn forward<B: Backend>(net: &Net, weights: &Weights<B>, x: Tensor<B, 2>, way: Way) -> Tensor<B, 2> {
    let mut x = x;
    for (layer, (w, b)) in net.0.iter().zip(weights) {
        let before = x.clone();
        let rows = x.dims()[0];
        let y = if layer.taps == 1 {
            x.matmul(w.clone()) + b.clone().unsqueeze()
        } else {
            match way {
                Way::Product => {
                    let shifted = |back: usize| {
                        if back == 0 {
                            return x.clone();
                        }
                        let blank = Tensor::zeros([back, layer.inputs], &x.device());
                        Tensor::cat(
                            vec![blank, x.clone().slice([0..rows - back, 0..layer.inputs])],
                            0,
                        )
                    };
                    let taps = (0..layer.taps).map(|j| shifted(j * layer.dilation));
                    Tensor::cat(taps.collect(), 1).matmul(w.clone()) + b.clone().unsqueeze()
                }
                Way::Convolution => {
                    let back = (layer.taps - 1) * layer.dilation;
                    let blank = Tensor::zeros([back, layer.inputs], &x.device());
                    let all = Tensor::cat(vec![blank, x.clone()], 0);
                    let all = all.swap_dims(0, 1).unsqueeze::<3>();
                    // Its taps go forward in time.
                    let w = w
                        .clone()
                        .reshape([layer.taps, layer.inputs, layer.outputs])
                        .flip([0])
                        .permute([2, 1, 0]);
                    let options = ConvOptions::new([1], [0], [layer.dilation], 1);
                    let y = conv1d(all, w, Some(b.clone()), options);
                    y.squeeze_dims::<2>(&[0]).swap_dims(0, 1)
                }
            }
        };
        x = match layer.after {
            Activation::Linear => y,
            Activation::Relu => relu(y),
            Activation::Residual => before + relu(y),
        };
    }
    x
}

fn by_burn(
    net: &Net,
    params: &[f32],
    x: &[f32],
    wanted: &[f32],
    way: Way,
) -> anyhow::Result<(f32, Vec<f32>)> {
    let device = Default::default();
    let weights = weights(net, params);
    let x = Tensor::from_data(TensorData::new(x.to_vec(), [ROWS, INPUTS]), &device);
    let wanted = Tensor::from_data(TensorData::new(wanted.to_vec(), [ROWS, 2]), &device);
    let logits = forward::<Tracked>(net, &weights, x, way);
    // max(z, 0) - z t + ln(1 + exp(-|z|))
    let loss = (relu(logits.clone()) - logits.clone() * wanted
        + (logits.abs().neg().exp() + 1.0).log())
    .sum();
    let value = loss.clone().into_scalar();
    let gradients = loss.backward();
    let mut all = Vec::with_capacity(params.len());
    let to = |data: TensorData| data.to_vec::<f32>().map_err(|e| anyhow::anyhow!("{e:?}"));
    for (w, b) in &weights {
        let (w, b) = w
            .grad(&gradients)
            .zip(b.grad(&gradients))
            .ok_or_else(|| anyhow::anyhow!("a weight has no gradient"))?;
        all.extend(to(w.into_data())?);
        all.extend(to(b.into_data())?);
    }
    Ok((value, all))
}

fn main() -> anyhow::Result<()> {
    // cargo adds options of its own.
    let rounds = std::env::args().skip(1).find_map(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(20).max(1);
    let net = shape();
    let mut random = Random::of(0, &[0]);
    let params = net.start(&mut random, -3.0);
    let x: Vec<f32> = (0..ROWS * INPUTS).map(|_| random.normal()).collect();
    let wanted: Vec<f32> = (0..2 * ROWS)
        .map(|_| f32::from(u8::from(random.unit() < 0.1)))
        .collect();
    let (loss, gradient) = by_hand(&net, &params, &x, &wanted);
    let longest = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
    for way in [Way::Product, Way::Convolution] {
        let (other, theirs) = by_burn(&net, &params, &x, &wanted, way)?;
        let apart = gradient
            .iter()
            .zip(&theirs)
            .map(|(a, b)| (a - b).powi(2))
            .sum::<f32>()
            .sqrt();
        anyhow::ensure!(
            (loss - other).abs() < 1e-4 * loss && apart < 1e-3 * longest,
            "they differ: loss {loss} and {other}, gradients {}",
            apart / longest
        );
    }
    // The same optimiser for all, so that gradients alone differ.
    let mut adams = [
        Adam::new(params.clone()),
        Adam::new(params.clone()),
        Adam::new(params),
    ];
    let mut seconds: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (k, adam) in adams.iter_mut().enumerate() {
            let began = Instant::now();
            let gradient = match k {
                0 => by_hand(&net, &adam.params, &x, &wanted).1,
                1 => by_burn(&net, &adam.params, &x, &wanted, Way::Product)?.1,
                _ => by_burn(&net, &adam.params, &x, &wanted, Way::Convolution)?.1,
            };
            adam.step(&gradient, 2e-3, 0.02);
            seconds[k].push(began.elapsed().as_secs_f64());
        }
    }
    let speeds = seconds.map(|mut all| {
        all.sort_by(f64::total_cmp);
        1.0 / all[all.len() / 2]
    });
    for (what, speed) in ["by hand", "burn, matrix products", "burn, convolutions"]
        .iter()
        .zip(speeds)
    {
        println!(
            "{what:<22}{speed:8.2} steps/s, {:.2} times by hand",
            speed / speeds[0]
        );
    }
    Ok(())
}
