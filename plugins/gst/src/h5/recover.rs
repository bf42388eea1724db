//! Copies a file that may crash HDF5. [`recover`] takes the rows that every column of a table has, from a file whose writer was killed;
//! [`copy`] takes everything or fails, from a file without a seal.
//!
//! Call both in a process that may die.

use std::path::Path;

use anchoring::cue::{COARSE, Cue, TOP, Tag};
use anchoring::plan::{Anchor, Entry};
use anchoring::time::{Nanos, Window};
use half::f16;
use serde::{Deserialize, Serialize};

use super::events::{EventRow, events_by};
use super::read::{Columns, Whole, anchors_by, candidates_by, clip_frames, codes, summary};
use super::reading::Reading;
use super::tables::CueParts;
use super::{ClipTimes, Closing, H5Error, H5Type, NO_CLASS, Opening, Row, Summary, Totals, Writer};

/// Rows that are in memory at a time.
const TOGETHER: usize = 64;

/// Which parts of a file to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Everything.
    All,
    /// Everything but the features, which become one zero per frame.
    Thumbnails,
    /// Neither features nor thumbnails.
    Tables,
}

/// Facts of a file that a partial copy lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    schema: String,
    dim: usize,
    thumbnails: bool,
}

impl Original {
    /// Turns the summary of a copy into the summary of the original.
    pub fn put_into(&self, copy: &mut Summary) {
        copy.schema.clone_from(&self.schema);
        copy.dim = self.dim;
        copy.thumbnails = self.thumbnails;
    }
}

/// Reads the summary of a file of either schema, complete or not, sealed or not.
///
/// # Errors
/// The file is missing, of another schema, or damaged.
pub fn summary_unsealed(path: &Path) -> Result<Summary, H5Error> {
    summary(&Reading::open_unsealed(path)?)
}

/// Copies a file of either schema, complete or not, to a new sealed one with the same contents.
///
/// # Errors
/// Part of the file cannot be read or contradicts itself, or the copy cannot be written.
pub fn copy(from: &Path, to: &Path, parts: Parts) -> Result<Original, H5Error> {
    let file = Reading::open_unsealed(from)?;
    let [_, dim] = file.shape("frames/features")?[..] else {
        return Err(file.damaged("/frames/features is not [N, D]".into()));
    };
    let original = Original {
        schema: file.schema.clone(),
        dim,
        thumbnails: file.has_thumbnails(),
    };
    copied(&file, to, false, parts, None)?;
    Ok(original)
}

/// Copies a sealed file to a new one with these events, in place of those that it has.
///
/// # Errors
/// The file cannot be read, the new one cannot be written, or is there already.
pub fn with_events(
    from: &Path,
    to: &Path,
    overwrite: bool,
    events: &[EventRow],
) -> Result<Totals, H5Error> {
    copied(
        &Reading::open(from)?,
        to,
        overwrite,
        Parts::All,
        Some(events),
    )
}

/// Copies a file; with `events`, these and not its own.
fn copied(
    file: &Reading,
    to: &Path,
    overwrite: bool,
    parts: Parts,
    events: Option<&[EventRow]>,
) -> Result<Totals, H5Error> {
    let complete = file.truth("complete")?;
    let mut opening = opening(file, file.further(), true)?;
    if parts != Parts::All {
        opening.dim = 1;
    }
    opening.thumbnails &= parts != Parts::Tables;
    let cue_parts = CueParts {
        bands: file.has("cues/bands"),
        change: file.has("cues/change"),
    };
    let mut writer = Writer::create_copy(to, &opening, overwrite, cue_parts)?;
    rows(file, &Whole, &mut writer, parts)?;
    match events {
        Some(events) => writer.events(events)?,
        None => {
            if let Some(own) = events_by(file, &Whole)? {
                writer.events(&own)?;
            }
        }
    }
    let closing = closing(file, Nanos::ZERO);
    match complete {
        true => writer.finish(&closing),
        false => writer.finish_incomplete(&closing),
    }
}

