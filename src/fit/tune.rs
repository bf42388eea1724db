//! Fits the shift, calibration and threshold of a probe to its output, and measures how far the labels of each class are from their sounds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anchoring::cue::Onset;
use anchoring::onset::calibration::Calibration;
use anchoring::onset::probe::Probe;
use anchoring::onset::spec::ProbeSpec;
use anchoring::onset::uncertainty::{UncertaintySpec, logit};
use anchoring::plan::PlanError;
use anchoring::settings::Settings;
use anchoring::time::Nanos;
use anyhow::bail;
use serde::Serialize;

use super::corpus::Recording;
use super::score::{self, frames_of};
use super::uncertainty::{self, Judged};
use super::{matching, speech};
use crate::cli::Part;
use crate::eval::measure;
use crate::eval::results::recovery;

/// Largest shift, and largest distance of a start that counts, ms.
const FURTHEST_MS: i64 = 100;
/// Range of thresholds that are tried.
const THRESHOLDS: [f32; 12] = [
    0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5,
];
/// Weight of an existing calibration, in recordings.
const BEFORE: f64 = 8.0;
/// Largest distance between a label and its sound, and lowest probability of an onset that counts as that sound.
const APART: Nanos = Nanos::from_ms(500);
const LIKELY: f32 = 0.1;
/// Fewest events of a class that is listed, and of one with a proposed offset.
const TOLD: usize = 5;
const PROPOSED: usize = 20;
/// Smallest offset that is proposed, ms.
const LEAST_MS: f64 = 20.0;

/// The fitted parameters of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tuned {
    pub(super) calibration: Calibration,
    /// Less likely candidates are dropped.
    pub(super) threshold: f32,
    /// Added to the times of candidates, ms.
    pub(super) shift_ms: i32,
    /// How strongly speech lowers their probability, 0..=1.
    pub(super) voiced: f32,
    /// How uncertain an onset is; without it, `1 - p`.
    pub(super) uncertainty: Option<UncertaintySpec>,
}

impl Default for Tuned {
    /// Logits unchanged; no effect of speech.
    fn default() -> Self {
        Self {
            calibration: Calibration::default(),
            threshold: 0.0,
            shift_ms: 0,
            voiced: 1.0,
            uncertainty: None,
        }
    }
}

impl Tuned {
    /// From the description in a weights file.
    pub(super) fn of(probe: &ProbeSpec) -> Self {
        Self {
            calibration: probe.calibration.clone(),
            threshold: probe.threshold,
            shift_ms: probe.shift_ms,
            voiced: probe.speech_discount,
            uncertainty: probe.uncertainty,
        }
    }

    /// As the description in a weights file, for a probe that averages these networks.
    pub(super) fn about(&self, mix: Vec<String>) -> ProbeSpec {
        ProbeSpec {
            mix,
            calibration: self.calibration.clone(),
            threshold: self.threshold,
            shift_ms: self.shift_ms,
            speech_discount: self.voiced,
            uncertainty: self.uncertainty,
        }
    }
}

/// The shift from candidates to labelled starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Shift {
    /// The median, to be added to a candidate's time; 0 if too few were matched.
    pub(super) ms: i32,
    /// Number of candidates with their own start within 100 ms.
    pub(super) matched: usize,
    /// Lower and upper quartile.
    pub(super) quartiles_ms: [f64; 2],
}

/// The threshold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Threshold {
    /// The lowest with a recovery as good as the best.
    pub(super) value: f32,
    pub(super) recovery: Option<f64>,
    /// The one with the highest recovery.
    pub(super) best: f32,
    pub(super) best_recovery: Option<f64>,
}

/// The offset between the labels of a class and its sounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ClassOffset {
    pub(super) class: String,
    /// Number of its events with their own onset within half a second.
    pub(super) matched: usize,
    pub(super) median_ms: f64,
    pub(super) quartiles_ms: [f64; 2],
    /// The tagger's name for the class, if it is the same.
    pub(super) tagger_class: Option<String>,
    /// Whether it is proposed for `class_offset_ms`.
    pub(super) proposed: bool,
}

/// A weighted quantile; `pairs` are value and weight, sorted by value.
fn quantile(pairs: &[(f64, f64)], share: f64) -> f64 {
    let all: f64 = pairs.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in pairs {
        below += weight;
        if below >= share * all {
            return *value;
        }
    }
    pairs.last().map_or(0.0, |(value, _)| *value)
}

