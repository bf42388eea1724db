//! Pipelines: turns YAML into a checked pipeline, or reports everything that is wrong with it at once.
//!
//! # Layout
//!
//! - `problem`: one problem and its position.
//! - `tree`: parses YAML, with a position for every key and value.
//! - `variables`: fills in `${NAME}`. `overrides`: sets keys from `--set`.
//! - [`shipped`]: the pipelines that come with the command.
//! - [`launch`]: parses gst-launch text.
//! - `properties`: checks values against element properties.
//! - `sections`: the typed sections; `mistakes`: explains their wrong values.
//! - `live`: the sections that only `earmark live` reads. `quality`: weights of audio-visual quality.
//! - `checks`: checks the graph as a whole.
//! - [`mod@reference`]: generates the reference of all keys for the guide; [`mod@schema`]: a JSON Schema for editors.
//! - [`drawing`]: draws a checked pipeline.

mod checks;
pub mod drawing;
pub mod launch;
mod live;
mod mistakes;
mod overrides;
mod problem;
mod properties;
mod quality;
pub mod reference;
pub mod schema;
mod sections;
pub mod shipped;
mod tree;
mod variables;

use std::path::{Path, PathBuf};

use anchoring::planning::clips::ClipShape;
use anchoring::settings::{Policy, Settings};
use anchoring::tier::Prices;
use gstearmark::models::notes::AudioModels;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use live::is_name;
pub use live::{Events, Live, SourceSet};
use problem::did_you_mean;
pub use problem::{At, Problem, Problems};
pub use variables::{Slot, Variables};

use sections::GivenSection;
use tree::{Key, Kind, Node};

/// The only version of the format.
const VERSION: i64 = 1;
/// The keys of a pipeline.
const KEYS: [&str; 11] = [
    "version", "graph", "ears", "gate", "anchors", "budget", "features", "quality", "live",
    "events", "sources",
];

/// How a recording is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Planning {
    /// A first pass over the audio plans the whole recording; the budget is exact.
    Global,
    /// A single pass; the budget is a token bucket.
    Streaming,
}

/// A checked pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The file it was read from.
    pub file: PathBuf,
    /// gst-launch text without comments; variables whose values could be misread are replaced by markers.
    pub text: String,
    /// The same text, parsed.
    pub graph: launch::Graph,
    /// What the markers stand for.
    pub slots: Vec<Slot>,
    /// The sections `anchors` and `budget`.
    pub settings: Settings,
    /// How recordings are planned.
    pub planning: Planning,
    /// Cues of another source: a file, or a folder with a file for each recording.
    pub cues_from: Option<PathBuf>,
    /// The price of a frame of each tier with the chosen encoder.
    pub prices: Prices,
    /// What clips the chosen encoder takes; `None` if it takes single frames.
    pub clip: Option<ClipShape>,
    /// The tagger of the section `ears`; `None` for none.
    pub tagger: Option<String>,
    /// The encoder of the section `features`, by name.
    pub encoder: String,
    /// Properties of the section `ears` by GStreamer's names.
    pub ears: Vec<(String, String)>,
    /// Properties of the section `gate` by GStreamer's names.
    pub gate: Vec<(String, String)>,
    /// Properties of the section `features` by GStreamer's names.
    pub features: Vec<(String, String)>,
    /// How `earmark live` keeps it going.
    pub live: Live,
    /// Where `earmark live` sends events.
    pub events: Events,
    /// The sources; empty if variables define a single one.
    pub sources: Vec<SourceSet>,
    /// Keys of `anchors` and `budget` that the command line sets, and the settings without each of them: planning warns
    /// if one changes nothing.
    pub without: Vec<(String, Settings)>,
    /// Everything with defaults filled in, as the output records it.
    pub config: serde_json::Value,
}

