//! Reads the settings of each source from the pipelines and the command line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anchoring::settings::Policy;
use anyhow::Context;

use super::files;
use super::media::Kind;
use super::secret::without_password;
use super::supervisor::Limits;
use crate::failure::Usage;
use crate::pipeline::{Live, Pipeline, Planning, Variables, is_name};
use crate::session;

/// Options of the command line that concern sources.
pub(super) struct Asked<'a> {
    pub(super) pipelines: &'a [PathBuf],
    pub(super) set: &'a [String],
    pub(super) output: Option<&'a Path>,
    pub(super) name: Option<&'a str>,
    pub(super) threads: Option<u32>,
}

/// The settings of one source.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) pipeline: Pipeline,
    /// Folder of its files.
    pub(super) folder: PathBuf,
    /// Its origin, as written to its files: without passwords.
    pub(super) about: String,
    /// Identifies this run in file names.
    pub(super) run: String,
    /// Processor cores for it.
    pub(super) threads: u32,
}

impl Plan {
    /// Equal for two plans that would play the same.
    pub(super) fn key(&self) -> String {
        // The other sources do not matter to this one.
        let mut pipeline = self.pipeline.clone();
        pipeline.sources.clear();
        // How long files are kept is nothing to a source.
        let live = Live::default();
        pipeline.live.keep_days = live.keep_days;
        pipeline.live.keep_gb = live.keep_gb;
        pipeline.live.free_gb = live.free_gb;
        for key in ["keep_days", "keep_gb", "free_gb"] {
            pipeline.config["live"][key] = serde_json::Value::Null;
        }
        format!("{} {:?} {:?}", self.name, self.folder, pipeline)
    }
}

/// Which media of a source are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) sees: bool,
    pub(super) hears: bool,
}

impl Parts {
    /// What a pipeline wants.
    pub(super) fn wanted(plan: &Plan) -> Self {
        Self {
            sees: !plan.pipeline.live.sound_only,
            hears: plan.pipeline.find("eventness").is_some(),
        }
    }

    /// Whether a medium is among them.
    pub(super) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Video => self.sees,
            Kind::Audio => self.hears,
        }
    }

    /// One alone.
    pub(super) fn only(kind: Kind) -> Self {
        Self {
            sees: kind == Kind::Video,
            hears: kind == Kind::Audio,
        }
    }

    /// All but one.
    pub(super) fn without(self, kind: Kind) -> Self {
        match kind {
            Kind::Video => Self {
                sees: false,
                ..self
            },
            Kind::Audio => Self {
                hears: false,
                ..self
            },
        }
    }
}

/// Limits from the settings.
pub(super) fn limits(live: &Live) -> Limits {
    let s = |seconds: u32| Duration::from_secs(seconds.into());
    Limits {
        start: s(live.start_s),
        silence: s(live.silence_s),
        restart: s(live.restart_s),
        most: s(live.retry_s),
        slow: s(live.slow_retry_s),
        ..Limits::default()
    }
}

/// Reads and checks the sources of all pipelines, and the folder of their files.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn plans(asked: &Asked<'_>) -> anyhow::Result<(PathBuf, Vec<Plan>)> {
    let mut folder = asked.output.map(PathBuf::from);
    let mut set = Vec::new();
    for pair in asked.set {
        match pair.strip_prefix("output=") {
            Some(place) if folder.is_none() => folder = Some(place.into()),
            Some(_) => return Err(Usage(format!("--set {pair}: output is given twice")).into()),
            None => set.push(pair.clone()),
        }
    }
    let folder = folder
        .ok_or_else(|| Usage("say where files go: --output DIR (or --set output=DIR)".into()))?;
    let folder = std::path::absolute(&folder).context("the output folder has no absolute path")?;
    let variables = Variables::new(&set).map_err(Usage)?;
    let run = files::run_name();
    let mut plans: Vec<Plan> = Vec::new();
    for file in asked.pipelines {
        let first = Pipeline::read(file, &variables)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let named: Vec<(String, Pipeline)> = match first.sources.len() {
            0 => vec![(
                asked.name.map_or_else(|| stem.into_owned(), str::to_owned),
                first,
            )],
            many => (0..many)
                .map(|source| {
                    let pipeline = Pipeline::read_source(file, &variables, source)?;
                    Ok((pipeline.sources[source].name.clone(), pipeline))
                })
                .collect::<anyhow::Result<_>>()?,
        };
        for (name, pipeline) in named {
            if !is_name(&name) {
                return Err(Usage(format!(
                    "`{name}` is not a valid name for a source: use 1 to 64 letters, digits, `-` and `_` (--name gives one)"
                ))
                .into());
            }
            if pipeline.planning == Planning::Global
                && pipeline.settings.budget.policy != Policy::Dense
            {
                return Err(Usage(format!(
                    "{}: a stream without an end cannot be planned as a whole: write `budget: {{ planning: streaming }}`",
                    file.display()
                ))
                .into());
            }
            let about = about(&pipeline, &variables, &name);
            plans.push(Plan {
                about,
                name,
                pipeline,
                folder: folder.clone(),
                run: run.clone(),
                threads: 1,
            });
        }
    }
    let names: BTreeSet<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
    if names.len() < plans.len() {
        return Err(Usage("two sources have the same name".into()).into());
    }
    let threads = asked
        .threads
        .unwrap_or_else(|| session::cores(None).div_ceil(plans.len() as u32));
    for plan in &mut plans {
        plan.threads = threads.max(1);
    }
    Ok((folder, plans))
}

/// A source's origin, as written to its files.
fn about(pipeline: &Pipeline, variables: &Variables, name: &str) -> String {
    let of_source = pipeline.sources.iter().find(|source| source.name == name);
    let value = |key: &str| {
        of_source
            .and_then(|source| source.set.get(key))
            .or_else(|| variables.get(key))
    };
    let named = ["url", "device", "microphone"]
        .into_iter()
        .filter_map(value);
    let named: Vec<_> = named.map(|value| without_password(value)).collect();
    match named.is_empty() {
        true => name.into(),
        false => named.join(" "),
    }
}
