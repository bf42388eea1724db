//! An encoder that is too slow for its camera.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::out::{ask, free};
use super::{Camera, LONGEST, Running, changed, cut, of, read, ready, states, whole};
use crate::recordings::{folder, root};

/// The manifest of an encoder that needs much more time than a frame lasts.
fn slow_encoder(python: &Path, folder: &Path) -> PathBuf {
    let made = Command::new(python)
        .arg(root().join("tests/make_models.py"))
        .arg(folder)
        .status();
    assert!(made.unwrap().success());
    let hash = gstearmark::models::sha256(&folder.join("slow.onnx")).unwrap();
    let manifest = folder.join("slow.yaml");
    let text = format!(
        "
schema: earmark-model/1
name: slow
kind: encoder
file: slow.onnx
sha256: \"{hash}\"
source: {{ package: none, version: \"1\", licence: MIT }}
input: {{ name: pixel_values, layout: NCHW, dtype: f32, colour: RGB, mean: [0, 0, 0], std: [255, 255, 255] }}
output: {{ name: image_embeds, dim: 3 }}
tiers:
  low: {{ px: 112, tokens: 49 }}
  base: {{ px: 224, tokens: 196 }}
  high: {{ px: 448, tokens: 784 }}
"
    );
    std::fs::write(&manifest, text).unwrap();
    manifest
}

#[test]
fn a_camera_goes_on_in_real_time_beside_a_slow_encoder_and_every_loss_is_counted() {
    let Some(python) = ready() else { return };
    let folder = folder("live-slow");
    let fixture = root().join("fixtures/kitchen.mp4");
    let Some(camera) = Camera::start(0, &fixture, &[]) else {
        return;
    };
    let model = format!("model: {}", slow_encoder(&python, &folder).display());
    // A frame without an anchor every fifth of a second, at the price of a high one.
    let changes = [
        ("model: efficientnet-lite0", &*model),
        ("tokens_per_s: 49", "tokens_per_s: 8000"),
        ("background_tier: low", "background_tier: high"),
        ("untrusted_tier: base", "untrusted_tier: high"),
        ("max_gap_ms: 30000", "max_gap_ms: 200"),
        ("segment_minutes: 60", "segment_minutes: 0.2"),
        ("flush_s: 10", "flush_s: 1"),
    ];
    let pipeline = changed(&folder, "live_rtsp.yaml", &changes);
    let port = free();
    let address = format!("127.0.0.1:{port}");
    let url = camera.url();
    let args = [
        pipeline.to_str().unwrap(),
        "--set",
        &url,
        "--name",
        "door",
        "--status",
        &address,
        "--threads",
        "1",
    ];
    let mut running = Running::start(&folder, &args);
    running.until("its start", |events| states(events).contains(&"healthy"));
    let metrics = |name: &str| -> u64 {
        let text = ask(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let line = format!("earmark_{name}{{source=\"door\"}} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&line));
        value.map_or(0, |value| value.trim().parse().unwrap())
    };
    let begun = Instant::now();
    while metrics("frames_left_out_total") < 40 || metrics("files_total") < 1 {
        assert!(begun.elapsed() < LONGEST, "{}", running.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(metrics("anchor_frames_left_out_total"), 0);
    let events = running.events();
    // The sound, and so the anchors, were never late enough for anybody to think that the camera is gone.
    assert_eq!(
        states(&events),
        ["starting", "healthy"],
        "{}",
        running.said()
    );
    assert!(of(&events, "anchor").len() > 2);
    let said = running.said();
    assert_eq!(said.matches("the encoder is too slow").count(), 1, "{said}");
    let summary = running.stop();
    drop(camera);
    let door = &summary["sources"][0];
    assert_eq!(
        (&door["starts"], &door["abandoned"]),
        (&1.into(), &0.into())
    );
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    let all = all.as_array().unwrap();
    let number = |key: &str| -> u64 {
        let of =
            |file: &serde_json::Value| file["all"][key].as_str().map(|n| n.parse::<u64>().unwrap());
        all.iter().filter_map(of).sum()
    };
    let rows: usize = all
        .iter()
        .map(|file| file["pts"].as_array().unwrap().len())
        .sum();
    assert_eq!(rows as u64, door["frames"], "{door}");
    assert_eq!(number("frames_left_out"), door["left_out"], "{door}");
    assert_eq!(
        number("anchor_frames_left_out"),
        door["left_out_anchors"],
        "{door}"
    );
    assert!(number("frames_missed") >= number("frames_left_out"));
}

#[test]
fn a_file_waits_for_a_slow_encoder_and_is_played_once() {
    let Some(python) = ready() else { return };
    let folder = folder("live-slow-file");
    let model = format!("model: {}", slow_encoder(&python, &folder).display());
    let changes = [
        ("model: efficientnet-lite0", &*model),
        ("tokens_per_s: 49", "tokens_per_s: 8000"),
        ("background_tier: low", "background_tier: base"),
        ("max_gap_ms: 30000", "max_gap_ms: 80"),
        ("silence_s: 3", "silence_s: 1"),
        ("restart_s: 8", "restart_s: 2"),
        // As fast as it goes.
        ("clocksync ! ", ""),
    ];
    let pipeline = changed(&folder, "live_file.yaml", &changes);
    let url = format!("url={}", cut(&folder, 3).display());
    let args = [pipeline.to_str().unwrap(), "--set", &url, "--threads", "1"];
    let running = Running::start(&folder, &args);
    let (ended, said) = running.end();
    assert!(ended.status.success(), "{said}");
    let summary: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let file = &summary["sources"][0];
    assert_eq!(
        (&file["starts"], &file["left_out"]),
        (&1.into(), &0.into()),
        "{said}"
    );
    let files = whole(&folder, &folder.join("out"));
    let rows = read(&python, &files)[0]["pts"].as_array().unwrap().len();
    assert!(rows > 30 && file["frames"] == rows, "{rows}: {file}");
}
