//! MPEG-TS over UDP: lost packets, and a stream that restarts with another size.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Running, changed, cut, read, ready, states, whole};
use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

/// ffmpeg that plays a file at real speed to a port.
struct Sender(Child);

impl Sender {
    fn start(file: &Path, port: u16, how: &[&str]) -> Self {
        let child = Command::new("ffmpeg")
            .args(["-v", "error", "-re", "-i"])
            .arg(file)
            .args(how)
            .args(["-f", "mpegts"])
            .arg(format!("udp://127.0.0.1:{port}?pkt_size=1316"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Passes datagrams on to a port, but loses one in so many, and changes the order of others.
fn lossy(to: u16, one_in: usize) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        let mut late: Option<Vec<u8>> = None;
        for k in 1_usize.. {
            let Ok(n) = socket.recv(&mut bytes) else {
                return;
            };
            let send = |bytes: &[u8]| socket.send_to(bytes, ("127.0.0.1", to));
            if k % one_in == 0 {
                continue;
            }
            if k % (3 * one_in) == one_in / 2 {
                late = Some(bytes[..n].to_vec());
                continue;
            }
            let _ = send(&bytes[..n]);
            if let Some(bytes) = late.take() {
                let _ = send(&bytes);
            }
        }
    });
    port
}

const BASE: [(&str, &str); 4] = [
    ("background_tier: low", "background_tier: base"),
    ("tokens_per_s: 49", "tokens_per_s: 800"),
    ("max_gap_ms: 30000", "max_gap_ms: 300"),
    ("segment_minutes: 60", "segment_minutes: 5"),
];

#[test]
fn frames_that_are_damaged_by_lost_packets_are_not_encoded() {
    let Some(python) = ready() else { return };
    let folder = folder("live-lossy");
    let file = cut(&folder, 14);
    let port = free();
    let (seldom, often) = (port, free());
    let pipeline = changed(&folder, "live_udp.yaml", &BASE);
    let both = format!(
        "sources:\n  - {{ name: often, url: 'udp://127.0.0.1:{often}' }}\n  - {{ name: seldom, url: 'udp://127.0.0.1:{seldom}' }}\n"
    );
    let text = std::fs::read_to_string(&pipeline).unwrap() + &both;
    std::fs::write(&pipeline, text).unwrap();
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap()]);
    running.until("its start", |events| {
        states(events)
            .iter()
            .filter(|state| **state == "starting")
            .count()
            >= 2
    });
    std::thread::sleep(Duration::from_secs(1));
    // 1 % and 5 %.
    let mut other = Sender::start(&file, lossy(seldom, 100), &["-c", "copy"]);
    let mut sender = Sender::start(&file, lossy(often, 20), &["-c", "copy"]);
    running.until("media", |events| states(events).contains(&"healthy"));
    sender.0.wait().unwrap();
    other.0.wait().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let summary = running.stop();
    let files = whole(&folder, &folder.join("out"));
    assert!(
        summary["sources"][1]["frames"].as_u64() >= Some(10),
        "{summary}"
    );
    assert!(
        summary["sources"][0]["damaged"].as_u64() >= Some(10),
        "{summary}"
    );
    // Every frame as it is in the undamaged recording.
    let dense = root().join("pipelines/dense.yaml");
    let ran = earmark(
        &folder,
        &[
            "run",
            dense.to_str().unwrap(),
            "--input",
            file.to_str().unwrap(),
            "--output",
            "all.h5",
        ],
    );
    assert!(ran.status.success(), "{}", seen(&ran));
    let script = "
import json, sys
import h5py, numpy as np
def features(name):
    with h5py.File(name) as f:
        x = f['frames/features'][:].astype('f8')
        return x / np.linalg.norm(x, axis=1, keepdims=True)
whole = features(sys.argv[1])
print(json.dumps([float(v) for name in sys.argv[2:] for v in (features(name) @ whole.T).max(axis=1)]))
";
    let compared = Command::new(&python)
        .args(["-c", script])
        .arg(folder.join("all.h5"))
        .args(&files)
        .output()
        .unwrap();
    let near: Vec<f64> = serde_json::from_slice(&compared.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&compared.stderr)));
    let worst = near.iter().copied().fold(1.0, f64::min);
    assert!(worst > 0.999, "{near:?}\n{summary}");
}

#[test]
fn a_stream_that_begins_anew_in_another_size_goes_on() {
    let Some(python) = ready() else { return };
    let folder = folder("live-anew");
    let file = cut(&folder, 8);
    let port = free();
    let pipeline = changed(&folder, "live_udp.yaml", &BASE);
    let url = format!("url=udp://127.0.0.1:{port}");
    let mut running = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]);
    running.until("its start", |events| states(events).contains(&"starting"));
    std::thread::sleep(Duration::from_secs(1));
    let mut sender = Sender::start(&file, port, &["-c", "copy"]);
    sender.0.wait().unwrap();
    // Its times begin at zero again, and so does its sound, at another rate.
    let how = [
        "-vf",
        "scale=320:180",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-g",
        "25",
        "-c:a",
        "aac",
        "-ar",
        "22050",
    ];
    let mut sender = Sender::start(&file, port, &how);
    sender.0.wait().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    running.stop();
    let files = whole(&folder, &folder.join("out"));
    let all = read(&python, &files);
    // Where its times go on they do so in one file, where they jump there is another one.
    let numbers = |file: &Value, key: &str| -> Vec<i64> {
        serde_json::from_value(file[key].clone()).unwrap()
    };
    let (mut frames, mut cues, mut ends) = (0, 0, Vec::new());
    for file in all.as_array().unwrap() {
        let pts = numbers(file, "pts");
        assert!(pts.windows(2).all(|pair| pair[0] <= pair[1]), "{pts:?}");
        frames += pts.len();
        cues += numbers(file, "cues").len();
        ends.extend(pts.last().copied());
    }
    let late = ends.len() > 1 || ends.iter().any(|&end| end > 11_000_000_000);
    assert!(
        late && frames > 20 && cues > 150,
        "{frames} {cues} {ends:?}"
    );
}
