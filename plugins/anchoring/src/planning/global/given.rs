//! Cues of other sources (subtitles, an accelerometer, one's own detector), merged with what is heard.
//!
//! A given cue is a candidate like an onset: it becomes an anchor if it is valuable enough, at the same price. It says
//! when its event is visible, so offsets between sound and video do not apply. A given cue and an onset within a
//! quarter of a second are one event: the likelier of the two says when and how likely, and a label that was given
//! names it. An onset is one event with at most one given cue, the one nearest to it.

use crate::anchor::candidate::Candidate;
use crate::settings::AnchorSettings;
use crate::time::Nanos;

/// A given cue and an onset at most this far apart are one event.
const TOGETHER: Nanos = Nanos::from_ms(250);

/// Most labels: classes from -2 downwards stand for them.
pub const MOST_LABELS: usize = 65_536;

/// A cue of another source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GivenCue {
    /// When its event is visible.
    pub at: Nanos,
    /// Probability of the event, in [0, 1].
    pub p: f32,
    /// Index of its label, below [`MOST_LABELS`]; `None` without one.
    pub label: Option<u32>,
}

/// The index of the given label that an anchor's class stands for, if it is none of a tagger.
pub fn given_label(class_id: i32) -> Option<usize> {
    usize::try_from(-2 - i64::from(class_id)).ok()
}

fn class_of(cue: &GivenCue) -> Option<i32> {
    cue.label
        .map(|label| -2 - label.min(MOST_LABELS as u32 - 1) as i32)
}

/// Adds given cues, in order of time, to the candidates that were heard.
pub(super) fn merge(
    candidates: &mut Vec<Candidate>,
    given: &[GivenCue],
    settings: &AnchorSettings,
) {
    candidates.sort_by_key(|candidate| candidate.visible);
    let heard = candidates.len();
    let mut claimed = vec![None; heard];
    let near = |at: Nanos| {
        let first = candidates.partition_point(|c| c.visible + TOGETHER < at);
        let until = candidates.partition_point(|c| c.visible <= at + TOGETHER);
        (first..until).min_by_key(|&i| candidates[i].visible.distance(at))
    };
    let mut alone = Vec::new();
    for (k, cue) in given.iter().enumerate() {
        let found = near(cue.at);
        match found.map(|i| (i, claimed[i])) {
            None => alone.push(k),
            Some((i, None)) => claimed[i] = Some(k),
            Some((i, Some(other))) => {
                let far = |k: usize| given[k].at.distance(candidates[i].visible);
                let farther = if far(k) < far(other) {
                    claimed[i] = Some(k);
                    other
                } else {
                    k
                };
                alone.push(farther);
            }
        }
    }
    for (candidate, cue) in candidates.iter_mut().zip(&claimed) {
        let Some(cue) = cue.map(|k| &given[k]) else {
            continue;
        };
        if cue.p > candidate.p {
            *candidate = Candidate {
                class_id: candidate.class_id,
                ..of(cue)
            };
        }
        candidate.class_id = class_of(cue).unwrap_or(candidate.class_id);
    }
    // NaN must fail.
    let likely = |cue: &GivenCue| cue.p > 0.0 && cue.p >= settings.threshold as f32;
    let alone = alone.into_iter().map(|k| &given[k]);
    candidates.extend(
        alone
            .filter(|cue| likely(cue) && cue.at >= Nanos::ZERO)
            .map(of),
    );
}

fn of(cue: &GivenCue) -> Candidate {
    Candidate {
        onset: cue.at,
        visible: cue.at,
        p: cue.p.min(1.0),
        // Its source gives no other.
        uncertainty: 1.0 - cue.p.min(1.0),
        class_id: class_of(cue).unwrap_or(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(ms: i64, p: f32) -> Candidate {
        Candidate {
            onset: Nanos::from_ms(ms),
            visible: Nanos::from_ms(ms),
            p,
            uncertainty: 1.0 - p,
            class_id: 7,
        }
    }

    fn given(ms: i64, p: f32, label: Option<u32>) -> GivenCue {
        GivenCue {
            at: Nanos::from_ms(ms),
            p,
            label,
        }
    }

    fn merged(heard: &[Candidate], given: &[GivenCue]) -> Vec<(i64, f32, i32)> {
        let mut candidates = heard.to_vec();
        merge(&mut candidates, given, &AnchorSettings::default());
        candidates.sort_by_key(|c| c.visible);
        let facts = |c: &Candidate| (c.visible.get() / 1_000_000, c.p, c.class_id);
        candidates.iter().map(facts).collect()
    }

    #[test]
    fn what_is_alone_is_a_candidate_of_its_own() {
        let all = merged(
            &[heard(1_000, 0.5)],
            &[
                given(3_000, 0.9, Some(4)),
                given(4_000, 0.9, None),
                given(5_000, 0.01, None),
            ],
        );
        assert_eq!(all, [(1_000, 0.5, 7), (3_000, 0.9, -6), (4_000, 0.9, -1)]);
        assert_eq!(
            [-6, -2, -1, 3].map(given_label),
            [Some(4), Some(0), None, None]
        );
    }

    #[test]
    fn of_one_event_the_likelier_says_when_and_a_label_names_it() {
        assert_eq!(
            merged(&[heard(1_000, 0.5)], &[given(1_250, 0.9, Some(0))]),
            [(1_250, 0.9, -2)]
        );
        assert_eq!(
            merged(&[heard(1_000, 0.5)], &[given(1_250, 0.4, Some(0))]),
            [(1_000, 0.5, -2)]
        );
        assert_eq!(
            merged(&[heard(1_000, 0.5)], &[given(800, 0.9, None)]),
            [(800, 0.9, 7)]
        );
        assert_eq!(
            merged(&[heard(1_000, 0.5)], &[given(1_251, 0.9, None)]).len(),
            2
        );
    }

    #[test]
    fn an_onset_goes_with_the_nearest_given_cue_only() {
        let all = merged(
            &[heard(1_000, 0.5)],
            &[given(900, 0.6, None), given(1_050, 0.7, Some(1))],
        );
        assert_eq!(all, [(900, 0.6, -1), (1_050, 0.7, -3)]);
        let all = merged(
            &[heard(1_000, 0.5)],
            &[given(950, 0.6, None), given(1_100, 0.7, None)],
        );
        assert_eq!(all, [(950, 0.6, 7), (1_100, 0.7, -1)]);
    }
}
