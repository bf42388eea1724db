//! The laws of a whole recording's plan.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cue::testing::{heard, plausible, wild};
use crate::planning::change::Change;
use crate::planning::change_clock::ChangeMap;
use crate::settings::testing::{checked, classes};

fn plan(settings: &Settings, cues: &[Cue], duration: Nanos) -> Result<Plan, PlanError> {
    let planner = GlobalPlanner::new(settings.clone(), Prices::default());
    let mut planner = planner.with_classes(&classes());
    for cue in cues {
        planner.push_cue(cue);
    }
    planner.finish(duration, "P01_01", json!({ "tokens_per_s": 196.1 }))
}

fn seconds(s: i64) -> Nanos {
    Nanos::from_ms(1_000 * s)
}

fn count(plan: &Plan, tier: Tier) -> usize {
    plan.entries
        .iter()
        .filter(|entry| entry.tier == tier)
        .count()
}

/// The largest gap, the ends included.
fn largest_gap(plan: &Plan) -> Nanos {
    let mut edges = vec![Nanos::ZERO];
    edges.extend(plan.entries.iter().map(|entry| entry.planned));
    edges.push(plan.header.duration);
    edges
        .windows(2)
        .map(|w| w[1] - w[0])
        .max()
        .unwrap_or_default()
}

/// What holds for every plan.
fn check(plan: &Plan, settings: &Settings) {
    let header = &plan.header;
    assert_eq!(header.budget_tokens, settings.budget_of(header.duration));
    let spent: Tokens = plan.entries.iter().map(|entry| entry.tokens).sum();
    assert_eq!(header.spent_tokens, spent);
    assert!(spent <= header.budget_tokens);
    assert!(plan.entries.windows(2).all(|w| w[0].planned < w[1].planned));
    for entry in &plan.entries {
        assert!(Nanos::ZERO <= entry.planned && entry.planned < header.duration);
        assert_eq!(entry.anchor.is_some(), entry.reason == Reason::Anchor);
    }
    let offsets = Offsets::new(&settings.anchors, &classes());
    let seen = |anchor: &Anchor| {
        let at = anchor.onset + offsets.of(anchor.class_id);
        at.min(header.duration - Nanos::new(1)).max(Nanos::ZERO)
    };
    for (i, anchor) in plan.anchors.iter().enumerate() {
        assert_eq!(anchor.id as usize, i);
        assert!(anchor.window.contains(seen(anchor)));
        assert!(anchor.onset < header.duration);
        assert!(anchor.window.stop() <= header.duration);
        let frames: Vec<_> = plan
            .entries
            .iter()
            .filter(|e| e.anchor == Some(anchor.id))
            .collect();
        assert_eq!(frames.len(), 1);
        assert!(anchor.window.contains(frames[0].planned), "{anchor:?}");
    }
    for pair in plan.anchors.windows(2) {
        assert!(pair[0].window.stop() <= pair[1].window.start());
        let apart = seen(&pair[1]) - seen(&pair[0]);
        assert!(apart >= Nanos::from_ms(settings.anchors.min_gap_ms.into()));
    }
    // Text reads back the same, also with cues among the lines.
    let text = plan.to_text();
    assert_eq!(
        Plan::read(text.lines(), Some(Prices::default())).as_ref(),
        Ok(plan)
    );
}

#[test]
fn two_anchors_and_eight_frames_cost_as_much_as_ten_even_ones() {
    // Wherever the onsets lie: the second frame may come a little later than usual.
    for onsets in [
        [3_000, 7_000],
        [2_500, 6_200],
        [1_234, 8_765],
        [2_440, 6_740],
        [4_000, 4_900],
    ] {
        let cues = heard(seconds(10), &onsets.map(|ms| (ms, 0.8)));
        let settings = Settings::default();
        let plan = plan(&settings, &cues, seconds(10)).unwrap();
        check(&plan, &settings);
        assert_eq!(
            (count(&plan, Tier::High), count(&plan, Tier::Low)),
            (2, 8),
            "{onsets:?}"
        );
        assert_eq!(plan.header.spent_tokens, 10 * 196);
        assert_eq!(plan.header.budget_tokens, 10 * 196);
        assert!(largest_gap(&plan) <= seconds(1));
    }
}

#[test]
fn a_frame_is_taken_shortly_after_the_onset() {
    let plan = plan(
        &Settings::default(),
        &heard(seconds(10), &[(3_000, 0.8)]),
        seconds(10),
    )
    .unwrap();
    let frame = plan
        .entries
        .iter()
        .find(|entry| entry.anchor == Some(0))
        .unwrap();
    assert_eq!(frame.planned, Nanos::from_ms(3_060));
    let window = plan.anchors[0].window;
    // 200 and 400 ms, widened by the uncertainty of 0.2.
    assert!(window.start().distance(Nanos::from_ms(2_760)) < Nanos::from_ms(1));
    assert!(window.stop().distance(Nanos::from_ms(3_480)) < Nanos::from_ms(1));
}

