//! The `earmark` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    earmark::commands::run(earmark::cli::Cli::parse())
}
