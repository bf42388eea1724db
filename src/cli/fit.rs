//! Weights of one's own: `earmark fit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is fitted to what a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// How likely its onsets are.
    Calibration,
    /// When they are: from candidates to the starts that are labelled.
    Shift,
    /// Which are worth saying.
    Threshold,
    /// What a voice takes from them: needs a tagger, and recordings in which somebody speaks.
    Voice,
}

/// `earmark fit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Recordings are sound or video files, with NAME.labels.csv (start_s,stop_s,class) beside NAME.wav, or one --labels file that names them
in its column video_id (the layout of EPIC-SOUNDS). A run that was stopped goes on from OUTPUT.part when it is started again.

Examples:
  earmark fit --recordings mixes --held-out others --output mine.safetensors
  earmark fit --recordings my-kitchen --calibrate-only ears.safetensors --output mine.safetensors
  earmark fit --recordings my-kitchen --calibrate-only ears.safetensors --also shift,threshold --output mine.safetensors
  earmark fit --recordings mixes --held-out others --embedding my-embedding.yaml --output my-head.safetensors")]
pub struct Fit {
    /// Folder of recordings to learn from.
    #[arg(long, value_name = "FOLDER")]
    pub recordings: PathBuf,

    /// Labels of all recordings, with a column video_id; unset: a file beside each.
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// Folders of other recordings, to which calibration, threshold and shift are fitted and on each of which the result is scored, beside the
    /// probe flux and the weights that are built in: each recording by what is fitted to the others. One that is learned from, too, is refused.
    #[arg(long, value_name = "FOLDER")]
    pub held_out: Vec<PathBuf>,

    /// The weights to write. They appear only when they are complete.
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub output: PathBuf,

    /// The model card to write; unset: beside the weights.
    #[arg(long, value_name = "FILE.md")]
    pub card: Option<PathBuf>,

    /// The same recordings, seed and steps give the same weights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Steps of training the TCN, 1..=1000000.
    #[arg(long, value_name = "N", default_value_t = 450, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: u32,

    /// Leave these weights as they are and fit only their calibration. The one that they have counts as much as eight recordings: a few
    /// minutes of one room move it a little, hours replace it.
    #[arg(long, value_name = "WEIGHTS", conflicts_with_all = ["calibration", "steps", "seed"])]
    pub calibrate_only: Option<PathBuf>,

    /// With --calibrate-only: fit these too.
    #[arg(
        long,
        value_enum,
        value_name = "PART",
        value_delimiter = ',',
        requires = "calibrate_only"
    )]
    pub also: Vec<Part>,

    /// Take the calibration and the thresholds of these weights.
    #[arg(long, value_name = "WEIGHTS")]
    pub calibration: Option<PathBuf>,

    /// Learn a linear head over this embedding instead: a manifest of kind probe, or its name. Its `head` need not be there yet.
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["calibrate_only", "calibration", "steps", "tagger"])]
    pub embedding: Option<String>,

    /// The tagger for whose classes offsets are proposed, or none; without it, yamnet if it is there.
    #[arg(long, value_name = "NAME")]
    pub tagger: Option<String>,

    /// Replace the output and its card if they exist.
    #[arg(long)]
    pub overwrite: bool,
}
