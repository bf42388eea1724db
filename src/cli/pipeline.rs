//! Arguments of `earmark validate` and `earmark graph`, and those that every command with a pipeline shares.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of all commands that read a pipeline.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// The pipeline: a YAML file, or the name of a shipped one (`earmark pipelines` lists them).
    pub pipeline: PathBuf,

    /// Set ${NAME} or a key, such as budget.tokens_per_s=98, in the pipeline; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

impl PipelineArgs {
    /// The values of --set, by name.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let pair = |pair: &String| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        self.set.iter().filter_map(pair).collect()
    }
}

/// `earmark validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// `earmark schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Print that of the events of `earmark live` instead.
    #[arg(long)]
    pub events: bool,
}

/// `earmark pipelines`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark pipelines
  earmark pipelines gated > mine.yaml")]
pub struct Pipelines {
    /// Print this one as YAML, to start from.
    pub name: Option<String>,
}

/// The format of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for graphviz.
    Dot,
    /// An SVG drawing; needs graphviz.
    Svg,
}

/// `earmark graph`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  earmark graph pipelines/gated.yaml --format svg --output gated.svg")]
pub struct Graph {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// Format of the drawing.
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    pub format: Format,

    /// Write to a file instead of stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
