//! Mel frames -> onset strength, streaming.
//!
//! `L = ln(mel + 0.001)`, averaged over three frames. The rise of a band is its distance above the loudest value that it and its two
//! neighbours had in the `R` frames that ended three frames ago. The flux of a frame is the mean rise of its bands. A reference of 0.2 s
//! (`flux_20`) places onsets sharply. A reference of 1 s (`flux_100`) does not mistake a sound's own flutter for new events. The other
//! references show how long ago something sounded like this. After Bello et al. 2005 (spectral flux) and Böck and Widmer 2013 (SuperFlux:
//! maximum over neighbouring bands).

use crate::hearing::mel::{BANDS, log_mel};
use crate::hearing::simd::{fast_max, sum, vectorized};

/// Lengths of the references, in frames of 10 ms; each is made odd (`R | 1`). At the start of a recording, a
/// reference holds every frame so far.
pub const REFERENCES: [usize; 6] = [2, 20, 50, 100, 200, 400];

/// Indices of `flux_20` and `flux_100` among them.
pub(crate) const R20: usize = 1;
pub(crate) const R100: usize = 3;

/// Frames between a frame and the end of its reference.
const LAG: usize = 3;

/// The first frames get strength 0: they have no usable reference.
const WARM_UP: u64 = 5;

/// A band counts towards [`Strength::broad`] if it rises by more than this against the last second.
const CLEAR: f32 = 0.5;

type Row = [f32; BANDS];

/// Onset strength of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strength {
    /// Mean rise over the bands against each of [`REFERENCES`], in natural log units of magnitude, not negative.
    pub flux: [f32; REFERENCES.len()],
    /// Share of the bands that rise by more than 0.5 against the last second, in [0, 1].
    pub broad: f32,
}

impl Strength {
    /// Flux against the last 0.2 s.
    pub const fn flux_20(&self) -> f32 {
        self.flux[R20]
    }
    /// Flux against the last second.
    pub const fn flux_100(&self) -> f32 {
        self.flux[R100]
    }
    /// The curve whose peaks are onsets.
    pub fn total(&self) -> f32 {
        0.5 * self.flux_20() + self.flux_100()
    }
}

/// Mel frames in, strengths out, one frame later.
#[derive(Clone, Debug)]
pub struct FluxStream {
    /// `L` of the last two frames.
    before: Row,
    last: Row,
    /// `L`, averaged over three frames.
    level: Row,
    frames: u64,
    /// Smoothed rows, each band the maximum of itself and its neighbours. They wait for [`LAG`] frames before they
    /// join the references.
    waiting: [Row; LAG],
    references: RunningMax,
}

impl Default for FluxStream {
    fn default() -> Self {
        Self::new()
    }
}

impl FluxStream {
    /// A stream that has seen no frame yet.
    pub fn new() -> Self {
        Self {
            before: [0.0; BANDS],
            last: [0.0; BANDS],
            level: [0.0; BANDS],
            frames: 0,
            waiting: [[0.0; BANDS]; LAG],
            references: RunningMax::new(),
        }
    }

    /// Takes mel frame `t` (`[64]` magnitudes) and returns the strength of frame `t - 1`; `None` for the first.
    /// Finite for any input.
    pub fn push(&mut self, mel: &Row) -> Option<Strength> {
        vectorized(
            #[inline(always)]
            || self.push_log(&log_mel(mel)),
        )
    }

    /// Like [`Self::push`], for a frame whose `L` is known.
    #[inline(always)]
    pub(crate) fn push_log(&mut self, now: &Row) -> Option<Strength> {
        let t = self.frames;
        self.frames += 1;
        if t == 0 {
            (self.before, self.last) = (*now, *now);
            return None;
        }
        self.smooth(now);
        Some(self.rise(t - 1))
    }

    /// The strength of the last frame, as if that frame were repeated; `None` if there was none. Push nothing after
    /// it.
    pub fn finish(&mut self) -> Option<Strength> {
        let t = self.frames.checked_sub(1)?;
        let last = self.last;
        self.smooth(&last);
        Some(self.rise(t))
    }

    /// `L`, averaged over three frames, of the frame whose strength was returned last.
    pub const fn level(&self) -> &Row {
        &self.level
    }

    /// Rise of each band of that frame against the last 0.2 s, in natural log units of magnitude, not negative.
    #[inline(always)]
    pub(crate) fn rise_20(&self) -> Row {
        let reference = &self.references.maxima[R20];
        let mut rise = [0.0; BANDS];
        for b in 0..BANDS {
            let known = reference[b] != f32::MIN;
            rise[b] = if known {
                fast_max(self.level[b] - reference[b], 0.0)
            } else {
                0.0
            };
        }
        rise
    }

    #[inline(always)]
    fn smooth(&mut self, now: &Row) {
        for (b, now) in now.iter().enumerate() {
            self.level[b] = (self.before[b] + self.last[b] + now) * (1.0 / 3.0);
        }
        (self.before, self.last) = (self.last, *now);
    }

