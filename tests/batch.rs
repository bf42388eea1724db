//! Batches: what is done, what is done again and why, which failures are reported and how, what survives a kill.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::recordings::{earmark, folder, made, pipeline, python, root, said};

/// A folder with `videos/` of these names (all of one made recording), a pipeline, and where the output goes.
struct Place {
    folder: PathBuf,
    pipeline: PathBuf,
    videos: PathBuf,
    out: PathBuf,
}

impl Place {
    fn new(python: &Path, name: &str, ids: &[&str]) -> Self {
        let folder = folder(name);
        let pipeline = pipeline(python, &folder, "tokens_per_s: 196");
        let videos = folder.join("videos");
        std::fs::create_dir(&videos).unwrap();
        let recording = made(python, "mkv_h264_pcm");
        for id in ids {
            std::fs::copy(&recording, videos.join(format!("{id}.mkv"))).unwrap();
        }
        let out = folder.join("out");
        Self {
            folder,
            pipeline,
            videos,
            out,
        }
    }

    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let text = |path: &'a Path| path.to_str().unwrap();
        let mut args = vec!["batch", text(&self.pipeline), text(&self.videos)];
        args.extend(["--output", text(&self.out), "--json", "--quiet"]);
        args.extend(more);
        args
    }

    /// Runs a batch; its exit status and what it says at the end.
    #[track_caller]
    fn batch(&self, more: &[&str]) -> (i32, Value) {
        answer(&earmark(self.args(more)))
    }

    /// The last status line of a recording.
    fn last(&self, id: &str) -> Value {
        let text = std::fs::read_to_string(self.out.join("status.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .rev()
            .find(|line: &Value| line["video_id"] == id)
            .unwrap_or_default()
    }

    /// What lies in the output folder.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.out).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[track_caller]
fn answer(output: &Output) -> (i32, Value) {
    let value = serde_json::from_slice(&output.stdout);
    assert!(value.is_ok(), "{}", said(output));
    (output.status.code().unwrap_or(-1), value.unwrap())
}

#[test]
fn finished_outputs_are_verified_and_failures_reported_and_retried() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_whole", &["P01", "P02"]);
    let mp4 = std::fs::read(made(&python, "mp4_h264_aac")).unwrap();
    let write = |name: &str, data: &[u8]| std::fs::write(place.videos.join(name), data).unwrap();
    write("cut.mp4", &mp4[..mp4.len() / 2]);
    write("text.mp4", &b"no recording ".repeat(500));
    let noise: Vec<u8> = (0..mp4.len()).map(|k| ((k * k) >> 7) as u8).collect();
    write("corrupt.mp4", &[&mp4[..48], &noise].concat());

    let (status, said) = place.batch(&["--jobs", "2"]);
    assert_eq!(
        (status, &said["done"], &said["failed"]),
        (1, &2.into(), &3.into()),
        "{said:#}"
    );
    assert_eq!(place.last("cut")["class"], "input_truncated");
    assert_eq!(place.last("text")["class"], "input_foreign");
    let corrupt = place.last("corrupt")["class"].clone();
    assert!(
        corrupt == "input_corrupt" || corrupt == "input_truncated",
        "{corrupt}"
    );
    let done = place.last("P01");
    assert_eq!(done["state"], "done");
    for field in [
        "seconds", "speed", "frames", "tokens", "versions", "host", "at",
    ] {
        assert!(!done[field].is_null(), "{field} is missing in {done:#}");
    }
    assert_eq!(place.left(), ["P01.h5", "P02.h5", "status.jsonl"]);

    // Nothing is done twice; what failed is tried again only.
    write("cut.mp4", &mp4);
    let (status, said) = place.batch(&["--retry-failed"]);
    assert_eq!(
        (status, &said["done"], &said["failed"]),
        (1, &1.into(), &2.into()),
        "{said:#}"
    );
    let output = earmark(["verify".as_ref(), place.out.as_os_str()]);
    assert!(
        output.status.success(),
        "{}",
        crate::recordings::said(&output)
    );
    let output = earmark(["inspect".as_ref(), place.out.as_os_str()]);
    let text = crate::recordings::said(&output);
    assert!(text.contains("5 recordings: 3 done, 2 failed"), "{text}");

    // Another pipeline, another recording, a torn file: each is made again, and the reason is printed.
    for name in ["cut.mp4", "text.mp4", "corrupt.mp4"] {
        std::fs::remove_file(place.videos.join(name)).unwrap();
    }
    let (status, said) = place.batch(&[]);
    assert_eq!(
        (status, &said["done"], &said["done_already"]),
        (0, &0.into(), &2.into()),
        "{said:#}"
    );
    let p01 = place.videos.join("P01.mkv");
    let mut data = std::fs::read(&p01).unwrap();
    *data.last_mut().unwrap() ^= 1;
    std::fs::write(&p01, data).unwrap();
    std::fs::write(place.out.join("P02.h5"), "torn").unwrap();
    let (_, said) = place.batch(&["--dry-run"]);
    assert_eq!(
        (&said["recordings"], &said["again"][0]["video_id"]),
        (&2.into(), &"P01".into())
    );
    assert!(said["expected_seconds"].as_f64().unwrap() > 0.0, "{said:#}");
    let (status, said) = place.batch(&[]);
    assert_eq!((status, &said["done"]), (0, &2.into()), "{said:#}");
    let because = |id: &str| {
        place.last(id)["because"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(because("P01").contains("last MiB"), "{}", because("P01"));
    assert!(
        because("P02").contains("cannot be read"),
        "{}",
        because("P02")
    );
    pipeline(&python, &place.folder, "tokens_per_s: 98");
    let (_, said) = place.batch(&[]);
    assert_eq!(said["done"], 2, "{said:#}");
    assert!(because("P01").contains("budget"), "{}", because("P01"));
}

#[test]
fn names_that_collide_are_found_before_any_work() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_names", &["P01"]);
    std::fs::write(place.videos.join("P01.mp4"), "x").unwrap();
    let output = earmark(place.args(&[]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("P01.h5"), "{}", said(&output));
    assert!(!place.out.exists());
}

/// Each fault under its own class, and the recording beside it done all the same.
#[test]
fn a_fault_ends_only_its_own_recording() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_faults", &["good", "grows"]);
    let fifo = place.videos.join("pipe.mkv");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // A server that takes the question and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/stalls.mkv", silent.local_addr().unwrap());
    let list = place.folder.join("list.txt");
    std::fs::write(&list, format!("videos/gone.mkv\n{uri}\n")).unwrap();
    // Grows until it is done.
    let grows = place.videos.join("grows.mkv");
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let grower = std::thread::spawn(move || {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(grows)
            .unwrap();
        while stopped.recv_timeout(Duration::from_millis(20)).is_err() {
            std::io::Write::write_all(&mut file, &[0; 64]).unwrap();
        }
    });
    let more = ["--stall-timeout", "2", "--attempts", "1", "--jobs", "2"];
    let mut args = place.args(&more);
    args.insert(3, list.to_str().unwrap());
    let (status, said) = answer(&earmark(args));
    stop.send(()).unwrap();
    grower.join().unwrap();
    assert_eq!(
        (status, &said["done"], &said["failed"]),
        (1, &1.into(), &4.into()),
        "{said:#}"
    );
    for (id, class) in [
        ("stalls", "stalled"),
        ("pipe", "input_unreadable"),
        ("gone", "input_missing"),
        ("grows", "input_changed"),
    ] {
        assert_eq!(place.last(id)["class"], class, "{:#}", place.last(id));
    }
    // What was done of the one that changed is kept.
    assert_eq!(
        place.left(),
        ["good.h5", "grows.h5.partial", "status.jsonl"]
    );
}

#[test]
fn a_file_size_limit_is_a_full_disk() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_full", &["P01"]);
    let mut command = Command::new("bash");
    // In KiB: enough for the status lines and for nothing else.
    command.args([
        "-c",
        "ulimit -f 12; exec \"$@\"",
        "bash",
        env!("CARGO_BIN_EXE_earmark"),
    ]);
    let (status, said) = answer(&command.args(place.args(&[])).output().unwrap());
    assert_eq!(status, 1, "{said:#}");
    assert_eq!(place.last("P01")["class"], "disk_full", "{said:#}");
    assert_eq!(place.left(), ["status.jsonl"]);
}

#[test]
fn two_batches_on_one_folder_make_each_file_once() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_twice", &["P01", "P02"]);
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_earmark"))
            .args(place.args(&[]))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()];
    for one in both {
        let (status, said) = answer(&one.wait_with_output().unwrap());
        assert_eq!(status, 0, "{said:#}");
    }
    let output = earmark(["verify".as_ref(), place.out.as_os_str()]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(place.left(), ["P01.h5", "P02.h5", "status.jsonl"]);
}

