//! The small networks that score candidates: by their own features, by comparison with earlier ones, and by the output of the TCN.

use anchoring::hearing::mel::BANDS;
use anchoring::onset::inputs::{INPUTS, TCN_FEATURE_NAMES, inputs};
use anchoring::onset::mlp::{PEER_SUM_SCALE, Standardizer};
use anchoring::onset::peak_features::{COMPARISON, Comparisons, PeakFeatureStream, PeakFeatures};
use anchoring::onset::probe::tcn_features;
use anchoring::onset::tcn::TcnStream;
use anchoring::onset::weights::Weights;

use super::augment::disguise;
use super::corpus::Recording;
use super::matching::matched;
use super::net::{Activation, Adam, Layer, Net, Trace, cross_entropy, rate};
use super::random::Random;

/// Hidden units for the candidate's own inputs, for each earlier candidate, and for both.
const FRONT: usize = 48;
const PEER: usize = 32;
const BACK: usize = 32;
/// Batch size, learning rate, epochs, and most and fewest steps.
const BATCH: usize = 512;
const RATE: f32 = 2e-3;
const DECAY: f32 = 0.1;
const ROUNDS: usize = 20;
const STEPS: u32 = 4000;
const FEWEST: u32 = 300;
/// Standardised inputs are clipped here during training.
const FURTHEST: f32 = 6.0;
/// Dropout of inputs and of hidden units.
const INPUTS_OUT: f32 = 0.1;
const HIDDEN_OUT: f32 = 0.3;
/// Initial bias: most candidates begin no event.
const RARE: f32 = -1.0;

/// A candidate's inputs, and whether an event begins there.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) inputs: [f32; INPUTS],
    pub(super) beside: Comparisons,
    pub(super) right: bool,
}

/// Means and deviations.
pub(super) fn standard<'a>(
    width: usize,
    rows: impl Iterator<Item = &'a [f32]> + Clone,
) -> Standardizer {
    let (mut mean, mut scale, mut n) = (vec![0.0f64; width], vec![0.0f64; width], 0.0f64);
    for row in rows.clone() {
        mean.iter_mut()
            .zip(row)
            .for_each(|(m, x)| *m += f64::from(*x));
        n += 1.0;
    }
    let n = n.max(1.0);
    mean.iter_mut().for_each(|m| *m /= n);
    for row in rows {
        for ((s, m), x) in scale.iter_mut().zip(&mean).zip(row) {
            *s += (f64::from(*x) - m).powi(2);
        }
    }
    Standardizer {
        mean: mean.into_iter().map(|m| m as f32).collect(),
        scale: scale
            .into_iter()
            .map(|s| (s / n).sqrt().max(1e-3) as f32)
            .collect(),
    }
}

/// A standardised row.
fn shown<'a>(standard: &'a Standardizer, row: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let all = standard.apply(row.iter().copied());
    all.map(|x| x.clamp(-FURTHEST, FURTHEST))
}

/// A trained network. [`anchoring::onset::mlp`] describes how its parts fit together.
#[derive(Clone, Debug)]
pub(super) struct CandidateNet {
    /// For the inputs, and for the comparisons with earlier candidates.
    pub(super) own: Standardizer,
    pub(super) compared: Standardizer,
    shape: Shape,
    params: Vec<f32>,
}

/// The three parts: for the inputs, for each earlier candidate, and for the output of both.
#[derive(Clone, Debug)]
struct Shape {
    front: Net,
    peer: Net,
    back: Net,
}

