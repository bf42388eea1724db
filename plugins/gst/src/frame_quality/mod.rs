//! Quality of a frame: six measures of its luma and a score, each in [0, 1], 1 is best.
//!
//! Nothing here is learned, and nothing knows what the frame shows. A measure says that one known fault is absent; the guide ("Quality") gives
//! definitions and sources. All are taken at the frame's own size, before it is scaled to the encoder's square.
//!
//! # Layout
//!
//! - `luma`: a plane of luma, read in whole rows, or as a small working image.
//! - `sharpness`, `blockiness`, `noise`, `levels`: one measure each, `levels` two.
//! - `cut`: detects a cut between two frames.
//! - `measure`: all of them for one frame after another, and freeze, which compares two.

mod blockiness;
mod cut;
mod levels;
mod luma;
mod measure;
mod noise;
mod sharpness;

use serde::{Deserialize, Serialize};

pub use cut::CutSample;
pub use luma::{Luma, WorkingImage};
pub use measure::Measure;
pub use sharpness::sharpness;

/// The measures of one frame. Each in [0, 1]; 1: nothing wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameQuality {
    /// No blur from motion or focus.
    pub sharpness: f32,
    /// Share of it that is neither black nor burnt out.
    pub exposure: f32,
    /// Spread between its darks and its lights.
    pub contrast: f32,
    /// No edges along a coder's blocks.
    pub blockiness: f32,
    /// No noise in its flat parts.
    pub noise: f32,
    /// It moved since the previous frame.
    pub freeze: f32,
}

impl FrameQuality {
    /// Names of the measures, in the order of [`Self::values`].
    pub const NAMES: [&str; 6] = [
        "sharpness",
        "exposure",
        "contrast",
        "blockiness",
        "noise",
        "freeze",
    ];

    /// Share of each measure in [`Self::score`]; they add up to 1.
    pub const WEIGHTS: [f32; 6] = [0.35, 0.2, 0.15, 0.1, 0.1, 0.1];

    /// The measures by [`Self::NAMES`].
    pub fn values(&self) -> [f32; 6] {
        [
            self.sharpness,
            self.exposure,
            self.contrast,
            self.blockiness,
            self.noise,
            self.freeze,
        ]
    }

    /// The measures from [`Self::values`].
    pub fn from_values(values: [f32; 6]) -> Self {
        let [sharpness, exposure, contrast, blockiness, noise, freeze] = values;
        Self {
            sharpness,
            exposure,
            contrast,
            blockiness,
            noise,
            freeze,
        }
    }

    /// One number: the weighted geometric mean, so that no virtue makes up for a fault that hides everything.
    pub fn score(&self) -> f32 {
        let logs = self.values().into_iter().zip(Self::WEIGHTS);
        let sum: f32 = logs
            .map(|(value, weight)| weight * value.max(1e-3).ln())
            .sum();
        sum.exp().clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests;
