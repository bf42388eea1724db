//! Laws and cases of the GOP queue.

use super::*;
use crate::plan::Reason;
use crate::tier::Tier;
use proptest::prelude::*;

fn entry(ms: i64) -> Entry {
    Entry {
        planned: Nanos::from_ms(ms),
        asked: None,
        tier: Tier::Low,
        tokens: 49,
        reason: Reason::Uniform,
        anchor: None,
    }
}

/// The payload is the index in decoding order.
fn unit(place: usize, ms: i64, keyframe: bool) -> AccessUnit<usize> {
    AccessUnit {
        pts: Nanos::from_ms(ms),
        keyframe,
        shown: true,
        droppable: false,
        second_field: false,
        bytes: 10,
        duration: None,
        payload: place,
    }
}

fn stream(units: &[(i64, bool)]) -> Vec<AccessUnit<usize>> {
    units
        .iter()
        .enumerate()
        .map(|(place, &(ms, keyframe))| unit(place, ms, keyframe))
        .collect()
}

fn run(units: &[(i64, bool)], wanted: &[i64]) -> Vec<Verdict<usize>> {
    let mut queue = GopQueue::new();
    wanted.iter().for_each(|&ms| queue.request(entry(ms)));
    let mut verdicts = Vec::new();
    for unit in stream(units) {
        queue.push(unit);
        verdicts.extend(queue.release(Nanos::MAX));
    }
    verdicts.extend(queue.finish());
    assert_eq!(queue.held_bytes(), 0);
    verdicts
}

fn passed(verdicts: &[Verdict<usize>]) -> Vec<usize> {
    verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Pass { payload: place, .. } => Some(*place),
            _ => None,
        })
        .collect()
}

fn served(verdicts: &[Verdict<usize>]) -> Vec<(i64, i64)> {
    verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Serve { entry, pts } => {
                Some((entry.planned.get() / 1_000_000, pts.get() / 1_000_000))
            }
            _ => None,
        })
        .collect()
}

const CLOSED: [(i64, bool); 8] = [
    (0, true),
    (40, false),
    (80, false),
    (120, false),
    (160, true),
    (200, false),
    (240, false),
    (280, false),
];

#[test]
fn a_gop_passes_up_to_the_last_unit_needed() {
    let verdicts = run(&CLOSED, &[81, 190]);
    assert_eq!(passed(&verdicts), [0, 1, 2, 4, 5]);
    assert_eq!(served(&verdicts), [(81, 80), (190, 200)]);
    assert!(verdicts.contains(&Verdict::Skip {
        from: Nanos::from_ms(120),
        to: Nanos::from_ms(160),
        left: vec![3],
    }));
}

#[test]
fn a_unit_that_nothing_refers_to_is_left_out_unless_wanted() {
    let mut queue = GopQueue::new();
    for mut unit in stream(&[
        (0, true),
        (80, false),
        (40, false),
        (160, false),
        (120, false),
    ]) {
        unit.droppable = matches!(unit.payload, 2 | 4);
        queue.push(unit);
    }
    queue.request(entry(120));
    let verdicts = queue.finish();
    assert_eq!(passed(&verdicts), [0, 1, 3, 4]);
    assert!(verdicts.contains(&Verdict::Drop(2)));
    assert_eq!(queue.stats().passed, 4);
    assert_eq!(queue.held_bytes(), 0);
}

#[test]
fn a_tie_goes_to_the_earlier_frame_and_two_entries_may_share_one() {
    let verdicts = run(&CLOSED, &[60, 61, 81]);
    assert_eq!(served(&verdicts), [(60, 40), (61, 80), (81, 80)]);
}

#[test]
fn a_discontinuity_of_any_length_takes_the_frames_at_its_edges_once() {
    let units = [
        (0, true),
        (40, false),
        (80, false),
        (3_600_000, true),
        (3_600_040, false),
    ];
    let wanted: Vec<i64> = (0..3_600).map(|s| 1_000 * s).collect();
    let verdicts = run(&units, &wanted);
    assert_eq!(
        served(&verdicts),
        [(0, 0), (1000, 80), (1_801_000, 3_600_000)]
    );
    let merged = |verdict: &&Verdict<usize>| matches!(verdict, Verdict::Merge(_));
    assert_eq!(verdicts.iter().filter(merged).count(), 3_597);
    // Nor does the step count as time held.
    let mut queue = GopQueue::new();
    for unit in stream(&units) {
        queue.push(unit);
    }
    assert_eq!(queue.held_time(), Nanos::from_ms(80 + 2_000 + 40));
}

#[test]
fn an_entry_just_before_a_keyframe_takes_the_keyframe() {
    let verdicts = run(&CLOSED, &[150]);
    assert_eq!(served(&verdicts), [(150, 160)]);
    assert_eq!(passed(&verdicts), [4]);
}

