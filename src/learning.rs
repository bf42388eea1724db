//! Finds and starts `earmark-learning`, the separate program that trains heads.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// Its name.
const NAME: &str = "earmark-learning";

/// Its path: beside this program, else in `PATH`.
///
/// # Errors
/// It is not found.
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

/// Runs it; its output goes to this terminal.
///
/// # Errors
/// It is not found, or does not start.
pub(crate) fn show<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<ExitStatus> {
    let program = find()?;
    Command::new(&program)
        .args(args)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Runs it and returns the JSON that it prints.
///
/// # Errors
/// It is not found, fails, or doesn't print JSON.
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
        let last = said.lines().last().unwrap_or("it printed nothing");
        bail!("{NAME} failed ({}): {last}", output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the output of {name} is not JSON"))
}
