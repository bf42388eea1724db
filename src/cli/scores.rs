//! Arguments of the commands for published benchmarks: `earmark eval detection`, `onsets`, ….

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `earmark eval detection`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark eval detection --submission S.json --annotations EPIC_Sounds_validation.csv --json
  earmark eval detection --submission S.json --annotations EPIC_100_validation.csv

The columns of the annotations say which challenge it is. Files may be gzip.")]
pub struct EvalDetection {
    /// The challenge's submission: results by video, each with segment, score, and interaction (or verb and noun).
    #[arg(long, value_name = "S.json")]
    pub submission: PathBuf,

    /// The annotations: video_id, start_timestamp, stop_timestamp, class_id (or verb_class and noun_class).
    #[arg(long, value_name = "A.csv")]
    pub annotations: PathBuf,

    /// The class `background` of EPIC-SOUNDS; unset: drop it if the submission's version is 0.1, as that version of the challenge does.
    #[arg(long, value_enum)]
    pub background: Option<Background>,
}

/// How to treat the class `background` of EPIC-SOUNDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Background {
    /// Like any other class.
    Keep,
    /// Its annotations and detections do not count.
    Drop,
}

/// `earmark eval onsets`.
#[derive(Debug, Args)]
#[command(after_help = "\
Files have a time in seconds a line, ascending; what follows it on the line is passed over, and lines that begin with # are notes.

Examples:
  earmark eval onsets --estimated heard.txt --reference labels.txt
  earmark eval onsets --estimated heard.txt --reference labels.txt --collar-ms 150 --json")]
pub struct EvalOnsets {
    /// The detected onsets.
    #[arg(long, value_name = "E.txt")]
    pub estimated: PathBuf,

    /// The true ones.
    #[arg(long, value_name = "R.txt")]
    pub reference: PathBuf,

    /// Largest distance from a true onset, milliseconds, above 0; several separated by commas.
    #[arg(long, value_name = "MS", value_delimiter = ',', default_values_t = [50.0, 150.0, 250.0], value_parser = above_zero)]
    pub collar_ms: Vec<f64>,
}

/// `earmark eval moments`.
#[derive(Debug, Args)]
#[command(after_help = "\
Names and rounding are those of the authors' scorer; null where a range has no query. Files may be gzip.

Example:
  earmark eval moments --submission preds.jsonl --labels highlight_val_release.jsonl --json")]
pub struct EvalMoments {
    /// Predictions: one JSON object per line with qid, and pred_relevant_windows or pred_saliency_scores or both.
    #[arg(long, value_name = "S.jsonl")]
    pub submission: PathBuf,

    /// The labels of QVHighlights: one JSON object per line.
    #[arg(long, value_name = "L.jsonl")]
    pub labels: PathBuf,
}

/// Which predicted events count as right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scorer {
    /// As in the scorer of the LLP dataset's authors.
    Avvp,
    /// Each predicted event is matched to at most one true event, and vice versa.
    Strict,
    /// AVE: the share of seconds whose class is right.
    Ave,
}

impl Scorer {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avvp => "avvp",
            Self::Strict => "strict",
            Self::Ave => "ave",
        }
    }
}

/// `earmark eval parsing`.
#[derive(Debug, Args)]
#[command(after_help = "\
P.npz (numpy.savez) has filenames [N], classes [C], and audio and visual [N, 10, C]: 1 where a class is heard or seen in a second, else 0.
With --scorer ave it has filenames [N] (the ids of the videos), classes [C] (with Background), and labels [N, 10]: indices of classes.

DIR has AVVP_test_pd.csv, AVVP_eval_audio.csv and AVVP_eval_visual.csv; for a set with other classes, classes.txt too, a name a line.
With --scorer ave it has Annotations.txt and test_order.h5.

Examples:
  earmark eval parsing --predictions P.npz --labels llp --json
  earmark eval parsing --predictions P.npz --labels ave --scorer ave")]
pub struct EvalParsing {
    /// The predictions for the test split.
    #[arg(long, value_name = "P.npz")]
    pub predictions: PathBuf,

    /// The folder of labels.
    #[arg(long, value_name = "DIR")]
    pub labels: PathBuf,

    /// The scorer.
    #[arg(long, value_enum, default_value_t = Scorer::Avvp)]
    pub scorer: Scorer,
}

/// `earmark eval sed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Files have filename, onset, offset (seconds) and event_label, with tabs between, as DCASE and DESED have them. A file without events stands in a
line with nothing else, or in --durations. The defaults are sed_eval's; DCASE's task 4 takes --offset-share 0.2.

Examples:
  earmark eval sed --estimated found.tsv --reference labels.tsv --json
  earmark eval sed --estimated found.tsv --reference labels.tsv --offset-share 0.2")]
