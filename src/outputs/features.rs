//! Feature files, read so that none can take the process with it.
//!
//! Files come from disks and from others, and HDF5 trusts what it finds in them; a seal tells damage, but whoever means harm can make one.
//! So a child of this program, with limits to its memory and time, reads every file: it says what is in it, or copies what will be read to a
//! new one, and that is read here. If the child dies, the file is damaged.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gstearmark::h5::{self, Original, Parts, Summary, Totals};
use tempfile::TempDir;

use super::reader::{Answer, ask};
use crate::cli::Task;

/// A copy of a feature file, which can be read here.
#[derive(Debug)]
pub(crate) struct Readable {
    path: PathBuf,
    original: Original,
    // What was copied lives as long as this.
    _copy: TempDir,
}

impl Readable {
    /// `parts`: what of it will be read.
    ///
    /// # Errors
    /// Not there, not of our schemas, or damaged.
    pub(crate) fn open(path: &Path, parts: Parts) -> anyhow::Result<Self> {
        h5::look(path)?;
        let folder = TempDir::with_prefix("earmark-").context("cannot make a temporary folder")?;
        let copy = folder.path().join("copy.h5");
        let task = match parts {
            Parts::All => Task::Copy,
            Parts::Pictures => Task::CopyPictures,
            Parts::Tables => Task::CopyTables,
        };
        match ask(task, path, Some(&copy))? {
            Answer::Copied { original } => Ok(Self {
                path: copy,
                original,
                _copy: folder,
            }),
            other => bail!("{} cannot be read: {other:?}", path.display()),
        }
    }

    /// What to read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a person wants to know of it.
    ///
    /// # Errors
    /// Something cannot be read.
    pub(crate) fn summary(&self) -> anyhow::Result<Summary> {
        let mut summary = h5::read_summary(&self.path)?;
        self.original.put_into(&mut summary);
        Ok(summary)
    }
}

/// What a person wants to know of a file.
///
/// # Errors
/// Not there, not of our schemas, or damaged.
pub(crate) fn summary(path: &Path) -> anyhow::Result<Summary> {
    h5::look(path)?;
    match ask(Task::Summary, path, None)? {
        Answer::Read { summary } => Ok(*summary),
        other => bail!("{} cannot be read: {other:?}", path.display()),
    }
}

/// Everything that is wrong with a file; nothing if it is whole and complete.
///
/// # Errors
/// Not there, not of our schemas, or so damaged that it can't be read.
pub fn check(path: &Path) -> anyhow::Result<Vec<String>> {
    h5::look(path)?;
    match ask(Task::Check, path, None)? {
        Answer::Checked { problems } => Ok(problems),
        other => bail!("{} cannot be checked: {other:?}", path.display()),
    }
}

/// Saves what can be saved of a file in another.
///
/// # Errors
/// Nothing can be read, or the copy cannot be written.
pub(crate) fn recover(path: &Path, to: &Path) -> anyhow::Result<Totals> {
    match ask(Task::Recover, path, Some(to))? {
        Answer::Recovered { totals } => Ok(totals),
        other => bail!("{} cannot be recovered: {other:?}", path.display()),
    }
}

/// The feature files of a folder, in the order of their names; what is still being written is none.
pub(crate) fn features_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "h5"))
        .collect();
    files.sort();
    Ok(files)
}
