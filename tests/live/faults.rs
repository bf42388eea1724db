//! Cameras that go away, hang, refuse, and have no sound.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::{Camera, Proxy, Running, changed, of, read, ready, states, whole};
use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

#[test]
fn a_camera_that_is_killed_and_comes_back_costs_no_more_than_that() {
    let Some(python) = ready() else { return };
    let folder = folder("live-rtsp");
    let fixture = root().join("fixtures/kitchen.mp4");
    let Some(camera) = Camera::start(0, &fixture, &[]) else {
        return;
    };
    let pipeline = changed(
        &folder,
        "live_rtsp.yaml",
        &[
            ("segment_minutes: 60", "segment_minutes: 0.1"),
            ("tokens_per_s: 49", "tokens_per_s: 400"),
        ],
    );
    let mut running = Running::start(
        &folder,
        &[
            pipeline.to_str().unwrap(),
            "--set",
            &camera.url(),
            "--name",
            "door",
        ],
    );
    running.until("two files and an anchor", |events| {
        of(events, "file").len() >= 2 && !of(events, "anchor").is_empty()
    });
    let port = camera.1;
    drop(camera);
    running.until("the loss", |events| states(events).contains(&"backing_off"));
    let Some(camera) = Camera::start(port, &fixture, &[]) else {
        return;
    };
    let before = of(&running.events(), "anchor").len();
    running.until("more anchors", |events| {
        of(events, "anchor").len() > before && states(events).last() == Some(&"healthy")
    });
    let summary = running.stop();
    drop(camera);
    assert!(
        summary["sources"][0]["starts"].as_u64() >= Some(2),
        "{summary}"
    );
    assert_eq!(summary["sources"][0]["abandoned"], 0, "{summary}");
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    let epochs: std::collections::BTreeSet<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["all"]["epoch"].as_str().unwrap())
        .collect();
    assert!(epochs.len() >= 2, "{epochs:?}");
    // From the second file on it is known what the camera's clock says; it is this machine's.
    let later: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|file| file["all"]["segment"] != "0")
        .collect();
    let clock =
        |file: &Value, key: &str| -> i64 { file["all"][key].as_str().unwrap().parse().unwrap() };
    assert!(!later.is_empty());
    for file in later {
        let off = clock(file, "camera_start_ns") - clock(file, "wall_start_ns");
        assert!(off.abs() < 60_000_000_000, "{off} ns: {}", file["all"]);
    }
    // Everything written names a row that is there, and no two events of a kind bear one id.
    let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut ids: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            ["kind", "id"]
                .map(|key| event[key].as_str().unwrap())
                .into()
        })
        .collect();
    ids.sort_unstable();
    let many = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), many);
    assert!(!of(&events, "written").is_empty());
    for event in of(&events, "written") {
        let file = folder.join("out").join(event["file"].as_str().unwrap());
        let at = files.iter().position(|other| *other == file).unwrap();
        let row = event["row"].as_u64().unwrap() as usize;
        let zero: i64 = all[at]["all"]["segment_start_ns"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(
            all[at]["onset"][row].as_i64().map(|onset| onset + zero),
            event["onset_ns"].as_i64(),
            "{event}"
        );
        assert!(event["onset_wall"].as_str().unwrap().starts_with("20"));
    }
    // The commands that read files take the folder.
    for args in [
        vec!["inspect", "out"],
        vec!["verify", "out"],
        vec!["report", "out", "--output", "pages"],
        vec!["export", "out", "--format", "npy", "--output", "npy"],
    ] {
        let done = earmark(&folder, &args);
        assert!(done.status.success(), "{args:?}: {}", seen(&done));
    }
    let listed = seen(&earmark(&folder, &["inspect", "out"]));
    for file in &files {
        let name = file.strip_prefix(folder.join("out")).unwrap();
        let name = name.with_extension("").display().to_string();
        assert!(listed.contains(&name), "{name}: {listed}");
    }
}

