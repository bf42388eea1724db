//! One HDF5 file: a group per recording (`/VIDEO_ID/frames/features` and so on) with all tables and attributes.

use std::collections::BTreeMap;

use gstearmark::h5::Merger;
use serde_json::Value;

use super::{Job, Written};
use crate::files;

pub(super) fn write(job: &Job<'_>) -> anyhow::Result<Written> {
    files::check(job.output, job.overwrite)?;
    let mut merger = Merger::create(job.output, job.overwrite)?;
    for source in job.sources {
        source.go_on()?;
        merger.add(source.readable()?.path(), source.id())?;
        source.done();
        job.bar.inc(1);
    }
    merger.finish()?;
    Ok(Written {
        files: BTreeMap::from([(String::new(), vec![job.output.into()])]),
        notes: vec!["groups     /VIDEO_ID/frames, /VIDEO_ID/anchors, /VIDEO_ID/cues".into()],
        more: Value::Null,
    })
}
