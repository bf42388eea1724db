//! Reads what a page or a drawing shows from a feature file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anchoring::time::Nanos;
use anyhow::bail;
use gstearmark::h5::{self, CueColumns, EventRow, Parts, Summary, Tables};
use serde_json::Value;

use super::truth::{self, AnchorResult, Comparison, EventResult};
use crate::eval::labels::Event;
use crate::outputs::RecordingQuality;
use crate::outputs::features::Readable;
use crate::quality::Weights;

/// Most gaps listed.
const MOST_GAPS: usize = 500;

/// A run on a recording, as read from its file.
#[derive(Debug)]
pub(crate) struct RunView {
    /// The file.
    pub path: PathBuf,
    /// The readable file, for thumbnails.
    pub file: Option<Readable>,
    pub summary: Summary,
    pub tables: Tables,
    pub cues: CueColumns,
    /// What a parser says is heard and seen; `None` if nobody parsed it.
    pub events: Option<Vec<EventRow>>,
    /// The resolved pipeline; null if the file has none.
    pub config: Value,
    /// The comparison with labels, if there are any.
    pub verdict: Option<Comparison>,
}

/// Figures computed from frames and cues.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordingFigures {
    /// The largest gap, including those to the start and the end of the recording.
    pub largest_gap: (i64, i64),
    /// Gaps longer than the plan allowed: the 500 longest, in time order.
    pub gaps: Vec<(i64, i64)>,
    /// Seconds with a frame, and all seconds.
    pub seconds: (u64, u64),
    /// Length of untrusted sound, ns; 0 without cues.
    pub untrusted_ns: i64,
}

/// Figures of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ClassCounts {
    pub anchors: u64,
    pub frames: u64,
    pub tokens: u64,
    pub score: f64,
    pub events: u64,
    pub found: u64,
    pub seen: u64,
    pub missed: u64,
}

