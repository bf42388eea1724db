//! The names of a peak's features, in order, and their definitions.

/// Number of features of a peak.
pub const FEATURES: usize = 22;
/// Number of timbre features.
pub const TIMBRE: usize = 3 * GROUPS;
/// Groups of eight bands.
pub const GROUPS: usize = 8;

/// Names of [`super::PeakFeatures::features`], in order. `c` is the peak's frame; ranges are inclusive and end where the recording begins or
/// ends. `L` is the smoothed log magnitude, `P` its distance above the noise floor (not negative), `pl` the mean of `P` over the bands
/// and eleven frames. Means are over bands too.
///
/// | name | definition |
/// |---|---|
/// | `lR2` .. `lR400` | `ln(0.001 + max flux_R[c-3..c+3])` for each of [`crate::hearing::flux::REFERENCES`] |
/// | `jump` | mean `L[c..c+15]` minus mean `L[c-30..c-4]` |
/// | `snr` | mean `L[c..c+19]` minus mean `ln(floor[c] + 0.001)` |
/// | `busy` | `ln(0.001 + mean flux_20[c-200..c-11])` |
/// | `prevmax`, `since` | `ln(0.001 + max flux_100[c-200..c-10])`; `ln(0.05 + s)`, `s` the seconds, at most ten, since a peak whose `flux_100` was at least as large |
/// | `nextmax` | `ln(0.001 + max flux_100[c+10..c+40])` |
/// | `cosd` | `1 - a.b / (|a||b| + 0.3)`, `a` the bands' mean `P[c..c+29]`, `b` that of `P[c-100..c-6]` |
/// | `fracb` | the largest share of bands, in `c-3..c+3`, that rise by more than 0.5 against the last second |
/// | `sim3`, `sim10` | similarity `U.U'` to the most similar peak 0.15 to 3 (10) s before: `U = V / (|V| + 0.3)`, `V` the bands' mean `P[c..c+9]`; else 0 |
/// | `ldiff` | mean of `V - V'`, `V'` that of the most similar peak in 10 s; else 0 |
/// | `gap.5`, `gap2` | `min pl[c-54..c-4]`, `min pl[c-204..c-4]` |
/// | `sustain` | mean `P[c+15..c+29]` minus mean `P[c-30..c-5]` |
/// | `centroid` | `sum k a_k / (1 + sum a)` minus the same of `b`, `a` the bands' mean `P[c..c+14]`, `b` that of `P[c-30..c-5]`, `k` = 0..63 |
/// | `sincelevel` | as `since`, of a peak that was at least as loud: `max pl[c+3..c+7]` |
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "lR2",
    "lR20",
    "lR50",
    "lR100",
    "lR200",
    "lR400",
    "jump",
    "snr",
    "busy",
    "prevmax",
    "since",
    "nextmax",
    "cosd",
    "fracb",
    "sim3",
    "sim10",
    "ldiff",
    "gap.5",
    "gap2",
    "sustain",
    "centroid",
    "sincelevel",
];

/// Names of [`super::PeakFeatures::timbre`], in order: the mean of `P` over eight neighbouring bands, the lowest first, in
/// `c..c+14`, `c-30..c-5` and `c+25..c+40`.
pub const TIMBRE_NAMES: [&str; TIMBRE] = [
    "body0", "body1", "body2", "body3", "body4", "body5", "body6", "body7", "before0", "before1",
    "before2", "before3", "before4", "before5", "before6", "before7", "later0", "later1", "later2",
    "later3", "later4", "later5", "later6", "later7",
];

/// Names of [`super::PeakFeatures::floors`], in order: the mean of `ln(floor[c] + 0.001)` over eight neighbouring bands, the lowest first. They tell
/// which bands the microphone and its codec pass at all, and how noisy each of them is.
pub const FLOOR_NAMES: [&str; GROUPS] = [
    "floor0", "floor1", "floor2", "floor3", "floor4", "floor5", "floor6", "floor7",
];

/// Name of [`super::PeakFeatures::steady`].
pub const STEADY: &str = "steady";