#[test]
fn a_connection_that_hangs_half_open_is_noticed_and_made_anew() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-half-open");
    let Some(camera) = Camera::start(0, &root().join("fixtures/kitchen.mp4"), &[]) else {
        return;
    };
    let proxy = Proxy::to(camera.1);
    let url = format!("url=rtsp://127.0.0.1:{}/stream", proxy.port);
    let pipeline = changed(
        &folder,
        "live_rtsp.yaml",
        &[("restart_s: 8", "restart_s: 4")],
    );
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]);
    running.until("media", |events| states(events).last() == Some(&"healthy"));
    proxy.frozen.store(true, Ordering::Relaxed);
    running.until("silence", |events| states(events).contains(&"silent"));
    running.until("the loss", |events| states(events).contains(&"restarting"));
    proxy.frozen.store(false, Ordering::Relaxed);
    running.until("media again", |events| {
        states(events)
            .iter()
            .filter(|state| **state == "healthy")
            .count()
            >= 2
    });
    let said = running.said();
    assert_eq!(said.matches("nothing arrived for 4 s").count(), 1, "{said}");
    let summary = running.stop();
    assert_eq!(summary["sources"][0]["abandoned"], 0, "{summary}");
    whole(&folder, &folder.join("out"));
}

#[test]
fn a_wrong_password_is_reported_retried_slowly_and_never_written() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-refused");
    let fixture = root().join("fixtures/kitchen.mp4");
    let Some(camera) = Camera::start(0, &fixture, &["--user", "me:open-sesame"]) else {
        return;
    };
    let wrong = format!("url=rtsp://me:wr0ng-w0rd@127.0.0.1:{}/stream", camera.1);
    let live = root().join("pipelines/live_rtsp.yaml");
    let live = live.to_str().unwrap();
    let mut running = Running::start(&folder, &[live, "--set", &wrong]);
    running.until("the refusal", |events| {
        states(events).last() == Some(&"failed")
    });
    let said = running.said();
    assert!(said.contains("401") && said.contains("password"), "{said}");
    let summary = running.stop();
    assert_eq!(summary["sources"][0]["faults"]["refused"], 1, "{summary}");
    let right = format!("url=rtsp://me:open-sesame@127.0.0.1:{}/stream", camera.1);
    let mut running = Running::start(&folder, &[live, "--set", &right]);
    running.until("an anchor", |events| !of(events, "anchor").is_empty());
    let said = said + &running.said();
    let events = format!("{:?}", running.events());
    running.stop();
    let files = whole(&folder, &folder.join("out"));
    assert_eq!(files.len(), 1);
    for secret in ["wr0ng-w0rd", "open-sesame"] {
        assert!(!said.contains(secret) && !events.contains(secret), "{said}");
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            );
        }
    }
}

#[test]
fn cameras_without_sound_or_whose_sound_ends_get_even_frames_beside_a_dead_one() {
    let Some(python) = ready() else { return };
    let folder = folder("live-mute");
    let fixture = root().join("fixtures/kitchen.mp4");
    let (Some(mute), Some(ends)) = (
        Camera::start(0, &fixture, &["--sound", "none"]),
        Camera::start(0, &fixture, &["--sound", "ends"]),
    ) else {
        return;
    };
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = dead.local_addr().unwrap().port();
    drop(dead);
    let live = std::fs::read_to_string(root().join("pipelines/live_rtsp.yaml")).unwrap();
    let text = live
        .replace("max_gap_ms: 30000", "max_gap_ms: 1000")
        .replace("tokens_per_s: 49", "tokens_per_s: 400")
        + &format!(
            "sources:\n  - {{ name: mute, {} }}\n  - {{ name: ends, {} }}\n  - {{ name: dead, url: 'rtsp://127.0.0.1:{nobody}/x' }}\n",
            mute.url().replace('=', ": "),
            ends.url().replace('=', ": "),
        );
    let pipeline = folder.join("many.yaml");
    std::fs::write(&pipeline, text).unwrap();
    let checked = earmark(&folder, &["validate", pipeline.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", seen(&checked));
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap()]);
    running.until_said("ends: no sound arrives");
    running.until_said("mute: ");
    std::thread::sleep(Duration::from_secs(5));
    running.until("the dead one is tried again", |events| {
        let dead = events.iter().filter(|event| event["source"] == "dead");
        dead.filter(|event| event["state"] == "starting").count() >= 3
    });
    let said = running.said();
    assert_eq!(said.matches("ends: no sound arrives").count(), 1, "{said}");
    let summary = running.stop();
    assert!(
        summary["sources"][2]["faults"]["lost"].as_u64() >= Some(2),
        "{summary}"
    );
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    for name in ["mute", "ends"] {
        let of = |file: &&Value| file["all"]["source"] == name;
        let frames: usize = all
            .as_array()
            .unwrap()
            .iter()
            .filter(of)
            .map(|file| file["pts"].as_array().unwrap().len())
            .sum();
        assert!(frames > 3, "{name}: {frames} frames\n{said}");
    }
}

