//! How the recordings of a batch ended, and what is printed of that.

use std::path::Path;
use std::time::{Instant, SystemTime};

use serde_json::json;

use super::bars::Bars;
use crate::failure::Class;
use crate::failure::Reported;
use crate::terminal;
use crate::terminal::time;

/// Most recordings that were left out that are told by name; JSON has all.
const TOLD: usize = 20;

/// How recordings ended.
pub(super) struct Account {
    pub(super) done: usize,
    pub(super) done_seconds: f64,
    pub(super) elsewhere: usize,
    pub(super) failures: Vec<(String, Class, String)>,
    pub(super) stopped: usize,
    /// Neither done nor tried, for they had not failed: by name, and why.
    pub(super) left_out: Vec<(String, String)>,
    /// Written by another run.
    pub(super) busy: Vec<Waited>,
    /// What is on stderr meanwhile.
    pub(super) bars: Bars,
}

/// An output that another run writes: of which recording, since when it has been as it is, and how it is (size, time of change).
pub(super) type Waited = (usize, Instant, Option<(u64, SystemTime)>);

impl Account {
    pub(super) fn new(bars: Bars) -> Self {
        Self {
            done: 0,
            done_seconds: 0.0,
            elsewhere: 0,
            failures: Vec::new(),
            stopped: 0,
            left_out: Vec::new(),
            busy: Vec::new(),
            bars,
        }
    }

    /// Prints how it went: `already` were done before, the rest took so many seconds and lies in this folder.
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
                    "left_out": self.left_out.iter().map(|(id, why)| json!({ "video_id": id, "because": why })).collect::<Vec<_>>(),
                    "failures": self.failures.iter().map(|(id, class, error)| json!({ "video_id": id, "class": class, "error": error })).collect::<Vec<_>>(),
                })
            ))?;
        } else {
            let mut parts = vec![format!("{} done", self.done)];
            for (n, what) in [
                (already, "done already"),
                (self.elsewhere, "done by another run"),
                (failed, "FAILED"),
                (self.stopped, "not done"),
                (self.left_out.len(), "left out"),
            ] {
                if n > 0 {
                    parts.push(format!("{n} {what}"));
                }
            }
            let mut lines = vec![
                format!("recordings {}", parts.join(", ")),
                format!(
                    "time       {} for {:.2} h of video ({:.1} h of video an hour)",
                    time(took),
                    self.done_seconds / 3600.0,
                    self.done_seconds / took.max(1e-6)
                ),
                format!("written    {}", folder.display()),
            ];
            let told = self.left_out.iter().take(TOLD);
            lines.extend(told.map(|(id, why)| format!("left out   {id}: {why}")));
            if let Some(more @ 1..) = self.left_out.len().checked_sub(TOLD) {
                lines.push(format!("left out   and {more} more"));
            }
            if !self.left_out.is_empty() {
                lines.push("they had not failed: without --retry-failed they are done, too".into());
            }
            lines.extend(
                self.failures.iter().map(|(id, class, error)| {
                    format!("failed     {id}: {}: {error}", class.name())
                }),
            );
            if failed > 0 {
                lines.push("to try what failed again, add --retry-failed".into());
            }
            terminal::print(&lines.join("\n"))?;
        }
        if ok { Ok(()) } else { Err(Reported.into()) }
    }
}
