//! Notices pipeline files that were changed. Compares what they hold, so it also works with editors that replace files, mounted volumes and
//! links that are moved.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two looks. A change counts once a file has been the same for so long: it may be written in parts.
const LOOK: Duration = Duration::from_secs(1);
/// Longer files are no pipelines.
const MOST: u64 = 1 << 20;

/// The pipelines as they were last read.
pub(super) struct Watch {
    files: Vec<Watched>,
    looked: Instant,
}

struct Watched {
    path: PathBuf,
    known: Option<Vec<u8>>,
    /// What it holds instead, as far as that may still change.
    new: Option<Vec<u8>>,
}

impl Watch {
    /// Watches these from now on.
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let watched = |path: &PathBuf| Watched {
            known: content(path),
            path: path.clone(),
            new: None,
        };
        Self {
            files: paths.iter().map(watched).collect(),
            looked: Instant::now(),
        }
    }

    /// Whether to read them again: once for each change, when it is complete.
    pub(super) fn has_changed(&mut self) -> bool {
        if self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        self.look()
    }

    /// They are read now, whatever they hold.
    pub(super) fn read_now(&mut self) {
        for file in &mut self.files {
            file.known = content(&file.path).or(file.known.take());
            file.new = None;
        }
    }

    fn look(&mut self) -> bool {
        let (mut has_changed, mut changes) = (false, false);
        for file in &mut self.files {
            // A file that is gone may be on its way back.
            let now = content(&file.path).filter(|now| file.known.as_ref() != Some(now));
            has_changed |= now.is_some() && now == file.new;
            changes |= now != file.new;
            file.new = now;
        }
        if !has_changed || changes {
            return false;
        }
        for file in &mut self.files {
            if let Some(new) = file.new.take() {
                file.known = Some(new);
            }
        }
        true
    }
}

/// What a file holds; `None` if there is none, or if reading it would wait or take too much memory.
fn content(path: &Path) -> Option<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    fs::metadata(path)
        .ok()
        .filter(|about| about.is_file() && about.len() <= MOST)?;
    let mut content = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(MOST)
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_and_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.yaml", "b.yaml"].map(|name| folder.path().join(name));
        let write = |at: usize, text: &str| fs::write(&paths[at], text).unwrap();
        write(0, "one");
        write(1, "two");
        let mut watch = Watch::new(&paths);
        assert!(!watch.look());
        // In parts.
        write(0, "on");
        assert!(!watch.look());
        write(0, "one, changed");
        assert!(!watch.look());
        assert!(watch.look());
        assert!(!watch.look());
        // The other one still changes.
        write(0, "again");
        assert!(!watch.look());
        write(1, "too");
        assert!(!watch.look());
        assert!(watch.look());
        // As editors do it.
        let other = folder.path().join("new");
        fs::write(&other, "renamed").unwrap();
        fs::remove_file(&paths[1]).unwrap();
        assert!(!watch.look());
        assert!(!watch.look());
        fs::rename(&other, &paths[1]).unwrap();
        assert!(!watch.look());
        assert!(watch.look());
        // Taken back before anybody looked twice.
        write(0, "oops");
        assert!(!watch.look());
        write(0, "again");
        assert!(!watch.look());
        assert!(!watch.look());
        // Read for another reason.
        write(0, "now");
        watch.read_now();
        assert!(!watch.look());
        assert!(!watch.look());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_is_moved_is_a_change_and_a_pipe_is_never_read() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let [a, b, link, pipe] = ["a", "b", "link", "pipe"].map(|name| folder.path().join(name));
        fs::write(&a, "one").unwrap();
        fs::write(&b, "two").unwrap();
        symlink(&a, &link).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let mut watch = Watch::new(&[link.clone(), pipe]);
        fs::remove_file(&link).unwrap();
        symlink(&b, &link).unwrap();
        assert!(!watch.look());
        assert!(watch.look());
    }
}
