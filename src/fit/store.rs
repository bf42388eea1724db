//! Writes weights as `anchoring::onset::weights` reads them, and training checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use anchoring::hearing::mel::BANDS;
use anchoring::onset::head::HeadSpec;
use anchoring::onset::inputs::input_names;
use anchoring::onset::peak_features::{COMPARISON_NAMES, Metric};
use anchoring::onset::spec::{ENTRY, MlpSpec, ONSET, ONSET_TCN, SCHEMA, TcnSpec, WeightsSpec};
use anyhow::{Context, anyhow, bail};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::candidate_net::CandidateNet;
use super::net::{Adam, Net};
use super::tcn;
use super::tune::Tuned;
use crate::files;

/// Name prefixes of the networks: by features alone, and with the TCN's output.
pub(super) const DSP: &str = "dsp";
pub(super) const SEEN: &str = "view";
const CHECKPOINT: &str = "earmark-fit-checkpoint/1";
/// Parts of an optimiser's state, in the order of [`Adam::parts`].
const PARTS: [&str; 4] = ["params", "mean", "first", "second"];

/// Named tensors to write.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<usize>, Vec<u8>)>);

impl Tensors {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], numbers: &[f32]) {
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.0.push((name.into(), shape.to_vec(), bytes));
    }

    fn bytes(&self, metadata: BTreeMap<String, String>) -> anyhow::Result<Vec<u8>> {
        let mut views = BTreeMap::new();
        for (name, shape, bytes) in &self.0 {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
                .map_err(|e| anyhow!("cannot write the tensor {name}: {e}"))?;
            views.insert(name.as_str(), view);
        }
        serialize(views, Some(metadata.into_iter().collect()))
            .map_err(|e| anyhow!("cannot write the weights: {e}"))
    }
}

/// The content of a weights file.
pub(super) struct Learned<'a> {
    pub(super) name: &'a str,
    pub(super) tcn: &'a [f32],
    /// The metric of candidates.
    pub(super) metric: &'a Metric,
    /// Networks without and with the TCN's output.
    pub(super) dsp: &'a [CandidateNet],
    pub(super) seen: &'a [CandidateNet],
    /// Parameters of `onset` and of `onset+tcn`.
    pub(super) tuned: [Tuned; 2],
    pub(super) provenance: BTreeMap<String, String>,
}

/// A weights file.
///
/// # Errors
/// Only if memory is short.
pub(super) fn weights<'a>(learned: &Learned<'a>) -> anyhow::Result<Vec<u8>> {
    let mut tensors = Tensors::default();
    put_tcn(&mut tensors, &tcn::net(), learned.tcn);
    tensors.add("metric.mean", &[BANDS], learned.metric.mean());
    let weight = learned.metric.weight().as_flattened();
    tensors.add("metric.weight", &[BANDS, BANDS], weight);
    let mut mlps = Vec::new();
    let mut probes = BTreeMap::new();
    let named = |name: &str, nets: &'a [CandidateNet]| -> Vec<(String, &'a CandidateNet)> {
        let numbered = nets.iter().enumerate();
        numbered
            .map(|(i, net)| (format!("{name}{i}"), net))
            .collect()
    };
    let (dsp, seen) = (named(DSP, learned.dsp), named(SEEN, learned.seen));
    for (name, net) in dsp.iter().chain(&seen) {
        put_net(&mut tensors, name, net);
        let inputs = input_names().take(net.own.mean.len());
        mlps.push(MlpSpec {
            name: name.clone(),
            inputs: inputs.map(str::to_owned).collect(),
            peers: COMPARISON_NAMES.map(str::to_owned).to_vec(),
        });
    }
    let [alone, both] = &learned.tuned;
    let mut probe = |name: &str, mix: &[(String, &CandidateNet)], tuned: &Tuned| {
        let mix = mix.iter().map(|(name, _)| name.clone()).collect();
        probes.insert(name.to_owned(), tuned.about(mix));
    };
    if !dsp.is_empty() {
        probe(ONSET, &dsp, alone);
        if !seen.is_empty() {
            probe(ONSET_TCN, &[dsp, seen].concat(), both);
        }
    }
    let about = WeightsSpec {
        schema: SCHEMA.into(),
        name: learned.name.into(),
        mlps,
        tcn: Some(TcnSpec {
            input: anchoring::onset::spec::TcnInput::Above,
            stride: tcn::STRIDE,
            first_pad: 0,
            dilations: tcn::DILATIONS.to_vec(),
            delay: tcn::DELAY,
        }),
        probes,
        provenance: learned.provenance.clone(),
    };
    tensors.bytes(BTreeMap::from([(
        ENTRY.to_owned(),
        serde_json::to_string(&about)?,
    )]))
}

fn put_tcn(tensors: &mut Tensors, net: &Net, params: &[f32]) {
    tensors.add("tcn.scale", &[BANDS], &[tcn::SCALE; BANDS]);
    tensors.add("tcn.shift", &[BANDS], &[0.0; BANDS]);
    let last = net.0.len() - 1;
    for (i, (layer, weights, bias)) in net.split(params).enumerate() {
        let name = match i {
            0 => "first".to_owned(),
            i if i == last => "out".to_owned(),
            i => (i - 1).to_string(),
        };
        // Our taps start with the newest, those of the file with the oldest.
        let size = layer.inputs * layer.outputs;
        let oldest: Vec<f32> = weights
            .chunks_exact(size)
            .rev()
            .flatten()
            .copied()
            .collect();
        let shape = match i {
            // Two adjacent frames are two taps of one.
            0 => vec![tcn::STRIDE, BANDS, layer.outputs],
            i if i == last => vec![layer.inputs, layer.outputs],
            _ => vec![layer.taps, layer.inputs, layer.outputs],
        };
        tensors.add(format!("tcn.{name}.weight"), &shape, &oldest);
        tensors.add(format!("tcn.{name}.bias"), &[layer.outputs], bias);
    }
}

