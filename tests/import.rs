//! Plans from a file of many recordings' sound: the same as from WAV files of the same samples.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::recordings::{call, earmark, folder, pipeline, python, root, said, succeeds};

/// A folder with what `epic_audio.py` makes, and a pipeline.
fn made(python: &Path, name: &str) -> (PathBuf, PathBuf) {
    let folder = folder(name);
    let sounds = folder.join("sounds");
    let script = root().join("tests/epic_audio.py");
    let run = Command::new(python)
        .arg(script)
        .arg(&sounds)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", said(&run));
    let pipeline = pipeline(python, &folder, "tokens_per_s: 196");
    (folder, pipeline)
}

fn import(pipeline: &Path, file: &Path, output: &Path, more: &[&str]) -> std::process::Output {
    let mut args: Vec<&OsStr> = vec!["import-audio".as_ref(), pipeline.as_ref(), file.as_ref()];
    args.extend(["--output".as_ref(), output.as_os_str(), "--quiet".as_ref()]);
    args.extend(more.iter().map(OsStr::new));
    earmark(args)
}

#[test]
fn plans_are_those_of_wav_files_of_the_same_samples() {
    let Some(python) = python() else { return };
    let (folder, pipeline) = made(&python, "import");
    let (sounds, plans) = (folder.join("sounds"), folder.join("plans"));
    let run = import(
        &pipeline,
        &sounds.join("EPIC_audio.hdf5"),
        &plans,
        &["--cues", "--json"],
    );
    assert!(run.status.success(), "{}", said(&run));
    let value: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(value["plans"].as_array().map(Vec::len), Some(3));
    let run = import(&pipeline, &sounds.join("odd/nan.hdf5"), &plans, &["--cues"]);
    assert!(run.status.success(), "{}", said(&run));
    assert!(said(&run).contains("NaN or infinite"), "{}", said(&run));
    for id in ["P01_01", "P02_03", "P03_04", "nan"] {
        let (wav, plan) = (
            sounds.join(format!("{id}.wav")),
            folder.join(format!("{id}.jsonl")),
        );
        succeeds(
            call("plan", &pipeline, &wav, &plan)
                .into_iter()
                .chain(["--cues".as_ref()]),
        );
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let (wanted, have) = (read(&plan), read(&plans.join(format!("{id}.jsonl"))));
        assert!(
            wanted.contains("\"kind\":\"anchor\""),
            "{id}: nothing was heard"
        );
        let differs = wanted.lines().zip(have.lines()).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{id}");
        assert_eq!(wanted.lines().count(), have.lines().count(), "{id}");
    }
}

#[test]
fn only_requested_recordings_are_read_and_nothing_is_replaced() {
    let Some(python) = python() else { return };
    let (folder, pipeline) = made(&python, "import_some");
    let (file, plans) = (folder.join("sounds/EPIC_audio.hdf5"), folder.join("plans"));
    let run = import(&pipeline, &file, &plans, &["--video-id", "P02_03"]);
    assert!(run.status.success(), "{}", said(&run));
    let names = || std::fs::read_dir(&plans).unwrap().count();
    assert_eq!(names(), 1);
    let run = import(&pipeline, &file, &plans, &[]);
    assert!(
        !run.status.success() && said(&run).contains("--overwrite"),
        "{}",
        said(&run)
    );
    assert_eq!(names(), 1);
    let run = import(&pipeline, &file, &plans, &["--video-id", "P02_04"]);
    assert!(
        said(&run).contains("did you mean `P02_03`"),
        "{}",
        said(&run)
    );
    // A rate that is not the file's makes it as much longer.
    let more = ["--video-id", "P01_01", "--rate", "12000"];
    let run = import(&pipeline, &file, &plans, &more);
    assert!(run.status.success(), "{}", said(&run));
    let text = std::fs::read_to_string(plans.join("P01_01.jsonl")).unwrap();
    assert!(text.contains("\"duration_ns\":24000000000"), "{text}");
}

#[test]
fn a_file_that_holds_something_else_is_refused() {
    let Some(python) = python() else { return };
    let (folder, pipeline) = made(&python, "import_odd");
    let odd = folder.join("sounds/odd");
    std::fs::write(odd.join("text.hdf5"), "no sound").unwrap();
    let plans = folder.join("plans");
    for (name, words) in [
        ("int16", &["`P01`", "int16", "float32"][..]),
        ("stereo", &["`P01`", "[2, 144000]", "one channel"]),
        ("empty", &["`P01`", "0 samples"]),
        ("group", &["`P01`", "not a dataset"]),
        ("nothing", &["no dataset"]),
        ("text", &["not an HDF5 file"]),
        ("missing", &["missing.hdf5", "No such file"]),
    ] {
        let run = import(&pipeline, &odd.join(format!("{name}.hdf5")), &plans, &[]);
        assert_eq!(run.status.code(), Some(1), "{name}: {}", said(&run));
        for word in words {
            assert!(
                said(&run).contains(word),
                "{name}, `{word}`: {}",
                said(&run)
            );
        }
        assert!(!plans.exists(), "{name}");
    }
}

#[test]
fn a_sound_that_is_damaged_half_way_leaves_the_plans_before_it() {
    let Some(python) = python() else { return };
    let (folder, pipeline) = made(&python, "import_damaged");
    let (file, plans) = (folder.join("sounds/odd/damaged.hdf5"), folder.join("plans"));
    let run = import(&pipeline, &file, &plans, &[]);
    assert_eq!(run.status.code(), Some(1), "{}", said(&run));
    for word in ["`P02`", "damaged.hdf5 is damaged"] {
        assert!(said(&run).contains(word), "`{word}`: {}", said(&run));
    }
    let names: Vec<_> = std::fs::read_dir(&plans)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["P01.jsonl"]);
}
