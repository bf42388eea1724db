//! Arguments of `earmark parse`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `earmark parse`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Learns from labels of whole videos which events are heard, seen, or both in every second. `make learning` builds what trains.

Experiments that are shipped: uwav-llp, uwav-ave, link-llp (the papers' sizes and features) and kitchenmix (two cores, a set that scripts/parsing.py makes).")]
pub enum Parse {
    /// Train an experiment's parser: packs features, makes pseudo labels, trains.
    Train(ParseTrain),
    /// Predict what is heard and seen: in a split of the set, or in a recording.
    Predict(ParsePredict),
    /// Write the features of a recording in LLP's layout: pieces of ten seconds.
    Features(ParseFeatures),
    /// Score a trained parser on the test split, beside the paper's results.
    Eval(ParseEval),
}

/// `earmark parse train`.
#[derive(Debug, Args)]
#[command(after_help = "\
DIR has the labels as published: LLP's AVVP_*.csv (and classes.txt for other classes), or AVE's Annotations.txt and {train,val,test}_order.h5; and the
experiment's streams of features: folders of NAME.npy ([seconds, values], or a multiple of the seconds, which is averaged; NAME may be the video's
first 11 letters), or FILE.h5:DATASET with a row for each of AVE's annotations.

Stopped, it goes on where it was; what is there of the same data and settings is not made again.

Examples:
  earmark parse train --print-experiment uwav-llp > mine.yaml
  earmark parse train uwav-llp --data LLP --dense UNAV --output uwav
  earmark parse train mine.yaml --data LLP --output mine --seed 1 --set losses.mixup=none")]
pub struct ParseTrain {
    /// A shipped experiment, or a file.
    #[arg(
        value_name = "EXPERIMENT",
        required_unless_present = "print_experiment"
    )]
    pub experiment: Option<String>,

    /// The folder of labels and features.
    #[arg(long, value_name = "DIR", required_unless_present = "print_experiment")]
    pub data: Option<PathBuf>,

    /// The folder of densely labelled videos, for experiments that have `pseudo: temporal`.
    #[arg(long, value_name = "DIR")]
    pub dense: Option<PathBuf>,

    /// A folder for the parser, its card and everything that prediction needs.
    #[arg(long, value_name = "OUT", required_unless_present = "print_experiment")]
    pub output: Option<PathBuf>,

    /// A folder for packed features and pseudo labels, which experiments can share [default: OUT/cache].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// Seed of both trainings [default: the experiment's].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Change a setting of `model`, such as losses.mixup=none; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub changes: Vec<String>,

    /// Print a shipped experiment, and do nothing else.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["experiment", "data", "output"])]
    pub print_experiment: Option<String>,
}

/// Videos of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ParseSplit {
    /// Those it was trained on.
    Train,
    /// Those that chose the epoch and the thresholds.
    Validation,
    /// The rest.
    Test,
}

impl ParseSplit {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// `earmark parse predict`.
#[derive(Debug, Args)]
#[command(after_help = "\
P.npz is what `earmark eval parsing` scores: filenames, classes, and audio and visual [N, 10, C] (for AVE: labels [N, 10]). P.json beside it lists
events with their scores. --onsets moves the beginnings of events in P.json to onsets that were heard; P.npz stays on the grid of seconds.

With --recording and --features, FILE.h5 is a copy of the feature file with /events, whose beginnings are those of onsets that were heard. The parser
must have been trained on such features (`earmark parse features`), without PLSIM.

Examples:
  earmark parse predict uwav --output predictions.npz
  earmark parse predict mine --recording kitchen.mp4 --features kitchen.h5 --output parsed.h5")]
pub struct ParsePredict {
    /// The output of `earmark parse train`.
    #[arg(value_name = "OUT")]
    pub model: PathBuf,

    /// Videos of the set to parse.
    #[arg(long, value_enum, default_value_t = ParseSplit::Test, conflicts_with = "recording")]
    pub split: ParseSplit,

    /// A recording to parse.
    #[arg(long, value_name = "INPUT", requires = "features")]
    pub recording: Option<String>,

    /// Its feature file.
    #[arg(long, value_name = "FILE.h5", requires = "recording")]
    pub features: Option<PathBuf>,

    /// A folder with a plan for each video of the split, NAME.jsonl (`earmark plan`), for its onsets.
    #[arg(long, value_name = "DIR", conflicts_with = "recording")]
    pub onsets: Option<PathBuf>,

    /// The tagger that computes the sound's features, or its manifest.
    #[arg(long, value_name = "MODEL", default_value = "yamnet")]
    pub tagger: String,

    /// Where to write predictions.
    #[arg(long, value_name = "P.npz|FILE.h5")]
    pub output: PathBuf,

    /// Replace FILE.h5 if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// `earmark parse features`.
#[derive(Debug, Args)]
#[command(after_help = "\
DIR/audio/NAME_0_10.npy and so on get the tagger's embedding of every second, [10, values], of length 1; DIR/visual the frames of the feature file on
an even grid: the mean of each second's frames, or the nearest frame. The sound is heard as it is decoded; none of it is written.

Example:
  earmark parse features --recording kitchen.mp4 --features kitchen.h5 --output features")]
pub struct ParseFeatures {
    /// The recording.
    #[arg(long, value_name = "INPUT")]
    pub recording: String,

    /// Its feature file.
    #[arg(long, value_name = "FILE.h5")]
    pub features: PathBuf,

    /// The tagger, or its manifest.
    #[arg(long, value_name = "MODEL", default_value = "yamnet")]
    pub tagger: String,

    /// The output folder.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

/// `earmark parse eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Predicts the test split and scores it as `earmark eval parsing` does: with the authors' scorer and with strict matching for LLP, the accuracy of
segments for AVE. The paper's numbers stand beside, with what differs.

Example:
  earmark parse eval uwav --json")]
pub struct ParseEval {
    /// The output of `earmark parse train`.
    #[arg(value_name = "OUT")]
    pub model: PathBuf,
}
