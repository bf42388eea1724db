//! Who is heard, who is seen, when: `earmark parse`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `earmark parse`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Learns from labels of whole videos which events are heard, seen, or both in every second. `make learning` builds what trains.

Experiments that are shipped: uwav-llp, uwav-ave, link-llp (the papers' sizes and features) and kitchenmix (two cores, a set that scripts/parsing.py makes).")]
pub enum Parse {
    /// Train what an experiment describes: features packed, pseudo labels made, the parser trained.
    Train(ParseTrain),
    /// Say what is heard and what is seen: in a split of the set, or in a recording.
    Predict(ParsePredict),
    /// Write the features of a recording in LLP's layout: pieces of ten seconds.
    Features(ParseFeatures),
    /// Score a trained parser on the test split, beside what the paper says.
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
    /// An experiment that is shipped, or a file.
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

    /// A folder for the parser, its card and what is needed to predict.
    #[arg(long, value_name = "OUT", required_unless_present = "print_experiment")]
    pub output: Option<PathBuf>,

    /// Where packed features and pseudo labels are kept, for experiments that share them [default: OUT/cache].
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// Decides every random choice, of both trainings [default: the experiment's].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Change a setting below `model`, such as losses.mixup=none; may come more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub changes: Vec<String>,

    /// Print an experiment that is shipped, and do nothing.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["experiment", "data", "output"])]
    pub print_experiment: Option<String>,
}

/// Videos of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ParseSplit {
    /// What it was trained on.
    Train,
    /// What chose the epoch and the thresholds.
    Validation,
    /// The rest.
    Test,
}

impl ParseSplit {
    /// As it is typed.
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
    /// What `earmark parse train` wrote.
    #[arg(value_name = "OUT")]
    pub model: PathBuf,

    /// Which videos of the set.
    #[arg(long, value_enum, default_value_t = ParseSplit::Test, conflicts_with = "recording")]
    pub split: ParseSplit,

    /// A recording, whose sound is listened to.
    #[arg(long, value_name = "INPUT", requires = "features")]
    pub recording: Option<String>,

    /// Its feature file.
    #[arg(long, value_name = "FILE.h5", requires = "recording")]
    pub features: Option<PathBuf>,

    /// A folder with a plan for each video of the split, NAME.jsonl (`earmark plan`), whose onsets are taken.
    #[arg(long, value_name = "DIR", conflicts_with = "recording")]
    pub onsets: Option<PathBuf>,

    /// The tagger whose embedding the sound's features are, or its manifest.
    #[arg(long, value_name = "MODEL", default_value = "yamnet")]
    pub tagger: String,

    /// Where predictions go.
    #[arg(long, value_name = "P.npz|FILE.h5")]
    pub output: PathBuf,

    /// Replace FILE.h5 if it is there.
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
    /// A recording, whose sound is listened to.
    #[arg(long, value_name = "INPUT")]
    pub recording: String,

    /// Its feature file.
    #[arg(long, value_name = "FILE.h5")]
    pub features: PathBuf,

    /// The tagger, or its manifest.
    #[arg(long, value_name = "MODEL", default_value = "yamnet")]
    pub tagger: String,

    /// A folder.
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
    /// What `earmark parse train` wrote.
    #[arg(value_name = "OUT")]
    pub model: PathBuf,
}
