//! The laws of planning behind the audio.

use proptest::prelude::*;

use super::*;
use crate::cue::testing::{heard, plausible, wild};
use crate::settings::testing::{checked, classes};

pub(super) fn seconds(s: i64) -> Nanos {
    Nanos::from_ms(1_000 * s)
}

/// A planner whose decisions are checked against the laws that hold at every instant.
pub(super) struct Gate {
    planner: StreamPlanner,
    settings: Settings,
    decisions: Vec<Decision>,
    spent: Tokens,
    decided: Nanos,
}

impl Gate {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            planner: StreamPlanner::new(settings.clone(), Prices::default())
                .with_classes(&classes()),
            settings: settings.clone(),
            decisions: Vec::new(),
            spent: 0,
            decided: Nanos::ZERO,
        }
    }

    pub(super) fn expect_stop(&mut self, stop: Nanos) {
        self.planner.expect_stop(stop);
    }

    pub(super) fn drain(&mut self) {
        while let Some(decision) = self.planner.next() {
            if let Decision::Frame(entry) = &decision {
                // No more is spent than was earned by then, whatever the expected end: the budget holds wherever the
                // recording is cut.
                self.spent += entry.tokens;
                assert!(self.spent <= self.settings.budget_of(entry.planned));
                assert_eq!(self.spent, self.planner.spent());
                assert!(entry.planned >= self.decided, "{entry:?} came late");
                assert_eq!(entry.tokens, Prices::default().of(entry.tier));
                if let Some(last) = self.entries().last() {
                    assert!(last.planned < entry.planned);
                }
                if let Some(id) = entry.anchor {
                    let before = self.decisions.last();
                    assert!(matches!(before, Some(Decision::Anchor(anchor)) if anchor.id == id));
                }
            }
            self.decisions.push(decision);
        }
        let decided = self.planner.decided_until();
        assert!(decided >= self.decided);
        self.decided = decided;
    }

    pub(super) fn push_cue(&mut self, cues: &[Cue]) {
        for cue in cues {
            self.planner.push_cue(cue);
            self.drain();
        }
    }

    pub(super) fn finish(&mut self, stop: Nanos) {
        self.planner.finish(stop);
        self.drain();
        assert_eq!(self.decided, Nanos::MAX);
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.decisions.iter().filter_map(|decision| match decision {
            Decision::Frame(entry) => Some(entry),
            Decision::Anchor(_) | Decision::Untaken(_) => None,
        })
    }

    pub(super) fn anchors(&self) -> Vec<&Anchor> {
        let anchors = self.decisions.iter().filter_map(|decision| match decision {
            Decision::Anchor(anchor) => Some(anchor),
            Decision::Frame(_) | Decision::Untaken(_) => None,
        });
        anchors.collect()
    }

    /// The largest gap, the ends included.
    pub(super) fn largest_gap(&self, stop: Nanos) -> Nanos {
        let mut edges = vec![Nanos::ZERO];
        edges.extend(self.entries().map(|entry| entry.planned));
        edges.push(stop);
        edges
            .windows(2)
            .map(|w| w[1] - w[0])
            .max()
            .unwrap_or_default()
    }

    /// Anchors are in order and apart, and their windows are disjoint and contain them.
    pub(super) fn check_anchors(&self) {
        let anchors = self.anchors();
        let offsets = Offsets::new(&self.settings.anchors, &classes());
        let seen = |anchor: &Anchor| (anchor.onset + offsets.of(anchor.class_id)).max(Nanos::ZERO);
        let last = self.planner.stop.unwrap_or(Nanos::MAX) - Nanos::new(1);
        for (i, anchor) in anchors.iter().enumerate() {
            assert_eq!(anchor.id as usize, i);
            let at = seen(anchor);
            assert!(anchor.window.contains(at) || anchor.window.contains(at.min(last)));
            let frames: Vec<_> = self
                .entries()
                .filter(|e| e.anchor == Some(anchor.id))
                .collect();
            assert_eq!(frames.len(), 1);
            assert!(anchor.window.contains(frames[0].planned), "{anchor:?}");
        }
        let min_gap = Nanos::from_ms(self.settings.anchors.min_gap_ms.into());
        for pair in anchors.windows(2) {
            assert!(pair[0].window.stop() <= pair[1].window.start());
            assert!(seen(pair[1]) - seen(pair[0]) >= min_gap);
        }
    }
}

pub(super) fn max_gap(settings: &Settings) -> Nanos {
    Nanos::from_ms(settings.budget.max_gap_ms.into())
}

