//! Opens feature files safely: no file can crash this process.
//!
//! Files come from disks and from other people, and HDF5 trusts their content. A seal detects damage, but anybody can make one. So a child
//! process with limits on memory and time reads every file: it summarises the content, or copies what is needed to a new file, which is read
//! here. If the child dies, the file counts as damaged.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gstearmark::h5::{self, Original, Parts, Summary, Totals};
use tempfile::TempDir;

use super::reader::{Answer, ask};
use crate::cli::Task;

/// A copy of a feature file that is safe to read in this process.
#[derive(Debug)]
pub(crate) struct Readable {
    path: PathBuf,
    original: Original,
    // Keeps the copy alive.
    _copy: TempDir,
}

impl Readable {
    /// `parts`: what will be read.
    ///
    /// # Errors
    /// The file does not exist, has another schema, or is damaged.
    pub(crate) fn open(path: &Path, parts: Parts) -> anyhow::Result<Self> {
        h5::check_signature(path)?;
        let folder =
            TempDir::with_prefix("earmark-").context("cannot create a temporary folder")?;
        let copy = folder.path().join("copy.h5");
        let task = match parts {
            Parts::All => Task::Copy,
            Parts::Thumbnails => Task::CopyThumbnails,
            Parts::Tables => Task::CopyTables,
        };
        match ask(task, path, Some(&copy), None)? {
            Answer::Copied { original } => Ok(Self {
                path: copy,
                original,
                _copy: folder,
            }),
            other => bail!("cannot read {}: {other:?}", path.display()),
        }
    }

    /// The path to read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Summarises the file.
    ///
    /// # Errors
    /// Something cannot be read.
    pub(crate) fn summary(&self) -> anyhow::Result<Summary> {
        let mut summary = h5::read_summary(&self.path)?;
        self.original.put_into(&mut summary);
        Ok(summary)
    }
}

/// Summarises a file.
///
/// # Errors
/// The file does not exist, has another schema, or is damaged.
pub(crate) fn summary(path: &Path) -> anyhow::Result<Summary> {
    h5::check_signature(path)?;
    match ask(Task::Summary, path, None, None)? {
        Answer::Read { summary } => Ok(*summary),
        other => bail!("cannot read {}: {other:?}", path.display()),
    }
}

/// Everything that is wrong with a file; empty if it is intact and complete.
///
/// # Errors
/// The file does not exist, has another schema, or is too damaged to be read.
pub fn check(path: &Path) -> anyhow::Result<Vec<String>> {
    h5::check_signature(path)?;
    match ask(Task::Check, path, None, None)? {
        Answer::Checked { problems } => Ok(problems),
        other => bail!("cannot check {}: {other:?}", path.display()),
    }
}

/// Copies what can be read of a file to another.
///
/// # Errors
/// Nothing can be read, or the copy cannot be written.
pub(crate) fn recover(path: &Path, to: &Path) -> anyhow::Result<Totals> {
    match ask(Task::Recover, path, Some(to), None)? {
        Answer::Recovered { totals } => Ok(totals),
        other => bail!("cannot recover {}: {other:?}", path.display()),
    }
}

/// The feature files of a folder by name, and those of its day folders (`2026-11-30/`), as `earmark live` makes them; partial files do not
/// count.
pub(crate) fn features_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [vec![folder.into()], days(folder)].concat() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let found = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "h5"));
        files.extend(found);
    }
    files.sort();
    Ok(files)
}

/// The day folders of a live folder, by name.
pub(crate) fn days(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_day = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let fits = |(at, byte): (usize, &u8)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        name.len() == 10 && name.iter().enumerate().all(fits) && path.is_dir()
    };
    let mut days: Vec<_> = entries.map(|entry| entry.path()).filter(is_day).collect();
    days.sort();
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_day_folders_count_and_those_in_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "a.h5",
            "2026-11-30/door.h5",
            "2026-12-01/door.h5",
            "2026-12-01/door.h5.partial",
            "2026-12-1/x.h5",
            "2026-12-0x/x.h5",
            "old/x.h5",
            ".events/x.h5",
        ];
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = features_in(folder.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(found, [names[1], names[2], names[0]]);
    }
}