#[test]
fn a_stop_is_obeyed_at_once_and_leaves_nothing_half_written() {
    let Some(python) = python() else { return };
    let ids: Vec<String> = (0..30).map(|k| format!("P{k:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let place = Place::new(&python, "batch_stop", &ids);
    let mut child = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(place.args(&[]))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !place.out.join("P29.h5").exists() && begun.elapsed() < Duration::from_secs(60) {
        if place.out.is_dir() && place.left().iter().any(|name| name.ends_with(".h5")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let left = place.left();
    // What was under way is closed as what it is.
    for name in left.iter().filter(|name| name.contains("partial")) {
        let verify = earmark(["verify".as_ref(), place.out.join(name).as_os_str()]);
        assert!(
            said(&verify).contains("stopped the run"),
            "{}",
            said(&verify)
        );
    }
    assert!(
        left.iter().filter(|name| name.ends_with(".h5")).count() < 30,
        "{left:?}"
    );
}

/// A name that is not UTF-8, for the recording and for the output.
#[test]
fn names_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let Some(python) = python() else { return };
    let folder = folder("bytes");
    let odd = folder.join(std::ffi::OsStr::from_bytes(b"k\xfcche"));
    std::fs::create_dir(&odd).unwrap();
    let input = odd.join(std::ffi::OsStr::from_bytes(b"\xe4.mkv"));
    std::fs::copy(made(&python, "mkv_h264_pcm"), &input).unwrap();
    let output = odd.join(std::ffi::OsStr::from_bytes(b"\xf6.h5"));
    let pipeline = pipeline(&python, &folder, "tokens_per_s: 196");
    let run = earmark(crate::recordings::call("run", &pipeline, &input, &output));
    assert!(run.status.success(), "{}", said(&run));
    let verify = earmark(["verify".as_ref(), output.as_os_str()]);
    assert!(verify.status.success(), "{}", said(&verify));
}

/// Root may write everywhere, so it gives that right up here; everybody else needs no more than the folder's mode.
#[test]
fn a_read_only_folder_is_reported() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_read_only", &["P01"]);
    std::fs::create_dir(&place.out).unwrap();
    std::fs::set_permissions(&place.out, std::fs::Permissions::from_mode(0o555)).unwrap();
    let is_root = std::fs::write(place.out.join("x"), "").is_ok();
    let _ = std::fs::remove_file(place.out.join("x"));
    let mut command = Command::new(if is_root { "setpriv" } else { "env" });
    if is_root {
        command.args(["--inh-caps=-all", "--bounding-set=-dac_override"]);
    }
    command.arg(env!("CARGO_BIN_EXE_earmark"));
    let output = command.args(place.args(&[])).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("cannot write"), "{}", said(&output));
    assert_eq!(place.left(), Vec::<String>::new());
}

/// The folder takes the status lines, but one output's place is taken.
#[test]
fn an_output_that_cannot_be_written_ends_only_its_own_recording() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_blocked", &["good", "blocked"]);
    std::fs::create_dir_all(place.out.join("blocked.h5")).unwrap();
    let (status, said) = place.batch(&[]);
    assert_eq!(
        (status, &said["done"], &said["failed"]),
        (1, &1.into(), &1.into()),
        "{said:#}"
    );
    assert_eq!(place.last("blocked")["class"], "output");
    assert_eq!(place.left(), ["blocked.h5", "good.h5", "status.jsonl"]);
}

