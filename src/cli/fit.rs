//! Arguments of `earmark fit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// A parameter that is fitted to the output of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The probability of its onsets.
    Calibration,
    /// Their time: the shift from candidates to labelled starts.
    Shift,
    /// The lowest probability that counts as an onset.
    Threshold,
    /// How strongly speech lowers the score of onsets near it; needs a tagger and recordings with speech.
    Voice,
}

/// `earmark fit`, and `earmark fit quality`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct FitCommand {
    /// What else is fitted.
    #[command(subcommand)]
    pub part: Option<FitPart>,

    /// Probes.
    #[command(flatten)]
    pub probes: Option<Fit>,
}

/// What `earmark fit` fits beside probes.
#[derive(Debug, Subcommand)]
pub enum FitPart {
    /// Learn from opinion scores how much the quality of sound and of frames count.
    Quality(FitQuality),
}

/// `earmark fit quality`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark fit quality --mos MOS.mat --recordings LIVE-SJTU/ --output weights.yaml
  earmark fit quality --mos UnB-AVQ-2018-Experiment3.csv --recordings features/ --output weights.yaml
  earmark fit quality --mos scores.csv --scale 0,100 --output weights.yaml

Layouts: MOS.mat of LIVE-SJTU (MOS, allNames, disNames) and SJTU-UAV (MOSz, videoName), saved by MATLAB up to version 7; the CSV files of
UnB-AV (refFile, testFile, Mqs); or a table with the columns recording and mos, and where known content (what clips of one recording
have in common), scene (speech, music, action or ambience), sound and frames (qualities in 0..=1).

Files are named after the clips. Where sound and video are files of their own, as in LIVE-SJTU, both are measured by themselves. Raw
.yuv files must be put into a container first. Recordings are measured as `earmark screen` does; only feature files tell the scene.

PLCC and RMSE are taken after a logistic function of four parameters; folds are by content.")]
pub struct FitQuality {
    /// The opinion scores.
    #[arg(long, value_name = "FILE.mat|FILE.csv")]
    pub mos: PathBuf,

    /// Folder of the clips, or of their feature files (.h5), which are preferred.
    #[arg(long, value_name = "FOLDER")]
    pub recordings: Option<PathBuf>,

    /// The weights to write; a pipeline names them in `quality: { weights: FILE }`.
    #[arg(long, short, value_name = "FILE.yaml")]
    pub output: PathBuf,

    /// The model card to write [default: beside the weights].
    #[arg(long, value_name = "FILE.md")]
    pub card: Option<PathBuf>,

    /// Lowest and highest possible score [default: the layout's; of a table 1,5].
    #[arg(long, value_name = "LOW,HIGH", value_parser = scale)]
    pub scale: Option<[f64; 2]>,

    /// Folds, by content, 2..=100; at most as many as there are contents.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = folds)]
    pub folds: usize,

    /// Seed of the folds.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Give up on a recording that makes no progress for this many seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub stall_timeout: u64,

    /// Replace the output and its model card if they exist.
    #[arg(long)]
    pub overwrite: bool,
}

fn folds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (2..=100).contains(&count) => Ok(count),
        _ => Err("must be in 2..=100".into()),
    }
}

fn scale(text: &str) -> Result<[f64; 2], String> {
    let numbers = text.split_once(',').and_then(|(low, high)| {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        number(low).zip(number(high))
    });
    match numbers {
        Some((low, high)) if low < high => Ok([low, high]),
        _ => Err("must be two numbers, the lower first: 1,5".into()),
    }
}

/// `earmark fit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Recordings are sound or video files. Labels are in NAME.labels.csv (start_s,stop_s,class) beside NAME.wav, or in one --labels file with
a column video_id (the layout of EPIC-SOUNDS). A run that was stopped resumes from OUTPUT.part when it is started again.

Examples:
  earmark fit --recordings mixes --held-out others --output mine.safetensors
  earmark fit --recordings my-kitchen --calibrate-only builtin --output mine.safetensors
  earmark fit --recordings my-kitchen --calibrate-only builtin --also shift,threshold --output mine.safetensors
  earmark fit --recordings mixes --held-out others --embedding my-embedding.yaml --output my-head.safetensors")]
pub struct Fit {
    /// Folder of recordings to train on.
    #[arg(long, value_name = "FOLDER")]
    pub recordings: PathBuf,

    /// One file with the labels of all recordings, with a column video_id [default: a file beside each recording].
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// Folders of other recordings. Calibration, threshold and shift are fitted to them, and the result is scored on each of them beside the
    /// probe flux and the built-in weights (cross-validated). A recording that is also trained on is refused.
    #[arg(long, value_name = "FOLDER")]
    pub held_out: Vec<PathBuf>,

    /// The weights to write. They appear only once they are complete.
    #[arg(long, short, value_name = "FILE.safetensors")]
    pub output: PathBuf,

    /// The model card to write [default: beside the weights].
    #[arg(long, value_name = "FILE.md")]
    pub card: Option<PathBuf>,

    /// Seed; the same recordings, seed and steps give the same weights.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Training steps of the TCN, 1..=1000000.
    #[arg(long, value_name = "N", default_value_t = 450, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub steps: u32,

    /// Use each recording this many more times, each time as it would sound through another microphone: bandwidth, equaliser, gain
    /// control, noise gate, noise suppression, clipping, hum, echo or level, drawn from the seed, 0..=8.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=8),
        conflicts_with = "embedding")]
    pub channels: u32,

    /// Keep these weights and fit only their calibration. The existing calibration weighs as much as eight recordings: a few minutes of one
    /// room change it a little, hours replace it. `builtin` names the built-in weights.
    #[arg(long, value_name = "WEIGHTS|builtin", conflicts_with_all = ["calibration", "steps", "seed"])]
    pub calibrate_only: Option<PathBuf>,

    /// With --calibrate-only: fit these parameters, too.
    #[arg(
        long,
        value_enum,
        value_name = "PART",
        value_delimiter = ',',
        requires = "calibrate_only"
    )]
    pub also: Vec<Part>,

    /// Use the calibration and the thresholds of these weights.
    #[arg(long, value_name = "WEIGHTS")]
    pub calibration: Option<PathBuf>,

    /// Train a linear head on this embedding instead: a manifest of kind probe, or its name. Its `head` need not exist yet.
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["calibrate_only", "calibration", "steps", "tagger"])]
    pub embedding: Option<String>,

    /// The tagger for whose classes to propose offsets, or `none` [default: yamnet if it is installed].
    #[arg(long, value_name = "NAME")]
    pub tagger: Option<String>,

    /// Exit with status 1 unless the result hits significantly more events of the held-out recordings than the built-in weights. The files are
    /// written in any case.
    #[arg(long, requires = "held_out")]
    pub require_better: bool,

    /// Replace the output and its model card if they exist.
    #[arg(long)]
    pub overwrite: bool,
}
