//! `earmark ask`: answers a question about recordings.

use crate::ask;
use crate::cli::Ask;
use crate::terminal::Output;

/// Answers a question about recordings.
pub(super) fn run(args: &Ask, output: Output) -> anyhow::Result<()> {
    ask::ask(args, output)
}
