//! Fits the uncertainty of onsets: a logistic regression of "begins an event" on the calibrated probability and on the likeliest onsets of the
//! recording.

use std::collections::BTreeMap;

use anchoring::cue::Onset;
use anchoring::onset::uncertainty::{Likeliest, UncertaintySpec, logit};

use super::logistic::{Row, regression};
use super::matching::FEWEST;

/// Weight of the prior: `1 - p`.
const STIFF: f64 = 4.0;

/// An onset that is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Calibrated probability.
    pub(super) p: f32,
    /// Mean logit of the likeliest onsets up to it.
    pub(super) likeliest: f32,
    /// Its recording, the same through every channel.
    pub(super) recording: usize,
    /// Whether an event begins.
    pub(super) right: bool,
}

/// The mean logit of the likeliest onsets up to each onset of a recording.
pub(super) fn likeliest(said: &[Onset]) -> Vec<f32> {
    let mut stream = Likeliest::default();
    let one = |onset: &Onset| stream.push(onset.at, onset.p);
    said.iter().map(one).collect()
}

/// The most likely uncertainty (Platt 1999, with one more input), drawn towards `1 - p`. With `before`, each onset also counts `before.1` times with
/// that uncertainty, so that a few recordings change it only a little. `None` if there are too few onsets, true or false.
///
/// Recordings differ in how clear their sounds are and how dense their events. What a channel does shows only where the same recording is heard
/// through several: so the weight of the likeliest comes from how they differ from their mean over a recording's channels (Mundlak 1978).
/// Without `has_channels` it stays what it was.
pub(super) fn fit(
    judged: &[Judged],
    before: Option<(UncertaintySpec, f64)>,
    has_channels: bool,
) -> Option<UncertaintySpec> {
    let right = judged.iter().filter(|one| one.right).count();
    if right.min(judged.len() - right) < FEWEST {
        return None;
    }
    let mut means: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for one in judged {
        let (sum, n) = means.entry(one.recording).or_default();
        *sum += f64::from(one.likeliest);
        *n += 1.0;
    }
    let mean = |one: &Judged| means.get(&one.recording).map_or(0.0, |(sum, n)| sum / n);
    let all = judged.iter().map(mean).sum::<f64>() / judged.len() as f64;
    let same = |one: &Judged| match before {
        Some((old, n)) => (n, 1.0 - f64::from(old.of(one.p, one.likeliest))),
        None => (0.0, 0.0),
    };
    let likeliest = if has_channels {
        let rows = judged.iter().map(|one| Row {
            inputs: [
                f64::from(logit(one.p)),
                1.0,
                f64::from(one.likeliest) - mean(one),
                mean(one) - all,
            ],
            offset: 0.0,
            right: one.right,
            prior: same(one),
        });
        let [.., likeliest, _] =
            regression(&rows.collect::<Vec<_>>(), [1.0, 0.0, 0.0, 0.0], STIFF)?;
        likeliest
    } else {
        before.map_or(0.0, |(old, _)| f64::from(old.likeliest))
    };
    // Slope and bias with it.
    let rows = judged.iter().map(|one| Row {
        inputs: [f64::from(logit(one.p)), 1.0],
        offset: likeliest * (f64::from(one.likeliest) - all),
        right: one.right,
        prior: same(one),
    });
    let [slope, bias] = regression(&rows.collect::<Vec<_>>(), [1.0, 0.0], STIFF)?;
    Some(UncertaintySpec {
        slope: slope as f32,
        bias: (bias - likeliest * all) as f32,
        likeliest: likeliest as f32,
    })
}

/// The onsets of a recording with their uncertainty.
pub(super) fn applied(mut said: Vec<Onset>, spec: Option<UncertaintySpec>) -> Vec<Onset> {
    let likeliest = likeliest(&said);
    for (onset, m) in said.iter_mut().zip(likeliest) {
        onset.uncertainty = spec.map_or(1.0 - onset.p, |spec| spec.of(onset.p, m));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    /// Recordings, each heard through two channels: through one probabilities are honest and the likeliest have a mean logit two higher than through the
    /// other, where probabilities are too low by `off` in logits. Recordings differ in both, too.
    fn made(seed: u64, n: usize, off: f32) -> Vec<Judged> {
        let mut random = Random::of(seed, &[]);
        let mut all = Vec::new();
        for recording in 0..n / 100 {
            // Where onsets are clear, events are dense.
            let clear = random.normal();
            for i in 0..100 {
                let is_low = i % 2 == 0;
                let z = random.normal() * 1.5;
                let honest = z + 0.4 * clear + if is_low { off } else { 0.0 };
                all.push(Judged {
                    p: 1.0 / (1.0 + (-z).exp()),
                    likeliest: clear + if is_low { 1.0 } else { 3.0 },
                    recording,
                    right: random.unit() < 1.0 / (1.0 + (-honest).exp()),
                });
            }
        }
        all
    }

    #[test]
    fn a_channel_on_which_probabilities_are_too_low_is_found_out() {
        let spec = fit(&made(1, 8_000, 1.5), None, true).unwrap();
        assert!((spec.likeliest + 1.5 / 2.0).abs() < 0.12, "{spec:?}");
        let test = made(2, 8_000, 1.5);
        for is_low in [true, false] {
            let (mut claimed, mut found, mut n) = (0.0, 0.0, 0.0);
            let own = test.iter().enumerate();
            for (_, one) in own.filter(|(i, _)| (i % 2 == 0) == is_low) {
                claimed += 1.0 - spec.of(one.p, one.likeliest);
                found += f32::from(u8::from(one.right));
                n += 1.0;
            }
            assert!(
                ((claimed - found) / n).abs() < 0.05,
                "{is_low}: {claimed} {found} of {n}"
            );
        }
    }

    #[test]
    fn recordings_that_are_heard_through_one_channel_say_nothing_of_channels() {
        let one = made(3, 8_000, 1.5);
        assert_eq!(fit(&one, None, false).unwrap().likeliest, 0.0);
        let old = UncertaintySpec {
            slope: 1.0,
            bias: 0.5,
            likeliest: -0.3,
        };
        let spec = fit(&one, Some((old, 0.1)), false).unwrap();
        assert_eq!(spec.likeliest, -0.3);
        assert!(spec.bias != 0.5, "{spec:?}");
    }

    #[test]
    fn a_few_recordings_change_what_was_known_only_a_little_and_too_few_nothing() {
        let old = fit(&made(5, 8_000, 1.5), None, true).unwrap();
        let few = made(6, 400, 0.0);
        let moved = |n| (fit(&few, Some((old, n)), true).unwrap().likeliest - old.likeliest).abs();
        assert!(moved(50.0) < moved(0.0) / 2.0);
        assert!(fit(&few[..30], None, true).is_none());
    }
}
