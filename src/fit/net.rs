//! Small networks: rows in, rows out, and their gradients.
//!
//! A net is a chain of causal convolutions over time; an MLP is a net whose convolutions see a single row. Written by hand because there is
//! only one kind of layer, and 2.5 times as fast as burn's on the same network (`plugins/learning/benches/tcn_speed.rs`).

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::random::Random;

/// The activation after a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// None.
    Linear,
    /// ReLU.
    Relu,
    /// ReLU, added to the layer's input.
    Residual,
}

/// `y[t] = bias + sum over j of x[t - j * dilation] W[j]`; rows before the first count as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) taps: usize,
    pub(super) dilation: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) after: Activation,
}

impl Layer {
    /// A layer that sees a single row.
    pub(super) const fn dense(inputs: usize, outputs: usize, after: Activation) -> Self {
        Self {
            taps: 1,
            dilation: 1,
            inputs,
            outputs,
            after,
        }
    }

    const fn weights(&self) -> usize {
        self.taps * self.inputs * self.outputs
    }

    /// Its weights `[taps, inputs, outputs]`, then its bias `[outputs]`.
    pub(super) const fn size(&self) -> usize {
        self.weights() + self.outputs
    }

    /// The taps with their row offsets.
    fn shifts(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.taps)
            .map(|j| (j, j * self.dilation))
            .take_while(move |&(_, back)| back < rows)
    }
}

/// Layers, one feeding the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Net(pub(super) Vec<Layer>);

/// The state that the backward pass needs.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Per layer: the part added to a residual layer's input.
    bent: Vec<Vec<f32>>,
    /// Per layer: the output rows.
    rows: Vec<Vec<f32>>,
}

impl Trace {
    /// The net's output `[rows, outputs]`.
    pub(super) fn output(&self) -> &[f32] {
        self.rows.last().map_or(&[], Vec::as_slice)
    }
}

