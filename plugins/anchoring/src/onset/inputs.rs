//! The numbers of a candidate that an MLP may be given, and their names.

use crate::onset::candidate::{
    COLOUR_NAMES, COLOURS, Candidate, FEATURE_NAMES, FEATURES, STEADY, SURROUNDING_NAMES,
    SURROUNDINGS,
};

/// How many numbers an MLP may be given.
pub const INPUTS: usize = FEATURES + COLOURS + 1 + SURROUNDINGS + VIEW.len();

/// What an MLP may be given of a candidate, in order; the TCN's view, where there is none, is 0.
pub fn inputs(candidate: &Candidate, view: Option<[f32; VIEW.len()]>) -> [f32; INPUTS] {
    let mut all = [0.0; INPUTS];
    let (features, rest) = all.split_at_mut(FEATURES);
    let (colours, rest) = rest.split_at_mut(COLOURS);
    let (steady, rest) = rest.split_at_mut(1);
    let (surroundings, seen) = rest.split_at_mut(SURROUNDINGS);
    features.copy_from_slice(&candidate.features);
    colours.copy_from_slice(&candidate.colours);
    steady.copy_from_slice(&[candidate.steady]);
    surroundings.copy_from_slice(&candidate.surroundings);
    seen.copy_from_slice(&view.unwrap_or_default());
    all
}

/// The names of [`inputs`], in order.
pub fn input_names() -> impl Iterator<Item = &'static str> {
    let own = FEATURE_NAMES.into_iter().chain(COLOUR_NAMES);
    own.chain([STEADY]).chain(SURROUNDING_NAMES).chain(VIEW)
}

/// What the TCN says about a candidate at time `t` of its own clock, after [`SURROUNDING_NAMES`]: the largest onset logit within four
/// outputs of it, and the mean probability that something sounds in the seven outputs after it and in outputs 28 to 4 before it.
pub const VIEW: [&str; 3] = ["probe_max", "probe_act_after", "probe_act_before"];

/// Where an input stands among [`input_names`].
pub(crate) fn input_index(name: &str) -> Option<usize> {
    input_names().position(|n| n == name)
}
