//! A file at real speed, a kill and its recovery, pipelines that are read again, and pipelines with mistakes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Running, changed, cut, files, of, read, ready, whole};
use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

#[test]
fn a_file_at_real_speed_gives_the_anchors_and_frames_of_a_run() {
    let Some(python) = ready() else { return };
    let folder = folder("live-file");
    let file = cut(&folder, 14);
    let input = file.to_str().unwrap();
    let dense = [
        ("tokens_per_s: 49", "tokens_per_s: 196"),
        ("max_gap_ms: 30000", "max_gap_ms: 1000"),
    ];
    let mut streaming = dense.to_vec();
    streaming.push(("planning: global", "planning: streaming"));
    streaming.push(("refractory_ms: 0 ", "refractory_ms: 5000 "));
    let pipeline = changed(&folder, "gated.yaml", &streaming);
    let ran = earmark(
        &folder,
        &[
            "run",
            pipeline.to_str().unwrap(),
            "--input",
            input,
            "--output",
            "run.h5",
        ],
    );
    assert!(ran.status.success(), "{}", seen(&ran));
    let url = format!("url={input}");
    let live = changed(&folder, "live_file.yaml", &dense);
    let running = Running::start(&folder, &[live.to_str().unwrap(), "--set", &url]);
    let (ended, said) = {
        let events = running.events.clone();
        let ended = running.end();
        assert!(events.exists());
        ended
    };
    assert!(ended.status.success(), "{said}");
    let files = whole(&folder, &folder.join("out"));
    assert_eq!(files.len(), 1);
    let both = read(&python, &[folder.join("run.h5"), files[0].clone()]);
    let (run, live) = (&both[0], &both[1]);
    assert!(
        run["onset"].as_array().unwrap().len() > 2 && run["pts"].as_array().unwrap().len() > 10
    );
    for key in [
        "pts", "planned", "tier", "reason", "anchor", "tokens", "onset", "start", "score", "label",
        "cues", "sum", "duration", "budget", "spent",
    ] {
        assert_eq!(run[key], live[key], "{key}");
    }
    assert_eq!(live["all"]["source"], "live_file");
    assert!(live["all"]["wall_start"].as_str().unwrap().ends_with('Z'));

    // In files of three seconds: nothing is lost at a seam, nothing is twice.
    let mut short = dense.to_vec();
    short.push(("segment_minutes: 60", "segment_minutes: 0.05"));
    short.push(("\nlive:", "\nevents: { jpeg: true }\nlive:"));
    let short = changed(&folder, "live_file.yaml", &short);
    let cutting = crate::recordings::folder("live-file-segments");
    let running = Running::start(&cutting, &[short.to_str().unwrap(), "--set", &url]);
    let told = running.events.clone();
    let (ended, said) = running.end();
    assert!(ended.status.success(), "{said}");
    let parts = whole(&cutting, &cutting.join("out"));
    assert_eq!(parts.len(), 5);
    images_follow_their_anchors(&told);
    let parts = read(&python, &parts);
    let mut joined: Vec<(i64, i64, i64)> = Vec::new();
    let (mut onsets, mut cues, mut spent) = (Vec::new(), Vec::new(), 0);
    for part in parts.as_array().unwrap() {
        let zero: i64 = part["all"]["segment_start_ns"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let numbers = |key: &str| -> Vec<i64> {
            part[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_i64().unwrap())
                .collect()
        };
        let rows = numbers("pts")
            .into_iter()
            .zip(numbers("planned"))
            .zip(numbers("tier"));
        joined.extend(rows.map(|((pts, planned), tier)| (pts + zero, planned + zero, tier)));
        onsets.extend(numbers("onset").into_iter().map(|onset| onset + zero));
        cues.extend(numbers("cues").into_iter().map(|pts| pts + zero));
        spent += part["spent"].as_i64().unwrap();
        assert!(part["spent"].as_i64() <= part["budget"].as_i64(), "{part}");
    }
    let whole = |key: &str| -> Vec<i64> {
        run[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_i64().unwrap())
            .collect()
    };
    let rows: Vec<(i64, i64, i64)> = whole("pts")
        .into_iter()
        .zip(whole("planned"))
        .zip(whole("tier"))
        .map(|((pts, planned), tier)| (pts, planned, tier))
        .collect();
    assert_eq!(joined, rows);
    assert_eq!((onsets, cues), (whole("onset"), whole("cues")));
    assert_eq!(Some(spent), run["spent"].as_i64());
}

#[test]
fn sound_alone_gives_the_anchors_of_a_run_and_no_frames() {
    let Some(python) = ready() else { return };
    let folder = folder("live-sound");
    let file = cut(&folder, 14);
    let sound = folder.join("sound.m4a");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(&file)
        .args(["-vn", "-c", "copy"])
        .arg(&sound)
        .status();
    assert!(made.unwrap().success());
    let streaming = [
        ("tokens_per_s: 49", "tokens_per_s: 196"),
        ("planning: global", "planning: streaming"),
        ("refractory_ms: 0 ", "refractory_ms: 5000 "),
    ];
    let pipeline = changed(&folder, "gated.yaml", &streaming);
    let pipeline = pipeline.to_str().unwrap();
    let args = [
        "run",
        pipeline,
        "--input",
        "sound.m4a",
        "--output",
        "run.h5",
    ];
    let ran = earmark(&folder, &args);
    assert!(ran.status.success(), "{}", seen(&ran));
    let alone = [
        ("tokens_per_s: 49", "tokens_per_s: 196"),
        ("sound_only: false", "sound_only: true"),
    ];
    let live = changed(&folder, "live_file.yaml", &alone);
    let url = format!("url={}", file.display());
    let running = Running::start(&folder, &[live.to_str().unwrap(), "--set", &url]);
    let told = running.events.clone();
    let (ended, said) = running.end();
    assert!(
        ended.status.success() && !said.contains("no frames"),
        "{said}"
    );
    let files = whole(&folder, &folder.join("out"));
    let both = read(&python, &[folder.join("run.h5"), files[0].clone()]);
    assert!(both[1]["onset"].as_array().unwrap().len() > 2, "{said}");
    for key in ["onset", "score", "label", "pts"] {
        assert_eq!(both[0][key], both[1][key], "{key}");
    }
    // A copy of the sound alone ends within the video's last frame, so with a hop more or less.
    let cues = |k: usize| both[k]["cues"].as_array().unwrap();
    assert!(cues(0).len().abs_diff(cues(1).len()) <= 1, "{said}");
    assert!(cues(0).iter().zip(cues(1)).all(|(a, b)| a == b));
    let text = std::fs::read_to_string(told).unwrap();
    assert_eq!(
        text.matches("\"kind\":\"written\"").count(),
        both[1]["onset"].as_array().unwrap().len()
    );

    // Without anything that listens nothing would be left.
    let deaf = "demux. ! queue ! clocksync ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues";
    let deaf = [
        alone[1],
        (deaf, ""),
        ("  planning:", "  policy: uniform\n  planning:"),
    ];
    let deaf = changed(&folder, "live_file.yaml", &deaf);
    let checked = earmark(&folder, &["validate", deaf.to_str().unwrap()]);
    assert!(
        seen(&checked).contains("live.sound_only"),
        "{}",
        seen(&checked)
    );
}

/// Every anchor is announced once, then written, then its frame comes as a JPEG.
fn images_follow_their_anchors(told: &Path) {
    let text = std::fs::read_to_string(told).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let framed = |event: &&Value| !event["frames_ns"].as_array().unwrap().is_empty();
    let images = of(&events, "image");
    let written = of(&events, "written");
    let place = |kind: &str, id: &Value| {
        let mut all = events.iter();
        all.position(|event| event["kind"] == kind && event["id"] == *id)
    };
    assert_eq!(of(&events, "anchor").len(), written.len());
    for one in &written {
        let announced = place("anchor", &one["id"]).unwrap();
        assert!(Some(announced) < place("written", &one["id"]), "{one}");
        for (key, value) in events[announced].as_object().unwrap() {
            assert!(key == "kind" || one[key] == *value, "{key}: {one}");
        }
    }
    let with_frame: Vec<&Value> = written
        .into_iter()
        .filter(framed)
        .map(|one| &one["id"])
        .collect();
    let mut named: Vec<&Value> = images.iter().map(|one| &one["anchor"]).collect();
    named.sort_by_key(|id| with_frame.iter().position(|other| other == id));
    assert!(with_frame.len() > 2);
    assert_eq!(named, with_frame);
    for image in images {
        let jpeg = image["jpeg"].as_str().unwrap();
        // FF D8 FF, and long enough for a picture.
        assert!(jpeg.starts_with("/9j/") && jpeg.len() > 2_000, "{image}");
    }
}

#[test]
fn what_a_kill_leaves_is_recovered_by_the_next_start() {
    let Some(python) = ready() else { return };
    let folder = folder("live-killed");
    let file = cut(&folder, 20);
    let url = format!("url={}", file.display());
    let pipeline = changed(&folder, "live_file.yaml", &[("flush_s: 10", "flush_s: 1")]);
    let args = [pipeline.to_str().unwrap(), "--set", &url];
    let mut running = Running::start(&folder, &args);
    running.until("an anchor", |events| !of(events, "anchor").is_empty());
    // As long as the flush interval, and somewhat more.
    std::thread::sleep(Duration::from_secs(4));
    running.signal("KILL");
    let (ended, _) = running.end();
    assert!(!ended.status.success());
    let out = folder.join("out");
    assert_eq!(
        (files(&out, ".partial").len(), files(&out, ".h5").len()),
        (1, 0)
    );
    let running = Running::start(&folder, &args);
    let (ended, said) = running.end();
    assert!(
        ended.status.success() && said.contains("recovered"),
        "{said}"
    );
    assert_eq!(files(&out, ".partial"), Vec::<PathBuf>::new());
    let recovered: Vec<PathBuf> = files(&out, ".recovered.h5");
    let all = read(&python, &recovered);
    assert_eq!(all[0]["complete"], false);
    assert!(!all[0]["cues"].as_array().unwrap().is_empty(), "{all}");
}

#[test]
fn all_mistakes_in_a_live_pipeline_are_reported_at_once() {
    let folder = folder("live-wrong");
    let live = std::fs::read_to_string(root().join("pipelines/live_rtsp.yaml")).unwrap();
    let text = live
        .replace("segment_minutes: 60", "segment_minutes: 0")
        .replace("silence_s: 3", "silense_s: 3")
        .replace("keep_gb: 0 ", "keep_gb: lots ")
        + "sources:\n  - { name: door, url: rtsp://a/b }\n  - { nam: hall, url: rtsp://a/c }\n  - { name: door, url: rtsp://a/d }\n";
    std::fs::write(folder.join("wrong.yaml"), text).unwrap();
    let checked = earmark(&folder, &["validate", "wrong.yaml"]);
    let said = seen(&checked);
    assert_eq!(checked.status.code(), Some(2), "{said}");
    for part in [
        "live.segment_minutes",
        "0.05..=1440",
        "did you mean `silence_s`?",
        "live.keep_gb",
        "sources[1].name",
        "did you mean `name`?",
        "sources[2].name",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    std::fs::write(folder.join("fine.yaml"), &live).unwrap();
    for (args, part) in [
        (
            vec!["live", "fine.yaml", "--set", "url=rtsp://a/b"],
            "say where files go",
        ),
        (vec!["live", "fine.yaml", "--output", "out"], "${url}"),
        (
            vec![
                "live",
                "fine.yaml",
                "--set",
                "url=rtsp://a/b",
                "--output",
                "out",
                "--name",
                "a/b",
            ],
            "not a valid name for a source",
        ),
    ] {
        let output = earmark(&folder, &args);
        assert_eq!(output.status.code(), Some(2), "{}", seen(&output));
        assert!(seen(&output).contains(part), "{part}: {}", seen(&output));
    }
    let global = live.replace("planning: streaming", "planning: global");
    std::fs::write(folder.join("global.yaml"), global).unwrap();
    let output = earmark(
        &folder,
        &[
            "live",
            "global.yaml",
            "--set",
            "url=rtsp://a/b",
            "--output",
            "out",
        ],
    );
    assert!(
        seen(&output).contains("planning: streaming"),
        "{}",
        seen(&output)
    );
}

#[test]
fn rereading_pipelines_does_not_interrupt_unchanged_sources() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-reload");
    let file = root().join("fixtures/kitchen.mp4");
    let live = std::fs::read_to_string(root().join("pipelines/live_file.yaml")).unwrap();
    let pipeline = folder.join("many.yaml");
    let write = |names: &[&str], more: &str| {
        let sources: String = names
            .iter()
            .map(|name| format!("  - {{ name: {name}, url: '{}' }}\n", file.display()))
            .collect();
        std::fs::write(&pipeline, format!("{live}{more}sources:\n{sources}")).unwrap();
    };
    write(&["stays", "goes"], "");
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap()]);
    let is = |events: &[Value], name: &str, state: &str| {
        let last = events
            .iter()
            .rfind(|event| event["kind"] == "state" && event["source"] == name);
        last.is_some_and(|event| event["state"] == state)
    };
    running.until("both", |events| {
        is(events, "stays", "healthy") && is(events, "goes", "healthy")
    });
    write(&["stays", "comes"], "");
    running.signal("HUP");
    running.until("the change", |events| {
        is(events, "comes", "healthy") && is(events, "goes", "stopped")
    });
    running.until_said("1 sources go on, 1 were closed, 1 were started");
    write(&["stays", "comes"], "wrong: 1\n");
    running.signal("HUP");
    running.until_said("so nothing changes");
    assert!(running.said().contains("wrong"), "{}", running.said());
    // Nobody tells it from here on. As many editors do it: another file takes the place.
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let other = folder.join("many.yaml~");
    let comes = text.find("  - { name: comes").unwrap();
    let fine = text[..comes].replace("wrong: 1\n", "");
    std::fs::write(&other, &fine).unwrap();
    std::fs::rename(&other, &pipeline).unwrap();
    running.until("the change", |events| is(events, "comes", "stopped"));
    // Wrong again: told once, and never mind.
    let wrong = fine.replace("max_gap_ms: 30000", "max_gap_ms: -1");
    std::fs::write(&pipeline, &wrong).unwrap();
    running.until_said("max_gap_ms");
    let checked = earmark(&folder, &["validate", "many.yaml"]);
    let problem = seen(&checked);
    let problem = problem
        .lines()
        .find(|line| line.contains("max_gap_ms"))
        .unwrap();
    assert!(
        running.said().contains(problem.trim()),
        "{problem}: {}",
        running.said()
    );
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(running.said().matches("so nothing changes").count(), 2);
    // How long files are kept is no reason to interrupt anybody; a threshold is.
    let starts = |events: &[Value]| {
        let starts = |event: &&Value| event["source"] == "stays" && event["state"] == "starting";
        events.iter().filter(starts).count()
    };
    std::fs::write(&pipeline, fine.replace("keep_gb: 0 ", "keep_gb: 9 ")).unwrap();
    running.until_said("1 sources go on, 0 were closed, 0 were started");
    assert_eq!(starts(&running.events()), 1);
    std::fs::write(
        &pipeline,
        fine.replace("tokens_per_s: 49", "tokens_per_s: 98"),
    )
    .unwrap();
    running.until("the other budget", |events| {
        starts(events) == 2 && is(events, "stays", "healthy")
    });
    running.stop();
    let files = whole(&folder, &folder.join("out"));
    assert_eq!(files.len(), 4);
    let last = files.last().unwrap().to_str().unwrap();
    let budget = seen(&earmark(&folder, &["inspect", "--json", last]));
    assert!(budget.contains("98"), "{budget}");
}

