//! A model manifest: its keys (`fields` finds missing and unknown ones; `clip` has those of encoders of clips,
//! `text` those of encoders of text), and their rules (`rules`).

mod clip;
mod fields;
mod rules;
mod text;

use std::path::{Path, PathBuf};

use anchoring::tier::{Prices, Tier, Tokens};
use serde::{Deserialize, Serialize};

use super::ModelError;
use super::files::cached_sha256;
pub use clip::{ClipStep, Pathway};
use rules::broken_rules;
pub use text::TextInput;

/// What `schema` must say.
pub const SCHEMA: &str = "earmark-model/1";

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Frame -> embedding.
    Encoder,
    /// Several frames -> one embedding.
    #[serde(rename = "clip-encoder")]
    ClipEncoder,
    /// Text -> embedding.
    #[serde(rename = "text-encoder")]
    TextEncoder,
    /// Sound -> class probabilities.
    Tagger,
    /// Sound -> probability of speech.
    Voice,
    /// Sound -> embedding; a linear head turns it into the probability of an onset.
    Probe,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Encoder => "encoder",
            Self::ClipEncoder => "clip-encoder",
            Self::TextEncoder => "text-encoder",
            Self::Tagger => "tagger",
            Self::Voice => "voice",
            Self::Probe => "probe",
        })
    }
}

/// Order of a tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Batch, channel, row, column.
    #[serde(rename = "NCHW")]
    Nchw,
    /// Batch, row, column, channel.
    #[serde(rename = "NHWC")]
    Nhwc,
    /// Batch, channel (1), time, frequency.
    #[serde(rename = "NCTF")]
    Nctf,
    /// Batch, time: samples in -1..=1, or tokens.
    #[serde(rename = "NT")]
    Nt,
    /// Batch, channel, frame, row, column.
    #[serde(rename = "NCTHW")]
    Ncthw,
    /// Batch, frame, channel, row, column.
    #[serde(rename = "NTCHW")]
    Ntchw,
}

/// Type of the numbers a model takes: f32, but of an encoder of text the type of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 64-bit whole number.
    I64,
    /// 32-bit whole number.
    I32,
}

impl Dtype {
    /// Its name in manifests and in ONNX Runtime.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I64 => "i64",
            Self::I32 => "i32",
        }
    }
}

/// Order of a frame's channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Colour {
    /// Red first.
    #[default]
    #[serde(rename = "RGB")]
    Rgb,
    /// Blue first.
    #[serde(rename = "BGR")]
    Bgr,
}

/// How frames are scaled. Each kernel widens when shrinking, so nothing aliases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// Catmull-Rom.
    #[default]
    Bicubic,
    /// Triangle.
    Bilinear,
    /// Mean of the covered area.
    Area,
}

/// How a wide frame becomes square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The whole field of view, squeezed.
    #[default]
    Squash,
    /// The largest square in the middle.
    Crop,
    /// The whole field of view in its shape, with bars of the mean colour.
    Pad,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Licence of the weights.
    pub licence: String,
    /// SHA-256 of the file inside the package.
    #[serde(default)]
    pub sha256: String,
    /// Anything else worth knowing.
    #[serde(default)]
    pub note: String,
}

/// What a model takes. Encoders need `mean` and `std`; taggers need `sample_rate`, `frames`, `bands`, `hop_frames`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name of the input in the ONNX file; with pathways the first one's.
    #[serde(default)]
    pub name: String,
    /// Order of its axes.
    pub layout: Layout,
    /// Type of its numbers.
    pub dtype: Dtype,
    /// Order of the channels; RGB by default.
    #[serde(default)]
    pub colour: Colour,
    /// Subtracted from each channel (0..255), in the order of `colour`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// Divisor of each channel after that, positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
    /// How frames are scaled; bicubic by default.
    #[serde(default)]
    pub resize: Resize,
    /// How they become square; squashed by default.
    #[serde(default)]
    pub fit: Fit,
    /// With the fit crop: the share of the largest square that is taken, 0.1..=1: 0.875 is 224 of 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<f64>,
    /// Samples per second, 16000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Taggers: frames per patch, 96. Encoders of clips: frames per clip, 1..=512; with pathways, as many as the longest has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Encoders of clips: how far apart frames are; one frame unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<ClipStep>,
    /// Encoders of clips with several inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pathways: Vec<Pathway>,
    /// Mel bands, 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bands: Option<usize>,
    /// Frames from one patch to the next, 48.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop_frames: Option<usize>,
    /// Samples per run, for models that take samples: 512 for voice detectors, 400..=160000 for probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<usize>,
}

