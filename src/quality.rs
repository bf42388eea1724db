//! Audio-visual quality: how much the sound, the frames and the product of both count, by scene.

use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Largest file of weights, bytes.
const MOST_BYTES: u64 = 1 << 16;
/// The only version of the file.
const VERSION: u32 = 1;
/// How far the weights of a scene may be from adding up to 1.
const ROUNDED: f32 = 2e-3;

/// The content of a stretch, judged by sound and anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scene {
    /// Somebody speaks.
    Speech,
    /// An anchor is labelled as music.
    Music,
    /// There are anchors.
    Action,
    /// None of these.
    Ambience,
}

impl Scene {
    /// All, in the order of their conditions.
    pub const ALL: [Self; 4] = [Self::Speech, Self::Music, Self::Action, Self::Ambience];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Speech => "speech",
            Self::Music => "music",
            Self::Action => "action",
            Self::Ambience => "ambience",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scene| scene.name() == name)
    }
}

/// Weights of one scene; they add up to 1, so that a recording without a fault scores 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Of the sound's score.
    pub sound: f32,
    /// Of the frames' score.
    pub frames: f32,
    /// Of the product of both.
    pub both: f32,
}

impl Shares {
    /// The audio-visual score.
    pub fn score(&self, sound: f32, frames: f32) -> f32 {
        self.sound * sound + self.frames * frames + self.both * sound * frames
    }

    const fn of([sound, frames, both]: [f32; 3]) -> Self {
        Self {
            sound,
            frames,
            both,
        }
    }

    fn check(&self, scene: &str) -> anyhow::Result<()> {
        for (name, weight) in [
            ("sound", self.sound),
            ("frames", self.frames),
            ("both", self.both),
        ] {
            if !(0.0..=1.0).contains(&weight) {
                bail!("`{scene}.{name}` is {weight}: must be in 0..=1");
            }
        }
        let sum = self.sound + self.frames + self.both;
        if (sum - 1.0).abs() > ROUNDED {
            bail!("the weights of `{scene}` add up to {sum}: must add up to 1");
        }
        Ok(())
    }
}

/// Weights of every scene.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// See [`Scene`].
    pub speech: Shares,
    /// See [`Scene`].
    pub music: Shares,
    /// See [`Scene`].
    pub action: Shares,
    /// See [`Scene`].
    pub ambience: Shares,
}

impl Default for Weights {
    /// Speech and action follow the form of Hands, "A basic multimedia quality model" (2004): 1.15 + 0.17 A V for head and shoulders, and
    /// 0.95 + 0.25 V + 0.15 A V for high motion, on five grades; here mapped to [0, 1] and divided by their sum. Those numbers were quoted from
    /// memory and not compared with the paper. Music is action with sound and frames exchanged, ambience is even: choices, not fits.
    fn default() -> Self {
        Self {
            speech: Shares::of([0.17, 0.17, 0.66]),
            music: Shares::of([0.35, 0.13, 0.52]),
            action: Shares::of([0.13, 0.35, 0.52]),
            ambience: Shares::of([0.25, 0.25, 0.5]),
        }
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    weights: Weights,
}

impl Weights {
    /// Those of a scene.
    pub fn of(&self, scene: Scene) -> &Shares {
        match scene {
            Scene::Speech => &self.speech,
            Scene::Music => &self.music,
            Scene::Action => &self.action,
            Scene::Ambience => &self.ambience,
        }
    }

    /// Replaces those of a scene.
    pub fn set(&mut self, scene: Scene, shares: Shares) {
        *match scene {
            Scene::Speech => &mut self.speech,
            Scene::Music => &mut self.music,
            Scene::Action => &mut self.action,
            Scene::Ambience => &mut self.ambience,
        } = shares;
    }

    /// Reads a file that `earmark fit quality` wrote.
    ///
    /// # Errors
    /// It cannot be read, or is no such file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let size = std::fs::metadata(path)
            .with_context(|| format!("cannot read {name}"))?
            .len();
        if size > MOST_BYTES {
            bail!(
                "{name} has {size} bytes: weights of quality have a few hundred (is it another file?)"
            );
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&text).with_context(|| format!("{name} does not hold weights of quality"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let content: Content = serde_yaml::from_str(text)
            .map_err(|e| anyhow::anyhow!("{e} (`earmark fit quality` writes such files)"))?;
        if content.version != VERSION {
            bail!(
                "its version is {}: must be {VERSION} (was it written by a newer Earmark?)",
                content.version
            );
        }
        for scene in Scene::ALL {
            content.weights.of(scene).check(scene.name())?;
        }
        Ok(content.weights)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# Weights of audio-visual quality. A pipeline names this file: quality: {{ weights: FILE }}\nversion: {VERSION}\nweights:\n"
        );
        for scene in Scene::ALL {
            let Shares {
                sound,
                frames,
                both,
            } = self.of(scene);
            text += &format!(
                "  {:9} {{ sound: {sound:.4}, frames: {frames:.4}, both: {both:.4} }}\n",
                format!("{}:", scene.name())
            );
        }
        text
    }

    /// What a run records of them in its configuration.
    pub fn recorded(&self, file: &str) -> Value {
        json!({ "weights": file, "by_scene": self })
    }

    /// Those that a run recorded in its configuration, else the default.
    pub fn of_run(config: &Value) -> Self {
        let given = config.get("quality").and_then(|own| own.get("by_scene"));
        given
            .and_then(|given| serde_json::from_value::<Self>(given.clone()).ok())
            .filter(|own| {
                Scene::ALL
                    .into_iter()
                    .all(|scene| own.of(scene).check("").is_ok())
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one_and_files_of_them_come_back() {
        let mut weights = Weights::default();
        for scene in Scene::ALL {
            weights.of(scene).check(scene.name()).unwrap();
            assert!((weights.of(scene).score(1.0, 1.0) - 1.0).abs() < 1e-6);
            assert_eq!(Scene::named(scene.name()), Some(scene));
        }
        weights.set(Scene::Music, Shares::of([0.5, 0.0, 0.5]));
        assert_eq!(Weights::parse(&weights.text()).unwrap(), weights);
        let config = json!({ "quality": weights.recorded("mine.yaml") });
        assert_eq!(Weights::of_run(&config), weights);
        for other in [json!({}), json!({ "quality": { "by_scene": 3 } })] {
            assert_eq!(Weights::of_run(&other), Weights::default());
        }
    }

    #[test]
    fn wrong_files_are_refused_with_the_reason() {
        let text = Weights::default().text();
        let wrong = |from: &str, to: &str| {
            format!("{:#}", Weights::parse(&text.replace(from, to)).unwrap_err())
        };
        assert!(wrong("0.1700, frames", "0.9, frames").contains("`speech` add up to 1.73"));
        assert!(wrong("0.1700, frames", "-2, frames").contains("`speech.sound` is -2"));
        assert!(wrong("version: 1", "version: 7").contains("version is 7"));
        assert!(wrong("  music:", "  musik:").contains("musik"));
        assert!(wrong("0.1700, frames", "x, frames").contains("fit quality"));
    }
}
