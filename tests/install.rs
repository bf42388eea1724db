//! `make install` and `make uninstall`: what they write, and where.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::recordings::{folder, root};

/// The install script, with a home of its own.
fn script(what: &str, prefix: &Path, home: &Path) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_earmark"));
    // .../target/release/earmark
    let target = binary.parent().and_then(Path::parent).unwrap();
    Command::new("timeout")
        .args(["120", "bash"])
        .arg(root().join("scripts/install.sh"))
        .arg(what)
        .env("CARGO_TARGET_DIR", target)
        .env("PREFIX", prefix)
        .env("HOME", home)
        .env_remove("DESTDIR")
        .env_remove("XDG_DATA_HOME")
        .env_remove("PLUGIN_LINK")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() && !path.is_symlink() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all
}

/// Where this machine's GStreamer looks for plugins.
fn system_plugins() -> Option<PathBuf> {
    let output = Command::new("pkg-config")
        .args(["--variable=pluginsdir", "gstreamer-1.0"])
        .output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|path| path.is_dir())
}

#[test]
fn installing_writes_under_the_prefix_alone_and_can_be_undone() {
    let binary = Path::new(env!("CARGO_BIN_EXE_earmark"));
    if !root().join("models/built/libonnxruntime.so").exists()
        || !binary.with_file_name("libgstearmark.so").exists()
    {
        eprintln!("skipped: the models or the plugin are not built; `make build` does");
        return;
    }
    let folder = folder("install");
    let (prefix, home) = (folder.join("prefix"), folder.join("home"));
    std::fs::create_dir_all(&home).unwrap();
    let linked = || system_plugins().map(|plugins| plugins.join("libgstearmark.so").is_symlink());
    let before = linked();
    let installed = script("install", &prefix, &home);
    assert!(installed.status.success(), "{}", said(&installed));
    assert!(
        said(&installed).contains("PLUGIN_LINK=yes"),
        "{}",
        said(&installed)
    );
    assert_eq!(files(&home), Vec::<PathBuf>::new());
    assert_eq!(linked(), before);
    for file in [
        "bin/earmark",
        "share/earmark/pipelines/gated.yaml",
        "share/earmark/pipelines/schema.json",
        "share/bash-completion/completions/earmark",
        "share/zsh/site-functions/_earmark",
        "share/fish/vendor_completions.d/earmark.fish",
        "share/man/man1/earmark-run.1",
    ] {
        assert!(prefix.join(file).is_file(), "{file}");
    }
    // It works from where it was installed, anywhere, with the models that were installed beside it.
    let run = Command::new(prefix.join("bin/earmark"))
        .args(["validate", "gated"])
        .current_dir(&home)
        .env_remove("EARMARK_MODELS")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", said(&run));
    let removed = script("uninstall", &prefix, &home);
    assert!(removed.status.success(), "{}", said(&removed));
    assert_eq!(files(&prefix), Vec::<PathBuf>::new());
}

/// What `cargo deb` would put into a package.
fn package() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(root().join("Cargo.toml"))
        .output()
        .unwrap();
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = all["packages"].as_array().unwrap();
    let own = packages
        .iter()
        .find(|package| package["name"] == "earmark")
        .unwrap();
    own["metadata"]["deb"].clone()
}

#[test]
fn a_debian_package_has_what_make_install_has_and_needs_what_doctor_needs() {
    let deb = package();
    let arm = &deb["variants"]["arm64"];
    for (assets, triple) in [
        (&deb["assets"], "x86_64-linux-gnu"),
        (&arm["assets"], "aarch64-linux-gnu"),
    ] {
        let assets = assets.as_array().unwrap();
        for asset in assets {
            let source = asset[0].as_str().unwrap();
            // Built files are there after `make build`.
            if source.starts_with("target/") || source.starts_with("models/built/") {
                continue;
            }
            let found = match source.split_once('*') {
                None => root().join(source).is_file(),
                Some((folder, ending)) => files(&root().join(folder))
                    .iter()
                    .any(|file| file.to_string_lossy().ends_with(ending)),
            };
            assert!(found, "{source}");
        }
        let to = |text: &str| {
            assets
                .iter()
                .any(|asset| asset[1].as_str().unwrap().contains(text))
        };
        for place in [
            "usr/bin/",
            &format!("usr/lib/{triple}/gstreamer-1.0/libgstearmark.so"),
            // Where the command looks for models, and for ONNX Runtime from there.
            "usr/share/earmark/models/built/",
            "usr/lib/earmark/libonnxruntime.so",
            "usr/share/earmark/pipelines/",
        ] {
            assert!(to(place), "{place}");
        }
    }
    let depends = deb["depends"].as_str().unwrap();
    for element in [
        "parsebin",
        "qtdemux",
        "h264parse",
        "avdec_h264",
        "vp9dec",
        "opusdec",
    ] {
        let needed = earmark::machine::packages::of_element(element).unwrap();
        assert!(
            depends.contains(needed),
            "{element} is in {needed}: {depends}"
        );
    }
    assert!(depends.contains("1.22"), "{depends}");
}

#[test]
fn the_container_builds_from_the_repository_and_does_not_run_as_root() {
    let text = std::fs::read_to_string(root().join("Containerfile")).unwrap();
    let setup = std::fs::read_to_string(root().join("scripts/setup.sh")).unwrap();
    let plugins = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        let plugins =
            words.filter(|word| word.starts_with("gstreamer1.0-") && !word.contains("dev"));
        plugins
            .map(|word| word.trim_end_matches('\\').to_owned())
            .collect()
    };
    let (there, wanted) = (plugins(&text), plugins(&setup));
    for plugin in wanted.iter().filter(|plugin| !plugin.contains("tools")) {
        assert!(there.contains(plugin), "{plugin}");
    }
    // The last user is not root, and nothing is installed after that.
    let (_, last) = text.rsplit_once("\nUSER ").unwrap();
    assert!(
        last.starts_with("earmark\n") && !last.contains("apt-get"),
        "{last}"
    );
    let rust = setup
        .lines()
        .find_map(|line| line.strip_prefix("RUST="))
        .unwrap();
    let rust = rust.split(' ').next().unwrap();
    assert!(text.contains(&format!("rust:{rust}")), "{rust}");
    for file in [
        "scripts/container_demo.sh",
        "fixtures/kitchen.mp4",
        "fixtures/kitchen.labels.csv",
    ] {
        assert!(text.contains(file) && root().join(file).is_file(), "{file}");
    }
    // Every step is a shell command that a shell can read.
    let steps = text.replace("\\\n", " ");
    for step in steps.lines().filter_map(|line| line.strip_prefix("RUN ")) {
        let read = Command::new("sh")
            .args(["-n", "-c", step])
            .output()
            .unwrap();
        assert!(read.status.success(), "{step}: {}", said(&read));
    }
}
