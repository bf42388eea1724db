//! `earmark batch`: extracts features from many recordings.

use crate::batch;
use crate::cli::Batch;
use crate::terminal::Output;

/// Extracts features from many recordings.
pub(super) fn run(args: &Batch, output: Output) -> anyhow::Result<()> {
    batch::run(args, output)
}
