//! Intervals by resampling: Efron and Tibshirani 1993, percentile intervals at 95 %.

use serde::Serialize;

/// How often is resampled.
const TIMES: usize = 1_000;

/// A value and the interval that holds it in 95 of 100 resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of what was measured.
    pub value: f64,
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same seed gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * n as u128) >> 64) as usize
    }
}

/// Every statistic of `units`, each with its interval. `units` is `[group][unit]`: groups of one unit each are drawn from one pot (by recording); otherwise
/// units are drawn within their group (by block). `of` gets the units drawn, by group, and says its statistics, always as many.
pub(super) fn estimate<T: Clone>(
    units: &[Vec<T>],
    by_block: bool,
    seed: u64,
    of: impl Fn(&[Vec<T>]) -> Vec<f64>,
) -> Vec<Estimate> {
    let measured = of(units);
    let mut drawn: Vec<Vec<f64>> = vec![Vec::with_capacity(TIMES); measured.len()];
    let mut random = Random(seed);
    for _ in 0..TIMES {
        let sample: Vec<Vec<T>> = if by_block {
            units
                .iter()
                .map(|group| {
                    let draw = (0..group.len()).map(|_| group[random.below(group.len())].clone());
                    draw.collect()
                })
                .collect()
        } else {
            (0..units.len())
                .map(|_| units[random.below(units.len())].clone())
                .collect()
        };
        for (all, x) in drawn.iter_mut().zip(of(&sample)) {
            if x.is_finite() {
                all.push(x);
            }
        }
    }
    measured
        .into_iter()
        .zip(drawn)
        .map(|(value, mut all)| {
            all.sort_by(f64::total_cmp);
            let at = |share: f64| {
                let i = (share * all.len().saturating_sub(1) as f64).round() as usize;
                all.get(i).copied().unwrap_or(value)
            };
            Estimate {
                value,
                low: at(0.025),
                high: at(0.975),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(groups: &[Vec<f64>]) -> Vec<f64> {
        let all: Vec<f64> = groups.iter().flatten().copied().collect();
        vec![all.iter().sum::<f64>() / all.len() as f64]
    }

    #[test]
    fn the_interval_is_as_wide_as_the_standard_error_says() {
        let units: Vec<Vec<f64>> = (0..400).map(|i| vec![f64::from(i % 2)]).collect();
        let found = estimate(&units, false, 1, mean)[0];
        assert_eq!(found.value, 0.5);
        // 1.96 x 0.5 / sqrt(400) on each side.
        assert!((found.high - found.low - 0.098).abs() < 0.015, "{found:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let units = [vec![1.0, 2.0, 5.0, 9.0]];
        assert_eq!(
            estimate(&units, true, 3, mean),
            estimate(&units, true, 3, mean)
        );
        assert!(estimate(&units, true, 3, mean)[0].low < 4.25);
    }
}
