//! What each command does with its arguments; mapped to an exit status.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use gstearmark::visible::visible;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Eval, Format, Graph, Inspect, Models, PipelineArgs};
use crate::config::{self, Pipeline, Variables};
use crate::session::Watch;
use crate::{
    batch, doctor, eval, export, fit, graph, guard, inspect, plot, report, session, verify,
};

/// Something is wrong with the command line or the pipeline.
const WRONG: u8 = 2;
/// Something failed.
const FAILED: u8 = 1;

/// How results are given.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON object on stdout instead of text.
    pub json: bool,
    /// No progress.
    pub quiet: bool,
}

impl Output {
    /// Who is told how far a pass is.
    pub(crate) fn watch(self) -> Watch {
        if self.quiet {
            Watch::Nobody
        } else {
            Watch::Person
        }
    }
}

/// The command line is fine as far as clap can tell, and still wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Something was reported already; only the exit status is left to give.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub(crate) struct Reported(u8);

impl Reported {
    /// Something failed, and that was told.
    pub(crate) fn failure() -> Self {
        Self(FAILED)
    }
}

/// Runs a command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_env("EARMARK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Told)
        .with_ansi(false)
        .try_init();
    let output = Output {
        json: cli.json,
        quiet: cli.quiet,
    };
    match dispatch(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => ExitCode::from(report(&e, output)),
    }
}

fn dispatch(command: Command, output: Output) -> anyhow::Result<()> {
    if let Command::Reader(args) = &command {
        // It needs little, and has little.
        return guard::read(args);
    }
    crate::init().context("GStreamer cannot start")?;
    match command {
        Command::Validate(args) => validate(&args.pipeline, output),
        Command::Graph(args) => draw(&args, output),
        Command::Inspect(args) => show(&args, output),
        Command::Eval(Eval::Anchors(args)) => eval::anchors(&args, output),
        Command::Verify(args) => verify::verify(&args, output),
        Command::Recover(args) => verify::recover(&args, output),
        Command::Export(args) => export::run(&args, output),
        Command::ImportAudio(args) => session::import_audio(&args, output),
        Command::Models(args) => models(&args, output),
        Command::Doctor => examine(output),
        Command::Run(args) => session::run(&args, output),
        Command::Batch(args) => batch::run(&args, output),
        Command::Worker => batch::work(),
        Command::Reader(args) => guard::read(&args),
        Command::Plan(args) => session::plan(&args, output),
        Command::Report(args) => report::report(&args, output),
        Command::Plot(args) => plot::plot(&args, output),
        Command::Fit(args) => fit::run(&args, output),
    }
}

