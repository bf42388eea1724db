//! The learned part of the ears: one safetensors file, read from its bytes and checked.
//!
//! # The file
//!
//! All tensors are F32, row-major. `{n}` is the name of an MLP, `{k}` counts layers from 0.
//!
//! | tensor | shape | meaning |
//! |---|---|---|
//! | `mlp.{n}.mean`, `mlp.{n}.scale` | `[inputs]` | what is taken from each input, and what it is divided by after that |
//! | `mlp.{n}.{k}.weight` | `[in, out]` | `y = x W + b`; ReLU between the layers, the last one gives one logit |
//! | `mlp.{n}.{k}.bias` | `[out]` | |
//! | `mlp.{n}.peers.mean`, `.scale`, `.{k}.weight`, `.{k}.bias` | as above | where `peers` names comparisons: two layers with ReLU over (comparison, inputs) of each earlier candidate; their outputs' sum times 0.3 and their maximum follow the first layer's outputs into the second |
//! | `metric.mean`, `metric.weight` | `[64]`, `[64, 64]` | where inputs or comparisons need it: [`Metric`] |
//! | `tcn.scale`, `tcn.shift` | `[64]` | `x = ln(mel + 0.0001) * scale + shift`, by band; if `tcn.input` is `above`, that of [`crate::above`] instead of the logarithm |
//! | `tcn.first.weight` | `[kernel, 64, width]` | time (oldest first), in, out; stride `tcn.stride`, ReLU |
//! | `tcn.{k}.weight` | `[kernel, width, width]` | causal, dilated: `y = x + relu(conv(x) + b)` |
//! | `tcn.out.weight` | `[width, 2]` | to the logits of (something begins, something sounds) |
//! | `tcn.first.bias`, `tcn.{k}.bias`, `tcn.out.bias` | `[out]` | |
//!
//! The metadata entry `ears` is JSON, [`About`]: how the tensors belong together, how the probes mix and calibrate them, and where the
//! weights come from. No key may be unknown. An example of a file that has everything:
//!
//! ```json
//! {"schema": "earmark-ears/1", "name": "ears",
//!  "mlps": [{"name": "dsp", "inputs": ["lR2", "lR20"]}, {"name": "view", "inputs": ["lR2", "probe_max"]}],
//!  "tcn": {"stride": 2, "first_pad": 1, "dilations": [1, 2, 4], "delay": 15},
//!  "probes": {"onset": {"mix": ["dsp"], "temperature": 1.2, "bias": -0.1, "knots": [[0, 0], [1, 0.9]]},
//!             "onset+tcn": {"mix": ["dsp", "view"], "shift_ms": 0, "threshold": 0.02, "voiced": 0.3}},
//!  "provenance": {"data": "..", "seed": "0", "sha256": ".."}}
//! ```

mod calibration;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::candidate::{
    COLOUR_NAMES, COLOURS, Candidate, FEATURE_NAMES, FEATURES, LEARNED, LIKENESS_NAMES, Metric,
    STEADY, SURROUNDING_NAMES, SURROUNDINGS,
};
use crate::mel::BANDS;
use crate::mlp::{Dense, Mlp, Peers, Standard};
use crate::tcn::{Conv, Tcn};

pub use self::calibration::Calibration;

/// What [`About::schema`] must say.
pub const SCHEMA: &str = "earmark-ears/1";
/// The metadata entry that holds [`About`].
pub const ENTRY: &str = "ears";
/// Name of the probe that is the MLP over hand-made features.
pub const ONSET: &str = "onset";
/// Name of the probe that mixes it with the TCN's view.
pub const ONSET_TCN: &str = "onset+tcn";

/// How many numbers an MLP may be given.
pub const INPUTS: usize = FEATURES + COLOURS + 1 + SURROUNDINGS + VIEW.len();

/// What an MLP may be given of a candidate, in order; the TCN's view, where there is none, is 0.
pub fn inputs(candidate: &Candidate, view: Option<[f32; VIEW.len()]>) -> [f32; INPUTS] {
    let mut all = [0.0; INPUTS];
    let (features, rest) = all.split_at_mut(FEATURES);
    let (colours, rest) = rest.split_at_mut(COLOURS);
    let (steady, rest) = rest.split_at_mut(1);
    let (surroundings, seen) = rest.split_at_mut(SURROUNDINGS);
    features.copy_from_slice(&candidate.features);
    colours.copy_from_slice(&candidate.colours);
    steady.copy_from_slice(&[candidate.steady]);
    surroundings.copy_from_slice(&candidate.surroundings);
    seen.copy_from_slice(&view.unwrap_or_default());
    all
}

