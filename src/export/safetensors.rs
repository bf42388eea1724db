//! `VIDEO_ID.safetensors`: a tensor per column of `/frames`, `quality.sound`, `.frame` and `.both`, `anchors.*` for those of `/anchors` and `clips.*`
//! for those of `/clips`; the metadata names tiers, reasons and the labels of anchors.

use std::fs::File;
use std::io::{BufWriter, Write};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use anchoring::plan::Reason;
use anchoring::tier::Tier;
use gstearmark::h5;
use serde_json::Value;

use super::source::{Source, TOGETHER, bytes};
use super::{Job, Written};

/// Bytes of the header length; the header length is a multiple of it.
const LENGTH: usize = 8;

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    let files = job.each(&[".safetensors"], |source, files| {
        files.iter().try_for_each(|file| one(source, file))
    })?;
    Ok(Written {
        files,
        notes: Vec::new(),
        more: Value::Null,
    })
}

fn one(source: &Source, file: &File) -> anyhow::Result<()> {
    let tables = source.tables()?;
    let (n, dim) = (source.frames(), source.dim());
    let tiers: Vec<u8> = tables.tier.iter().map(|tier| *tier as u8).collect();
    let reasons: Vec<u8> = tables.reason.iter().map(|reason| *reason as u8).collect();
    // Signed integers, because PyTorch supports few operations on unsigned ones.
    let tokens: Vec<i32> = tables.tokens.iter().map(|t| *t as i32).collect();
    let anchors = &tables.anchors;
    let times = |of: fn(&h5::AnchorRow) -> i64| -> Vec<u8> {
        bytes(
            &anchors.iter().map(of).collect::<Vec<_>>(),
            i64::to_le_bytes,
        )
    };
    let scores: Vec<f32> = anchors.iter().map(|anchor| anchor.score).collect();
    let clips = tables.clips.as_ref();
    let quality = source.frame_scores(&tables)?;
    let quality = |k: usize| -> Vec<u8> {
        let scores: Vec<f32> = quality.iter().map(|scores| scores[k]).collect();
        bytes(&scores, f32::to_le_bytes)
    };
    // Widest types first, so that each is aligned to its width.
    let of_clips = clips.iter().flat_map(|clips| {
        let times = |times: &[i64]| bytes(times, i64::to_le_bytes);
        [
            ("clips.start_ns", Dtype::I64, times(&clips.start_ns)),
            ("clips.stop_ns", Dtype::I64, times(&clips.stop_ns)),
            ("clips.frame_pts_ns", Dtype::I64, times(&clips.frame_pts_ns)),
        ]
    });
    let of_frames = [
        (
            "pts_ns",
            Dtype::I64,
            bytes(&tables.pts_ns, i64::to_le_bytes),
        ),
        (
            "planned_ns",
            Dtype::I64,
            bytes(&tables.planned_ns, i64::to_le_bytes),
        ),
        (
            "asked_ns",
            Dtype::I64,
            bytes(&tables.asked_ns, i64::to_le_bytes),
        ),
        (
            "anchors.onset_ns",
            Dtype::I64,
            times(|anchor| anchor.onset_ns),
        ),
        (
            "anchors.start_ns",
            Dtype::I64,
            times(|anchor| anchor.start_ns),
        ),
        (
            "anchors.stop_ns",
            Dtype::I64,
            times(|anchor| anchor.stop_ns),
        ),
        (
            "anchors.score",
            Dtype::F32,
            bytes(&scores, f32::to_le_bytes),
        ),
        ("quality.sound", Dtype::F32, quality(0)),
        ("quality.frame", Dtype::F32, quality(1)),
        ("quality.both", Dtype::F32, quality(2)),
        ("tokens", Dtype::I32, bytes(&tokens, i32::to_le_bytes)),
        (
            "anchor",
            Dtype::I32,
            bytes(&tables.anchor, i32::to_le_bytes),
        ),
    ];
    let before: Vec<_> = of_clips.chain(of_frames).collect();
    let behind = [("tier", Dtype::U8, tiers), ("reason", Dtype::U8, reasons)];
    let (mut tensors, mut at) = (Vec::new(), 0);
    let mut add = |name: &str, dtype, shape, length: usize| {
        let data_offsets = (at, at + length);
        at += length;
        let info = TensorInfo {
            dtype,
            shape,
            data_offsets,
        };
        tensors.push((name.to_owned(), info));
    };
    for (name, dtype, data) in &before {
        let mut shape = match name.starts_with("anchors.") {
            true => vec![anchors.len()],
            false => vec![n],
        };
        if let ("clips.frame_pts_ns", Some(clips)) = (*name, clips) {
            shape.push(clips.frames);
        }
        add(name, *dtype, shape, data.len());
    }
    add("features", Dtype::F32, vec![n, dim], 4 * n * dim);
    for (name, dtype, data) in &behind {
        add(name, *dtype, vec![n], data.len());
    }
    let labels: Vec<&str> = anchors.iter().map(|anchor| anchor.label.as_str()).collect();
    let header = header(source, tensors, &serde_json::to_string(&labels)?)?;
    let mut file = BufWriter::new(file);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for (_, _, data) in &before {
        file.write_all(data)?;
    }
    source.blocks(TOGETHER, |_, block| {
        Ok(file.write_all(&bytes(block, f32::to_le_bytes))?)
    })?;
    for (_, _, data) in &behind {
        file.write_all(data)?;
    }
    Ok(file.flush()?)
}

/// `labels`: those of the anchors, as JSON.
fn header(
    source: &Source,
    tensors: Vec<(String, TensorInfo)>,
    labels: &str,
) -> anyhow::Result<Vec<u8>> {
    let names = |names: Vec<&str>| names.join(",");
    let about = [
        ("video_id".to_owned(), source.id().to_owned()),
        ("duration_ns".to_owned(), source.duration_ns().to_string()),
        ("encoder".to_owned(), source.encoder()),
        ("anchor_labels".to_owned(), labels.to_owned()),
        (
            "tiers".to_owned(),
            names(Tier::ALL.iter().map(|t| t.name()).collect()),
        ),
        (
            "reasons".to_owned(),
            names(Reason::ALL.iter().map(|r| r.name()).collect()),
        ),
    ];
    // Through a value with sorted keys, so that the same file gives the same bytes.
    let header = serde_json::to_value(Metadata::new(Some(about.into_iter().collect()), tensors)?)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    Ok(header)
}
