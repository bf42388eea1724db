//! The child process that reads HDF5 files, which may be damaged or hostile: its requests, limits and answers.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use gstearmark::h5::{self, Original, Parts, Rows, Sound, SoundFile, Summary, Totals};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::Task;
use crate::terminal;

/// Memory limit of the child.
const MOST_MEMORY: u64 = 1 << 30;
/// CPU time limit of the child: a base, and bytes of the file per further second.
const LEAST_SECONDS: u64 = 3;
const BYTES_A_SECOND: u64 = 8 << 20;
/// Factor from CPU time to wall time on a busy machine.
const BUSY: u32 = 20;
/// Longest answer, in bytes: a summary contains the pipeline and the settings of the plan.
const LONGEST: u64 = 16 << 20;
/// Longest text about damage, in characters.
const MOST_LETTERS: usize = 500;
/// Largest ratio of copy to file: deflate packs at most 1032 bytes into one, and none of our columns compresses that well.
const MOST_GROWN: u64 = 200;
/// Smallest size limit of a copy, because chunks are whole.
const LEAST_COPY: u64 = 64 << 20;
/// Most whole numbers of a dataset.
const MOST_NUMBERS: usize = 1 << 20;
/// Samples of a sound that are read at once: 170 ms at 24 kHz.
const BLOCK: usize = 4096;
/// Interval at which the child is checked.
const TICK: Duration = Duration::from_millis(2);

/// The child's answer, on one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Read {
        summary: Box<Summary>,
    },
    Copied {
        original: Original,
    },
    Checked {
        problems: Vec<String>,
    },
    Recovered {
        totals: Totals,
    },
    Numbers {
        numbers: Vec<i64>,
    },
    Names {
        names: Vec<String>,
    },
    /// The samples follow on the next line.
    Sound {
        samples: usize,
    },
    /// The numbers follow on the next line.
    Rows {
        shape: Vec<usize>,
    },
    Failed {
        error: String,
    },
}

/// Runs in the child: does one task and prints the answer.
///
/// # Errors
/// stdout fails.
pub(crate) fn serve(
    task: Task,
    file: &Path,
    to: Option<&Path>,
    dataset: Option<&str>,
) -> anyhow::Result<()> {
    let bytes = file.metadata().map_or(0, |about| about.len());
    limit(task, bytes)?;
    let wanted = || to.context("no output file was given");
    let named = || dataset.context("no dataset was given");
    let done = match task {
        Task::Summary => h5::summary_unsealed(file)
            .map(|summary| Answer::Read {
                summary: Box::new(summary),
            })
            .map_err(Into::into),
        Task::Copy => wanted().and_then(|to| copied(file, to, Parts::All)),
        Task::CopyThumbnails => wanted().and_then(|to| copied(file, to, Parts::Thumbnails)),
        Task::CopyTables => wanted().and_then(|to| copied(file, to, Parts::Tables)),
        Task::Check => h5::check_unsealed(file)
            .map(|problems| Answer::Checked { problems })
            .map_err(Into::into),
        Task::Recover => wanted().and_then(|to| {
            let totals = h5::recover(file, to)?;
            Ok(Answer::Recovered { totals })
        }),
        Task::Numbers => named().and_then(|name| {
            let numbers = h5::whole_numbers(file, name, MOST_NUMBERS)?;
            Ok(Answer::Numbers { numbers })
        }),
        Task::Names => SoundFile::open(file)
            .and_then(|file| file.names())
            .map(|names| Answer::Names { names })
            .map_err(Into::into),
        Task::Sound => {
            let sound = named().and_then(|name| {
                let opened = SoundFile::open(file)?;
                let sound = opened.sound(name)?;
                Ok((opened, sound))
            });
            match sound {
                Ok((_opened, sound)) => return write_sound(&sound),
                Err(e) => Err(e),
            }
        }
        Task::Rows => {
            let rows = named().and_then(|name| Ok(Rows::open(file, name)?));
            match rows {
                Ok(rows) => return write_rows(&rows),
                Err(e) => Err(e),
            }
        }
    };
    let answer = done.unwrap_or_else(|e: anyhow::Error| Answer::Failed {
        error: format!("{e:#}"),
    });
    terminal::print(&json!(answer.cut()).to_string())
}

