//! `earmark plot`: draws a feature file for a paper, as SVG or PNG: the rows of the report's timeline.
//!
//! # Layout
//!
//! - `rows`: turns runs into shapes; `legend`: what the marks mean.
//! - `shapes`: shapes, colours, and text as outlines of a bundled font, so that it is the same everywhere.
//! - `svg`, `png`: render shapes.

mod legend;
mod png;
mod rows;
mod shapes;
mod svg;

use std::io::Write;

use anyhow::{Context, bail};
use serde_json::json;

use super::recording::RunView;
use super::{same_recording, shown};
use crate::cli;
use crate::failure::Usage;
use crate::files;
use crate::terminal::{self, Output};
use rows::PlotRange;

pub(crate) use png::png;
pub(crate) use shapes::{Align, Drawing, Theme, wide};
pub(crate) use svg::svg;

/// `earmark plot`.
///
/// # Errors
/// A file cannot be read, --from and --to are outside the recording, or the drawing cannot be written; then there is none.
pub fn plot(args: &cli::Plot, output: Output) -> anyhow::Result<()> {
    let ending = args
        .output
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let draw: fn(&shapes::Drawing, f64) -> anyhow::Result<Vec<u8>> =
        match ending.to_ascii_lowercase().as_str() {
            "svg" => |drawing, _| svg::svg(drawing),
            "png" => png::png,
            _ => {
                return Err(Usage(format!(
                    "--output {}: must end in .svg or .png",
                    args.output.display()
                ))
                .into());
            }
        };
    let target = files::check(&args.output, args.overwrite)?;
    let labels = args.labels.as_deref();
    let run = shown(&args.file, labels)?;
    let other = args
        .compare
        .as_deref()
        .map(|other| shown(other, labels))
        .transpose()?;
    if let Some(other) = &other {
        same_recording(&run, other)?;
    }
    let duration = run.duration_ns() as f64 / 1e9;
    let (from, to) = (args.from.unwrap_or(0.0), args.to.unwrap_or(duration));
    if !(from >= 0.0 && from < to && to <= duration + 1e-6) {
        bail!(
            "--from {from} --to {to} must lie within the recording, which lasts {duration:.3} s (did you give milliseconds?)"
        );
    }
    let runs: Vec<&RunView> = [Some(&run), other.as_ref()].into_iter().flatten().collect();
    let view = PlotRange {
        from,
        to,
        width: f64::from(args.width),
    };
    let drawing = rows::draw(&runs, &view, &shapes::Theme::new(args.dark));
    let drawn = draw(&drawing, args.scale)?;
    let mut file = files::temporary(&target, ".partial")?;
    file.write_all(&drawn)
        .with_context(|| format!("cannot write {}", target.file.display()))?;
    files::publish(file, &target, args.overwrite)?;
    if output.json {
        return terminal::print(&format!(
            "{:#}",
            json!({ "ok": true, "file": args.file, "plot": args.output, "bytes": drawn.len() })
        ));
    }
    terminal::print(&format!("plot       {}", args.output.display()))
}
