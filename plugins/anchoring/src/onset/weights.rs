//! The weights of the probes: one safetensors file, read from its bytes and checked.
//!
//! # The file
//!
//! All tensors are F32, row-major. `{n}` is the name of an MLP, `{k}` counts layers from 0.
//!
//! | tensor | shape | meaning |
//! |---|---|---|
//! | `mlp.{n}.mean`, `mlp.{n}.scale` | `[inputs]` | subtracted from each input, then divided by |
//! | `mlp.{n}.{k}.weight` | `[in, out]` | `y = x W + b`; ReLU between the layers, the last one gives one logit |
//! | `mlp.{n}.{k}.bias` | `[out]` | |
//! | `mlp.{n}.peers.mean`, `.scale`, `.{k}.weight`, `.{k}.bias` | as above | if `peers` names comparisons: two layers with ReLU over (comparison, inputs) of each earlier peak; 0.3 times the sum of their outputs, and their maximum, join the first layer's outputs as inputs of the second |
//! | `metric.mean`, `metric.weight` | `[64]`, `[64, 64]` | if inputs or comparisons need it: [`Metric`] |
//! | `tcn.scale`, `tcn.shift` | `[64]` | `x = ln(mel + 0.0001) * scale + shift`, by band; if `tcn.input` is `above`, the distance above the [background](crate::hearing::background) instead of the logarithm |
//! | `tcn.first.weight` | `[kernel, 64, width]` | time (oldest first), in, out; stride `tcn.stride`, ReLU |
//! | `tcn.{k}.weight` | `[kernel, width, width]` | causal, dilated: `y = x + relu(conv(x) + b)` |
//! | `tcn.out.weight` | `[width, 2]` | to the logits of (something begins, something sounds) |
//! | `tcn.first.bias`, `tcn.{k}.bias`, `tcn.out.bias` | `[out]` | |
//!
//! The metadata entry `ears` is JSON, [`WeightsSpec`]: how the tensors belong together, how the probes mix and calibrate them, and where
//! the weights come from. Unknown keys are refused. A file that uses everything:
//!
//! ```json
//! {"schema": "earmark-ears/1", "name": "ears",
//!  "mlps": [{"name": "dsp", "inputs": ["lR2", "lR20"]}, {"name": "view", "inputs": ["lR2", "probe_max"]}],
//!  "tcn": {"stride": 2, "first_pad": 1, "dilations": [1, 2, 4], "delay": 15},
//!  "probes": {"onset": {"mix": ["dsp"], "temperature": 1.2, "bias": -0.1, "knots": [[0, 0], [1, 0.9]],
//!                       "uncertainty": {"slope": 0.9, "bias": 0.6, "likeliest": -0.2}},
//!             "onset+tcn": {"mix": ["dsp", "view"], "shift_ms": 0, "threshold": 0.02, "voiced": 0.3}},
//!  "provenance": {"data": "..", "seed": "0", "sha256": ".."}}
//! ```

use std::fmt;
use std::sync::Arc;

use safetensors::SafeTensors;

use crate::hearing::mel::BANDS;
use crate::onset::inputs::input_index;
use crate::onset::mlp::{Dense, Mlp, PeerLayers, Standardizer};
use crate::onset::peak_features::{COMPARISON_NAMES, Metric};
use crate::onset::spec::{
    DEEPEST, ENTRY, LONGEST_KERNEL, MlpSpec, ProbeSpec, TcnSpec, WeightsSpec,
};
use crate::onset::tcn::{CausalConv, Tcn};
use crate::onset::tensors::{WeightsError, shaped};

/// Limits, so that no file can exhaust the memory.
const WIDEST: usize = 1024;

/// Layers that see each earlier peak.
const PEER_LAYERS: usize = 2;

/// The built-in weights; `models/ears.md` says where they come from.
pub const EMBEDDED: &[u8] = include_bytes!("../../weights/ears.safetensors");

/// Everything learned, ready to use.
#[derive(Clone)]
pub struct Weights {
    spec: WeightsSpec,
    mlps: Vec<Mlp>,
    tcn: Option<Arc<Tcn>>,
    metric: Option<Arc<Metric>>,
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("name", &self.spec.name)
            .finish_non_exhaustive()
    }
}

