//! `earmark recover`: saves what can be read of a file whose run was killed.

use std::path::{Path, PathBuf};

use anyhow::bail;
use gstearmark::h5;
use serde_json::json;

use crate::cli::Recover;
use crate::outputs::features;
use crate::terminal::{self, Output, grouped};

/// Copies what can be read.
///
/// # Errors
/// Nothing can be saved, or the copy cannot be written.
pub(super) fn run(args: &Recover, output: Output) -> anyhow::Result<()> {
    let to = match &args.output {
        Some(to) => to.clone(),
        None => beside(&args.file),
    };
    if h5::is_being_written(&args.file.with_extension("")) {
        bail!(
            "{} is still being written; wait for its run to end",
            args.file.display()
        );
    }
    let totals = features::recover(&args.file, &to)?;
    terminal::print(&if output.json {
        format!(
            "{:#}",
            json!({ "ok": true, "output": to.to_string_lossy(), "saved": totals })
        )
    } else {
        format!(
            "saved      {} frames, {} anchors, {} cues\nwritten    {}, marked as incomplete",
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
