//! Reads cues of other sources: `cues.jsonl`, one JSON object per line with time, probability and label.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anchoring::planning::global::{GivenCue, MOST_LABELS};
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use serde_json::Value;

/// Longest line, in bytes.
const LONGEST: u64 = 1 << 16;
/// Longest label, in bytes: that of a feature file.
const LONGEST_LABEL: usize = 256;
/// Most cues: a hundred hours with three a second.
const MOST: usize = 1_000_000;

/// Given cues in order of time, and the labels that they refer to.
#[derive(Debug, Default)]
pub(super) struct GivenCues {
    pub(super) cues: Vec<GivenCue>,
    pub(super) labels: Vec<String>,
    pub(super) path: PathBuf,
}

impl GivenCues {
    /// Reads a file, or the file `VIDEO_ID.cues.jsonl` of a folder.
    ///
    /// # Errors
    /// The file cannot be read, or a line breaks a rule; the error names line, value and rule.
    pub(super) fn read(given: &Path, video_id: &str) -> anyhow::Result<Self> {
        let path = match given.is_dir() {
            true => given.join(format!("{video_id}.cues.jsonl")),
            false => given.to_owned(),
        };
        let file = File::open(&path).with_context(|| {
            format!(
                "cannot read the cues {} (anchors.cues_from)",
                path.display()
            )
        })?;
        let mut lines = BufReader::new(file);
        let mut found = Self {
            path: path.clone(),
            ..Self::default()
        };
        let mut known: HashMap<String, u32> = HashMap::new();
        for number in 1_u64.. {
            let mut bytes = Vec::new();
            let read = lines.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
            let read = read.with_context(|| format!("cannot read {}", path.display()))?;
            if read == 0 {
                break;
            }
            let at = || format!("{} line {number}", path.display());
            if read as u64 == LONGEST && !bytes.ends_with(b"\n") {
                bail!(
                    "{}: is longer than {LONGEST} bytes; is there one JSON object a line?",
                    at()
                );
            }
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() {
                continue;
            }
            let line = Line::parse(text).map_err(|why| anyhow::anyhow!("{}: {why}", at()))?;
            if let Some(last) = found.cues.last().filter(|last| line.at < last.at) {
                bail!(
                    "{}: time_s is {}, but the line before it has {}: cues must be in order of time (sort them by time_s)",
                    at(),
                    line.at.seconds(),
                    last.at.seconds()
                );
            }
            if found.cues.len() == MOST {
                bail!(
                    "{} has more than {MOST} cues; keep the likeliest",
                    path.display()
                );
            }
            let label = match line.label {
                None => None,
                Some(label) => match known.get(&label) {
                    Some(&index) => Some(index),
                    None if found.labels.len() == MOST_LABELS => {
                        bail!(
                            "{}: there are more than {MOST_LABELS} different labels; is it free text?",
                            at()
                        )
                    }
                    None => {
                        let index = found.labels.len() as u32;
                        known.insert(label.clone(), index);
                        found.labels.push(label);
                        Some(index)
                    }
                },
            };
            found.cues.push(GivenCue {
                at: line.at,
                p: line.p,
                label,
            });
        }
        Ok(found)
    }
}

/// One line.
#[derive(Debug, PartialEq)]
struct Line {
    at: Nanos,
    p: f32,
    label: Option<String>,
}