#[test]
fn a_wanted_leading_frame_takes_the_gop_before_along() {
    // Shown: 0 40 80 | 120 160(leading) 200(key) 240
    let open = [
        (0, true),
        (80, false),
        (40, false),
        (200, true),
        (120, false),
        (160, false),
        (240, false),
    ];
    let verdicts = run(&open, &[118]);
    assert_eq!(passed(&verdicts), [0, 1, 2, 3, 4]);
    assert_eq!(served(&verdicts), [(118, 120)]);
    let verdicts = run(&open, &[205]);
    assert_eq!(passed(&verdicts), [3]);
}

#[test]
fn leading_frames_at_the_very_start_serve_nothing() {
    let verdicts = run(
        &[(120, true), (40, false), (80, false), (160, false)],
        &[85],
    );
    assert_eq!(served(&verdicts), [(85, 120)]);
}

#[test]
fn entries_far_outside_are_missed_and_near_ones_served() {
    let verdicts = run(
        &[(1000, true), (1040, false), (1080, false)],
        &[0, 959, 960, 1120, 1121],
    );
    assert_eq!(served(&verdicts), [(960, 1000), (1120, 1080)]);
    let missed: Vec<_> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Miss(entry) => Some(entry.planned.get() / 1_000_000),
            _ => None,
        })
        .collect();
    assert_eq!(missed, [0, 959, 1121]);
}

#[test]
fn the_last_frame_serves_as_long_as_it_is_shown() {
    let mut queue = GopQueue::new();
    let mut last = unit(0, 0, true);
    last.duration = Some(Nanos::from_ms(5000));
    queue.push(last);
    queue.request(entry(4900));
    assert_eq!(served(&queue.finish()), [(4900, 0)]);
}

#[test]
fn nothing_goes_before_it_is_decided() {
    let mut queue = GopQueue::new();
    for unit in stream(&CLOSED) {
        queue.push(unit);
    }
    assert_eq!(queue.release(Nanos::from_ms(159)), []);
    assert!(!queue.release(Nanos::from_ms(160)).is_empty());
    assert_eq!(queue.held_bytes(), 40);
}

#[test]
fn a_keyframe_that_goes_back_in_time_takes_nothing_from_the_one_before() {
    let back = [(0, true), (40, false), (120, true), (80, true)];
    assert_eq!(served(&run(&back, &[120])), [(120, 120)]);
    assert_eq!(served(&run(&back, &[121, 150])), [(121, 120), (150, 120)]);
}

#[test]
fn units_before_the_first_keyframe_come_back() {
    let mut queue = GopQueue::new();
    assert_eq!(queue.push(unit(7, 0, false)), Some(7));
    assert_eq!(queue.stats().dropped_before_keyframe, 1);
}

#[test]
fn a_gop_too_large_to_hold_passes_in_parts() {
    let mut queue = GopQueue::new();
    for ms in 0..100 {
        queue.request(entry(ms * 400));
    }
    let mut verdicts = Vec::new();
    for place in 0..1000 {
        queue.push(unit(place, place as i64 * 40, place == 0));
        verdicts.extend(queue.release(Nanos::MAX));
        while queue.held_bytes() > 1000 {
            verdicts.extend(queue.overflow());
        }
    }
    verdicts.extend(queue.finish());
    assert_eq!(served(&verdicts).len(), 100);
    assert!(served(&verdicts).iter().all(|(asked, got)| asked == got));
    assert_eq!(passed(&verdicts), (0..991).collect::<Vec<_>>());
}

#[test]
fn late_entries_are_missed_or_served_within_a_frame() {
    let mut queue = GopQueue::new();
    for unit in stream(&CLOSED) {
        queue.push(unit);
    }
    assert!(!queue.overflow().is_empty());
    queue.request(entry(100));
    queue.request(entry(130));
    let verdicts = queue.finish();
    assert_eq!(served(&verdicts), [(130, 160)]);
    assert_eq!(queue.stats().missed, 1);
}

/// A coded stream: GOPs of mini-GOPs with B-frames, open or closed, at a constant or a variable rate, in decoding order.
fn coded() -> impl Strategy<Value = Vec<AccessUnit<usize>>> {
    coded_in(12, 8)
}

