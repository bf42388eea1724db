//! `earmark fit`: trains probes on labelled recordings.

use crate::cli::Fit;
use crate::fit;
use crate::terminal::Output;

/// Trains weights on labelled recordings.
pub(super) fn run(args: &Fit, output: Output) -> anyhow::Result<()> {
    fit::run(args, output)
}
