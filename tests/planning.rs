//! Plans of whole recordings that are cut, silent, have few frames, or end before an event is visible.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::recordings::{
    call, earmark, ffmpeg, folder, made, pipeline, python, root, said, succeeds,
};

/// The lines of a plan, of one kind.
fn lines(plan: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(plan).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// Plans, and insists that what came out is a plan.
fn planned(pipeline: &Path, input: &Path, name: &str) -> PathBuf {
    let plan = pipeline.with_file_name(format!("{name}.jsonl"));
    succeeds(call("plan", pipeline, input, &plan));
    succeeds(["inspect".as_ref(), plan.as_os_str()]);
    plan
}

/// A feature file's own words: `inspect --json`.
fn inspected(file: &Path) -> Value {
    let output = succeeds(["inspect".as_ref(), file.as_os_str(), "--json".as_ref()]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["features"].take()
}

#[test]
fn a_recording_that_is_cut_spends_no_more_than_what_is_left_of_it_earns() {
    let Some(python) = python() else { return };
    let folder = folder("cut_streaming");
    let whole = folder.join("whole.mkv");
    let kitchen = root().join("fixtures/kitchen.mp4");
    ffmpeg([
        "-i".as_ref(),
        kitchen.as_os_str(),
        "-c".as_ref(),
        "copy".as_ref(),
        whole.as_os_str(),
    ]);
    let bytes = std::fs::read(&whole).unwrap();
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196, planning: streaming");
    // The header still says a minute.
    for percent in [25, 35, 50] {
        let cut = folder.join(format!("cut{percent}.mkv"));
        std::fs::write(&cut, &bytes[..bytes.len() * percent / 100]).unwrap();
        let plan = planned(&pipeline, &cut, &format!("cut{percent}"));
        let header = &lines(&plan, "plan")[0];
        let (spent, budget) = (&header["spent_tokens"], &header["budget_tokens"]);
        assert!(
            spent.as_u64().unwrap() <= budget.as_u64().unwrap(),
            "{header}"
        );
    }
    let file = folder.join("cut35.h5");
    let cut = folder.join("cut35.mkv");
    earmark(call("run", &pipeline, &cut, &file));
    let about = inspected(&file);
    let (spent, budget) = (&about["spent_tokens"], &about["budget_tokens"]);
    assert!(
        spent.as_u64().unwrap() <= budget.as_u64().unwrap(),
        "{about}"
    );
}

#[test]
fn what_would_be_seen_after_the_end_makes_no_window_beyond_it() {
    let Some(python) = python() else { return };
    let folder = folder("late_windows");
    let kitchen = root().join("fixtures/kitchen.mp4");
    for planning in ["global", "streaming"] {
        let path = pipeline(
            &python,
            &folder,
            &format!("tokens_per_s: 392, planning: {planning}"),
        );
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            &path,
            format!("{text}anchors: {{ offset_ms: 3000, post_ms: 4000 }}\n"),
        )
        .unwrap();
        let plan = planned(&path, &kitchen, planning);
        let duration = lines(&plan, "plan")[0]["duration_ns"].as_i64().unwrap();
        let anchors = lines(&plan, "anchor");
        assert!(!anchors.is_empty());
        let last = anchors
            .iter()
            .map(|anchor| anchor["stop_ns"].as_i64().unwrap())
            .max();
        assert!(last.unwrap() <= duration);
        succeeds(
            call(
                "run",
                &path,
                &kitchen,
                &folder.join(format!("{planning}.h5")),
            )
            .into_iter()
            .chain(["--plan".as_ref(), plan.as_os_str()]),
        );
    }
}

#[test]
fn if_entries_are_denser_than_frames_each_frame_is_paid_for_once() {
    let Some(python) = python() else { return };
    let folder = folder("sparse_pictures");
    let kitchen = root().join("fixtures/kitchen.mp4");
    let sparse = folder.join("sparse.mp4");
    let options = "-t 20 -r 1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a copy";
    let mut args = vec!["-i".as_ref(), kitchen.as_os_str()];
    args.extend(options.split(' ').map(std::ffi::OsStr::new));
    args.push(sparse.as_os_str());
    ffmpeg(&args);
    for (policy, tokens) in [("uniform", 1_960), ("gated", 1_960), ("gated", 196)] {
        let budget = format!("policy: {policy}, tokens_per_s: {tokens}");
        let pipeline = pipeline(&python, &folder, &budget);
        let plan = planned(&pipeline, &sparse, &format!("{policy}{tokens}"));
        let frames = lines(&plan, "frame");
        // A frame a second.
        let mut pictures: Vec<_> = frames
            .iter()
            .map(|frame| (frame["planned_ns"].as_i64().unwrap() + 499_999_999) / 1_000_000_000)
            .collect();
        let all = pictures.len();
        pictures.dedup();
        assert_eq!((all, policy, tokens), (pictures.len(), policy, tokens));
        assert!(all >= 15, "{all}");
    }
    // In one pass, too, as far as the container says how far frames lie apart.
    let budget = "policy: uniform, tokens_per_s: 1960, planning: streaming";
    let pipeline = pipeline(&python, &folder, budget);
    let file = folder.join("streaming.h5");
    succeeds(call("run", &pipeline, &sparse, &file));
    let frames = inspected(&file)["frames"].as_u64().unwrap();
    assert!((15..=21).contains(&frames), "{frames}");
}

#[test]
fn a_silent_recording_gets_frames_where_decoding_is_cheap() {
    let Some(python) = python() else { return };
    let folder = folder("silent_moved");
    let input = made(&python, "mkv_silent");
    let passed = |snap_ms: u32| {
        let budget = format!("tokens_per_s: 98, max_gap_ms: 10000, snap_ms: {snap_ms}");
        let pipeline = pipeline(&python, &folder, &budget);
        let file = folder.join(format!("{snap_ms}.h5"));
        succeeds(call("run", &pipeline, &input, &file));
        let about = inspected(&file);
        (
            about["access_units_passed"].as_u64().unwrap(),
            about["spent_tokens"].clone(),
        )
    };
    let (there, spent) = passed(0);
    let (moved, same) = passed(10_000);
    assert!(2 * moved <= there, "{moved} of {there} pictures");
    assert_eq!(spent, same);
}

/// A minute of noise without a sound, in front of which a patch appears at these seconds, for 0.8 s each.
fn silent_events(path: &Path, encoder: &str, seconds: &[f64]) {
    let during: Vec<_> = seconds
        .iter()
        .map(|s| format!("between(t,{s},{})", s + 0.8))
        .collect();
    let scene = format!(
        "color=c=gray:s=320x180:r=15:d=60,noise=c0_seed=7:alls=3:allf=t[scene];\
         testsrc2=s=120x80:r=15:d=60[patch];[scene][patch]overlay=90:50:enable='{}',format=yuv420p",
        during.join("+")
    );
    let mut args: Vec<&std::ffi::OsStr> = vec![
        "-filter_complex".as_ref(),
        scene.as_ref(),
        "-an".as_ref(),
        "-c:v".as_ref(),
    ];
    args.extend(encoder.split(' ').map(std::ffi::OsStr::new));
    args.push(path.as_os_str());
    ffmpeg(&args);
}

/// The figures of a plan over time or over change: times of its frames in seconds, tokens, the largest gap.
struct Spread {
    times: Vec<f64>,
    spent: u64,
    gap: f64,
}

impl Spread {
    fn of(pipeline: &Path, input: &Path, spread: &str, name: &str) -> Self {
        let plan = pipeline.with_file_name(format!("{name}_{spread}.jsonl"));
        let set = format!("budget.spread={spread}");
        let mut args = call("plan", pipeline, input, &plan).to_vec();
        args.extend(["--set".as_ref(), std::ffi::OsStr::new(&set)]);
        succeeds(args);
        let times: Vec<f64> = lines(&plan, "frame")
            .iter()
            .map(|line| line["planned_ns"].as_f64().unwrap() / 1e9)
            .collect();
        let header = &lines(&plan, "plan")[0];
        let end = header["duration_ns"].as_f64().unwrap() / 1e9;
        let edges: Vec<f64> = [0.0]
            .into_iter()
            .chain(times.clone())
            .chain([end])
            .collect();
        Self {
            spent: header["spent_tokens"].as_u64().unwrap(),
            gap: edges.windows(2).map(|w| w[1] - w[0]).fold(0.0, f64::max),
            times,
        }
    }

    fn seen(&self, seconds: &[f64]) -> usize {
        let inside = |s: f64| self.times.iter().any(|&t| s <= t && t < s + 0.8);
        seconds.iter().filter(|&&s| inside(s)).count()
    }

    /// Frames from a keyframe on that must be decoded, with one every so many seconds.
    fn decoded(&self, gop_s: f64, fps: f64) -> u64 {
        let mut deepest = std::collections::BTreeMap::new();
        for at in &self.times {
            let gop = ((at + 0.5 / fps) / gop_s) as u64;
            let depth = 1 + ((at - gop as f64 * gop_s) * fps).round().max(0.0) as u64;
            let most = deepest.entry(gop).or_insert(0);
            *most = depth.max(*most);
        }
        deepest.values().sum()
    }
}

#[test]
fn frames_spread_over_change_see_what_makes_no_sound() {
    let Some(python) = python() else { return };
    let folder = folder("spread");
    // A keyframe lies in each, where there is one every two seconds.
    let events = [7.4, 17.5, 25.6, 37.4, 49.3, 53.5];
    let pipeline = pipeline(
        &python,
        &folder,
        "tokens_per_s: 39.2, max_gap_ms: 30000, background_tier: low, planning: global",
    );
    for (name, encoder) in [
        ("h264.mp4", "libx264 -preset veryfast -g 30 -sc_threshold 0"),
        (
            "h264_long.mp4",
            "libx264 -preset veryfast -g 150 -sc_threshold 0",
        ),
        (
            "h265.mkv",
            "libx265 -preset ultrafast -x265-params keyint=30:min-keyint=30:scenecut=0:log-level=none",
        ),
        (
            "vp8.webm",
            // In realtime, a positive speed depends on how busy the machine is.
            "libvpx -deadline realtime -cpu-used -4 -b:v 300k -g 30",
        ),
        (
            "vp9.webm",
            "libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 300k -g 30",
        ),
        (
            "av1.mkv",
            "libaom-av1 -usage realtime -cpu-used 8 -b:v 300k -g 30",
        ),
    ] {
        let input = folder.join(name);
        silent_events(&input, encoder, &events);
        let [time, change] =
            ["time", "change"].map(|spread| Spread::of(&pipeline, &input, spread, name));
        assert_eq!(time.spent, change.spent, "{name}");
        assert!(change.gap <= 30.0, "{name}: {}", change.gap);
        let (before, seen) = (time.seen(&events), change.seen(&events));
        // Where keyframes are rare, few frames may be decoded. In VP9 a patch that goes costs as much as one that comes,
        // and little between; in AV1 a little more.
        let (gop, least) = match name {
            "h264_long.mp4" => (10.0, before + 1),
            "vp9.webm" => (2.0, before),
            "av1.mkv" => (2.0, before + 1),
            _ => (2.0, 4),
        };
        assert!(
            seen >= least,
            "{name}: {seen} after {before}, {:?}",
            change.times
        );
        let (before, decoded) = (time.decoded(gop, 15.0), change.decoded(gop, 15.0));
        assert!(
            decoded <= before,
            "{name}: decodes {decoded} instead of {before}"
        );
    }
}

#[test]
fn sizes_that_show_no_change_cause_a_warning_and_frames_lie_even_over_time() {
    let Some(python) = python() else { return };
    let folder = folder("spread_unusable");
    let pipeline = pipeline(
        &python,
        &folder,
        "tokens_per_s: 39.2, max_gap_ms: 30000, background_tier: low, planning: global",
    );
    let input = folder.join("intra.mkv");
    silent_events(&input, "mjpeg", &[10.0, 30.0]);
    let [time, change] =
        ["time", "change"].map(|spread| Spread::of(&pipeline, &input, spread, "intra"));
    assert_eq!(time.times, change.times);
    let again = folder.join("again.jsonl");
    let mut args = call("plan", &pipeline, &input, &again).to_vec();
    args.extend(["--set", "budget.spread=change"].map(std::ffi::OsStr::new));
    let text = said(&succeeds(args));
    assert!(text.contains("intra only"), "{text}");
}

#[test]
fn change_is_kept_with_the_cues_and_in_one_pass_too() {
    let Some(python) = python() else { return };
    let folder = folder("spread_kept");
    // A keyframe lies in each, where there is one every two seconds.
    let events = [7.4, 17.5, 25.6, 37.4, 49.3, 53.5];
    let input = folder.join("silent.mp4");
    silent_events(
        &input,
        "libx264 -preset veryfast -g 30 -sc_threshold 0",
        &events,
    );
    let noisy = folder.join("noisy.mp4");
    ffmpeg([
        "-i".as_ref(),
        input.as_os_str(),
        "-filter_complex".as_ref(),
        "anoisesrc=r=48000:d=60:a=0.01:seed=3".as_ref(),
        "-c:v".as_ref(),
        "copy".as_ref(),
        "-c:a".as_ref(),
        "aac".as_ref(),
        noisy.as_os_str(),
    ]);
    for (name, input, planning) in [
        ("silent", &input, "global"),
        ("noisy", &noisy, "global"),
        ("streamed", &noisy, "streaming"),
    ] {
        let pipeline = pipeline(
            &python,
            &folder,
            &format!(
                "tokens_per_s: 49, anchor_tier: base, burst_s: 4, max_gap_ms: 30000, planning: {planning}, spread: change"
            ),
        );
        let file = folder.join(format!("{name}.h5"));
        succeeds(call("run", &pipeline, input, &file));
        succeeds(["verify".as_ref(), file.as_os_str()]);
        let script = "import h5py, sys, numpy as np\n\
            with h5py.File(sys.argv[1]) as f:\n\
            \x20   c, t, at = f['cues/change'][:], f['cues/pts_ns'][:] / 1e9, f['frames/pts_ns'][:] / 1e9\n\
            \x20   assert len(c) > 700 and np.isnan(c).mean() < .02, (len(c), np.isnan(c).mean())\n\
            \x20   for s in (7.4, 17.5, 25.6, 37.4, 49.3, 53.5):\n\
            \x20       assert np.nanmax(c[(t > s - .2) & (t < s + .2)]) > 2, s\n\
            \x20       assert np.nanmedian(c) < 1.2\n\
            \x20   seen = sum(((at >= s) & (at < s + .8)).any() for s in (7.4, 17.5, 25.6, 37.4, 49.3, 53.5))\n\
            \x20   print('seen', seen)\n\
            \x20   assert seen >= int(sys.argv[2]), at";
        let least = if planning == "global" { "4" } else { "3" };
        let output = Command::new(&python)
            .args([
                "-c".as_ref(),
                script.as_ref(),
                file.as_os_str(),
                least.as_ref(),
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
    }
}

/// Runs a Python program of the repository.
fn python_says(python: &Path, args: &[&std::ffi::OsStr]) -> std::process::Output {
    Command::new(python).args(args).output().unwrap()
}

#[test]
fn cues_of_another_source_become_anchors_with_their_labels() {
    let Some(python) = python() else { return };
    let folder = folder("cues_from");
    let input = folder.join("silent.mp4");
    silent_events(&input, "libx264 -preset ultrafast -g 30", &[7.3]);
    let cues = folder.join("silent.cues.jsonl");
    let text = "{\"time_s\": 7.4, \"p\": 0.9, \"label\": \"grasp\"}\n{\"time_s\": 30.5, \"p\": 0.8}\n{\"time_s\": 70, \"p\": 0.9}\n";
    std::fs::write(&cues, text).unwrap();
    let pipeline = pipeline(
        &python,
        &folder,
        "tokens_per_s: 49, anchor_tier: base, max_gap_ms: 30000",
    );
    let plan = folder.join("plan.jsonl");
    // A folder has a file for each recording.
    for from in [&cues, &folder] {
        let mut args = call("plan", &pipeline, &input, &plan).to_vec();
        let more = [
            "--cues-from".as_ref(),
            from.as_os_str(),
            "--overwrite".as_ref(),
        ];
        args.extend(more);
        let output = succeeds(args);
        assert!(
            said(&output).contains("1 of the 3 cues"),
            "{}",
            said(&output)
        );
        let anchors = lines(&plan, "anchor");
        let facts: Vec<_> = anchors
            .iter()
            .map(|a| {
                (
                    a["onset_ns"].as_i64().unwrap() / 1_000_000,
                    a["label"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(facts, [(7_400, "grasp"), (30_500, "")]);
        assert!(anchors.iter().all(|a| a["class_id"] == -1));
        let header = &lines(&plan, "plan")[0];
        assert!(
            header["config"]["anchors"]["cues_from"].is_string(),
            "{header}"
        );
    }
    let file = folder.join("silent.h5");
    let mut args = call("run", &pipeline, &input, &file).to_vec();
    args.extend(["--cues-from".as_ref(), cues.as_os_str()]);
    succeeds(args);
    let labels = inspected(&file)["top_labels"].to_string();
    assert!(labels.contains("grasp"), "{labels}");

    std::fs::write(&cues, "{\"time_s\": 7.4}\n{\"time_s\": 8, \"p\": 90}\n").unwrap();
    let refused = |budget: &str, words: &str| {
        let set = std::ffi::OsString::from(budget);
        let mut args = call("plan", &pipeline, &input, &plan).to_vec();
        args.extend(["--overwrite", "--set"].map(std::ffi::OsStr::new));
        args.extend([set.as_os_str(), "--cues-from".as_ref(), cues.as_os_str()]);
        let output = earmark(args);
        assert!(
            !output.status.success() && said(&output).contains(words),
            "{}",
            said(&output)
        );
    };
    refused("budget.snap_ms=0", "silent.cues.jsonl line 2: p is 90");
    refused("budget.planning=streaming", "needs global planning");
    refused(
        "budget.policy=uniform",
        "needs the policy gated or anchors_only",
    );
    std::fs::write(&cues, "{\"time_s\": 7400}\n").unwrap();
    refused("budget.snap_ms=0", "in milliseconds?");
}

#[test]
fn the_motion_of_a_gopro_makes_cues() {
    let Some(python) = python() else { return };
    let folder = folder("gpmd");
    let kitchen = root().join("fixtures/kitchen.mp4");
    let gopro = folder.join("gopro.mp4");
    let maker = root().join("tests/gpmd_track.py");
    let made = python_says(
        &python,
        &[
            maker.as_os_str(),
            kitchen.as_os_str(),
            gopro.as_os_str(),
            "60".as_ref(),
            "10.5".as_ref(),
            "33.2".as_ref(),
            "50".as_ref(),
        ],
    );
    assert!(made.status.success(), "{}", said(&made));
    let reader = root().join("scripts/gpmd_cues.py");
    let output = python_says(&python, &[reader.as_os_str(), gopro.as_os_str()]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let times: Vec<f64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["time_s"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert_eq!(times, [10.5, 33.2, 50.0]);
    let cues = folder.join("gopro.cues.jsonl");
    std::fs::write(&cues, text).unwrap();
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196, max_gap_ms: 30000");
    let plan = folder.join("plan.jsonl");
    let mut args = call("plan", &pipeline, &gopro, &plan).to_vec();
    args.extend(["--cues-from".as_ref(), cues.as_os_str()]);
    succeeds(args);
    let motion = lines(&plan, "anchor");
    let motion = motion.iter().filter(|anchor| anchor["label"] == "motion");
    assert_eq!(motion.count(), 3);
    let none = python_says(&python, &[reader.as_os_str(), kitchen.as_os_str()]);
    assert!(!none.status.success() && said(&none).contains("no gpmd track"));
}
