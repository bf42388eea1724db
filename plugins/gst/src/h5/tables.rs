//! The columns of a feature file, and how rows fill them.

use anchoring::cue::{COARSE, Cue, TOP};
use anchoring::plan::{Anchor, Untaken};
use half::f16;

use super::output::{Append, Column, Output, Shape};
use super::quality::{CueColumns, FrameColumns};
use super::value::{Label, label};
use super::{H5Error, NO_CLASS, Opening, Precision, ReasonCode, Row, TierCode};

/// The group of what clips cover.
pub(super) const CLIPS: &str = "clips";
/// Rows per chunk, except in `/frames/features`.
pub(super) const CHUNK_ROWS: usize = 1024;
/// Frames that wait in memory before they are written and flushed: one chunk of `/frames/features`, so that each is compressed once.
pub(super) const ROUND: usize = 64;
/// Bytes per chunk of JPEGs: the size of the cache. Not less, as HDF5 1.10 takes quadratic time to list chunks.
const CHUNK_BYTES: usize = 128 << 10;

/// Features in either precision.
enum Features {
    F32(Column<f32>),
    F16(Column<f16>),
}

pub(super) struct Frames {
    features: Features,
    pub(super) pts_ns: Column<i64>,
    planned_ns: Column<i64>,
    asked_ns: Column<i64>,
    tier: Column<TierCode>,
    reason: Column<ReasonCode>,
    tokens: Column<u32>,
    anchor: Column<i32>,
    pub(super) thumbnails: Option<Thumbnails>,
    quality: Option<FrameColumns>,
    clips: Option<ClipColumns>,
}

/// What clips cover, row by row as in `/frames`.
struct ClipColumns {
    start_ns: Column<i64>,
    stop_ns: Column<i64>,
    frame_pts_ns: Column<i64>,
}

/// Small JPEGs, one after another, and where each ends.
pub(super) struct Thumbnails {
    stop: Column<u64>,
    jpeg: Column<u8>,
    bytes: u64,
}

pub(super) struct Anchors {
    pub(super) onset_ns: Column<i64>,
    start_ns: Column<i64>,
    stop_ns: Column<i64>,
    score: Column<f32>,
    uncertainty: Column<f32>,
    class_id: Column<i32>,
    label: Column<Label>,
}

/// Candidates that were not taken.
pub(super) struct Candidates {
    pub(super) onset_ns: Column<i64>,
    score: Column<f32>,
    more_tokens: Column<i64>,
}

pub(super) struct Cues {
    pub(super) pts_ns: Column<i64>,
    eventness: Column<f32>,
    uncertainty: Column<f32>,
    speech: Column<f32>,
    class_id: Column<u16>,
    class_p: Column<f16>,
    bands: Option<Column<u8>>,
    change: Option<Column<f32>>,
    quality: Option<CueColumns>,
}

/// Which columns of `/cues` there are that files of older versions lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct CueParts {
    pub(super) bands: bool,
    pub(super) change: bool,
}

impl CueParts {
    pub(super) const ALL: Self = Self {
        bands: true,
        change: true,
    };
}

/// A column of one number per row.
fn plain<'a>(name: &'a str, units: &'a str) -> Shape<'a> {
    Shape {
        name,
        units,
        wide: None,
        chunk: CHUNK_ROWS,
        gzip: false,
    }
}

impl Frames {
    pub(super) fn create(output: &mut Output, opening: &Opening) -> Result<Self, H5Error> {
        let table = output.table("frames", "frame")?;
        let digests = &mut output.digests;
        let (dim, precision) = (opening.dim, opening.precision);
        // Compressed: averages of rectified maps are mostly zeros, which saves half the space.
        let shape = Shape {
            wide: Some((dim, "feature")),
            chunk: ROUND,
            gzip: true,
            ..plain("features", "1")
        };
        let features = match precision {
            Precision::F32 => Features::F32(table.column(&shape, digests)?),
            Precision::F16 => Features::F16(table.column(&shape, digests)?),
        };
        let anchor = plain("anchor", "row of /anchors, -1 for none");
        let mut frames = Self {
            features,
            pts_ns: table.column(&plain("pts_ns", "ns"), digests)?,
            planned_ns: table.column(&plain("planned_ns", "ns"), digests)?,
            asked_ns: table.column(&plain("asked_ns", "ns"), digests)?,
            tier: table.column(&plain("tier", "tier"), digests)?,
            reason: table.column(&plain("reason", "reason"), digests)?,
            tokens: table.column(&plain("tokens", "token"), digests)?,
            anchor: table.column(&anchor, digests)?,
            thumbnails: None,
            quality: None,
            clips: None,
        };
        if opening.thumbnails {
            let stop = plain("thumbnail_stop", "byte of /thumbnails/jpeg");
            let stop = table.column(&stop, digests)?;
            let jpeg = Shape {
                chunk: CHUNK_BYTES,
                ..plain("jpeg", "JPEG")
            };
            let jpeg = output
                .table("thumbnails", "byte")?
                .column(&jpeg, &mut output.digests)?;
            frames.thumbnails = Some(Thumbnails {
                stop,
                jpeg,
                bytes: 0,
            });
        }
        if opening.clip_frames > 0 {
            let clips = output.table(CLIPS, "frame")?;
            let digests = &mut output.digests;
            let times = Shape {
                wide: Some((opening.clip_frames, "clip frame")),
                chunk: ROUND,
                gzip: true,
                ..plain("frame_pts_ns", "ns, -1 for no frame")
            };
            frames.clips = Some(ClipColumns {
                start_ns: clips.column(&plain("start_ns", "ns"), digests)?,
                stop_ns: clips.column(&plain("stop_ns", "ns"), digests)?,
                frame_pts_ns: clips.column(&times, digests)?,
            });
        }
        if opening.quality {
            frames.quality = Some(FrameColumns::create(output, CHUNK_ROWS)?);
        }
        Ok(frames)
    }

