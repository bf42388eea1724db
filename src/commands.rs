//! The commands, one file each: arguments -> a call -> an exit status.

mod ask;
mod batch;
mod completions;
mod doctor;
mod eval;
mod export;
mod fit;
mod fit_localizer;
mod graph;
mod import_audio;
mod inspect;
mod learn;
mod live;
mod man;
mod models;
mod parse;
mod pipelines;
mod plan;
mod plot;
mod reader;
mod recover;
mod report;
mod run;
mod sample;
mod schema;
mod screen;
mod validate;
mod verify;
mod worker;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use serde_json::{Value, json};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::{Cli, Command, PipelineArgs};
use crate::failure::{Reported, Usage};
use crate::files;
use crate::pipeline::{self, Pipeline, Variables};
use crate::terminal::{LogWriter, Output, print, tell};

/// Something is wrong with the command line or the pipeline.
const WRONG: u8 = 2;
/// Something failed.
const FAILED: u8 = 1;

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    // `debug`, or levels by module: `warn,earmark::session=debug`.
    let filter = std::env::var("EARMARK_LOG")
        .ok()
        .and_then(|levels| levels.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogWriter)
        .with_ansi(false);
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    let output = Output {
        json: cli.json,
        quiet: cli.quiet,
    };
    match dispatch(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => ExitCode::from(status(&e, output)),
    }
}

fn dispatch(command: Command, output: Output) -> anyhow::Result<()> {
    // These need little, and starting GStreamer writes its registry.
    match &command {
        Command::Reader(args) => return reader::run(args),
        Command::Completions(args) => return completions::run(args),
        Command::Man(args) => return man::run(args),
        Command::Learn(args) => return learn::run(args),
        _ => {}
    }
    crate::init().context("GStreamer cannot start")?;
    match command {
        Command::Run(args) => run::run(&args, output),
        Command::Plan(args) => plan::run(&args, output),
        Command::Live(args) => live::run(&args, output),
        Command::Batch(args) => batch::run(&args, output),
        Command::Worker => worker::run(),
        Command::Reader(args) => reader::run(&args),
        Command::Validate(args) => validate::run(&args, output),
        Command::Pipelines(args) => pipelines::run(&args, output),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Graph(args) => graph::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Recover(args) => recover::run(&args, output),
        Command::Export(args) => export::run(&args, output),
        Command::ImportAudio(args) => import_audio::run(&args, output),
        Command::Eval(args) => eval::run(&args, output),
        Command::Sample(args) => sample::run(&args, output),
        Command::Report(args) => report::run(&args, output),
        Command::Plot(args) => plot::run(&args, output),
        Command::Ask(args) => ask::run(&args, output),
        Command::Screen(args) => screen::run(&args, output),
        Command::Fit(args) => fit::run(&args, output),
        Command::FitLocalizer(args) => fit_localizer::run(&args, output),
        Command::Learn(args) => learn::run(&args),
        Command::Parse(args) => parse::run(&args, output),
        Command::Models(args) => models::run(&args, output),
        Command::Doctor(args) => doctor::run(&args, output),
    }
}

/// Prints what went wrong and returns the exit status.
fn status(e: &anyhow::Error, output: Output) -> u8 {
    if e.is::<Reported>() {
        return FAILED;
    }
    let wrong = e.downcast_ref::<pipeline::Error>();
    let status = if wrong.is_some() || e.is::<Usage>() {
        WRONG
    } else {
        FAILED
    };
    match wrong {
        // Each problem starts with its own place in the file.
        Some(pipeline::Error::Wrong(problems)) => tell(&problems.to_string()),
        _ => tell(&format!("error: {e:#}")),
    }
    if output.json {
        let problems = match wrong {
            Some(pipeline::Error::Wrong(problems)) => json!(problems.problems),
            _ => Value::Null,
        };
        let mut value = json!({ "ok": false, "error": format!("{e:#}") });
        if !problems.is_null() {
            value["problems"] = problems;
        }
        let _ = print(&format!("{value:#}"));
    }
    status
}

/// Reads the command line. Prints help or the usage error and ends the program. Wildcards may bring in file names that somebody else chose.
pub fn typed() -> Cli {
    match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() => {
            tell(e.render().to_string().trim_end());
            std::process::exit(e.exit_code());
        }
        Err(e) => e.exit(),
    }
}

/// The pipeline that a command names.
pub(crate) fn read(args: &PipelineArgs) -> anyhow::Result<Pipeline> {
    read_with(args, None)
}

/// Like [`read`], with cues of another source.
///
/// # Errors
/// Like [`read`].
pub(crate) fn read_with(args: &PipelineArgs, cues_from: Option<&Path>) -> anyhow::Result<Pipeline> {
    let mut set = args.set.clone();
    // JSON is valid YAML, whatever characters the path contains.
    let key = |path: &Path| files::text_of(path).map(|path| serde_json::json!(path).to_string());
    if let Some(path) = cues_from.map(key).transpose()? {
        set.push(format!("anchors.cues_from={path}"));
    }
    let variables = Variables::new(&set).map_err(Usage)?;
    Ok(Pipeline::read_with_alternatives(
        &args.pipeline,
        &variables,
    )?)
}
