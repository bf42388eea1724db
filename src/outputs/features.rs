//! Feature files, read so that a damaged one can't take the process with it.
//!
//! A sealed file is read here: HDF5 sees of its structure only what was written, and every chunk of rows has its checksum. Any other
//! (of an older schema, unfinished, damaged) is read by a child of this program, with limits to its memory and time, which copies what
//! it finds to a new, sealed file; that is read instead. If the child dies, the file is damaged.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gstearmark::h5::{self, Parts, Summary, Totals};
use tempfile::TempDir;

use super::reader::{Answer, ask};
use crate::cli::Task;

/// A feature file that can be read here.
#[derive(Debug)]
pub(crate) struct Readable {
    path: PathBuf,
    /// Of a copy: what the file itself says.
    schema: Option<String>,
    // What was copied lives as long as this.
    _copy: Option<TempDir>,
}

impl Readable {
    /// `parts`: what of it will be read.
    ///
    /// # Errors
    /// Not there, not of our schemas, or damaged.
    pub(crate) fn open(path: &Path, parts: Parts) -> anyhow::Result<Self> {
        if h5::is_sealed(path)? {
            return Ok(Self {
                path: path.into(),
                schema: None,
                _copy: None,
            });
        }
        let folder = TempDir::with_prefix("earmark-").context("cannot make a temporary folder")?;
        let copy = folder.path().join("copy.h5");
        let task = match parts {
            Parts::All => Task::Copy,
            Parts::Tables => Task::CopyTables,
        };
        match ask(task, path, Some(&copy))? {
            Answer::Copied { schema } => Ok(Self {
                path: copy,
                schema: Some(schema),
                _copy: Some(folder),
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
        if let Some(schema) = &self.schema {
            summary.schema.clone_from(schema);
        }
        Ok(summary)
    }
}

/// What a person wants to know of a file.
///
/// # Errors
/// Not there, not of our schemas, or damaged.
pub(crate) fn summary(path: &Path) -> anyhow::Result<Summary> {
    Readable::open(path, Parts::Tables)?.summary()
}

/// Everything that is wrong with a file; nothing if it is whole and complete.
///
/// # Errors
/// Not there, not of our schemas, or so damaged that it can't be read.
pub fn check(path: &Path) -> anyhow::Result<Vec<String>> {
    if h5::is_sealed(path)? {
        return Ok(h5::check(path)?);
    }
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
