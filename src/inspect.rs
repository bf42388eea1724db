//! Shows a feature file, a plan or the folder of a batch or of live files on one screen.

mod folder;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use anchoring::plan::Untaken;
use anchoring::settings::AnchorSettings;
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gstearmark::h5::{self, FIRST_FRAME};
use gstearmark::printable::line;
use serde_json::{Value, json};

use crate::outputs::features::Readable;
use crate::outputs::{LeftOut, PlanSummary, RecordingQuality, Untrusted, distrust, summarize};
use crate::quality::Weights;
use crate::terminal::{grouped, shares_text, tokens_text};

/// A first frame from here on is worth a line.
const LATE: Nanos = Nanos::from_ms(50);

/// Most classes of events that are named.
const MOST_CLASSES: usize = 10;

/// The content of a file or folder.
#[derive(Debug)]
pub enum Inspected {
    /// A feature file.
    Features(
        PathBuf,
        Box<h5::Summary>,
        LeftOut,
        Untrusted,
        Option<Box<RecordingQuality>>,
        Option<Vec<h5::EventRow>>,
    ),
    /// A plan.
    Plan(PathBuf, Box<PlanSummary>),
    /// The output folder of `batch` or `live`.
    Folder(Box<folder::Folder>),
}

/// Inspects a file or folder.
///
/// # Errors
/// It is not a feature file, a plan or a folder of them, or it is damaged.
pub fn inspect(file: &Path) -> anyhow::Result<Inspected> {
    let about =
        std::fs::metadata(file).with_context(|| format!("cannot open {}", file.display()))?;
    if about.is_dir() {
        let folder = folder::folder(file)?;
        if folder.is_empty() {
            bail!(
                "the folder {} has neither feature files (.h5) nor a status.jsonl of a batch",
                file.display()
            );
        }
        return Ok(Inspected::Folder(Box::new(folder)));
    }
    let mut first = [0; 1];
    let is_text = std::io::Read::read(&mut File::open(file)?, &mut first)? == 1 && first[0] == b'{';
    if is_text {
        return Ok(Inspected::Plan(
            file.into(),
            Box::new(summarize(file, None)?),
        ));
    }
    let features = Readable::open(file, h5::Parts::Tables)?;
    let summary = features.summary()?;
    let config = serde_json::from_str(&summary.config).unwrap_or_default();
    let (cues, distrust) = (h5::read_cues(features.path())?, distrust(&config));
    let mut untrusted = Untrusted::default();
    for (&pts, &uncertainty) in cues.pts_ns.iter().zip(&cues.uncertainty) {
        untrusted.hear(Nanos::new(pts), uncertainty, distrust);
    }
    let tables = h5::read_tables(features.path())?;
    let quality = RecordingQuality::of(&tables, &cues, &Weights::of_run(&config)).map(Box::new);
    let left_out = left_out(&summary, &tables);
    Ok(Inspected::Features(
        file.into(),
        Box::new(summary),
        left_out,
        untrusted,
        quality,
        h5::read_events(features.path())?,
    ))
}

/// Candidates that were not taken.
fn left_out(summary: &h5::Summary, tables: &h5::Tables) -> LeftOut {
    let untaken: Vec<Untaken> = tables
        .candidates
        .iter()
        .map(h5::CandidateRow::untaken)
        .collect();
    LeftOut::new(summary.candidates_per_min, summary.budget_tokens, &untaken)
}

impl Inspected {
    /// The JSON form.
    pub fn json(&self) -> Value {
        match self {
            Self::Folder(folder) => folder.json(),
            Self::Features(file, summary, left_out, untrusted, quality, events) => json!({
                "ok": true,
                "file": file.to_string_lossy(),
                "features": summary,
                "not_taken": left_out,
                "untrusted": untrusted.stretches(),
                "quality": quality,
                "events": events,
            }),
            Self::Plan(file, plan) => json!({
                "ok": true,
                "file": file.to_string_lossy(),
                "plan": {
                    "header": plan.header,
                    "anchors": plan.anchors,
                    "cues": plan.cues,
                    "frames": plan.shares.values().map(|(frames, _)| frames).sum::<u64>(),
                    "shares": plan.shares.iter().map(|((tier, reason), (frames, tokens))| {
                        json!({ "tier": tier, "reason": reason, "frames": frames, "tokens": tokens })
                    }).collect::<Vec<_>>(),
                    "largest_gap_ns": plan.largest_gap,
                },
                "not_taken": plan.left_out,
                "untrusted": plan.untrusted.stretches(),
            }),
        }
    }
}

/// "3 heard, 2 seen: blender 3, plates 2": the events of a parser.
fn events_text(events: &[h5::EventRow]) -> String {
    let heard = events
        .iter()
        .filter(|event| event.modality == h5::EventModality::Audio)
        .count();
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        *classes.entry(&event.class).or_default() += 1;
    }
    let mut classes: Vec<_> = classes.into_iter().collect();
    classes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let named: Vec<String> = classes
        .into_iter()
        .take(MOST_CLASSES)
        .map(|(class, n)| format!("{} {n}", line(class)))
        .collect();
    let named = if named.is_empty() {
        String::new()
    } else {
        format!(": {}", named.join(", "))
    };
    format!("{heard} heard, {} seen{named}", events.len() - heard)
}