/// The names of [`inputs`], in order.
pub fn input_names() -> impl Iterator<Item = &'static str> {
    let own = FEATURE_NAMES.into_iter().chain(COLOUR_NAMES);
    own.chain([STEADY]).chain(SURROUNDING_NAMES).chain(VIEW)
}

/// What the TCN says about a candidate at time `t` of its own clock, after [`SURROUNDING_NAMES`]: the largest onset logit within four
/// outputs of it, and the mean probability that something sounds in the seven outputs after it and in outputs 28 to 4 before it.
pub const VIEW: [&str; 3] = ["probe_max", "probe_act_after", "probe_act_before"];

/// Limits, so that no file can ask for more than a machine has.
const WIDEST: usize = 1024;
const DEEPEST: usize = 32;
const LONGEST_KERNEL: usize = 16;
const FURTHEST: usize = 4096;
/// Layers that look at each earlier candidate.
const PEER_LAYERS: usize = 2;

/// The embedded weights; `models/ears.md` tells where they come from.
pub const EMBEDDED: &[u8] = include_bytes!("../weights/ears.safetensors");

/// What is wrong with a weights file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WeightsError {
    /// No safetensors file at all.
    #[error("this is no safetensors file: {0} (was it cut short, or is it an ONNX file?)")]
    Format(String),
    /// A safetensors file of something else.
    #[error(
        "its metadata has no entry `ears`: these are not the weights of a probe (`earmark fit` writes them)"
    )]
    NotEars,
    /// The entry `ears` is not what it should be.
    #[error("its metadata entry `ears` cannot be understood: {0}")]
    About(String),
    /// Something in the entry `ears` that cannot be.
    #[error("{field} is {value}: {rule}")]
    Field {
        /// As in the JSON: `tcn.dilations`.
        field: String,
        /// What was given.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// A tensor that should be there.
    #[error("the tensor `{0}` is missing")]
    Missing(String),
    /// A tensor of another type or shape.
    #[error("the tensor `{name}` is {found}, but must be {wanted}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Type and shape found.
        found: String,
        /// Type and shape needed.
        wanted: String,
    },
    /// A tensor that holds what is no number.
    #[error("the tensor `{0}` holds a number that is not finite, or a scale of zero")]
    Number(String),
}

/// How the tensors belong together; the metadata entry `ears`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// [`SCHEMA`].
    pub schema: String,
    /// What these weights are called in reports.
    pub name: String,
    /// The MLPs.
    pub mlps: Vec<AboutMlp>,
    /// The TCN, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcn: Option<AboutTcn>,
    /// How each probe (`onset`, `onset+tcn`) uses them.
    pub probes: BTreeMap<String, AboutProbe>,
    /// Where they come from: data, seed, scores, hash of what they were made by. For people, and for reports.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

/// An MLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AboutMlp {
    /// Its part of the tensors' names.
    pub name: String,
    /// Names of its inputs, of [`FEATURE_NAMES`], [`COLOUR_NAMES`], [`STEADY`], [`SURROUNDING_NAMES`] and [`VIEW`], in order.
    pub inputs: Vec<String>,
    /// What it knows of each earlier candidate, of [`LIKENESS_NAMES`], in order; none: it sees no other candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

/// The TCN's shape beyond that of its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AboutTcn {
    /// What it is shown.
    #[serde(default)]
    pub input: Input,
    /// Mel frames from one output to the next, 1..=8.
    pub stride: usize,
    /// Frames of nothing before the first frame that the first layer sees, less than its kernel.
    pub first_pad: usize,
    /// Outputs from one tap to the next, by layer, 1..=4096.
    pub dilations: Vec<usize>,
    /// Output `i` speaks of output `i - delay`'s time, 0..=250: so far the TCN sees ahead.
    pub delay: usize,
}

/// What a TCN is shown of a mel frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// `ln(mel + 0.0001)`.
    #[default]
    Mel,
    /// How far each band lies above its background: [`crate::above`].
    Above,
}

