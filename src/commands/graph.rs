//! `earmark graph`: draws a pipeline.

use super::read;
use crate::cli::{Format, Graph};
use crate::files;
use crate::pipeline::drawing;
use crate::terminal::{Output, print};

/// Draws a pipeline.
pub(super) fn run(args: &Graph, output: Output) -> anyhow::Result<()> {
    let pipeline = read(&args.pipeline)?;
    let dot = drawing::dot(&pipeline);
    let drawn = match args.format {
        Format::Dot => dot.into_bytes(),
        Format::Svg => drawing::svg(&dot)?,
    };
    if let Some(file) = &args.output {
        files::write(file, &drawn, true)?;
    }
    match (&args.output, output.json) {
        (None, false) => print(String::from_utf8_lossy(&drawn).trim_end()),
        (Some(_), false) => Ok(()),
        (_, true) => print(&format!("{:#}", drawing::json(&pipeline))),
    }
}