fn quartiles(pairs: &mut [(f64, f64)]) -> [f64; 3] {
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    [0.25, 0.5, 0.75].map(|share| quantile(pairs, share))
}

fn seconds(said: &[Onset]) -> Vec<f32> {
    let at = said.iter().map(|heard| heard.at.seconds() as f32);
    at.collect()
}

/// Which onsets of a recording begin an event.
fn right(recording: &Recording, said: &[Onset]) -> Vec<bool> {
    let events: Vec<(f32, f32)> = recording.spans().collect();
    matching::matched(&events, &seconds(said))
}

/// The shift of candidates: the weighted median of start minus candidate. Candidates without an event have starts near them by chance, as often
/// before as after.
pub(super) fn shift(recordings: &[&Recording], said: &[Vec<Onset>]) -> Shift {
    let mut apart = Vec::new();
    for (one, said) in recordings.iter().zip(said) {
        let events: Vec<(f32, f32)> = one.spans().collect();
        for (event, candidate) in matching::pairs(&events, &seconds(said), matching::NEAR) {
            let ns = (one.events[event].span.start() - said[candidate].at).get();
            if ns.abs() <= FURTHEST_MS * 1_000_000 {
                apart.push((ns as f64 / 1e6, f64::from(said[candidate].p)));
            }
        }
    }
    let [low, median, high] = quartiles(&mut apart);
    let enough = apart.len() >= matching::FEWEST;
    Shift {
        ms: if enough { median.round() as i32 } else { 0 },
        matched: apart.len(),
        quartiles_ms: [low, high],
    }
}

/// The candidates, shifted.
pub(super) fn shifted(mut said: Vec<Vec<Onset>>, ms: i32) -> Vec<Vec<Onset>> {
    let by = Nanos::from_ms(ms.into());
    for heard in said.iter_mut().flatten() {
        heard.at = heard.at + by;
    }
    said
}

/// The most likely calibration; without one, probabilities are plain logits. A calibration `before` counts as much as [`BEFORE`] recordings:
/// kitchens differ, and two of them say little about a third.
///
/// # Errors
/// Too few candidates, true or false.
pub(super) fn calibration(
    recordings: &[&Recording],
    said: &[Vec<Onset>],
    before: Option<&Calibration>,
) -> anyhow::Result<Calibration> {
    let mut judged = Vec::new();
    for (one, said) in recordings.iter().zip(said) {
        let right = right(one, said);
        judged.extend(said.iter().zip(right).map(|(h, right)| (logit(h.p), right)));
    }
    let right = judged.iter().filter(|(_, right)| *right).count();
    if right.min(judged.len() - right) < matching::FEWEST {
        bail!(
            "{right} of {} onsets begin an event; a calibration needs {} that do and as many that do not: label a few more minutes",
            judged.len(),
            matching::FEWEST
        );
    }
    let before = before.map(|before| (before, BEFORE / recordings.len() as f64));
    Ok(matching::calibrate(&judged, before))
}

