//! 16 kHz samples -> stretches in which the sound can't be trusted, streaming, one verdict per hop.
//!
//! A verdict uses only the last seconds, nothing later. So an impairment is found a second or two after it begins, and its end as late:
//!
//! - silence: nothing above -85 dBFS (no microphone, a muted track, or what a codec leaves of it).
//! - clipping: one sample in twenty is at full scale or on a flat top.
//! - handling: the level jumps up and down many times a second, far more often than any activity makes it; or fewer short sounds begin and
//!   end faster than a room lets them (`handling`).
//! - wind: a loud, continuous rumble below 50 Hz that falls off more steeply than a room's.
//! - masking: loud, steady noise; a sound that begins in it can't be heard.
//!
//! The measures of quality use the same numbers.
//!
//! The other levels and limits come from KitchenMix recordings with and without such stretches, and were tested on noises of other colours, levels and
//! rhythms.

use std::collections::VecDeque;

use crate::cue::{HOP, SoundQuality};
use crate::hearing::handling::{self, HandlingMeter};
use crate::hearing::mel::{RATE, clamp_sample};
use crate::hearing::simd::{sum, vectorized};
use crate::hearing::sound_quality::{self, HopMeasurements, QualityMeter};
use crate::hearing::spectrum::PowerSpectrum;

/// Samples in a hop: 80 ms.
const SAMPLES: usize = (HOP.get() / 1_000_000) as usize * (RATE as usize / 1000);
/// Samples in a block: 10 ms.
const BLOCK: usize = RATE as usize / 100;
/// Hops in the memory for wind and masking (3 s), and for clipping and handling (2 s).
const LONG: usize = 37;
const SHORT: usize = 25;
/// No verdict except silence before this many hops.
const LEAST: usize = 12;
/// First and last FFT bin (12.5 Hz each) of the bands: 12 to 50, 50 to 120, 120 to 300, 300 to 1000, 1000 to 3000 Hz.
const BANDS: [(usize, usize); 5] = [(1, 4), (4, 10), (10, 24), (24, 80), (80, 240)];
/// All bins, which the bandwidth needs.
const BINS: usize = sound_quality::BAND_BINS * sound_quality::BANDS;
/// Mean square of silence: -85 dBFS.
const SILENCE: f64 = 3.2e-9;

/// Why the sound can't be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Impairment {
    /// There is nothing to hear.
    Silence,
    /// The sound is too loud for the microphone.
    Clipping,
    /// Somebody touches or carries the recorder.
    Handling,
    /// Wind blows into the microphone.
    Wind,
    /// Loud, steady noise masks everything else.
    Masking,
}

/// Measurements of one hop.
#[derive(Clone, Copy, Debug, Default)]
struct Measurements {
    /// Level of each band, dBFS.
    bands: [f32; BANDS.len()],
    /// Level over all bands, dBFS.
    level: f32,
    /// Sum of the level changes from block to block, in natural log units of amplitude.
    moved: f32,
    /// Logit of handling.
    handled: f32,
    /// Share of samples at full scale or on flat tops.
    clipped: f32,
}

/// Samples in, one verdict out per complete hop.
#[derive(Debug)]
pub struct ImpairmentDetector {
    spectrum: PowerSpectrum,
    window: Vec<f32>,
    /// The last sample before the hop, then those of the hop.
    hop: Vec<f32>,
    /// Log amplitude of the last two blocks, and the last mean of three.
    blocks: Option<([f32; 2], f32)>,
    knocks: HandlingMeter,
    hops: VecDeque<Measurements>,
    /// Levels in [`Self::hops`], sorted: by band, and over all bands.
    bands: [SortedLevels; BANDS.len()],
    levels: SortedLevels,
    /// The quiet level that the recording returns to, dBFS.
    calm: Option<f32>,
    clipping: bool,
    /// Handling, by how often the level jumps, and by how fast.
    jumps: bool,
    handling: bool,
    wind: bool,
    masking: bool,
    verdict: Option<Impairment>,
    facts: HopMeasurements,
    /// Level of each band of 500 Hz in the last hop, dBFS.
    tones: [f32; sound_quality::BANDS],
    meter: QualityMeter,
    quality: Option<SoundQuality>,
}

