//! `earmark models add` for encoders of text: the manifest, from the ONNX file and its tokenizer.

use anyhow::{Context, bail};
use gstearmark::models::{Manifest, sha256};
use gstearmark::onnx::{Port, Ports};
use serde_json::Value;

use super::manifest_text::{beside_model, quoted};
use crate::cli::ModelsAdd;
use crate::failure::Usage;
use crate::text_encoder::{TextEncoder, Tokenizer};

/// Tokens of the longest text where neither the model nor its tokenizer says so.
const LONGEST: usize = 128;
/// Names of outputs that hold one vector per text, or per token, the likeliest first.
const LIKELY: [&str; 8] = [
    "text_embeds",
    "sentence_embedding",
    "pooler_output",
    "embedding",
    "embeddings",
    "output",
    "token_embeddings",
    "last_hidden_state",
];
/// What a model is tried with.
const TEXT: &str = "A dog barks.";

/// Whether a model takes text: whole numbers, and nothing else.
pub(super) fn takes_text(ports: &Ports) -> bool {
    let whole = |port: &Port| dtype(port).is_some() && port.axes.len() == 2;
    !ports.inputs.is_empty() && ports.inputs.iter().all(whole)
}

/// The type of tokens that an input takes.
fn dtype(port: &Port) -> Option<&'static str> {
    ["i64", "i32"]
        .into_iter()
        .find(|name| port.kind.starts_with(name))
}

fn names(ports: &[Port]) -> String {
    let all: Vec<String> = ports.iter().map(Port::to_string).collect();
    all.join(", ")
}

/// The manifest after its beginning.
///
/// # Errors
/// The user must say something that the files do not, or there is no tokenizer.
pub(super) fn manifest(begin: String, ports: &Ports, args: &ModelsAdd) -> anyhow::Result<String> {
    let Some(tokenizer) = &args.tokenizer else {
        bail!(Usage(format!(
            "the model takes text, {}: name its tokenizer with --tokenizer tokenizer.json",
            names(&ports.inputs)
        )));
    };
    // Read once, so that a wrong one fails now.
    Tokenizer::read(tokenizer)?;
    let of = |part: &str| ports.inputs.iter().find(|port| port.name.contains(part));
    let (mask, types) = (of("mask"), of("type"));
    let others: Vec<&Port> = ports
        .inputs
        .iter()
        .filter(|port| Some(*port) != mask && Some(*port) != types)
        .collect();
    let ids = match (&args.input, &others[..]) {
        (Some(name), _) => others.into_iter().find(|port| port.name == *name),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    let Some(ids) = ids.filter(|_| {
        ports.inputs.len() == 1 + usize::from(mask.is_some()) + usize::from(types.is_some())
    }) else {
        bail!(
            "the model takes {}: of text, Earmark gives it tokens, their mask and their types",
            names(&ports.inputs)
        );
    };
    let kind = dtype(ids).unwrap_or("i64");
    if let Some(other) = ports.inputs.iter().find(|port| dtype(port) != Some(kind)) {
        bail!("the model takes {ids} and {other}: must be whole numbers of one kind");
    }
    let output = output(ports, args)?;
    let Some(dim) = output.axes.last().copied().flatten().or(args.dim) else {
        bail!(Usage(format!(
            "add --dim: the file does not say how many numbers per text the output {output} has"
        )));
    };
    let file =
        std::fs::read(tokenizer).with_context(|| format!("cannot read {}", tokenizer.display()))?;
    let settings: Value = serde_json::from_slice(&file).unwrap_or_default();
    let number = |part: &str, key: &str| settings[part][key].as_u64().map(|n| n as usize);
    let fixed = ids.axes[1];
    let longest = fixed
        .or(number("truncation", "max_length"))
        .unwrap_or(LONGEST);
    let pad = number("padding", "pad_id").unwrap_or(0);
    let path = beside_model(&args.file, tokenizer)?;
    let named = |key: &str, port: Option<&Port>| {
        port.map_or(String::new(), |port| {
            format!("  {key}: {}\n", quoted(&port.name))
        })
    };
    let hash = sha256(tokenizer).with_context(|| format!("cannot read {}", tokenizer.display()))?;
    Ok(format!(
        "{begin}input: {{ name: {}, layout: NT, dtype: {kind} }}\noutput: {{ name: {}, dim: {dim} }}\ntext:\n  tokenizer: {}\n  \
         tokenizer_sha256: \"{hash}\"\n{}{}  longest: {longest}  # tokens\n  padded: {}\n  pad: {pad}\n",
        quoted(&ids.name),
        quoted(&output.name),
        quoted(&path),
        named("mask", mask),
        named("types", types),
        fixed.is_some(),
    ))
}

/// The output with one vector per text, or per token.
fn output<'a>(ports: &'a Ports, args: &ModelsAdd) -> anyhow::Result<&'a Port> {
    if let Some(name) = &args.output {
        let found = ports.outputs.iter().find(|port| port.name == *name);
        return found.with_context(|| {
            format!(
                "--output {name}: the model's outputs are {}",
                names(&ports.outputs)
            )
        });
    }
    let vectors: Vec<&Port> = ports
        .outputs
        .iter()
        .filter(|port| port.is_f32 && [2, 3].contains(&port.axes.len()))
        .collect();
    let likely = LIKELY
        .iter()
        .find_map(|name| vectors.iter().find(|port| port.name == *name));
    match (likely, &vectors[..]) {
        (Some(port), _) | (None, [port]) => Ok(port),
        _ => bail!(Usage(format!(
            "name the output that has one vector per text, or per token, with --output: the outputs are {}",
            names(&ports.outputs)
        ))),
    }
}

/// Runs a text, and returns the result in words.
///
/// # Errors
/// The model or its tokenizer cannot be run.
pub(super) fn try_out(mut manifest: Manifest, args: &ModelsAdd) -> anyhow::Result<String> {
    if let (Some(text), Some(tokenizer)) = (&mut manifest.text, &args.tokenizer) {
        text.tokenizer = std::path::absolute(tokenizer)?;
    }
    let mut encoder = TextEncoder::new(manifest)?;
    let n = encoder.vector(TEXT)?.len();
    Ok(format!("one text, \"{TEXT}\": {n} numbers"))
}