/// The most likely uncertainty of the calibrated onsets that the planner chooses, with one frame per five seconds: an anchor's neighbours are not
/// anchors, so it is right more often than a candidate of its probability. What was known before counts as much as [`BEFORE`] recordings.
///
/// # Errors
/// A recording cannot be planned.
fn fitted_uncertainty(
    recordings: &[&Recording],
    said: &[Vec<Onset>],
    before: Option<UncertaintySpec>,
) -> Result<Option<UncertaintySpec>, PlanError> {
    let least = Settings::default().anchors.threshold;
    let mut judged = Vec::new();
    let mut files: Vec<&str> = recordings.iter().map(|one| one.given.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for (one, said) in recordings.iter().zip(said) {
        let recording = files.partition_point(|file| *file < one.given.as_str());
        let frames = frames_of(said, one.duration(), least)?;
        let chosen: BTreeSet<Nanos> = frames.into_iter().filter_map(|(onset, _)| onset).collect();
        let (chosen, likeliest): (Vec<Onset>, Vec<f32>) = said
            .iter()
            .zip(uncertainty::likeliest(said))
            .filter(|(onset, _)| chosen.contains(&onset.at))
            .unzip();
        let right = right(one, &chosen);
        let onsets = chosen.iter().zip(likeliest).zip(right);
        judged.extend(onsets.map(|((onset, likeliest), right)| Judged {
            p: onset.p,
            likeliest,
            recording,
            right,
        }));
    }
    let before = before.map(|before| (before, BEFORE / recordings.len() as f64));
    let has_channels = files.len() < recordings.len();
    Ok(uncertainty::fit(&judged, before, has_channels))
}

/// The candidates, calibrated.
pub(super) fn calibrated(mut said: Vec<Vec<Onset>>, by: &Calibration) -> Vec<Vec<Onset>> {
    for heard in said.iter_mut().flatten() {
        heard.p = by.apply(logit(heard.p));
        heard.uncertainty = 1.0 - heard.p;
    }
    said
}

/// The shifted and calibrated onsets: probability, probability of speech, and whether an event begins.
///
/// # Errors
/// A recording cannot be decoded, or the tagger fails.
pub(super) fn beside_voices(
    recordings: &[&Recording],
    ear: &Arc<Mutex<speech::SpeechTagger>>,
    probe: &Probe,
    shift_ms: i32,
    calibration: &Calibration,
) -> anyhow::Result<Vec<(f32, f32, bool)>> {
    let mut judged = Vec::new();
    for one in recordings {
        let (said, voices): (Vec<Onset>, Vec<f32>) =
            speech::heard(ear, one, probe)?.into_iter().unzip();
        let said = calibrated(shifted(vec![said], shift_ms), calibration).concat();
        let right = right(one, &said);
        let with_voices = said.iter().zip(voices).zip(right);
        judged.extend(with_voices.map(|((heard, voice), right)| (heard.p, voice, right)));
    }
    Ok(judged)
}

/// Fits the threshold by the global planner's recovery with one frame per five seconds. The planner ranks candidates, so unlikely ones do no
/// harm there, while a dropped one can never get a frame. So of all thresholds whose recovery is within one standard error (of the differences
/// between recordings) of the best, it takes the lowest.
///
/// # Errors
/// A recording cannot be planned.
pub(super) fn threshold(
    recordings: &[&Recording],
    said: &[Vec<Onset>],
) -> Result<Threshold, PlanError> {
    let mut shares = Vec::with_capacity(THRESHOLDS.len());
    let (mut even, mut oracle) = (0.0, 0.0);
    for (i, least) in THRESHOLDS.into_iter().enumerate() {
        let mut own = Vec::with_capacity(recordings.len());
        for (one, said) in recordings.iter().zip(said) {
            let likely: Vec<Onset> = said.iter().filter(|h| h.p >= least).copied().collect();
            let duration = one.duration();
            let taken = frames_of(&likely, duration, 0.0)?;
            let recording = measure::Recording {
                duration,
                events: one.events.clone(),
                frame_times: taken.into_iter().map(|(_, at)| at).collect(),
                ..measure::Recording::default()
            };
            own.push(recording.recall());
            if i == 0 {
                let hits = recording.hits(Nanos::ZERO);
                let mean = |hits: &[f64]| hits.iter().sum::<f64>() / hits.len().max(1) as f64;
                even += mean(&hits[1]);
                oracle += mean(&hits[4]);
            }
        }
        shares.push(own);
    }
    let n = recordings.len().max(1) as f64;
    let mean = |own: &[f64]| own.iter().sum::<f64>() / n;
    let recovery = |own: &[f64]| {
        Some(recovery(mean(own), even / n, oracle / n)).filter(|recovery| recovery.is_finite())
    };
    let mut best = 0;
    for i in 1..shares.len() {
        if mean(&shares[i]) > mean(&shares[best]) + 1e-12 {
            best = i;
        }
    }
    let as_good = |own: &Vec<f64>| {
        let off: Vec<f64> = shares[best].iter().zip(own).map(|(b, o)| b - o).collect();
        let middle = mean(&off);
        let spread = off.iter().map(|x| (x - middle).powi(2)).sum::<f64>();
        let error = (spread / (n - 1.0).max(1.0) / n).sqrt();
        middle <= error + 1e-12
    };
    let least = shares.iter().position(as_good).unwrap_or(best);
    Ok(Threshold {
        value: THRESHOLDS[least],
        recovery: recovery(&shares[least]),
        best: THRESHOLDS[best],
        best_recovery: recovery(&shares[best]),
    })
}

/// The offset of the labels of each class from their sounds, most frequent first. Each event is matched to the most likely onset within half a second that
/// is not in a more likely pair. `names` are the tagger's classes.
pub(super) fn by_class(
    recordings: &[&Recording],
    said: &[Vec<Onset>],
    names: &[String],
) -> Vec<ClassOffset> {
    let mut apart: std::collections::BTreeMap<&str, Vec<(f64, f64)>> = Default::default();
    for (one, said) in recordings.iter().zip(said) {
        let mut pairs = Vec::new();
        for (i, event) in one.events.iter().enumerate() {
            let start = event.span.start();
            let first = said.partition_point(|heard| heard.at < start - APART);
            let near = said.iter().enumerate().skip(first);
            let near = near.take_while(|(_, heard)| heard.at <= start + APART);
            let likely = near.filter(|(_, heard)| heard.p >= LIKELY);
            pairs.extend(likely.map(|(j, heard)| (heard.p, (start - heard.at).get(), i, j)));
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.abs().cmp(&b.1.abs())));
        let (mut events, mut taken) = (vec![false; one.events.len()], vec![false; said.len()]);
        for (_, ns, i, j) in pairs {
            if !events[i] && !taken[j] {
                (events[i], taken[j]) = (true, true);
                let class = one.events[i].class.as_str();
                apart.entry(class).or_default().push((ns as f64 / 1e6, 1.0));
            }
        }
    }
    let mut all: Vec<ClassOffset> = apart
        .into_iter()
        .filter(|(class, apart)| !class.is_empty() && apart.len() >= TOLD)
        .map(|(class, mut apart)| {
            let [low, median, high] = quartiles(&mut apart);
            let same = |name: &&String| name.to_lowercase() == class.to_lowercase();
            let tagger_class = names.iter().find(same).cloned();
            // Standard error of a median, from the quartiles.
            let error = 1.253 * (high - low) / 1.349 / (apart.len() as f64).sqrt();
            let sure = median.abs() > 2.0 * error && median.abs() >= LEAST_MS;
            ClassOffset {
                class: class.to_owned(),
                matched: apart.len(),
                median_ms: median,
                quartiles_ms: [low, high],
                proposed: sure && apart.len() >= PROPOSED && tagger_class.is_some(),
                tagger_class,
            }
        })
        .collect();
    all.sort_by(|a, b| b.matched.cmp(&a.matched).then(a.class.cmp(&b.class)));
    all
}