/// Readers follow a file while it is written; what is older than the flush interval is there.
#[test]
fn a_file_is_read_while_it_is_written() {
    let Some(python) = ready() else { return };
    let folder = folder("live-tailed");
    let file = cut(&folder, 30);
    let url = format!("url={}", file.display());
    let changes = [
        ("flush_s: 10", "flush_s: 1"),
        ("tokens_per_s: 49", "tokens_per_s: 400"),
        ("max_gap_ms: 30000", "max_gap_ms: 500"),
    ];
    let pipeline = changed(&folder, "live_file.yaml", &changes);
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]);
    running.until("a file", |_| {
        !files(&folder.join("out"), ".partial").is_empty()
    });
    let partial = files(&folder.join("out"), ".partial").remove(0);
    // Prints rows of frames and cues, and how far the latter reach, each time that there are more.
    let script = "
import json, sys, time
import earmark
begun = time.time()
while True:
    try:
        file = earmark.open(sys.argv[1], live=True)
        break
    except (earmark.IncompleteFileError, FileNotFoundError):
        assert time.time() - begun < 100
        time.sleep(.1)
seen = []
while len(seen) < 3:
    assert time.time() - begun < 100, seen
    file.refresh()
    now = (len(file), float(file.features[:].sum()), float(file.cues.times[-1]) if len(file.cues) else 0.0)
    if file.is_live and now[0] and (not seen or now[0] > seen[-1][0]):
        seen.append(now)
    time.sleep(.2)
