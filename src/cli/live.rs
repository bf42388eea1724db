//! Arguments of `earmark live`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `earmark live`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark live pipelines/live_rtsp.yaml --set url=rtsp://10.0.0.7/stream --set output=DIR
  earmark live pipelines/live_camera.yaml --set device=/dev/video0 --set microphone=default --output DIR
  earmark live pipelines/live_file.yaml --set url=kitchen.mp4 --output DIR --events -

It goes on until ^C or SIGTERM, and closes its files. A source that is lost is tried again, for ever. One folder a day, one file an hour
(live: { segment_minutes: 60 }); a file gets its final name, .h5, when it is complete. The pipelines are read again when a file
changes, and on SIGHUP.")]
pub struct Live {
    /// Pipelines (YAML); one may have many `sources`.
    #[arg(required = true, value_name = "PIPELINE")]
    pub pipelines: Vec<PathBuf>,

    /// Value of ${NAME} in the pipelines; may be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// The folder for the files; --set output=DIR is the same.
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Name of a source whose pipeline gives it none [default: the pipeline's name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Write events as lines of JSON: to stdout (-) or to the end of a file.
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,

    /// Serve a page, /metrics, /healthz, /readyz, /api/state and /api/events at this address, such as 127.0.0.1:8377; addresses that other
    /// machines can reach need a token.
    #[arg(long, value_name = "ADDRESS")]
    pub status: Option<SocketAddr>,

    /// Show the page only to those who know the token in this file.
    #[arg(long, value_name = "FILE", requires = "status")]
    pub token_file: Option<PathBuf>,

    /// Stop after this many seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,

    /// Processor cores for each source [default: all sources share all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}
