//! What leaves the process: no socket is opened but the input's, no file is written but what was asked for. Watched with strace; where
//! it can't trace, it checks only the files that remain, and says so.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::recordings::{folder, made, pipeline, python, root, said};

/// What a watched program may have to do with: its own folder, with `home/` and `tmp/` that must stay empty.
struct Watched {
    folder: PathBuf,
    traces: bool,
}

impl Watched {
    fn new(name: &str) -> Self {
        let folder = folder(&format!("privacy_{name}"));
        for inner in ["home", "tmp", "out"] {
            std::fs::create_dir(folder.join(inner)).unwrap();
        }
        let traces = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "true"])
            .output()
            .is_ok_and(|output| output.status.success());
        if !traces {
            eprintln!(
                "not watched: strace is missing or may not trace here; only files are checked"
            );
        }
        let it = Self { folder, traces };
        // GStreamer's own list of plugins, made before anything is watched.
        let output = it.quietly(Command::new("gst-inspect-1.0").arg("identity"));
        assert!(output.status.success(), "{}", said(&output));
        it
    }

    /// Runs with an environment that leads every file into the folder.
    fn quietly(&self, command: &mut Command) -> Output {
        command
            .env("HOME", self.folder.join("home"))
            .env("TMPDIR", self.folder.join("tmp"))
            .env("GST_REGISTRY", self.folder.join("registry.bin"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            // Even somebody who asks for it doesn't get it.
            .env("ORT_DISABLE_TELEMETRY", "0")
            .current_dir(self.folder.join("out"))
            .output()
            .unwrap()
    }

    /// Runs a program to its end and insists that it kept to itself.
    #[track_caller]
    fn keeps_to_itself(&self, program: &OsStr, args: &[&OsStr], plugins: Option<&Path>) {
        let log = self.folder.join("strace.log");
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "240"]);
        if self.traces {
            command
                .args(["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e"])
                .arg("trace=socket,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat")
                .arg("-o")
                .arg(&log);
        }
        command.arg(program).args(args);
        if let Some(plugins) = plugins {
            command.env("GST_PLUGIN_PATH", plugins);
        }
        let output = self.quietly(&mut command);
        assert!(output.status.success(), "{}", said(&output));
        for place in ["home", "tmp"] {
            let left: Vec<_> = std::fs::read_dir(self.folder.join(place))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            assert!(left.is_empty(), "written: {left:?}");
        }
        if self.traces {
            let log = std::fs::read_to_string(log).unwrap();
            assert!(log.contains("openat("), "strace saw nothing");
            let out = self.folder.join("out");
            let wrong: Vec<_> = log.lines().filter(|call| is_wrong(call, &out)).collect();
            assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        }
    }
}

/// Whether a line of strace is a socket, or a file that is opened for writing, made or named outside `out`.
fn is_wrong(line: &str, out: &Path) -> bool {
    let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let Some((name, rest)) = call.split_once('(') else {
        return false;
    };
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT"];
    match name {
        "socket" => return true,
        "open" | "openat" | "openat2" if !writes.iter().any(|flag| rest.contains(flag)) => {
            return false;
        }
        _ => {}
    }
    if rest.contains(") = -1 ") {
        return false;
    }
    // Every path that is named, the last one being where it ends.
    let Some(path) = rest.split('"').skip(1).step_by(2).last() else {
        return false;
    };
    let path = out.join(path);
    // The plan between two passes lies in a file without a name. GStreamer's Orc keeps machine code in one that it unlinks at once.
    let is_code = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"orcexec."));
    if rest.contains("O_TMPFILE") || is_code {
        return false;
    }
    !(path.starts_with(out) || path.starts_with("/dev") && !path.starts_with("/dev/shm"))
}

/// The command under test.
fn earmark() -> &'static OsStr {
    OsStr::new(env!("CARGO_BIN_EXE_earmark"))
}

/// Whoever unpacks somebody's recordings and works among them runs none of the code that came with them.
#[test]
fn no_library_of_the_working_directory_is_loaded() {
    let Some(python) = python() else { return };
    let folder = folder("privacy_library");
    let here = folder.join("here");
    // The command away from its build tree, where the library is.
    let command = folder.join("1/2/3/4/bin/earmark");
    std::fs::create_dir_all(command.parent().unwrap()).unwrap();
    std::fs::hard_link(earmark(), &command).unwrap();
    for at in ["", "built", "models", "models/built", "lib", "lib/earmark"] {
        std::fs::create_dir_all(here.join(at)).unwrap();
        for name in ["libonnxruntime.so", "libgstearmark.so"] {
            std::fs::write(here.join(at).join(name), "whatever").unwrap();
        }
    }
    let encoder = made(&python, "encoder");
    for entry in std::fs::read_dir(encoder.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.extension().is_some_and(|e| e == "yaml" || e == "onnx") {
            std::fs::copy(&path, here.join(path.file_name().unwrap())).unwrap();
        }
    }
    let name = encoder.file_name().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(pipeline(&python, &folder, "tokens_per_s: 196")).unwrap();
    let text = text.replace(encoder.to_str().unwrap(), name);
    assert!(text.contains(&format!("model: {name}")), "{text}");
    std::fs::write(here.join("pipeline.yaml"), text).unwrap();
    let input = made(&python, "mp4_no_audio");
    for args in [
        vec!["doctor"],
        vec![
            "run",
            "pipeline.yaml",
            "--input",
            input.to_str().unwrap(),
            "--output",
            "out.h5",
        ],
    ] {
        let output = Command::new("timeout")
            .args(["--kill-after=5", "60"])
            .arg(&command)
            .args(&args)
            .env_remove("EARMARK_MODELS")
            .env_remove("ORT_DYLIB_PATH")
            .current_dir(&here)
            .output()
            .unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains("libonnxruntime.so"), "{args:?}: {text}");
        for loaded in ["ELF", "file too short", "invalid"] {
            assert!(!text.contains(loaded), "{args:?}: {text}");
        }
    }
}

