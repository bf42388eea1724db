//! Inputs and outputs of an ONNX file, and how they differ from its manifest.

use std::fmt;

use anchoring::tier::Tier;

use super::{Session, TensorElementType, ValueType};
use crate::models::{Kind, Layout, Manifest, Pathway};

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Whether it is a tensor of 32-bit floats.
    pub is_f32: bool,
    /// Its type, in words.
    pub kind: String,
    /// Its axes; `None` for one without a fixed length. Empty if it is not a tensor.
    pub axes: Vec<Option<usize>>,
}

/// All inputs and outputs of an ONNX file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// What it takes.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Port>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind)
    }
}

impl Port {
    fn new(name: &str, kind: &ValueType) -> Self {
        let (is_f32, axes, text) = match kind {
            ValueType::Tensor { ty, shape, .. } => {
                let axes: Vec<Option<usize>> =
                    shape.iter().map(|&n| usize::try_from(n).ok()).collect();
                let is_f32 = *ty == TensorElementType::Float32;
                let text = format!("{ty} [{}]", axes_text(&axes));
                (is_f32, axes, text)
            }
            other => (false, Vec::new(), other.to_string()),
        };
        Self {
            name: name.into(),
            is_f32,
            kind: text,
            axes,
        }
    }

    /// The numbers of one item: the axes after the first, multiplied; `None` if one has no fixed length.
    pub fn width(&self) -> Option<usize> {
        let rest = self.axes.get(1..)?;
        rest.iter()
            .copied()
            .try_fold(1_usize, |all, n| all.checked_mul(n?))
    }
}

/// "?, 3, 224, 224".
fn axes_text(axes: &[Option<usize>]) -> String {
    let axes = axes.iter().map(|n| n.map_or("?".into(), |n| n.to_string()));
    axes.collect::<Vec<String>>().join(", ")
}

/// The inputs and outputs of a session.
pub(super) fn of(session: &Session) -> Ports {
    let ports = |all: Vec<(&str, &ValueType)>| -> Vec<Port> {
        all.into_iter()
            .map(|(name, kind)| Port::new(name, kind))
            .collect()
    };
    Ports {
        inputs: ports(
            session
                .inputs()
                .iter()
                .map(|one| (one.name(), one.dtype()))
                .collect(),
        ),
        outputs: ports(
            session
                .outputs()
                .iter()
                .map(|one| (one.name(), one.dtype()))
                .collect(),
        ),
    }
}

/// All differences between a model and its manifest: `field is value: what the model has`.
pub(super) fn mismatches(manifest: &Manifest, ports: &Ports) -> Vec<String> {
    let mut problems = Vec::new();
    let names = |ports: &[Port]| {
        let all: Vec<String> = ports.iter().map(Port::to_string).collect();
        all.join(", ")
    };
    let pathways = manifest.pathways();
    let field = match manifest.input.pathways.is_empty() {
        true => "input.name",
        false => "input.pathways",
    };
    let mut wanted: Vec<(&str, &str)> = pathways
        .iter()
        .map(|pathway| (field, pathway.name.as_str()))
        .collect();
    if let Some(memory) = &manifest.memory {
        wanted.push(("memory.input", memory.input.as_str()));
        wanted.push(("memory.rate", memory.rate.as_str()));
    }
    if let Some(text) = &manifest.text {
        wanted.extend(text.mask.iter().map(|name| ("text.mask", name.as_str())));
        wanted.extend(text.types.iter().map(|name| ("text.types", name.as_str())));
    }
    for (field, name) in &wanted {
        if ports.inputs.iter().all(|port| port.name != *name) {
            problems.push(format!(
                "{field} is {name:?}, but its inputs are {}",
                names(&ports.inputs)
            ));
        }
    }
    if problems.is_empty() && ports.inputs.len() != wanted.len() {
        problems.push(format!(
            "its inputs are {}, but the manifest names only {}: export the part of the model that needs no other input",
            names(&ports.inputs),
            wanted.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
        ));
    }
    for pathway in &pathways {
        let input = ports.inputs.iter().find(|port| port.name == pathway.name);
        let Some(port) = input else { continue };
        let dtype = manifest.input.dtype.name();
        let fits = match manifest.kind {
            Kind::TextEncoder => port.kind.starts_with(dtype),
            _ => port.is_f32,
        };
        if !fits {
            problems.push(format!("input.dtype is {dtype}, but its input is {port}"));
        }
        match manifest.input.layout {
            Layout::Ncthw | Layout::Ntchw => clip(manifest, pathway, port, &mut problems),
            _ => shape(manifest, port, &mut problems),
        }
    }
    let outputs = [
        (
            "output.name",
            Some(&manifest.output.name),
            "output.dim",
            Some(manifest.output.dim),
        ),
        (
            "output.embedding",
            manifest.output.embedding.as_ref(),
            "output.embedding_dim",
            manifest.output.embedding_dim,
        ),
    ];
    for (field, name, dim_field, dim) in outputs {
        let Some(name) = name else { continue };
        match ports.outputs.iter().find(|port| port.name == *name) {
            None => problems.push(format!(
                "{field} is {name:?}, but its outputs are {}",
                names(&ports.outputs)
            )),
            Some(port) if !port.is_f32 => {
                problems.push(format!(
                    "{field}: its output is {port}, but must be f32 [N, dim]"
                ));
            }
            Some(port) => {
                // Voice detectors give one number in any shape.
                let width = match manifest.kind {
                    Kind::Voice => None,
                    // One vector a text, or one a token.
                    Kind::TextEncoder => port.axes.last().copied().flatten(),
                    _ if manifest.output.pool.is_some() => port.axes.last().copied().flatten(),
                    _ => port.width(),
                };
                if manifest.output.pool.is_some() && !port.axes.is_empty() && port.axes.len() != 3 {
                    problems.push(format!(
                        "output.pool chooses among the vectors of [N, tokens, dim], but its output is {port}: leave it out"
                    ));
                }
                if let (Some(width), Some(dim)) = (width, dim)
                    && width != dim
                {
                    problems.push(format!(
                        "{dim_field} is {dim}, but its output {port} has {width} numbers an item{}",
                        if port.axes.len() == 3 && port.axes[2] == Some(dim) {
                            " (one vector a token? `pool: first` takes the class token, `pool: mean` the mean)"
                        } else {
                            ""
                        }
                    ));
                }
            }
        }
    }
    problems
}

