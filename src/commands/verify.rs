//! `earmark verify`: reports everything that is wrong with feature files.

use anyhow::bail;
use gstearmark::printable::line;
use serde_json::json;

use crate::cli::Verify;
use crate::failure::Reported;
use crate::outputs::features::{self, features_in};
use crate::terminal::{self, Output};

/// Reads every file in full.
///
/// # Errors
/// A file cannot be read, or something is wrong with one.
pub(super) fn run(args: &Verify, output: Output) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for path in &args.files {
        if path.is_dir() {
            let before = files.len();
            files.extend(features_in(path)?);
            if files.len() == before {
                bail!("the folder {} has no feature files (.h5)", path.display());
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut bad = 0;
    let mut results = Vec::new();
    for file in &files {
        let problems = match features::check(file) {
            Ok(problems) => problems,
            Err(e) => vec![format!("{e:#}")],
        };
        bad += usize::from(!problems.is_empty());
        if !output.json {
            for problem in &problems {
                terminal::print(&line(&format!("{}: {problem}", file.display())))?;
            }
        }
        results.push(json!({ "file": file.to_string_lossy(), "ok": problems.is_empty(), "problems": problems }));
    }
    let ok = bad == 0;
    terminal::print(&if output.json {
        format!("{:#}", json!({ "ok": ok, "files": results }))
    } else if ok {
        format!("{} files are intact and complete", files.len())
    } else {
        format!("{bad} of {} files are NOT intact and complete", files.len())
    })?;
    if ok { Ok(()) } else { Err(Reported.into()) }
}