/// Taken away while it is read, not before.
#[test]
fn a_recording_that_vanishes_while_it_is_read_is_reported() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_vanishes", &["good", "vanishes"]);
    let (partial, recording) = (
        place.out.join("vanishes.h5.partial"),
        place.videos.join("vanishes.mkv"),
    );
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let taker = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(1)).is_err() {
            if partial.exists() {
                return std::fs::remove_file(recording).is_ok();
            }
        }
        false
    });
    let (status, said) = place.batch(&["--attempts", "1"]);
    let _ = stop.send(());
    assert!(taker.join().unwrap(), "it was never read: {said:#}");
    assert_eq!(
        (status, &said["done"], &said["failed"]),
        (1, &1.into(), &1.into()),
        "{said:#}"
    );
    assert_eq!(place.last("vanishes")["class"], "input_missing");
    // If it had been opened by then, its frames are kept.
    let mut left = place.left();
    left.retain(|name| name != "vanishes.h5.partial");
    assert_eq!(left, ["good.h5", "status.jsonl"]);
}

/// A handful of kills; `tests/kill_test.py --runs 200` is the long form.
#[test]
fn kills_damage_nothing() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_kills", &["P01", "P02"]);
    let output = Command::new(&python)
        .arg(root().join("tests/kill_test.py"))
        .args(["--earmark", env!("CARGO_BIN_EXE_earmark"), "--runs", "8"])
        .arg("--pipeline")
        .arg(&place.pipeline)
        .arg("--recordings")
        .arg(&place.videos)
        .arg("--folder")
        .arg(&place.folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// What never failed is done only if it is there: what is left out is reported, and was not done.
#[test]
fn retrying_what_failed_does_not_call_the_rest_done() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_retry", &["P01", "P02"]);
    assert_eq!(place.batch(&[]).0, 0);
    assert_eq!(place.batch(&["--retry-failed"]).0, 0);
    let (from, to) = (place.videos.join("P01.mkv"), place.videos.join("P03.mkv"));
    std::fs::copy(from, to).unwrap();
    std::fs::remove_file(place.out.join("P02.h5")).unwrap();
    let (status, said) = place.batch(&["--retry-failed"]);
    assert_eq!(
        (status, &said["done"], &said["done_already"], &said["ok"]),
        (1, &0.into(), &1.into(), &false.into()),
        "{said:#}"
    );
    let left_out: Vec<_> = said["left_out"].as_array().unwrap().iter().collect();
    let because = |id: &str| {
        let one = left_out.iter().find(|one| one["video_id"] == id);
        one.unwrap()["because"].as_str().unwrap().to_owned()
    };
    assert!(because("P02").contains("missing"), "{said:#}");
    assert!(because("P03").contains("not processed before"), "{said:#}");
    let (status, said) = place.batch(&[]);
    assert_eq!((status, &said["done"]), (0, &2.into()), "{said:#}");
    // With nothing to do, nothing takes no time, not less.
    let mut args = place.args(&["--dry-run"]);
    args.retain(|arg| *arg != "--json");
    let text = crate::recordings::said(&earmark(args));
    assert!(
        text.contains(" 0.00 h") && !text.contains("-0.00"),
        "{text}"
    );
}

