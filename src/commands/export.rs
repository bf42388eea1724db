//! `earmark export`: converts feature files for other programs.

use crate::cli::Export;
use crate::export;
use crate::terminal::Output;

/// Converts feature files.
pub(super) fn run(args: &Export, output: Output) -> anyhow::Result<()> {
    export::run(args, output)
}