/// How a probe uses the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AboutProbe {
    /// The MLPs whose logits are averaged.
    pub mix: Vec<String>,
    /// How logits become probabilities.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Less likely candidates are not said at all, 0..=1.
    #[serde(default)]
    pub threshold: f32,
    /// Added to the time of each candidate, ms, -100..=100.
    #[serde(default)]
    pub shift_ms: i32,
    /// What a voice takes from an onset: its probability counts times 1 less this times how likely a voice is, 0..=1. 1 for networks that never
    /// learned to tell what else begins while somebody speaks.
    #[serde(default = "calibration::one")]
    pub voiced: f32,
}

/// 1 / (1 + e^-x).
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Everything learned, ready to use.
#[derive(Clone)]
pub struct Weights {
    about: About,
    mlps: Vec<Mlp>,
    tcn: Option<Arc<Tcn>>,
    metric: Option<Arc<Metric>>,
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("name", &self.about.name)
            .finish_non_exhaustive()
    }
}

impl Weights {
    /// Reads and checks a weights file.
    ///
    /// # Errors
    /// No safetensors file, other weights, or a tensor or setting that cannot be; the first problem found.
    pub fn read(bytes: &[u8]) -> Result<Self, WeightsError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| WeightsError::Format(error.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| WeightsError::Format(error.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|all| all.get(ENTRY));
        let about: About = serde_json::from_str(text.ok_or(WeightsError::NotEars)?)
            .map_err(|error| WeightsError::About(error.to_string()))?;
        about.check()?;
        let mlps = about
            .mlps
            .iter()
            .map(|mlp| read_mlp(mlp, &tensors))
            .collect::<Result<_, _>>()?;
        let tcn = about
            .tcn
            .as_ref()
            .map(|tcn| read_tcn(tcn, &tensors).map(Arc::new))
            .transpose()?;
        let needed = about.mlps.iter().any(AboutMlp::needs_metric);
        let metric = if needed || tensors.tensor("metric.mean").is_ok() {
            Some(Arc::new(read_metric(&tensors)?))
        } else {
            None
        };
        Ok(Self {
            about,
            mlps,
            tcn,
            metric,
        })
    }

    /// The weights that come with the crate.
    ///
    /// # Errors
    /// Never, unless the file in the crate was replaced by a wrong one.
    pub fn embedded() -> Result<Self, WeightsError> {
        Self::read(EMBEDDED)
    }

    /// What the file says about itself.
    pub const fn about(&self) -> &About {
        &self.about
    }
    /// The TCN, if the file has one.
    pub const fn tcn(&self) -> Option<&Arc<Tcn>> {
        self.tcn.as_ref()
    }
    /// How candidates are compared beyond what needs no learning, if the file has it.
    pub const fn metric(&self) -> Option<&Arc<Metric>> {
        self.metric.as_ref()
    }
    /// The MLP of that name.
    pub fn mlp(&self, name: &str) -> Option<&Mlp> {
        let at = self.about.mlps.iter().position(|mlp| mlp.name == name)?;
        self.mlps.get(at)
    }
    /// How a probe mixes and calibrates.
    pub fn probe(&self, name: &str) -> Option<&AboutProbe> {
        self.about.probes.get(name)
    }
}

impl AboutMlp {
    fn needs_metric(&self) -> bool {
        let learned = |name: &String| {
            let name = name.as_str();
            name == STEADY || LEARNED.contains(&name) || SURROUNDING_NAMES.contains(&name)
        };
        self.inputs.iter().chain(&self.peers).any(learned)
    }
}