/// What a manifest says, and weights, are part of what made a file.
#[test]
fn other_manifests_and_weights_are_other_models() {
    let Some(python) = python() else { return };
    let place = Place::new(&python, "batch_models", &["P01"]);
    let encoder = made(&python, "encoder");
    let manifest = place.folder.join(encoder.file_name().unwrap());
    let text = std::fs::read_to_string(&encoder).unwrap();
    std::fs::write(&manifest, &text).unwrap();
    let onnx = encoder.with_extension("onnx");
    std::fs::copy(&onnx, place.folder.join(onnx.file_name().unwrap())).unwrap();
    let weights = place.folder.join("mine.safetensors");
    let own = std::fs::read(root().join("plugins/anchoring/weights/ears.safetensors")).unwrap();
    std::fs::write(&weights, &own).unwrap();
    let yaml = std::fs::read_to_string(&place.pipeline).unwrap();
    let yaml = yaml.replace(encoder.to_str().unwrap(), manifest.to_str().unwrap());
    let probe = format!("probe: onset, weights: {}", weights.display());
    std::fs::write(&place.pipeline, yaml.replace("probe: flux", &probe)).unwrap();
    assert_eq!(place.batch(&[]).0, 0);
    assert_eq!(place.batch(&[]).1["done_already"], 1);
    let again = |word: &str| {
        let (status, said) = place.batch(&[]);
        assert_eq!((status, &said["done"]), (0, &1.into()), "{word}: {said:#}");
        let because = place.last("P01")["because"].to_string();
        assert!(because.contains(word), "{word}: {because}");
        assert_eq!(place.batch(&[]).1["done_already"], 1);
    };
    let other = text.replace("std: [255, 255, 255]", "std: [255, 255, 254]");
    assert_ne!(other, text);
    std::fs::write(&manifest, &other).unwrap();
    again("manifest");
    // A remark changes nothing.
    std::fs::write(&manifest, format!("# a remark\n{other}")).unwrap();
    assert_eq!(place.batch(&[]).1["done_already"], 1);
    // The same numbers under another name are another file.
    let name = b"name\\\":\\\"ears";
    let at = own.windows(name.len()).position(|bytes| bytes == name);
    let end = at.unwrap() + name.len();
    let mut own = own;
    own[end - 4..end].copy_from_slice(b"sear");
    std::fs::write(&weights, own).unwrap();
    again("weights");
    let models = earmark(["inspect".as_ref(), place.out.join("P01.h5").as_os_str()]);
    let models = crate::recordings::said(&models);
    for word in ["encoder", "tagger", "classes", "weights mine.safetensors"] {
        assert!(models.contains(word), "{word}: {models}");
    }
}
