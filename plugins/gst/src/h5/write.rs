//! Writes a feature file: rows wait in rounds, rounds are flushed, and the file gets its name when it is complete.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Entry, Reason, Untaken};
use anchoring::tier::Tokens;
use anchoring::time::Nanos;
use serde::{Deserialize, Serialize};

use super::events::{EventRow, Events};
use super::output::{Append, Output};
use super::tables::{Anchors, CHUNK_ROWS, Candidates, CueParts, Cues, Frames, ROUND};
use super::{BECAUSE, FIRST_FRAME, H5Error, LEFT_OUT, ModelNote, Precision, SCHEMA};
use crate::atomic_file::Partial;
use crate::frame_quality::FrameQuality;

/// Bytes reserved beyond the rows, for metadata and the closing.
const SPARE: u64 = 128 << 10;

/// Attributes that are known at the start.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// Numbers per frame.
    pub dim: usize,
    /// Frames of a clip; 0: a row is a single frame's.
    pub clip_frames: usize,
    /// How they are stored.
    pub precision: Precision,
    /// URI of the recording.
    pub input_uri: String,
    /// Its size in bytes; 0: unknown.
    pub input_bytes: u64,
    /// Stream descriptions, as JSON.
    pub streams: String,
    /// The models behind the file.
    pub models: Vec<ModelNote>,
    /// Versions of libraries, by name.
    pub versions: BTreeMap<String, String>,
    /// Whether to store a small JPEG of every frame.
    pub thumbnails: bool,
    /// Whether to store the quality of every frame.
    pub quality: bool,
    /// Whether to store the quality of the sound.
    pub sound_quality: bool,
    /// The device of the encoder: `cpu`, `cuda 0`.
    pub provider: String,
    /// Attributes beyond the schema.
    pub further: BTreeMap<String, String>,
}

/// Attributes that are known at the end.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// Name of the recording.
    pub video_id: String,
    /// Its length.
    pub duration: Nanos,
    /// Time of its earliest frame, if that is known.
    pub first_frame: Option<Nanos>,
    /// The resolved pipeline or the plan's settings, as text.
    pub config: String,
    /// The budget.
    pub budget_tokens: Tokens,
    /// How many of the candidates that were not taken are kept for every minute; 0 if the plan keeps none.
    pub candidates_per_min: u32,
    /// Plan entries without a frame.
    pub frames_missed: u64,
    /// Those of them for which the encoder was too slow: all, and those of anchors.
    pub left_out: [u64; 2],
    /// Access units that reached the gate.
    pub access_units_seen: u64,
    /// Those that it passed.
    pub access_units_passed: u64,
    /// The element that decoded the frames, such as `avdec_h264`; empty without video.
    pub decoder: String,
    /// How frames were turned upright, as in the tag `image-orientation`.
    pub rotation: String,
    /// The time of each pass, as JSON.
    pub times: String,
    /// The warnings of the run.
    pub warnings: Vec<String>,
}

impl Closing {
    /// Counts a planned frame for which the encoder is too slow.
    pub fn leave_out(&mut self, reason: Reason) {
        self.frames_missed += 1;
        self.left_out[0] += 1;
        self.left_out[1] += u64::from(reason == Reason::Anchor);
    }
}

/// A row of `/frames`.
#[derive(Clone, Debug)]
pub struct Row {
    /// The frame's presentation time.
    pub pts: Nanos,
    /// Its plan entry.
    pub entry: Entry,
    /// `dim` numbers.
    pub features: Vec<f32>,
    /// A small JPEG; stored only if [`Opening::thumbnails`] is set.
    pub thumbnail: Vec<u8>,
    /// Its quality; stored only if [`Opening::quality`] is set.
    pub quality: FrameQuality,
    /// The clip of which it is the middle frame; there exactly if [`Opening::clip_frames`] is set.
    pub clip: Option<ClipTimes>,
}

/// A row of `/clips`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipTimes {
    /// The time of its first frame.
    pub start: Nanos,
    /// The end of its last frame.
    pub stop: Nanos,
    /// The time of each frame, ascending; -1 where there is none.
    pub frames: Vec<Nanos>,
}

