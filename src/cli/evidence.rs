//! Sampling at equal tokens: `earmark sample`, `earmark eval tokens`, and `earmark learn`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Layouts of labelled recordings that can be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SampleLayout {
    /// AVE: Annotations.txt, {train,val,test}_order.h5, and a video of ten seconds for each annotation.
    Ave,
    /// KitchenMix, and Earmark's own labels: events/NAME.csv with start_s, stop_s and class, beside NAME.mp4; long recordings, cut into pieces.
    Kitchenmix,
}

impl SampleLayout {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ave => "ave",
            Self::Kitchenmix => "kitchenmix",
        }
    }
}

/// Labelled recordings, and how to sample them.
#[derive(Debug, Args)]
pub struct Sampled {
    /// The layout of the folder.
    #[arg(long, value_enum)]
    pub layout: SampleLayout,

    /// The folder of labels.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// The folder of recordings, searched recursively [default: the folder of labels].
    #[arg(long, value_name = "DIR")]
    pub videos: Option<PathBuf>,

    /// Budget, tiers and policies [default: the protocol that `earmark sample --print-protocol` prints].
    #[arg(long, value_name = "PROTOCOL.yaml")]
    pub protocol: Option<PathBuf>,
}

/// `earmark sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
PLANS/heard/ gets what was heard, PLANS/plans/POLICY/ a plan for each recording, PLANS/recall.json how many of the seconds of an event each policy's
anchors hit. Each plan is one that `earmark run --plan` takes. A policy over its budget is refused.

Examples:
  earmark sample --print-protocol > protocol.yaml
  earmark sample --layout ave --data AVE_Dataset --output sampled
  earmark run uniform --input AVE_Dataset/AVE/xyz.mp4 --plan sampled/plans/onset/xyz.jsonl --output xyz.h5")]
pub struct Sample {
    /// The layout of the folder.
    #[arg(long, value_enum, required_unless_present = "print_protocol")]
    pub layout: Option<SampleLayout>,

    /// The folder of labels.
    #[arg(long, value_name = "DIR", required_unless_present = "print_protocol")]
    pub data: Option<PathBuf>,

    /// The folder of recordings, searched recursively [default: the folder of labels].
    #[arg(long, value_name = "DIR")]
    pub videos: Option<PathBuf>,

    /// Budget, tiers and policies [default: the protocol that --print-protocol prints].
    #[arg(long, value_name = "PROTOCOL.yaml")]
    pub protocol: Option<PathBuf>,

    /// The output folder. Results that it already holds for the same recordings and protocol are kept.
    #[arg(long, value_name = "PLANS", required_unless_present = "print_protocol")]
    pub output: Option<PathBuf>,

    /// Print the default protocol, and do nothing else.
    #[arg(long, conflicts_with_all = ["output", "layout", "data"])]
    pub print_protocol: bool,
}

/// Heads of `earmark-learning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeadModel {
    /// Each second by itself.
    Mlp,
    /// One temporal convolution over three seconds.
    Conv,
    /// One layer of a transformer.
    Transformer,
}

impl HeadModel {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Conv => "conv",
            Self::Transformer => "transformer",
        }
    }
}

/// `earmark eval tokens`.
#[derive(Debug, Args)]
#[command(after_help = "\
Samples every recording by every policy of the protocol, encodes exactly the frames of the plans, trains a head on each with several seeds
(`make learning` builds what trains), and writes OUT/table.md, table.csv, pieces.csv and curve.svg. Stopped, it goes on where it was.

A difference is called better or worse only where the paired t-test over test recordings says so, corrected (Holm) for how many policies were tried.

Examples:
  earmark eval tokens --layout ave --data AVE_Dataset --output tokens
  earmark eval tokens --layout kitchenmix --data mixes --output tokens --head mlp --encoder my-vit.yaml")]
pub struct EvalTokens {
    /// What to sample.
    #[command(flatten)]
    pub sampled: Sampled,

    /// A folder for plans, features, heads and the table.
    #[arg(long, value_name = "OUT", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,

    /// Say what is there and what would be done, and do nothing.
    #[arg(long, conflicts_with = "output")]
    pub dry_run: bool,

    /// The model that encodes frames, or its manifest.
    #[arg(long, value_name = "MODEL", default_value = "efficientnet-lite0")]
    pub encoder: String,

    /// The head on the features.
    #[arg(long, value_enum, default_value_t = HeadModel::Conv)]
    pub head: HeadModel,

    /// Number of seeds to train a head with, from 0.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub seeds: u64,

    /// Most epochs of a head.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub epochs: u32,

    /// Title of the table [default: the layout].
    #[arg(long)]
    pub title: Option<String>,
}

/// `earmark learn`.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts earmark-learning, which lies beside this program or in PATH; `make learning` builds it.

Examples:
  earmark learn train --data seconds.safetensors --model conv --output head.safetensors
  earmark learn predict --data seconds.safetensors --head head.safetensors")]
pub struct Learn {
    /// Its arguments: train, predict, or --help.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub args: Vec<OsString>,
}
