//! Arguments of `earmark run` and `earmark plan`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::pipeline::PipelineArgs;

/// `earmark run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark run pipelines/gated.yaml --input kitchen.mp4 --output kitchen.h5
  earmark run pipelines/uniform.yaml --input https://example.org/kitchen.webm --output kitchen.h5 --overwrite
  earmark run pipelines/gated.yaml --input two-tracks.mkv --output out.h5 --audio-track 1 --json")]
pub struct Run {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The recording: a path or a URI.
    #[arg(long, short, value_name = "FILE|URI")]
    pub input: OsString,

    /// The feature file to write (HDF5). It appears only once it is complete.
    #[arg(long, short, value_name = "FILE.h5")]
    pub output: PathBuf,

    /// Follow this plan instead of making one.
    #[arg(long, value_name = "PLAN.jsonl")]
    pub plan: Option<PathBuf>,

    /// Cues of another source, merged with Earmark's own: a file with one JSON object per line (time_s, p, label), or a folder with
    /// VIDEO_ID.cues.jsonl; same as `anchors: { cues_from: FILE }`.
    #[arg(long, value_name = "FILE", conflicts_with = "plan")]
    pub cues_from: Option<PathBuf>,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Also store a small JPEG of every frame, for `earmark report`; same as `features: { thumbnails: true }`.
    #[arg(long)]
    pub thumbnails: bool,

    /// How to read the recording.
    #[command(flatten)]
    pub listening: Listening,
}

/// Options of every command that reads a recording.
#[derive(Debug, Args)]
pub struct Listening {
    /// The audio track to listen to, counted from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audio_track: usize,

    /// CPU cores to use, 1..=1024 [default: all]. Decoder and encoder share them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    /// Give up after this many seconds without progress, 1..=86400.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub stall_timeout: u64,
}

/// `earmark plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark plan pipelines/gated.yaml --input kitchen.mp4 --output kitchen.jsonl
  earmark plan pipelines/gated.yaml --input sound.wav --output sound.jsonl --cues")]
pub struct Plan {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// The recording or sound file: a path or a URI.
    #[arg(long, short, value_name = "FILE|URI")]
    pub input: OsString,

    /// The plan to write, one JSON object per line.
    #[arg(long, short, value_name = "PLAN.jsonl")]
    pub output: PathBuf,

    /// Cues of another source, merged with Earmark's own: a file with one JSON object per line (time_s, p, label), or a folder with
    /// VIDEO_ID.cues.jsonl; same as `anchors: { cues_from: FILE }`.
    #[arg(long, value_name = "FILE")]
    pub cues_from: Option<PathBuf>,

    /// Also write the cues: the output of the audio for every 80 ms.
    #[arg(long)]
    pub cues: bool,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// How to read the recording.
    #[command(flatten)]
    pub listening: Listening,
}
