//! Tests which frames become peaks, and that only the sound decides.

use proptest::prelude::*;

use super::*;
use crate::hearing::mel::HALF_FRAME;

fn heard(mut stream: PeakFeatureStream, frames: &[Row]) -> Vec<PeakFeatures> {
    let mut found: Vec<_> = frames
        .iter()
        .filter_map(|mel| stream.push_frame(mel))
        .collect();
    found.extend(stream.finish());
    found
}

fn all(frames: &[Row]) -> Vec<PeakFeatures> {
    heard(PeakFeatureStream::new(), frames)
}

/// A metric to which all bands count the same.
fn metric() -> Arc<Metric> {
    let weight: Vec<f32> = (0..BANDS * BANDS)
        .map(|n| if n / BANDS == n % BANDS { 2.0 } else { 0.0 })
        .collect();
    Arc::new(Metric::new([0.55f32.ln() / 2.0 - 0.6; BANDS], &weight))
}

fn measured(frames: &[Row]) -> Vec<PeakFeatures> {
    heard(PeakFeatureStream::with(Some(metric())), frames)
}

fn surrounding(peak: &PeakFeatures, name: &str) -> f32 {
    let at = CONTEXT_NAMES.iter().position(|other| *other == name);
    peak.context[at.unwrap()]
}

fn feature(peak: &PeakFeatures, name: &str) -> f32 {
    let at = FEATURE_NAMES.iter().position(|other| *other == name);
    peak.features[at.unwrap()]
}

/// A second of faint sound, then steps in chosen bands at frames 300 and 420.
fn two_steps() -> Vec<Row> {
    let mut frames = vec![[0.1; BANDS]; 700];
    for (t, frame) in frames.iter_mut().enumerate() {
        if (300..340).contains(&t) {
            frame[..32].fill(1.0);
        }
        if (420..460).contains(&t) {
            frame[32..].fill(2.0);
        }
    }
    frames
}

#[test]
fn a_step_is_a_peak_and_its_features_describe_it() {
    let found = all(&two_steps());
    let frames: Vec<u64> = found.iter().map(|c| c.frame).collect();
    assert_eq!(frames, [301, 421]);
    let [low, high] = [&found[0], &found[1]];
    assert_eq!(low.at(), Nanos::from_ms(3_010) + HALF_FRAME);
    // Half of the bands rise from 0.1 to 1.
    assert!((feature(low, "fracb") - 0.5).abs() < 1e-6);
    assert!((feature(low, "lR100") - (0.5 * (1.001f32 / 0.101).ln() + 1e-3).ln()).abs() < 1e-3);
    // The second has another timbre: nothing like it was heard in the last ten seconds.
    assert!(feature(high, "sim10") < 0.05);
    assert!(feature(high, "centroid") > 40.0);
    assert!((feature(low, "since") - 10.05f32.ln()).abs() < 1e-6);
    assert!((feature(high, "prevmax") - feature(low, "lR100")).abs() < 1e-6);
}

#[test]
fn a_returning_sound_is_recognised() {
    let mut frames = vec![[0.1; BANDS]; 700];
    for at in [300, 420] {
        for frame in &mut frames[at..at + 40] {
            frame[..32].fill(1.0);
        }
    }
    let found = all(&frames);
    assert_eq!(found.len(), 2);
    let again = &found[1];
    assert!(feature(again, "sim3") > 0.8);
    assert!((feature(again, "since") - 1.25f32.ln()).abs() < 1e-6);
    assert!(feature(again, "ldiff").abs() < 1e-3);
}

fn compared(row: &[f32; COMPARISON], name: &str) -> f32 {
    row[COMPARISON_NAMES
        .iter()
        .position(|other| *other == name)
        .unwrap()]
}

