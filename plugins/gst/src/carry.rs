//! Cues, anchors, plan entries and the rest <-> GStreamer structures: the one place where they are converted.
//!
//! Between `eventness` and `anchorgate` a cue is a buffer of text ([`cue_to_text`]). From `anchorgate` on, everything travels as
//! custom serialized downstream events ([`Message`]) in order with the pictures, until `framepick` puts the plan entry on the picture
//! it serves ([`tag_buffer`]). All times are in the recording's own time (stream time), integer nanoseconds.

use std::fmt::Write;

use anchoring::anchor::Anchor;
use anchoring::cue::{COARSE, Cue, Onset, Tag};
use anchoring::plan::{Entry, Header, SCHEMA};
use anchoring::tier::Tokens;
use anchoring::time::{Nanos, Window};
use gst::glib;

/// Caps of the cue stream: one buffer a hop, its payload the cue's structure as a line of text.
pub const CUE_CAPS: &str = "application/x-earmark-cues";
/// Name of the structure that brings the plan's header.
pub(crate) const PLAN: &str = "earmark-plan";
/// Name of the meta that a chosen picture carries.
pub const ENTRY_META: &str = "EarmarkEntry";

/// What crosses the graph from `anchorgate` to `featuresink`.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Sent once before everything else. When planning as the recording comes, the duration is -1 and the tokens are 0.
    Plan(Header),
    /// What was heard in one hop.
    Cue(Cue),
    /// Comes before the entries that name it.
    Anchor(Anchor),
    /// A plan entry and the picture that serves it. Comes before that picture, maybe long before.
    Chosen(Chosen),
    /// A plan entry that no picture serves.
    Miss(Entry),
    /// Comes before the end of the stream.
    Summary(Summary),
}

/// A plan entry and the picture that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What the plan asked for.
    pub entry: Entry,
    /// Presentation time of the picture.
    pub pts: Nanos,
    /// Time between two pictures thereabouts.
    pub frame: Nanos,
}

/// What the gate knows at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// End of the last picture or cue.
    pub duration: Nanos,
    /// What might be spent over that time.
    pub budget_tokens: Tokens,
    /// Encoded pictures that came.
    pub pictures_seen: u64,
    /// Encoded pictures that went to the decoder.
    pub pictures_passed: u64,
    /// What went wrong without stopping the work, one sentence each.
    pub warnings: Vec<String>,
}

/// A structure that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{structure}: field `{field}` is {value}: {rule} (was it made by another version of Earmark?)"
)]
pub struct CarryError {
    /// Name of the structure, or what was read instead of one.
    pub structure: String,
    /// Name of the field.
    pub field: &'static str,
    /// What stands there.
    pub value: String,
    /// What it must be.
    pub rule: String,
}

fn wrong(s: &gst::StructureRef, field: &'static str, rule: impl Into<String>) -> CarryError {
    CarryError {
        structure: s.name().to_string(),
        field,
        value: s
            .value(field)
            .map_or_else(|_| "missing".into(), |value| format!("{value:?}")),
        rule: rule.into(),
    }
}

fn get<'a, T>(s: &'a gst::StructureRef, field: &'static str) -> Result<T, CarryError>
where
    T: glib::value::FromValue<'a> + glib::prelude::StaticType,
{
    s.get::<T>(field)
        .map_err(|_| wrong(s, field, format!("must be of type {}", T::static_type())))
}

fn nanos(s: &gst::StructureRef, field: &'static str) -> Result<Nanos, CarryError> {
    get::<i64>(s, field).map(Nanos::new)
}

fn unit(s: &gst::StructureRef, field: &'static str) -> Result<f32, CarryError> {
    let value = get::<f32>(s, field)?;
    if (0.0..=1.0).contains(&value) {
        Ok(value)
    } else {
        Err(wrong(s, field, "must lie in 0..=1"))
    }
}

fn cue_to_structure(cue: &Cue) -> gst::Structure {
    let mut s = gst::Structure::builder("earmark-cue")
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
    s
}

fn cue_from_structure(s: &gst::StructureRef) -> Result<Cue, CarryError> {
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
    Ok(Cue {
        pts: nanos(s, "pts-ns")?,
        eventness: unit(s, "eventness")?,
        uncertainty: unit(s, "uncertainty")?,
        speech: unit(s, "speech")?,
        tags,
        onset,
        bands,
    })
}

/// A cue as a line of text: the payload of a buffer of the cue stream. Written directly, as there are twelve a second: it says what
/// `cue_to_structure` does.
pub fn cue_to_text(cue: &Cue) -> String {
    let mut text = String::with_capacity(256);
    // Writing to a string doesn't fail.
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
    text += ";\n";
    text
}

