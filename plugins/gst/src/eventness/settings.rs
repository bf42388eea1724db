//! The properties of `eventness`: names, ranges and values.

use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use super::{Speech, Tagging};

/// The value for no model.
pub(super) const NONE: &str = "none";
/// The default probe.
pub(super) const DEFAULT: &str = "onset";

/// The properties' values.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) probe: String,
    /// A path; empty: the built-in weights.
    pub(super) weights: String,
    pub(super) tagger: String,
    pub(super) tagging: Tagging,
    pub(super) vad: String,
    pub(super) speech: Speech,
    pub(super) threads: u32,
    pub(super) batch: u32,
    pub(super) early_cues: bool,
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
            early_cues: false,
        }
    }
}

/// The properties as GObject and `gst-inspect-1.0` list them.
pub(super) fn properties() -> &'static [glib::ParamSpec] {
    static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
        let settings = Settings::default();
        vec![
            glib::ParamSpecString::builder("probe")
                .nick("Onset probe")
                .blurb("What turns sound into onsets: energy or flux (no model), onset (flux and small networks), onset+tcn (adds a larger network and half a second of delay), tagger (its highest probability), tagger-novelty (change of its embedding), or the name or path of a manifest of kind probe (an embedding with a head)")
                .default_value(settings.probe.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("weights")
                .nick("Probe weights")
                .blurb("Weights of the probes onset and onset+tcn: a safetensors file written by `earmark fit`; empty: the built-in weights")
                .default_value(settings.weights.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("tagger")
                .nick("Tagger")
                .blurb("Model that names sounds: the name of a manifest (such as yamnet), its path, or none")
                .default_value(settings.tagger.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("tagging", settings.tagging)
                .nick("Tagging")
                .blurb("Which sound the tagger gets")
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("vad")
                .nick("Voice detector")
                .blurb("Model that detects speech: the name of a manifest (such as silero-vad), its path, or none; with none the tagger's speech classes decide")
                .default_value(settings.vad.as_str())
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("speech", settings.speech)
                .nick("Speech")
                .blurb("Whether speech lowers the score of onsets near it, and whether cues mark it")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("threads")
                .nick("Model threads")
                .blurb("Threads of the tagger and the embedding; 0 counts as 1")
                .maximum(64)
                .default_value(settings.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("batch")
                .nick("Batch")
                .blurb("Patches that go through the tagger together. Above 1 they wait for each other, up to 15.36 s of sound; keep 1 where cues must come at once")
                .minimum(1)
                .maximum(64)
                .default_value(settings.batch)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("early-cues")
                .nick("Early cues")
                .blurb("Also sends each cue as an event as soon as planning can use it, which may be half a second before the tagger lets it be final. Plans stay the same; they are only made sooner")
                .default_value(settings.early_cues)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("hears-ahead")
                .nick("Hears ahead")
                .blurb("How much sound after an onset the probe needs to judge it, ns")
                .read_only()
                .build(),
        ]
    });
    &PROPERTIES
}

/// A string property's value, or `otherwise` if it is empty.
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
            "early-cues" => self.early_cues = value.get().unwrap_or_default(),
            _ => {}
        }
    }

    /// Gives a value; `None` if no setting has this name.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "probe" => self.probe.to_value(),
            "weights" => self.weights.to_value(),
            "tagger" => self.tagger.to_value(),
            "tagging" => self.tagging.to_value(),
            "vad" => self.vad.to_value(),
            "speech" => self.speech.to_value(),
            "batch" => self.batch.to_value(),
            "early-cues" => self.early_cues.to_value(),
            "threads" => self.threads.to_value(),
            _ => return None,
        })
    }
}
