//! The temporal convolutional network: shape, inputs, targets, training.

use anchoring::hearing::background::BackgroundSubtractor;
use anchoring::hearing::mel::BANDS;

use super::augment::{CROP, Crop, crop};
use super::corpus::Recording;
use super::net::{Activation, Adam, Layer, Net, cross_entropy, rate};
use super::random::Random;

/// Mel frames per output.
pub(super) const STRIDE: usize = 2;
/// Delay in outputs: 0.8 s, enough to tell a knock from a continuous sound.
pub(super) const DELAY: usize = 40;
/// Width of the layers.
const WIDTH: usize = 48;
/// Dilations; together the layers see 5.2 s.
pub(super) const DILATIONS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 1, 2];
/// Scale of the input.
pub(super) const SCALE: f32 = 0.6;
/// Seconds between outputs, and the time of output `DELAY`: the middle of its two frames.
const STEP: f32 = 0.02;
const MIDDLE: f32 = 0.0175;
/// Batch size and learning rate.
const CROPS: usize = 4;
const RATE: f32 = 2e-3;
const DECAY: f32 = 0.02;
/// Outputs at the start of a crop that do not count, because there is no context yet.
const WARM: usize = 300 + DELAY;
/// Standard deviation of the target around a start, in outputs.
const WIDE: f32 = 1.8;
/// Weight of the loss for "something sounds" relative to "an event begins".
const SOUNDS: f32 = 0.15;
/// Scale of gradients of mean losses, which are small.
const LOUD: f32 = 20.0;
/// Initial biases: most of the time nothing begins.
const RARE: f32 = -3.0;

/// Two logits per row: an event begins, something sounds.
pub(super) fn net() -> Net {
    let block = |dilation| Layer {
        taps: 3,
        dilation,
        inputs: WIDTH,
        outputs: WIDTH,
        after: Activation::Residual,
    };
    let mut layers = vec![Layer::dense(STRIDE * BANDS, WIDTH, Activation::Relu)];
    layers.extend(DILATIONS.map(block));
    layers.push(Layer::dense(WIDTH, 2, Activation::Linear));
    Net(layers)
}

/// The input of the network: `[frames / 2, 2 * 64]`.
pub(super) fn shown(mel: &[[f32; BANDS]]) -> Vec<f32> {
    let mut above = BackgroundSubtractor::new();
    let whole = mel.len() / STRIDE * STRIDE;
    let rows = mel[..whole].iter().map(|frame| above.push(frame));
    rows.flatten().map(|x| x * SCALE).collect()
}

/// Targets and weights of each output.
fn wanted(events: &[(f32, f32)], rows: usize) -> (Vec<[f32; 2]>, Vec<[f32; 2]>) {
    let mut said = vec![[0.0f32; 2]; rows];
    let output = |seconds: f32| (seconds - MIDDLE) / STEP + DELAY as f32;
    for &(start, stop) in events {
        let centre = output(start) + 0.5;
        let near = (centre - 6.0).max(0.0) as usize..(centre + 7.0).max(0.0) as usize;
        for (i, row) in said.iter_mut().enumerate().take(near.end).skip(near.start) {
            let off: f32 = (i as f32 - centre) / WIDE;
            row[0] = row[0].max((-0.5 * off * off).exp());
        }
        let sounding = output(start).max(0.0) as usize..output(stop).max(0.0) as usize;
        for row in said.iter_mut().take(sounding.end).skip(sounding.start) {
            row[1] = 1.0;
        }
    }
    let counts = |i: usize| if i < WARM { [0.0; 2] } else { [1.0, SOUNDS] };
    (said, (0..rows).map(counts).collect())
}