/// A cue from the payload of a buffer of the cue stream.
///
/// # Errors
/// It is not text, not a structure, not a cue, or a value is out of range.
pub fn cue_from_text(bytes: &[u8]) -> Result<Cue, CarryError> {
    let no_structure = || CarryError {
        structure: String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned(),
        field: "earmark-cue",
        value: "missing".into(),
        rule: "must be the structure of a cue as text".into(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| no_structure())?;
    if let Some(cue) = our_cue(text) {
        return Ok(cue);
    }
    // GStreamer's parser takes C strings, and its wrapper panics where there is none.
    if text.contains('\0') {
        return Err(no_structure());
    }
    let s: gst::Structure = text.trim_end().parse().map_err(|_| no_structure())?;
    if s.name() == "earmark-cue" {
        cue_from_structure(&s)
    } else {
        Err(no_structure())
    }
}

/// A cue from a line as [`cue_to_text`] writes it; `None` of any other, good or bad.
fn our_cue(text: &str) -> Option<Cue> {
    let mut rest = text.strip_prefix("earmark-cue")?.strip_suffix(";\n")?;
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
    rest.is_empty().then_some(cue)
}

/// Takes a field that begins like this, up to its end or the text's.
fn value<'a>(rest: &mut &'a str, begins: &str, end: &str) -> Option<&'a str> {
    let field = rest.strip_prefix(begins)?;
    let (value, left) = field.split_at(field.find(end).unwrap_or(field.len()));
    *rest = left;
    Some(value)
}

fn put_entry(s: &mut gst::StructureRef, entry: &Entry) {
    s.set("planned-ns", entry.planned.get());
    if let Some(asked) = entry.asked {
        s.set("asked-ns", asked.get());
    }
    s.set("tier", entry.tier.name());
    s.set("tokens", entry.tokens);
    s.set("reason", entry.reason.name());
    s.set("anchor", entry.anchor.map_or(-1, i64::from));
}

fn get_entry(s: &gst::StructureRef) -> Result<Entry, CarryError> {
    let anchor = get::<i64>(s, "anchor")?;
    Ok(Entry {
        planned: nanos(s, "planned-ns")?,
        asked: if s.has_field("asked-ns") {
            Some(nanos(s, "asked-ns")?)
        } else {
            None
        },
        tier: get::<&str>(s, "tier")?
            .parse()
            .map_err(|rule: String| wrong(s, "tier", rule))?,
        tokens: get(s, "tokens")?,
        reason: get::<&str>(s, "reason")?
            .parse()
            .map_err(|rule: String| wrong(s, "reason", rule))?,
        anchor: match anchor {
            -1 => None,
            id => Some(
                u32::try_from(id).map_err(|_| wrong(s, "anchor", "must lie in -1..=4294967295"))?,
            ),
        },
    })
}

fn put_chosen(s: &mut gst::StructureRef, chosen: &Chosen) {
    put_entry(s, &chosen.entry);
    s.set("pts-ns", chosen.pts.get());
    s.set("frame-ns", chosen.frame.get());
}

fn get_chosen(s: &gst::StructureRef) -> Result<Chosen, CarryError> {
    Ok(Chosen {
        entry: get_entry(s)?,
        pts: nanos(s, "pts-ns")?,
        frame: nanos(s, "frame-ns")?,
    })
}

fn anchor_from_structure(s: &gst::StructureRef) -> Result<Anchor, CarryError> {
    let window = Window::new(nanos(s, "start-ns")?, nanos(s, "stop-ns")?);
    Ok(Anchor {
        id: get(s, "id")?,
        onset: nanos(s, "onset-ns")?,
        window: window.ok_or_else(|| wrong(s, "stop-ns", "must be later than start-ns"))?,
        label: get(s, "label")?,
        class_id: get(s, "class-id")?,
        score: unit(s, "score")?,
        uncertainty: unit(s, "uncertainty")?,
    })
}

fn header_from_structure(s: &gst::StructureRef) -> Result<Header, CarryError> {
    Ok(Header {
        schema: SCHEMA.into(),
        video_id: get(s, "video-id")?,
        duration: nanos(s, "duration-ns")?,
        budget_tokens: get(s, "budget-tokens")?,
        spent_tokens: get(s, "spent-tokens")?,
        config: serde_json::from_str(get(s, "config")?)
            .map_err(|error| wrong(s, "config", format!("must be JSON: {error}")))?,
    })
}

fn summary_from_structure(s: &gst::StructureRef) -> Result<Summary, CarryError> {
    let warnings = get::<gst::ArrayRef>(s, "warnings")?;
    let warnings = warnings.iter().map(|text| text.get::<String>());
    Ok(Summary {
        duration: nanos(s, "duration-ns")?,
        budget_tokens: get(s, "budget-tokens")?,
        pictures_seen: get(s, "pictures-seen")?,
        pictures_passed: get(s, "pictures-passed")?,
        warnings: warnings
            .collect::<Result<_, _>>()
            .map_err(|_| wrong(s, "warnings", "must hold strings"))?,
    })
}

