//! Writing a file: rows wait in rounds, rounds are flushed, and the file gets its name when it is whole.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anchoring::anchor::Anchor;
use anchoring::cue::{COARSE, Cue, TOP};
use anchoring::plan::Entry;
use anchoring::tier::Tokens;
use anchoring::time::Nanos;
use half::f16;
use serde::Serialize;

use super::{
    Append, BECAUSE, Bytes, Column, H5Error, ModelNote, NO_CLASS, Output, Precision, ReasonCode,
    SCHEMA, Shape, Text, TierCode, text,
};
use crate::featuresink::partial::Partial;

/// Rows a chunk of every dataset but `/frames/features`.
const CHUNK_ROWS: usize = 1024;
/// Pictures that wait in memory before they are written and flushed; a chunk of `/frames/features`, so that each is compressed once.
const ROUND: usize = 64;
/// Bytes that are reserved beyond the rows: what describes them in the file, and its closing.
const SPARE: u64 = 128 << 10;

/// What is known before the first row.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Numbers per picture.
    pub dim: usize,
    /// How they are stored.
    pub precision: Precision,
    /// Where the recording came from.
    pub input_uri: String,
    /// Its size; 0 where that means nothing.
    pub input_bytes: u64,
    /// Stream descriptions, as JSON.
    pub streams: String,
    /// Every model that has a part.
    pub models: Vec<ModelNote>,
    /// Name and version of every library that matters.
    pub versions: BTreeMap<String, String>,
    /// Whether a small JPEG of every picture is kept.
    pub thumbnails: bool,
    /// What runs the encoder: `cpu`, `cuda 0`.
    pub provider: String,
    /// Attributes beyond those of the schema.
    pub further: BTreeMap<String, String>,
}

/// What is known at the end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Name of the recording.
    pub video_id: String,
    /// Its length.
    pub duration: Nanos,
    /// The resolved pipeline or the plan's settings, as text.
    pub config: String,
    /// What might be spent.
    pub budget_tokens: Tokens,
    /// Planned pictures that no frame could serve.
    pub frames_missed: u64,
    /// Encoded pictures that reached the gate.
    pub pictures_seen: u64,
    /// Those that it let through.
    pub pictures_passed: u64,
    /// The element that decoded the pictures: `avdec_h264`; empty if there were none.
    pub decoder: String,
    /// How the pictures were turned to stand upright, as in the tag `image-orientation`.
    pub rotation: String,
    /// What each pass took, as JSON.
    pub times: String,
    /// Everything that went wrong without ending the run.
    pub warnings: Vec<String>,
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its presentation time.
    pub pts: Nanos,
    /// The plan entry it serves.
    pub entry: Entry,
    /// `dim` numbers.
    pub features: Vec<f32>,
    /// A small JPEG of it; stored only if the file was opened for thumbnails.
    pub thumbnail: Vec<u8>,
}

/// What was written, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Rows of `/frames`.
    pub frames: u64,
    /// Sum of their tokens.
    pub spent_tokens: Tokens,
    /// Rows of `/anchors`.
    pub anchors: u64,
    /// Rows of `/cues`.
    pub cues: u64,
    /// Frames by tier (low, base, high) and reason (anchor, fallback, uniform).
    pub by_tier_and_reason: [[u64; 3]; 3],
}

/// Features in either precision.
enum Features {
    F32(Column<f32>),
    F16(Column<f16>),
}

struct Frames {
    features: Features,
    pts_ns: Column<i64>,
    requested_ns: Column<i64>,
    asked_ns: Column<i64>,
    tier: Column<TierCode>,
    reason: Column<ReasonCode>,
    tokens: Column<u32>,
    anchor: Column<i32>,
    thumbnails: Option<Column<Bytes>>,
}

struct Anchors {
    onset_ns: Column<i64>,
    start_ns: Column<i64>,
    stop_ns: Column<i64>,
    score: Column<f32>,
    uncertainty: Column<f32>,
    class_id: Column<i32>,
    label: Column<Text>,
}

