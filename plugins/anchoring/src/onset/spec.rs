//! The metadata of a weights file: how its tensors form networks, and how probes mix and calibrate them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::onset::calibration::{Calibration, one};
use crate::onset::inputs::{TCN_FEATURE_NAMES, input_index, input_names};
use crate::onset::peak_features::{COMPARISON_NAMES, CONTEXT_NAMES, METRIC_COMPARISONS, STEADY};
use crate::onset::tensors::WeightsError;
use crate::onset::uncertainty::UncertaintySpec;

/// The value of [`WeightsSpec::schema`].
pub const SCHEMA: &str = "earmark-ears/1";

/// The metadata entry that holds a [`WeightsSpec`].
pub const ENTRY: &str = "ears";

/// Name of the probe that is an MLP over hand-made features.
pub const ONSET: &str = "onset";

/// Name of the probe that adds the TCN's features.
pub const ONSET_TCN: &str = "onset+tcn";
pub(super) const DEEPEST: usize = 32;
pub(super) const LONGEST_KERNEL: usize = 16;
const FURTHEST: usize = 4096;

/// How the tensors form networks; the metadata entry `ears`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSpec {
    /// Its [`SCHEMA`].
    pub schema: String,
    /// Name of the weights in reports.
    pub name: String,
    /// The MLPs.
    pub mlps: Vec<MlpSpec>,
    /// The TCN, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcn: Option<TcnSpec>,
    /// How each probe (`onset`, `onset+tcn`) uses them.
    pub probes: BTreeMap<String, ProbeSpec>,
    /// Where the weights come from: data, seed, scores, hash of the code. For people and reports.
    #[serde(default)]
    pub provenance: BTreeMap<String, String>,
}

/// The description of an MLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpSpec {
    /// Its part of the tensors' names.
    pub name: String,
    /// Names of its inputs, in order: any of [`input_names`].
    pub inputs: Vec<String>,
    /// The comparisons with each earlier peak that it sees, in order: any of [`COMPARISON_NAMES`]; empty: it sees no other peak.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

/// The description of the TCN, beyond the shapes of its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcnSpec {
    /// Its input.
    #[serde(default)]
    pub input: TcnInput,
    /// Mel frames from one output to the next, 1..=8.
    pub stride: usize,
    /// Frames of zeros before the first frame, fewer than the first kernel.
    pub first_pad: usize,
    /// Outputs from one tap to the next, by layer, 1..=4096.
    pub dilations: Vec<usize>,
    /// Output `i` describes the time of output `i - delay`, 0..=250: this far the TCN looks ahead.
    pub delay: usize,
}

/// What a TCN sees of a mel frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcnInput {
    /// `ln(mel + 0.0001)`.
    #[default]
    Mel,
    /// Distance of each band above its background: [`crate::hearing::background`].
    Above,
}

/// How a probe uses the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSpec {
    /// The MLPs whose logits are averaged.
    pub mix: Vec<String>,
    /// How logits become probabilities.
    #[serde(flatten)]
    pub calibration: Calibration,
    /// Less likely onsets are dropped, 0..=1.
    #[serde(default)]
    pub threshold: f32,
    /// Added to the time of each onset, ms, -100..=100.
    #[serde(default)]
    pub shift_ms: i32,
    /// How strongly speech lowers the score of an onset near it, 0..=1: the probability is multiplied by `1 -
    /// speech_discount * P(speech)`. 1 for networks that were not trained to find other events while somebody speaks.
    #[serde(rename = "voiced", default = "one")]
    pub speech_discount: f32,
    /// How uncertain an onset is; without it, `1 - p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<UncertaintySpec>,
}

impl MlpSpec {
    pub(super) fn needs_metric(&self) -> bool {
        let learned = |name: &String| {
            let name = name.as_str();
            name == STEADY || METRIC_COMPARISONS.contains(&name) || CONTEXT_NAMES.contains(&name)
        };
        self.inputs.iter().chain(&self.peers).any(learned)
    }
}

impl WeightsSpec {
    pub(super) fn check(&self) -> Result<(), WeightsError> {
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
        let one_comparison = one_of(&COMPARISON_NAMES);
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
                "must be unique and not empty",
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
                    self.tcn.is_some() || !TCN_FEATURE_NAMES.contains(&input.as_str()),
                    format!("{field}.inputs"),
                    format!("`{input}`"),
                    "needs a TCN, but the file has none",
                )?;
            }
            for peer in &mlp.peers {
                need(
                    COMPARISON_NAMES.contains(&peer.as_str()),
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
                let views = |mlp: &MlpSpec| {
                    mlp.inputs
                        .iter()
                        .any(|i| TCN_FEATURE_NAMES.contains(&i.as_str()))
                };
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
            let uncertainty = probe.uncertainty.as_ref();
            if let Some((of, value, rule)) = uncertainty.and_then(UncertaintySpec::problem) {
                need(false, field(of), value, rule)?;
            }
            for (of, share) in [
                ("threshold", probe.threshold),
                ("voiced", probe.speech_discount),
            ] {
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