#[test]
fn sound_that_comes_later_is_heard_and_video_that_ends_leaves_the_cues() {
    let Some(python) = ready() else { return };
    let folder = folder("live-later");
    let fixture = root().join("fixtures/kitchen.mp4");
    let (Some(later), Some(mute), Some(blind)) = (
        Camera::start(0, &fixture, &["--sound", "later"]),
        Camera::start(0, &fixture, &["--sound", "none"]),
        Camera::start(0, &fixture, &["--video", "ends"]),
    ) else {
        return;
    };
    let live = std::fs::read_to_string(root().join("pipelines/live_rtsp.yaml")).unwrap();
    let sources = [("later", &later), ("mute", &mute), ("blind", &blind)];
    let sources = sources
        .map(|(name, of)| format!("  - {{ name: {name}, {} }}\n", of.url().replace('=', ": ")));
    let text = live.replace("tokens_per_s: 49", "tokens_per_s: 400");
    let pipeline = folder.join("three.yaml");
    std::fs::write(&pipeline, text + "sources:\n" + &sources.concat()).unwrap();
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap()]);
    running.until_said("mute: no sound arrives");
    // The camera that had no track of sound is replaced by one that has.
    let port = mute.1;
    drop(mute);
    let Some(_heard) = Camera::start(port, &fixture, &[]) else {
        return;
    };
    running.until_said("later: no sound arrives");
    running.until_said("later: sound comes again");
    running.until_said("blind: no frames arrive");
    let from = |events: &[Value], name: &str| {
        let all = of(events, "anchor");
        all.iter().filter(|event| event["source"] == name).count()
    };
    let before = running.events();
    running.until("anchors of all", |events| {
        ["later", "mute", "blind"]
            .iter()
            .all(|name| from(events, name) > from(&before, name))
    });
    let summary = running.stop();
    let started = |at: usize| summary["sources"][at]["starts"].as_u64();
    assert_eq!((started(0), started(2)), (Some(1), Some(1)), "{summary}");
    assert!(started(1) >= Some(2), "{summary}");
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    let all = all.as_array().unwrap();
    let blind = all.iter().find(|file| file["all"]["source"] == "blind");
    let last = |key: &str| {
        blind.unwrap()[key]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .as_i64()
    };
    let ahead = last("cues").unwrap() - last("pts").unwrap();
    assert!(ahead > 8_000_000_000, "cues go on: {ahead} ns");
}

/// Nobody has such a microphone.
#[test]
fn a_microphone_that_is_missing_is_named_and_its_camera_goes_on() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-no-microphone");
    let file = root().join("fixtures/kitchen.mp4");
    let url = format!("url={}", file.display());
    let heard = "demux. ! queue ! clocksync ! decodebin !";
    let microphone = [(heard, "alsasrc device=hw:CARD=nobodys !")];
    let missing = changed(&folder, "live_file.yaml", &microphone);
    let missing = {
        let to = folder.join("microphone.yaml");
        std::fs::rename(missing, &to).unwrap();
        to
    };
    let fine = changed(&folder, "live_file.yaml", &[]);
    let args = [
        missing.to_str().unwrap(),
        fine.to_str().unwrap(),
        "--set",
        &url,
    ];
    let mut running = Running::start(&folder, &args);
    running.until("frames beside an anchor", |events| {
        let mut states = of(events, "state").into_iter();
        states.any(|event| event["source"] == "microphone" && event["state"] == "healthy")
            && !of(events, "anchor").is_empty()
    });
    let said = running.said();
    assert!(
        said.contains("microphone: alsasrc") && said.contains("nobodys"),
        "{said}"
    );
    let summary = running.stop();
    let microphone = &summary["sources"][0];
    assert_eq!(
        (&microphone["faults"]["lost"], &microphone["starts"]),
        (&1.into(), &2.into()),
        "{summary}"
    );
    assert_eq!(summary["sources"][1]["starts"], 1, "{summary}");
    whole(&folder, &folder.join("out"));
}

