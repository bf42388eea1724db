//! Tests whether one way is better than another on the same recordings: mean and deviation, the paired t-test (Student 1908), an effect size
//! (Cohen's d of the differences), and Holm's correction (1979) for the number of comparisons.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Mean and sample deviation; the deviation of fewer than two values is 0.
pub(crate) fn mean_and_deviation(xs: &[f64]) -> (f64, f64) {
    let n = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / n;
    if xs.len() < 2 {
        return (mean, 0.0);
    }
    let square: f64 = xs.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (square / (n - 1.0)).sqrt())
}

/// The t-test of paired differences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Paired {
    /// Mean difference.
    pub(crate) difference: f64,
    /// The statistic, with one degree of freedom less than pairs.
    pub(crate) t: f64,
    /// Two-sided.
    pub(crate) p: f64,
    /// The mean difference in units of their deviation.
    pub(crate) d: f64,
}

/// The paired t-test that the mean of the differences is 0; `None` for fewer than two. Equal differences have no deviation: p is 1 if they are
/// 0, else 0.
pub(crate) fn paired(differences: &[f64]) -> Option<Paired> {
    if differences.len() < 2 {
        return None;
    }
    let n = differences.len() as f64;
    let (difference, deviation) = mean_and_deviation(differences);
    if deviation <= f64::EPSILON * difference.abs() {
        let (t, p) = if difference == 0.0 {
            (0.0, 1.0)
        } else {
            (f64::INFINITY.copysign(difference), 0.0)
        };
        return Some(Paired {
            difference,
            t,
            p,
            d: t,
        });
    }
    let d = difference / deviation;
    let t = d * n.sqrt();
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let p = (2.0 * student.sf(t.abs())).min(1.0);
    Some(Paired {
        difference,
        t,
        p,
        d,
    })
}

/// p values corrected for their number.
pub(crate) fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut corrected = vec![0.0; ps.len()];
    let mut most: f64 = 0.0;
    for (rank, i) in order.into_iter().enumerate() {
        most = most.max(((ps.len() - rank) as f64 * ps[i]).min(1.0));
        corrected[i] = most;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of scipy 1.17.1: `scipy.stats.ttest_rel(a, b)` on the same numbers.
    #[test]
    fn the_paired_t_test_is_scipys() {
        for (n, t, p) in [
            (3_usize, 2.723666276214867, 0.11250421992533968),
            (5_usize, 1.012406017917842, 0.3686077352147574),
            (12_usize, 1.5396367498196446, 0.1519057669481271),
            (40_usize, 1.3175112400340556, 0.1953552126115105),
            (200_usize, 3.432553508781405, 0.000727275961193315),
        ] {
            let a = |i: usize| ((i * 37 + 11) % 23) as f64 / 23.0 + 0.1 * ((i * 7) % 3) as f64;
            let b = |i: usize| ((i * 53 + 5) % 29) as f64 / 29.0;
            let differences: Vec<f64> = (0..n).map(|i| a(i) - b(i)).collect();
            let found = paired(&differences).unwrap();
            assert!((found.t - t).abs() < 1e-6, "{n}: {found:?}");
            assert!((found.p - p).abs() < 1e-6, "{n}: {found:?}");
            assert!((found.d * (n as f64).sqrt() - t).abs() < 1e-6);
        }
    }

    #[test]
    fn equal_differences_have_an_answer() {
        assert_eq!(paired(&[0.0; 4]).unwrap().p, 1.0);
        assert_eq!(paired(&[0.5; 4]).unwrap().p, 0.0);
        assert!(paired(&[0.5]).is_none() && paired(&[]).is_none());
    }

    #[test]
    fn holm_multiplies_the_smallest_most_and_keeps_the_order() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.2, 0.04]);
        let right = [0.05, 0.12, 0.12, 0.03, 0.2, 0.12];
        for (found, right) in found.iter().zip(right) {
            assert!((found - right).abs() < 1e-12, "{found} {right}");
        }
        assert!(holm(&[]).is_empty());
    }
}