/// Which of the vectors of a frame counts, where a model gives one a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The first token, the class token of a ViT.
    First,
    /// The mean of all.
    Mean,
}

/// What a model gives: f32 `[N, dim]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name of the output in the ONNX file.
    pub name: String,
    /// Numbers per frame, or classes, 1..=65535.
    pub dim: usize,
    /// For an encoder whose output is `[N, tokens, dim]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// A tagger's second output, for the probe tagger-novelty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// Its numbers per patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_dim: Option<usize>,
}

/// The state that a voice detector carries from one chunk to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Samples of the previous chunk that precede each chunk, 0..=4096.
    pub context: usize,
    /// Name of the input that takes the state.
    pub input: String,
    /// Name of the output that gives the next state.
    pub output: String,
    /// Its shape.
    pub shape: [usize; 3],
    /// Name of the input that takes the sample rate as an integer.
    pub rate: String,
}

/// A resolution of the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierSpec {
    /// Side of the square in pixels, 1..=4096.
    pub px: usize,
    /// Its price; of an encoder of clips that says none, tubelets of 2 frames and 16 by 16 pixels.
    #[serde(default)]
    pub tokens: Tokens,
}

/// The encoder's three resolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    /// For background frames.
    pub low: TierSpec,
    /// In between.
    pub base: TierSpec,
    /// For anchors.
    pub high: TierSpec,
}

impl Tiers {
    /// The tier's side and price.
    pub const fn of(&self, tier: Tier) -> TierSpec {
        match tier {
            Tier::Low => self.low,
            Tier::Base => self.base,
            Tier::High => self.high,
        }
    }
}

