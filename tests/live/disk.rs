//! A disk that is nearly full, full, and read-only: a small file system in memory, which only root can make.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Running, changed, cut, files, of, ready, states, whole};
use crate::recordings::folder;
use crate::validate::{earmark, seen};

/// A file system of so many MB.
struct Disk(PathBuf);

impl Disk {
    /// `None`, and a line that says so, where it cannot be made.
    fn new(place: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(place)
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("skipped: only root can mount a small file system");
            return None;
        }
        Some(Self(place.into()))
    }

    /// Fills it until so many KB are left; the file can be deleted to make room.
    fn fill(&self, left: u64) -> PathBuf {
        let disk = rustix::fs::statvfs(&self.0).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let ballast = self.0.join("ballast");
        std::fs::write(&ballast, vec![1; (free - left * 1024) as usize]).unwrap();
        ballast
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

const SHORT: [(&str, &str); 3] = [
    ("segment_minutes: 60", "segment_minutes: 0.05"),
    ("free_gb: 0.2 ", "free_gb: 0.004 "),
    ("flush_s: 10", "flush_s: 1"),
];

#[test]
fn a_disk_that_fills_up_loses_the_oldest_files_and_then_says_that_it_is_full() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-disk");
    let out = folder.join("out");
    let Some(disk) = Disk::new(&out, 16) else {
        return;
    };
    let file = cut(&folder, 14);
    let url = format!("url={}", file.display());
    let pipeline = changed(&folder, "live_file.yaml", &SHORT);
    let args = [pipeline.to_str().unwrap(), "--set", &url, "--name", "door"];
    let (ended, said) = Running::start(&folder, &args).end();
    assert!(ended.status.success(), "{said}");
    let before = whole(&folder, &out);
    assert_eq!(before.len(), 5);
    // Less is left than `free_gb`, but enough to go on.
    let ballast = disk.fill(3_700);
    let (ended, said) = Running::start(&folder, &args).end();
    assert!(ended.status.success(), "{said}");
    assert!(said.contains("deleted the"), "{said}");
    let after = whole(&folder, &out);
    assert!(!before[0].exists() && after.len() >= 3, "{after:?}");
    assert!(ballast.exists(), "only our files are deleted");

    // Now nothing can be deleted and nothing written.
    for file in after {
        std::fs::remove_file(file).unwrap();
    }
    std::fs::remove_file(&ballast).unwrap();
    let ballast = disk.fill(40);
    let long = format!(
        "url={}",
        crate::recordings::root()
            .join("fixtures/kitchen.mp4")
            .display()
    );
    let args = [pipeline.to_str().unwrap(), "--set", &long, "--name", "door"];
    let mut running = Running::start(&folder, &args);
    running.until("the full disk", |events| {
        let states = of(events, "state");
        let full = states.iter().filter(|event| {
            event["cause"] == "work"
                && event["detail"]
                    .as_str()
                    .is_some_and(|why| why.contains("disk is full"))
        });
        full.count() >= 2
    });
    std::fs::remove_file(ballast).unwrap();
    running.until("files again", |events| {
        !of(events, "file").is_empty() && states(events).last() == Some(&"healthy")
    });
    running.stop();
    let left = files(&out, ".h5");
    assert!(!left.is_empty());
    for file in left
        .iter()
        .filter(|file| !file.to_string_lossy().contains("recovered"))
    {
        let verified = earmark(&folder, &["verify", file.to_str().unwrap()]);
        assert!(verified.status.success(), "{}", seen(&verified));
    }
}

#[test]
fn a_disk_that_may_not_be_written_is_refused_at_the_start() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-read-only");
    let out = folder.join("out");
    let Some(disk) = Disk::new(&out, 4) else {
        return;
    };
    let closed = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&disk.0)
        .status();
    assert!(closed.unwrap().success());
    let file = cut(&folder, 4);
    let url = format!("url={}", file.display());
    let pipeline = changed(&folder, "live_file.yaml", &SHORT);
    let (ended, said) = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]).end();
    assert!(!ended.status.success());
    assert!(
        said.contains("out") && said.contains("Read-only file system"),
        "{said}"
    );
}
