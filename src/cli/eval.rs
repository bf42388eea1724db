//! Arguments of `earmark eval`.

use std::path::PathBuf;

use anchoring::tier::Tier;
use clap::{Args, Subcommand};

use super::ask::EvalQa;
use super::evidence::EvalTokens;
use super::scores::{
    EvalDetection, EvalLayout, EvalMoments, EvalOnsets, EvalParsing, EvalPsds, EvalSed,
};

/// `earmark eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Count the labelled events that the frames of a plan hit; compare with uniform, random, time-shifted and oracle frames.
    Anchors(EvalAnchors),
    /// Events shown against tokens: frames at anchors, even and random ones, at many budgets, from plans with cues.
    Curve(EvalCurve),
    /// mAP of a submission to the detection challenge of EPIC-SOUNDS or EPIC-KITCHENS-100.
    Detection(EvalDetection),
    /// F-measure of onsets within a collar, as in mir_eval.
    Onsets(EvalOnsets),
    /// Moment retrieval and highlight detection on QVHighlights.
    Moments(EvalMoments),
    /// Questions about videos: accuracy by choice of frames and by prompt, at equal tokens, with your own server.
    Qa(Box<EvalQa>),
    /// Audio-visual video parsing on LLP: segments and events; on AVE: the accuracy of segments.
    Parsing(EvalParsing),
    /// Event- and segment-based F-measure of sound events, as in sed_eval.
    Sed(EvalSed),
    /// The polyphonic sound detection score, as in psds_eval.
    Psds(EvalPsds),
    /// Test whether sharp frames at onsets beat even frames at equal tokens: samples, encodes, trains heads, compares.
    Tokens(EvalTokens),
    /// Check a published dataset: counts and splits beside the published ones, missing videos.
    Layout(EvalLayout),
}

/// `earmark eval curve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each plan, written with --cues, is made again at every budget and with each tier at its anchors, without listening again; everything else is
as its config says. Beside it stand even and random frames of that tier for the same tokens. Frames are not snapped to cheap ones.

Examples:
  earmark plan gated --input kitchen.mp4 --output kitchen.jsonl --cues
  earmark eval curve --plan kitchen.jsonl --labels kitchen.labels.csv --plot curve.svg --csv curve.csv
  earmark eval curve --plan plans/*.jsonl --labels labels/*.labels.csv --tokens-per-s 20,49,98")]
pub struct EvalCurve {
    /// Plans with cues.
    #[arg(long, required = true, num_args = 1.., value_name = "PLAN.jsonl")]
    pub plan: Vec<PathBuf>,

    /// Labelled events, as for `eval anchors`.
    #[arg(long, required = true, num_args = 1.., value_name = "LABELS.csv")]
    pub labels: Vec<PathBuf>,

    /// Budgets, tokens per second of recording, 0.001..=1000000.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10.0, 20.0, 39.0, 49.0, 98.0, 196.0, 392.0, 784.0])]
    pub tokens_per_s: Vec<f64>,

    /// Also draw it.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,

    /// Also write it as a table.
    #[arg(long, value_name = "FILE.csv")]
    pub csv: Option<PathBuf>,
}

/// `earmark eval anchors`.
#[derive(Debug, Args)]
#[command(after_help = "\
LABELS has the columns start_s, stop_s, class and optionally snr_db, or those of EPIC-SOUNDS. Plans and labels are paired by name
(kitchen.jsonl with kitchen.labels.csv or kitchen.csv), or by the column video_id of a single file.

Examples:
  earmark eval anchors --plan kitchen.jsonl --labels kitchen.labels.csv
  earmark eval anchors --plan plans/*.jsonl --labels labels/*.labels.csv --plot recall.svg --json")]
pub struct EvalAnchors {
    /// Plans. Write them with --cues to score onsets and silence, too.
    #[arg(long, required = true, num_args = 1.., value_name = "PLAN.jsonl")]
    pub plan: Vec<PathBuf>,

    /// Labelled events.
    #[arg(long, required = true, num_args = 1.., value_name = "LABELS.csv")]
    pub labels: Vec<PathBuf>,

    /// Count frames of this tier or above [default: base if the plan has any, else low].
    #[arg(long, value_name = "low|base|high")]
    pub tier: Option<Tier>,

    /// Also draw the results.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}
