//! An output file while it is written: `<target>.partial`, renamed when it is complete.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::publish::{self, FileSystem, System};

/// Why an output cannot be written or renamed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The path cannot be an output.
    #[error("cannot write the output {path}: {problem}")]
    Place {
        /// The output.
        path: PathBuf,
        /// What is wrong with the path.
        problem: String,
    },
    /// The output exists.
    #[error(
        "the output {0} exists already: choose another, or allow overwriting it (--overwrite, overwrite=true)"
    )]
    Exists(PathBuf),
    /// Another run is writing the same output.
    #[error("another run is writing the output {0}: wait for it, or choose another output")]
    Busy(PathBuf),
    /// The system refused.
    #[error("cannot {verb} {path}: {source}")]
    System {
        /// The operation.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Whether another run is writing this output, as far as locks can tell.
pub(crate) fn is_held(target: &Path) -> bool {
    let Ok(file) = File::open(partial_name(target)) else {
        return false;
    };
    // A shared lock, so that two checks do not disturb each other.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Whether `path` is the partial file of `target`.
pub(crate) fn is_partial_of(path: &Path, target: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    partial_name(target)
        .canonicalize()
        .is_ok_and(|partial| partial == path)
}

/// Removes the partial file that a dead run left of this output.
pub(crate) fn remove_stale(target: &Path) {
    if !is_held(target) {
        let _ = fs::remove_file(partial_name(target));
    }
}

fn partial_name(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// `<target>.partial`, locked. Dropping it removes the file, unless [`Partial::commit`] renamed it or [`Partial::keep`] keeps it.
///
/// The lock is on the file itself, so it ends with the process, and the next run takes over what a killed one left.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    overwrite: bool,
    stays: bool,
}

impl Partial {
    /// Creates and locks the partial file of a target.
    ///
    /// # Errors
    /// The folder is missing or may not be written, the target exists and `overwrite` is false, or another run holds it.
    pub(crate) fn claim(target: &Path, overwrite: bool) -> Result<Self, PlaceError> {
        check_place(target, overwrite)?;
        let (path, file) = lock(&System, target, partial_name(target))?;
        let partial = Self {
            target: target.into(),
            path,
            file,
            overwrite,
            stays: false,
        };
        // Another run may have finished between the first check and the lock.
        check_place(target, overwrite)?;
        Ok(partial)
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on dropping leaves the file: it holds something worth keeping.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
    }

    /// Syncs the file to the disk.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reserves this many more bytes, so that a full disk shows before the file changes; [`Self::release`] returns the rest. Does nothing if
    /// the file system cannot reserve.
    ///
    /// # Errors
    /// The disk is full, a quota is used up, or the file size limit is reached.
    pub(crate) fn reserve(&self, bytes: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let size = self.file.metadata()?.len();
        let most = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        if most.is_some_and(|most| size + bytes > most) {
            return Err(Errno::FBIG.into());
        }
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, size, bytes) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    /// Gives back unused reserved room.
    pub(crate) fn release(&self) {
        // Truncating a file to its own size frees the blocks behind its end.
        let size = self.file.metadata().map(|about| about.len());
        let _ = size.and_then(|size| self.file.set_len(size));
    }

    /// The file itself, locked.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the file and gives it its name, all or nothing.
    ///
    /// # Errors
    /// The disk is full or gone, or the target has appeared meanwhile and `overwrite` is false.
    pub(crate) fn commit(mut self) -> Result<(), PlaceError> {
        self.release();
        self.file
            .sync_all()
            .map_err(|source| self.system("write", source))?;
        publish::publish(&System, &self.path, &self.target, self.overwrite).map_err(|source| {
            match source.kind() {
                io::ErrorKind::AlreadyExists => PlaceError::Exists(self.target.clone()),
                _ => self.system("rename", source),
            }
        })?;
        self.stays = true;
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
        if !self.stays {
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
        return Err(place("the path names no file"));
    }
    let folder = folder_of(target);
    if !folder.is_dir() {
        return Err(place(&format!("no folder {}", folder.display())));
    }
    if target.is_dir() {
        return Err(place("it is a folder: name a file in it"));
    }
    if !overwrite && target.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists(target.into()));
    }
    Ok(())
}

/// Identifies the file that has a name now; a later file of that name differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity([u64; 4]);

/// `None` if there is no such file.
#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let about = path.symlink_metadata().ok()?;
    let written = [about.mtime() as u64, about.mtime_nsec() as u64];
    Some(Identity([about.dev(), about.ino(), written[0], written[1]]))
}

#[cfg(not(unix))]
pub(crate) fn identity(_path: &Path) -> Option<Identity> {
    None
}

/// Opens and locks `path`. Meanwhile another run may finish and rename the file, and the lock would be on its result, so this tries again
/// until the locked file has the name. On a file system without locks (some shared ones), each run uses a name of its own instead: two runs
/// each write a complete file, and the one renamed last stays.
fn lock(
    disk: &impl FileSystem,
    target: &Path,
    path: PathBuf,
) -> Result<(PathBuf, File), PlaceError> {
    for _ in 0..100 {
        let file = open(target, &path, false)?;
        match disk.lock(&file) {
            Ok(()) => {}
            // This may be only a check.
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
                continue;
            }
            Err(TryLockError::Error(_)) => {
                // Remove the file if it was created only for the lock; one that another run left may be worth recovering.
                if file.metadata().is_ok_and(|about| about.len() == 0) {
                    let _ = fs::remove_file(&path);
                }
                drop(file);
                let own = own_name(&path);
                return open(target, &own, true).map(|file| (own, file));
            }
        }
        if same_file(&file, &path) {
            return Ok((path, file));
        }
    }
    Err(PlaceError::Busy(target.into()))
}

/// A name unique to this run: host, process and time.
fn own_name(path: &Path) -> PathBuf {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(
        ".{}-{}-{:x}",
        host.trim(),
        std::process::id(),
        since.unwrap_or_default().as_nanos()
    ));
    PathBuf::from(name)
}

fn open(target: &Path, path: &Path, new: bool) -> Result<File, PlaceError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .create_new(new)
        .truncate(false)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                PlaceError::Place {
                    path: target.into(),
                    problem: format!(
                        "no permission to write to the folder {} ({source})",
                        folder_of(target).display()
                    ),
                }
            }
            _ => PlaceError::System {
                verb: "create",
                path: path.into(),
                source,
            },
        })
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
    use crate::atomic_file::publish::tests::Limited;

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
    fn a_kept_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let mut partial = Partial::claim(&target, false).unwrap();
        fs::write(partial.path(), "half").unwrap();
        partial.reserve(1 << 20).unwrap();
        partial.release();
        partial.keep();
        let path = partial.path().to_owned();
        drop(partial);
        assert_eq!(fs::read_to_string(path).unwrap(), "half");
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
        assert!(is_held(&target));
        first.commit().unwrap();
        assert!(!is_held(&target));
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
    fn without_locks_every_run_has_its_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let [first, second] = [1, 2].map(|_| own_name(&partial_name(&target)));
        assert_ne!(first, second);
        open(&target, &first, true).unwrap();
        assert!(open(&target, &first, true).is_err());
        fs::remove_file(first).unwrap();
        let limited = Limited {
            locks: true,
            ..Limited::default()
        };
        // Only the run's own file is there; a file worth recovering stays.
        let (own, _file) = lock(&limited, &target, partial_name(&target)).unwrap();
        assert!(own.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(partial_name(&target), "rows").unwrap();
        lock(&limited, &target, partial_name(&target)).unwrap();
        assert_eq!(fs::read_to_string(partial_name(&target)).unwrap(), "rows");
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