impl RunView {
    /// Reads a file, complete or not.
    ///
    /// # Errors
    /// The file does not exist, is of another kind, or is damaged.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = Readable::open(path, Parts::Thumbnails)?;
        let summary = file.summary()?;
        let mut tables = h5::read_tables(file.path())?;
        if tables.pts_ns.windows(2).any(|pair| pair[1] < pair[0])
            || tables
                .anchors
                .windows(2)
                .any(|pair| pair[1].start_ns < pair[0].start_ns)
        {
            bail!(
                "{}: its rows are not in time order; was it edited by hand?",
                path.display()
            );
        }
        by_onset(&mut tables);
        Ok(Self {
            path: path.into(),
            config: serde_json::from_str(&summary.config).unwrap_or_default(),
            cues: h5::read_cues(file.path())?,
            events: h5::read_events(file.path())?,
            file: Some(file),
            summary,
            tables,
            verdict: None,
        })
    }

    /// Compares the run with labels. Labels of other recordings, and those after the end, do not count.
    ///
    /// # Errors
    /// No label is left.
    pub(crate) fn judge(&mut self, events: &[Event], labels: &Path) -> anyhow::Result<()> {
        let duration = self.duration_ns();
        let own: Vec<Event> = events
            .iter()
            .filter(|event| {
                let video = event.video_id.as_ref();
                video.is_none_or(|video| *video == self.summary.video_id)
                    && event.span.start().get() < duration
            })
            .cloned()
            .collect();
        if own.is_empty() && !events.is_empty() {
            bail!(
                "{} has no event within the {} of {}; are these labels of another recording, or in milliseconds?",
                labels.display(),
                Nanos::new(duration),
                self.path.display()
            );
        }
        self.verdict = Some(truth::judge(&own, &self.tables));
        Ok(())
    }

    /// Length of the recording; the time of the last row if the file does not say.
    pub(crate) fn duration_ns(&self) -> i64 {
        let last = self.tables.pts_ns.last().max(self.cues.pts_ns.last());
        let stop = self.tables.anchors.last().map(|anchor| &anchor.onset_ns);
        let latest = *last.max(stop).unwrap_or(&0);
        if self.summary.duration_ns > 0 {
            self.summary.duration_ns
        } else {
            latest.saturating_add(1).max(1)
        }
    }

    /// Quality of its sound and frames, weighed as the pipeline says; `None` if neither was measured.
    pub(crate) fn quality(&self) -> Option<RecordingQuality> {
        RecordingQuality::of(&self.tables, &self.cues, &Weights::of_run(&self.config))
    }

    /// A setting of the pipeline that made it.
    pub(crate) fn setting(&self, section: &str, name: &str) -> Option<&Value> {
        self.config.get(section)?.get(name)
    }

    /// Figures that follow from the tables.
    pub(crate) fn facts(&self) -> RecordingFigures {
        let duration = self.duration_ns();
        let frames = self.tables.pts_ns.iter().copied();
        let mut stretches = Vec::new();
        let mut last = 0;
        for at in frames.clone().chain([duration]) {
            let at = at.clamp(last, duration.max(last));
            stretches.push((last, at));
            last = at;
        }
        let length = |gap: &(i64, i64)| gap.1 - gap.0;
        let largest_gap = stretches
            .iter()
            .copied()
            .max_by_key(length)
            .unwrap_or((0, 0));
        // A frame may differ from its planned time by half a frame.
        let allowed = self
            .setting("budget", "max_gap_ms")
            .and_then(Value::as_i64)
            .filter(|_| !self.tables.pts_ns.is_empty())
            .map_or(i64::MAX, |ms| {
                ms.saturating_mul(1_000_000).saturating_add(100_000_000)
            });
        let mut gaps: Vec<_> = stretches
            .into_iter()
            .filter(|gap| length(gap) > allowed)
            .collect();
        gaps.sort_by_key(|gap| std::cmp::Reverse(length(gap)));
        gaps.truncate(MOST_GAPS);
        gaps.sort_unstable();
        let second = 1_000_000_000;
        let mut seconds: Vec<i64> = frames
            .filter(|at| (0..duration).contains(at))
            .map(|at| at / second)
            .collect();
        seconds.dedup();
        let all = u64::try_from(duration).unwrap_or(0).div_ceil(second as u64);
        let distrust = self.setting("budget", "distrust").and_then(Value::as_f64);
        let distrust = distrust.unwrap_or(0.9).min(1.0) as f32;
        let unheard = self.cues.uncertainty.iter().filter(|u| **u >= distrust);
        RecordingFigures {
            largest_gap,
            gaps,
            seconds: (seconds.len() as u64, all),
            untrusted_ns: unheard.count() as i64 * anchoring::cue::HOP.get(),
        }
    }

    /// Figures by the tagger's label, most frequent first.
    pub(crate) fn classes(&self) -> Vec<(String, ClassCounts)> {
        let mut classes: BTreeMap<String, ClassCounts> = BTreeMap::new();
        for anchor in &self.tables.anchors {
            let class = classes.entry(anchor.label.clone()).or_default();
            class.anchors += 1;
            class.score += f64::from(anchor.score);
        }
        for (row, tokens) in self.tables.anchor.iter().zip(&self.tables.tokens) {
            let anchor = usize::try_from(*row)
                .ok()
                .and_then(|row| self.tables.anchors.get(row));
            if let Some(class) = anchor.and_then(|anchor| classes.get_mut(&anchor.label)) {
                class.frames += 1;
                class.tokens += u64::from(*tokens);
            }
        }
        let mut all: Vec<_> = classes.into_iter().collect();
        all.sort_by_key(|(_, class)| std::cmp::Reverse(class.anchors));
        all
    }

    /// Figures by the class of the labels, most frequent first; empty without labels.
    pub(crate) fn labelled(&self) -> Vec<(String, ClassCounts)> {
        let mut classes: BTreeMap<&str, ClassCounts> = BTreeMap::new();
        for judged in self.verdict.iter().flat_map(|verdict| &verdict.events) {
            let class = classes.entry(&judged.event.class).or_default();
            class.events += 1;
            match judged.result {
                EventResult::Found => class.found += 1,
                EventResult::Seen => class.seen += 1,
                EventResult::Missed => class.missed += 1,
            }
        }
        let mut all: Vec<_> = classes
            .into_iter()
            .map(|(name, class)| (name.to_owned(), class))
            .collect();
        all.sort_by_key(|(_, class)| std::cmp::Reverse(class.events));
        all
    }

    /// Number of anchors with this result.
    pub(crate) fn standing(&self, standing: AnchorResult) -> u64 {
        let anchors = self.verdict.iter().flat_map(|verdict| &verdict.anchors);
        anchors.filter(|anchor| **anchor == standing).count() as u64
    }
}

