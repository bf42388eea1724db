//! The child process that reads files which may be damaged, or made to do harm: what it is asked, what it may cost, how it answers.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use gstearmark::h5::{self, Original, Parts, Summary, Totals};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::Task;
use crate::terminal;

/// Most memory of a child.
const MOST_MEMORY: u64 = 1 << 30;
/// Processor time of a child, and how many bytes of the file give it a second more.
const LEAST_SECONDS: u64 = 3;
const BYTES_A_SECOND: u64 = 8 << 20;
/// By how much a child may be slower than its processor time where others are busy.
const BUSY: u32 = 20;
/// Longest answer: a summary has the pipeline and the plan's settings in it.
const LONGEST: u64 = 16 << 20;
/// Letters of one thing that it says.
const MOST_LETTERS: usize = 500;
/// How much larger a copy may be: deflate packs 1032 bytes into one, and none of our columns that well.
const MOST_GROWN: u64 = 200;
/// Least size of a copy: chunks are whole.
const LEAST_COPY: u64 = 64 << 20;
/// How long a child is waited for at a time.
const TICK: Duration = Duration::from_millis(2);

/// What a child says, on one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Read { summary: Box<Summary> },
    Copied { original: Original },
    Checked { problems: Vec<String> },
    Recovered { totals: Totals },
    Failed { error: String },
}

/// The child: does one thing, says how it went.
///
/// # Errors
/// stdout fails.
pub(crate) fn serve(task: Task, file: &Path, to: Option<&Path>) -> anyhow::Result<()> {
    let bytes = file.metadata().map_or(0, |about| about.len());
    limit(task, bytes)?;
    let wanted = || to.context("it is not said where to write");
    let done = match task {
        Task::Summary => h5::summary_unsealed(file)
            .map(|summary| Answer::Read {
                summary: Box::new(summary),
            })
            .map_err(Into::into),
        Task::Copy => wanted().and_then(|to| copied(file, to, Parts::All)),
        Task::CopyPictures => wanted().and_then(|to| copied(file, to, Parts::Pictures)),
        Task::CopyTables => wanted().and_then(|to| copied(file, to, Parts::Tables)),
        Task::Check => h5::check_unsealed(file)
            .map(|problems| Answer::Checked { problems })
            .map_err(Into::into),
        Task::Recover => wanted().and_then(|to| {
            let totals = h5::recover(file, to)?;
            Ok(Answer::Recovered { totals })
        }),
    };
    let answer = done.unwrap_or_else(|e: anyhow::Error| Answer::Failed {
        error: format!("{e:#}"),
    });
    terminal::print(&json!(answer.cut()).to_string())
}

impl Answer {
    /// What it says of damage is no longer than a person reads.
    fn cut(mut self) -> Self {
        let cut = |text: &mut String| {
            if let Some((at, _)) = text.char_indices().nth(MOST_LETTERS) {
                text.truncate(at);
                text.push('…');
            }
        };
        match &mut self {
            Self::Checked { problems } => problems.iter_mut().for_each(cut),
            Self::Failed { error } => cut(error),
            Self::Read { .. } | Self::Copied { .. } | Self::Recovered { .. } => {}
        }
        self
    }
}

fn copied(from: &Path, to: &Path, parts: Parts) -> anyhow::Result<Answer> {
    let original = h5::copy(from, to, parts)?;
    Ok(Answer::Copied { original })
}

/// What a damaged file may cost.
fn limit(task: Task, bytes: u64) -> anyhow::Result<()> {
    let within = |resource, most, maximum| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit).context("cannot limit what reading a file costs")
    };
    let set = |resource, most| within(resource, most, most);
    set(Resource::Core, 0)?;
    set(Resource::As, MOST_MEMORY)?;
    // At the first of them SIGXCPU says what it was.
    within(Resource::Cpu, seconds(bytes), seconds(bytes) + 1)?;
    // What is recovered goes where the user wants it, and all of it is wanted.
    if task != Task::Recover {
        set(
            Resource::Fsize,
            bytes.saturating_mul(MOST_GROWN).max(LEAST_COPY),
        )?;
    }
    Ok(())
}

/// Processor time for a file of so many bytes.
fn seconds(bytes: u64) -> u64 {
    LEAST_SECONDS + bytes / BYTES_A_SECOND
}

/// Has a child do it.
pub(super) fn ask(task: Task, file: &Path, to: Option<&Path>) -> anyhow::Result<Answer> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.arg("reader").arg(task.name()).arg(file).args(to);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // ^C is for this program, which waits for no child for long.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start a process that reads {}", file.display()))?;
    let bytes = file.metadata().map_or(0, |about| about.len());
    let patience = Duration::from_secs(seconds(bytes)).saturating_mul(BUSY);
    // Whoever has more to say than that finds nobody who listens.
    let stdout = child.stdout.take();
    let listener = std::thread::Builder::new().spawn(move || {
        let mut said = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(LONGEST).read_to_end(&mut said);
        }
        said
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a process")? {
            break Some(status);
        }
        if begun.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(TICK);
    };
    let said = listener
        .ok()
        .and_then(|listener| listener.join().ok())
        .unwrap_or_default();
    let answer = status
        .filter(ExitStatus::success)
        .and_then(|_| serde_json::from_slice(&said).ok());
    match answer {
        Some(Answer::Failed { error }) => Err(anyhow!("{error}")),
        Some(answer) => Ok(answer),
        None => {
            if let (Task::Recover, Some(to)) = (task, to) {
                h5::remove_partial(to);
            }
            bail!("{} is damaged: {}", file.display(), end(status))
        }
    }
}

/// How a child that did not answer ended.
fn end(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "reading it came to no end".into();
    };
    match status.signal() {
        // SIGXCPU, and what follows it.
        Some(24) => "reading it came to no end".into(),
        Some(25) => "it says that it holds far more than its size allows".into(),
        Some(signal) => format!("reading it ended the process that tried (signal {signal})"),
        None => format!("the process that read it failed ({status})"),
    }
}
