//! Quality of the sound of a hop: nine measures and a score, each in [0, 1], 1 is best.
//!
//! A measure says that one known fault is absent. The first five faults hide events; [`super::trust`] makes its yes-or-no verdict from the
//! same numbers. The other four describe the sound. Levels and limits come from recordings of kitchens with and without the fault; the guide
//! ("Quality") gives definitions and sources.

use std::collections::VecDeque;

use crate::cue::SoundQuality;
use crate::hearing::handling;
use crate::hearing::mel::RATE;
use crate::hearing::simd::vectorized;

/// Samples per block: 10 ms.
const BLOCK: usize = RATE as usize / 100;
/// Hops in the memory of drop-outs (2 s) and hum (0.96 s).
const SHORT: usize = 25;
const HUM_HOPS: usize = 12;
/// Samples that are averaged for hum, which leaves 1 kHz; and their number in a hop, and in memory.
const DECIMATE: usize = 16;
const SLOW_HOP: usize = 80;
const SLOW: usize = SLOW_HOP * HUM_HOPS;
const SLOW_RATE: f64 = 1000.0;
/// Mains frequencies, and the number of their multiples that count.
const MAINS: [f64; 2] = [50.0, 60.0];
const MULTIPLES: usize = 4;
/// Where the power of a line is measured: at the line itself, and around it, Hz.
const OFFSETS: [f64; 5] = [0.0, -9.0, -6.0, 6.0, 9.0];
/// All frequencies at which power is measured.
const TONES: usize = MAINS.len() * MULTIPLES * OFFSETS.len();
/// A line counts if it is this much above its neighbours, dB.
const LINE: f32 = 12.0;
/// How fast the loudest level is forgotten, dB per hop (half a decibel per second); bands are forgotten six times as fast.
const FORGET: f32 = 0.04;
const FORGET_BAND: f32 = 0.24;
/// Bands of the measure of bandwidth: 500 Hz each.
pub(super) const BAND_BINS: usize = 40;
pub(super) const BANDS: usize = 16;
/// A band is empty if nothing in it has been louder than this, dBFS, or if it is this far below the loudest band, dB.
const EMPTY: f32 = -92.0;
const FAR_BELOW: f32 = 70.0;
/// Sufficient bandwidth, in bands: 7 kHz.
const ENOUGH: f32 = 14.0;

/// Measurements of a hop and of the seconds before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct HopMeasurements {
    /// Level of the hop, dBFS.
    pub(super) level: f32,
    /// Share of clipped samples in the last two seconds.
    pub(super) clipped: f32,
    /// Changes of level per second in the last two seconds, in natural log units of amplitude.
    pub(super) moved: f32,
    /// Logit of handling.
    pub(super) handled: f32,
    /// Below 50 Hz: the median level, and how far below it the quietest tenth, the band above and the loudest other band are.
    pub(super) rumble: f32,
    pub(super) pause: f32,
    pub(super) steep: f32,
    pub(super) above: f32,
    /// The last three seconds: range from the quietest tenth to the loudest, dB; the quietest; the level that the recording returns to.
    pub(super) spread: f32,
    pub(super) low: f32,
    pub(super) calm: f32,
}

/// Before anything is known, nothing is wrong.
impl Default for HopMeasurements {
    fn default() -> Self {
        Self {
            level: -100.0,
            clipped: 0.0,
            moved: 0.0,
            handled: f32::MIN,
            rumble: -100.0,
            pause: 0.0,
            steep: 0.0,
            above: 0.0,
            spread: 100.0,
            low: -100.0,
            calm: -100.0,
        }
    }
}

/// Keeps the last seconds, as far as the measures need them.
#[derive(Debug, Default)]
pub(super) struct QualityMeter {
    /// Share of blocks of zeros, and whether there was sound, by hop.
    zeros: VecDeque<(f32, bool)>,
    slow: VecDeque<f32>,
    levels: VecDeque<f32>,
    /// Hops until hum is measured again, and its last value.
    next_hum: usize,
    last_hum: Option<f32>,
    loudest: Option<f32>,
    bands: [f32; BANDS],
}

