//! The table of the gate's properties: name, text, range and field of each.

use anchoring::plan::MOST_CLIP_FRAMES;
use anchoring::settings::{FURTHEST_MS, LONGEST_MS, Policy, Spread, Widen};
use anchoring::tier::Tier;
use gst::glib;
use gst::prelude::*;

use super::Properties;
use crate::anchorgate::{EarmarkAccess, EarmarkPolicy, EarmarkSpread, EarmarkTier, EarmarkWiden};

/// A property of the element.
pub(super) struct Property {
    pub(super) name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    field: Field,
}

/// Type, range and field of a property.
enum Field {
    Uint(u32, u32, fn(&mut Properties) -> &mut u32),
    Uint64(u64, u64, fn(&mut Properties) -> &mut u64),
    Int(i32, i32, fn(&mut Properties) -> &mut i32),
    Real(f64, f64, fn(&mut Properties) -> &mut f64),
    Flag(fn(&mut Properties) -> &mut bool),
    Text(fn(&mut Properties) -> &mut Option<String>),
    Tier(fn(&mut Properties) -> &mut Tier),
    Policy(fn(&mut Properties) -> &mut Policy),
    Access(fn(&mut Properties) -> &mut EarmarkAccess),
    Spread(fn(&mut Properties) -> &mut Spread),
    Widen(fn(&mut Properties) -> &mut Widen),
}

