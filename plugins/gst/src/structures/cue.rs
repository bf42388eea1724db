//! Converts a cue to a structure, and to the line of text that travels from `eventness` to `anchorgate`.

use std::fmt::Write;

use anchoring::cue::{COARSE, Cue, MOST_CHANGE, Onset, SoundQuality, Tag};
use anchoring::time::Nanos;

use super::fields::{StructureError, get, nanos, unit, wrong};

/// Caps of the cue stream: one buffer per hop, holding the cue's structure as a line of text.
pub const CUE_CAPS: &str = "application/x-earmark-cues";
/// Name of the structure.
pub(super) const NAME: &str = "earmark-cue";
/// Name of the structure of a cue before it is final.
const EARLY: &str = "earmark-early-cue";

/// A cue before it is final, as an event between the buffers of final ones: all that planning needs.
pub fn early_cue_event(cue: &Cue) -> gst::Event {
    let mut s = to_structure(cue);
    s.set_name(EARLY);
    gst::event::CustomDownstream::new(s)
}

/// The cue of such an event; `None` if it is another event.
///
/// # Errors
/// A field is missing, has the wrong type or is out of range.
pub fn early_cue(event: &gst::EventRef) -> Option<Result<Cue, StructureError>> {
    let s = event.structure()?;
    (s.name() == EARLY).then(|| from_structure(s))
}

pub(super) fn to_structure(cue: &Cue) -> gst::Structure {
    let mut s = gst::Structure::builder(NAME)
        .field("pts-ns", cue.pts.get())
        .field("eventness", cue.eventness)
        .field("uncertainty", cue.uncertainty)
        .field("speech", cue.speech)
        .build();
    if !cue.tags.is_empty() {
        let ids = cue.tags.iter().map(|tag| i32::from(tag.class_id));
        s.set("class-id", gst::Array::new(ids));
        s.set("class-p", gst::Array::new(cue.tags.iter().map(|tag| tag.p)));
    }
    if let Some(onset) = cue.onset {
        s.set("onset-ns", onset.at.get());
        s.set("onset-p", onset.p);
        s.set("onset-uncertainty", onset.uncertainty);
    }
    if cue.bands.iter().any(|&band| band > 0) {
        s.set("bands", cue.bands_text());
    }
    if let Some(change) = cue.change {
        s.set("change", change);
    }
    if let Some(quality) = cue.quality {
        s.set("quality", quality.text());
    }
    s
}

pub(super) fn from_structure(s: &gst::StructureRef) -> Result<Cue, StructureError> {
    let mut tags = Vec::new();
    if s.has_field("class-id") {
        let ids = get::<gst::ArrayRef>(s, "class-id")?;
        let ps = get::<gst::ArrayRef>(s, "class-p")?;
        if ids.len() != ps.len() || ids.len() > anchoring::cue::TOP {
            return Err(wrong(
                s,
                "class-p",
                "must be as long as class-id, at most 5",
            ));
        }
        for (id, p) in ids.iter().zip(ps.iter()) {
            let id = id.get::<i32>().ok().and_then(|id| u16::try_from(id).ok());
            let id = id.ok_or_else(|| wrong(s, "class-id", "must hold ints in 0..=65535"))?;
            let p = p
                .get::<f32>()
                .map_err(|_| wrong(s, "class-p", "must hold floats"))?;
            tags.push(Tag { class_id: id, p });
        }
    }
    let onset = if s.has_field("onset-ns") {
        Some(Onset {
            at: nanos(s, "onset-ns")?,
            p: unit(s, "onset-p")?,
            uncertainty: unit(s, "onset-uncertainty")?,
        })
    } else {
        None
    };
    let bands = if s.has_field("bands") {
        Cue::bands_from_text(get(s, "bands")?)
            .ok_or_else(|| wrong(s, "bands", "must be 32 hexadecimal digits"))?
    } else {
        [0; COARSE]
    };
    let change = match s.has_field("change") {
        true => Some(
            change_of(get(s, "change")?)
                .ok_or_else(|| wrong(s, "change", format!("must lie in 0..={MOST_CHANGE}")))?,
        ),
        false => None,
    };
    let quality = match s.has_field("quality") {
        false => None,
        true => Some(
            SoundQuality::from_text(get(s, "quality")?)
                .ok_or_else(|| wrong(s, "quality", "must be 18 hexadecimal digits"))?,
        ),
    };
    Ok(Cue {
        pts: nanos(s, "pts-ns")?,
        eventness: unit(s, "eventness")?,
        uncertainty: unit(s, "uncertainty")?,
        speech: unit(s, "speech")?,
        tags,
        onset,
        bands,
        change,
        quality,
    })
}

