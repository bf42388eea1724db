//! Settings of anchors and budget: defaults, ranges and one check.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tier::{Prices, Tier};
use crate::time::Nanos;

/// Which frames are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Anchors first, background frames everywhere else.
    #[default]
    Gated,
    /// Evenly spaced frames; the sound is ignored.
    Uniform,
    /// Every frame, at the untrusted tier; no budget.
    Dense,
    /// Anchors only; no largest gap, no background frames.
    AnchorsOnly,
    /// Clips on a regular grid, at the untrusted tier; no budget. Of an encoder of clips only.
    Grid,
}

/// What a grid of clips does at the ends of the recording, as a published extractor has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClipEnd {
    /// Clips begin at every stride; a last one that would reach beyond the end is moved back to end there.
    #[default]
    Ego4d,
    /// Clips lie around every stride; there is no frame before the start and after the end.
    Slowfast,
    /// Clips begin at every stride; one that would reach beyond the end is left out.
    VideoFeatures,
}

/// Which sides of a window grow with uncertainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Widen {
    /// Both, in proportion to their lengths.
    #[default]
    Both,
    /// The side before.
    Before,
    /// The side after.
    After,
}

/// What frames without an anchor are spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Time.
    #[default]
    Time,
    /// How much the video changes, measured by what its frames cost to encode.
    Change,
}

/// The longest possible window: both sides a minute, and widened elevenfold.
pub const LONGEST_MS: u32 = 1_320_000;

/// Largest offset between sound and video, ms.
pub const FURTHEST_MS: i32 = 5_000;

/// How cues become anchors and windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnchorSettings {
    /// Window before the onset, ms, 0..=60000.
    pub pre_ms: u32,
    /// Window after the onset, ms, 1..=60000.
    pub post_ms: u32,
    /// How much a window grows with the anchor's uncertainty, 0..=10: sides that grow are multiplied by
    /// `1 + gain * uncertainty`.
    pub uncertainty_gain: f64,
    /// Which sides grow.
    pub widen: Widen,
    /// Least length of a window, ms, 0..=120000, unless an end of the recording or another anchor cuts it.
    pub min_window_ms: u32,
    /// Greatest length of a window, ms, 1..=1320000, and at least `pre_ms + post_ms`. By default as long as the other
    /// settings can make one.
    pub max_window_ms: u32,
    /// Least distance between two anchors, ms, 0..=60000.
    pub min_gap_ms: u32,
    /// Streaming: how long after an anchor onsets of its class become no anchors, ms, 0..=600000. While they keep coming
    /// without such a pause, each rest is twice as long as the one before, up to 64 times.
    pub refractory_ms: u32,
    /// The frame is taken this long after the onset, ms, -5000..=5000; kept inside the window.
    pub look_ms: i32,
    /// How much later an event is visible than audible, ms, -5000..=5000. Moves the window and the frame, not the
    /// onset. Negative if the event is visible first: the sound lags, or the action begins before its sound.
    pub offset_ms: i32,
    /// Offsets by class instead of `offset_ms`: name of the tagger's class -> ms, -5000..=5000.
    pub class_offset_ms: BTreeMap<String, i32>,
    /// Onsets less likely than this become no anchors, 0..=1.
    pub threshold: f64,
    /// Encoders of clips: how long before an anchor's event its clip begins, ms, -1..=60000; -1: around the single frame.
    pub clip_lead_ms: i32,
}

impl Default for AnchorSettings {
    fn default() -> Self {
        Self {
            pre_ms: 200,
            post_ms: 400,
            uncertainty_gain: 1.0,
            widen: Widen::Both,
            min_window_ms: 0,
            max_window_ms: LONGEST_MS,
            min_gap_ms: 500,
            refractory_ms: 0,
            look_ms: 60,
            offset_ms: 0,
            class_offset_ms: BTreeMap::new(),
            threshold: 0.05,
            clip_lead_ms: -1,
        }
    }
}

