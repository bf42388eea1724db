//! `earmark models add`: writes the manifest of an ONNX file, from the file itself and what the user says about it.

use std::path::Path;

use anyhow::{Context, bail};
use gstearmark::models::{Kind, Manifest};
use gstearmark::onnx::{self, Device, Port, Ports};
use serde_json::{Value, json};

use super::manifest_text::{beside_model, quoted};
use super::new_text_model;
use crate::cli::{ModelLike, ModelsAdd};
use crate::failure::Usage;
use crate::files;

/// Sides of models that take any size: those of the tiers.
const SIDES: [usize; 3] = [112, 224, 448];
/// Side of a patch that costs one token.
const PATCH: usize = 16;
/// Names of outputs that hold one vector per frame, the likeliest first.
const LIKELY: [&str; 6] = [
    "image_embeds",
    "pooler_output",
    "embedding",
    "embeddings",
    "features",
    "output",
];

/// The result of `models add`.
#[derive(Debug)]
pub(crate) struct AddedModel {
    /// A description, and the result of a first frame.
    pub(crate) text: String,
    /// The same for programs.
    pub(crate) value: Value,
}

/// How a family of models wants its frames: mean and deviation of values in 0..=1, scaling, fit.
fn like(family: ModelLike) -> ([f64; 3], [f64; 3], &'static str, &'static str) {
    const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    const HALF: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);
    match family {
        ModelLike::Clip => (
            [0.481_454_66, 0.457_827_5, 0.408_210_73],
            [0.268_629_54, 0.261_302_58, 0.275_777_11],
            "bicubic",
            "crop",
        ),
        ModelLike::Siglip => (HALF.0, HALF.1, "bicubic", "squash"),
        ModelLike::Dinov2 | ModelLike::Efficientnet => (IMAGENET.0, IMAGENET.1, "bicubic", "crop"),
        ModelLike::Vit => (HALF.0, HALF.1, "bilinear", "squash"),
        ModelLike::Slowfast => ([0.45; 3], [0.225; 3], "bilinear", "crop"),
        ModelLike::Videomae => (IMAGENET.0, IMAGENET.1, "bilinear", "crop"),
        ModelLike::R2plus1d => (
            [0.432_16, 0.394_666, 0.376_45],
            [0.228_03, 0.221_45, 0.216_989],
            "bilinear",
            "crop",
        ),
    }
}

/// How far apart the frames of a clip are that a family takes.
fn usual_step(family: Option<ModelLike>) -> u32 {
    match family {
        Some(ModelLike::Slowfast) => 2,
        Some(ModelLike::Videomae) => 4,
        _ => 1,
    }
}

