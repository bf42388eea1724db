//! 16 kHz samples -> stretches in which the sound can't be trusted, streaming, a verdict for every hop.
//!
//! Judged by the last seconds, never by what follows, so a stretch is found a second or two after it begins and left as late:
//!
//! - silence: nothing above -85 dBFS: no microphone, a muted track, what a codec makes of it.
//! - clipping: one sample in twenty at full scale, or on flat tops.
//! - handling: the level leaps up and down, many times a second, far more than the sounds of any work do.
//! - wind: a loud rumble below 50 Hz, steeper than a room's, that doesn't pause.
//! - roar: loud and unchanging; a sound that begins in it is not heard.
//!
//! Levels and limits come from KitchenMix recordings with and without such stretches, and were tried on noises of other colours, levels and rhythms.

use std::collections::VecDeque;

use crate::cue::HOP;
use crate::hearing::mel::RATE;
use crate::hearing::simd::{sum, wide};
use crate::hearing::spectrum::Spectrum;

/// Samples in a hop: 80 ms.
const SAMPLES: usize = (HOP.get() / 1_000_000) as usize * (RATE as usize / 1000);
/// Samples in a block: 10 ms.
const BLOCK: usize = RATE as usize / 100;
/// Hops that wind and roar are judged by: three seconds; and clipping and handling: two.
const LONG: usize = 37;
const SHORT: usize = 25;
/// Fewer than this say nothing yet.
const LEAST: usize = 12;
/// First and last FFT bin (12.5 Hz each) of the bands: 12 to 50, 50 to 120, 120 to 300, 300 to 1000, 1000 to 3000 Hz.
const BANDS: [(usize, usize); 5] = [(1, 4), (4, 10), (10, 24), (24, 80), (80, 240)];
/// As far as they reach.
const BINS: usize = 240;
/// Mean square of silence: -85 dBFS.
const SILENCE: f64 = 3.2e-9;

/// Why a stretch can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// Nothing to hear.
    Silence,
    /// Too loud for the microphone.
    Clipping,
    /// The recorder is being touched or carried.
    Handling,
    /// Wind in the microphone.
    Wind,
    /// Something loud and steady covers all else.
    Roar,
}

/// What is known of one hop.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    /// Level of each band, dBFS.
    bands: [f32; BANDS.len()],
    /// Level of the whole, dBFS.
    level: f32,
    /// By how much the level moved from block to block, summed, in natural log units of amplitude.
    moved: f32,
    /// Share of samples at full scale or on flat tops.
    clipped: f32,
}

/// Samples in, verdicts out, one for every whole hop.
#[derive(Debug)]
pub struct DeadStream {
    spectrum: Spectrum,
    window: Vec<f32>,
    /// The sample before the hop, and those of the hop.
    hop: Vec<f32>,
    /// Log amplitude of the last two blocks, and their last mean of three.
    blocks: Option<([f32; 2], f32)>,
    facts: VecDeque<Facts>,
    /// The levels of each band in them, and those of the whole.
    bands: [Sorted; BANDS.len()],
    levels: Sorted,
    /// The level that the recording falls back to.
    calm: Option<f32>,
    clipping: bool,
    handling: bool,
    wind: bool,
    roar: bool,
    verdict: Option<Trouble>,
}

impl Default for DeadStream {
    fn default() -> Self {
        Self::new()
    }
}

impl DeadStream {
    /// Nothing heard yet.
    pub fn new() -> Self {
        let window = (0..SAMPLES).map(|n| {
            let turn = std::f64::consts::TAU * (n as f64 + 0.5) / SAMPLES as f64;
            (0.5 - 0.5 * turn.cos()) as f32
        });
        let mut hop = Vec::with_capacity(1 + SAMPLES);
        hop.push(0.0);
        Self {
            spectrum: Spectrum::new(SAMPLES, BINS),
            window: window.collect(),
            hop,
            blocks: None,
            facts: VecDeque::with_capacity(LONG),
            bands: Default::default(),
            levels: Sorted::default(),
            calm: None,
            clipping: false,
            handling: false,
            wind: false,
            roar: false,
            verdict: None,
        }
    }

    /// Hears samples in [-1, 1] and says the verdict on every hop that they complete, and the sum of the squares of its samples. What is
    /// not finite counts as silence. Chunks of any size give the same verdicts.
    pub fn push(&mut self, mut samples: &[f32], mut each: impl FnMut(Option<Trouble>, f64)) {
        while !samples.is_empty() {
            let n = samples.len().min(1 + SAMPLES - self.hop.len());
            let (now, rest) = samples.split_at(n);
            let sound = |x: &f32| {
                if x.is_finite() {
                    x.clamp(-8.0, 8.0)
                } else {
                    0.0
                }
            };
            wide(
                #[inline(always)]
                || self.hop.extend(now.iter().map(sound)),
            );
            samples = rest;
            if self.hop.len() == 1 + SAMPLES {
                let (facts, energy) = self.measure();
                self.hop.drain(..SAMPLES);
                each(self.judge(facts), energy);
            }
        }
    }

    /// The verdict on the last hop; for one that is begun and never completed.
    pub fn verdict(&self) -> Option<Trouble> {
        self.verdict
    }