impl QualityMeter {
    /// The next hop. `silent`: it has no sound. `bands`: level of each band of 500 Hz, dBFS.
    pub(super) fn hop(
        &mut self,
        samples: &[f32],
        facts: &HopMeasurements,
        bands: &[f32; BANDS],
        silent: bool,
    ) -> SoundQuality {
        let (wind, roar) = (wind(facts), roar(facts));
        let dropouts = self.dropouts(samples, silent);
        let hum = self.hum(samples, facts.level);
        let floor = facts.calm.min(facts.low);
        let loudest = self
            .loudest
            .map_or(facts.level, |before| facts.level.max(before - FORGET));
        self.loudest = Some(loudest);
        let bandwidth = self.bandwidth(bands);
        if silent {
            return SoundQuality::SILENT;
        }
        SoundQuality::from_shares([
            1.0 - ramp(facts.clipped, 0.004, 0.05),
            1.0 - wind,
            1.0 - ramp(facts.moved, 22.0, 30.0).max(handling::share(facts.handled)),
            1.0 - roar,
            dropouts,
            hum,
            bandwidth,
            1.0 - ramp(floor, -45.0, -15.0),
            ramp(loudest - floor, 0.0, 30.0),
        ])
    }

    /// Blocks of zeros between sound. A hop of zeros only is silence, not a drop-out.
    fn dropouts(&mut self, samples: &[f32], silent: bool) -> f32 {
        let blocks = samples.chunks_exact(BLOCK);
        let all = blocks.len().max(1) as f32;
        let zeros = blocks
            .filter(|block| block.iter().all(|x| x.abs() < 1e-7))
            .count() as f32;
        keep(&mut self.zeros, (zeros / all, !silent), SHORT);
        // Zeros count once sound has followed: the last ones may be the beginning of silence.
        let last = self.zeros.iter().rposition(|(_, sound)| *sound);
        let first = self.zeros.iter().position(|(_, sound)| *sound);
        let (Some(first), Some(last)) = (first, last) else {
            return 1.0;
        };
        let share: f32 = self.zeros.range(first..=last).map(|(zeros, _)| zeros).sum();
        1.0 - ramp(share / self.zeros.len() as f32, 0.0, 0.25)
    }

    /// How far the lines of the mains and their multiples are below the whole sound.
    fn hum(&mut self, samples: &[f32], level: f32) -> f32 {
        for some in samples.chunks_exact(DECIMATE) {
            keep(
                &mut self.slow,
                some.iter().sum::<f32>() / DECIMATE as f32,
                SLOW,
            );
        }
        keep(&mut self.levels, 10.0_f32.powf(level / 10.0), HUM_HOPS);
        // Lines change slowly, and this is the most expensive measure.
        self.next_hum = self.next_hum.checked_sub(1).unwrap_or(HUM_HOPS - 1);
        if self.slow.len() < SLOW || self.next_hum > 0 {
            return self.last_hum.unwrap_or(1.0);
        }
        let slow: Vec<f32> = (0..)
            .zip(&self.slow)
            .map(|(n, x)| {
                let turn = std::f64::consts::TAU * (f64::from(n) + 0.5) / SLOW as f64;
                x * (0.5 - 0.5 * turn.cos()) as f32
            })
            .collect();
        let all = self.levels.iter().sum::<f32>() / self.levels.len() as f32;
        let powers = powers(&slow, &mains_tones());
        let (lines, _) = powers.as_chunks::<{ OFFSETS.len() }>();
        let by_mains = lines.chunks(MULTIPLES);
        let strongest = by_mains.map(|lines| lines.iter().map(line).sum::<f32>());
        let strongest = strongest.fold(0.0, f32::max);
        let share = strongest / all.max(1e-12);
        // Starts 26 dB below the rest.
        let hum = 1.0 - ramp(10.0 * (share + 1e-9).log10(), -26.0, 0.0);
        self.last_hum = Some(hum);
        hum
    }