impl Line {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = serde_json::from_str(text);
        let mut map = match parsed {
            Ok(Value::Object(map)) => map,
            Ok(other) => {
                return Err(format!(
                    "{} must be a JSON object, as in {EXAMPLE}",
                    shown(&other)
                ));
            }
            Err(error) => {
                return Err(format!(
                    "is not a JSON object ({error}); a line looks like {EXAMPLE}"
                ));
            }
        };
        let time = map.remove("time_s").unwrap_or_default();
        let at = time
            .as_f64()
            .filter(|seconds| (0.0..=360_000.0).contains(seconds))
            .and_then(Nanos::from_seconds)
            .ok_or_else(|| {
                let hint =
                    "seconds from the recording's start; did you give milliseconds, or text?";
                format!(
                    "time_s is {}: must be a number in 0..=360000 ({hint})",
                    shown(&time)
                )
            })?;
        let p = match map.remove("p") {
            None => 1.0,
            Some(p) => p
                .as_f64()
                .filter(|p| (0.0..=1.0).contains(p))
                .ok_or_else(|| {
                    format!("p is {}: must be a number in 0..=1 (a probability; did you give a percentage?)", shown(&p))
                })? as f32,
        };
        let label = match map.remove("label") {
            None | Some(Value::Null) => None,
            Some(Value::String(label)) if label.len() <= LONGEST_LABEL => {
                Some(label).filter(|label| !label.is_empty())
            }
            Some(other) => {
                return Err(format!(
                    "label is {}: must be text of at most {LONGEST_LABEL} bytes",
                    shown(&other)
                ));
            }
        };
        match map.keys().next() {
            Some(key) => Err(format!("unknown key `{key}`; use time_s, p or label")),
            None => Ok(Self { at, p, label }),
        }
    }
}

/// A valid line.
const EXAMPLE: &str = r#"{"time_s": 12.5, "p": 0.8, "label": "grasp"}"#;

/// A value, shortened.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None if value.is_null() => "missing".into(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<GivenCues> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kitchen.cues.jsonl");
        std::fs::write(&path, text).unwrap();
        let whole = GivenCues::read(folder.path(), "kitchen")?;
        assert_eq!(whole.cues, GivenCues::read(&path, "other").unwrap().cues);
        Ok(whole)
    }

    #[test]
    fn lines_have_a_time_and_optionally_a_probability_and_a_label() {
        let all = read("\u{feff}{\"time_s\": 1.5}\n\n{\"time_s\": 2, \"p\": 0.25, \"label\": \"a\"}\r\n{\"time_s\":2,\"label\":\"b\"}\n{\"time_s\":3,\"label\":\"a\"}").unwrap();
        let facts: Vec<_> = all
            .cues
            .iter()
            .map(|c| (c.at.get(), c.p, c.label))
            .collect();
        let s = 1_000_000_000;
        assert_eq!(
            facts,
            [
                (s * 3 / 2, 1.0, None),
                (2 * s, 0.25, Some(0)),
                (2 * s, 1.0, Some(1)),
                (3 * s, 1.0, Some(0))
            ]
        );
        assert_eq!(all.labels, ["a", "b"]);
    }

    #[test]
    fn a_bad_line_is_reported_with_its_number_value_and_rule() {
        for (line, words) in [
            ("[1, 2]", "[1,2] must be a JSON object"),
            ("time_s=3", "is not a JSON object"),
            ("{\"p\": 0.5}", "time_s is missing"),
            ("{\"time_s\": \"3\"}", "time_s is \"3\""),
            ("{\"time_s\": -1}", "time_s is -1"),
            ("{\"time_s\": 1e9}", "did you give milliseconds"),
            (
                "{\"time_s\": 9, \"p\": 80}",
                "p is 80: must be a number in 0..=1",
            ),
            ("{\"time_s\": 9, \"label\": 3}", "label is 3"),
            (
                "{\"time_s\": 9, \"probability\": 1}",
                "unknown key `probability`",
            ),
            ("{\"time_s\": 0.5}", "in order of time"),
        ] {
            let error = read(&format!("{{\"time_s\": 1}}\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("line 2: ") && error.contains(words),
                "{error}"
            );
        }
        let long = format!("{{\"time_s\": 1, \"label\": \"{}\"}}", "x".repeat(1 << 17));
        assert!(
            read(&long)
                .unwrap_err()
                .to_string()
                .contains("line 1: is longer")
        );
    }
}
