//! Reads QVHighlights: queries with their moments and the saliency of each two-second clip (JSON lines), and predictions for them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::bail;
use serde::Deserialize;

use super::text;

/// Length of a clip, seconds.
pub(crate) const CLIP_S: f64 = 2.0;
/// Number of judges per clip.
pub(crate) const JUDGES: usize = 3;
/// Longest video, seconds.
const LONGEST: f64 = 3_600.0;
/// Most queries of a file.
const MOST: usize = 200_000;
/// The best grade of a clip: very good.
const BEST: u8 = 4;

/// A query with its labels.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) id: i64,
    pub(crate) video: String,
    /// Seconds.
    pub(crate) duration: f64,
    /// Moments that it describes: start and stop, seconds.
    pub(crate) windows: Vec<(f64, f64)>,
    /// Saliency of each clip, 0 (very bad) to 4 (very good), by each judge.
    pub(crate) saliency: Vec<[u8; JUDGES]>,
}

/// The prediction for a query.
#[derive(Clone, Debug)]
pub(crate) struct Predicted {
    pub(crate) id: i64,
    /// Start, stop, score; in the order of the file.
    pub(crate) windows: Option<Vec<(f64, f64, f64)>>,
    /// A score for each clip.
    pub(crate) saliency: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Label {
    qid: i64,
    vid: String,
    duration: f64,
    relevant_windows: Option<Vec<(f64, f64)>>,
    relevant_clip_ids: Option<Vec<usize>>,
    saliency_scores: Option<Vec<[u8; JUDGES]>>,
}

#[derive(Deserialize)]
struct Prediction {
    qid: i64,
    pred_relevant_windows: Option<Vec<Vec<f64>>>,
    pred_saliency_scores: Option<Vec<f64>>,
}

/// Reads queries with their labels. Refuses those of the test split, which have none.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn labels(path: &Path) -> anyhow::Result<Vec<Query>> {
    let shape = "{\"qid\": 1, \"vid\": …, \"duration\": 150, \"relevant_windows\": [[start_s, stop_s], …], \"relevant_clip_ids\": […], \"saliency_scores\": [[0, 1, 2], …]}";
    let mut seen = HashMap::new();
    let mut queries = Vec::new();
    let lines = text::json_lines::<Label>(path, shape)?;
    if lines.len() > MOST {
        bail!("{} has more than {MOST} queries", path.display());
    }
    for (line, label) in lines {
        let qid = label.qid;
        if let Some(before) = seen.insert(qid, line) {
            bail!(
                "{} line {line}: qid {qid} is in line {before} too",
                path.display()
            );
        }
        let query = label.checked().map_err(|wrong| {
            anyhow::anyhow!("{} line {line}: qid {qid}: {wrong}", path.display())
        })?;
        queries.push(query);
    }
    Ok(queries)
}

/// The videos of queries that may have no labels, such as those of the test split: one per query.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn unlabelled(path: &Path) -> anyhow::Result<Vec<String>> {
    let shape = "{\"qid\": 1, \"vid\": …, \"duration\": 150}";
    let lines = text::json_lines::<Label>(path, shape)?;
    Ok(lines.into_iter().map(|(_, label)| label.vid).collect())
}

impl Label {
    fn checked(self) -> Result<Query, String> {
        if !(CLIP_S..=LONGEST).contains(&self.duration) {
            return Err(format!(
                "duration is {}: must be seconds from {CLIP_S} to {LONGEST}",
                self.duration
            ));
        }
        let (Some(windows), Some(clips), Some(scores)) = (
            self.relevant_windows,
            self.relevant_clip_ids,
            self.saliency_scores,
        ) else {
            return Err("relevant_windows, relevant_clip_ids or saliency_scores is missing (the test split has no labels)".into());
        };
        if windows.is_empty() {
            return Err("relevant_windows is empty: a query needs a moment".into());
        }
        if let Some((start, stop)) = windows
            .iter()
            .find(|(start, stop)| !(0.0 <= *start && start <= stop))
        {
            return Err(format!(
                "the window [{start}, {stop}] must begin at 0 or later and not stop before it starts"
            ));
        }
        if clips.len() != scores.len() {
            return Err(format!(
                "{} relevant_clip_ids and {} saliency_scores: the numbers must be equal",
                clips.len(),
                scores.len()
            ));
        }
        let count = (self.duration / CLIP_S) as usize;
        let mut saliency = vec![[0; JUDGES]; count];
        for (clip, scores) in clips.iter().zip(scores) {
            if let Some(score) = scores.iter().find(|score| **score > BEST) {
                return Err(format!(
                    "saliency {score} of clip {clip}: must be 0 to {BEST}"
                ));
            }
            let Some(at) = saliency.get_mut(*clip) else {
                return Err(format!(
                    "relevant clip {clip}: a video of {} s has the clips 0 to {}",
                    self.duration,
                    count - 1
                ));
            };
            *at = scores;
        }
        Ok(Query {
            id: self.qid,
            video: self.vid,
            duration: self.duration,
            windows,
            saliency,
        })
    }
}

/// Reads predictions.
///
/// # Errors
/// The file cannot be read, or a line is invalid.
pub(crate) fn predictions(path: &Path) -> anyhow::Result<Vec<Predicted>> {
    let shape = "{\"qid\": 1, \"pred_relevant_windows\": [[start_s, stop_s, score], …], \"pred_saliency_scores\": [0.1, …]}";
    let mut seen = HashMap::new();
    let mut all = Vec::new();
    for (line, given) in text::json_lines::<Prediction>(path, shape)? {
        let qid = given.qid;
        if let Some(before) = seen.insert(qid, line) {
            bail!(
                "{} line {line}: qid {qid} is in line {before} too",
                path.display()
            );
        }
        let predicted = given.checked().map_err(|wrong| {
            anyhow::anyhow!("{} line {line}: qid {qid}: {wrong}", path.display())
        })?;
        all.push(predicted);
    }
    Ok(all)
}

impl Prediction {
    fn checked(self) -> Result<Predicted, String> {
        let window = |window: &Vec<f64>| match window[..] {
            [start, stop, score] if start <= stop => Ok((start, stop, score)),
            [start, stop, _] => Err(format!(
                "the window [{start}, {stop}] must not stop before it starts"
            )),
            _ => Err(format!(
                "a window has {} numbers: must be [start_s, stop_s, score]",
                window.len()
            )),
        };
        let windows: Option<Vec<_>> = self
            .pred_relevant_windows
            .map(|windows| windows.iter().map(window).collect::<Result<_, _>>())
            .transpose()?;
        if windows.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "pred_relevant_windows is empty: a window is needed, however unlikely".into(),
            );
        }
        if self
            .pred_saliency_scores
            .as_ref()
            .is_some_and(Vec::is_empty)
        {
            return Err("pred_saliency_scores is empty: each clip needs a score".into());
        }
        Ok(Predicted {
            id: self.qid,
            windows,
            saliency: self.pred_saliency_scores,
        })
    }
}
