//! The gate's properties and what is made of them.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use anchoring::offset;
use anchoring::settings::{LONGEST_MS, Policy, Settings, Widen};
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use gst::glib;
use gst::prelude::*;

use super::desk::Setup;
use super::{EarmarkAccess, EarmarkPolicy, EarmarkTier, EarmarkWiden};
use crate::models;

/// The properties as they were set.
#[derive(Clone, Debug)]
pub(super) struct Properties {
    settings: Settings,
    /// As one line; the settings' own stay empty until [`Self::setup`].
    class_offsets: Option<String>,
    prices: [u64; 3],
    plan: Option<String>,
    classes: Option<String>,
    video_id: Option<String>,
    max_bytes: u64,
    max_lag_ms: u32,
    patience_ms: u32,
    access: EarmarkAccess,
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
        }
    }
}

/// Properties that don't go together, or name what is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadProperties {
    #[error(
        "prices are {0:?}: they must rise, 0 < price-low <= price-base <= price-high (did you swap them?)"
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
    /// Checks everything and reads the class list.
    pub(super) fn setup(&self) -> Result<Setup, BadProperties> {
        let [low, base, high] = self.prices;
        let prices = Prices::new(low, base, high).ok_or(BadProperties::Prices(self.prices))?;
        let labels = self.labels()?;
        let mut settings = self.settings.clone();
        // A plan that is followed was checked when it was made.
        if self.plan.is_none() {
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
        })
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

    /// Wall time to wait for cues.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// How long a decision waits for what is heard after it: the look-ahead, and as much as a picture may come before its sound.
    pub(super) fn look_ahead(&self) -> Nanos {
        let offsets = self.class_offsets.as_deref().map(offset::from_text);
        let by_class = offsets.and_then(Result::ok).unwrap_or_default();
        let earliest = by_class.into_values().min().unwrap_or(0);
        let anchors = &self.settings.anchors;
        let earliest = earliest.min(anchors.offset_ms).max(-offset::FURTHEST_MS);
        let early = i64::from(earliest) + i64::from(anchors.look_ms.min(0));
        Nanos::from_ms(i64::from(self.settings.budget.look_ahead_ms) - early.min(0))
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

    /// Takes a value that GObject has checked against the property's type and range.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        if let Some(property) = PROPERTIES.iter().find(|property| property.name == name) {
            property.set(self, value);
        }
    }

    /// `None` if there is no such property here.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        let property = PROPERTIES.iter().find(|property| property.name == name)?;
        Some(property.get(&mut self.clone()))
    }
}

/// Offsets by class from their line; every name must be a class.
fn class_offsets(
    text: &str,
    classes: &[String],
) -> Result<std::collections::BTreeMap<String, i32>, BadProperties> {
    let bad = BadProperties::ClassOffsets;
    let offsets = offset::from_text(text).map_err(bad)?;
    if classes.is_empty() && !offsets.is_empty() {
        let text = "needs `classes`, the list that its names are of (such as classes=yamnet)";
        return Err(bad(text.into()));
    }
    let given = anchoring::settings::AnchorSettings {
        class_offset_ms: offsets,
        ..Default::default()
    };
    if let Some((name, meant)) = offset::unknown(&given, classes).first() {
        let meant = meant.map_or(String::new(), |meant| format!(" (did you mean `{meant}`?)"));
        return Err(bad(format!("`{name}` is no class of `classes`{meant}")));
    }
    Ok(given.class_offset_ms)
}

struct Property {
    name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    field: Field,
}

/// Type, range and place of a property.
enum Field {
    Uint(u32, u32, fn(&mut Properties) -> &mut u32),
    Uint64(u64, u64, fn(&mut Properties) -> &mut u64),
    Int(i32, i32, fn(&mut Properties) -> &mut i32),
    Real(f64, f64, fn(&mut Properties) -> &mut f64),
    Text(fn(&mut Properties) -> &mut Option<String>),
    Tier(fn(&mut Properties) -> &mut Tier),
    Policy(fn(&mut Properties) -> &mut Policy),
    Access(fn(&mut Properties) -> &mut EarmarkAccess),
    Widen(fn(&mut Properties) -> &mut Widen),
}