struct Cues {
    pts_ns: Column<i64>,
    eventness: Column<f32>,
    uncertainty: Column<f32>,
    speech: Column<f32>,
    class_id: Column<u16>,
    class_p: Column<f16>,
    bands: Column<u8>,
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
    fn create(output: &Output, opening: &Opening) -> Result<Self, H5Error> {
        let table = output.table("frames", "frame")?;
        let (dim, precision) = (opening.dim, opening.precision);
        // Compressed: the average of rectified maps is mostly zeros, so that half the space is saved.
        let shape = Shape {
            wide: Some((dim, "feature")),
            chunk: ROUND,
            gzip: true,
            ..plain("features", "1")
        };
        Ok(Self {
            features: match precision {
                Precision::F32 => Features::F32(table.column(&shape)?),
                Precision::F16 => Features::F16(table.column(&shape)?),
            },
            pts_ns: table.column(&plain("pts_ns", "ns"))?,
            requested_ns: table.column(&plain("requested_ns", "ns"))?,
            asked_ns: table.column(&plain("asked_ns", "ns"))?,
            tier: table.column(&plain("tier", "tier"))?,
            reason: table.column(&plain("reason", "reason"))?,
            tokens: table.column(&plain("tokens", "token"))?,
            anchor: table.column(&plain("anchor", "row of /anchors, -1 for none"))?,
            thumbnails: if opening.thumbnails {
                Some(table.column(&plain("thumbnails", "JPEG"))?)
            } else {
                None
            },
        })
    }

    fn push(&mut self, row: &Row) {
        match &mut self.features {
            Features::F32(column) => column.waiting.extend_from_slice(&row.features),
            Features::F16(column) => column
                .waiting
                .extend(row.features.iter().map(|x| f16::from_f32(*x))),
        }
        self.pts_ns.push(row.pts.get());
        self.requested_ns.push(row.entry.requested.get());
        self.asked_ns.push(row.entry.first_asked().get());
        self.tier.push(TierCode(row.entry.tier as u8));
        self.reason.push(ReasonCode(row.entry.reason as u8));
        self.tokens.push(row.entry.tokens as u32);
        self.anchor
            .push(row.entry.anchor.map_or(-1, |id| id as i32));
        if let Some(column) = &mut self.thumbnails {
            column.push(Bytes::from_slice(&row.thumbnail));
        }
    }

    fn columns(&mut self) -> Vec<&mut dyn Append> {
        let features: &mut dyn Append = match &mut self.features {
            Features::F32(column) => column,
            Features::F16(column) => column,
        };
        let mut columns: Vec<&mut dyn Append> = vec![
            features,
            &mut self.pts_ns,
            &mut self.requested_ns,
            &mut self.asked_ns,
            &mut self.tier,
            &mut self.reason,
            &mut self.tokens,
            &mut self.anchor,
        ];
        if let Some(column) = &mut self.thumbnails {
            columns.push(column);
        }
        columns
    }
}

impl Anchors {
    fn create(output: &Output) -> Result<Self, H5Error> {
        let table = output.table("anchors", "anchor")?;
        Ok(Self {
            onset_ns: table.column(&plain("onset_ns", "ns"))?,
            start_ns: table.column(&plain("start_ns", "ns"))?,
            stop_ns: table.column(&plain("stop_ns", "ns"))?,
            score: table.column(&plain("score", "probability"))?,
            uncertainty: table.column(&plain("uncertainty", "probability"))?,
            class_id: table.column(&plain("class_id", "class, -1 for none"))?,
            label: table.column(&plain("label", "text"))?,
        })
    }

    fn push(&mut self, anchor: &Anchor) {
        self.onset_ns.push(anchor.onset.get());
        self.start_ns.push(anchor.window.start().get());
        self.stop_ns.push(anchor.window.stop().get());
        self.score.push(anchor.score);
        self.uncertainty.push(anchor.uncertainty);
        self.class_id.push(anchor.class_id);
        self.label.push(text(&anchor.label));
    }

