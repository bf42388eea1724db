//! The content of the listener's cues, and when they come.

use proptest::prelude::*;

use super::*;
use crate::cue::{COARSE, Tag};

const START: Nanos = Nanos::from_ms(5_000);

/// Faint noise, the same every time.
fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 1e-3
        })
        .collect()
}

/// A decaying knock, added at a sample.
fn knock(x: &mut [f32], at: usize) {
    for (n, slot) in x[at..].iter_mut().take(3_000).enumerate() {
        let t = n as f32 / 16_000.0;
        *slot += (-t * 30.0).exp() * (1.0 - 2.0 * (n % 7) as f32 / 6.0) * 0.5;
    }
}

fn tagging() -> ListenerSettings {
    ListenerSettings {
        tag_scope: TagScope::All,
        ..ListenerSettings::default()
    }
}

fn cues(x: &[f32], chunk: usize) -> Vec<Cue> {
    cues_of(x, chunk, &ListenerSettings::default())
}

/// A patch is answered by the loudness of its last frame, a chunk by its loudest sample.
fn cues_of(x: &[f32], chunk: usize, settings: &ListenerSettings) -> Vec<Cue> {
    let mut ears = Listener::new(START, settings);
    let mut out = Vec::new();
    let mut drain = |ears: &mut Listener| {
        while let Some(patch) = ears.next_patch() {
            assert_eq!(patch.samples.len(), settings.patch_samples);
            let sound = patch.samples.iter().fold(0.0, |sum, x| sum + x.abs());
            let p = patch.log_mel.iter().rev().take(BANDS).sum::<f32>() / 640.0 + 0.7 + sound;
            ears.push_answer(TaggerAnswer {
                onset: Some(p),
                ..TaggerAnswer::default()
            });
        }
        while let Some(chunk) = ears.next_voice_chunk() {
            ears.push_voice(chunk.iter().fold(0.0, |most, x| x.abs().max(most)));
        }
        out.extend(std::iter::from_fn(|| ears.next_cue()));
    };
    for part in x.chunks(chunk) {
        ears.push(part);
        drain(&mut ears);
    }
    ears.finish();
    drain(&mut ears);
    out
}

/// Settings of every kind.
fn every_hearing() -> Vec<ListenerSettings> {
    let weights = std::sync::Arc::new(crate::onset::weights::Weights::embedded().unwrap());
    [
        Probe::Energy,
        Probe::Flux,
        Probe::Onset(weights.clone()),
        Probe::OnsetTcn(weights),
        Probe::Patches,
    ]
    .into_iter()
    .flat_map(|probe| {
        [
            (TagScope::Nothing, false),
            (TagScope::Onsets, false),
            (TagScope::All, true),
        ]
        .map(|(tag_scope, more)| ListenerSettings {
            probe: probe.clone(),
            tag_scope,
            patch_samples: if more { 20_000 } else { 0 },
            voices: more,
            speech: SpeechMode::Label,
        })
    })
    .collect()
}

fn onsets(cues: &[Cue]) -> Vec<Onset> {
    cues.iter().filter_map(|cue| cue.onset).collect()
}

#[test]
fn a_knock_in_faint_noise_is_one_onset_at_its_time() {
    let mut x = noise(64_000);
    knock(&mut x, 32_000);
    let heard = onsets(&cues(&x, 1_000));
    let likely: Vec<_> = heard.iter().filter(|onset| onset.p > 0.5).collect();
    assert_eq!(likely.len(), 1);
    assert!(likely[0].at.distance(START + Nanos::from_ms(2_000)) <= Nanos::from_ms(30));
}

