//! Converts feature files for other programs.
//!
//! # Layout
//!
//! - `source`: the files to export; reports every problem before anything is written.
//! - `actionformer`, `pt`, `npy`, `safetensors`: formats with one file per recording.
//! - `clip_grid`: grids of clips, for `actionformer` and `pt`.
//! - `merged` (HDF5), `parquet`, `events` (JSON), `stretches` (quality as CSV or JSON): formats with one file for all.

mod actionformer;
mod clip_grid;
mod events;
mod merged;
mod npy;
mod parquet;
mod pt;
mod safetensors;
mod source;
mod stretches;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::cli::{self, ExportFormat, Fill, Loader};
use crate::failure::{Reported, Usage};
use crate::files;
use crate::stop::Stop;
use crate::terminal::grouped;
use crate::terminal::{self, Output};
use actionformer::Grid;
use source::Source;

/// Default stride: anchor windows are 600 ms long, and anchors 500 ms apart.
const STRIDE_MS: u32 = 500;

/// What every format needs.
struct Job<'a> {
    sources: &'a [Source],
    output: &'a Path,
    overwrite: bool,
    bar: ProgressBar,
}

/// The result of an export.
struct Written {
    /// Files by recording; a single file for all is under "".
    files: BTreeMap<String, Vec<PathBuf>>,
    /// Further lines of text, and their JSON.
    notes: Vec<String>,
    more: Value,
}

/// `earmark export`.
///
/// # Errors
/// A file that cannot be exported, before anything is written; or an output that cannot be written.
pub fn run(args: &cli::Export, output: Output) -> anyhow::Result<()> {
    let grid = grid(args)?;
    let stop = Stop::new()?;
    let bar = |n: usize, what: &'static str| {
        if output.quiet {
            ProgressBar::hidden()
        } else {
            // Shown only on a terminal.
            ProgressBar::new(n as u64).with_message(what)
        }
    };
    let paths = source::paths(&args.files)?;
    let checking = bar(paths.len(), "checking");
    let (sources, skipped) = source::check(&paths, &stop, &checking)?;
    checking.finish_and_clear();
    let job = Job {
        sources: &sources,
        output: &args.output,
        overwrite: args.overwrite,
        bar: bar(sources.len(), "writing"),
    };
    let written = match args.format {
        ExportFormat::Actionformer => actionformer::write(&job, grid),
        ExportFormat::Pt => pt::write(&job, grid),
        ExportFormat::Npy => npy::write(&job),
        ExportFormat::Safetensors => safetensors::write(&job),
        ExportFormat::Hdf5 => merged::write(&job),
        ExportFormat::Parquet => parquet::write(&job),
        ExportFormat::Events => events::write(&job),
        ExportFormat::Quality => stretches::write(&job),
    }?;
    job.bar.finish_and_clear();
    report(args, &sources, &skipped, &written, output)?;
    match skipped.is_empty() {
        true => Ok(()),
        false => Err(Reported.into()),
    }
}

fn grid(args: &cli::Export) -> Result<Grid, Usage> {
    let given = args.stride_ms.is_some() || args.fill.is_some();
    let format = args.format;
    let is_grid = [ExportFormat::Actionformer, ExportFormat::Pt].contains(&format);
    if given && !is_grid {
        return Err(Usage(
            "--stride-ms and --fill need --format actionformer or pt; the other formats keep the time of every frame".into(),
        ));
    }
    if args.loader.is_some() && format != ExportFormat::Actionformer {
        return Err(Usage("--loader needs --format actionformer".into()));
    }
    Ok(Grid {
        stride_ms: args.stride_ms.unwrap_or(STRIDE_MS),
        fill: args.fill.unwrap_or(Fill::Nearest),
        loader: args.loader.unwrap_or(Loader::Epic),
        is_asked: args.stride_ms.is_some(),
    })
}

