//! The measures of published benchmarks, each equal to its authors' scorer: compares predictions with labels that `datasets` reads.
//!
//! # Layout
//!
//! - `order`: order of equal scores; `precision`: average precision of spans; `matching`: the largest matching of a graph.
//! - `detection`: mAP of EPIC-SOUNDS' and EPIC-KITCHENS-100's detection challenges.
//! - `onsets`: F-measure of onsets.
//! - `moments`: QVHighlights.
//! - `parsing`: LLP; `segments`: AVE.
//! - `sed`, `psds`: sound events.
//! - `statistics`: tests whether one way is better than another on the same recordings.

mod detection;
mod matching;
mod moments;
mod onsets;
mod order;
mod parsing;
mod precision;
mod psds;
mod sed;
mod segments;
pub(crate) mod statistics;

pub(crate) use detection::run as detection;
pub(crate) use moments::run as moments;
pub(crate) use onsets::run as onsets;
pub(crate) use psds::run as psds;
pub(crate) use sed::run as sed;

use serde_json::Value;

use crate::cli::{EvalParsing, Scorer};

/// The result of a measure.
pub(crate) struct Scored {
    /// One JSON object.
    pub(crate) value: Value,
    /// The same as text.
    pub(crate) text: String,
}

/// `earmark eval parsing`.
///
/// # Errors
/// A file cannot be read, or the predictions are not for the test split.
pub(crate) fn parsing(args: &EvalParsing) -> anyhow::Result<Scored> {
    match args.scorer {
        Scorer::Ave => segments::run(args),
        Scorer::Avvp | Scorer::Strict => parsing::run(args),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::cli::{EvalDetection, EvalMoments, EvalOnsets, EvalPsds, EvalSed};

    fn made(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/scores")
            .join(name)
    }

    /// Scores a synthetic case with one of its files replaced.
    fn scored(name: &str, spoilt: &Path) -> anyhow::Result<Scored> {
        let pick = |own: &str| {
            if own == name {
                spoilt.to_owned()
            } else {
                made(own)
            }
        };
        match name {
            "sounds.json" | "sounds.csv" => detection(&EvalDetection {
                submission: pick("sounds.json"),
                annotations: pick("sounds.csv"),
                background: None,
            }),
            "kitchens.json" | "kitchens.csv" => detection(&EvalDetection {
                submission: pick("kitchens.json"),
                annotations: pick("kitchens.csv"),
                background: None,
            }),
            "heard.txt" | "onsets.txt" => onsets(&EvalOnsets {
                estimated: pick("heard.txt"),
                reference: pick("onsets.txt"),
                collar_ms: vec![50.0],
            }),
            "predicted.jsonl" | "moments.jsonl" => moments(&EvalMoments {
                submission: pick("predicted.jsonl"),
                labels: pick("moments.jsonl"),
            }),
            "sed_1.tsv" => sed(&EvalSed {
                estimated: pick("sed_1.tsv"),
                reference: made("sed_true.tsv"),
                durations: None,
                collar_ms: 200.0,
                offset_share: 0.5,
                segment_ms: 1000.0,
            }),
            _ => psds(&EvalPsds {
                estimated: vec![made("sed_1.tsv")],
                reference: pick("sed_true.tsv"),
                durations: pick("sed_durations.tsv"),
                dtc: None,
                gtc: None,
                cttc: None,
                alpha_ct: None,
                alpha_st: None,
                max_efpr: None,
            }),
        }
    }

    /// Changes, cuts and doubles bytes: every input must get an answer.
    #[test]
    fn spoilt_files_are_answered() {
        let mut state = 1_u32;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let folder = tempfile::tempdir().unwrap();
        let spoilt = folder.path().join("spoilt");
        let bytes = b"0129-.,:\t\n\"[]{}eNan\x00\xff<>&#";
        let (mut good, mut bad) = (0, 0);
        for name in [
            "sounds.json",
            "sounds.csv",
            "kitchens.json",
            "kitchens.csv",
            "heard.txt",
            "onsets.txt",
            "predicted.jsonl",
            "moments.jsonl",
            "sed_1.tsv",
            "sed_true.tsv",
            "sed_durations.tsv",
        ] {
            let whole = std::fs::read(made(name)).unwrap();
            for _ in 0..60 {
                let mut text = whole.clone();
                for _ in 0..1 + draw(3) {
                    let at = draw(text.len());
                    match draw(4) {
                        0 => text.truncate(at.max(1)),
                        1 => drop(text.drain(at..(at + draw(9)).min(text.len()))),
                        2 => {
                            let piece = text[at..(at + draw(40)).min(text.len())].to_vec();
                            text.splice(at..at, piece);
                        }
                        _ => text[at] = bytes[draw(bytes.len())],
                    }
                    if text.is_empty() {
                        text.push(b'x');
                    }
                }
                std::fs::write(&spoilt, &text).unwrap();
                match scored(name, &spoilt) {
                    Ok(_) => good += 1,
                    Err(e) => {
                        bad += 1;
                        assert!(!format!("{e:#}").is_empty());
                    }
                }
            }
        }
        assert!(good > 50 && bad > 50, "{good} read, {bad} refused");
    }
}