impl Net {
    /// Number of parameters.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(Layer::size).sum()
    }

    /// Each layer with its own parameters.
    pub(super) fn split<'a>(
        &'a self,
        mut params: &'a [f32],
    ) -> impl Iterator<Item = (&'a Layer, &'a [f32], &'a [f32])> {
        self.0.iter().map(move |layer| {
            let (own, rest) = params.split_at(layer.size());
            params = rest;
            let (weights, bias) = own.split_at(layer.weights());
            (layer, weights, bias)
        })
    }

    /// Initial parameters; the last bias is `last`.
    pub(super) fn start(&self, random: &mut Random, last: f32) -> Vec<f32> {
        let mut params = Vec::with_capacity(self.size());
        for (i, layer) in self.0.iter().enumerate() {
            let fan = (layer.taps * layer.inputs) as f32;
            let gain = match layer.after {
                Activation::Linear => 0.3,
                Activation::Relu => 1.2,
                Activation::Residual => 0.7,
            };
            params.extend((0..layer.weights()).map(|_| random.normal() * gain / fan.sqrt()));
            let bias = if i + 1 == self.0.len() { last } else { 0.0 };
            params.extend(std::iter::repeat_n(bias, layer.outputs));
        }
        params
    }

    /// Number of rows of `x`.
    fn rows(&self, x: &[f32]) -> usize {
        self.0.first().map_or(0, |layer| x.len() / layer.inputs)
    }

    /// `x` is `[rows, inputs]`.
    pub(super) fn forward(&self, params: &[f32], x: &[f32]) -> Trace {
        let rows = self.rows(x);
        let mut trace = Trace::default();
        for (layer, weights, bias) in self.split(params) {
            let before = trace.rows.last().map_or(x, Vec::as_slice);
            let mut y = bias.repeat(rows);
            let size = layer.inputs * layer.outputs;
            for (j, back) in layer.shifts(rows) {
                let n = rows - back;
                let w = &weights[j * size..(j + 1) * size];
                let out = &mut y[back * layer.outputs..];
                add_product(
                    matrix(before, n, layer.inputs),
                    matrix(w, layer.inputs, layer.outputs),
                    matrix_mut(out, n, layer.outputs),
                );
            }
            let mut bent = Vec::new();
            if layer.after != Activation::Linear {
                for v in &mut y {
                    *v = v.max(0.0);
                }
            }
            if layer.after == Activation::Residual {
                bent = y.clone();
                for (v, x) in y.iter_mut().zip(before) {
                    *v += x;
                }
            }
            trace.bent.push(bent);
            trace.rows.push(y);
        }
        trace
    }

    /// Adds the gradient for `slope`, the slope of the loss by output, to `gradient`; returns the slope by `x` if wanted.
    pub(super) fn backward(
        &self,
        params: &[f32],
        x: &[f32],
        trace: &Trace,
        mut slope: Vec<f32>,
        gradient: &mut [f32],
        to_input: bool,
    ) -> Vec<f32> {
        let rows = self.rows(x);
        let layers: Vec<_> = self.split(params).collect();
        let mut end = params.len();
        for (i, (layer, weights, _)) in layers.into_iter().enumerate().rev() {
            let below = i.checked_sub(1).and_then(|i| trace.rows.get(i));
            let before = below.map_or(x, Vec::as_slice);
            let carried = (layer.after == Activation::Residual).then(|| slope.clone());
            let bent = match layer.after {
                Activation::Linear => None,
                Activation::Relu => trace.rows.get(i),
                Activation::Residual => trace.bent.get(i),
            };
            for (s, v) in slope.iter_mut().zip(bent.into_iter().flatten()) {
                if *v <= 0.0 {
                    *s = 0.0;
                }
            }
            let own = &mut gradient[end - layer.size()..end];
            end -= layer.size();
            let (by_weights, by_bias) = own.split_at_mut(layer.weights());
            for row in slope.chunks_exact(layer.outputs) {
                for (sum, s) in by_bias.iter_mut().zip(row) {
                    *sum += s;
                }
            }
            let size = layer.inputs * layer.outputs;
            let wanted = below.is_some() || to_input;
            let mut next = match (wanted, carried) {
                (false, _) => Vec::new(),
                (_, Some(carried)) => carried,
                (_, None) => vec![0.0; rows * layer.inputs],
            };
            for (j, back) in layer.shifts(rows) {
                let n = rows - back;
                let late = matrix(&slope[back * layer.outputs..], n, layer.outputs);
                add_product(
                    matrix(before, n, layer.inputs).reversed_axes(),
                    late,
                    matrix_mut(
                        &mut by_weights[j * size..(j + 1) * size],
                        layer.inputs,
                        layer.outputs,
                    ),
                );
                if wanted {
                    let w = matrix(
                        &weights[j * size..(j + 1) * size],
                        layer.inputs,
                        layer.outputs,
                    );
                    add_product(
                        late,
                        w.reversed_axes(),
                        matrix_mut(&mut next, n, layer.inputs),
                    );
                }
            }
            slope = next;
        }
        slope
    }
}

type Matrix<'a> = ArrayView2<'a, f32>;

/// The first `rows * columns` numbers.
#[expect(clippy::expect_used, reason = "the slice has just been cut to size")]
fn matrix(x: &[f32], rows: usize, columns: usize) -> Matrix<'_> {
    ArrayView2::from_shape((rows, columns), &x[..rows * columns]).expect("rows times columns")
}

#[expect(clippy::expect_used, reason = "the slice has just been cut to size")]
fn matrix_mut(x: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, columns), &mut x[..rows * columns])
        .expect("rows times columns")
}

fn add_product(a: Matrix<'_>, b: Matrix<'_>, mut out: ArrayViewMut2<'_, f32>) {
    general_mat_mul(1.0, &a, &b, 1.0, &mut out);
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), and a running mean of the parameters, which is the result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Adam {
    pub(super) params: Vec<f32>,
    pub(super) mean: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    pub(super) steps: u32,
}

/// Gradient norm limit.
const LONGEST: f32 = 5.0;

impl Adam {
    pub(super) fn new(params: Vec<f32>) -> Self {
        Self {
            mean: params.clone(),
            first: vec![0.0; params.len()],
            second: vec![0.0; params.len()],
            steps: 0,
            params,
        }
    }