impl Message {
    /// As a structure; the name says which message it is.
    pub fn to_structure(&self) -> gst::Structure {
        match self {
            Self::Plan(header) => gst::Structure::builder(PLAN)
                .field("video-id", &header.video_id)
                .field("duration-ns", header.duration.get())
                .field("budget-tokens", header.budget_tokens)
                .field("spent-tokens", header.spent_tokens)
                .field("config", header.config.to_string())
                .build(),
            Self::Cue(cue) => cue_to_structure(cue),
            Self::Anchor(anchor) => gst::Structure::builder("earmark-anchor")
                .field("id", anchor.id)
                .field("onset-ns", anchor.onset.get())
                .field("start-ns", anchor.window.start().get())
                .field("stop-ns", anchor.window.stop().get())
                .field("label", &anchor.label)
                .field("class-id", anchor.class_id)
                .field("score", anchor.score)
                .field("uncertainty", anchor.uncertainty)
                .build(),
            Self::Chosen(chosen) => {
                let mut s = gst::Structure::new_empty("earmark-entry");
                put_chosen(&mut s, chosen);
                s
            }
            Self::Miss(entry) => {
                let mut s = gst::Structure::new_empty("earmark-miss");
                put_entry(&mut s, entry);
                s
            }
            Self::Summary(summary) => gst::Structure::builder("earmark-summary")
                .field("duration-ns", summary.duration.get())
                .field("budget-tokens", summary.budget_tokens)
                .field("pictures-seen", summary.pictures_seen)
                .field("pictures-passed", summary.pictures_passed)
                .field("warnings", gst::Array::new(summary.warnings.iter()))
                .build(),
        }
    }

    /// From a structure; `None` if its name is none of ours.
    ///
    /// # Errors
    /// A field is missing, has the wrong type or is out of range.
    pub fn from_structure(s: &gst::StructureRef) -> Option<Result<Self, CarryError>> {
        Some(match s.name().as_str() {
            PLAN => header_from_structure(s).map(Self::Plan),
            "earmark-cue" => cue_from_structure(s).map(Self::Cue),
            "earmark-anchor" => anchor_from_structure(s).map(Self::Anchor),
            "earmark-entry" => get_chosen(s).map(Self::Chosen),
            "earmark-miss" => get_entry(s).map(Self::Miss),
            "earmark-summary" => summary_from_structure(s).map(Self::Summary),
            _ => return None,
        })
    }

    /// As a custom serialized downstream event.
    pub fn to_event(&self) -> gst::Event {
        gst::event::CustomDownstream::new(self.to_structure())
    }

    /// From an event; `None` if it is none of ours.
    ///
    /// # Errors
    /// As [`Self::from_structure`].
    pub fn from_event(event: &gst::EventRef) -> Option<Result<Self, CarryError>> {
        match event.view() {
            gst::EventView::CustomDownstream(_) => Self::from_structure(event.structure()?),
            _ => None,
        }
    }
}

/// Makes the meta of [`tag_buffer`] known; call before anything else. Converters copy it: it has no tags.
pub fn register_meta() {
    if !gst::meta::CustomMeta::is_registered(ENTRY_META) {
        gst::meta::CustomMeta::register(ENTRY_META, &[]);
    }
}

/// Puts the plan entry on the picture that serves it, in place of any entry it has.
///
/// # Errors
/// [`register_meta`] was not called.
pub fn tag_buffer(buffer: &mut gst::BufferRef, chosen: &Chosen) -> Result<(), glib::BoolError> {
    if let Ok(mut meta) = gst::meta::CustomMeta::from_mut_buffer(buffer, ENTRY_META) {
        put_chosen(meta.mut_structure(), chosen);
        return Ok(());
    }
    let mut meta = gst::meta::CustomMeta::add(buffer, ENTRY_META)?;
    put_chosen(meta.mut_structure(), chosen);
    Ok(())
}

/// The plan entry that a picture serves; `None` if it carries none.
///
/// # Errors
/// What it carries is no entry.
pub fn buffer_tag(buffer: &gst::BufferRef) -> Option<Result<Chosen, CarryError>> {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, ENTRY_META).ok()?;
    Some(get_chosen(meta.structure()))
}