impl Property {
    fn spec(&self, defaults: &mut Properties) -> glib::ParamSpec {
        let Self {
            name, nick, blurb, ..
        } = *self;
        match self.field {
            Field::Uint(low, high, at) => glib::ParamSpecUInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(*at(defaults))
                .mutable_ready()
                .build(),
            Field::Uint64(low, high, at) => glib::ParamSpecUInt64::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(*at(defaults))
                .mutable_ready()
                .build(),
            Field::Int(low, high, at) => glib::ParamSpecInt::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(*at(defaults))
                .mutable_ready()
                .build(),
            Field::Real(low, high, at) => glib::ParamSpecDouble::builder(name)
                .nick(nick)
                .blurb(blurb)
                .minimum(low)
                .maximum(high)
                .default_value(*at(defaults))
                .mutable_ready()
                .build(),
            Field::Text(_) => glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .mutable_ready()
                .build(),
            Field::Tier(at) => {
                glib::ParamSpecEnum::builder_with_default(name, EarmarkTier::from(*at(defaults)))
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            }
            Field::Policy(at) => {
                glib::ParamSpecEnum::builder_with_default(name, EarmarkPolicy::from(*at(defaults)))
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            }
            Field::Access(at) => glib::ParamSpecEnum::builder_with_default(name, *at(defaults))
                .nick(nick)
                .blurb(blurb)
                .mutable_ready()
                .build(),
            Field::Widen(at) => {
                glib::ParamSpecEnum::builder_with_default(name, EarmarkWiden::from(*at(defaults)))
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            }
        }
    }

    fn set(&self, properties: &mut Properties, value: &glib::Value) {
        fn put<'a, T: glib::value::FromValue<'a>>(place: &mut T, value: &'a glib::Value) {
            if let Ok(value) = value.get() {
                *place = value;
            }
        }
        match self.field {
            Field::Uint(_, _, at) => put(at(properties), value),
            Field::Uint64(_, _, at) => put(at(properties), value),
            Field::Int(_, _, at) => put(at(properties), value),
            Field::Real(_, _, at) => put(at(properties), value),
            Field::Text(at) => {
                let text: Option<String> = value.get().unwrap_or_default();
                *at(properties) = text.filter(|text| !text.is_empty());
            }
            Field::Tier(at) => {
                if let Ok(tier) = value.get::<EarmarkTier>() {
                    *at(properties) = tier.into();
                }
            }
            Field::Policy(at) => {
                if let Ok(policy) = value.get::<EarmarkPolicy>() {
                    *at(properties) = policy.into();
                }
            }
            Field::Access(at) => put(at(properties), value),
            Field::Widen(at) => {
                if let Ok(widen) = value.get::<EarmarkWiden>() {
                    *at(properties) = widen.into();
                }
            }
        }
    }

    fn get(&self, properties: &mut Properties) -> glib::Value {
        match self.field {
            Field::Uint(_, _, at) => at(properties).to_value(),
            Field::Uint64(_, _, at) => at(properties).to_value(),
            Field::Int(_, _, at) => at(properties).to_value(),
            Field::Real(_, _, at) => at(properties).to_value(),
            Field::Text(at) => at(properties).to_value(),
            Field::Tier(at) => EarmarkTier::from(*at(properties)).to_value(),
            Field::Policy(at) => EarmarkPolicy::from(*at(properties)).to_value(),
            Field::Access(at) => at(properties).to_value(),
            Field::Widen(at) => EarmarkWiden::from(*at(properties)).to_value(),
        }
    }
}

const fn property(
    name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    field: Field,
) -> Property {
    Property {
        name,
        nick,
        blurb,
        field,
    }
}