fn uniform(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.budget.policy = Policy::Uniform;
    settings
}

#[test]
fn a_likely_onset_becomes_an_anchor_once_the_bucket_has_it() {
    let settings = Settings::default();
    let mut gate = Gate::new(&settings);
    gate.push_cue(&heard(seconds(30), &[(1_000, 1.0), (20_000, 1.0)]));
    gate.finish(seconds(30));
    gate.check_anchors();
    // At 1 s the bucket holds 196 tokens, and an anchor costs 784.
    let onsets: Vec<_> = gate.anchors().iter().map(|anchor| anchor.onset).collect();
    assert_eq!(onsets, [seconds(20)]);
    let frame = gate
        .entries()
        .find(|entry| entry.anchor == Some(0))
        .unwrap();
    assert_eq!(
        (frame.planned, frame.tier),
        (Nanos::from_ms(20_060), Tier::High)
    );
    assert!(gate.largest_gap(seconds(30)) <= seconds(1));
}

/// Times of the anchors, ms, in half a minute with these onsets.
fn anchors_ms(onsets: &[(i64, f32)]) -> Vec<i64> {
    let mut gate = Gate::new(&Settings::default());
    gate.push_cue(&heard(seconds(30), onsets));
    gate.finish(seconds(30));
    let anchors = gate.anchors();
    anchors.iter().map(|a| a.onset.get() / 1_000_000).collect()
}

#[test]
fn of_onsets_close_together_the_one_that_shows_most_wins() {
    // The first is hardly worth waiting for the second.
    assert_eq!(anchors_ms(&[(20_000, 0.9), (20_300, 0.1)]), [20_000]);
    // The second also shows what began before it.
    assert_eq!(anchors_ms(&[(20_000, 0.6), (20_300, 0.6)]), [20_300]);
}

#[test]
fn what_is_expected_to_stop_soon_may_spend_its_bucket() {
    let rare = heard(seconds(30), &[(25_000, 0.2)]);
    let anchors = |expected: Option<Nanos>| {
        let mut gate = Gate::new(&Settings::default());
        if let Some(stop) = expected {
            gate.expect_stop(stop);
        }
        gate.push_cue(&rare);
        gate.finish(seconds(30));
        gate.anchors().len()
    };
    assert_eq!(anchors(None), 0);
    assert_eq!(anchors(Some(seconds(30))), 1);
    // Long over and still going on: as if no end had been expected.
    assert_eq!(anchors(Some(seconds(1))), 0);
}

#[test]
fn a_recording_that_is_cut_keeps_its_budget_whatever_its_container_says() {
    let settings = Settings::default();
    let busy: Vec<_> = (1..100).map(|i| (600 * i, 0.95)).collect();
    for cut in [2, 5, 11, 30, 59] {
        let mut gate = Gate::new(&settings);
        gate.expect_stop(seconds(600));
        gate.push_cue(&heard(seconds(cut), &busy));
        gate.finish(seconds(cut));
        assert!(gate.spent <= settings.budget_of(seconds(cut)), "{cut} s");
        assert!(gate.largest_gap(seconds(cut)) <= seconds(1));
    }
}

#[test]
fn the_price_does_not_jump_on_the_way_to_the_end() {
    let mut planner = StreamPlanner::new(Settings::default(), Prices::default());
    planner.expect_stop(seconds(400));
    let mut last: Option<f64> = None;
    for s in 0..395 {
        let mut bucket = planner.bucket;
        bucket.advance(seconds(s));
        // Tokens are spent as they are earned.
        let tokens = bucket.tokens().saturating_sub(2_000);
        assert!(bucket.spend(tokens));
        planner.bucket = bucket;
        let min_value = planner.min_value(&bucket, seconds(s));
        assert!(
            last.is_none_or(|last| (min_value / last - 1.0).abs() < 0.2),
            "{s} s: {last:?} {min_value}"
        );
        last = Some(min_value);
    }
}

#[test]
fn gap_frames_count_where_anchors_leave_gaps() {
    let anchors = |max_gap_ms, tokens| {
        let mut settings = Settings::default();
        settings.budget.max_gap_ms = max_gap_ms;
        StreamPlanner::new(settings, Prices::default()).anchors_per_s(tokens)
    };
    // One is needed nearly every second, or hardly once a minute.
    let (dense, rare) = (anchors(1_000, 196.0), anchors(60_000, 196.0));
    assert!((dense - (196.0 - 49.0) / 784.0).abs() < 0.01, "{dense}");
    assert!((rare - 196.0 / 784.0).abs() < 1e-6, "{rare}");
    assert_eq!(anchors(1_000, 10.0), 0.0);
}

