//! What weights are worth on recordings that they were not made from: looks where they say, held against the labels as in
//! `earmark eval anchors`.

use anchoring::mel::RATE;
use anchoring::probe::{Heard, Probe, ProbeStream};
use anchoring::time::Nanos;
use anyhow::bail;

use super::corpus::Recording;
use crate::eval::measure::{self, Onset, Placement};

/// One look for so many seconds.
const SECONDS: f64 = 5.0;
/// Looks are at least so far apart, and so long after the onset.
const APART: Nanos = Nanos::from_ms(500);
const AFTER: Nanos = Nanos::from_ms(60);

/// Means over recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Score {
    /// Share of the events hit, by [`Placement`].
    pub(super) recall: [f64; 5],
    /// Area under the ROC curve of uncertainty, over all onsets said, if some are true and some false.
    pub(super) auroc: Option<f64>,
    /// Expected calibration error of the onsets looked at, if there are any.
    pub(super) ece: Option<f64>,
    /// Share of those that are the beginning of an event.
    pub(super) precision: f64,
}

impl Score {
    /// `(plan - uniform) / (oracle - uniform)`.
    pub(super) fn recovery(&self) -> f64 {
        let [plan, uniform, .., oracle] = self.recall;
        (plan - uniform) / (oracle - uniform).max(1e-9)
    }
}

/// A number that may be missing.
pub(super) fn said(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

/// What a probe hears in a recording.
pub(super) fn heard(recording: &Recording, probe: &Probe) -> Vec<Heard> {
    let mut stream = ProbeStream::new(probe);
    let mut found = Vec::new();
    let mut at = 0;
    while at < recording.mel.len() {
        let frames = recording.mel.frames(at, RATE as usize);
        for frame in &frames {
            stream.push_frame(frame);
            found.extend(std::iter::from_fn(|| stream.next_onset()));
        }
        at += frames.len();
    }
    stream.finish();
    found.extend(std::iter::from_fn(|| stream.next_onset()));
    found
}

/// Scores a probe.
///
/// # Errors
/// Nothing to score.
pub(super) fn score(recordings: &[Recording], probe: &Probe) -> anyhow::Result<Score> {
    if recordings.is_empty() {
        bail!("there is no recording to score on");
    }
    let mut score = Score::default();
    let (mut all, mut chosen) = (Vec::new(), Vec::new());
    let n = recordings.len() as f64;
    for one in recordings {
        let duration = one.duration();
        let said = heard(one, probe);
        let looks = ((duration.seconds() / SECONDS).round() as usize).max(1);
        let mut order: Vec<usize> = (0..said.len()).collect();
        order.sort_by(|&a, &b| said[b].p.total_cmp(&said[a].p));
        let mut taken: Vec<Nanos> = Vec::new();
        let mut best = vec![false; said.len()];
        for i in order {
            let at = said[i].at + AFTER;
            let free = taken.iter().all(|t| t.distance(at) >= APART);
            if taken.len() < looks && free && at >= Nanos::ZERO && at < duration {
                taken.push(at);
                best[i] = true;
            }
        }
        bisect(&mut taken, looks, duration);
        let onsets: Vec<Onset> = said
            .iter()
            .map(|heard| Onset {
                at: heard.at,
                uncertainty: heard.uncertainty.into(),
            })
            .collect();
        taken.sort_unstable();
        let recording = measure::Recording {
            name: one.name.clone(),
            duration,
            events: one.events.clone(),
            looks: taken,
            ..measure::Recording::default()
        };
        let right = recording.true_onsets(&onsets);
        for ((onset, right), best) in onsets.iter().zip(&right).zip(&best) {
            all.push((onset.uncertainty, *right));
            if *best {
                chosen.push((onset.uncertainty, *right));
            }
        }
        let hits = recording.hits(Nanos::ZERO);
        for (sum, hits) in score.recall.iter_mut().zip(&hits) {
            *sum += hits.iter().sum::<f64>() / hits.len().max(1) as f64 / n;
        }
    }
    score.auroc = measure::auroc(&all);
    score.ece = measure::calibration(&chosen).map(|(error, _)| error);
    let right = chosen.iter().filter(|(_, right)| *right).count();
    score.precision = right as f64 / chosen.len().max(1) as f64;
    Ok(score)
}

/// What is left halves the largest gaps.
fn bisect(taken: &mut Vec<Nanos>, looks: usize, duration: Nanos) {
    while taken.len() < looks {
        let mut edges = taken.clone();
        edges.extend([Nanos::ZERO, duration]);
        edges.sort_unstable();
        let widest = edges.windows(2).max_by_key(|w| w[1] - w[0]);
        let Some(&[a, b]) = widest else { return };
        taken.push(Nanos::new(a.get() / 2 + b.get() / 2));
    }
}

/// The order in which recalls are given.
pub(super) const NAMES: [Placement; 5] = Placement::ALL;
