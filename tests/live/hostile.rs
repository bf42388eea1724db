//! A camera, a broker and clients of the page that send anything but what they should; and what is never written.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{LONGEST, Running, changed, cut, of, ready, states};
use crate::recordings::folder;

/// Bytes that look random, the same every time.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 7_u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// A server that answers each caller with the next of some answers, and how many have called.
fn server(answers: Vec<Vec<u8>>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = calls.clone();
    std::thread::spawn(move || {
        for mut caller in listener.incoming().flatten() {
            let answer = answers[seen.fetch_add(1, Ordering::Relaxed) % answers.len()].clone();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                let _ = caller.set_read_timeout(Some(Duration::from_secs(5)));
                while let Ok(1..) = caller.read(&mut bytes) {
                    if caller.write_all(&answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, calls)
}

fn resident_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[test]
fn whatever_camera_broker_and_clients_send_the_process_stays_up_and_small() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-hostile");
    let long = |head: &str| [head.as_bytes(), &vec![b'a'; 4 << 20]].concat();
    let (camera, calls) = server(vec![
        noise(100_000),
        b"RTSP/1.0 200 OK\r\nCSeq: 0\r\nContent-Length: 4294967295\r\n\r\n".to_vec(),
        long("RTSP/1.0 200 OK\r\nCSeq: 0\r\nServer: "),
        b"RTSP/1.0 200 OK\r\nCSeq: 99999999999999999999\r\nPublic: \r\n\r\n".to_vec(),
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: 30\r\n\r\nv=0\r\nm=video -1 X 999999\r\na=\0\0\r\n".to_vec(),
    ]);
    let (broker, connections) = server(vec![
        noise(10_000),
        // A connection that is accepted, then a packet of 256 MB.
        [
            &[0x20, 2, 0, 0][..],
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &noise(50_000),
        ]
        .concat(),
        vec![0x40, 2, 0xff, 0xff],
    ]);
    let file = cut(&folder, 14);
    let events = format!("\nevents: {{ mqtt: 'mqtt://127.0.0.1:{broker}' }}\nlive:");
    let changes = [
        ("\nlive:", events.as_str()),
        ("tokens_per_s: 49", "tokens_per_s: 196"),
    ];
    let fine = changed(&folder, "live_file.yaml", &changes);
    let text = std::fs::read_to_string(&fine).unwrap();
    std::fs::write(&fine, text.replace("${url}", file.to_str().unwrap())).unwrap();
    let bad = changed(&folder, "live_rtsp.yaml", &[]);
    let text = std::fs::read_to_string(&bad).unwrap();
    let text = text.replace("${url}", &format!("rtsp://127.0.0.1:{camera}/stream"));
    let text = text
        .replace("start_s: 15 ", "start_s: 2 ")
        .replace("retry_s: 6 ", "retry_s: 1 ");
    std::fs::write(&bad, text).unwrap();
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{port}");
    let args = [
        fine.to_str().unwrap(),
        bad.to_str().unwrap(),
        "--status",
        &address,
    ];
    let mut running = Running::start(&folder, &args);
    running.until("its start", |events| states(events).contains(&"healthy"));
    let before = resident_mb(running.child.id());
    // More than may be connected: some send noise, some a header without an end, some nothing.
    let mut clients: Vec<TcpStream> = Vec::new();
    for n in 0..150 {
        let Ok(mut client) = TcpStream::connect(&address) else {
            continue;
        };
        let _ = client.set_write_timeout(Some(Duration::from_millis(200)));
        let _ = match n % 4 {
            0 => client.write_all(&noise(20_000)),
            1 => client.write_all(&long("GET / HTTP/1.1\r\nHost: ")),
            2 => client.write_all(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nX"),
            _ => Ok(()),
        };
        clients.push(client);
    }
    running.until("everything", |events| {
        let bad = events.iter().filter(|event| event["source"] == "live_rtsp");
        let again = bad.filter(|event| event["state"] == "starting").count();
        again > 5 && of(events, "written").len() > 2 && connections.load(Ordering::Relaxed) > 2
    });
    assert!(calls.load(Ordering::Relaxed) >= 5);
    let grown = resident_mb(running.child.id()).saturating_sub(before);
    assert!(grown < 150, "{grown} MB more");
    drop(clients);
    let begun = Instant::now();
    loop {
        let mut answer = String::new();
        let asked = TcpStream::connect(&address).and_then(|mut client| {
            client.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(
                client,
                "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
            )?;
            client.read_to_string(&mut answer)
        });
        if asked.is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(begun.elapsed() < LONGEST, "{answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = running.said();
    assert!(
        said.contains("live_rtsp: ") && said.contains("the MQTT broker"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    let lines = said.lines().count();
    assert!(lines < 60, "{lines} lines: {said}");
    running.stop();
}

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all_files(&path, found),
            false => found.push(path),
        }
    }
}

/// As samples in any of the usual forms, or as it was coded.
#[test]
fn nothing_that_is_written_holds_the_sound() {
    if ready().is_none() {
        return;
    }
    let folder = folder("live-private");
    let file = cut(&folder, 8);
    let more = "\nevents: { jpeg: true, mqtt: 'mqtt://127.0.0.1:9', webhook: 'http://127.0.0.1:9/' }\nlive:";
    let changes = [("\nlive:", more), ("tokens_per_s: 49", "tokens_per_s: 400")];
    let pipeline = changed(&folder, "live_file.yaml", &changes);
    let url = format!("url={}", file.display());
    let (ended, said) = Running::start(&folder, &[pipeline.to_str().unwrap(), "--set", &url]).end();
    assert!(ended.status.success(), "{said}");
    let mut written = vec![folder.join("events.jsonl"), folder.join("said.txt")];
    all_files(&folder.join("out"), &mut written);
    assert!(written.len() >= 5, "{written:?}");
    let written: Vec<(PathBuf, Vec<u8>)> = written
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    for form in [
        "-f s16le",
        "-f f32le",
        "-f s16le -ac 1 -ar 16000",
        "-f f32le -ac 1 -ar 16000",
        "-c copy -f adts",
    ] {
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&file)
            .arg("-vn")
            .args(form.split(' '))
            .arg("-")
            .output()
            .unwrap();
        let sound = made.stdout;
        assert!(sound.len() > 10_000, "{form}");
        // From each of sixty parts some bytes that are not silence.
        for part in sound.chunks(sound.len() / 60) {
            let Some(part) = part.get(100..148) else {
                continue;
            };
            let distinct: std::collections::BTreeSet<u8> = part.iter().copied().collect();
            if distinct.len() < 12 {
                continue;
            }
            for (path, bytes) in &written {
                let found = bytes.windows(part.len()).any(|window| window == part);
                assert!(!found, "{form} in {}", path.display());
            }
        }
    }
}
