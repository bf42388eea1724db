//! The file through kills and full disks: a finished file stays whole, and nothing unfinished claims to be complete.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anchoring::plan::Reason;
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{
    self, Closing, H5Error, Opening, Row, Totals, Writer, read_summary, read_tables,
};

use crate::feed::{anchor, cue, entry};

/// The interpreter with h5py; says so when there is none.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EARMARK_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/built/venv/bin/python"),
        PathBuf::from,
    );
    let works = Command::new(&python)
        .args(["-c", "import h5py"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success());
    if !works {
        eprintln!(
            "skipped: {} has no h5py (make setup installs it; EARMARK_PYTHON names another)",
            python.display()
        );
    }
    works.then_some(python)
}

/// Numbers that do not compress.
fn noise(k: u64) -> f32 {
    let k = (k ^ k >> 30)
        .wrapping_add(1)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let k = (k ^ k >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((k ^ k >> 31) >> 40) as f32
}

/// A file of `rows` frames of `dim` numbers, with anchors and cues to match.
fn write(target: &Path, rows: i64, dim: usize) -> Result<Totals, H5Error> {
    let mut writer = begin(target, dim)?;
    for k in 0..rows {
        add(&mut writer, k, dim)?;
    }
    writer.finish(&closing(rows))
}

fn begin(target: &Path, dim: usize) -> Result<Writer, H5Error> {
    let opening = Opening {
        dim,
        ..Opening::default()
    };
    Writer::create(target, true, &opening)
}

fn add(writer: &mut Writer, k: i64, dim: usize) -> Result<(), H5Error> {
    let id = u32::try_from(k).unwrap();
    writer.anchor(&anchor(id, 100 * k + 50))?;
    writer.cue(&cue(k))?;
    writer.frame(&Row {
        pts: Nanos::from_ms(100 * k),
        entry: entry(100 * k, Tier::Low, Reason::Anchor, Some(id)),
        features: (0..dim)
            .map(|d| noise(k as u64 * 4096 + d as u64))
            .collect(),
        thumbnail: Vec::new(),
        quality: FrameQuality::default(),
        clip: None,
    })
}

fn closing(rows: i64) -> Closing {
    Closing {
        video_id: "v".into(),
        duration: Nanos::from_ms(100 * rows),
        ..Closing::default()
    }
}

/// How many rows the `k`-th file of the child below has.
fn rows_of(k: usize) -> i64 {
    [0, 10, 64, 100, 700, 3000][k % 6]
}

/// Not a test: what the tests below start and kill.
#[test]
#[ignore = "a child of other tests"]
fn child_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os("EARMARK_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    for k in 0..1_000_000 {
        // Six names, overwritten again and again.
        write(&dir.join(format!("{}.h5", k % 6)), rows_of(k), 64).unwrap();
    }
}

fn child(name: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("EARMARK_TEST_DIR", dir);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_kill_at_any_instant_leaves_finished_files_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (mut finished, mut partial, mut opened) = (0, 0, 0);
    for round in 0..20u64 {
        let mut process = child("files::child_writes_until_it_is_killed", dir.path())
            .spawn()
            .unwrap();
        // Spread over the writing of several files, without a pattern.
        std::thread::sleep(Duration::from_micros(60_000 + round * 37_199 % 120_000));
        process.kill().unwrap();
        process.wait().unwrap();
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let path = file.unwrap().path();
            let rows = rows_of(
                path.file_name().unwrap().to_str().unwrap()[..1]
                    .parse()
                    .unwrap(),
            );
            if path.extension().unwrap() == "h5" {
                finished += 1;
                let summary = read_summary(&path).unwrap();
                assert!(summary.complete);
                assert_eq!(
                    (summary.frames, summary.cues, summary.anchors),
                    (rows as u64, rows as u64, rows as u64)
                );
                let tables = read_tables(&path).unwrap();
                assert!(
                    tables
                        .pts_ns
                        .iter()
                        .enumerate()
                        .all(|(k, pts)| *pts == 100_000_000 * k as i64)
                );
            } else {
                partial += 1;
                // What cannot be opened claims nothing; what claims to be complete must be, down to the last row.
                let aside = tempfile::tempdir().unwrap();
                let copy = aside.path().join("copy");
                let copied = h5::copy(&path, &copy, h5::Parts::Tables);
                if let Ok(summary) = copied.and_then(|_| read_summary(&copy)) {
                    opened += 1;
                    assert!(!summary.complete || summary.frames == rows as u64);
                }
            }
        }
    }
    eprintln!("{finished} finished files were whole; of {partial} unfinished ones {opened} opened");
    assert!(finished > 0);
    // The next run takes over what the killed one left.
    for k in 0..6 {
        write(&dir.path().join(format!("{k}.h5")), 5, 8).unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 6);
}

/// Not a test: writes more than it may.
#[test]
#[ignore = "a child of other tests"]
fn child_runs_into_a_limit() {
    let Some(dir) = std::env::var_os("EARMARK_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let err = write(&dir.join("big.h5"), 3000, 1280).unwrap_err();
    assert!(err.is_full(), "{err}");
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        1,
        "something is left"
    );
    assert_eq!(std::fs::read_to_string(dir.join("big.h5")).unwrap(), "old");
    // The process is none the worse for it: the space is free again, and the next file works.
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let held: Vec<PathBuf> = open
        // HDF5 lets children inherit what it opens: another test's file may be among them.
        .filter(|path| path.starts_with(&dir))
        .collect();
    assert!(held.is_empty(), "still open: {held:?}");
    write(&dir.join("small.h5"), 5, 8).unwrap();
    std::fs::write(dir.join("passed"), "").unwrap();
}

