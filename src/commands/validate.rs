//! `earmark validate`: checks a pipeline.

use gstearmark::models::{self, ModelError};
use gstearmark::onnx;
use serde_json::json;

use super::read;
use crate::cli::Validate;
use crate::failure::Usage;
use crate::pipeline::Pipeline;
use crate::terminal::{Output, print};

/// Checks a pipeline; the error lists everything that is wrong.
pub(super) fn run(args: &Validate, output: Output) -> anyhow::Result<()> {
    let pipeline = read(&args.pipeline)?;
    let notes = check_models(&pipeline)?;
    if output.json {
        return print(&format!(
            "{:#}",
            json!({ "ok": true, "file": pipeline.file, "problems": [], "notes": notes, "config": pipeline.config })
        ));
    }
    let mut text = format!(
        "{} is valid: {} elements, {} links",
        pipeline.file.display(),
        pipeline.graph.nodes.len(),
        pipeline.graph.links.len()
    );
    for note in notes {
        text.push_str(&format!("\nnote       {note}"));
    }
    print(&text)
}

/// Compares the pipeline's models with their manifests. Notes models that are not installed; the error lists all that differ.
fn check_models(pipeline: &Pipeline) -> anyhow::Result<Vec<String>> {
    let (mut notes, mut problems) = (Vec::new(), Vec::new());
    let encoder = Some(&pipeline.encoder).filter(|name| !name.is_empty());
    for name in encoder.into_iter().chain(&pipeline.tagger) {
        match models::find(name).and_then(onnx::check_model) {
            Ok(()) => {}
            Err(missing @ (ModelError::Missing { .. } | ModelError::Runtime(_))) => {
                notes.push(format!("not checked: {missing}"));
            }
            Err(wrong) => problems.push(wrong.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok(notes),
        false => Err(Usage(format!(
            "{}: {}",
            pipeline.file.display(),
            problems.join("\n  ")
        ))
        .into()),
    }
}