/// Probes a model, writes its manifest beside it, and runs one frame (or patch of sound).
///
/// # Errors
/// Earmark cannot run the model, the user must say something that the file does not, or the manifest exists already. Then no manifest is left.
pub(crate) fn add(args: &ModelsAdd) -> anyhow::Result<AddedModel> {
    let file = &args.file;
    if !file.is_file() {
        bail!(Usage(format!("{} is not a file", file.display())));
    }
    let name = match &args.name {
        Some(name) => name.clone(),
        None => file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!(Usage(format!(
            "--name {name}: a name has letters, digits, `-`, `_` and `.`, such as clip-vit-b32"
        )));
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let path = folder.join(format!("{name}.yaml"));
    files::check(&path, args.overwrite)?;
    let ports = onnx::ports(file)?;
    let sha256 = gstearmark::models::sha256(file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let begin = ManifestHeader {
        name: &name,
        file: &file.file_name().unwrap_or_default().to_string_lossy(),
        sha256: &sha256,
        args,
    };
    let (kind, text) = if new_text_model::takes_text(&ports) {
        let text = new_text_model::manifest(begin.text("text-encoder"), &ports, args)?;
        (Kind::TextEncoder, text)
    } else {
        let input = input(&ports, args)?;
        match input.axes.len() {
            5 => (Kind::ClipEncoder, clip_encoder(&begin, &ports)?),
            _ if is_sound(input) => (Kind::Tagger, tagger(&begin, input, &ports)?),
            _ => (Kind::Encoder, encoder(&begin, input, &ports)?),
        }
    };
    // Tried under its own name, in a temporary folder.
    let tried = try_out(&text, &name, file, args, kind)?;
    files::write(&path, text.as_bytes(), args.overwrite)?;
    let names = |ports: &[Port]| {
        ports
            .iter()
            .map(Port::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let path_told = path.display();
    let use_it = match kind {
        Kind::TextEncoder => format!("`earmark ask --text-encoder {path_told} ...`"),
        Kind::Tagger => format!("`earmark run gated --set ears.tagger={path_told} ...`"),
        _ => format!("`earmark run gated --set features.model={path_told} ...`"),
    };
    let lines = [
        format!("takes      {}", names(&ports.inputs)),
        format!("gives      {}", names(&ports.outputs)),
        format!("tried      {tried}"),
        format!("written    {}", path.display()),
        format!("to use it  {use_it}; in a folder of $EARMARK_MODELS its name is enough: {name}"),
    ];
    Ok(AddedModel {
        value: json!({ "ok": true, "name": name, "kind": kind, "manifest": path.to_string_lossy(), "sha256": sha256, "tried": tried }),
        text: lines.join("\n"),
    })
}

/// The beginning of every manifest.
struct ManifestHeader<'a> {
    name: &'a str,
    file: &'a str,
    sha256: &'a str,
    args: &'a ModelsAdd,
}

impl ManifestHeader<'_> {
    fn text(&self, kind: &str) -> String {
        let source = match &self.args.licence {
            Some(licence) => format!(
                "source: {{ package: {}, version: \"\", licence: {} }}\n",
                quoted(self.name),
                quoted(licence)
            ),
            None => String::new(),
        };
        format!(
            "# Made by `earmark models add`.\nschema: earmark-model/1\nname: {}\nkind: {kind}\nfile: {}\nsha256: \"{}\"\n{source}",
            quoted(self.name),
            quoted(self.file),
            self.sha256
        )
    }
}

/// The input for frames or sound.
fn input<'a>(ports: &'a Ports, args: &ModelsAdd) -> anyhow::Result<&'a Port> {
    let names = || {
        ports
            .inputs
            .iter()
            .map(Port::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let found = match &args.input {
        Some(name) => ports.inputs.iter().find(|port| port.name == *name),
        None => ports.inputs.first(),
    };
    let port = found.with_context(|| {
        format!(
            "the model has no input {:?}, only {}",
            args.input.as_deref().unwrap_or(""),
            names()
        )
    })?;
    // Pathways of one clip.
    let are_clips = ports.inputs.iter().all(|port| port.axes.len() == 5);
    if ports.inputs.len() > 1 && !are_clips {
        bail!(
            "the model takes {}: Earmark gives it frames only; export the part that turns frames into vectors (of CLIP, the vision model)",
            names()
        );
    }
    if !port.is_f32 {
        bail!(
            "the model takes {port}, but Earmark gives 32-bit floats; convert its input (onnxconverter-common, or when it is exported)"
        );
    }
    Ok(port)
}

/// Whether an input takes log-mel patches, as YAMNet does: one channel of 96 by 64.
fn is_sound(port: &Port) -> bool {
    port.axes.len() == 4
        && port.axes[1] == Some(1)
        && [port.axes[2], port.axes[3]] == [Some(96), Some(64)]
}

/// The output that gives one vector per item.
fn output<'a>(ports: &'a Ports, args: &ModelsAdd) -> anyhow::Result<&'a Port> {
    let names = || {
        ports
            .outputs
            .iter()
            .map(Port::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Some(name) = &args.output {
        let found = ports.outputs.iter().find(|port| port.name == *name);
        return found
            .with_context(|| format!("--output {name}: the model's outputs are {}", names()));
    }
    let vectors: Vec<&Port> = ports
        .outputs
        .iter()
        .filter(|port| port.is_f32 && port.axes.len() == 2)
        .collect();
    let likely = LIKELY
        .iter()
        .find_map(|name| vectors.iter().find(|port| port.name == *name));
    match (likely, &vectors[..]) {
        (Some(port), _) | (None, [port]) => Ok(port),
        _ => bail!(Usage(format!(
            "name the output that has one vector per frame with --output: the outputs are {}",
            names()
        ))),
    }
}

fn numbers(three: [f64; 3]) -> String {
    let all = three.map(|x| format!("{}", (x * 1e4).round() / 1e4));
    format!("[{}]", all.join(", "))
}

/// Mean and deviation, of values in 0..=255; how frames are resized and fitted.
type Scale = ([f64; 3], [f64; 3], &'static str, &'static str);

fn scale(args: &ModelsAdd) -> Result<Scale, Usage> {
    let family = args.like.map(like);
    let (given_mean, given_std) = (three(&args.mean, "--mean")?, three(&args.std, "--std")?);
    let mean = given_mean.or(family.map(|family| family.0));
    let std = given_std.or(family.map(|family| family.1));
    let (Some(mean), Some(std)) = (mean, std) else {
        return Err(Usage(
            "say how to prepare frames for the model: --like clip (or siglip, dinov2, vit, efficientnet), or --mean 0.485,0.456,0.406 --std \
             0.229,0.224,0.225 from its preprocessor's settings"
                .into(),
        ));
    };
    if std.iter().any(|x| *x <= 0.0) {
        return Err(Usage(format!("--std {std:?}: must be positive")));
    }
    // Most preprocessors use 0 to 1.
    let whole = match std.iter().all(|x| *x <= 1.0) {
        true => 255.0,
        false => 1.0,
    };
    let (_, _, resize, fit) = family.unwrap_or(([0.0; 3], [1.0; 3], "bicubic", "squash"));
    Ok((mean.map(|x| x * whole), std.map(|x| x * whole), resize, fit))
}

fn three(given: &[f64], option: &str) -> Result<Option<[f64; 3]>, Usage> {
    match *given {
        [] => Ok(None),
        [x] => Ok(Some([x; 3])),
        [a, b, c] => Ok(Some([a, b, c])),
        _ => Err(Usage(format!(
            "{option} has {} numbers: give one, or one per channel, such as 0.485,0.456,0.406",
            given.len()
        ))),
    }
}

fn encoder(begin: &ManifestHeader<'_>, input: &Port, ports: &Ports) -> anyhow::Result<String> {
    let args = begin.args;
    let three = |axis: usize| input.axes.get(axis).copied().flatten() == Some(3);
    if input.axes.len() != 4 {
        bail!(
            "the model takes {input}: neither frames [N, 3, H, W] nor [N, H, W, 3], nor log-mel patches [N, 1, 96, 64]"
        );
    }
    let (layout, sides) = match (three(1), three(3)) {
        (false, true) => ("NHWC", [input.axes[1], input.axes[2]]),
        _ => ("NCHW", [input.axes[2], input.axes[3]]),
    };
    let px = match (sides, &args.px[..]) {
        ([Some(height), Some(width)], _) if height != width => bail!(
            "the model takes {input}: frames that are not square, and Earmark makes only square ones"
        ),
        ([Some(side), _] | [_, Some(side)], []) => [side; 3],
        ([Some(side), _] | [_, Some(side)], given) if given.iter().any(|px| *px != side) => {
            bail!(Usage(format!(
                "--px {given:?}: the model takes {input}, one size, {side}"
            )))
        }
        ([Some(side), _] | [_, Some(side)], _) => [side; 3],
        (_, []) => SIDES,
        (_, [px]) => [*px; 3],
        (_, [low, base, high]) => [*low, *base, *high],
        (_, given) => bail!(Usage(format!(
            "--px has {} numbers: give one for all tiers, or three for low, base and high, such as 112,224,448",
            given.len()
        ))),
    };
    let (mean, std, resize, fit) = scale(args)?;
    let fit = args.fit.map_or(fit, |fit| fit.name());
    let colour = if args.bgr { "BGR" } else { "RGB" };
    let output = output(ports, args)?;
    let tokens = |px: usize| (px * px).div_ceil(PATCH * PATCH).max(1);
    let tier = |px: usize| format!("{{ px: {px}, tokens: {} }}", tokens(px));
    // One vector a token: a ViT's first is its class token.
    let tokens_apart = output.axes.len() == 3;
    let width = match tokens_apart {
        true => output.axes[2],
        false => output.width(),
    };
    let Some(dim) = width.or(args.dim) else {
        bail!(Usage(format!(
            "add --dim: the file does not say how many numbers per frame the output {output} has"
        )));
    };
    let pool = match tokens_apart {
        true => "  pool: first  # of the vectors of tokens: first, the class token, or mean\n",
        false => "",
    };
    let mut text = begin.text("encoder");
    text.push_str(&format!(
        "input:\n  name: {}\n  layout: {layout}\n  dtype: f32\n  colour: {colour}\n  mean: {}  # x in 0..255 becomes (x - mean) / std\n  std: {}\n  \
         resize: {resize}\n  fit: {fit}  # squash, crop or pad\noutput:\n  name: {}\n  dim: {dim}\n{pool}tiers:  # px: side of the square; tokens: its price\n  \
         low: {}\n  base: {}\n  high: {}\n",
        quoted(&input.name),
        numbers(mean),
        numbers(std),
        quoted(&output.name),
        tier(px[0]),
        tier(px[1]),
        tier(px[2])
    ));
    Ok(text)
}

/// The manifest of an encoder of clips: one input, or a pathway for each.
fn clip_encoder(begin: &ManifestHeader<'_>, ports: &Ports) -> anyhow::Result<String> {
    let args = begin.args;
    let first = ports.inputs.first().context("the model has no input")?;
    let channels = |axis: usize| first.axes.get(axis).copied().flatten() == Some(3);
    let (layout, frames_axis) = match (channels(1), channels(2)) {
        (false, true) => ("NTCHW", 1),
        (true, _) => ("NCTHW", 2),
        (false, false) => {
            bail!("the model takes {first}: neither clips [N, 3, T, H, W] nor [N, T, 3, H, W]")
        }
    };
    let mut frames = Vec::new();
    for (k, port) in ports.inputs.iter().enumerate() {
        if !port.is_f32 {
            bail!("the model takes {port}, but Earmark gives 32-bit floats");
        }
        let own = port.axes.get(frames_axis).copied().flatten();
        let given = args.frames.get(k).copied();
        match (own, given) {
            (Some(own), Some(given)) if own != given => bail!(Usage(format!(
                "--frames {given}: the model takes {port}, {own} frames"
            ))),
            (Some(n), _) | (None, Some(n)) => frames.push(n),
            (None, None) => bail!(Usage(format!(
                "say with --frames how many frames a clip has: the model takes {port} (of several inputs, one number for each, such as 8,32)"
            ))),
        }
    }
    let sides = [&first.axes[3], &first.axes[4]].map(|side| *side);
    let px = match (sides, &args.px[..]) {
        ([Some(height), Some(width)], _) if height != width => bail!(
            "the model takes {first}: frames that are not square, which Earmark does not make"
        ),
        ([Some(side), _] | [_, Some(side)], given) => match given.iter().find(|px| **px != side) {
            Some(px) => bail!(Usage(format!(
                "--px {px}: the model takes {first}, one size, {side}"
            ))),
            None => [side; 3],
        },
        (_, [px]) => [*px; 3],
        (_, [low, base, high]) => [*low, *base, *high],
        _ => bail!(Usage(
            "say with --px which size the model takes, such as 224; the file doesn't".into()
        )),
    };
    let (mean, std, resize, fit) = scale(args)?;
    let fit = args.fit.map_or(fit, |fit| fit.name());
    let colour = if args.bgr { "BGR" } else { "RGB" };
    let output = output(ports, args)?;
    let Some(dim) = output.width().or(args.dim) else {
        bail!(Usage(format!(
            "say with --dim how many numbers a clip the output {output} has; the file doesn't"
        )));
    };
    let every = match (args.every_ms, args.every) {
        (Some(ms), _) => format!("ms: {ms}"),
        (None, given) => format!("frames: {}", given.unwrap_or_else(|| usual_step(args.like))),
    };
    let takes = match &ports.inputs[..] {
        [only] => format!("  name: {}\n  frames: {}\n", quoted(&only.name), frames[0]),
        several => {
            let each: String = several
                .iter()
                .zip(&frames)
                .map(|(port, n)| format!("    - {{ name: {}, frames: {n} }}\n", quoted(&port.name)))
                .collect();
            format!("  pathways:  # each takes so many frames of the clip, evenly spread\n{each}")
        }
    };
    let crop = args.crop.map_or(String::new(), |share| {
        format!("  crop: {share}  # of the largest square\n")
    });
    let [low, base, high] = px.map(|px| format!("{{ px: {px} }}"));
    let mut text = begin.text("clip-encoder");
    text.push_str(&format!(
        "input:\n{takes}  every: {{ {every} }}  # from one frame of a clip to the next: frames of the recording, or ms\n  layout: {layout}\n  dtype: f32\n  \
         colour: {colour}\n  mean: {}  # x in 0..255 becomes (x - mean) / std\n  std: {}\n  resize: {resize}\n  fit: {fit}  # squash, crop or pad\n{crop}\
         output:\n  name: {}\n  dim: {dim}\ntiers:  # px: side of the square; tokens: its price, tubelets of 2 frames and 16 x 16 pixels unless given\n  \
         low: {low}\n  base: {base}\n  high: {high}\n",
        numbers(mean),
        numbers(std),
        quoted(&output.name),
    ));
    Ok(text)
}

fn tagger(begin: &ManifestHeader<'_>, input: &Port, ports: &Ports) -> anyhow::Result<String> {
    let args = begin.args;
    let Some(classes) = &args.classes else {
        bail!(Usage(
            "the model takes sound: name its class list with --classes (CSV: index,mid,display_name)".into()
        ));
    };
    let labels = gstearmark::models::read_classes(classes)
        .with_context(|| format!("cannot use the class list {}", classes.display()))?;
    let fits = |port: &&Port| port.is_f32 && port.width().is_none_or(|n| n == labels.len());
    let output = match &args.output {
        Some(_) => output(ports, args)?,
        None => ports.outputs.iter().find(fits).with_context(|| {
            format!(
                "no output has {} numbers, one per class of {}",
                labels.len(),
                classes.display()
            )
        })?,
    };
    let classes = beside_model(&args.file, classes)?;
    let mut text = begin.text("tagger");
    text.push_str(&format!(
        "input: {{ name: {}, layout: NCTF, dtype: f32, sample_rate: 16000, frames: 96, bands: 64, hop_frames: 48 }}\n\
         output: {{ name: {}, dim: {} }}\nclasses: {}\n",
        quoted(&input.name),
        quoted(&output.name),
        labels.len(),
        quoted(&classes)
    ));
    if !args.speech_classes.is_empty() {
        text.push_str(&format!("speech_classes: {:?}\n", args.speech_classes));
    }
    Ok(text)
}

/// Reads the manifest back and runs one frame at each tier, one patch of sound, or one text; returns the result in words.
fn try_out(
    text: &str,
    name: &str,
    file: &Path,
    args: &ModelsAdd,
    kind: Kind,
) -> anyhow::Result<String> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let path = folder.path().join(format!("{name}.yaml"));
    std::fs::write(&path, text).context("cannot write to a temporary folder")?;
    let mut manifest = Manifest::read(&path)?;
    // The files stay where they are.
    manifest.file = std::path::absolute(file)?;
    if kind == Kind::TextEncoder {
        return new_text_model::try_out(manifest, args);
    }
    if kind == Kind::Tagger {
        manifest.classes = args.classes.clone().map(std::path::absolute).transpose()?;
        let classes = manifest.classes_path().unwrap_or_default();
        let labels = gstearmark::models::read_classes(&classes)?;
        let n = labels.len();
        let mut tagger = onnx::Tagger::new(manifest, labels, 1)?;
        let scores = tagger.scores(&vec![0.0; 96 * 64])?;
        finite(&scores)?;
        return Ok(format!("one patch of silence: {n} scores"));
    }
    let tiers = manifest.tiers.context("the manifest has no tiers")?;
    let mut sides = [tiers.low, tiers.base, tiers.high]
        .map(|tier| (tier.px, tier.tokens))
        .to_vec();
    sides.dedup();
    let dim = manifest.output.dim;
    let mut encoder = onnx::Encoder::new(manifest, 1, Device::default())?;
    let mut described = Vec::new();
    let clip = encoder.manifest().clip();
    for (px, tokens) in sides {
        if let Some(clip) = clip {
            let grey = |frames: usize| vec![0.1; frames * 3 * px * px];
            let pathways = encoder.manifest().pathways().into_iter();
            let grey: Vec<Vec<f32>> = pathways.map(|pathway| grey(pathway.frames)).collect();
            let numbers = encoder.encode_clips(1, px, &grey, <[f32]>::to_vec).with_context(|| {
                format!("the model does not run on clips of {} frames of {px} x {px} pixels; say with --frames and --px what it takes", clip.frames)
            })?;
            finite(&numbers)?;
            described.push(format!(
                "{} frames of {px} x {px} pixels for {tokens} tokens",
                clip.frames
            ));
            continue;
        }
        let grey = vec![0.1; 3 * px * px];
        let numbers = encoder.encode(1, px, &grey, <[f32]>::to_vec).with_context(|| {
            format!("the model does not run at {px} x {px} pixels; name the sizes that it takes with --px (one, or low,base,high)")
        })?;
        finite(&numbers)?;
        described.push(format!("{px} x {px} pixels for {tokens} tokens"));
    }
    let one_size = if described.len() == 1 {
        ": every tier is this size and this price"
    } else {
        ""
    };
    let what = if clip.is_some() { "clip" } else { "frame" };
    Ok(format!(
        "one grey {what}: {dim} numbers at {}{one_size}",
        described.join(", ")
    ))
}

fn finite(numbers: &[f32]) -> anyhow::Result<()> {
    match numbers.iter().all(|x| x.is_finite()) {
        true => Ok(()),
        false => bail!("the model gives numbers that are not finite; are --mean and --std right?"),
    }
}
