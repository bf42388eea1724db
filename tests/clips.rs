//! Clips: every frame of every clip is the one of a full decode, in containers and codecs, and grids are those of published extractors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::recordings::{call, earmark, folder, made, python, root, said, succeeds};

/// A pipeline with one of the test's encoders of clips; `every` replaces how far apart its frames are.
fn pipeline(python: &Path, folder: &Path, model: &str, every: &str, more: &str) -> PathBuf {
    let media = made(python, "clips").with_file_name(format!("{model}.yaml"));
    let manifest = std::fs::read_to_string(&media).unwrap();
    let at = manifest.find("every: {").unwrap();
    let end = at + manifest[at..].find('}').unwrap();
    let manifest = format!(
        "{}every: {{ {every} }}{}",
        &manifest[..at],
        &manifest[end + 1..]
    );
    let own = folder.join(format!("{model}.yaml"));
    std::fs::write(&own, manifest).unwrap();
    let onnx = folder.join(format!("{model}.onnx"));
    std::fs::copy(media.with_extension("onnx"), onnx).unwrap();
    let path = folder.join("pipeline.yaml");
    let text = format!(
        "version: 1
graph: |
  filesrc location=${{input}} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${{output}}
ears: {{ probe: flux }}
features: {{ model: {}, batch: 32 }}
{more}
",
        own.display()
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn check(python: &Path, file: &Path, recording: &Path, args: &[&str]) -> String {
    let output = Command::new(python)
        .arg(root().join("tests/check_clips.py"))
        .args([file, recording])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Runs and checks.
#[track_caller]
fn holds(name: &str, model: &str, every: &str, more: &str, args: &[&str]) {
    let Some(python) = python() else { return };
    // Tests run at the same time.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = folder(&format!("clips_{run}_{name}_{model}"));
    let input = made(&python, name);
    let pipeline = pipeline(&python, &folder, model, every, more);
    let file = folder.join("x.h5");
    succeeds(call("run", &pipeline, &input, &file));
    let frames: &[&str] = match model {
        "clips8" => &["--frames", "8"],
        _ => &["--frames", "16", "--slow", "4"],
    };
    print!(
        "{}",
        check(&python, &file, &input, &[frames, args].concat())
    );
    let verified = earmark(["verify", file.to_str().unwrap()]);
    assert!(verified.status.success(), "{name}: {}", said(&verified));
}

const GRID: &str = "budget: { policy: grid }";
const ANCHORS: &str = "budget: { policy: anchors_only, tokens_per_s: 200 }";

/// Containers, B frames, open groups, fields, uneven times, cut starts: each frame of a whole grid.
#[test]
fn a_grid_has_every_frame_of_a_full_decode() {
    for (name, more) in [
        ("mp4_h264_aac", &[][..]),
        ("mp4_h264_pyramid", &[]),
        ("mp4_h264_open_gop", &[]),
        ("mkv_h265_open_gop", &[]),
        ("webm_vp9_opus", &[]),
        ("mkv_av1_opus", &[]),
        ("ts_h264_aac", &[]),
        ("mp4_vfr", &[]),
        ("mkv_vfr", &[]),
        ("mp4_rotated", &["--turned"]),
        ("ts_starts_at_90s", &[]),
        ("mp4_no_audio", &[]),
        ("avi_mpeg4_b", &["--even", "25"]),
        ("mpg_mpeg2", &[]),
        ("mkv_ffv1_groups", &[]),
        ("mov_prores", &[]),
    ] {
        let args = [&["--grid", "ego4d"], more].concat();
        holds(name, "clips8", "frames: 1", GRID, &args);
    }
}

/// Each extractor's own end, and frames that are further apart.
#[test]
fn a_grid_ends_as_the_named_extractor_does() {
    for end in ["ego4d", "slowfast", "video_features"] {
        let more = format!("budget: {{ policy: grid, clip_end: {end}, clip_stride: 13 }}");
        let args = ["--grid", end, "--stride", "13", "--every", "2"];
        holds("mp4_h264_open_gop", "clips16", "frames: 2", &more, &args);
        let args = ["--grid", end, "--stride", "13", "--every-ms", "80"];
        holds("mkv_h264_pcm", "clips8", "ms: 80", &more, &args);
    }
    // Only near anchors.
    let more = "budget: { policy: grid, clip_near_ms: 500 }";
    let args = ["--grid", "ego4d", "--near", "0.5"];
    holds("mkv_h264_mp3", "clips8", "frames: 1", more, &args);
}

/// Around the frame that was asked for, or before the onset; through open groups and uneven times.
#[test]
fn clips_at_anchors_lie_where_they_should() {
    for (name, more) in [
        ("mp4_h264_open_gop", &[][..]),
        ("mkv_h265_opus", &[]),
        ("mp4_one_gop", &[]),
        ("mkv_vfr", &[]),
        ("mkv_starts_at_5s", &[]),
    ] {
        let args = [&["--every", "2"], more].concat();
        holds(name, "clips16", "frames: 2", ANCHORS, &args);
    }
    let lead = format!("anchors: {{ clip_lead_ms: 200 }}\n{ANCHORS}");
    holds(
        "mp4_h264_aac",
        "clips8",
        "frames: 1",
        &lead,
        &["--lead", "0.2"],
    );
    holds(
        "mp4_vfr",
        "clips8",
        "ms: 100",
        ANCHORS,
        &["--every-ms", "100"],
    );
    // Background frames are clips, too.
    let gated = "budget: { tokens_per_s: 400, max_gap_ms: 3000 }";
    holds("ts_h265_mp3", "clips8", "frames: 1", gated, &[]);
    let streaming = "budget: { policy: anchors_only, planning: streaming, tokens_per_s: 200 }";
    holds(
        "mkv_h264_open_gop",
        "clips8",
        "frames: 2",
        streaming,
        &["--every", "2", "--nearest"],
    );
}

/// A plan of clips is followed frame by frame, and what does not fit is told.
#[test]
fn a_plan_of_clips_is_followed_and_checked() {
    let Some(python) = python() else { return };
    let folder = folder("clips_plan");
    let input = made(&python, "mp4_h264_aac");
    let yaml = pipeline(&python, &folder, "clips8", "frames: 1", ANCHORS);
    let plan = folder.join("plan.jsonl");
    succeeds(call("plan", &yaml, &input, &plan));
    let text = std::fs::read_to_string(&plan).unwrap();
    let clips: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["kind"] == "clip")
        .collect();
    assert!(!clips.is_empty() && !text.contains("\"frame\""), "{text}");
    let (a, b) = (folder.join("a.h5"), folder.join("b.h5"));
    let follow = |plan: &Path, to: &Path| {
        let mut args: Vec<OsString> = call("run", &yaml, &input, to).map(Into::into).into();
        args.extend(["--overwrite".into(), "--plan".into(), plan.into()]);
        earmark(args)
    };
    succeeds(call("run", &yaml, &input, &a));
    let followed = follow(&plan, &b);
    assert!(followed.status.success(), "{}", said(&followed));
    let same = "import h5py, sys, numpy as np
a, b = (h5py.File(x)['frames/features'][:] for x in sys.argv[1:])
sys.exit(int(not np.array_equal(a, b)))";
    let same = Command::new(&python)
        .args(["-c", same])
        .args([&a, &b])
        .output()
        .unwrap();
    assert!(same.status.success(), "{}", said(&same));
    let inspected = said(&earmark(["inspect", a.to_str().unwrap()]));
    assert!(inspected.contains("clips of 8 frames"), "{inspected}");
    for (from, to, words) in [
        (
            "\"frames_ns\":[",
            "\"frames_ns\":[-2,",
            &["frames_ns", "-1 for no frame"][..],
        ),
        ("\"stop_ns\":", "\"stop_ns\":1,\"x\":", &["stop_ns"]),
        (
            "\"frames_ns\":[",
            "\"frames_ns\":[999999999999,",
            &["frames_ns", "order of time"],
        ),
    ] {
        let line = text
            .lines()
            .position(|line| line.contains("\"clip\""))
            .unwrap();
        let spoilt: Vec<String> = text
            .lines()
            .enumerate()
            .map(|(k, l)| {
                if k == line {
                    l.replacen(from, to, 1)
                } else {
                    l.to_owned()
                }
            })
            .collect();
        let path = folder.join("spoilt.jsonl");
        std::fs::write(&path, spoilt.join("\n")).unwrap();
        let output = follow(&path, &b);
        assert!(!output.status.success(), "{to}");
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
    }
    // Another model's plan, and settings that don't go together.
    let other = pipeline(&python, &folder, "clips16", "frames: 1", ANCHORS);
    let mut args: Vec<OsString> = call("run", &other, &input, &b).map(Into::into).into();
    args.extend(["--overwrite".into(), "--plan".into(), plan.into()]);
    let output = earmark(args);
    assert!(!output.status.success());
    for (more, words) in [
        ("budget: { policy: dense }", &["dense", "policy grid"][..]),
        (
            "budget: { policy: grid, planning: streaming }",
            &["must be global"],
        ),
        (
            "gate: { sharpest_ms: 200 }",
            &["gate.sharpest_ms", "must be 0"],
        ),
        ("budget: { policy: grid, clip_end: ego }", &["ego4d"]),
        (
            "budget: { policy: grid, clip_stride: 0 }",
            &["budget.clip_stride", "1..=100000"],
        ),
    ] {
        let yaml = pipeline(&python, &folder, "clips8", "frames: 1", more);
        let output = earmark(["validate", yaml.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{more}: {}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
    }
    let grid = earmark(["validate", "gated", "--set", "budget.policy=grid"]);
    assert!(said(&grid).contains("kind clip-encoder"), "{}", said(&grid));
}

/// The shipped pipelines, with models of the shapes that they are made for.
#[test]
fn the_shipped_pipelines_of_clips_run_on_the_shipped_recording() {
    let Some(python) = python() else { return };
    let folder = folder("clips_shipped");
    for (name, model, frames) in [("slowfast", "clips16", 16), ("videomae", "clips8", 8)] {
        let manifest = made(&python, "clips").with_file_name(format!("{model}.yaml"));
        let file = folder.join(format!("{name}.h5"));
        let set = format!("features.model={}", manifest.display());
        let input = root().join("fixtures/kitchen.mp4");
        let pipeline = PathBuf::from(name);
        let mut args: Vec<OsString> = call("run", &pipeline, &input, &file).map(Into::into).into();
        args.extend([
            "--set".into(),
            set.into(),
            "--set".into(),
            "ears.tagger=none".into(),
        ]);
        succeeds(args);
        let inspected = said(&earmark(["inspect", file.to_str().unwrap()]));
        assert!(
            inspected.contains(&format!("clips of {frames} frames")),
            "{inspected}"
        );
        let out = folder.join(format!("{name}_out"));
        let [file, out] = [&file, &out].map(|path| path.to_str().unwrap());
        let exported = succeeds(["export", file, "--format", "actionformer", "--output", out]);
        assert!(
            said(&exported).contains("feat_stride: 16, num_frames: "),
            "{}",
            said(&exported)
        );
        let page = folder.join(format!("{name}.html"));
        succeeds(["report", file, "--output", page.to_str().unwrap()]);
        assert!(
            std::fs::read_to_string(page)
                .unwrap()
                .contains("\"spans\":{")
        );
    }
}
