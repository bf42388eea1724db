//! Many recordings: `earmark batch`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::extract::Listening;
use super::pipeline::PipelineArgs;

/// When an output that is there counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resume {
    /// It is marked complete and its tables agree.
    Skip,
    /// That, and it was made by the same pipeline, models (files, manifests, weights) and variables from the same recording.
    Verify,
    /// Never: everything is made again.
    Overwrite,
}

/// Who divides a batch among machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A script for sbatch: a job array.
    Slurm,
    /// A manifest for kubectl: an Indexed Job.
    K8s,
    /// A driver in Python: Ray tasks.
    Ray,
}

/// What of a recording is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hash {
    /// Its first and last MiB.
    Ends,
    /// All of it.
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

A list names a recording a line (.txt), or has a column or key `input` and, if wanted, `video_id`, `audio_track` and
variables of the pipeline (.csv, .jsonl). Every attempt is a line of DIR/status.jsonl; `earmark inspect DIR` shows them.")]
pub struct Batch {
    /// The pipeline and its variables.
    #[command(flatten)]
    pub pipeline: PipelineArgs,

    /// Recordings: files, folders (searched through), patterns, URIs, or lists (.txt, .csv, .jsonl).
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<OsString>,

    /// The folder for the outputs, one VIDEO_ID.h5 a recording; made if need be.
    #[arg(long, short, value_name = "DIR")]
    pub output: PathBuf,

    /// Recordings at a time, each in a process of its own; the cores are divided among them.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,

    /// When an output that is there counts as done.
    #[arg(long, value_enum, default_value_t = Resume::Verify)]
    pub resume: Resume,

    /// What of a recording is hashed, to know it again.
    #[arg(long, value_enum, default_value_t = Hash::Ends)]
    pub hash: Hash,

    /// Only what failed the last time. What never did and is not done either is left out and told; then the exit status is 1.
    #[arg(long)]
    pub retry_failed: bool,

    /// Say what would be done, how long it would take and how much it would write; do nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Attempts at a recording whose failure may pass: a worker that died, a stall, an unreadable input.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub attempts: u32,

    /// Most memory of a worker, MiB; without it, nine tenths of the machine's by the number of jobs.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..))]
    pub memory: Option<u64>,

    /// Do nothing here: write the recordings to DIR/recordings.jsonl, and to stdout what an engine takes to do them in parts.
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with_all = ["dry_run", "shard", "retry_failed"])]
    pub emit: Option<Engine>,

    /// With --emit: into how many parts.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub parts: u16,

    /// With --emit k8s: the image, which holds earmark and its models.
    #[arg(long, value_name = "IMAGE", default_value = concat!("earmark:", env!("CARGO_PKG_VERSION")))]
    pub image: String,

    /// With --emit k8s: the claim of the volume that holds recordings and outputs.
    #[arg(long, value_name = "NAME", default_value = "earmark-data")]
    pub claim: String,

    /// Only this part of the recordings, balanced by duration: I from 0 to N - 1. Slurm arrays and Indexed Jobs say it themselves.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,

    /// Options of listening.
    #[command(flatten)]
    pub listening: Listening,
}