/// Candidates with their inputs, as the probe finds them.
pub(super) fn candidates(
    mel: &[[f32; BANDS]],
    weights: &Weights,
) -> Vec<(PeakFeatures, [f32; INPUTS])> {
    let mut stream = PeakFeatureStream::with(weights.metric().cloned());
    let mut tcn = weights.tcn().cloned().map(TcnStream::new);
    let mut found = Vec::new();
    let (mut waiting, mut heard) = (std::collections::VecDeque::new(), 0);
    let last = mel.last().copied().unwrap_or([0.0; BANDS]);
    let mut settle = |waiting: &mut std::collections::VecDeque<PeakFeatures>,
                      tcn: &mut Option<TcnStream>,
                      heard: u64,
                      all: bool| {
        while let Some(candidate) = waiting.front() {
            if !all && heard < candidate.frame + 150 {
                return;
            }
            let seen = tcn.as_mut().map(|tcn| {
                tcn.advance();
                tcn_features(tcn, candidate)
            });
            let all = inputs(candidate, seen);
            found.extend(waiting.pop_front().map(|c| (c, all)));
        }
    };
    for frame in mel {
        heard += 1;
        if let Some(tcn) = &mut tcn {
            tcn.push_frame(frame);
        }
        waiting.extend(stream.push_frame(frame));
        settle(&mut waiting, &mut tcn, heard, false);
    }
    waiting.extend(stream.finish());
    if let Some(tcn) = &mut tcn {
        // Frames for the last candidates: the last frame is repeated, as in the probe.
        for _ in 0..150 {
            tcn.push_frame(&last);
        }
    }
    settle(&mut waiting, &mut tcn, heard, true);
    found
}

/// Candidates of every recording, and again as another microphone would have recorded it.
pub(super) fn rows(recordings: &[Recording], weights: &Weights, seed: u64) -> Vec<Row> {
    let one = |n: usize| {
        let recording = &recordings[n / 2];
        let mut mel = recording.mel.frames(0, recording.mel.len());
        if n % 2 == 1 {
            disguise(&mut mel, &mut Random::of(seed, &[2, n as u64]), 0.0);
        }
        let found = candidates(&mel, weights);
        let at: Vec<f32> = found.iter().map(|(c, _)| c.at().seconds() as f32).collect();
        let events: Vec<_> = recording.spans().collect();
        let right = matched(&events, &at);
        let rows = found.into_iter().zip(right);
        rows.map(|((candidate, inputs), right)| Row {
            inputs,
            beside: candidate.comparisons,
            right,
        })
        .collect::<Vec<_>>()
    };
    let (half, all) = (recordings.len(), 2 * recordings.len());
    std::thread::scope(|scope| {
        let parts = [0..half, half..all];
        let run = parts.map(|part| scope.spawn(|| part.flat_map(one).collect::<Vec<_>>()));
        run.into_iter()
            .flat_map(|part| part.join().unwrap_or_default())
            .collect()
    })
}

/// The candidates of a step as matrices.
struct Batch {
    /// `[n, inputs]`.
    own: Vec<f32>,
    /// `[peers, COMPARISON + inputs]`, and whose peers they are.
    peers: Vec<f32>,
    whose: Vec<usize>,
    wanted: Vec<f32>,
    /// `[n, FRONT + 2 PEER]`: 0 for dropped units, else the scale of the rest.
    mask: Vec<f32>,
}

impl Batch {
    /// Of `[n, FRONT + 2 PEER]`.
    fn leave_out(&self, joined: &mut [f32]) {
        joined.iter_mut().zip(&self.mask).for_each(|(x, m)| *x *= m);
    }
}

/// The state after a forward pass.
struct Activations {
    front: Trace,
    peer: Trace,
    back: Trace,
    /// `[n, FRONT + 2 PEER]`, the input of [`Shape::back`].
    joined: Vec<f32>,
    /// `[n, PEER]`: the peer with the maximum.
    most: Vec<Option<usize>>,
}

impl Shape {
    fn new(inputs: usize) -> Self {
        Self {
            front: Net(vec![Layer::dense(inputs, FRONT, Activation::Relu)]),
            peer: Net(vec![
                Layer::dense(COMPARISON + inputs, PEER, Activation::Relu),
                Layer::dense(PEER, PEER, Activation::Relu),
            ]),
            back: Net(vec![
                Layer::dense(JOINED, BACK, Activation::Relu),
                Layer::dense(BACK, 1, Activation::Linear),
            ]),
        }
    }

    fn start(&self, random: &mut Random) -> Vec<f32> {
        let nets = [(&self.front, 0.0), (&self.peer, 0.0), (&self.back, RARE)];
        nets.into_iter()
            .flat_map(|(net, last)| net.start(random, last))
            .collect()
    }