impl Default for ImpairmentDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl ImpairmentDetector {
    /// A detector that has seen no sample yet.
    pub fn new() -> Self {
        let window = (0..SAMPLES).map(|n| {
            let turn = std::f64::consts::TAU * (n as f64 + 0.5) / SAMPLES as f64;
            (0.5 - 0.5 * turn.cos()) as f32
        });
        let mut hop = Vec::with_capacity(1 + SAMPLES);
        hop.push(0.0);
        Self {
            spectrum: PowerSpectrum::new(SAMPLES, BINS),
            window: window.collect(),
            hop,
            blocks: None,
            knocks: HandlingMeter::default(),
            hops: VecDeque::with_capacity(LONG),
            bands: Default::default(),
            levels: SortedLevels::default(),
            calm: None,
            clipping: false,
            jumps: false,
            handling: false,
            wind: false,
            masking: false,
            verdict: None,
            facts: HopMeasurements::default(),
            tones: [0.0; sound_quality::BANDS],
            meter: QualityMeter::default(),
            quality: None,
        }
    }

    /// Takes samples in [-1, 1]. For every hop that they complete, calls `each` with the verdict, the sum of the squares of its samples and
    /// its quality. Non-finite samples count as silence. Chunks of any size give the same verdicts.
    pub fn push(
        &mut self,
        mut samples: &[f32],
        mut each: impl FnMut(Option<Impairment>, f64, SoundQuality),
    ) {
        while !samples.is_empty() {
            let n = samples.len().min(1 + SAMPLES - self.hop.len());
            let (now, rest) = samples.split_at(n);
            vectorized(
                #[inline(always)]
                || self.hop.extend(now.iter().map(|&x| clamp_sample(x, 8.0))),
            );
            samples = rest;
            if self.hop.len() == 1 + SAMPLES {
                let (measured, energy) = self.measure();
                let verdict = self.judge(measured);
                let silent = verdict == Some(Impairment::Silence);
                let own = &self.hop[1..];
                let quality = self.meter.hop(own, &self.facts, &self.tones, silent);
                self.quality = Some(quality);
                self.hop.drain(..SAMPLES);
                each(verdict, energy, quality);
            }
        }
    }

    /// The verdict on the last complete hop; it also stands for an incomplete one at the end.
    pub fn verdict(&self) -> Option<Impairment> {
        self.verdict
    }

    /// Quality of the last complete hop; `None` before the first.
    pub fn quality(&self) -> Option<SoundQuality> {
        self.quality
    }

