//! Arguments of `earmark models`, `earmark completions` and `earmark man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `earmark models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Check every model file against its manifest; exit with 1 if one is missing or altered.
    #[arg(long)]
    pub check: bool,
}

/// `earmark completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark completions bash > ~/.local/share/bash-completion/completions/earmark
  earmark completions zsh > ~/.zfunc/_earmark
  earmark completions fish > ~/.config/fish/completions/earmark.fish")]
pub struct Completions {
    /// For this shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `earmark man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder; it is made if it is not there.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
}