/// The line of a pipeline with the proposed offsets, if there are any.
pub(super) fn yaml(offsets: &[ClassOffset]) -> Option<String> {
    let proposed = offsets.iter().filter(|one| one.proposed);
    let pairs: Vec<String> = proposed
        .filter_map(|one| {
            let name = serde_json::to_string(one.tagger_class.as_ref()?).ok()?;
            Some(format!("{name}: {}", one.median_ms.round()))
        })
        .collect();
    (!pairs.is_empty()).then(|| format!("class_offset_ms: {{ {} }}", pairs.join(", ")))
}

/// The fitted parameters, and how they were fitted.
pub(super) struct Fitted {
    pub(super) tuned: Tuned,
    pub(super) shift: Option<Shift>,
    pub(super) threshold: Option<Threshold>,
}

/// Fits `parts` to the onsets of recordings, in order: shift, calibration and uncertainty, threshold. Others stay
/// as `given`. Also returns the onsets before the threshold.
///
/// # Errors
/// Too few candidates, or a recording that cannot be planned.
pub(super) fn fit(
    recordings: &[&Recording],
    mut said: Vec<Vec<Onset>>,
    given: Option<&Tuned>,
    parts: &[Part],
) -> anyhow::Result<(Fitted, Vec<Vec<Onset>>)> {
    let mut tuned = given.cloned().unwrap_or_default();
    let (mut by, mut least) = (None, None);
    if parts.contains(&Part::Shift) {
        let found = shift(recordings, &said);
        tuned.shift_ms = found.ms;
        said = shifted(said, found.ms);
        by = Some(found);
    }
    if parts.contains(&Part::Calibration) {
        let before = given.map(|tuned| &tuned.calibration);
        tuned.calibration = calibration(recordings, &said, before)?;
    }
    let said = calibrated(said, &tuned.calibration);
    if parts.contains(&Part::Calibration) {
        let before = given.and_then(|tuned| tuned.uncertainty);
        tuned.uncertainty = fitted_uncertainty(recordings, &said, before)?;
    }
    let own = |said| uncertainty::applied(said, tuned.uncertainty);
    let said: Vec<Vec<Onset>> = said.into_iter().map(own).collect();
    if parts.contains(&Part::Threshold) {
        let found = threshold(recordings, &said)?;
        tuned.threshold = found.value;
        least = Some(found);
    }
    let fitted = Fitted {
        tuned,
        shift: by,
        threshold: least,
    };
    Ok((fitted, said))
}