fn report(
    args: &cli::Export,
    sources: &[Source],
    skipped: &[String],
    written: &Written,
    output: Output,
) -> anyhow::Result<()> {
    for why in skipped {
        terminal::tell(&format!("skipped: {why}"));
    }
    let frames: usize = sources.iter().map(Source::frames).sum();
    let dim = sources.first().map_or(0, Source::dim);
    if output.json {
        let files: BTreeMap<_, Vec<_>> = written
            .files
            .iter()
            .map(|(id, files)| (id, files.iter().map(|f| f.to_string_lossy()).collect()))
            .collect();
        let recordings: Vec<_> = sources
            .iter()
            .map(|s| json!({ "video_id": s.id(), "from": s.path.to_string_lossy(), "frames": s.frames(), "files": files.get(&s.id().to_owned()) }))
            .collect();
        let mut value = json!({
            "ok": skipped.is_empty(), "output": args.output.to_string_lossy(), "recordings": recordings, "frames": frames, "dim": dim,
            "skipped": skipped,
        });
        if !written.more.is_null() {
            let name = match args.format {
                ExportFormat::Pt => "pt",
                _ => "actionformer",
            };
            value[name] = written.more.clone();
        }
        return terminal::print(&format!("{value:#}"));
    }
    let mut lines = vec![
        format!(
            "exported   {} recordings, {} frames of {} values",
            grouped(sources.len() as u64),
            grouped(frames as u64),
            grouped(dim as u64)
        ),
        format!("written    {}", args.output.display()),
    ];
    lines.extend(written.notes.iter().cloned());
    if !skipped.is_empty() {
        lines.push(format!(
            "skipped    {} files, listed on stderr",
            skipped.len()
        ));
    }
    terminal::print(&lines.join("\n"))
}

impl Job<'_> {
    /// Writes files for each recording, named by its id and these endings; `write` gets the empty files in this order.
    fn each(
        &self,
        endings: &[&str],
        mut write: impl FnMut(&Source, &[File]) -> anyhow::Result<()>,
    ) -> anyhow::Result<BTreeMap<String, Vec<PathBuf>>> {
        let folder = self.output;
        if folder.is_file() {
            bail!(
                "the output {} is a file; this format writes one file per recording, so name a folder",
                folder.display()
            );
        }
        let names = |id: &str| -> Vec<String> {
            let name = |ending| format!("{id}{ending}");
            endings.iter().map(name).collect()
        };
        let mut owners: BTreeMap<String, &Source> = BTreeMap::new();
        for source in self.sources {
            for name in names(source.id()) {
                if let Some(other) = owners.insert(name.clone(), source) {
                    bail!(
                        "{} and {} would both be written to {name}",
                        other.path.display(),
                        source.path.display()
                    );
                }
            }
        }
        // Existing outputs are found before the first file is written.
        for name in owners.keys() {
            let file = folder.join(name);
            if !self.overwrite && file.symlink_metadata().is_ok() {
                bail!(
                    "the output {} already exists; use --overwrite to replace it",
                    file.display()
                );
            }
        }
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let mut all = BTreeMap::new();
        for source in self.sources {
            let names = names(source.id());
            let files: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
            self.publish(&files, |opened| write(source, opened))?;
            source.done();
            all.insert(source.id().to_owned(), files);
            self.bar.inc(1);
        }
        Ok(all)
    }

    /// Publishes several files together, the last one last.
    fn publish(
        &self,
        files: &[PathBuf],
        write: impl FnOnce(&[File]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut targets = Vec::new();
        for file in files {
            let target = files::check(file, self.overwrite)?;
            let partial = files::temporary(&target, ".partial")?;
            targets.push((target, partial));
        }
        let opened: Vec<File> = targets
            .iter()
            .map(|(_, partial)| partial.as_file().try_clone())
            .collect::<Result<_, _>>()?;
        let names = || {
            let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
            format!("cannot write {}", names.join(", "))
        };
        write(&opened).with_context(names)?;
        for (target, partial) in targets {
            files::publish(partial, &target, self.overwrite)?;
        }
        Ok(())
    }
}
