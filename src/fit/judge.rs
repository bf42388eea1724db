//! The small networks that judge candidates: by their features, and by those and what the TCN says.

use anchoring::candidate::{Candidate, CandidateStream, FEATURES};
use anchoring::mel::BANDS;
use anchoring::probe::view;
use anchoring::tcn::TcnStream;
use anchoring::weights::{INPUTS, Weights};

use super::augment::crop;
use super::corpus::Recording;
use super::net::{Adam, After, Layer, Net, cross_entropy, rate};
use super::random::Random;
use super::truth::truth;

/// Hidden units.
const HIDDEN: [usize; 2] = [24, 12];
/// Candidates to a step, the largest step, and how many steps.
const BATCH: usize = 256;
const RATE: f32 = 5e-3;
const DECAY: f32 = 0.01;
const STEPS: u32 = 3000;
/// Candidates in the first seconds of a crop are left out: their past is missing.
const WARM: u64 = 1000;
/// Standardised features are cut here while learning.
const FURTHEST: f32 = 6.0;

/// What is known of a candidate, and whether an event begins there.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) inputs: [f32; INPUTS],
    pub(super) right: bool,
}

/// An MLP that standardises its inputs.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) mean: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) net: Net,
    pub(super) params: Vec<f32>,
}

/// Candidates with their inputs, as the probe finds them.
pub(super) fn candidates(
    mel: &[[f32; BANDS]],
    weights: &Weights,
) -> Vec<(Candidate, [f32; INPUTS])> {
    let mut stream = CandidateStream::new();
    let mut tcn = weights.tcn().cloned().map(TcnStream::new);
    let mut found = Vec::new();
    let (mut waiting, mut heard) = (std::collections::VecDeque::new(), 0);
    let last = mel.last().copied().unwrap_or([0.0; BANDS]);
    let mut settle = |waiting: &mut std::collections::VecDeque<Candidate>,
                      tcn: &mut Option<TcnStream>,
                      heard: u64,
                      all: bool| {
        while let Some(candidate) = waiting.front() {
            if !all && heard < candidate.frame + 150 {
                return;
            }
            let mut inputs = [0.0; INPUTS];
            inputs[..FEATURES].copy_from_slice(&candidate.features);
            if let Some(tcn) = tcn {
                tcn.advance();
                inputs[FEATURES..].copy_from_slice(&view(tcn, candidate));
            }
            found.extend(waiting.pop_front().map(|c| (c, inputs)));
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
        // What the last candidates need: the network hears the last frame go on, as it does in the probe.
        for _ in 0..150 {
            tcn.push_frame(&last);
        }
    }
    settle(&mut waiting, &mut tcn, heard, true);
    found
}

/// Candidates of augmented crops.
pub(super) fn rows(recordings: &[Recording], weights: &Weights, crops: u32, seed: u64) -> Vec<Row> {
    let one = |n: u32| {
        let mut random = Random::of(seed, &[2, n.into()]);
        let crop = crop(recordings, &mut random);
        let found = candidates(&crop.mel, weights);
        let at: Vec<f32> = found.iter().map(|(c, _)| c.at().seconds() as f32).collect();
        let right = truth(&crop.events, &at);
        let rows = found
            .into_iter()
            .zip(right)
            .filter(|((c, _), _)| c.frame >= WARM);
        rows.map(|((_, inputs), right)| Row { inputs, right })
            .collect::<Vec<_>>()
    };
    let half = crops / 2;
    std::thread::scope(|scope| {
        let parts = [0..half, half..crops];
        let run = parts.map(|part| scope.spawn(|| part.flat_map(one).collect::<Vec<_>>()));
        run.into_iter()
            .flat_map(|part| part.join().unwrap_or_default())
            .collect()
    })
}

impl Judge {
    /// Learns from the first `inputs` of each row.
    pub(super) fn learn(rows: &[Row], inputs: usize, seed: u64) -> Self {
        let n = rows.len().max(1) as f32;
        let mean: Vec<f32> = (0..inputs)
            .map(|i| rows.iter().map(|row| row.inputs[i]).sum::<f32>() / n)
            .collect();
        let scale: Vec<f32> = (0..inputs)
            .map(|i| {
                let off = |row: &Row| (row.inputs[i] - mean[i]).powi(2);
                (rows.iter().map(off).sum::<f32>() / n).sqrt().max(1e-3)
            })
            .collect();
        let net = Net(vec![
            Layer::dense(inputs, HIDDEN[0], After::Relu),
            Layer::dense(HIDDEN[0], HIDDEN[1], After::Relu),
            Layer::dense(HIDDEN[1], 1, After::Linear),
        ]);
        let mut random = Random::of(seed, &[3, inputs as u64]);
        let mut adam = Adam::new(net.start(&mut random, -1.0));
        for step in 0..STEPS {
            let mut x = Vec::with_capacity(BATCH * inputs);
            let mut wanted = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                let Some(row) = rows.get(random.below(rows.len())) else {
                    break;
                };
                x.extend(
                    (0..inputs)
                        .map(|i| ((row.inputs[i] - mean[i]) / scale[i]).clamp(-FURTHEST, FURTHEST)),
                );
                wanted.push(f32::from(u8::from(row.right)));
            }
            let trace = net.forward(&adam.params, &x, wanted.len());
            let part = 1.0 / BATCH as f32;
            let slope = trace.output().iter().zip(&wanted);
            let slope = slope.map(|(&logit, &y)| cross_entropy(logit, y).1 * part);
            let mut gradient = vec![0.0; adam.params.len()];
            net.backward(
                &adam.params,
                &x,
                wanted.len(),
                &trace,
                slope.collect(),
                &mut gradient,
            );
            adam.step(&gradient, rate(step, STEPS, RATE), DECAY);
        }
        Self {
            mean,
            scale,
            net,
            params: adam.mean,
        }
    }
}
