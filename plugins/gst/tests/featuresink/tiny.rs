//! Tiny ONNX models with manifests, written byte by byte: what any other encoder or tagger looks like to Earmark.

use std::path::{Path, PathBuf};

use gstearmark::models::sha256;

/// A protobuf field of bytes.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = content.len();
    while length >= 128 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// A protobuf field holding a small number.
fn number(field: u8, value: u8) -> Vec<u8> {
    assert!(value < 128);
    vec![field << 3, value]
}

/// Name, f32 and shape of an input or output; `None` is a free axis.
fn value(name: &str, shape: &[Option<u8>]) -> Vec<u8> {
    let dims: Vec<u8> = shape
        .iter()
        .flat_map(|dim| {
            let dim = match dim {
                Some(size) => number(1, *size),
                None => bytes(2, b"free"),
            };
            bytes(1, &dim)
        })
        .collect();
    let tensor = [number(1, 1), bytes(2, &dims)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// A node; attributes are lists of small numbers.
fn node(op: &str, input: &str, output: &str, attributes: &[(&str, &[u8])]) -> Vec<u8> {
    let attributes: Vec<u8> = attributes
        .iter()
        .flat_map(|(name, values)| {
            let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
            let attribute = [
                bytes(1, name.as_bytes()),
                values,
                vec![20 << 3 & 0x7f | 0x80, 1, 7],
            ]
            .concat();
            bytes(5, &attribute)
        })
        .collect();
    [
        bytes(1, input.as_bytes()),
        bytes(2, output.as_bytes()),
        bytes(4, op.as_bytes()),
        attributes,
    ]
    .concat()
}

fn model(nodes: &[Vec<u8>], input: &[u8], output: &[u8]) -> Vec<u8> {
    let nodes: Vec<u8> = nodes.iter().flat_map(|n| bytes(1, n)).collect();
    let graph = [
        nodes,
        bytes(2, b"tiny"),
        bytes(11, input),
        bytes(12, output),
    ]
    .concat();
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat()
}

/// Picture `[N, 3, H, W]` -> the mean of each channel, `[N, 3]`.
fn mean_colour() -> Vec<u8> {
    model(
        &[
            node("GlobalAveragePool", "picture", "pooled", &[]),
            node("Flatten", "pooled", "colour", &[]),
        ],
        &value("picture", &[None, Some(3), None, None]),
        &value("colour", &[None, Some(3)]),
    )
}

/// As above, the slow way: the frame is blurred again and again before.
fn slow_colour(blurs: usize) -> Vec<u8> {
    let name = |k: usize| match k {
        0 => "picture".to_owned(),
        k => format!("blurred{k}"),
    };
    let wide: [(&str, &[u8]); 3] = [
        ("kernel_shape", &[9, 9]),
        ("strides", &[1, 1]),
        ("pads", &[4, 4, 4, 4]),
    ];
    let blur = |k: usize| node("AveragePool", &name(k), &name(k + 1), &wide);
    let mut nodes: Vec<Vec<u8>> = (0..blurs).map(blur).collect();
    nodes.push(node("GlobalAveragePool", &name(blurs), "pooled", &[]));
    nodes.push(node("Flatten", "pooled", "colour", &[]));
    model(
        &nodes,
        &value("picture", &[None, Some(3), None, None]),
        &value("colour", &[None, Some(3)]),
    )
}

/// Low-tier frame `[N, 3, 112, 112]` -> the mean of each channel in each quarter, `[N, 12]`.
fn quarters() -> Vec<u8> {
    let kernel: &[u8] = &[56, 56];
    model(
        &[
            node(
                "AveragePool",
                "picture",
                "pooled",
                &[("kernel_shape", kernel), ("strides", kernel)],
            ),
            node("Flatten", "pooled", "colour", &[]),
        ],
        &value("picture", &[None, Some(3), Some(112), Some(112)]),
        &value("colour", &[None, Some(12)]),
    )
}

/// Log mel `[N, 1, 96, 64]` -> the mean of each 8 bands, `[N, 8]`.
fn band_means() -> Vec<u8> {
    let kernel: &[u8] = &[96, 8];
    model(
        &[
            node(
                "AveragePool",
                "mel",
                "pooled",
                &[("kernel_shape", kernel), ("strides", kernel)],
            ),
            node("Flatten", "pooled", "bands", &[]),
        ],
        &value("mel", &[None, Some(1), Some(96), Some(64)]),
        &value("bands", &[None, Some(8)]),
    )
}

/// Writes an encoder that gives each frame's mean colour in 0..=1; `change` edits the manifest. Returns the manifest's path.
pub(crate) fn encoder(dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
    encoder_of(dir, &mean_colour(), change)
}

/// Writes an encoder that takes its time, the more the more often it blurs. Returns the manifest's path.
pub(crate) fn slow_encoder(dir: &Path, blurs: usize) -> PathBuf {
    encoder_of(dir, &slow_colour(blurs), |m| m)
}

/// Writes an encoder that gives the mean colour of each quarter of a low-tier frame. Returns the manifest's path.
pub(crate) fn quarter_encoder(dir: &Path) -> PathBuf {
    encoder_of(dir, &quarters(), |m| {
        // It takes one size.
        m.replace("dim: 3", "dim: 12")
            .replace("px: 224", "px: 112")
            .replace("px: 448", "px: 112")
    })
}

fn encoder_of(dir: &Path, model: &[u8], change: impl Fn(String) -> String) -> PathBuf {
    let onnx = dir.join("colour.onnx");
    std::fs::write(&onnx, model).unwrap();
    let manifest = format!(
        "
schema: earmark-model/1
name: colour
kind: encoder
file: colour.onnx
sha256: \"{}\"
source: {{ package: none, version: \"1\", licence: MIT }}
input: {{ name: picture, layout: NCHW, dtype: f32, colour: RGB, mean: [0, 0, 0], std: [255, 255, 255] }}
output: {{ name: colour, dim: 3 }}
tiers:
  low: {{ px: 112, tokens: 49 }}
  base: {{ px: 224, tokens: 196 }}
  high: {{ px: 448, tokens: 784 }}
",
        sha256(&onnx).unwrap()
    );
    let path = dir.join("colour.yaml");
    std::fs::write(&path, change(manifest)).unwrap();
    path
}

/// Writes a tagger of eight classes, each the mean of eight bands. Returns the manifest's path.
pub(crate) fn tagger(dir: &Path) -> PathBuf {
    let onnx = dir.join("bands.onnx");
    std::fs::write(&onnx, band_means()).unwrap();
    let classes: String = (0..8)
        .map(|k| format!("{k},/m/{k},\"Band {k}, of eight\"\n"))
        .collect();
    std::fs::write(
        dir.join("bands.csv"),
        format!("index,mid,display_name\n{classes}"),
    )
    .unwrap();
    let manifest = format!(
        "
schema: earmark-model/1
name: bands
kind: tagger
file: bands.onnx
sha256: \"{}\"
source: {{ package: none, version: \"1\", licence: MIT }}
input: {{ name: mel, layout: NCTF, dtype: f32, sample_rate: 16000, frames: 96, bands: 64, hop_frames: 48 }}
output: {{ name: bands, dim: 8 }}
classes: bands.csv
speech_classes: [1, 2]
",
        sha256(&onnx).unwrap()
    );
    let path = dir.join("bands.yaml");
    std::fs::write(&path, manifest).unwrap();
    path
}

/// Writes a probe: the same model, and a head of `dim` numbers that weighs the last by 2 and takes 5 away. Returns the manifest's path.
pub(crate) fn probe(dir: &Path, dim: usize) -> PathBuf {
    let onnx = dir.join("novel.onnx");
    std::fs::write(&onnx, band_means()).unwrap();
    let entry = r#"{\"schema\": \"earmark-head/1\", \"name\": \"tiny\"}"#;
    let header = format!(
        r#"{{"__metadata__": {{"head": "{entry}"}}, "head.weight": {{"dtype": "F32", "shape": [{dim}], "data_offsets": [0, {0}]}},
            "head.bias": {{"dtype": "F32", "shape": [1], "data_offsets": [{0}, {1}]}}}}"#,
        4 * dim,
        4 * dim + 4
    );
    let mut weights = vec![0f32; dim - 1];
    weights.extend([2.0, -5.0]);
    let mut head = (header.len() as u64).to_le_bytes().to_vec();
    head.extend(header.bytes());
    head.extend(weights.iter().flat_map(|w| w.to_le_bytes()));
    std::fs::write(dir.join("novel.safetensors"), head).unwrap();
    let manifest = format!(
        "
schema: earmark-model/1
name: novel
kind: probe
file: novel.onnx
sha256: \"{}\"
source: {{ package: none, version: \"1\", licence: MIT }}
input: {{ name: mel, layout: NCTF, dtype: f32, sample_rate: 16000, frames: 96, bands: 64, hop_frames: 48 }}
output: {{ name: bands, dim: 8 }}
head: novel.safetensors
",
        sha256(&onnx).unwrap()
    );
    let path = dir.join("novel.yaml");
    std::fs::write(&path, manifest).unwrap();
    path
}
