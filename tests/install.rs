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
