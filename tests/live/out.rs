//! What `earmark live` sends to others: a broker that comes, goes and refuses, a web server that fails, the page and its clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{LONGEST, Proxy, Running, changed, cut, of, ready};
use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

/// A port that nobody uses right now.
pub(super) fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Mosquitto, and a client that writes down everything.
struct Broker(Child);

impl Broker {
    /// `None`, and a line that says so, where it is missing.
    fn start(folder: &Path, port: u16, password: Option<(&str, &str)>) -> Option<Self> {
        let mosquitto = [
            "/usr/sbin/mosquitto",
            "/usr/local/sbin/mosquitto",
            "/usr/bin/mosquitto",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists());
        let Some(mosquitto) = mosquitto else {
            eprintln!("skipped: mosquitto is missing; `make setup` installs it");
            return None;
        };
        let config = folder.join("mosquitto.conf");
        let mut text = format!("listener {port} 127.0.0.1\npersistence false\nuser root\n");
        match password {
            None => text += "allow_anonymous true\n",
            Some((user, password)) => {
                let file = folder.join("passwords");
                let made = Command::new("mosquitto_passwd")
                    .args(["-b", "-c"])
                    .arg(&file)
                    .args([user, password])
                    .status()
                    .unwrap();
                assert!(made.success());
                text += &format!("allow_anonymous false\npassword_file {}\n", file.display());
            }
        }
        std::fs::write(&config, text).unwrap();
        let child = Command::new(mosquitto)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < LONGEST);
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self(child))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that a broker passes on, as `topic payload`.
struct Listener(Child, Arc<Mutex<Vec<(String, Value)>>>);

impl Listener {
    fn to(port: u16) -> Self {
        // MQTT by hand: CONNECT, SUBSCRIBE to everything with QoS 1, then what comes.
        let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let all = heard.clone();
        let script = "
import socket, sys, struct
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def send(kind, body): s.sendall(bytes([kind]) + bytes([len(body)]) + body)
send(0x10, b'\\0\\4MQTT\\4\\2\\0\\0' + b'\\0\\4test')
send(0x82, b'\\0\\1\\0\\1#\\1')
f = s.makefile('rb')
while True:
    head = f.read(1)
    if not head: break
    size = shift = 0
    while True:
        b = f.read(1)[0]; size |= (b & 127) << shift; shift += 7
        if not b & 128: break
    body = f.read(size)
    if head[0] >> 4 != 3: continue
    n = struct.unpack('>H', body[:2])[0]
    topic, rest = body[2:2+n].decode(), body[2+n:]
    if head[0] & 6:
        s.sendall(bytes([0x40, 2]) + rest[:2]); rest = rest[2:]
    print(topic + '\\t' + rest.decode(), flush=True)
";
        let mut child = Command::new("python3")
            .args(["-c", script, &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let (topic, payload) = line.split_once('\t').unwrap();
                let value = serde_json::from_str(payload).unwrap_or(Value::String(payload.into()));
                all.lock().unwrap().push((topic.into(), value));
            }
        });
        Self(child, heard)
    }

    fn of(&self, topic: &str) -> Vec<Value> {
        let all = self.1.lock().unwrap();
        all.iter()
            .filter(|(of, _)| of == topic)
            .map(|(_, value)| value.clone())
            .collect()
    }

    #[track_caller]
    fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !wanted(self) {
            assert!(
                begun.elapsed() < LONGEST,
                "{what}: {:#?}",
                self.1.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_broker_that_refuses_is_away_or_slow_gets_every_anchor_later_in_order() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-mqtt");
    let (port, behind) = (free(), free());
    let file = cut(&folder, 14);
    let url = format!("url={}", file.display());
    let events = format!(
        "events: {{ mqtt: 'mqtt://me:wish-bone@127.0.0.1:{port}', mqtt_prefix: home/ear }}\nlive:"
    );
    let pipeline = changed(
        &folder,
        "live_file.yaml",
        &[
            ("live:", &events),
            ("tokens_per_s: 49", "tokens_per_s: 196"),
        ],
    );
    let args = [pipeline.to_str().unwrap(), "--set", &url, "--name", "door"];
    let delivered = |running: Running| {
        let place = running.events_path();
        let (ended, said) = running.end();
        assert!(ended.status.success(), "{said}");
        assert!(!said.contains("wish-bone"), "{said}");
        let text = std::fs::read_to_string(place).unwrap();
        let all: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(of(&all, "anchor").len(), of(&all, "written").len());
        let ids: Vec<Value> = of(&all, "anchor")
            .iter()
            .map(|event| event["id"].clone())
            .collect();
        assert!(ids.len() >= 3, "{ids:?}");
        (ids, said)
    };
    // At first there is one that refuses.
    let Some(broker) = Broker::start(&folder, port, Some(("me", "another"))) else {
        return;
    };
    let (mut wanted, said) = delivered(Running::start(&folder, &args));
    assert!(
        said.contains("refuses the login") && said.contains("wait on disk"),
        "{said}"
    );
    drop(broker);
    // Then, in another run, one that takes everything once somebody listens.
    let open = crate::recordings::folder("live-mqtt-open");
    let Some(_broker) = Broker::start(&open, behind, None) else {
        return;
    };
    let running = Running::start(&folder, &args);
    let listener = Listener::to(behind);
    std::thread::sleep(Duration::from_secs(2));
    let proxy = Proxy::at(port, behind);
    listener.until("the first anchor", |listener| {
        !listener.of("home/ear/door/anchor").is_empty()
    });
    // For some seconds it takes nothing and says nothing.
    proxy.frozen.store(true, Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(3));
    proxy.frozen.store(false, Ordering::Relaxed);
    let (more, _) = delivered(running);
    wanted.extend(more);
    let heard = |listener: &Listener| {
        let mut ids: Vec<Value> = Vec::new();
        for event in listener.of("home/ear/door/anchor") {
            if !ids.contains(&event["id"]) {
                ids.push(event["id"].clone());
            }
        }
        ids
    };
    listener.until("all anchors", |listener| {
        heard(listener).len() >= wanted.len()
    });
    assert_eq!(heard(&listener), wanted);
    listener.until("the discovery", |listener| {
        !listener
            .of("homeassistant/sensor/home_ear_door/sound/config")
            .is_empty()
    });
    listener.until("the end", |listener| {
        listener.of("home/ear/status").last() == Some(&Value::from("offline"))
    });
}

/// A web server that gives the set answers, and notes what it got.
fn web(answers: &'static [u16]) -> (u16, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got: Arc<Mutex<Vec<Value>>> = Arc::default();
    let all = got.clone();
    std::thread::spawn(move || {
        let mut answers = answers.iter().chain(std::iter::repeat(&200));
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let (mut size, mut first) = (0, true);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    first = false;
                    let lower = line.to_lowercase();
                    if let Some(length) = lower.strip_prefix("content-length:") {
                        size = length.trim().parse().unwrap();
                    }
                    line.clear();
                }
                if first {
                    break;
                }
                let mut body = vec![0; size];
                reader.read_exact(&mut body).unwrap();
                let answer = *answers.next().unwrap();
                if answer == 200 {
                    all.lock()
                        .unwrap()
                        .push(serde_json::from_slice(&body).unwrap());
                }
                let _ = write!(stream, "HTTP/1.1 {answer} So\r\ncontent-length: 0\r\n\r\n");
            }
        }
    });
    (port, got)
}

