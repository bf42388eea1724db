//! The gate's properties, and the set-up that they make.

mod properties;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anchoring::anchor::offset;
use anchoring::planning::clips::{ClipPlace, ClipShape, FrameSpacing};
use anchoring::settings::{FURTHEST_MS, Policy, Settings};
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use gst::glib;

use super::EarmarkAccess;
use super::entry_source::USUAL_INTERVAL;
use super::queue::Setup;
use crate::models;
use properties::PROPERTIES;

/// The properties as they were set.
#[derive(Clone, Debug)]
pub(super) struct Properties {
    settings: Settings,
    /// As one line; [`Self::setup`] parses it into the settings.
    class_offsets: Option<String>,
    prices: [u64; 3],
    plan: Option<String>,
    classes: Option<String>,
    video_id: Option<String>,
    max_bytes: u64,
    max_lag_ms: u32,
    patience_ms: u32,
    access: EarmarkAccess,
    sharpest_ms: u32,
    clip_frames: u32,
    clip_every_frames: u32,
    clip_every_ms: f64,
}

impl Default for Properties {
    fn default() -> Self {
        let prices = Prices::default();
        Self {
            settings: Settings::default(),
            class_offsets: None,
            prices: Tier::ALL.map(|tier| prices.of(tier)),
            plan: None,
            classes: None,
            video_id: None,
            max_bytes: 128 << 20,
            max_lag_ms: 30_000,
            patience_ms: 5_000,
            access: EarmarkAccess::default(),
            sharpest_ms: 0,
            clip_frames: 0,
            clip_every_frames: 1,
            clip_every_ms: 0.0,
        }
    }
}

/// Properties that contradict each other or name something missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadProperties {
    #[error(
        "prices are {0:?}, but must follow 0 < price-low <= price-base <= price-high (did you swap them?)"
    )]
    Prices([u64; 3]),
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    #[error("classes: {0}")]
    Classes(#[from] models::ModelError),
    #[error("class-offset-ms: {0}")]
    ClassOffsets(String),
}

impl Properties {
    /// Checks the properties and reads the class list.
    pub(super) fn setup(&self) -> Result<Setup, BadProperties> {
        let [low, base, high] = self.prices;
        let prices = Prices::new(low, base, high).ok_or(BadProperties::Prices(self.prices))?;
        let labels = self.labels()?;
        let mut settings = self.settings.clone();
        // A plan file was checked when it was made.
        if self.plan.is_none() {
            if let Some(why) = self.needs_a_plan() {
                return Err(BadProperties::Settings(vec![why.into()]));
            }
            if let Some(text) = &self.class_offsets {
                settings.anchors.class_offset_ms = class_offsets(text, &labels)?;
            }
            let problems = settings.check(prices);
            if !problems.is_empty() {
                let problems = problems.iter().map(ToString::to_string);
                return Err(BadProperties::Settings(problems.collect()));
            }
        }
        Ok(Setup {
            settings,
            prices,
            plan: self.plan.as_ref().map(Into::into),
            labels,
            video_id: self.video_id.clone().unwrap_or_default(),
            max_bytes: usize::try_from(self.max_bytes).unwrap_or(usize::MAX),
            max_lag: Nanos::from_ms(self.max_lag_ms.into()),
            access: self.access,
            // A clip's frames are those of its plan.
            sharpest: match self.clip_frames {
                0 => Nanos::from_ms(self.sharpest_ms.into()),
                _ => Nanos::ZERO,
            },
            clips: self.clips(),
        })
    }

    /// Where clips lie, if the encoder takes any.
    fn clips(&self) -> Option<ClipPlace> {
        let every = match self.clip_every_ms {
            ms if ms > 0.0 => FrameSpacing::Time(Nanos::new((ms * 1e6).round() as i64)),
            _ => FrameSpacing::Frames(self.clip_every_frames),
        };
        let shape = ClipShape {
            frames: self.clip_frames,
            every,
        };
        (self.clip_frames > 0).then(|| ClipPlace::new(shape, &self.settings))
    }

