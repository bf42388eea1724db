//! Mel frames -> onset strength -> onsets, streaming.
//!
//! `L = ln(mel + 0.001)`, averaged over three frames. A band rises by how far it lies above the loudest that it and its neighbours
//! were in the `R` frames that ended three frames ago; the flux of a frame is its bands' mean rise. A reference of a fifth of a second
//! (`flux_20`) places onsets sharply, one of a second (`flux_100`) doesn't take a sound's own flutter for new events.
//! After Bello et al. 2005 (spectral flux) and Böck and Widmer 2013 (SuperFlux: maximum over neighbouring bands).

use crate::mel::BANDS;

/// Frames between a frame and the end of its reference.
const LAG: usize = 3;
/// Frames of the two references; odd, as in the recipe (`R | 1`).
const SHORT: usize = 21;
const LONG: usize = 101;
/// The first frames have no reference worth the name.
const UNSURE: u64 = 5;
/// An onset is the strongest of this many frames before and after it.
const REACH: usize = 8;
const SPAN: usize = 2 * REACH + 1;
/// Frames around an onset among which its strength is sought.
const AROUND: usize = 3;
/// Weaker ones are no onsets.
const FAINT: f32 = 0.02;
/// `flux_100` at which [`likelihood`] is a half.
const EVEN: f32 = 0.7;

type Row = [f32; BANDS];

/// Onset strength of one frame: mean rise over the bands, in natural log units of magnitude, not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strength {
    /// Against the last fifth of a second.
    pub flux_20: f32,
    /// Against the last second.
    pub flux_100: f32,
}

impl Strength {
    fn total(self) -> f32 {
        0.5 * self.flux_20 + self.flux_100
    }
}

/// How likely an event begins at a frame with this `flux_100`: `flux_100 / (flux_100 + 0.7)`, in [0, 1]; 0 for what is no strength. It
/// rises with the flux. The 0.7 comes from five KitchenMix recordings at 10 and 20 dB, on which it follows the share of peaks within 0.15 s of
/// a labelled start up to a half, and falls short of it above.
pub fn likelihood(flux_100: f32) -> f32 {
    let flux = within(flux_100, 1e9);
    flux / (flux + EVEN)
}

/// Mel frames in, strengths out, one frame later.
#[derive(Clone, Debug)]
pub struct FluxStream {
    /// The last two frames of `L`.
    before: Row,
    last: Row,
    frames: u64,
    /// Smoothed rows, each the loudest of its band and its neighbours: the last [`LAG`] and, once those are over, the reference.
    waiting: [Row; LAG],
    reference: Vec<Row>,
    /// How many rows ever went into `reference`.
    referred: usize,
}

impl Default for FluxStream {
    fn default() -> Self {
        Self::new()
    }
}

impl FluxStream {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            before: [0.0; BANDS],
            last: [0.0; BANDS],
            frames: 0,
            waiting: [[0.0; BANDS]; LAG],
            reference: vec![[f32::MIN; BANDS]; LONG],
            referred: 0,
        }
    }

    /// Hears mel frame `t` (`[64]` magnitudes) and says the strength of frame `t - 1`; `None` for the first. Finite for any input.
    pub fn push(&mut self, mel: &Row) -> Option<Strength> {
        let now = mel.map(|m| (within(m, 1e30) + 1e-3).ln());
        let t = self.frames;
        self.frames += 1;
        let before = if t < 2 { self.last } else { self.before };
        let (first, middle) = if t == 0 {
            (now, now)
        } else {
            (before, self.last)
        };
        self.before = middle;
        self.last = now;
        if t == 0 {
            return None;
        }
        let smooth: Row = std::array::from_fn(|b| (first[b] + middle[b] + now[b]) * (1.0 / 3.0));
        Some(self.rise(t - 1, &smooth))
    }

    fn rise(&mut self, t: u64, smooth: &Row) -> Strength {
        let slot = (t % LAG as u64) as usize;
        if t >= LAG as u64 {
            self.reference[self.referred % LONG] = self.waiting[slot];
            self.referred += 1;
        }
        self.waiting[slot] = std::array::from_fn(|b| {
            let near = &smooth[b.saturating_sub(1)..(b + 2).min(BANDS)];
            near.iter().copied().fold(f32::MIN, larger)
        });
        if t < UNSURE {
            return Strength::default();
        }
        let mut loudest = [f32::MIN; BANDS];
        let newest = self.referred + LONG - 1;
        let mut hear = |ages: std::ops::Range<usize>| {
            for age in ages {
                let row = &self.reference[(newest - age) % LONG];
                for (most, &x) in loudest.iter_mut().zip(row) {
                    *most = larger(*most, x);
                }
            }
            let rises = smooth
                .iter()
                .zip(&loudest)
                .map(|(x, most)| (x - most).max(0.0));
            rises.sum::<f32>() / BANDS as f32
        };
        Strength {
            flux_20: hear(0..SHORT),
            flux_100: hear(SHORT..LONG),
        }
    }
}

/// In [0, most]; 0 for what is no number.
fn within(x: f32, most: f32) -> f32 {
    if x > 0.0 { x.min(most) } else { 0.0 }
}

