//! `status.jsonl`: one line per attempt, synced to disk before the next begins.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::shard::Shard;
use crate::failure::Class;

/// Longest line that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// How much of the end of a log is searched for lines of other runs, in bytes.
const END: u64 = 1 << 16;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The output is complete.
    Done,
    /// The output already existed and is what this batch would make.
    Skipped,
    /// There is no output, or only an old one.
    Failed,
    /// The user stopped it.
    Stopped,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StatusLine {
    /// When it ended: UTC, RFC 3339, clock of its machine.
    pub at: String,
    /// Logical clock (Lamport 1978): greater than that of every line its writer could have read. 0 in lines of older versions.
    #[serde(default)]
    pub serial: u64,
    /// The recording.
    pub video_id: String,
    /// Where it came from.
    pub input: String,
    /// How it ended.
    pub state: State,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Duration of the attempt, seconds.
    pub seconds: f64,
    /// Length of the recording, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_seconds: Option<f64>,
    /// Length divided by duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Frames encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Tokens spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Size of the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Failure class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it was processed again or skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Versions of Earmark and of libraries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// The machine.
    pub host: String,
    /// The shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

/// The log that this run appends to.
pub(super) struct Log {
    file: File,
    path: PathBuf,
    /// The highest serial seen so far.
    serial: u64,
}

impl Log {
    /// Opens the log. Every shard has its own, so that no two machines write to one file.
    pub(super) fn open(folder: &Path, shard: Option<Shard>) -> anyhow::Result<Self> {
        let path = folder.join(match shard {
            None => "status.jsonl".to_owned(),
            Some(Shard { index, count }) => format!("status.{index}-of-{count}.jsonl"),
        });
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let (lines, _) = read(folder)?;
        let serial = lines.iter().map(|line| line.serial).max().unwrap_or(0);
        Ok(Self { file, path, serial })
    }

    /// Appends a line with the next serial, and syncs it to disk.
    pub(super) fn append(&mut self, line: &StatusLine) -> anyhow::Result<()> {
        // Two runs may share the file; without locks, a single write per line is the best there is.
        let locked = self.file.lock().is_ok();
        let result = self.write(line.clone());
        if locked {
            let _ = self.file.unlock();
        }
        result.with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn write(&mut self, mut line: StatusLine) -> std::io::Result<()> {
        let end = self.end()?;
        // Another run may have written since.
        let lines = end.split(|byte| *byte == b'\n');
        let others = lines.filter_map(|text| serde_json::from_slice::<StatusLine>(text).ok());
        let others = others.map(|line| line.serial).max().unwrap_or(0);
        self.serial = self.serial.max(others).saturating_add(1);
        line.serial = self.serial;
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        if end.last().is_some_and(|last| *last != b'\n') {
            // A torn line.
            text.insert(0, '\n');
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()
    }

    /// The last bytes of the file.
    fn end(&mut self) -> std::io::Result<Vec<u8>> {
        let bytes = self.file.metadata()?.len();
        self.file.seek(SeekFrom::Start(bytes.saturating_sub(END)))?;
        let mut end = Vec::new();
        Read::take(&mut self.file, END).read_to_end(&mut end)?;
        Ok(end)
    }
}

/// Whether a file in the folder is a status log.
fn is_log(name: &str) -> bool {
    name == "status.jsonl"
        || name
            .strip_prefix("status.")
            .and_then(|rest| rest.strip_suffix(".jsonl"))
            .is_some_and(|part| part.contains("-of-"))
}

/// All attempts in a folder, by end, and the number of unreadable lines. Lines of one log keep their order;
/// lines of several logs are merged by serial, and by clock only where serials are equal.
///
/// # Errors
/// The folder or a log in it cannot be read.
pub(crate) fn read(folder: &Path) -> anyhow::Result<(Vec<StatusLine>, usize)> {
    let (mut lines, mut unread) = (Vec::new(), 0);
    let sorted = |mut lines: Vec<((u64, String), StatusLine)>| -> Vec<StatusLine> {
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        lines.into_iter().map(|(_, line)| line).collect()
    };
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut logs: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_log))
        .map(|entry| entry.path())
        .collect();
    logs.sort();
    for log in logs {
        let cannot = || format!("cannot read {}", log.display());
        let mut reader = BufReader::new(File::open(&log).with_context(cannot)?);
        let mut text = Vec::new();
        // No line moves ahead of an earlier line of its own log.
        let mut least = (0, String::new());
        loop {
            text.clear();
            let n = Read::take(&mut reader, LONGEST)
                .read_until(b'\n', &mut text)
                .with_context(cannot)?;
            if n == 0 {
                break;
            }
            match serde_json::from_slice(&text) {
                Ok(line) => {
                    let line: StatusLine = line;
                    least = least.max((line.serial, line.at.clone()));
                    lines.push((least.clone(), line));
                }
                Err(_) if text.trim_ascii().is_empty() => {}
                // A line cut off by a power failure.
                Err(_) => unread += 1,
            }
        }
    }
    Ok((sorted(lines), unread))
}

/// The last attempt at each recording.
pub(crate) fn last(lines: &[StatusLine]) -> BTreeMap<&str, &StatusLine> {
    lines
        .iter()
        .map(|line| (line.video_id.as_str(), line))
        .collect()
}

/// This machine's name.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// Now, UTC, RFC 3339, to the millisecond.
pub(super) fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    stamp(since.as_secs(), since.subsec_millis())
}

