//! Runs that end before their recording: results are kept and closed with the reason, and the message says where; in gst-launch-1.0 as well.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::recordings::{call, earmark, folder, made, pipeline, python, said, succeeds};

const DENSE: &str = "tokens_per_s: 5000, policy: dense, planning: streaming";

/// Takes every frame, and waits a while before each.
fn slow(python: &Path, folder: &Path) -> PathBuf {
    let path = pipeline(python, folder, DENSE);
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text
        .replace("framepick !", "framepick ! identity sleep-time=50000 !")
        .replace("precision: f32", "precision: f32, flush_s: 1");
    std::fs::write(&path, text).unwrap();
    path
}

/// Waits until frames are in the file, interrupts, and gives what was said.
#[track_caller]
fn interrupt(mut child: Child, partial: &Path) -> Output {
    let begun = Instant::now();
    let size = || partial.metadata().map_or(0, |about| about.len());
    let mut opened = 0;
    // Grown since it was opened: the first rows are there.
    while opened == 0 || size() <= opened {
        assert!(begun.elapsed() < Duration::from_secs(100), "nothing comes");
        assert!(child.try_wait().unwrap().is_none(), "it ended on its own");
        if opened == 0 {
            opened = size();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // What opening writes in parts may look like rows on a busy machine.
    std::thread::sleep(Duration::from_secs(2));
    assert!(child.try_wait().unwrap().is_none(), "it ended on its own");
    signal(&child);
    child.wait_with_output().unwrap()
}

/// ^C.
fn signal(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// An HTTP server that hands out a file, half of it at most in one go, until this exists for a while; then it is gone. Its address.
fn goes_away(file: &Path, when: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    let address = format!("http://{}/{name}", listener.local_addr().unwrap());
    let (bytes, when) = (std::fs::read(file).unwrap(), when.to_owned());
    let bytes: Arc<[u8]> = bytes.into();
    let gone = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        let begun = Instant::now();
        let mut since = None;
        while begun.elapsed() < Duration::from_secs(100) {
            if let Ok((stream, _)) = listener.accept() {
                let (bytes, gone) = (bytes.clone(), gone.clone());
                std::thread::spawn(move || hand_out(stream, &bytes, &gone));
            }
            if when.exists() && since.get_or_insert_with(Instant::now).elapsed().as_secs() >= 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        gone.store(true, Ordering::SeqCst);
    });
    address
}

/// Answers requests until the server is gone.
fn hand_out(stream: TcpStream, bytes: &[u8], gone: &AtomicBool) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .ok()?;
    let mut to = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    while !gone.load(Ordering::SeqCst) {
        let (mut from, mut head, mut last) = (0, false, usize::MAX);
        loop {
            let line = lines.next()?.ok()?.to_ascii_lowercase();
            head |= line.starts_with("head ");
            if let Some(range) = line.strip_prefix("range: bytes=") {
                let (first, end) = range.split_once('-')?;
                from = first.parse().ok()?;
                last = end.parse().unwrap_or(usize::MAX);
            }
            if line.is_empty() {
                break;
            }
        }
        let whole = bytes.len();
        let until = last.saturating_add(1).min(whole);
        let part = bytes.get(from..until)?;
        write!(
            to,
            "HTTP/1.1 206 Partial Content\r\nContent-Type: video/x-matroska\r\nAccept-Ranges: bytes\r\n\
             Content-Length: {}\r\nContent-Range: bytes {from}-{}/{whole}\r\n\r\n",
            part.len(),
            until - 1,
        )
        .ok()?;
        if head {
            continue;
        }
        let (first, rest) = part.split_at(part.len().min(whole / 2));
        to.write_all(first).ok()?;
        // What is at the end is small; the rest of all never comes.
        while !rest.is_empty() && !gone.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !rest.is_empty() {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return None;
        }
    }
    None
}

/// What is kept is whole but for its end, and a file is made of it.
#[track_caller]
fn kept(partial: &Path, because: &str) {
    let verify = earmark(["verify".as_ref(), partial.as_os_str()]);
    let text = said(&verify);
    assert_eq!(verify.status.code(), Some(1), "{text}");
    assert!(
        text.contains("not complete") && text.contains(because),
        "{text}"
    );
    let saved = partial.with_extension("saved.h5");
    let recover = ["recover".as_ref(), partial.as_os_str(), "--output".as_ref()];
    succeeds(recover.into_iter().chain([saved.as_os_str()]));
    let inspect = succeeds(["inspect".as_ref(), saved.as_os_str(), "--json".as_ref()]);
    let value: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    assert!(value["features"]["frames"].as_u64() > Some(0), "{value:#}");
}

#[test]
fn an_interrupt_keeps_what_was_done_and_says_so() {
    let Some(python) = python() else { return };
    let folder = folder("ends_interrupt");
    let (input, slow) = (made(&python, "mkv_h264_pcm"), slow(&python, &folder));
    let file = folder.join("features.h5");
    let partial = folder.join("features.h5.partial");
    let child = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(call("run", &slow, &input, &file))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = interrupt(child, &partial);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in [
        "stopped",
        "earmark recover",
        "features.h5.partial",
        "frames",
    ] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!file.exists());
    kept(&partial, "the user stopped the run");
    // The next run takes its place over.
    let whole = pipeline(&python, &folder, DENSE);
    succeeds(call("run", &whole, &input, &file));
    assert!(file.exists() && !partial.exists());
}

