//! Quality of the frames and the sound of a file, overall and per ten seconds.

use anchoring::cue::SoundQuality;
use anchoring::plan::Reason;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{CueColumns, Tables};
use serde::Serialize;

use crate::quality::{Scene, Weights};

/// A lower score counts as poor.
const POOR: f32 = 0.3;
/// Length of a stretch.
const STRETCH_NS: i64 = 10_000_000_000;
/// How long a cue stands for the sound: two hops, because the last of a recording may be short.
const LASTS_NS: i64 = 160_000_000;
/// Mean probability of speech that makes a stretch one of speech.
const SPEECH: f32 = 0.3;

/// Ten seconds, or the rest of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QualityStretch {
    /// Its start.
    pub start_ns: i64,
    /// Mean score of the sound.
    pub sound: Option<f32>,
    /// Mean score of the frames.
    pub frames: Option<f32>,
    /// Its content.
    pub scene: Scene,
    /// Score of both, if both are known.
    pub both: Option<f32>,
}

impl QualityStretch {
    /// Its end, in a recording of this length.
    pub fn stop_ns(&self, duration_ns: i64) -> i64 {
        let whole = self.start_ns.saturating_add(STRETCH_NS);
        // A recording whose length is unknown, or shorter than its rows say, ends with the stretch.
        match duration_ns > self.start_ns {
            true => whole.min(duration_ns),
            false => whole,
        }
    }
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingQuality {
    /// Mean score of the frames and of each of their measures.
    pub frames: Option<Means>,
    /// Mean score of the sound and of each of its measures.
    pub sound: Option<Means>,
    /// Mean of the stretches in which sound and frames are known.
    pub both: Option<f32>,
    /// By ten seconds.
    pub stretches: Vec<QualityStretch>,
}

/// Scores at a frame; `None` where something was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameScores {
    /// Of the sound when it was taken.
    pub sound: Option<f32>,
    /// Its own.
    pub frame: Option<f32>,
    /// Of both, weighed as in its stretch.
    pub both: Option<f32>,
}

impl FrameScores {
    /// Of every row of `/frames`.
    pub fn all(tables: &Tables, cues: &CueColumns, weights: &Weights) -> Vec<Self> {
        let stretches = stretches(tables, cues, weights);
        let at = |(row, &pts): (usize, &i64)| {
            let stretch = stretches.partition_point(|one| one.start_ns <= pts);
            let stretch = stretch.checked_sub(1).and_then(|k| stretches.get(k));
            let cue = cues.pts_ns.partition_point(|cue| *cue <= pts);
            let cue = cue.checked_sub(1).filter(|&k| {
                let since = cues.pts_ns.get(k).map(|cue| pts.saturating_sub(*cue));
                since.is_some_and(|since| since < LASTS_NS)
            });
            let sound = cue.and_then(|k| cues.quality.get(k).copied().flatten());
            let sound = sound.map(|own| own.score());
            let frame = tables.quality.get(row).map(FrameQuality::score);
            let both = stretch.and_then(|stretch| {
                let (sound, frame) = sound.zip(frame)?;
                Some(weights.of(stretch.scene).score(sound, frame))
            });
            Self { sound, frame, both }
        };
        tables.pts_ns.iter().enumerate().map(at).collect()
    }
}

/// Means over frames or cues.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Means {
    /// How many were measured.
    pub measured: u64,
    /// How many of them have a score below 0.3.
    pub poor: u64,
    /// Mean score, 1 is best.
    pub score: f32,
    /// Mean of each measure, by name.
    pub measures: Vec<(&'static str, f32)>,
}