/// Whether the input's axes match the layout and the sizes that it will get.
fn shape(manifest: &Manifest, port: &Port, problems: &mut Vec<String>) {
    let axes = &port.axes;
    let layout = manifest.input.layout;
    let can_be = |axis: usize, n: usize| {
        axes.get(axis)
            .is_none_or(|own| own.is_none_or(|own| own == n))
    };
    let rank = match layout {
        Layout::Nchw | Layout::Nhwc | Layout::Nctf => 4,
        Layout::Nt => 2,
        Layout::Ncthw | Layout::Ntchw => return,
    };
    // Checked by a voice detector's own rules.
    if axes.is_empty() || manifest.kind == Kind::Voice {
        return;
    }
    if axes.len() != rank {
        problems.push(format!(
            "input.layout is {layout:?}, which has {rank} axes, but its input is {port}"
        ));
        return;
    }
    match layout {
        Layout::Nchw | Layout::Nhwc => {
            let (channels, sides) = match layout {
                Layout::Nhwc => (3, [1, 2]),
                _ => (1, [2, 3]),
            };
            if !can_be(channels, 3) {
                let other = if layout == Layout::Nchw {
                    "NHWC"
                } else {
                    "NCHW"
                };
                problems.push(format!(
                    "input.layout is {}, but its input is {port} (is it {other}?)",
                    if layout == Layout::Nchw {
                        "NCHW"
                    } else {
                        "NHWC"
                    }
                ));
                return;
            }
            for tier in Tier::ALL {
                let Some(px) = manifest.tiers.map(|tiers| tiers.of(tier).px) else {
                    continue;
                };
                if !sides.iter().all(|axis| can_be(*axis, px)) {
                    problems.push(format!(
                        "tiers.{tier}.px is {px}, but its input is {port}: a model of one size takes only that at every tier"
                    ));
                }
            }
        }
        Layout::Nctf => {
            let wanted = [
                1,
                manifest.input.frames.unwrap_or(96),
                manifest.input.bands.unwrap_or(64),
            ];
            if !(1..4).all(|axis| can_be(axis, wanted[axis - 1])) {
                problems.push(format!(
                    "input.layout is NCTF, [N, 1, {}, {}], but its input is {port}",
                    wanted[1], wanted[2]
                ));
            }
        }
        Layout::Nt => {
            let text = manifest.text.as_ref();
            let own = axes.get(1).copied().flatten();
            if let Some((own, text)) = own.zip(text)
                && !(text.padded && text.longest == own)
            {
                problems.push(format!(
                    "text.longest is {}, text.padded {}, but its input {port} takes exactly {own} tokens: write `longest: {own}, padded: true`",
                    text.longest, text.padded
                ));
            }
            if let Some(samples) = manifest.input.samples.filter(|n| !can_be(1, *n)) {
                problems.push(format!(
                    "input.samples is {samples}, but its input is {port}"
                ));
            }
        }
        Layout::Ncthw | Layout::Ntchw => {}
    }
}

/// Whether an input of clips has the axes of the layout, and takes the frames and sizes that it will get.
fn clip(manifest: &Manifest, pathway: &Pathway, port: &Port, problems: &mut Vec<String>) {
    let is_ncthw = manifest.input.layout == Layout::Ncthw;
    let (layout, other) = match is_ncthw {
        true => ("NCTHW", "NTCHW"),
        false => ("NTCHW", "NCTHW"),
    };
    if port.axes.is_empty() {
        return;
    }
    let &[_, first, second, rows, columns] = &port.axes[..] else {
        problems.push(format!(
            "input.layout is {layout}, which has 5 axes, but its input is {port}"
        ));
        return;
    };
    let (channels, frames) = match is_ncthw {
        true => (first, second),
        false => (second, first),
    };
    if channels.is_some_and(|n| n != 3) {
        problems.push(format!(
            "input.layout is {layout}, but its input is {port} (is it {other}?)"
        ));
        return;
    }
    if let Some(own) = frames.filter(|own| *own != pathway.frames) {
        let field = match manifest.input.pathways.is_empty() {
            true => "input.frames".to_owned(),
            false => format!("the pathway {}", pathway.name),
        };
        problems.push(format!(
            "{field} is {}, but its input {port} takes {own} frames",
            pathway.frames
        ));
    }
    for tier in Tier::ALL {
        let Some(px) = manifest.tiers.map(|tiers| tiers.of(tier).px) else {
            continue;
        };
        if [rows, columns]
            .iter()
            .any(|side| side.is_some_and(|own| own != px))
        {
            problems.push(format!(
                "tiers.{tier}.px is {px}, but its input is {port}: a model of one size takes only that at every tier"
            ));
        }
    }
}

/// How many items a model takes at once, if that is fixed.
pub(super) fn fixed_batch(manifest: &Manifest, ports: &Ports) -> Option<usize> {
    let input = ports
        .inputs
        .iter()
        .find(|port| port.name == manifest.input.name);
    let first = input.and_then(|port| port.axes.first().copied().flatten());
    first.filter(|n| *n > 0)
}
