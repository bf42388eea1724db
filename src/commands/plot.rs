//! `earmark plot`: draws a feature file.

use crate::cli::Plot;
use crate::report::plot;
use crate::terminal::Output;

/// Draws a feature file.
pub(super) fn run(args: &Plot, output: Output) -> anyhow::Result<()> {
    plot::plot(args, output)
}