/// Not a test: writes more than it may, and keeps what it could write.
#[test]
#[ignore = "a child of other tests"]
fn child_keeps_what_fits() {
    let Some(dir) = std::env::var_os("EARMARK_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let mut writer = begin(&dir.join("big.h5"), 1280).unwrap();
    let mut given = 0;
    let err = loop {
        match add(&mut writer, given, 1280) {
            Ok(()) => given += 1,
            Err(err) => break err,
        }
    };
    assert!(err.is_full(), "{err}");
    if let Some(kept) = writer.keep(&closing(given), "the disk is full") {
        // All but the last round.
        assert!(kept.totals.frames as i64 > given - 64);
    }
    std::fs::write(dir.join("passed"), given.to_string()).unwrap();
}

#[test]
fn a_full_disk_leaves_a_file_that_is_closed_and_says_why() {
    for blocks in [800, 1500, 3000, 9000] {
        let dir = tempfile::tempdir().unwrap();
        limited("files::child_keeps_what_fits", dir.path(), blocks);
        let kept = dir.path().join("big.h5.partial");
        assert_eq!(
            h5::check(&kept).unwrap(),
            ["it is not complete: the disk is full"]
        );
        let summary = read_summary(&kept).unwrap();
        assert!(!summary.complete && summary.frames > 0);
        let saved = dir.path().join("saved.h5");
        assert_eq!(h5::recover(&kept, &saved).unwrap().frames, summary.frames);
        assert_eq!(
            h5::check(&saved).unwrap(),
            ["it is not complete: the disk is full"]
        );
    }
}

#[test]
fn what_is_kept_is_closed_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("a.h5");
    // Nothing in it: nothing is left.
    assert_eq!(
        begin(&target, 8).unwrap().keep(&closing(0), "stopped"),
        None
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut writer = begin(&target, 8).unwrap();
    for k in 0..70 {
        add(&mut writer, k, 8).unwrap();
    }
    let kept = writer.keep(&closing(70), "stopped").unwrap();
    assert_eq!((kept.totals.frames, kept.totals.cues), (70, 70));
    assert_eq!(
        h5::check(&kept.path).unwrap(),
        ["it is not complete: stopped"]
    );
    let summary = read_summary(&kept.path).unwrap();
    assert_eq!((summary.frames, summary.video_id.as_str()), (70, "v"));
    // The next run takes its place over.
    write(&target, 5, 8).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// What a kill leaves is what was brought to the disk, whatever is in memory.
#[test]
fn what_was_synced_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = begin(&dir.path().join("a.h5"), 8).unwrap();
    for k in 0..20 {
        add(&mut writer, k, 8).unwrap();
        if k % 7 == 6 {
            writer.sync().unwrap();
            let torn = dir.path().join(format!("torn{k}.partial"));
            std::fs::copy(writer.path(), &torn).unwrap();
            let saved = dir.path().join(format!("{k}.h5"));
            let totals = h5::recover(&torn, &saved).unwrap();
            assert_eq!((totals.frames as i64, totals.cues as i64), (k + 1, k + 1));
        }
    }
    assert_eq!(writer.finish(&closing(20)).unwrap().frames, 20);
    let pts = read_tables(&dir.path().join("a.h5")).unwrap().pts_ns;
    assert_eq!(pts, (0..20).map(|k| k * 100_000_000).collect::<Vec<i64>>());
}

/// Runs a child that may write so many KiB a file; it says that it passed.
fn limited(name: &str, dir: &Path, blocks: u32) {
    let run = child(name, dir);
    let line = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec {} {}",
        run.get_program().to_str().unwrap(),
        run.get_args()
            .map(|arg| arg.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    );
    let done = Command::new("bash")
        .args(["-c", &line])
        .env("EARMARK_TEST_DIR", dir)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && dir.join("passed").exists(),
        "{blocks}: {text}"
    );
}

#[test]
fn a_full_disk_is_named_and_leaves_the_old_file_alone() {
    // A limit on the size of files stands in for a full disk; each limit hits at another place.
    for blocks in [400, 800, 3000, 9000] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("big.h5"), "old").unwrap();
        limited("files::child_runs_into_a_limit", dir.path(), blocks);
        assert!(read_summary(&dir.path().join("small.h5")).unwrap().complete);
    }
}

#[test]
fn foreign_files_are_distinguished() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.h5");
    std::fs::write(&text, "hello").unwrap();
    assert!(matches!(read_summary(&text), Err(H5Error::Foreign { .. })));
    assert!(matches!(
        read_summary(&dir.path().join("none.h5")),
        Err(H5Error::Read { .. })
    ));
    assert!(matches!(
        read_summary(dir.path()),
        Err(H5Error::Read { .. })
    ));
}

/// Not a test: writes a short and a long file and measures its own memory.
#[test]
#[ignore = "a child of other tests"]
fn child_measures_its_memory() {
    let Some(dir) = std::env::var_os("EARMARK_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    write(&dir.join("short.h5"), 500, 1280).unwrap();
    let before = resident();
    write(&dir.join("long.h5"), 10_000, 1280).unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 10_000, "{grown} kB more after 51 MB of features");
}

#[test]
fn memory_does_not_grow_with_the_recording() {
    let dir = tempfile::tempdir().unwrap();
    let done = child("files::child_measures_its_memory", dir.path())
        .status()
        .unwrap();
    assert!(done.success());
}
