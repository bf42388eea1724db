//! Arguments of `earmark eval`.

use std::path::PathBuf;

use anchoring::tier::Tier;
use clap::{Args, Subcommand};

use super::ask::EvalQa;
use super::scores::{
    EvalDetection, EvalLayout, EvalMoments, EvalOnsets, EvalParsing, EvalPsds, EvalSed,
};

/// `earmark eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// Count the labelled events that the frames of a plan hit; compare with uniform, random, time-shifted and oracle frames.
    Anchors(EvalAnchors),
    /// mAP of a submission to the detection challenge of EPIC-SOUNDS or EPIC-KITCHENS-100.
    Detection(EvalDetection),
    /// F-measure of onsets within a collar, as mir_eval has it.
    Onsets(EvalOnsets),
    /// Moment retrieval and highlight detection on QVHighlights.
    Moments(EvalMoments),
    /// Questions about videos: accuracy by way of choosing frames and by prompt, at equal tokens, with a server of yours.
    Qa(Box<EvalQa>),
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
