//! Detects a cut: whether another shot begins between two frames.

use super::luma::WorkingImage;

/// Distance of the compared pixels, in both directions.
const STEP: usize = 8;
/// Levels per bin.
const BIN: usize = 8;
/// Mean difference of a pixel, as a share of full scale, and share of pixels whose level has changed. A turn of the head changes pixels but
/// not the histogram; a cut changes both.
const PIXELS: f32 = 0.08;
const LEVELS: f32 = 0.25;

/// A frame, reduced to what detecting a cut needs.
#[derive(Clone, Debug, Default)]
pub struct CutSample {
    points: Vec<u8>,
    levels: [u32; 256 / BIN],
}

impl CutSample {
    /// From a frame.
    pub fn of(working: &WorkingImage) -> Self {
        let mut levels = [0; 256 / BIN];
        let mut points = Vec::new();
        for row in working.rows().step_by(STEP) {
            for &pixel in row.iter().step_by(STEP) {
                points.push(pixel);
                levels[usize::from(pixel) / BIN] += 1;
            }
        }
        Self { points, levels }
    }

    /// Whether a cut lies between these two.
    pub fn is_cut(&self, other: &Self) -> bool {
        if self.points.len() != other.points.len() || self.points.is_empty() {
            return true;
        }
        let all = self.points.len() as f32;
        let differ = self.points.iter().zip(&other.points);
        let differ: u32 = differ.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let gone = self.levels.iter().zip(&other.levels);
        let gone: u32 = gone.map(|(a, b)| a.saturating_sub(*b)).sum();
        differ as f32 > PIXELS * 255.0 * all && gone as f32 > LEVELS * all
    }
}
