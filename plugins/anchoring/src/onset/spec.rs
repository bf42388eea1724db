//! What a weights file says of itself: how its tensors belong together, how probes mix and calibrate them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::onset::calibration::{Calibration, one};
use crate::onset::candidate::{LEARNED, LIKENESS_NAMES, STEADY, SURROUNDING_NAMES};
use crate::onset::inputs::{VIEW, input_index, input_names};
use crate::onset::tensors::WeightsError;

/// What [`About::schema`] must say.
pub const SCHEMA: &str = "earmark-ears/1";

/// The metadata entry that holds [`About`].
pub const ENTRY: &str = "ears";

/// Name of the probe that is the MLP over hand-made features.
pub const ONSET: &str = "onset";

/// Name of the probe that mixes it with the TCN's view.
pub const ONSET_TCN: &str = "onset+tcn";
pub(super) const DEEPEST: usize = 32;
pub(super) const LONGEST_KERNEL: usize = 16;
const FURTHEST: usize = 4096;

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
    /// How far each band lies above its background: [`crate::hearing::background`].
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
    #[serde(default = "one")]
    pub voiced: f32,
}

impl AboutMlp {
    pub(super) fn needs_metric(&self) -> bool {
        let learned = |name: &String| {
            let name = name.as_str();
            name == STEADY || LEARNED.contains(&name) || SURROUNDING_NAMES.contains(&name)
        };
        self.inputs.iter().chain(&self.peers).any(learned)
    }
}

impl About {
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
