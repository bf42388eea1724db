//! Entries move to cheap frames, and nothing else changes.

use proptest::prelude::*;

use super::*;
use crate::planning::decode_cost::{FramesOfEntry, FramesOfPlan};
use crate::planning::uniform::{evenly_between, frames_needed};
use crate::tier::Tier;

const FRAME: Nanos = Nanos::from_ms(20);

fn ms(ms: i64) -> Nanos {
    Nanos::from_ms(ms)
}

fn entry(planned: Nanos, reason: Reason) -> Entry {
    Entry {
        planned,
        asked: None,
        tier: Tier::Low,
        tokens: 49,
        reason,
        anchor: (reason == Reason::Anchor).then_some(0),
    }
}

fn background(times: &[i64]) -> Vec<Entry> {
    times
        .iter()
        .map(|&at| entry(ms(at), Reason::Background))
        .collect()
}

fn times(entries: &[Entry]) -> Vec<i64> {
    entries
        .iter()
        .map(|entry| entry.planned.get() / 1_000_000)
        .collect()
}

fn moved(entries: &mut [Entry], keyframes: &[Nanos], stop: i64, gap: i64, reach: i64) {
    let decode_cost = DecodeCost::of_frames(keyframes, FRAME);
    snap_frames(
        entries,
        decode_cost,
        Nanos::ZERO,
        ms(stop),
        ms(gap),
        ms(reach),
    );
}

#[test]
fn within_a_limit_entries_move_as_little_as_will_do_and_rather_later() {
    let keys: Vec<_> = (0..60).map(|i| ms(1_000 * i)).collect();
    let decode_cost = DecodeCost::of_frames(&keys, FRAME);
    let wanted: Vec<_> = (0..11).map(|i| 5_000 * i + 2_400 + 37 * i).collect();
    let all = |limit: u64, gap: i64| {
        let mut entries = background(&wanted);
        let done = snap_within(
            &mut entries,
            decode_cost,
            (Nanos::ZERO, ms(60_000)),
            ms(gap),
            ms(1_000),
            limit,
        );
        let decoded = decode_cost.frames_decoded(&entries);
        (done, times(&entries), decoded)
    };
    let free = all(u64::MAX, 30_000);
    assert_eq!((free.0, &free.1), (true, &wanted));
    let some = all(free.2 / 2, 30_000);
    assert!(some.0 && some.2 <= free.2 / 2, "{some:?}");
    let moved = some.1.iter().zip(&wanted).filter(|(a, b)| a != b).count();
    assert!((1..11).contains(&moved), "{some:?}");
    let least = all(11, 30_000);
    assert!(least.0 && least.2 == 11, "{least:?}");
    // 600 ms later rather than 400 ms earlier.
    assert_eq!(least.1[0], 3_000);
    let none = all(3, 30_000);
    assert_eq!((none.0, none.1), (false, wanted));
}

#[test]
fn hours_without_an_anchor_are_placed_piece_by_piece() {
    let keys: Vec<_> = (0..2_000).map(|i| ms(1_000 * i)).collect();
    let times_before: Vec<_> = (0..1_999).map(|i| 1_000 * i + 500).collect();
    let mut entries = background(&times_before);
    moved(&mut entries, &keys, 2_000_000, 2_000, 1_000);
    let stay = times(&entries).iter().filter(|at| *at % 1_000 != 0).count();
    assert_eq!(stay, 1_999 / (MAX_RUN + 1));
}

#[test]
fn without_an_anchor_frames_gather_behind_keyframes() {
    let keys: Vec<_> = (0..40).map(|i| ms(10_000 * i)).collect();
    let even: Vec<_> = (0..400).map(|i| 1_000 * i + 500).collect();
    let mut entries = background(&even);
    let decode_cost = DecodeCost::of_frames(&keys, FRAME);
    let cost = |entries: &[Entry]| decode_cost.frames_decoded(entries);
    let before = cost(&entries);
    moved(&mut entries, &keys, 400_000, 10_000, 10_000);
    // At half their distance, ten entries lie in the first half of each GOP.
    assert!(10 * cost(&entries) < 6 * before);
    let closest = times(&entries).windows(2).map(|w| w[1] - w[0]).min();
    assert_eq!((entries.len(), closest), (400, Some(500)));
}

