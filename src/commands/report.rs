//! `earmark report`: makes pages of feature files, or serves them.

use crate::cli::Report;
use crate::report;
use crate::terminal::Output;

/// Makes pages of feature files, or serves them.
pub(super) fn run(args: &Report, output: Output) -> anyhow::Result<()> {
    report::report(args, output)
}