#[test]
fn bands_are_loud_where_it_is_loud_and_dark_where_it_is_silent() {
    let mut x = noise(64_000);
    x[48_000..].fill(0.0);
    for (n, slot) in x[16_000..32_000].iter_mut().enumerate() {
        *slot += (std::f32::consts::TAU * 300.0 * n as f32 / 16_000.0).sin() * 0.5;
    }
    let all = cues(&x, 777);
    let (faint, tone, silence) = (all[6].bands, all[18].bands, all[42].bands);
    let loudest = (0..COARSE).max_by_key(|&k| tone[k]).unwrap();
    assert!((1..=3).contains(&loudest), "{tone:?}");
    assert!(tone[loudest] > faint[loudest] + 100, "{tone:?} {faint:?}");
    assert_eq!(silence, [0; COARSE]);
    // As text and back.
    assert_eq!(Cue::bands_from_text(&all[18].bands_text()), Some(tone));
    for wrong in ["", "0", "zz", "+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f"] {
        assert_eq!(Cue::bands_from_text(wrong), None);
    }
}

#[test]
fn every_hop_that_has_begun_yields_a_cue() {
    for (samples, hops) in [(0, 0), (1, 1), (1_280, 1), (1_281, 2), (16_000, 13)] {
        let all = cues(&noise(samples), 333);
        assert_eq!(all.len(), hops, "{samples} samples");
        for (i, cue) in all.iter().enumerate() {
            assert_eq!(cue.pts, START + Nanos::from_ms(80 * i as i64));
        }
    }
}

#[test]
fn digital_silence_is_not_trusted_and_has_no_onset() {
    for cue in cues(&[0.0; 32_000], 999) {
        assert_eq!((cue.eventness, cue.uncertainty), (0.0, 1.0));
        assert_eq!(cue.onset, None);
    }
}

#[test]
fn a_tick_after_digital_silence_is_an_onset_in_a_hop_with_sound() {
    // At the very start of a hop, and inside one.
    for at in [24 * 1_280, 24 * 1_280 + 10, 24 * 1_280 + 700] {
        let mut x = vec![0.0; 64_000];
        knock(&mut x, at);
        let all = cues(&x, 1_000);
        let heard = onsets(&all);
        assert!(!heard.is_empty(), "{at}");
        let time = START + Nanos::new(at as i64 * 62_500);
        assert!(heard[0].at.distance(time) <= Nanos::from_ms(30), "{at}");
        for cue in all.iter().filter(|cue| cue.onset.is_some()) {
            assert!(cue.uncertainty < 1.0);
        }
    }
}

#[test]
fn the_cut_at_the_end_is_not_an_onset() {
    let mut x = noise(32_000);
    for (n, slot) in x.iter_mut().enumerate() {
        *slot += (std::f32::consts::TAU * (n % 16) as f32 / 16.0).sin();
    }
    let heard = onsets(&cues(&x, 1_000));
    assert!(
        heard.iter().all(|o| o.at < START + Nanos::from_ms(1_900)),
        "{heard:?}"
    );
}

#[test]
fn nan_is_not_trusted_and_makes_no_onset_nearby() {
    let mut x = noise(64_000);
    x[32_000..33_000].fill(f32::NAN);
    let all = cues(&x, 1_000);
    assert_eq!(all[25].uncertainty, 1.0);
    assert_eq!(all[24].uncertainty, 0.0);
    assert!(all[24..=27].iter().all(|cue| cue.onset.is_none()));
}

#[test]
fn latency_is_what_a_cue_waits_for() {
    for tag_scope in [TagScope::Nothing, TagScope::Onsets, TagScope::All] {
        let settings = ListenerSettings {
            tag_scope,
            ..ListenerSettings::default()
        };
        let mut ears = Listener::new(Nanos::ZERO, &settings);
        let mut worst = Nanos::ZERO;
        for (n, part) in noise(64_000).chunks(16).enumerate() {
            ears.push(part);
            while ears.next_patch().is_some() {
                ears.push_answer(TaggerAnswer::default());
            }
            while let Some(cue) = ears.next_cue() {
                // The first hops also wait for the first patch, which begins before them.
                if cue.pts >= Nanos::from_ms(720) {
                    worst = worst.max(Nanos::from_ms(n as i64 + 1) - cue.pts);
                }
            }
        }
        assert_eq!(worst, ears.latency(), "{tag_scope:?}");
    }
}