/// Days to a date: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn stamp(seconds: u64, millis: u32) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn line(id: &str, state: State, at: &str) -> StatusLine {
        StatusLine {
            at: at.into(),
            serial: 0,
            video_id: id.into(),
            input: format!("{id}.mp4"),
            state,
            attempt: 1,
            seconds: 1.0,
            video_seconds: None,
            speed: None,
            frames: None,
            tokens: None,
            bytes: None,
            class: None,
            error: None,
            because: None,
            warnings: Vec::new(),
            versions: BTreeMap::new(),
            host: "h".into(),
            shard: None,
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(stamp(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(stamp(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(stamp(4_102_444_799, 0), "2099-12-31T23:59:59.000Z");
    }

    #[test]
    fn clocks_do_not_decide_the_order_of_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let shard = |index, count| Some(Shard { index, count });
        // One log: the line written last is last, whatever the clocks say.
        let mut log = Log::open(folder.path(), None).unwrap();
        let mut other = Log::open(folder.path(), None).unwrap();
        log.append(&line("a", State::Failed, "2026-01-01T12:00:00Z"))
            .unwrap();
        other
            .append(&line("a", State::Done, "2026-01-01T11:00:00Z"))
            .unwrap();
        // Several logs: another machine with a late clock divides the batch differently.
        let mut log = Log::open(folder.path(), shard(0, 2)).unwrap();
        log.append(&line("b", State::Failed, "2026-01-01T13:00:00Z"))
            .unwrap();
        let mut log = Log::open(folder.path(), shard(1, 3)).unwrap();
        log.append(&line("b", State::Done, "2026-01-01T10:00:00Z"))
            .unwrap();
        let (lines, _) = read(folder.path()).unwrap();
        let serials: Vec<u64> = lines.iter().map(|line| line.serial).collect();
        assert_eq!(serials, [1, 2, 3, 4]);
        let last = last(&lines);
        assert_eq!(
            (last["a"].state, last["b"].state),
            (State::Done, State::Done)
        );
    }

    #[test]
    fn a_torn_line_is_counted_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path(), None).unwrap();
        log.append(&line("a", State::Failed, "1")).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("status.jsonl"))
            .unwrap()
            .write_all(b"{\"at\":\"2")
            .unwrap();
        let mut log = Log::open(folder.path(), None).unwrap();
        log.append(&line("a", State::Done, "3")).unwrap();
        let shard = Some(Shard { index: 0, count: 2 });
        let mut other = Log::open(folder.path(), shard).unwrap();
        other.append(&line("b", State::Failed, "2")).unwrap();
        let (lines, unread) = read(folder.path()).unwrap();
        assert_eq!((lines.len(), unread), (3, 1));
        let last = last(&lines);
        assert_eq!(
            (last["a"].state, last["b"].state),
            (State::Done, State::Failed)
        );
    }
}
