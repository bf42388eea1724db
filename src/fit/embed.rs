//! Trains a linear head on any ONNX sound embedding by logistic regression: does an event begin in the middle of a patch?

use std::sync::{Arc, Mutex};

use anchoring::cue::Onset;
use anchoring::listener::{Listener, ListenerSettings, TaggerAnswer};
use anchoring::onset::head::{HeadSpec, SCHEMA};
use anchoring::onset::probe::Probe;
use anchoring::time::Nanos;
use anyhow::bail;
use gstearmark::models::{Kind, Layout, Manifest, find};
use gstearmark::onnx::Embedder;
use half::f16;

use super::candidate_net::standard;
use super::corpus::Recording;
use super::matching;
use super::net::{Activation, Adam, Layer, Net, cross_entropy, rate};
use super::random::Random;
use super::sound::{self, lock};
use crate::recording::Input;

/// Largest distance between a start and the middle of a patch, s: half a step.
const NEAR: f32 = 0.24;
/// Batch size, learning rate, epochs, and most and fewest steps.
const BATCH: usize = 256;
const RATE: f32 = 1e-2;
const DECAY: f32 = 0.02;
const ROUNDS: usize = 30;
const STEPS: u32 = 4000;
const FEWEST: u32 = 300;
/// Initial bias: in most patches no event begins.
const RARE: f32 = -1.5;

/// The patches of a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    /// Times of their middles.
    middles: Vec<Nanos>,
    /// `[patches, dim]` row-major, unit length, half precision.
    embeddings: Vec<f16>,
}

/// Collects patches.
struct PatchTaker {
    listener: Listener,
    embedder: Embedder,
    patches: Patches,
}

impl sound::SoundTaker for PatchTaker {
    fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    fn answer(&mut self) -> anyhow::Result<()> {
        while let Some(patch) = self.listener.next_patch() {
            let embedding = self.embedder.embed(&patch.log_mel, &patch.samples)?;
            let length = embedding
                .iter()
                .map(|x| x * x)
                .sum::<f32>()
                .sqrt()
                .max(1e-9);
            let own = embedding.iter().map(|x| f16::from_f32(x / length));
            self.patches.embeddings.extend(own);
            self.patches.middles.push(patch.middle());
            self.listener.push_answer(TaggerAnswer::default());
        }
        while self.listener.next_cue().is_some() {}
        Ok(())
    }
}

/// The manifest of an embedding, whose head need not exist yet.
///
/// # Errors
/// It is missing, of another kind, or its ONNX file does not match.
pub(super) fn manifest(name: &str) -> anyhow::Result<Manifest> {
    let manifest = find(name)?.of_kind(Kind::Probe)?;
    manifest.check_file()?;
    Ok(manifest)
}

/// The patches of a recording, as the probe makes them.
///
/// # Errors
/// The recording cannot be decoded, or the model fails.
pub(super) fn patches(recording: &Recording, manifest: &Manifest) -> anyhow::Result<Patches> {
    let window = match manifest.input.layout {
        Layout::Nt => manifest.input.samples.unwrap_or(0),
        _ => 0,
    };
    let hearing = ListenerSettings {
        probe: Probe::Patches,
        patch_samples: window,
        ..ListenerSettings::default()
    };
    let ear = Arc::new(Mutex::new(PatchTaker {
        listener: Listener::new(Nanos::ZERO, &hearing),
        embedder: Embedder::new(manifest.clone(), 1)?,
        patches: Patches::default(),
    }));
    sound::listen(&ear, &Input::new(&recording.given)?)?;
    Ok(std::mem::take(&mut lock(&ear).patches))
}

/// Patches in whose middle an event begins: the nearest one per start.
fn truth_of(recording: &Recording, patches: &Patches) -> Vec<bool> {
    let events: Vec<(f32, f32)> = recording.spans().collect();
    let middles = patches.middles.iter();
    let at: Vec<f32> = middles.map(|at| at.seconds() as f32).collect();
    let mut right = vec![false; at.len()];
    for (_, patch) in matching::pairs(&events, &at, NEAR) {
        right[patch] = true;
    }
    right
}

/// A linear head: weight and bias.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learned {
    pub(super) weight: Vec<f32>,
    pub(super) bias: f32,
}