pub struct EvalSed {
    /// The detected events.
    #[arg(long, value_name = "E.tsv")]
    pub estimated: PathBuf,

    /// The true ones.
    #[arg(long, value_name = "R.tsv")]
    pub reference: PathBuf,

    /// Every file with its length: filename, duration.
    #[arg(long, value_name = "D.tsv")]
    pub durations: Option<PathBuf>,

    /// Largest distance of an onset or offset from the true one, milliseconds, above 0.
    #[arg(long, value_name = "MS", default_value_t = 200.0, value_parser = above_zero)]
    pub collar_ms: f64,

    /// Largest distance of an offset from the true one, as a share of the true event's length, if that is more than the collar.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    pub offset_share: f64,

    /// Length of a segment, milliseconds, above 0.
    #[arg(long, value_name = "MS", default_value_t = 1000.0, value_parser = above_zero)]
    pub segment_ms: f64,
}

/// `earmark eval psds`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each file of --estimated is an operating point: what a system finds at one threshold. Without any of the criteria, both scenarios of DCASE's
task 4 are scored (psds1, psds2); with one, a score of its own, the others being dtc 0.5, gtc 0.5, cttc 0.3, alpha_ct 0, alpha_st 0, max_efpr 100.

Examples:
  earmark eval psds --estimated thresholds/*.tsv --reference labels.tsv --durations durations.tsv --json
  earmark eval psds --estimated thresholds/*.tsv --reference labels.tsv --durations durations.tsv --dtc 0.7 --gtc 0.7")]
pub struct EvalPsds {
    /// The detected events, one file per threshold.
    #[arg(long, required = true, num_args = 1.., value_name = "E.tsv")]
    pub estimated: Vec<PathBuf>,

    /// The true ones.
    #[arg(long, value_name = "R.tsv")]
    pub reference: PathBuf,

    /// Every file with its length: filename, duration.
    #[arg(long, value_name = "D.tsv")]
    pub durations: PathBuf,

    /// Smallest share of a detection that true events of its label must cover, 0..=1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub dtc: Option<f64>,

    /// Smallest share of a true event that detections of its label must cover, 0..=1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub gtc: Option<f64>,

    /// Share of a false detection that makes it a cross-trigger on another label, 0..=1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub cttc: Option<f64>,

    /// Weight of cross-triggers, 0..=1.
    #[arg(long, value_name = "WEIGHT", value_parser = share)]
    pub alpha_ct: Option<f64>,

    /// Weight of the differences between labels, 0..=1.
    #[arg(long, value_name = "WEIGHT", value_parser = share)]
    pub alpha_st: Option<f64>,

    /// Most false detections per hour that are considered, above 0.
    #[arg(long, value_name = "RATE", value_parser = above_zero)]
    pub max_efpr: Option<f64>,
}

/// Published formats of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// AVE: Annotations.txt and the order of each split.
    Ave,
    /// EPIC-SOUNDS.
    EpicSounds,
    /// EPIC-KITCHENS-100.
    EpicKitchens,
    /// LLP, which AVVP's authors made.
    Llp,
    /// DCASE and DESED: sound events with tabs between.
    Dcase,
    /// QVHighlights.
    Qvhighlights,
    /// NExT-QA, multiple choice.
    Nextqa,
    /// MUSIC-AVQA.
    MusicAvqa,
    /// HME-QA.
    HmeQa,
    /// KitchenMix, and Earmark's own labels: a CSV file for each recording.
    Kitchenmix,
}

impl Layout {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ave => "ave",
            Self::EpicSounds => "epic-sounds",
            Self::EpicKitchens => "epic-kitchens",
            Self::Llp => "llp",
            Self::Dcase => "dcase",
            Self::Qvhighlights => "qvhighlights",
            Self::Nextqa => "nextqa",
            Self::MusicAvqa => "music-avqa",
            Self::HmeQa => "hme-qa",
            Self::Kitchenmix => "kitchenmix",
        }
    }
}

/// `earmark eval layout`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every file is read in full. An invalid one is an error with its line; counts that differ from the published ones, and videos that are
missing, are reported.

Examples:
  earmark eval layout --data ave --videos ave/videos
  earmark eval layout --data epic-sounds-annotations --json")]
pub struct EvalLayout {
    /// The folder of labels.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,

    /// The layout [default: recognised by the files' names].
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,

    /// The folder of recordings, searched recursively; lists those that the labels name but that are missing.
    #[arg(long, value_name = "DIR")]
    pub videos: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if (0.0..=1.0).contains(&x) => Ok(x),
        _ => Err("must lie in 0..=1".into()),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && f64::is_finite(x) => Ok(x),
        _ => Err("must be a number above 0".into()),
    }
}