/// A cue as a line of text: the payload of a buffer of the cue stream. Equals `to_structure` as text, but is written directly, because there
/// are twelve per second.
pub fn cue_to_text(cue: &Cue) -> String {
    let mut text = String::with_capacity(256);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "earmark-cue, pts-ns=(gint64){}, eventness=(float){}, uncertainty=(float){}, speech=(float){}",
        cue.pts.get(),
        cue.eventness,
        cue.uncertainty,
        cue.speech
    );
    if !cue.tags.is_empty() {
        let between = |i| if i == 0 { "" } else { ", " };
        text += ", class-id=(int)< ";
        for (i, tag) in cue.tags.iter().enumerate() {
            let _ = write!(text, "{}{}", between(i), tag.class_id);
        }
        text += " >, class-p=(float)< ";
        for (i, tag) in cue.tags.iter().enumerate() {
            let _ = write!(text, "{}{}", between(i), tag.p);
        }
        text += " >";
    }
    if let Some(onset) = cue.onset {
        let _ = write!(
            text,
            ", onset-ns=(gint64){}, onset-p=(float){}, onset-uncertainty=(float){}",
            onset.at.get(),
            onset.p,
            onset.uncertainty
        );
    }
    if cue.bands.iter().any(|&band| band > 0) {
        text += ", bands=(string)";
        text += &cue.bands_text();
    }
    if let Some(change) = cue.change {
        let _ = write!(text, ", change=(float){change}");
    }
    if let Some(quality) = cue.quality {
        text += ", quality=(string)";
        text += &quality.text();
    }
    text += ";\n";
    text
}

