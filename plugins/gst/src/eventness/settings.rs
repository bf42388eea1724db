//! The element's properties: what they are called, what they may be, what they are.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::{Speech, Tagging};

/// Names that stand for no model.
pub(super) const NONE: &str = "none";
/// The probe, unless another is named.
pub(super) const DEFAULT: &str = "onset";

/// What the properties say.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) probe: String,
    /// Path, or nothing for the built-in ones.
    pub(super) weights: String,
    pub(super) tagger: String,
    pub(super) tagging: Tagging,
    pub(super) vad: String,
    pub(super) speech: Speech,
    pub(super) threads: u32,
    pub(super) batch: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            probe: DEFAULT.into(),
            weights: String::new(),
            tagger: NONE.into(),
            tagging: Tagging::default(),
            vad: NONE.into(),
            speech: Speech::default(),
            threads: 1,
            batch: 1,
        }
    }
}

/// What GObject and `gst-inspect-1.0` are told.
pub(super) fn properties() -> &'static [glib::ParamSpec] {
    static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
        let settings = Settings::default();
        vec![
            glib::ParamSpecString::builder("probe")
                .nick("Onset probe")
                .blurb("What finds the instants at which something begins: energy, flux (no model), onset (flux and small networks), onset+tcn (those and a larger one, half a second later), tagger (the tagger's largest probability), tagger-novelty (how its embedding changes), or the name or path of a manifest of kind probe (any embedding with a head)")
                .default_value(settings.probe.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("weights")
                .nick("Probe weights")
                .blurb("Weights of the probes onset and onset+tcn: a safetensors file that `earmark fit` wrote (empty: those built in)")
                .default_value(settings.weights.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("tagger")
                .nick("Sound tagger")
                .blurb("Model that names what is heard: a manifest's name (e.g. yamnet) or path, or none")
                .default_value(settings.tagger.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("tagging", settings.tagging)
                .nick("What is named")
                .blurb("What the tagger is shown: where something probably begins, or all of the sound")
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("vad")
                .nick("Voice activity detector")
                .blurb("Model that hears whether somebody speaks: a manifest's name (e.g. silero-vad) or path, or none: then speech is what the tagger says it is")
                .default_value(settings.vad.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("speech", settings.speech)
                .nick("Speech")
                .blurb("What becomes of speech: whether onsets in it may be anchors, and whether cues tell of it")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("threads")
                .nick("Model threads")
                .blurb("Threads that the tagger and an embedding may use, count (0: as many as there are processors)")
                .maximum(64)
                .default_value(settings.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("batch")
                .nick("Patches at once")
                .blurb("How many patches the tagger is shown at once, count; with more than one they wait for each other, up to 15.36 s of sound, so leave it alone where cues are awaited")
                .minimum(1)
                .maximum(64)
                .default_value(settings.batch)
                .mutable_ready()
                .build(),
        ]
    });
    &PROPERTIES
}

/// A string property's value, or what stands for none.
fn text(value: &glib::Value, otherwise: &str) -> String {
    value
        .get::<Option<String>>()
        .ok()
        .flatten()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| otherwise.into())
}

impl Settings {
    /// Takes a value, whose type and range GObject has checked.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "probe" => self.probe = text(value, DEFAULT),
            "weights" => self.weights = text(value, ""),
            "tagger" => self.tagger = text(value, NONE),
            "tagging" => self.tagging = value.get().unwrap_or_default(),
            "vad" => self.vad = text(value, NONE),
            "speech" => self.speech = value.get().unwrap_or_default(),
            "threads" => self.threads = value.get().unwrap_or(1),
            "batch" => self.batch = value.get().unwrap_or(1),
            _ => {}
        }
    }

    /// Gives a value; `None` if there is no such property.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "probe" => self.probe.to_value(),
            "weights" => self.weights.to_value(),
            "tagger" => self.tagger.to_value(),
            "tagging" => self.tagging.to_value(),
            "vad" => self.vad.to_value(),
            "speech" => self.speech.to_value(),
            "batch" => self.batch.to_value(),
            "threads" => self.threads.to_value(),
            _ => return None,
        })
    }
}
