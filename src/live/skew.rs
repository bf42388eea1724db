//! Measures how fast a camera's clocks run compared with this machine's: from arrival times and time stamps. Reads no clock itself.

use std::collections::VecDeque;

use super::media::Kind;

/// Length of a piece in seconds; its smallest delay counts, since later arrivals waited somewhere.
const PIECE_S: f64 = 10.0;
/// Number of pieces: twenty minutes.
const MOST: usize = 120;
/// Fewest pieces for an estimate: four minutes.
const LEAST: usize = 24;

/// The clocks of video and audio.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew([Line; 2]);

/// The delays of one of them.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Start and smallest delay of each piece, seconds.
    pieces: VecDeque<(f64, f64)>,
}

impl Skew {
    /// Adds an arrival: our time and its time stamp, in seconds from any instant, without jumps.
    pub(super) fn came(&mut self, kind: Kind, at: f64, own: f64) {
        let pieces = &mut self.0[kind as usize].pieces;
        let (delay, piece) = (at - own, (at / PIECE_S).floor() * PIECE_S);
        match pieces.back_mut() {
            Some((begin, least)) if *begin >= piece => *least = least.min(delay),
            _ => pieces.push_back((piece, delay)),
        }
        if pieces.len() > MOST {
            pieces.pop_front();
        }
    }

    /// How much faster a clock runs than ours, parts per million; `None` until that is known.
    pub(super) fn ppm(&self, kind: Kind) -> Option<f64> {
        let pieces = &self.0[kind as usize].pieces;
        if pieces.len() < LEAST {
            return None;
        }
        // The median of the slopes between all pairs (Theil-Sen), which single stalls do not change.
        let mut slopes: Vec<f64> = Vec::with_capacity(pieces.len() * pieces.len() / 2);
        for (k, (to, late)) in pieces.iter().enumerate() {
            let slope = |(from, early): &(f64, f64)| (late - early) / (to - from);
            slopes.extend(pieces.iter().take(k).map(slope));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        Some(-slopes[slopes.len() / 2] * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty minutes of a camera whose clock runs too fast by this much, over a network that delays and freezes now and then.
    fn heard(ppm: f64, minutes: u32) -> Skew {
        let mut skew = Skew::default();
        let mut seed = 1_u64;
        for k in 0..minutes * 60 * 25 {
            let at = f64::from(k) * 0.04;
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let jitter = (seed >> 40) as f64 / (1_u64 << 24) as f64 * 0.04;
            let frozen = if k % 7_000 < 125 {
                5.0 - f64::from(k % 7_000) * 0.04
            } else {
                0.0
            };
            skew.came(
                Kind::Video,
                at + jitter + frozen,
                1_000.0 + at * (1.0 + ppm * 1e-6),
            );
            skew.came(Kind::Audio, at, at);
        }
        skew
    }

    #[test]
    fn clocks_that_run_fast_or_slow_are_found_through_jitter_and_freezes() {
        for ppm in [-500.0, -20.0, 0.0, 500.0] {
            let found = heard(ppm, 20).ppm(Kind::Video).unwrap();
            assert!((found - ppm).abs() < 10.0, "{ppm}: {found}");
        }
        let skew = heard(300.0, 20);
        assert!(skew.ppm(Kind::Audio).unwrap().abs() < 0.001);
        assert_eq!(heard(300.0, 2).ppm(Kind::Video), None);
        assert!(heard(0.0, 60).0[0].pieces.len() <= MOST);
    }
}