    /// Parameters of each net.
    fn split<'a>(&self, params: &'a [f32]) -> [&'a [f32]; 3] {
        let (front, rest) = params.split_at(self.front.size());
        let (peer, back) = rest.split_at(self.peer.size());
        [front, peer, back]
    }

    fn forward(&self, params: &[f32], batch: &Batch) -> Activations {
        let [front, peer, back] = self.split(params);
        let n = batch.wanted.len();
        let front = self.front.forward(front, &batch.own);
        let peer = self.peer.forward(peer, &batch.peers);
        let mut joined = vec![0.0; n * JOINED];
        for (row, own) in joined
            .chunks_exact_mut(JOINED)
            .zip(front.output().chunks_exact(FRONT))
        {
            row[..FRONT].copy_from_slice(own);
        }
        let mut most = vec![None; n * PEER];
        for (k, (&whose, said)) in batch
            .whose
            .iter()
            .zip(peer.output().chunks_exact(PEER))
            .enumerate()
        {
            let row = &mut joined[whose * JOINED + FRONT..(whose + 1) * JOINED];
            for (u, &x) in said.iter().enumerate() {
                row[u] += PEER_SUM_SCALE * x;
                if x > row[PEER + u] {
                    row[PEER + u] = x;
                    most[whose * PEER + u] = Some(k);
                }
            }
        }
        batch.leave_out(&mut joined);
        Activations {
            back: self.back.forward(back, &joined),
            front,
            peer,
            joined,
            most,
        }
    }

    /// The gradient of the mean loss.
    fn gradient(&self, params: &[f32], batch: &Batch) -> Vec<f32> {
        let passed = self.forward(params, batch);
        let n = batch.wanted.len();
        let part = 1.0 / n.max(1) as f32;
        let slope = passed.back.output().iter().zip(&batch.wanted);
        let slope = slope.map(|(&logit, &y)| cross_entropy(logit, y).1 * part);
        let mut gradient = vec![0.0; params.len()];
        let [front, peer, back] = self.split(params);
        let (to_front, rest) = gradient.split_at_mut(front.len());
        let (to_peer, to_back) = rest.split_at_mut(peer.len());
        let slope = slope.collect();
        let mut joined =
            self.back
                .backward(back, &passed.joined, &passed.back, slope, to_back, true);
        batch.leave_out(&mut joined);
        let own = joined.chunks_exact(JOINED).flat_map(|row| &row[..FRONT]);
        let own = own.copied().collect();
        self.front
            .backward(front, &batch.own, &passed.front, own, to_front, false);
        let mut said = vec![0.0; batch.whose.len() * PEER];
        for (&whose, slope) in batch.whose.iter().zip(said.chunks_exact_mut(PEER)) {
            let row = &joined[whose * JOINED + FRONT..(whose + 1) * JOINED];
            slope
                .iter_mut()
                .zip(row)
                .for_each(|(s, x)| *s = PEER_SUM_SCALE * x);
        }
        for (at, most) in passed.most.iter().enumerate() {
            if let Some(k) = most {
                let (whose, u) = (at / PEER, at % PEER);
                said[k * PEER + u] += joined[whose * JOINED + FRONT + PEER + u];
            }
        }
        self.peer
            .backward(peer, &batch.peers, &passed.peer, said, to_peer, false);
        gradient
    }
}

/// A layer, its weights and its bias.
pub(super) type Part<'a> = (&'a Layer, &'a [f32], &'a [f32]);

/// Inputs of the last part.
const JOINED: usize = FRONT + 2 * PEER;

impl CandidateNet {
    /// Trains on the rows; with `seen`, on the TCN's output as well.
    pub(super) fn learn(rows: &[Row], seen: bool, seed: u64) -> Self {
        let width = if seen {
            INPUTS
        } else {
            INPUTS - TCN_FEATURE_NAMES.len()
        };
        let shape = Shape::new(width);
        let mut net = Self {
            own: standard(width, rows.iter().map(|row| &row.inputs[..width])),
            compared: standard(
                COMPARISON,
                rows.iter()
                    .flat_map(|row| row.beside.rows())
                    .map(<[f32; COMPARISON]>::as_slice),
            ),
            params: Vec::new(),
            shape,
        };
        let mut random = Random::of(seed, &[3, width as u64]);
        let mut adam = Adam::new(net.shape.start(&mut random));
        let steps = (rows.len() * ROUNDS / BATCH).clamp(FEWEST as usize, STEPS as usize) as u32;
        for step in 0..steps {
            let batch = net.batch(rows, &mut random);
            let gradient = net.shape.gradient(&adam.params, &batch);
            adam.step(&gradient, rate(step, steps, RATE), DECAY);
        }
        net.params = adam.mean;
        net
    }

