//! Reads other programs' HDF5 files in a child process, so that none can crash this one.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use anyhow::bail;

use super::reader::{Answer, ask, damaged, start};
use crate::cli::Task;

/// Longest first line of the child's answer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 16;

/// How long a child that closed its output may take to end, and how often it is checked.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);

/// The whole numbers of a dataset of one axis.
///
/// # Errors
/// The file or the dataset does not exist, holds something else, too much, or is damaged.
pub(crate) fn whole_numbers(path: &Path, dataset: &str) -> anyhow::Result<Vec<i64>> {
    match ask(Task::Numbers, path, None, Some(dataset))? {
        Answer::Numbers { numbers } => Ok(numbers),
        other => bail!("cannot read {}: {other:?}", path.display()),
    }
}

/// The names at the root of a file of sounds, in alphabetical order.
///
/// # Errors
/// The file does not exist, is not an HDF5 file, or is damaged.
pub(crate) fn names(path: &Path) -> anyhow::Result<Vec<String>> {
    match ask(Task::Names, path, None, None)? {
        Answer::Names { names } => Ok(names),
        other => bail!("cannot read {}: {other:?}", path.display()),
    }
}

/// A child that answers what a dataset is, and then writes its numbers.
struct Numbers {
    path: PathBuf,
    dataset: String,
    child: Child,
    from: BufReader<ChildStdout>,
}

impl Numbers {
    /// Its answer, and the numbers to come.
    fn ask(task: Task, path: &Path, dataset: &str) -> anyhow::Result<(Answer, Self)> {
        let mut child = start(task, path, None, Some(dataset))?;
        let Some(stdout) = child.stdout.take() else {
            bail!("cannot read {}: its process has no output", path.display());
        };
        let mut numbers = Self {
            path: path.into(),
            dataset: dataset.into(),
            child,
            from: BufReader::new(stdout),
        };
        let mut line = Vec::new();
        let read = (&mut numbers.from)
            .take(LONGEST_ANSWER)
            .read_until(b'\n', &mut line);
        match read.ok().and_then(|_| serde_json::from_slice(&line).ok()) {
            Some(Answer::Failed { error }) => bail!("{error}"),
            Some(answer) => Ok((answer, numbers)),
            None => Err(numbers.damage()),
        }
    }

    fn next(&mut self, count: usize) -> anyhow::Result<Vec<f32>> {
        let mut bytes = vec![0; count * 4];
        if self.from.read_exact(&mut bytes).is_err() {
            return Err(self.damage());
        }
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// Why the child ended early.
    fn damage(&mut self) -> anyhow::Error {
        // It closed its output, so it is about to end.
        let begun = Instant::now();
        let mut status = None;
        while status.is_none() && begun.elapsed() < PATIENCE {
            status = self.child.try_wait().ok().flatten();
            std::thread::sleep(TICK);
        }
        damaged(&self.path, status).context(format!("cannot read `{}`", self.dataset))
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows of numbers, read from the first on.
pub(crate) struct Rows {
    numbers: Numbers,
    shape: Vec<usize>,
}

impl Rows {
    /// # Errors
    /// There is no such dataset, it holds no numbers, or is damaged.
    pub(crate) fn open(path: &Path, dataset: &str) -> anyhow::Result<Self> {
        match Numbers::ask(Task::Rows, path, dataset)? {
            (Answer::Rows { shape }, numbers) => Ok(Self { numbers, shape }),
            (_, mut numbers) => Err(numbers.damage()),
        }
    }

    /// Rows, then the axes of a row.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The next row.
    ///
    /// # Errors
    /// The file is damaged there, or has no more.
    pub(crate) fn next(&mut self) -> anyhow::Result<Vec<f32>> {
        self.numbers.next(self.shape.iter().skip(1).product())
    }
}

/// One recording's sound, read from its beginning to its end: mono samples, usually in [-1, 1].
pub(crate) struct Sound {
    numbers: Numbers,
    samples: usize,
}

impl Sound {
    /// # Errors
    /// It does not exist, is not a dataset, not f32, has more than one axis, or is damaged.
    pub(crate) fn open(path: &Path, dataset: &str) -> anyhow::Result<Self> {
        match Numbers::ask(Task::Sound, path, dataset)? {
            (Answer::Sound { samples }, numbers) => Ok(Self { numbers, samples }),
            (_, mut numbers) => Err(numbers.damage()),
        }
    }

    /// Number of samples.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }

    /// The next samples.
    ///
    /// # Errors
    /// The file is damaged there.
    pub(crate) fn next(&mut self, count: usize) -> anyhow::Result<Vec<f32>> {
        self.numbers.next(count)
    }
}