/// Ranges are those of [`Settings::check`].
const PROPERTIES: [Property; 33] = [
    property(
        "policy",
        "Policy",
        "What decides where to look; `plan` overrides it",
        Field::Policy(|p| &mut p.settings.budget.policy),
    ),
    property(
        "plan",
        "Plan file",
        "Path of a plan.jsonl to follow; unset: plan as the cues come",
        Field::Text(|p| &mut p.plan),
    ),
    property(
        "tokens-per-s",
        "Budget",
        "Visual tokens to spend per second of recording",
        Field::Real(0.001, 1e6, |p| &mut p.settings.budget.tokens_per_s),
    ),
    property(
        "burst-s",
        "Burst",
        "How much the token bucket holds, in seconds of tokens-per-s",
        Field::Real(1.0, 3600.0, |p| &mut p.settings.budget.burst_s),
    ),
    property(
        "anchor-tier",
        "Anchor tier",
        "Resolution of the picture at an anchor",
        Field::Tier(|p| &mut p.settings.budget.anchor_tier),
    ),
    property(
        "background-tier",
        "Background tier",
        "Resolution of background frames: frames without an anchor, taken so that nothing goes unseen",
        Field::Tier(|p| &mut p.settings.budget.background_tier),
    ),
    property(
        "untrusted-tier",
        "Untrusted tier",
        "Resolution of frames where there is no sound or it can't be trusted, and of the policies uniform and dense, which trust no sound",
        Field::Tier(|p| &mut p.settings.budget.untrusted_tier),
    ),
    property(
        "max-gap-ms",
        "Largest gap",
        "Largest time between two looks, ms",
        Field::Uint(1, 3_600_000, |p| &mut p.settings.budget.max_gap_ms),
    ),
    property(
        "distrust",
        "Distrust",
        "From this uncertainty on, the sound is not trusted",
        Field::Real(0.0, 1.0, |p| &mut p.settings.budget.distrust),
    ),
    property(
        "events-per-min",
        "Expected events",
        "How many events are expected to begin in a minute; 0: blind looks where the sound can't be trusted are worth nothing",
        Field::Real(0.0, 600.0, |p| &mut p.settings.budget.events_per_min),
    ),
    property(
        "event-s",
        "Length of events",
        "How long events last: half of them longer than 0.4 times this, seconds",
        Field::Real(0.01, 3600.0, |p| &mut p.settings.budget.event_s),
    ),
    property(
        "miss-rate",
        "Missed events",
        "Share of the events that the sound is expected not to tell of where it can be trusted",
        Field::Real(0.0, 1.0, |p| &mut p.settings.budget.miss_rate),
    ),
    property(
        "look-ahead-ms",
        "Look-ahead",
        "How far the planner hears ahead before it decides, ms",
        Field::Uint(100, 60_000, |p| &mut p.settings.budget.look_ahead_ms),
    ),
    property(
        "pre-ms",
        "Before the onset",
        "Window before an anchor's onset, ms",
        Field::Uint(0, 60_000, |p| &mut p.settings.anchors.pre_ms),
    ),
    property(
        "post-ms",
        "After the onset",
        "Window after an anchor's onset, ms",
        Field::Uint(1, 60_000, |p| &mut p.settings.anchors.post_ms),
    ),
    property(
        "uncertainty-gain",
        "Widening",
        "Windows grow by this times the anchor's uncertainty (1 - score), factor",
        Field::Real(0.0, 10.0, |p| &mut p.settings.anchors.uncertainty_gain),
    ),
    property(
        "widen",
        "Sides that grow",
        "Which sides of a window grow with uncertainty",
        Field::Widen(|p| &mut p.settings.anchors.widen),
    ),
    property(
        "min-window-ms",
        "Least window",
        "Windows are no shorter than this, ms, unless another anchor or an end of the recording cuts them",
        Field::Uint(0, 120_000, |p| &mut p.settings.anchors.min_window_ms),
    ),
    property(
        "max-window-ms",
        "Most window",
        "Windows grow no longer than this, ms",
        Field::Uint(1, LONGEST_MS, |p| &mut p.settings.anchors.max_window_ms),
    ),
    property(
        "min-gap-ms",
        "Least distance",
        "Least time between two anchors, ms",
        Field::Uint(0, 60_000, |p| &mut p.settings.anchors.min_gap_ms),
    ),
    property(
        "look-ms",
        "Look at",
        "The picture is taken this long after the onset, ms; kept inside the window",
        Field::Int(-5000, 5000, |p| &mut p.settings.anchors.look_ms),
    ),
    property(
        "offset-ms",
        "Offset",
        "How much later than its sound an event is seen, ms: moves windows and looks; negative where the picture comes first",
        Field::Int(-offset::FURTHEST_MS, offset::FURTHEST_MS, |p| {
            &mut p.settings.anchors.offset_ms
        }),
    ),
    property(
        "class-offset-ms",
        "Offsets by class",
        "The same by class, instead of offset-ms: `class=ms;class=ms`, names as in `classes`, which must be set",
        Field::Text(|p| &mut p.class_offsets),
    ),
    property(
        "threshold",
        "Threshold",
        "Onsets less likely than this are no anchors, probability",
        Field::Real(0.0, 1.0, |p| &mut p.settings.anchors.threshold),
    ),
    property(
        "price-low",
        "Price of low",
        "What a picture of tier low costs, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[0]),
    ),
    property(
        "price-base",
        "Price of base",
        "What a picture of tier base costs, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[1]),
    ),
    property(
        "price-high",
        "Price of high",
        "What a picture of tier high costs, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[2]),
    ),
    property(
        "classes",
        "Class list",
        "Where anchors get their labels: a CSV file (index,mid,display_name), or a tagger's name; unset: no labels",
        Field::Text(|p| &mut p.classes),
    ),
    property(
        "video-id",
        "Video id",
        "Name of the recording, sent on with the plan; a plan file has its own",
        Field::Text(|p| &mut p.video_id),
    ),
    property(
        "max-bytes",
        "Most bytes",
        "Most encoded video that may wait for cues, bytes; then the oldest goes on without them",
        Field::Uint64(1 << 20, 1 << 36, |p| &mut p.max_bytes),
    ),
    property(
        "max-lag-ms",
        "Longest lag",
        "Most encoded video that may wait for cues, ms of recording; then the oldest goes on without them",
        Field::Uint(1000, 3_600_000, |p| &mut p.max_lag_ms),
    ),
    property(
        "patience-ms",
        "Patience",
        "How long to wait for cues that make no progress, ms of wall time; not at all when live",
        Field::Uint(0, 3_600_000, |p| &mut p.patience_ms),
    ),
    property(
        "access",
        "Access",
        "With a plan and no cues, from a local MP4 or Matroska file: whether what lies between two looks is read; the pictures are the same",
        Field::Access(|p| &mut p.access),
    ),
];

#[cfg(test)]
mod tests {
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
        assert!(error(&properties).contains("no `class=ms`"));
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
