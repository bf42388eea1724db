//! Tests which onsets the probes find.

use super::*;
use crate::onset::weights::Weights;

fn all_probes() -> Vec<Probe> {
    let weights = Arc::new(Weights::embedded().unwrap());
    vec![
        Probe::Energy,
        Probe::Flux,
        Probe::Onset(Arc::clone(&weights)),
        Probe::OnsetTcn(weights),
    ]
}

/// Faint noise, and a decaying knock in every third second.
fn frames(seconds: usize) -> Vec<Row> {
    let mut state = 1u32;
    (0..seconds * 100)
        .map(|t| {
            let since = (t as i64 - 50).rem_euclid(300) as f32 / 100.0;
            let knock = 4.0 * (-since * 8.0).exp();
            std::array::from_fn(|b| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = 0.05 + 0.02 * (state >> 8) as f32 / 16_777_216.0;
                noise + knock * (-(b as f32) / 30.0).exp()
            })
        })
        .collect()
}

fn heard(probe: &Probe, frames: &[Row]) -> Vec<Onset> {
    let mut stream = ProbeStream::new(probe);
    let mut found = Vec::new();
    for mel in frames {
        stream.push_frame(mel);
        found.extend(stream.next_onset());
    }
    stream.finish();
    found.extend(std::iter::from_fn(|| stream.next_onset()));
    found
}

#[test]
fn every_probe_finds_knocks_at_their_times() {
    for probe in all_probes() {
        let found = heard(&probe, &frames(14));
        let mut likeliest = found.clone();
        likeliest.sort_by(|a, b| b.p.total_cmp(&a.p));
        likeliest.truncate(5);
        for onset in &likeliest {
            let phase = (onset.at.seconds() - 0.5).rem_euclid(3.0);
            assert!(!(0.06..=2.95).contains(&phase), "{probe:?}: {onset:?}");
            // Learned probes compare an onset with the likeliest of late.
            let is_learned = probe.learned().is_some();
            assert!((0.0..=1.0).contains(&onset.uncertainty));
            assert!(
                is_learned || onset.uncertainty == 1.0 - onset.p,
                "{probe:?}"
            );
        }
        assert_eq!(likeliest.len(), 5);
    }
}

#[test]
fn no_onset_comes_before_the_time_that_was_judged() {
    for probe in all_probes() {
        let mut stream = ProbeStream::new(&probe);
        let mut judged = Nanos::ZERO;
        for mel in &frames(10) {
            stream.push_frame(mel);
            while let Some(onset) = stream.next_onset() {
                assert!(onset.at >= judged, "{probe:?}");
            }
            assert!(stream.judged() >= judged);
            judged = stream.judged();
        }
    }
}

#[test]
fn the_latency_is_the_delay_of_judging() {
    for probe in all_probes() {
        let mut stream = ProbeStream::new(&probe);
        let mut furthest = 0;
        for (t, mel) in frames(20).iter().enumerate() {
            stream.push_frame(mel);
            let behind = frame_middle(t as u64 + 1) - stream.judged();
            furthest = furthest.max(behind.get());
        }
        // The TCN judges every other frame one frame sooner, so knocks may never meet the worst case.
        let latency = stream.latency();
        let step = STEP_TIME.get();
        assert!(
            (latency.get() - step..=latency.get()).contains(&furthest),
            "{probe:?}: {furthest} {latency}"
        );
    }
}

#[test]
fn a_very_short_recording_is_judged() {
    let some = frames(2);
    for probe in all_probes() {
        for n in [0, 1, 2, 5, 52, 60, 70] {
            for onset in heard(&probe, &some[..n]) {
                assert!(
                    (0.0..=1.0).contains(&onset.p) && onset.at.get() <= 10_000_000 * (n as i64 + 2)
                );
            }
        }
    }
}

#[test]
fn weights_that_do_not_support_a_probe_say_so() {
    for probe in all_probes() {
        assert_eq!(probe.unsupported(), None);
    }
}

/// Probes without networks compare with what came before, and need some of it.
#[test]
fn energy_and_flux_find_onsets_as_soon_as_there_is_something_to_compare_with() {
    let calm = frames(6).split_off(300);
    for (probe, deaf, from) in [(Probe::Flux, 1, 7), (Probe::Energy, 20, 37)] {
        for (at, hears) in [(0, false), (deaf, false), (from, true), (from + 20, true)] {
            let mut begins = vec![[0.05; BANDS]; 600];
            for (row, knocked) in begins[at..].iter_mut().zip(&calm[50..150]) {
                *row = *knocked;
            }
            let found = heard(&probe, &begins);
            let near = |onset: &Onset| {
                (onset.at.seconds() - 0.01 * at as f64).abs() < 0.05 && onset.p > 0.3
            };
            assert_eq!(found.iter().any(near), hears, "{probe:?} {at}: {found:?}");
        }
    }
}

/// An onset at the very start has nothing before it to rise from.
#[test]
fn a_knock_within_the_first_frames_is_heard_and_steady_noise_there_is_none() {
    let judges = || all_probes().into_iter().skip(2);
    let calm = frames(6).split_off(300);
    let mut state = 7u32;
    let noise: Vec<Row> = (0..600)
        .map(|_| {
            std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                0.05 + 0.02 * (state >> 8) as f32 / 16_777_216.0
            })
        })
        .collect();
    for probe in judges() {
        for at in [0, 2, 4] {
            let mut begins = noise.clone();
            for (row, knocked) in begins[at..].iter_mut().zip(&calm[50..150]) {
                *row = *knocked;
            }
            let found = heard(&probe, &begins);
            let first = found.first().map(|onset| (onset.at.seconds(), onset.p));
            let (when, p) = first.unwrap();
            assert!(
                (when - 0.01 * at as f64).abs() < 0.05,
                "{probe:?} {at}: {when}"
            );
            assert!(p > 0.3, "{probe:?} {at}: {p}");
        }
        let steady = heard(&probe, &noise);
        let early = steady.iter().filter(|onset| onset.at < Nanos::from_ms(300));
        assert!(
            early.clone().all(|onset| onset.p < 0.1),
            "{probe:?}: {steady:?}"
        );
    }
}
