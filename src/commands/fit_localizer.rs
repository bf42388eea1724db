//! `earmark fit-localizer`: trains a localizer head on a model's own answers.

use crate::cli::FitLocalizer;
use crate::qa;
use crate::terminal::Output;

/// Trains a localizer head on a model's own answers.
pub(super) fn run(args: &FitLocalizer, output: Output) -> anyhow::Result<()> {
    qa::fit_localizer(args, output)
}
