//! Measurements of one hop, until its cue is final.

use crate::cue::{COARSE, HOP, Onset, SoundQuality};
use crate::hearing::mel::{BANDS, RATE};
use crate::hearing::trust::Impairment;
use crate::time::Nanos;

/// Samples in a hop.
pub(super) const HOP_SAMPLES: u32 = (HOP.get() / 1_000_000) as u32 * (RATE / 1000);

/// Mean square below which a hop is silent: -90 dBFS.
const SILENCE: f64 = 1e-9;

/// Measurements of one hop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hop {
    /// Samples, without padding.
    pub(super) samples: u32,
    /// Sum of their squares; known once the hop is complete.
    pub(super) energy: f64,
    /// Whether a sample was not finite.
    pub(super) bad: bool,
    pub(super) impairment: Option<Impairment>,
    pub(super) quality: Option<SoundQuality>,
    pub(super) eventness: f32,
    /// The onset in it, since the start.
    pub(super) onset: Option<Onset>,
    /// Sum of the mel magnitudes of its frames, by coarse band.
    mel: [f32; COARSE],
    /// Number of those frames.
    frames: u16,
}

impl Hop {
    pub(super) fn silent(&self) -> bool {
        self.energy <= SILENCE * f64::from(self.samples)
    }
    pub(super) fn inaudible(&self) -> bool {
        self.bad || self.silent() || self.impairment == Some(Impairment::Silence)
    }

    pub(super) fn add(&mut self, mel: &[f32; BANDS]) {
        let (groups, _) = mel.as_chunks::<{ BANDS / COARSE }>();
        for (sum, bands) in self.mel.iter_mut().zip(groups) {
            *sum += bands.iter().sum::<f32>() / bands.len() as f32;
        }
        self.frames = self.frames.saturating_add(1);
    }

    /// Same as [`crate::cue::Cue::bands`].
    pub(super) fn bands(&self) -> [u8; COARSE] {
        let frames = f32::from(self.frames.max(1));
        self.mel.map(|sum| {
            let decibel = 20.0 * (sum / frames).max(1e-3).log10();
            // The cast saturates and maps NaN to 0.
            ((decibel + 60.0) / 0.4).round() as u8
        })
    }
}

/// The duration of this many hops; saturates.
pub(super) fn hops(n: u64) -> Nanos {
    Nanos::new((HOP.get() as u64).saturating_mul(n) as i64)
}
