//! Mel frames -> how far each band lies above its own background, streaming: what gain, microphone and appliances leave alone.
//!
//! The background of a band follows `L = ln(mel + 0.001)` ten times faster down than up (a quantile near the quietest tenth, over some
//! seconds), and fast in the first two seconds, when little is known.

use crate::hearing::mel::{BANDS, log};
use crate::hearing::simd::wide;

/// Share of the way that the background goes in a frame.
const UP: f32 = 0.0015;
const DOWN: f32 = 0.015;
/// The most of it while little is known, and for how many frames that is.
const MOST_UP: f32 = 0.2;
const MOST_DOWN: f32 = 0.5;
const EARLY: f32 = 200.0;
const FIRST: f32 = 10.0;

type Row = [f32; BANDS];

/// Mel frames in, differences out.
#[derive(Clone, Debug, PartialEq)]
pub struct AboveStream {
    ground: Row,
    frames: u32,
}

impl Default for AboveStream {
    fn default() -> Self {
        Self::new()
    }
}

impl AboveStream {
    /// Nothing heard yet.
    pub const fn new() -> Self {
        Self {
            ground: [0.0; BANDS],
            frames: 0,
        }
    }

    /// Hears a mel frame (`[64]` magnitudes): by how much `L` lies above the background that it is part of, natural log units; finite.
    pub fn push(&mut self, mel: &Row) -> Row {
        wide(
            #[inline(always)]
            || self.push_log(&log(mel)),
        )
    }

    /// The same of a frame's `L`.
    #[inline(always)]
    pub(crate) fn push_log(&mut self, level: &Row) -> Row {
        let haste = (EARLY / (self.frames as f32 + FIRST)).max(1.0);
        let (up, down) = ((UP * haste).min(MOST_UP), (DOWN * haste).min(MOST_DOWN));
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
    fn what_stays_is_no_higher_than_its_background() {
        let mut above = AboveStream::new();
        let last = (0..300).map(|_| above.push(&[0.3; BANDS])).last().unwrap();
        assert!(last.iter().all(|x| x.abs() < 1e-5));
    }

    #[test]
    fn gain_changes_nothing_where_sound_is_loud() {
        let heard = |gain: f32| {
            let mut above = AboveStream::new();
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
    fn what_is_no_number_does_no_lasting_harm() {
        let mut above = AboveStream::new();
        for m in [f32::NAN, f32::INFINITY, -1.0, f32::MAX, 0.5] {
            assert!(above.push(&[m; BANDS]).iter().all(|x| x.is_finite()));
        }
    }
}
