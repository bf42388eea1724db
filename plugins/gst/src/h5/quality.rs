//! The columns of `/frames/quality` and `/cues/quality`.

use anchoring::cue::SoundQuality;
use half::f16;

use super::H5Error;
use super::output::{Append, Column, Output, Shape};
use crate::frame_quality::FrameQuality;

/// The groups' names.
pub(super) const FRAMES: &str = "frames/quality";
pub(super) const CUES: &str = "cues/quality";
/// The column of the score.
pub(super) const SCORE: &str = "score";
const UNITS: &str = "quality, 1 is best";

/// Quality of frames: a column for each measure, and the score.
pub(super) struct FrameColumns {
    measures: [Column<f32>; FrameQuality::NAMES.len()],
    score: Column<f32>,
}

impl FrameColumns {
    /// `chunk`: rows a chunk.
    pub(super) fn create(output: &mut Output, chunk: usize) -> Result<Self, H5Error> {
        let table = output.table(FRAMES, "frame")?;
        let digests = &mut output.digests;
        let mut column = |name| {
            let shape = Shape {
                name,
                units: UNITS,
                wide: None,
                chunk,
                gzip: false,
            };
            table.column(&shape, digests)
        };
        let [a, b, c, d, e, f] = FrameQuality::NAMES;
        Ok(Self {
            measures: [
                column(a)?,
                column(b)?,
                column(c)?,
                column(d)?,
                column(e)?,
                column(f)?,
            ],
            score: column(SCORE)?,
        })
    }

    pub(super) fn push(&mut self, quality: &FrameQuality) {
        for (column, value) in self.measures.iter_mut().zip(quality.values()) {
            column.push(value);
        }
        self.score.push(quality.score());
    }

    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut dyn Append> {
        let all = self.measures.iter_mut().chain([&mut self.score]);
        all.map(|column| column as &mut dyn Append)
    }
}

/// Quality of the sound: a column for each measure, and the score; NaN if unknown.
pub(super) struct CueColumns(Vec<Column<f16>>);

impl CueColumns {
    /// `chunk`: rows a chunk.
    pub(super) fn create(output: &mut Output, chunk: usize) -> Result<Self, H5Error> {
        let table = output.table(CUES, "hop")?;
        let digests = &mut output.digests;
        let names = SoundQuality::NAMES.into_iter().chain([SCORE]);
        let column = |name| {
            let shape = Shape {
                name,
                units: UNITS,
                wide: None,
                chunk,
                // They change slowly.
                gzip: true,
            };
            table.column(&shape, digests)
        };
        Ok(Self(names.map(column).collect::<Result<_, _>>()?))
    }

    pub(super) fn push(&mut self, quality: Option<SoundQuality>) {
        let values = quality.map(|quality| (quality.shares(), quality.score()));
        let (shares, score) = values.unwrap_or(([f32::NAN; SoundQuality::MEASURES], f32::NAN));
        let values = shares.into_iter().chain([score]);
        for (column, value) in self.0.iter_mut().zip(values) {
            column.push(f16::from_f32(value));
        }
    }

    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut dyn Append> {
        self.0.iter_mut().map(|column| column as &mut dyn Append)
    }
}
