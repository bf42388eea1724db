//! Identifies a recording by size and SHA-256, of its ends or of the whole.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes at each end that are hashed.
pub const END: u64 = 1 << 20;

/// What identifies the bytes of a local recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the first and last [`END`] bytes in lower-case hexadecimal; of the whole file if it is shorter.
    pub ends: String,
    /// SHA-256 of the whole file, if requested.
    pub whole: Option<String>,
}

impl Fingerprint {
    /// Reads a file; `None` if it is not a regular file, which cannot be read twice.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(path: &Path, whole: bool) -> io::Result<Option<Self>> {
        if !path.metadata()?.is_file() {
            return Ok(None);
        }
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut hash = Sha256::new();
        feed(&mut hash, &mut (&mut file).take(END))?;
        file.seek(SeekFrom::Start(
            bytes.saturating_sub(END).max(END.min(bytes)),
        ))?;
        feed(&mut hash, &mut (&mut file).take(END))?;
        let ends = hex(hash);
        let whole = if whole {
            file.rewind()?;
            let mut hash = Sha256::new();
            feed(&mut hash, &mut file)?;
            Some(hex(hash))
        } else {
            None
        };
        Ok(Some(Self { bytes, ends, whole }))
    }
}

/// SHA-256 of a file in lower-case hexadecimal.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    feed(&mut hash, &mut File::open(path)?)?;
    Ok(hex(hash))
}

fn feed(hash: &mut Sha256, from: &mut impl Read) -> io::Result<()> {
    let mut block = vec![0; 1 << 16];
    loop {
        match from.read(&mut block)? {
            0 => return Ok(()),
            n => hash.update(&block[..n]),
        }
    }
}

fn hex(hash: Sha256) -> String {
    let bytes = hash.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What changes when a file is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl State {
    /// The current state; `None` if it is not a regular file.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        let about = path.metadata()?;
        Ok(about.is_file().then(|| Self::from(&about)))
    }

    /// Says what happened to the file since, if anything.
    pub(crate) fn differs(self, path: &Path) -> Option<String> {
        let name = path.display();
        match Self::of(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Some(format!("{name} disappeared while it was being read"))
            }
            Err(e) => Some(format!("cannot check {name} again: {e}")),
            Ok(Some(now)) if now == self => None,
            Ok(Some(now)) if now.bytes != self.bytes => Some(format!(
                "{name} changed while it was being read, from {} to {} bytes; is it still being copied or recorded?",
                self.bytes, now.bytes
            )),
            Ok(_) => Some(format!(
                "{name} was written to or replaced while it was being read; is it still being copied or recorded?"
            )),
        }
    }
}

impl From<&Metadata> for State {
    fn from(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.len(),
            changed: (about.mtime(), about.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_count_and_the_middle_only_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut data = vec![7; 3 * END as usize];
        std::fs::write(&path, &data).unwrap();
        let first = Fingerprint::of(&path, true).unwrap().unwrap();
        let half = data.len() / 2;
        data[half] = 8;
        std::fs::write(&path, &data).unwrap();
        let middle = Fingerprint::of(&path, true).unwrap().unwrap();
        assert_eq!(first.ends, middle.ends);
        assert_ne!(first.whole, middle.whole);
        for at in [0, data.len() - 1] {
            let mut data = data.clone();
            data[at] = 8;
            std::fs::write(&path, &data).unwrap();
            let other = Fingerprint::of(&path, false).unwrap().unwrap();
            assert_ne!(first.ends, other.ends, "byte {at}");
        }
    }

    #[test]
    fn a_small_file_is_hashed_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let print = Fingerprint::of(&path, true).unwrap().unwrap();
        assert_eq!(print.whole.as_deref(), Some(print.ends.as_str()));
        assert_eq!(sha256(&path).unwrap(), print.ends);
        assert!(print.ends.starts_with("ba7816bf"));
        assert_eq!(Fingerprint::of(folder.path(), false).unwrap(), None);
    }

    #[test]
    fn a_file_that_grows_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "abc").unwrap();
        let before = State::of(&path).unwrap().unwrap();
        assert_eq!(before.differs(&path), None);
        std::fs::write(&path, "abcd").unwrap();
        assert!(before.differs(&path).unwrap().contains("from 3 to 4 bytes"));
    }
}
