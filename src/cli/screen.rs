//! Arguments of `earmark screen`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// `earmark screen`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark screen recordings/
  earmark screen recordings/ --output screen.html
  earmark screen recordings/ --json

Listens to each recording and decodes some keyframes; nothing else is decoded, and no model runs.")]
pub struct Screen {
    /// Recordings, or folders of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<OsString>,

    /// Write the table as a page.
    #[arg(long, short, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    /// Replace the page if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Keyframes to measure in each recording, 1..=1000.
    #[arg(long, default_value_t = 24, value_name = "COUNT", value_parser = keyframes)]
    pub keyframes: usize,

    /// Give up on a recording that makes no progress for this many seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub stall_timeout: u64,
}

fn keyframes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1000).contains(&count) => Ok(count),
        _ => Err("must be in 1..=1000".into()),
    }
}
