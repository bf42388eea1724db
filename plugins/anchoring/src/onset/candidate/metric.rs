//! A learned measure of likeness: log spectra, less their mean, turned so that no band and no mix of bands varies more than another.
//!
//! Neighbouring bands rise and fall together, so that the plain likeness of two spectra mostly tells how loud they are and how they
//! slope. Where all directions count the same, it tells whether the same thing sounds. `earmark fit` learns it from what candidates
//! sound like, without labels.

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
    /// `weight`: `[64, 64]`, row-major, what each band adds to each number; rows that are missing add nothing.
    pub fn new(mean: [f32; BANDS], weight: &[f32]) -> Self {
        let (rows, _) = weight.as_chunks::<BANDS>();
        Self {
            mean,
            weight: rows.to_vec(),
        }
    }

    /// What is taken from a spectrum.
    pub const fn mean(&self) -> &[f32; BANDS] {
        &self.mean
    }

    /// `[64, 64]`, by band.
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

/// Directions in which a candidate lies by a [`Metric`]; all zero without one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bearing {
    /// Of what it sounds like, of what was before it, and of the way from there.
    pub(super) sound: Row,
    pub(super) before: Row,
    change: Row,
}

impl Bearing {
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

    /// How like what was before it sounds, in [-1, 1].
    pub(super) fn steady(&self) -> f32 {
        super::dot(&self.sound, &self.before)
    }

    /// How like an earlier one this one sounds, how alike both changed what was there, and how like the earlier one that was.
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