/// What may be spent, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSettings {
    /// Which frames are taken.
    pub policy: Policy,
    /// Tokens per second of recording, 0.001..=1000000, in steps of 0.001.
    pub tokens_per_s: f64,
    /// Tier of an anchor's frame.
    pub anchor_tier: Tier,
    /// Tier of the background frames that keep the largest gap.
    pub background_tier: Tier,
    /// Tier of the frames where there is no sound at all, of background frames in silence and in large gaps, and of
    /// the policies `uniform` and `dense`.
    pub untrusted_tier: Tier,
    /// Largest gap between two frames, also at the start and the end, ms, 1..=3600000.
    pub max_gap_ms: u32,
    /// What background and untrusted frames are spread evenly over. With `change`, they cost as many tokens and keep the
    /// same largest gap as with `time`; in global planning no more frames are decoded either.
    pub spread: Spread,
    /// Global planning: how far snapping may move a frame without an anchor, ms, 0..=60000.
    pub snap_ms: u32,
    /// Global planning: penalty per decoded frame when anchors are chosen, in tokens, 0..=100000; not charged to the
    /// budget. 0 ignores decoding; more prefers anchors near a keyframe, and those that share a GOP.
    pub decode_penalty_tokens: f64,
    /// Global planning, if `decode_penalty_tokens` exceeds 0: how long an anchor's frame may wait for a keyframe
    /// inside its window, ms, 0..=60000. It waits if that saves more than the events that are over by then.
    pub anchor_snap_ms: u32,
    /// The sound is not trusted from this uncertainty on, 0..=1.
    pub distrust: f64,
    /// Expected events per minute before anything is heard, 0..=600. A background frame has the value of what it is
    /// expected to show. 0 gives it none: the most probable anchors, and background frames only for the largest gap.
    pub events_per_min: f64,
    /// How long events last, seconds, 0.01..=3600: half of them longer than 0.4 times this.
    pub event_s: f64,
    /// Share of the events without an onset in trusted sound, 0..=1.
    pub miss_rate: f64,
    /// Streaming: capacity of the token bucket, in seconds of `tokens_per_s`, 1..=3600.
    pub burst_s: f64,
    /// Streaming: how far ahead the planner listens before it decides, ms, 100..=60000.
    pub look_ahead_ms: u32,
    /// Streaming: whether frames are taken while somebody speaks, half a second before and a second after. If not, none is taken where no
    /// sound comes, either.
    pub pictures_during_speech: bool,
    /// Policy `grid`: frames from one clip to the next, 1..=100000; where the encoder's `every` is a time, so many times that.
    pub clip_stride: u32,
    /// Policy `grid`: what it does at the ends of the recording.
    pub clip_end: ClipEnd,
    /// Policy `grid`: clips further than this from every onset are left out, ms, -1..=3600000; -1: none is.
    pub clip_near_ms: i32,
    /// Encoders of clips: background and untrusted entries take one frame each, which fills the whole clip.
    pub clip_stills: bool,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            policy: Policy::Gated,
            tokens_per_s: 196.0,
            anchor_tier: Tier::High,
            background_tier: Tier::Low,
            untrusted_tier: Tier::Base,
            max_gap_ms: 1000,
            spread: Spread::Time,
            snap_ms: 1000,
            decode_penalty_tokens: 0.0,
            anchor_snap_ms: 0,
            distrust: 0.9,
            events_per_min: 15.0,
            event_s: 2.4,
            miss_rate: 0.3,
            burst_s: 200.0,
            look_ahead_ms: 1000,
            pictures_during_speech: true,
            clip_stride: 16,
            clip_end: ClipEnd::default(),
            clip_near_ms: -1,
            clip_stills: false,
        }
    }
}

/// Settings of anchors and budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How cues become anchors and windows.
    pub anchors: AnchorSettings,
    /// What may be spent, and how.
    pub budget: BudgetSettings,
}

