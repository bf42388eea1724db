//! One file of many: every recording's tables as they are, in a group of its own.

use std::path::Path;

use half::f16;

use super::{
    Append, Bytes, Cell, Column, Dataset, Error, FloatSize, Group, H5Error, IntSize, Output,
    Reading, ReasonCode, Shape, Table, Text, TierCode, TypeDescriptor, failed, put,
};
use crate::featuresink::partial::Partial;

/// The `schema` attribute of a file of many recordings.
pub const MERGED: &str = "earmark-merged/1";

/// The groups that are copied, and what their leading axis counts.
const GROUPS: [(&str, &str); 3] = [("frames", "frame"), ("anchors", "anchor"), ("cues", "hop")];

/// Rows of a chunk where a dataset has none.
const CHUNK_ROWS: usize = 1024;

/// A file of many recordings being written: `/<video_id>/frames/features` and so on, each with its units and axes; what was a root
/// attribute is one of the recording's group. Unless it is finished, dropping it leaves nothing behind.
pub struct Merger {
    // Dropped in this order: HDF5 lets go of the file before it is taken away.
    output: Output,
    partial: Partial,
}

impl Merger {
    /// Starts a file that will be `target`.
    ///
    /// # Errors
    /// There is no place for it, or the disk is full.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, H5Error> {
        let partial = Partial::claim(target, overwrite)?;
        let output = Output::create(partial.path())?;
        output.put_text("schema", MERGED)?;
        output.put("complete", &false)?;
        Ok(Self { output, partial })
    }

    /// Copies a feature file into the group `video_id`, which must be new and hold no `/`.
    ///
    /// # Errors
    /// The file cannot be read, or the disk is full.
    pub fn add(&mut self, from: &Path, video_id: &str) -> Result<(), H5Error> {
        let file = Reading::open(from)?;
        let write = |e: Error| failed(&self.output.path, &e);
        let group = self.output.file.create_group(video_id).map_err(write)?;
        copy_attributes(&file, &group)?;
        for (name, axis) in GROUPS {
            let table = Table {
                group: group.create_group(name).map_err(write)?,
                axis,
                path: self.output.path.clone(),
            };
            for column in file.columns_of(name) {
                copy_column(&file, &format!("{name}/{column}"), &column, &table)?;
            }
        }
        self.output.flush()
    }

    /// Says that the file is complete, and gives it its name.
    ///
    /// # Errors
    /// The disk is full, or the target has appeared meanwhile.
    pub fn finish(self) -> Result<(), H5Error> {
        self.output.put("complete", &true)?;
        let Self { output, partial } = self;
        output.flush()?;
        output.close()?;
        Ok(partial.commit()?)
    }
}

/// Attributes are texts, whole numbers and truth values.
fn copy_attributes(file: &Reading, to: &Group) -> Result<(), H5Error> {
    for name in file.file.attr_names().unwrap_or_default() {
        let copied =
            file.file
                .attr(&name)
                .and_then(|from| match from.dtype()?.to_descriptor()? {
                    TypeDescriptor::Boolean => put(to, &name, &from.read_scalar::<bool>()?),
                    TypeDescriptor::Integer(_) => put(to, &name, &from.read_scalar::<i64>()?),
                    TypeDescriptor::Unsigned(_) => put(to, &name, &from.read_scalar::<u64>()?),
                    _ => put(to, &name, &from.read_scalar::<Text>()?),
                });
        copied.map_err(|e| file.foreign(&name, &e))?;
    }
    Ok(())
}

/// Copies a dataset by what it holds.
fn copy_column(file: &Reading, from: &str, name: &str, to: &Table) -> Result<(), H5Error> {
    let foreign = |e: Error| file.foreign(from, &e);
    let dataset = file.file.dataset(from).map_err(foreign)?;
    let kind = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
    let copy = match (name, kind.map_err(foreign)?) {
        ("tier", _) => copy::<TierCode>,
        ("reason", _) => copy::<ReasonCode>,
        (_, TypeDescriptor::Float(FloatSize::U2)) => copy::<f16>,
        (_, TypeDescriptor::Float(FloatSize::U4)) => copy::<f32>,
        (_, TypeDescriptor::Integer(IntSize::U4)) => copy::<i32>,
        (_, TypeDescriptor::Integer(IntSize::U8)) => copy::<i64>,
        (_, TypeDescriptor::Unsigned(IntSize::U1)) => copy::<u8>,
        (_, TypeDescriptor::Unsigned(IntSize::U2)) => copy::<u16>,
        (_, TypeDescriptor::Unsigned(IntSize::U4)) => copy::<u32>,
        (_, TypeDescriptor::VarLenUnicode) => copy::<Text>,
        (_, TypeDescriptor::VarLenArray(_)) => copy::<Bytes>,
        (_, other) => {
            return Err(foreign(Error::from(format!("it holds {other}"))));
        }
    };
    copy(file, &dataset, name, to)
}

/// Copies a dataset a chunk at a time, with its units, axes, chunks and whether it is compressed.
fn copy<T: Cell>(file: &Reading, from: &Dataset, name: &str, to: &Table) -> Result<(), H5Error> {
    let foreign = |e: Error| file.foreign(name, &e);
    let shape = from.shape();
    let (rows, width) = (shape.first().copied().unwrap_or(0), shape.get(1).copied());
    let said = |name: &str| from.attr(name).and_then(|a| a.read_scalar::<Text>());
    let (units, axes) = (
        said("units").map_err(foreign)?,
        said("axes").map_err(foreign)?,
    );
    let chunk = from.chunk().and_then(|chunk| chunk.first().copied());
    let chunk = chunk.unwrap_or(CHUNK_ROWS).max(1);
    let across = axes.as_str().split(", ").nth(1).unwrap_or_default();
    let mut column: Column<T> = to.column(&Shape {
        name,
        units: units.as_str(),
        wide: width.map(|width| (width, across)),
        chunk,
        gzip: !from.filters().is_empty(),
    })?;
    for at in (0..rows).step_by(chunk) {
        let some = at..(at + chunk).min(rows);
        let block = match width {
            None => from
                .read_slice_1d::<T, _>(some)
                .map(|a| a.into_iter().collect()),
            Some(_) => from
                .read_slice_2d::<T, _>((some, ..))
                .map(|a| a.into_iter().collect()),
        };
        column.waiting = block.map_err(foreign)?;
        column.append().map_err(|e| failed(&to.path, &e))?;
    }
    Ok(())
}
