//! Arguments of `earmark doctor`, `earmark models`, `earmark completions` and `earmark man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `earmark doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark doctor
  earmark doctor --live pipelines/live_rtsp.yaml --set url=rtsp://10.0.0.7/stream

With --live, each source of the pipeline is played for some seconds: what it says of itself, how often a frame can be decoded alone, whether
sound comes, how its times run, what is lost. Nothing is kept. Exit status: 0 if all is well, 1 otherwise.")]
pub struct Doctor {
    /// Try the sources of this pipeline instead.
    #[arg(long, value_name = "PIPELINE")]
    pub live: Option<PathBuf>,

    /// Value of ${NAME} in the pipeline; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "live")]
    pub set: Vec<String>,

    /// How long each source is played.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "live", value_parser = clap::value_parser!(u64).range(2..=600))]
    pub seconds: u64,
}

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
