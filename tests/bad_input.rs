//! Bad input: a clear error, a non-zero exit, nothing half-written.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use earmark::pipeline::shipped::SHIPPED;

use crate::recordings::{
    call, check_h5, earmark, folder, made, pipeline, python, root, said, succeeds,
};

/// `earmark run` of `input` in `folder`; returns what it said and where the output would be.
fn run(python: &Path, folder: &Path, input: &Path) -> (Output, PathBuf) {
    let pipeline = pipeline(python, folder, "tokens_per_s: 196");
    let file = folder.join("out/features.h5");
    std::fs::create_dir_all(folder.join("out")).unwrap();
    (earmark(call("run", &pipeline, input, &file)), file)
}

/// The run fails with status 1, says every one of `words`, and leaves an empty output folder.
#[track_caller]
fn refused(output: &Output, file: &Path, words: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for word in words {
        assert!(
            text.to_lowercase().contains(&word.to_lowercase()),
            "`{word}` is not in: {text}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(file.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_missing_file() {
    let Some(python) = python() else { return };
    let folder = folder("missing_file");
    let (output, file) = run(&python, &folder, &folder.join("nowhere.mp4"));
    refused(&output, &file, &["nowhere.mp4", "no such file"]);
}

#[test]
fn a_folder() {
    let Some(python) = python() else { return };
    let folder = folder("a_folder");
    let (output, file) = run(&python, &folder, &folder);
    refused(&output, &file, &["a_folder", "is a folder"]);
}

#[test]
fn an_empty_file() {
    let Some(python) = python() else { return };
    let folder = folder("empty_file");
    std::fs::write(folder.join("empty.mp4"), "").unwrap();
    let (output, file) = run(&python, &folder, &folder.join("empty.mp4"));
    refused(&output, &file, &["empty.mp4", "is empty"]);
}

#[test]
fn a_text_file() {
    let Some(python) = python() else { return };
    let folder = folder("text_file");
    std::fs::write(
        folder.join("notes.mp4"),
        "These are notes, not a recording.\n".repeat(200),
    )
    .unwrap();
    let (output, file) = run(&python, &folder, &folder.join("notes.mp4"));
    refused(&output, &file, &["notes.mp4"]);
}

#[test]
fn a_truncated_mp4() {
    let Some(python) = python() else { return };
    let folder = folder("truncated");
    let whole = std::fs::read(made(&python, "mp4_h264_aac")).unwrap();
    std::fs::write(folder.join("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    let (output, file) = run(&python, &folder, &folder.join("cut.mp4"));
    refused(&output, &file, &["cut.mp4"]);
}

/// Puts noise over a tenth of a file, in the middle.
pub fn noisy(mut data: Vec<u8>) -> Vec<u8> {
    let (a, b) = (data.len() * 45 / 100, data.len() * 55 / 100);
    let mut state = 12345_u32;
    for byte in &mut data[a..b] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    data
}

/// Noise over a tenth of the file in the middle: what can't be read is skipped, counted and reported; the rest is written.
#[test]
fn a_damaged_middle_is_skipped_counted_and_reported() {
    let Some(python) = python() else { return };
    for name in ["mp4_h264_aac", "ts_h264_aac", "mkv_h264_pcm"] {
        let folder = folder(&format!("damaged_{name}"));
        let whole = made(&python, name);
        let data = noisy(std::fs::read(&whole).unwrap());
        let damaged = folder
            .join("damaged")
            .with_extension(whole.extension().unwrap());
        std::fs::write(&damaged, data).unwrap();
        let (output, file) = run(&python, &folder, &damaged);
        let text = said(&output);
        assert!(output.status.success(), "{name}: {text}");
        assert!(
            text.contains("damaged") || text.contains("missed"),
            "{name} does not report the damage: {text}"
        );
        check_h5(&python, [file.as_os_str()]);
    }
}

/// A codec that no plugin decodes: the error names it.
#[test]
fn an_unsupported_codec() {
    let Some(python) = python() else { return };
    let folder = folder("unsupported");
    let mut data = std::fs::read(made(&python, "mp4_h264_aac")).unwrap();
    let at = data.windows(4).position(|w| w == b"avc1").unwrap();
    let second = data[at + 4..]
        .windows(4)
        .position(|w| w == b"avc1")
        .map(|p| p + at + 4);
    for at in [Some(at), second].into_iter().flatten() {
        data[at..at + 4].copy_from_slice(b"zzz9");
    }
    std::fs::write(folder.join("odd.mp4"), data).unwrap();
    let (output, file) = run(&python, &folder, &folder.join("odd.mp4"));
    refused(&output, &file, &["odd.mp4", "zzz9"]);
}

/// H.265 fields come out of the decoder one by one, and nothing here weaves them.
#[test]
fn single_fields() {
    let Some(python) = python() else { return };
    let folder = folder("single_fields");
    let (output, file) = run(&python, &folder, &made(&python, "mkv_h265_fields"));
    refused(&output, &file, &["single fields", "interlace-mode"]);
}

#[test]
fn an_existing_output_is_refused_and_kept() {
    let Some(python) = python() else { return };
    let folder = folder("existing");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let file = folder.join("there.h5");
    std::fs::write(&file, "precious").unwrap();
    let args = call("run", &pipeline, &input, &file);
    let output = earmark(args);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("--overwrite"), "{}", said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    succeeds(args.into_iter().chain(["--overwrite".as_ref()]));
    check_h5(&python, [file.as_os_str()]);
}

#[test]
fn an_output_folder_that_is_not_there() {
    let Some(python) = python() else { return };
    let folder = folder("no_folder");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let output = earmark(call(
        "run",
        &pipeline,
        &input,
        &folder.join("no/where/x.h5"),
    ));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no/where"), "{}", said(&output));
}

/// A disk that fills up: simulated by a limit on the size of files.
#[test]
fn a_full_output() {
    let Some(python) = python() else { return };
    let folder = folder("full");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(
        &python,
        &folder,
        "tokens_per_s: 5000, policy: dense, planning: streaming",
    );
    let file = folder.join("out/features.h5");
    std::fs::create_dir_all(folder.join("out")).unwrap();
    let output = Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 48; exec timeout 120 \"$@\"",
            "bash",
            env!("CARGO_BIN_EXE_earmark"),
            "run",
        ])
        .args([
            pipeline.as_os_str(),
            "--input".as_ref(),
            input.as_os_str(),
            "--output".as_ref(),
            file.as_os_str(),
        ])
        .output()
        .unwrap();
    refused(&output, &file, &["features.h5"]);
}

#[test]
fn a_missing_model() {
    let Some(python) = python() else { return };
    let folder = folder("missing_model");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let text = std::fs::read_to_string(&pipeline)
        .unwrap()
        .replace("cells.yaml", "no-such-model.yaml");
    std::fs::write(&pipeline, text).unwrap();
    let output = earmark(call("run", &pipeline, &input, &folder.join("x.h5")));
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("no-such-model"), "{}", said(&output));
    assert!(!folder.join("x.h5").exists());
}

#[test]
fn an_altered_model() {
    let Some(python) = python() else { return };
    let folder = folder("altered_model");
    let input = made(&python, "mp4_h264_aac");
    let manifest = made(&python, "encoder");
    std::fs::copy(&manifest, folder.join("cells.yaml")).unwrap();
    let mut data = std::fs::read(manifest.with_extension("onnx")).unwrap();
    let last = data.len() - 1;
    data[last] ^= 1;
    std::fs::write(folder.join("cells.onnx"), data).unwrap();
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let text = std::fs::read_to_string(&pipeline).unwrap().replace(
        manifest.to_str().unwrap(),
        folder.join("cells.yaml").to_str().unwrap(),
    );
    std::fs::write(&pipeline, text).unwrap();
    let output = earmark(call("run", &pipeline, &input, &folder.join("x.h5")));
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{}",
        said(&output)
    );
    assert!(
        said(&output).to_lowercase().contains("sha-256"),
        "{}",
        said(&output)
    );
    assert!(!folder.join("x.h5").exists());
}

