//! Keeps events on disk until they are delivered: bounded, in order, across restarts.
//!
//! Events are lines in numbered files. `taken` notes the position of the last delivered one, so a restart repeats at most the latest few: at
//! least once. If the files grow too large, the oldest is deleted and its lost events are counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Suffix of files with lines.
const ENDING: &str = ".lines";
/// Longest line.
const LONGEST: usize = 64 << 10;

/// A reading position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    file: u64,
    offset: u64,
}

/// The store on disk.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// Bytes of all files.
    most: u64,
    /// Numbers and sizes of files, the oldest first; the last one grows.
    files: Vec<(u64, u64)>,
    end: Option<File>,
    taken: Position,
    /// Lines given out but not confirmed, with the end of each.
    out: Vec<Position>,
    lost: u64,
}

impl Spool {
    /// Opens the store of a folder, or a new one. `most`: bytes, at least 64 KiB.
    ///
    /// # Errors
    /// The folder cannot be created, read or written.
    pub(super) fn open(folder: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_suffix(ENDING).and_then(|n| n.parse().ok());
            if let Some(number) = number {
                files.push((number, entry.metadata()?.len()));
            }
        }
        files.sort_unstable();
        let noted = fs::read_to_string(folder.join("taken")).unwrap_or_default();
        let mut numbers = noted.split_whitespace().map(str::parse::<u64>);
        let taken = match (numbers.next(), numbers.next()) {
            (Some(Ok(file)), Some(Ok(offset))) => Position { file, offset },
            _ => Position::default(),
        };
        let mut spool = Self {
            folder: folder.into(),
            most: most.max(64 << 10),
            files,
            end: None,
            taken,
            out: Vec::new(),
            lost: 0,
        };
        // A cut-off line of a killed run must stay alone: starts a new file.
        let next = spool.files.last().map_or(1, |(number, _)| number + 1);
        spool.begin(next.max(taken.file + 1))?;
        spool.sweep()?;
        Ok(spool)
    }

    /// Adds a line, without a line break.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(super) fn push(&mut self, line: &str) -> io::Result<()> {
        if line.len() > LONGEST || line.contains('\n') {
            return Err(io::Error::other("the event is too long for the store"));
        }
        let size = line.len() as u64 + 1;
        if let Some((number, bytes)) = self.files.last().copied()
            && bytes > 0
            && bytes + size > self.most / 4
        {
            self.begin(number + 1)?;
        }
        let end = self.end.as_mut().ok_or(io::ErrorKind::NotFound)?;
        end.write_all(format!("{line}\n").as_bytes())?;
        if let Some((_, bytes)) = self.files.last_mut() {
            *bytes += size;
        }
        while self.files.len() > 1 && self.bytes() > self.most {
            let (number, _) = self.files.remove(0);
            self.lost += self.lines_left(number);
            fs::remove_file(self.path(number))?;
            self.out.retain(|place| place.file > number);
            if self.taken.file <= number {
                self.taken = Position {
                    file: number + 1,
                    offset: 0,
                };
            }
        }
        Ok(())
    }

    /// The next lines to deliver, at most so many.
    ///
    /// # Errors
    /// The disk is gone.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut at = self.out.last().copied().unwrap_or(self.taken);
        for (number, bytes) in self.files.clone() {
            if number < at.file || lines.len() >= most {
                continue;
            }
            if number > at.file {
                at = Position {
                    file: number,
                    offset: 0,
                };
            }
            if at.offset >= bytes {
                continue;
            }
            let mut file = File::open(self.path(number))?;
            file.seek(SeekFrom::Start(at.offset))?;
            let mut file = BufReader::new(file);
            while lines.len() < most {
                let mut line = Vec::new();
                let read = (&mut file)
                    .take(2 * LONGEST as u64)
                    .read_until(b'\n', &mut line)?;
                if line.last() != Some(&b'\n') {
                    break;
                }
                line.pop();
                at.offset += read as u64;
                self.out.push(at);
                // Invalid text was not written by us.
                lines.push(String::from_utf8(line).unwrap_or_default());
            }
        }
        Ok(lines)
    }

    /// Confirms the oldest lines given out, so many.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(super) fn taken(&mut self, many: usize) -> io::Result<()> {
        let many = many.min(self.out.len());
        if many == 0 {
            return Ok(());
        }
        self.taken = self.out[many - 1];
        self.out.drain(..many);
        self.sweep()
    }

    /// Gives out unconfirmed lines again.
    pub(super) fn again(&mut self) {
        self.out.clear();
    }

    /// Notes the confirmed position; call it now and then.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub(super) fn note(&self) -> io::Result<()> {
        let text = format!("{} {}\n", self.taken.file, self.taken.offset);
        let beside = self.folder.join("taken.new");
        fs::write(&beside, text)?;
        fs::rename(beside, self.folder.join("taken"))
    }

    /// Lines deleted for lack of room.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Bytes of all files.
    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether everything is confirmed.
    pub(super) fn is_empty(&self) -> bool {
        let last = self.files.last().copied().unwrap_or_default();
        self.files.len() <= 1
            && (last.1 == 0
                || self.taken
                    == Position {
                        file: last.0,
                        offset: last.1,
                    })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}{ENDING}"))
    }

    fn begin(&mut self, number: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        self.end = Some(
            options
                .create_new(true)
                .append(true)
                .open(self.path(number))?,
        );
        self.files.push((number, 0));
        Ok(())
    }

    /// Deletes files whose lines are all confirmed.
    fn sweep(&mut self) -> io::Result<()> {
        while self.files.len() > 1 {
            let (number, bytes) = self.files[0];
            let read = number < self.taken.file
                || (number == self.taken.file && self.taken.offset >= bytes);
            if !read && bytes > 0 {
                break;
            }
            fs::remove_file(self.path(number))?;
            self.files.remove(0);
        }
        Ok(())
    }

    /// Unconfirmed lines of a file.
    fn lines_left(&self, number: u64) -> u64 {
        let bytes = fs::read(self.path(number)).unwrap_or_default();
        let from = if number == self.taken.file {
            self.taken.offset as usize
        } else {
            0
        };
        let left = bytes.get(from..).unwrap_or_default();
        left.iter().filter(|byte| **byte == b'\n').count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(folder: &Path) -> Spool {
        Spool::open(folder, 1 << 20).unwrap()
    }

    #[test]
    fn lines_come_in_order_and_never_again_once_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = spool(folder.path());
        assert!(spool.is_empty());
        for n in 0..10 {
            spool.push(&n.to_string()).unwrap();
        }
        assert_eq!(spool.next(3).unwrap(), ["0", "1", "2"]);
        assert_eq!(spool.next(2).unwrap(), ["3", "4"]);
        spool.taken(2).unwrap();
        // The connection broke: unacknowledged lines come again.
        spool.again();
        assert_eq!(spool.next(2).unwrap(), ["2", "3"]);
        spool.taken(2).unwrap();
        assert_eq!(spool.next(100).unwrap().len(), 6);
        assert!(!spool.is_empty());
        spool.taken(6).unwrap();
        assert!(spool.is_empty() && spool.next(1).unwrap().is_empty());
    }

    #[test]
    fn unconfirmed_lines_survive_a_restart_and_a_cut_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = spool(folder.path());
        for text in ["a", "b", "c"] {
            first.push(text).unwrap();
        }
        assert_eq!(first.next(1).unwrap(), ["a"]);
        first.taken(1).unwrap();
        first.note().unwrap();
        first.end.as_mut().unwrap().write_all(b"half a li").unwrap();
        drop(first);
        let mut second = spool(folder.path());
        second.push("d").unwrap();
        assert_eq!(second.next(9).unwrap(), ["b", "c", "d"]);
        second.taken(3).unwrap();
        second.note().unwrap();
        drop(second);
        let mut third = spool(folder.path());
        assert!(third.next(9).unwrap().is_empty());
        assert!(fs::read_dir(folder.path()).unwrap().count() <= 3);
    }

    #[test]
    fn the_store_is_bounded_and_losses_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 64 << 10).unwrap();
        let line = "x".repeat(1_000);
        for _ in 0..500 {
            spool.push(&line).unwrap();
        }
        assert!(spool.bytes() <= 64 << 10, "{}", spool.bytes());
        let left = spool.next(1_000).unwrap().len() as u64;
        assert_eq!(left + spool.lost(), 500);
        assert!(spool.push(&"y".repeat(LONGEST + 1)).is_err());
    }
}
