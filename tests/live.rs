//! Shared helpers for the tests of `earmark live`: a running process, a camera, a proxy between them.
//!
//! # Layout
//!
//! - `runs`: a file at real speed, a kill, pipelines read again, what is wrong with a pipeline.
//! - `faults`: a camera that is killed, frozen, refuses, and has no sound. `disk`: a disk that is full or may not be written.
//! - `devices`: a microphone that is unplugged. `slow`: an encoder that is too slow.
//! - `hostile`: a camera, a broker and clients that send anything; what is never written.
//! - `udp`: packets that are lost, a stream that begins anew.
//! - `out`: what others receive.

mod devices;
mod disk;
mod faults;
mod hostile;
mod out;
mod runs;
mod slow;
mod udp;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::recordings::{python, root};
use crate::validate::{earmark, seen};

/// Nothing that is waited for takes longer, however busy the machine is.
pub(crate) const LONGEST: Duration = Duration::from_secs(150);

/// Whether models and python are there; says so if not.
pub(crate) fn ready() -> Option<PathBuf> {
    let there = root().join("models/built/efficientnet-lite0.onnx").exists();
    if !there {
        eprintln!("skipped: the models are not installed; `make setup` does");
    }
    python().filter(|_| there)
}

/// The first seconds of the shipped recording.
pub(crate) fn cut(folder: &Path, seconds: u32) -> PathBuf {
    let path = folder.join(format!("cut-{seconds}.mp4"));
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(root().join("fixtures/kitchen.mp4"))
        .args(["-t", &seconds.to_string(), "-c", "copy"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    path
}

/// A pipeline of ours with other values of some keys.
pub(crate) fn changed(folder: &Path, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(root().join("pipelines").join(name)).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What is in a feature file, as JSON.
fn read(python: &Path, files: &[PathBuf]) -> Value {
    let script = "
import h5py, json, sys
out = []
for name in sys.argv[1:]:
    with h5py.File(name) as f:
        text = lambda v: v.decode() if isinstance(v, bytes) else str(v)
        out.append({
            'pts': f['frames/pts_ns'][:].tolist(), 'planned': f['frames/planned_ns'][:].tolist(),
            'tier': f['frames/tier'][:].tolist(), 'reason': f['frames/reason'][:].tolist(), 'anchor': f['frames/anchor'][:].tolist(),
            'tokens': f['frames/tokens'][:].tolist(), 'onset': f['anchors/onset_ns'][:].tolist(), 'start': f['anchors/start_ns'][:].tolist(),
            'score': f['anchors/score'][:].tolist(), 'label': [text(v) for v in f['anchors/label'][:]], 'cues': f['cues/pts_ns'][:].tolist(),
            'speech': f['cues/speech'][:].tolist(),
            'sum': float(f['frames/features'][:].sum()), 'duration': int(f.attrs['duration_ns']), 'complete': bool(f.attrs['complete']),
            'budget': int(f.attrs['budget_tokens']), 'spent': int(f.attrs['spent_tokens']),
            'all': {k: text(v) for k, v in f.attrs.items()},
        })
print(json.dumps(out))
";
    let output = Command::new(python)
        .args(["-c", script])
        .args(files)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Files below a live folder that end so.
fn files(output: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(output)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|day| {
            std::fs::read_dir(day.path())
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    files
}

/// Every file is whole.
#[track_caller]
pub(crate) fn whole(folder: &Path, output: &Path) -> Vec<PathBuf> {
    assert_eq!(files(output, ".partial"), Vec::<PathBuf>::new());
    let files = files(output, ".h5");
    for file in &files {
        let verified = earmark(folder, &["verify", file.to_str().unwrap()]);
        assert!(verified.status.success(), "{}", seen(&verified));
    }
    files
}

/// `earmark live` that runs.
pub(crate) struct Running {
    child: Child,
    events: PathBuf,
    said: PathBuf,
}

impl Running {
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        let (events, said) = (folder.join("events.jsonl"), folder.join("said.txt"));
        let _ = std::fs::remove_file(&events);
        let child = Command::new(env!("CARGO_BIN_EXE_earmark"))
            .arg("live")
            .args(args)
            .arg("--events")
            .arg(&events)
            .args(["--output", "out", "--json"])
            .current_dir(folder)
            .env("EARMARK_MODELS", root().join("models"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        Self {
            child,
            events,
            said,
        }
    }

    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.events).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    pub(crate) fn events_path(&self) -> PathBuf {
        self.events.clone()
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until the events are as wanted.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut wanted: impl FnMut(&[Value]) -> bool) {
        let begun = Instant::now();
        while !wanted(&self.events()) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                begun.elapsed() < LONGEST && ended.is_none(),
                "{what} did not come ({ended:?}):\n{}\n{:#?}",
                self.said(),
                self.events()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it has said something on stderr.
    #[track_caller]
    fn until_said(&self, text: &str) {
        let begun = Instant::now();
        while !self.said().contains(text) {
            assert!(begun.elapsed() < LONGEST, "{text}: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; what it printed.
    pub(crate) fn end(mut self) -> (Output, String) {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(
                begun.elapsed() < LONGEST,
                "it does not end: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = self.said();
        let mut stdout = Vec::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_end(&mut stdout)
            .unwrap();
        let status = self.child.wait().unwrap();
        let output = Output {
            status,
            stdout,
            stderr: said.clone().into_bytes(),
        };
        (output, said)
    }

    /// As SIGTERM; it must end well.
    #[track_caller]
    pub(crate) fn stop(self) -> Value {
        self.signal("TERM");
        let (output, said) = self.end();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A camera.
struct Camera(Child, u16);

impl Camera {
    /// `None`, and a line that says so, where what it needs is missing. Port 0: any.
    fn start(port: u16, file: &Path, args: &[&str]) -> Option<Self> {
        let mut child = Command::new("/usr/bin/python3")
            .arg(root().join("tests/rtsp_server.py"))
            .arg(port.to_string())
            .arg(file)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let stdout = child.stdout.take()?;
        BufReader::new(stdout).read_line(&mut line).ok()?;
        let port = line
            .strip_prefix("ready ")
            .and_then(|port| port.trim().parse().ok());
        let Some(port) = port else {
            eprintln!(
                "skipped: no RTSP server; install python3-gi and gir1.2-gst-rtsp-server-1.0 (`make setup` does)"
            );
            let _ = child.wait();
            return None;
        };
        Some(Self(child, port))
    }

    fn url(&self) -> String {
        format!("url=rtsp://127.0.0.1:{}/stream", self.1)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["kind"] == kind)
        .collect()
}

fn states(events: &[Value]) -> Vec<&str> {
    of(events, "state")
        .into_iter()
        .filter_map(|event| event["state"].as_str())
        .collect()
}

/// A proxy on loopback that can stop to forward, without a word.
pub(crate) struct Proxy {
    port: u16,
    frozen: Arc<AtomicBool>,
}

impl Proxy {
    fn to(port: u16) -> Self {
        Self::at(0, port)
    }

    pub(crate) fn at(own: u16, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", own)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let frozen = Arc::new(AtomicBool::new(false));
        let state = frozen.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Whoever calls while it is frozen is let in and hears nothing.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ] {
                    let state = state.clone();
                    std::thread::spawn(move || {
                        let mut bytes = [0; 16 << 10];
                        while let Ok(n @ 1..) = from.read(&mut bytes) {
                            while state.load(Ordering::Relaxed) {
                                std::thread::sleep(Duration::from_millis(20));
                            }
                            if to.write_all(&bytes[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { port: own, frozen }
    }
}