fn plan_of(settings: &Settings, onsets: &[(i64, f32)]) -> Vec<Nanos> {
    let plan = plan(settings, &heard(seconds(10), onsets), seconds(10)).unwrap();
    plan.anchors.iter().map(|anchor| anchor.onset).collect()
}

#[test]
fn the_onsets_that_show_most_win() {
    let onsets: Vec<(i64, f32)> = (0..10)
        .map(|i| (1_000 * i + 500, 0.1 + 0.08 * i as f32))
        .collect();
    let plan = plan(
        &Settings::default(),
        &heard(seconds(10), &onsets),
        seconds(10),
    )
    .unwrap();
    let chosen: Vec<_> = plan.anchors.iter().map(|anchor| anchor.onset).collect();
    // The most probable one; and of the others not the one just before it, but one whose event it does not show.
    assert_eq!(chosen, [Nanos::from_ms(6_500), Nanos::from_ms(9_500)]);
    let mut settings = Settings::default();
    settings.budget.events_per_min = 0.0;
    let likeliest = plan_of(&settings, &onsets);
    assert_eq!(likeliest, [Nanos::from_ms(8_500), Nanos::from_ms(9_500)]);
}

#[test]
fn windows_that_overlap_part_halfway_between_the_onsets() {
    let mut settings = Settings::default();
    settings.budget.tokens_per_s = 784.0;
    let cues = heard(seconds(10), &[(3_000, 1.0), (3_500, 1.0), (6_000, 1.0)]);
    let plan = plan(&settings, &cues, seconds(10)).unwrap();
    let windows: Vec<_> = plan.anchors.iter().map(|anchor| anchor.window).collect();
    let window = |a, b| Window::new(Nanos::from_ms(a), Nanos::from_ms(b)).unwrap();
    // 2800..3400 and 3300..3900 would overlap; their middle is 3250, where only the first reaches.
    let expected = [
        window(2_800, 3_300),
        window(3_300, 3_900),
        window(5_800, 6_400),
    ];
    assert_eq!(windows, expected);
}

#[test]
fn offsets_move_frames_and_windows_by_class_and_anchors_follow_what_is_seen() {
    let mut settings = Settings::default();
    settings.anchors.offset_ms = 100;
    let by_class = &mut settings.anchors.class_offset_ms;
    by_class.insert("class 3".into(), -2_000);
    settings.budget.tokens_per_s = 784.0;
    let mut cues = heard(seconds(10), &[(3_000, 1.0), (4_000, 1.0), (1_000, 1.0)]);
    // The event heard at 4 s was visible at 2 s; the others have no tag.
    cues[50].tags = vec![crate::cue::Tag {
        class_id: 3,
        p: 0.9,
    }];
    let plan = plan(&settings, &cues, seconds(10)).unwrap();
    check(&plan, &settings);
    let ms = |at: Nanos| at.get() / 1_000_000;
    let anchors: Vec<_> = plan
        .anchors
        .iter()
        .map(|a| (ms(a.onset), ms(a.window.start()), ms(a.window.stop())))
        .collect();
    assert_eq!(
        anchors,
        [
            (1_000, 900, 1_500),
            (4_000, 1_800, 2_400),
            (3_000, 2_900, 3_500)
        ]
    );
    let frames = plan.entries.iter().filter(|entry| entry.anchor.is_some());
    let frames: Vec<_> = frames.map(|entry| ms(entry.planned)).collect();
    assert_eq!(frames, [1_160, 2_060, 3_160]);
}

#[test]
fn frames_where_nothing_can_be_trusted_say_so() {
    let mut cues = heard(seconds(10), &[]);
    for cue in &mut cues[50..100] {
        cue.uncertainty = 1.0;
    }
    let plan = plan(&Settings::default(), &cues, seconds(10)).unwrap();
    for entry in &plan.entries {
        let dead = (seconds(4)..seconds(8)).contains(&entry.planned);
        assert_eq!(entry.reason == Reason::Untrusted, dead, "{entry:?}");
    }
}

