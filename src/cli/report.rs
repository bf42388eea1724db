//! Pages and drawings: `earmark report` and `earmark plot`.

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
    /// A feature file (.h5), or a folder of them: then there is an index too.
    pub file: PathBuf,

    /// Another run over the same recording, shown below it on the same axis of time.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// The recording, which the page then plays; with a folder, a folder of recordings of the same names.
    #[arg(long, value_name = "FILE|URI")]
    pub video: Option<PathBuf>,

    /// What really sounds when (start_s, stop_s, class): found, missed and false are shown; with a folder, a folder of NAME.labels.csv.
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The page to write: one file that opens from disk; by default FILE with the ending .html. With a folder, a folder.
    #[arg(long, short, value_name = "FILE.html")]
    pub output: Option<PathBuf>,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,

    /// Decode the beginning of --video, for 4 s at most, to estimate what decoding all of it would take here.
    #[arg(long)]
    pub time_decoding: bool,

    /// Serve the page, and the recording with it, instead of writing a file; only to who asks by this address, by localhost where it is
    /// this machine's alone, or by the machine's name where it is not.
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

    /// Another run over the same recording, drawn below it.
    #[arg(long, value_name = "OTHER.h5")]
    pub compare: Option<PathBuf>,

    /// What really sounds when (start_s, stop_s, class).
    #[arg(long, value_name = "LABELS.csv")]
    pub labels: Option<PathBuf>,

    /// The drawing to write, by its ending SVG or PNG. Text is drawn as outlines: it looks the same everywhere.
    #[arg(long, short, value_name = "FILE.svg|FILE.png")]
    pub output: PathBuf,

    /// Where the drawing begins, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub from: Option<f64>,

    /// Where it ends, seconds.
    #[arg(long, value_name = "SECONDS")]
    pub to: Option<f64>,

    /// For dark pages.
    #[arg(long)]
    pub dark: bool,

    /// Width of the drawing, pixels, 300..=10000.
    #[arg(long, default_value_t = 1200, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(300..=10_000))]
    pub width: u32,

    /// PNG: pixels for one of --width, above 0.
    #[arg(long, default_value_t = 2.0, value_name = "FACTOR", value_parser = factor)]
    pub scale: f64,

    /// Replace the output if it exists.
    #[arg(long)]
    pub overwrite: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.1..=16.0).contains(&factor) => Ok(factor),
        _ => Err("must lie in 0.1..=16".into()),
    }
}
