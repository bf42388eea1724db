//! How fast a camera's clocks run, by this machine's: from when its media came and the times that they bear. No clock of its own.

use std::collections::VecDeque;

use super::media::Kind;

/// Of each so many seconds, what came with the least delay counts: what came later waited somewhere.
const PIECE_S: f64 = 10.0;
/// So many pieces are looked at: twenty minutes.
const MOST: usize = 120;
/// With fewer, nothing is said: four minutes.
const LEAST: usize = 24;

/// Two clocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Skew([Line; 2]);

/// The delays of one of the two media.
#[derive(Clone, Debug, Default)]
struct Line {
    /// When a piece began, and its least delay; seconds.
    pieces: VecDeque<(f64, f64)>,
}

impl Skew {
    /// Something came at a time of ours, and bears a time of its own; both in seconds from any instant, without jumps.
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

    /// By how much a clock runs faster than ours, parts per million; `None` until that can be told.
    pub(super) fn ppm(&self, kind: Kind) -> Option<f64> {
        let pieces = &self.0[kind as usize].pieces;
        if pieces.len() < LEAST {
            return None;
        }
        // The median of the slopes between all pairs (Theil-Sen): a stall here and there changes nothing.
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

    /// Twenty minutes of a camera whose clock runs so much too fast, over a network that delays; it freezes now and then.
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