#[test]
fn a_peak_is_compared_with_those_before_it() {
    let mut frames = vec![[0.1; BANDS]; 900];
    // One sound, another, and the first again, twice as loud.
    for (at, bands, loud) in [(300, 0..32, 1.0), (450, 32..64, 1.0), (600, 0..32, 2.0)] {
        for frame in &mut frames[at..at + 40] {
            frame[bands.clone()].fill(loud);
        }
    }
    let found = all(&frames);
    assert_eq!(found.len(), 3);
    assert!(found[0].comparisons.rows().is_empty());
    // The latest first.
    let [other, first] = found[2].comparisons.rows() else {
        panic!("{:?}", found[2].comparisons)
    };
    assert!((compared(first, "ago") - 3.05f32.ln()).abs() < 1e-3);
    for name in ["like10", "like15", "like_later", "like_rise"] {
        assert!(compared(first, name) > 0.75, "{name} {first:?}");
        assert!(compared(other, name) < 0.05, "{name} {other:?}");
    }
    assert!((compared(first, "louder10") - 0.5 * 2f32.ln()).abs() < 0.05);
    assert!(compared(first, "sharper") < -0.1 && compared(other, "sharper") < -0.1);
    assert!(compared(first, "lull").abs() < 1e-3 && compared(other, "lull").abs() < 1e-3);
    // Timbre: the low half is loud while it lasts, and nothing came before.
    let colour = |name: &str| {
        found[2].timbre[TIMBRE_NAMES
            .iter()
            .position(|other| *other == name)
            .unwrap()]
    };
    assert!(colour("body0") > 2.0 && colour("body7") < 0.1);
    assert!(colour("later0") > 2.0 && colour("before0") < 0.1);
}

#[test]
fn by_the_metric_a_sound_is_like_itself_and_unlike_another() {
    let mut frames = vec![[0.1; BANDS]; 900];
    // After whitening, a level that all bands share is zero.
    for (at, loud) in [(300, 0..32), (450, 32..64), (600, 0..32)] {
        for frame in &mut frames[at..at + 60] {
            frame[loud.clone()].fill(1.0);
        }
    }
    let found = measured(&frames);
    let [other, first] = found[2].comparisons.rows() else {
        panic!("{:?}", found[2].comparisons)
    };
    assert!(compared(first, "like_sound") > 0.99, "{first:?}");
    assert!(compared(first, "like_change") > 0.99, "{first:?}");
    assert!(compared(other, "like_sound") < 0.0, "{other:?}");
    assert!(compared(other, "like_change") < 0.1, "{other:?}");
    assert!(compared(first, "like_before").abs() < 0.6, "{first:?}");
    assert!(found[2].steady < 0.9);
    // Nothing else depends on the metric.
    let plain = all(&frames);
    assert_eq!(plain.len(), found.len());
    for (plain, found) in plain.iter().zip(&found) {
        assert_eq!(plain.features, found.features);
        assert_eq!(plain.spectrum, found.spectrum);
        assert_eq!(plain.steady, 0.0);
        for row in plain.comparisons.rows() {
            for name in METRIC_COMPARISONS {
                assert_eq!(compared(row, name), 0.0);
            }
        }
    }
}

#[test]
fn a_sound_without_an_onset_is_recognised_later() {
    // Six seconds of the low half swelling without an onset; then silence; then the same again, or the high half.
    let swells =
        |t: usize| 0.1 + 0.9 * (0.5 - 0.5 * (t as f32 / 600.0 * std::f32::consts::TAU).cos());
    let recording = |bands: std::ops::Range<usize>| -> Vec<Row> {
        let mut frames = vec![[0.1; BANDS]; 1_300];
        for (t, frame) in frames[..600].iter_mut().enumerate() {
            frame[..32].fill(swells(t));
        }
        for frame in &mut frames[900..1_100] {
            frame[bands.clone()].fill(1.0);
        }
        frames
    };
    let last = |frames: &[Row]| *measured(frames).last().unwrap();
    let (known, new) = (last(&recording(0..32)), last(&recording(32..64)));
    assert_eq!((known.frame, new.frame), (901, 901));
    // Three seconds of silence, and before that the swelling.
    assert!(surrounding(&known, "now3") < 0.5 && surrounding(&new, "now3") < 0.5);
    assert!(surrounding(&known, "now5") > 0.95, "{known:?}");
    assert!(surrounding(&new, "now5") < 0.5, "{new:?}");
    assert!(surrounding(&known, "loudest5").abs() < 0.2);
    // It goes on for two seconds, as it began, unlike the last second.
    for one in [&known, &new] {
        for name in ["keeps1", "keeps2", "keeps3", "after"] {
            assert!(surrounding(one, name) > 0.95, "{name} {one:?}");
        }
        assert!(surrounding(one, "level2").abs() < 0.1);
        assert!(surrounding(one, "across") < 0.5);
        assert!(surrounding(one, "behind") > 0.95 && surrounding(one, "past1") > 0.95);
        assert!(surrounding(one, "known") < 0.5);
        // Nothing is further back than ten seconds.
        assert_eq!(surrounding(one, "now6"), 0.0);
    }
    // Without a metric there is no context.
    assert!(
        all(&recording(0..32))
            .iter()
            .all(|c| c.context == [0.0; CONTEXT])
    );
}