/// Says what went wrong; the exit status.
fn report(e: &anyhow::Error, output: Output) -> u8 {
    if let Some(Reported(status)) = e.downcast_ref() {
        return *status;
    }
    let wrong = e.downcast_ref::<config::Error>();
    let status = if wrong.is_some() || e.is::<Usage>() {
        WRONG
    } else {
        FAILED
    };
    match wrong {
        // Every problem begins with its own place.
        Some(config::Error::Wrong(problems)) => tell(&problems.to_string()),
        _ => tell(&format!("error: {e:#}")),
    }
    if output.json {
        let problems = match wrong {
            Some(config::Error::Wrong(problems)) => json!(problems.problems),
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

/// To stdout, with nothing in it that a terminal obeys; a closed pipe is the reader's choice, no failure. [`tell`] is its like for stderr:
/// nothing else writes to either.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", visible(text)) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}

/// To stderr, with nothing in it that a terminal obeys. Nobody is left to be told that it failed.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text));
}

/// Where log lines go.
struct Told;

impl Write for Told {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(visible(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Reads the command line; help and what is wrong with it are told, and end the program. Wildcards bring names that somebody else chose.
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
    let variables = Variables::new(&args.set).map_err(Usage)?;
    Ok(Pipeline::read(&args.pipeline, &variables)?)
}

fn validate(args: &PipelineArgs, output: Output) -> anyhow::Result<()> {
    let pipeline = read(args)?;
    if output.json {
        return print(&format!(
            "{:#}",
            json!({ "ok": true, "file": pipeline.file, "problems": [], "config": pipeline.config })
        ));
    }
    print(&format!(
        "{} is fine: {} elements, {} links",
        pipeline.file.display(),
        pipeline.graph.nodes.len(),
        pipeline.graph.links.len()
    ))
}

fn draw(args: &Graph, output: Output) -> anyhow::Result<()> {
    let pipeline = read(&args.pipeline)?;
    let dot = graph::dot(&pipeline);
    let drawn = match args.format {
        Format::Dot => dot.into_bytes(),
        Format::Svg => graph::svg(&dot)?,
    };
    if let Some(file) = &args.output {
        std::fs::write(file, &drawn).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match (&args.output, output.json) {
        (None, false) => print(String::from_utf8_lossy(&drawn).trim_end()),
        (Some(_), false) => Ok(()),
        (_, true) => print(&format!("{:#}", graph::json(&pipeline))),
    }
}

fn show(args: &Inspect, output: Output) -> anyhow::Result<()> {
    let about = inspect::inspect(&args.file)?;
    print(&if output.json {
        format!("{:#}", about.json())
    } else {
        about.to_string()
    })
}

fn models(args: &Models, output: Output) -> anyhow::Result<()> {
    let listed = gstearmark::models::list();
    let mut bad = 0;
    let mut rows = Vec::new();
    let mut text = String::new();
    for listed in &listed {
        let name = listed
            .path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let file = listed.path.display().to_string();
        match &listed.manifest {
            Err(e) => {
                bad += 1;
                text.push_str(&format!("{name:<22} broken   {e}\n"));
                rows.push(
                    json!({ "name": name, "manifest": file, "ok": false, "error": e.to_string() }),
                );
            }
            Ok(manifest) => {
                let state = if args.check {
                    manifest.check().map(|()| "ok")
                } else {
                    Ok(if manifest.onnx_path().is_file() {
                        "there"
                    } else {
                        "missing"
                    })
                };
                let (ok, word) = match &state {
                    Ok(word) => (true, *word),
                    Err(_) => (false, "bad"),
                };
                bad += usize::from(!ok);
                let source = &manifest.source;
                text.push_str(&format!(
                    "{:<22} {:<8} {word:<8} {} {}, {}\n",
                    manifest.name,
                    manifest.kind.to_string(),
                    source.package,
                    source.version,
                    source.licence
                ));
                if let Err(e) = &state {
                    text.push_str(&format!("    {e}\n"));
                }
                rows.push(json!({
                    "name": manifest.name, "kind": manifest.kind, "manifest": file, "file": manifest.onnx_path(), "sha256": manifest.sha256,
                    "licence": source.licence, "package": source.package, "version": source.version, "ok": ok && word != "missing",
                    "error": state.as_ref().err().map(ToString::to_string),
                }));
            }
        }
    }
    if listed.is_empty() {
        let dirs: Vec<_> = gstearmark::models::search_dirs()
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        text = format!(
            "no models in {}; run `make setup`, or name their folder in EARMARK_MODELS\n",
            if dirs.is_empty() {
                "any folder".into()
            } else {
                dirs.join(", ")
            }
        );
        bad += usize::from(args.check);
    }
    let ok = bad == 0;
    print(&if output.json {
        format!("{:#}", json!({ "ok": ok, "models": rows }))
    } else {
        text.trim_end().to_owned()
    })?;
    if args.check && !ok {
        Err(Reported(FAILED).into())
    } else {
        Ok(())
    }
}

fn examine(output: Output) -> anyhow::Result<()> {
    let findings = doctor::examine();
    let ok = findings.iter().all(|finding| finding.ok || !finding.needed);
    if output.json {
        print(&format!("{:#}", json!({ "ok": ok, "findings": findings })))?;
    } else {
        for finding in &findings {
            let mark = match (finding.ok, finding.needed) {
                (true, _) => "ok      ",
                (false, true) => "MISSING ",
                (false, false) => "optional",
            };
            let mut line = format!(
                "{mark} {:<13} {:<20} {}",
                finding.topic, finding.what, finding.detail
            );
            if let Some(fix) = &finding.fix {
                line.push_str(&format!("\n         fix: {fix}"));
            }
            print(&line)?;
        }
        print(if ok {
            "everything needed is here"
        } else {
            "something needed is missing; each `fix` line says what to run"
        })?;
    }
    if ok {
        Ok(())
    } else {
        Err(Reported(FAILED).into())
    }
}

/// A path as text, for messages and GStreamer.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn text_of(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8; rename it", path.display()))
}