/// "1:02:03", "2:03", with tenths below ten minutes.
pub(crate) fn clock(ns: i64) -> String {
    let tenths = ns.max(0) / 100_000_000;
    let (seconds, tenth) = (tenths / 10, tenths % 10);
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0..10) => format!("{minutes}:{rest:02}.{tenth}"),
        (0, _) => format!("{minutes}:{rest:02}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

/// Sorts anchors and candidates by onset; with negative offsets, a file has another order.
fn by_onset(tables: &mut Tables) {
    let mut order: Vec<usize> = (0..tables.anchors.len()).collect();
    order.sort_by_key(|&row| tables.anchors[row].onset_ns);
    let mut places = vec![0; order.len()];
    for (place, &row) in (0..).zip(&order) {
        places[row] = place;
    }
    tables.candidates.sort_by_key(|one| one.onset_ns);
    tables.anchors = order
        .iter()
        .map(|&row| tables.anchors[row].clone())
        .collect();
    for anchor in &mut tables.anchor {
        let place = usize::try_from(*anchor)
            .ok()
            .and_then(|row| places.get(row));
        *anchor = place.copied().unwrap_or(-1);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;
    use gstearmark::h5::{AnchorRow, Precision};

    use super::*;

    /// A made-up minute with frames at these seconds, and an anchor with this label at each.
    pub(crate) fn shown(seconds: &[i64], label: &str) -> RunView {
        let ns = 1_000_000_000;
        let n = seconds.len();
        RunView {
            path: "kitchen.h5".into(),
            file: None,
            summary: Summary {
                schema: h5::SCHEMA.into(),
                complete: true,
                video_id: "kitchen".into(),
                input_uri: "file:///kitchen.mp4".into(),
                input_bytes: 1,
                duration_ns: 60 * ns,
                frames: n as u64,
                dim: 4,
                clip_frames: 0,
                precision: Precision::F32,
                shares: Vec::new(),
                spent_tokens: 784 * n as u64,
                budget_tokens: 11_760,
                frames_missed: 0,
                access_units_seen: 1500,
                access_units_passed: 300,
                anchors: n as u64,
                candidates_per_min: 0,
                candidates: 0,
                top_labels: Vec::new(),
                cues: 750,
                models: Vec::new(),
                versions: BTreeMap::new(),
                streams: Value::Null,
                config: String::new(),
                provider: String::new(),
                decoder: String::new(),
                rotation: String::new(),
                further: BTreeMap::new(),
                warnings: Vec::new(),
                times: Value::Null,
                thumbnails: false,
            },
            events: None,
            tables: Tables {
                pts_ns: seconds.iter().map(|s| s * ns).collect(),
                planned_ns: seconds.iter().map(|s| s * ns).collect(),
                asked_ns: seconds.iter().map(|s| s * ns).collect(),
                tier: vec![Tier::High; n],
                reason: vec![Reason::Anchor; n],
                tokens: vec![784; n],
                anchor: (0..n as i32).collect(),
                anchors: seconds
                    .iter()
                    .map(|s| AnchorRow {
                        onset_ns: s * ns,
                        start_ns: s * ns - 200_000_000,
                        stop_ns: s * ns + 400_000_000,
                        score: 0.5,
                        uncertainty: 0.5,
                        class_id: 1,
                        label: label.into(),
                    })
                    .collect(),
                quality: Vec::new(),
                clips: None,
                candidates: Vec::new(),
            },
            cues: CueColumns {
                pts_ns: (0..750).map(|k| k * 80_000_000).collect(),
                eventness: vec![0.25; 750],
                uncertainty: vec![0.0; 750],
                speech: vec![0.0; 750],
                bands: vec![7; 750 * 16],
                change: Vec::new(),
                quality: Vec::new(),
            },
            config: serde_json::json!({ "budget": { "max_gap_ms": 1000, "policy": "gated" } }),
            verdict: None,
        }
    }

    #[test]
    fn gaps_reach_from_the_start_and_to_the_end() {
        let facts = shown(&[5, 6, 7, 30], "x").facts();
        assert_eq!(facts.largest_gap, (30_000_000_000, 60_000_000_000));
        assert_eq!(facts.gaps.len(), 3, "{:?}", facts.gaps);
        assert_eq!(facts.seconds, (4, 60));
        let empty = shown(&[], "x").facts();
        assert_eq!(empty.largest_gap, (0, 60_000_000_000));
        assert_eq!(empty.gaps, []);
    }

    #[test]
    fn anchors_are_shown_in_the_order_of_their_onsets() {
        let mut tables = shown(&[5, 2, 9], "x").tables;
        tables.anchor.push(-1);
        by_onset(&mut tables);
        let onsets: Vec<_> = tables
            .anchors
            .iter()
            .map(|a| a.onset_ns / 1_000_000_000)
            .collect();
        assert_eq!(onsets, [2, 5, 9]);
        assert_eq!(tables.anchor, [1, 0, 2, -1]);
    }

    #[test]
    fn classes_count_what_was_spent_on_them() {
        let classes = shown(&[1, 2], "knock").classes();
        assert_eq!(classes.len(), 1);
        assert_eq!((classes[0].1.anchors, classes[0].1.tokens), (2, 1568));
    }

    #[test]
    fn labels_of_another_recording_are_refused() {
        let mut shown = shown(&[1], "x");
        let event = |start: i64, video: Option<&str>| Event {
            span: anchoring::time::Window::new(Nanos::from_ms(start), Nanos::from_ms(start + 100))
                .unwrap(),
            class: "x".into(),
            level: None,
            video_id: video.map(str::to_owned),
        };
        let labels = Path::new("l.csv");
        assert!(shown.judge(&[event(1_000_000, None)], labels).is_err());
        assert!(shown.judge(&[event(1_000, Some("other"))], labels).is_err());
        shown
            .judge(
                &[event(1_000, Some("kitchen")), event(9_000_000, None)],
                labels,
            )
            .unwrap();
        assert_eq!(shown.labelled()[0].1.found, 1);
    }

    #[test]
    fn a_clock_shows_what_matters() {
        let shown = [
            1_500_000_000,
            83_000_000_000,
            754_000_000_000,
            3_723_900_000_000,
        ]
        .map(clock);
        assert_eq!(shown, ["0:01.5", "1:23.0", "12:34", "1:02:03"]);
    }
}