/// "-300 ms; Speech 0 ms": how far windows are moved from their onsets; `None` if not at all, or unknown.
fn offsets_text(config: &Value) -> Option<String> {
    let anchors: AnchorSettings = serde_json::from_value(config.get("anchors")?.clone()).ok()?;
    let by_class = &anchors.class_offset_ms;
    let all = (anchors.offset_ms != 0).then(|| format!("{} ms", anchors.offset_ms));
    let named = by_class
        .iter()
        .map(|(name, ms)| format!("{} {ms} ms", line(name)));
    let parts: Vec<_> = all.into_iter().chain(named).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Features(file, s, left_out, untrusted, quality, events) => {
                writeln!(
                    f,
                    "file         {} ({}{})",
                    file.display(),
                    s.schema,
                    if s.complete { "" } else { ", INCOMPLETE" }
                )?;
                writeln!(
                    f,
                    "recording    {}, {}, {}",
                    line(&s.video_id),
                    Nanos::new(s.duration_ns),
                    line(&s.input_uri)
                )?;
                let first = s.further.get(FIRST_FRAME);
                let first = first.and_then(|first| first.parse().ok().map(Nanos::new));
                if let Some(first) = first.filter(|first| *first >= LATE) {
                    writeln!(f, "first frame  at {first}; players call this 0")?;
                }
                writeln!(
                    f,
                    "features     {} x {} ({:?}){}",
                    grouped(s.frames),
                    s.dim,
                    s.precision,
                    match s.clip_frames {
                        0 => String::new(),
                        n => format!(", of clips of {n} frames"),
                    }
                )?;
                let shares = s
                    .shares
                    .iter()
                    .map(|share| (share.tier, share.reason, share.frames));
                writeln!(f, "frames       {}", shares_text(shares))?;
                writeln!(
                    f,
                    "spent        {}",
                    tokens_text(s.spent_tokens, s.budget_tokens)
                )?;
                let labels: Vec<_> = s
                    .top_labels
                    .iter()
                    .map(|(label, n)| format!("{} {n}", line(label)))
                    .collect();
                let labels = if labels.is_empty() {
                    String::new()
                } else {
                    format!(": {}", labels.join(", "))
                };
                writeln!(f, "anchors      {}{labels}", grouped(s.anchors))?;
                if let Some(text) = left_out.text() {
                    writeln!(f, "not taken    {text}")?;
                }
                if let Some(events) = events {
                    writeln!(f, "events       {}", events_text(events))?;
                }
                let config = serde_json::from_str(&s.config).unwrap_or_default();
                if let Some(offsets) = offsets_text(&config) {
                    writeln!(f, "offsets      {offsets}")?;
                }
                writeln!(f, "cues         {}", grouped(s.cues))?;
                if let Some(text) = untrusted.text() {
                    writeln!(f, "untrusted    {text}")?;
                }
                for (name, text) in quality.iter().flat_map(|quality| quality.lines()) {
                    writeln!(f, "{name:<13}{text}")?;
                }
                writeln!(
                    f,
                    "decoded      {} of {} frames",
                    grouped(s.access_units_passed),
                    grouped(s.access_units_seen)
                )?;
                let models: Vec<_> = s
                    .models
                    .iter()
                    .map(|m| {
                        format!(
                            "{} {} ({})",
                            m.role,
                            line(&m.name),
                            m.sha256.get(..12).unwrap_or(&m.sha256)
                        )
                    })
                    .collect();
                write!(f, "models       {}", models.join(", "))?;
                for warning in &s.warnings {
                    write!(f, "\nwarning      {}", line(warning))?;
                }
                if s.frames_missed > 0 {
                    write!(
                        f,
                        "\nmissed       {} planned frames are not in the recording",
                        grouped(s.frames_missed)
                    )?;
                }
                Ok(())
            }
            Self::Plan(file, plan) => {
                let h = &plan.header;
                writeln!(f, "file         {} ({})", file.display(), h.schema)?;
                writeln!(f, "recording    {}, {}", line(&h.video_id), h.duration)?;
                let shares = plan
                    .shares
                    .iter()
                    .map(|((tier, reason), (frames, _))| (*tier, *reason, *frames));
                writeln!(f, "frames       {}", shares_text(shares))?;
                writeln!(
                    f,
                    "spent        {}",
                    tokens_text(h.spent_tokens, h.budget_tokens)
                )?;
                writeln!(f, "anchors      {}", grouped(plan.anchors))?;
                if let Some(text) = plan.left_out.text() {
                    writeln!(f, "not taken    {text}")?;
                }
                if let Some(offsets) = offsets_text(&h.config) {
                    writeln!(f, "offsets      {offsets}")?;
                }
                writeln!(f, "cues         {}", grouped(plan.cues))?;
                if let Some(text) = plan.untrusted.text() {
                    writeln!(f, "untrusted    {text}")?;
                }
                write!(f, "largest gap  {}", plan.largest_gap)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_shown_where_there_are_any() {
        let text = |anchors: Value| offsets_text(&json!({ "anchors": anchors }));
        assert_eq!(text(json!({ "pre_ms": 100, "offset_ms": 0 })), None);
        let both = json!({ "offset_ms": -40, "class_offset_ms": { "Speech": 0 } });
        assert_eq!(text(both).as_deref(), Some("-40 ms; Speech 0 ms"));
        assert_eq!(offsets_text(&Value::Null), None);
    }
}