/// Counts of what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows of `/frames`.
    pub frames: u64,
    /// Sum of their tokens.
    pub spent_tokens: Tokens,
    /// Rows of `/anchors`.
    pub anchors: u64,
    /// Rows of `/candidates`.
    #[serde(default)]
    pub candidates: u64,
    /// Rows of `/cues`.
    pub cues: u64,
    /// Frames by tier (low, base, high) and reason (anchor, untrusted, background, uniform).
    pub by_tier_and_reason: [[u64; 4]; 3],
}

/// What is kept of an unfinished file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Its path: `<target>.partial`.
    pub path: PathBuf,
    /// Its rows.
    pub totals: Totals,
}

/// A feature file being written. Dropping it removes the file, unless it is finished or kept.
pub struct Writer {
    // Dropped in this order: HDF5 closes the file before it is removed.
    frames: Frames,
    anchors: Anchors,
    candidates: Candidates,
    cues: Cues,
    /// Of a copy alone: a run has none.
    events: Option<Events>,
    output: Output,
    partial: Partial,
    dim: usize,
    clip_frames: usize,
    totals: Totals,
    /// Rows that are in the file.
    written: Totals,
    last: Nanos,
    last_cue: Nanos,
}

impl Writer {
    /// Starts the file of `target`; until [`Writer::finish`] it is `<target>.partial` and not complete.
    ///
    /// # Errors
    /// The output cannot be written, or the disk is full.
    pub fn create(target: &Path, overwrite: bool, opening: &Opening) -> Result<Self, H5Error> {
        Self::begin(Partial::claim(target, overwrite)?, opening, CueParts::ALL)
    }

    /// As [`Writer::create`], for a copy with these columns of `/cues`.
    pub(super) fn create_copy(
        target: &Path,
        opening: &Opening,
        overwrite: bool,
        parts: CueParts,
    ) -> Result<Self, H5Error> {
        Self::begin(Partial::claim(target, overwrite)?, opening, parts)
    }

    /// Writes `/events`, all at once; a copy may have one such table.
    pub(super) fn events(&mut self, rows: &[EventRow]) -> Result<(), H5Error> {
        let mut events = Events::create(&mut self.output)?;
        for some in rows.chunks(CHUNK_ROWS) {
            some.iter().for_each(|row| events.push(row));
            let need: u64 = events.columns().iter().map(|column| column.need()).sum();
            self.partial
                .reserve(need + SPARE)
                .map_err(|err| lost(&self.partial, &err))?;
            self.output.append(events.columns())?;
        }
        self.events = Some(events);
        self.output.flush()
    }

