//! Planning over hours, of sounds that never end, and while somebody speaks.

use super::tests::{Gate, max_gap, seconds};
use super::*;
use crate::cue::testing::heard;
use crate::cue::{Onset, Tag};

/// Hours of sound: an onset every ten minutes, but one hour has one every two seconds.
fn uneven_hours(hours: i64) -> Vec<Cue> {
    let busy = hours / 2 * 3_600;
    let onsets = (0..hours * 3_600)
        .filter(|s| s % 600 == 7 || (s % 2 == 0 && (busy..busy + 3_600).contains(s)));
    let mut onsets = onsets.map(seconds).peekable();
    let hops = seconds(hours * 3_600).get() / HOP.get();
    (0..hops)
        .map(|i| {
            let pts = Nanos::new(i * HOP.get());
            let at = onsets.next_if(|&at| at < pts + HOP);
            Cue {
                pts,
                onset: at.map(|at| Onset {
                    at,
                    p: 0.9,
                    uncertainty: 0.1,
                }),
                ..Cue::default()
            }
        })
        .collect()
}

/// A token bucket over every hour: what a quiet hour earns is used in it, and a busy one gets no more than its own and one bucket.
#[test]
fn no_hour_hoards_and_none_spends_more_than_its_own_and_a_bucket() {
    let mut settings = Settings::default();
    settings.budget.tokens_per_s = 49.0;
    settings.budget.anchor_tier = Tier::Base;
    settings.budget.max_gap_ms = 30_000;
    let mut gate = Gate::new(&settings);
    let hours = 6;
    gate.push_cue(&uneven_hours(hours));
    gate.finish(seconds(hours * 3_600));
    let earned = settings.budget_of(seconds(3_600));
    let bucket = settings.budget_of(seconds(settings.budget.burst_s as i64));
    for begin in (0..=(hours - 1) * 3_600).step_by(300) {
        let hour = seconds(begin)..seconds(begin + 3_600);
        let spent: Tokens = gate
            .entries()
            .filter(|entry| hour.contains(&entry.planned))
            .map(|entry| entry.tokens)
            .sum();
        assert!(spent <= earned + bucket, "from {begin} s: {spent}");
        assert!(spent + bucket >= earned, "from {begin} s: {spent}");
    }
    assert!(gate.anchors().len() > 500, "{}", gate.anchors().len());
}

#[test]
fn a_sound_that_never_ends_is_one_event_with_sparse_frames_after_it() {
    let mut settings = Settings::default();
    settings.anchors.refractory_ms = 5_000;
    let mut cues = heard(seconds(600), &[]);
    for (k, cue) in cues.iter_mut().enumerate().filter(|(k, _)| k % 25 == 0) {
        cue.tags = vec![Tag {
            // Every twentieth is another sound.
            class_id: if k % 500 == 0 { 9 } else { 3 },
            p: 0.9,
        }];
        cue.onset = Some(Onset {
            at: cue.pts,
            p: 0.9,
            uncertainty: 0.1,
        });
    }
    let anchors = |settings: &Settings| {
        let mut gate = Gate::new(settings);
        gate.push_cue(&cues);
        gate.finish(seconds(600));
        gate.check_anchors();
        let of = |class| {
            let anchors = gate.anchors();
            anchors.iter().filter(|a| a.class_id == class).count()
        };
        let largest = gate.largest_gap(seconds(600));
        (of(3), of(9), largest)
    };
    let (alarm, other, gap) = anchors(&settings);
    assert!((2..=8).contains(&alarm), "{alarm}");
    assert!(other > 10, "{other}");
    // It gets frames nevertheless, like every stretch.
    assert!(gap <= max_gap(&settings), "{gap}");
    settings.anchors.refractory_ms = 0;
    assert!(anchors(&settings).0 > 50);
}

#[test]
fn nobody_is_taken_while_speaking() {
    let mut settings = Settings::default();
    settings.budget.pictures_during_speech = false;
    let onsets: Vec<_> = (1..60).map(|s| (1_000 * s, 0.9)).collect();
    let mut cues = heard(seconds(60), &onsets);
    for cue in &mut cues[250..400] {
        cue.speech = 0.8;
    }
    cues.drain(500..600);
    let taken = |settings: &Settings| -> Vec<i64> {
        let mut gate = Gate::new(settings);
        gate.push_cue(&cues);
        gate.finish(seconds(60));
        gate.check_anchors();
        gate.entries()
            .map(|entry| entry.planned.get() / 1_000_000)
            .collect()
    };
    let inside =
        |all: &[i64], from: i64, to: i64| all.iter().filter(|ms| (from..to).contains(*ms)).count();
    let quiet = taken(&settings);
    // Spoken from 20 s to 32 s; no sound from 40 s to 48 s.
    assert_eq!(inside(&quiet, 20_000, 33_000), 0, "{quiet:?}");
    assert_eq!(inside(&quiet, 40_001, 48_000), 0, "{quiet:?}");
    assert!(
        inside(&quiet, 33_000, 34_500) > 0 && quiet.len() > 15,
        "{quiet:?}"
    );
    settings.budget.pictures_during_speech = true;
    let all = taken(&settings);
    assert!(inside(&all, 20_000, 33_000) > 5 && inside(&all, 40_001, 48_000) > 3);
}
