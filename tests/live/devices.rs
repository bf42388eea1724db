//! A camera and a microphone that are devices of their own: each may be missing, be unplugged, and come back.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::out::free;
use super::{Running, changed, of, read, ready, whole};
use crate::recordings::folder;

/// A microphone at a port: hums, with a click a second, until it is unplugged.
struct Microphone {
    plugged: Arc<AtomicBool>,
    listens: Option<std::thread::JoinHandle<()>>,
}

impl Microphone {
    fn plug_in(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let plugged = Arc::new(AtomicBool::new(true));
        let state = plugged.clone();
        let listens = std::thread::spawn(move || {
            while state.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
                let Ok((mut client, _)) = listener.accept() else {
                    continue;
                };
                let state = state.clone();
                std::thread::spawn(move || {
                    let begun = Instant::now();
                    for block in 0_u32.. {
                        let samples = (0..1_600).flat_map(|k| {
                            let at = block * 1_600 + k;
                            let hum = (at * 7_919 % 201) as i16 - 100;
                            let click = if at % 16_000 < 400 { 60 } else { 1 };
                            (hum * click).to_le_bytes()
                        });
                        let bytes: Vec<u8> = samples.collect();
                        let sent = client
                            .set_nonblocking(false)
                            .and_then(|()| client.write_all(&bytes));
                        if sent.is_err() || !state.load(Ordering::Relaxed) {
                            return;
                        }
                        let due = Duration::from_millis(100) * (block + 1);
                        std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    }
                });
            }
        });
        Self {
            plugged,
            listens: Some(listens),
        }
    }

    fn unplug(mut self) {
        self.plugged.store(false, Ordering::Relaxed);
        self.listens.take().unwrap().join().unwrap();
    }
}

#[test]
fn frames_go_on_while_a_microphone_is_missing_or_unplugged_and_it_is_heard_once_it_is_back() {
    let Some(python) = ready() else { return };
    let folder = folder("live-unplugged");
    let port = free();
    let camera = "v4l2src device=${device} ! image/jpeg ! jpegparse ! queue ! gate.video";
    let drawn = "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=10/1 ! jpegenc ! jpegparse ! queue ! gate.video";
    let heard = "alsasrc device=${microphone} ! queue !";
    let remote = "tcpclientsrc host=127.0.0.1 port=${microphone} ! rawaudioparse pcm-format=s16le sample-rate=16000 num-channels=1 ! queue !";
    let changes = [
        (camera, drawn),
        (heard, remote),
        ("tokens_per_s: 49", "tokens_per_s: 400"),
        ("max_gap_ms: 30000", "max_gap_ms: 1000"),
        ("retry_s: 6", "retry_s: 1"),
        ("flush_s: 10", "flush_s: 1"),
    ];
    let pipeline = changed(&folder, "live_camera.yaml", &changes);
    let microphone = format!("microphone={port}");
    let args = [
        pipeline.to_str().unwrap(),
        "--set",
        &microphone,
        "--name",
        "desk",
    ];
    let mut running = Running::start(&folder, &args);
    let since = |events: &[serde_json::Value], from: usize| -> Vec<String> {
        let states = of(events, "state").into_iter().skip(from);
        states
            .map(|event| event["state"].as_str().unwrap().to_owned())
            .collect()
    };
    running.until("frames alone", |events| {
        since(events, 0).last().is_some_and(|s| s == "healthy")
    });
    std::thread::sleep(Duration::from_secs(3));
    let plugged = Microphone::plug_in(port);
    running.until("the sound", |events| !of(events, "anchor").is_empty());
    let before = of(&running.events(), "state").len();
    plugged.unplug();
    running.until("frames alone again", |events| {
        let states = since(events, before);
        states.contains(&"restarting".to_owned()) && states.last().is_some_and(|s| s == "healthy")
    });
    std::thread::sleep(Duration::from_secs(3));
    let before = running.events().len();
    let plugged = Microphone::plug_in(port);
    running.until("the sound again", |events| {
        !of(&events[before..], "anchor").is_empty()
    });
    let said = running.said();
    assert!(!said.contains("CRITICAL"), "{said}");
    let summary = running.stop();
    plugged.unplug();
    for part in [
        "frames are taken evenly without it",
        "it goes on without sound",
        "the sound is back",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let desk = &summary["sources"][0];
    assert_eq!(desk["faults"]["returned"], 2, "{summary}\n{said}");
    assert!(
        desk["abandoned"] == 0 && desk["starts"].as_u64() <= Some(7),
        "{summary}"
    );
    // Every start has a file of its own, and each of them has frames.
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    let all = all.as_array().unwrap();
    let with = |key: &str| {
        all.iter()
            .filter(|file| !file[key].as_array().unwrap().is_empty())
            .count()
    };
    assert!(
        all.len() >= 4 && with("pts") == all.len(),
        "{} of {}",
        with("pts"),
        all.len()
    );
    assert!(with("onset") >= 2 && with("onset") < all.len());
    // Without sound they are taken evenly.
    let evenly = all
        .iter()
        .filter(|file| file["onset"].as_array().unwrap().is_empty());
    for file in evenly {
        let reasons = file["reason"].as_array().unwrap();
        assert!(reasons.iter().any(|reason| *reason == 1), "{reasons:?}");
    }
}