print(json.dumps(seen))
";
    let read = std::process::Command::new(&python)
        .env("PYTHONPATH", root().join("python/src"))
        .args(["-c", script])
        .arg(&partial)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(read.status.success(), "{said}");
    let seen: Vec<(usize, f64, f64)> = serde_json::from_slice(&read.stdout).unwrap();
    for pair in seen.windows(2) {
        assert!(
            pair[1].0 > pair[0].0 && pair[1].1 != pair[0].1 && pair[1].2 >= pair[0].2,
            "{seen:?}"
        );
    }
    assert!(partial.exists(), "it was read while it was written");
    running.stop();
    whole(&folder, &folder.join("out"));
}

#[test]
fn nobody_is_taken_while_speaking() {
    let Some(python) = ready() else { return };
    let folder = folder("live-speech");
    let dense = [
        ("planning: global", "planning: streaming"),
        ("tokens_per_s: 49", "tokens_per_s: 196"),
        ("max_gap_ms: 30000", "max_gap_ms: 1000"),
        (
            "pictures_during_speech: true",
            "pictures_during_speech: false",
        ),
    ];
    let deaf = changed(&folder, "gated.yaml", &dense);
    let checked = earmark(&folder, &["validate", deaf.to_str().unwrap()]);
    assert!(
        seen(&checked).contains("vad: silero-vad"),
        "{}",
        seen(&checked)
    );
    let mut hears = dense.to_vec();
    hears.push(("  tagger: yamnet ", "  vad: silero-vad\n  tagger: yamnet "));
    let hears = changed(&folder, "gated.yaml", &hears);
    let fixture = root().join("fixtures/kitchen.mp4");
    let output = folder.join("quiet.h5");
    let args = [
        "run",
        hears.to_str().unwrap(),
        "--input",
        fixture.to_str().unwrap(),
        "--output",
        output.to_str().unwrap(),
    ];
    let ran = earmark(&folder, &args);
    assert!(ran.status.success(), "{}", seen(&ran));
    let read = &read(&python, &[output])[0];
    let all = |key: &str| -> Vec<i64> { serde_json::from_value(read[key].clone()).unwrap() };
    let speech: Vec<f64> = serde_json::from_value(read["speech"].clone()).unwrap();
    let spoken: Vec<i64> = all("cues")
        .into_iter()
        .zip(speech)
        .filter_map(|(at, p)| (p >= 0.5).then_some(at))
        .collect();
    assert!(spoken.len() > 10, "{}", spoken.len());
    let taken = all("pts");
    assert!(taken.len() > 30, "{}", taken.len());
    for at in taken {
        // A frame may lie a frame's length from where it was planned.
        let near = spoken
            .iter()
            .find(|&&s| at > s - 460_000_000 && at < s + 1_000_000_000);
        assert_eq!(near, None, "a frame at {at} ns");
    }
}

/// Where there is systemd.
#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    let folder = folder("live-unit");
    let unit = std::fs::read_to_string(root().join("docs/earmark-live.service")).unwrap();
    let ours = unit.replace("/usr/local/bin/earmark", env!("CARGO_BIN_EXE_earmark"));
    assert_ne!(unit, ours);
    std::fs::write(folder.join("earmark-live.service"), ours).unwrap();
    for args in [
        &["verify"][..],
        &["security", "--offline=true", "--threshold=30"],
    ] {
        let checked = std::process::Command::new("systemd-analyze")
            .args(args)
            .arg("./earmark-live.service")
            .current_dir(&folder)
            .output();
        let Ok(checked) = checked else {
            eprintln!("skipped: systemd is not installed");
            return;
        };
        assert!(checked.status.success(), "{args:?}: {}", seen(&checked));
    }
}
