//! Checks a parsed graph: elements, properties, pads, and whether GStreamer can build it.

use anchoring::planning::clips::ClipShape;
use anchoring::settings::{AnchorSettings, BudgetSettings, Policy};
use gst::prelude::*;

use super::launch::{Graph, Node};
use super::problem::{At, Problem, did_you_mean, either};
use super::properties;
use super::sections::{GATE, GivenSection, Properties};
use crate::machine::packages;

/// What the check needs to know besides the graph.
pub(super) struct Context {
    /// Where the graph begins.
    pub at: At,
    pub policy: Policy,
    /// Whether the pipeline has a section `ears`.
    pub has_ears: bool,
    /// Whether the text was read without a mistake.
    pub read_well: bool,
}

/// Pushes everything that is wrong.
pub(super) fn check(graph: &Graph, text: &str, context: &Context, problems: &mut Vec<Problem>) {
    let before = problems.len();
    for (index, node) in graph.nodes.iter().enumerate() {
        match properties::factory(&node.factory) {
            Some(factory) => {
                node_properties(node, &factory, problems);
                if context.read_well {
                    pads(graph, index, &factory, problems);
                }
            }
            None => problems.push(unknown_element(node)),
        }
    }
    roles(graph, context, problems);
    // GStreamer's own parser stops at its first complaint and knows no lines, so its complaint comes last.
    if context.read_well && problems.len() == before && !text.contains("${") {
        builds(graph, text, context, problems);
    }
}

fn field(node: &Node) -> String {
    format!("graph: {}", node.title())
}

fn unknown_element(node: &Node) -> Problem {
    let rule = "GStreamer has no such element on this machine";
    let problem = Problem::new(node.at, format!("graph: {}", node.factory), rule);
    if let Some(hint) = properties::where_from(&node.factory) {
        return problem.hint(Some(hint));
    }
    let known = gst::Registry::get().features(gst::ElementFactory::static_type());
    let names: Vec<_> = known.iter().map(|feature| feature.name()).collect();
    let near = did_you_mean(&node.factory, names.iter().map(|name| name.as_str()));
    problem.hint(near.or_else(|| did_you_mean(&node.factory, packages::elements())))
}

fn node_properties(node: &Node, factory: &gst::ElementFactory, problems: &mut Vec<Problem>) {
    let specs = properties::all(factory);
    for property in node
        .properties
        .iter()
        .filter(|property| !property.name.contains("::"))
    {
        if property.value.contains("${") {
            continue; // an unknown variable, reported already
        }
        let field = format!("{}.{}", field(node), property.name);
        let shown = shown(&property.value);
        let Some(spec) = specs.iter().find(|spec| {
            spec.name() == property.name.replace('_', "-") || spec.name() == property.name
        }) else {
            let names: Vec<_> = specs
                .iter()
                .filter(|spec| properties::is_writable(spec))
                .map(|spec| spec.name())
                .collect();
            problems.push(
                Problem::new(
                    property.at,
                    field,
                    format!("`{}` has no such property", node.factory),
                )
                .value(shown)
                .hint(
                    did_you_mean(&property.name, names.iter().copied()).or_else(|| {
                        Some(format!(
                            "`gst-inspect-1.0 {}` lists its properties",
                            node.factory
                        ))
                    }),
                ),
            );
            continue;
        };
        if let Some(section) = section_of(&node.factory, spec.name()) {
            let key = spec.name().replace('-', "_");
            problems.push(
                Problem::new(
                    property.at,
                    field,
                    format!(
                        "must be set in the section `{section}`, where it is checked and recorded"
                    ),
                )
                .value(shown)
                .hint(Some(format!(
                    "write `{section}: {{ {key}: {} }}`",
                    property.value
                ))),
            );
        } else if !properties::is_writable(spec) {
            problems.push(Problem::new(property.at, field, "is read-only").value(shown));
        } else if !properties::takes(spec, &property.value) {
            let names = properties::names(spec).unwrap_or_default();
            problems.push(
                Problem::new(property.at, field, properties::rule(spec))
                    .value(shown)
                    .hint(did_you_mean(
                        &property.value,
                        names.iter().map(String::as_str),
                    )),
            );
        }
    }
}

/// A value as the user wrote it: markers become variables again.
fn shown(value: &str) -> String {
    match value.split_once("earmark-variable-") {
        Some((before, name)) => format!("`{before}${{{name}}}`"),
        None => format!("`{value}`"),
    }
}

