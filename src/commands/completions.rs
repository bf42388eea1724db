//! `earmark completions`: prints shell completions.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::terminal::print;

/// Prints a completion script.
pub(super) fn run(args: &Completions) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "earmark", &mut text);
    print(String::from_utf8_lossy(&text).trim_end())
}