    fn columns(&mut self) -> [&mut dyn Append; 7] {
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

impl Cues {
    // Compressed: they are many and alike. A round of cues is a chunk of cues, so that each chunk is compressed once.
    fn create(output: &Output) -> Result<Self, H5Error> {
        let table = output.table("cues", "hop")?;
        let packed = |name, units| Shape {
            gzip: true,
            ..plain(name, units)
        };
        let wide = |name, units| Shape {
            wide: Some((TOP, "class")),
            ..packed(name, units)
        };
        Ok(Self {
            pts_ns: table.column(&packed("pts_ns", "ns"))?,
            eventness: table.column(&packed("eventness", "probability"))?,
            uncertainty: table.column(&packed("uncertainty", "probability"))?,
            speech: table.column(&packed("speech", "probability"))?,
            class_id: table.column(&wide("class_id", "class, 65535 for none"))?,
            class_p: table.column(&wide("class_p", "probability"))?,
            bands: table.column(&Shape {
                wide: Some((COARSE, "band")),
                ..packed("bands", "0.4 dB above -60 dB")
            })?,
        })
    }

    fn push(&mut self, cue: &Cue) {
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
        self.bands.waiting.extend_from_slice(&cue.bands);
    }

    fn columns(&mut self) -> [&mut dyn Append; 7] {
        [
            &mut self.pts_ns,
            &mut self.eventness,
            &mut self.uncertainty,
            &mut self.speech,
            &mut self.class_id,
            &mut self.class_p,
            &mut self.bands,
        ]
    }
}

/// What stays of a file that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where: `<target>.partial`.
    pub path: PathBuf,
    /// What it holds.
    pub totals: Totals,
}

/// A file being written. Unless it is finished or kept, dropping it leaves nothing behind.
pub struct Writer {
    // Dropped in this order: HDF5 lets go of the file before it is taken away.
    frames: Frames,
    anchors: Anchors,
    cues: Cues,
    output: Output,
    partial: Partial,
    dim: usize,
    totals: Totals,
    /// What of it is in the file.
    written: Totals,
    /// Bytes of texts and pictures that wait.
    loose: u64,
    last: Nanos,
}

impl Writer {
    /// Starts a file that will be `target`; until [`Writer::finish`] it is `<target>.partial`, and says that it is not complete.
    ///
    /// # Errors
    /// There is no place for it, or the disk is full.
    pub fn create(target: &Path, overwrite: bool, opening: &Opening) -> Result<Self, H5Error> {
        Self::begin(Partial::claim(target, overwrite)?, opening)
    }

    /// Forgets what was written and starts the same file once more.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn anew(self, opening: &Opening) -> Result<Self, H5Error> {
        let Self {
            frames,
            anchors,
            cues,
            output,
            partial,
            ..
        } = self;
        drop((frames, anchors, cues));
        output.close()?;
        Self::begin(partial, opening)
    }

    fn begin(partial: Partial, opening: &Opening) -> Result<Self, H5Error> {
        let output = Output::create(partial.path())?;
        output.put_text("schema", SCHEMA)?;
        output.put("complete", &false)?;
        output.put_text("input_uri", &opening.input_uri)?;
        output.put("input_bytes", &opening.input_bytes)?;
        output.put_text("streams", &opening.streams)?;
        output.put_text("models", &json(&opening.models))?;
        output.put_text("versions", &json(&opening.versions))?;
        output.put_text("provider", &opening.provider)?;
        for (name, value) in &opening.further {
            output.put_text(name, value)?;
        }
        let writer = Self {
            frames: Frames::create(&output, opening)?,
            anchors: Anchors::create(&output)?,
            cues: Cues::create(&output)?,
            output,
            partial,
            dim: opening.dim,
            totals: Totals::default(),
            written: Totals::default(),
            loose: 0,
            last: Nanos::new(i64::MIN),
        };
        writer.output.flush()?;
        let reserved = writer.partial.reserve(SPARE);
        reserved.map_err(|err| lost(&writer.partial, &err))?;
        Ok(writer)
    }

