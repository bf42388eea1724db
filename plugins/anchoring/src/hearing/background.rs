//! Mel frames -> how far each band lies above its own background, streaming.
//!
//! The result ignores gain, microphone and appliances. The background of a band follows `L = ln(mel + 0.001)` ten
//! times faster down than up, so it settles near the quietest tenth of the last seconds. It moves fast during the
//! first two seconds, while little is known.

use crate::hearing::mel::{BANDS, log_mel};
use crate::hearing::simd::vectorized;

/// Share of the distance that the background moves per frame.
const UP: f32 = 0.0015;
const DOWN: f32 = 0.015;
/// Upper limits of that share at the start of a recording, and how many frames the start lasts.
const MOST_UP: f32 = 0.2;
const MOST_DOWN: f32 = 0.5;
const EARLY: f32 = 200.0;
const FIRST: f32 = 10.0;

type Row = [f32; BANDS];

/// Mel frames in, distances above the background out.
#[derive(Clone, Debug, PartialEq)]
pub struct BackgroundSubtractor {
    ground: Row,
    frames: u32,
}

impl Default for BackgroundSubtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl BackgroundSubtractor {
    /// A subtractor that has seen no frame yet.
    pub const fn new() -> Self {
        Self {
            ground: [0.0; BANDS],
            frames: 0,
        }
    }

    /// Takes a mel frame (`[64]` magnitudes). Returns how far `L` lies above the background, which already includes
    /// this frame; natural log units, finite.
    pub fn push(&mut self, mel: &Row) -> Row {
        vectorized(
            #[inline(always)]
            || self.push_log(&log_mel(mel)),
        )
    }

    /// Like [`Self::push`], for a frame whose `L` is known.
    #[inline(always)]
    pub(crate) fn push_log(&mut self, level: &Row) -> Row {
        let speed_up = (EARLY / (self.frames as f32 + FIRST)).max(1.0);
        let (up, down) = (
            (UP * speed_up).min(MOST_UP),
            (DOWN * speed_up).min(MOST_DOWN),
        );
        if self.frames == 0 {
            self.ground = *level;
        }
        self.frames = self.frames.saturating_add(1);
        let (mut ground, mut above) = (self.ground, [0.0; BANDS]);
        for b in 0..BANDS {
            let over = level[b] - ground[b];
            let share = if over > 0.0 { up } else { down };
            ground[b] += over * share;
            above[b] = level[b] - ground[b];
        }
        self.ground = ground;
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_sound_is_no_higher_than_its_background() {
        let mut above = BackgroundSubtractor::new();
        let last = (0..300).map(|_| above.push(&[0.3; BANDS])).last().unwrap();
        assert!(last.iter().all(|x| x.abs() < 1e-5));
    }

    #[test]
    fn gain_changes_nothing_where_sound_is_loud() {
        let heard = |gain: f32| {
            let mut above = BackgroundSubtractor::new();
            let frame = |t: usize| [gain * if t % 100 < 20 { 50.0 } else { 10.0 }; BANDS];
            (0..500)
                .map(|t| above.push(&frame(t))[7])
                .collect::<Vec<_>>()
        };
        let (quiet, loud) = (heard(1.0), heard(8.0));
        assert!(quiet.iter().zip(&loud).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(quiet.iter().any(|x| *x > 1.0));
    }

    #[test]
    fn nan_does_no_lasting_harm() {
        let mut above = BackgroundSubtractor::new();
        for m in [f32::NAN, f32::INFINITY, -1.0, f32::MAX, 0.5] {
            assert!(above.push(&[m; BANDS]).iter().all(|x| x.is_finite()));
        }
    }
}