impl About {
    fn check(&self) -> Result<(), WeightsError> {
        let need = |holds: bool, field: String, value: String, rule: &str| {
            if holds {
                return Ok(());
            }
            Err(WeightsError::Field {
                field,
                value,
                rule: rule.into(),
            })
        };
        need(
            self.schema == SCHEMA,
            "schema".into(),
            self.schema.clone(),
            "must be earmark-ears/1",
        )?;
        let one_of = |names: &[&str]| format!("must be one of {}", names.join(", "));
        let one_input = one_of(&input_names().collect::<Vec<_>>());
        let one_comparison = one_of(&LIKENESS_NAMES);
        for (i, mlp) in self.mlps.iter().enumerate() {
            let field = format!("mlps.{i}");
            let unique = self
                .mlps
                .iter()
                .filter(|other| other.name == mlp.name)
                .count()
                == 1;
            need(
                unique && !mlp.name.is_empty(),
                format!("{field}.name"),
                mlp.name.clone(),
                "must be a name of its own",
            )?;
            need(
                !mlp.inputs.is_empty(),
                format!("{field}.inputs"),
                "empty".into(),
                "must name at least one feature",
            )?;
            for input in &mlp.inputs {
                need(
                    input_index(input).is_some(),
                    format!("{field}.inputs"),
                    format!("`{input}`"),
                    &one_input,
                )?;
                need(
                    self.tcn.is_some() || !VIEW.contains(&input.as_str()),
                    format!("{field}.inputs"),
                    format!("`{input}`"),
                    "is said by a TCN, but the file has none",
                )?;
            }
            for peer in &mlp.peers {
                need(
                    LIKENESS_NAMES.contains(&peer.as_str()),
                    format!("{field}.peers"),
                    format!("`{peer}`"),
                    &one_comparison,
                )?;
            }
        }
        if let Some(tcn) = &self.tcn {
            let number = |name: &str, value: usize, low: usize, high: usize| {
                need(
                    (low..=high).contains(&value),
                    format!("tcn.{name}"),
                    value.to_string(),
                    &format!("must lie in {low}..={high}"),
                )
            };
            number("stride", tcn.stride, 1, 8)?;
            number("first_pad", tcn.first_pad, 0, LONGEST_KERNEL)?;
            number("delay", tcn.delay, 0, 250)?;
            number("dilations (how many)", tcn.dilations.len(), 0, DEEPEST)?;
            for &dilation in &tcn.dilations {
                number("dilations", dilation, 1, FURTHEST)?;
            }
        }
        for (name, probe) in &self.probes {
            let field = |of: &str| format!("probes.{name}.{of}");
            need(
                [ONSET, ONSET_TCN].contains(&name.as_str()),
                "probes".into(),
                format!("`{name}`"),
                "must be onset or onset+tcn",
            )?;
            need(
                !probe.mix.is_empty(),
                field("mix"),
                "empty".into(),
                "must name at least one MLP",
            )?;
            for part in &probe.mix {
                let mlp = self.mlps.iter().find(|mlp| mlp.name == *part);
                need(
                    mlp.is_some(),
                    field("mix"),
                    format!("`{part}`"),
                    "must be the name of an MLP",
                )?;
                let views = |mlp: &AboutMlp| mlp.inputs.iter().any(|i| VIEW.contains(&i.as_str()));
                need(
                    name == ONSET_TCN || !mlp.is_some_and(views),
                    field("mix"),
                    format!("`{part}`"),
                    "must not need the TCN: that is the probe onset+tcn",
                )?;
            }
            if let Some((of, value, rule)) = probe.calibration.problem() {
                need(false, field(of), value, rule)?;
            }
            for (of, share) in [("threshold", probe.threshold), ("voiced", probe.voiced)] {
                need(
                    (0.0..=1.0).contains(&share),
                    field(of),
                    share.to_string(),
                    "must lie in 0..=1",
                )?;
            }
            need(
                (-100..=100).contains(&probe.shift_ms),
                field("shift_ms"),
                probe.shift_ms.to_string(),
                "must lie in -100..=100",
            )?;
        }
        Ok(())
    }
}

/// Where an input stands among [`input_names`].
fn input_index(name: &str) -> Option<usize> {
    input_names().position(|n| n == name)
}

/// An F32 tensor: its shape and its numbers.
fn tensor(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), WeightsError> {
    let view = tensors
        .tensor(name)
        .map_err(|_| WeightsError::Missing(name.into()))?;
    if view.dtype() != Dtype::F32 {
        return Err(WeightsError::Shape {
            name: name.into(),
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            wanted: "F32".into(),
        });
    }
    let numbers: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    if numbers.iter().any(|x| !x.is_finite()) {
        return Err(WeightsError::Number(name.into()));
    }
    Ok((view.shape().to_vec(), numbers))
}

