//! Gives a finished file its name, on any file system: some cannot rename without replacing, some lack links or locks, and some cannot sync a
//! folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// Operations that a file system may lack.
pub trait FileSystem {
    /// Renames in one step, unless the new name is taken.
    ///
    /// # Errors
    /// The name is taken (`AlreadyExists`), or the system refuses.
    fn rename_to_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, unless that is taken.
    ///
    /// # Errors
    /// As above.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames, replacing a file of the new name.
    ///
    /// # Errors
    /// The system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Writes a folder's entries to the disk.
    ///
    /// # Errors
    /// The system refuses.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file for this process.
    ///
    /// # Errors
    /// Another process holds the lock, or the system refuses.
    fn lock(&self, file: &File) -> Result<(), TryLockError>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl FileSystem for System {
    #[cfg(target_os = "linux")]
    fn rename_to_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn rename_to_new(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn lock(&self, file: &File) -> Result<(), TryLockError> {
        file.try_lock()
    }
}

/// Renames a file that is on the disk, within its folder. `overwrite`: replaces a file of the new name.
///
/// # Errors
/// The name is taken and `overwrite` is false (`AlreadyExists`), or the system refuses the rename.
pub fn publish(disk: &impl FileSystem, from: &Path, to: &Path, overwrite: bool) -> io::Result<()> {
    match overwrite {
        true => disk.rename(from, to)?,
        false => rename_to_new(disk, from, to)?,
    }
    // The name is safe only once the folder is synced; where a file system cannot do that, nothing more can be done.
    let folder = match to.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let _ = disk.sync_folder(folder);
    Ok(())
}

/// In one step where the file system can: by a rename that refuses to replace, or by a link. Without either, another program may create
/// the name between the check and the rename.
fn rename_to_new(disk: &impl FileSystem, from: &Path, to: &Path) -> io::Result<()> {
    let taken = |err: &io::Error| err.kind() == io::ErrorKind::AlreadyExists;
    match disk.rename_to_new(from, to) {
        Err(err) if !taken(&err) => {}
        done => return done,
    }
    match disk.link(from, to) {
        Ok(()) => return fs::remove_file(from),
        Err(err) if taken(&err) => return Err(err),
        Err(_) => {}
    }
    match to.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => disk.rename(from, to),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A file system that lacks these operations.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Limited {
        pub(crate) new: bool,
        pub(crate) links: bool,
        pub(crate) folders: bool,
        pub(crate) locks: bool,
    }

    fn refused() -> io::Error {
        io::ErrorKind::Unsupported.into()
    }

    impl FileSystem for Limited {
        fn rename_to_new(&self, from: &Path, to: &Path) -> io::Result<()> {
            if self.new {
                return Err(refused());
            }
            System.rename_to_new(from, to)
        }

        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            if self.links {
                return Err(refused());
            }
            System.link(from, to)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            System.rename(from, to)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            if self.folders {
                return Err(refused());
            }
            System.sync_folder(folder)
        }

        fn lock(&self, file: &File) -> Result<(), TryLockError> {
            if self.locks {
                return Err(TryLockError::Error(refused()));
            }
            System.lock(file)
        }
    }

    #[test]
    fn a_file_gets_its_name_whatever_the_file_system_lacks() {
        for lacks in 0..8 {
            let disk = Limited {
                new: lacks & 1 > 0,
                links: lacks & 2 > 0,
                folders: lacks & 4 > 0,
                locks: false,
            };
            let dir = tempfile::tempdir().unwrap();
            let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
            fs::write(&from, "new").unwrap();
            fs::write(&to, "old").unwrap();
            let err = publish(&disk, &from, &to, false).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::AlreadyExists, "{disk:?}");
            assert_eq!(fs::read_to_string(&to).unwrap(), "old");
            publish(&disk, &from, &to, true).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), "new");
            fs::rename(&to, &from).unwrap();
            publish(&disk, &from, &to, false).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{disk:?}");
        }
    }
}
