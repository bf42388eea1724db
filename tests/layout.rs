//! The invariants of the layout that cargo cannot check.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::recordings::root;
use imports::Imports;

/// The sources of all crates but the one that fuzzes.
const CRATES: [&str; 4] = [
    "src",
    "plugins/anchoring/src",
    "plugins/gst/src",
    "plugins/learning/src",
];
/// Longest file that need not say why it is so long.
const MOST_LINES: usize = 600;

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

/// Imports between folders, and between the files of one, run one way; a file and the folder of its name count as one.
#[test]
fn imports_run_one_way() {
    let mut circles = Vec::new();
    for crate_ in CRATES {
        for circle in Imports::read(&root().join(crate_)).circles() {
            circles.push(format!("{crate_}: {circle}"));
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n\n"));
}

#[test]
fn a_circle_is_found_wherever_it_is_written() {
    let texts = |files: &[(&str, &str)]| -> BTreeMap<_, _> {
        let parts = |path: &str| path.split_terminator('/').map(str::to_owned).collect();
        let of = |(path, text): &(&str, &str)| (parts(path), (*text).to_owned());
        files.iter().map(of).collect()
    };
    let circles = |files: &[(&str, &str)]| Imports::of(&texts(files)).circles().join("\n");
    let ring = circles(&[
        ("", "mod a; mod b; mod c;"),
        ("a", "use crate::{b::{self, One}, other};"),
        ("b", "fn f() -> super::c::Two { 'x'; loop {} }"),
        ("c", "pub(crate) fn g<'a>(_: &'a crate::a::d::Three) {}"),
        ("a/d", ""),
    ]);
    assert_eq!(
        ring,
        "in /: a, b, c\n  a -> b: One, itself\n  b -> c: Two\n  c -> a/d: Three"
    );
    // A parent and its child may know each other; comments, strings and tests know everybody.
    let fine = circles(&[
        ("", "mod a; mod b;"),
        ("a", "mod d; use d::One; use crate::b::Two;"),
        ("a/d", "use super::Three;"),
        (
            "b",
            "// use crate::a;\nconst A: &str = \"crate::a::x\";\n#[cfg(test)]\nmod tests { use crate::a::One; }\n#[cfg(test)]\nmod more;",
        ),
        ("b/more", "use crate::a::One;"),
    ]);
    assert_eq!(fine, "");
    let brothers = circles(&[
        ("", "mod a;"),
        ("a", "mod b; mod c;"),
        ("a/b", "use super::c::One;"),
        ("a/c", "fn f() { crate::a::b::two() }"),
    ]);
    assert_eq!(
        brothers,
        "in a/: b, c\n  a/b -> a/c: One\n  a/c -> a/b: two"
    );
}

/// A file that is longer says why in its first comment.
#[test]
fn long_files_say_why() {
    for (path, text) in CRATES
        .iter()
        .flat_map(|crate_| sources(&root().join(crate_)))
    {
        let lines = text.lines().count();
        let first: Vec<_> = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        assert!(
            lines <= MOST_LINES || first.join("\n").contains("One file because"),
            "{} has {lines} lines, more than {MOST_LINES}: split it, or say in its first comment `One file because ...`",
            path.display()
        );
    }
}

/// Every folder that the page of the architecture names is there, and it names every folder of the three crates but those that hold tests alone.
#[test]
fn the_page_of_the_architecture_is_current() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named: BTreeSet<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.ends_with('/') && !span.contains(' '))
        .map(|span| span.trim_end_matches('/'))
        .collect();
    for folder in &named {
        assert!(
            root().join(folder).is_dir(),
            "ARCHITECTURE.md names {folder}/, which is not a folder"
        );
    }
    let folders = CRATES
        .iter()
        .flat_map(|crate_| folders(&root().join(crate_)));
    let missing: Vec<_> = folders
        .filter(|folder| !named.contains(folder.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md does not name {missing:?}"
    );
    for file in page
        .split('`')
        .filter(|span| span.contains('/') && span.ends_with(".rs"))
    {
        assert!(
            root().join(file).is_file(),
            "ARCHITECTURE.md names {file}, which is not a file"
        );
    }
}

/// The folders below a folder that hold a file other than tests.
fn folders(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let mut files = std::fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        if files.any(|file| file.is_file() && !file.ends_with("tests.rs")) {
            let name = path.strip_prefix(root()).unwrap();
            all.push(name.to_str().unwrap().to_owned());
        }
        all.extend(folders(&path));
    }
    all
}

#[test]
fn one_file_names_ort_and_one_names_hdf5() {
    let mut all = sources(&root().join("plugins"));
    all.extend(sources(&root().join("src")));
    assert_eq!(naming(&all, "ort::"), ["plugins/gst/src/onnx/mod.rs"]);
    assert_eq!(naming(&all, "hdf5::"), ["plugins/gst/src/h5/mod.rs"]);
}

/// What can call a web server: the client of chat servers, and the events of streams.
#[test]
fn two_files_name_the_http_client() {
    let mut all = sources(&root().join("plugins"));
    all.extend(sources(&root().join("src")));
    let mut named = naming(&all, "ureq::");
    named.sort();
    assert_eq!(named, ["src/chat/client.rs", "src/live/webhook.rs"]);
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
