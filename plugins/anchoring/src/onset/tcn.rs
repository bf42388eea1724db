//! A temporal convolutional network over mel frames, streaming (Bai et al. 2018): one pair of logits, onset and activity, for every `stride`
//! frames.
//!
//! Every layer is causal and keeps as many rows as its taps reach back. So a stream gives the same outputs as the whole recording, and each
//! output is summed in the same order whatever the chunks. The network looks ahead by delaying its outputs ([`Tcn::delay`]).

use std::fmt;
use std::sync::Arc;

use fearless_simd::prelude::*;

use crate::hearing::background::BackgroundSubtractor;
use crate::hearing::mel::BANDS;
use crate::hearing::mel::{clamp_positive, log_mel};
use crate::hearing::simd::{Kernel, dispatch, ln, vectorized};
use crate::onset::spec::{TcnInput, TcnSpec};

/// Outputs in memory, and outputs that are computed at once.
const KEPT_OUTPUTS: u64 = 256;
const BATCH: usize = 64;
/// Added to magnitudes before the logarithm.
const LEAST: f32 = 1e-4;
/// Widths are padded to a multiple of this, so that every vector is full.
const LANES: usize = 16;

/// A causal convolution over time: row `r` of the output is `b + sum_k x[r * stride + k * dilation] W_k`.
#[derive(Clone, Debug)]
pub(crate) struct CausalConv {
    kernel: usize,
    from: usize,
    to: usize,
    dilation: usize,
    /// `[kernel, from, to]`, with `from` and `to` padded with zeros.
    weight: Vec<f32>,
    /// `[to]`.
    bias: Vec<f32>,
}

impl CausalConv {
    /// `weight`: `[kernel, from, to]`, `bias`: `[to]`.
    pub(crate) fn new(
        kernel: usize,
        from: usize,
        to: usize,
        dilation: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> Self {
        let (wide_from, wide_to) = (from.next_multiple_of(LANES), to.next_multiple_of(LANES));
        let mut wide = vec![0.0; kernel * wide_from * wide_to];
        for (row, values) in weight.chunks_exact(to).enumerate() {
            let (k, i) = (row / from, row % from);
            let at = (k * wide_from + i) * wide_to;
            wide[at..at + to].copy_from_slice(values);
        }
        let mut wide_bias = bias.to_vec();
        wide_bias.resize(wide_to, 0.0);
        Self {
            kernel,
            from: wide_from,
            to: wide_to,
            dilation,
            weight: wide,
            bias: wide_bias,
        }
    }

    pub(crate) const fn kernel(&self) -> usize {
        self.kernel
    }

    /// Computes `n` rows of output, `[n, to]`. `x` begins with the oldest tap of the first row.
    fn run(&self, x: &[f32], stride: usize, n: usize, out: &mut Vec<f32>) {
        out.resize(n * self.to, 0.0);
        dispatch(Convolve {
            conv: self,
            x,
            stride,
            out,
        });
    }

    /// Earlier rows that an output needs.
    const fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation
    }
}

/// Weights and shape of the network.
#[derive(Clone)]
pub struct Tcn {
    input: TcnInput,
    scale: Vec<f32>,
    shift: Vec<f32>,
    first: CausalConv,
    layers: Vec<CausalConv>,
    out: CausalConv,
    stride: usize,
    first_pad: usize,
    delay: usize,
}

impl fmt::Debug for Tcn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcn")
            .field("layers", &self.layers.len())
            .finish_non_exhaustive()
    }
}

impl Tcn {
    /// The caller has checked that sizes fit.
    pub(crate) fn new(
        spec: &TcnSpec,
        scale: Vec<f32>,
        shift: Vec<f32>,
        first: CausalConv,
        layers: Vec<CausalConv>,
        out: CausalConv,
    ) -> Self {
        Self {
            input: spec.input,
            scale,
            shift,
            first,
            layers,
            out,
            stride: spec.stride,
            first_pad: spec.first_pad,
            delay: spec.delay,
        }
    }

