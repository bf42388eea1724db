//! The probes `energy` and `flux`: peaks of a strength curve, nothing learned.

use std::collections::VecDeque;

use super::Row;
use crate::cue::Onset;
use crate::hearing::flux::{FluxStream, REFERENCES, Strength};
use crate::hearing::mel::frame_middle;
use crate::onset::peak_picking::{PeakPicker, likelihood};
use crate::time::Nanos;

#[derive(Debug)]
enum Source {
    Energy(EnergyStream),
    Flux(Box<FluxStream>),
}

/// A strength curve and its peaks.
#[derive(Debug)]
pub(super) struct StrengthProbe {
    source: Source,
    peaks: PeakPicker,
    frames: u64,
    last: Option<(u64, Strength)>,
    ready: VecDeque<Onset>,
}

impl StrengthProbe {
    /// The probe `energy`: rises of the overall level.
    pub(super) fn energy() -> Self {
        Self::new(Source::Energy(EnergyStream::default()))
    }

    /// The probe `flux`: spectral flux.
    pub(super) fn flux() -> Self {
        Self::new(Source::Flux(Box::default()))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            peaks: PeakPicker::new(),
            frames: 0,
            last: None,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn push_frame(&mut self, mel: &Row) {
        let strength = match &mut self.source {
            Source::Energy(energy) => energy.push(mel),
            Source::Flux(flux) => flux.push(mel),
        };
        if let Some(strength) = strength {
            self.strength(strength);
        }
    }

    pub(super) fn next_onset(&mut self) -> Option<Onset> {
        self.ready.pop_front()
    }

    pub(super) fn judged(&self) -> Nanos {
        frame_middle(self.peaks.judged())
    }

    /// The last frame whose strength is known, and its strength.
    pub(super) const fn last(&self) -> Option<(u64, Strength)> {
        self.last
    }

    fn strength(&mut self, strength: Strength) {
        self.last = Some((self.frames, strength));
        self.frames += 1;
        if let Some(peak) = self.peaks.push(strength) {
            let p = likelihood(peak.flux_100);
            self.ready
                .push_back(Onset::new(frame_middle(peak.frame), p));
        }
    }

    pub(super) fn finish(&mut self) {
        // One frame waits for its successor, and eight are compared with a peak.
        for _ in 0..9 {
            self.strength(Strength::default());
        }
    }
}

/// Turns mel frames into rises of the level: the log level, averaged over three frames, minus its mean over the 30 frames that ended three
/// frames ago. One frame late and in the shape of [`FluxStream`]'s output, as flux against one second.
#[derive(Debug, Default)]
struct EnergyStream {
    /// Log levels of the last frames, the oldest first; at most [`EnergyStream::KEPT`].
    levels: VecDeque<f32>,
    frames: u64,
}

impl EnergyStream {
    const REFERENCE: usize = 30;
    const LAG: usize = 3;
    const KEPT: usize = Self::REFERENCE + Self::LAG + 2;

    fn push(&mut self, mel: &Row) -> Option<Strength> {
        let energy: f32 = mel.iter().map(|m| m.clamp(0.0, 1e10)).map(|m| m * m).sum();
        self.levels.push_back(0.5 * (energy + 1e-4).ln());
        self.frames += 1;
        if self.levels.len() > Self::KEPT {
            self.levels.pop_front();
        }
        let n = self.levels.len();
        if n < Self::KEPT {
            return (self.frames > 1).then(Strength::default);
        }
        let smooth = self.levels.iter().skip(n - 3).sum::<f32>() / 3.0;
        let before = self.levels.iter().take(Self::REFERENCE).sum::<f32>() / Self::REFERENCE as f32;
        let mut flux = [0.0; REFERENCES.len()];
        flux[3] = (smooth - before).max(0.0);
        Some(Strength { flux, broad: 0.0 })
    }
}
