//! Encodes every second of a recording at one tier, once. A frame's feature depends only on the recording, its time and its tier, so the
//! features of any plan are rows of these.

use std::path::Path;
use std::time::Duration;

use anchoring::tier::{Prices, Tier};
use anyhow::{Context, bail};
use gstearmark::h5::{self, Parts};

use super::clips::Clip;
use super::{plans, workers};
use crate::outputs::features::Readable;
use crate::pipeline::{Pipeline, Variables};
use crate::recording::Input;
use crate::session::{self, Task};
use crate::stop::Stop;
use crate::terminal::Watch;

/// The pipeline that encodes.
///
/// # Errors
/// There is no such encoder.
pub(super) fn pipeline(encoder: &str) -> anyhow::Result<Pipeline> {
    let set = [format!("features.model={encoder}")];
    let variables = Variables::new(&set).map_err(anyhow::Error::msg)?;
    Ok(Pipeline::read(Path::new("uniform"), &variables)?)
}

/// Features of a recording: a row for each second.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) dim: usize,
    data: Vec<f32>,
}

impl Rows {
    pub(super) fn get(&self, row: usize) -> &[f32] {
        &self.data[row * self.dim..(row + 1) * self.dim]
    }
}

/// Encodes the frames of a plan, unless that is done already, and reads their features.
///
/// # Errors
/// The recording cannot be decoded, or has other frames than the plan.
pub(super) fn encode(
    pipeline: &Pipeline,
    clip: &Clip,
    plan: &Path,
    file: &Path,
    stop: &Stop,
) -> anyhow::Result<Rows> {
    if !file.exists() {
        extract(
            pipeline,
            clip,
            plan,
            file,
            Some(workers::cores_of_each()),
            stop,
        )?;
    }
    let readable = Readable::open(file, Parts::All)?;
    let tables = h5::read_tables(readable.path())?;
    let data = h5::read_features(readable.path())?;
    let n = clip.labels.len();
    if tables.pts_ns.len() != n || n == 0 || !data.len().is_multiple_of(n) {
        bail!(
            "{} has {} frames: {} has {n} seconds (does the recording end before its container says?)",
            file.display(),
            tables.pts_ns.len(),
            plan.display()
        );
    }
    Ok(Rows {
        dim: data.len() / n,
        data,
    })
}

/// Encodes the frames of a plan. `threads`: cores to use; `None` for all.
///
/// # Errors
/// The recording cannot be decoded.
pub(super) fn extract(
    pipeline: &Pipeline,
    clip: &Clip,
    plan: &Path,
    file: &Path,
    threads: Option<u32>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let video = crate::files::text_of(&clip.video)?;
    let task = Task {
        pipeline,
        input: &Input::new(video)?,
        recording: Some(clip.recording.clone()),
        video_id: Some(&clip.name),
        output: file,
        overwrite: false,
        plan: Some(plan),
        variables: Default::default(),
        audio_track: 0,
        threads,
        hash_whole: false,
        stall: Duration::from_secs(60),
    };
    session::extract(task, Watch::Nobody, stop)
        .with_context(|| format!("cannot encode {video}"))?;
    Ok(())
}

/// The name of the folder of a tier.
pub(super) fn folder(tier: Tier) -> &'static str {
    tier.name()
}

/// The features of a plan's frames: for each, the row of its second at its tier.
///
/// # Errors
/// The plan cannot be read, or one of its tiers was not encoded.
pub(super) fn assemble<'a>(
    plan: &Path,
    prices: Prices,
    encoded: impl Fn(Tier) -> Option<&'a Rows>,
) -> anyhow::Result<Vec<(Tier, &'a [f32])>> {
    plans::tiers(plan, prices)?
        .into_iter()
        .enumerate()
        .map(|(second, tier)| {
            let rows = encoded(tier).with_context(|| {
                format!(
                    "{} asks for tier {tier}, which was not encoded",
                    plan.display()
                )
            })?;
            Ok((tier, rows.get(second)))
        })
        .collect()
}