/// Why there is no pipeline.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the pipeline {file}: {source}{}", hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})")))]
    Read {
        /// Which file.
        file: PathBuf,
        /// The likely mistake.
        hint: Option<String>,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is readable, but its content is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

impl Pipeline {
    /// Same as `features: { thumbnails: true }`, whatever the pipeline says.
    pub fn keep_thumbnails(&mut self) {
        self.features.retain(|(name, _)| name != "thumbnails");
        self.features.push(("thumbnails".into(), "true".into()));
        if let Some(features) = self.config.get_mut("features") {
            features["thumbnails"] = true.into();
        }
    }

    /// Reads and checks a pipeline: a file, or a shipped pipeline by its name.
    ///
    /// # Errors
    /// The file cannot be read, or its content is wrong: lists everything at once.
    pub fn read(file: &Path, variables: &Variables) -> Result<Self, Error> {
        Ok(Self::parse(file, &shipped::text(file)?, variables)?)
    }

    /// As [`Pipeline::read`], and notes what the settings would be [without](Pipeline::without) each key that the
    /// variables set.
    ///
    /// # Errors
    /// As there.
    pub fn read_with_alternatives(file: &Path, variables: &Variables) -> Result<Self, Error> {
        let text = shipped::text(file)?;
        let mut pipeline = Self::parse(file, &text, variables)?;
        for (key, others) in variables.without_each(&["anchors", "budget"]) {
            if key == "anchors.cues_from" {
                continue;
            }
            // Without the key it may be wrong; then the key matters.
            if let Ok(other) = Self::parse(file, &text, &others)
                && other.planning == pipeline.planning
            {
                pipeline.without.push((key, other.settings));
            }
        }
        Ok(pipeline)
    }

    /// Checks the text of a pipeline; `file` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn parse(file: &Path, text: &str, variables: &Variables) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let pipeline = compile(file, text, variables, 0, &mut problems);
        match pipeline {
            Some(pipeline) if problems.is_empty() => Ok(pipeline),
            _ => Err(Problems::new(file, problems)),
        }
    }

    /// Like [`Pipeline::read`], for one of its sources.
    ///
    /// # Errors
    /// The same.
    pub fn read_source(file: &Path, variables: &Variables, source: usize) -> Result<Self, Error> {
        let text = shipped::text(file)?;
        let mut problems = Vec::new();
        match compile(file, &text, variables, source, &mut problems) {
            Some(pipeline) if problems.is_empty() => Ok(pipeline),
            _ => Err(Problems::new(file, problems).into()),
        }
    }

    /// The values of the section `ears`, if the graph listens.
    pub fn listening(&self) -> Option<AudioModels<'_>> {
        self.find("eventness")?;
        let text = |key: &str| self.config["ears"][key].as_str().unwrap_or_default();
        Some(AudioModels {
            probe: text("probe"),
            weights: text("weights"),
            tagger: text("tagger"),
            vad: text("vad"),
        })
    }

    /// The first element of this factory.
    pub fn find(&self, factory: &str) -> Option<&launch::Node> {
        self.graph.nodes.iter().find(|node| node.factory == factory)
    }
}