    /// Where it is written: `<target>.partial`.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// What was given so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Appends a picture; pictures come in the order of `pts`, after the anchors they name.
    ///
    /// # Errors
    /// Out of order, of another length, naming an unknown anchor; or the disk is full.
    pub fn frame(&mut self, row: &Row) -> Result<(), H5Error> {
        self.check(row)?;
        self.last = row.pts;
        self.totals.frames += 1;
        self.totals.spent_tokens += row.entry.tokens;
        self.totals.by_tier_and_reason[row.entry.tier as usize][row.entry.reason as usize] += 1;
        self.loose += row.thumbnail.len() as u64;
        self.frames.push(row);
        if !self.frames.pts_ns.ends_at(ROUND) {
            return Ok(());
        }
        self.flush()
    }

    /// Appends an anchor; anchors come in the order of their ids, from 0.
    ///
    /// # Errors
    /// Out of order; or the disk is full.
    pub fn anchor(&mut self, anchor: &Anchor) -> Result<(), H5Error> {
        if u64::from(anchor.id) != self.totals.anchors {
            return Err(self.bad_row(format!(
                "anchor {} came where {} was expected: anchors are numbered from 0 in the order of time",
                anchor.id, self.totals.anchors
            )));
        }
        self.totals.anchors += 1;
        self.loose += anchor.label.len() as u64;
        self.anchors.push(anchor);
        if !self.anchors.onset_ns.ends_at(CHUNK_ROWS) {
            return Ok(());
        }
        self.flush()
    }

    /// Appends a cue.
    ///
    /// # Errors
    /// The disk is full.
    pub fn cue(&mut self, cue: &Cue) -> Result<(), H5Error> {
        self.totals.cues += 1;
        self.cues.push(cue);
        if !self.cues.pts_ns.ends_at(CHUNK_ROWS) {
            return Ok(());
        }
        self.flush_cues()
    }

