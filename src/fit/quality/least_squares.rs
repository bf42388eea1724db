//! Least squares with weights that are not negative and a free offset: `mos = offset + w_a A + w_v V + w_av A V`.
//!
//! With three weights, the best choice of those that are zero is found by trying all (Lawson and Hanson, "Solving least squares problems",
//! 1974, search for it where there are many).

use super::super::linear;

/// Terms: the offset, the sound, the frames, and the product of both.
pub(super) const TERMS: usize = 4;
/// Added to the sum of squares of each weight, as a share of the number of clips: where sound and frames are alike, they share the weight.
const RIDGE: f64 = 1e-4;

/// The offset and the weights; `None` if no weight is above zero.
pub(super) fn fit(points: &[([f64; 2], f64)]) -> Option<[f64; TERMS]> {
    let mut best: Option<(f64, [f64; TERMS])> = None;
    for used in 1_u32..8 {
        let is_used = |term: usize| term == 0 || used >> (term - 1) & 1 == 1;
        let Some(found) = solve(points, is_used) else {
            continue;
        };
        if found.iter().skip(1).any(|weight| *weight < 0.0) {
            continue;
        }
        let squares: f64 = points
            .iter()
            .map(|(qualities, mos)| (value(&found, *qualities) - mos).powi(2))
            .sum();
        let penalty = RIDGE * points.len() as f64 * found[1..].iter().map(|w| w * w).sum::<f64>();
        if best.is_none_or(|(least, _)| squares + penalty < least) {
            best = Some((squares + penalty, found));
        }
    }
    let (_, found) = best?;
    (found.iter().skip(1).sum::<f64>() > 1e-6).then_some(found)
}

/// What the fit says of a clip.
pub(super) fn value(fit: &[f64; TERMS], qualities: [f64; 2]) -> f64 {
    terms(qualities).iter().zip(fit).map(|(x, w)| x * w).sum()
}

fn terms([sound, frames]: [f64; 2]) -> [f64; TERMS] {
    [1.0, sound, frames, sound * frames]
}

/// The normal equations; terms that are not used are zero. `None` if they have no solution.
fn solve(points: &[([f64; 2], f64)], is_used: impl Fn(usize) -> bool) -> Option<[f64; TERMS]> {
    let (mut matrix, mut right) = ([[0.0; TERMS]; TERMS], [0.0; TERMS]);
    for (qualities, mos) in points {
        let all = terms(*qualities);
        let x: [f64; TERMS] = std::array::from_fn(|k| if is_used(k) { all[k] } else { 0.0 });
        for (k, a) in x.into_iter().enumerate() {
            for (cell, b) in matrix[k].iter_mut().zip(x) {
                *cell += a * b;
            }
            right[k] += a * mos;
        }
    }
    for (term, row) in matrix.iter_mut().enumerate() {
        row[term] += match (is_used(term), term) {
            (false, _) => 1.0,
            (true, 0) => 0.0,
            (true, _) => RIDGE * points.len() as f64,
        };
    }
    linear::solve(matrix, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: impl Fn(f64, f64) -> f64) -> Vec<([f64; 2], f64)> {
        (0..100)
            .map(|k| [f64::from(k % 10) / 10.0, f64::from(k / 10) / 10.0])
            .map(|[a, v]| ([a, v], of(a, v)))
            .collect()
    }

    #[test]
    fn what_made_the_scores_is_found() {
        let found = fit(&points(|a, v| 0.1 + 0.2 * a + 0.3 * v + 0.4 * a * v)).unwrap();
        for (own, wanted) in found.into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
            assert!((own - wanted).abs() < 0.01, "{found:?}");
        }
    }

    #[test]
    fn no_weight_is_negative() {
        let found = fit(&points(|a, v| 0.5 - 0.4 * a + 0.3 * v)).unwrap();
        assert!(
            found[1] == 0.0 && found[3] == 0.0 && (found[2] - 0.3).abs() < 0.01,
            "{found:?}"
        );
        assert_eq!(fit(&points(|a, v| 1.0 - a - v)), None);
        assert_eq!(fit(&points(|_, _| 0.5)), None);
        assert_eq!(fit(&[]), None);
        // Sound that is always the same tells nothing; frames keep their weight.
        let same: Vec<_> = points(|_, v| 0.2 + 0.5 * v)
            .into_iter()
            .map(|([_, v], mos)| ([1.0, v], mos))
            .collect();
        let found = fit(&same).unwrap();
        assert!((value(&found, [1.0, 1.0]) - 0.7).abs() < 0.01, "{found:?}");
    }
}