impl Means {
    fn of<const N: usize>(
        names: [&'static str; N],
        rows: impl Iterator<Item = ([f32; N], f32)>,
    ) -> Option<Self> {
        let (mut sums, mut score, mut poor, mut measured) = ([0.0_f64; N], 0.0, 0, 0_u64);
        for (values, own) in rows {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += f64::from(value);
            }
            score += f64::from(own);
            poor += u64::from(own < POOR);
            measured += 1;
        }
        let n = measured as f64;
        (measured > 0).then(|| Self {
            measured,
            poor,
            score: (score / n) as f32,
            measures: names
                .into_iter()
                .zip(sums.map(|sum| (sum / n) as f32))
                .collect(),
        })
    }

    /// "0.71 (sharpness 0.55, exposure 0.98, ...), 3 of 40 frames poor".
    fn text(&self, what: &str) -> String {
        let means = self
            .measures
            .iter()
            .map(|(name, value)| format!("{name} {value:.2}"));
        let means: Vec<_> = means.collect();
        let poor = match self.poor {
            0 => String::new(),
            poor => format!(", {poor} of {} {what} poor", self.measured),
        };
        format!("{:.2} ({}){poor}", self.score, means.join(", "))
    }
}

impl RecordingQuality {
    /// From the tables and cues of a file; `None` if neither was measured, as in files of older versions.
    pub fn of(tables: &Tables, cues: &CueColumns, weights: &Weights) -> Option<Self> {
        let frames = tables
            .quality
            .iter()
            .map(|frame| (frame.values(), frame.score()));
        let frames = Means::of(FrameQuality::NAMES, frames);
        let heard = cues.quality.iter().flatten();
        let sound = heard.map(|sound| (sound.shares(), sound.score()));
        let sound = Means::of(SoundQuality::NAMES, sound);
        if frames.is_none() && sound.is_none() {
            return None;
        }
        let stretches = stretches(tables, cues, weights);
        let both: Vec<f32> = stretches.iter().filter_map(|one| one.both).collect();
        Some(Self {
            frames,
            sound,
            both: mean(both.into_iter()),
            stretches,
        })
    }

    /// Lines for `earmark inspect`: name and text.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(frames) = &self.frames {
            lines.push(("quality", frames.text("frames")));
        }
        if let Some(sound) = &self.sound {
            lines.push(("of sound", sound.text("cues")));
        }
        if let Some(both) = self.both {
            let known = self.stretches.iter().filter_map(|one| one.both);
            let (all, poor) = (
                known.clone().count(),
                known.filter(|both| *both < POOR).count(),
            );
            lines.push((
                "of both",
                format!("{both:.2}, {poor} of {all} stretches of 10 s poor"),
            ));
        }
        lines
    }
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, n) = values.fold((0.0_f64, 0_u64), |(sum, n), value| {
        (sum + f64::from(value), n + 1)
    });
    (n > 0).then(|| (sum / n as f64) as f32)
}

/// The stretches of ten seconds that have a frame or a cue.
fn stretches(tables: &Tables, cues: &CueColumns, weights: &Weights) -> Vec<QualityStretch> {
    let mut all = Vec::new();
    let (mut frame, mut cue) = (0, 0);
    loop {
        // Jumps from one with data to the next, whatever times a file holds.
        let next = [tables.pts_ns.get(frame), cues.pts_ns.get(cue)];
        let Some(next) = next.into_iter().flatten().min() else {
            return all;
        };
        let start_ns = next.div_euclid(STRETCH_NS).saturating_mul(STRETCH_NS);
        let stop_ns = start_ns.saturating_add(STRETCH_NS);
        let until = |times: &[i64], from: usize| {
            let rest = times.get(from..).unwrap_or_default();
            let inside = rest.partition_point(|at| *at < stop_ns);
            // The largest possible time.
            from + inside.max(usize::from(rest.first() == Some(next)))
        };
        let shown = frame..until(&tables.pts_ns, frame);
        let heard = cue..until(&cues.pts_ns, cue);
        (frame, cue) = (shown.end, heard.end);
        let frames = tables.quality.get(shown.clone()).unwrap_or_default();
        let frames = mean(frames.iter().map(FrameQuality::score));
        let sound = cues.quality.get(heard.clone()).unwrap_or_default();
        let sound = mean(sound.iter().flatten().map(SoundQuality::score));
        let speech = cues.speech.get(heard).unwrap_or_default();
        let speech = mean(speech.iter().copied()).unwrap_or(0.0);
        let scene = scene(tables, shown, speech);
        let both = sound
            .zip(frames)
            .map(|(sound, frames)| weights.of(scene).score(sound, frames));
        all.push(QualityStretch {
            start_ns,
            sound,
            frames,
            scene,
            both,
        });
    }
}

