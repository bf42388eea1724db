//! `earmark screen`: finds recordings that are not worth training on, from their sound and some keyframes.
//!
//! # Layout
//!
//! - `keyframes`: measures some keyframes of a recording.
//! - `page`: the table as a page.

mod keyframes;
mod page;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anchoring::cue::{SoundQuality, trusts};
use anchoring::plan::Line;
use anyhow::Context;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::printable::line;
use serde::Serialize;
use serde_json::json;

use crate::batch::recordings_in;
use crate::cli::Screen;
use crate::failure::{Class, Failure};
use crate::files;
use crate::outputs::{distrust, plan};
use crate::pipeline::{Pipeline, Variables};
use crate::recording::{self, Input};
use crate::session::{self, PlanTask};
use crate::stop::Stop;
use crate::terminal::{Output, print};

/// A pipeline that listens but names no sounds. Only its sound is played.
const PIPELINE: &str = "version: 1
graph: |
  filesrc location=${input} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${output}
ears: { probe: flux, tagger: none }
budget: { max_gap_ms: 60000 }
";
/// Mean score below which sound or frames are unusable.
const UNUSABLE: f32 = 0.3;
/// Largest share of the sound that may be untrusted.
const MOST_UNTRUSTED: f32 = 0.5;

/// Findings about a recording.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Screened {
    /// Its name.
    pub name: String,
    /// Mean score of the sound; `None` without sound.
    pub sound: Option<f32>,
    /// Share of the sound that can't be trusted.
    pub untrusted: Option<f32>,
    /// Mean score of the keyframes; `None` without frames.
    pub frames: Option<f32>,
    /// Mean of each of their measures.
    pub measures: Option<FrameQuality>,
    /// Number of keyframes measured.
    pub keyframes: usize,
    /// Why it is unusable; empty if it is usable.
    pub unusable: Vec<String>,
}

/// Screens recordings, one after another.
///
/// # Errors
/// There are none, or the page cannot be written. A recording that cannot be read is unusable, which is not an error.
pub(crate) fn screen(args: &Screen, output: Output) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    if let Some(page) = &args.output {
        files::check(page, args.overwrite)?;
    }
    let screener = Screener::new(args.keyframes, Duration::from_secs(args.stall_timeout))?;
    let mut all = Vec::new();
    for (name, given) in recordings_in(&args.inputs)? {
        if stop.is_wanted() {
            return Err(Failure::error(
                Class::Stopped,
                "stopped; nothing was written",
            ));
        }
        all.push(screener.one(name, &given, output, &stop));
    }
    if let Some(page) = &args.output {
        page::write(page, args.overwrite, &all)?;
    }
    if output.json {
        return print(&format!("{:#}", json!({ "ok": true, "recordings": all })));
    }
    print(&table(&all))
}

/// Screens one recording after another.
pub(crate) struct Screener {
    pipeline: Pipeline,
    keyframes: usize,
    stall: Duration,
}

impl Screener {
    /// `keyframes`: how many to measure. `stall`: how long without progress before it gives up on a recording.
    pub(crate) fn new(keyframes: usize, stall: Duration) -> anyhow::Result<Self> {
        let variables = Variables::new::<String>(&[]).map_err(anyhow::Error::msg)?;
        let pipeline = Pipeline::parse(Path::new("screen.yaml"), PIPELINE, &variables)
            .map_err(|problems| anyhow::anyhow!("{problems}"))?;
        Ok(Self {
            pipeline,
            keyframes,
            stall,
        })
    }

    /// The findings about a recording.
    pub(crate) fn one(&self, name: String, given: &str, output: Output, stop: &Stop) -> Screened {
        one(self, name, given, output, stop)
    }
}

