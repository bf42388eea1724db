//! Writes predictions for videos: a NumPy file for `earmark eval parsing`, and a list of events as JSON.

use std::path::Path;

use anchoring::plan::Line;
use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::events::Event;
use super::experiment::Labels;
use super::refine::{Onset, timed};
use crate::datasets::npz::{self, Written};
use crate::files;
use crate::outputs::plan;

/// Probability above which a class counts as present.
const THERE: f32 = 0.5;
/// AVE's class of seconds without an event.
const BACKGROUND: &str = "Background";

/// Probabilities of videos.
pub(super) struct Predictions {
    pub(super) names: Vec<String>,
    pub(super) classes: Vec<String>,
    pub(super) seconds: usize,
    /// `videos * seconds * classes`: heard, seen.
    segments: [Vec<f32>; 2],
    /// `videos * classes`.
    video: Vec<f32>,
}

impl Predictions {
    /// Reads the output of `earmark-learning parse predict`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let wrong = || format!("{} is not a file of predictions", path.display());
        let bytes = std::fs::read(path).with_context(wrong)?;
        let file = SafeTensors::deserialize(&bytes).with_context(wrong)?;
        let (_, about) = SafeTensors::read_metadata(&bytes).with_context(wrong)?;
        let note = about.metadata().as_ref().and_then(|all| all.get("earmark"));
        let note: Value = serde_json::from_str(note.with_context(wrong)?).with_context(wrong)?;
        let words = |key: &str| serde_json::from_value(note[key].clone()).with_context(wrong);
        let (names, classes): (Vec<String>, Vec<String>) = (words("names")?, words("classes")?);
        let floats = |key: &str| -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
            let tensor = file.tensor(key).with_context(wrong)?;
            if tensor.dtype() != Dtype::F32 {
                bail!(wrong());
            }
            let (numbers, _) = tensor.data().as_chunks::<4>();
            let numbers = numbers.iter().map(|x| f32::from_le_bytes(*x));
            Ok((tensor.shape().to_vec(), numbers.collect()))
        };
        let (shape, audio) = floats("audio")?;
        let (other, visual) = floats("visual")?;
        let (of_video, video) = floats("video")?;
        let [n, seconds, c] = shape[..] else {
            bail!(wrong())
        };
        if other != shape || of_video != [n, c] || n != names.len() || c != classes.len() || c == 0
        {
            bail!(wrong());
        }
        Ok(Self {
            names,
            classes,
            seconds,
            segments: [audio, visual],
            video,
        })
    }

    /// Joins the pieces of one recording into one video of this many seconds.
    pub(super) fn joined(self, seconds: usize) -> Self {
        let (n, t, c) = (self.names.len(), self.seconds, self.classes.len());
        let segments = [0, 1].map(|modality| {
            let mut all = Vec::with_capacity(n * t * c);
            for piece in 0..n {
                for second in 0..t {
                    all.extend(
                        (0..c).map(|class| self.probability(modality, piece, second, class)),
                    );
                }
            }
            all.truncate(seconds * c);
            all
        });
        Self {
            names: self.names.into_iter().take(1).collect(),
            // A class that a piece lacks is removed from its seconds.
            video: vec![1.0; c],
            classes: self.classes,
            seconds,
            segments,
        }
    }

    fn probability(&self, modality: usize, video: usize, second: usize, class: usize) -> f32 {
        let c = self.classes.len();
        // A class that is not in the video is in none of its seconds.
        if self.video[video * c + class] <= THERE {
            return 0.0;
        }
        self.segments[modality][(video * self.seconds + second) * c + class]
    }

    /// The events of a video that are heard (0) or seen (1), by class and time.
    pub(super) fn events(&self, modality: usize, video: usize) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        for class in 0..self.classes.len() {
            let mut open: Option<Event> = None;
            for second in 0..=self.seconds {
                let p = if second < self.seconds {
                    self.probability(modality, video, second, class)
                } else {
                    0.0
                };
                match (&mut open, p > THERE) {
                    (None, true) => {
                        open = Some(Event {
                            class,
                            span: (second, second + 1),
                            score: p,
                        });
                    }
                    (Some(event), true) => {
                        event.span.1 = second + 1;
                        event.score += p;
                    }
                    (Some(event), false) => {
                        event.score /= (event.span.1 - event.span.0) as f32;
                        events.extend(open.take());
                    }
                    (None, false) => {}
                }
            }
        }
        events
    }

    /// Writes both files; returns the number of events.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn write(
        &self,
        output: &Path,
        labels: Labels,
        onsets: Option<&Path>,
    ) -> anyhow::Result<usize> {
        let (n, t, c) = (self.names.len(), self.seconds, self.classes.len());
        let bytes = if labels == Labels::Ave {
            self.ave()?
        } else {
            let cells = [0, 1].map(|modality| {
                let mut cells = vec![0_u8; n * t * c];
                for video in 0..n {
                    for second in 0..t {
                        for class in 0..c {
                            let there = self.probability(modality, video, second, class) > THERE;
                            cells[(video * t + second) * c + class] = u8::from(there);
                        }
                    }
                }
                cells
            });
            let shape = [n, t, c];
            npz::packed(&[
                ("filenames", Written::Text(&self.names)),
                ("classes", Written::Text(&self.classes)),
                ("audio", Written::Bytes(&shape, &cells[0])),
                ("visual", Written::Bytes(&shape, &cells[1])),
                (
                    "audio_probability",
                    Written::Floats(&shape, &self.segments[0]),
                ),
                (
                    "visual_probability",
                    Written::Floats(&shape, &self.segments[1]),
                ),
                ("video_probability", Written::Floats(&[n, c], &self.video)),
            ])?
        };
        files::write(output, &bytes, true)?;
        let mut results = Map::new();
        let mut count = 0;
        for (video, name) in self.names.iter().enumerate() {
            let heard = match onsets {
                Some(folder) => of_plan(&folder.join(format!("{name}.jsonl")))?,
                None => Vec::new(),
            };
            let both = timed(self.events(0, video), self.events(1, video), &heard);
            let mut events = Vec::new();
            for (of, said) in both.into_iter().zip(["audio", "visual"]) {
                for one in of {
                    let seconds = |ns: i64| ns as f64 / 1e9;
                    events.push(json!({
                        "segment": [seconds(one.onset_ns), seconds(one.offset_ns)], "label": self.classes[one.event.class],
                        "modality": said, "score": one.event.score,
                    }));
                }
            }
            count += events.len();
            results.insert(name.clone(), events.into());
        }
        let list =
            json!({ "version": "earmark-parsed/1", "classes": self.classes, "results": results });
        files::write(
            &output.with_extension("json"),
            format!("{list:#}\n").as_bytes(),
            true,
        )?;
        Ok(count)
    }

    /// AVE has one class per second: the one most heard and seen at once; background if there is none.
    fn ave(&self) -> anyhow::Result<Vec<u8>> {
        let (n, t, c) = (self.names.len(), self.seconds, self.classes.len());
        let mut classes = self.classes.clone();
        classes.push(BACKGROUND.into());
        if c > usize::from(u8::MAX) {
            bail!("{c} classes: AVE has 28");
        }
        let mut labels = Vec::with_capacity(n * t);
        for video in 0..n {
            for second in 0..t {
                let mut best = (0.0, c);
                for class in 0..c {
                    let p = [0, 1].map(|m| self.probability(m, video, second, class));
                    if p[0] > THERE && p[1] > THERE && p[0] * p[1] > best.0 {
                        best = (p[0] * p[1], class);
                    }
                }
                labels.push(best.1 as u8);
            }
        }
        npz::packed(&[
            ("filenames", Written::Text(&self.names)),
            ("classes", Written::Text(&classes)),
            ("labels", Written::Bytes(&[n, t], &labels)),
        ])
    }
}

/// The onsets of a plan: those of its anchors and of its untaken candidates.
fn of_plan(path: &Path) -> anyhow::Result<Vec<Onset>> {
    let mut onsets = Vec::new();
    plan::read(path, None, |line| match line {
        Line::Anchor(anchor) => onsets.push(Onset {
            at_ns: anchor.onset.get(),
            score: anchor.score,
        }),
        Line::Candidate(one) => onsets.push(Onset {
            at_ns: one.onset.get(),
            score: one.score,
        }),
        _ => {}
    })?;
    onsets.sort_by_key(|onset| onset.at_ns);
    Ok(onsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_runs_of_seconds_in_videos_that_have_the_class() {
        let said = Predictions {
            names: vec!["v".into()],
            classes: vec!["a".into(), "b".into()],
            seconds: 4,
            segments: [vec![0.9, 0.9, 0.7, 0.9, 0.2, 0.9, 0.6, 0.9], vec![0.1; 8]],
            video: vec![0.8, 0.4],
        };
        let events = said.events(0, 0);
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].span, events[1].span), ((0, 2), (3, 4)));
        assert!((events[0].score - 0.8).abs() < 1e-6 && events[0].class == 0);
        assert!(said.events(1, 0).is_empty());
    }
}
