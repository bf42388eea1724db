//! `earmark fit`: trains probes on labelled recordings; `earmark fit quality` learns the weights of audio-visual quality.

use crate::cli::{FitCommand, FitPart};
use crate::failure::Usage;
use crate::fit;
use crate::terminal::Output;

/// Trains weights.
pub(super) fn run(args: &FitCommand, output: Output) -> anyhow::Result<()> {
    match (&args.part, &args.probes) {
        (Some(FitPart::Quality(args)), _) => fit::quality(args, output),
        (None, Some(args)) => fit::run(args, output),
        // Clap asks for them before.
        (None, None) => Err(Usage("--recordings and --output are required".into()).into()),
    }
}
