//! Shows a batch folder or a live folder: one line per recording, from status lines and the files themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use gstearmark::printable::line;
use serde_json::{Value, json};

use crate::batch::status::{self, State, StatusLine};
use crate::outputs::features::{self, days, features_in};
use crate::terminal::{grouped, time};

/// A folder at a glance.
#[derive(Debug)]
pub struct Folder {
    folder: PathBuf,
    rows: BTreeMap<String, Row>,
    /// Status lines that could not be read.
    unread: usize,
    /// Partial files of unfinished runs.
    partial: Vec<String>,
}

/// A recording.
#[derive(Debug, Default)]
struct Row {
    last: Option<StatusLine>,
    attempts: u32,
    /// Complete, frames, tokens, seconds of video; or why the file cannot be read.
    file: Option<Result<(bool, u64, u64, f64), String>>,
}

impl Row {
    fn state(&self) -> &'static str {
        match (&self.file, self.last.as_ref().map(|line| line.state)) {
            (Some(Err(_)), _) => "DAMAGED",
            (Some(Ok((false, ..))), _) => "INCOMPLETE",
            // The old file is still there, but the last attempt to replace it failed.
            (Some(Ok(_)), Some(State::Failed)) => "failed, old file",
            (Some(Ok(_)), _) => "done",
            (None, Some(State::Done | State::Skipped)) => "GONE",
            (None, Some(state)) => state.name(),
            (None, None) => "unknown",
        }
    }
}

pub(super) fn folder(folder: &Path) -> anyhow::Result<Folder> {
    let (lines, unread) = status::read(folder)?;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for line in lines {
        let row = rows.entry(line.video_id.clone()).or_default();
        row.attempts += u32::from(line.state != State::Skipped);
        row.last = Some(line);
    }
    for file in features_in(folder)? {
        let id = file
            .strip_prefix(folder)
            .unwrap_or(&file)
            .with_extension("");
        let row = rows.entry(id.to_string_lossy().into_owned()).or_default();
        row.file = Some(match features::summary(&file) {
            Ok(s) => Ok((
                s.complete,
                s.frames,
                s.spent_tokens,
                s.duration_ns as f64 / 1e9,
            )),
            Err(e) => Err(format!("{e:#}")),
        });
    }
    let mut partial = Vec::new();
    for place in [vec![folder.into()], days(folder)].concat() {
        let names = std::fs::read_dir(&place)?.flatten().map(|entry| {
            let path = entry.path();
            let name = path.strip_prefix(folder).unwrap_or(&path);
            name.to_string_lossy().into_owned()
        });
        partial.extend(names.filter(|name| name.contains(".h5.partial")));
    }
    partial.sort();
    Ok(Folder {
        folder: folder.into(),
        rows,
        unread,
        partial,
    })
}

impl Folder {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.partial.is_empty()
    }

    pub(super) fn json(&self) -> Value {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|(id, row)| {
                let file = row.file.as_ref().and_then(|file| file.as_ref().ok());
                json!({
                    "video_id": id, "state": row.state(), "attempts": row.attempts, "last": row.last,
                    "complete": file.map(|file| file.0), "frames": file.map(|file| file.1),
                    "tokens": file.map(|file| file.2), "video_seconds": file.map(|file| file.3),
                })
            })
            .collect();
        json!({ "ok": true, "folder": self.folder.to_string_lossy(), "recordings": rows, "unread_lines": self.unread, "partial": self.partial })
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.rows.keys().map(|id| id.chars().count()).max();
        let width = widest.unwrap_or(0).clamp(9, 40);
        writeln!(
            f,
            "{:<width$} {:<16} {:>8} {:>8} {:>10} {:>8} {:>7}  error",
            "recording", "state", "length", "frames", "tokens", "took", "speed"
        )?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, row) in &self.rows {
            *counts.entry(row.state()).or_default() += 1;
            let file = row.file.as_ref().and_then(|file| file.as_ref().ok());
            let last = row.last.as_ref();
            let or = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            let length = file
                .map(|file| file.3)
                .or(last.and_then(|line| line.video_seconds));
            let error = match (&row.file, last) {
                (Some(Err(e)), _) => e.clone(),
                (_, Some(line)) => match (&line.class, &line.error) {
                    (Some(class), Some(error)) => format!("{}: {error}", class.name()),
                    _ => String::new(),
                },
                _ => String::new(),
            };
            let text = format!(
                "{id:<width$} {:<16} {:>8} {:>8} {:>10} {:>8} {:>7}  {error}",
                row.state(),
                or(length.map(time)),
                or(file.map(|file| grouped(file.1))),
                or(file.map(|file| grouped(file.2))),
                or(last
                    .filter(|line| line.seconds > 0.0)
                    .map(|line| time(line.seconds))),
                or(last
                    .and_then(|line| line.speed)
                    .map(|speed| format!("{speed:.1} x"))),
            );
            writeln!(f, "{}", line(text.trim_end()))?;
        }
        let counts: Vec<_> = counts
            .iter()
            .map(|(state, n)| format!("{n} {state}"))
            .collect();
        write!(f, "{} recordings: {}", self.rows.len(), counts.join(", "))?;
        for name in &self.partial {
            write!(
                f,
                "\n{} is unfinished or still being written; `earmark recover` saves its content",
                line(name)
            )?;
        }
        if self.unread > 0 {
            write!(
                f,
                "\n{} lines of status.jsonl could not be read",
                self.unread
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_feature_file_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.h5"), "nothing of the kind").unwrap();
        std::fs::write(dir.path().join("b.h5.partial"), "x").unwrap();
        let text = folder(dir.path()).unwrap().to_string();
        assert!(
            text.contains("DAMAGED") && text.contains("b.h5.partial"),
            "{text}"
        );
    }

    #[test]
    fn the_days_of_a_live_folder_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        let day = dir.path().join("2026-11-30");
        std::fs::create_dir(&day).unwrap();
        std::fs::write(day.join("door-1.h5"), "nothing of the kind").unwrap();
        std::fs::write(day.join("door-2.h5.partial"), "x").unwrap();
        let text = folder(dir.path()).unwrap().to_string();
        for part in ["2026-11-30/door-1 ", "2026-11-30/door-2.h5.partial"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