/// Fewer GOPs than `gops`, each with fewer frames than `length`.
fn coded_in(length: usize, gops: usize) -> impl Strategy<Value = Vec<AccessUnit<usize>>> {
    let gop = (1..length, 0usize..4, any::<bool>());
    (
        prop::collection::vec(gop, 1..gops),
        prop::collection::vec(1i64..400, 100),
        0i64..2000,
    )
        .prop_map(|(gops, spacing, first)| {
            // Presentation slots first, then decoding order.
            let mut order: Vec<(usize, bool)> = Vec::new();
            let mut slot = 0;
            for (g, (length, reorder, open)) in gops.into_iter().enumerate() {
                let leading = if g > 0 && open { reorder } else { 0 };
                order.push((slot + leading, true));
                order.extend((slot..slot + leading).map(|at| (at, false)));
                let mut at = slot + leading + 1;
                let stop = slot + length.max(leading + 1);
                while at < stop {
                    let anchor = (at + reorder).min(stop - 1);
                    order.push((anchor, false));
                    order.extend((at..anchor).map(|at| (at, false)));
                    at = anchor + 1;
                }
                slot = stop;
            }
            let time = |slot: usize| first + spacing.iter().cycle().take(slot).sum::<i64>();
            order
                .iter()
                .enumerate()
                .map(|(place, &(slot, keyframe))| {
                    let mut unit = unit(place, time(slot), keyframe);
                    // The last of a mini-GOP, in decoding order and away from the anchors.
                    unit.droppable = !keyframe && slot % 3 == 1;
                    unit
                })
                .collect()
        })
}

proptest! {
    #[test]
    fn every_entry_gets_the_nearest_frame_and_all_it_needs(
        units in coded(),
        mut wanted in prop::collection::vec(0i64..30_000, 0..30),
        lag in 0i64..3000,
    ) {
        wanted.sort_unstable();
        let mut queue = GopQueue::new();
        let mut verdicts = Vec::new();
        let mut given = 0;
        for unit in units.clone() {
            // The plan is decided some way behind the frames.
            let decided = unit.pts - Nanos::from_ms(lag);
            while given < wanted.len() && Nanos::from_ms(wanted[given]) < decided {
                queue.request(entry(wanted[given]));
                given += 1;
            }
            prop_assert!(queue.push(unit).is_none());
            verdicts.extend(queue.release(decided));
        }
        wanted[given..].iter().for_each(|&ms| queue.request(entry(ms)));
        verdicts.extend(queue.finish());

        // Every unit has one verdict, in decoding order.
        let mut places = Vec::new();
        for verdict in &verdicts {
            match verdict {
                Verdict::Pass { payload: place, .. } => places.push(*place),
                Verdict::Drop(place) => places.push(*place),
                Verdict::Skip { left, .. } => places.extend(left),
                _ => {}
            }
        }
        prop_assert_eq!(places, (0..units.len()).collect::<Vec<_>>());
        prop_assert_eq!(queue.held_bytes(), 0);

        // The nearest frame, announced before its unit, and passed with its GOP from the keyframe on.
        let mut shown: Vec<(i64, usize)> =
            units.iter().map(|unit| (unit.pts.get(), unit.payload)).collect();
        shown.sort_unstable();
        let passed = passed(&verdicts);
        let key_of = |place: usize| (0..=place).rev().find(|&at| units[at].keyframe).unwrap();
        let mut answered = 0;
        let mut so_far = 0;
        for verdict in &verdicts {
            match verdict {
                Verdict::Pass { .. } => so_far += 1,
                Verdict::Skip { .. } | Verdict::Drop(_) => {}
                Verdict::Merge(entry) => {
                    answered += 1;
                    let far = |(pts, _): &(i64, usize)| pts.abs_diff(entry.planned.get()) > 500_000_000;
                    prop_assert!(shown.iter().all(far));
                }
                Verdict::Miss(entry) => {
                    answered += 1;
                    let at = entry.planned;
                    prop_assert!(at < units[0].pts || at.get() > shown.last().unwrap().0);
                }
                Verdict::Serve { entry, pts } => {
                    answered += 1;
                    let at = entry.planned.get();
                    let best = shown.iter().map(|(pts, _)| (pts.abs_diff(at), *pts)).min().unwrap();
                    prop_assert_eq!(pts.get(), best.1);
                    let place = shown.iter().find(|(time, _)| *time == pts.get()).unwrap().1;
                    prop_assert!(!passed[..so_far].contains(&place));
                    let key = key_of(place);
                    let leading = units[place].pts < units[key].pts;
                    let from = if leading { key_of(key - 1) } else { key };
                    let mut needed = units[from..=place].iter().filter(|unit| !unit.droppable);
                    prop_assert!(needed.all(|unit| passed.contains(&unit.payload)));
                    prop_assert!(passed.contains(&place));
                }
            }
        }
        prop_assert_eq!(answered, wanted.len());
    }

    #[test]
    fn advancing_passes_the_same_sooner(
        units in coded_in(400, 4),
        mut wanted in prop::collection::vec(0i64..100_000, 0..60),
    ) {
        // Which times the first or last frame serves depends on the frame interval so far, and that differs.
        let times = || units.iter().map(|unit| unit.pts);
        let (first, last) = (times().min().unwrap(), times().max().unwrap());
        wanted.retain(|&ms| (first..=last).contains(&Nanos::from_ms(ms)));
        wanted.sort_unstable();
        let take = |advance: bool| {
            let mut queue = GopQueue::new();
            let (mut verdicts, mut given, mut most) = (Vec::new(), 0, 0);
            for unit in units.clone() {
                queue.push(unit);
                // As a plan is read: as far as frames have come, and what comes then is known.
                let newest = queue.newest().unwrap();
                while given < wanted.len() && Nanos::from_ms(wanted[given]) <= newest {
                    queue.request(entry(wanted[given]));
                    given += 1;
                }
                let next = wanted.get(given).map_or(Nanos::MAX, |&ms| Nanos::from_ms(ms));
                verdicts.extend(queue.release(next));
                if advance {
                    verdicts.extend(queue.advance(next));
                }
                most = most.max(queue.held_bytes());
            }
            wanted[given..].iter().for_each(|&ms| queue.request(entry(ms)));
            verdicts.extend(queue.finish());
            (verdicts, most)
        };
        let ((whole, most), (sooner, less)) = (take(false), take(true));
        prop_assert_eq!(passed(&whole), passed(&sooner));
        let (mut whole, mut sooner) = (served(&whole), served(&sooner));
        whole.sort_unstable();
        sooner.sort_unstable();
        prop_assert_eq!(whole, sooner);
        prop_assert!(less <= most);
    }

    #[test]
    fn an_advance_holds_little(every in 1i64..40) {
        let mut queue = GopQueue::new();
        let (mut most, mut next) = (0, 0);
        for place in 0..5000 {
            let ms = place as i64 * 40;
            queue.push(unit(place, ms, place == 0));
            while next <= ms {
                queue.request(entry(next));
                next += every * 40;
            }
            queue.advance(Nanos::from_ms(next));
            most = most.max(queue.held_bytes());
        }
        // Ten bytes a unit.
        prop_assert!(most <= 10 * 2 * (MIN_TO_ADVANCE + REORDER + 2 * every as usize), "{most}");
    }

    #[test]
    fn memory_is_bounded_and_order_kept_whatever_the_plan_does(
        units in coded(),
        wanted in prop::collection::vec(0i64..30_000, 0..30),
        bound in 10usize..200,
    ) {
        let mut queue = GopQueue::new();
        let mut wanted = wanted.into_iter();
        let mut verdicts = Vec::new();
        let total = units.len();
        for unit in units {
            queue.push(unit);
            wanted.next().into_iter().for_each(|ms| queue.request(entry(ms)));
            while queue.held_bytes() > bound {
                let freed = queue.overflow();
                prop_assert!(!freed.is_empty());
                verdicts.extend(freed);
            }
        }
        verdicts.extend(queue.finish());
        let mut places = Vec::new();
        for verdict in &verdicts {
            match verdict {
                Verdict::Pass { payload: place, .. } => places.push(*place),
                Verdict::Drop(place) => places.push(*place),
                Verdict::Skip { left, .. } => places.extend(left),
                _ => {}
            }
        }
        prop_assert_eq!(places, (0..total).collect::<Vec<_>>());
        prop_assert_eq!(queue.waiting(), 0);
    }
}

