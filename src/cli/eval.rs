//! Plans against labels: `earmark eval`.

use std::path::PathBuf;

use anchoring::tier::Tier;
use clap::{Args, Subcommand};

use super::scores::{
    EvalDetection, EvalLayout, EvalMoments, EvalOnsets, EvalParsing, EvalPsds, EvalSed,
};

/// `earmark eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// How many labelled events the looks of a plan hit, beside even, random, time-shifted and all-knowing looks.
    Anchors(EvalAnchors),
    /// mAP of a submission to the detection challenge of EPIC-SOUNDS or EPIC-KITCHENS-100.
    Detection(EvalDetection),
    /// F-measure of onsets within a collar, as mir_eval has it.
    Onsets(EvalOnsets),
    /// Moment retrieval and highlight detection on QVHighlights.
    Moments(EvalMoments),
    /// Audio-visual video parsing on LLP: segments and events; on AVE: the accuracy of segments.
    Parsing(EvalParsing),
    /// Event- and segment-based F-measure of sound events, as sed_eval has them.
    Sed(EvalSed),
    /// The polyphonic sound detection score, as psds_eval has it.
    Psds(EvalPsds),
    /// What is there of a published dataset: counts and splits beside the published ones, missing videos.
    Layout(EvalLayout),
}

/// `earmark eval anchors`.
#[derive(Debug, Args)]
#[command(after_help = "\
LABELS: start_s,stop_s,class and, if known, snr_db; or the columns of EPIC-SOUNDS. Plans and labels are paired by name
(kitchen.jsonl and kitchen.labels.csv or kitchen.csv), or by the column video_id of a single file.

Examples:
  earmark eval anchors --plan kitchen.jsonl --labels kitchen.labels.csv
  earmark eval anchors --plan plans/*.jsonl --labels labels/*.labels.csv --plot recall.svg --json")]
pub struct EvalAnchors {
    /// Plans; those written with --cues say more.
    #[arg(long, required = true, num_args = 1.., value_name = "PLAN.jsonl")]
    pub plan: Vec<PathBuf>,

    /// What really happens.
    #[arg(long, required = true, num_args = 1.., value_name = "LABELS.csv")]
    pub labels: Vec<PathBuf>,

    /// Count looks of this tier or above; unset: base if the plan has any, else low.
    #[arg(long, value_name = "low|base|high")]
    pub tier: Option<Tier>,

    /// Draw the results.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}