    pub(super) fn push(&mut self, row: &Row) {
        match &mut self.features {
            Features::F32(column) => column.waiting.extend_from_slice(&row.features),
            Features::F16(column) => column
                .waiting
                .extend(row.features.iter().map(|x| f16::from_f32(*x))),
        }
        self.pts_ns.push(row.pts.get());
        self.planned_ns.push(row.entry.planned.get());
        self.asked_ns.push(row.entry.first_asked().get());
        self.tier.push(TierCode(row.entry.tier as u8));
        self.reason.push(ReasonCode(row.entry.reason as u8));
        self.tokens.push(row.entry.tokens as u32);
        self.anchor
            .push(row.entry.anchor.map_or(-1, |id| id as i32));
        if let Some(quality) = &mut self.quality {
            quality.push(&row.quality);
        }
        if let (Some(clips), Some(clip)) = (&mut self.clips, &row.clip) {
            clips.start_ns.push(clip.start.get());
            clips.stop_ns.push(clip.stop.get());
            let times = clip.frames.iter().map(|at| at.get());
            clips.frame_pts_ns.waiting.extend(times);
        }
        if let Some(thumbnails) = &mut self.thumbnails {
            thumbnails.bytes += row.thumbnail.len() as u64;
            thumbnails.stop.push(thumbnails.bytes);
            thumbnails.jpeg.waiting.extend_from_slice(&row.thumbnail);
        }
    }

    pub(super) fn columns(&mut self) -> Vec<&mut dyn Append> {
        let features: &mut dyn Append = match &mut self.features {
            Features::F32(column) => column,
            Features::F16(column) => column,
        };
        let mut columns: Vec<&mut dyn Append> = vec![
            features,
            &mut self.pts_ns,
            &mut self.planned_ns,
            &mut self.asked_ns,
            &mut self.tier,
            &mut self.reason,
            &mut self.tokens,
            &mut self.anchor,
        ];
        if let Some(thumbnails) = &mut self.thumbnails {
            // Bytes first, so that every row that is there has its JPEG.
            columns.insert(0, &mut thumbnails.jpeg);
            columns.push(&mut thumbnails.stop);
        }
        if let Some(quality) = &mut self.quality {
            columns.extend(quality.columns());
        }
        if let Some(clips) = &mut self.clips {
            let own: [&mut dyn Append; 3] = [
                &mut clips.start_ns,
                &mut clips.stop_ns,
                &mut clips.frame_pts_ns,
            ];
            columns.extend(own);
        }
        columns
    }
}

impl Anchors {
    pub(super) fn create(output: &mut Output) -> Result<Self, H5Error> {
        let table = output.table("anchors", "anchor")?;
        let digests = &mut output.digests;
        // Labels are long.
        let label = Shape {
            chunk: ROUND,
            ..plain("label", "text")
        };
        Ok(Self {
            onset_ns: table.column(&plain("onset_ns", "ns"), digests)?,
            start_ns: table.column(&plain("start_ns", "ns"), digests)?,
            stop_ns: table.column(&plain("stop_ns", "ns"), digests)?,
            score: table.column(&plain("score", "probability"), digests)?,
            uncertainty: table.column(&plain("uncertainty", "probability"), digests)?,
            class_id: table.column(&plain("class_id", "class, -1 for none"), digests)?,
            label: table.column(&label, digests)?,
        })
    }

