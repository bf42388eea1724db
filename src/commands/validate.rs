//! `earmark validate`: checks a pipeline.

use serde_json::json;

use super::read;
use crate::cli::Validate;
use crate::terminal::{Output, print};

/// Checks a pipeline; everything that is wrong with it is the error.
pub(super) fn run(args: &Validate, output: Output) -> anyhow::Result<()> {
    let pipeline = read(&args.pipeline)?;
    if output.json {
        return print(&format!(
            "{:#}",
            json!({ "ok": true, "file": pipeline.file, "problems": [], "config": pipeline.config })
        ));
    }
    print(&format!(
        "{} is valid: {} elements, {} links",
        pipeline.file.display(),
        pipeline.graph.nodes.len(),
        pipeline.graph.links.len()
    ))
}