impl Weights {
    /// Reads and checks a weights file.
    ///
    /// # Errors
    /// The first problem: the file is not safetensors, holds something else, or a tensor or field is missing or out
    /// of range.
    pub fn read(bytes: &[u8]) -> Result<Self, WeightsError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| WeightsError::Format(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| WeightsError::Format(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|all| all.get(ENTRY));
        let spec: WeightsSpec = serde_json::from_str(text.ok_or(WeightsError::NotProbeWeights)?)
            .map_err(|error| WeightsError::Metadata(error.to_string()))?;
        spec.check()?;
        let mlps = spec
            .mlps
            .iter()
            .map(|mlp| read_mlp(mlp, &tensors))
            .collect::<Result<_, _>>()?;
        let tcn = spec
            .tcn
            .as_ref()
            .map(|tcn| read_tcn(tcn, &tensors).map(Arc::new))
            .transpose()?;
        let needed = spec.mlps.iter().any(MlpSpec::needs_metric);
        let metric = if needed || tensors.tensor("metric.mean").is_ok() {
            Some(Arc::new(read_metric(&tensors)?))
        } else {
            None
        };
        Ok(Self {
            spec,
            mlps,
            tcn,
            metric,
        })
    }

    /// The built-in weights.
    ///
    /// # Errors
    /// Only if the file in the crate was replaced by a wrong one.
    pub fn embedded() -> Result<Self, WeightsError> {
        Self::read(EMBEDDED)
    }

    /// The file's metadata.
    pub const fn spec(&self) -> &WeightsSpec {
        &self.spec
    }
    /// The TCN, if the file has one.
    pub const fn tcn(&self) -> Option<&Arc<Tcn>> {
        self.tcn.as_ref()
    }
    /// The metric by which peaks are compared, if the file has one.
    pub const fn metric(&self) -> Option<&Arc<Metric>> {
        self.metric.as_ref()
    }
    /// The MLP with this name.
    pub fn mlp(&self, name: &str) -> Option<&Mlp> {
        let at = self.spec.mlps.iter().position(|mlp| mlp.name == name)?;
        self.mlps.get(at)
    }
    /// How a probe mixes and calibrates.
    pub fn probe(&self, name: &str) -> Option<&ProbeSpec> {
        self.spec.probes.get(name)
    }
}

fn read_mlp(spec: &MlpSpec, tensors: &SafeTensors<'_>) -> Result<Mlp, WeightsError> {
    let own = format!("mlp.{}", spec.name);
    let inputs: Vec<usize> = spec.inputs.iter().filter_map(|i| input_index(i)).collect();
    let standard = read_standard(&own, inputs.len(), tensors)?;
    let (peers, pooled) = read_peers(spec, tensors)?;
    let mut layers: Vec<Dense> = Vec::new();
    let mut width = inputs.len();
    let fewest = if peers.is_some() { 2 } else { 1 };
    while layers.len() < fewest || width > 1 {
        let k = layers.len();
        if k == DEEPEST {
            return Err(WeightsError::Field {
                field: own,
                value: format!("more than {DEEPEST} layers"),
                rule: "the last layer must give one number".into(),
            });
        }
        // The pooled comparisons join before the second layer.
        if k == 1 {
            width += pooled;
        }
        let layer = read_dense(&format!("{own}.{k}"), width, tensors)?;
        width = layer.bias.len();
        layers.push(layer);
    }
    Ok(Mlp::new(inputs, standard, layers, peers))
}