    /// Mel frames from one output to the next.
    pub const fn stride(&self) -> usize {
        self.stride
    }
    /// Output `i` describes the time of output `i - delay`.
    pub const fn delay(&self) -> usize {
        self.delay
    }
    /// The middle of the frames that output 0 sees, as a frame number.
    pub fn middle(&self) -> f64 {
        (self.first.kernel as f64 - 1.0) / 2.0 - self.first_pad as f64
    }
    /// Number of mel frames that output `i` needs.
    pub const fn frames_for(&self, i: u64) -> u64 {
        let last = i.saturating_mul(self.stride as u64) + self.first.kernel as u64;
        last.saturating_sub(self.first_pad as u64)
    }
    /// Multiplications per output.
    pub fn multiplications(&self) -> usize {
        let all = self.layers.iter().chain([&self.first, &self.out]);
        all.map(|conv| conv.weight.len()).sum()
    }
}

/// One output of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logits {
    /// Logit of an onset.
    pub onset: f32,
    /// Logit of activity.
    pub active: f32,
}

/// Rows of one width, the newest last; only as many as are needed.
#[derive(Clone, Debug)]
struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Begins with as many rows of zeros as the layer reaches back.
    fn new(width: usize, rows: usize) -> Self {
        Self {
            width,
            values: vec![0.0; width * rows],
        }
    }
    fn keep(&mut self, rows: usize) {
        let too_many = self.values.len().saturating_sub(rows * self.width);
        self.values.drain(..too_many);
    }
}

/// Mel frames in, logits out.
#[derive(Clone, Debug)]
pub struct TcnStream {
    tcn: Arc<Tcn>,
    /// Present if the network's input is the distance above the background.
    above: Option<BackgroundSubtractor>,
    /// Input of the first layer: standardised mel frames.
    frames: Rows,
    /// Inputs of the other layers.
    rows: Vec<Rows>,
    /// The running sum of the layers, and the output of one layer.
    scratch: (Vec<f32>, Vec<f32>),
    /// Number of outputs so far.
    outputs: u64,
    /// The last outputs, at output number modulo [`KEPT_OUTPUTS`].
    last_outputs: Vec<Logits>,
}

impl TcnStream {
    /// A stream that has seen no frame yet.
    pub fn new(tcn: Arc<Tcn>) -> Self {
        let rows = tcn
            .layers
            .iter()
            .map(|layer| Rows::new(layer.from, layer.reach()))
            .collect();
        Self {
            above: (tcn.input == TcnInput::Above).then(BackgroundSubtractor::new),
            frames: Rows::new(tcn.first.from, tcn.first_pad),
            rows,
            scratch: Default::default(),
            outputs: 0,
            last_outputs: vec![Logits::default(); KEPT_OUTPUTS as usize],
            tcn,
        }
    }

    /// The network.
    pub fn tcn(&self) -> &Tcn {
        &self.tcn
    }

    /// Takes a mel frame (`[64]` magnitudes). Cheap: the network runs on [`Self::advance`], or once 64 outputs are
    /// due.
    pub fn push_frame(&mut self, mel: &[f32; BANDS]) {
        let log = vectorized(
            #[inline(always)]
            || log_mel(mel),
        );
        self.push_logged(mel, &log);
    }

    /// Like [`Self::push_frame`], for a frame whose `ln(mel + 0.001)` is known.
    pub(crate) fn push_logged(&mut self, mel: &[f32; BANDS], log: &[f32; BANDS]) {
        let (above, tcn) = (&mut self.above, &self.tcn);
        let standardised = vectorized(
            #[inline(always)]
            || {
                let mut shown = match above {
                    Some(above) => above.push_log(log),
                    None => {
                        let mut shifted = [0.0; BANDS];
                        for (slot, &m) in shifted.iter_mut().zip(mel) {
                            *slot = clamp_positive(m, 1e30) + LEAST;
                        }
                        ln(&shifted)
                    }
                };
                let standards = tcn.scale.iter().zip(&tcn.shift);
                for (x, (scale, shift)) in shown.iter_mut().zip(standards) {
                    *x = *x * scale + shift;
                }
                shown
            },
        );
        self.frames.values.extend_from_slice(&standardised);
        if self.due() >= BATCH {
            self.advance();
        }
    }

    /// Outputs that are due and not computed.
    fn due(&self) -> usize {
        let rows = self.frames.values.len() / self.frames.width;
        (rows + self.tcn.stride).saturating_sub(self.tcn.first.kernel) / self.tcn.stride
    }

