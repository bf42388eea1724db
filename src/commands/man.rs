//! `earmark man`: writes man pages.

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, Man};

/// Writes a page for every command that is not hidden.
pub(super) fn run(args: &Man) -> anyhow::Result<()> {
    let folder = &args.output;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write man pages to {}", folder.display()))
}
