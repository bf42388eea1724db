//! Everything a user may choose about where to look, with defaults, ranges and one check.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tier::{Prices, Tier};
use crate::time::Nanos;

/// What decides where to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Anchors first, a thin uniform look everywhere else.
    #[default]
    Gated,
    /// Evenly spaced looks; the audio decides nothing.
    Uniform,
    /// Every picture at the base tier; no budget.
    Dense,
    /// Anchors only; no largest gap, no fallback.
    AnchorsOnly,
}

/// Which sides of a window grow with uncertainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Widen {
    /// Both, each in proportion to its length.
    #[default]
    Both,
    /// The one before.
    Before,
    /// The one after.
    After,
}

/// The longest window that there can be: both sides at most a minute, and grown elevenfold.
pub const LONGEST_MS: u32 = 1_320_000;

/// Furthest that picture and sound may lie apart, ms.
pub const FURTHEST_MS: i32 = 5_000;

/// How cues become anchors and windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnchorSettings {
    /// Window before the onset, ms, 0..=60000.
    pub pre_ms: u32,
    /// Window after the onset, ms, 1..=60000.
    pub post_ms: u32,
    /// The window grows by this times the anchor's uncertainty (1 - score), 0..=10: sides that grow are multiplied by `1 + gain * uncertainty`.
    pub uncertainty_gain: f64,
    /// Which sides grow.
    pub widen: Widen,
    /// Least length of a window, ms, 0..=120000: shorter ones grow to it, however certain the anchor. The recording's ends and other
    /// anchors may cut it.
    pub min_window_ms: u32,
    /// Most length of a window, ms, 1..=1320000, and no less than `pre_ms + post_ms`: longer ones grow no further. By default as long as the
    /// other settings can make one.
    pub max_window_ms: u32,
    /// Least distance between two anchors, ms, 0..=60000.
    pub min_gap_ms: u32,
    /// The picture is taken this long after the onset, ms, -5000..=5000; kept inside the window.
    pub look_ms: i32,
    /// How much later than its sound an event is seen, ms, -5000..=5000: moves the window and the look, not the onset. Negative where the
    /// picture comes first: the sound lags, or the act begins before its sound.
    pub offset_ms: i32,
    /// The same by class, instead of `offset_ms`, for anchors to which the tagger gives that class: its name -> ms, -5000..=5000.
    pub class_offset_ms: BTreeMap<String, i32>,
    /// Onsets less likely than this are no anchors, 0..=1.
    pub threshold: f64,
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
            look_ms: 60,
            offset_ms: 0,
            class_offset_ms: BTreeMap::new(),
            threshold: 0.05,
        }
    }
}

/// What may be spent, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSettings {
    /// What decides where to look.
    pub policy: Policy,
    /// Tokens per second of recording, 0.001..=1000000, in steps of 0.001.
    pub tokens_per_s: f64,
    /// Tier of the picture at an anchor.
    pub anchor_tier: Tier,
    /// Tier of the thin looks between anchors and where the sound can't be trusted.
    pub background_tier: Tier,
    /// Tier of the looks where there is no audio at all, and of the policies `uniform` and `dense`.
    pub untrusted_tier: Tier,
    /// Largest time between two looks (and from the start to the first, from the last to the stop), ms, 1..=3600000.
    pub max_gap_ms: u32,
    /// Global planning: how far a look that serves no anchor may be moved to a picture that costs less to decode, ms, 0..=60000.
    pub snap_ms: u32,
    /// Global planning: what a decoded picture counts for where anchors are weighed against each other, in tokens, 0..=100000. None of them are
    /// spent; 0 chooses anchors whatever they cost to decode, more prefers those near a keyframe and those that share a group of pictures.
    pub decode_penalty_tokens: f64,
    /// Global planning, where `decode_penalty_tokens` are more than 0: how long an anchor's picture may wait for a keyframe inside its window, ms, 0..=60000. It does
    /// where what that saves outweighs what is over by then.
    pub anchor_snap_ms: u32,
    /// From this uncertainty on, the sound is not trusted, 0..=1.
    pub distrust: f64,
    /// How many events are expected to begin in a minute before anything is heard, 0..=600. A blind look is worth what it is expected to
    /// show; 0 makes it worth nothing: the likeliest anchors, thin looks everywhere else.
    pub events_per_min: f64,
    /// How long they last: half of them longer than 0.4 times this, seconds, 0.01..=3600.
    pub event_s: f64,
    /// Share of the events that the sound is expected not to tell of where it can be trusted, 0..=1.
    pub miss_rate: f64,
    /// Streaming: how much the token bucket holds, in seconds of `tokens_per_s`, 1..=3600.
    pub burst_s: f64,
    /// Streaming: how far the planner hears ahead before it decides, ms, 100..=60000.
    pub look_ahead_ms: u32,
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
            snap_ms: 1000,
            decode_penalty_tokens: 0.0,
            anchor_snap_ms: 0,
            distrust: 0.9,
            events_per_min: 15.0,
            event_s: 2.4,
            miss_rate: 0.3,
            burst_s: 200.0,
            look_ahead_ms: 1000,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How cues become anchors and windows.
    pub anchors: AnchorSettings,
    /// What may be spent, and how.
    pub budget: BudgetSettings,
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {rule} ({hint})")]
pub struct Problem {
    /// As in YAML: `anchors.pre_ms`.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// What it must be.
    pub rule: String,
    /// The likely mistake.
    pub hint: String,
}

