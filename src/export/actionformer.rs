//! ActionFormer's `VIDEO_ID.npz` and `VIDEO_ID.npy`: frames on an even time grid, as its loaders read them.
//!
//! They put the middle of cell k at `(k * feat_stride + num_frames / 2) / default_fps` seconds. With milliseconds as frames
//! (`default_fps: 1000`) and both others equal to the stride, it is the middle of our cell, which lasts from k to k + 1 strides.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use anyhow::bail;
use gstearmark::h5::Tables;
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::clip_grid::ClipGrid;
use super::npy::{Kind, header, seconds};
use super::source::{Source, bytes};
use super::{Job, Written};
use crate::cli::{Fill, Loader};
use crate::terminal::grouped;

/// ActionFormer's `default_fps`: its frame is one millisecond.
const FPS: u32 = 1000;

/// The grid.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) stride_ms: u32,
    pub(super) fill: Fill,
    pub(super) loader: Loader,
    /// Whether a stride was asked for; else a grid of clips keeps its own.
    pub(super) is_asked: bool,
}

/// What ActionFormer must know for correct times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timing {
    feat_stride: f64,
    num_frames: f64,
    default_fps: f64,
}

impl Grid {
    /// File extension of the loader.
    fn ending(self) -> &'static str {
        match self.loader {
            Loader::Epic => ".npz",
            Loader::Thumos | Loader::Anet | Loader::Ego4d => ".npy",
        }
    }
}

/// What ActionFormer's configuration must say for correct times.
fn section(folder: &str, dim: usize, grid: Grid, timing: Timing) -> String {
    let (ending, name) = (grid.ending(), grid.loader.name());
    let Timing {
        feat_stride,
        num_frames,
        default_fps,
    } = timing;
    // A path may hold anything; JSON's strings are YAML's, too.
    let folder = serde_json::Value::from(folder);
    format!(
        "# For ActionFormer's configuration. Its times are then the recording's. Yours to add: json_file, num_classes, the splits,\n\
         # and max_seq_len for the longest recording ({} ms are one step).\n\
         dataset_name: {name}\n\
         dataset:\n\
         \x20 feat_folder: {folder}\n\
         \x20 file_prefix: ~\n\
         \x20 file_ext: {ending}\n\
         \x20 input_dim: {dim}\n\
         \x20 feat_stride: {feat_stride}\n\
         \x20 num_frames: {num_frames}\n\
         \x20 default_fps: {default_fps}\n\
         \x20 downsample_rate: 1\n\
         \x20 force_upsampling: false\n",
        (feat_stride / default_fps * 1e3).round()
    )
}

/// A cell of the grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// The row of its frame.
    row: Option<usize>,
    /// Whether that frame was taken in this cell.
    valid: bool,
}

impl Cell {
    /// Whether its frame was taken in it.
    pub(super) fn is_valid(self) -> bool {
        self.valid
    }
}

pub(super) fn write(job: &Job<'_>, grid: Grid) -> anyhow::Result<Written> {
    let (mut all, mut valid) = (0_usize, 0_usize);
    let yaml = job.output.join("dataset.yaml");
    // Found before the first file is written.
    if !job.overwrite && yaml.symlink_metadata().is_ok() {
        bail!(
            "the output {} already exists; use --overwrite to replace it",
            yaml.display()
        );
    }
    let mut timings: Vec<(String, Timing)> = Vec::new();
    let files = job.each(&[grid.ending()], |source, files| {
        let tables = source.tables()?;
        let (cells, timing) = laid_out(source, &tables, grid);
        all += cells.len();
        valid += cells.iter().filter(|cell| cell.valid).count();
        if timings.iter().all(|(_, other)| *other != timing) {
            timings.push((source.id().into(), timing));
        }
        files.iter().try_for_each(|file| match grid.loader {
            Loader::Epic => one(source, &tables, &cells, timing, file),
            Loader::Thumos | Loader::Anet | Loader::Ego4d => plain(source, &cells, file),
        })
    })?;
    if let [(one, a), (other, b), ..] = &timings[..] {
        bail!(
            "{one} has rows every {} of {} frames a second, {other} every {} of {}: ActionFormer's configuration has one feat_stride and default_fps for all; export them separately, or with --stride-ms",
            a.feat_stride,
            a.default_fps,
            b.feat_stride,
            b.default_fps
        );
    }
    let own = even(grid);
    let timing = timings.first().map_or(own, |(_, timing)| *timing);
    let Timing {
        feat_stride,
        num_frames,
        default_fps,
    } = timing;
    let dim = job.sources.first().map_or(0, Source::dim);
    let folder = std::path::absolute(job.output).unwrap_or_else(|_| job.output.to_owned());
    let section = section(&folder.to_string_lossy(), dim, grid, timing);
    job.publish(std::slice::from_ref(&yaml), |opened| {
        Ok(opened
            .iter()
            .try_for_each(|mut file| file.write_all(section.as_bytes()))?)
    })?;
    let (what, taken) = match timing == own {
        true => ("cells", "frame"),
        false => ("rows of the file's own grid", "clip"),
    };
    Ok(Written {
        files,
        notes: vec![
            format!(
                "grid       {} {what} of {} ms, {} with a {taken}; the others hold {}",
                grouped(all as u64),
                (feat_stride / default_fps * 1e3).round(),
                grouped(valid as u64),
                match grid.fill {
                    Fill::Nearest => format!("the nearest {taken}"),
                    Fill::Zero => "zeros".into(),
                }
            ),
            format!(
                "dataset    {}: feat_stride: {feat_stride}, num_frames: {num_frames}, default_fps: {default_fps}, input_dim: {dim}, file_prefix: ~, file_ext: {}",
                yaml.display(),
                grid.ending()
            ),
        ],
        more: json!({
            "feat_stride": number(feat_stride), "num_frames": number(num_frames), "default_fps": number(default_fps), "input_dim": dim,
            "file_ext": grid.ending(), "loader": grid.loader.name(), "dataset_yaml": yaml.to_string_lossy(),
            "cells": all, "valid": valid,
        }),
    })
}

