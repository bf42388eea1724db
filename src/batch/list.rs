//! Reads list files: text (a recording per line), CSV (with a header) and JSONL (an object per line).
//!
//! Columns and keys: `input` (or `path`), and optionally `video_id`, `audio_track`, `duration_s`; every other is a variable of the pipeline.
//! Paths are relative to the list.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use super::job::{Job, is_uri, stem, text};

/// Largest list file, in bytes.
const LARGEST: u64 = 256 << 20;

/// Reads a list file.
///
/// # Errors
/// It cannot be read, or a line of it is wrong.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Job>> {
    let name = path.display();
    let size = path.metadata()?.len();
    if size > LARGEST {
        bail!("{name} has {size} bytes, too many for a list of recordings; is it a list?");
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the list {name}; is it a text file?"))?;
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    // Some editors and spreadsheets write a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let jobs = match extension.to_lowercase().as_str() {
        "csv" => csv(text, path),
        "jsonl" | "ndjson" => jsonl(text, path),
        _ => plain(text, path),
    };
    let jobs = jobs.with_context(|| format!("the list {name}"))?;
    if jobs.is_empty() {
        bail!("the list {name} names no recording");
    }
    Ok(jobs)
}

fn plain(text: &str, list: &Path) -> anyhow::Result<Vec<Job>> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            job(
                BTreeMap::from([("input".into(), line.into())]),
                list,
                number,
            )
        })
        .collect()
}

fn csv(text: &str, list: &Path) -> anyhow::Result<Vec<Job>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let heading = reader.headers()?.clone();
    if !heading.iter().any(|name| name == "input" || name == "path") {
        bail!(
            "the first line must be a header with a column `input`; it is `{}`",
            heading.iter().collect::<Vec<_>>().join(",")
        );
    }
    let mut jobs = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line) as usize;
        let fields = heading
            .iter()
            .zip(record.iter())
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        jobs.push(job(fields, list, line)?);
    }
    Ok(jobs)
}

fn jsonl(text: &str, list: &Path) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let object: BTreeMap<String, Value> =
            serde_json::from_str(line).with_context(|| format!("line {number}"))?;
        let mut fields = BTreeMap::new();
        for (name, value) in object {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                _ => bail!("line {number}: `{name}` must be text, a number, true or false"),
            };
            fields.insert(name, text);
        }
        jobs.push(job(fields, list, number)?);
    }
    Ok(jobs)
}

fn job(mut fields: BTreeMap<String, String>, list: &Path, line: usize) -> anyhow::Result<Job> {
    let given = fields.remove("input").or_else(|| fields.remove("path"));
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        bail!("line {line} has no `input`");
    };
    fields.remove("path");
    let input = if is_uri(&given) {
        given
    } else {
        let folder = list.parent().unwrap_or(Path::new("."));
        text(&folder.join(&given))
    };
    let audio_track = fields
        .remove("audio_track")
        .map(|track| {
            track.parse().with_context(|| {
                format!("line {line}: audio_track `{track}` is not a whole number")
            })
        })
        .transpose()?;
    let duration_s = fields
        .remove("duration_s")
        .map(|seconds| match seconds.parse::<f64>() {
            Ok(s) if s.is_finite() && s >= 0.0 => Ok(s),
            _ => bail!("line {line}: duration_s `{seconds}` is not a number of seconds"),
        })
        .transpose()?;
    Ok(Job {
        video_id: fields
            .remove("video_id")
            .unwrap_or_else(|| stem(input.as_ref())),
        input,
        variables: fields,
        audio_track,
        duration_s,
        named_in: format!("{} line {line}", list.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str, text: &str) -> anyhow::Result<Vec<Job>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut jobs = read(&path)?;
        for job in &mut jobs {
            let whole = folder.path().to_str().unwrap();
            job.input = job.input.replace(whole, "LIST");
        }
        Ok(jobs)
    }

    #[test]
    fn text_names_a_recording_a_line() {
        let jobs = list(
            "l.txt",
            "# remark\nP01.mp4\n\n/x/P02.mp4\nhttps://h/P03.mp4\n",
        )
        .unwrap();
        let found: Vec<_> = jobs
            .iter()
            .map(|job| (job.video_id.as_str(), job.input.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("P01", "LIST/P01.mp4"),
                ("P02", "/x/P02.mp4"),
                ("P03", "https://h/P03.mp4")
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        for (name, text) in [
            ("l.txt", "\u{feff}P01.mp4\n"),
            ("l.csv", "\u{feff}\"input\"\nP01.mp4\n"),
            ("l.jsonl", "\u{feff}{\"input\":\"P01.mp4\"}\n"),
        ] {
            assert_eq!(list(name, text).unwrap()[0].input, "LIST/P01.mp4", "{name}");
        }
    }

    #[test]
    fn csv_and_jsonl_carry_variables() {
        let csv = list(
            "l.csv",
            "input,video_id,rate\na.mp4,one,\"3,0\"\nb.mp4,,4\n",
        )
        .unwrap();
        assert_eq!(
            (csv[0].video_id.as_str(), csv[1].video_id.as_str()),
            ("one", "b")
        );
        assert_eq!(csv[0].variables["rate"], "3,0");
        let json = list(
            "l.jsonl",
            "{\"path\":\"a.mp4\",\"audio_track\":1,\"duration_s\":2.5,\"rate\":3}\n",
        )
        .unwrap();
        assert_eq!(
            (json[0].audio_track, json[0].duration_s),
            (Some(1), Some(2.5))
        );
        assert_eq!(
            json[0].variables,
            BTreeMap::from([("rate".into(), "3".into())])
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (name, text, word) in [
            ("l.csv", "name\nx\n", "input"),
            ("l.jsonl", "{\"input\":\"a\"}\n{\n", "line 2"),
            ("l.jsonl", "{\"video_id\":\"a\"}\n", "line 1"),
            (
                "l.jsonl",
                "{\"input\":\"a\",\"audio_track\":\"x\"}\n",
                "audio_track",
            ),
            (
                "l.jsonl",
                "{\"input\":\"a\",\"duration_s\":-1}\n",
                "duration_s",
            ),
            ("l.txt", "\n", "no recording"),
        ] {
            let err = format!("{:#}", list(name, text).unwrap_err());
            assert!(err.contains(word), "{err}");
        }
    }
}