#[test]
fn a_budget_too_small_for_even_the_fallback() {
    let Some(python) = python() else { return };
    let folder = folder("small_budget");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 40");
    let output = earmark(call("run", &pipeline, &input, &folder.join("x.h5")));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("budget.tokens_per_s") && said(&output).contains("49"),
        "{}",
        said(&output)
    );
    assert!(!folder.join("x.h5").exists());
}

#[test]
fn a_bad_plan_names_its_line() {
    let Some(python) = python() else { return };
    let folder = folder("bad_plan");
    let input = made(&python, "mp4_h264_aac");
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let plan = folder.join("plan.jsonl");
    std::fs::write(
        &plan,
        r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"x","duration_ns":10000000000,"budget_tokens":1960,"spent_tokens":98,"config":{}}
{"kind":"frame","planned_ns":5000000000,"tier":"low","tokens":49,"reason":"uniform","anchor":null}
{"kind":"frame","planned_ns":1000000000,"tier":"low","tokens":49,"reason":"uniform","anchor":null}
"#,
    )
    .unwrap();
    let output = earmark([
        "run".as_ref(),
        pipeline.as_os_str(),
        "--input".as_ref(),
        input.as_os_str(),
        "--output".as_ref(),
        folder.join("x.h5").as_os_str(),
        "--plan".as_ref(),
        plan.as_os_str(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("line 3"), "{}", said(&output));
    assert!(!folder.join("x.h5").exists());
}

/// The shipped recording through the shipped pipelines, if the models are installed.
#[test]
fn the_shipped_pipelines_run_on_the_shipped_recording() {
    let Some(python) = python() else { return };
    if !root().join("models/built/efficientnet-lite0.onnx").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return;
    }
    let folder = folder("shipped");
    // Those of `earmark live` and of clips have tests of their own.
    let recorded = SHIPPED.map(|shipped| shipped.name);
    let others =
        |name: &&&str| !name.starts_with("live_") && !["slowfast", "videomae"].contains(*name);
    for name in recorded.iter().filter(others) {
        let file = folder.join(format!("{name}.h5"));
        let pipeline = root().join(format!("pipelines/{name}.yaml"));
        succeeds(call(
            "run",
            &pipeline,
            &root().join("fixtures/kitchen.mp4"),
            &file,
        ));
        check_h5(&python, [file.as_os_str()]);
    }
}