/// A number as JSON; whole where it is.
fn number(x: f64) -> serde_json::Value {
    match x.fract() == 0.0 {
        true => (x as i64).into(),
        false => x.into(),
    }
}

/// An even grid of time.
fn even(grid: Grid) -> Timing {
    Timing {
        feat_stride: grid.stride_ms.into(),
        num_frames: grid.stride_ms.into(),
        default_fps: FPS.into(),
    }
}

/// The cells of a file, and their times: its own grid of clips, unless another stride was asked for; else an even grid.
pub(super) fn laid_out(source: &Source, tables: &Tables, grid: Grid) -> (Vec<Cell>, Timing) {
    let own = ClipGrid::of(source, tables).filter(|_| !grid.is_asked);
    let Some(own) = own else {
        return (cells(tables, source.duration_ns(), grid), even(grid));
    };
    let rows = own.cells(tables, source.duration_ns());
    let there: Vec<usize> = (0..rows.len()).filter(|k| rows[*k].is_some()).collect();
    let nearest = |k: usize| {
        let after = there.partition_point(|other| *other < k);
        let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let beside = beside.filter_map(|n| there.get(n));
        rows[*beside.min_by_key(|other| other.abs_diff(k))?]
    };
    let cell = |k: usize| Cell {
        row: rows[k].or_else(|| nearest(k).filter(|_| grid.fill == Fill::Nearest)),
        valid: rows[k].is_some(),
    };
    let timing = Timing {
        feat_stride: own.feat_stride,
        num_frames: own.num_frames,
        default_fps: own.default_fps,
    };
    ((0..rows.len()).map(cell).collect(), timing)
}

/// Assigns rows to cells; rows ascend along the grid.
fn cells(tables: &Tables, duration_ns: i64, grid: Grid) -> Vec<Cell> {
    let stride = i64::from(grid.stride_ms) * 1_000_000;
    let pts = &tables.pts_ns;
    let last = pts.last().copied().unwrap_or(0).max(duration_ns - 1).max(0);
    let middle = |cell: i64| cell * stride + stride / 2;
    let mut cells = Vec::new();
    let mut next = 0;
    for cell in 0..=last / stride {
        // A frame before the start belongs to the first cell.
        let first = next;
        while next < pts.len() && pts[next] < (cell + 1) * stride {
            next += 1;
        }
        let far = |row: &usize| (pts[*row] - middle(cell)).abs();
        let taken = (first..next).min_by_key(|row| {
            let tokens = tables.tokens.get(*row).copied().unwrap_or(0);
            (std::cmp::Reverse(tokens), far(row))
        });
        let nearest = || {
            let beside = [next.checked_sub(1), Some(next)];
            let there = beside.into_iter().flatten().filter(|row| *row < pts.len());
            there.min_by_key(far).filter(|_| grid.fill == Fill::Nearest)
        };
        cells.push(Cell {
            row: taken.or_else(nearest),
            valid: taken.is_some(),
        });
    }
    cells
}

/// Quality of the frame of each cell: of the sound, of the frame, of both; NaN in a cell without a frame.
pub(super) fn cell_scores(
    source: &Source,
    tables: &Tables,
    cells: &[Cell],
) -> anyhow::Result<Vec<[f32; 3]>> {
    let scores = source.frame_scores(tables)?;
    let of = |cell: &Cell| cell.row.map_or([f32::NAN; 3], |row| scores[row]);
    Ok(cells.iter().map(of).collect())
}