#[test]
fn a_hop_takes_the_tags_of_the_nearest_patch() {
    let mut ears = Listener::new(START, &tagging());
    let mut out = Vec::new();
    let mut patches = 0;
    for part in noise(48_000).chunks(1_600) {
        ears.push(part);
        while let Some(patch) = ears.next_patch() {
            assert_eq!(patch.pts, START + Nanos::from_ms(480 * patches));
            assert_eq!(patch.log_mel.len(), 96 * 64);
            let tag = Tag {
                class_id: patches as u16,
                p: 0.5,
            };
            ears.push_answer(TaggerAnswer {
                tags: vec![tag],
                speech: 0.25,
                onset: None,
            });
            patches += 1;
        }
        out.extend(std::iter::from_fn(|| ears.next_cue()));
    }
    ears.finish();
    out.extend(std::iter::from_fn(|| ears.next_cue()));
    assert_eq!((patches, out.len()), (5, 38));
    let last = (patches - 1) as f64;
    for (i, cue) in out.iter().enumerate() {
        let middle = 0.08 * i as f64 + 0.04;
        let nearest = ((middle - 0.4875) / 0.48).round().clamp(0.0, last);
        assert_eq!(f64::from(cue.tags[0].class_id), nearest, "hop {i}");
        assert_eq!(cue.speech, 0.25);
    }
}

#[test]
fn patches_with_an_onset_are_tagged() {
    let settings = ListenerSettings {
        tag_scope: TagScope::Onsets,
        ..ListenerSettings::default()
    };
    let mut ears = Listener::new(START, &settings);
    let mut x = noise(160_000);
    knock(&mut x, 64_000);
    let (mut asked, mut out) = (Vec::new(), Vec::new());
    for part in x.chunks(1_600) {
        ears.push(part);
        while let Some(patch) = ears.next_patch() {
            asked.push(patch.pts - START);
            ears.push_answer(TaggerAnswer {
                tags: vec![Tag {
                    class_id: 7,
                    p: 0.5,
                }],
                speech: 0.25,
                onset: None,
            });
        }
        out.extend(std::iter::from_fn(|| ears.next_cue()));
    }
    ears.finish();
    while ears.next_patch().is_some() {
        ears.push_answer(TaggerAnswer::default());
    }
    out.extend(std::iter::from_fn(|| ears.next_cue()));
    assert_eq!(out.len(), 125);
    // The knock is at 4 s: the patch from 3.36 to 4.335 s has its middle nearest.
    assert!(asked.contains(&Nanos::from_ms(3_360)), "{asked:?}");
    assert!(asked.len() < 10, "{asked:?}");
    let named = |cue: &&Cue| !cue.tags.is_empty();
    let knock = out
        .iter()
        .find(|cue| cue.onset.is_some_and(|onset| onset.p > 0.5))
        .unwrap();
    assert_eq!((knock.tags.len(), knock.speech), (1, 0.25));
    assert!(out.iter().filter(named).count() < 70);
}

#[test]
fn a_recording_shorter_than_a_patch_is_padded_to_one() {
    let mut ears = Listener::new(START, &tagging());
    ears.push(&noise(2_000));
    assert_eq!(ears.next_patch(), None);
    ears.finish();
    assert_eq!(ears.next_cue(), None);
    assert_eq!(ears.next_patch().map(|p| p.log_mel.len()), Some(96 * 64));
    let tag = |class_id, p| Tag { class_id, p };
    ears.push_answer(TaggerAnswer {
        tags: vec![tag(3, 2.0), tag(4, f32::NAN)],
        speech: f32::NAN,
        onset: None,
    });
    let cue = ears.next_cue().unwrap();
    assert_eq!(
        cue.tags,
        vec![Tag {
            class_id: 3,
            p: 1.0
        }]
    );
    assert_eq!(cue.speech, 0.0);
}

