//! NumPy: `VIDEO_ID.npy`, f32 [N, D]; `VIDEO_ID.times.npy`, f64 [N], seconds in the recording; `VIDEO_ID.quality.npy`, f32 [N, 3]: of the sound,
//! of the frame and of both; of clips `VIDEO_ID.frames.npy`, f64 [N, T], too: the time of each frame, NaN where there is none.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anchoring::plan::NO_FRAME;
use serde_json::Value;

use super::source::{Source, TOGETHER, bytes};
use super::{Job, Written};

/// Magic bytes of version 1.0.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// Data starts at a multiple of this.
const ALIGNED: usize = 64;

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    let mut has_clips = false;
    for source in job.sources {
        has_clips |= source.tables()?.clips.is_some();
        source.done();
    }
    // Features are published last: where they are, the others are, too.
    let endings = [".times.npy", ".quality.npy", ".frames.npy", ".npy"];
    let endings = endings
        .iter()
        .filter(|ending| has_clips || **ending != ".frames.npy");
    let files = job.each(
        &endings.copied().collect::<Vec<_>>(),
        |source, files| match files {
            [times, quality, features] => one(source, [times, quality, features], None),
            [times, quality, frames, features] => {
                one(source, [times, quality, features], Some(frames))
            }
            _ => Ok(()),
        },
    )?;
    let mut notes = vec![
        "times      VIDEO_ID.times.npy, seconds".into(),
        "quality    VIDEO_ID.quality.npy: of the sound, of the frame, of both".into(),
    ];
    if has_clips {
        notes.push("frames     VIDEO_ID.frames.npy, seconds: those of each clip".into());
    }
    Ok(Written {
        files,
        notes,
        more: Value::Null,
    })
}

fn one(
    source: &Source,
    [times, quality, features]: [&File; 3],
    frames: Option<&File>,
) -> anyhow::Result<()> {
    let tables = source.tables()?;
    let array = |to: &File, shape: &[usize], numbers: &[f64]| -> io::Result<()> {
        let mut to = BufWriter::new(to);
        header(&mut to, Kind::F64, shape)?;
        to.write_all(&bytes(numbers, f64::to_le_bytes))?;
        to.flush()
    };
    let rows = tables.pts_ns.len();
    array(times, &[rows], &seconds(&tables.pts_ns))?;
    let scores = source.frame_scores(&tables)?.concat();
    let mut quality = BufWriter::new(quality);
    header(&mut quality, Kind::F32, &[rows, 3])?;
    quality.write_all(&bytes(&scores, f32::to_le_bytes))?;
    quality.flush()?;
    if let Some(frames) = frames {
        let clips = tables.clips.unwrap_or_default();
        let mut shown = seconds(&clips.frame_pts_ns);
        for (shown, ns) in shown.iter_mut().zip(&clips.frame_pts_ns) {
            if *ns == NO_FRAME.get() {
                *shown = f64::NAN;
            }
        }
        array(frames, &[clips.start_ns.len(), clips.frames], &shown)?;
    }
    let mut features = BufWriter::new(features);
    header(&mut features, Kind::F32, &[source.frames(), source.dim()])?;
    source.blocks(TOGETHER, |_, block| {
        Ok(features.write_all(&bytes(block, f32::to_le_bytes))?)
    })?;
    Ok(features.flush()?)
}

/// Element type of an array.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bool,
    I64,
    F32,
    F64,
}

/// The header of NumPy's version 1.0; data follows in C order, little-endian.
pub(super) fn header(mut to: impl Write, kind: Kind, shape: &[usize]) -> io::Result<()> {
    let kind = match kind {
        Kind::Bool => "|b1",
        Kind::I64 => "<i8",
        Kind::F32 => "<f4",
        Kind::F64 => "<f8",
    };
    // A tuple of one needs a comma.
    let shape: String = shape.iter().map(|n| format!("{n},")).collect();
    let about = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + size_of::<u16>();
    let whole = (before + about.len() + 1).next_multiple_of(ALIGNED);
    let length = whole - before;
    to.write_all(MAGIC)?;
    to.write_all(&(length as u16).to_le_bytes())?;
    writeln!(to, "{about:<width$}", width = length - 1)
}

pub(super) fn seconds(ns: &[i64]) -> Vec<f64> {
    ns.iter().map(|ns| *ns as f64 / 1e9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_line_of_64_bytes_or_a_multiple() {
        for (shape, tuple) in [
            (&[][..], "()"),
            (&[3], "(3,)"),
            (&[1_000_000, 1_280], "(1000000,1280,)"),
        ] {
            let mut head = Vec::new();
            header(&mut head, Kind::F32, shape).unwrap();
            assert_eq!(head.len() % ALIGNED, 0);
            assert_eq!(
                usize::from(head[8]) + 256 * usize::from(head[9]),
                head.len() - 10
            );
            let text = String::from_utf8(head[10..].to_vec()).unwrap();
            assert!(text.contains(tuple) && text.ends_with(" \n"), "{text:?}");
        }
    }
}