/// A tensor of a given shape, where 0 stands for any size up to a limit.
pub(crate) fn shaped<const D: usize>(
    tensors: &SafeTensors<'_>,
    name: &str,
    wanted: [usize; D],
    most: usize,
) -> Result<([usize; D], Vec<f32>), WeightsError> {
    let (shape, numbers) = tensor(tensors, name)?;
    let fits = shape.len() == D
        && shape.iter().zip(&wanted).all(|(n, w)| {
            if *w == 0 {
                (1..=most).contains(n)
            } else {
                n == w
            }
        });
    match <[usize; D]>::try_from(shape.as_slice()) {
        Ok(shape) if fits => Ok((shape, numbers)),
        _ => {
            let sizes = wanted.map(|w| {
                if w == 0 {
                    format!("1..={most}")
                } else {
                    w.to_string()
                }
            });
            Err(WeightsError::Shape {
                name: name.into(),
                found: format!("F32 {shape:?}"),
                wanted: format!("F32 [{}]", sizes.join(", ")),
            })
        }
    }
}

fn read_mlp(about: &AboutMlp, tensors: &SafeTensors<'_>) -> Result<Mlp, WeightsError> {
    let own = format!("mlp.{}", about.name);
    let inputs: Vec<usize> = about.inputs.iter().filter_map(|i| input_index(i)).collect();
    let standard = read_standard(&own, inputs.len(), tensors)?;
    let (peers, pooled) = read_peers(about, tensors)?;
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
        // What is known of the others joins before the second layer.
        if k == 1 {
            width += pooled;
        }
        let layer = read_dense(&format!("{own}.{k}"), width, tensors)?;
        width = layer.bias.len();
        layers.push(layer);
    }
    Ok(Mlp::new(inputs, standard, layers, peers))
}

/// The layers that look at earlier candidates, and how many numbers they add.
fn read_peers(
    about: &AboutMlp,
    tensors: &SafeTensors<'_>,
) -> Result<(Option<Peers>, usize), WeightsError> {
    if about.peers.is_empty() {
        return Ok((None, 0));
    }
    let own = format!("mlp.{}.peers", about.name);
    let names = about.peers.iter();
    let inputs: Vec<usize> = names
        .filter_map(|name| LIKENESS_NAMES.iter().position(|n| n == name))
        .collect();
    let standard = read_standard(&own, inputs.len(), tensors)?;
    let mut width = inputs.len() + about.inputs.len();
    let mut layers = Vec::new();
    for k in 0..PEER_LAYERS {
        let layer = read_dense(&format!("{own}.{k}"), width, tensors)?;
        width = layer.bias.len();
        layers.push(layer);
    }
    let peers = Peers {
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
) -> Result<Standard, WeightsError> {
    let (_, mean) = shaped(tensors, &format!("{own}.mean"), [inputs], 0)?;
    let (_, scale) = shaped(tensors, &format!("{own}.scale"), [inputs], 0)?;
    if scale.contains(&0.0) {
        return Err(WeightsError::Number(format!("{own}.scale")));
    }
    Ok(Standard { mean, scale })
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

fn read_tcn(about: &AboutTcn, tensors: &SafeTensors<'_>) -> Result<Tcn, WeightsError> {
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
        fits.then(|| (Conv::new(kernel, from, to, dilation, &weight, &bias), to))
            .ok_or_else(|| WeightsError::Shape {
                name: format!("tcn.{name}.weight"),
                found: format!("a kernel of {kernel}"),
                wanted: format!("a kernel of at most {LONGEST_KERNEL}"),
            })
    };
    let (first, width) = conv("first", [0, BANDS, 0], 1)?;
    let mut layers = Vec::new();
    for (k, &dilation) in about.dilations.iter().enumerate() {
        layers.push(conv(&k.to_string(), [0, width, width], dilation)?.0);
    }
    let ([_, _], weight) = shaped(tensors, "tcn.out.weight", [width, 2], 0)?;
    let (_, bias) = shaped(tensors, "tcn.out.bias", [2], 0)?;
    let out = Conv::new(1, width, 2, 1, &weight, &bias);
    if about.first_pad >= first.kernel() {
        return Err(WeightsError::Field {
            field: "tcn.first_pad".into(),
            value: about.first_pad.to_string(),
            rule: format!("must be less than the first kernel, {}", first.kernel()),
        });
    }
    Ok(Tcn::new(about, scale, shift, first, layers, out))
}

#[cfg(test)]
mod tests;