#[test]
fn the_doctor_tries_a_camera_and_says_what_it_gives() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-doctor");
    let fixture = root().join("fixtures/kitchen.mp4");
    let (Some(fine), Some(shy)) = (
        Camera::start(0, &fixture, &[]),
        Camera::start(
            0,
            &fixture,
            &["--sound", "none", "--user", "me:open-sesame"],
        ),
    ) else {
        return;
    };
    let live = std::fs::read_to_string(root().join("pipelines/live_rtsp.yaml")).unwrap();
    let sources = format!(
        "sources:\n  - {{ name: fine, {} }}\n  - {{ name: mute, url: 'rtsp://me:open-sesame@127.0.0.1:{port}/stream' }}\n",
        fine.url().replace('=', ": "),
        port = shy.1
    );
    std::fs::write(folder.join("two.yaml"), live.clone() + &sources).unwrap();
    let tried = earmark(&folder, &["doctor", "--live", "two.yaml", "--seconds", "5"]);
    let said = seen(&tried);
    assert!(tried.status.success(), "{said}");
    for part in [
        "fine: plays",
        "H.264",
        "keyframes  every",
        "AAC",
        "runs at ",
        "none of",
        "look-ahead",
        "mute: plays",
        "none arrived: falls back to evenly spaced frames",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("open-sesame"), "{said}");
    let url = format!("url=rtsp://me:wrong@127.0.0.1:{}/stream", shy.1);
    std::fs::write(folder.join("one.yaml"), live).unwrap();
    let args = ["doctor", "--json", "--live", "one.yaml", "--set", &url];
    let tried = earmark(&folder, &args);
    assert_eq!(tried.status.code(), Some(1), "{}", seen(&tried));
    let value: Value = serde_json::from_slice(&tried.stdout).unwrap();
    let why = value["sources"][0]["failed"].as_str().unwrap();
    assert!(why.contains("401"), "{why}");
}

/// Times are the camera's own: what comes late lies where it belongs.
#[test]
fn a_freeze_and_the_burst_after_it_lose_nothing() {
    let Some(python) = ready() else { return };
    let folder = folder("live-freeze");
    let Some(camera) = Camera::start(0, &root().join("fixtures/kitchen.mp4"), &[]) else {
        return;
    };
    let proxy = Proxy::to(camera.1);
    let url = format!("url=rtsp://127.0.0.1:{}/stream", proxy.port);
    let live = root().join("pipelines/live_rtsp.yaml");
    let mut running = Running::start(&folder, &[live.to_str().unwrap(), "--set", &url]);
    running.until("an anchor", |events| !of(events, "anchor").is_empty());
    proxy.frozen.store(true, Ordering::Relaxed);
    running.until("silence", |events| states(events).contains(&"silent"));
    std::thread::sleep(Duration::from_secs(2));
    proxy.frozen.store(false, Ordering::Relaxed);
    let before = of(&running.events(), "anchor").len();
    running.until("more anchors", |events| {
        of(events, "anchor").len() > before && states(events).last() == Some(&"healthy")
    });
    let summary = running.stop();
    assert_eq!(summary["sources"][0]["starts"], 1, "{summary}");
    let files = whole(&folder, &folder.join("out"));
    let cues = read(&python, &files)[0]["cues"].clone();
    let cues: Vec<i64> = serde_json::from_value(cues).unwrap();
    assert!(cues.len() > 60, "{}", cues.len());
    let steps: Vec<i64> = cues.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|&step| step == 80_000_000), "{steps:?}");
}