/// A cue from the payload of a buffer of the cue stream.
///
/// # Errors
/// It is not text, not a structure or not a cue, or a value is out of range.
pub fn cue_from_text(bytes: &[u8]) -> Result<Cue, StructureError> {
    let no_structure = || StructureError {
        structure: String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned(),
        field: NAME,
        value: "missing".into(),
        rule: "must be a cue's structure as text".into(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| no_structure())?;
    if let Some(cue) = parse_own(text) {
        return Ok(cue);
    }
    // GStreamer's parser takes C strings; its binding panics on a zero byte.
    if text.contains('\0') {
        return Err(no_structure());
    }
    let s: gst::Structure = text.trim_end().parse().map_err(|_| no_structure())?;
    if s.name() == NAME {
        from_structure(&s)
    } else {
        Err(no_structure())
    }
}

/// Reads a line as [`cue_to_text`] writes it; `None` for any other line, good or bad.
fn parse_own(text: &str) -> Option<Cue> {
    let mut rest = text.strip_prefix(NAME)?.strip_suffix(";\n")?;
    let share = |text: &str| -> Option<f32> {
        let share = text.parse().ok()?;
        (0.0..=1.0).contains(&share).then_some(share)
    };
    let mut cue = Cue {
        pts: Nanos::new(value(&mut rest, ", pts-ns=(gint64)", ",")?.parse().ok()?),
        eventness: share(value(&mut rest, ", eventness=(float)", ",")?)?,
        uncertainty: share(value(&mut rest, ", uncertainty=(float)", ",")?)?,
        speech: share(value(&mut rest, ", speech=(float)", ",")?)?,
        ..Cue::default()
    };
    if let Some(ids) = value(&mut rest, ", class-id=(int)< ", " >") {
        rest = rest.strip_prefix(" >")?;
        let ps = value(&mut rest, ", class-p=(float)< ", " >")?;
        rest = rest.strip_prefix(" >")?;
        let (mut ids, mut ps) = (ids.split(", "), ps.split(", "));
        for _ in 0..anchoring::cue::TOP {
            let (Some(id), Some(p)) = (ids.next(), ps.next()) else {
                break;
            };
            cue.tags.push(Tag {
                class_id: id.parse().ok()?,
                p: p.parse().ok()?,
            });
        }
        if ids.next().is_some() || ps.next().is_some() {
            return None;
        }
    }
    if let Some(at) = value(&mut rest, ", onset-ns=(gint64)", ",") {
        cue.onset = Some(Onset {
            at: Nanos::new(at.parse().ok()?),
            p: share(value(&mut rest, ", onset-p=(float)", ",")?)?,
            uncertainty: share(value(&mut rest, ", onset-uncertainty=(float)", ",")?)?,
        });
    }
    if let Some(bands) = value(&mut rest, ", bands=(string)", ",") {
        cue.bands = Cue::bands_from_text(bands)?;
    }
    if let Some(change) = value(&mut rest, ", change=(float)", ",") {
        cue.change = Some(change_of(change.parse().ok()?)?);
    }
    if let Some(quality) = value(&mut rest, ", quality=(string)", ",") {
        cue.quality = Some(SoundQuality::from_text(quality)?);
    }
    rest.is_empty().then_some(cue)
}

/// The number, if it is a change.
fn change_of(change: f32) -> Option<f32> {
    (0.0..=MOST_CHANGE).contains(&change).then_some(change)
}

/// Takes the value of a field that starts like this, up to `end` or the end of the text.
fn value<'a>(rest: &mut &'a str, begins: &str, end: &str) -> Option<&'a str> {
    let field = rest.strip_prefix(begins)?;
    let (value, left) = field.split_at(field.find(end).unwrap_or(field.len()));
    *rest = left;
    Some(value)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn cue() -> Cue {
        Cue {
            pts: Nanos::from_ms(160),
            eventness: 0.123_456_79,
            uncertainty: 1.0,
            speech: 1e-7,
            tags: vec![
                Tag {
                    class_id: 520,
                    p: 0.1,
                },
                Tag {
                    class_id: 0,
                    p: 0.05,
                },
            ],
            onset: Some(Onset {
                at: Nanos::new(167_000_001),
                p: 0.7,
                uncertainty: 0.3,
            }),
            bands: std::array::from_fn(|band| band as u8 * 17),
            change: Some(1.25),
            quality: Some(SoundQuality::from_shares(std::array::from_fn(|k| {
                k as f32 / 9.0
            }))),
        }
    }

    #[test]
    fn a_cue_with_a_zero_byte_is_refused() {
        gst::init().unwrap();
        assert!(cue_from_text(b"\0").is_err());
        assert!(cue_from_text(b"earmark-cue, pts-ns=(gint64)0\0;\n").is_err());
    }

    #[test]
    fn a_cue_survives_its_line_of_text() {
        gst::init().unwrap();
        let mut plain = cue();
        plain.onset = None;
        plain.tags.clear();
        plain.change = None;
        plain.quality = None;
        for cue in [cue(), plain] {
            let text = cue_to_text(&cue);
            assert!(text.ends_with('\n') && text.lines().count() == 1);
            assert_eq!(parse_own(&text).as_ref(), Some(&cue));
            assert_eq!(cue_from_text(text.as_bytes()).as_ref(), Ok(&cue));
            // As GStreamer reads it, and as GStreamer writes it.
            let read: gst::Structure = text.trim_end().parse().unwrap();
            assert_eq!(read, to_structure(&cue));
            let written = format!("{}\n", to_structure(&cue));
            assert_eq!(cue_from_text(written.as_bytes()), Ok(cue));
        }
    }

    #[test]
    fn an_invalid_cue_is_refused_with_field_and_rule() {
        gst::init().unwrap();
        for text in [&b""[..], b"\xff\xfe", b"hello world", b"other-thing, a=1;"] {
            assert!(cue_from_text(text).is_err());
        }
        let text = cue_to_text(&cue()).replace("eventness=(float)0.12", "eventness=(float)7.12");
        let error = cue_from_text(text.as_bytes()).unwrap_err();
        assert_eq!(error.field, "eventness");
        assert!(error.to_string().contains("0..=1"), "{error}");
    }
}