/// Reports what is wrong; `None` if there is too little to make a pipeline of.
fn compile(
    file: &Path,
    text: &str,
    variables: &Variables,
    source: usize,
    problems: &mut Vec<Problem>,
) -> Option<Pipeline> {
    let mut root = match tree::parse(text) {
        Ok(root) => root,
        Err(more) => {
            problems.extend(more);
            return None;
        }
    };
    variables.apply(&mut root);
    let sources = live::sources(&root, problems);
    let variables = &variables.with(sources.get(source).map(|source| &source.set));
    let mut used = variables::UsedVariables::default();
    let top = top(&mut root, variables, &mut used, problems)?;
    let section = |name: &str| top.iter().find(|(key, _)| key.name == name);

    version(section("version"), problems);
    let anchors = GivenSection::section("anchors", section("anchors"), problems);
    let budget = GivenSection::section("budget", section("budget"), problems);
    let (settings, planning, places) = sections::settings(&anchors, &budget, problems);
    let ears = sections::properties(
        "eventness",
        &GivenSection::section("ears", section("ears"), problems),
        problems,
    );
    let gate = sections::properties(
        "anchorgate",
        &GivenSection::section("gate", section("gate"), problems),
        problems,
    );
    let features = sections::properties(
        "featuresink",
        &GivenSection::section("features", section("features"), problems),
        problems,
    );
    let quality = quality::section(
        &GivenSection::section("quality", section("quality"), problems),
        problems,
    );
    let live_section = GivenSection::section("live", section("live"), problems);
    let live = live::section(&live_section, problems);
    let events = live::events(
        &GivenSection::section("events", section("events"), problems),
        problems,
    );

    let tagger = ears.text("tagger").filter(|name| name != "none");
    let encoder = features.text("model").unwrap_or_default();
    let named_by = tagger.as_ref().map(|tagger| {
        sections::model(
            tagger,
            gstearmark::models::Kind::Tagger,
            ears.place("tagger"),
            "ears.tagger",
            problems,
        )
    });
    sections::probe(&ears, problems);
    if let Some(vad) = ears.text("vad").filter(|name| name != "none") {
        sections::model(
            &vad,
            gstearmark::models::Kind::Voice,
            ears.place("vad"),
            "ears.vad",
            problems,
        );
    }
    let manifest = sections::model(
        &encoder,
        gstearmark::models::Kind::Encoder,
        features.place("model"),
        "features.model",
        problems,
    );
    let prices = manifest.as_ref().and_then(|manifest| manifest.prices());
    let prices = prices.unwrap_or_default();
    let clip = manifest.as_ref().and_then(|manifest| manifest.clip());
    if let Some(settings) = &settings {
        sections::check(settings, prices, &places, problems);
        // A missing tagger is reported elsewhere.
        if named_by.as_ref().is_none_or(Option::is_some) {
            let tagger = named_by.as_ref().and_then(Option::as_ref);
            sections::class_offsets(&anchors, settings, tagger, problems);
        }
    }

    let (at, graph_text) = match section("graph") {
        Some((
            _,
            Node {
                at,
                kind: Kind::Scalar { text, .. },
            },
        )) if !text.trim().is_empty() => (*at, text),
        Some((key, node)) => {
            problems
                .push(Problem::new(key.at, "graph", "must be gst-launch text").value(node.shown()));
            return None;
        }
        None => {
            problems.push(Problem::new(
                At { line: 1, column: 1 },
                "graph",
                "is missing; write gst-launch text from a source to a featuresink",
            ));
            return None;
        }
    };
    let raw = raw_graph(text, at, graph_text);
    let (filled, slots) = variables.fill(&raw, at, &mut used, problems);
    let (graph, wrong) = launch::parse(&filled, at);
    let read_well = wrong.is_empty();
    problems.extend(wrong);
    let policy = settings
        .as_ref()
        .map_or(Policy::Gated, |settings| settings.budget.policy);
    let context = checks::Context {
        at,
        policy,
        has_ears: section("ears").is_some(),
        read_well,
    };
    let text = launch::without_remarks(&filled);
    checks::check(&graph, &text, &context, problems);
    let hears = graph.find("eventness").is_some();
    live::check_sound(&live, hears, live_section.place("sound_only"), problems);
    variables.unused(&used, problems);

    let settings = settings?;
    let planning = plan_way(planning, policy, &budget, problems);
    if manifest.is_some() {
        checks::clips(clip, policy, &budget, &gate, problems);
    }
    if !settings.budget.pictures_during_speech {
        hears_speech(&ears, planning, policy, &budget, problems);
    }
    let cues_from = sections::cues_from(&anchors, planning, policy, problems);
    let mut config = json!({
        "version": VERSION,
        "graph": graph_text.trim_end(),
        "ears": ears.resolved,
        "gate": gate.resolved,
        "anchors": sections::with_cues_from(&settings.anchors, cues_from.as_deref()),
        "budget": sections::with_planning(&settings.budget, planning),
        "features": features.resolved,
    });
    if let Some(quality) = quality {
        config["quality"] = quality;
    }
    if section("live").is_some() {
        config["live"] = json!(live);
    }
    Some(Pipeline {
        file: file.into(),
        text,
        graph,
        slots,
        settings,
        planning,
        cues_from: cues_from.map(Into::into),
        prices,
        clip,
        tagger,
        encoder,
        ears: ears.values,
        gate: gate.values,
        features: features.values,
        live,
        events,
        sources,
        without: Vec::new(),
        config,
    })
}

