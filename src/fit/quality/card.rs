//! The model card of learned weights.

use super::QualityFit;
use crate::cli::FitQuality;
use crate::quality::Scene;

/// Its text.
pub(super) fn text(args: &FitQuality, found: &QualityFit) -> String {
    let name = args
        .output
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let [low, high] = found.scale;
    let (offset, gain) = found.fitted.mapping();
    let mut text = format!(
        "# {name}\n\nWeights of audio-visual quality: `w_a A + w_v V + w_av A V`, where A is the quality of the sound and V that of the frames.\n\n\
         Made by `earmark {command}`, from {} clips of {} contents ({}, scores of {low} to {high}).\n\n\
         | scene | sound | frames | both | learned from |\n|---|---|---|---|---|\n",
        found.samples.len(),
        found.contents,
        found.layout,
    );
    for scene in Scene::ALL {
        let own = found.fitted.weights.of(scene);
        text += &format!(
            "| {} | {:.3} | {:.3} | {:.3} | {} |\n",
            scene.name(),
            own.sound,
            own.frames,
            own.both,
            found.source(scene)
        );
    }
    text += &format!(
        "\nNo weight is negative. They are divided by their sum, so that a recording without a fault scores 1; the fit to all clips was a score of\n\
         {:.3} + {:.3} times that.\n\n## Agreement\n\n| | PLCC | SROCC | RMSE |\n|---|---|---|---|\n",
        low + offset * (high - low),
        gain * (high - low),
    );
    for (name, own) in &found.agreement {
        text += &format!(
            "| {name} | {:.3} | {:.3} | {:.2} |\n",
            own.plcc, own.srocc, own.rmse
        );
    }
    text += &format!(
        "\n{} folds by content (seed {}): each clip is scored by what was learned from other contents, and all clips are compared at once. PLCC and\n\
         RMSE are taken after a logistic function of four parameters; RMSE is in steps of the scale.\n\n## Limits\n\n\
         The qualities are Earmark's own, which name faults and know nothing of what people like. Weights learned from one set of clips say\n\
         little about others: look at the agreement above before using them.\n",
        found.folds, args.seed
    );
    text
}