fn one(screener: &Screener, name: String, given: &str, output: Output, stop: &Stop) -> Screened {
    let mut found = Screened {
        name,
        sound: None,
        untrusted: None,
        frames: None,
        measures: None,
        keyframes: 0,
        unusable: Vec::new(),
    };
    let input = Input::new(given).map_err(anyhow::Error::from);
    let probed = input.and_then(|input| Ok((recording::probe(&input)?, input)));
    let (recording, input) = match probed {
        Ok(probed) => probed,
        Err(err) => {
            found.unusable.push(format!("{err:#}"));
            return found;
        }
    };
    match heard(screener, &input, output, stop) {
        Ok(Some((score, untrusted))) => {
            (found.sound, found.untrusted) = (Some(score), Some(untrusted));
            if untrusted > MOST_UNTRUSTED {
                found.unusable.push(format!(
                    "{:.0} % of its sound can't be trusted",
                    100.0 * untrusted
                ));
            } else if score < UNUSABLE {
                found.unusable.push(format!("its sound scores {score:.2}"));
            }
        }
        Ok(None) => found.unusable.push("it has no sound".into()),
        Err(err) => found
            .unusable
            .push(format!("its sound can't be read: {err:#}")),
    }
    let frames = match recording.video.is_empty() {
        true => Ok(Vec::new()),
        false => keyframes::some(&input.uri, screener.keyframes),
    };
    match frames {
        Ok(frames) if frames.is_empty() => found.unusable.push("it has no frames".into()),
        Ok(frames) => {
            let mean = |of: &dyn Fn(&FrameQuality) -> f32| {
                frames.iter().map(of).sum::<f32>() / frames.len() as f32
            };
            let score = mean(&FrameQuality::score);
            found.frames = Some(score);
            found.keyframes = frames.len();
            let measures = std::array::from_fn(|k| mean(&|frame: &FrameQuality| frame.values()[k]));
            found.measures = Some(FrameQuality::from_values(measures));
            if score < UNUSABLE {
                let worst = FrameQuality::NAMES
                    .iter()
                    .zip(measures)
                    .min_by(|a, b| a.1.total_cmp(&b.1));
                let worst = worst.map_or("", |(name, _)| *name);
                found
                    .unusable
                    .push(format!("its frames score {score:.2} ({worst} is worst)"));
            }
        }
        Err(err) => found
            .unusable
            .push(format!("its frames can't be read: {err:#}")),
    }
    found
}

/// Mean score of the sound, and the share that cannot be trusted; `None` without sound.
fn heard(
    screener: &Screener,
    input: &Input,
    output: Output,
    stop: &Stop,
) -> anyhow::Result<Option<(f32, f32)>> {
    let folder =
        tempfile::TempDir::with_prefix("earmark-").context("cannot create a temporary folder")?;
    let file: PathBuf = folder.path().join("plan.jsonl");
    session::plan(
        &PlanTask {
            pipeline: &screener.pipeline,
            input,
            output: &file,
            overwrite: false,
            cues: true,
            recording: None,
            audio_track: 0,
            threads: None,
            stall: screener.stall,
        },
        output.watch(),
        stop,
    )?;
    let (mut cues, mut score, mut untrusted) = (0_u32, 0.0, 0_u32);
    let distrust = distrust(&screener.pipeline.config);
    plan::read(&file, None, |line| {
        if let Line::Cue(cue) = line {
            cues += 1;
            score += cue.quality.as_ref().map_or(0.0, SoundQuality::score);
            untrusted += u32::from(!trusts(cue.uncertainty, distrust));
        }
    })?;
    let share = |part: f32| part / cues as f32;
    Ok((cues > 0).then(|| (share(score), share(untrusted as f32))))
}

fn table(all: &[Screened]) -> String {
    let bad = all.iter().filter(|one| !one.unusable.is_empty()).count();
    let mut text = format!("{bad} of {} recordings are unusable\n", all.len());
    text += "sound  untrusted  frames  recording\n";
    let number = |x: Option<f32>| x.map_or("-".into(), |x| format!("{x:.2}"));
    for one in all {
        let why = match one.unusable.is_empty() {
            true => String::new(),
            false => format!(": {}", one.unusable.join("; ")),
        };
        text += &format!(
            "{:>5}  {:>9}  {:>6}  {}{}\n",
            number(one.sound),
            number(one.untrusted),
            number(one.frames),
            line(&one.name),
            line(&why)
        );
    }
    text.trim_end().into()
}