#[test]
fn frames_step_from_keyframe_to_keyframe() {
    let keys: Vec<_> = (0..20).map(|i| ms(500 * i)).collect();
    let mut entries = background(&[700, 1_500, 2_300, 3_100, 3_900]);
    entries.push(entry(ms(4_700), Reason::Anchor));
    moved(&mut entries, &keys, 5_000, 1_000, 1_000);
    assert!(
        times(&entries)[..5].iter().all(|at| at % 500 == 0),
        "{:?}",
        times(&entries)
    );
    assert_eq!(entries[5].planned, ms(4_700));
    // The time asked for is kept, and a second move does not change it.
    let asked = [700, 1_500, 2_300, 3_100, 3_900, 4_700].map(ms);
    assert!(
        entries
            .iter()
            .all(|entry| entry.asked != Some(entry.planned))
    );
    assert!(entries.iter().filter(|entry| entry.asked.is_some()).count() >= 4);
    for _ in 0..2 {
        assert!(entries.iter().map(Entry::first_asked).eq(asked));
        assert_eq!(entries[5].asked, None);
        moved(&mut entries, &keys, 5_000, 1_000, 300);
    }
}

#[test]
fn what_an_anchor_has_decoded_is_free() {
    // One GOP of ten seconds: the anchor at 6 s pays for all before it.
    let keys = [Nanos::ZERO];
    let mut entries = background(&[3_000]);
    entries.push(entry(ms(6_000), Reason::Anchor));
    entries.extend(background(&[8_000]));
    moved(&mut entries, &keys, 10_000, 4_000, 1_000);
    // An entry that costs nothing stays. After the anchor an earlier entry is cheaper, but it keeps a quarter of the
    // largest gap.
    assert_eq!(times(&entries), [3_000, 6_000, 7_000]);
}

#[test]
fn even_frames_far_from_keyframes_gather_in_what_is_decoded_anyway() {
    // GOPs of five seconds; the anchor at 9 s pays for four of them.
    let keys: Vec<_> = (0..5).map(|i| ms(5_000 * i)).collect();
    let mut entries = background(&[1_800, 3_600, 5_400, 7_200]);
    entries.push(entry(ms(9_000), Reason::Anchor));
    moved(&mut entries, &keys, 9_100, 10_000, 10_000);
    let decode_cost = DecodeCost::of_frames(&keys, FRAME);
    // The anchor's own frames, and at most the first frame of the recording.
    let cost = decode_cost.frames_decoded(&entries);
    assert!(cost <= 202, "{cost}: {:?}", times(&entries));
    let edges = times(&entries);
    assert!(edges.windows(2).all(|w| w[1] - w[0] >= 900), "{edges:?}");
}

#[test]
fn no_frame_moves_further_than_the_reach() {
    let keys: Vec<_> = (0..4).map(|i| ms(5_000 * i)).collect();
    let mut entries = background(&[1_000, 3_000, 5_900]);
    moved(&mut entries, &keys, 10_000, 10_000, 800);
    assert_eq!(
        times(&entries)[2],
        5_100,
        "towards the keyframe, as far as it may"
    );
    // The last entry of a GOP pays for those before it.
    let mut entries = background(&[1_000, 3_000, 5_900, 8_000]);
    moved(&mut entries, &keys, 10_000, 10_000, 800);
    assert_eq!(times(&entries)[2..], [5_900, 7_200]);
}

#[test]
fn without_keyframes_or_reach_nothing_moves() {
    let before = background(&[300, 1_100, 1_900]);
    for (keys, reach) in [(vec![], 1_000), (vec![Nanos::ZERO, ms(1_000)], 0)] {
        let mut entries = before.clone();
        moved(&mut entries, &keys, 2_500, 1_000, reach);
        assert_eq!(entries, before);
    }
}

#[test]
fn frames_between_keyframe_and_frame_cost_once() {
    let keys = [Nanos::ZERO, ms(500)];
    let decode_cost = DecodeCost::of_frames(&keys, FRAME);
    assert_eq!(decode_cost.frames_decoded(&background(&[0])), 1);
    assert_eq!(
        decode_cost.frames_decoded(&background(&[495])),
        1,
        "the keyframe at 500 ms is nearest"
    );
    assert_eq!(decode_cost.frames_decoded(&background(&[100])), 6);
    assert_eq!(decode_cost.frames_decoded(&background(&[100, 200])), 11);
    assert_eq!(decode_cost.frames_decoded(&background(&[200, 520])), 13);
}

