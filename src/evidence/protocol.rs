//! The protocol of a comparison: budget, tiers and policies, read from YAML.

use std::collections::BTreeSet;
use std::path::Path;

use anchoring::tier::{Tier, Tokens};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The default protocol.
pub(crate) const DEFAULT: &str = include_str!("protocol.yaml");
/// Most policies.
const MOST: usize = 100;

/// A checked protocol.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Protocol {
    version: u32,
    /// Seconds per piece.
    pub(crate) seconds: usize,
    /// Tokens per piece.
    pub(crate) budget_tokens: Tokens,
    anchors: usize,
    grow_s: usize,
    pub(crate) anchor_tier: Tier,
    pub(crate) grown_tier: Tier,
    pub(crate) background_tier: Tier,
    pub(crate) probe: String,
    pub(crate) baseline: String,
    pub(crate) seed: u64,
    pub(crate) policies: Vec<Policy>,
}

/// A way to sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) tier: Option<Tier>,
    #[serde(default)]
    anchors: Option<usize>,
    #[serde(default)]
    grow_s: Option<usize>,
    #[serde(default)]
    budget_tokens: Option<Tokens>,
    /// The tagger's probabilities at which sampling turns on, and off.
    #[serde(default)]
    pub(crate) on: Option<f32>,
    #[serde(default)]
    pub(crate) off: Option<f32>,
    #[serde(default)]
    pub(crate) also: Option<Also>,
}

/// How the sharp seconds are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Uniform,
    Random,
    Energy,
    Tagger,
    Onset,
    Following,
    Shifted,
    Oracle,
    Trigger,
    Spread,
}

impl Policy {
    /// Whether it needs the sound.
    pub(crate) fn listens(&self) -> bool {
        match self.kind {
            Kind::Uniform => matches!(self.also, Some(Also::Audio | Also::Location)),
            Kind::Random | Kind::Oracle => false,
            Kind::Energy
            | Kind::Tagger
            | Kind::Onset
            | Kind::Following
            | Kind::Shifted
            | Kind::Trigger
            | Kind::Spread => true,
        }
    }
}

/// What a head gets besides the features of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Also {
    /// The sound of each second.
    Audio,
    /// The tiers that the policy `onset` with the same budget would choose.
    Location,
    /// The tiers that the policy `oracle` would choose: what the labels alone give away.
    OracleLocation,
}

/// A policy's settings, its own or the protocol's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) anchors: usize,
    pub(crate) grow: usize,
    pub(crate) budget: Tokens,
}

impl Protocol {
    /// Reads a protocol; without a file, the default.
    ///
    /// # Errors
    /// It cannot be read, or is invalid.
    pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let (name, text) = match file {
            None => ("the default protocol".to_owned(), DEFAULT.to_owned()),
            Some(file) => (
                file.display().to_string(),
                crate::datasets::text::text(file)?,
            ),
        };
        let protocol: Self =
            serde_yaml::from_str(&text).with_context(|| format!("{name} is not a protocol"))?;
        protocol.check().with_context(|| name)?;
        Ok(protocol)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.version != 1 {
            bail!("version is {}: must be 1", self.version);
        }
        if !(2..=3_600).contains(&self.seconds) {
            bail!("seconds is {}: must be 2 to 3600", self.seconds);
        }
        if self.policies.is_empty() || self.policies.len() > MOST {
            bail!(
                "has {} policies: must have 1 to {MOST}",
                self.policies.len()
            );
        }
        for (i, policy) in self.policies.iter().enumerate() {
            let name = &policy.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) || name.starts_with('.') {
                bail!(
                    "policy `{name}`: a name has letters, digits, `-`, `_` and `.`, and does not begin with `.`"
                );
            }
            if self.policies[..i].iter().any(|other| other.name == *name) {
                bail!("policy `{name}` is there twice");
            }
            let numbers = self.numbers(policy);
            if numbers.anchors == 0 || numbers.anchors > self.seconds {
                bail!(
                    "policy `{name}`: anchors is {}: must be 1 to the {} seconds of a piece",
                    numbers.anchors,
                    self.seconds
                );
            }
            if numbers.grow > 2 {
                bail!(
                    "policy `{name}`: grow_s is {}: must be 0, 1 or 2",
                    numbers.grow
                );
            }
            if (policy.kind == Kind::Uniform) != policy.tier.is_some() {
                bail!("policy `{name}`: kind uniform needs a tier, and no other kind takes one");
            }
            let (on, off) = (policy.on.unwrap_or(0.5), policy.off.unwrap_or(0.35));
            if !(0.0..=1.0).contains(&on) || !(0.0..=on).contains(&off) {
                bail!(
                    "policy `{name}`: on is {on} and off {off}: must lie in 0..=1, off not above on"
                );
            }
        }
        if !self
            .policies
            .iter()
            .any(|policy| policy.name == self.baseline)
        {
            bail!("baseline is `{}`, which is not a policy", self.baseline);
        }
        Ok(())
    }

    /// Every tier that a policy may ask for.
    pub(crate) fn tiers(&self) -> BTreeSet<Tier> {
        let mut tiers: BTreeSet<Tier> =
            [self.anchor_tier, self.grown_tier, self.background_tier].into();
        tiers.extend(self.policies.iter().filter_map(|policy| policy.tier));
        tiers
    }

    pub(crate) fn numbers(&self, policy: &Policy) -> Numbers {
        Numbers {
            anchors: policy.anchors.unwrap_or(self.anchors),
            grow: policy.grow_s.unwrap_or(self.grow_s),
            budget: policy.budget_tokens.unwrap_or(self.budget_tokens),
        }
    }
}