/// Copies what can be read of `from` to the new file `to`; returns what was saved.
///
/// # Errors
/// Nothing can be read, or the copy cannot be written.
pub fn recover(from: &Path, to: &Path) -> Result<Totals, H5Error> {
    let file = Reading::open_unsealed(from)
        .or_else(|first| Reading::open_torn(from).map_err(|_| first))?;
    if crate::atomic_file::is_partial_of(from, to) {
        return Err(H5Error::Place(super::PlaceError::Place {
            path: to.into(),
            problem: "it would replace the damaged file itself: choose another output".into(),
        }));
    }
    let mut further = file.further();
    further.insert("recovered_from".into(), from.display().to_string());
    let mut writer = Writer::create(to, false, &opening(&file, further, !file.is_old())?)?;
    let last = rows(&file, &Readable, &mut writer, Parts::All)?;
    if let Some(events) = events_by(&file, &Readable)? {
        writer.events(&events)?;
    }
    let mut closing = closing(&file, last);
    if closing.video_id.is_empty() {
        let stem = from.file_name().unwrap_or_default().to_string_lossy();
        let stem = stem.trim_end_matches(".partial").trim_end_matches(".h5");
        closing.video_id = stem.into();
    }
    closing.warnings.push(format!(
        "recovered from {}, whose run did not finish",
        from.display()
    ));
    writer.finish_incomplete(&closing)
}

/// Reads as far as possible.
struct Readable;

impl Columns for Readable {
    fn strict(&self) -> bool {
        false
    }

    fn column<T: H5Type>(
        &self,
        file: &Reading,
        name: &str,
        width: usize,
    ) -> Result<Vec<T>, H5Error> {
        file.readable(name, width, TOGETHER)
    }
}

fn opening(
    file: &Reading,
    further: std::collections::BTreeMap<String, String>,
    thumbnails: bool,
) -> Result<Opening, H5Error> {
    let text = |name: &str| file.text(name).unwrap_or_default();
    let [_, dim] = file.shape("frames/features")?[..] else {
        return Err(file.damaged("/frames/features is not [N, D]".into()));
    };
    Ok(Opening {
        dim,
        clip_frames: clip_frames(file)?,
        precision: file.precision()?,
        input_uri: text("input_uri"),
        input_bytes: file.number("input_bytes").unwrap_or(0),
        streams: text("streams"),
        models: serde_json::from_str(&text("models")).unwrap_or_default(),
        versions: serde_json::from_str(&text("versions")).unwrap_or_default(),
        thumbnails: thumbnails && file.has_thumbnails(),
        quality: file.has(super::quality::FRAMES),
        sound_quality: file.has(super::quality::CUES),
        provider: text("provider"),
        further,
    })
}

/// `last`: the latest time that was read.
fn closing(file: &Reading, last: Nanos) -> Closing {
    let text = |name: &str| file.text(name).unwrap_or_default();
    let number = |name: &str| file.number(name).unwrap_or(0);
    Closing {
        video_id: text("video_id"),
        duration: file.signed("duration_ns").map_or(last, Nanos::new),
        config: text("config"),
        budget_tokens: number("budget_tokens"),
        candidates_per_min: number("candidates_per_min") as u32,
        frames_missed: number("frames_missed"),
        // These are copied like every further attribute.
        first_frame: None,
        left_out: [0; 2],
        access_units_seen: number("access_units_seen"),
        access_units_passed: number("access_units_passed"),
        decoder: text("decoder"),
        rotation: text("rotation"),
        times: text("times"),
        warnings: serde_json::from_str(&text("warnings")).unwrap_or_default(),
    }
}

/// Copies every table; returns the latest time that was read.
fn rows(
    file: &Reading,
    columns: &impl Columns,
    writer: &mut Writer,
    parts: Parts,
) -> Result<Nanos, H5Error> {
    anchors(file, columns, writer)?;
    candidates(file, columns, writer)?;
    let heard = cues(file, columns, writer)?;
    Ok(frames(file, columns, writer, parts)?.max(heard))
}

/// The number of rows that all columns of a table have. If `strict`, it is an error if some have more.
fn agree(file: &Reading, table: &str, lengths: &[usize], strict: bool) -> Result<usize, H5Error> {
    let least = lengths.iter().min().copied().unwrap_or(0);
    match strict && lengths.iter().any(|length| *length != least) {
        true => Err(file.damaged(format!("the columns of /{table} differ in length"))),
        false => Ok(least),
    }
}

fn anchors(file: &Reading, columns: &impl Columns, writer: &mut Writer) -> Result<(), H5Error> {
    let (rows, longest) = anchors_by(file, columns)?;
    agree(file, "anchors", &[rows.len(), longest], columns.strict())?;
    for (id, row) in rows.into_iter().enumerate() {
        let window = Window::new(Nanos::new(row.start_ns), Nanos::new(row.stop_ns));
        let (Some(window), Ok(id)) = (window, u32::try_from(id)) else {
            if columns.strict() {
                let why = format!("the window of anchor {id} ends before it begins");
                return Err(file.damaged(why));
            }
            break;
        };
        writer.anchor(&Anchor {
            id,
            onset: Nanos::new(row.onset_ns),
            window,
            label: row.label,
            class_id: row.class_id,
            score: row.score,
            uncertainty: row.uncertainty,
        })?;
    }
    Ok(())
}

