//! Exports the quality of every ten seconds, as CSV or JSON by the output's extension: a row per stretch, with its recording, beginning and end
//! (seconds), scene, and the scores of sound, frames and both; empty or null where something was not measured.

use serde_json::{Value, json};

use super::{Job, Written};
use crate::failure::Usage;
use crate::files;
use crate::outputs::QualityStretch;

/// The version of the JSON.
const VERSION: &str = "earmark-quality/1";
const COLUMNS: [&str; 7] = [
    "recording",
    "start_s",
    "stop_s",
    "scene",
    "sound",
    "frames",
    "both",
];

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    let ending = job.output.extension().unwrap_or_default();
    let is_json = match ending.to_ascii_lowercase().to_str() {
        Some("json") => true,
        Some("csv") => false,
        _ => {
            return Err(Usage(format!(
                "--output {}: must end in .csv or .json",
                job.output.display()
            ))
            .into());
        }
    };
    let target = files::check(job.output, job.overwrite)?;
    let (mut rows, mut without) = (Vec::new(), 0);
    for source in job.sources {
        source.go_on()?;
        let quality = source.quality()?;
        without += usize::from(quality.is_none());
        let end = source.duration_ns();
        let of_source = quality.into_iter().flat_map(|own| own.stretches);
        rows.extend(of_source.map(|stretch| (source.id(), stretch.stop_ns(end), stretch)));
        source.done();
        job.bar.inc(1);
    }
    let bytes = match is_json {
        true => format!("{:#}\n", as_json(&rows)).into_bytes(),
        false => as_csv(&rows)?,
    };
    files::write(&target.file, &bytes, job.overwrite)?;
    Ok(Written {
        files: [(String::new(), vec![target.file])].into(),
        notes: vec![format!(
            "stretches  {} of ten seconds; {without} recordings have no quality (older versions did not measure it)",
            rows.len()
        )],
        more: Value::Null,
    })
}

/// A recording, the end of the stretch, the stretch.
type Stretches<'a> = [(&'a str, i64, QualityStretch)];

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

fn as_json(rows: &Stretches<'_>) -> Value {
    let rows = rows.iter().map(|(id, stop, one)| {
        json!({ "recording": id, "start_s": seconds(one.start_ns), "stop_s": seconds(*stop), "scene": one.scene,
            "sound": one.sound, "frames": one.frames, "both": one.both })
    });
    json!({ "version": VERSION, "stretches": rows.collect::<Vec<_>>() })
}

fn as_csv(rows: &Stretches<'_>) -> anyhow::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS)?;
    let score = |score: Option<f32>| score.map_or_else(String::new, |score| format!("{score:.4}"));
    for (id, stop, one) in rows {
        csv.write_record([
            (*id).to_owned(),
            seconds(one.start_ns).to_string(),
            seconds(*stop).to_string(),
            one.scene.name().into(),
            score(one.sound),
            score(one.frames),
            score(one.both),
        ])?;
    }
    Ok(csv.into_inner()?)
}
