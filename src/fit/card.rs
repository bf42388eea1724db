//! The model card: what weights are, what they were made from, what they are worth. Markdown.

use std::fmt::Write;

use super::net::Net;
use super::score::{NAMES, Score, said};
use super::tcn;

/// What a card tells.
pub(super) struct Card<'a> {
    pub(super) name: &'a str,
    pub(super) command: &'a str,
    pub(super) seed: u64,
    pub(super) steps: u32,
    pub(super) recordings: usize,
    pub(super) hours: f64,
    pub(super) events: usize,
    pub(super) data: &'a str,
    /// SHA-256 of the weights file.
    pub(super) hash: &'a str,
    /// Where the calibration comes from.
    pub(super) calibration: &'a str,
    /// Scores by recordings and probe.
    pub(super) scores: &'a [(String, String, Score)],
}

/// The card's text.
pub(super) fn text(card: &Card<'_>) -> String {
    let net: Net = tcn::net();
    let mut out = String::new();
    // Writing to a string never fails.
    let _ = write!(
        out,
        "# Model card: {name}\n\n\
         Weights of the probes `onset` and `onset+tcn`: where in a recording does an event begin, and how sure is that?\n\n\
         - **Made by** `{command}`\n\
         - **Recordings** {recordings}, {hours:.1} h, {events} events; SHA-256 of what was heard and labelled `{data}`\n\
         - **Seed** {seed}, **steps** {steps}\n\
         - **Parts** small networks over a candidate's features and colour and how it compares with the sixteen before it, also by a measure \
         learned from spectra, three without \
         and three with the view of a causal temporal convolutional network of {size} weights on how far each band lies above its background: an output every 20 ms, {delay:.1} s late\n\
         - **Calibration** {calibration}\n\
         - **SHA-256 of the file** `{hash}`\n\n",
        name = card.name,
        command = card.command,
        recordings = card.recordings,
        hours = card.hours,
        events = card.events,
        data = card.data,
        seed = card.seed,
        steps = card.steps,
        size = net.size(),
        delay = tcn::DELAY as f64 * 0.02,
        calibration = card.calibration,
        hash = card.hash,
    );
    if !card.scores.is_empty() {
        let names: Vec<&str> = NAMES.iter().map(|placement| placement.name()).collect();
        let _ = writeln!(
            out,
            "One look for {seconds} seconds, placed by the global planner; share of the events hit, mean over recordings.\n\n\
             | recordings | probe | {} | recovery | AUROC | ECE | true |\n|---|---|{}---|---|---|---|",
            names.join(" | "),
            "---|".repeat(names.len()),
            seconds = super::score::SECONDS,
        );
        for (data, probe, score) in card.scores {
            let recalls: Vec<String> = score.recall.iter().map(|r| format!("{r:.3}")).collect();
            let _ = writeln!(
                out,
                "| {data} | `{probe}` | {} | {:.3} | {} | {} | {:.3} |",
                recalls.join(" | "),
                score.recovery(),
                said(score.auroc),
                said(score.ece),
                score.precision,
            );
        }
    }
    out
}