impl Settings {
    /// Everything that is wrong, in the order of the fields; empty if nothing is.
    pub fn check(&self, prices: Prices) -> Vec<Problem> {
        let mut problems = Vec::new();
        let a = &self.anchors;
        let b = &self.budget;
        let mut range = |field, value: f64, low: f64, high: f64, hint: &str| {
            if !(low..=high).contains(&value) {
                problems.push(Problem {
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
            "did you give microseconds? 0: no picture of an anchor waits",
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
                problems.push(Problem {
                    field: "anchors.class_offset_ms",
                    value: format!("{ms} for \"{name}\""),
                    rule: format!("must lie in {}..={FURTHEST_MS}", -FURTHEST_MS),
                    hint: "did you give microseconds?".into(),
                });
            }
        }
        let base = a.pre_ms.saturating_add(a.post_ms);
        if problems.is_empty() && a.max_window_ms < base {
            problems.push(Problem {
                field: "anchors.max_window_ms",
                value: a.max_window_ms.to_string(),
                rule: format!("must be at least pre_ms + post_ms, {base}"),
                hint: "windows only grow; give smaller pre_ms and post_ms for smaller ones".into(),
            });
        }
        if problems.is_empty() && a.max_window_ms < a.min_window_ms {
            problems.push(Problem {
                field: "anchors.max_window_ms",
                value: a.max_window_ms.to_string(),
                rule: format!("must be at least min_window_ms, {}", a.min_window_ms),
                hint: "did you swap them?".into(),
            });
        }
        if problems.is_empty() && b.anchor_snap_ms > 0 && b.decode_penalty_tokens == 0.0 {
            problems.push(Problem {
                field: "budget.anchor_snap_ms",
                value: b.anchor_snap_ms.to_string(),
                rule: "must be 0 where budget.decode_penalty_tokens is 0".into(),
                hint:
                    "what a wait saves is reckoned by decode_penalty_tokens; did you leave it out?"
                        .into(),
            });
        }
        if problems.is_empty() && matches!(b.policy, Policy::Gated | Policy::Uniform) {
            let needed = self.fallback_rate(prices);
            if b.tokens_per_s < needed {
                problems.push(Problem {
                    field: "budget.tokens_per_s",
                    value: b.tokens_per_s.to_string(),
                    rule: format!(
                        "must be at least {needed}: one {} picture ({} tokens) every {} ms",
                        b.background_tier,
                        prices.of(b.background_tier),
                        b.max_gap_ms
                    ),
                    hint: "too small for even the fallback; raise it, or raise budget.max_gap_ms"
                        .into(),
                });
            }
        }
        problems
    }

    /// Tokens per second that the largest gap alone costs.
    pub fn fallback_rate(&self, prices: Prices) -> f64 {
        prices.of(self.budget.background_tier) as f64 * 1000.0
            / f64::from(self.budget.max_gap_ms.max(1))
    }

    /// Tokens that a recording of this length may spend: `tokens_per_s * duration`, rounded down.
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
                        look_ms: a.4,
                        offset_ms,
                        class_offset_ms: named.collect(),
                        threshold: 0.05,
                    },
                    budget: BudgetSettings {
                        policy,
                        tokens_per_s: 1.0,
                        anchor_tier,
                        background_tier,
                        untrusted_tier,
                        max_gap_ms: b.1,
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
                    },
                };
                // What the largest gap needs, in whole thousandths, and up to 2000 tokens a second more.
                let needed = settings.fallback_rate(Prices::default());
                settings.budget.tokens_per_s = ((needed * 1000.0).ceil() + f64::from(b.0)) / 1000.0;
                assert_eq!(settings.check(Prices::default()), []);
                settings
            },
        )
    }
}
