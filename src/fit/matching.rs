//! Matches candidates to events, and fits a calibration to the matches.

use anchoring::onset::calibration::Calibration;

use super::logistic::{Row, regression};

/// Largest distance between a candidate and a start, s; as in `earmark eval anchors`.
pub(super) const NEAR: f32 = 0.15;

/// Matches each start to the nearest candidate within `near` seconds, one to one: rows of both, nearest first.
pub(super) fn pairs(events: &[(f32, f32)], at: &[f32], near: f32) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (i, (start, _)) in events.iter().enumerate() {
        let first = at.partition_point(|t| *t < start - near);
        for (j, t) in at.iter().enumerate().skip(first) {
            if *t > start + near {
                break;
            }
            pairs.push(((t - start).abs(), i, j));
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut given, mut right) = (vec![false; events.len()], vec![false; at.len()]);
    let mut matched = Vec::new();
    for (_, i, j) in pairs {
        if !given[i] && !right[j] {
            (given[i], right[j]) = (true, true);
            matched.push((i, j));
        }
    }
    matched
}

/// Which candidates begin an event.
pub(super) fn matched(events: &[(f32, f32)], at: &[f32]) -> Vec<bool> {
    let mut right = vec![false; at.len()];
    for (_, candidate) in pairs(events, at, NEAR) {
        right[candidate] = true;
    }
    right
}

/// Fewest true and false candidates for a calibration.
pub(super) const FEWEST: usize = 20;
/// Weight of the prior: temperature 1, bias 0.
const STIFF: f64 = 1.0;

/// The most likely temperature and bias of logits (Platt 1999), with a weak prior at 1 and 0. With `before`, each candidate also counts
/// `before.1` times with the probability of that calibration, so that a few recordings change it only a little.
pub(super) fn calibrate(
    judged: &[(f32, bool)],
    before: Option<(&Calibration, f64)>,
) -> Calibration {
    let rows = judged.iter().map(|&(logit, right)| Row {
        inputs: [f64::from(logit), 1.0],
        offset: 0.0,
        right,
        prior: before.map_or((0.0, 0.0), |(old, n)| (n, f64::from(old.apply(logit)))),
    });
    // With the prior there always is a best one.
    let [slope, bias] =
        regression(&rows.collect::<Vec<_>>(), [1.0, 0.0], STIFF).unwrap_or([1.0, 0.0]);
    Calibration {
        temperature: (1.0 / slope) as f32,
        bias: bias as f32,
        knots: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::net::sigmoid;
    use super::super::random::Random;
    use super::*;

    #[test]
    fn a_start_has_one_candidate_and_a_candidate_one_start() {
        let events = [(1.0, 2.0), (1.1, 3.0), (9.0, 9.5)];
        assert_eq!(
            matched(&events, &[0.9, 1.02, 1.2, 5.0]),
            [false, true, true, false]
        );
    }

    #[test]
    fn overconfidence_is_found_out() {
        let mut random = Random::of(5, &[]);
        let judged: Vec<_> = (0..20_000)
            .map(|_| {
                let honest = random.normal() * 2.0 - 1.0;
                (honest * 2.5 + 0.4, random.unit() < sigmoid(honest))
            })
            .collect();
        let found = calibrate(&judged, None);
        assert!((found.temperature - 2.5).abs() < 0.15, "{found:?}");
        assert!((found.bias + 0.16).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn a_previous_calibration_counts_more_if_there_is_less_data() {
        let mut random = Random::of(6, &[]);
        let judged: Vec<_> = (0..5_000)
            .map(|_| {
                let honest = random.normal() * 2.0 - 1.0;
                (honest, random.unit() < sigmoid(honest + 1.0))
            })
            .collect();
        let before = Calibration {
            temperature: 1.0,
            bias: -1.0,
            knots: Vec::new(),
        };
        let bias = |n| calibrate(&judged, Some((&before, n))).bias;
        assert!((calibrate(&judged, None).bias - bias(0.0)).abs() < 1e-6);
        assert!((bias(0.0) - 1.0).abs() < 0.15);
        assert!(bias(1.0) < 0.5 && bias(1.0) > -0.5, "{}", bias(1.0));
        assert!((bias(1000.0) + 1.0).abs() < 0.05);
    }
}
