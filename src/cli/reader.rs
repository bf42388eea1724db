//! What this program asks of its own child, which reads files that may be damaged.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is done with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Copy it to a sealed file.
    Copy,
    /// Copy it without its features.
    CopyTables,
    /// Say what is wrong with it.
    Check,
    /// Save what can be read of it.
    Recover,
}

impl Task {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::CopyTables => "copy-tables",
            Self::Check => "check",
            Self::Recover => "recover",
        }
    }
}

/// `earmark reader`.
#[derive(Debug, Args)]
pub struct Reader {
    /// What to do.
    pub task: Task,

    /// The file.
    pub file: PathBuf,

    /// Where to write, if anything is written.
    pub to: Option<PathBuf>,
}
