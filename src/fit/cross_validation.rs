//! Cross-fitting (Schick 1986; Chernozhukov et al. 2018): each held-out recording is scored with parameters fitted to the others.

use anchoring::cue::Onset;

use super::corpus::Recording;
use super::tune::{self, Tuned};
use super::uncertainty;
use crate::cli::Part;

/// Most folds; each recording is scored with parameters fitted to the other folds.
const FOLDS: usize = 5;

/// The folds of `n` recordings: members, and all others. None if there are no others.
pub(super) fn folds(n: usize) -> impl Iterator<Item = (Vec<usize>, Vec<usize>)> {
    let folds = if n < 2 { 0 } else { n.min(FOLDS) };
    (0..folds).map(move |fold| (0..n).partition(|i| i % folds == fold))
}

/// The onsets of each recording with shift, calibration and threshold fitted to others. `raw`: the onsets before.
///
/// # Errors
/// Why this is impossible, as text.
pub(super) fn said(
    recordings: &[&Recording],
    raw: &[Vec<Onset>],
    given: Option<&Tuned>,
    parts: &[Part],
) -> Result<Vec<Vec<Onset>>, String> {
    if recordings.len() < 2 {
        return Err("there is only one held-out recording, so none is left to fit to".into());
    }
    let mut all = vec![Vec::new(); recordings.len()];
    for (own, others) in folds(recordings.len()) {
        let these: Vec<&Recording> = others.iter().map(|&i| recordings[i]).collect();
        let said: Vec<Vec<Onset>> = others.iter().map(|&i| raw[i].clone()).collect();
        let (fitted, _) = tune::fit(&these, said, given, parts).map_err(|e| format!("{e:#}"))?;
        for i in own {
            all[i] = applied(raw[i].clone(), &fitted.tuned, parts);
        }
    }
    Ok(all)
}

/// The onsets of a recording with these parameters.
fn applied(raw: Vec<Onset>, tuned: &Tuned, parts: &[Part]) -> Vec<Onset> {
    let mut said = vec![raw];
    if parts.contains(&Part::Shift) {
        said = tune::shifted(said, tuned.shift_ms);
    }
    let said = tune::calibrated(said, &tuned.calibration).concat();
    let mut said = uncertainty::applied(said, tuned.uncertainty);
    said.retain(|heard| heard.p >= tuned.threshold);
    said
}

#[cfg(test)]
mod tests {
    use anchoring::time::{Nanos, Window};

    use super::super::made::{event, heard, recording};
    use super::super::random::Random;
    use super::*;
    use crate::eval::labels::Event;

    /// Events every three seconds, detected this much late, and as many candidates without an event.
    fn made(seed: u64, late: i64) -> (Recording, Vec<Onset>) {
        let mut random = Random::of(seed, &[]);
        let (mut events, mut said) = (Vec::new(), Vec::new());
        for i in 1..40 {
            let at = 3_000 * i;
            events.push(event(at, ""));
            said.push(heard(at + late, random.range(0.4, 0.9)));
            said.push(heard(at + 1_500, random.range(0.05, 0.5)));
        }
        (recording(events, 12_300), said)
    }

    const PARTS: [Part; 3] = [Part::Calibration, Part::Shift, Part::Threshold];

    #[test]
    fn a_recording_does_not_influence_its_own_parameters() {
        let made: Vec<_> = (1..=7).map(|seed| made(seed, 20)).collect();
        let recordings: Vec<&Recording> = made.iter().map(|(one, _)| one).collect();
        let raw: Vec<Vec<Onset>> = made.iter().map(|(_, said)| said.clone()).collect();
        let before = said(&recordings, &raw, None, &PARTS).unwrap();
        // The labels of the fourth recording disagree.
        let mut other = made[3].0.clone();
        let later = |event: &Event| Event {
            span: Window::new(
                event.span.start() + Nanos::from_ms(80),
                event.span.stop() + Nanos::from_ms(80),
            )
            .unwrap(),
            ..event.clone()
        };
        other.events = other.events.iter().step_by(2).map(later).collect();
        let mut changed = recordings.clone();
        changed[3] = &other;
        let after = said(&changed, &raw, None, &PARTS).unwrap();
        assert_eq!(after[3], before[3]);
        assert!((0..7).any(|i| i != 3 && after[i] != before[i]));
        // A fit to all recordings would include its own labels.
        let fit = |recordings| tune::fit(recordings, raw.clone(), None, &PARTS).unwrap().0;
        assert_ne!(fit(&recordings).tuned, fit(&changed).tuned);
    }

    #[test]
    fn each_recording_is_in_one_fold_and_a_single_one_in_none() {
        for n in 2..12 {
            let mut own: Vec<usize> = folds(n).flat_map(|(own, _)| own).collect();
            own.sort_unstable();
            assert_eq!(own, (0..n).collect::<Vec<_>>());
            assert!(folds(n).all(|(own, others)| own.len() + others.len() == n));
            assert!(folds(n).all(|(_, others)| !others.is_empty()));
        }
        assert_eq!(folds(1).count(), 0);
        let (one, raw) = made(1, 0);
        assert!(said(&[&one], &[raw], None, &PARTS).is_err());
    }
}