#[test]
fn without_quiet_between_there_is_no_lull() {
    let mut frames = vec![[0.1; BANDS]; 700];
    for frame in &mut frames[300..460] {
        frame[..32].fill(1.0);
    }
    for frame in &mut frames[420..460] {
        frame[..32].fill(4.0);
    }
    let found = all(&frames);
    assert_eq!(found.len(), 2);
    assert!(compared(&found[1].comparisons.rows()[0], "lull") > 0.8);
}

#[test]
fn a_peak_is_returned_once_its_later_frames_are_known() {
    let mut stream = PeakFeatureStream::new();
    for (t, mel) in two_steps().iter().enumerate() {
        let said = stream.push_frame(mel);
        assert_eq!(
            said.is_some(),
            [301 + DELAY as usize, 421 + DELAY as usize].contains(&t),
            "{t}"
        );
        let judged = stream.judged();
        assert_eq!(
            judged <= 301,
            t < 301 + DELAY as usize,
            "frame {t} heard, {judged} judged"
        );
    }
}

#[test]
fn state_does_not_grow() {
    let mut stream = PeakFeatureStream::with(Some(metric()));
    for t in 0..20_000usize {
        let mut mel = [0.1; BANDS];
        if t % 12 == 0 {
            // A tick in a band that was silent for the last second.
            mel[t / 12 * 5 % BANDS] = 8.0;
        }
        stream.push_frame(&mel);
        assert!(stream.recent.len() <= COMPARED && stream.windows.len() <= context::KEPT);
        assert!(stream.past.len() <= 113 && stream.waiting.len() <= 12 && stream.floors.len() <= 1);
    }
    assert!(stream.past.len() > 50, "{}", stream.past.len());
}

fn any_f32() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => 0f32..10.0,
        1 => prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(-1.0), Just(f32::MAX)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn features_are_finite_and_peaks_in_order_whatever_comes_in(x in prop::collection::vec(any_f32(), 0..400)) {
        let frames: Vec<Row> = x.iter().map(|&m| std::array::from_fn(|b| if b % 3 == 0 { m } else { 0.5 })).collect();
        let found = measured(&frames);
        for peak in &found {
            prop_assert!(peak.context.iter().all(|f| f.is_finite()), "{:?}", peak);
            prop_assert!(peak.features.iter().all(|f| f.is_finite()), "{:?}", peak);
            prop_assert!(peak.timbre.iter().all(|f| f.is_finite()), "{:?}", peak);
            prop_assert!(peak.comparisons.rows().iter().flatten().all(|f| f.is_finite()), "{:?}", peak);
            prop_assert!(peak.flux_100.is_finite() && peak.frame < frames.len() as u64);
        }
        prop_assert!(found.windows(2).all(|w| w[1].frame - w[0].frame > 8));
    }

    #[test]
    fn results_before_the_end_do_not_depend_on_the_end(x in prop::collection::vec(0f32..4.0, 120..500), more in 0usize..300) {
        let frames: Vec<Row> = x.iter().map(|&m| [m; BANDS]).collect();
        let some = &frames[..frames.len().saturating_sub(more)];
        let (whole, part) = (measured(&frames), measured(some));
        // Until then nothing is judged without its later frames.
        let sure = (some.len() as u64).saturating_sub(DELAY + 10);
        let sure = |found: Vec<PeakFeatures>| -> Vec<PeakFeatures> { found.into_iter().filter(|c| c.frame < sure).collect() };
        prop_assert_eq!(sure(whole), sure(part));
    }
}