    /// What cannot be planned while the cues come.
    fn needs_a_plan(&self) -> Option<&'static str> {
        match self.settings.budget.policy {
            Policy::Grid => Some(
                "policy is grid, which needs a plan: the frames of a recording are counted before it is decoded (`earmark run` does)",
            ),
            Policy::Dense if self.clip_frames > 0 => Some(
                "policy is dense, which takes single frames, but clip-frames is set (did you mean the policy grid?)",
            ),
            _ => None,
        }
    }

    fn labels(&self) -> Result<Vec<String>, models::ModelError> {
        let Some(classes) = &self.classes else {
            return Ok(Vec::new());
        };
        let path = Path::new(classes);
        if path.extension().is_some_and(|extension| extension == "csv") {
            return models::read_classes(path);
        }
        match models::find(classes)?.classes_path() {
            Some(path) => models::read_classes(&path),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn access(&self) -> EarmarkAccess {
        self.access
    }

    /// How long to wait for cues, in wall time.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// How long a decision waits for later sound: the look-ahead, plus the time by which a frame may precede its sound.
    pub(super) fn look_ahead(&self) -> Nanos {
        let offsets = self.class_offsets.as_deref().map(offset::from_text);
        let by_class = offsets.and_then(Result::ok).unwrap_or_default();
        let earliest = by_class.into_values().min().unwrap_or(0);
        let anchors = &self.settings.anchors;
        let earliest = earliest.min(anchors.offset_ms).max(-FURTHEST_MS);
        let early = i64::from(earliest) + i64::from(anchors.look_ms.min(0));
        let before = Nanos::from_ms(i64::from(self.settings.budget.look_ahead_ms) - early.min(0));
        let clip = self.clips();
        clip.map_or(before, |clip| before + clip.longest_before(USUAL_INTERVAL))
    }

    pub(super) fn max_lag(&self) -> Nanos {
        Nanos::from_ms(self.max_lag_ms.into())
    }

    pub(super) fn specs() -> &'static [glib::ParamSpec] {
        static SPECS: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut defaults = Properties::default();
            PROPERTIES
                .iter()
                .map(|property| property.spec(&mut defaults))
                .collect()
        });
        &SPECS
    }

    /// Sets a value, whose type and range GObject has checked.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        if let Some(property) = PROPERTIES.iter().find(|property| property.name == name) {
            property.set(self, value);
        }
    }

    /// Gives a value; `None` if there is no such property.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        let property = PROPERTIES.iter().find(|property| property.name == name)?;
        Some(property.get(&mut self.clone()))
    }
}

/// Parses offsets by class; every name must be a class.
fn class_offsets(
    text: &str,
    classes: &[String],
) -> Result<std::collections::BTreeMap<String, i32>, BadProperties> {
    let bad = BadProperties::ClassOffsets;
    let offsets = offset::from_text(text).map_err(bad)?;
    if classes.is_empty() && !offsets.is_empty() {
        let text = "needs `classes`, the list of its names (such as classes=yamnet)";
        return Err(bad(text.into()));
    }
    let given = anchoring::settings::AnchorSettings {
        class_offset_ms: offsets,
        ..Default::default()
    };
    if let Some((name, meant)) = offset::unknown_classes(&given, classes).first() {
        let meant = meant.map_or(String::new(), |meant| format!(" (did you mean `{meant}`?)"));
        return Err(bad(format!(
            "unknown class `{name}`{meant}: `classes` does not list it"
        )));
    }
    Ok(given.class_offset_ms)
}

#[cfg(test)]
mod tests {
    use gst::prelude::*;

    use super::*;

    #[test]
    fn every_property_can_be_set_and_read_back() {
        let mut properties = Properties::default();
        for (property, spec) in PROPERTIES.iter().zip(Properties::specs()) {
            assert_eq!(property.name, spec.name());
            let default = properties.get(property.name).unwrap();
            properties.set(property.name, &default);
        }
        properties.set("look-ms", &(-20i32).to_value());
        assert_eq!(properties.settings.anchors.look_ms, -20);
        assert!(properties.setup().is_ok());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let mut properties = Properties::default();
        properties.set("price-low", &1000u64.to_value());
        assert!(matches!(properties.setup(), Err(BadProperties::Prices(_))));
        let mut properties = Properties::default();
        properties.set("class-offset-ms", &"Water=-300".to_value());
        let error = |properties: &Properties| properties.setup().unwrap_err().to_string();
        assert!(error(&properties).contains("needs `classes`"));
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("c.csv");
        let text = "index,mid,display_name\n0,/m/1,\"Water tap, faucet\"\n";
        std::fs::write(&list, text).unwrap();
        properties.set("classes", &list.to_str().unwrap().to_value());
        assert!(error(&properties).contains("did you mean `Water tap, faucet`?"));
        properties.set("class-offset-ms", &"Water tap, faucet=soon".to_value());
        assert!(error(&properties).contains("is not `class=ms`"));
        properties.set("class-offset-ms", &"Water tap, faucet=-6000".to_value());
        assert!(error(&properties).contains("-5000..=5000"));
        properties.set("class-offset-ms", &"Water tap, faucet=-300".to_value());
        let setup = properties.setup().unwrap();
        assert_eq!(
            setup.settings.anchors.class_offset_ms["Water tap, faucet"],
            -300
        );
        let mut properties = Properties::default();
        properties.set("tokens-per-s", &1.0f64.to_value());
        let error = properties.setup().unwrap_err().to_string();
        assert!(error.contains("tokens_per_s"), "{error}");
    }
}