/// The loss of a crop and its gradient.
fn learn(net: &Net, params: &[f32], crop: &Crop) -> (f32, Vec<f32>) {
    let x = shown(&crop.mel);
    let rows = crop.mel.len() / STRIDE;
    let trace = net.forward(params, &x);
    let (said, counts) = wanted(&crop.events, rows);
    let mut slope = Vec::with_capacity(2 * rows);
    let part = 1.0 / (CROPS * (CROP / STRIDE - WARM)) as f32;
    let mut loss = 0.0;
    for ((logits, said), counts) in trace.output().chunks_exact(2).zip(&said).zip(&counts) {
        for o in 0..2 {
            let (l, s) = cross_entropy(logits[o], said[o]);
            loss += counts[o] * part * l;
            slope.push(counts[o] * part * LOUD * s);
        }
    }
    let mut gradient = vec![0.0; params.len()];
    net.backward(params, &x, &trace, slope, &mut gradient, false);
    (loss, gradient)
}

/// Initial parameters.
pub(super) fn start(seed: u64) -> Adam {
    Adam::new(net().start(&mut Random::of(seed, &[0]), RARE))
}

/// One training step; returns the loss. The same for any number of threads.
pub(super) fn step(
    net: &Net,
    adam: &mut Adam,
    recordings: &[Recording],
    seed: u64,
    steps: u32,
) -> f32 {
    let at = adam.steps;
    let params = &adam.params;
    let one = |item: usize| {
        let mut random = Random::of(seed, &[1, at.into(), item as u64]);
        learn(net, params, &crop(recordings, &mut random))
    };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let halves = [0..CROPS / 2, CROPS / 2..CROPS];
        let run = halves.map(|items| scope.spawn(|| items.map(one).collect::<Vec<_>>()));
        run.into_iter()
            .flat_map(|half| half.join().unwrap_or_default())
            .collect()
    });
    let mut gradient = vec![0.0; params.len()];
    let mut loss = 0.0;
    for (l, part) in parts {
        loss += l;
        for (sum, g) in gradient.iter_mut().zip(&part) {
            *sum += g;
        }
    }
    adam.step(&gradient, rate(at, steps, RATE), DECAY);
    loss
}

#[cfg(test)]
mod tests {
    use anchoring::time::{Nanos, Window};

    use super::super::sound::Mel;
    use super::super::store;
    use super::*;
    use crate::eval::labels::Event;

    /// Half a minute of noise with a louder event every two seconds.
    fn recording() -> Recording {
        let mut random = Random::of(9, &[]);
        let mut mel = Mel::default();
        for frame in 0..3000 {
            let loud = if frame % 200 < 30 { 8.0 } else { 1.0 };
            mel.push(&std::array::from_fn(|_| loud * random.range(0.5, 1.0)));
        }
        let event = |i: i64| Event {
            span: Window::new(Nanos::from_ms(2000 * i), Nanos::from_ms(2000 * i + 300)).unwrap(),
            class: String::new(),
            level: None,
            video_id: None,
        };
        Recording {
            name: "made".into(),
            given: String::new(),
            mel,
            events: (0..15).map(event).collect(),
        }
    }

    #[test]
    fn a_stopped_run_continues_as_if_never_stopped() {
        let (net, recordings) = (net(), [recording()]);
        let go = |adam: &mut Adam, until: u32| {
            while adam.steps < until {
                step(&net, adam, &recordings, 1, 4);
            }
        };
        let mut whole = start(1);
        go(&mut whole, 4);
        let mut half = start(1);
        go(&mut half, 2);
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("w.part");
        store::save(&part, &half, "job").unwrap();
        let mut resumed = store::resume(&part, "job").unwrap().unwrap();
        assert_eq!(resumed, half);
        go(&mut resumed, 4);
        assert_eq!(resumed, whole);
        let other = store::resume(&part, "another").unwrap_err().to_string();
        assert!(other.contains("other recordings"), "{other}");
        std::fs::write(&part, "mine").unwrap();
        let wrong = store::resume(&part, "job").unwrap_err().to_string();
        assert!(wrong.contains("not a checkpoint"), "{wrong}");
    }

    #[test]
    fn the_loss_falls() {
        let (net, recordings) = (net(), [recording()]);
        let mut adam = start(2);
        let losses: Vec<f32> = (0..24)
            .map(|_| step(&net, &mut adam, &recordings, 2, 24))
            .collect();
        let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
        let (before, after) = (mean(&losses[..4]), mean(&losses[20..]));
        assert!(after < 0.8 * before, "{losses:?}");
    }
}
