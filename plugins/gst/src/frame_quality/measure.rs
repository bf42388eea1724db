//! Measures frames one after another.

use std::collections::VecDeque;

use anchoring::time::Nanos;

use super::FrameQuality;
use super::blockiness::blockiness;
use super::levels::exposure_and_contrast;
use super::luma::{Luma, WorkingImage};
use super::noise::noise;
use super::sharpness::sharpness;

/// Points per side of the grid at which two frames are compared.
const POINTS: usize = 64;
/// Frames closer together than this may well be alike.
const APART: Nanos = Nanos::from_ms(500);
/// Earlier frames to keep, so that one is at least this old.
const MOST: usize = 32;
/// Mean difference, as a share of full scale, up to which nothing moved (`freezedetect` says -60 dB), and from which motion is certain.
const STILL: f32 = 0.001;
const MOVING: f32 = 0.004;

/// Measures frames in order of time. Keeps its buffers, and the parts of earlier frames that freeze needs.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    working: WorkingImage,
    squares: Vec<f32>,
    before: VecDeque<(Nanos, Vec<u8>)>,
}

impl Measure {
    /// The next frame.
    pub fn frame(&mut self, pts: Nanos, luma: &Luma<'_>) -> FrameQuality {
        self.working.take(luma);
        let (exposure, contrast) = exposure_and_contrast(&self.working);
        FrameQuality {
            sharpness: sharpness(&self.working),
            exposure,
            contrast,
            blockiness: blockiness(luma),
            noise: noise(luma, &mut self.squares),
            freeze: self.freeze(pts, luma),
        }
    }

    /// Forgets earlier frames: another stream begins.
    pub fn restart(&mut self) {
        self.before.clear();
    }

    /// How much of the frame moved since the last one that is half a second older. Compares single points: means would hide that a camera's
    /// noise continues.
    fn freeze(&mut self, pts: Nanos, luma: &Luma<'_>) -> f32 {
        let (across, down) = (POINTS.min(luma.width()), POINTS.min(luma.height()));
        let mut points: Vec<u8> = Vec::with_capacity(across * down);
        for y in 0..down {
            let row = luma.row((2 * y + 1) * luma.height() / (2 * down));
            points.extend(
                (0..across).filter_map(|x| row.get((2 * x + 1) * luma.width() / (2 * across))),
            );
        }
        let far = |(at, _): &&(Nanos, Vec<u8>)| *at + APART <= pts;
        let moved = self.before.iter().rev().find(far).map(|(_, other)| {
            if other.len() != points.len() || points.is_empty() {
                return 1.0;
            }
            let differ = points
                .iter()
                .zip(other)
                .map(|(a, b)| u64::from(a.abs_diff(*b)));
            let mean = differ.sum::<u64>() as f32 / (255.0 * points.len() as f32);
            ((mean - STILL) / (MOVING - STILL)).clamp(0.0, 1.0)
        });
        if self.before.len() == MOST {
            self.before.pop_front();
        }
        self.before.push_back((pts, points));
        // The first frame has nothing to compare with.
        moved.unwrap_or(1.0)
    }
}
