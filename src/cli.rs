//! The command line: what may be typed, and its help.

mod exchange;
mod reader;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anchoring::tier::Tier;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exchange::{Export, ExportFormat, Fill, ImportAudio};
pub use reader::{Reader, Task};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER: &str = "\
Examples:
  earmark doctor
  earmark run pipelines/gated.yaml --input kitchen.mp4 --output kitchen.h5
  earmark plan pipelines/gated.yaml --input kitchen.mp4 --output kitchen.jsonl
  earmark run pipelines/gated.yaml --input kitchen.mp4 --output kitchen.h5 --plan kitchen.jsonl
  earmark inspect kitchen.h5 --json
  earmark report kitchen.h5 --video kitchen.mp4 --output kitchen.html
  earmark batch pipelines/gated.yaml videos/ --output features/ --jobs 2
  earmark export features/ --format parquet --output features.parquet

Exit status: 0 when everything asked for was done, 1 for a failure, 2 for a wrong command line or pipeline.
Progress and logs go to stderr (EARMARK_LOG=debug shows more), results to stdout.";

/// Listens to long recordings first and looks only where it pays.
#[derive(Debug, Parser)]
#[command(name = "earmark", version, styles = STYLES, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Print the result as one JSON object on stdout.
    #[arg(long, global = true)]
    pub json: bool,

    /// No progress on stderr; warnings and errors stay.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Extract features from a recording: listen, plan, look, encode, write.
    Run(Run),
    /// Listen to a recording (or a sound file) and write where to look.
    Plan(Plan),
    /// Extract features from many recordings: resumed where it stopped, on many machines if there are.
    Batch(Box<Batch>),
    /// Play recordings for `earmark batch`, as told on stdin.
    #[command(hide = true)]
    Worker,
    /// Read a file that may be damaged, for the other commands.
    #[command(hide = true)]
    Reader(Reader),
    /// Check a pipeline and report everything that is wrong with it.
    Validate(Validate),
    /// Draw a pipeline: elements, pads, caps, links.
    Graph(Graph),
    /// Show what is in a feature file, a plan or a batch's folder.
    Inspect(Inspect),
    /// Read feature files in full and say everything that is wrong with them.
    Verify(Verify),
    /// Save what can be saved of a feature file whose run was killed.
    Recover(Recover),
    /// Turn feature files into what other programs read: ActionFormer, NumPy, safetensors, one HDF5, Parquet.
    Export(Export),
    /// Plan from a file of many recordings' sound, such as EPIC_audio.hdf5.
    ImportAudio(ImportAudio),
    /// Hold plans against labels.
    #[command(subcommand)]
    Eval(Eval),
    /// Make a page of a feature file: what was heard, where it looked, what that cost, whether it was right.
    Report(Report),
    /// Draw a feature file for a paper: SVG or PNG.
    Plot(Plot),
    /// Make weights for the probes onset and onset+tcn from labelled recordings.
    Fit(Fit),
    /// List the models that pipelines can name.
    Models(Models),
    /// Check that this machine has what Earmark needs; say what to install.
    Doctor,
}

/// What commands that read a pipeline share.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// The pipeline, YAML; pipelines/gated.yaml is a good start.
    pub pipeline: PathBuf,

    /// Value of ${NAME} in the pipeline; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}

impl PipelineArgs {
    /// What was set, by name.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let pair = |pair: &String| {
            let (name, value) = pair.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        self.set.iter().filter_map(pair).collect()
    }
}

/// `earmark run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark run pipelines/gated.yaml --input kitchen.mp4 --output kitchen.h5
  earmark run pipelines/uniform.yaml --input https://example.org/kitchen.webm --output kitchen.h5 --overwrite
  earmark run pipelines/gated.yaml --input two-tracks.mkv --output out.h5 --audio-track 1 --json")]
pub struct Run {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The recording: a path or a URI.
    #[arg(long, short, value_name = "FILE|URI")]
    pub input: OsString,

    /// The HDF5 file to write. It appears only when it is complete.
    #[arg(long, short, value_name = "FILE.h5")]
    pub output: PathBuf,

    /// Follow this plan instead of making one.
    #[arg(long, value_name = "PLAN.jsonl")]
    pub plan: Option<PathBuf>,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Keep a small JPEG of every picture too, for `earmark report`; `features: { thumbnails: true }` does the same.
    #[arg(long)]
    pub thumbnails: bool,

    /// Options of listening.
    #[command(flatten)]
    pub listening: Listening,
}

