//! PyTorch: `VIDEO_ID.pt`, a tensor `[T, D]` of 32-bit floats as Ego4D's published features have it, and `VIDEO_ID.quality.pt` `[T, 3]`: of the
//! sound, of the frame, of both. `torch.load` reads them; no torch is needed to write them.
//!
//! The file is what `torch.save` writes: an archive with a pickle that builds the tensor, and its bytes.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::actionformer::{Grid, cell_scores, grid_rows, laid_out};
use super::source::bytes;
use super::{Job, Written};
use crate::terminal::grouped;

/// Tensors begin at a multiple of this, as in PyTorch's own files: then they can be mapped into memory.
const ALIGNED: u16 = 64;

pub(super) fn write(job: &Job<'_>, grid: Grid) -> anyhow::Result<Written> {
    let (mut all, mut valid) = (0_usize, 0_usize);
    let files = job.each(&[".quality.pt", ".pt"], |source, files| {
        let tables = source.tables()?;
        let (cells, _) = laid_out(source, &tables, grid);
        all += cells.len();
        valid += cells.iter().filter(|cell| cell.is_valid()).count();
        let [quality, features] = files else {
            anyhow::bail!("{} files for two tensors", files.len());
        };
        let scores = cell_scores(source, &tables, &cells)?;
        tensor(quality, [cells.len(), 3], |to| {
            Ok(to.write_all(&bytes(&scores.concat(), f32::to_le_bytes))?)
        })?;
        tensor(features, [cells.len(), source.dim()], |to| {
            grid_rows(source, &cells, to)
        })
    })?;
    Ok(Written {
        files,
        notes: vec![
            format!(
                "tensors    VIDEO_ID.pt [T, D]: {} rows together, {} with a frame or clip of their own",
                grouped(all as u64),
                grouped(valid as u64)
            ),
            "quality    VIDEO_ID.quality.pt [T, 3]: of the sound, of the frame, of both".into(),
        ],
        more: json!({ "cells": all, "valid": valid }),
    })
}

/// Writes a tensor whose numbers `data` writes.
fn tensor(
    file: &File,
    shape: [usize; 2],
    data: impl FnOnce(&mut ZipWriter<BufWriter<&File>>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let large = 4 * shape[0] as u64 * shape[1] as u64 >= u64::from(u32::MAX);
    // Uncompressed: PyTorch reads it at its place.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .with_alignment(ALIGNED);
    for (name, content) in [
        ("archive/data.pkl", &pickle(shape)[..]),
        ("archive/byteorder", &b"little"[..]),
    ] {
        zip.start_file(name, options)?;
        zip.write_all(content)?;
    }
    zip.start_file("archive/data/0", options.large_file(large))?;
    data(&mut zip)?;
    zip.start_file("archive/version", options)?;
    zip.write_all(b"3\n")?;
    Ok(zip.finish()?.flush()?)
}

/// The pickle of a contiguous tensor of 32-bit floats: `_rebuild_tensor_v2(storage 0, offset 0, shape, strides, no gradient, no hooks)`.
fn pickle([rows, dim]: [usize; 2]) -> Vec<u8> {
    let mut p = vec![0x80, 2];
    p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(&mut p, "storage");
    p.extend(b"ctorch\nFloatStorage\n");
    text(&mut p, "0");
    text(&mut p, "cpu");
    number(&mut p, rows * dim);
    // The storage is a persistent object; its offset.
    p.extend(b"tQ");
    number(&mut p, 0);
    for (a, b) in [(rows, dim), (dim, 1)] {
        number(&mut p, a);
        number(&mut p, b);
        // A pair.
        p.push(0x86);
    }
    // False; an empty dictionary of hooks; the call; the end.
    p.push(0x89);
    p.extend(b"ccollections\nOrderedDict\n)RtR.");
    p
}

fn text(p: &mut Vec<u8>, text: &str) {
    p.push(b'X');
    p.extend((text.len() as u32).to_le_bytes());
    p.extend(text.as_bytes());
}

/// `LONG1`: a signed number of eight bytes.
fn number(p: &mut Vec<u8>, n: usize) {
    p.extend([0x8a, 8]);
    p.extend((n as i64).to_le_bytes());
}
