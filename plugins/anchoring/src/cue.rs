//! What the audio says about one hop.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::time::Nanos;

/// Length of a cue's hop: eight mel frames, a sixth of the tagger's hop. At most one onset can lie in it, because onsets
/// are more than eight frames apart.
pub const HOP: Nanos = Nanos::from_ms(80);

/// How many of the tagger's classes a cue carries.
pub const TOP: usize = 5;

/// A tagger's class and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tag {
    /// Row of the tagger's class list.
    pub class_id: u16,
    /// Probability in [0, 1].
    pub p: f32,
}

/// The beginning of a sound inside a hop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    /// When it begins, to about a hundredth of a second.
    pub at: Nanos,
    /// How likely a new event begins here, in [0, 1]. Onsets are ranked by it.
    pub p: f32,
    /// How unsure that is, in [0, 1].
    pub uncertainty: f32,
}

/// What the audio says about `[pts, pts + HOP)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// Start of the hop, in the recording's time.
    pub pts: Nanos,
    /// Highest onset strength in the hop, in [0, 1].
    pub eventness: f32,
    /// How little the sound can be trusted here, in [0, 1]; 1 where there is nothing to hear (digital silence, NaN).
    pub uncertainty: f32,
    /// Probability of speech, in [0, 1]; 0 without a tagger.
    pub speech: f32,
    /// The tagger's likeliest classes, likeliest first; empty without a tagger, at most [`TOP`].
    pub tags: Vec<Tag>,
    /// The onset in this hop, if one begins here.
    pub onset: Option<Onset>,
}

impl Serialize for Cue {
    /// One line of `plan.jsonl` without its kind: `pts_ns`, `eventness`, `uncertainty`, `speech`, `classes` as `[id, p]` pairs, and
    /// with an onset `onset_ns`, `onset_p`, `onset_uncertainty`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pts_ns", &self.pts)?;
        map.serialize_entry("eventness", &self.eventness)?;
        map.serialize_entry("uncertainty", &self.uncertainty)?;
        map.serialize_entry("speech", &self.speech)?;
        let classes: Vec<(u16, f32)> = self.tags.iter().map(|t| (t.class_id, t.p)).collect();
        map.serialize_entry("classes", &classes)?;
        if let Some(onset) = &self.onset {
            map.serialize_entry("onset_ns", &onset.at)?;
            map.serialize_entry("onset_p", &onset.p)?;
            map.serialize_entry("onset_uncertainty", &onset.uncertainty)?;
        }
        map.end()
    }
}