/// Options of the commands that play a recording.
#[derive(Debug, Args)]
pub struct Listening {
    /// Which audio track to listen to, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audio_track: usize,

    /// Processor cores to use, 1..=1024; without it, all of them. Decoder and encoder share them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// Give up when nothing moves for this long, seconds, 1..=86400.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stall_timeout: u64,
}

/// `earmark plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark plan pipelines/gated.yaml --input kitchen.mp4 --output kitchen.jsonl
  earmark plan pipelines/gated.yaml --input sound.wav --output sound.jsonl --cues")]
pub struct Plan {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The recording or sound file: a path or a URI.
    #[arg(long, short, value_name = "FILE|URI")]
    pub input: OsString,

    /// The plan to write, one JSON object a line.
    #[arg(long, short, value_name = "PLAN.jsonl")]
    pub output: PathBuf,

    /// Write the cues too: what was heard, every 80 ms.
    #[arg(long)]
    pub cues: bool,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Options of listening.
    #[command(flatten)]
    pub listening: Listening,
}

/// When an output that is there counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resume {
    /// It is marked complete and its tables agree.
    Skip,
    /// That, and it was made by the same pipeline, models (files, manifests, weights) and variables from the same recording.
    Verify,
    /// Never: everything is made again.
    Overwrite,
}

/// Who divides a batch among machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A script for sbatch: a job array.
    Slurm,
    /// A manifest for kubectl: an Indexed Job.
    K8s,
    /// A driver in Python: Ray tasks.
    Ray,
}

/// What of a recording is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// Its first and last MiB.
    Ends,
    /// All of it.
    Whole,
}

/// `earmark batch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark batch pipelines/gated.yaml videos/ --output features/ --dry-run
  earmark batch pipelines/gated.yaml videos/ --output features/ --jobs 2
  earmark batch pipelines/gated.yaml 'videos/P0*/*.MP4' list.csv --output features/ --retry-failed
  earmark batch pipelines/gated.yaml videos/ --output features/ --emit slurm --parts 16 > job.sh; sbatch job.sh

A list names a recording a line (.txt), or has a column or key `input` and, if wanted, `video_id`, `audio_track` and
variables of the pipeline (.csv, .jsonl). Every attempt is a line of DIR/status.jsonl; `earmark inspect DIR` shows them.")]
pub struct Batch {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// Recordings: files, folders (searched through), patterns, URIs, or lists (.txt, .csv, .jsonl).
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<OsString>,

    /// The folder for the outputs, one VIDEO_ID.h5 a recording; made if need be.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,

    /// Recordings at a time, each in a process of its own; the cores are divided among them.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,

    /// When an output that is there counts as done.
    #[arg(long, value_enum, default_value_t = Resume::Verify)]
    pub resume: Resume,

    /// What of a recording is hashed, to know it again.
    #[arg(long, value_enum, default_value_t = Hash::Ends)]
    pub hash: Hash,

    /// Only what failed the last time. What never did and is not done either is left out and told; then the exit status is 1.
    #[arg(long)]
    pub retry_failed: bool,

    /// Say what would be done, how long it would take and how much it would write; do nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Attempts at a recording whose failure may pass: a worker that died, a stall, an unreadable input.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub attempts: u32,

    /// Most memory of a worker, MiB; without it, nine tenths of the machine's by the number of jobs.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub memory: Option<u64>,

    /// Do nothing here: write the recordings to DIR/recordings.jsonl, and to stdout what an engine takes to do them in parts.
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with_all = ["dry_run", "shard", "retry_failed"])]
    pub emit: Option<Engine>,

    /// With --emit: into how many parts.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub parts: u16,

    /// With --emit k8s: the image, which holds earmark and its models.
    #[arg(long, value_name = "IMAGE", default_value = concat!("earmark:", env!("CARGO_PKG_VERSION")))]
    pub image: String,

    /// With --emit k8s: the claim of the volume that holds recordings and outputs.
    #[arg(long, value_name = "NAME", default_value = "earmark-data")]
    pub claim: String,

    /// Only this part of the recordings, balanced by duration: I from 0 to N - 1. Slurm arrays and Indexed Jobs say it themselves.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,

    /// Options of listening.
    #[command(flatten)]
    pub listening: Listening,
}

/// `earmark validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Graphviz's language.
    Dot,
    /// A picture; needs graphviz.
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

    /// Graphviz text, or a picture of it.
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    pub format: Format,

    /// Write to a file instead of stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `earmark inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A feature file (.h5), a plan (.jsonl), or the folder of a batch.
    pub file: PathBuf,
}

