//! The command line: what may be typed, and its help. Data alone: it imports nothing of this crate.
//!
//! # Layout
//!
//! - `pipeline`: what commands that read one share; validate, graph.
//! - `extract`: run, plan. `batch`: batch.
//! - `files`: inspect, verify, recover.
//! - `report`: report, plot. `exchange`: export, import-audio.
//! - `eval`: eval; `scores`: its commands for published benchmarks. `fit`: fit. `machine`: models.

mod batch;
mod eval;
mod exchange;
mod extract;
mod files;
mod fit;
mod machine;
mod pipeline;
mod report;
mod scores;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

pub use batch::{Batch, Engine, Hash, Resume};
pub use eval::{Eval, EvalAnchors};
pub use exchange::{Export, ExportFormat, Fill, ImportAudio};
pub use extract::{Listening, Plan, Run};
pub use files::{Inspect, Reader, Recover, Task, Verify};
pub use fit::{Fit, Part};
pub use machine::{Completions, Man, Models};
pub use pipeline::{Format, Graph, PipelineArgs, Pipelines, Validate};
pub use report::{Plot, Report};
pub use scores::{
    Background, EvalDetection, EvalLayout, EvalMoments, EvalOnsets, EvalParsing, EvalPsds, EvalSed,
    Layout, Scorer,
};

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
    /// List the pipelines that come with Earmark, or print one.
    Pipelines(Pipelines),
    /// Print the JSON Schema of pipelines, for editors that complete and check YAML.
    Schema,
    /// Print shell completions: bash, zsh, fish, elvish or powershell.
    Completions(Completions),
    /// Write man pages, one for each command, into a folder.
    Man(Man),
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
