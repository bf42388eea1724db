//! Sound -> cues: a timed stream of what is heard, one cue for every 80 ms.
//!
//! # Layout
//!
//! - `settings`: the properties.
//! - `imp`: pads and locks.
//! - `state`: samples in, cues out.
//! - `sound_models`: probe, tagger and voice detector, ready to run.

mod imp;
mod settings;
mod sound_models;
mod state;

use gst::glib;
use gst::prelude::*;

pub use crate::models::PROBES;

glib::wrapper! {
    /// `eventness`: listens to mono 16 kHz sound and says when something begins, how sure that is, and what it may be.
    pub struct Eventness(ObjectSubclass<imp::Eventness>) @extends gst::Element, gst::Object;
}

/// What becomes of speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkSpeech")]
pub enum Speech {
    /// Neither anchors nor labels.
    #[enum_value(
        name = "Onsets beside a voice count less, as the weights say, and cues don't tell of speech",
        nick = "ignore"
    )]
    Ignore,
    /// Labels; hardly anchors.
    #[default]
    #[enum_value(
        name = "Onsets beside a voice count less, as the weights say, and cues tell of speech",
        nick = "label"
    )]
    Label,
    /// A sound like any other.
    #[enum_value(
        name = "Speech makes anchors like any other sound, and cues tell of it",
        nick = "anchor"
    )]
    Anchor,
}

impl From<Speech> for anchoring::listen::Speech {
    fn from(speech: Speech) -> Self {
        match speech {
            Speech::Ignore => Self::Ignore,
            Speech::Label => Self::Label,
            Speech::Anchor => Self::Anchor,
        }
    }
}

/// What the tagger names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkTagging")]
pub enum Tagging {
    /// Sounds that probably begin: a few times cheaper.
    #[default]
    #[enum_value(
        name = "What sounds where something probably begins; other cues have no classes",
        nick = "onsets"
    )]
    Onsets,
    /// Everything.
    #[enum_value(name = "All of the sound, every 0.48 s", nick = "all")]
    All,
}

impl From<Tagging> for anchoring::listen::Naming {
    fn from(tagging: Tagging) -> Self {
        match tagging {
            Tagging::Onsets => Self::Onsets,
            Tagging::All => Self::All,
        }
    }
}

/// What is wrong with what these properties name, if anything: an unknown probe, weights that can't be read or aren't made for it,
/// a probe that needs a tagger where there is none.
pub fn check_probe(
    probe: &str,
    weights: &str,
    tagger: &str,
) -> Result<(), crate::models::ModelError> {
    let settings = settings::Settings {
        probe: probe.into(),
        weights: weights.into(),
        tagger: tagger.into(),
        ..settings::Settings::default()
    };
    sound_models::hearing(&settings).map(|_| ())
}

pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "eventness",
        gst::Rank::NONE,
        Eventness::static_type(),
    )
}