fn candidates(file: &Reading, columns: &impl Columns, writer: &mut Writer) -> Result<(), H5Error> {
    let (rows, longest) = candidates_by(file, columns)?;
    agree(file, "candidates", &[rows.len(), longest], columns.strict())?;
    for row in rows {
        writer.candidate(&row.untaken())?;
    }
    Ok(())
}

fn cues(file: &Reading, columns: &impl Columns, writer: &mut Writer) -> Result<Nanos, H5Error> {
    let pts: Vec<i64> = columns.column(file, "cues/pts_ns", 1)?;
    let eventness: Vec<f32> = columns.column(file, "cues/eventness", 1)?;
    let uncertainty: Vec<f32> = columns.column(file, "cues/uncertainty", 1)?;
    let speech: Vec<f32> = columns.column(file, "cues/speech", 1)?;
    let (ids, ps): (Vec<u16>, Vec<f16>) = match file.has("cues/class_id") {
        true => (
            columns.column(file, "cues/class_id", TOP)?,
            columns.column(file, "cues/class_p", TOP)?,
        ),
        // Readers can do without.
        false => (
            vec![NO_CLASS; pts.len() * TOP],
            vec![f16::ZERO; pts.len() * TOP],
        ),
    };
    let bands: Vec<u8> = match file.has("cues/bands") {
        true => columns.column(file, "cues/bands", COARSE)?,
        false => vec![0; pts.len() * COARSE],
    };
    let change: Vec<f32> = match file.has("cues/change") {
        true => columns.column(file, "cues/change", 1)?,
        false => vec![f32::NAN; pts.len()],
    };
    let quality = super::read::sound_quality(file, columns)?;
    let measured = file.has(super::quality::CUES);
    let lengths = [
        if measured { quality.len() } else { pts.len() },
        pts.len(),
        eventness.len(),
        uncertainty.len(),
        speech.len(),
        ids.len() / TOP,
        ps.len() / TOP,
        bands.len() / COARSE,
        change.len(),
    ];
    let mut last = Nanos::ZERO;
    for k in 0..agree(file, "cues", &lengths, columns.strict())? {
        let classes = k * TOP..(k + 1) * TOP;
        let tags = ids[classes.clone()].iter().zip(&ps[classes]);
        let mut coarse = [0; COARSE];
        coarse.copy_from_slice(&bands[k * COARSE..(k + 1) * COARSE]);
        let cue = Cue {
            pts: Nanos::new(pts[k]),
            eventness: eventness[k],
            uncertainty: uncertainty[k],
            speech: speech[k],
            tags: tags
                .filter(|(id, _)| **id != NO_CLASS)
                .map(|(id, p)| Tag {
                    class_id: *id,
                    p: p.to_f32(),
                })
                .collect(),
            bands: coarse,
            change: Some(change[k]).filter(|change| !change.is_nan()),
            quality: quality.get(k).copied().flatten(),
            ..Cue::default()
        };
        match writer.cue(&cue) {
            Ok(()) => last = last.max(cue.pts),
            Err(H5Error::Row { message, .. }) if columns.strict() => {
                return Err(file.damaged(message));
            }
            Err(H5Error::Row { .. }) => break,
            Err(err) => return Err(err),
        }
    }
    Ok(last)
}