fn one(
    source: &Source,
    tables: &Tables,
    cells: &[Cell],
    timing: Timing,
    file: &File,
) -> anyhow::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(file));
    let rows: Vec<i64> = cells
        .iter()
        .map(|cell| cell.row.map_or(-1, |row| row as i64))
        .collect();
    let shown = seconds(&tables.pts_ns);
    let pts: Vec<f64> = cells
        .iter()
        .map(|cell| cell.row.map_or(f64::NAN, |row| shown[row]))
        .collect();
    let Timing {
        feat_stride,
        num_frames,
        default_fps,
    } = timing;
    let middles: Vec<f64> = (0..cells.len())
        .map(|k| (k as f64 * feat_stride + 0.5 * num_frames) / default_fps)
        .collect();
    let quality = cell_scores(source, tables, cells)?;
    let valid: Vec<bool> = cells.iter().map(|cell| cell.valid).collect();
    let count = [cells.len()];
    array(
        &mut zip,
        Kind::Bool,
        "valid",
        &count,
        &bytes(&valid, |v| [u8::from(v)]),
    )?;
    array(
        &mut zip,
        Kind::I64,
        "row",
        &count,
        &bytes(&rows, i64::to_le_bytes),
    )?;
    array(
        &mut zip,
        Kind::F64,
        "times_s",
        &count,
        &bytes(&middles, f64::to_le_bytes),
    )?;
    array(
        &mut zip,
        Kind::F64,
        "pts_s",
        &count,
        &bytes(&pts, f64::to_le_bytes),
    )?;
    array(
        &mut zip,
        Kind::F32,
        "quality",
        &[cells.len(), 3],
        &bytes(&quality.concat(), f32::to_le_bytes),
    )?;
    for (name, x) in [
        ("feat_stride", feat_stride),
        ("num_frames", num_frames),
        ("default_fps", default_fps),
    ] {
        let (kind, bytes) = match x.fract() == 0.0 {
            true => (Kind::I64, (x as i64).to_le_bytes()),
            false => (Kind::F64, x.to_le_bytes()),
        };
        array(&mut zip, kind, name, &[], &bytes)?;
    }
    array(
        &mut zip,
        Kind::F32,
        "feats",
        &[cells.len(), source.dim()],
        &[],
    )?;
    grid_rows(source, cells, &mut zip)?;
    Ok(zip.finish()?.flush()?)
}

/// A plain array `[T, D]`, as the loaders of THUMOS14, ActivityNet and Ego4D read it.
fn plain(source: &Source, cells: &[Cell], file: &File) -> anyhow::Result<()> {
    let mut file = BufWriter::new(file);
    header(&mut file, Kind::F32, &[cells.len(), source.dim()])?;
    grid_rows(source, cells, &mut file)?;
    Ok(file.flush()?)
}

/// The features of every cell.
pub(super) fn grid_rows(
    source: &Source,
    cells: &[Cell],
    to: &mut impl Write,
) -> anyhow::Result<()> {
    let mut features = source.rows()?;
    let nothing = vec![0; 4 * source.dim()];
    for cell in cells {
        match cell.row {
            None => to.write_all(&nothing)?,
            Some(row) => to.write_all(&bytes(features.get(row)?, f32::to_le_bytes))?,
        }
    }
    Ok(())
}

/// Starts an array in the archive and writes its header.
fn array(
    zip: &mut ZipWriter<impl Write + Seek>,
    kind: Kind,
    name: &str,
    shape: &[usize],
    data: &[u8],
) -> anyhow::Result<()> {
    // Uncompressed, like `numpy.savez`; arrays may exceed 4 GiB.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true);
    zip.start_file(format!("{name}.npy"), options)?;
    header(&mut *zip, kind, shape)?;
    Ok(zip.write_all(data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(pts_ms: &[i64], tokens: &[u32], fill: Fill) -> Vec<(Option<usize>, bool)> {
        let tables = Tables {
            pts_ns: pts_ms.iter().map(|ms| ms * 1_000_000).collect(),
            tokens: tokens.into(),
            ..Tables::default()
        };
        let grid = Grid {
            stride_ms: 500,
            fill,
            loader: Loader::Epic,
            is_asked: false,
        };
        cells(&tables, 3_000_000_000, grid)
            .iter()
            .map(|cell| (cell.row, cell.valid))
            .collect()
    }

    #[test]
    fn a_cell_holds_its_dearest_frame_and_an_empty_one_the_nearest() {
        // 0: 0 and 250 ms; 1: empty; 2: 1000 (dear) and 1260; 3 and 4: empty; 5: 2990.
        let pts = [0, 250, 1000, 1260, 2990];
        let tokens = [49, 49, 784, 49, 49];
        assert_eq!(
            grid(&pts, &tokens, Fill::Nearest),
            [
                (Some(1), true),
                (Some(2), false),
                (Some(2), true),
                (Some(3), false),
                (Some(4), false),
                (Some(4), true),
            ]
        );
        let zeros = grid(&pts, &tokens, Fill::Zero);
        assert_eq!((zeros[1], zeros[2]), ((None, false), (Some(2), true)));
    }

    #[test]
    fn the_grid_reaches_to_the_end_of_recording_and_frames() {
        assert_eq!(grid(&[100], &[49], Fill::Zero).len(), 6);
        assert_eq!(grid(&[100, 3000], &[49, 49], Fill::Zero).len(), 7);
        assert_eq!(grid(&[-20], &[49], Fill::Zero)[0], (Some(0), true));
    }
}