/// Rows reach the disk by time, not only by number; and a second ^C ends a run that can't end at once.
#[test]
fn a_second_interrupt_ends_at_once_and_leaves_what_was_flushed() {
    let Some(python) = python() else { return };
    let folder = folder("ends_twice");
    let (input, slow) = (made(&python, "mkv_h264_pcm"), slow(&python, &folder));
    // It comes to no end while an element sleeps.
    let text = std::fs::read_to_string(&slow).unwrap();
    std::fs::write(
        &slow,
        text.replace("sleep-time=50000", "sleep-time=6000000"),
    )
    .unwrap();
    let partial = folder.join("features.h5.partial");
    let mut child = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(call("run", &slow, &input, &folder.join("features.h5")))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (begun, saved) = (Instant::now(), folder.join("saved.h5"));
    // One row of the sixteen of a batch.
    loop {
        assert!(begun.elapsed() < Duration::from_secs(100), "nothing comes");
        assert!(child.try_wait().unwrap().is_none(), "it ended on its own");
        std::thread::sleep(Duration::from_millis(100));
        let copy = folder.join("copy.h5.partial");
        if std::fs::copy(&partial, &copy).is_err() {
            continue;
        }
        let _ = std::fs::remove_file(&saved);
        let recover = ["recover".as_ref(), copy.as_os_str(), "--output".as_ref()];
        let run = earmark(
            recover
                .into_iter()
                .chain([saved.as_os_str(), "--json".as_ref()]),
        );
        let result: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
        if result["saved"]["frames"].as_u64() > Some(0) {
            break;
        }
    }
    signal(&child);
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "one is enough");
    signal(&child);
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("earmark recover"), "{text}");
    kept(&partial, "not complete");
}

/// A server that goes away in the middle.
#[test]
fn a_server_that_goes_away_keeps_what_was_done() {
    let Some(python) = python() else { return };
    let folder = folder("ends_server");
    let input = made(&python, "mkv_h264_pcm");
    let pipeline = pipeline(&python, &folder, DENSE);
    let file = folder.join("features.h5");
    let partial = folder.join("features.h5.partial");
    let address = PathBuf::from(goes_away(&input, &partial));
    let output = earmark(call("run", &pipeline, &address, &file));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in ["earmark recover", "features.h5.partial"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!file.exists());
    kept(&partial, "souphttpsrc");
}

