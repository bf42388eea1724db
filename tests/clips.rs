//! Clips: every frame of every clip is the one of a full decode, grids are those of published extractors, and plans of clips are followed.
//! `clips_inputs` goes through containers, codecs and oddities.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::recordings::{call, earmark, folder, made, python, root, said, succeeds};

/// A pipeline with one of the test's encoders of clips; `every` replaces how far apart its frames are.
pub fn pipeline(python: &Path, folder: &Path, model: &str, every: &str, more: &str) -> PathBuf {
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

/// Files that end in the middle of a frame: every frame that is left. Single fields are no frames.
#[test]
fn of_a_cut_file_clips_have_what_is_left_and_fields_are_refused() {
    let Some(python) = python() else { return };
    let folder = folder("clips_cut");
    let yaml = pipeline(&python, &folder, "clips8", "frames: 1", GRID);
    for name in ["mkv_h264_pcm", "ts_h264_aac"] {
        let whole = std::fs::read(made(&python, name)).unwrap();
        let ending = &name[..name.find('_').unwrap()];
        let cut = folder.join(format!("{name}.{ending}"));
        std::fs::write(&cut, &whole[..whole.len() * 6 / 10 + 77]).unwrap();
        let file = folder.join(format!("{name}.h5"));
        let run = succeeds(call("run", &yaml, &cut, &file));
        let args = ["--frames", "8", "--grid", "ego4d", "--holes"];
        println!("{}", check(&python, &file, &cut, &args));
        // A transport stream says nowhere how long it is.
        let is_told = said(&run).contains("the recording is cut off");
        assert_eq!(is_told, ending == "mkv", "{name}: {}", said(&run));
    }
    let input = made(&python, "mkv_h265_fields");
    let file = folder.join("fields.h5");
    let run = earmark(call("run", &yaml, &input, &file));
    assert!(!run.status.success() && !file.exists());
    for word in ["single fields", "interlace-mode"] {
        assert!(said(&run).contains(word), "{word}: {}", said(&run));
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
    // Or one frame each.
    let stills = "budget: { tokens_per_s: 400, max_gap_ms: 3000, clip_stills: true }";
    holds("ts_h265_mp3", "clips8", "frames: 1", stills, &["--stills"]);
    // Anchors' clips that wait for a keyframe begin there.
    let waiting = "budget: { policy: anchors_only, tokens_per_s: 200, decode_penalty_tokens: 50, anchor_snap_ms: 300 }";
    holds("mkv_h264_pcm", "clips8", "frames: 1", waiting, &["--waits"]);
    let streaming = "budget: { policy: anchors_only, planning: streaming, tokens_per_s: 200 }";
    holds(
        "mkv_h264_open_gop",
        "clips8",
        "frames: 2",
        streaming,
        &["--every", "2", "--nearest"],
    );
}

/// A plan of clips is followed frame by frame, and a warning names what does not fit.
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
        for format in ["pt", "npy", "safetensors"] {
            let out = folder.join(format!("{name}_{format}"));
            let out = out.to_str().unwrap();
            succeeds(["export", file, "--format", format, "--output", out]);
            let read = Command::new(&python)
                .arg(root().join("tests/read_export.py"))
                .args([format, out, file])
                .output()
                .unwrap();
            assert!(read.status.success(), "{format}: {}", said(&read));
        }
        let page = folder.join(format!("{name}.html"));
        succeeds(["report", file, "--output", page.to_str().unwrap()]);
        assert!(
            std::fs::read_to_string(page)
                .unwrap()
                .contains("\"spans\":{")
        );
    }
}

/// Killed without a word, a run leaves the clips that were flushed; what is recovered of them is what an undisturbed run writes.
#[test]
fn what_a_kill_leaves_of_clips_is_recovered() {
    let Some(python) = python() else { return };
    let folder = folder("clips_killed");
    let input = made(&python, "mkv_h264_pcm");
    let yaml = pipeline(&python, &folder, "clips8", "frames: 1", GRID);
    let whole = folder.join("whole.h5");
    succeeds(call("run", &yaml, &input, &whole));
    let text = std::fs::read_to_string(&yaml).unwrap();
    let slow = text
        .replace("framepick !", "framepick ! identity sleep-time=50000 !")
        .replace("batch: 32", "batch: 32, flush_s: 1");
    std::fs::write(&yaml, slow).unwrap();
    let partial = folder.join("x.h5.partial");
    let mut child = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(call("run", &yaml, &input, &folder.join("x.h5")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let saved = folder.join("saved.h5");
    let recover = |from: &Path| {
        let _ = std::fs::remove_file(&saved);
        let args = ["recover".as_ref(), from.as_os_str(), "--output".as_ref()];
        let more = [saved.as_os_str(), "--json".as_ref()];
        let run = earmark(args.into_iter().chain(more));
        let told: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
        told["saved"]["frames"].as_u64().unwrap_or(0)
    };
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(100), "nothing comes");
        assert!(child.try_wait().unwrap().is_none(), "it ended on its own");
        std::thread::sleep(Duration::from_millis(100));
        let copy = folder.join("copy.h5.partial");
        if std::fs::copy(&partial, &copy).is_ok() && recover(&copy) > 0 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(recover(&partial) > 0);
    let verified = said(&earmark(["verify", saved.to_str().unwrap()]));
    assert!(verified.contains("not complete"), "{verified}");
    let compare = "import h5py, sys, numpy as np
a, b = (h5py.File(x) for x in sys.argv[1:])
n = len(a['frames/features'])
assert 0 < n < len(b['frames/features']), n
names = [f'{t}/{c}' for t in ('frames', 'clips') for c in a[t] if isinstance(a[t][c], h5py.Dataset)]
assert 'clips/frame_pts_ns' in names and a['clips/frame_pts_ns'].shape == (n, 8), names
for name in names:
    assert np.array_equal(a[name][:], b[name][:n]), name";
    let same = Command::new(&python)
        .args(["-c", compare])
        .args([&saved, &whole])
        .output()
        .unwrap();
    assert!(same.status.success(), "{}", said(&same));
}

/// Clips of a stream, planned on the way.
#[test]
fn live_clips_are_complete_and_exact() {
    let Some(python) = python() else { return };
    let folder = folder("clips_live");
    let input = made(&python, "mkv_h264_open_gop");
    let model = made(&python, "clips").with_file_name("clips8.yaml");
    let model = format!("model: {}", model.display());
    let changes = [
        // As fast as it can.
        ("clocksync ! ", ""),
        ("probe: onset", "probe: flux"),
        ("tagger: yamnet", "tagger: none"),
        ("model: efficientnet-lite0", &*model),
        ("tokens_per_s: 49", "tokens_per_s: 300"),
        ("max_gap_ms: 30000", "max_gap_ms: 1000"),
    ];
    let live = crate::live::changed(&folder, "live_file.yaml", &changes);
    let url = format!("url={}", input.display());
    let running = crate::live::Running::start(&folder, &[live.to_str().unwrap(), "--set", &url]);
    let (ended, told) = running.end();
    assert!(ended.status.success(), "{told}");
    let files = crate::live::whole(&folder, &folder.join("out"));
    assert_eq!(files.len(), 1, "{told}");
    let args = ["--frames", "8", "--nearest"];
    println!("{}", check(&python, &files[0], &input, &args));
}
