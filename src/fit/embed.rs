//! A linear head over any ONNX embedding of sound: which patches are those in whose middle something begins. Logistic regression.

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

use super::corpus::Recording;
use super::hear::{self, lock};
use super::judge::standard;
use super::net::{Adam, After, Layer, Net, cross_entropy, rate};
use super::random::Random;
use super::truth;
use crate::recording::Input;

/// How far from a start the middle of a patch may lie, s: half a patch's step.
const NEAR: f32 = 0.24;
/// Patches to a step, the largest step, how often each is seen, and the most and fewest steps.
const BATCH: usize = 256;
const RATE: f32 = 1e-2;
const DECAY: f32 = 0.02;
const ROUNDS: usize = 30;
const STEPS: u32 = 4000;
const FEWEST: u32 = 300;
/// Logit to begin with: in most patches nothing begins.
const RARE: f32 = -1.5;

/// The patches of a recording.
#[derive(Clone, Debug, Default)]
pub(super) struct Patches {
    /// When their middles are.
    middles: Vec<Nanos>,
    /// `[patches, dim]` row-major, each of length 1, in half precision.
    embeddings: Vec<f16>,
}

/// What hears patches.
struct Ear {
    listener: Listener,
    embedder: Embedder,
    patches: Patches,
}

impl hear::Ear for Ear {
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

/// The manifest of an embedding, whose head need not be there yet.
///
/// # Errors
/// There is none, it is of another kind, or its ONNX file is not the one described.
pub(super) fn manifest(name: &str) -> anyhow::Result<Manifest> {
    let manifest = find(name)?.of_kind(Kind::Probe)?;
    manifest.check_file()?;
    Ok(manifest)
}

/// The patches of a recording, as the probe will hear them.
///
/// # Errors
/// It cannot be played, or the model fails.
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
    let ear = Arc::new(Mutex::new(Ear {
        listener: Listener::new(Nanos::ZERO, &hearing),
        embedder: Embedder::new(manifest.clone(), 1)?,
        patches: Patches::default(),
    }));
    hear::listen(&ear, &Input::new(&recording.given)?)?;
    Ok(std::mem::take(&mut lock(&ear).patches))
}

/// Patches in whose middle an event begins: of several near a start, the nearest.
fn truth_of(recording: &Recording, patches: &Patches) -> Vec<bool> {
    let events: Vec<(f32, f32)> = recording.spans().collect();
    let middles = patches.middles.iter();
    let at: Vec<f32> = middles.map(|at| at.seconds() as f32).collect();
    let mut right = vec![false; at.len()];
    for (_, patch) in truth::pairs(&events, &at, NEAR) {
        right[patch] = true;
    }
    right
}

/// A head: how much each number of an embedding counts, and what is added.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Learned {
    pub(super) weight: Vec<f32>,
    pub(super) bias: f32,
}

/// Learns a head. The same seed gives the same.
///
/// # Errors
/// Too few patches in which something begins, or in which nothing does.
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
    if begins.min(right.len() - begins) < truth::FEWEST {
        bail!(
            "{} patches were heard and something begins in {begins} of them: a head needs {} of each kind; label a few minutes more",
            right.len(),
            truth::FEWEST
        );
    }
    let wide: Vec<Vec<f32>> = rows
        .iter()
        .map(|row| row.iter().map(|x| x.to_f32()).collect())
        .collect();
    let standard = standard(dim, wide.iter().map(Vec::as_slice));
    let net = Net(vec![Layer::dense(dim, 1, After::Linear)]);
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
    // What it learned of standardised numbers, for numbers as they are.
    let (own, bias) = adam.mean.split_at(dim);
    let scaled = own.iter().zip(&standard.scale).map(|(w, s)| w / s);
    let weight: Vec<f32> = scaled.collect();
    let taken: f32 = weight.iter().zip(&standard.mean).map(|(w, m)| w * m).sum();
    let bias = bias.first().copied().unwrap_or(0.0) - taken;
    Ok(Learned { weight, bias })
}

/// What a head says of patches: an onset in the middle of each.
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

/// What a head's logits are worth: each patch's, and whether something begins in it.
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

/// What the file says of itself.
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

    use super::super::hear::Mel;
    use super::super::store;
    use super::*;
    use crate::eval::labels::Event;

    /// A quarter of the patches begin something, and their second number is larger.
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
    fn a_head_learns_what_tells_beginnings_apart_and_is_read_back() {
        let (one, patches) = made(1);
        let (own, rows) = ([one], [patches]);
        let learned = learn(&own, &rows, 3, 1).unwrap();
        assert_eq!(learned, learn(&own, &rows, 3, 1).unwrap());
        let found = judged(own.iter().zip(&rows), &learned);
        let wrong = found.iter().filter(|(z, right)| (*z > 0.0) != *right);
        assert!(wrong.count() < 10);
        let calibration = truth::calibrate(&found, None);
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
