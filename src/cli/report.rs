//! Arguments of `earmark report` and `earmark plot`.

use std::path::PathBuf;

use clap::Args;

/// `earmark report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark report kitchen.h5 --video kitchen.mp4 --labels kitchen.labels.csv
  earmark report gated.h5 --compare uniform.h5 --output both.html
  earmark report features/ --video recordings/ --labels labels/ --output pages/
  earmark report features/ --video recordings/ --serve")]
pub struct Report {
    /// A feature file (.h5), or a folder of them (adds an index page).
    pub file: PathBuf,

    /// Another run over the same recording, shown below on the same time axis.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// The recording, so that the page can play it; for a folder, a folder of recordings with the same names.
    #[arg(long, value_name = "FILE|URI")]
    pub video: Option<PathBuf>,

    /// Labelled events (start_s, stop_s, class): the page marks hits, misses and false anchors; for a folder, a folder of NAME.labels.csv.
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The page to write, a single file [default: FILE with the extension .html]; for a folder, a folder.
    #[arg(long, short, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Decode --video for up to 4 s to estimate how long decoding every frame would take.
    #[arg(long)]
    pub time_decoding: bool,

    /// Serve the page and the recording over HTTP instead of writing a file. Requests must name this address, localhost (on a
    /// loopback address) or this machine (on any other).
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:8000")]
    pub serve: Option<std::net::SocketAddr>,
}

/// `earmark plot`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark plot kitchen.h5 --labels kitchen.labels.csv --output kitchen.svg
  earmark plot gated.h5 --compare uniform.h5 --from 30 --to 60 --dark --output both.png")]
pub struct Plot {
    /// A feature file (.h5).
    pub file: PathBuf,

    /// Another run over the same recording, drawn below.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// Labelled events (start_s, stop_s, class).
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The drawing to write; its extension selects SVG or PNG. Text is drawn as outlines.
    #[arg(long, short, value_name = "FILE.svg|FILE.png")]
    pub output: PathBuf,

    /// Start of the drawing, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub from: Option<f64>,

    /// End of the drawing, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub to: Option<f64>,

    /// Use colours for a dark background.
    #[arg(long)]
    pub dark: bool,

    /// Width of the drawing, pixels, 300..=10000.
    #[arg(long, default_value_t = 1200, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(300..=10_000))]
    pub width: u32,

    /// PNG: pixels per pixel of --width, 0.1..=16.
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR", value_parser = factor)]
    pub scale: f64,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.1..=16.0).contains(&factor) => Ok(factor),
        _ => Err("must be in 0.1..=16".into()),
    }
}