    /// The sum of the squares of the samples of the hop that is begun.
    pub fn energy(&self) -> f64 {
        let own = self.hop.iter().skip(1);
        own.map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    /// What is known of the hop, and the sum of the squares of its samples.
    fn measure(&mut self) -> (Facts, f64) {
        let mut facts = Facts::default();
        let (mut energy, mut clipped) = (0.0, 0.0);
        let (before, own) = (&self.hop[..SAMPLES], &self.hop[1..]);
        let (before, own) = (before.as_chunks::<BLOCK>().0, own.as_chunks::<BLOCK>().0);
        for (before, own) in before.iter().zip(own) {
            let block = wide(
                #[inline(always)]
                || block(before, own),
            );
            energy += f64::from(block.energy);
            clipped += block.clipped;
            let log = 0.5 * (block.rise / BLOCK as f32 + 1e-8).ln();
            let (recent, smooth) = self.blocks.unwrap_or(([log; 2], log));
            let mean = (recent[0] + recent[1] + log) / 3.0;
            facts.moved += (mean - smooth).abs();
            self.blocks = Some(([recent[1], log], mean));
        }
        facts.level = decibel(energy / SAMPLES as f64);
        facts.clipped = clipped / SAMPLES as f32;
        // The sum of the squared window times the number of samples; one side of the spectrum.
        let scale = f64::from(SAMPLES as u32) * f64::from(SAMPLES as u32) * 3.0 / 8.0;
        let power = self.spectrum.power(&self.hop[1..], &self.window);
        for (level, (first, last)) in facts.bands.iter_mut().zip(BANDS) {
            let power: f32 = power.get(first..last).unwrap_or_default().iter().sum();
            *level = decibel(f64::from(power) / scale);
        }
        (facts, energy)
    }

    fn judge(&mut self, facts: Facts) -> Option<Trouble> {
        if self.facts.len() == LONG
            && let Some(old) = self.facts.pop_front()
        {
            for (sorted, level) in self.bands.iter_mut().zip(old.bands) {
                sorted.remove(level);
            }
            self.levels.remove(old.level);
        }
        for (sorted, level) in self.bands.iter_mut().zip(facts.bands) {
            sorted.insert(level);
        }
        self.levels.insert(facts.level);
        self.facts.push_back(facts);
        let silent = facts.level <= decibel(SILENCE);
        if self.facts.len() >= LEAST {
            self.touched();
            self.blown();
            self.covered();
        }
        self.verdict = if silent {
            Some(Trouble::Silence)
        } else if self.clipping {
            Some(Trouble::Clipping)
        } else if self.handling {
            Some(Trouble::Handling)
        } else if self.wind {
            Some(Trouble::Wind)
        } else {
            self.roar.then_some(Trouble::Roar)
        };
        self.verdict
    }

    /// Clipping and handling.
    fn touched(&mut self) {
        let recent = self.facts.iter().rev().take(SHORT);
        let n = recent.len() as f32;
        let clipped = recent.clone().map(|f| f.clipped).sum::<f32>() / n;
        self.clipping = clipped > if self.clipping { 0.02 } else { 0.05 };
        let seconds = n * HOP.seconds() as f32;
        let moved = recent.map(|f| f.moved).sum::<f32>() / seconds;
        self.handling = moved > if self.handling { 16.0 } else { 26.0 };
    }

    /// Wind.
    fn blown(&mut self) {
        let [rumble, next, above @ ..] = self.bands.each_ref().map(|band| band.quantile(0.5));
        let pause = rumble - self.bands[0].quantile(0.1);
        let steep = rumble - next;
        let louder = above.into_iter().fold(f32::MIN, f32::max);
        self.wind = if self.wind {
            rumble > -43.0 && pause < 13.0 && steep > -1.0
        } else {
            rumble > -36.0 && pause < 8.0 && steep > 2.0 && rumble > louder + 3.0
        };
    }

    /// Roar.
    fn covered(&mut self) {
        let (low, high) = (self.levels.quantile(0.1), self.levels.quantile(0.9));
        // It rises by 3 dB a minute.
        let calm = self.calm.map_or(low, |calm| low.min(calm + 0.004));
        self.calm = Some(calm);
        let (steady, rise, loud) = if self.roar {
            (3.0, 21.0, -17.0)
        } else {
            (1.5, 25.0, -14.0)
        };
        self.roar =
            self.facts.len() == LONG && high - low < steady && low > (calm + rise).min(loud);
    }
}

/// Numbers in their order.
#[derive(Clone, Debug, Default)]
struct Sorted(Vec<f32>);

impl Sorted {
    fn place(&self, x: f32) -> usize {
        self.0.partition_point(|y| y.total_cmp(&x).is_lt())
    }

    fn insert(&mut self, x: f32) {
        self.0.insert(self.place(x), x);
    }

    /// One that was inserted.
    fn remove(&mut self, x: f32) {
        let at = self.place(x);
        if at < self.0.len() {
            self.0.remove(at);
        }
    }

    /// The number of which this share lie below; 0 where there are none.
    fn quantile(&self, share: f32) -> f32 {
        let at = (share * self.0.len().saturating_sub(1) as f32).round() as usize;
        self.0.get(at).copied().unwrap_or(0.0)
    }
}

/// What is summed over the samples of a block.
struct Block {
    /// Squares.
    energy: f32,
    /// Squares of the steps from sample to sample.
    rise: f32,
    /// How many are at full scale or on flat tops.
    clipped: f32,
}

#[inline(always)]
fn block(before: &[f32; BLOCK], own: &[f32; BLOCK]) -> Block {
    let (mut squares, mut rises, mut clipped) = ([0.0; BLOCK], [0.0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        let (x, step) = (own[i], own[i] - before[i]);
        squares[i] = x * x;
        rises[i] = step * step;
        let flat = (x.abs() > 0.2) & (step.abs() < 1e-5);
        clipped[i] = if flat | (x.abs() >= 0.98) { 1.0 } else { 0.0 };
    }
    Block {
        energy: sum(&squares),
        rise: sum(&rises),
        clipped: sum(&clipped),
    }
}

/// Of a mean square; -100 at the least.
fn decibel(power: f64) -> f32 {
    (10.0 * (power + 1e-10).log10()) as f32
}

#[cfg(test)]
mod tests;