/// The layers that see earlier peaks, and how many numbers they add.
fn read_peers(
    spec: &MlpSpec,
    tensors: &SafeTensors<'_>,
) -> Result<(Option<PeerLayers>, usize), WeightsError> {
    if spec.peers.is_empty() {
        return Ok((None, 0));
    }
    let own = format!("mlp.{}.peers", spec.name);
    let names = spec.peers.iter();
    let inputs: Vec<usize> = names
        .filter_map(|name| COMPARISON_NAMES.iter().position(|n| n == name))
        .collect();
    let standard = read_standard(&own, inputs.len(), tensors)?;
    let mut width = inputs.len() + spec.inputs.len();
    let mut layers = Vec::new();
    for k in 0..PEER_LAYERS {
        let layer = read_dense(&format!("{own}.{k}"), width, tensors)?;
        width = layer.bias.len();
        layers.push(layer);
    }
    let peers = PeerLayers {
        inputs,
        standard,
        layers,
    };
    Ok((Some(peers), 2 * width))
}

fn read_standard(
    own: &str,
    inputs: usize,
    tensors: &SafeTensors<'_>,
) -> Result<Standardizer, WeightsError> {
    let (_, mean) = shaped(tensors, &format!("{own}.mean"), [inputs], 0)?;
    let (_, scale) = shaped(tensors, &format!("{own}.scale"), [inputs], 0)?;
    if scale.contains(&0.0) {
        return Err(WeightsError::Number(format!("{own}.scale")));
    }
    Ok(Standardizer { mean, scale })
}

fn read_metric(tensors: &SafeTensors<'_>) -> Result<Metric, WeightsError> {
    let (_, mean) = shaped(tensors, "metric.mean", [BANDS], 0)?;
    let (_, weight) = shaped(tensors, "metric.weight", [BANDS, BANDS], 0)?;
    let mut row = [0.0; BANDS];
    row.copy_from_slice(&mean);
    Ok(Metric::new(row, &weight))
}

/// A layer of any width.
fn read_dense(own: &str, inputs: usize, tensors: &SafeTensors<'_>) -> Result<Dense, WeightsError> {
    let ([_, out], weight) = shaped(tensors, &format!("{own}.weight"), [inputs, 0], WIDEST)?;
    let (_, bias) = shaped(tensors, &format!("{own}.bias"), [out], 0)?;
    Ok(Dense { weight, bias })
}

fn read_tcn(spec: &TcnSpec, tensors: &SafeTensors<'_>) -> Result<Tcn, WeightsError> {
    let (_, scale) = shaped(tensors, "tcn.scale", [BANDS], 0)?;
    let (_, shift) = shaped(tensors, "tcn.shift", [BANDS], 0)?;
    let conv = |name: &str, [kernel, from, to]: [usize; 3], dilation: usize| {
        let ([kernel, from, to], weight) = shaped(
            tensors,
            &format!("tcn.{name}.weight"),
            [kernel, from, to],
            if kernel == 0 && to != 0 {
                LONGEST_KERNEL
            } else {
                WIDEST
            },
        )?;
        let (_, bias) = shaped(tensors, &format!("tcn.{name}.bias"), [to], 0)?;
        let fits = kernel <= LONGEST_KERNEL;
        fits.then(|| {
            (
                CausalConv::new(kernel, from, to, dilation, &weight, &bias),
                to,
            )
        })
        .ok_or_else(|| WeightsError::Shape {
            name: format!("tcn.{name}.weight"),
            found: format!("a kernel of {kernel}"),
            wanted: format!("a kernel of at most {LONGEST_KERNEL}"),
        })
    };
    let (first, width) = conv("first", [0, BANDS, 0], 1)?;
    let mut layers = Vec::new();
    for (k, &dilation) in spec.dilations.iter().enumerate() {
        layers.push(conv(&k.to_string(), [0, width, width], dilation)?.0);
    }
    let ([_, _], weight) = shaped(tensors, "tcn.out.weight", [width, 2], 0)?;
    let (_, bias) = shaped(tensors, "tcn.out.bias", [2], 0)?;
    let out = CausalConv::new(1, width, 2, 1, &weight, &bias);
    if spec.first_pad >= first.kernel() {
        return Err(WeightsError::Field {
            field: "tcn.first_pad".into(),
            value: spec.first_pad.to_string(),
            rule: format!("must be less than the first kernel, {}", first.kernel()),
        });
    }
    Ok(Tcn::new(spec, scale, shift, first, layers, out))
}

#[cfg(test)]
mod tests;