/// What an element did, posted on the bus at the end of the stream: `stage` and numbers, e.g. `busy-ns`.
pub fn stats_message(
    element: &impl glib::object::IsA<gst::Object>,
    stage: &str,
    numbers: &[(&str, u64)],
) -> gst::Message {
    let mut s = gst::Structure::builder("earmark-stats")
        .field("stage", stage)
        .build();
    for (name, number) in numbers {
        s.set(*name, number);
    }
    gst::message::Element::builder(s).src(element).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anchoring::plan::Reason;
    use anchoring::tier::Tier;

    fn entry(anchor: Option<u32>) -> Entry {
        Entry {
            planned: Nanos::new(1_234_567_891),
            asked: anchor.is_none().then_some(Nanos::new(1_234_000_000)),
            tier: Tier::High,
            tokens: 784,
            reason: anchor.map_or(Reason::Untrusted, |_| Reason::Anchor),
            anchor,
        }
    }

    fn cue() -> Cue {
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
        }
    }

    fn messages() -> Vec<Message> {
        vec![
            Message::Plan(Header {
                schema: SCHEMA.into(),
                video_id: "a \"b\"; c=1".into(),
                duration: Nanos::new(-1),
                budget_tokens: 0,
                spent_tokens: 0,
                config: serde_json::json!({"budget": {"tokens_per_s": 196.0}}),
            }),
            Message::Cue(cue()),
            Message::Anchor(Anchor {
                id: 3,
                onset: Nanos::from_ms(500),
                window: Window::new(Nanos::from_ms(300), Nanos::from_ms(900)).unwrap(),
                label: "Dishes, pots, and pans".into(),
                class_id: -1,
                score: 0.9,
                uncertainty: 0.1,
            }),
            Message::Chosen(Chosen {
                entry: entry(Some(3)),
                pts: Nanos::new(1_240_000_000),
                frame: Nanos::from_ms(40),
            }),
            Message::Miss(entry(None)),
            Message::Summary(Summary {
                duration: Nanos::from_ms(10_000),
                budget_tokens: 1960,
                pictures_seen: 250,
                pictures_passed: 40,
                warnings: vec!["no cues".into(), "a, b; c".into()],
            }),
        ]
    }

    #[test]
    fn a_cue_with_a_zero_byte_is_refused() {
        gst::init().unwrap();
        assert!(cue_from_text(b"\0").is_err());
        assert!(cue_from_text(b"earmark-cue, pts-ns=(gint64)0\0;\n").is_err());
    }

    #[test]
    fn every_message_survives_an_event_and_text() {
        gst::init().unwrap();
        for message in messages() {
            let event = message.to_event();
            assert!(event.is_serialized() && event.is_downstream());
            assert_eq!(Message::from_event(&event), Some(Ok(message.clone())));
            let text = message.to_structure().to_string();
            let parsed: gst::Structure = text.parse().unwrap();
            assert_eq!(Message::from_structure(&parsed), Some(Ok(message)));
        }
        let stranger = gst::event::Eos::new();
        assert_eq!(Message::from_event(&stranger), None);
    }

    #[test]
    fn a_cue_survives_its_line_of_text() {
        gst::init().unwrap();
        let mut plain = cue();
        plain.onset = None;
        plain.tags.clear();
        for cue in [cue(), plain] {
            let text = cue_to_text(&cue);
            assert!(text.ends_with('\n') && text.lines().count() == 1);
            assert_eq!(our_cue(&text).as_ref(), Some(&cue));
            assert_eq!(cue_from_text(text.as_bytes()).as_ref(), Ok(&cue));
            // As GStreamer reads it, and as GStreamer writes it.
            let read: gst::Structure = text.trim_end().parse().unwrap();
            assert_eq!(read, cue_to_structure(&cue));
            let written = format!("{}\n", cue_to_structure(&cue));
            assert_eq!(cue_from_text(written.as_bytes()), Ok(cue));
        }
    }

    #[test]
    fn what_is_no_cue_is_refused_with_the_field_and_the_rule() {
        gst::init().unwrap();
        for text in [&b""[..], b"\xff\xfe", b"hello world", b"other-thing, a=1;"] {
            assert!(cue_from_text(text).is_err());
        }
        let text = cue_to_text(&cue()).replace("eventness=(float)0.12", "eventness=(float)7.12");
        let error = cue_from_text(text.as_bytes()).unwrap_err();
        assert_eq!(error.field, "eventness");
        assert!(error.to_string().contains("0..=1"), "{error}");
    }

    #[test]
    fn a_picture_carries_its_entry_through_a_copy() {
        gst::init().unwrap();
        register_meta();
        register_meta();
        let chosen = |ms| Chosen {
            entry: entry(None),
            pts: Nanos::from_ms(ms),
            frame: Nanos::from_ms(40),
        };
        let mut buffer = gst::Buffer::new();
        assert!(buffer_tag(&buffer).is_none());
        tag_buffer(buffer.make_mut(), &chosen(1)).unwrap();
        let mut copy = buffer.copy();
        tag_buffer(copy.make_mut(), &chosen(2)).unwrap();
        assert_eq!(buffer_tag(&buffer), Some(Ok(chosen(1))));
        assert_eq!(buffer_tag(&copy), Some(Ok(chosen(2))));
    }
}
