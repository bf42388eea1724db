//! Reads an experiment's YAML: its data and its training. `earmark-learning`, which knows the networks, checks the section `model`.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::datasets::text;

/// Shipped experiments.
const SHIPPED: [(&str, &str); 4] = [
    ("uwav-llp", include_str!("experiments/uwav-llp.yaml")),
    ("uwav-ave", include_str!("experiments/uwav-ave.yaml")),
    ("link-llp", include_str!("experiments/link-llp.yaml")),
    ("kitchenmix", include_str!("experiments/kitchenmix.yaml")),
];
/// Most seconds per video, and most streams.
const MOST_SECONDS: usize = 3600;
const MOST_STREAMS: usize = 16;

/// The layout of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Labels {
    /// LLP.
    Llp,
    /// AVE.
    Ave,
}

/// The source of pseudo labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pseudo {
    /// None.
    #[default]
    None,
    /// A transformer over time, trained on the dense set.
    Temporal,
    /// The similarity of each second's features to the classes' names.
    Words,
}

/// Folders of features or datasets in files, side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streams {
    pub(super) audio: Vec<String>,
    pub(super) visual: Vec<String>,
}

/// Files with an embedding of each class's name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) audio: String,
    pub(super) visual: String,
}

/// A densely labelled set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dense {
    /// JSON in ActivityNet's form.
    pub(super) annotations: String,
    /// Seconds to use of each video.
    pub(super) seconds: usize,
    pub(super) audio: Vec<String>,
    pub(super) visual: Vec<String>,
    pub(super) words: Words,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    pub(super) title: String,
    /// The paper whose results are shown for comparison.
    #[serde(default)]
    pub(super) paper: Option<String>,
    pub(super) labels: Labels,
    pub(super) seconds: usize,
    pub(super) features: Streams,
    /// Features for pseudo labels; by default the same.
    #[serde(default)]
    pub(super) label_features: Option<Streams>,
    #[serde(default)]
    pub(super) words: Option<Words>,
    #[serde(default)]
    pub(super) pseudo: Pseudo,
    #[serde(default)]
    pub(super) dense: Option<Dense>,
    /// As `earmark-learning` takes it.
    #[serde(default)]
    pub(super) model: Map<String, Value>,
}

/// A shipped experiment.
///
/// # Errors
/// There is none with this name.
pub(super) fn shipped(name: &str) -> anyhow::Result<&'static str> {
    let found = SHIPPED.iter().find(|(own, _)| *own == name);
    found.map(|(_, text)| *text).with_context(|| {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        format!(
            "no experiment `{name}` is shipped; there are {}",
            names.join(", ")
        )
    })
}

impl Experiment {
    /// Reads a shipped experiment, or a file.
    ///
    /// # Errors
    /// There is none with this name, or it is invalid.
    pub(super) fn read(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(name);
        let text = if path.exists() {
            text::text(path)?
        } else {
            let wrong = || format!("and {name} is not a file");
            shipped(name).with_context(wrong)?.to_owned()
        };
        let it: Self =
            serde_yaml::from_str(&text).with_context(|| format!("{name} is not an experiment"))?;
        it.check().with_context(|| name.to_owned())?;
        Ok(it)
    }

    fn check(&self) -> anyhow::Result<()> {
        let seconds = |what: &str, x: usize| match x {
            1..=MOST_SECONDS => Ok(()),
            x => bail!("{what} is {x}: must be 1 to {MOST_SECONDS}"),
        };
        seconds("seconds", self.seconds)?;
        if self.seconds != crate::datasets::llp::SECONDS {
            bail!(
                "seconds is {}: the videos of LLP and AVE have {}",
                self.seconds,
                crate::datasets::llp::SECONDS
            );
        }
        let mut streams = vec![
            ("features.audio", &self.features.audio),
            ("features.visual", &self.features.visual),
        ];
        if let Some(of) = &self.label_features {
            streams.extend([
                ("label_features.audio", &of.audio),
                ("label_features.visual", &of.visual),
            ]);
        }
        if let Some(of) = &self.dense {
            seconds("dense.seconds", of.seconds)?;
            streams.extend([("dense.audio", &of.audio), ("dense.visual", &of.visual)]);
        }
        for (what, of) in streams {
            if of.is_empty() || of.len() > MOST_STREAMS {
                bail!(
                    "{what} has {} streams: must have 1 to {MOST_STREAMS}",
                    of.len()
                );
            }
        }
        if self.pseudo == Pseudo::Temporal && self.dense.is_none() {
            bail!("pseudo is `temporal`, and there is no section `dense` to train it on");
        }
        if self.pseudo != Pseudo::None && self.words.is_none() {
            bail!("pseudo labels need `words`: an embedding of each class's name");
        }
        Ok(())
    }

    /// Changes a setting of `model`: `losses.mixup=none`.
    ///
    /// # Errors
    /// It does not have this form. `earmark-learning` checks names and values.
    pub(super) fn set(&mut self, change: &str) -> anyhow::Result<()> {
        let wrong = || format!("--set {change}: must be KEY=VALUE, such as losses.mixup=none");
        let (key, value) = change.split_once('=').with_context(wrong)?;
        if value.is_empty() || key.split('.').any(str::is_empty) {
            bail!(wrong());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        let mut at = &mut self.model;
        let (path, last) = key.rsplit_once('.').with_context(wrong)?;
        for part in path.split('.') {
            let next = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            at = next.as_object_mut().with_context(wrong)?;
        }
        at.insert(last.to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_experiment_is_valid_and_can_be_changed() {
        for (name, _) in SHIPPED {
            let mut it = Experiment::read(name).unwrap();
            it.set("losses.mixup=none").unwrap();
            it.set("temporal.training.seed=7").unwrap();
            assert_eq!(it.model["losses"]["mixup"], "none");
            assert_eq!(it.model["temporal"]["training"]["seed"], 7);
            for wrong in ["losses", "=1", "losses.=1", "mixup=none", "losses.mixup="] {
                assert!(it.set(wrong).is_err(), "{wrong}");
            }
        }
        let said = format!("{:#}", Experiment::read("uwav").unwrap_err());
        assert!(
            said.contains("uwav-llp") && said.contains("not a file"),
            "{said}"
        );
    }
}
