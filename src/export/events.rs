//! Exports events as one JSON file: `version`, and `results` by recording, each event with `segment` (seconds), `label`, `modality` and
//! `score`, like the submissions of challenges in ActivityNet's format.

use anyhow::Context;
use gstearmark::h5::read_events;
use serde_json::{Map, Value, json};

use super::{Job, Written};
use crate::files;

/// The version of the list.
const VERSION: &str = "earmark-parsed/1";

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    let target = files::check(job.output, job.overwrite)?;
    let mut results = Map::new();
    for source in job.sources {
        source.go_on()?;
        let events = read_events(source.readable()?.path())?.with_context(|| {
            format!(
                "{} has no /events: nobody parsed it (`earmark parse predict` does)",
                source.path.display()
            )
        })?;
        source.done();
        let seconds = |ns: i64| ns as f64 / 1e9;
        let list: Vec<Value> = events
            .iter()
            .map(|e| {
                json!({
                    "segment": [seconds(e.onset_ns), seconds(e.offset_ns)], "label": e.class, "modality": e.modality, "score": e.score,
                })
            })
            .collect();
        results.insert(source.id().to_owned(), list.into());
        job.bar.inc(1);
    }
    let count: usize = results
        .values()
        .filter_map(Value::as_array)
        .map(Vec::len)
        .sum();
    let list = json!({ "version": VERSION, "results": results });
    files::write(
        &target.file,
        format!("{list:#}\n").as_bytes(),
        job.overwrite,
    )?;
    Ok(Written {
        files: [(String::new(), vec![target.file])].into(),
        notes: vec![format!("events     {count}")],
        more: Value::Null,
    })
}
