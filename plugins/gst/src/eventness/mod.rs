//! `eventness`: turns sound into cues, one for every hop of 80 ms.
//!
//! # Layout
//!
//! - `settings`: the properties.
//! - `imp`: pads and locks.
//! - `state`: samples in, cues out.
//! - `audio_repair`: repairs audio before it is mixed down.
//! - `sound_models`: probe, tagger and voice detector, ready to run.

mod audio_repair;
mod imp;
mod settings;
mod sound_models;
mod state;

use gst::glib;
use gst::prelude::*;

pub use crate::models::PROBES;
pub use audio_repair::repair_audio;

glib::wrapper! {
    /// `eventness`: turns mono 16 kHz sound into cues.
    pub struct Eventness(ObjectSubclass<imp::Eventness>) @extends gst::Element, gst::Object;
}

/// How speech is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkSpeech")]
pub enum Speech {
    /// Lowers the score of onsets near speech; cues leave speech out.
    #[enum_value(
        name = "Lowers the score of onsets near speech; cues leave speech out",
        nick = "ignore"
    )]
    Ignore,
    /// Lowers the score of onsets near speech; cues mark it.
    #[default]
    #[enum_value(
        name = "Lowers the score of onsets near speech; cues mark speech",
        nick = "label"
    )]
    Label,
    /// Treats speech like any other sound.
    #[enum_value(
        name = "Treats speech like any other sound; cues mark speech",
        nick = "anchor"
    )]
    Anchor,
}

impl From<Speech> for anchoring::listener::SpeechMode {
    fn from(speech: Speech) -> Self {
        match speech {
            Speech::Ignore => Self::Ignore,
            Speech::Label => Self::Label,
            Speech::Anchor => Self::Anchor,
        }
    }
}

/// Which sound the tagger gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkTagging")]
pub enum Tagging {
    /// Sound near likely onsets: a few times cheaper.
    #[default]
    #[enum_value(
        name = "Only sound near likely onsets; other cues have no classes",
        nick = "onsets"
    )]
    Onsets,
    /// All of it.
    #[enum_value(name = "All sound, a patch every 0.48 s", nick = "all")]
    All,
}

impl From<Tagging> for anchoring::listener::TagScope {
    fn from(tagging: Tagging) -> Self {
        match tagging {
            Tagging::Onsets => Self::Onsets,
            Tagging::All => Self::All,
        }
    }
}

/// Checks a probe with its weights and tagger, without loading a model.
///
/// # Errors
/// The probe is unknown, its weights are unreadable or made for another probe, or it needs a tagger and there is none.
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