#[test]
fn background_frames_keep_their_distance_where_all_tiers_are_one() {
    let mut settings = Settings::default();
    settings.budget.untrusted_tier = Tier::High;
    settings.budget.background_tier = Tier::High;
    settings.budget.max_gap_ms = 60_000;
    let mut gate = Gate::new(&settings);
    let mut cues = heard(seconds(60), &[]);
    for cue in &mut cues[300..] {
        cue.uncertainty = 1.0;
    }
    gate.push_cue(&cues);
    gate.finish(seconds(60));
    let times: Vec<_> = gate.entries().map(|entry| entry.planned).collect();
    assert!(times.len() > 8, "{times:?}");
    assert!(
        times.windows(2).all(|w| w[1] - w[0] > seconds(1)),
        "{times:?}"
    );
}

#[test]
fn onsets_in_untrusted_sound_become_anchors_where_there_is_anything_to_hear() {
    let frames = |uncertainty: f32| {
        let mut gate = Gate::new(&Settings::default());
        let mut cues = heard(seconds(60), &[(40_000, 0.9)]);
        for cue in &mut cues[300..600] {
            cue.uncertainty = uncertainty;
        }
        gate.push_cue(&cues);
        gate.finish(seconds(60));
        gate.check_anchors();
        let inside = gate.entries().filter(|entry| {
            (seconds(24)..seconds(48)).contains(&entry.planned) && entry.reason == Reason::Untrusted
        });
        let background = inside.filter(|entry| entry.tier == Tier::Base);
        (gate.anchors().len(), background.count() > 0)
    };
    // Wind: the onset, and no background frame. Silence: no onset, but background frames.
    assert_eq!(frames(0.95), (1, false));
    assert_eq!(frames(1.0), (0, true));
}

#[test]
fn decisions_come_no_later_than_the_look_ahead() {
    let mut gate = Gate::new(&Settings::default());
    for cue in heard(seconds(30), &[(20_000, 1.0), (25_000, 0.4)]) {
        gate.push_cue(std::slice::from_ref(&cue));
        assert!(gate.decided + seconds(1) >= cue.pts + HOP);
    }
}

#[test]
fn an_event_visible_before_its_sound_is_waited_for() {
    let mut settings = Settings::default();
    settings.anchors.offset_ms = 100;
    let by_class = &mut settings.anchors.class_offset_ms;
    by_class.insert("class 3".into(), -2_000);
    let mut cues = heard(seconds(40), &[(20_000, 1.0), (28_000, 1.0), (29_000, 1.0)]);
    cues[362].tags = vec![crate::cue::Tag {
        class_id: 3,
        p: 0.9,
    }];
    let mut gate = Gate::new(&settings);
    for cue in cues {
        gate.push_cue(std::slice::from_ref(&cue));
        // The look-ahead, the two seconds that a tap may be visible before its sound, and what is visible later.
        assert!(gate.decided + Nanos::from_ms(3_100) >= cue.pts + HOP);
    }
    gate.finish(seconds(40));
    gate.check_anchors();
    let frames = gate.entries().filter(|entry| entry.anchor.is_some());
    let frames: Vec<_> = frames
        .map(|entry| entry.planned.get() / 1_000_000)
        .collect();
    assert_eq!(frames, [20_160, 27_060, 28_160]);
    let onsets = gate.anchors();
    let onsets: Vec<_> = onsets.iter().map(|a| a.onset.get() / 1_000_000).collect();
    assert_eq!(onsets, [20_000, 29_000, 28_000]);
}

#[test]
fn no_cues_at_all_give_the_uniform_frames() {
    let settings = Settings::default();
    let mut silent = Gate::new(&settings);
    silent.planner.no_more_cues();
    silent.drain();
    for s in 1..=10 {
        silent.planner.missing_until(seconds(s));
        silent.drain();
    }
    silent.finish(seconds(10));
    let times: Vec<_> = silent.entries().map(|entry| entry.planned).collect();
    // The bucket holds a frame once a second; the one at 10 s is outside the recording.
    assert_eq!(times, (1..10).map(seconds).collect::<Vec<_>>());
    assert!(
        silent
            .entries()
            .all(|e| e.tier == Tier::Base && e.reason == Reason::Untrusted)
    );

    let mut even = Gate::new(&uniform(&settings));
    even.push_cue(&heard(seconds(10), &[(3_000, 1.0)]));
    even.finish(seconds(10));
    assert_eq!(
        times,
        even.entries()
            .map(|entry| entry.planned)
            .collect::<Vec<_>>()
    );
    assert!(
        even.entries()
            .all(|e| e.tier == Tier::Base && e.reason == Reason::Uniform)
    );
}