    /// Sum of the squares of the samples of the incomplete hop.
    pub fn energy(&self) -> f64 {
        let own = self.hop.iter().skip(1);
        own.map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    /// Measurements of the hop, and the sum of the squares of its samples.
    fn measure(&mut self) -> (Measurements, f64) {
        let mut measured = Measurements::default();
        let (mut energy, mut clipped) = (0.0, 0.0);
        let (before, own) = (&self.hop[..SAMPLES], &self.hop[1..]);
        let (before, own) = (before.as_chunks::<BLOCK>().0, own.as_chunks::<BLOCK>().0);
        for (before, own) in before.iter().zip(own) {
            let block = vectorized(
                #[inline(always)]
                || block(before, own),
            );
            energy += f64::from(block.energy);
            clipped += block.clipped;
            let log = 0.5 * (block.rise / BLOCK as f32 + 1e-8).ln();
            let (recent, smooth) = self.blocks.unwrap_or(([log; 2], log));
            let mean = (recent[0] + recent[1] + log) / 3.0;
            measured.moved += (mean - smooth).abs();
            self.blocks = Some(([recent[1], log], mean));
        }
        measured.handled = self.knocks.hop(&self.hop);
        measured.level = decibel(energy / SAMPLES as f64);
        measured.clipped = clipped / SAMPLES as f32;
        // Sum of the squared window times the number of samples; one-sided spectrum.
        let scale = f64::from(SAMPLES as u32) * f64::from(SAMPLES as u32) * 3.0 / 8.0;
        let power = self.spectrum.power(&self.hop[1..], &self.window);
        for (level, (first, last)) in measured.bands.iter_mut().zip(BANDS) {
            let power: f32 = power.get(first..last).unwrap_or_default().iter().sum();
            *level = decibel(f64::from(power) / scale);
        }
        for (level, bins) in self
            .tones
            .iter_mut()
            .zip(power.chunks(sound_quality::BAND_BINS))
        {
            *level = decibel(f64::from(bins.iter().sum::<f32>()) / scale);
        }
        (measured, energy)
    }

    fn judge(&mut self, measured: Measurements) -> Option<Impairment> {
        if self.hops.len() == LONG
            && let Some(old) = self.hops.pop_front()
        {
            for (sorted, level) in self.bands.iter_mut().zip(old.bands) {
                sorted.remove(level);
            }
            self.levels.remove(old.level);
        }
        for (sorted, level) in self.bands.iter_mut().zip(measured.bands) {
            sorted.insert(level);
        }
        self.levels.insert(measured.level);
        self.hops.push_back(measured);
        self.facts.level = measured.level;
        let silent = measured.level <= decibel(SILENCE);
        if self.hops.len() >= LEAST {
            self.update_clipping_and_handling();
            self.update_wind();
            self.update_masking();
        }
        self.verdict = if silent {
            Some(Impairment::Silence)
        } else if self.clipping {
            Some(Impairment::Clipping)
        } else if self.jumps || self.handling {
            Some(Impairment::Handling)
        } else if self.wind {
            Some(Impairment::Wind)
        } else {
            self.masking.then_some(Impairment::Masking)
        };
        self.verdict
    }

    /// Updates clipping and handling.
    fn update_clipping_and_handling(&mut self) {
        let recent = self.hops.iter().rev().take(SHORT);
        let n = recent.len() as f32;
        let clipped = recent.clone().map(|f| f.clipped).sum::<f32>() / n;
        self.facts.clipped = clipped;
        self.clipping = clipped > if self.clipping { 0.02 } else { 0.05 };
        let seconds = n * HOP.seconds() as f32;
        let moved = recent.map(|f| f.moved).sum::<f32>() / seconds;
        self.facts.moved = moved;
        self.jumps = moved > if self.jumps { 16.0 } else { 26.0 };
        let handled = self.hops.back().map_or(f32::MIN, |f| f.handled);
        self.facts.handled = handled;
        self.handling = handled
            > if self.handling {
                handling::ENDS
            } else {
                handling::BEGINS
            };
    }

    /// Updates wind.
    fn update_wind(&mut self) {
        let [rumble, next, above @ ..] = self.bands.each_ref().map(|band| band.quantile(0.5));
        let pause = rumble - self.bands[0].quantile(0.1);
        let steep = rumble - next;
        let louder = above.into_iter().fold(f32::MIN, f32::max);
        self.facts.rumble = rumble;
        self.facts.pause = pause;
        self.facts.steep = steep;
        self.facts.above = rumble - louder;
        self.wind = if self.wind {
            rumble > -43.0 && pause < 13.0 && steep > -1.0
        } else {
            rumble > -36.0 && pause < 8.0 && steep > 2.0 && rumble > louder + 3.0
        };
    }

    /// Updates masking.
    fn update_masking(&mut self) {
        let (low, high) = (self.levels.quantile(0.1), self.levels.quantile(0.9));
        // The quiet level may rise by 3 dB a minute.
        let calm = self.calm.map_or(low, |calm| low.min(calm + 0.004));
        self.calm = Some(calm);
        if self.hops.len() == LONG {
            self.facts.spread = high - low;
        }
        self.facts.low = low;
        self.facts.calm = calm;
        let (steady, rise, loud) = if self.masking {
            (3.0, 21.0, -17.0)
        } else {
            (1.5, 25.0, -14.0)
        };
        self.masking =
            self.hops.len() == LONG && high - low < steady && low > (calm + rise).min(loud);
    }
}

/// Numbers in sorted order.
#[derive(Clone, Debug, Default)]
struct SortedLevels(Vec<f32>);

impl SortedLevels {
    fn place(&self, x: f32) -> usize {
        self.0.partition_point(|y| y.total_cmp(&x).is_lt())
    }

    fn insert(&mut self, x: f32) {
        self.0.insert(self.place(x), x);
    }

    /// Removes a number that was inserted before.
    fn remove(&mut self, x: f32) {
        let at = self.place(x);
        if at < self.0.len() {
            self.0.remove(at);
        }
    }

    /// The quantile (nearest rank) of the numbers; 0 if there are none.
    fn quantile(&self, share: f32) -> f32 {
        let at = (share * self.0.len().saturating_sub(1) as f32).round() as usize;
        self.0.get(at).copied().unwrap_or(0.0)
    }
}

/// Sums over the samples of a block.
struct Block {
    /// Of the squares.
    energy: f32,
    /// Of the squared differences between neighbouring samples.
    rise: f32,
    /// Number of samples at full scale or on flat tops.
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

/// A mean square in dB, at least -100.
fn decibel(power: f64) -> f32 {
    (10.0 * (power + 1e-10).log10()) as f32
}

#[cfg(test)]
mod tests;
