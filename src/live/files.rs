//! Names the files of a live folder, recovers what a killed run left, and deletes the oldest files when there are too many.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};

use crate::outputs::features::days;
use crate::pipeline::Live;

/// Suffix of unfinished files.
const PARTIAL: &str = ".h5.partial";

/// Tells one run's files from another's, whatever the clock says: a part of the boot's id, and the time since boot.
pub(super) fn run_name() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot: String = boot
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(6)
        .collect();
    let up = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up = up.split('.').next().unwrap_or_default().parse::<u64>();
    let pid = std::process::id();
    format!("{boot:0<6}{:x}p{pid:x}", up.unwrap_or(0))
}

/// `DIR/2026-11-30/door-20261130T060102Z-RUN-3-0.h5`: the source, the wall clock, the run, how often the source was started in it, the file.
pub(super) fn segment(
    folder: &Path,
    source: &str,
    wall_ns: i64,
    run: &str,
    epoch: u64,
    index: u32,
) -> PathBuf {
    let time = DateTime::<Utc>::from_timestamp_nanos(wall_ns);
    folder
        .join(time.format("%Y-%m-%d").to_string())
        .join(format!(
            "{source}-{}-{run}-{epoch}-{index}.h5",
            time.format("%Y%m%dT%H%M%SZ")
        ))
}

/// As RFC 3339 with milliseconds.
pub(super) fn wall(wall_ns: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_nanos(wall_ns);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Makes sure that the folder exists and is writable.
pub(super) fn ready(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    if !folder.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    tempfile::tempfile_in(folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(())
}

/// Files with this suffix in a folder of days.
fn ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = |day: PathBuf| fs::read_dir(day).into_iter().flatten().flatten();
    let files = days(folder).into_iter().flat_map(entries);
    let mut files: Vec<_> = files
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

/// Recovers the unfinished files of killed runs; returns one line for each. Leaves alone what is still being written.
pub(super) fn recover(folder: &Path) -> Vec<String> {
    let left = ending(folder, PARTIAL).into_iter().filter(|path| {
        let target = path.with_extension("");
        !gstearmark::h5::is_being_written(&target)
    });
    left.map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(&path).display();
        match recover_one(&path) {
            Ok(()) => format!("recovered {name}, left by a killed run"),
            Err(e) => format!("cannot recover {name}, left by a killed run: {e:#}"),
        }
    })
    .collect()
}

/// Runs in a process of its own: HDF5 may crash on a torn file.
fn recover_one(partial: &Path) -> anyhow::Result<()> {
    let name = partial.to_string_lossy();
    let to = PathBuf::from(format!("{}.recovered.h5", name.trim_end_matches(PARTIAL)));
    if to.exists() {
        bail!("{} is there already", to.display());
    }
    let output = Command::new(std::env::current_exe()?)
        .args(["recover", "--output"])
        .args([to.as_path(), partial])
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().last().unwrap_or("no reason given"));
    }
    fs::remove_file(partial).context("cannot delete the unfinished file")
}

/// Bytes that the disk has left.
fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes that it should have left.
fn least(live: &Live) -> u64 {
    (live.free_gb * 1e9) as u64
}

/// Whether the disk has less left than it should.
pub(super) fn is_short(folder: &Path, live: &Live) -> bool {
    free(folder) < least(live)
}

/// Deletes the oldest files, as the settings say; returns how many, and their bytes. Touches only complete files of these sources.
pub(super) fn retain(folder: &Path, sources: &[String], live: &Live) -> (u64, u64) {
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        sources.iter().any(|source| {
            name.strip_prefix(source.as_str())
                .is_some_and(|rest| rest.starts_with('-'))
        })
    };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = ending(folder, ".h5")
        .into_iter()
        .filter(ours)
        .filter_map(|path| {
            let about = path.metadata().ok()?;
            Some((about.modified().ok()?, about.len(), path))
        })
        .collect();
    files.sort();
    let (mut free, least) = (free(folder), least(live));
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    let oldest = (live.keep_days > 0.0).then(|| Duration::from_secs_f64(live.keep_days * 86_400.0));
    let most = (live.keep_gb > 0.0).then_some((live.keep_gb * 1e9) as u64);
    let mut gone = (0, 0);
    for (modified, size, path) in files {
        let age = modified.elapsed().unwrap_or_default();
        let goes = oldest.is_some_and(|oldest| age > oldest)
            || most.is_some_and(|m| bytes > m)
            || free < least;
        if !goes || fs::remove_file(&path).is_err() {
            continue;
        }
        bytes -= size;
        free = free.saturating_add(size);
        gone = (gone.0 + 1, gone.1 + size);
        // Deletes days without files, too.
        let _ = path.parent().map(fs::remove_dir);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_source_day_run_and_number() {
        let path = segment(
            "out".as_ref(),
            "door",
            1_796_018_462_000_000_000,
            "ab12",
            3,
            0,
        );
        assert_eq!(
            path,
            Path::new("out/2026-11-30/door-20261130T060102Z-ab12-3-0.h5")
        );
        assert_eq!(wall(1_796_018_462_345_000_000), "2026-11-30T06:01:02.345Z");
        // A clock that was never set deletes nothing.
        assert!(segment("out".as_ref(), "door", 0, "ab12", 1, 0).starts_with("out/1970-01-01"));
    }

    #[test]
    fn the_oldest_go_first_and_only_ours() {
        let folder = tempfile::tempdir().unwrap();
        let day = folder.path().join("2026-11-30");
        fs::create_dir(&day).unwrap();
        let make = |name: &str, age: u64| {
            let file = fs::File::create(day.join(name)).unwrap();
            file.set_len(1_000_000).unwrap();
            let time = SystemTime::now() - Duration::from_secs(age);
            file.set_modified(time).unwrap();
        };
        for (name, age) in [("door-1.h5", 4000), ("door-2.h5", 3000), ("door-3.h5", 10)] {
            make(name, age);
        }
        make("doormat-1.h5", 9000);
        make("door-4.h5.partial", 9000);
        let kept = |live: &Live| {
            let gone = retain(folder.path(), &["door".into()], live);
            let mut left: Vec<_> = fs::read_dir(&day)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            left.sort();
            (gone.0, left.join(" "))
        };
        let live = Live::default();
        assert_eq!(kept(&live).0, 0);
        let two = Live {
            keep_gb: 0.002,
            ..Live::default()
        };
        let rest = "door-4.h5.partial doormat-1.h5";
        assert_eq!(kept(&two), (1, format!("door-2.h5 door-3.h5 {rest}")));
        let hour = Live {
            keep_days: 0.02,
            ..Live::default()
        };
        assert_eq!(kept(&hour), (1, format!("door-3.h5 {rest}")));
    }
}
