//! The element's properties: names, texts, ranges, values.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use crate::h5::{BECAUSE, Precision, is_attribute};
use crate::onnx::{Device, Provider};

/// How features are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkPrecision")]
pub(super) enum StoredAs {
    #[default]
    #[enum_value(name = "32-bit float", nick = "f32")]
    F32,
    #[enum_value(name = "16-bit float: half the space, three digits", nick = "f16")]
    F16,
}

/// Every property's value.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) location: String,
    pub(super) model: String,
    pub(super) batch: u32,
    pub(super) precision: StoredAs,
    pub(super) overwrite: bool,
    pub(super) video_id: String,
    pub(super) input_uri: String,
    pub(super) input_bytes: u64,
    pub(super) config: String,
    pub(super) threads: u32,
    pub(super) provider: Provider,
    pub(super) device: u32,
    pub(super) tagger: String,
    pub(super) models: String,
    pub(super) streams: String,
    pub(super) thumbnails: bool,
    pub(super) times: String,
    pub(super) attributes: String,
    pub(super) warnings: String,
    pub(super) flush_s: u32,
    pub(super) segment_s: u32,
    pub(super) keep_up: bool,
    pub(super) incomplete_because: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: String::new(),
            model: "efficientnet-lite0".into(),
            batch: 16,
            precision: StoredAs::default(),
            overwrite: false,
            video_id: String::new(),
            input_uri: String::new(),
            input_bytes: 0,
            config: String::new(),
            threads: 2,
            provider: Provider::default(),
            device: 0,
            tagger: "none".into(),
            models: String::new(),
            streams: String::new(),
            thumbnails: false,
            times: String::new(),
            attributes: String::new(),
            warnings: String::new(),
            flush_s: 10,
            segment_s: 0,
            keep_up: false,
            incomplete_because: String::new(),
        }
    }
}

impl From<StoredAs> for Precision {
    fn from(stored: StoredAs) -> Self {
        match stored {
            StoredAs::F32 => Self::F32,
            StoredAs::F16 => Self::F16,
        }
    }
}

/// The signal that asks for a file's name.
pub(super) const NAMES: &str = "name-segment";

pub(super) fn signals() -> &'static [glib::subclass::Signal] {
    static SIGNALS: LazyLock<Vec<glib::subclass::Signal>> = LazyLock::new(|| {
        vec![
            // (number from 0, its beginning in the stream in ns) -> a structure with `location` and maybe `attributes`, as the properties
            // of these names; without one, the file is named after the location and the number.
            glib::subclass::Signal::builder(NAMES)
                .param_types([u32::static_type(), u64::static_type()])
                .return_type::<Option<gst::Structure>>()
                .run_last()
                .build(),
        ]
    });
    SIGNALS.as_ref()
}

/// The properties as GObject and `gst-inspect-1.0` list them.
pub(super) fn properties() -> &'static [glib::ParamSpec] {
    static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
        let text = |name: &str, nick: &str, blurb: &str, default: &str| {
            glib::ParamSpecString::builder(name)
                .nick(nick)
                .blurb(blurb)
                .default_value(Some(default).filter(|text| !text.is_empty()))
                .mutable_ready()
                .build()
        };
        let standard = Settings::default();
        vec![
            text("location", "Location", "HDF5 file to write: a path or a file:// URI. Until the end of the stream its name is LOCATION.partial; a run that ends early leaves that file", ""),
            text("model", "Model", "Encoder: the name of a model manifest, or the path of one (.yaml)", &standard.model),
            glib::ParamSpecUInt::builder("batch")
                .nick("Batch")
                .blurb("Frames of the low tier per batch; other tiers get as many as have no more pixels, at least one")
                .minimum(1)
                .maximum(256)
                .default_value(standard.batch)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("precision", standard.precision)
                .nick("Precision")
                .blurb("Number format of stored features")
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("overwrite")
                .nick("Overwrite")
                .blurb("Replace an existing file once the new one is finished")
                .default_value(standard.overwrite)
                .mutable_ready()
                .build(),
            text("video-id", "Video ID", "Name of the recording; empty: that of the plan, else the file name of the location", ""),
            text("input-uri", "Input URI", "URI of the recording, stored as an attribute", ""),
            glib::ParamSpecUInt64::builder("input-bytes")
                .nick("Input bytes")
                .blurb("Size of the recording in bytes, stored as an attribute; 0: unknown")
                .default_value(standard.input_bytes)
                .mutable_ready()
                .build(),
            text("config", "Configuration", "The resolved pipeline, stored as an attribute; empty: that of the plan", ""),
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("Threads of the encoder")
                .minimum(1)
                .maximum(64)
                .default_value(standard.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("provider", standard.provider)
                .nick("Provider")
                .blurb("What runs the encoder. If it is unavailable, featuresink warns and falls back to the CPU")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("device")
                .nick("Device")
                .blurb("Which of the provider's devices runs the encoder, from 0")
                .maximum(255)
                .default_value(standard.device)
                .mutable_ready()
                .build(),
            text("tagger", "Tagger", "Tagger that made the cues (name or path of a manifest, or none), stored as an attribute", &standard.tagger),
            text("models", "Models", "The models of the audio as a JSON array of objects with role, name, sha256 and manifest_sha256, stored as an attribute; empty: the tagger", ""),
            text("streams", "Streams", "The recording's streams as JSON, stored as an attribute", ""),
            glib::ParamSpecBoolean::builder("thumbnails")
                .nick("Thumbnails")
                .blurb("Store a small JPEG of every frame in /thumbnails/jpeg, 2 to 12 KB each")
                .default_value(standard.thumbnails)
                .mutable_ready()
                .build(),
            text("times", "Times", "Times of earlier passes as a JSON array, stored as an attribute", ""),
            text("attributes", "Attributes", "More attributes of the file as a JSON object of texts; names of the schema are invalid", ""),
            glib::ParamSpecString::builder("warnings")
                .nick("Warnings")
                .blurb("The application's warnings, one per line, stored as an attribute; may be set until the end of the stream")
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("flush-s")
                .nick("Flush")
                .blurb("Longest time that data waits in memory, in seconds: a kill or a power cut loses no more than that")
                .minimum(1)
                .maximum(3600)
                .default_value(standard.flush_s)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("segment-s")
                .nick("Segment")
                .blurb("Length of consecutive files, in seconds of the stream, named LOCATION-00000 and so on, or by the signal name-segment; 0: one file")
                .maximum(86_400)
                .default_value(standard.segment_s)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("keep-up")
                .nick("Keep up")
                .blurb("If the encoder is too slow for a live source, leave out frames, those of anchors last, and count them; else the source waits")
                .default_value(standard.keep_up)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("incomplete-because")
                .nick("Incomplete because")
                .blurb("Why the application stops before the end of the stream, stored as an attribute of the unfinished file; an application that sets it reports the stop itself")
                .mutable_playing()
                .build(),
        ]
    });
    PROPERTIES.as_ref()
}

