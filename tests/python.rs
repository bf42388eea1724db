//! The Python package: its own tests pass here too, with the command that was built.

use std::process::Command;

use crate::recordings::{python, root, said};

#[test]
fn its_own_tests_pass() {
    let Some(python) = python() else { return };
    let can = |module: &str| {
        let found = Command::new(&python)
            .args(["-c", &format!("import {module}")])
            .output();
        found.unwrap().status.success()
    };
    if !can("pytest") {
        eprintln!(
            "skipped: {} has no pytest; `make test` installs it",
            python.display()
        );
        return;
    }
    let run = Command::new(&python)
        .args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"])
        .current_dir(root().join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("EARMARK_COMMAND", env!("CARGO_BIN_EXE_earmark"))
        .env("EARMARK_MODELS", root().join("models"))
        .output()
        .unwrap();
    println!("{}", said(&run));
    assert!(run.status.success(), "{}", said(&run));
}