#[test]
fn cues_that_come_after_they_were_given_up_change_nothing() {
    let cues = heard(seconds(30), &[(20_000, 1.0)]);
    let mut gate = Gate::new(&Settings::default());
    gate.planner.missing_until(seconds(25));
    gate.drain();
    gate.push_cue(&cues);
    gate.finish(seconds(30));
    assert!(gate.anchors().is_empty());
    for entry in gate.entries() {
        assert_eq!(
            entry.reason == Reason::Untrusted,
            entry.planned < seconds(25),
            "{entry:?}"
        );
    }
}

#[test]
fn a_full_bucket_spends_background_frames() {
    let settings = Settings::default();
    let mut gate = Gate::new(&settings);
    gate.push_cue(&heard(seconds(600), &[]));
    gate.finish(seconds(600));
    // What the bucket holds may stay in it.
    assert_eq!(settings.budget.burst_s, 200.0);
    assert!(gate.spent >= settings.budget_of(seconds(399)));
    assert!(gate.entries().all(|entry| entry.tier == Tier::Low));
}

#[test]
fn no_background_frame_is_closer_than_frames_are() {
    let mut settings = Settings::default();
    settings.budget.tokens_per_s = 1_960.0;
    settings.budget.max_gap_ms = 300;
    for policy in [Policy::Gated, Policy::Uniform] {
        settings.budget.policy = policy;
        let mut gate = Gate::new(&settings);
        gate.planner.set_frame_interval(seconds(1));
        let mut cues = heard(seconds(30), &[(5_000, 0.9), (12_000, 0.9)]);
        for cue in &mut cues[200..300] {
            cue.uncertainty = 1.0;
        }
        gate.push_cue(&cues);
        gate.finish(seconds(30));
        let frames: Vec<_> = gate.entries().collect();
        assert!(frames.len() >= 25, "{}", frames.len());
        let close =
            |w: &&[&Entry]| w[1].anchor.is_none() && w[1].planned - w[0].planned < seconds(1);
        assert_eq!(frames.windows(2).filter(close).count(), 0);
    }
}

#[test]
fn anchors_only_has_no_frames() {
    let mut settings = Settings::default();
    settings.budget.policy = Policy::AnchorsOnly;
    let mut gate = Gate::new(&settings);
    gate.push_cue(&heard(seconds(30), &[(20_000, 1.0)]));
    gate.planner.missing_until(seconds(40));
    gate.finish(seconds(50));
    assert_eq!(gate.decisions.len(), 2);
}

