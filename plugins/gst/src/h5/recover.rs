//! Saving what can be saved of a file whose writer was killed: the rows that all columns of a table have, in a new file that says it
//! is not complete.

use std::path::Path;

use anchoring::anchor::Anchor;
use anchoring::cue::{Cue, TOP, Tag};
use anchoring::plan::Entry;
use anchoring::time::{Nanos, Window};
use half::f16;

use super::read::{asked, codes, whole_anchors};
use super::{Closing, H5Error, NO_CLASS, Opening, Reading, Row, Totals, Writer};

/// Rows that are in memory at a time.
const TOGETHER: usize = 256;

/// Copies what can be read of `from` to `to`, which must not be there; what was saved.
///
/// # Errors
/// Nothing can be read, or the copy cannot be written.
pub fn recover(from: &Path, to: &Path) -> Result<Totals, H5Error> {
    let file = Reading::open(from).or_else(|first| Reading::open_torn(from).map_err(|_| first))?;
    let text = |name: &str| file.text(name).unwrap_or_default();
    let number = |name: &str| file.attribute::<u64>(name).unwrap_or(0);
    let json = |name: &str| serde_json::from_str(&text(name)).unwrap_or_default();
    let dim = file.shape("frames/features")?.get(1).copied().unwrap_or(0);
    let mut further = file.further();
    further.insert("recovered_from".into(), from.display().to_string());
    let opening = Opening {
        dim,
        precision: file.precision()?,
        input_uri: text("input_uri"),
        input_bytes: number("input_bytes"),
        streams: text("streams"),
        models: json("models"),
        versions: serde_json::from_str(&text("versions")).unwrap_or_default(),
        thumbnails: false,
        provider: text("provider"),
        further,
    };
    if crate::featuresink::partial::is_partial_of(from, to) {
        return Err(H5Error::Place(super::PlaceError::Place {
            path: to.into(),
            problem: "the copy would be made where the damaged file is; name another output".into(),
        }));
    }
    let mut writer = Writer::create(to, false, &opening)?;
    let (rows, _) = whole_anchors(&file).unwrap_or_default();
    for (id, row) in rows.into_iter().enumerate() {
        let window = Window::new(Nanos::new(row.start_ns), Nanos::new(row.stop_ns));
        let (Some(window), Ok(id)) = (window, u32::try_from(id)) else {
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
    let mut last = Nanos::ZERO;
    copy_cues(&file, &mut writer, &mut last);
    copy_frames(&file, &mut writer, dim, &mut last)?;
    let stem = from.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.trim_end_matches(".partial").trim_end_matches(".h5");
    let or = |text: String, other: &str| if text.is_empty() { other.into() } else { text };
    let duration = file.attribute::<i64>("duration_ns");
    let mut warnings: Vec<String> = serde_json::from_str(&text("warnings")).unwrap_or_default();
    warnings.push(format!(
        "recovered from {}, whose run did not end",
        from.display()
    ));
    writer.leave(&Closing {
        video_id: or(text("video_id"), stem),
        duration: duration.map_or(last, Nanos::new),
        config: text("config"),
        budget_tokens: number("budget_tokens"),
        frames_missed: number("frames_missed"),
        pictures_seen: number("pictures_seen"),
        pictures_passed: number("pictures_passed"),
        decoder: text("decoder"),
        rotation: text("rotation"),
        times: text("times"),
        warnings,
    })
}

/// As many whole rows as can be read.
fn copy_cues(file: &Reading, writer: &mut Writer, last: &mut Nanos) {
    let read = || -> Result<_, H5Error> {
        Ok((
            file.column::<i64>("cues/pts_ns")?,
            [
                file.column::<f32>("cues/eventness")?,
                file.column::<f32>("cues/uncertainty")?,
                file.column::<f32>("cues/speech")?,
            ],
            file.column::<u16>("cues/class_id")?,
            file.column::<f16>("cues/class_p")?,
        ))
    };
    let Ok((pts, [eventness, uncertainty, speech], ids, ps)) = read() else {
        return;
    };
    for (k, pts) in pts.into_iter().enumerate() {
        let numbers = (eventness.get(k), uncertainty.get(k), speech.get(k));
        let (Some(&eventness), Some(&uncertainty), Some(&speech)) = numbers else {
            return;
        };
        let classes = k * TOP..(k + 1) * TOP;
        let (Some(ids), Some(ps)) = (ids.get(classes.clone()), ps.get(classes)) else {
            return;
        };
        let tags = ids.iter().zip(ps).filter(|(id, _)| **id != NO_CLASS);
        let cue = Cue {
            pts: Nanos::new(pts),
            eventness,
            uncertainty,
            speech,
            tags: tags
                .map(|(id, p)| Tag {
                    class_id: *id,
                    p: p.to_f32(),
                })
                .collect(),
            ..Cue::default()
        };
        if writer.cue(&cue).is_err() {
            return;
        }
        *last = (*last).max(cue.pts);
    }
}

fn copy_frames(
    file: &Reading,
    writer: &mut Writer,
    dim: usize,
    last: &mut Nanos,
) -> Result<(), H5Error> {
    let pts: Vec<i64> = file.column("frames/pts_ns")?;
    let requested: Vec<i64> = file.column("frames/requested_ns")?;
    let asked = asked(file, &requested)?;
    let (tiers, reasons) = codes(file)?;
    let tokens: Vec<u32> = file.column("frames/tokens")?;
    let anchor: Vec<i32> = file.column("frames/anchor")?;
    let have = file.shape("frames/features")?.first().copied().unwrap_or(0);
    let whole = [
        pts.len(),
        requested.len(),
        asked.len(),
        tiers.len(),
        reasons.len(),
        tokens.len(),
        anchor.len(),
        have,
    ];
    let rows = whole.into_iter().min().unwrap_or(0);
    let mut at = 0;
    while at < rows {
        let until = (at + TOGETHER).min(rows);
        // What can't be read any more ends the copy, not the work.
        let Ok((numbers, _)) = file.block(at..until) else {
            return Ok(());
        };
        for (k, features) in (at..until).zip(numbers.chunks_exact(dim.max(1))) {
            let row = Row {
                pts: Nanos::new(pts[k]),
                entry: Entry {
                    requested: Nanos::new(requested[k]),
                    asked: Some(Nanos::new(asked[k])).filter(|_| asked[k] != requested[k]),
                    tier: tiers[k],
                    tokens: tokens[k].into(),
                    reason: reasons[k],
                    anchor: u32::try_from(anchor[k]).ok(),
                },
                features: features.to_vec(),
                thumbnail: Vec::new(),
            };
            match writer.frame(&row) {
                Ok(()) => *last = (*last).max(row.pts),
                Err(H5Error::Row { .. }) => return Ok(()),
                Err(err) => return Err(err),
            }
        }
        at = until;
    }
    Ok(())
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
                requested: Nanos::from_ms(k),
                asked: None,
                tier: anchoring::tier::Tier::Low,
                tokens: 49,
                reason: anchoring::plan::Reason::Uniform,
                anchor: None,
            };
            let row = Row {
                pts: Nanos::from_ms(k),
                entry,
                features: vec![k as f32; 3],
                thumbnail: Vec::new(),
            };
            writer.frame(&row).unwrap();
        }
        // As a kill leaves it: what was flushed is there, the rest is not.
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