fn put_net(tensors: &mut Tensors, name: &str, net: &CandidateNet) {
    let [chain, peers] = net.layers();
    let parts = [
        (format!("mlp.{name}"), &net.own, chain),
        (format!("mlp.{name}.peers"), &net.compared, peers),
    ];
    for (name, standard, layers) in parts {
        let n = standard.mean.len();
        tensors.add(format!("{name}.mean"), &[n], &standard.mean);
        tensors.add(format!("{name}.scale"), &[n], &standard.scale);
        for (k, (layer, weights, bias)) in layers.into_iter().enumerate() {
            let shape = [layer.inputs, layer.outputs];
            tensors.add(format!("{name}.{k}.weight"), &shape, weights);
            tensors.add(format!("{name}.{k}.bias"), &[layer.outputs], bias);
        }
    }
}

/// The same weights with other calibrations, thresholds and shifts of `onset` and `onset+tcn`.
///
/// # Errors
/// `old` is not a weights file.
pub(super) fn retuned(
    old: &[u8],
    tuned: &BTreeMap<String, Tuned>,
    provenance: &[(String, String)],
) -> anyhow::Result<Vec<u8>> {
    let bad = |e| anyhow!("cannot read the weights: {e}");
    let (_, metadata) = SafeTensors::read_metadata(old).map_err(bad)?;
    let tensors = SafeTensors::deserialize(old).map_err(bad)?;
    let mut metadata = metadata.metadata().clone().unwrap_or_default();
    let text = metadata
        .get(ENTRY)
        .context("the weights have no description")?;
    let mut about: WeightsSpec = serde_json::from_str(text)?;
    for (name, tuned) in tuned {
        if let Some(probe) = about.probes.get_mut(name) {
            *probe = tuned.about(std::mem::take(&mut probe.mix));
        }
    }
    about.provenance.extend(provenance.iter().cloned());
    metadata.insert(ENTRY.to_owned(), serde_json::to_string(&about)?);
    let sorted: BTreeMap<String, _> = tensors.tensors().into_iter().collect();
    serialize(sorted, Some(metadata)).map_err(|e| anyhow!("cannot write the weights: {e}"))
}

/// A head on an embedding, as `anchoring::onset::head` reads it.
///
/// # Errors
/// Only if memory is short.
pub(super) fn head(about: &HeadSpec, weight: &[f32], bias: f32) -> anyhow::Result<Vec<u8>> {
    let mut tensors = Tensors::default();
    tensors.add("head.weight", &[weight.len()], weight);
    tensors.add("head.bias", &[1], &[bias]);
    let entry = ("head".to_owned(), serde_json::to_string(about)?);
    tensors.bytes(BTreeMap::from([entry]))
}

/// Writes a checkpoint. `job` identifies what is trained on what.
pub(super) fn save(path: &Path, adam: &Adam, job: &str) -> anyhow::Result<()> {
    let mut tensors = Tensors::default();
    for (name, numbers) in PARTS.iter().zip(adam.parts()) {
        tensors.add(*name, &[numbers.len()], numbers);
    }
    let metadata = [
        ("schema", CHECKPOINT.to_owned()),
        ("job", job.into()),
        ("steps", adam.steps.to_string()),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
    files::write(path, &tensors.bytes(BTreeMap::from(metadata))?, true)
}

/// The checkpoint of `job`; `None` if there is none.
///
/// # Errors
/// The file is not a checkpoint, or of another job.
pub(super) fn resume(path: &Path, job: &str) -> anyhow::Result<Option<Adam>> {
    if !path.exists() {
        return Ok(None);
    }
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let bad = |e| anyhow!("{name} is not a checkpoint: {e}; delete it to start again");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(bad)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(bad)?;
    let said = metadata.metadata().clone().unwrap_or_default();
    let is = |key: &str, value: &str| said.get(key).is_some_and(|found| found == value);
    if !is("schema", CHECKPOINT) {
        bail!("{name} is not a checkpoint of `earmark fit`; is it a weights file?");
    }
    if !is("job", job) {
        bail!(
            "{name} is a checkpoint of other recordings, another seed or another number of steps; delete it to start again"
        );
    }
    let size = tcn::net().size();
    let mut parts = Vec::new();
    for part in PARTS {
        let view = tensors.tensor(part).map_err(bad)?;
        let numbers: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if numbers.len() != size {
            bail!("{name} is a checkpoint of a network of another size; delete it to start again");
        }
        parts.push(numbers);
    }
    let steps = said.get("steps").and_then(|steps| steps.parse().ok());
    let (Ok(parts), Some(steps)) = (<[Vec<f32>; 4]>::try_from(parts), steps) else {
        bail!("{name} does not record its step; delete it to start again");
    };
    Ok(Some(Adam::from_parts(parts, steps)))
}
