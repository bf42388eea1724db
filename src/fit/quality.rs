//! `earmark fit quality`: learns from opinion scores how much the quality of sound, of frames and of both together count.
//!
//! # Layout
//!
//! - `samples`: opinion scores -> quality of the sound and frames of each clip.
//! - `least_squares`: weights that are not negative.
//! - `folds`: scores for clips whose content was not learned from.
//! - `agreement`: PLCC, SROCC, RMSE.
//! - `card`: the model card.

mod agreement;
mod card;
mod folds;
mod least_squares;
mod samples;

use std::collections::BTreeMap;

use anyhow::bail;
use serde_json::json;

use crate::cli::FitQuality;
use crate::datasets::opinions;
use crate::failure::Usage;
use crate::files;
use crate::quality::{Scene, Weights};
use crate::stop::Stop;
use crate::terminal::{Output, print, tell};

use self::agreement::Agreement;
use self::folds::Fitted;
use self::samples::Sample;

/// Fewest clips to learn from.
const FEWEST: usize = 20;
/// Fewest contents: with fewer, there are no folds by content.
const FEWEST_CONTENTS: usize = 3;

/// What was learned and how well it agrees.
struct QualityFit {
    layout: &'static str,
    scale: [f64; 2],
    samples: Vec<Sample>,
    contents: usize,
    folds: usize,
    fitted: Fitted,
    agreement: Vec<(&'static str, Agreement)>,
}

/// `earmark fit quality`.
///
/// # Errors
/// The scores or recordings cannot be read, there are too few, or an output exists.
pub(crate) fn run(args: &FitQuality, output: Output) -> anyhow::Result<()> {
    let card = args
        .card
        .clone()
        .unwrap_or_else(|| args.output.with_extension("md"));
    for path in [&args.output, &card] {
        files::check(path, args.overwrite)?;
    }
    let given = opinions::read(&args.mos, args.scale)?;
    let all = given.clips.len();
    let (samples, missing) = samples::of(&given, args, output, &Stop::new()?)?;
    if !missing.is_empty() {
        let first = missing.first().map_or("", String::as_str);
        tell(&format!(
            "{} of {all} clips are left out, because nothing of their quality is known; the first is {first}",
            missing.len()
        ));
    }
    let contents = folds::contents(&samples).len();
    if samples.len() < FEWEST || contents < FEWEST_CONTENTS {
        bail!(Usage(format!(
            "{} has {} usable clips of {contents} contents: at least {FEWEST} clips of {FEWEST_CONTENTS} contents are needed",
            args.mos.display(),
            samples.len()
        )));
    }
    let Some(fitted) = folds::fit(&samples) else {
        bail!(
            "the scores of {} do not rise with the quality of sound or frames: nothing can be learned from them (are the scores differences, or those of other clips?)",
            args.mos.display()
        );
    };
    let folds = args.folds.min(contents);
    let agreement = folds::compare(&samples, folds, args.seed);
    let found = QualityFit {
        layout: given.layout,
        scale: given.scale,
        samples,
        contents,
        folds,
        fitted,
        agreement,
    };
    files::write(
        &args.output,
        found.fitted.weights.text().as_bytes(),
        args.overwrite,
    )?;
    files::write(&card, card::text(args, &found).as_bytes(), args.overwrite)?;
    let usage = format!("quality: {{ weights: {} }}", args.output.display());
    if output.json {
        let agreement: BTreeMap<_, _> = found.agreement.iter().copied().collect();
        return print(&format!(
            "{:#}",
            json!({ "ok": true, "weights": args.output, "card": card, "layout": found.layout, "scale": found.scale,
                "clips": found.samples.len(), "left_out": missing, "contents": contents, "folds": folds, "agreement": agreement,
                "by_scene": found.fitted.weights, "learned": found.fitted.learned, "usage": usage })
        ));
    }
    let mut text = format!(
        "clips      {} of {contents} contents ({}), {folds} folds by content\n",
        found.samples.len(),
        found.layout
    );
    text += "                             PLCC  SROCC   RMSE\n";
    for (name, own) in &found.agreement {
        text += &format!("  {name:25} {}\n", own.text());
    }
    text += "weights         sound  frames   both   learned from\n";
    for scene in Scene::ALL {
        let own = found.fitted.weights.of(scene);
        text += &format!(
            "  {:12} {:6.2}  {:6.2} {:6.2}   {}\n",
            scene.name(),
            own.sound,
            own.frames,
            own.both,
            found.source(scene)
        );
    }
    text += &format!(
        "written    {} and {}\nto use it  write `{usage}` into the pipeline",
        args.output.display(),
        card.display()
    );
    print(&text)
}

impl QualityFit {
    /// What the weights of a scene were learned from, in words.
    fn source(&self, scene: Scene) -> String {
        match self.fitted.learned.get(&scene) {
            Some(clips) => format!("its {clips} clips"),
            None => "all clips".into(),
        }
    }
}

/// The built-in weights, to compare with.
fn built_in(sample: &Sample) -> f64 {
    let weights = Weights::default();
    let scene = sample.scene.unwrap_or(Scene::Ambience);
    f64::from(weights.of(scene).score(sample.sound, sample.frames))
}
