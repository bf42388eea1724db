//! Counts how recordings ended, and prints the result of a batch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

use gstearmark::printable::line;
use serde_json::json;

use super::bars::Bars;
use crate::failure::Class;
use crate::failure::Reported;
use crate::terminal;
use crate::terminal::time;

/// Most skipped recordings that are listed; JSON has all.
const MOST_LISTED: usize = 20;

/// Recordings that are named with a warning.
const NAMED: usize = 3;
/// Most different warnings that are kept.
const MOST_WARNINGS: usize = 1_000;

/// How recordings ended.
pub(super) struct Tally {
    pub(super) done: usize,
    pub(super) done_seconds: f64,
    pub(super) elsewhere: usize,
    pub(super) failures: Vec<(String, Class, String)>,
    pub(super) stopped: usize,
    /// Skipped because they had not failed: name and reason.
    pub(super) left_out: Vec<(String, String)>,
    /// Warnings of recordings that were done: the text, and whose it is.
    pub(super) warned: BTreeMap<String, Vec<String>>,
    /// Being written by another run.
    pub(super) busy: Vec<BusyOutput>,
    /// Progress on stderr.
    pub(super) bars: Bars,
}

/// An output that another run writes: number of its recording, since when it is unchanged, and its size and modification time.
pub(super) type BusyOutput = (usize, Instant, Option<(u64, SystemTime)>);

impl Tally {
    pub(super) fn new(bars: Bars) -> Self {
        Self {
            done: 0,
            done_seconds: 0.0,
            elsewhere: 0,
            failures: Vec::new(),
            stopped: 0,
            left_out: Vec::new(),
            warned: BTreeMap::new(),
            busy: Vec::new(),
            bars,
        }
    }

    /// Notes the warnings of a recording.
    pub(super) fn warn(&mut self, id: &str, warnings: &[String]) {
        for text in warnings {
            let known = self.warned.len() < MOST_WARNINGS;
            if known || self.warned.contains_key(text) {
                self.warned.entry(text.clone()).or_default().push(id.into());
            }
        }
    }

    /// "warning    P01, P02 and 7 more: the sound ends early": those of most recordings first.
    fn warning_lines(&self) -> Vec<String> {
        let mut all: Vec<_> = self.warned.iter().collect();
        all.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        let mut lines: Vec<String> = all
            .iter()
            .take(MOST_LISTED)
            .map(|(text, ids)| {
                let named = ids
                    .iter()
                    .take(NAMED)
                    .map(|id| line(id))
                    .collect::<Vec<_>>()
                    .join(", ");
                let more = match ids.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                format!("warning    {named}{more}: {}", line(text))
            })
            .collect();
        if let Some(more @ 1..) = all.len().checked_sub(MOST_LISTED) {
            lines.push(format!(
                "warning    and {more} other warnings; status.jsonl has all"
            ));
        }
        lines
    }

    /// Prints the result: `already` were done before, the rest took `took` seconds and is in `folder`.
    ///
    /// # Errors
    /// Not every recording was done.
    pub(super) fn tell(
        &self,
        already: usize,
        took: f64,
        folder: &Path,
        json: bool,
    ) -> anyhow::Result<()> {
        let failed = self.failures.len();
        let ok = failed == 0 && self.stopped == 0 && self.left_out.is_empty();
        if json {
            terminal::print(&format!(
                "{:#}",
                json!({
                    "ok": ok, "output": folder.to_string_lossy(), "done": self.done, "done_already": already,
                    "done_elsewhere": self.elsewhere, "failed": failed, "not_done": self.stopped, "seconds": took,
                    "video_seconds": self.done_seconds,
                    "warnings": self.warned.iter().map(|(text, ids)| json!({ "warning": text, "video_ids": ids })).collect::<Vec<_>>(),
                    "left_out": self.left_out.iter().map(|(id, why)| json!({ "video_id": id, "because": why })).collect::<Vec<_>>(),
                    "failures": self.failures.iter().map(|(id, class, error)| json!({ "video_id": id, "class": class, "error": error })).collect::<Vec<_>>(),
                })
            ))?;
        } else {
            let mut parts = vec![format!("{} done", self.done)];
            for (n, what) in [
                (already, "already done"),
                (self.elsewhere, "done by another run"),
                (failed, "FAILED"),
                (self.stopped, "not done"),
                (self.left_out.len(), "skipped"),
            ] {
                if n > 0 {
                    parts.push(format!("{n} {what}"));
                }
            }
            let mut lines = vec![
                format!("recordings {}", parts.join(", ")),
                format!(
                    "time       {} for {:.2} h of video ({:.1} h of video per hour)",
                    time(took),
                    self.done_seconds / 3600.0,
                    self.done_seconds / took.max(1e-6)
                ),
                format!("written    {}", folder.display()),
            ];
            lines.extend(self.warning_lines());
            let listed = self.left_out.iter().take(MOST_LISTED);
            lines.extend(listed.map(|(id, why)| format!("skipped    {id}: {why}")));
            if let Some(more @ 1..) = self.left_out.len().checked_sub(MOST_LISTED) {
                lines.push(format!("skipped    and {more} more"));
            }
            if !self.left_out.is_empty() {
                lines.push("skipped recordings had not failed; run without --retry-failed to process them, too".into());
            }
            lines.extend(
                self.failures.iter().map(|(id, class, error)| {
                    format!("failed     {id}: {}: {error}", class.name())
                }),
            );
            if failed > 0 {
                lines.push("to retry what failed, add --retry-failed".into());
            }
            terminal::print(&lines.join("\n"))?;
        }
        if ok { Ok(()) } else { Err(Reported.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_warnings_stand_together_those_of_most_recordings_first() {
        let mut tally = Tally::new(Bars::new(0.0, 0, 1, true));
        let texts = |all: &[&str]| {
            all.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        tally.warn("P01", &texts(&["cut off"]));
        for k in 2..7 {
            tally.warn(&format!("P0{k}"), &texts(&["the sound ends early"]));
        }
        assert_eq!(
            tally.warning_lines(),
            [
                "warning    P02, P03, P04 and 2 more: the sound ends early",
                "warning    P01: cut off"
            ]
        );
        for k in 0..2 * MOST_WARNINGS {
            tally.warn("P07", &[format!("{k}")]);
        }
        assert_eq!(tally.warned.len(), MOST_WARNINGS);
        let lines = tally.warning_lines();
        assert_eq!(lines.len(), MOST_LISTED + 1);
        assert!(
            lines[MOST_LISTED].contains("and 980 other warnings"),
            "{}",
            lines[MOST_LISTED]
        );
    }
}