    fn batch(&self, rows: &[Row], random: &mut Random) -> Batch {
        let mut batch = Batch {
            own: Vec::new(),
            peers: Vec::new(),
            whose: Vec::new(),
            wanted: Vec::new(),
            mask: Vec::new(),
        };
        let mut out = |share: f32| {
            if random.unit() < share {
                0.0
            } else {
                1.0 / (1.0 - share)
            }
        };
        batch.mask = (0..BATCH * JOINED).map(|_| out(HIDDEN_OUT)).collect();
        for n in 0..BATCH {
            let Some(row) = rows.get(random.below(rows.len())) else {
                break;
            };
            let own: Vec<f32> = shown(&self.own, &row.inputs)
                .map(|x| {
                    if random.unit() < INPUTS_OUT {
                        0.0
                    } else {
                        x / (1.0 - INPUTS_OUT)
                    }
                })
                .collect();
            for peer in row.beside.rows() {
                batch.peers.extend(shown(&self.compared, peer));
                batch.peers.extend_from_slice(&own);
                batch.whose.push(n);
            }
            batch.own.extend(own);
            batch.wanted.push(f32::from(u8::from(row.right)));
        }
        batch
    }

    /// The layers as a weights file stores them: the chain, and the part for earlier candidates.
    pub(super) fn layers(&self) -> [Vec<Part<'_>>; 2] {
        let [front, peer, back] = self.shape.split(&self.params);
        let chain = self
            .shape
            .front
            .split(front)
            .chain(self.shape.back.split(back));
        [chain.collect(), self.shape.peer.split(peer).collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::measured;
    use super::*;

    /// A candidate begins an event if no earlier one is like it, whatever its own inputs.
    fn rows(n: usize, random: &mut Random) -> Vec<Row> {
        let mut stream = PeakFeatureStream::new();
        let (mut rows, mut colour) = (Vec::new(), 0);
        for t in 0..n as u64 * 40 {
            let stroke = t % 40 < 8;
            if t % 40 == 0 && random.unit() < 0.4 {
                colour = random.below(8);
            }
            let mel = std::array::from_fn(|b| {
                let loud = stroke && b / 8 == colour;
                if loud {
                    random.range(3.0, 5.0)
                } else {
                    random.range(0.09, 0.11)
                }
            });
            let found = stream.push_frame(&mel);
            rows.extend(found.map(|candidate| {
                let like = candidate.comparisons.rows().iter().map(|row| row[1]);
                Row {
                    right: like.fold(0.0, f32::max) < 0.5,
                    inputs: inputs(&candidate, None),
                    beside: candidate.comparisons,
                }
            }));
        }
        rows
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let mut random = Random::of(7, &[]);
        let rows = rows(40, &mut random);
        let mut net = CandidateNet {
            own: standard(4, rows.iter().map(|row| &row.inputs[..4])),
            compared: standard(
                COMPARISON,
                rows.iter()
                    .flat_map(|row| row.beside.rows())
                    .map(|r| r.as_slice()),
            ),
            shape: Shape::new(4),
            params: Vec::new(),
        };
        net.params = net.shape.start(&mut random);
        let batch = net.batch(&rows, &mut random);
        let loss = |params: &[f32]| -> f64 {
            let said = net.shape.forward(params, &batch).back;
            let pairs = said.output().iter().zip(&batch.wanted);
            pairs
                .map(|(&z, &y)| f64::from(cross_entropy(z, y).0))
                .sum::<f64>()
                / batch.wanted.len() as f64
        };
        let gradient = net.shape.gradient(&net.params, &batch);
        let mut params = net.params.clone();
        let (mut checked, mut off) = (0, 0);
        for i in (0..params.len()).step_by(37) {
            let measured = measured(loss, &mut params, i);
            let error = (measured - f64::from(gradient[i])).abs();
            checked += usize::from(measured.abs() > 1e-4);
            off += usize::from(error > 0.05 * measured.abs() + 2e-4);
        }
        // The loss has a kink where a unit turns on or off, or another peer becomes the maximum.
        assert!(off <= checked / 20, "{off} of {checked} are wrong");
        assert!(checked > 30, "{checked} parameters matter");
    }
}