/// The document's entries, variables filled in outside the graph; unknown keys are reported.
fn top<'a>(
    root: &'a mut Node,
    variables: &Variables,
    used: &mut variables::UsedVariables,
    problems: &mut Vec<Problem>,
) -> Option<&'a [(Key, Node)]> {
    let place = root.at;
    let shown = root.shown();
    let Kind::Map(entries) = &mut root.kind else {
        problems.push(
            Problem::new(
                place,
                "the file",
                format!("must be a mapping of {}", problem::either(&KEYS)),
            )
            .value(shown),
        );
        return None;
    };
    for (key, node) in entries.iter_mut() {
        if !KEYS.contains(&key.name.as_str()) {
            problems.push(
                Problem::new(
                    key.at,
                    key.name.clone(),
                    format!("unknown key `{}`; use {}", key.name, problem::either(&KEYS)),
                )
                .hint(sections::belongs_to(&key.name).or_else(|| did_you_mean(&key.name, KEYS))),
            );
        }
        if key.name != "graph" && key.name != "sources" {
            variables.fill_values(node, used, problems);
        }
    }
    Some(entries)
}

fn version(given: Option<&(Key, Node)>, problems: &mut Vec<Problem>) {
    match given {
        None => problems.push(Problem::new(
            At { line: 1, column: 1 },
            "version",
            format!("is missing; write `version: {VERSION}`"),
        )),
        Some((_, node)) if node.json() != VERSION => problems.push(
            Problem::new(
                node.at,
                "version",
                format!("must be {VERSION}, the only version"),
            )
            .value(node.shown())
            .hint(Some("is this pipeline for a newer Earmark?".into())),
        ),
        Some(_) => {}
    }
}

/// The graph's text with its lines as in the file, so that positions are right. YAML strips the indentation of a literal block; every other
/// style has a single position.
fn raw_graph(file: &str, at: At, graph: &str) -> String {
    let lines: Vec<_> = file
        .lines()
        .skip(at.line - 1)
        .take(graph.lines().count())
        .collect();
    let literal = lines.len() == graph.lines().count()
        && lines
            .iter()
            .zip(graph.lines())
            .all(|(a, b)| a.trim() == b.trim());
    if literal {
        graph.into()
    } else {
        graph.replace('\n', " ")
    }
}

/// If no frame may be taken during speech, speech must be detected in time.
fn hears_speech(
    ears: &sections::Properties,
    planning: Planning,
    policy: Policy,
    budget: &GivenSection<'_>,
    problems: &mut Vec<Problem>,
) {
    let is = |key: &str, value: &str| ears.text(key).as_deref() == Some(value);
    let needs = if planning == Planning::Global {
        Some("needs `planning: streaming`: a plan of the whole recording ignores speech")
    } else if !matches!(policy, Policy::Gated | Policy::AnchorsOnly) {
        Some("needs the policy gated or anchors_only: the others take frames whatever the sound is")
    } else if is("speech", "ignore") {
        Some("needs `ears: { speech: label }`: with ignore, cues say nothing about speech")
    } else if is("vad", "none") && !is("tagging", "all") {
        Some(
            "needs `ears: { vad: silero-vad }`, or `tagging: all`: otherwise speech is detected only at onsets",
        )
    } else {
        None
    };
    if let Some(rule) = needs {
        problems.push(
            Problem::new(
                budget.place("pictures_during_speech"),
                "budget.pictures_during_speech",
                rule,
            )
            .value("false"),
        );
    }
}

fn plan_way(
    given: Option<Planning>,
    policy: Policy,
    budget: &GivenSection<'_>,
    problems: &mut Vec<Problem>,
) -> Planning {
    match (given, policy) {
        (Some(Planning::Streaming), Policy::Grid) => {
            problems.push(
                Problem::new(
                    budget.place("planning"),
                    "budget.planning",
                    "must be global for the policy grid",
                )
                .value("streaming")
                .hint(Some(
                    "a grid counts the frames of the whole recording; for what has no end take clips at anchors".into(),
                )),
            );
            Planning::Global
        }
        (Some(Planning::Global), Policy::Dense) => {
            problems.push(
                Problem::new(
                    budget.place("planning"),
                    "budget.planning",
                    "must be streaming for the policy dense",
                )
                .value("global")
                .hint(Some(
                    "dense takes every frame, so there is nothing to plan".into(),
                )),
            );
            Planning::Streaming
        }
        (Some(planning), _) => planning,
        (None, Policy::Dense) => Planning::Streaming,
        (None, _) => Planning::Global,
    }
}
