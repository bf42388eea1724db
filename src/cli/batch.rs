//! Arguments of `earmark batch`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::extract::Listening;
use super::pipeline::PipelineArgs;

/// When an existing output counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resume {
    /// If it is marked complete and its tables agree.
    Skip,
    /// If it also comes from the same recording, pipeline, variables and models (files, manifests, weights).
    Verify,
    /// Never: process everything again.
    Overwrite,
}

/// The engine that divides a batch among machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A job array script for sbatch.
    Slurm,
    /// An Indexed Job manifest for kubectl.
    K8s,
    /// A Python driver that starts Ray tasks.
    Ray,
}

/// How much of a recording to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// The first and last MiB.
    Ends,
    /// The whole file.
    Whole,
}

/// `earmark batch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark batch pipelines/gated.yaml videos/ --output features/ --dry-run
  earmark batch pipelines/gated.yaml videos/ --output features/ --jobs 2
  earmark batch pipelines/gated.yaml 'videos/P0*/*.MP4' list.csv --output features/ --retry-failed
  earmark batch pipelines/gated.yaml videos/ --output features/ --emit slurm --parts 16 > job.sh; sbatch job.sh

A .txt list has one recording per line. A .csv or .jsonl list has a column or key `input` and, optionally, `video_id`,
`audio_track` and variables of the pipeline. Every attempt adds a line to DIR/status.jsonl; `earmark inspect DIR` shows them.")]
pub struct Batch {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// Recordings: files, folders (searched recursively), patterns, URIs or lists (.txt, .csv, .jsonl).
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<OsString>,

    /// The output folder: one VIDEO_ID.h5 per recording. Created if missing.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,

    /// Recordings to process at a time, each in its own process; they share the cores.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,

    /// When an existing output counts as done.
    #[arg(long, value_enum, default_value_t = Resume::Verify)]
    pub resume: Resume,

    /// How much of a recording to hash to identify it.
    #[arg(long, value_enum, default_value_t = Hash::Ends)]
    pub hash: Hash,

    /// Process only what failed last time. Recordings that neither failed nor are done are skipped and listed, and the exit status is 1.
    #[arg(long)]
    pub retry_failed: bool,

    /// Show what would be done, the expected time and the expected size; do nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Attempts per recording where a failure may be temporary: a worker died, stalled, or could not read the input.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub attempts: u32,

    /// Memory limit of a worker, MiB [default: 90 % of the machine's memory, divided by --jobs].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub memory: Option<u64>,

    /// Process nothing here: write the list of recordings to DIR/recordings.jsonl and the file for an engine to stdout.
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with_all = ["dry_run", "shard", "retry_failed"])]
    pub emit: Option<Engine>,

    /// With --emit: the number of parts.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub parts: u16,

    /// With --emit k8s: the image with earmark and its models.
    #[arg(long, value_name = "IMAGE", default_value = concat!("earmark:", env!("CARGO_PKG_VERSION")))]
    pub image: String,

    /// With --emit k8s: the volume claim that holds recordings and outputs.
    #[arg(long, value_name = "NAME", default_value = "earmark-data")]
    pub claim: String,

    /// Process only part I of N (I from 0 to N - 1), balanced by duration. Slurm arrays and Indexed Jobs set it themselves.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,

    /// How recordings are read.
    #[command(flatten)]
    pub listening: Listening,
}
