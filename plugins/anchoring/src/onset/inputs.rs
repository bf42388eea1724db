//! The inputs that an MLP may take from a peak, and their names.

use crate::onset::peak_features::{
    CONTEXT, CONTEXT_NAMES, FEATURE_NAMES, FEATURES, FLOOR_NAMES, GROUPS, PeakFeatures, STEADY,
    TIMBRE, TIMBRE_NAMES,
};

/// Number of inputs that an MLP may take.
pub const INPUTS: usize = FEATURES + TIMBRE + 1 + CONTEXT + GROUPS + TCN_FEATURE_NAMES.len();

/// All inputs that an MLP may take from a peak, in order. Without a TCN, its features are 0.
pub fn inputs(peak: &PeakFeatures, view: Option<[f32; TCN_FEATURE_NAMES.len()]>) -> [f32; INPUTS] {
    let mut all = [0.0; INPUTS];
    let (features, rest) = all.split_at_mut(FEATURES);
    let (timbre, rest) = rest.split_at_mut(TIMBRE);
    let (steady, rest) = rest.split_at_mut(1);
    let (context, rest) = rest.split_at_mut(CONTEXT);
    let (floors, seen) = rest.split_at_mut(GROUPS);
    features.copy_from_slice(&peak.features);
    timbre.copy_from_slice(&peak.timbre);
    steady.copy_from_slice(&[peak.steady]);
    context.copy_from_slice(&peak.context);
    floors.copy_from_slice(&peak.floors);
    seen.copy_from_slice(&view.unwrap_or_default());
    all
}

/// The names of [`inputs`], in order.
pub fn input_names() -> impl Iterator<Item = &'static str> {
    let own = FEATURE_NAMES.into_iter().chain(TIMBRE_NAMES);
    own.chain([STEADY])
        .chain(CONTEXT_NAMES)
        .chain(FLOOR_NAMES)
        .chain(TCN_FEATURE_NAMES)
}

/// What the TCN says about a peak, after [`FLOOR_NAMES`]. With `t` the peak's own output: the largest onset logit
/// in `t-4..t+4`, and the mean probability of activity in `t+1..t+7` and in `t-28..t-4`.
pub const TCN_FEATURE_NAMES: [&str; 3] = ["probe_max", "probe_act_after", "probe_act_before"];

/// The index of an input in [`input_names`].
pub(crate) fn input_index(name: &str) -> Option<usize> {
    input_names().position(|n| n == name)
}
