//! The command line and its help, as data: imports nothing else of this crate.
//!
//! # Layout
//!
//! - `pipeline`: arguments shared by commands with a pipeline; validate, graph.
//! - `extract`: run, plan. `batch`: batch.
//! - `live`: live. `files`: inspect, verify, recover.
//! - `report`: report, plot. `exchange`: export, import-audio.
//! - `ask`: ask, fit-localizer, eval qa. `eval`: eval; `scores`: its commands for published benchmarks. `evidence`: sample, eval tokens, learn. `fit`: fit. `machine`: models.
//! - `parse`: parse. `screen`: screen.

mod ask;
mod batch;
mod eval;
mod evidence;
mod exchange;
mod extract;
mod files;
mod fit;
mod live;
mod machine;
mod parse;
mod pipeline;
mod report;
mod scores;
mod screen;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

pub use ask::{
    Ask, EvalQa, FitLocalizer, Half, ModelArgs, QuestionArgs, Questions, Sampling, SelectionArgs,
};
pub use batch::{Batch, Engine, Hash, Resume};
pub use eval::{Eval, EvalAnchors, EvalCurve};
pub use evidence::{EvalTokens, HeadModel, Learn, Sample, SampleLayout, Sampled};
pub use exchange::{Export, ExportFormat, Fill, ImportAudio, Loader};
pub use extract::{Listening, Plan, Run};
pub use files::{Inspect, Reader, Recover, Task, Verify};
pub use fit::{Fit, FitCommand, FitPart, FitQuality, Part};
pub use live::Live;
pub use machine::{
    Completions, Doctor, Man, ModelFit, ModelLike, Models, ModelsAdd, ModelsCommand,
};
pub use parse::{Parse, ParseEval, ParseFeatures, ParsePredict, ParseSplit, ParseTrain};
pub use pipeline::{Format, Graph, PipelineArgs, Pipelines, Schema, Validate};
pub use report::{Plot, Report};
pub use scores::{
    Background, EvalDetection, EvalLayout, EvalMoments, EvalOnsets, EvalParsing, EvalPsds, EvalSed,
    Layout, Scorer,
};
pub use screen::Screen;

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
  earmark ask kitchen.h5 --video kitchen.mp4 --question \"What broke?\" --dry-run

Exit status: 0 if everything was done, 1 if something failed, 2 if the command line or the pipeline is wrong.
Results go to stdout; progress and logs go to stderr (EARMARK_LOG=debug shows more).";

/// Extracts visual features from long recordings: listens first, then decodes only the frames that are worth it.
#[derive(Debug, Parser)]
#[command(name = "earmark", version, styles = STYLES, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,

    /// Print the result as one JSON object on stdout.
    #[arg(long, global = true)]
    pub json: bool,

    /// Show no progress on stderr; warnings and errors still appear.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Extract features from a recording.
    Run(Run),
    /// Listen to a recording (or a sound file) and write a plan: which frames to take.
    Plan(Plan),
    /// Keep cameras and microphones going for weeks: hourly files, events, reconnection.
    Live(Live),
    /// Extract features from many recordings, on one machine or many; can be resumed.
    Batch(Box<Batch>),
    /// Process recordings for `earmark batch`, which sends requests on stdin.
    #[command(hide = true)]
    Worker,
    /// Read a file that may be damaged, for other commands.
    #[command(hide = true)]
    Reader(Reader),
    /// Check a pipeline and report every problem at once.
    Validate(Validate),
    /// List the pipelines that come with Earmark, or print one.
    Pipelines(Pipelines),
    /// Print the JSON Schema of pipelines, for editors that complete and check YAML, or of the events of `earmark live`.
    Schema(Schema),
    /// Print shell completions: bash, zsh, fish, elvish or powershell.
    Completions(Completions),
    /// Write man pages, one for each command, into a folder.
    Man(Man),
    /// Draw a pipeline: elements, pads, caps and links.
    Graph(Graph),
    /// Show what is in a feature file, a plan or the output folder of `batch` or `live`.
    Inspect(Inspect),
    /// Read feature files in full and report every problem.
    Verify(Verify),
    /// Save what can be read of a feature file whose run was killed.
    Recover(Recover),
    /// Convert feature files for other programs: ActionFormer, NumPy, safetensors, a single HDF5 file, Parquet.
    Export(Export),
    /// Plan from one HDF5 file that holds the sound of many recordings, such as EPIC_audio.hdf5.
    ImportAudio(ImportAudio),
    /// Score plans against labelled events.
    #[command(subcommand)]
    Eval(Eval),
    /// Write plans at strictly equal tokens, by policy: even, random, by sound, by labels.
    Sample(Sample),
    /// Make an HTML page of a feature file: the sound, the frames, their cost and, with labels, the hits.
    Report(Report),
    /// Draw a feature file for a paper, as SVG or PNG.
    Plot(Plot),
    /// Answer a question about recordings with your own vision-language model; sound chooses the frames that it sees.
    Ask(Box<Ask>),
    /// List recordings whose sound or frames are unusable, before anyone trains on them.
    Screen(Screen),
    /// Train the probes onset and onset+tcn on labelled recordings, or learn the weights of audio-visual quality.
    Fit(Box<FitCommand>),
    /// Train a localizer head on your model's own answers: it chooses frames for questions without calls.
    FitLocalizer(Box<FitLocalizer>),
    /// Train heads on frozen features, or predict with them: starts earmark-learning.
    Learn(Learn),
    /// Say which events are heard and which are seen in every second, learned from labels of whole videos.
    #[command(subcommand)]
    Parse(Parse),
    /// List the models that pipelines can name.
    Models(Models),
    /// Check that this machine has what Earmark needs, and say what to install.
    Doctor(Doctor),
}
