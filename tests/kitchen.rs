//! The shipped recording from end to end: plans, follows a plan, runs in one pass, and checks the results. One file because every test plays
//! the same recording.

use std::path::Path;

use serde_json::Value;

use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

/// Whether the models are built; says so if not.
fn ready() -> bool {
    let there = root().join("models/built/efficientnet-lite0.onnx").exists();
    if !there {
        eprintln!("skipped: the models are not installed; `make setup` does");
    }
    there
}

fn path(path: &str) -> String {
    root().join(path).to_str().unwrap().to_owned()
}

/// Runs and returns what was said as JSON.
#[track_caller]
fn json(folder: &Path, args: &[&str]) -> Value {
    let mut all = args.to_vec();
    all.push("--json");
    let output = earmark(folder, &all);
    assert!(output.status.success(), "{}", seen(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_same_plan_gives_the_same_frames() {
    if !ready() {
        return;
    }
    let folder = folder("kitchen");
    let (pipeline, input) = (path("pipelines/grid.yaml"), path("fixtures/kitchen.mp4"));
    let planned = json(
        &folder,
        &[
            "plan",
            &pipeline,
            "--input",
            &input,
            "--output",
            "plan.jsonl",
            "--cues",
        ],
    );
    let made = json(
        &folder,
        &["run", &pipeline, "--input", &input, "--output", "a.h5"],
    );
    let followed = json(
        &folder,
        &[
            "run",
            &pipeline,
            "--input",
            &input,
            "--output",
            "b.h5",
            "--plan",
            "plan.jsonl",
        ],
    );
    assert_eq!(
        planned["plan"]["spent_tokens"],
        made["features"]["spent_tokens"]
    );
    for key in [
        "shares",
        "spent_tokens",
        "budget_tokens",
        "anchors",
        "cues",
        "frames",
        "duration_ns",
    ] {
        assert_eq!(made["features"][key], followed["features"][key], "{key}");
    }
    assert_eq!(made["features"]["frames_missed"], 0);
    let (seen, passed) = (
        &made["features"]["access_units_seen"],
        &made["features"]["access_units_passed"],
    );
    assert!(
        0 < passed.as_u64().unwrap() && passed.as_u64() <= seen.as_u64(),
        "{passed} of {seen}"
    );

    let planned = json(&folder, &["inspect", "a.h5"]);
    assert_eq!(
        planned["features"]["spent_tokens"],
        made["features"]["spent_tokens"]
    );
    let plan = json(&folder, &["inspect", "plan.jsonl"]);
    assert_eq!(plan["plan"]["frames"], made["features"]["frames"]);
    assert_eq!(plan["plan"]["cues"], made["features"]["cues"]);

    let text = seen_of(&folder, &["inspect", "a.h5"]);
    assert!(text.contains("recording    kitchen, 60.000 s"), "{text}");
    let mut left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["a.h5", "b.h5", "plan.jsonl"], "nothing else is left");
}

fn seen_of(folder: &Path, args: &[&str]) -> String {
    seen(&earmark(folder, args))
}

/// Names that gst-launch text would misread.
#[test]
fn names_of_files_may_hold_anything() {
    if !ready() {
        return;
    }
    let folder = folder("odd names");
    let input = folder.join("a \"b\" ! 'c' #é=${x}\\.mp4");
    std::fs::copy(path("fixtures/kitchen.mp4"), &input).unwrap();
    let output = "out \"d\" ! é.h5";
    let made = json(
        &folder,
        &[
            "run",
            &path("pipelines/uniform.yaml"),
            "--input",
            input.to_str().unwrap(),
            "--output",
            output,
        ],
    );
    assert_eq!(made["features"]["video_id"], "a \"b\" ! 'c' #é=${x}\\");
    assert!(folder.join(output).exists());
    // The same by its URI.
    let uri = made["features"]["input_uri"].as_str().unwrap().to_owned();
    json(
        &folder,
        &[
            "run",
            &path("pipelines/uniform.yaml"),
            "--input",
            &uri,
            "--output",
            output,
            "--overwrite",
        ],
    );
}

#[test]
fn an_interrupted_run_leaves_what_was_done() {
    if !ready() {
        return;
    }
    let folder = folder("interrupted");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args([
            "run",
            &path("pipelines/dense.yaml"),
            "--input",
            &path("fixtures/kitchen.mp4"),
            "--output",
            "x.h5",
        ])
        .current_dir(&folder)
        .env("EARMARK_MODELS", root().join("models"))
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["x.h5.partial"]);
}

#[test]
fn a_track_that_is_not_there_is_refused() {
    let folder = folder("no_such_track");
    let pipeline = folder.join("p.yaml");
    let text = std::fs::read_to_string(path("pipelines/grid.yaml"))
        .unwrap()
        .replace("tagger: yamnet ", "tagger: none ");
    std::fs::write(&pipeline, text).unwrap();
    if !ready() {
        return;
    }
    let output = earmark(
        &folder,
        &[
            "run",
            "p.yaml",
            "--input",
            &path("fixtures/kitchen.mp4"),
            "--output",
            "x.h5",
            "--audio-track",
            "3",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
    assert!(
        seen(&output).contains("--audio-track 3"),
        "{}",
        seen(&output)
    );
}

#[test]
fn a_recording_without_video_needs_a_pipeline_that_listens() {
    let Some(wav) = ready().then(|| sound("no_video")) else {
        return;
    };
    let folder = wav.parent().unwrap();
    let args = |pipeline: &str| {
        [
            "run",
            &path(pipeline),
            "--input",
            "sound.wav",
            "--output",
            "x.h5",
        ]
        .map(str::to_owned)
    };
    let run = |pipeline: &str| {
        let args = args(pipeline);
        earmark(folder, &args.each_ref().map(String::as_str))
    };
    let refused = run("pipelines/uniform.yaml");
    assert_eq!(refused.status.code(), Some(1), "{}", seen(&refused));
    assert!(
        seen(&refused).contains("nothing to write"),
        "{}",
        seen(&refused)
    );
    let written = run("pipelines/grid.yaml");
    assert!(written.status.success(), "{}", seen(&written));
    assert_eq!(seen(&written).matches("warning").count(), 1);
    let about = json(folder, &["inspect", "x.h5"]);
    assert!(about["features"]["anchors"].as_u64() >= Some(2), "{about}");
}

/// Ten seconds of faint noise with a click every two seconds, as 16 kHz mono WAV.
fn sound(name: &str) -> std::path::PathBuf {
    let mut state = 1_u32;
    let samples = (0..160_000_u32).map(|n| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(state >> 16) / 65_536.0 - 0.5;
        let since = f64::from(n % 32_000) / 16_000.0;
        let click = if n < 32_000 {
            0.0
        } else {
            (-since * 40.0).exp()
        };
        (noise * (100.0 + 20_000.0 * click)) as i16
    });
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + data.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for (size, value) in [
        (4, 16_u32),
        (2, 1),
        (2, 1),
        (4, 16_000),
        (4, 32_000),
        (2, 2),
        (2, 16),
    ] {
        wav.extend(&value.to_le_bytes()[..size]);
    }
    wav.extend(b"data");
    wav.extend((data.len() as u32).to_le_bytes());
    wav.extend(data);
    let file = folder(name).join("sound.wav");
    std::fs::write(&file, wav).unwrap();
    file
}

/// Anchors and the times of their frames, ms, of a plan.
fn planned(plan: &Path) -> Vec<(i64, String, i64)> {
    let text = std::fs::read_to_string(plan).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let anchors = lines.iter().filter(|line| line["kind"] == "anchor");
    let look = |id: &Value| {
        let mine = lines
            .iter()
            .find(|line| line["kind"] == "frame" && line["anchor"] == *id);
        mine.unwrap()["planned_ns"].as_i64().unwrap() / 1_000_000
    };
    anchors
        .map(|anchor| {
            let label = anchor["label"].as_str().unwrap().to_owned();
            (
                anchor["onset_ns"].as_i64().unwrap() / 1_000_000,
                label,
                look(&anchor["id"]),
            )
        })
        .collect()
}

#[test]
fn a_setting_that_changes_nothing_is_named_with_the_reason() {
    if !ready() {
        return;
    }
    let folder = folder("kitchen_no_effect");
    let input = path("fixtures/kitchen.mp4");
    let output = folder.join("plan.jsonl");
    let output = output.to_str().unwrap();
    let warnings = |sets: &[&str]| {
        let mut args = vec![
            "plan",
            "grid",
            "--input",
            &input,
            "--output",
            output,
            "--overwrite",
        ];
        for set in sets {
            args.extend(["--set", set]);
        }
        let said = json(&folder, &args)["warnings"].take();
        serde_json::from_value::<Vec<String>>(said).unwrap()
    };
    assert_eq!(warnings(&[]), [""; 0]);
    assert_eq!(warnings(&["budget.max_gap_ms=900"]), [""; 0]);
    let [threshold, value] = &warnings(&[
        "anchors.threshold=0.06",
        "budget.tokens_per_s=196",
        "budget.max_gap_ms=900",
    ])[..] else {
        panic!("two of three change nothing");
    };
    assert!(
        value.contains("budget.tokens_per_s: the pipeline has this value without it"),
        "{value}"
    );
    assert!(
        threshold.contains(
            "anchors.threshold changes nothing in this plan: the budget pays for no onset below 0."
        ),
        "{threshold}"
    );
}

#[test]
fn offsets_move_the_frames_and_not_the_onsets() {
    if !ready() {
        return;
    }
    let folder = folder("kitchen_offsets");
    let input = path("fixtures/kitchen.mp4");
    let text = std::fs::read_to_string(path("pipelines/grid.yaml")).unwrap();
    let text = text.replace("policy: gated ", "policy: anchors_only ");
    for planning in ["global", "streaming"] {
        let plan = |name: &str, offsets: &str| {
            let text = text
                .replace("planning: global ", &format!("planning: {planning} "))
                .replace("class_offset_ms: {} ", &format!("{offsets} "))
                .replace("  offset_ms: 0 ", "  ");
            let pipeline = folder.join(format!("{planning}_{name}.yaml"));
            std::fs::write(&pipeline, text).unwrap();
            let output = folder.join(format!("{planning}_{name}.jsonl"));
            let [pipeline, output] = [&pipeline, &output].map(|path| path.to_str().unwrap());
            json(
                &folder,
                &["plan", pipeline, "--input", &input, "--output", output],
            );
            planned(Path::new(output))
        };
        let plain = plan("plain", "offset_ms: 0");
        assert!(plain.len() > 3, "{plain:?}");
        let mut labels = plain.iter().map(|(_, label, _)| label);
        let class = labels.find(|label| !label.is_empty()).unwrap();
        let moved = plan(
            "moved",
            &format!("offset_ms: 150\n  class_offset_ms: {{ \"{class}\": -240 }}"),
        );
        let (mut named, mut others) = (0, 0);
        for (onset, label, look) in &moved {
            // Where the recording stops, and where the budget is a frame short, frames come a little nearer.
            let offset = if label == class { -240 } else { 150 };
            assert!(
                (look - onset - offset - 60).abs() <= 1,
                "{onset} {label} {look}"
            );
            *(if label == class {
                &mut named
            } else {
                &mut others
            }) += 1;
        }
        assert!(named > 0 && others > 0, "{moved:?}");
    }
    let pipeline = folder.join("streaming_moved.yaml");
    let run = [
        "run",
        pipeline.to_str().unwrap(),
        "--input",
        &input,
        "--output",
        "moved.h5",
    ];
    let made = json(&folder, &run);
    assert_eq!(made["ok"], true);
    let verified = json(&folder, &["verify", "moved.h5"]);
    assert_eq!(verified["ok"], true, "{verified}");
    let seen = seen(&earmark(&folder, &["inspect", "moved.h5"]));
    assert!(seen.contains("offsets      150 ms;"), "{seen}");
    let page = json(&folder, &["report", "moved.h5", "--output", "moved.html"]);
    assert_eq!(page["ok"], true);
}

#[test]
fn the_default_sees_more_than_even_frames_do_for_the_same_tokens() {
    let folder = folder("default_pays");
    if !ready() {
        return;
    }
    for (pipeline, tier) in [("gated", "base"), ("sharp", "high")] {
        let output = earmark(
            &folder,
            &[
                "plan",
                pipeline,
                "--input",
                &path("fixtures/kitchen.mp4"),
                "--output",
                &format!("{pipeline}.jsonl"),
            ],
        );
        assert!(output.status.success(), "{}", seen(&output));
        let labels = path("fixtures/kitchen.labels.csv");
        let about = json(
            &folder,
            &[
                "eval",
                "anchors",
                "--plan",
                &format!("{pipeline}.jsonl"),
                "--labels",
                &labels,
            ],
        );
        let rows = about["equal_tokens"].as_array().unwrap();
        let row = rows.iter().find(|row| row["tier"] == tier).unwrap();
        let share = |who: &str| row[who]["value"].as_f64().unwrap();
        for other in ["uniform", "random", "shifted"] {
            assert!(
                share("plan") > share(other) + 0.15,
                "{pipeline}, {other}: {row:#}"
            );
        }
    }
}

/// The shipped recording at a budget that leaves most of what is heard out.
#[test]
fn untaken_candidates_are_kept_and_reported() {
    if !ready() {
        return;
    }
    let folder = folder("not taken");
    let (input, labels) = (
        path("fixtures/kitchen.mp4"),
        path("fixtures/kitchen.labels.csv"),
    );
    let set = ["--set", "budget.tokens_per_s=20"];
    let plan = [
        "plan",
        "gated",
        "--input",
        &input,
        "--output",
        "plan.jsonl",
        "--cues",
    ];
    let planned = json(&folder, &[&plan[..], &set].concat());
    let left_out = &planned["plan"]["not_taken"];
    let candidates = left_out["candidates"].as_u64().unwrap();
    assert!(candidates > 10, "{planned}");
    let times: Vec<u64> = left_out["with_times_the_tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[1].as_u64().unwrap())
        .collect();
    assert!(
        times.is_sorted() && times[0] > 0 && times[2] <= candidates,
        "{left_out}"
    );
    // The plan says the same as the file, which the same plan gives and another run makes.
    let lines = std::fs::read_to_string(folder.join("plan.jsonl")).unwrap();
    let kept = lines
        .lines()
        .filter(|line| line.contains("\"kind\":\"candidate\""));
    assert_eq!(kept.count() as u64, candidates);
    let run = [
        "run",
        "gated",
        "--input",
        &input,
        "--thumbnails",
        "--output",
    ];
    let made = json(&folder, &[&run[..], &["a.h5"], &set].concat());
    let followed = [&run[..], &["b.h5", "--plan", "plan.jsonl"], &set].concat();
    json(&folder, &followed);
    assert_eq!(made["features"]["candidates"], candidates);
    for file in ["plan.jsonl", "a.h5", "b.h5"] {
        assert_eq!(
            &json(&folder, &["inspect", file])["not_taken"],
            left_out,
            "{file}"
        );
        let text = seen_of(&folder, &["inspect", file]);
        assert!(text.contains("times the tokens would take"), "{text}");
    }
    json(&folder, &["verify", "a.h5"]);
    // Twice the tokens take as many more as was said.
    let twice = ["--set", "budget.tokens_per_s=40"];
    let again = [
        "plan",
        "gated",
        "--input",
        &input,
        "--output",
        "twice.jsonl",
    ];
    let again = json(&folder, &[&again[..], &twice].concat());
    let anchors = |value: &Value| value["plan"]["anchors"].as_u64().unwrap();
    let more = anchors(&again).abs_diff(anchors(&planned) + times[1]);
    // Where keyframes and frames are makes a difference of a few.
    assert!(more <= 2, "{again} {planned}");
    // Deaf, or poor?
    let scored = json(
        &folder,
        &[
            "eval",
            "anchors",
            "--plan",
            "plan.jsonl",
            "--labels",
            &labels,
        ],
    );
    let missed = &scored["missed"];
    let count = |key: &str| missed[key].as_u64().unwrap();
    assert_eq!(
        count("events"),
        count("heard") + count("not_heard") + count("frame")
    );
    assert!(count("heard") > 3, "{missed}");
    let page = ["report", "a.h5", "--labels", &labels, "--output", "a.html"];
    assert!(earmark(&folder, &page).status.success());
    let page = std::fs::read_to_string(folder.join("a.html")).unwrap();
    assert!(
        page.contains("heard, budget spent elsewhere;"),
        "the page doesn't say so"
    );
    // A uniform plan hears nothing, and says nothing of it.
    let uniform = json(
        &folder,
        &["plan", "uniform", "--input", &input, "--output", "u.jsonl"],
    );
    assert_eq!(uniform["plan"]["not_taken"]["kept_per_min"], 0);
    let scored = json(
        &folder,
        &["eval", "anchors", "--plan", "u.jsonl", "--labels", &labels],
    );
    assert!(scored["missed"].is_null(), "{scored}");

    // Every budget from one listening pass.
    let curve = ["eval", "curve", "--plan", "plan.jsonl", "--labels", &labels];
    let files = [
        "--plot",
        "c.svg",
        "--csv",
        "c.csv",
        "--tokens-per-s",
        "20,98,392",
    ];
    let curve = json(&folder, &[&curve[..], &files].concat());
    let points = curve["points"].as_array().unwrap();
    assert_eq!(points.len(), 9);
    for tier in ["low", "base", "high"] {
        let own: Vec<f64> = points
            .iter()
            .filter(|point| point["tier"] == tier)
            .map(|point| point["anchors"].as_f64().unwrap())
            .collect();
        assert!(own.is_sorted() && own[2] > 0.5, "{tier} {own:?}");
    }
    // The cheapest budget is the plan's own.
    let own = points[1]["anchors"].as_f64().unwrap();
    let base = &json(
        &folder,
        &[
            "eval",
            "anchors",
            "--plan",
            "plan.jsonl",
            "--labels",
            &labels,
        ],
    );
    let of_plan = base["equal_tokens"][1]["plan"]["value"].as_f64().unwrap();
    assert!((own - of_plan).abs() < 0.08, "{own} {of_plan}");
    let table = std::fs::read_to_string(folder.join("c.csv")).unwrap();
    assert_eq!(table.lines().count(), 10);
    assert!(
        std::fs::read_to_string(folder.join("c.svg"))
            .unwrap()
            .contains("frames at anchors")
    );
    let without = [
        "eval",
        "curve",
        "--plan",
        "twice.jsonl",
        "--labels",
        &labels,
    ];
    let refused = seen_of(&folder, &without);
    assert!(refused.contains("--cues"), "{refused}");
}