fn scene(tables: &Tables, shown: std::ops::Range<usize>, speech: f32) -> Scene {
    let anchors = shown.filter(|&row| tables.reason.get(row) == Some(&Reason::Anchor));
    let anchors = anchors.filter_map(|row| {
        tables
            .anchors
            .get(usize::try_from(tables.anchor[row]).ok()?)
    });
    let labels: Vec<&str> = anchors.map(|anchor| anchor.label.as_str()).collect();
    if speech >= SPEECH {
        Scene::Speech
    } else if labels
        .iter()
        .any(|label| label.contains("Music") || label.contains("usical"))
    {
        Scene::Music
    } else if labels.is_empty() {
        Scene::Ambience
    } else {
        Scene::Action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poor_frames_and_stretches_are_counted() {
        assert_eq!(
            RecordingQuality::of(
                &Tables::default(),
                &CueColumns::default(),
                &Weights::default()
            ),
            None
        );
        let good = FrameQuality::from_values([1.0; 6]);
        let black = FrameQuality::from_values([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let tables = Tables {
            pts_ns: vec![1_000_000_000, 12_000_000_000],
            reason: vec![Reason::Background; 2],
            anchor: vec![-1; 2],
            quality: vec![good, black],
            ..Tables::default()
        };
        let clean = SoundQuality::from_shares([1.0; SoundQuality::MEASURES]);
        let cues = CueColumns {
            pts_ns: vec![0, 80_000_000, 10_000_000_000, 31_000_000_000],
            speech: vec![0.9, 0.9, 0.0, 0.0],
            quality: vec![Some(clean), Some(clean), Some(SoundQuality::SILENT), None],
            ..CueColumns::default()
        };
        let all = RecordingQuality::of(&tables, &cues, &Weights::default()).unwrap();
        let scenes: Vec<_> = all
            .stretches
            .iter()
            .map(|one| (one.start_ns, one.scene))
            .collect();
        assert_eq!(
            scenes,
            [
                (0, Scene::Speech),
                (10_000_000_000, Scene::Ambience),
                (30_000_000_000, Scene::Ambience)
            ]
        );
        let both: Vec<_> = all.stretches.iter().map(|one| one.both).collect();
        assert!(
            both[0] == Some(1.0) && both[1].unwrap() < 0.01 && both[2].is_none(),
            "{both:?}"
        );
        let lines = all.lines();
        assert!(lines[0].1.ends_with("1 of 2 frames poor"), "{lines:?}");
        assert!(lines[1].1.ends_with("1 of 3 cues poor"), "{lines:?}");
        assert_eq!(lines[2].1, "0.50, 1 of 2 stretches of 10 s poor");
        // The first frame lies behind its cues, the second in none.
        let frames = FrameScores::all(&tables, &cues, &Weights::default());
        let own = |sound, frame, both| FrameScores { sound, frame, both };
        assert_eq!(frames[0], own(None, Some(1.0), None));
        let near = CueColumns {
            pts_ns: vec![920_000_000],
            speech: vec![0.0],
            quality: vec![Some(SoundQuality::SILENT)],
            ..CueColumns::default()
        };
        let frames = FrameScores::all(&tables, &near, &Weights::default());
        let ambience = Weights::default().ambience.frames;
        assert_eq!(frames[0], own(Some(0.0), Some(1.0), Some(ambience)));
        assert_eq!(frames[1].sound, None);
    }
}