#[test]
fn gst_launch_keeps_what_was_done_where_a_server_goes_away() {
    let Some(python) = python() else { return };
    let folder = folder("ends_server_launch");
    let Some(plugins) = plugin(&folder) else {
        return;
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let partial = folder.join("features.h5.partial");
    let line = format!(
        "souphttpsrc location={} ! matroskademux name=demux demux.video_0 ! h264parse ! anchorgate policy=dense tokens-per-s=5000 ! decodebin ! framepick ! videoconvert ! featuresink model={} flush-s=1 location={}",
        goes_away(&made(&python, "mkv_h264_pcm"), &partial),
        text(&made(&python, "encoder")),
        text(&folder.join("features.h5")),
    );
    let output = Command::new("timeout")
        .args(["--kill-after=5", "100", "gst-launch-1.0"])
        .args(line.split_whitespace())
        .env("GST_PLUGIN_PATH", &plugins)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: gst-launch-1.0 is not installed");
        return;
    };
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert!(
        text.contains("earmark recover") && text.contains("features.h5.partial"),
        "{text}"
    );
    kept(&partial, "not complete");
}

/// The plugin that was built with this test, in a folder of its own.
pub fn plugin(folder: &Path) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_earmark")).parent().unwrap();
    let name = "libgstearmark.so";
    let found = [built.join("deps").join(name), built.join(name)];
    let Some(found) = found.into_iter().find(|path| path.exists()) else {
        eprintln!("skipped: {name} is not beside the command");
        return None;
    };
    let plugins = folder.join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::os::unix::fs::symlink(found, plugins.join(name)).unwrap();
    Some(plugins)
}

#[test]
fn gst_launch_keeps_what_was_done_and_says_so() {
    let Some(python) = python() else { return };
    let folder = folder("ends_gst_launch");
    let Some(plugins) = plugin(&folder) else {
        return;
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let line = format!(
        "filesrc location={} ! parsebin ! anchorgate policy=dense tokens-per-s=5000 ! decodebin ! framepick ! identity sleep-time=50000 ! videoconvert ! featuresink model={} flush-s=1 location={}",
        text(&made(&python, "mp4_no_audio")),
        text(&made(&python, "encoder")),
        text(&folder.join("features.h5")),
    );
    let child = Command::new("gst-launch-1.0")
        .args(line.split_whitespace())
        .env("GST_PLUGIN_PATH", &plugins)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(child) = child else {
        eprintln!("skipped: gst-launch-1.0 is not installed");
        return;
    };
    let partial = folder.join("features.h5.partial");
    let output = interrupt(child, &partial);
    let text = said(&output);
    assert!(text.contains("earmark recover"), "{text}");
    assert!(text.contains("features.h5.partial"), "{text}");
    kept(&partial, "stopped before the end of the stream");
}

/// A limit on the size of files stands in for a disk that fills up.
#[test]
fn a_disk_that_fills_up_keeps_what_fits() {
    let Some(python) = python() else { return };
    let folder = folder("ends_full");
    let input = made(&python, "mkv_h264_pcm");
    let pipeline = pipeline(&python, &folder, DENSE);
    let whole = folder.join("whole.h5");
    let run = call("run", &pipeline, &input, &whole);
    succeeds(run.into_iter().chain(["--thumbnails".as_ref()]));
    let blocks = whole.metadata().unwrap().len() / 1024 * 3 / 4;
    let file = folder.join("features.h5");
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec timeout 120 \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &line, "bash", env!("CARGO_BIN_EXE_earmark")])
        .args(call("run", &pipeline, &input, &file))
        .arg("--thumbnails")
        .output()
        .unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for word in ["the disk is full", "earmark recover", "features.h5.partial"] {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!file.exists());
    kept(&folder.join("features.h5.partial"), "the disk is full");
}

/// The recording goes away while it is read: an error at its end, after every frame.
#[test]
fn a_recording_that_changes_while_it_is_read_keeps_what_was_done() {
    let Some(python) = python() else { return };
    let folder = folder("ends_changes");
    let input = folder.join("recording.mkv");
    std::fs::copy(made(&python, "mkv_h264_pcm"), &input).unwrap();
    let (file, slow) = (folder.join("features.h5"), slow(&python, &folder));
    let child = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(call("run", &slow, &input, &file))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let partial = folder.join("features.h5.partial");
    let begun = Instant::now();
    while !partial.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Its source has it open by then.
    std::thread::sleep(Duration::from_secs(1));
    std::fs::remove_file(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("recording.mkv") && text.contains("earmark recover"),
        "{text}"
    );
    kept(&partial, "recording.mkv");
}
