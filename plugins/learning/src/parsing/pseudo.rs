//! Pseudo labels: the classes whose logits lie above a threshold, which is fitted per class on the densely labelled validation split.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::videos::{Modality, Videos};
use crate::dataset::Split;
use crate::tensors::{self, Array};

/// The layout of the file.
pub const LAYOUT: &str = "earmark-pseudo/1";

/// Logits of every segment, and a threshold for every class: of the sound, of the frames.
#[derive(Clone, Debug)]
pub struct Pseudo {
    /// `videos * seconds * classes`.
    pub logits: [Vec<f32>; 2],
    /// A class each. Infinite: never.
    pub thresholds: [Vec<f32>; 2],
    /// SHA-256 of the file, or nothing.
    pub hash: String,
}

/// The threshold with the highest F1 of what lies above it, between two neighbouring logits (`count`: at most so many are tried, evenly among
/// them; 0: all). Of equal ones, the lowest. Infinite where nothing is positive.
pub fn threshold(scored: &[(f32, bool)], count: usize) -> f32 {
    let mut sorted: Vec<(f32, bool)> = scored.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positive = sorted.iter().filter(|x| x.1).count();
    if positive == 0 {
        return f32::INFINITY;
    }
    // Below the lowest, everything is above the threshold.
    let f1 = |right: usize, above: usize| 2.0 * right as f64 / (above + positive) as f64;
    let mut best = (f1(positive, sorted.len()), sorted[0].0 - 1.0);
    let step = sorted.len().checked_div(count).unwrap_or(1).max(1);
    let mut right = positive;
    for (i, pair) in sorted.windows(2).enumerate() {
        right -= usize::from(pair[0].1);
        if pair[0].0 == pair[1].0 || !i.is_multiple_of(step) {
            continue;
        }
        let now = f1(right, sorted.len() - i - 1);
        if now > best.0 {
            best = (now, pair[0].0 + (pair[1].0 - pair[0].0) / 2.0);
        }
    }
    best.1
}

impl Pseudo {
    /// From logits: thresholds by class (`count`: see [`threshold`]) on the validation split, over segments of videos that have the class.
    ///
    /// # Errors
    /// No video of the validation split has dense labels.
    pub fn new(videos: &Videos, logits: [Vec<f32>; 2], count: usize) -> anyhow::Result<Self> {
        let validation: Vec<usize> = videos
            .of(Split::Validation)
            .into_iter()
            .filter(|i| videos.dense[*i])
            .collect();
        if validation.is_empty() {
            bail!(
                "no video of the validation split has dense labels, to which the thresholds of pseudo labels are fitted"
            );
        }
        let (t, c) = (videos.seconds, videos.classes.len());
        let fit = |modality: Modality| {
            let (logits, labels) = (
                &logits[modality as usize],
                &videos.labels[modality as usize],
            );
            let of = |class: usize| {
                // Where the weak label is absent nothing becomes a pseudo label, whatever its logit.
                let scored: Vec<(f32, bool)> = validation
                    .iter()
                    .filter(|i| videos.weak[*i * c + class] == 1)
                    .flat_map(|i| (0..videos.lengths[*i]).map(move |s| (i * t + s) * c + class))
                    .map(|at| (logits[at], labels[at] == 1))
                    .collect();
                threshold(&scored, count)
            };
            (0..c).map(of).collect()
        };
        Ok(Self {
            thresholds: Modality::BOTH.map(fit),
            logits,
            hash: String::new(),
        })
    }

    /// Whether the logits of a segment are above their thresholds, where `weak` says that the class may be there; 0 or 1.
    pub fn labels(
        &self,
        videos: &Videos,
        modality: Modality,
        of: &[usize],
        filtered: bool,
    ) -> Vec<f32> {
        let (t, c) = (videos.seconds, videos.classes.len());
        let (logits, thresholds) = (
            &self.logits[modality as usize],
            &self.thresholds[modality as usize],
        );
        let mut all = Vec::with_capacity(of.len() * t * c);
        for video in of {
            for second in 0..t {
                for (class, threshold) in thresholds.iter().enumerate() {
                    let logit = logits[(video * t + second) * c + class];
                    let may = !filtered || videos.weak[video * c + class] == 1;
                    all.push(if may && logit > *threshold { 1.0 } else { 0.0 });
                }
            }
        }
        all
    }

