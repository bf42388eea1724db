//! Arguments of `earmark export` and `earmark import-audio`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::pipeline::PipelineArgs;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One VIDEO_ID.npz (or .npy, see --loader) per recording: frames on an even grid, for ActionFormer; and dataset.yaml.
    Actionformer,
    /// VIDEO_ID.pt per recording: a tensor T x D on the same grid, as Ego4D's features have it; and VIDEO_ID.quality.pt (quality of the sound,
    /// of the frame and of both, T x 3).
    Pt,
    /// VIDEO_ID.npy (features, N x D), VIDEO_ID.times.npy (times, seconds) and VIDEO_ID.quality.npy (quality of the sound, of the frame and of
    /// both, N x 3) per recording; of clips, VIDEO_ID.frames.npy (times of their frames), too.
    Npy,
    /// One VIDEO_ID.safetensors per recording: features, times, tokens, tiers, reasons, quality, and the onsets, windows and scores of anchors.
    Safetensors,
    /// One HDF5 file: a group per recording, with all tables.
    Hdf5,
    /// One Parquet file: a row per frame with its quality, features as a fixed-size list.
    Parquet,
    /// One JSON file: what `earmark parse` says is heard and seen, by recording.
    Events,
    /// One CSV or JSON file, by the extension of --output: quality of the sound, of the frames and of both in every ten seconds.
    Quality,
}

/// Which of ActionFormer's loaders will read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Loader {
    /// EPIC-KITCHENS: VIDEO_ID.npz.
    Epic,
    /// THUMOS14: VIDEO_ID.npy.
    Thumos,
    /// ActivityNet: VIDEO_ID.npy.
    Anet,
    /// Ego4D: VIDEO_ID.npy.
    Ego4d,
}

impl Loader {
    /// Its `dataset_name` in ActionFormer's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epic => "epic",
            Self::Thumos => "thumos",
            Self::Anet => "anet",
            Self::Ego4d => "ego4d",
        }
    }
}

/// The content of a grid cell without a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fill {
    /// The frame nearest in time.
    Nearest,
    /// Zeros.
    Zero,
}

/// `earmark export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark export features/ --format actionformer --stride-ms 500 --output npz/
  earmark export features/ --format actionformer --loader thumos --output npy/
  earmark export features/ --format pt --output pt/
  earmark export P01.h5 P02.h5 --format npy --output npy/
  earmark export features/ --format hdf5 --output all.h5
  earmark export features/ --format parquet --output all.parquet
  earmark export features/ --format quality --output quality.csv

Only complete files are exported, and each is read in full first. A damaged file is skipped and named, and the exit status is 1.
Features become 32-bit floats (hdf5 keeps their type).

actionformer: cell k of the grid covers the time from k to k + 1 strides. It holds the most expensive frame taken in that time, or
else what --fill says. Beside `feats` [T, D] are `valid` [T] (a frame was taken in the cell), `row` [T] (its row in /frames, -1 for
zeros), `times_s` [T] (the middle of the cell) and `quality` [T, 3] (of the sound, of the frame and of both; NaN if unknown). With --loader thumos, anet or ego4d, whose loaders read plain arrays, there is `feats` alone.
OUTPUT/dataset.yaml has what belongs into ActionFormer's configuration for correct times; add json_file, num_classes and the splits.

A file of a grid of clips keeps its own rows, in actionformer and pt, unless --stride-ms asks for others.")]
pub struct Export {
    /// Feature files (.h5), or folders of them.
    #[arg(required = true, value_name = "FILE.h5|DIR")]
    pub files: Vec<PathBuf>,

    /// Format to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,

    /// The folder to write to, created if missing; for hdf5, parquet, events and quality, the file. Files appear only once they are complete.
    #[arg(long, short, value_name = "DIR|FILE")]
    pub output: PathBuf,

    /// actionformer, pt: length of a grid cell, milliseconds, 10..=60000 [default: 500].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(10..=60_000))]
    pub stride_ms: Option<u32>,

    /// actionformer: the loader that will read the files [default: epic].
    #[arg(long, value_enum)]
    pub loader: Option<Loader>,

    /// actionformer, pt: content of a cell without a frame [default: nearest].
    #[arg(long, value_enum)]
    pub fill: Option<Fill>,

    /// Replace existing outputs.
    #[arg(long)]
    pub overwrite: bool,
}

/// `earmark import-audio`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark import-audio pipelines/gated.yaml EPIC_audio.hdf5 --output plans/
  earmark import-audio pipelines/gated.yaml EPIC_audio.hdf5 --output plans/ --video-id P01_01 --video-id P02_03

The file holds one dataset of 32-bit float samples, [samples], per recording, as EPIC-KITCHENS' auditory baselines write it. Earmark
listens to each as `earmark plan` does, in small blocks; no sound is written to disk. The pipeline must open its source with
`filesrc location=${input}`. The plan is made from the sound alone, so its frames are not snapped to keyframes.")]
pub struct ImportAudio {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The HDF5 file with the sound of many recordings.
    #[arg(value_name = "AUDIO.hdf5")]
    pub file: PathBuf,

    /// The output folder: one VIDEO_ID.jsonl per recording. Created if missing.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,

    /// Use only this recording; may be repeated.
    #[arg(long = "video-id", value_name = "ID")]
    pub video_ids: Vec<String>,

    /// Sample rate of the file, which does not store it, 8000..=192000.
    #[arg(long, value_name = "HZ", default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(8_000..=192_000))]
    pub rate: u32,

    /// Also write the cues: the output of the audio for every 80 ms.
    #[arg(long)]
    pub cues: bool,

    /// Replace existing plans.
    #[arg(long)]
    pub overwrite: bool,

    /// Give up after this many seconds without progress, 1..=86400.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stall_timeout: u64,
}