/// `earmark verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark verify kitchen.h5
  earmark verify features/ --json

Exit status: 0 when every file is whole and complete, 1 otherwise.")]
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
    /// The file that a killed run left.
    pub file: PathBuf,

    /// The file to write, which is marked as not complete; without it, NAME.recovered.h5 beside.
    #[arg(long, short, value_name = "FILE.h5")]
    pub output: Option<PathBuf>,
}

/// `earmark eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// How many labelled events the looks of a plan hit, beside even, random, time-shifted and all-knowing looks.
    Anchors(EvalAnchors),
}

/// `earmark eval anchors`.
#[derive(Debug, Args)]
#[command(after_help = "\
LABELS: start_s,stop_s,class and, if known, snr_db; or the columns of EPIC-SOUNDS. Plans and labels are paired by name
(kitchen.jsonl and kitchen.labels.csv or kitchen.csv), or by the column video_id of a single file.

Examples:
  earmark eval anchors --plan kitchen.jsonl --labels kitchen.labels.csv
  earmark eval anchors --plan plans/*.jsonl --labels labels/*.labels.csv --plot recall.svg --json")]
pub struct EvalAnchors {
    /// Plans; those written with --cues say more.
    #[arg(long, required = true, num_args = 1.., value_name = "PLAN.jsonl")]
    pub plan: Vec<PathBuf>,

    /// What really happens.
    #[arg(long, required = true, num_args = 1.., value_name = "LABELS.csv")]
    pub labels: Vec<PathBuf>,

    /// Count looks of this tier or above; unset: base if the plan has any, else low.
    #[arg(long, value_name = "low|base|high")]
    pub tier: Option<Tier>,

    /// Draw the results.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

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

/// `earmark models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Compare every model file with its manifest; exit 1 if one is missing or altered.
    #[arg(long)]
    pub check: bool,
}

/// `earmark report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark report kitchen.h5 --video kitchen.mp4 --labels kitchen.labels.csv
  earmark report gated.h5 --compare uniform.h5 --output both.html
  earmark report features/ --video recordings/ --labels labels/ --output pages/
  earmark report features/ --video recordings/ --serve")]
pub struct Report {
    /// A feature file (.h5), or a folder of them: then there is an index too.
    pub file: PathBuf,

    /// Another run over the same recording, shown below it on the same axis of time.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// The recording, which the page then plays; with a folder, a folder of recordings of the same names.
    #[arg(long, value_name = "FILE|URI")]
    pub video: Option<PathBuf>,

    /// What really sounds when (start_s, stop_s, class): found, missed and false are shown; with a folder, a folder of NAME.labels.csv.
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The page to write: one file that opens from disk; by default FILE with the ending .html. With a folder, a folder.
    #[arg(long, short, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Decode the beginning of --video, for 4 s at most, to estimate what decoding all of it would take here.
    #[arg(long)]
    pub time_decoding: bool,

    /// Serve the page, and the recording with it, instead of writing a file; only to who asks by this address, by localhost where it is
    /// this machine's alone, or by the machine's name where it is not.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8000")]
    pub serve: Option<std::net::SocketAddr>,
}

/// `earmark plot`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark plot kitchen.h5 --labels kitchen.labels.csv --output kitchen.svg
  earmark plot gated.h5 --compare uniform.h5 --from 30 --to 60 --dark --output both.png")]
pub struct Plot {
    /// A feature file (.h5).
    pub file: PathBuf,

    /// Another run over the same recording, drawn below it.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// What really sounds when (start_s, stop_s, class).
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The drawing to write, by its ending SVG or PNG. Text is drawn as outlines: it looks the same everywhere.
    #[arg(long, short, value_name = "FILE.svg|FILE.png")]
    pub output: PathBuf,

    /// Where the drawing begins, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub from: Option<f64>,

    /// Where it ends, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub to: Option<f64>,

    /// For dark pages.
    #[arg(long)]
    pub dark: bool,

    /// Width of the drawing, pixels, 300..=10000.
    #[arg(long, default_value_t = 1200, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(300..=10_000))]
    pub width: u32,

    /// PNG: pixels for one of --width, above 0.
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR", value_parser = factor)]
    pub scale: f64,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.1..=16.0).contains(&factor) => Ok(factor),
        _ => Err("must lie in 0.1..=16".into()),
    }
}
