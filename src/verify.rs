//! `earmark verify` and `earmark recover`: what is wrong with files, and what can be saved of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gstearmark::h5;
use gstearmark::visible::line;
use serde_json::json;

use crate::cli::{Recover, Verify};
use crate::commands::{self, Output, Reported};
use crate::guard;
use crate::inspect::grouped;

/// `earmark verify`.
///
/// # Errors
/// A file cannot be read, or something is wrong with one.
pub fn verify(args: &Verify, output: Output) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for path in &args.files {
        if path.is_dir() {
            let before = files.len();
            files.extend(features_in(path)?);
            if files.len() == before {
                bail!("the folder {} holds no feature files (.h5)", path.display());
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut bad = 0;
    let mut told = Vec::new();
    for file in &files {
        let problems = match guard::check(file) {
            Ok(problems) => problems,
            Err(e) => vec![format!("{e:#}")],
        };
        bad += usize::from(!problems.is_empty());
        if !output.json {
            for problem in &problems {
                commands::print(&line(&format!("{}: {problem}", file.display())))?;
            }
        }
        told.push(json!({ "file": file.to_string_lossy(), "ok": problems.is_empty(), "problems": problems }));
    }
    let ok = bad == 0;
    commands::print(&if output.json {
        format!("{:#}", json!({ "ok": ok, "files": told }))
    } else if ok {
        format!("{} files are whole and complete", files.len())
    } else {
        format!("{bad} of {} files are NOT as they should be", files.len())
    })?;
    if ok {
        Ok(())
    } else {
        Err(Reported::failure().into())
    }
}

/// Everything that is wrong with a file; what the fuzz targets read one with.
#[doc(hidden)]
pub fn problems(file: &Path) -> anyhow::Result<Vec<String>> {
    guard::check(file)
}

/// The feature files of a folder, in the order of their names; what is still being written is none.
pub(crate) fn features_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "h5"))
        .collect();
    files.sort();
    Ok(files)
}

/// `earmark recover`.
///
/// # Errors
/// Nothing can be saved, or the copy cannot be written.
pub fn recover(args: &Recover, output: Output) -> anyhow::Result<()> {
    let to = match &args.output {
        Some(to) => to.clone(),
        None => beside(&args.file),
    };
    if h5::is_being_written(&args.file.with_extension("")) {
        bail!(
            "{} is being written right now: wait until its run has ended",
            args.file.display()
        );
    }
    let totals = guard::recover(&args.file, &to)?;
    commands::print(&if output.json {
        format!(
            "{:#}",
            json!({ "ok": true, "output": to.to_string_lossy(), "saved": totals })
        )
    } else {
        format!(
            "saved      {} frames, {} anchors, {} cues\nwritten    {}, marked as not complete",
            grouped(totals.frames),
            grouped(totals.anchors),
            grouped(totals.cues),
            to.display()
        )
    })
}

/// `P01.h5.partial` -> `P01.recovered.h5`.
fn beside(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".partial").unwrap_or(&name);
    let stem = stem.strip_suffix(".h5").unwrap_or(stem);
    file.with_file_name(format!("{stem}.recovered.h5"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovered_file_lies_beside_under_a_name_of_its_own() {
        for name in ["a/P01.h5.partial", "a/P01.h5", "a/P01"] {
            assert_eq!(beside(Path::new(name)), Path::new("a/P01.recovered.h5"));
        }
    }
}