#[test]
fn silence_gets_three_quarters_of_even_frames_whatever_is_heard_elsewhere() {
    let mut settings = Settings::default();
    let b = &mut settings.budget;
    (b.anchor_tier, b.untrusted_tier, b.background_tier) = (Tier::Base, Tier::Base, Tier::Base);
    (b.tokens_per_s, b.max_gap_ms) = (39.2, 60_000);
    let onsets: Vec<_> = (0..25).map(|i| (2_000 * i + 1_000, 1.0)).collect();
    let mut cues = heard(seconds(100), &onsets);
    for cue in &mut cues[625..] {
        cue.uncertainty = 1.0;
    }
    let plan = plan(&settings, &cues, seconds(100)).unwrap();
    check(&plan, &settings);
    let background = plan.entries.iter().filter(|e| e.planned >= seconds(50));
    // Three quarters of ten even ones, rounded down.
    assert_eq!((plan.entries.len(), background.count()), (20, 7));
}

/// Number of times in each third.
fn thirds(times: impl IntoIterator<Item = Nanos>, duration: Nanos) -> [usize; 3] {
    let mut counts = [0; 3];
    for at in times {
        counts[(3 * at.get() / duration.get()) as usize] += 1;
    }
    counts
}

#[test]
fn equal_candidates_are_taken_all_over_the_recording() {
    let (duration, mut settings) = (seconds(600), Settings::default());
    // A sound every ten seconds, and anchors for a quarter of them.
    settings.budget.tokens_per_s = 70.0;
    let onsets: Vec<_> = (0..60).map(|i| (10_000 * i + 5_000, 0.9)).collect();
    let made = plan(&settings, &heard(duration, &onsets), duration).unwrap();
    check(&made, &settings);
    let anchors = thirds(made.anchors.iter().map(|anchor| anchor.onset), duration);
    assert!(anchors.iter().all(|n| (4..=8).contains(n)), "{anchors:?}");
    // Thirty silent stretches, and background frames for half of them.
    settings.budget.tokens_per_s = 54.0;
    let mut cues = heard(duration, &[]);
    for (i, cue) in cues.iter_mut().enumerate() {
        cue.uncertainty = if i / 125 % 2 == 0 { 1.0 } else { 0.0 };
    }
    let made = plan(&settings, &cues, duration).unwrap();
    check(&made, &settings);
    let background = made.entries.iter().filter(|entry| entry.tier == Tier::Base);
    let background = thirds(background.map(|entry| entry.planned), duration);
    assert!(
        background.iter().all(|n| (3..=9).contains(n)),
        "{background:?}"
    );
}

#[test]
fn a_duration_that_is_no_whole_number_of_frames_keeps_the_base_tier() {
    let settings = Settings::default();
    let plan = plan(&settings, &[], Nanos::from_ms(10_300)).unwrap();
    check(&plan, &settings);
    assert_eq!((count(&plan, Tier::Base), plan.entries.len()), (10, 10));
    assert!(largest_gap(&plan) <= seconds(1));
}

#[test]
fn dense_is_refused() {
    let mut settings = Settings::default();
    settings.budget.policy = Policy::Dense;
    assert_eq!(plan(&settings, &[], seconds(10)), Err(PlanError::Dense));
}

#[test]
fn a_budget_below_the_largest_gap_is_refused_with_both_numbers() {
    let mut settings = Settings::default();
    settings.budget.tokens_per_s = 40.0;
    for cues in [heard(seconds(10), &[]), Vec::new()] {
        let error = plan(&settings, &cues, seconds(10)).unwrap_err().to_string();
        assert!(error.contains("400") && error.contains("441"), "{error}");
    }
}

#[test]
fn invalid_durations_are_refused() {
    for ns in [-1, 1, i64::MAX, i64::MIN] {
        let duration = Nanos::new(ns);
        assert_eq!(
            plan(&Settings::default(), &[], duration),
            Err(PlanError::Duration(duration))
        );
    }
    assert_eq!(
        plan(&Settings::default(), &[], Nanos::ZERO)
            .unwrap()
            .entries,
        []
    );
}

#[test]
fn cues_are_merged_by_time_and_read_back() {
    let cues = heard(seconds(10), &[(3_000, 0.8), (7_000, 0.3)]);
    let plan = plan(&Settings::default(), &cues, seconds(10)).unwrap();
    let lines: Vec<_> = plan.lines(cues.clone()).collect();
    assert_eq!(
        lines.len(),
        1 + plan.anchors.len() + plan.entries.len() + plan.untaken.len() + cues.len()
    );
    let time = |line: &crate::plan::Line| match line {
        crate::plan::Line::Plan(_) => Nanos::ZERO,
        crate::plan::Line::Anchor(anchor) => anchor.window.start(),
        crate::plan::Line::Frame(entry) => entry.planned,
        crate::plan::Line::Clip(clip) => clip.frames.start,
        crate::plan::Line::Cue(cue) => cue.pts,
        crate::plan::Line::Candidate(one) => one.onset,
    };
    assert!(
        lines
            .windows(2)
            .all(|w| time(&w[0]) <= time(&w[1]) + Nanos::from_ms(80))
    );
    let mut reader = crate::plan::PlanReader::new(Some(Prices::default()));
    for line in lines {
        assert_eq!(reader.feed(&line.to_text()), Ok(Some(line)));
    }
    assert_eq!(reader.finish(), Ok(()));
}