fn frames(
    file: &Reading,
    columns: &impl Columns,
    writer: &mut Writer,
    parts: Parts,
) -> Result<Nanos, H5Error> {
    let strict = columns.strict();
    let pts: Vec<i64> = columns.column(file, "frames/pts_ns", 1)?;
    let planned: Vec<i64> = columns.column(file, super::read::planned(file), 1)?;
    let asked = match file.has("frames/asked_ns") {
        true => columns.column(file, "frames/asked_ns", 1)?,
        false => planned.clone(),
    };
    let (tiers, reasons) = codes(file, columns)?;
    let tokens: Vec<u32> = columns.column(file, "frames/tokens", 1)?;
    let anchor: Vec<i32> = columns.column(file, "frames/anchor", 1)?;
    let (have, dim) = match file.shape("frames/features")?[..] {
        [have, dim] => (have, dim),
        _ => (0, 0),
    };
    let quality = super::read::quality(file, columns)?;
    let measured = file.has(super::quality::FRAMES);
    let clips = super::read::clips(file, columns)?;
    let covered = clips.as_ref().map_or(pts.len(), |clips| {
        let times = clips.frame_pts_ns.len() / clips.frames.max(1);
        times.min(clips.start_ns.len()).min(clips.stop_ns.len())
    });
    let lengths = [
        covered,
        if measured { quality.len() } else { pts.len() },
        pts.len(),
        planned.len(),
        asked.len(),
        tiers.len(),
        reasons.len(),
        tokens.len(),
        anchor.len(),
        have,
    ];
    let rows = agree(file, "frames", &lengths, strict)?;
    let width = match parts {
        Parts::All => dim.max(1),
        Parts::Thumbnails | Parts::Tables => 1,
    };
    let mut last = Nanos::ZERO;
    for at in (0..rows).step_by(TOGETHER) {
        let some = at..(at + TOGETHER).min(rows);
        let numbers = match parts {
            Parts::Thumbnails | Parts::Tables => vec![0.0; some.len()],
            Parts::All => match file.block(some.clone()) {
                Ok((numbers, _)) => numbers,
                Err(err) if strict => return Err(err),
                // Unreadable rows end the copy, but what was copied counts.
                Err(_) => return Ok(last),
            },
        };
        let jpegs = match writer.has_thumbnails() {
            false => Vec::new(),
            true => match file.thumbnails(some.clone()) {
                Err(err) if strict => return Err(err),
                // A torn file may lack them; the features count more.
                jpegs => jpegs.unwrap_or_default(),
            },
        };
        let mut jpegs = jpegs.into_iter();
        for (k, features) in some.zip(numbers.chunks_exact(width)) {
            let row = Row {
                pts: Nanos::new(pts[k]),
                entry: Entry {
                    planned: Nanos::new(planned[k]),
                    asked: Some(Nanos::new(asked[k])).filter(|_| asked[k] != planned[k]),
                    tier: tiers[k],
                    tokens: tokens[k].into(),
                    reason: reasons[k],
                    anchor: u32::try_from(anchor[k]).ok(),
                },
                features: features.to_vec(),
                thumbnail: jpegs.next().unwrap_or_default(),
                quality: quality.get(k).copied().unwrap_or_default(),
                clip: clips.as_ref().map(|clips| ClipTimes {
                    start: Nanos::new(clips.start_ns[k]),
                    stop: Nanos::new(clips.stop_ns[k]),
                    frames: clips.frame_pts_ns[k * clips.frames..(k + 1) * clips.frames]
                        .iter()
                        .map(|ns| Nanos::new(*ns))
                        .collect(),
                }),
            };
            match writer.frame(&row) {
                Ok(()) => last = last.max(row.pts),
                Err(H5Error::Row { message, .. }) if strict => return Err(file.damaged(message)),
                Err(H5Error::Row { .. }) => return Ok(last),
                Err(err) => return Err(err),
            }
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::super::{check, read_summary};
    use super::*;

    #[test]
    fn what_a_killed_writer_flushed_is_saved_and_marked() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.h5");
        let opening = Opening {
            dim: 3,
            ..Opening::default()
        };
        let mut writer = Writer::create(&target, false, &opening).unwrap();
        for k in 0..100 {
            let entry = Entry {
                planned: Nanos::from_ms(k),
                asked: None,
                tier: anchoring::tier::Tier::Low,
                tokens: 49,
                reason: anchoring::plan::Reason::Background,
                anchor: None,
            };
            let row = Row {
                pts: Nanos::from_ms(k),
                entry,
                features: vec![k as f32; 3],
                thumbnail: Vec::new(),
                quality: crate::frame_quality::FrameQuality::default(),
                clip: None,
            };
            writer.frame(&row).unwrap();
        }
        // As a kill leaves it, with flushed rows only.
        let torn = dir.path().join("torn.h5.partial");
        std::fs::copy(dir.path().join("a.h5.partial"), &torn).unwrap();
        drop(writer);
        let saved = dir.path().join("saved.h5");
        let totals = recover(&torn, &saved).unwrap();
        assert_eq!(totals.frames, 64);
        let summary = read_summary(&saved).unwrap();
        assert_eq!((summary.complete, summary.frames), (false, 64));
        assert_eq!(summary.video_id, "torn");
        assert!(summary.further["recovered_from"].ends_with("torn.h5.partial"));
        let problems = check(&saved).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("not complete"));
        assert!(recover(&torn, &saved).is_err());
        // While it is written, the copy would bear the name of what it is made of.
        let refused = recover(&torn, &dir.path().join("torn.h5")).unwrap_err();
        assert!(refused.to_string().contains("another output"), "{refused}");
        assert!(torn.exists());
    }
}
