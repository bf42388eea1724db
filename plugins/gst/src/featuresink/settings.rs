//! The element's properties: what they are called, what they may be, what they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use gst::glib;
use gst::prelude::*;

use crate::h5::{ATTRIBUTES, BECAUSE, Precision};
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

/// What GObject and `gst-inspect-1.0` are told.
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
            text("location", "Location", "The HDF5 file to write, as a path or a file:// URI; until the end of the stream it is LOCATION.partial, and any other end leaves that", ""),
            text("model", "Model", "The encoder: name of a model manifest, or path of one ending in .yaml", &standard.model),
            glib::ParamSpecUInt::builder("batch")
                .nick("Batch")
                .blurb("Pictures of the low tier that are encoded together; of the others as many as have no more pixels, at least one")
                .minimum(1)
                .maximum(256)
                .default_value(standard.batch)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("precision", standard.precision)
                .nick("Precision")
                .blurb("How features are stored")
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("overwrite")
                .nick("Overwrite")
                .blurb("Replace a file that is there already, once the new one is finished")
                .default_value(standard.overwrite)
                .mutable_ready()
                .build(),
            text("video-id", "Video ID", "Name of the recording; empty: that of the plan, else that of the location", ""),
            text("input-uri", "Input URI", "Where the recording came from, for the file's attributes", ""),
            glib::ParamSpecUInt64::builder("input-bytes")
                .nick("Input bytes")
                .blurb("Size of the recording in bytes, for the file's attributes; 0 where that means nothing")
                .default_value(standard.input_bytes)
                .mutable_ready()
                .build(),
            text("config", "Configuration", "The resolved pipeline, for the file's attributes; empty: that of the plan", ""),
            glib::ParamSpecUInt::builder("threads")
                .nick("Threads")
                .blurb("Threads of the encoder; `earmark run` sets as many as the machine has cores for")
                .minimum(1)
                .maximum(64)
                .default_value(standard.threads)
                .mutable_ready()
                .build(),
            glib::ParamSpecEnum::builder_with_default("provider", standard.provider)
                .nick("Provider")
                .blurb("What runs the encoder; where it can't, the processor does and a warning says why")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("device")
                .nick("Device")
                .blurb("Which of the provider's devices runs the encoder, from 0")
                .maximum(255)
                .default_value(standard.device)
                .mutable_ready()
                .build(),
            text("tagger", "Tagger", "The tagger that made the cues (manifest name or path, or none), for the file's attributes", &standard.tagger),
            text("models", "Models", "Every model that listened, as a JSON array of role, name, sha256 and manifest_sha256, for the file's attributes; empty: the tagger", ""),
            text("streams", "Streams", "Descriptions of the recording's streams as JSON, for the file's attributes", ""),
            glib::ParamSpecBoolean::builder("thumbnails")
                .nick("Thumbnails")
                .blurb("Keep a small JPEG of every picture, as /thumbnails/jpeg: 2 to 12 KB each")
                .default_value(standard.thumbnails)
                .mutable_ready()
                .build(),
            text("times", "Times", "What earlier passes took, as a JSON array, for the file's attributes", ""),
            text("attributes", "Attributes", "Further attributes of the file, as a JSON object of texts; none may bear a name that the schema uses", ""),
            glib::ParamSpecString::builder("warnings")
                .nick("Warnings")
                .blurb("What the application warned of, one a line, for the file's attributes; may be set until the end of the stream")
                .mutable_playing()
                .build(),
            glib::ParamSpecUInt::builder("flush-s")
                .nick("Flush")
                .blurb("Seconds after which what was encoded or heard is on the disk, full batch or not: most that a kill or a power cut can cost")
                .minimum(1)
                .maximum(3600)
                .default_value(standard.flush_s)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("incomplete-because")
                .nick("Incomplete because")
                .blurb("Why the application stops before the end of the stream, for the attribute of that name in what is kept; an application that sets it tells people itself")
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

    /// The property `location` as a path; one that begins with `file://` is a URI, which can name any file.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        if !self.location.starts_with("file://") {
            return Ok(PathBuf::from(&self.location));
        }
        match glib::filename_from_uri(&self.location) {
            Ok((path, _)) => Ok(path),
            Err(err) => Err(format!("the property location is no URI of a file: {err}")),
        }
    }

    /// The property `attributes`, read.
    pub(super) fn further(&self) -> Result<BTreeMap<String, String>, String> {
        if self.attributes.is_empty() {
            return Ok(BTreeMap::new());
        }
        let further: BTreeMap<String, String> = serde_json::from_str(&self.attributes)
            .map_err(|err| format!("the property attributes is no JSON object of texts: {err}"))?;
        match further
            .keys()
            .find(|name| ATTRIBUTES.contains(&name.as_str()) || *name == BECAUSE)
        {
            Some(taken) => Err(format!(
                "the property attributes names `{taken}`, which the file has anyway"
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
            "incomplete-because" => self.incomplete_because.to_value(),
            _ => return None,
        })
    }
}