    /// Writes them, and the labels of every video.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path, videos: &Videos, about: &Value) -> anyhow::Result<()> {
        let (n, t, c) = (videos.names.len(), videos.seconds, videos.classes.len());
        let all: Vec<usize> = (0..n).collect();
        let labels = Modality::BOTH.map(|m| {
            let labels = self.labels(videos, m, &all, true);
            labels.iter().map(|x| *x as u8).collect::<Vec<u8>>()
        });
        // JSON and safetensors have no infinity that every reader takes: the highest number is above every logit, too.
        let thresholds = self
            .thresholds
            .clone()
            .map(|all| all.into_iter().map(|x| x.min(f32::MAX)).collect::<Vec<_>>());
        let mut arrays = Vec::new();
        for (modality, ((logits, labels), thresholds)) in Modality::BOTH
            .into_iter()
            .zip(self.logits.iter().zip(&labels).zip(&thresholds))
        {
            let m = modality.name();
            arrays.push((format!("{m}_logits"), Array::Floats(vec![n, t, c], logits)));
            arrays.push((format!("{m}_labels"), Array::Bytes(vec![n, t, c], labels)));
            arrays.push((
                format!("{m}_thresholds"),
                Array::Floats(vec![c], thresholds),
            ));
        }
        let note = json!({ "layout": LAYOUT, "classes": videos.classes, "names": videos.names, "of": about });
        tensors::write(path, &arrays, &note)
    }

    /// Reads them for the same videos.
    ///
    /// # Errors
    /// The file cannot be read, or is of other videos or classes.
    pub fn read(path: &Path, videos: &Videos) -> anyhow::Result<Self> {
        let name = path.display();
        let (bytes, hash) = tensors::bytes(path)?;
        let (file, note) = tensors::open(path, &bytes)?;
        if note["layout"].as_str() != Some(LAYOUT) {
            bail!(
                "{name} has the layout {}: must be {LAYOUT:?}",
                note["layout"]
            );
        }
        if note["names"] != json!(videos.names) || note["classes"] != json!(videos.classes) {
            bail!("{name} has pseudo labels of other videos or classes than the data");
        }
        let (n, t, c) = (videos.names.len(), videos.seconds, videos.classes.len());
        let read = |key: String, wanted: &[usize]| -> anyhow::Result<Vec<f32>> {
            let (shape, data) = tensors::floats(path, &file, &key)?;
            if shape != wanted {
                bail!("{name}: `{key}` has the shape {shape:?}: must be {wanted:?}");
            }
            Ok(data)
        };
        let mut both = Modality::BOTH
            .map(|m| {
                let logits = read(format!("{}_logits", m.name()), &[n, t, c]);
                let thresholds = read(format!("{}_thresholds", m.name()), &[c]);
                logits.and_then(|logits| Ok((logits, thresholds?)))
            })
            .into_iter();
        let mut next = || both.next().context("two modalities")?;
        let ((audio, of_audio), (visual, of_visual)) = (next()?, next()?);
        Ok(Self {
            logits: [audio, visual],
            thresholds: [of_audio, of_visual],
            hash,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::threshold;

    #[test]
    fn the_threshold_lies_where_f1_is_highest() {
        let scored = |text: &str| -> Vec<(f32, bool)> {
            text.bytes()
                .enumerate()
                .map(|(i, b)| (i as f32, b == b'#'))
                .collect()
        };
        // Above 2.5 all three are right; below it one false one more.
        assert_eq!(threshold(&scored("...###"), 0), 2.5);
        // 3 of 4 above with all 3 found (F1 6/7) against 2 of 2 with one missed (4/5).
        assert_eq!(threshold(&scored("..#.##"), 0), 1.5);
        // All are right: everything is above.
        assert_eq!(threshold(&scored("###"), 0), -1.0);
        assert_eq!(threshold(&scored("..."), 0), f32::INFINITY);
        assert_eq!(threshold(&[], 0), f32::INFINITY);
        // No threshold can separate equal logits.
        let equal = [(1.0, true), (1.0, false), (0.0, false)];
        assert_eq!(threshold(&equal, 0), 0.5);
    }
}
