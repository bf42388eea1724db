//! Arguments of `earmark doctor`, `earmark models`, `earmark completions` and `earmark man`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

/// `earmark doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark doctor
  earmark doctor --live pipelines/live_rtsp.yaml --set url=rtsp://10.0.0.7/stream

With --live, each source of the pipeline is played for some seconds: what it says of itself, how often a frame can be decoded alone, whether
sound comes, how its times run, what is lost. It keeps nothing. Exit status: 0 if all is well, 1 otherwise.")]
pub struct Doctor {
    /// Try the sources of this pipeline instead.
    #[arg(long, value_name = "PIPELINE")]
    pub live: Option<PathBuf>,

    /// Value of ${NAME} in the pipeline; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", requires = "live")]
    pub set: Vec<String>,

    /// How long to play each source.
    #[arg(long, value_name = "N", default_value_t = 10, requires = "live", value_parser = clap::value_parser!(u64).range(2..=600))]
    pub seconds: u64,
}

/// `earmark models`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Models {
    /// Check every model file against its manifest; exit with 1 if one is missing or altered.
    #[arg(long)]
    pub check: bool,

    /// What to do; by default, list the models.
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
}

/// `earmark models add`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Write the manifest of an ONNX model: probes its inputs and outputs, hashes it, and runs one frame.
    Add(ModelsAdd),
}

/// The family of a model: how it wants its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelLike {
    /// CLIP's own mean and deviation, bicubic, the middle square.
    Clip,
    /// Mean and deviation 0.5, bicubic, squashed.
    Siglip,
    /// ImageNet's mean and deviation, bicubic, the middle square.
    Dinov2,
    /// Mean and deviation 0.5, bilinear, squashed (google/vit-*).
    Vit,
    /// ImageNet's mean and deviation, bicubic, the middle square (torchvision, timm).
    Efficientnet,
    /// Mean 0.45 and deviation 0.225, bilinear, the middle square, two frames apart (PyTorchVideo).
    Slowfast,
    /// ImageNet's mean and deviation, bilinear, the middle square, four frames apart (transformers).
    Videomae,
    /// Kinetics' mean and deviation, bilinear, the middle square, frames in a row (torchvision).
    R2plus1d,
}

/// How a wide frame becomes square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelFit {
    /// The whole field of view, squeezed.
    Squash,
    /// The largest square in the middle.
    Crop,
    /// The whole field of view in its shape, with bars of the mean colour.
    Pad,
}

impl ModelFit {
    /// Its name in manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Crop => "crop",
            Self::Pad => "pad",
        }
    }
}

/// `earmark models add`.
#[derive(Debug, Args)]
#[command(after_help = "\
The manifest is written beside the model, as NAME.yaml. What the file says itself (names, axes, sizes, numbers) needs no option. A model of one
size gets that size and its price at every tier.

Examples:
  earmark models add clip-vision.onnx --name clip-vit-b32 --like clip
  earmark models add siglip.onnx --like siglip --fit pad --px 224
  earmark models add slowfast.onnx --like slowfast --every 1
  earmark models add my-net.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --output embedding
  earmark models add my-tagger.onnx --classes my-classes.csv --speech-classes 0,1
  earmark models add minilm.onnx --tokenizer tokenizer.json")]
pub struct ModelsAdd {
    /// The ONNX file.
    #[arg(value_name = "MODEL.onnx")]
    pub file: PathBuf,

    /// Its name in pipelines [default: the name of the file].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// The family of the model: sets scaling, --mean, --std and --fit; the last three can be overridden.
    #[arg(long, value_enum)]
    pub like: Option<ModelLike>,

    /// Mean of each channel, or one for all, as in preprocessor settings: of values in 0..1, or in 0..255 if --std is above 1.
    #[arg(
        long,
        value_name = "X,X,X",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub mean: Vec<f64>,

    /// Standard deviation of each channel, or one for all.
    #[arg(long, value_name = "X,X,X", value_delimiter = ',')]
    pub std: Vec<f64>,

    /// How a wide frame becomes square [default: as the family does, else squash].
    #[arg(long, value_enum)]
    pub fit: Option<ModelFit>,

    /// Channels come blue first.
    #[arg(long)]
    pub bgr: bool,

    /// Side of the square, pixels, 1..=4096: one for all tiers, or three for low, base and high [default: the model's own, else 112,224,448].
    #[arg(long, value_name = "PX", value_delimiter = ',', value_parser = side)]
    pub px: Vec<usize>,

    /// Of an encoder of clips: frames of a clip, where the file doesn't say; one number for each input.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub frames: Vec<usize>,

    /// Of an encoder of clips: frames of the recording from one frame of a clip to the next [default: that of the family, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "every_ms")]
    pub every: Option<u32>,

    /// The same in milliseconds, for recordings of other or varying rates.
    #[arg(long, value_name = "MS")]
    pub every_ms: Option<f64>,

    /// With --fit crop: the share of the largest square that is taken, such as 0.875 for 224 of 256.
    #[arg(long, value_name = "SHARE")]
    pub crop: Option<f64>,

    /// The input that takes frames [default: the only one].
    #[arg(long, value_name = "NAME")]
    pub input: Option<String>,

    /// The output with one vector per frame [default: the only one of that shape, or the one with a usual name].
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,

    /// Size of that vector, if the file does not say.
    #[arg(long, value_name = "N")]
    pub dim: Option<usize>,

    /// A tagger's class list (CSV: index,mid,display_name).
    #[arg(long, value_name = "CLASSES.csv")]
    pub classes: Option<PathBuf>,

    /// Rows of the class list that are speech.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub speech_classes: Vec<usize>,

    /// A text encoder's tokenizer, as Hugging Face's tokenizers writes it.
    #[arg(long, value_name = "TOKENIZER.json")]
    pub tokenizer: Option<PathBuf>,

    /// The licence of the weights, for the manifest's `source`.
    #[arg(long, value_name = "LICENCE")]
    pub licence: Option<String>,

    /// Replace the manifest if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

/// A side in pixels.
fn side(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(px @ 1..=4096) => Ok(px),
        _ => Err("a side lies in 1..=4096 pixels".into()),
    }
}

/// `earmark completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark completions bash > ~/.local/share/bash-completion/completions/earmark
  earmark completions zsh > ~/.zfunc/_earmark
  earmark completions fish > ~/.config/fish/completions/earmark.fish")]
pub struct Completions {
    /// For this shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `earmark man`.
#[derive(Debug, Args)]
pub struct Man {
    /// The folder; created if missing.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,
}