    pub(super) fn step(&mut self, gradient: &[f32], rate: f32, decay: f32) {
        self.steps += 1;
        let n = self.steps as f32;
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let scale = if length > LONGEST {
            LONGEST / length
        } else {
            1.0
        };
        let (c1, c2) = (1.0 - 0.9f32.powf(n), 1.0 - 0.99f32.powf(n));
        let keep = 0.99f32.min(n / (n + 10.0));
        for (i, g) in gradient.iter().enumerate() {
            let g = g * scale;
            self.first[i] = 0.9 * self.first[i] + 0.1 * g;
            self.second[i] = 0.99 * self.second[i] + 0.01 * g * g;
            let way = self.first[i] / c1 / ((self.second[i] / c2).sqrt() + 1e-6);
            self.params[i] -= rate * (way + decay * self.params[i]);
            self.mean[i] = keep * self.mean[i] + (1.0 - keep) * self.params[i];
        }
    }

    /// The state, in the order that [`Adam::from_parts`] takes.
    pub(super) fn parts(&self) -> [&[f32]; 4] {
        [&self.params, &self.mean, &self.first, &self.second]
    }

    pub(super) fn from_parts([params, mean, first, second]: [Vec<f32>; 4], steps: u32) -> Self {
        Self {
            params,
            mean,
            first,
            second,
            steps,
        }
    }
}

/// The step size: it rises over the first twentieth and falls along half a cosine.
pub(super) fn rate(step: u32, steps: u32, most: f32) -> f32 {
    let at = step as f32 / steps.max(1) as f32;
    let rise = ((step + 1) as f32 / (steps as f32 / 20.0).max(1.0)).min(1.0);
    most * rise * (0.5 + 0.5 * (std::f32::consts::PI * at).cos()).max(0.02)
}

/// Binary cross entropy of a logit, and its slope.
pub(super) fn cross_entropy(logit: f32, target: f32) -> (f32, f32) {
    let p = sigmoid(logit);
    let loss = logit.max(0.0) - logit * target + (-logit.abs()).exp().ln_1p();
    (loss, p - target)
}

pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// A slope of the loss, measured by differences.
#[cfg(test)]
pub(super) fn measured(loss: impl Fn(&[f32]) -> f64, params: &mut [f32], i: usize) -> f64 {
    let (at, step) = (params[i], 1e-3);
    params[i] = at + step;
    let above = loss(params);
    params[i] = at - step;
    let below = loss(params);
    params[i] = at;
    (above - below) / f64::from(2.0 * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> Net {
        Net(vec![
            Layer::dense(3, 4, Activation::Relu),
            Layer {
                taps: 3,
                dilation: 2,
                inputs: 4,
                outputs: 4,
                after: Activation::Residual,
            },
            Layer::dense(4, 2, Activation::Linear),
        ])
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let (net, rows) = (net(), 9);
        let mut random = Random::of(3, &[]);
        let mut params = net.start(&mut random, -0.5);
        let x: Vec<f32> = (0..rows * 3).map(|_| random.normal()).collect();
        let loss = |params: &[f32]| -> f64 {
            let trace = net.forward(params, &x);
            let of = |&z: &f32| f64::from(cross_entropy(z, 0.3).0);
            trace.output().iter().map(of).sum()
        };
        let trace = net.forward(&params, &x);
        let slope = trace.output().iter().map(|&z| cross_entropy(z, 0.3).1);
        let mut gradient = vec![0.0; params.len()];
        net.backward(&params, &x, &trace, slope.collect(), &mut gradient, false);
        for (i, gradient) in gradient.into_iter().enumerate() {
            let measured = measured(loss, &mut params, i);
            let error = (measured - f64::from(gradient)).abs();
            assert!(
                error < 0.02 * measured.abs().max(1.0),
                "{i}: {measured} {gradient}"
            );
        }
    }

    #[test]
    fn nothing_later_is_seen() {
        let net = net();
        let mut random = Random::of(4, &[]);
        let params = net.start(&mut random, 0.0);
        let mut x: Vec<f32> = (0..30).map(|_| random.normal()).collect();
        let before = net.forward(&params, &x).output().to_vec();
        x[27..].fill(9.0);
        let after = net.forward(&params, &x).output().to_vec();
        assert_eq!(before[..18], after[..18]);
        assert_ne!(before[18..], after[18..]);
    }
}
