//! Converts cues, anchors, plan entries and so on to GStreamer structures and back; nothing else does.
//!
//! From `eventness` to `anchorgate` a cue travels as a buffer of text ([`cue_to_text`]), an early one in an event ([`early_cue_event`]). From `anchorgate` on, everything travels as
//! custom serialized downstream events ([`Message`]), in order with the frames, until `framepick` attaches the plan entry to its frame
//! ([`tag_buffer`]). All times are the recording's own (stream time), in integer nanoseconds.

mod anchor;
mod candidate;
mod clip;
mod cue;
mod entry;
mod fields;
mod plan;
mod stats;

use anchoring::cue::Cue;
use anchoring::plan::{Anchor, Clip, Entry, Header, Untaken};

pub use anchor::decided_message;
pub use cue::{CUE_CAPS, cue_from_text, cue_to_text, early_cue, early_cue_event};
pub use entry::{Chosen, ENTRY_META, buffer_tag, register_meta, tag_buffer};
pub use fields::StructureError;
pub(crate) use plan::HEADER;
pub use plan::Summary;
pub use stats::stats_message;

/// Name of the structure of a plan entry with its frame.
const ENTRY: &str = "earmark-entry";
/// Name of the structure of a plan entry without one.
const MISS: &str = "earmark-miss";

/// What travels from `anchorgate` to `featuresink`.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Sent once, before everything else. In streaming planning the duration is -1 and the tokens are 0.
    Plan(Header),
    /// The cue of one hop.
    Cue(Cue),
    /// Comes before the entries that refer to it.
    Anchor(Anchor),
    /// A candidate that was not taken.
    Candidate(Untaken),
    /// Comes before the entries of its frames.
    Clip(Clip),
    /// A plan entry and its frame. Comes before that frame, maybe long before.
    Chosen(Chosen),
    /// A plan entry without a frame.
    Miss(Entry),
    /// Comes before the end of the stream.
    Summary(Summary),
}

impl Message {
    /// As a structure; the name says which message it is.
    pub fn to_structure(&self) -> gst::Structure {
        match self {
            Self::Plan(header) => plan::header_to_structure(header),
            Self::Cue(cue) => cue::to_structure(cue),
            Self::Anchor(anchor) => anchor::to_structure(anchor),
            Self::Candidate(one) => candidate::to_structure(one),
            Self::Clip(clip) => clip::to_structure(clip),
            Self::Chosen(chosen) => {
                let mut s = gst::Structure::new_empty(ENTRY);
                entry::put_chosen(&mut s, chosen);
                s
            }
            Self::Miss(missed) => {
                let mut s = gst::Structure::new_empty(MISS);
                entry::put_entry(&mut s, missed);
                s
            }
            Self::Summary(summary) => plan::summary_to_structure(summary),
        }
    }

    /// From a structure; `None` if its name is not one of these.
    ///
    /// # Errors
    /// A field is missing, has the wrong type or is out of range.
    pub fn from_structure(s: &gst::StructureRef) -> Option<Result<Self, StructureError>> {
        Some(match s.name().as_str() {
            plan::HEADER => plan::header_from_structure(s).map(Self::Plan),
            cue::NAME => cue::from_structure(s).map(Self::Cue),
            anchor::NAME => anchor::from_structure(s).map(Self::Anchor),
            candidate::NAME => candidate::from_structure(s).map(Self::Candidate),
            clip::NAME => clip::from_structure(s).map(Self::Clip),
            ENTRY => entry::get_chosen(s).map(Self::Chosen),
            MISS => entry::get_entry(s).map(Self::Miss),
            plan::SUMMARY => plan::summary_from_structure(s).map(Self::Summary),
            _ => return None,
        })
    }

    /// As a custom serialized downstream event.
    pub fn to_event(&self) -> gst::Event {
        gst::event::CustomDownstream::new(self.to_structure())
    }

    /// From an event; `None` if it carries no message.
    ///
    /// # Errors
    /// As [`Self::from_structure`].
    pub fn from_event(event: &gst::EventRef) -> Option<Result<Self, StructureError>> {
        match event.view() {
            gst::EventView::CustomDownstream(_) => Self::from_structure(event.structure()?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cue::tests::cue;
    use super::entry::tests::entry;
    use super::*;
    use anchoring::plan::{ClipFrames, SCHEMA};
    use anchoring::time::{Nanos, Window};

    #[test]
    fn an_early_cue_travels_in_an_event_of_its_own() {
        gst::init().unwrap();
        let event = early_cue_event(&cue());
        assert_eq!(early_cue(&event).unwrap().unwrap(), cue());
        assert!(Message::from_event(&event).is_none());
        assert!(early_cue(&Message::Cue(cue()).to_event()).is_none());
        let bad = gst::event::CustomDownstream::new(gst::Structure::new_empty("earmark-early-cue"));
        assert!(early_cue(&bad).unwrap().is_err());
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
                candidates_per_min: 30,
            }),
            Message::Candidate(Untaken {
                onset: Nanos::from_ms(700),
                score: 0.25,
                more_tokens: Some(196),
            }),
            Message::Candidate(Untaken {
                onset: Nanos::from_ms(800),
                score: 0.25,
                more_tokens: None,
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
            Message::Clip(Clip {
                entry: entry(Some(3)),
                frames: ClipFrames::new([-1, 0, 40, 40].map(Nanos::new).into(), Nanos::new(40))
                    .unwrap(),
            }),
            Message::Chosen(Chosen {
                entry: entry(Some(3)),
                pts: Nanos::new(1_240_000_000),
                frame: Nanos::from_ms(40),
                earliest: Nanos::new(1_140_000_000),
            }),
            Message::Miss(entry(None)),
            Message::Summary(Summary {
                duration: Nanos::from_ms(10_000),
                budget_tokens: 1960,
                first_frame: Some(Nanos::from_ms(40)),
                access_units_seen: 250,
                access_units_passed: 40,
                warnings: vec!["no cues".into(), "a, b; c".into()],
            }),
        ]
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
}
