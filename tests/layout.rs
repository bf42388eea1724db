//! The invariants of the layout that cargo can't hold.

use std::path::{Path, PathBuf};

use crate::recordings::root;

/// Every Rust source below a folder, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            all.push((path.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    all
}

/// The files among them that say a word, comments aside.
fn naming(sources: &[(PathBuf, String)], word: &str) -> Vec<String> {
    let says = |text: &str| {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let mut words =
            code.flat_map(|line| line.match_indices(word).map(move |(at, _)| &line[..at]));
        words.any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    sources
        .iter()
        .filter(|(_, text)| says(text))
        .map(|(path, _)| path.display().to_string())
        .collect()
}

#[test]
fn one_file_names_ort_and_one_names_hdf5() {
    let mut all = sources(&root().join("plugins"));
    all.extend(sources(&root().join("src")));
    assert_eq!(naming(&all, "ort::"), ["plugins/gst/src/onnx/mod.rs"]);
    assert_eq!(naming(&all, "hdf5::"), ["plugins/gst/src/h5/mod.rs"]);
}

#[test]
fn decisions_know_no_file_thread_or_clock() {
    let all = sources(&root().join("plugins/anchoring/src"));
    assert!(all.len() > 10, "{} files", all.len());
    for word in [
        "std::fs",
        "std::thread",
        "std::net",
        "std::process",
        "std::io",
        "Instant",
        "SystemTime",
        "gst::",
        "ndarray::",
    ] {
        assert_eq!(naming(&all, word), Vec::<String>::new(), "`{word}`");
    }
}

#[test]
fn every_file_begins_with_what_it_is() {
    let mut all = sources(&root().join("plugins"));
    all.extend(sources(&root().join("src")));
    all.extend(sources(&root().join("tests")));
    let without: Vec<_> = all
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

/// What reaches a terminal goes through one place, where control characters are made visible.
#[test]
fn one_file_writes_to_the_terminal() {
    let all = sources(&root().join("src"));
    for word in [
        "println!",
        "eprintln!",
        "eprint!",
        "print!",
        "dbg!",
        "io::stderr().write",
        "io::stdout().write",
    ] {
        let named = naming(&all, word);
        let other: Vec<_> = named
            .iter()
            .filter(|file| *file != "src/terminal.rs")
            .collect();
        assert!(other.is_empty(), "`{word}` in {other:?}");
    }
}

#[test]
fn no_queue_is_unbounded() {
    let mut all = sources(&root().join("plugins"));
    all.extend(sources(&root().join("src")));
    for word in ["unbounded(", "mpsc::channel("] {
        assert_eq!(naming(&all, word), Vec::<String>::new(), "`{word}`");
    }
}

/// Everything that pip brings is named by the SHA-256 of its file.
#[test]
fn pip_takes_only_what_it_is_given_the_hash_of() {
    let calls = ["scripts/setup.sh", "scripts/bench.py", "models/build.py"];
    for file in calls {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains("--require-hashes"), "{file}");
    }
    for file in [
        "models/requirements.txt",
        "python/requirements.txt",
        "models/sources.txt",
        "scripts/bench-requirements.txt",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let text = text.replace("\\\n", " ");
        let entries: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(entries.len() > 2, "{file}");
        for entry in entries {
            assert!(
                entry.contains("==") && entry.contains("--hash=sha256:"),
                "{file}: {entry}"
            );
        }
    }
    // The lock is of what is wanted.
    let read = |file: &str| std::fs::read_to_string(root().join(file)).unwrap();
    for folder in ["models", "python"] {
        let locked = read(&format!("{folder}/requirements.txt")).to_lowercase();
        for line in read(&format!("{folder}/requirements.in")).lines() {
            let wanted = line.trim().to_lowercase().replace('_', "-");
            if !wanted.is_empty() && !wanted.starts_with('#') {
                assert!(locked.contains(&format!("{wanted} ")), "{folder}: {wanted}");
            }
        }
    }
}