/// The onsets of each recording.
pub(super) fn heard_by(recordings: &[&Recording], probe: &Probe) -> Vec<Vec<Onset>> {
    recordings
        .iter()
        .map(|one| score::heard(one, probe))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::made::{event, heard, recording};
    use super::super::random::Random;
    use super::*;

    /// Events about every three seconds, detected `late` ms after their labels, and as many candidates without an event.
    fn made(seed: u64, late: i64, class: &str) -> (Recording, Vec<Onset>) {
        let mut random = Random::of(seed, &[]);
        let (mut events, mut said) = (Vec::new(), Vec::new());
        for i in 1..60 {
            let at = 3_000 * i + (500.0 * random.unit()) as i64;
            events.push(event(at, class));
            let off = (8.0 * random.normal()) as i64;
            said.push(heard(at + late + off, random.range(0.4, 0.95)));
            said.push(heard(
                at + 900 + (900.0 * random.unit()) as i64,
                random.range(0.02, 0.3),
            ));
        }
        (recording(events, 18_400), said)
    }

    #[test]
    fn a_shift_is_found_and_undone() {
        for late in [-60, 0, 35] {
            let (one, said) = made(1, late, "tap");
            let found = shift(&[&one], std::slice::from_ref(&said));
            assert!((i64::from(found.ms) + late).abs() <= 3, "{late}: {found:?}");
            assert!(found.matched >= 55, "{found:?}");
            let again = shift(&[&one], &shifted(vec![said], found.ms));
            assert!(again.ms.abs() <= 1, "{again:?}");
        }
        let (one, said) = made(1, 35, "tap");
        let few = shift(&[&one], &[said[..10].to_vec()]);
        assert_eq!(few.ms, 0);
    }

    #[test]
    fn among_equally_good_thresholds_the_lowest_wins() {
        let (one, said) = made(2, 0, "tap");
        let found = threshold(&[&one], &[said]).unwrap();
        assert!(found.recovery > Some(0.9), "{found:?}");
        assert!(found.value <= found.best && found.recovery <= found.best_recovery);
        // Random onsets do harm and must go.
        let (one, mut said) = made(3, 0, "tap");
        let mut random = Random::of(4, &[]);
        for heard in &mut said {
            heard.p = if heard.p > 0.3 {
                random.range(0.41, 0.45)
            } else {
                heard.p
            };
        }
        said.extend((0..2_000).map(|i| heard(50 + 90 * i, 0.06)));
        said.sort_by_key(|heard| heard.at);
        let found = threshold(&[&one], &[said]).unwrap();
        assert!(found.value > 0.05 && found.value < 0.41, "{found:?}");
    }

    #[test]
    fn classes_are_proposed_where_names_match_and_medians_are_sure() {
        let (mut one, mut said) = made(5, 300, "water tap, FAUCET");
        let (other, more) = made(6, 200, "stir");
        let (third, none) = made(7, 0, "Speech");
        let names = ["Speech", "Water tap, faucet"].map(str::to_owned);
        let all = by_class(&[&one, &other, &third], &[said.clone(), more, none], &names);
        let proposals: Vec<_> = all.iter().map(|o| (o.class.as_str(), o.proposed)).collect();
        let expected = [
            ("Speech", false),
            ("stir", false),
            ("water tap, FAUCET", true),
        ];
        assert_eq!(proposals, expected);
        let line = yaml(&all).unwrap();
        let ms = line
            .strip_prefix("class_offset_ms: { \"Water tap, faucet\": ")
            .and_then(|rest| rest.strip_suffix(" }"));
        let ms: i64 = ms.unwrap().parse().unwrap();
        assert!((ms + 300).abs() <= 5, "{line}");
        // Too few.
        one.events.truncate(15);
        said.truncate(30);
        let few = by_class(&[&one], &[said], &names);
        assert_eq!((few.len(), yaml(&few)), (1, None));
    }
}
