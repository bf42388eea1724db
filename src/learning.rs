//! `earmark-learning`, the program that trains heads: found and started.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// What it is called.
const NAME: &str = "earmark-learning";

/// Where it is: beside this program, else where `PATH` says.
///
/// # Errors
/// It is nowhere.
pub(crate) fn find() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|own| Some(own.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(NAME))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "{NAME}, which trains heads, is neither beside this program nor in PATH: `make learning` builds it (it is not part of `make build`)"
        )
    })
}

/// Runs it with its output on this terminal.
///
/// # Errors
/// It is nowhere, or cannot be started.
pub(crate) fn show<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<ExitStatus> {
    let program = find()?;
    Command::new(&program)
        .args(args)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Runs it; what it says in JSON.
///
/// # Errors
/// It is nowhere, fails, or says no JSON.
pub(crate) fn ask<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> anyhow::Result<Value> {
    let program = find()?;
    let name = program.display();
    let output = Command::new(&program)
        .args(args)
        .arg("--json")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it said nothing");
        bail!("{NAME} failed ({}): {last}", output.status);
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{name} says no JSON"))
}