proptest! {
    #[test]
    fn only_times_change_the_largest_gap_holds_and_nothing_gets_dearer(
        mut anchors in prop::collection::vec(0i64..60_000, 0..12),
        keys in prop::collection::vec(0i64..60_000, 0..200),
        more in 0u64..3,
        reach in 0i64..3_000,
    ) {
        let (stop, gap) = (ms(60_000), ms(1_000));
        anchors.sort_unstable();
        anchors.dedup_by_key(|at| *at / 500);
        let mut keys: Vec<_> = keys.into_iter().map(ms).collect();
        keys.sort_unstable();
        let mut entries = Vec::new();
        let mut a = Nanos::ZERO;
        for b in anchors.into_iter().map(ms).chain([stop]) {
            let n = frames_needed(a, b, gap) + more;
            entries.extend(evenly_between(a, b, n).map(|at| entry(at, Reason::Background)));
            if b < stop {
                entries.push(entry(b, Reason::Anchor));
            }
            a = b;
        }
        let before = entries.clone();
        moved(&mut entries, &keys, 60_000, 1_000, reach);
        prop_assert_eq!(entries.len(), before.len());
        for (old, new) in before.iter().zip(&entries) {
            prop_assert_eq!((old.tier, old.reason, old.tokens), (new.tier, new.reason, new.tokens));
            prop_assert!(old.reason != Reason::Anchor || old == new);
            prop_assert!(old.planned.distance(new.planned) <= ms(reach));
        }
        let mut edges = vec![Nanos::ZERO];
        edges.extend(entries.iter().map(|entry| entry.planned));
        edges.push(stop);
        prop_assert!(edges.windows(2).all(|w| w[0] <= w[1] && w[1] - w[0] <= gap), "{edges:?}");
        let decode_cost = DecodeCost::of_frames(&keys, FRAME);
        let cost = |entries: &[Entry]| decode_cost.frames_decoded(entries);
        prop_assert!(cost(&entries) <= cost(&before));
    }

    #[test]
    fn clips_are_snapped_by_all_that_they_need(
        keys in prop::collection::btree_set(0i64..59_000, 1..60), reach in 0i64..2_000,
        clip in (2u32..40, 20i64..120, 0i64..1_500), has_anchors in any::<bool>(), is_still in any::<bool>(),
    ) {
        let keys: Vec<Nanos> = [0].into_iter().chain(keys).map(ms).collect();
        let within = (Nanos::ZERO, ms(60_000) - FRAME);
        let (frames, step, lead) = clip;
        let half = ms(step * i64::from(frames / 2));
        let takes = FramesOfPlan {
            anchor: FramesOfEntry::clip(frames, ms(step), ms(lead), within),
            other: if is_still { FramesOfEntry::FRAME } else { FramesOfEntry::clip(frames, ms(step), half, within) },
        };
        let decode_cost = DecodeCost { takes, ..DecodeCost::of_frames(&keys, FRAME) };
        let wanted: Vec<i64> = (0..60).map(|i| 1_000 * i + 500).collect();
        let mut entries = background(&wanted);
        for entry in entries.iter_mut().step_by(7).filter(|_| has_anchors) {
            entry.reason = Reason::Anchor;
        }
        let before = entries.clone();
        snap_frames(&mut entries, decode_cost, Nanos::ZERO, ms(60_000), ms(2_000), ms(reach));
        prop_assert!(decode_cost.frames_decoded(&entries) <= decode_cost.frames_decoded(&before));
        for (old, new) in before.iter().zip(&entries) {
            prop_assert!(old.reason != Reason::Anchor || old == new);
            prop_assert!(old.planned.distance(new.planned) <= ms(reach));
            prop_assert_eq!(old.planned, new.first_asked());
        }
        prop_assert!(entries.windows(2).all(|w| w[0].planned < w[1].planned && w[1].planned - w[0].planned <= ms(2_000)));
    }
}

#[test]
fn a_clip_moves_so_that_it_begins_at_a_keyframe() {
    let keys: Vec<_> = (0..12).map(|i| ms(5_000 * i)).collect();
    // 16 frames, the entry in the middle.
    let within = (Nanos::ZERO, ms(60_000) - FRAME);
    let half = Nanos::new(8 * FRAME.get());
    let clip = FramesOfEntry::clip(16, FRAME, half, within);
    let takes = FramesOfPlan {
        anchor: clip,
        other: clip,
    };
    let decode_cost = DecodeCost {
        takes,
        ..DecodeCost::of_frames(&keys, FRAME)
    };
    let mut entries = background(&[4_700, 9_900, 15_300]);
    snap_frames(
        &mut entries,
        decode_cost,
        Nanos::ZERO,
        ms(20_000),
        ms(6_000),
        ms(1_000),
    );
    let at: Vec<_> = entries.iter().map(|entry| entry.planned - half).collect();
    assert_eq!(at, [5_000, 10_000, 15_000].map(ms));
    assert_eq!(decode_cost.frames_decoded(&entries), 48);
}
