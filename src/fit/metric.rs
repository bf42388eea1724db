//! Learns the metric that compares candidates, from spectra and without labels.

use anchoring::hearing::mel::BANDS;
use anchoring::onset::peak_features::{Metric, PeakFeatureStream};

use super::corpus::Recording;

/// Share of the variance that is assumed to be isotropic, so that directions that are rare here are not amplified in other recordings.
const EVEN: f64 = 0.1;
/// Smallest variance of a direction.
const LEAST: f64 = 1e-6;

type Square = Vec<[f64; BANDS]>;

/// Learns a whitening of the spectra of all candidates.
pub(super) fn learn(recordings: &[Recording]) -> Metric {
    let mut spectra = Vec::new();
    for one in recordings {
        let mut stream = PeakFeatureStream::new();
        let mut at = 0;
        while at < one.mel.len() {
            let frames = one.mel.frames(at, FRAMES);
            at += frames.len();
            let found = frames.iter().filter_map(|frame| stream.push_frame(frame));
            spectra.extend(found.map(|candidate| candidate.spectrum));
        }
        spectra.extend(stream.finish().into_iter().map(|found| found.spectrum));
    }
    of(&spectra)
}

/// Frames that are processed at a time.
const FRAMES: usize = 6000;

fn of(spectra: &[[f32; BANDS]]) -> Metric {
    let n = spectra.len().max(1) as f64;
    let mut mean = [0.0f64; BANDS];
    for row in spectra {
        for (sum, x) in mean.iter_mut().zip(row) {
            *sum += f64::from(*x) / n;
        }
    }
    let mut scatter: Square = vec![[0.0; BANDS]; BANDS];
    for row in spectra {
        let off: [f64; BANDS] = std::array::from_fn(|k| f64::from(row[k]) - mean[k]);
        for (sums, a) in scatter.iter_mut().zip(&off) {
            for (sum, b) in sums.iter_mut().zip(&off) {
                *sum += a * b / n;
            }
        }
    }
    let even = (0..BANDS).map(|k| scatter[k][k]).sum::<f64>() / BANDS as f64;
    for (k, row) in scatter.iter_mut().enumerate() {
        row.iter_mut().for_each(|x| *x *= 1.0 - EVEN);
        row[k] += (EVEN * even).max(LEAST);
    }
    let weight = whitening(&scatter);
    Metric::new(
        mean.map(|x| x as f32),
        &weight
            .iter()
            .flatten()
            .map(|x| *x as f32)
            .collect::<Vec<_>>(),
    )
}

/// `W` with `W W^T` the inverse of a positive definite matrix: the transposed inverse of its Cholesky factor.
fn whitening(of: &Square) -> Square {
    let mut lower: Square = vec![[0.0; BANDS]; BANDS];
    for i in 0..BANDS {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let left = of[i][j] - known;
            lower[i][j] = if i == j {
                left.max(LEAST).sqrt()
            } else {
                left / lower[j][j]
            };
        }
    }
    // Column c of the inverse, by substitution, is row c of the result.
    let mut turned: Square = vec![[0.0; BANDS]; BANDS];
    for (c, row) in turned.iter_mut().enumerate() {
        for i in c..BANDS {
            let known: f64 = (c..i).map(|k| lower[i][k] * row[k]).sum();
            let wanted = if i == c { 1.0 } else { 0.0 };
            row[i] = (wanted - known) / lower[i][i];
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn every_direction_varies_alike() {
        let mut random = Random::of(4, &[]);
        // Neighbouring bands are correlated, and low ones vary more.
        let spectra: Vec<[f32; BANDS]> = (0..4000)
            .map(|_| {
                let (loud, slope) = (random.normal() * 2.0, random.normal());
                std::array::from_fn(|b| {
                    loud + slope * b as f32 / 32.0
                        + random.normal() * (1.0 + (64 - b) as f32 / 64.0)
                })
            })
            .collect();
        let metric = of(&spectra);
        let turned: Vec<[f32; BANDS]> = spectra
            .iter()
            .map(|row| {
                std::array::from_fn(|k| {
                    let bands = row.iter().zip(metric.mean()).zip(metric.weight());
                    bands.map(|((x, mean), w)| (x - mean) * w[k]).sum()
                })
            })
            .collect();
        let n = spectra.len() as f32;
        for a in [0, 1, 30, 63] {
            for b in [0, 1, 31, 63] {
                let along: f32 = turned.iter().map(|row| row[a] * row[b]).sum::<f32>() / n;
                let wanted = if a == b { 0.45..1.15 } else { -0.3..0.3 };
                assert!(wanted.contains(&along), "{a} {b}: {along}");
            }
        }
    }

    #[test]
    fn silence_alone_is_not_an_error() {
        let metric = of(&[]);
        assert!(metric.weight().as_flattened().iter().all(|w| w.is_finite()));
    }
}
