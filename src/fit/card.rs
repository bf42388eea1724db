//! Writes the model card in Markdown: what the weights are, how they were made, how they score.

use std::fmt::Write;

use gstearmark::models::Manifest;

use super::net::Net;
use super::score::{NAMES, Sample, Score, said};
use super::{Tuning, tcn, tune};

/// The facts on every card.
pub(super) struct CardFacts<'a> {
    pub(super) name: &'a str,
    pub(super) command: &'a str,
    pub(super) seed: u64,
    pub(super) recordings: usize,
    pub(super) hours: f64,
    pub(super) events: usize,
    pub(super) data: &'a str,
}

/// Most classes with offsets listed.
const MOST_CLASSES: usize = 40;

/// The name, and how the weights were made.
fn begin(out: &mut String, about: &CardFacts<'_>, what: &str) {
    // Writing to a string never fails.
    let _ = write!(
        out,
        "# Model card: {name}\n\n{what}\n\n\
         - **Made by** `{command}`\n\
         - **Recordings** {recordings}, {hours:.1} h, {events} events; SHA-256 of sound and labels `{data}`\n",
        name = about.name,
        command = about.command,
        recordings = about.recordings,
        hours = about.hours,
        events = about.events,
        data = about.data,
    );
}

/// The card of weights.
pub(super) fn text(
    about: &CardFacts<'_>,
    steps: u32,
    tuning: &Tuning,
    hash: &str,
    scores: &[(String, String, Score)],
) -> String {
    let net: Net = tcn::net();
    let mut out = String::new();
    let what = "Weights of the probes `onset` and `onset+tcn`, which find where events begin in a recording and give each onset a probability.";
    begin(&mut out, about, what);
    let _ = write!(
        out,
        "- **Seed** {seed}, **steps** {steps}\n\
         - **Parts** small networks that score a candidate from its features and spectrum, from a comparison with the sixteen candidates before it \
         and, by a metric learned from spectra, with the last half minute: three without \
         and three with the output of a causal temporal convolutional network of {size} weights on the level of each band above its background: an output every 20 ms, {delay:.1} s late\n\
         - **Calibration** {calibration}\n",
        seed = about.seed,
        size = net.size(),
        delay = tcn::DELAY as f64 * 0.02,
        calibration = tuning.calibration,
    );
    for (name, (tuned, shift, threshold)) in &tuning.probes {
        let _ = match shift {
            Some(found) => writeln!(
                out,
                "- **Shift of `{name}`** {} ms: the median of start minus candidate over {} candidates, each within 100 ms of its own start \
                 (quartiles {:.0} and {:.0} ms), on {}",
                tuned.shift_ms,
                found.matched,
                found.quartiles_ms[0],
                found.quartiles_ms[1],
                tuning.on
            ),
            None => writeln!(
                out,
                "- **Shift of `{name}`** {} ms, unchanged",
                tuned.shift_ms
            ),
        };
        let _ = match threshold {
            Some(found) => writeln!(
                out,
                "- **Threshold of `{name}`** {}: the lowest with a recovery ({}) not significantly below that of the best, {} ({}), on {}, in sample",
                found.value,
                said(found.recovery),
                found.best,
                said(found.best_recovery),
                tuning.on
            ),
            None => writeln!(
                out,
                "- **Threshold of `{name}`** {}, unchanged",
                tuned.threshold
            ),
        };
        let _ = writeln!(
            out,
            "- **Speech** multiplies the probability of an onset of `{name}` near speech by 1 minus {} times the probability of speech",
            tuned.voiced
        );
    }
    let _ = writeln!(out, "- **SHA-256 of the file** `{hash}`\n");
    table(&mut out, scores);
    let why = tuning.crossed.values().find_map(|said| said.as_ref().err());
    if let Some(why) = why {
        let _ = writeln!(out, "\nThey are in sample because {why}.");
    }
    offsets(&mut out, tuning);
    out
}

/// The card of a head.
pub(super) fn head_text(
    about: &CardFacts<'_>,
    embedding: &Manifest,
    calibrated_on: &str,
    hash: &str,
    scores: &[(String, String, Score)],
) -> String {
    let mut out = String::new();
    let what = format!(
        "A linear head on the embedding `{}`: it gives the probability that an event begins in the middle of a patch of sound.",
        embedding.name
    );
    begin(&mut out, about, &what);
    let _ = write!(
        out,
        "- **Embedding** `{file}`, SHA-256 `{sha}`, {dim} values, normalised to unit length\n\
         - **Head** logistic regression, seed {seed}; a patch is positive if its middle is the nearest to a start, within 0.24 s\n\
         - **Calibration** temperature and bias, fitted to {calibrated_on}\n\
         - **SHA-256 of the file** `{hash}`\n\n",
        file = embedding.file.display(),
        sha = embedding.sha256,
        dim = embedding.output.dim,
        seed = about.seed,
    );
    table(&mut out, scores);
    out
}

fn table(out: &mut String, scores: &[(String, String, Score)]) {
    if scores.is_empty() {
        return;
    }
    let names: Vec<&str> = NAMES.iter().map(|placement| placement.name()).collect();
    let _ = writeln!(
        out,
        "One frame per {seconds} seconds, placed by the global planner; share of events hit, mean over recordings.\n\n\
         | recordings | probe | {} | recovery | AUROC | ECE | true | figures |\n|---|---|{}---|---|---|---|---|",
        names.join(" | "),
        "---|".repeat(names.len()),
        seconds = super::score::SECONDS,
    );
    for (data, probe, score) in scores {
        let recalls: Vec<String> = score.recall.iter().map(|r| format!("{r:.3}")).collect();
        let _ = writeln!(
            out,
            "| {data} | `{probe}` | {} | {} | {} | {} | {:.3} | {} |",
            recalls.join(" | "),
            said(score.recovery()),
            said(score.auroc),
            said(score.ece),
            score.precision,
            score.sample.name(),
        );
    }
    let _ = writeln!(out);
    for sample in [Sample::Out, Sample::In, Sample::Elsewhere, Sample::Nothing] {
        if scores.iter().any(|(.., score)| score.sample == sample) {
            let _ = writeln!(out, "- **{}**: {}.", sample.name(), sample.meaning());
        }
    }
}

fn offsets(out: &mut String, tuning: &Tuning) {
    if tuning.offsets.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\nBy how much the labels of each class begin after its sounds, where an onset lies within half a second ({}, in sample).\n\n\
         | class | events | median, ms | quartiles, ms |\n|---|---|---|---|",
        tuning.on
    );
    for one in tuning.offsets.iter().take(MOST_CLASSES) {
        let [low, high] = one.quartiles_ms;
        let _ = writeln!(
            out,
            "| {} | {} | {:.0} | {low:.0} to {high:.0} |",
            one.class,
            one.matched,
            one.median_ms.round() + 0.0
        );
    }
    let more = tuning.offsets.len().saturating_sub(MOST_CLASSES);
    if more > 0 {
        let _ = writeln!(out, "\nAnd {more} more classes.");
    }
    if let Some(yaml) = tune::yaml(&tuning.offsets) {
        let _ = writeln!(
            out,
            "\nIf the labels mark what is seen, use: `anchors: {{ {yaml} }}`"
        );
    }
}