/// The section that sets this property of ours, if one does.
fn section_of(factory: &str, property: &str) -> Option<&'static str> {
    let key = property.replace('-', "_");
    let has =
        |value: Option<serde_json::Value>| value.is_some_and(|value| value.get(&key).is_some());
    let own = |factory: &str| {
        properties::factory(factory).is_some_and(|f| {
            properties::own(&f)
                .iter()
                .any(|spec| spec.name() == property)
        })
    };
    match factory {
        "anchorgate" if has(serde_json::to_value(AnchorSettings::default()).ok()) => {
            Some("anchors")
        }
        "anchorgate" if has(serde_json::to_value(BudgetSettings::default()).ok()) => Some("budget"),
        "anchorgate" if GATE.contains(&key.as_str()) => Some("gate"),
        "eventness" if own(factory) => Some("ears"),
        "featuresink" if own(factory) && property != "tagger" => Some("features"),
        _ => None,
    }
}

/// Named pads exist; pads that are always there are linked.
fn pads(graph: &Graph, index: usize, factory: &gst::ElementFactory, problems: &mut Vec<Problem>) {
    let node = &graph.nodes[index];
    let templates = factory.static_pad_templates();
    for direction in [gst::PadDirection::Sink, gst::PadDirection::Src] {
        let ends: Vec<_> = graph
            .links
            .iter()
            .map(|link| {
                (
                    link.at,
                    if direction == gst::PadDirection::Sink {
                        &link.to
                    } else {
                        &link.from
                    },
                )
            })
            .filter(|(_, end)| end.node == index)
            .collect();
        let ours: Vec<_> = templates
            .iter()
            .filter(|template| template.direction() == direction)
            .collect();
        let word = if direction == gst::PadDirection::Sink {
            "sink"
        } else {
            "source"
        };
        if let ([], Some((at, _))) = (ours.as_slice(), ends.first()) {
            let rule = if direction == gst::PadDirection::Sink {
                "has no sink pads, so nothing can be linked to it"
            } else {
                "has no source pads, so nothing can follow it"
            };
            problems.push(Problem::new(*at, field(node), rule));
            continue;
        }
        for (at, pad) in ends
            .iter()
            .filter_map(|(at, end)| Some((at, end.pad.as_ref()?)))
        {
            let names: Vec<_> = ours
                .iter()
                .map(|template| template.name_template())
                .collect();
            if !names.iter().any(|name| matches_template(name, pad)) {
                problems.push(
                    Problem::new(
                        *at,
                        format!("{}.{pad}", field(node)),
                        format!("has no such {word} pad; it has {}", either(&names)),
                    )
                    .hint(did_you_mean(pad, names.iter().copied())),
                );
            }
        }
        let always: Vec<_> = ours
            .iter()
            .filter(|template| template.presence() == gst::PadPresence::Always)
            .map(|template| template.name_template())
            .filter(|name| !(node.factory == "anchorgate" && *name == "cues"))
            .collect();
        let named: Vec<_> = ends
            .iter()
            .filter_map(|(_, end)| end.pad.as_deref())
            .collect();
        let mut unnamed = ends.len() - named.len();
        for pad in always.iter().filter(|pad| !named.contains(pad)) {
            if unnamed > 0 {
                unnamed -= 1;
            } else {
                problems.push(
                    Problem::new(
                        node.at,
                        format!("{}.{pad}", field(node)),
                        format!("this {word} pad is not linked"),
                    )
                    .hint(unlinked_hint(node, pad)),
                );
            }
        }
        if always.is_empty() && !ours.is_empty() && ends.is_empty() && node.factory != "anchorgate"
        {
            problems.push(
                Problem::new(
                    node.at,
                    field(node),
                    format!("none of its {word} pads is linked"),
                )
                .hint(Some("is a `!` missing?".to_owned())),
            );
        }
    }
}

fn unlinked_hint(node: &Node, pad: &str) -> Option<String> {
    Some(match (node.factory.as_str(), pad) {
        ("anchorgate", "video") => format!(
            "link the encoded video: `demux. ! queue ! {}.video`",
            node.name.as_deref().unwrap_or("gate")
        ),
        _ => "is a `!` missing?".into(),
    })
}

/// `src_%u` stands for `src_0`, `src_1`, ...
fn matches_template(template: &str, pad: &str) -> bool {
    match template.split_once('%') {
        Some((prefix, _)) => pad.starts_with(prefix),
        None => template == pad,
    }
}