#[test]
fn a_broken_time_stamp_is_not_followed() {
    let mut gate = Gate::new(&Settings::default());
    let mut cues = heard(seconds(2), &[]);
    cues[20].pts = Nanos::new(i64::MAX - 5);
    gate.push_cue(&cues);
    gate.finish(seconds(2));
    assert!(gate.entries().count() <= 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn budget_and_largest_gap_hold_at_every_instant(
        settings in checked(Policy::Gated), cues in plausible(), more in 0i64..5_000,
        expected in prop::option::of(0i64..40_000),
    ) {
        let mut gate = Gate::new(&settings);
        if let Some(ms) = expected {
            gate.expect_stop(Nanos::from_ms(ms));
        }
        gate.push_cue(&cues);
        let stop = gate.planner.heard + Nanos::from_ms(more);
        gate.planner.no_more_cues();
        gate.drain();
        gate.finish(stop);
        gate.check_anchors();
        prop_assert!(gate.largest_gap(stop) <= max_gap(&settings));
    }

    #[test]
    fn over_change_budget_and_largest_gap_hold_however_video_and_sound_come(
        settings in checked(Policy::Gated), cues in plausible(), portion in 1usize..50, more in 0i64..5_000,
        changes in prop::collection::vec(0f32..64.0, 0..400),
    ) {
        let mut settings = settings;
        settings.budget.spread = Spread::Change;
        let changes: Vec<_> = (0..).zip(changes).map(|(hop, change)| Change { at: Nanos::from_ms(80 * hop), change }).collect();
        let stop = cues.last().map_or(Nanos::ZERO, |cue| cue.pts + HOP) + Nanos::from_ms(more);
        let mut first = Gate::new(&settings);
        for &change in &changes {
            first.planner.push_change(change);
            first.drain();
        }
        first.planner.no_change_until(stop);
        first.push_cue(&cues);
        first.finish(stop);
        first.check_anchors();
        prop_assert!(first.largest_gap(stop) <= max_gap(&settings));
        let mut other = Gate::new(&settings);
        let mut waiting = changes.iter();
        for cues in cues.chunks(portion) {
            other.push_cue(cues);
            for &change in waiting.by_ref().take(portion) {
                other.planner.push_change(change);
                other.drain();
            }
        }
        for &change in waiting {
            other.planner.push_change(change);
            other.drain();
        }
        other.planner.no_change_until(stop);
        other.drain();
        other.finish(stop);
        prop_assert_eq!(first.decisions, other.decisions);
    }

    #[test]
    fn uniform_keeps_budget_and_largest_gap(
        settings in checked(Policy::Uniform), cues in plausible(), stop in 0i64..20_000,
    ) {
        let mut gate = Gate::new(&settings);
        gate.push_cue(&cues);
        let stop = gate.planner.heard.max(Nanos::from_ms(stop));
        gate.finish(stop);
        prop_assert!(gate.largest_gap(stop) <= max_gap(&settings));
    }

    #[test]
    fn without_cues_the_frames_are_those_of_the_uniform_policy(
        settings in checked(Policy::Gated), stop in 0i64..20_000, cues in plausible(),
    ) {
        let stop = Nanos::from_ms(stop);
        let mut silent = Gate::new(&settings);
        silent.finish(stop);
        let mut even = Gate::new(&uniform(&settings));
        even.push_cue(&cues);
        even.finish(stop);
        let even: Vec<Entry> = even
            .entries()
            .filter(|entry| entry.planned < stop)
            .map(|&entry| Entry { reason: Reason::Untrusted, ..entry })
            .collect();
        prop_assert_eq!(silent.entries().copied().collect::<Vec<_>>(), even);
    }

    #[test]
    fn the_portions_in_which_cues_come_make_no_difference(
        settings in checked(Policy::Gated), cues in plausible(), portion in 1usize..50,
    ) {
        let mut one = Gate::new(&settings);
        one.push_cue(&cues);
        let stop = one.planner.heard;
        one.finish(stop);
        let mut other = Gate::new(&settings);
        for cues in cues.chunks(portion) {
            for cue in cues {
                other.planner.push_cue(cue);
            }
            other.drain();
        }
        other.finish(stop);
        prop_assert_eq!(one.decisions, other.decisions);
    }

    #[test]
    fn any_cues_are_accepted(
        mut settings in checked(Policy::Gated), cues in wild(), stop in -5_000i64..30_000, only in any::<bool>(),
    ) {
        if only {
            settings.budget.policy = Policy::AnchorsOnly;
        }
        let mut gate = Gate::new(&settings);
        // Times in the far future would make hours of frames.
        for cue in cues.iter().filter(|cue| cue.pts < seconds(600)) {
            gate.push_cue(std::slice::from_ref(cue));
        }
        gate.finish(Nanos::from_ms(stop));
        gate.check_anchors();
    }
}

#[test]
fn planning_passes_a_discontinuity_of_any_length() {
    let year = seconds(365 * 24 * 3600);
    for policy in [Policy::Gated, Policy::Uniform] {
        let mut settings = Settings::default();
        settings.budget.policy = policy;
        let mut planner = StreamPlanner::new(settings, Prices::default());
        planner.missing_until(seconds(10));
        planner.add_discontinuity(Window::new(seconds(10), year).unwrap());
        planner.missing_until(year + seconds(10));
        planner.finish(year + seconds(10));
        let frames: Vec<Nanos> = std::iter::from_fn(|| planner.next())
            .filter_map(|decision| match decision {
                Decision::Frame(entry) => Some(entry.planned),
                Decision::Anchor(_) | Decision::Untaken(_) => None,
            })
            .collect();
        assert!((10..60).contains(&frames.len()), "{}", frames.len());
        let inside = |at: &&Nanos| seconds(10) < **at && **at < year;
        assert_eq!(frames.iter().filter(inside).count(), 0);
        assert!(frames.contains(&year) && frames.last() > Some(&(year + seconds(8))));
    }
}
