//! A file that is either whole under its own name or not there: written beside its target, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::publish::{self, FileSystem, System};

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

/// Whether another run writes this output right now, as far as locks can tell.
pub(crate) fn is_held(target: &Path) -> bool {
    let Ok(file) = File::open(partial_name(target)) else {
        return false;
    };
    // Shared, so that looking is never in another's way for longer than it takes.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Whether `path` is where `target` is written before it gets its name.
pub(crate) fn is_partial_of(path: &Path, target: &Path) -> bool {
    let Ok(path) = path.canonicalize() else {
        return false;
    };
    partial_name(target)
        .canonicalize()
        .is_ok_and(|partial| partial == path)
}

/// Takes away what a run that died left of this output.
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

/// `<target>.partial`, locked. Dropping it takes the file away; only [`Partial::commit`] and [`Partial::keep`] leave something behind.
///
/// The lock is on the file itself, so it ends with the process, and what a killed process left is taken over.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    path: PathBuf,
    file: File,
    overwrite: bool,
    stays: bool,
}

impl Partial {
    /// Claims the target.
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
        // Another run may have finished between the first look and the lock.
        check_place(target, overwrite)?;
        Ok(partial)
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on the file stays, whatever happens: there is something in it that is worth having.
    pub(crate) fn keep(&mut self) {
        self.stays = true;
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Makes sure that so many bytes can be added, so that a full disk is known before the file is touched. What is not used
    /// goes back at the end. Where the file system can't promise room, nothing is known.
    ///
    /// # Errors
    /// There is no room: the disk is full, a quota is used up, or the file may not grow so far.
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

    /// Gives room back that was reserved and not used.
    pub(crate) fn release(&self) {
        // Cutting a file to the size that it has frees what lies behind its end.
        let size = self.file.metadata().map(|about| about.len());
        let _ = size.and_then(|size| self.file.set_len(size));
    }

    /// The file itself, locked.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Brings what was written to the disk and gives it its name, all or nothing.
    ///
    /// # Errors
    /// The disk is full or gone, or the target has appeared meanwhile and may not be overwritten.
    pub(crate) fn commit(mut self) -> Result<(), PlaceError> {
        self.release();
        self.file
            .sync_all()
            .map_err(|source| self.system("write", source))?;
        publish::put(&System, &self.path, &self.target, self.overwrite).map_err(|source| {
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

/// Which file bears a name; another one that bears it later differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity([u64; 4]);

/// `None` if there is none.
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

/// Opens and locks `path`. Between the two, another run may finish and rename the file away; then the lock would be on its result,
/// so try again until the locked file is the one that bears the name. Where the file system knows no locks, as some shared ones, the
/// name is this run's own instead: of two runs each writes a whole file, and the one renamed last stays.
fn lock(
    disk: &impl FileSystem,
    target: &Path,
    path: PathBuf,
) -> Result<(PathBuf, File), PlaceError> {
    for _ in 0..100 {
        let file = open(target, &path, false)?;
        match disk.lock(&file) {
            Ok(()) => {}
            // Somebody may only be looking.
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
                continue;
            }
            Err(TryLockError::Error(_)) => {
                // What was made only to be locked goes; what another run left there may be worth recovering.
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

/// A name that no other run has: host, process and time.
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
                        "the folder {} may not be written ({source})",
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
    use crate::atomic_file::publish::tests::Poor;

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
    fn what_is_to_stay_stays() {
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
    fn where_nothing_can_be_locked_every_run_has_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let [first, second] = [1, 2].map(|_| own_name(&partial_name(&target)));
        assert_ne!(first, second);
        open(&target, &first, true).unwrap();
        assert!(open(&target, &first, true).is_err());
        fs::remove_file(first).unwrap();
        let poor = Poor {
            locks: true,
            ..Poor::default()
        };
        // Only its own file is there; what is worth recovering stays.
        let (own, _file) = lock(&poor, &target, partial_name(&target)).unwrap();
        assert!(own.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::write(partial_name(&target), "rows").unwrap();
        lock(&poor, &target, partial_name(&target)).unwrap();
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