/// Which onsets of these ms are anchors, and which are kept as not taken, with what the budget lacks.
fn anchors_and_rest(
    settings: &Settings,
    onsets: &[(i64, f32)],
    s: i64,
) -> (Vec<i64>, Vec<(i64, Option<Tokens>)>) {
    let plan = plan(settings, &heard(seconds(s), onsets), seconds(s)).unwrap();
    let ms = |at: Nanos| at.get() / 1_000_000;
    (
        plan.anchors.iter().map(|anchor| ms(anchor.onset)).collect(),
        plan.untaken
            .iter()
            .map(|one| (ms(one.onset), one.more_tokens))
            .collect(),
    )
}

#[test]
fn what_was_heard_but_not_paid_for_is_kept_with_the_budget_that_takes_it() {
    // As many as are kept for a minute.
    let onsets: Vec<(i64, f32)> = (0..30)
        .map(|i| (1_000 + 2_000 * i, 0.3 + (i * 7 % 40) as f32 / 60.0))
        .collect();
    for policy in [Policy::Gated, Policy::AnchorsOnly] {
        let mut settings = Settings::default();
        settings.budget.policy = policy;
        settings.budget.tokens_per_s = 98.0;
        let (anchors, rest) = anchors_and_rest(&settings, &onsets, 62);
        assert!(anchors.len() < 20, "{anchors:?}");
        assert_eq!(anchors.len() + rest.len(), onsets.len());
        let budget = settings.budget_of(seconds(62));
        let mut steps: Vec<Tokens> = rest.iter().filter_map(|(_, more)| *more).collect();
        steps.sort_unstable();
        steps.dedup();
        assert!(steps.len() > 1, "{rest:?}");
        for more in steps {
            // A budget of so many tokens takes exactly those that say so, or less.
            let mut larger = settings.clone();
            larger.budget.tokens_per_s = (budget + more) as f64 / 62.0;
            assert!(larger.budget_of(seconds(62)).abs_diff(budget + more) <= 1);
            let (anchors, _) = anchors_and_rest(&larger, &onsets, 62);
            for (onset, own) in &rest {
                if *own == Some(more) {
                    assert!(anchors.contains(onset), "{onset} {more}");
                }
                if own.is_none_or(|own| own > more) {
                    assert!(!anchors.contains(onset), "{onset} {more} {own:?}");
                }
            }
        }
    }
}

#[test]
fn what_no_budget_takes_has_no_price_and_what_was_taken_is_not_kept() {
    // The second is too close to the first.
    let onsets = [(1_000, 0.5), (1_100, 0.9), (5_000, 0.6)];
    let mut settings = Settings::default();
    settings.anchors.min_gap_ms = 500;
    settings.budget.tokens_per_s = 784.0;
    let (anchors, rest) = anchors_and_rest(&settings, &onsets, 10);
    assert_eq!(anchors, [1_100, 5_000]);
    assert_eq!(rest, [(1_000, None)]);
    // Nobody hears for a uniform plan.
    settings.budget.policy = Policy::Uniform;
    let plan = plan(&settings, &heard(seconds(10), &onsets), seconds(10)).unwrap();
    assert_eq!((plan.untaken, plan.header.candidates_per_min), (vec![], 0));
}