#[test]
fn two_fields_share_one_verdict() {
    let field = |place: usize, ms: i64, second_field: bool, droppable: bool| AccessUnit {
        second_field,
        droppable,
        ..unit(place, ms, place == 0)
    };
    let units = || {
        [
            field(0, 0, false, false),
            field(1, 0, true, false),
            field(2, 40, false, true),
            field(3, 40, true, true),
            field(4, 80, false, true),
            field(5, 80, true, true),
            // Another unit refers to the second one.
            field(6, 120, false, true),
            field(7, 120, true, false),
            field(8, 160, false, false),
            field(9, 160, true, false),
        ]
    };
    let run = |wanted: i64| {
        let mut queue = GopQueue::new();
        queue.request(entry(wanted));
        units().into_iter().for_each(|unit| {
            queue.push(unit);
        });
        passed(&queue.finish())
    };
    assert_eq!(run(0), [0, 1]);
    assert_eq!(run(80), [0, 1, 4, 5]);
    assert_eq!(run(120), [0, 1, 6, 7]);
    assert_eq!(run(150), [0, 1, 6, 7, 8, 9]);
    let mut queue = GopQueue::new();
    queue.request(entry(40));
    let mut all = Vec::new();
    for unit in units() {
        queue.push(unit);
        all.extend(queue.overflow());
    }
    all.extend(queue.finish());
    // Released by halves, pairs still pass or stay out together.
    let all = passed(&all);
    assert!(all.chunks(2).all(|pair| pair[0] + 1 == pair[1]), "{all:?}");
}