#[test]
fn a_web_server_that_fails_gets_every_anchor_later() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-webhook");
    let (port, got) = web(&[500, 503, 500]);
    let file = cut(&folder, 14);
    let url = format!("url={}", file.display());
    let events = format!("events: {{ webhook: 'http://127.0.0.1:{port}/hook?key=1' }}\nlive:");
    let pipeline = changed(
        &folder,
        "live_file.yaml",
        &[
            ("live:", &events),
            ("tokens_per_s: 49", "tokens_per_s: 196"),
        ],
    );
    let running = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]);
    let place = running.events_path();
    let (ended, said) = running.end();
    assert!(ended.status.success(), "{said}");
    let text = std::fs::read_to_string(place).unwrap();
    let delivered: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(of(&delivered, "anchor").len() >= 3, "{delivered:?}");
    let wanted = ["anchor", "written"];
    let delivered: Vec<Value> = delivered
        .into_iter()
        .filter(|event| wanted.contains(&event["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(*got.lock().unwrap(), delivered);
    assert!(said.contains("answers 50"), "{said}");
}

/// What a server answers to a request, whole.
pub(super) fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn the_page_answers_with_a_token_only_and_drops_clients_that_do_not_read() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-page");
    let (port, token) = (free(), "0123456789abcdef0123");
    std::fs::write(folder.join("token"), token).unwrap();
    let file = cut(&folder, 20);
    let url = format!("url={}", file.display());
    let images = [
        ("flush_s: 10", "flush_s: 1"),
        ("tokens_per_s: 49", "tokens_per_s: 196"),
        ("\nlive:", "\nevents: { jpeg: true }\nlive:"),
    ];
    let live = changed(&folder, "live_file.yaml", &images);
    let address = format!("127.0.0.1:{port}");
    let mut running = Running::start(
        &folder,
        &[
            live.to_str().unwrap(),
            "--set",
            &url,
            "--name",
            "door",
            "--status",
            &address,
            "--token-file",
            "token",
        ],
    );
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < LONGEST, "{}", running.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let host = format!("Host: 127.0.0.1:{port}");
    let get = |path: &str, more: &str| ask(port, &format!("GET {path} HTTP/1.1\r\n{host}{more}"));
    let bearer = format!("\r\nAuthorization: Bearer {token}");
    assert!(get("/healthz", "").starts_with("HTTP/1.1 200"));
    for path in ["/", "/metrics", "/api/state", "/api/events", "/live.js"] {
        assert!(get(path, "").starts_with("HTTP/1.1 401"), "{path}");
        assert!(
            get(path, "\r\nAuthorization: Bearer wrong").starts_with("HTTP/1.1 401"),
            "{path}"
        );
    }
    assert!(
        ask(
            port,
            &format!("GET / HTTP/1.1\r\nHost: evil.example{bearer}")
        )
        .starts_with("HTTP/1.1 403")
    );
    assert!(ask(port, &format!("POST / HTTP/1.1\r\n{host}{bearer}")).starts_with("HTTP/1.1 405"));
    let first = get(&format!("/?token={token}"), "");
    assert!(
        first.contains("<title>Earmark live") && first.contains("HttpOnly"),
        "{first}"
    );
    assert!(first.contains("default-src 'self'"), "{first}");
    running.until("an anchor", |events| !of(events, "anchor").is_empty());
    assert!(get("/readyz", "").starts_with("HTTP/1.1 200"));
    let state = get("/api/state", &bearer);
    let body = state.split("\r\n\r\n").nth(1).unwrap();
    let json = body
        .find('{')
        .and_then(|at| body.rfind('}').map(|stop| &body[at..=stop]))
        .unwrap();
    let state: Value = serde_json::from_str(json).unwrap();
    let door = &state["sources"][0];
    assert_eq!(
        (&door["name"], &door["state"]),
        (&"door".into(), &"healthy".into())
    );
    assert!(
        door["heard"]["sound"].as_array().unwrap().len() > 1 && door["anchors"].as_u64() > Some(0),
        "{door}"
    );
    let metrics = get("/metrics", &bearer);
    assert!(
        metrics.contains("earmark_source_state{source=\"door\",state=\"healthy\"} 1"),
        "{metrics}"
    );

    // Clients that ask and never read; then one that does.
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET /api/events HTTP/1.1\r\n{host}{bearer}\r\n\r\n").unwrap();
        idle.push(stream);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\n{host}{bearer}\r\n\r\n").unwrap();
    let mut kinds: Vec<String> = Vec::new();
    let images = of(&running.events(), "image").len();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(kind) = line.strip_prefix("event: ") {
            kinds.push(kind.to_owned());
        }
        let has = |wanted: &str| kinds.iter().any(|kind| kind == wanted);
        // Whatever came before an image elsewhere has come here by now.
        let ticks = kinds.last().is_some_and(|kind| kind == "tick");
        let after = ticks && of(&running.events(), "image").len() > images;
        if after && has("anchor") && has("written") {
            break;
        }
    }
    assert!(!kinds.iter().any(|kind| kind == "image"), "{kinds:?}");
    drop(idle);
    running.stop();

    // Beyond this machine, not without a token.
    let refused = earmark(
        &folder,
        &[
            "live",
            live.to_str().unwrap(),
            "--set",
            &url,
            "--output",
            "other",
            "--status",
            "0.0.0.0:0",
        ],
    );
    assert!(
        !refused.status.success() && seen(&refused).contains("--token-file"),
        "{}",
        seen(&refused)
    );
}