impl Property {
    pub(super) fn spec(&self, defaults: &mut Properties) -> glib::ParamSpec {
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
            Field::Flag(at) => glib::ParamSpecBoolean::builder(name)
                .nick(nick)
                .blurb(blurb)
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
            Field::Spread(at) => {
                glib::ParamSpecEnum::builder_with_default(name, EarmarkSpread::from(*at(defaults)))
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            }
            Field::Widen(at) => {
                glib::ParamSpecEnum::builder_with_default(name, EarmarkWiden::from(*at(defaults)))
                    .nick(nick)
                    .blurb(blurb)
                    .mutable_ready()
                    .build()
            }
        }
    }

    pub(super) fn set(&self, properties: &mut Properties, value: &glib::Value) {
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
            Field::Flag(at) => put(at(properties), value),
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
            Field::Spread(at) => {
                if let Ok(spread) = value.get::<EarmarkSpread>() {
                    *at(properties) = spread.into();
                }
            }
            Field::Widen(at) => {
                if let Ok(widen) = value.get::<EarmarkWiden>() {
                    *at(properties) = widen.into();
                }
            }
        }
    }

    pub(super) fn get(&self, properties: &mut Properties) -> glib::Value {
        match self.field {
            Field::Uint(_, _, at) => at(properties).to_value(),
            Field::Uint64(_, _, at) => at(properties).to_value(),
            Field::Int(_, _, at) => at(properties).to_value(),
            Field::Real(_, _, at) => at(properties).to_value(),
            Field::Flag(at) => at(properties).to_value(),
            Field::Text(at) => at(properties).to_value(),
            Field::Tier(at) => EarmarkTier::from(*at(properties)).to_value(),
            Field::Policy(at) => EarmarkPolicy::from(*at(properties)).to_value(),
            Field::Access(at) => at(properties).to_value(),
            Field::Spread(at) => EarmarkSpread::from(*at(properties)).to_value(),
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
pub(super) const PROPERTIES: [Property; 42] = [
    property(
        "policy",
        "Policy",
        "How frames are chosen; `plan` overrides it",
        Field::Policy(|p| &mut p.settings.budget.policy),
    ),
    property(
        "plan",
        "Plan file",
        "Path of a plan.jsonl to follow; unset: anchorgate plans while the cues come",
        Field::Text(|p| &mut p.plan),
    ),
    property(
        "tokens-per-s",
        "Budget",
        "Tokens to spend per second of recording",
        Field::Real(0.001, 1e6, |p| &mut p.settings.budget.tokens_per_s),
    ),
    property(
        "burst-s",
        "Burst",
        "Size of the token bucket, in seconds of tokens-per-s",
        Field::Real(1.0, 3600.0, |p| &mut p.settings.budget.burst_s),
    ),
    property(
        "anchor-tier",
        "Anchor tier",
        "Resolution of frames at anchors",
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
        "Largest time between two frames, ms",
        Field::Uint(1, 3_600_000, |p| &mut p.settings.budget.max_gap_ms),
    ),
    property(
        "spread",
        "Spread",
        "Over what frames without an anchor are even: time, or how much the video changes, measured by the sizes of its encoded frames (policy gated only)",
        Field::Spread(|p| &mut p.settings.budget.spread),
    ),
    property(
        "distrust",
        "Distrust",
        "Uncertainty from which the sound is not trusted",
        Field::Real(0.0, 1.0, |p| &mut p.settings.budget.distrust),
    ),
    property(
        "events-per-min",
        "Expected events",
        "Events expected per minute; 0: frames where the sound can't be trusted have no value",
        Field::Real(0.0, 600.0, |p| &mut p.settings.budget.events_per_min),
    ),
    property(
        "event-s",
        "Event length",
        "Scale of the length of events, s: half of them last longer than 0.4 times this",
        Field::Real(0.01, 3600.0, |p| &mut p.settings.budget.event_s),
    ),
    property(
        "miss-rate",
        "Missed events",
        "Share of events expected to make no sound where the sound can be trusted",
        Field::Real(0.0, 1.0, |p| &mut p.settings.budget.miss_rate),
    ),
    property(
        "look-ahead-ms",
        "Look-ahead",
        "How far the planner listens ahead before it decides, ms",
        Field::Uint(100, 60_000, |p| &mut p.settings.budget.look_ahead_ms),
    ),
    property(
        "pre-ms",
        "Before the onset",
        "Length of the window before an anchor's onset, ms",
        Field::Uint(0, 60_000, |p| &mut p.settings.anchors.pre_ms),
    ),
    property(
        "post-ms",
        "After the onset",
        "Length of the window after an anchor's onset, ms",
        Field::Uint(1, 60_000, |p| &mut p.settings.anchors.post_ms),
    ),
    property(
        "uncertainty-gain",
        "Widening",
        "Windows grow by this factor times the anchor's uncertainty",
        Field::Real(0.0, 10.0, |p| &mut p.settings.anchors.uncertainty_gain),
    ),
    property(
        "widen",
        "Widened sides",
        "Sides of a window that grow with uncertainty",
        Field::Widen(|p| &mut p.settings.anchors.widen),
    ),
    property(
        "min-window-ms",
        "Shortest window",
        "Shortest window, ms, unless another anchor or an end of the recording cuts it",
        Field::Uint(0, 120_000, |p| &mut p.settings.anchors.min_window_ms),
    ),
    property(
        "max-window-ms",
        "Longest window",
        "Longest window, ms",
        Field::Uint(1, LONGEST_MS, |p| &mut p.settings.anchors.max_window_ms),
    ),
    property(
        "min-gap-ms",
        "Smallest distance",
        "Smallest time between two anchors, ms",
        Field::Uint(0, 60_000, |p| &mut p.settings.anchors.min_gap_ms),
    ),
    property(
        "pictures-during-speech",
        "Frames during speech",
        "Streaming planning: whether frames are taken while somebody speaks; if not, none where no sound comes either",
        Field::Flag(|p| &mut p.settings.budget.pictures_during_speech),
    ),
    property(
        "refractory-ms",
        "Rest",
        "Streaming planning: how long after an anchor onsets of its class become no anchors, ms; doubles each time while they keep coming; 0: no rest",
        Field::Uint(0, 600_000, |p| &mut p.settings.anchors.refractory_ms),
    ),
    property(
        "look-ms",
        "Frame delay",
        "How long after the onset its frame is taken, ms; kept inside the window",
        Field::Int(-5000, 5000, |p| &mut p.settings.anchors.look_ms),
    ),
    property(
        "offset-ms",
        "Offset",
        "How much later than its sound an event is seen, ms: moves windows and frames; negative where it is seen first",
        Field::Int(-FURTHEST_MS, FURTHEST_MS, |p| {
            &mut p.settings.anchors.offset_ms
        }),
    ),
    property(
        "class-offset-ms",
        "Offsets by class",
        "Offset per class, instead of offset-ms: `class=ms;class=ms`; `classes` must be set and list the names",
        Field::Text(|p| &mut p.class_offsets),
    ),
    property(
        "threshold",
        "Threshold",
        "Least probability of an onset to become an anchor",
        Field::Real(0.0, 1.0, |p| &mut p.settings.anchors.threshold),
    ),
    property(
        "clip-lead-ms",
        "Clip lead",
        "Encoders of clips: how long before an anchor's event its clip begins, ms; -1: the clip lies around the frame that an encoder of single frames would get",
        Field::Int(-1, 60_000, |p| &mut p.settings.anchors.clip_lead_ms),
    ),
    property(
        "clip-stills",
        "Stills between clips",
        "Encoders of clips: whether a background or untrusted entry takes one frame, which fills its whole clip, instead of a clip",
        Field::Flag(|p| &mut p.settings.budget.clip_stills),
    ),
    property(
        "clip-frames",
        "Frames of a clip",
        "How many frames a clip has; 0: the encoder takes single frames. A plan file lists the frames of its clips",
        Field::Uint(0, MOST_CLIP_FRAMES as u32, |p| &mut p.clip_frames),
    ),
    property(
        "clip-every-frames",
        "Frames of a step",
        "Steps from one frame of a clip to the next, in frames of the recording",
        Field::Uint(1, 1000, |p| &mut p.clip_every_frames),
    ),
    property(
        "clip-every-ms",
        "Time of a step",
        "Time from one frame of a clip to the next, ms; 0: use clip-every-frames",
        Field::Real(0.0, 60_000.0, |p| &mut p.clip_every_ms),
    ),
    property(
        "price-low",
        "Price of low",
        "Price of a frame of tier low, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[0]),
    ),
    property(
        "price-base",
        "Price of base",
        "Price of a frame of tier base, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[1]),
    ),
    property(
        "price-high",
        "Price of high",
        "Price of a frame of tier high, tokens",
        Field::Uint64(1, u32::MAX as u64, |p| &mut p.prices[2]),
    ),
    property(
        "classes",
        "Class list",
        "Class list for the labels of anchors: a CSV file (index,mid,display_name) or the name of a tagger; unset: no labels",
        Field::Text(|p| &mut p.classes),
    ),
    property(
        "video-id",
        "Video id",
        "Name of the recording, sent downstream with the plan; a plan file has its own",
        Field::Text(|p| &mut p.video_id),
    ),
    property(
        "max-bytes",
        "Largest wait",
        "Most encoded video that waits for cues, bytes; beyond it the oldest goes on without them",
        Field::Uint64(1 << 20, 1 << 36, |p| &mut p.max_bytes),
    ),
    property(
        "max-lag-ms",
        "Longest lag",
        "Most encoded video that waits for cues, ms of recording; beyond it the oldest goes on without them",
        Field::Uint(1000, 3_600_000, |p| &mut p.max_lag_ms),
    ),
    property(
        "patience-ms",
        "Patience",
        "How long to wait for cues that make no progress, ms of wall time; ignored for live sources",
        Field::Uint(0, 3_600_000, |p| &mut p.patience_ms),
    ),
    property(
        "access",
        "Access",
        "How to read a local MP4 or Matroska file with a plan and no cues; the chosen frames are the same",
        Field::Access(|p| &mut p.access),
    ),
    property(
        "sharpest-ms",
        "Sharpest",
        "How far from the time asked for the sharpest frame may be taken in place of the planned one, ms; only of frames that are decoded on the way to it, inside its window, and not across a cut; 0: the planned frame, always",
        Field::Uint(0, 10_000, |p| &mut p.sharpest_ms),
    ),
];
