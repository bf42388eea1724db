//! Agreement of predicted and given scores.
//!
//! SROCC is of ranks. PLCC and RMSE are taken after a logistic function of four parameters was fitted to the predictions, as VQEG's reports and
//! the papers on these datasets do: people use the ends of a scale less than its middle.

use serde::Serialize;

/// Agreement over all clips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Agreement {
    /// Linear correlation after the logistic mapping.
    pub plcc: f64,
    /// Rank correlation.
    pub srocc: f64,
    /// Root of the mean squared error after the logistic mapping, in steps of the scale.
    pub rmse: f64,
}

impl Agreement {
    /// Of predictions, in any unit, with scores.
    pub(super) fn of(predicted: &[f64], given: &[f64]) -> Self {
        let mapped = mapped(predicted, given);
        let errors = mapped.iter().zip(given).map(|(a, b)| (a - b).powi(2));
        Self {
            plcc: correlation(&mapped, given),
            srocc: correlation(&ranks(predicted), &ranks(given)),
            rmse: (errors.sum::<f64>() / given.len().max(1) as f64).sqrt(),
        }
    }

    /// Three columns.
    pub(super) fn text(&self) -> String {
        format!("{:6.3} {:6.3} {:6.2}", self.plcc, self.srocc, self.rmse)
    }
}

/// Pearson's; 0 if one of both is always the same.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len().max(1) as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - of_a) * (y - of_b);
        aa += (x - of_a).powi(2);
        bb += (y - of_b).powi(2);
    }
    match aa > 1e-18 && bb > 1e-18 {
        true => ab / (aa * bb).sqrt(),
        false => 0.0,
    }
}

/// Equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        // Those before, and the middle of the group.
        let before = equal.first().map_or(0, |one| {
            order.partition_point(|other| values[*other] < values[*one])
        });
        for one in equal {
            ranks[*one] = before as f64 + (equal.len() as f64 - 1.0) / 2.0;
        }
    }
    ranks
}

/// Predictions through the logistic function that fits best: `low + (high - low) / (1 + exp(-(x - middle) / width))`. For a middle and a width,
/// the best low and high are a straight line's, so that only two parameters are searched: on a grid, then around its best.
fn mapped(predicted: &[f64], given: &[f64]) -> Vec<f64> {
    let low = predicted.iter().copied().fold(f64::MAX, f64::min);
    let high = predicted.iter().copied().fold(f64::MIN, f64::max);
    let span = high - low;
    if span.is_nan() || span <= 1e-12 {
        let mean = given.iter().sum::<f64>() / given.len().max(1) as f64;
        return vec![mean; given.len()];
    }
    let mut best = (f64::MAX, Vec::new(), (0.5, 1.0));
    let mut attempt = |middle: f64, width: f64| {
        let curve: Vec<f64> = predicted
            .iter()
            .map(|x| 1.0 / (1.0 + (-((x - low) / span - middle) / width).exp()))
            .collect();
        let line = line(&curve, given);
        let error: f64 = line.iter().zip(given).map(|(a, b)| (a - b).powi(2)).sum();
        if error < best.0 {
            best = (error, line, (middle, width));
        }
        best.2
    };
    let mut found = (0.5, 1.0);
    for k in 0..=20 {
        // From a step to nearly a straight line.
        for width in [0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 3.0, 10.0] {
            found = attempt(f64::from(k) / 10.0 - 0.5, width);
        }
    }
    let mut reach = 1.0;
    for _ in 0..24 {
        let (middle, width) = found;
        for (step, factor) in [(-0.05, 1.0), (0.05, 1.0), (0.0, 0.7), (0.0, 1.4)] {
            let factor: f64 = factor;
            found = attempt(middle + reach * step, width * factor.powf(reach));
        }
        if found == (middle, width) {
            reach *= 0.6;
        }
    }
    best.1
}

/// The straight line through points, at each of them; never falls.
fn line(x: &[f64], y: &[f64]) -> Vec<f64> {
    let n = x.len().max(1) as f64;
    let (of_x, of_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        xy += (a - of_x) * (b - of_y);
        xx += (a - of_x).powi(2);
    }
    let slope = if xx > 1e-18 { (xy / xx).max(0.0) } else { 0.0 };
    x.iter().map(|a| of_y + slope * (a - of_x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curved_scale_does_not_count_and_order_does() {
        let x: Vec<f64> = (0..60).map(|k| f64::from(k) / 59.0).collect();
        let curved: Vec<f64> = x
            .iter()
            .map(|x| 20.0 + 60.0 / (1.0 + (-(x - 0.4) / 0.1).exp()))
            .collect();
        let own = Agreement::of(&x, &curved);
        assert!(
            own.plcc > 0.9999 && own.srocc > 0.9999 && own.rmse < 0.2,
            "{own:?}"
        );
        let straight: Vec<f64> = x.iter().map(|x| 1.0 + 4.0 * x).collect();
        assert!(Agreement::of(&x, &straight).plcc > 0.9995);
        let falling: Vec<f64> = x.iter().map(|x| 5.0 - x).collect();
        let own = Agreement::of(&x, &falling);
        assert!(own.srocc < -0.999 && own.plcc.abs() < 1e-6, "{own:?}");
        let same = Agreement::of(&vec![0.5; 60], &straight);
        assert_eq!((same.plcc, same.srocc), (0.0, 0.0));
        // The error is then the spread of the scores.
        assert!((same.rmse - 1.174).abs() < 0.01, "{same:?}");
    }

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0]);
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 5.0]);
        assert!((Agreement::of(&a, &b).srocc - 0.8).abs() < 1e-12);
    }
}