    /// Writes everything that waits and brings it to the disk: from here on it outlives the process and the machine.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn sync(&mut self) -> Result<(), H5Error> {
        if self.written == self.totals {
            return Ok(());
        }
        self.flush_cues()?;
        self.flush()?;
        let synced = self.partial.sync();
        synced.map_err(|err| lost(&self.partial, &err))
    }

    /// Writes the rest, says that the file is complete, and gives it its name.
    ///
    /// # Errors
    /// The disk is full, or the target has appeared meanwhile.
    pub fn finish(mut self, closing: &Closing) -> Result<Totals, H5Error> {
        self.complete(closing)?;
        self.commit()
    }

    /// The first half of [`Writer::finish`]: writes the rest and says that the file is complete. What fails here can still be kept.
    ///
    /// # Errors
    /// The disk is full.
    pub fn complete(&mut self, closing: &Closing) -> Result<(), H5Error> {
        self.flush_cues()?;
        self.flush()?;
        self.close(closing, true)
    }

    /// The second half: gives the file its name.
    ///
    /// # Errors
    /// The target has appeared meanwhile, or the disk is gone.
    pub fn commit(self) -> Result<Totals, H5Error> {
        let Self {
            frames,
            anchors,
            cues,
            output,
            partial,
            totals,
            ..
        } = self;
        drop((frames, anchors, cues));
        output.close()?;
        partial.commit()?;
        Ok(totals)
    }

    /// From now on the file stays where it is, whatever happens, unless it gets its name.
    pub fn hold(&mut self) {
        self.partial.keep();
    }

    /// As [`Writer::finish`], but the file says that it is not complete.
    pub(super) fn leave(mut self, closing: &Closing) -> Result<Totals, H5Error> {
        self.flush_cues()?;
        self.flush()?;
        self.close(closing, false)?;
        self.commit()
    }

    /// Closes the file where it is: not complete, and why. `None`, and no file, if there is nothing in it. Never fails: what the
    /// disk has no room for any more is lost, what is on it is kept.
    pub fn keep(mut self, closing: &Closing, because: &str) -> Option<Kept> {
        let mut wrote = self.flush_cues();
        wrote = self.flush().and(wrote);
        if self.written == Totals::default() {
            return None;
        }
        self.partial.keep();
        let closed = self
            .output
            .put_text(BECAUSE, because)
            .and_then(|()| self.close(closing, false));
        let Self {
            frames,
            anchors,
            cues,
            output,
            partial,
            written,
            ..
        } = self;
        drop((frames, anchors, cues));
        // Whatever fails here, the rounds that were flushed are there.
        let _ = wrote.and(closed).and(output.close());
        partial.release();
        Some(Kept {
            path: partial.path().into(),
            totals: written,
        })
    }

    /// Writes what is known only at the end.
    fn close(&mut self, closing: &Closing, complete: bool) -> Result<(), H5Error> {
        let output = &self.output;
        output.put_text("video_id", &closing.video_id)?;
        output.put("duration_ns", &closing.duration.get())?;
        output.put_text("config", &closing.config)?;
        output.put("budget_tokens", &closing.budget_tokens)?;
        output.put("spent_tokens", &self.written.spent_tokens)?;
        output.put("frames_missed", &closing.frames_missed)?;
        output.put("pictures_seen", &closing.pictures_seen)?;
        output.put("pictures_passed", &closing.pictures_passed)?;
        output.put_text("decoder", &closing.decoder)?;
        output.put_text("rotation", &closing.rotation)?;
        output.put_text("times", &closing.times)?;
        output.put_text("warnings", &json(&closing.warnings))?;
        output.flush()?;
        // Last of all, in a flush of its own.
        output.put("complete", &complete)?;
        output.flush()
    }

    /// Writes the pictures that wait, and the anchors they name before them.
    fn flush(&mut self) -> Result<(), H5Error> {
        let mut columns: Vec<&mut dyn Append> = self.anchors.columns().into();
        columns.extend(self.frames.columns());
        let need: u64 = columns.iter().map(|column| column.need()).sum();
        self.partial
            .reserve(need + self.loose + SPARE)
            .map_err(|err| lost(&self.partial, &err))?;
        self.output.append(columns)?;
        self.output.flush()?;
        self.loose = 0;
        self.written = Totals {
            cues: self.written.cues,
            ..self.totals.clone()
        };
        Ok(())
    }

    /// Writes the cues that wait.
    fn flush_cues(&mut self) -> Result<(), H5Error> {
        let columns = self.cues.columns();
        let need: u64 = columns.iter().map(|column| column.need()).sum();
        self.partial
            .reserve(need + SPARE)
            .map_err(|err| lost(&self.partial, &err))?;
        self.output.append(columns)?;
        self.output.flush()?;
        self.written.cues = self.totals.cues;
        Ok(())
    }

    fn check(&self, row: &Row) -> Result<(), H5Error> {
        let Row {
            pts,
            entry,
            features,
            ..
        } = row;
        let message = if features.len() != self.dim {
            format!(
                "the picture at {pts} has {} numbers, the file {}",
                features.len(),
                self.dim
            )
        } else if *pts < self.last {
            format!(
                "the picture at {pts} came after the one at {}: was the pipeline sought back?",
                self.last
            )
        } else if let Some(id) = entry
            .anchor
            .filter(|id| u64::from(*id) >= self.totals.anchors)
        {
            format!(
                "the picture at {pts} names anchor {id}, but only {} came before it",
                self.totals.anchors
            )
        } else if u32::try_from(entry.tokens).is_err() {
            format!(
                "the picture at {pts} costs {} tokens, more than a file can say",
                entry.tokens
            )
        } else {
            return Ok(());
        };
        Err(self.bad_row(message))
    }

    fn bad_row(&self, message: String) -> H5Error {
        H5Error::Row {
            path: self.partial.path().into(),
            message,
        }
    }
}

fn lost(partial: &Partial, err: &std::io::Error) -> H5Error {
    let path = partial.path().to_owned();
    match err.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            H5Error::Full(path)
        }
        _ => H5Error::Write {
            path,
            message: err.to_string(),
        },
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