/// A setting that is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {rule} ({hint})")]
pub struct InvalidSetting {
    /// Its name in YAML: `anchors.pre_ms`.
    pub field: &'static str,
    /// The value given.
    pub value: String,
    /// What it must be.
    pub rule: String,
    /// The likely mistake.
    pub hint: String,
}

impl Settings {
    /// Everything that is wrong, in the order of the fields; empty if nothing is.
    pub fn check(&self, prices: Prices) -> Vec<InvalidSetting> {
        let mut problems = Vec::new();
        let a = &self.anchors;
        let b = &self.budget;
        let mut range = |field, value: f64, low: f64, high: f64, hint: &str| {
            if !(low..=high).contains(&value) {
                problems.push(InvalidSetting {
                    field,
                    value: value.to_string(),
                    rule: format!("must lie in {low}..={high}"),
                    hint: hint.into(),
                });
            }
        };
        range(
            "anchors.pre_ms",
            f64::from(a.pre_ms),
            0.0,
            60_000.0,
            "did you give microseconds?",
        );
        range(
            "anchors.post_ms",
            f64::from(a.post_ms),
            1.0,
            60_000.0,
            "did you give microseconds, or no time after the onset at all?",
        );
        range(
            "anchors.uncertainty_gain",
            a.uncertainty_gain,
            0.0,
            10.0,
            "a factor, 1.0 doubles the window of a wholly uncertain anchor",
        );
        range(
            "anchors.min_window_ms",
            f64::from(a.min_window_ms),
            0.0,
            120_000.0,
            "did you give microseconds?",
        );
        range(
            "anchors.max_window_ms",
            f64::from(a.max_window_ms),
            1.0,
            f64::from(LONGEST_MS),
            "did you give microseconds?",
        );
        range(
            "anchors.min_gap_ms",
            f64::from(a.min_gap_ms),
            0.0,
            60_000.0,
            "did you give microseconds?",
        );
        range(
            "anchors.refractory_ms",
            f64::from(a.refractory_ms),
            0.0,
            600_000.0,
            "did you give microseconds? 0: no class rests",
        );
        range(
            "anchors.look_ms",
            f64::from(a.look_ms),
            -5_000.0,
            5_000.0,
            "did you give microseconds?",
        );
        let furthest = f64::from(FURTHEST_MS);
        range(
            "anchors.offset_ms",
            f64::from(a.offset_ms),
            -furthest,
            furthest,
            "did you give microseconds?",
        );
        range(
            "anchors.threshold",
            a.threshold,
            0.0,
            1.0,
            "a probability; did you give a percentage?",
        );
        range(
            "anchors.clip_lead_ms",
            f64::from(a.clip_lead_ms),
            -1.0,
            60_000.0,
            "did you give microseconds? -1: the clip lies around its frame",
        );
        range(
            "budget.clip_stride",
            f64::from(b.clip_stride),
            1.0,
            100_000.0,
            "did you give milliseconds?",
        );
        range(
            "budget.clip_near_ms",
            f64::from(b.clip_near_ms),
            -1.0,
            3_600_000.0,
            "did you give microseconds? -1: clips everywhere",
        );
        range(
            "budget.tokens_per_s",
            b.tokens_per_s,
            0.001,
            1e6,
            "did you give the budget of the whole recording?",
        );
        range(
            "budget.max_gap_ms",
            f64::from(b.max_gap_ms),
            1.0,
            3_600_000.0,
            "did you give microseconds?",
        );
        range(
            "budget.snap_ms",
            f64::from(b.snap_ms),
            0.0,
            60_000.0,
            "did you give microseconds? 0 moves nothing",
        );
        range(
            "budget.decode_penalty_tokens",
            b.decode_penalty_tokens,
            0.0,
            100_000.0,
            "a price in tokens; 0 for none",
        );
        range(
            "budget.anchor_snap_ms",
            f64::from(b.anchor_snap_ms),
            0.0,
            60_000.0,
            "did you give microseconds? 0: no frame of an anchor waits",
        );
        range(
            "budget.distrust",
            b.distrust,
            0.0,
            1.0,
            "an uncertainty; did you give a percentage?",
        );
        range(
            "budget.events_per_min",
            b.events_per_min,
            0.0,
            600.0,
            "did you give events per hour?",
        );
        range(
            "budget.event_s",
            b.event_s,
            0.01,
            3_600.0,
            "did you give milliseconds?",
        );
        range(
            "budget.miss_rate",
            b.miss_rate,
            0.0,
            1.0,
            "a share; did you give a percentage?",
        );
        range(
            "budget.burst_s",
            b.burst_s,
            1.0,
            3_600.0,
            "did you give milliseconds?",
        );
        range(
            "budget.look_ahead_ms",
            f64::from(b.look_ahead_ms),
            100.0,
            60_000.0,
            "did you give seconds?",
        );
        for (name, &ms) in &a.class_offset_ms {
            if !(-FURTHEST_MS..=FURTHEST_MS).contains(&ms) {
                problems.push(InvalidSetting {
                    field: "anchors.class_offset_ms",
                    value: format!("{ms} for \"{name}\""),
                    rule: format!("must lie in {}..={FURTHEST_MS}", -FURTHEST_MS),
                    hint: "did you give microseconds?".into(),
                });
            }
        }
        let base = a.pre_ms.saturating_add(a.post_ms);
        if problems.is_empty() && a.max_window_ms < base {
            problems.push(InvalidSetting {
                field: "anchors.max_window_ms",
                value: a.max_window_ms.to_string(),
                rule: format!("must be at least pre_ms + post_ms, {base}"),
                hint: "windows only grow; for smaller ones, lower pre_ms and post_ms".into(),
            });
        }
        if problems.is_empty() && a.max_window_ms < a.min_window_ms {
            problems.push(InvalidSetting {
                field: "anchors.max_window_ms",
                value: a.max_window_ms.to_string(),
                rule: format!("must be at least min_window_ms, {}", a.min_window_ms),
                hint: "did you swap them?".into(),
            });
        }
        if problems.is_empty() && b.anchor_snap_ms > 0 && b.decode_penalty_tokens == 0.0 {
            problems.push(InvalidSetting {
                field: "budget.anchor_snap_ms",
                value: b.anchor_snap_ms.to_string(),
                rule: "must be 0 if budget.decode_penalty_tokens is 0".into(),
                hint: "without decode_penalty_tokens a wait saves nothing; did you leave them out?"
                    .into(),
            });
        }
        if problems.is_empty() && b.spread == Spread::Change && b.policy != Policy::Gated {
            problems.push(InvalidSetting {
                field: "budget.spread",
                value: "change".into(),
                rule: "must be time unless the policy is gated".into(),
                hint: "only background and untrusted frames are spread over change; other policies have none".into(),
            });
        }
        if problems.is_empty() && matches!(b.policy, Policy::Gated | Policy::Uniform) {
            let needed = self.background_rate(prices);
            if b.tokens_per_s < needed {
                problems.push(InvalidSetting {
                    field: "budget.tokens_per_s",
                    value: b.tokens_per_s.to_string(),
                    rule: format!(
                        "must be at least {needed}: one frame of tier {} ({} tokens) every {} ms",
                        b.background_tier,
                        prices.of(b.background_tier),
                        b.max_gap_ms
                    ),
                    hint: "too small for even the background frames; raise it, or raise budget.max_gap_ms"
                        .into(),
                });
            }
        }
        problems
    }

