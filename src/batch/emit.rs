//! `--emit`: writes the batch for another engine: a Slurm array, a Kubernetes Indexed Job, Ray tasks.
//!
//! All parts share one list of recordings with their lengths, so that every part computes the same split.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use minijinja::{Environment, Value as Filled, context};
use serde_json::json;

use super::{BatchRun, Item, job};
use crate::cli::{Batch, Engine, Hash, Resume};
use crate::failure::Usage;
use crate::files;
use crate::pipeline::shipped;
use crate::terminal;

/// The shared list of recordings, in the output folder.
const LIST: &str = "recordings.jsonl";

impl BatchRun<'_> {
    /// Writes the list, and the engine's file to stdout.
    pub(super) fn emit(&self, engine: Engine) -> anyhow::Result<()> {
        let args = self.args;
        let output = absolute(&args.output)?;
        let list = output.join(LIST);
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&line(item)?);
            text.push('\n');
        }
        files::write(&list, text.as_bytes(), true)?;
        let shards = usize::from(args.parts).min(self.items.len());
        if shards == 0 {
            bail!(Usage("there are no recordings to divide".into()));
        }
        let cpus = usize::from(args.jobs) * self.threads as usize;
        let known = ["EARMARK_MODELS", "ORT_DYLIB_PATH", "GST_PLUGIN_PATH"];
        let environment: Vec<_> = known
            .into_iter()
            .filter_map(|name| Some((name, std::env::var(name).ok()?)))
            .collect();
        let filled = render(
            engine,
            context! {
                recordings => self.items.len(),
                shards => shards,
                cpus => cpus,
                jobs => args.jobs,
                command => std::env::current_exe()?.display().to_string(),
                pipeline => plain(&match shipped::is_meant(&args.pipeline.pipeline) {
                    true => args.pipeline.pipeline.clone(),
                    false => absolute(&args.pipeline.pipeline)?,
                })?,
                list => plain(&list)?,
                output => plain(&output)?,
                more => more(args),
                environment => environment,
                image => args.image.clone(),
                claim => args.claim.clone(),
                mount => plain(&root_of(self.items.iter(), &output))?,
            },
        )?;
        terminal::print(filled.trim_end())
    }
}

/// Options that every part gets.
fn more(args: &Batch) -> Vec<String> {
    let mut more = Vec::new();
    for pair in &args.pipeline.set {
        more.extend(["--set".to_owned(), pair.clone()]);
    }
    if args.resume != Resume::Verify {
        more.extend(["--resume".to_owned(), "skip".to_owned()]);
    }
    if args.hash == Hash::Whole {
        more.extend(["--hash".to_owned(), "whole".to_owned()]);
    }
    more.extend(["--attempts".to_owned(), args.attempts.to_string()]);
    let stall = args.listening.stall_timeout.to_string();
    more.extend(["--stall-timeout".to_owned(), stall]);
    if let Some(memory) = args.memory {
        more.extend(["--memory".to_owned(), memory.to_string()]);
    }
    more
}

fn line(item: &Item) -> anyhow::Result<String> {
    let job = &item.job;
    let mut object = serde_json::Map::new();
    for (name, value) in &job.variables {
        object.insert(name.clone(), value.clone().into());
    }
    let input = match job::is_uri(&job.input) {
        true => job.input.clone(),
        false => job::text(&absolute(Path::new(&job.input))?),
    };
    object.insert("input".into(), input.into());
    object.insert("video_id".into(), job.video_id.clone().into());
    object.insert("audio_track".into(), json!(item.wanted.audio_track));
    object.insert("duration_s".into(), json!(item.length()));
    Ok(serde_json::to_string(&object)?)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path)
        .with_context(|| format!("cannot find the absolute path of {}", path.display()))
}

fn plain(path: &Path) -> anyhow::Result<String> {
    let text = files::text_of(path)?;
    if text.contains('\n') {
        bail!(Usage(format!("{text:?} contains a line break; rename it")));
    }
    Ok(text.into())
}

/// The folder that contains everything, where the volume is mounted.
fn root_of<'a>(items: impl Iterator<Item = &'a Item>, output: &Path) -> PathBuf {
    let mut root = output.to_path_buf();
    for item in items.filter(|item| !job::is_uri(&item.job.input)) {
        let Ok(path) = std::path::absolute(&item.job.input) else {
            continue;
        };
        while !path.starts_with(&root) && root.pop() {}
    }
    root
}

/// Fills in a template.
fn render(engine: Engine, values: Filled) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_filter("sh", |text: &str| {
        format!("'{}'", text.replace('\'', "'\\''"))
    });
    environment.add_filter("json", |text: &str| json!(text).to_string());
    let template = match engine {
        Engine::Slurm => include_str!("templates/slurm.sh"),
        Engine::K8s => include_str!("templates/k8s.yaml"),
        Engine::Ray => include_str!("templates/ray.py"),
    };
    environment
        .render_str(template, values)
        .context("a template is broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_filled_and_quotes_what_it_is_given() {
        for (engine, words) in [
            (
                Engine::Slurm,
                &[
                    "#SBATCH --array=0-3\n",
                    "'/a/it'\\''s.yaml'",
                    "export A='b c'",
                ][..],
            ),
            (
                Engine::K8s,
                &[
                    "completions: 4\n",
                    "\"/a/it's.yaml\"",
                    "completionMode: Indexed",
                ],
            ),
            (
                Engine::Ray,
                &["SHARDS = 4\n", "\"/a/it's.yaml\"", "\"A\": \"b c\""],
            ),
        ] {
            let text = render(
                engine,
                context! {
                    recordings => 9, shards => 4, cpus => 2, jobs => 1, command => "/bin/earmark", pipeline => "/a/it's.yaml",
                    list => "/o/recordings.jsonl", output => "/o", more => ["--set", "x=1"], environment => [("A", "b c")],
                    image => "earmark:1", claim => "data", mount => "/",
                },
            )
            .unwrap();
            for word in words {
                assert!(text.contains(word), "`{word}` is not in {text}");
            }
            assert!(!text.contains("{{") && !text.contains("{%"), "{text}");
        }
    }
}