    /// Drops everything written and starts the same file again.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn restart(self, opening: &Opening) -> Result<Self, H5Error> {
        let (output, partial, ..) = self.close_datasets();
        output.close()?;
        Self::begin(partial, opening, CueParts::ALL)
    }

    fn begin(partial: Partial, opening: &Opening, parts: CueParts) -> Result<Self, H5Error> {
        let mut output = Output::create(partial.path())?;
        output.put("schema", SCHEMA)?;
        output.put("complete", false)?;
        output.put("input_uri", opening.input_uri.as_str())?;
        output.put("input_bytes", opening.input_bytes)?;
        output.put("streams", opening.streams.as_str())?;
        output.put("models", json(&opening.models).as_str())?;
        output.put("versions", json(&opening.versions).as_str())?;
        output.put("provider", opening.provider.as_str())?;
        for (name, value) in &opening.further {
            output.put(name, value.as_str())?;
        }
        let writer = Self {
            frames: Frames::create(&mut output, opening)?,
            anchors: Anchors::create(&mut output)?,
            candidates: Candidates::create(&mut output)?,
            cues: Cues::create(&mut output, parts, opening.sound_quality)?,
            events: None,
            output,
            partial,
            dim: opening.dim,
            clip_frames: opening.clip_frames,
            totals: Totals::default(),
            written: Totals::default(),
            last: Nanos::new(i64::MIN),
            last_cue: Nanos::new(i64::MIN),
        };
        writer.output.flush()?;
        let reserved = writer.partial.reserve(SPARE);
        reserved.map_err(|err| lost(&writer.partial, &err))?;
        Ok(writer)
    }

    /// The path that is written: `<target>.partial`.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// Rows so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn has_thumbnails(&self) -> bool {
        self.frames.thumbnails.is_some()
    }

    /// Appends a frame; frames come in the order of `pts`, after the anchors they refer to.
    ///
    /// # Errors
    /// The row is out of order, has another length or an unknown anchor; or the disk is full.
    pub fn frame(&mut self, row: &Row) -> Result<(), H5Error> {
        self.check(row)?;
        self.last = row.pts;
        self.totals.frames += 1;
        self.totals.spent_tokens += row.entry.tokens;
        self.totals.by_tier_and_reason[row.entry.tier as usize][row.entry.reason as usize] += 1;
        self.frames.push(row);
        if !self.frames.pts_ns.ends_at(ROUND) {
            return Ok(());
        }
        self.flush()
    }

    /// Appends an anchor; anchors come in the order of their ids, from 0.
    ///
    /// # Errors
    /// The row is out of order; or the disk is full.
    pub fn anchor(&mut self, anchor: &Anchor) -> Result<(), H5Error> {
        if u64::from(anchor.id) != self.totals.anchors {
            return Err(self.bad_row(format!(
                "anchor {} came, but anchor {} is next: anchors are numbered from 0 in the order of time",
                anchor.id, self.totals.anchors
            )));
        }
        self.totals.anchors += 1;
        self.anchors.push(anchor);
        if !self.anchors.onset_ns.ends_at(CHUNK_ROWS) {
            return Ok(());
        }
        self.flush()
    }

    /// Appends a candidate that was not taken.
    ///
    /// # Errors
    /// The disk is full.
    pub fn candidate(&mut self, one: &Untaken) -> Result<(), H5Error> {
        self.totals.candidates += 1;
        self.candidates.push(one);
        if !self.candidates.onset_ns.ends_at(CHUNK_ROWS) {
            return Ok(());
        }
        self.flush()
    }

    /// Appends a cue; cues come in the order of time.
    ///
    /// # Errors
    /// The row is out of order; or the disk is full.
    pub fn cue(&mut self, cue: &Cue) -> Result<(), H5Error> {
        if cue.pts < self.last_cue {
            return Err(self.bad_row(format!(
                "the cue at {} came after the one at {}: cue times must not step back (are the recording's audio timestamps wrong?)",
                cue.pts, self.last_cue
            )));
        }
        self.last_cue = cue.pts;
        self.totals.cues += 1;
        self.cues.push(cue);
        if !self.cues.pts_ns.ends_at(CHUNK_ROWS) {
            return Ok(());
        }
        self.flush_cues()
    }

    /// Writes everything that waits and syncs it: from here on it survives a kill and a power cut.
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

    /// Writes the rest, marks the file as complete and gives it its name.
    ///
    /// # Errors
    /// The disk is full, or the target has appeared meanwhile.
    pub fn finish(mut self, closing: &Closing) -> Result<Totals, H5Error> {
        self.complete(closing)?;
        self.commit()
    }

    /// The first half of [`Writer::finish`]: writes the rest and marks the file as complete. If this fails, the file can still be kept.
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
        let (output, partial, totals, _) = self.close_datasets();
        output.seal(&partial)?;
        partial.commit()?;
        Ok(totals)
    }

    /// Closes every dataset: the file and the partial file are left, with the rows given and the rows written.
    fn close_datasets(self) -> (Output, Partial, Totals, Totals) {
        let Self {
            frames,
            anchors,
            candidates,
            cues,
            events,
            output,
            partial,
            totals,
            written,
            ..
        } = self;
        drop((frames, anchors, candidates, cues, events));
        (output, partial, totals, written)
    }

    /// From now on dropping the writer leaves the partial file.
    pub fn keep_on_drop(&mut self) {
        self.partial.keep();
    }

    /// As [`Writer::finish`], but marks the file as not complete.
    pub(super) fn finish_incomplete(mut self, closing: &Closing) -> Result<Totals, H5Error> {
        self.flush_cues()?;
        self.flush()?;
        self.close(closing, false)?;
        self.commit()
    }

    /// Closes the partial file, with the reason why it is not complete. `None`, and no file, if it has no rows. Never fails: rows on the disk are
    /// kept, rows without room are lost.
    pub fn keep(mut self, closing: &Closing, because: &str) -> Option<KeptFile> {
        let mut wrote = self.flush_cues();
        wrote = self.flush().and(wrote);
        if self.written == Totals::default() {
            return None;
        }
        self.partial.keep();
        let closed = self
            .output
            .put(BECAUSE, because)
            .and_then(|()| self.close(closing, false));
        let (output, partial, _, written) = self.close_datasets();
        // If this fails, the flushed rounds are still there.
        let _ = wrote.and(closed).and(output.seal(&partial));
        partial.release();
        Some(KeptFile {
            path: partial.path().into(),
            totals: written,
        })
    }

    /// Writes the closing; again, if that failed before.
    fn close(&mut self, closing: &Closing, complete: bool) -> Result<(), H5Error> {
        let output = &mut self.output;
        output.put("video_id", closing.video_id.as_str())?;
        output.put("duration_ns", closing.duration.get())?;
        output.put("config", closing.config.as_str())?;
        output.put("budget_tokens", closing.budget_tokens)?;
        output.put("candidates_per_min", u64::from(closing.candidates_per_min))?;
        output.put("spent_tokens", self.written.spent_tokens)?;
        output.put("frames_missed", closing.frames_missed)?;
        if let Some(first) = closing.first_frame.filter(|first| *first > Nanos::ZERO) {
            output.put(FIRST_FRAME, first.get().to_string().as_str())?;
        }
        if closing.left_out[0] > 0 {
            for (name, count) in LEFT_OUT.into_iter().zip(closing.left_out) {
                output.put(name, count.to_string().as_str())?;
            }
        }
        output.put("access_units_seen", closing.access_units_seen)?;
        output.put("access_units_passed", closing.access_units_passed)?;
        output.put("decoder", closing.decoder.as_str())?;
        output.put("rotation", closing.rotation.as_str())?;
        output.put("times", closing.times.as_str())?;
        output.put("warnings", json(&closing.warnings).as_str())?;
        output.flush()?;
        output.extents.clear();
        output.note(self.frames.columns())?;
        output.note(self.anchors.columns())?;
        output.note(self.candidates.columns())?;
        output.note(self.cues.columns())?;
        if let Some(events) = &mut self.events {
            output.note(events.columns())?;
        }
        output.note_texts()?;
        output.digests.attribute("complete", &complete.into());
        output.put_digests(&output.root())?;
        output.flush()?;
        // Last of all, in its own flush.
        output.put("complete", complete)?;
        output.flush()
    }

    /// Writes waiting frames and candidates, and first the anchors that frames refer to.
    fn flush(&mut self) -> Result<(), H5Error> {
        let mut columns: Vec<&mut dyn Append> = self.anchors.columns().into();
        columns.extend(self.candidates.columns());
        columns.extend(self.frames.columns());
        let need: u64 = columns.iter().map(|column| column.need()).sum();
        self.partial
            .reserve(need + SPARE)
            .map_err(|err| lost(&self.partial, &err))?;
        self.output.append(columns)?;
        self.output.flush()?;
        self.written = Totals {
            cues: self.written.cues,
            ..self.totals.clone()
        };
        Ok(())
    }

    /// Writes waiting cues.
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
                "the frame at {pts} has {} numbers, but the file has {} per frame",
                features.len(),
                self.dim
            )
        } else if row.clip.as_ref().map_or(0, |clip| clip.frames.len()) != self.clip_frames {
            format!(
                "the row at {pts} has another number of frames than the {} of a clip",
                self.clip_frames
            )
        } else if *pts < self.last {
            format!(
                "the frame at {pts} came after the one at {} (did the pipeline seek back?)",
                self.last
            )
        } else if let Some(id) = entry
            .anchor
            .filter(|id| u64::from(*id) >= self.totals.anchors)
        {
            format!(
                "the frame at {pts} refers to anchor {id}, but only {} came before it",
                self.totals.anchors
            )
        } else if u32::try_from(entry.tokens).is_err() {
            format!(
                "the frame at {pts} costs {} tokens, but the file holds at most 4294967295",
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
