//! The sound of a recording, second by second: listens once and keeps the cues with the plan that they would make.

use std::path::Path;
use std::time::Duration;

use anchoring::plan::Line;
use anchoring::time::Nanos;
use anyhow::Context;

use super::clips::Clip;
use super::workers;
use crate::outputs;
use crate::pipeline::{Pipeline, Variables, shipped};
use crate::recording::Input;
use crate::session::{self, PlanTask};
use crate::stop::Stop;
use crate::terminal::Watch;

/// Number of tagger classes in the features of a second: more than any shipped tagger has.
const TAGS: usize = 521;
/// Bands of a cue.
const BANDS: usize = 16;
/// Values of a second: the tagger's classes, the level of each band, the highest and the mean eventness, speech.
const VALUES: usize = TAGS + BANDS + 3;

/// The sound of a recording, with a value for each second.
#[derive(Clone, Debug, Default)]
pub(super) struct SoundBySecond {
    /// The highest probability of an onset in it.
    pub(super) onset: Vec<f32>,
    /// The mean probability of the tagger's surest class.
    pub(super) tagger: Vec<f32>,
    /// The mean level of all bands.
    pub(super) energy: Vec<f32>,
    /// [`VALUES`] for each second.
    pub(super) features: Vec<Vec<f32>>,
}

/// The pipeline that listens.
///
/// # Errors
/// There is no such probe.
pub(super) fn pipeline(probe: &str) -> anyhow::Result<Pipeline> {
    let set = [format!("ears.probe={probe}"), "ears.tagging=all".to_owned()];
    let variables = Variables::new(&set).map_err(anyhow::Error::msg)?;
    Ok(Pipeline::read(
        Path::new(shipped::SHIPPED[0].name),
        &variables,
    )?)
}

/// Listens to a recording and writes its cues. `threads`: cores to use; `None` for all.
///
/// # Errors
/// The sound cannot be decoded.
pub(super) fn cues(
    pipeline: &Pipeline,
    clip: &Clip,
    file: &Path,
    threads: Option<u32>,
    stop: &Stop,
) -> anyhow::Result<()> {
    let video = crate::files::text_of(&clip.video)?;
    let task = PlanTask {
        pipeline,
        input: &Input::new(video)?,
        output: file,
        overwrite: false,
        cues: true,
        recording: Some(clip.recording.clone()),
        audio_track: 0,
        threads,
        stall: Duration::from_secs(60),
    };
    session::plan(&task, Watch::Nobody, stop)
        .with_context(|| format!("cannot listen to {video}"))?;
    Ok(())
}

/// Listens to a recording, unless that is done already.
///
/// # Errors
/// The sound cannot be decoded, or the cues cannot be read.
pub(super) fn listen(
    pipeline: &Pipeline,
    clip: &Clip,
    file: &Path,
    stop: &Stop,
) -> anyhow::Result<SoundBySecond> {
    if !file.exists() {
        cues(pipeline, clip, file, Some(workers::cores_of_each()), stop)?;
    }
    let n = clip.labels.len();
    let mut hops = vec![0.0_f32; n];
    let mut heard = SoundBySecond {
        onset: vec![0.0; n],
        tagger: vec![0.0; n],
        energy: vec![0.0; n],
        features: vec![vec![0.0; VALUES]; n],
    };
    let second = |at: Nanos| {
        usize::try_from(at.get() / 1_000_000_000)
            .ok()
            .filter(|i| *i < n)
    };
    outputs::plan::read(file, None, |line| {
        let Line::Cue(cue) = line else {
            return;
        };
        if let Some(onset) = cue.onset
            && let Some(i) = second(onset.at)
        {
            heard.onset[i] = heard.onset[i].max(onset.p);
        }
        let Some(i) = second(cue.pts) else {
            return;
        };
        hops[i] += 1.0;
        heard.tagger[i] += cue.tags.first().map_or(0.0, |tag| tag.p);
        let bands = cue.bands.iter().map(|band| f32::from(*band) / 255.0);
        heard.energy[i] += bands.clone().sum::<f32>() / BANDS as f32;
        let row = &mut heard.features[i];
        for tag in &cue.tags {
            let at = usize::from(tag.class_id).min(TAGS - 1);
            row[at] = row[at].max(tag.p);
        }
        for (x, band) in row[TAGS..].iter_mut().zip(bands) {
            *x += band;
        }
        row[TAGS + BANDS] = row[TAGS + BANDS].max(cue.eventness);
        row[TAGS + BANDS + 1] += cue.eventness;
        row[TAGS + BANDS + 2] += cue.speech;
    })?;
    for (i, hops) in hops.into_iter().enumerate() {
        let hops = hops.max(1.0);
        heard.tagger[i] /= hops;
        heard.energy[i] /= hops;
        let row = &mut heard.features[i];
        for x in &mut row[TAGS..TAGS + BANDS] {
            *x /= hops;
        }
        row[TAGS + BANDS + 1] /= hops;
        row[TAGS + BANDS + 2] /= hops;
    }
    Ok(heard)
}