/// Where chromium is installed. Its pictures stay beside the test's other files.
#[test]
fn the_page_is_seen_in_a_browser_on_a_desk_and_on_a_phone() {
    let Some(python) = ready() else { return };
    let folder = folder("live-browser");
    let (port, file) = (free(), root().join("fixtures/kitchen.mp4"));
    let live = std::fs::read_to_string(root().join("pipelines/live_file.yaml")).unwrap();
    let sources = format!(
        "sources:\n  - {{ name: kitchen, url: '{}' }}\n  - {{ name: hall, url: /nothing/here.mp4 }}\n",
        file.display()
    );
    let pipeline = folder.join("two.yaml");
    std::fs::write(&pipeline, live + &sources).unwrap();
    let address = format!("127.0.0.1:{port}");
    let args = [pipeline.to_str().unwrap(), "--status", &address];
    let mut running = Running::start(&folder, &args);
    running.until("two anchors", |events| of(events, "anchor").len() >= 2);
    for (width, height) in ["1200 900", "400 1300"].map(|size| size.split_once(' ').unwrap()) {
        let picture = folder.join(format!("page-{width}.png"));
        let looked = Command::new(&python)
            .arg(root().join("tests/look.py"))
            .arg(format!("http://127.0.0.1:{port}/"))
            .arg(&picture)
            .args([width, height])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&looked.stderr);
        if looked.status.code() == Some(77) {
            eprintln!("{said}");
            return;
        }
        let seen: Value =
            serde_json::from_slice(&looked.stdout).unwrap_or_else(|_| panic!("{said}"));
        assert_eq!(seen["errors"], Value::Array(Vec::new()), "{seen}");
        assert_eq!(seen["wide"], false, "{seen}");
        assert!(seen["ink"].as_u64() > Some(500), "{seen}");
        let text = seen["text"].as_str().unwrap();
        for part in [
            "kitchen",
            "healthy since",
            "hall",
            "lost",
            "No such file",
            "tokens left",
            " %)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(picture.metadata().unwrap().len() > 5_000);
    }
    running.stop();
}
