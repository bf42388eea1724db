//! Whole plans of recordings that are cut, silent, sparse in pictures, or end where something is yet to be seen.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::recordings::{call, earmark, folder, made, pipeline, python, root, said, succeeds};

fn ffmpeg(args: &[&std::ffi::OsStr]) {
    let output = Command::new("ffmpeg")
        .args(["-y", "-loglevel", "error", "-nostdin"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

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
    ffmpeg(&[
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
fn where_looks_are_denser_than_pictures_each_picture_is_paid_for_once() {
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
        // A picture a second.
        let mut pictures: Vec<_> = frames
            .iter()
            .map(|frame| (frame["planned_ns"].as_i64().unwrap() + 499_999_999) / 1_000_000_000)
            .collect();
        let all = pictures.len();
        pictures.dedup();
        assert_eq!((all, policy, tokens), (pictures.len(), policy, tokens));
        assert!(all >= 15, "{all}");
    }
    // In one pass, too, as far as the container says how far pictures lie apart.
    let budget = "policy: uniform, tokens_per_s: 1960, planning: streaming";
    let pipeline = pipeline(&python, &folder, budget);
    let file = folder.join("streaming.h5");
    succeeds(call("run", &pipeline, &sparse, &file));
    let frames = inspected(&file)["frames"].as_u64().unwrap();
    assert!((15..=21).contains(&frames), "{frames}");
}

#[test]
fn a_silent_recording_is_looked_at_where_decoding_is_cheap() {
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
            about["pictures_passed"].as_u64().unwrap(),
            about["spent_tokens"].clone(),
        )
    };
    let (there, spent) = passed(0);
    let (moved, same) = passed(10_000);
    assert!(2 * moved <= there, "{moved} of {there} pictures");
    assert_eq!(spent, same);
}