/// What every pipeline must have.
fn roles(graph: &Graph, context: &Context, problems: &mut Vec<Problem>) {
    let all = |factory: &'static str| {
        graph
            .nodes
            .iter()
            .filter(move |node| node.factory == factory)
    };
    for (factory, rule) in [
        (
            "anchorgate",
            "is missing; it passes on the frames that are worth decoding",
        ),
        (
            "framepick",
            "is missing; it stands behind the decoder and keeps the chosen frames",
        ),
        (
            "featuresink",
            "is missing; it encodes the frames and writes the file",
        ),
    ] {
        if all(factory).next().is_none() {
            problems.push(Problem::new(context.at, format!("graph: {factory}"), rule));
        }
    }
    for factory in ["anchorgate", "framepick", "featuresink", "eventness"] {
        for second in all(factory).skip(1) {
            problems.push(Problem::new(
                second.at,
                field(second),
                format!("a pipeline has exactly one `{factory}`"),
            ));
        }
    }
    for sink in all("featuresink").take(1) {
        let location = sink
            .properties
            .iter()
            .find(|property| property.name == "location");
        if location.is_none_or(|location| location.value != "earmark-variable-output") {
            let at = location.map_or(sink.at, |location| location.at);
            problems.push(
                Problem::new(
                    at,
                    format!("{}.location", field(sink)),
                    "must be ${output}, because --output names the file",
                )
                .value(location.map_or("missing".into(), |location| shown(&location.value))),
            );
        }
    }
    let ears = all("eventness").next();
    if ears.is_none() && matches!(context.policy, Policy::Gated | Policy::AnchorsOnly) {
        problems.push(
            Problem::new(
                context.at,
                "graph: eventness",
                "is missing; the policies gated and anchors_only need it to find anchors",
            )
            .hint(Some(
                "for evenly spaced frames without sound, write `budget: { policy: uniform }`"
                    .to_owned(),
            )),
        );
    } else if ears.is_none() && context.has_ears {
        problems.push(Problem::new(
            context.at,
            "ears",
            "the graph has no `eventness` to configure",
        ));
    }
}

/// What an encoder of clips and the rest of the pipeline ask of each other.
pub(super) fn clips(
    clip: Option<ClipShape>,
    policy: Policy,
    budget: &GivenSection<'_>,
    gate: &Properties,
    problems: &mut Vec<Problem>,
) {
    let mut wrong = |at: At, field: &str, value: &str, rule: &str, hint: &str| {
        problems.push(
            Problem::new(at, field, rule)
                .value(value)
                .hint(Some(hint.into())),
        );
    };
    let at = budget.place("policy");
    match (clip, policy) {
        (None, Policy::Grid) => wrong(
            at,
            "budget.policy",
            "grid",
            "needs a features.model of kind clip-encoder",
            "for evenly spaced frames write `budget: { policy: uniform }`",
        ),
        (Some(_), Policy::Dense) => wrong(
            at,
            "budget.policy",
            "dense",
            "takes single frames, but features.model takes clips",
            "did you mean the policy grid?",
        ),
        _ => {}
    }
    let sharpest = gate.resolved.get("sharpest_ms");
    let sharpest = sharpest.and_then(serde_json::Value::as_u64).unwrap_or(0);
    if clip.is_some() && sharpest > 0 {
        wrong(
            gate.place("sharpest_ms"),
            "gate.sharpest_ms",
            &sharpest.to_string(),
            "must be 0 where features.model takes clips",
            "the frames of a clip are those of its plan",
        );
    }
}

/// Lets GStreamer build the graph, for errors that only it finds: caps that never fit, loops, brackets.
fn builds(graph: &Graph, text: &str, context: &Context, problems: &mut Vec<Problem>) {
    let mut parse = gst::ParseContext::new();
    let flags = gst::ParseFlags::FATAL_ERRORS;
    let Err(e) = gst::parse::launch_full(text, Some(&mut parse), flags) else {
        return;
    };
    let said = e.message().to_owned();
    // GStreamer names elements by name; the position is that of the first one named.
    let node = graph.nodes.iter().find(|node| {
        node.name
            .as_ref()
            .is_some_and(|name| said.contains(name.as_str()))
    });
    let at = node
        .or_else(|| graph.nodes.iter().find(|node| said.contains(&node.factory)))
        .map_or(context.at, |node| node.at);
    problems.push(Problem::new(at, "graph", format!("GStreamer cannot build it: {said}")).hint(Some(
        "do both sides of each `!` carry the same kind of data? Try the text with gst-launch-1.0".to_owned(),
    )));
}
