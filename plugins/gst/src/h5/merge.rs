//! Merges many feature files into one, with a group for each recording.

use std::path::Path;

use half::f16;

use super::output::{Append, Cell, Column, Digests, Output, Shape, Table};
use super::read::planned;
use super::reading::Reading;
use super::value::{self, Label};
use super::{
    Dataset, Error, FloatSize, H5Error, H5Type, IntSize, OldReasonCode, ReasonCode, TierCode,
    TypeDescriptor, failed, quality,
};
use crate::atomic_file::Partial;

/// The `schema` attribute of a file of many recordings.
pub const MERGED: &str = "earmark-merged/2";

/// The groups to copy, and the name of their leading axis.
const GROUPS: [(&str, &str); 9] = [
    (super::tables::CLIPS, "frame"),
    ("frames", "frame"),
    (quality::FRAMES, "frame"),
    ("anchors", "anchor"),
    ("candidates", "candidate"),
    (super::events::GROUP, "event"),
    ("cues", "hop"),
    (quality::CUES, "hop"),
    ("thumbnails", "byte"),
];

/// Rows per chunk where a dataset is not chunked.
const CHUNK_ROWS: usize = 1024;

/// A file of many recordings being written: `/<video_id>/frames/features` and so on, with units and axes. Root attributes of a recording
/// become attributes of its group. Dropping it removes the file, unless it is finished.
pub struct Merger {
    // Dropped in this order: HDF5 closes the file before it is removed.
    output: Output,
    partial: Partial,
}

impl Merger {
    /// Starts the file of `target`.
    ///
    /// # Errors
    /// The output cannot be written, or the disk is full.
    pub fn create(target: &Path, overwrite: bool) -> Result<Self, H5Error> {
        let partial = Partial::claim(target, overwrite)?;
        let mut output = Output::create(partial.path())?;
        output.put("schema", MERGED)?;
        output.put("complete", false)?;
        // The recordings' digests come first.
        output.next();
        Ok(Self { output, partial })
    }

    /// Copies a feature file into the group `video_id`, which must be new and hold no `/`.
    ///
    /// # Errors
    /// The file cannot be read, or the disk is full.
    pub fn add(&mut self, from: &Path, video_id: &str) -> Result<(), H5Error> {
        let file = Reading::open(from)?;
        let path = self.output.path.clone();
        let write = |e: Error| failed(&path, &e);
        let group = self.output.file.create_group(video_id).map_err(write)?;
        for name in file.file.attr_names().unwrap_or_default() {
            // The copy gets its own.
            if ["digests", "sha256"].contains(&name.as_str()) {
                continue;
            }
            let value = value::get(&file.file, &name).map_err(|e| file.foreign(&name, &e))?;
            self.output.put_at(&group, &name, &value)?;
        }
        let mut columns = Vec::new();
        for (name, axis) in GROUPS {
            let names = file.columns_of(name);
            if names.is_empty() {
                continue;
            }
            let table = Table {
                group: group.create_group(name).map_err(write)?,
                name: name.into(),
                axis,
                path: path.clone(),
            };
            for column in names {
                let from = format!("{name}/{column}");
                let column = match from == planned(&file) {
                    true => "planned_ns".into(),
                    false => column,
                };
                let digests = &mut self.output.digests;
                columns.push(copy_column(&file, &from, &column, &table, digests)?);
            }
        }
        // Chunks have addresses only after a flush.
        self.output.flush()?;
        let all = columns
            .iter_mut()
            .map(|column| column.as_mut() as &mut dyn Append);
        self.output.note(all)?;
        self.output.note_texts()?;
        self.output.put_digests(&group)?;
        self.output.next();
        self.output.flush()
    }

    /// Marks the file as complete and gives it its name.
    ///
    /// # Errors
    /// The disk is full, or the target has appeared meanwhile.
    pub fn finish(self) -> Result<(), H5Error> {
        let Self {
            mut output,
            partial,
        } = self;
        output.digests.attribute("schema", &MERGED.into());
        output.digests.attribute("complete", &true.into());
        output.put_digests(&output.root())?;
        output.flush()?;
        output.put("complete", true)?;
        output.flush()?;
        output.seal(&partial)?;
        Ok(partial.commit()?)
    }
}

/// Copies a dataset of any type.
fn copy_column(
    file: &Reading,
    from: &str,
    name: &str,
    to: &Table,
    digests: &mut Digests,
) -> Result<Box<dyn Append>, H5Error> {
    let foreign = |e: Error| file.foreign(from, &e);
    let dataset = file.dataset(from)?;
    let kind = dataset.dtype().and_then(|dtype| dtype.to_descriptor());
    let copy = match (name, kind.map_err(foreign)?) {
        ("tier", _) => copy::<TierCode, TierCode>,
        ("reason", _) if file.is_old() => copy::<OldReasonCode, ReasonCode>,
        ("reason", _) => copy::<ReasonCode, ReasonCode>,
        (_, TypeDescriptor::Float(FloatSize::U2)) => copy::<f16, f16>,
        (_, TypeDescriptor::Float(FloatSize::U4)) => copy::<f32, f32>,
        (_, TypeDescriptor::Integer(IntSize::U4)) => copy::<i32, i32>,
        (_, TypeDescriptor::Integer(IntSize::U8)) => copy::<i64, i64>,
        (_, TypeDescriptor::Unsigned(IntSize::U1)) => copy::<u8, u8>,
        (_, TypeDescriptor::Unsigned(IntSize::U2)) => copy::<u16, u16>,
        (_, TypeDescriptor::Unsigned(IntSize::U4)) => copy::<u32, u32>,
        (_, TypeDescriptor::Unsigned(IntSize::U8)) => copy::<u64, u64>,
        (_, TypeDescriptor::FixedUnicode(value::LABEL)) => copy::<Label, Label>,
        (_, other) => {
            return Err(foreign(Error::from(format!("its type is {other}"))));
        }
    };
    copy(file, &dataset, name, to, digests)
}

/// Copies a dataset chunk by chunk, with units, axes, chunking and compression.
fn copy<F: H5Type, T: Cell + From<F> + 'static>(
    file: &Reading,
    from: &Dataset,
    name: &str,
    to: &Table,
    digests: &mut Digests,
) -> Result<Box<dyn Append>, H5Error> {
    let foreign = |e: Error| file.foreign(name, &e);
    let shape = from.shape();
    let (rows, width) = (shape.first().copied().unwrap_or(0), shape.get(1).copied());
    let units = value::text_of(from, "units").map_err(foreign)?;
    let axes = value::text_of(from, "axes").map_err(foreign)?;
    let chunk = from.chunk().and_then(|chunk| chunk.first().copied());
    let chunk = chunk.unwrap_or(CHUNK_ROWS).max(1);
    let across = axes.split(", ").nth(1).unwrap_or_default();
    let mut column: Column<T> = to.column(
        &Shape {
            name,
            units: &units,
            wide: width.map(|width| (width, across)),
            chunk,
            // The checksum is one filter.
            gzip: from.filters().len() > 1,
        },
        digests,
    )?;
    for at in (0..rows).step_by(chunk) {
        let some = at..(at + chunk).min(rows);
        let block = match width {
            None => from
                .read_slice_1d::<F, _>(some)
                .map(|a| a.into_iter().map(T::from).collect()),
            Some(_) => from
                .read_slice_2d::<F, _>((some, ..))
                .map(|a| a.into_iter().map(T::from).collect()),
        };
        column.waiting = block.map_err(foreign)?;
        column.append().map_err(|e| failed(&to.path, &e))?;
    }
    Ok(Box::new(column))
}
