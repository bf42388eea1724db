//! Arguments of `earmark inspect`, `earmark verify`, `earmark recover` and the internal `earmark reader`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `earmark inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A feature file (.h5), a plan (.jsonl) or the output folder of `batch` or `live`.
    pub file: PathBuf,
}

/// `earmark verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark verify kitchen.h5
  earmark verify features/ --json

Exit status: 0 if every file is intact and complete, 1 otherwise.")]
pub struct Verify {
    /// Feature files, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
}

/// `earmark recover`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  earmark recover features/P01_01.h5.partial --output P01_01.saved.h5")]
pub struct Recover {
    /// The partial file that a killed run left.
    pub file: PathBuf,

    /// The file to write, marked as incomplete [default: NAME.recovered.h5 in the same folder].
    #[arg(long, short, value_name = "FILE.h5")]
    pub output: Option<PathBuf>,
}

/// What the child does with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Say what is in it.
    Summary,
    /// Copy it to a file of its own.
    Copy,
    /// Copy it without its features.
    CopyThumbnails,
    /// Copy it without its features and its small JPEGs.
    CopyTables,
    /// Say what is wrong with it.
    Check,
    /// Save what can be read of it.
    Recover,
    /// Print the whole numbers of a dataset.
    Numbers,
    /// Print the names of its datasets.
    Names,
    /// Say how long a sound is, and write its samples to stdout.
    Sound,
    /// Say what shape a dataset has, and write its numbers to stdout.
    Rows,
}

impl Task {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Copy => "copy",
            Self::CopyThumbnails => "copy-thumbnails",
            Self::CopyTables => "copy-tables",
            Self::Check => "check",
            Self::Recover => "recover",
            Self::Numbers => "numbers",
            Self::Names => "names",
            Self::Sound => "sound",
            Self::Rows => "rows",
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

    /// The dataset, if only one is read.
    #[arg(long)]
    pub dataset: Option<String>,
}