    pub(super) fn push(&mut self, anchor: &Anchor) {
        self.onset_ns.push(anchor.onset.get());
        self.start_ns.push(anchor.window.start().get());
        self.stop_ns.push(anchor.window.stop().get());
        self.score.push(anchor.score);
        self.uncertainty.push(anchor.uncertainty);
        self.class_id.push(anchor.class_id);
        self.label.push(label(&anchor.label));
    }

    pub(super) fn columns(&mut self) -> [&mut dyn Append; 7] {
        [
            &mut self.onset_ns,
            &mut self.start_ns,
            &mut self.stop_ns,
            &mut self.score,
            &mut self.uncertainty,
            &mut self.class_id,
            &mut self.label,
        ]
    }
}

impl Candidates {
    pub(super) fn create(output: &mut Output) -> Result<Self, H5Error> {
        let table = output.table("candidates", "candidate")?;
        let digests = &mut output.digests;
        Ok(Self {
            onset_ns: table.column(&plain("onset_ns", "ns"), digests)?,
            score: table.column(&plain("score", "probability"), digests)?,
            more_tokens: table.column(&plain("more_tokens", "token, -1 for unknown"), digests)?,
        })
    }

    pub(super) fn push(&mut self, one: &Untaken) {
        self.onset_ns.push(one.onset.get());
        self.score.push(one.score);
        let more = one.more_tokens.map(i64::try_from);
        self.more_tokens
            .push(more.map_or(-1, |more| more.unwrap_or(i64::MAX)));
    }

    pub(super) fn columns(&mut self) -> [&mut dyn Append; 3] {
        [&mut self.onset_ns, &mut self.score, &mut self.more_tokens]
    }
}

impl Cues {
    // Compressed, as they are many and alike. A round of cues is a chunk, so that each is compressed once.
    pub(super) fn create(
        output: &mut Output,
        parts: CueParts,
        with_quality: bool,
    ) -> Result<Self, H5Error> {
        let table = output.table("cues", "hop")?;
        let digests = &mut output.digests;
        let packed = |name, units| Shape {
            gzip: true,
            ..plain(name, units)
        };
        let wide = |name, units| Shape {
            wide: Some((TOP, "class")),
            ..packed(name, units)
        };
        let bands = Shape {
            wide: Some((COARSE, "band")),
            ..packed("bands", "0.4 dB above -60 dB")
        };
        let mut cues = Self {
            pts_ns: table.column(&packed("pts_ns", "ns"), digests)?,
            eventness: table.column(&packed("eventness", "probability"), digests)?,
            uncertainty: table.column(&packed("uncertainty", "probability"), digests)?,
            speech: table.column(&packed("speech", "probability"), digests)?,
            class_id: table.column(&wide("class_id", "class, 65535 for none"), digests)?,
            class_p: table.column(&wide("class_p", "probability"), digests)?,
            bands: match parts.bands {
                true => Some(table.column(&bands, digests)?),
                false => None,
            },
            change: match parts.change {
                true => Some(table.column(&packed("change", "usual size of a frame"), digests)?),
                false => None,
            },
            quality: None,
        };
        if with_quality {
            cues.quality = Some(CueColumns::create(output, CHUNK_ROWS)?);
        }
        Ok(cues)
    }

    pub(super) fn push(&mut self, cue: &Cue) {
        self.pts_ns.push(cue.pts.get());
        self.eventness.push(cue.eventness);
        self.uncertainty.push(cue.uncertainty);
        self.speech.push(cue.speech);
        for k in 0..TOP {
            let tag = cue.tags.get(k);
            self.class_id.push(tag.map_or(NO_CLASS, |tag| tag.class_id));
            self.class_p
                .push(tag.map_or(f16::ZERO, |tag| f16::from_f32(tag.p)));
        }
        if let Some(bands) = &mut self.bands {
            bands.waiting.extend_from_slice(&cue.bands);
        }
        if let Some(change) = &mut self.change {
            change.push(cue.change.unwrap_or(f32::NAN));
        }
        if let Some(quality) = &mut self.quality {
            quality.push(cue.quality);
        }
    }

    pub(super) fn columns(&mut self) -> Vec<&mut dyn Append> {
        let mut columns: Vec<&mut dyn Append> = vec![
            &mut self.pts_ns,
            &mut self.eventness,
            &mut self.uncertainty,
            &mut self.speech,
            &mut self.class_id,
            &mut self.class_p,
        ];
        if let Some(bands) = &mut self.bands {
            columns.push(bands);
        }
        if let Some(change) = &mut self.change {
            columns.push(change);
        }
        if let Some(quality) = &mut self.quality {
            columns.extend(quality.columns());
        }
        columns
    }
}