    /// The highest band with recent sound.
    fn bandwidth(&mut self, bands: &[f32; BANDS]) -> f32 {
        for (own, &now) in self.bands.iter_mut().zip(bands) {
            *own = if *own == 0.0 {
                now
            } else {
                now.max(*own - FORGET_BAND)
            };
        }
        let loudest = self.bands.iter().copied().fold(f32::MIN, f32::max);
        let least = EMPTY.max(loudest - FAR_BELOW);
        let full = self.bands.iter().rposition(|&level| level > least);
        ramp(full.map_or(0.0, |band| band as f32 + 1.0), 0.0, ENOUGH)
    }
}

/// A rumble below 50 Hz that is loud, never pauses, and falls off steeply: only wind does all three.
fn wind(facts: &HopMeasurements) -> f32 {
    ramp(facts.rumble, -48.0, -36.0)
        .min(1.0 - ramp(facts.pause, 8.0, 13.0))
        .min(ramp(facts.steep, -1.0, 2.0))
        .min(ramp(facts.above, 0.0, 3.0))
}

/// Loud and steady: it masks sounds that begin in it.
fn roar(facts: &HopMeasurements) -> f32 {
    let loud = (facts.calm + 25.0).min(-14.0);
    (1.0 - ramp(facts.spread, 1.5, 3.5)).min(ramp(facts.low, loud - 10.0, loud))
}

/// By mains frequency, multiple and offset, Hz.
fn mains_tones() -> [f64; TONES] {
    std::array::from_fn(|at| {
        let (line, offset) = (at / OFFSETS.len(), at % OFFSETS.len());
        let (mains, multiple) = (line / MULTIPLES, line % MULTIPLES);
        MAINS[mains] * (multiple + 1) as f64 + OFFSETS[offset]
    })
}

/// Power at each frequency, as a share of the square of full scale.
fn powers(slow: &[f32], hz: &[f64; TONES]) -> [f64; TONES] {
    let turns = hz.map(|hz| 2.0 * (std::f64::consts::TAU * hz / SLOW_RATE).cos());
    let n = slow.len() as f64;
    vectorized(
        #[inline(always)]
        || {
            // Goertzel's recurrence, for all frequencies side by side.
            let (mut one, mut two) = ([0.0_f64; TONES], [0.0_f64; TONES]);
            for &x in slow {
                let x = f64::from(x);
                for k in 0..TONES {
                    let next = x + turns[k] * one[k] - two[k];
                    (two[k], one[k]) = (one[k], next);
                }
            }
            let mut powers = [0.0; TONES];
            for k in 0..TONES {
                // A sine of amplitude a gives a^2 / 2 with this.
                let square = one[k] * one[k] + two[k] * two[k] - turns[k] * one[k] * two[k];
                powers[k] = 8.0 * square / (n * n);
            }
            powers
        },
    )
}

/// Power of a line if it stands out from its neighbours, else 0; from the powers at [`OFFSETS`].
fn line(powers: &[f64; OFFSETS.len()]) -> f32 {
    let [own, around @ ..] = powers;
    let mean = around.iter().sum::<f64>() / around.len() as f64;
    if 10.0 * ((own + 1e-14) / (mean + 1e-14)).log10() < f64::from(LINE) {
        return 0.0;
    }
    *own as f32
}

/// 0 up to `from`, 1 from `to` on, linear between.
fn ramp(x: f32, from: f32, to: f32) -> f32 {
    ((x - from) / (to - from)).clamp(0.0, 1.0)
}

fn keep<T>(to: &mut VecDeque<T>, item: T, most: usize) {
    if to.len() == most {
        to.pop_front();
    }
    to.push_back(item);
}