/// As `f32::max` for numbers, and a single instruction.
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A frame in which something begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Counts from the first mel frame.
    pub frame: u64,
    /// The largest `flux_100` within three frames of it.
    pub flux_100: f32,
}

/// Strengths in, onsets out, eight frames later. Two onsets are at least nine frames apart.
#[derive(Clone, Debug)]
pub struct PeakStream {
    /// The last [`SPAN`] strengths, oldest first.
    window: [Strength; SPAN],
    frames: u64,
}

impl Default for PeakStream {
    fn default() -> Self {
        Self::new()
    }
}

impl PeakStream {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            window: [Strength::default(); SPAN],
            frames: 0,
        }
    }

    /// How many frames have been judged: all before this one are onsets or not.
    pub fn judged(&self) -> u64 {
        self.frames.saturating_sub(REACH as u64)
    }

    /// Hears the strength of frame `t` and says whether frame `t - 8` is an onset: stronger than the eight before it, at least as
    /// strong as the eight after it, and not faint.
    pub fn push(&mut self, strength: Strength) -> Option<Peak> {
        self.window.copy_within(1.., 0);
        self.window[SPAN - 1] = strength;
        self.frames += 1;
        let frame = self.frames.checked_sub(1 + REACH as u64)?;
        let (earlier, rest) = self.window.split_at(REACH);
        let (own, later) = rest.split_first()?;
        let total = own.total();
        let onset = total > FAINT
            && earlier.iter().all(|s| s.total() < total)
            && later.iter().all(|s| s.total() <= total);
        let around = &self.window[REACH - AROUND..=REACH + AROUND];
        onset.then(|| Peak {
            frame,
            flux_100: around.iter().map(|s| s.flux_100).fold(0.0, f32::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strengths(mels: &[Row]) -> Vec<Strength> {
        let mut stream = FluxStream::new();
        mels.iter().filter_map(|mel| stream.push(mel)).collect()
    }

    #[test]
    fn what_stays_the_same_has_no_strength() {
        let all = strengths(&[[0.7; BANDS]; 200]);
        assert_eq!(all, vec![Strength::default(); 199]);
    }

    #[test]
    fn a_step_by_e_rises_by_one() {
        let mut mels = vec![[1.0; BANDS]; 200];
        mels[150..].fill([std::f32::consts::E; BANDS]);
        let all = strengths(&mels);
        assert!((all[151].flux_100 - 1.0).abs() < 1e-3);
        assert!((all[151].flux_20 - 1.0).abs() < 1e-3);
        assert_eq!(all[160], Strength::default());
    }

    #[test]
    fn a_sound_that_comes_back_within_the_second_rises_only_against_the_short_reference() {
        let mut mels = vec![[0.1; BANDS]; 300];
        mels[150..155].fill([1.0; BANDS]);
        mels[200..205].fill([1.0; BANDS]);
        let all = strengths(&mels);
        assert!(all[151].flux_100 > 1.0);
        assert_eq!(all[201].flux_100, 0.0);
        assert!(all[201].flux_20 > 1.0);
    }

    #[test]
    fn of_equals_the_first_is_the_onset() {
        let mut stream = PeakStream::new();
        let mut found = Vec::new();
        for t in 0..40 {
            let flux_100 = if (10..14).contains(&t) { 0.5 } else { 0.0 };
            found.extend(stream.push(Strength {
                flux_20: 0.0,
                flux_100,
            }));
        }
        assert_eq!(
            found,
            vec![Peak {
                frame: 10,
                flux_100: 0.5
            }]
        );
    }

    #[test]
    fn likelihood_rises_and_stays_in_range() {
        assert_eq!(likelihood(0.0), 0.0);
        assert!(likelihood(0.1) < likelihood(0.2));
        assert!(likelihood(1e9) <= 1.0);
        assert_eq!(likelihood(f32::NAN), 0.0);
    }

    fn any_f32() -> impl Strategy<Value = f32> {
        prop_oneof![
            0f32..10.0,
            Just(f32::NAN),
            Just(f32::INFINITY),
            Just(-1.0),
            Just(f32::MAX)
        ]
    }

    proptest! {
        #[test]
        fn strengths_are_finite_whatever_comes_in(x in prop::collection::vec(any_f32(), 1..200)) {
            let mels: Vec<Row> = x.iter().map(|&m| [m; BANDS]).collect();
            for s in strengths(&mels) {
                prop_assert!(s.flux_20.is_finite() && s.flux_20 >= 0.0);
                prop_assert!(s.flux_100.is_finite() && s.flux_100 >= 0.0);
            }
        }

        #[test]
        fn onsets_are_more_than_eight_frames_apart(x in prop::collection::vec(0f32..1.0, 1..300)) {
            let mut stream = PeakStream::new();
            let frames: Vec<u64> = x
                .iter()
                .filter_map(|&f| stream.push(Strength { flux_20: f, flux_100: f }))
                .map(|peak| peak.frame)
                .collect();
            prop_assert!(frames.windows(2).all(|w| w[1] - w[0] > 8));
        }
    }
}