/// Trains a head. The same seed gives the same head.
///
/// # Errors
/// Too few patches with or without the start of an event.
pub(super) fn learn(
    recordings: &[Recording],
    patches: &[Patches],
    dim: usize,
    seed: u64,
) -> anyhow::Result<Learned> {
    let (mut rows, mut right): (Vec<&[f16]>, Vec<bool>) = (Vec::new(), Vec::new());
    for (one, patches) in recordings.iter().zip(patches) {
        rows.extend(patches.embeddings.chunks_exact(dim));
        right.extend(truth_of(one, patches));
    }
    let begins = right.iter().filter(|right| **right).count();
    if begins.min(right.len() - begins) < matching::FEWEST {
        bail!(
            "an event begins in {begins} of {} patches; a head needs {} patches with and without one: label a few more minutes",
            right.len(),
            matching::FEWEST
        );
    }
    let wide: Vec<Vec<f32>> = rows
        .iter()
        .map(|row| row.iter().map(|x| x.to_f32()).collect())
        .collect();
    let standard = standard(dim, wide.iter().map(Vec::as_slice));
    let net = Net(vec![Layer::dense(dim, 1, Activation::Linear)]);
    let mut random = Random::of(seed, &[4, dim as u64]);
    let mut adam = Adam::new(net.start(&mut random, RARE));
    let steps = (wide.len() * ROUNDS / BATCH).clamp(FEWEST as usize, STEPS as usize) as u32;
    for step in 0..steps {
        let (mut x, mut wanted) = (Vec::with_capacity(BATCH * dim), Vec::with_capacity(BATCH));
        for _ in 0..BATCH {
            let i = random.below(wide.len());
            x.extend(standard.apply(wide[i].iter().copied()));
            wanted.push(f32::from(u8::from(right[i])));
        }
        let trace = net.forward(&adam.params, &x);
        let slope = trace.output().iter().zip(&wanted);
        let slope = slope.map(|(&logit, &y)| cross_entropy(logit, y).1 / BATCH as f32);
        let mut gradient = vec![0.0; adam.params.len()];
        net.backward(
            &adam.params,
            &x,
            &trace,
            slope.collect(),
            &mut gradient,
            false,
        );
        adam.step(&gradient, rate(step, steps, RATE), DECAY);
    }
    // Folds the standardisation into the weights.
    let (own, bias) = adam.mean.split_at(dim);
    let scaled = own.iter().zip(&standard.scale).map(|(w, s)| w / s);
    let weight: Vec<f32> = scaled.collect();
    let taken: f32 = weight.iter().zip(&standard.mean).map(|(w, m)| w * m).sum();
    let bias = bias.first().copied().unwrap_or(0.0) - taken;
    Ok(Learned { weight, bias })
}

/// The onsets that a head gives: one in the middle of each patch.
pub(super) fn heard(
    patches: &Patches,
    head: &anchoring::onset::head::Head,
    dim: usize,
) -> Vec<Onset> {
    let rows = patches.embeddings.chunks_exact(dim);
    let judged = rows.map(|row| head.judge(&row.iter().map(|x| x.to_f32()).collect::<Vec<_>>()));
    let pairs = patches.middles.iter().zip(judged);
    pairs
        .map(|(&at, p)| Onset {
            at,
            p,
            uncertainty: 1.0 - p,
        })
        .collect()
}

/// The logit of each patch, and whether an event begins in it.
pub(super) fn judged<'a>(
    recordings: impl Iterator<Item = (&'a Recording, &'a Patches)>,
    head: &Learned,
) -> Vec<(f32, bool)> {
    let mut judged = Vec::new();
    for (one, patches) in recordings {
        let rows = patches.embeddings.chunks_exact(head.weight.len());
        let logits = rows.map(|row| {
            let sum: f32 = row
                .iter()
                .zip(&head.weight)
                .map(|(x, w)| x.to_f32() * w)
                .sum();
            sum + head.bias
        });
        judged.extend(logits.zip(truth_of(one, patches)));
    }
    judged
}

/// The description in the weights file.
pub(super) fn about(
    name: &str,
    calibration: anchoring::onset::calibration::Calibration,
    provenance: std::collections::BTreeMap<String, String>,
) -> HeadSpec {
    HeadSpec {
        schema: SCHEMA.into(),
        name: name.into(),
        normalise: true,
        calibration,
        provenance,
    }
}

#[cfg(test)]
mod tests {
    use anchoring::onset::head::Head;
    use anchoring::time::Window;

    use super::super::sound::Mel;
    use super::super::store;
    use super::*;
    use crate::eval::labels::Event;

    /// An event begins in a quarter of the patches, and their second value is larger.
    fn made(seed: u64) -> (Recording, Patches) {
        let mut random = Random::of(seed, &[]);
        let (mut events, mut patches) = (Vec::new(), Patches::default());
        for i in 0..400 {
            let at = Nanos::from_ms(480 * i + 487);
            let begins = i % 4 == 0;
            patches.middles.push(at);
            let second = if begins { 0.6 } else { 0.3 } + 0.02 * random.normal();
            let row = [0.5 + 0.05 * random.normal(), second, 0.01 * random.normal()];
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            patches
                .embeddings
                .extend(row.map(|x| f16::from_f32(x / length)));
            if begins {
                events.push(Event {
                    span: Window::new(at, at + Nanos::from_ms(300)).unwrap(),
                    class: String::new(),
                    level: None,
                    video_id: None,
                });
            }
        }
        let recording = Recording {
            name: "made".into(),
            given: String::new(),
            mel: Mel::default(),
            events,
        };
        (recording, patches)
    }

    #[test]
    fn a_head_learns_what_marks_a_beginning_and_is_read_back() {
        let (one, patches) = made(1);
        let (own, rows) = ([one], [patches]);
        let learned = learn(&own, &rows, 3, 1).unwrap();
        assert_eq!(learned, learn(&own, &rows, 3, 1).unwrap());
        let found = judged(own.iter().zip(&rows), &learned);
        let wrong = found.iter().filter(|(z, right)| (*z > 0.0) != *right);
        assert!(wrong.count() < 10);
        let calibration = matching::calibrate(&found, None);
        let about = about("made", calibration, Default::default());
        let bytes = store::head(&about, &learned.weight, learned.bias).unwrap();
        let head = Head::read(&bytes, 3).unwrap();
        let said = heard(&rows[0], &head, 3);
        assert_eq!(said.len(), 400);
        assert!(said[0].p > 0.8 && said[1].p < 0.2, "{:?}", &said[..2]);
        let mut few = own;
        few[0].events.truncate(10);
        assert!(learn(&few, &rows, 3, 1).is_err());
    }
}
