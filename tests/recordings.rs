//! Shared helpers for tests of whole runs: synthetic recordings and models, the command, Python.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with numpy, onnx and h5py: `$EARMARK_PYTHON`, or what `make setup` installs; `None` (and a line that says so) without it.
pub fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EARMARK_PYTHON").map_or_else(
        || root().join("models/built/venv/bin/python"),
        PathBuf::from,
    );
    let there = python.exists();
    if !there {
        eprintln!(
            "skipped: {} is missing; `make setup` installs it",
            python.display()
        );
    }
    there.then_some(python)
}

/// A folder for one test, emptied first.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Something that `media.py` makes (a recording, `encoder`, `tagger`), made once and kept.
pub fn made(python: &Path, name: &str) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let media = Path::new(env!("CARGO_TARGET_TMPDIR")).join("media");
    let script = root().join("tests/media.py");
    let note = media.join(format!("{name}.path"));
    let is_fresh = |note: &Path| {
        Some(note.metadata().ok()?.modified().ok()? > script.metadata().ok()?.modified().ok()?)
    };
    if is_fresh(&note) == Some(true) {
        return PathBuf::from(std::fs::read_to_string(&note).unwrap());
    }
    std::fs::create_dir_all(&media).unwrap();
    let output = Command::new(python)
        .arg(&script)
        .arg(name)
        .arg(&media)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "media.py {name}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    std::fs::write(note, &path).unwrap();
    PathBuf::from(path)
}

/// Whether ffmpeg is there; says so if not.
pub fn has_ffmpeg() -> bool {
    let there = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !there {
        eprintln!("skipped: ffmpeg is missing; `scripts/setup.sh tests` installs it");
    }
    there
}

/// Runs ffmpeg and insists on success.
#[track_caller]
pub fn ffmpeg<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) {
    let made = Command::new("ffmpeg")
        .args(["-y", "-loglevel", "error", "-nostdin"])
        .args(args)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
}

/// A pipeline whose encoder and tagger the tests make, with `budget` as given (the inside of a YAML flow mapping).
pub fn pipeline(python: &Path, folder: &Path, budget: &str) -> PathBuf {
    let path = folder.join("pipeline.yaml");
    let text = format!(
        "version: 1
graph: |
  filesrc location=${{input}} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${{output}}
ears: {{ probe: flux, tagger: {} }}
budget: {{ {budget} }}
features: {{ model: {}, batch: 16, precision: f32 }}
",
        made(python, "tagger").display(),
        made(python, "encoder").display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs `earmark` to its end; a run that takes longer than two minutes has hung.
pub fn earmark<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "120", env!("CARGO_BIN_EXE_earmark")])
        .args(args)
        .output()
        .unwrap()
}

/// The command's stderr and stdout, for messages.
pub fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    )
}

/// Runs `earmark` and insists on success.
pub fn succeeds<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(args: I) -> Output {
    let output = earmark(args);
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// Runs `check_h5.py` and insists on success.
pub fn check_h5<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(python: &Path, args: I) {
    let output = Command::new(python)
        .arg(root().join("tests/check_h5.py"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// The arguments of `run` or `plan`: what, by which pipeline, from where, to where.
pub fn call<'a>(
    command: &'a str,
    pipeline: &'a Path,
    input: &'a Path,
    output: &'a Path,
) -> [&'a std::ffi::OsStr; 6] {
    [
        command.as_ref(),
        pipeline.as_os_str(),
        "--input".as_ref(),
        input.as_os_str(),
        "--output".as_ref(),
        output.as_os_str(),
    ]
}

/// Whether the program that trains is there; says so if it is not.
pub fn is_learning_there() -> bool {
    let beside = Path::new(env!("CARGO_BIN_EXE_earmark")).with_file_name("earmark-learning");
    if !beside.exists() {
        eprintln!(
            "skipped: {} is missing; `make learning` builds it",
            beside.display()
        );
    }
    beside.exists()
}