#[test]
fn a_tagger_that_never_answers_is_given_up_and_state_stays_bounded() {
    let mut ears = Listener::new(START, &tagging());
    let second = noise(16_000);
    let mut heard = 0;
    for _ in 0..200 {
        ears.push(&second);
        while ears.next_patch().is_some() {}
        while ears.next_cue().is_some() {
            heard += 1;
        }
    }
    assert!(heard > 0);
    assert!(ears.patches.len() <= MAX_PATCHES);
    assert!(ears.hops.len() <= MAX_PATCHES * 6 + 50);
    let forgotten = ears.patches.given_up();
    ears.push_answer(TaggerAnswer::default());
    assert_eq!(ears.patches.given_up(), forgotten - 1);
}

fn any_sample() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1f32..1.0,
        1 => Just(0.0),
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::MAX)],
    ]
}

#[test]
fn chunk_sizes_make_no_difference_to_any_probe() {
    let mut x = noise(70_001);
    for at in [9_000, 31_000, 32_500, 50_000] {
        knock(&mut x, at);
    }
    x[40_000..43_000].fill(0.0);
    for settings in every_hearing() {
        let whole = cues_of(&x, x.len(), &settings);
        assert_eq!(whole.len(), 55);
        assert!(!onsets(&whole).is_empty(), "{settings:?}");
        for chunk in [1_001, 16_000] {
            assert_eq!(whole, cues_of(&x, chunk, &settings), "{settings:?}");
        }
    }
}

#[test]
fn a_cue_never_waits_longer_than_the_latency() {
    let mut x = noise(96_000);
    knock(&mut x, 60_000);
    for settings in every_hearing() {
        let mut ears = Listener::new(Nanos::ZERO, &settings);
        for (n, part) in x.chunks(160).enumerate() {
            ears.push(part);
            while ears.next_patch().is_some() {
                ears.push_answer(TaggerAnswer::default());
            }
            while ears.next_voice_chunk().is_some() {
                ears.push_voice(0.0);
            }
            while let Some(cue) = ears.next_cue() {
                let waited = Nanos::from_ms(10 * (n as i64 + 1)) - cue.pts;
                let early = cue.pts < Nanos::from_ms(720);
                assert!(
                    early || waited <= ears.latency() + Nanos::from_ms(10),
                    "{settings:?}"
                );
            }
        }
    }
}

#[test]
fn early_cues_come_sooner_and_say_all_that_planning_needs() {
    let mut x = noise(96_000);
    for at in [20_000, 41_000, 60_000, 61_600, 75_000] {
        knock(&mut x, at);
    }
    for settings in every_hearing() {
        let mut ears = Listener::new(START, &settings);
        let (mut early, mut all, mut ahead) = (Vec::<Cue>::new(), Vec::<Cue>::new(), 0);
        let mut take = |ears: &mut Listener| {
            while ears.next_patch().is_some() {
                ears.push_answer(TaggerAnswer {
                    tags: vec![Tag {
                        class_id: 7,
                        p: 0.5,
                    }],
                    speech: 0.25,
                    onset: Some(0.4),
                });
            }
            while ears.next_voice_chunk().is_some() {
                ears.push_voice(0.125);
            }
            all.extend(std::iter::from_fn(|| ears.next_cue()));
            let before = early.len();
            early.extend(std::iter::from_fn(|| ears.next_early_cue()));
            if let (Some(new), Some(last)) = (early.get(before), all.last()) {
                assert!(new.pts > last.pts);
            }
            ahead = ahead.max(early.len() - before);
        };
        for part in x.chunks(160) {
            ears.push(part);
            take(&mut ears);
        }
        ears.finish();
        take(&mut ears);
        assert_eq!(all.len(), 75);
        assert!(early.windows(2).all(|pair| pair[0].pts < pair[1].pts));
        for cue in &early {
            let mut own = all.iter().find(|own| own.pts == cue.pts).unwrap().clone();
            if cue.onset.is_none() && own.tags.len() > cue.tags.len() {
                own.tags.clear();
                own.speech = if settings.voices { own.speech } else { 0.0 };
            }
            assert_eq!(*cue, own, "{settings:?}");
        }
        let waits =
            settings.tag_scope == TagScope::Onsets && !matches!(settings.probe, Probe::Patches);
        assert!(!waits || early.len() > 20, "{settings:?}: {}", early.len());
    }
}

