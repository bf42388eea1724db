//! A learned metric: whitens log spectra, so that all directions have the same variance.
//!
//! Neighbouring bands rise and fall together, so the plain similarity of two spectra mostly compares their loudness and slope. After whitening
//! it shows whether the same thing sounds. `earmark fit` learns the metric from the spectra of peaks, without labels.

use crate::hearing::mel::BANDS;

type Row = [f32; BANDS];

/// `z = (x - mean) W`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    mean: Row,
    /// `[in, out]`.
    weight: Vec<Row>,
}

impl Metric {
    /// `weight`: `[64, 64]`, row-major, inputs by outputs; missing rows count as zeros.
    pub fn new(mean: [f32; BANDS], weight: &[f32]) -> Self {
        let (rows, _) = weight.as_chunks::<BANDS>();
        Self {
            mean,
            weight: rows.to_vec(),
        }
    }

    /// The mean that is subtracted from a spectrum.
    pub const fn mean(&self) -> &[f32; BANDS] {
        &self.mean
    }

    /// `[64, 64]`, inputs by outputs.
    pub fn weight(&self) -> &[[f32; BANDS]] {
        &self.weight
    }

    pub(super) fn of(&self, row: &Row) -> Row {
        let mut z = [0.0; BANDS];
        for ((x, mean), weights) in row.iter().zip(&self.mean).zip(&self.weight) {
            let x = x - mean;
            for (z, w) in z.iter_mut().zip(weights) {
                *z += x * w;
            }
        }
        z
    }
}

/// Whitened directions of a peak's spectra; all zero without a [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MetricSpectra {
    /// The peak's own spectrum, the one before it, and the difference.
    pub(super) sound: Row,
    pub(super) before: Row,
    change: Row,
}

impl MetricSpectra {
    /// `sound` and `before`: mean log spectra.
    pub(super) fn new(metric: Option<&Metric>, sound: &Row, before: &Row) -> Self {
        let nothing = [0.0; BANDS];
        let Some(metric) = metric else {
            return Self {
                sound: nothing,
                before: nothing,
                change: nothing,
            };
        };
        let (sound, before) = (metric.of(sound), metric.of(before));
        Self {
            sound: unit(sound),
            before: unit(before),
            change: unit(std::array::from_fn(|k| sound[k] - before[k])),
        }
    }

    /// Similarity of the peak to what was before it, in [-1, 1].
    pub(super) fn steady(&self) -> f32 {
        super::dot(&self.sound, &self.before)
    }

    /// Similarity of two peaks, of the changes that they made, and of this peak's past to the earlier peak.
    pub(super) fn compare(&self, earlier: &Self) -> [f32; 3] {
        [
            super::dot(&self.sound, &earlier.sound),
            super::dot(&self.change, &earlier.change),
            super::dot(&self.before, &earlier.sound),
        ]
    }
}

pub(super) fn unit(row: Row) -> Row {
    const LEAST: f32 = 1e-6;
    let norm = super::dot(&row, &row).sqrt() + LEAST;
    row.map(|x| x / norm)
}