fn lasting() -> impl Strategy<Value = Nanos> {
    (10_000_000i64..25_000_000_000).prop_map(Nanos::new)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_gated_plan_keeps_budget_and_largest_gap(
        settings in checked(Policy::Gated), cues in plausible(), duration in lasting(),
    ) {
        let made = plan(&settings, &cues, duration).unwrap();
        check(&made, &settings);
        prop_assert!(largest_gap(&made) <= Nanos::from_ms(settings.budget.max_gap_ms.into()));
        prop_assert_eq!(made, plan(&settings, &cues, duration).unwrap());
    }

    #[test]
    fn a_plan_over_change_keeps_budget_and_largest_gap(
        settings in checked(Policy::Gated), cues in plausible(), duration in lasting(),
        changes in prop::collection::vec(0f32..64.0, 0..750),
    ) {
        let planner = GlobalPlanner::new(settings.clone(), Prices::default());
        let mut planner = planner.with_classes(&classes());
        for cue in &cues {
            planner.push_cue(cue);
        }
        let hops = (0..).zip(changes).map(|(hop, change)| Change { at: Nanos::from_ms(80 * hop), change });
        planner.set_change(ChangeMap::new(hops, duration).clock());
        let made = planner.finish(duration, "P01_01", json!({})).unwrap();
        check(&made, &settings);
        prop_assert!(largest_gap(&made) <= Nanos::from_ms(settings.budget.max_gap_ms.into()));
    }

    #[test]
    fn the_decode_penalty_is_not_spent(
        settings in checked(Policy::Gated), cues in plausible(), duration in lasting(),
        keyframes in prop::collection::btree_set(0i64..60_000, 0..20), decode_penalty_tokens in 0.0f64..1_000.0,
        anchor_snap_ms in 0u32..3_000,
    ) {
        let mut settings = settings;
        settings.budget.decode_penalty_tokens = decode_penalty_tokens;
        settings.budget.anchor_snap_ms = anchor_snap_ms;
        let planner = GlobalPlanner::new(settings.clone(), Prices::default());
        let mut planner = planner.with_classes(&classes());
        for cue in &cues {
            planner.push_cue(cue);
        }
        planner.set_keyframes(keyframes.into_iter().map(Nanos::from_ms).collect(), Nanos::from_ms(20));
        let weighed = planner.finish(duration, "P01_01", json!({}));
        // Only tokens decide whether there is a plan.
        prop_assert_eq!(weighed.is_ok(), plan(&settings, &cues, duration).is_ok());
        if let Ok(weighed) = weighed {
            check(&weighed, &settings);
            prop_assert!(largest_gap(&weighed) <= Nanos::from_ms(settings.budget.max_gap_ms.into()));
        }
    }

    #[test]
    fn a_uniform_plan_keeps_budget_and_largest_gap(
        settings in checked(Policy::Uniform), cues in plausible(), duration in lasting(),
    ) {
        let made = plan(&settings, &cues, duration).unwrap();
        check(&made, &settings);
        prop_assert!(largest_gap(&made) <= Nanos::from_ms(settings.budget.max_gap_ms.into()));
        prop_assert!(made.entries.iter().all(|entry| entry.reason == Reason::Uniform));
    }

    #[test]
    fn a_plan_of_anchors_keeps_the_budget_and_has_nothing_else(
        settings in checked(Policy::AnchorsOnly), cues in plausible(), duration in lasting(),
    ) {
        let made = plan(&settings, &cues, duration).unwrap();
        check(&made, &settings);
        prop_assert_eq!(made.entries.len(), made.anchors.len());
    }

    #[test]
    fn what_is_left_is_less_than_a_frame(
        cues in plausible(), duration in lasting(),
    ) {
        prop_assume!(cues.iter().any(|cue| cue.uncertainty < 0.5 && cue.pts < duration));
        let settings = Settings::default();
        let made = plan(&settings, &cues, duration).unwrap();
        prop_assert!(made.header.budget_tokens - made.header.spent_tokens < 49);
    }

    #[test]
    fn no_audio_at_all_gives_the_uniform_plan(
        settings in checked(Policy::Gated), mut cues in plausible(), duration in lasting(),
    ) {
        for cue in &mut cues {
            cue.uncertainty = 1.0;
        }
        let mut even = settings.clone();
        even.budget.policy = Policy::Uniform;
        let mut expected = plan(&even, &[], duration).unwrap();
        expected.header.candidates_per_min = settings.candidates_per_min();
        for entry in &mut expected.entries {
            entry.reason = Reason::Untrusted;
        }
        prop_assert_eq!(&expected, &plan(&settings, &[], duration).unwrap());
        prop_assert_eq!(&expected, &plan(&settings, &cues, duration).unwrap());
    }

    #[test]
    fn any_cues_are_accepted(
        settings in checked(Policy::Gated), cues in wild(), duration in lasting(),
    ) {
        let made = plan(&settings, &cues, duration).unwrap();
        check(&made, &settings);
        prop_assert!(largest_gap(&made) <= Nanos::from_ms(settings.budget.max_gap_ms.into()));
    }

    #[test]
    fn any_duration_is_accepted(cues in wild(), duration in any::<i64>()) {
        let mut settings = Settings::default();
        settings.budget.tokens_per_s = 0.2;
        settings.budget.max_gap_ms = 3_600_000;
        if let Ok(made) = plan(&settings, &cues, Nanos::new(duration)) {
            prop_assert!(made.header.spent_tokens <= made.header.budget_tokens);
        }
    }
}
