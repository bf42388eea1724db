//! Draws a pipeline: elements by stage, pads, caps filters, links, and links that are made later.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use gstearmark::printable::line;

use super::Pipeline;
use super::launch::{End, Node};

/// The stage that an element belongs to, by the names used everywhere: in logs, statistics and documentation.
pub fn stage(factory: &str) -> &'static str {
    let is = |class: &str| {
        gst::ElementFactory::find(factory).is_some_and(|f| {
            f.metadata("klass")
                .is_some_and(|klass| klass.contains(class))
        })
    };
    match factory {
        "eventness" => "listen",
        "anchorgate" => "gate",
        "framepick" => "pick",
        "featuresink" => "encode, write",
        "parsebin" => "demux",
        _ if is("Source") => "source",
        _ if is("Demux") => "demux",
        _ if is("Decoder") => "decode",
        _ if is("Converter") || is("Filter") => "convert",
        _ if is("Sink") => "sink",
        _ => "carry",
    }
}

/// Text for graphviz. Dashed links are made when their pad appears.
pub fn dot(pipeline: &Pipeline) -> String {
    let mut text = String::from(
        "digraph earmark {\n  rankdir=LR; fontname=\"sans-serif\";\n  node [shape=box style=\"rounded,filled\" fillcolor=\"#f4f4f4\" fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\" fontsize=10];\n",
    );
    for (index, node) in pipeline.graph.nodes.iter().enumerate() {
        let _ = writeln!(
            text,
            "  n{index} [label=<{}> fillcolor=\"{}\"];",
            label(pipeline, node),
            colour(&node.factory)
        );
    }
    for link in &pipeline.graph.links {
        let (from, to) = (
            pad(pipeline, &link.from, gst::PadDirection::Src),
            pad(pipeline, &link.to, gst::PadDirection::Sink),
        );
        let delayed = from.sometimes || to.sometimes;
        let mut attributes = format!(
            "taillabel=\"{}\" headlabel=\"{}\"",
            quoted(&from.name),
            quoted(&to.name)
        );
        if let Some(caps) = &link.caps {
            let _ = write!(
                attributes,
                " label=\"{}\"",
                quoted(caps.trim_matches(|c| c == '"' || c == '\''))
            );
        }
        if delayed {
            attributes.push_str(" style=dashed");
        }
        let _ = writeln!(
            text,
            "  n{} -> n{} [{attributes}];",
            link.from.node, link.to.node
        );
    }
    text.push_str("}\n");
    text
}

/// The same for programs: elements with their stages, links with their pads.
pub fn json(pipeline: &Pipeline) -> serde_json::Value {
    let names = pipeline.graph.names();
    let nodes: Vec<_> = pipeline
        .graph
        .nodes
        .iter()
        .zip(&names)
        .map(|(node, name)| serde_json::json!({ "name": name, "element": node.factory, "stage": stage(&node.factory), "line": node.at.line }))
        .collect();
    let links: Vec<_> = pipeline
        .graph
        .links
        .iter()
        .map(|link| {
            let (from, to) = (pad(pipeline, &link.from, gst::PadDirection::Src), pad(pipeline, &link.to, gst::PadDirection::Sink));
            serde_json::json!({
                "from": names[link.from.node], "from_pad": from.name, "to": names[link.to.node], "to_pad": to.name,
                "caps": link.caps, "waits_for_pad": from.sometimes || to.sometimes,
            })
        })
        .collect();
    serde_json::json!({ "ok": true, "elements": nodes, "links": links })
}

fn label(pipeline: &Pipeline, node: &Node) -> String {
    let mut label = format!("<b>{}</b>", escaped(&node.factory));
    if let Some(name) = &node.name {
        let _ = write!(label, " {}", escaped(name));
    }
    let _ = write!(
        label,
        "<br/><font point-size=\"9\" color=\"#666666\">{}</font>",
        stage(&node.factory)
    );
    let section: &[(String, String)] = match node.factory.as_str() {
        "eventness" => &pipeline.ears,
        "featuresink" => &pipeline.features,
        "anchorgate" => &pipeline.gate,
        _ => &[],
    };
    let budget = &pipeline.settings.budget;
    let mut gate = vec![
        (
            "policy".to_owned(),
            serde_json::to_value(budget.policy)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ),
        ("tokens-per-s".to_owned(), budget.tokens_per_s.to_string()),
    ];
    let anchors = &pipeline.settings.anchors;
    if anchors.offset_ms != 0 {
        gate.push(("offset-ms".to_owned(), anchors.offset_ms.to_string()));
    }
    if !anchors.class_offset_ms.is_empty() {
        let text = anchoring::anchor::offset::to_text(&anchors.class_offset_ms);
        gate.push(("class-offset-ms".to_owned(), text));
    }
    let gate: &[_] = if node.factory == "anchorgate" {
        &gate
    } else {
        &[]
    };
    let properties = node.properties.iter().map(|p| (&p.name, &p.value));
    for (name, value) in properties.chain(
        section
            .iter()
            .chain(gate)
            .map(|(name, value)| (name, value)),
    ) {
        let value = pipeline.slots.iter().fold(value.clone(), |value, slot| {
            value.replace(&slot.marker, &format!("${{{}}}", slot.name))
        });
        let _ = write!(
            label,
            "<br/><font point-size=\"9\">{}={}</font>",
            escaped(name),
            escaped(&value)
        );
    }
    label
}

fn colour(factory: &str) -> &'static str {
    match factory {
        "eventness" => "#fdf0d5",
        "anchorgate" => "#d8ecd8",
        "framepick" | "featuresink" => "#d9e8f7",
        _ => "#f4f4f4",
    }
}

/// A pad as drawn.
struct Pad {
    name: String,
    sometimes: bool,
}

fn pad(pipeline: &Pipeline, end: &End, direction: gst::PadDirection) -> Pad {
    let factory = gst::ElementFactory::find(&pipeline.graph.nodes[end.node].factory);
    let templates = factory
        .map(|f| f.static_pad_templates().iter().cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    let mut ours = templates
        .iter()
        .filter(|template| template.direction() == direction);
    let named = |template: &&gst::StaticPadTemplate| match &end.pad {
        Some(pad) => pad.starts_with(
            template
                .name_template()
                .split('%')
                .next()
                .unwrap_or_default(),
        ),
        None => true,
    };
    let found = ours.find(named);
    Pad {
        name: end
            .pad
            .clone()
            .or_else(|| found.map(|t| t.name_template().to_owned()))
            .unwrap_or_default(),
        sometimes: found.is_some_and(|t| t.presence() == gst::PadPresence::Sometimes),
    }
}

fn escaped(text: &str) -> String {
    line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn quoted(text: &str) -> String {
    line(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// The drawing that graphviz makes of [`dot`]'s text.
///
/// # Errors
/// graphviz is missing or fails.
pub fn svg(dot: &str) -> anyhow::Result<Vec<u8>> {
    let mut child = match Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            bail!(
                "the command `dot` is missing; run `sudo apt-get install graphviz`, or use --format dot"
            )
        }
        Err(e) => return Err(e).context("cannot run `dot`"),
    };
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(dot.as_bytes())
            .context("cannot write to `dot`")?;
    }
    let output = child.wait_with_output().context("cannot read from `dot`")?;
    if !output.status.success() {
        bail!(
            "`dot` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
