//! Scores weights on recordings that they were not trained on: frames at their onsets against labels, as in `earmark eval anchors`.

use anchoring::cue::{Cue, HOP, Onset};
use anchoring::hearing::mel::RATE;
use anchoring::onset::probe::{Probe, ProbeStream};
use anchoring::plan::PlanError;
use anchoring::planning::global::GlobalPlanner;
use anchoring::settings::Settings;
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use anyhow::bail;

use super::corpus::Recording;
use crate::eval::measure::{self, Placement};
use crate::eval::results::recovery;
use crate::eval::text::three;

/// Seconds per frame.
pub(super) const SECONDS: f64 = 5.0;

/// What a score says about other recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sample {
    /// The probe has nothing to train.
    #[default]
    Nothing,
    /// Trained elsewhere on unknown recordings, and not fitted here.
    Elsewhere,
    /// Neither trained on nor fitted to the scored recording.
    Out,
    /// Not trained on the scored recording, but fitted to it.
    In,
}

impl Sample {
    /// Short form for a table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing learned",
            Self::Elsewhere => "made elsewhere",
            Self::Out => "out of sample",
            Self::In => "in sample",
        }
    }

    /// As a sentence.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Nothing => "nothing is trained or fitted",
            Self::Elsewhere => {
                "the networks come from elsewhere, and nothing was fitted to these recordings; whether the networks were trained on them is not known"
            }
            Self::Out => {
                "the networks were not trained on these recordings; what is fitted to held-out ones (calibration, shift, threshold) was cross-validated: \
                 each recording that is scored, to others: held-out recordings are dealt into five parts at most, and each is scored by what the other parts \
                 say. The file itself has what all of them say"
            }
            Self::In => {
                "the networks were not trained on these recordings, but calibration, shift and threshold were fitted to the same recordings that are \
                 scored: on others it is worth less"
            }
        }
    }
}

/// Means over recordings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Score {
    /// Whether that holds of other recordings.
    pub(super) sample: Sample,
    /// Share of the events hit, by [`Placement`].
    pub(super) recall: [f64; 5],
    /// Share of the events hit by the plan, of each recording.
    pub(super) each: Vec<f64>,
    /// Area under the ROC curve of uncertainty over all onsets, if some are true and some false.
    pub(super) auroc: Option<f64>,
    /// Expected calibration error of the onsets with a frame, if there are any.
    pub(super) ece: Option<f64>,
    /// Share of those that begin an event.
    pub(super) precision: f64,
}

impl Score {
    /// `(plan - uniform) / (oracle - uniform)`; `None` where even frames hit as much as can be hit.
    pub(super) fn recovery(&self) -> Option<f64> {
        let [plan, uniform, .., oracle] = self.recall;
        Some(recovery(plan, uniform, oracle)).filter(|recovery| recovery.is_finite())
    }
}

/// A number that may be missing.
pub(super) fn said(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), three)
}

/// The onsets of a probe in a recording.
pub(super) fn heard(recording: &Recording, probe: &Probe) -> Vec<Onset> {
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
    let said: Vec<_> = recordings.iter().map(|one| heard(one, probe)).collect();
    score_of(recordings, &said)
}

/// Scores given onsets.
///
/// # Errors
/// Nothing to score.
pub(super) fn score_of(recordings: &[Recording], said: &[Vec<Onset>]) -> anyhow::Result<Score> {
    if recordings.is_empty() {
        bail!("there is no recording to score");
    }
    let mut score = Score::default();
    let (mut all, mut chosen) = (Vec::new(), Vec::new());
    let n = recordings.len() as f64;
    let least = Settings::default().anchors.threshold;
    for (one, said) in recordings.iter().zip(said) {
        let duration = one.duration();
        let taken = frames_of(said, duration, least)?;
        let best: Vec<bool> = said
            .iter()
            .map(|heard| taken.iter().any(|(onset, _)| *onset == Some(heard.at)))
            .collect();
        let onsets: Vec<measure::Onset> = said
            .iter()
            .map(|heard| measure::Onset {
                at: heard.at,
                uncertainty: heard.uncertainty.into(),
            })
            .collect();
        let recording = measure::Recording {
            name: one.name.clone(),
            duration,
            events: one.events.clone(),
            frame_times: taken.iter().map(|(_, at)| *at).collect(),
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
        score.each.push(recording.recall());
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

/// The frames of a plan with one frame per [`SECONDS`], and the onset of each; ascending. Onsets less likely than `least`
/// become no anchors.
pub(super) fn frames_of(
    said: &[Onset],
    duration: Nanos,
    least: f64,
) -> Result<Vec<(Option<Nanos>, Nanos)>, PlanError> {
    let prices = Prices::default();
    let mut settings = Settings::default();
    settings.anchors.threshold = least;
    // All frames have the same price, and gaps do not matter.
    settings.budget.background_tier = Tier::High;
    settings.budget.untrusted_tier = Tier::High;
    settings.budget.max_gap_ms = 60_000;
    settings.budget.tokens_per_s = prices.of(Tier::High) as f64 / SECONDS;
    let mut planner = GlobalPlanner::new(settings, prices).without_untaken();
    let mut rest = said.iter().peekable();
    let mut pts = Nanos::ZERO;
    while pts < duration {
        let heard = rest.next_if(|heard| heard.at < pts + HOP);
        planner.push_cue(&Cue {
            pts,
            onset: heard.copied(),
            ..Cue::default()
        });
        pts = pts + HOP;
    }
    let plan = planner.finish(duration, "", serde_json::Value::Null)?;
    let onset = |id: u32| Some(plan.anchors.get(id as usize)?.onset);
    let entries = plan.entries.iter();
    Ok(entries
        .map(|entry| (entry.anchor.and_then(onset), entry.planned))
        .collect())
}

/// The order in which recalls are given.
pub(super) const NAMES: [Placement; 5] = Placement::ALL;