#[test]
fn an_onset_in_speech_counts_only_if_requested() {
    let mut x = noise(64_000);
    knock(&mut x, 32_000);
    let hear = |speech, voice: f32| {
        let mut ears = Listener::new(
            START,
            &ListenerSettings {
                voices: true,
                speech,
                ..ListenerSettings::default()
            },
        );
        ears.push(&x);
        ears.finish();
        while ears.next_voice_chunk().is_some() {
            ears.push_voice(voice);
        }
        let all: Vec<Cue> = std::iter::from_fn(|| ears.next_cue()).collect();
        let likeliest = onsets(&all).iter().map(|onset| onset.p).fold(0.0, f32::max);
        (likeliest, all[20].speech)
    };
    assert!(hear(SpeechMode::Label, 0.0).0 > 0.5);
    assert!(hear(SpeechMode::Label, 1.0).0 < 0.1);
    assert_eq!(hear(SpeechMode::Label, 0.75).1, 0.75);
    assert_eq!(hear(SpeechMode::Ignore, 0.75).1, 0.0);
    assert!(hear(SpeechMode::Ignore, 1.0).0 < 0.1);
    let (p, voice) = hear(SpeechMode::Anchor, 1.0);
    assert!(p > 0.5 && voice == 1.0);
}

#[test]
fn patches_with_an_onset_have_it_in_their_middle() {
    let settings = ListenerSettings {
        probe: Probe::Patches,
        ..ListenerSettings::default()
    };
    let mut ears = Listener::new(START, &settings);
    ears.push(&noise(48_000));
    ears.finish();
    let mut n = 0;
    while ears.next_patch().is_some() {
        n += 1;
        ears.push_answer(TaggerAnswer {
            onset: Some(n as f32 / 10.0),
            ..TaggerAnswer::default()
        });
    }
    let all: Vec<Cue> = std::iter::from_fn(|| ears.next_cue()).collect();
    let heard: Vec<(i64, f32)> = onsets(&all)
        .iter()
        .map(|o| ((o.at - START).get(), o.p))
        .collect();
    let wanted: Vec<(i64, f32)> = (0..5)
        .map(|i| (487_500_000 + 480_000_000 * i, (i + 1) as f32 / 10.0))
        .collect();
    assert_eq!(heard, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn chunks_of_any_size_give_identical_cues(
        at in prop::collection::vec(0usize..30_000, 0..4),
        dead in prop::collection::vec((0usize..30_000, 1usize..3_000, any::<bool>()), 0..3),
        cut in 1usize..5_000,
    ) {
        let mut x = noise(33_000);
        for &at in &at {
            knock(&mut x, at);
        }
        for &(from, n, nan) in &dead {
            x[from..from + n].fill(if nan { f32::NAN } else { 0.0 });
        }
        prop_assert_eq!(cues(&x, x.len()), cues(&x, cut));
    }

    #[test]
    fn a_silent_hop_never_has_an_onset_and_all_is_in_range(
        x in prop::collection::vec(any_sample(), 0..9_000),
        start in any::<i64>(),
    ) {
        let mut ears = Listener::new(Nanos::new(start), &ListenerSettings::default());
        ears.push(&x);
        ears.finish();
        while let Some(cue) = ears.next_cue() {
            prop_assert!((0.0..=1.0).contains(&cue.eventness));
            if cue.uncertainty >= 1.0 {
                prop_assert_eq!(cue.onset, None);
            }
            if let Some(onset) = cue.onset {
                prop_assert!((0.0..=1.0).contains(&onset.p));
                prop_assert!(cue.pts <= onset.at && onset.at <= cue.pts + HOP);
            }
        }
    }
}
