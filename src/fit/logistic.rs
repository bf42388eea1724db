//! Logistic regression with few inputs, the first of them a logit.

use super::linear;

const ROUNDS: usize = 100;

/// A row of a logistic regression.
pub(super) struct Row<const N: usize> {
    /// The first is a logit.
    pub(super) inputs: [f64; N],
    /// Added to the logit.
    pub(super) offset: f64,
    pub(super) right: bool,
    /// How many times the row also counts with a probability that is given, and that probability.
    pub(super) prior: (f64, f64),
}

/// The most likely weights, by Newton's method. Half of `stiff` times the sum of squares of the changes from `start` is added to the negative
/// log-likelihood. The first weight stays positive. `None` if there is no best one.
pub(super) fn regression<const N: usize>(
    rows: &[Row<N>],
    start: [f64; N],
    stiff: f64,
) -> Option<[f64; N]> {
    let mut now = start;
    for _ in 0..ROUNDS {
        let mut slope: [f64; N] = std::array::from_fn(|k| stiff * (now[k] - start[k]));
        let mut curve = [[0.0; N]; N];
        for (k, row) in curve.iter_mut().enumerate() {
            row[k] = stiff;
        }
        for row in rows {
            let (n, likely) = row.prior;
            let sum: f64 = row.inputs.iter().zip(&now).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + (-sum - row.offset).exp());
            let off = p - f64::from(u8::from(row.right)) + n * (p - likely);
            let weight = (1.0 + n) * p * (1.0 - p);
            for ((x, slope), curve) in row.inputs.iter().zip(&mut slope).zip(&mut curve) {
                *slope += off * x;
                for (cell, other) in curve.iter_mut().zip(row.inputs) {
                    *cell += weight * x * other;
                }
            }
        }
        let step = linear::solve(curve, slope)?;
        for (now, step) in now.iter_mut().zip(step) {
            *now -= step.clamp(-0.5, 0.5);
        }
        now[0] = now[0].max(0.05);
        if step.iter().all(|step| step.abs() < 1e-9) {
            break;
        }
    }
    Some(now)
}