/// One `models/*.yaml`, as read and checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `earmark-model/1`.
    pub schema: String,
    /// Its name in pipelines: the file's name without `.yaml`.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// The ONNX file, relative to the manifest.
    pub file: PathBuf,
    /// SHA-256 of the ONNX file, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Where it comes from; for people.
    #[serde(default)]
    pub source: Source,
    /// What it takes.
    pub input: Input,
    /// What it gives.
    pub output: Output,
    /// An encoder's resolutions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<Tiers>,
    /// A tagger's class list (CSV: index, mid, display_name), relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<PathBuf>,
    /// Rows of the class list that are speech.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub speech_classes: Vec<usize>,
    /// A voice detector's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// A probe's head (safetensors), relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
    /// How an encoder of text gets its tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextInput>,
    /// The path of the manifest itself.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Manifest {
    /// Reads a manifest and checks its rules; [`Manifest::check`] checks the ONNX file.
    ///
    /// # Errors
    /// The file is unreadable, not YAML, or breaks rules (all problems at once).
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path).map_err(|source| ModelError::Read {
            path: path.into(),
            source,
        })?;
        let problems = fields::wrong(&text);
        if !problems.is_empty() {
            return Err(ModelError::Manifest {
                path: path.into(),
                problems: problems.join("; "),
            });
        }
        let mut manifest: Self = serde_yaml::from_str(&text).map_err(|err| ModelError::Syntax {
            path: path.into(),
            message: err.to_string(),
        })?;
        manifest.path = path.into();
        manifest.fill_clip();
        let problems = broken_rules(&manifest);
        if problems.is_empty() {
            Ok(manifest)
        } else {
            Err(ModelError::Manifest {
                path: path.into(),
                problems: problems.join("; "),
            })
        }
    }

    /// The ONNX file.
    pub fn onnx_path(&self) -> PathBuf {
        self.beside(&self.file)
    }

    /// The class list, for taggers.
    pub fn classes_path(&self) -> Option<PathBuf> {
        self.classes.as_deref().map(|file| self.beside(file))
    }

    /// Checks that the files exist and the ONNX file has the SHA-256 of the manifest.
    ///
    /// # Errors
    /// A file is missing, altered or unreadable.
    pub fn check(&self) -> Result<(), ModelError> {
        self.check_file()?;
        self.check_tokenizer()?;
        let absent = |path: Option<PathBuf>| path.filter(|file| !file.is_file());
        let name = || self.name.clone();
        if let Some(file) = absent(self.classes_path()) {
            return Err(ModelError::Missing { name: name(), file });
        }
        match absent(self.head_path()) {
            Some(file) => Err(ModelError::NoHead {
                manifest: self.path.clone(),
                file,
            }),
            None => Ok(()),
        }
    }

    /// Checks that the ONNX file exists and has the SHA-256 of the manifest.
    ///
    /// # Errors
    /// A file is missing, altered or unreadable.
    pub fn check_file(&self) -> Result<(), ModelError> {
        let file = self.onnx_path();
        if !file.is_file() {
            return Err(ModelError::Missing {
                name: self.name.clone(),
                file,
            });
        }
        let found = cached_sha256(&file)?;
        if found != self.sha256 {
            return Err(ModelError::Altered {
                name: self.name.clone(),
                file,
                expected: self.sha256.clone(),
                found,
            });
        }
        Ok(())
    }

    /// Prices of an encoder's tiers; `None` for other kinds.
    pub fn prices(&self) -> Option<Prices> {
        let tiers = self.tiers?;
        Prices::new(tiers.low.tokens, tiers.base.tokens, tiers.high.tokens)
    }

    /// The manifest, if it encodes frames or clips.
    ///
    /// # Errors
    /// It is of another kind.
    pub fn encoder(self) -> Result<Self, ModelError> {
        match self.kind {
            Kind::ClipEncoder => Ok(self),
            _ => self.of_kind(Kind::Encoder),
        }
    }

    /// The manifest, if it is of that kind.
    ///
    /// # Errors
    /// It is of another kind.
    pub fn of_kind(self, wanted: Kind) -> Result<Self, ModelError> {
        if self.kind == wanted {
            Ok(self)
        } else {
            Err(ModelError::Kind {
                name: self.name,
                is: self.kind,
                wanted,
            })
        }
    }

    /// The head, for probes.
    pub fn head_path(&self) -> Option<PathBuf> {
        self.head.as_deref().map(|file| self.beside(file))
    }

    fn beside(&self, file: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
schema: earmark-model/1
name: tiny
kind: encoder
file: tiny.onnx
sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"
source: { package: none, version: \"1\", licence: MIT }
input: { name: x, layout: NCHW, dtype: f32, mean: [0, 0, 0], std: [1, 1, 1] }
output: { name: y, dim: 3 }
tiers:
  low: { px: 112, tokens: 49 }
  base: { px: 224, tokens: 196 }
  high: { px: 448, tokens: 784 }
";

    fn read(text: &str) -> Result<Manifest, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.yaml");
        std::fs::write(&path, text).unwrap();
        Manifest::read(&path).map_err(|err| err.to_string())
    }

    #[test]
    fn a_manifest_is_read_with_defaults() {
        let manifest = read(GOOD).unwrap();
        assert_eq!(manifest.input.fit, Fit::Squash);
        assert_eq!(manifest.input.resize, Resize::Bicubic);
        assert_eq!(manifest.prices(), Some(Prices::default()));
    }

    #[test]
    fn every_broken_rule_is_named_at_once() {
        let text = GOOD
            .replace("std: [1, 1, 1]", "std: [1, 0, 1]")
            .replace("dim: 3", "dim: 0")
            .replace("px: 112", "px: 0")
            .replace("name: tiny", "name: other")
            .replace("NCHW", "NCTF");
        let err = read(&text).unwrap_err();
        for field in [
            "input.std",
            "output.dim",
            "tiers.low.px",
            "name",
            "input.layout",
        ] {
            assert!(err.contains(field), "{field} in {err}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(
            read(&GOOD.replace("dtype: f32", "dtype: f32, typo: 1"))
                .unwrap_err()
                .contains("typo")
        );
    }

    #[test]
    fn every_missing_and_unknown_field_is_named_at_once_with_an_example() {
        let text = GOOD
            .replace("schema: earmark-model/1\n", "")
            .replace("name: x, ", "")
            .replace("dim: 3", "dims: 3")
            .replace("kind: encoder", "kinds: encoder");
        let err = read(&text).unwrap_err();
        for said in [
            "schema is missing: write `schema: earmark-model/1`",
            "input.name is missing: write `name: pixel_values`",
            "output.dim is missing: write `dim: 512`",
            "output.dims is unknown: did you mean `dim`?",
            "kinds is unknown: did you mean `kind`?",
        ] {
            assert!(err.contains(said), "{said} in {err}");
        }
        // The field `source` is for people.
        let without = GOOD.replace(
            "source: { package: none, version: \"1\", licence: MIT }\n",
            "",
        );
        assert_eq!(read(&without).unwrap().source, Source::default());
    }

    #[test]
    fn a_missing_and_an_altered_model_have_different_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tiny.yaml");
        std::fs::write(&path, GOOD).unwrap();
        let manifest = Manifest::read(&path).unwrap();
        assert!(matches!(manifest.check(), Err(ModelError::Missing { .. })));
        std::fs::write(dir.path().join("tiny.onnx"), "x").unwrap();
        let err = manifest.check().unwrap_err();
        assert!(matches!(err, ModelError::Altered { .. }));
        assert!(err.to_string().contains("make setup"));
    }
}