    /// Tokens per second for the largest gap alone.
    pub fn background_rate(&self, prices: Prices) -> f64 {
        prices.of(self.budget.background_tier) as f64 * 1000.0
            / f64::from(self.budget.max_gap_ms.max(1))
    }

    /// Tokens that a recording of this duration may spend: `tokens_per_s * duration`, rounded down.
    pub fn budget_of(&self, duration: Nanos) -> u64 {
        let milli = (self.budget.tokens_per_s * 1000.0).round() as u128;
        (milli * duration.get().max(0) as u128 / 1_000_000_000_000) as u64
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Settings for other modules' tests.

    use proptest::prelude::*;

    use super::*;

    /// The class of that number, of the list for which settings are made.
    fn class_name(class: usize) -> String {
        format!("class {class}")
    }

    /// That list.
    pub(crate) fn classes() -> Vec<String> {
        (0..8).map(class_name).collect()
    }

    /// Settings that pass the check with the default prices, for a policy.
    pub(crate) fn checked(policy: Policy) -> impl Strategy<Value = Settings> {
        let tier = || prop::sample::select(Tier::ALL.to_vec());
        let anchors = (
            0u32..2_000,
            1u32..2_000,
            0f64..10.0,
            0u32..2_000,
            -1_000i32..2_000,
        );
        let sides = [Widen::Both, Widen::Before, Widen::After];
        let limits = (
            0u32..3_000,
            0u32..3_000,
            prop::sample::select(sides.to_vec()),
        );
        let offset = || prop_oneof![2 => Just(0), 1 => -800i32..800, 1 => -5_000i32..=5_000];
        let shape = (limits, offset(), prop::collection::vec(offset(), 0..8));
        let budget = (0u32..2_000_000, 100u32..5_000, 1f64..40.0, 100u32..3_000);
        let worth = (0f64..60.0, 0.1f64..20.0, 0f64..1.0);
        let anchors = (anchors, shape);
        (anchors, budget, tier(), tier(), tier(), 0f64..1.0, worth).prop_map(
            move |(
                (a, shape),
                b,
                anchor_tier,
                background_tier,
                untrusted_tier,
                distrust,
                worth,
            )| {
                let ((min_window_ms, most, widen), offset_ms, by_class) = shape;
                let named = (0..)
                    .zip(by_class)
                    .map(|(class, ms)| (class_name(class), ms));
                let mut settings = Settings {
                    anchors: AnchorSettings {
                        pre_ms: a.0,
                        post_ms: a.1,
                        uncertainty_gain: a.2,
                        widen,
                        min_window_ms,
                        max_window_ms: match most {
                            0..1_000 => LONGEST_MS,
                            _ => most.max(min_window_ms).max(a.0 + a.1),
                        },
                        min_gap_ms: a.3,
                        refractory_ms: a.3.saturating_sub(1_000) * 10,
                        look_ms: a.4,
                        offset_ms,
                        class_offset_ms: named.collect(),
                        threshold: 0.05,
                        clip_lead_ms: -1,
                    },
                    budget: BudgetSettings {
                        policy,
                        tokens_per_s: 1.0,
                        anchor_tier,
                        background_tier,
                        untrusted_tier,
                        max_gap_ms: b.1,
                        spread: Spread::Time,
                        snap_ms: 1_000,
                        decode_penalty_tokens: 0.0,
                        anchor_snap_ms: 0,
                        distrust: 0.5 + distrust / 2.0,
                        // Below 10: none at all.
                        events_per_min: (worth.0 - 10.0).max(0.0),
                        event_s: worth.1,
                        miss_rate: worth.2,
                        burst_s: b.2,
                        look_ahead_ms: b.3,
                        pictures_during_speech: true,
                        clip_stride: 16,
                        clip_end: ClipEnd::Ego4d,
                        clip_near_ms: -1,
                        clip_stills: false,
                    },
                };
                // What the largest gap needs, in whole thousandths, and up to 2000 tokens a second more.
                let needed = settings.background_rate(Prices::default());
                settings.budget.tokens_per_s = ((needed * 1000.0).ceil() + f64::from(b.0)) / 1000.0;
                assert_eq!(settings.check(Prices::default()), []);
                settings
            },
        )
    }
}