impl Answer {
    /// Shortens texts about damage to what a person reads.
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
            Self::Read { .. }
            | Self::Copied { .. }
            | Self::Recovered { .. }
            | Self::Numbers { .. }
            | Self::Names { .. }
            | Self::Sound { .. }
            | Self::Rows { .. } => {}
        }
        self
    }
}

/// Prints the answer, then the samples, as little-endian f32. An error ends the samples; the parent notices by their number.
fn write_sound(sound: &Sound) -> anyhow::Result<()> {
    let samples = sound.samples();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", json!(Answer::Sound { samples }))?;
    for from in (0..samples).step_by(BLOCK) {
        let block = sound.block(from..(from + BLOCK).min(samples))?;
        let bytes: Vec<u8> = block.iter().flat_map(|s| s.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// Prints the answer, then all numbers, as little-endian f32. An error ends them: the parent counts them.
fn write_rows(rows: &Rows) -> anyhow::Result<()> {
    let shape = rows.shape().to_vec();
    let mut out = std::io::stdout().lock();
    let count = shape.first().copied().unwrap_or(0);
    writeln!(out, "{}", json!(Answer::Rows { shape }))?;
    for row in 0..count {
        let bytes: Vec<u8> = rows
            .row(row)?
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

fn copied(from: &Path, to: &Path, parts: Parts) -> anyhow::Result<Answer> {
    let original = h5::copy(from, to, parts)?;
    Ok(Answer::Copied { original })
}

/// Sets the limits of this process.
fn limit(task: Task, bytes: u64) -> anyhow::Result<()> {
    let within = |resource, most, maximum| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(maximum),
        };
        setrlimit(resource, limit).context("cannot set limits for reading a file")
    };
    let set = |resource, most| within(resource, most, most);
    set(Resource::Core, 0)?;
    set(Resource::As, MOST_MEMORY)?;
    // At the first limit, SIGXCPU names the cause. A sound takes as long as listening to it, and rows as long as they are.
    if !matches!(task, Task::Sound | Task::Rows) {
        within(Resource::Cpu, seconds(bytes), seconds(bytes) + 1)?;
    }
    // A recovered file has no size limit: the user wants all of it.
    if task != Task::Recover {
        set(
            Resource::Fsize,
            bytes.saturating_mul(MOST_GROWN).max(LEAST_COPY),
        )?;
    }
    Ok(())
}

/// CPU time limit for a file of this size.
fn seconds(bytes: u64) -> u64 {
    LEAST_SECONDS + bytes / BYTES_A_SECOND
}

/// Starts a child.
pub(super) fn start(
    task: Task,
    file: &Path,
    to: Option<&Path>,
    dataset: Option<&str>,
) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.arg("reader").arg(task.name());
    if let Some(dataset) = dataset {
        command.arg(format!("--dataset={dataset}"));
    }
    // A path may begin with a dash.
    command.arg("--").arg(file).args(to);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // ^C goes to this process, which never waits long for a child.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start a process to read {}", file.display()))
}

/// Starts a child and waits for its answer.
pub(super) fn ask(
    task: Task,
    file: &Path,
    to: Option<&Path>,
    dataset: Option<&str>,
) -> anyhow::Result<Answer> {
    let mut child = start(task, file, to, dataset)?;
    let bytes = file.metadata().map_or(0, |about| about.len());
    let patience = Duration::from_secs(seconds(bytes)).saturating_mul(BUSY);
    // Output beyond the limit is not read.
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
            Err(damaged(file, status))
        }
    }
}

/// The message for a file whose child ended without an answer.
pub(super) fn damaged(file: &Path, status: Option<ExitStatus>) -> anyhow::Error {
    anyhow!("{} is damaged: {}", file.display(), end(status))
}

/// Why a child ended without an answer.
fn end(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "reading it took too long".into();
    };
    match status.signal() {
        // SIGXCPU; SIGXFSZ below.
        Some(24) => "reading it took too long".into(),
        Some(25) => "it claims to hold far more data than its size allows".into(),
        Some(signal) => format!("the process that read it was killed (signal {signal})"),
        None => format!("the process that read it failed ({status})"),
    }
}