    /// Computes every output that is due.
    pub fn advance(&mut self) {
        let n = self.due();
        if n == 0 {
            return;
        }
        let tcn = Arc::clone(&self.tcn);
        let (mut y, mut z) = std::mem::take(&mut self.scratch);
        tcn.first.run(&self.frames.values, tcn.stride, n, &mut y);
        let past = n * tcn.stride * self.frames.width;
        self.frames.values.drain(..past);
        for x in &mut y {
            *x = x.max(0.0);
        }
        for (layer, rows) in tcn.layers.iter().zip(&mut self.rows) {
            rows.values.extend_from_slice(&y);
            layer.run(&rows.values, 1, n, &mut z);
            for (y, z) in y.iter_mut().zip(&z) {
                *y += z.max(0.0);
            }
            rows.keep(layer.reach());
        }
        tcn.out.run(&y, 1, n, &mut z);
        for row in z.chunks_exact(tcn.out.to) {
            self.last_outputs[(self.outputs % KEPT_OUTPUTS) as usize] = Logits {
                onset: row[0],
                active: row[1],
            };
            self.outputs += 1;
        }
        self.scratch = (y, z);
    }

    /// Number of outputs so far.
    pub const fn outputs(&self) -> u64 {
        self.outputs
    }

    /// Output `i`, or the nearest one that is in memory.
    pub fn output(&self, i: i64) -> Logits {
        let oldest = self.outputs.saturating_sub(KEPT_OUTPUTS);
        let i = i.max(0) as u64;
        let i = i.clamp(oldest, self.outputs.saturating_sub(1).max(oldest));
        self.last_outputs[(i % KEPT_OUTPUTS) as usize]
    }
}

/// Inputs and outputs of a convolution.
struct Convolve<'a> {
    conv: &'a CausalConv,
    /// Rows from the first tap of the first output on.
    x: &'a [f32],
    stride: usize,
    out: &'a mut [f32],
}

impl Kernel for Convolve<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.conv.to;
        let mut at = 0;
        let mut blocks = self.out.chunks_exact_mut(4 * width);
        for block in &mut blocks {
            rows::<S, 4>(simd, self.conv, self.x, self.stride, at, block);
            at += 4;
        }
        for row in blocks.into_remainder().chunks_exact_mut(width) {
            rows::<S, 1>(simd, self.conv, self.x, self.stride, at, row);
            at += 1;
        }
    }
}

/// `R` rows of output, from row `at` on.
#[inline(always)]
fn rows<S: Simd, const R: usize>(
    simd: S,
    conv: &CausalConv,
    x: &[f32],
    stride: usize,
    at: usize,
    out: &mut [f32],
) {
    let vectors = conv.to / S::f32s::LEN;
    let mut v = 0;
    while v < vectors {
        if vectors - v >= 3 {
            tile::<S, R, 3>(simd, conv, x, stride, at, out, v);
            v += 3;
        } else {
            tile::<S, R, 1>(simd, conv, x, stride, at, out, v);
            v += 1;
        }
    }
}

/// `V` vectors of `R` rows.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    conv: &CausalConv,
    x: &[f32],
    stride: usize,
    at: usize,
    out: &mut [f32],
    v: usize,
) {
    let first = v * S::f32s::LEN;
    let load = |row: &[f32]| -> [S::f32s; V] {
        let row = &row[first..][..V * S::f32s::LEN];
        std::array::from_fn(|j| S::f32s::from_slice(simd, &row[j * S::f32s::LEN..][..S::f32s::LEN]))
    };
    let mut sums = [load(&conv.bias); R];
    for k in 0..conv.kernel {
        let taps: [&[f32]; R] = std::array::from_fn(|r| {
            let row = (at + r) * stride + k * conv.dilation;
            &x[row * conv.from..][..conv.from]
        });
        let weights = &conv.weight[k * conv.from * conv.to..][..conv.from * conv.to];
        for (i, weights) in weights.chunks_exact(conv.to).enumerate() {
            let weights = load(weights);
            for r in 0..R {
                let x = S::f32s::splat(simd, taps[r][i]);
                for j in 0..V {
                    sums[r][j] = weights[j].mul_add(x, sums[r][j]);
                }
            }
        }
    }
    for (row, out) in sums.iter().zip(out.chunks_exact_mut(conv.to)) {
        for (sum, out) in row.iter().zip(out[first..].chunks_exact_mut(S::f32s::LEN)) {
            sum.store_slice(out);
        }
    }
}

#[cfg(test)]
mod tests;