impl Settings {
    /// The device that should run the encoder.
    pub(super) fn encoder_device(&self) -> Device {
        Device {
            provider: self.provider,
            index: self.device,
        }
    }

    /// The property `location` as a path. A `file://` URI can name any file.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        if !self.location.starts_with("file://") {
            return Ok(PathBuf::from(&self.location));
        }
        match glib::filename_from_uri(&self.location) {
            Ok((path, _)) => Ok(path),
            Err(err) => Err(format!(
                "property `location` is `{}`, which is not a valid file URI: {err}",
                self.location
            )),
        }
    }

    /// The property `attributes`, parsed.
    pub(super) fn further(&self) -> Result<BTreeMap<String, String>, String> {
        if self.attributes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let further: BTreeMap<String, String> =
            serde_json::from_str(&self.attributes).map_err(|err| {
                format!("property `attributes` must be a JSON object of texts: {err}")
            })?;
        match further
            .keys()
            .find(|name| is_attribute(name) || *name == BECAUSE)
        {
            Some(taken) => Err(format!(
                "property `attributes` has the key `{taken}`, a name of the schema (choose another)"
            )),
            None => Ok(further),
        }
    }

    /// Takes a value, whose type and range GObject has checked.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        let text = || {
            value
                .get::<Option<String>>()
                .ok()
                .flatten()
                .unwrap_or_default()
        };
        match name {
            "location" => self.location = text(),
            "model" => self.model = text(),
            "batch" => self.batch = value.get().unwrap_or(self.batch),
            "precision" => self.precision = value.get().unwrap_or(self.precision),
            "overwrite" => self.overwrite = value.get().unwrap_or(self.overwrite),
            "video-id" => self.video_id = text(),
            "input-uri" => self.input_uri = text(),
            "input-bytes" => self.input_bytes = value.get().unwrap_or(self.input_bytes),
            "config" => self.config = text(),
            "threads" => self.threads = value.get().unwrap_or(self.threads),
            "provider" => self.provider = value.get().unwrap_or(self.provider),
            "device" => self.device = value.get().unwrap_or(self.device),
            "tagger" => self.tagger = text(),
            "models" => self.models = text(),
            "streams" => self.streams = text(),
            "thumbnails" => self.thumbnails = value.get().unwrap_or(self.thumbnails),
            "times" => self.times = text(),
            "attributes" => self.attributes = text(),
            "warnings" => self.warnings = text(),
            "segment-s" => self.segment_s = value.get().unwrap_or(self.segment_s),
            "keep-up" => self.keep_up = value.get().unwrap_or(self.keep_up),
            "flush-s" => self.flush_s = value.get().unwrap_or(self.flush_s),
            "incomplete-because" => self.incomplete_because = text(),
            _ => {}
        }
    }

    /// Gives a value; `None` if there is no such property.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "model" => self.model.to_value(),
            "batch" => self.batch.to_value(),
            "precision" => self.precision.to_value(),
            "overwrite" => self.overwrite.to_value(),
            "video-id" => self.video_id.to_value(),
            "input-uri" => self.input_uri.to_value(),
            "input-bytes" => self.input_bytes.to_value(),
            "config" => self.config.to_value(),
            "threads" => self.threads.to_value(),
            "provider" => self.provider.to_value(),
            "device" => self.device.to_value(),
            "tagger" => self.tagger.to_value(),
            "models" => self.models.to_value(),
            "streams" => self.streams.to_value(),
            "thumbnails" => self.thumbnails.to_value(),
            "times" => self.times.to_value(),
            "attributes" => self.attributes.to_value(),
            "warnings" => self.warnings.to_value(),
            "flush-s" => self.flush_s.to_value(),
            "segment-s" => self.segment_s.to_value(),
            "keep-up" => self.keep_up.to_value(),
            "incomplete-because" => self.incomplete_because.to_value(),
            _ => return None,
        })
    }
}
