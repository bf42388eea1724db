//! What is exchanged with other programs: `earmark export` and `earmark import-audio`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::pipeline::PipelineArgs;

/// What a feature file becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// VIDEO_ID.npz each: pictures on an even grid, for ActionFormer.
    Actionformer,
    /// VIDEO_ID.npy and VIDEO_ID.times.npy each: features, N x D, and their times in seconds.
    Npy,
    /// VIDEO_ID.safetensors each: features, times, tokens, tiers, reasons, anchors.
    Safetensors,
    /// One file: a group per recording, with all its tables.
    Hdf5,
    /// One file: a row per picture.
    Parquet,
}

/// What stands in a cell of the grid that no picture was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fill {
    /// The picture nearest in time.
    Nearest,
    /// Zeros.
    Zero,
}

/// `earmark export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark export features/ --format actionformer --stride-ms 500 --output npz/
  earmark export P01.h5 P02.h5 --format npy --output npy/
  earmark export features/ --format hdf5 --output all.h5
  earmark export features/ --format parquet --output all.parquet

Only complete files are taken, and each is read in full first; one that is damaged is left out and named, and the exit status is 1. Features become 32-bit floats (hdf5 keeps them as they are).

actionformer: cell k of the grid stands for the time from k to k + 1 strides, its middle at (k + 0.5) strides. In it is the dearest picture
taken then, else what --fill says. Beside `feats` [T, D] are `valid` [T] (a picture was taken there), `row` [T] (which row of /frames, -1 for
zeros) and `times_s` [T]. ActionFormer gets its times right with this in the section `dataset` of its configuration:
  feat_stride: STRIDE_MS, num_frames: STRIDE_MS, default_fps: 1000, input_dim: D, file_prefix: ~, file_ext: .npz

A .pt file is made of a .safetensors one by: torch.save(safetensors.torch.load_file(\"P01.safetensors\")[\"features\"], \"P01.pt\")")]
pub struct Export {
    /// Feature files (.h5), or folders of them.
    #[arg(required = true, value_name = "FILE.h5|DIR")]
    pub files: Vec<PathBuf>,

    /// What to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,

    /// The folder to write into, made if need be; with hdf5 and parquet, the file. Files appear only when they are complete.
    #[arg(long, short, value_name = "DIR|FILE")]
    pub output: PathBuf,

    /// actionformer: from one cell of the grid to the next, milliseconds, 10..=60000 [default: 500].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub stride_ms: Option<u32>,

    /// actionformer: what stands in a cell without a picture [default: nearest].
    #[arg(long, value_enum)]
    pub fill: Option<Fill>,

    /// Replace outputs that exist.
    #[arg(long)]
    pub overwrite: bool,
}

/// `earmark import-audio`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark import-audio pipelines/gated.yaml EPIC_audio.hdf5 --output plans/
  earmark import-audio pipelines/gated.yaml EPIC_audio.hdf5 --output plans/ --video-id P01_01 --video-id P02_03

The file has a dataset of 32-bit float samples, [samples], for every recording, as EPIC-KITCHENS' auditory baselines make it. Each is heard as
`earmark plan` would hear it, in small blocks and without being written anywhere. The pipeline must open its source with
`filesrc location=${input}`. A plan follows from the sound alone: `earmark run --plan` moves nothing to keyframes.")]
pub struct ImportAudio {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The file of sounds.
    #[arg(value_name = "AUDIO.hdf5")]
    pub file: PathBuf,

    /// The folder for the plans, one VIDEO_ID.jsonl a recording; made if need be.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,

    /// Only this recording; may be given several times.
    #[arg(long = "video-id", value_name = "ID")]
    pub video_ids: Vec<String>,

    /// Samples per second of the file, which does not say so itself, 8000..=192000.
    #[arg(long, value_name = "HZ", default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(8_000..=192_000))]
    pub rate: u32,

    /// Write the cues too: what was heard, every 80 ms.
    #[arg(long)]
    pub cues: bool,

    /// Replace plans that exist.
    #[arg(long)]
    pub overwrite: bool,

    /// Give up when nothing moves for this long, seconds, 1..=86400.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stall_timeout: u64,
}
