//! Quality of the frames and the sound of a file, overall and per ten seconds.

use anchoring::cue::SoundQuality;
use anchoring::plan::Reason;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{CueColumns, Tables};
use serde::Serialize;

/// A lower score counts as poor.
const POOR: f32 = 0.3;
/// Length of a stretch.
const STRETCH_NS: i64 = 10_000_000_000;
/// Mean probability of speech that makes a stretch one of speech.
const SPEECH: f32 = 0.3;

/// The content of a stretch, judged by sound and anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scene {
    /// Somebody speaks.
    Speech,
    /// An anchor is labelled as music.
    Music,
    /// There are anchors.
    Action,
    /// None of these.
    Ambience,
}

impl Scene {
    /// Weights of the sound, of the frames and of the product of both; they add up to 1.
    ///
    /// Speech and action are from Hands, "A basic multimedia quality model" (2004): head and shoulders, and high motion, mapped from five
    /// grades to [0, 1]. Music is action with sound and frames exchanged, ambience is even: these are choices, not fits.
    pub const fn weights(self) -> [f32; 3] {
        match self {
            Self::Speech => [0.17, 0.17, 0.66],
            Self::Music => [0.35, 0.13, 0.52],
            Self::Action => [0.13, 0.35, 0.52],
            Self::Ambience => [0.25, 0.25, 0.5],
        }
    }
}

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
    pub fn of(tables: &Tables, cues: &CueColumns) -> Option<Self> {
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
        let stretches = stretches(tables, cues);
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
fn stretches(tables: &Tables, cues: &CueColumns) -> Vec<QualityStretch> {
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
        let [of_sound, of_frames, of_both] = scene.weights();
        let both = sound
            .zip(frames)
            .map(|(a, v)| of_sound * a + of_frames * v + of_both * a * v);
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
            RecordingQuality::of(&Tables::default(), &CueColumns::default()),
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
        let all = RecordingQuality::of(&tables, &cues).unwrap();
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
    }

    #[test]
    fn weights_add_up_to_one() {
        for scene in [Scene::Speech, Scene::Music, Scene::Action, Scene::Ambience] {
            assert!((scene.weights().iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