    #[inline(always)]
    fn rise(&mut self, t: u64) -> Strength {
        let slot = (t % LAG as u64) as usize;
        if t >= LAG as u64 {
            self.references.push(&self.waiting[slot]);
        }
        let level = &self.level;
        let loudest = &mut self.waiting[slot];
        loudest[0] = fast_max(level[0], level[1]);
        for b in 1..BANDS - 1 {
            loudest[b] = fast_max(fast_max(level[b - 1], level[b]), level[b + 1]);
        }
        loudest[BANDS - 1] = fast_max(level[BANDS - 2], level[BANDS - 1]);
        if t < WARM_UP {
            return Strength::default();
        }
        let mut strength = Strength::default();
        let mut rise = [0.0; BANDS];
        for (flux, reference) in strength.flux.iter_mut().zip(&self.references.maxima) {
            for b in 0..BANDS {
                rise[b] = fast_max(level[b] - reference[b], 0.0);
            }
            *flux = sum(&rise) / BANDS as f32;
        }
        let mut clear = [0.0; BANDS];
        for (b, clear) in clear.iter_mut().enumerate() {
            let rise = level[b] - self.references.maxima[R100][b];
            *clear = if rise > CLEAR { 1.0 } else { 0.0 };
        }
        strength.broad = sum(&clear) / BANDS as f32;
        strength
    }
}

/// Running maximum of each band over each of [`REFERENCES`]; the cost does not depend on their lengths.
///
/// The maximum of the last `2^(k + 1)` rows is the maximum of two maxima over `2^k` rows. Any other length is covered
/// by two spans that overlap.
#[derive(Clone, Debug)]
struct RunningMax {
    /// Ring `k` holds the last `2^k` maxima over `2^k` rows.
    rings: Vec<Vec<Row>>,
    rows: usize,
    /// The maximum of each reference, ending with the row pushed last.
    maxima: [Row; REFERENCES.len()],
}

impl RunningMax {
    /// Two spans of 256 rows cover 401.
    const RINGS: usize = 9;

    fn new() -> Self {
        Self {
            rings: (0..Self::RINGS)
                .map(|k| vec![[f32::MIN; BANDS]; 1 << k])
                .collect(),
            rows: 0,
            maxima: [[f32::MIN; BANDS]; REFERENCES.len()],
        }
    }

    #[inline(always)]
    fn push(&mut self, row: &Row) {
        let n = self.rows;
        self.rows = n.wrapping_add(1);
        let mut most = *row;
        for (k, ring) in self.rings.iter_mut().enumerate() {
            let length = 1 << k;
            let slot = n & (length - 1);
            for (of, odd) in self.maxima.iter_mut().zip(REFERENCES.map(|r| r | 1)) {
                if odd > length && odd <= 2 * length {
                    let other = &ring[n.wrapping_sub(odd - length) & (length - 1)];
                    for b in 0..BANDS {
                        of[b] = fast_max(most[b], other[b]);
                    }
                }
            }
            for (most, old) in most.iter_mut().zip(&mut ring[slot]) {
                let last = std::mem::replace(old, *most);
                *most = fast_max(*most, last);
            }
        }
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
    fn a_reference_holds_the_loudest_of_its_last_rows() {
        let mut loudest = RunningMax::new();
        let value = |n: i64| ((n * 7919) % 1009) as f32;
        for n in 0..1500i64 {
            loudest.push(&[value(n); BANDS]);
            for (r, of) in REFERENCES.iter().zip(&loudest.maxima) {
                let rows = (*r | 1) as i64;
                let most = ((n - rows + 1).max(0)..=n).map(value).fold(0.0, f32::max);
                assert_eq!(of[0], most, "row {n}, reference of {r}");
            }
        }
    }

    #[test]
    fn a_constant_sound_has_no_strength() {
        let all = strengths(&[[0.7; BANDS]; 200]);
        assert_eq!(all, vec![Strength::default(); 199]);
    }

    #[test]
    fn a_step_by_e_rises_by_one() {
        let mut mels = vec![[1.0; BANDS]; 200];
        mels[150..].fill([std::f32::consts::E; BANDS]);
        let all = strengths(&mels);
        assert!((all[151].flux_100() - 1.0).abs() < 1e-3);
        assert!((all[151].flux_20() - 1.0).abs() < 1e-3);
        assert_eq!(all[160], Strength::default());
    }

    #[test]
    fn a_sound_that_returns_within_a_second_rises_only_against_the_short_reference() {
        let mut mels = vec![[0.1; BANDS]; 300];
        mels[150..155].fill([1.0; BANDS]);
        mels[200..205].fill([1.0; BANDS]);
        let all = strengths(&mels);
        assert!(all[151].flux_100() > 1.0);
        assert_eq!(all[201].flux_100(), 0.0);
        assert!(all[201].flux_20() > 1.0);
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
                prop_assert!(s.flux.iter().all(|f| f.is_finite() && *f >= 0.0));
                prop_assert!((0.0..=1.0).contains(&s.broad));
            }
        }

    }
}