#[test]
fn doctor_keeps_to_itself() {
    Watched::new("doctor").keeps_to_itself(earmark(), &["doctor".as_ref()], None);
}

#[test]
fn run_keeps_to_itself() {
    let Some(python) = python() else { return };
    let watched = Watched::new("run");
    let pipeline = pipeline(&python, &watched.folder, "tokens_per_s: 196");
    let input = made(&python, "mp4_h264_aac");
    let args = crate::recordings::call("run", &pipeline, &input, Path::new("run.h5"));
    watched.keeps_to_itself(earmark(), &args, None);
    assert!(watched.folder.join("out/run.h5").exists());
}

#[test]
fn batch_keeps_to_itself() {
    let Some(python) = python() else { return };
    let watched = Watched::new("batch");
    let pipeline = pipeline(&python, &watched.folder, "tokens_per_s: 196");
    let input = made(&python, "mkv_h264_pcm");
    let args = [
        "batch".as_ref(),
        pipeline.as_os_str(),
        input.as_os_str(),
        "--output".as_ref(),
        "batch".as_ref(),
    ];
    watched.keeps_to_itself(earmark(), &args, None);
    assert!(watched.folder.join("out/batch/status.jsonl").exists());
}

/// Even with an endpoint, as long as nothing is to be sent.
#[test]
fn a_question_that_is_only_prepared_keeps_to_itself() {
    let watched = Watched::new("ask");
    let input = root().join("fixtures/kitchen.mp4");
    let header = r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"kitchen","duration_ns":60000000000,"budget_tokens":0,"spent_tokens":0,"config":{}}"#;
    let plan = watched.folder.join("kitchen.jsonl");
    std::fs::write(&plan, format!("{header}\n")).unwrap();
    let args: [&OsStr; 11] = [
        "ask".as_ref(),
        plan.as_os_str(),
        "--video".as_ref(),
        input.as_os_str(),
        "--question".as_ref(),
        "What made the beep?".as_ref(),
        "--endpoint".as_ref(),
        "http://127.0.0.1:9/v1".as_ref(),
        "--model".as_ref(),
        "any".as_ref(),
        "--dry-run".as_ref(),
    ];
    watched.keeps_to_itself(earmark(), &args, None);
    let left = std::fs::read_dir(watched.folder.join("out")).unwrap();
    assert_eq!(left.count(), 0);
}

/// A minute in the time that it lasts, through the plugin in somebody else's program.
#[test]
fn a_minute_live_through_the_plugin_keeps_to_itself() {
    let Some(python) = python() else { return };
    let watched = Watched::new("live");
    let plugins = watched.folder.join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::os::unix::fs::symlink(plugin(), plugins.join("libgstearmark.so")).unwrap();
    // It must be in the list of plugins that isn't made anew.
    let output = watched.quietly(
        Command::new("gst-inspect-1.0")
            .arg("featuresink")
            .env("GST_PLUGIN_PATH", &plugins),
    );
    assert!(output.status.success(), "{}", said(&output));
    let line = format!(
        "filesrc location={} ! parsebin name=demux \
         demux. ! queue ! identity sync=true ! gate.video \
         demux. ! queue ! identity sync=true ! decodebin ! audioconvert ! audioresample ! eventness tagger={} ! gate.cues \
         anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink model={} location=live.h5",
        root().join("fixtures/kitchen.mp4").display(),
        made(&python, "tagger").display(),
        made(&python, "encoder").display(),
    );
    let args: Vec<&OsStr> = line.split_whitespace().map(OsStr::new).collect();
    watched.keeps_to_itself("gst-launch-1.0".as_ref(), &args, Some(&plugins));
    assert!(watched.folder.join("out/live.h5").exists());
}

/// The plugin that was built with the command.
fn plugin() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_earmark")).parent().unwrap();
    let made = |path: &PathBuf| path.metadata().and_then(|about| about.modified()).ok();
    ["deps/libgstearmark.so", "libgstearmark.so"]
        .map(|name| folder.join(name))
        .into_iter()
        .max_by_key(made)
        .unwrap()
}

#[test]
fn sockets_and_files_elsewhere_are_noticed() {
    let out = Path::new("/some/out");
    for wrong in [
        "12 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 3",
        r#"12  openat(AT_FDCWD</some/out>, "/tmp/.ses", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 6</tmp/.ses>"#,
        r#"12  rename("/some/out/a", "/some/other/a") = 0"#,
        r#"12  mkdir("/root/.cache", 0777) = 0"#,
    ] {
        assert!(is_wrong(wrong, out), "{wrong}");
    }
    for right in [
        r#"12  openat(AT_FDCWD</some/out>, "a.h5", O_RDWR|O_CREAT, 0666) = 6"#,
        r#"12  openat(AT_FDCWD</some/out>, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 6"#,
        r#"12  openat(AT_FDCWD</some/out>, "/tmp/x", O_RDWR|O_CREAT) = -1 EACCES (Permission denied)"#,
        r#"12  openat(AT_FDCWD</some/out>, "/dev/null", O_WRONLY) = 6"#,
        r#"12  openat(AT_FDCWD</some/out>, "/tmp", O_RDWR|O_CLOEXEC|O_TMPFILE, 0666) = 3</tmp/#1>(deleted)"#,
    ] {
        assert!(!is_wrong(right, out), "{right}");
    }
}
