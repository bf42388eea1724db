//! A file that is either whole under its own name or not there: written beside its target, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There is no place to write to.
    #[error("the output {path} cannot be written: {problem}")]
    Place {
        /// The output.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The output is there already.
    #[error(
        "the output {0} exists already: choose another, or allow overwriting it (--overwrite, overwrite=true)"
    )]
    Exists(PathBuf),
    /// Somebody else is writing the same output.
    #[error(
        "the output {0} is being written by another run: wait for it, or choose another output"
    )]
    Busy(PathBuf),
    /// The system refused.
    #[error("cannot {verb} {path}: {source}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// `<target>.partial`, locked. Dropping it takes the file away; only [`Partial::commit`] leaves something behind.
///
/// The lock is on the file itself, so it ends with the process, and what a killed process left is taken over.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    overwrite: bool,
    committed: bool,
}

impl Partial {
    /// Claims the target.
    ///
    /// # Errors
    /// The folder is missing or may not be written, the target exists and `overwrite` is false, or another run holds it.
    pub(crate) fn claim(target: &Path, overwrite: bool) -> Result<Self, PlaceError> {
        check_place(target, overwrite)?;
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let file = lock(target, &path)?;
        let partial = Self {
            target: target.into(),
            path,
            file,
            overwrite,
            committed: false,
        };
        // Another run may have finished between the first look and the lock.
        check_place(target, overwrite)?;
        Ok(partial)
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings what was written to the disk and gives it its name, all or nothing.
    ///
    /// # Errors
    /// The disk is full or gone, or the target has appeared meanwhile and may not be overwritten.
    pub(crate) fn commit(mut self) -> Result<(), PlaceError> {
        self.file
            .sync_all()
            .map_err(|source| self.system("write", source))?;
        if !self.overwrite && self.target.exists() {
            return Err(PlaceError::Exists(self.target.clone()));
        }
        fs::rename(&self.path, &self.target).map_err(|source| self.system("rename", source))?;
        self.committed = true;
        // The name is safe only once its folder is; some file systems cannot sync folders, and then there is nothing to do.
        if let Ok(folder) = File::open(folder_of(&self.target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    fn system(&self, verb: &'static str, source: io::Error) -> PlaceError {
        PlaceError::System {
            verb,
            path: self.path.clone(),
            source,
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn folder_of(target: &Path) -> PathBuf {
    match target.parent() {
        Some(folder) if folder != Path::new("") => folder.into(),
        _ => PathBuf::from("."),
    }
}

fn check_place(target: &Path, overwrite: bool) -> Result<(), PlaceError> {
    let place = |problem: &str| PlaceError::Place {
        path: target.into(),
        problem: problem.into(),
    };
    if target.as_os_str().is_empty() || target.file_name().is_none() {
        return Err(place("it names no file"));
    }
    let folder = folder_of(target);
    if !folder.is_dir() {
        return Err(place(&format!("there is no folder {}", folder.display())));
    }
    if target.is_dir() {
        return Err(place("it is a folder; name a file in it"));
    }
    if !overwrite && target.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists(target.into()));
    }
    Ok(())
}

/// Opens and locks `path`. Between the two, another run may finish and rename the file away; then the lock would be on its result,
/// so try again until the locked file is the one that bears the name.
fn lock(target: &Path, path: &Path) -> Result<File, PlaceError> {
    let system = |verb, source| PlaceError::System {
        verb,
        path: path.into(),
        source,
    };
    for _ in 0..100 {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    PlaceError::Place {
                        path: target.into(),
                        problem: format!(
                            "the folder {} may not be written ({source})",
                            folder_of(target).display()
                        ),
                    }
                }
                _ => system("create", source),
            })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PlaceError::Busy(target.into())),
            // No locks on this file system (some network ones): one run at a time is then the user's care.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        if same_file(&file, path) {
            return Ok(file);
        }
    }
    Err(PlaceError::Busy(target.into()))
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev() && a.ino() == b.ino(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_leaves_the_target_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let partial = Partial::claim(&target, false).unwrap();
        fs::write(partial.path(), "whole").unwrap();
        assert!(!target.exists());
        partial.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn dropping_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        fs::write(&target, "old").unwrap();
        let partial = Partial::claim(&target, true).unwrap();
        fs::write(partial.path(), "half").unwrap();
        drop(partial);
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_target_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        fs::write(&target, "old").unwrap();
        assert!(matches!(
            Partial::claim(&target, false),
            Err(PlaceError::Exists(_))
        ));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let partial = Partial::claim(&target, false).unwrap();
        fs::write(&target, "other").unwrap();
        assert!(matches!(partial.commit(), Err(PlaceError::Exists(_))));
        assert_eq!(fs::read_to_string(&target).unwrap(), "other");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_second_of_two_runs_is_refused_and_harms_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let first = Partial::claim(&target, true).unwrap();
        fs::write(first.path(), "first").unwrap();
        assert!(matches!(
            Partial::claim(&target, true),
            Err(PlaceError::Busy(_))
        ));
        first.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "first");
    }

    #[test]
    fn what_a_killed_run_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        fs::write(dir.path().join("a.h5.partial"), "stale").unwrap();
        Partial::claim(&target, false).unwrap().commit().unwrap();
        assert!(target.exists());
    }

    #[test]
    fn impossible_places_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for (target, word) in [
            (dir.path().join("no/a.h5"), "no folder"),
            (dir.path().to_path_buf(), "is a folder"),
            (PathBuf::new(), "no file"),
        ] {
            let err = Partial::claim(&target, true).unwrap_err().to_string();
            assert!(err.contains(word), "{err}");
        }
    }
}
