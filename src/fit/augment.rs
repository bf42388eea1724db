//! Augments training crops: changes gain and microphone, adds voices, mixes two.

use anchoring::hearing::mel::BANDS;

use super::corpus::Recording;
use super::random::Random;

/// Frames of a crop: 36 s.
pub(super) const CROP: usize = 3600;
/// Seconds per frame.
const STEP: f32 = 0.01;

/// Strength of the variations.
const GAIN_DB: f32 = 10.0;
const TONE_DB: f32 = 3.0;
const MIXED: f32 = 0.3;
const MIXED_DB: f32 = 15.0;
const MOVED: f32 = 0.5;
const MOVED_BANDS: f32 = 3.0;

/// Mel frames and the events in them, seconds from their first sample; events may begin before it and end after the last.
#[derive(Clone, Debug)]
pub(super) struct Crop {
    pub(super) mel: Vec<[f32; BANDS]>,
    pub(super) events: Vec<(f32, f32)>,
}

/// An unchanged piece of one recording.
fn piece(recordings: &[Recording], random: &mut Random) -> Crop {
    let Some(one) = recordings.get(random.below(recordings.len())) else {
        return Crop {
            mel: Vec::new(),
            events: Vec::new(),
        };
    };
    let first = random.below(one.mel.len().saturating_sub(CROP) + 1);
    let mel = one.mel.frames(first, CROP);
    let (from, length) = (first as f32 * STEP, mel.len() as f32 * STEP);
    let events = one.spans();
    let events = events.map(|(start, stop)| (start - from, stop - from));
    Crop {
        events: events
            .filter(|&(start, stop)| stop > 0.0 && start < length)
            .collect(),
        mel,
    }
}

/// Varies gain, tone and sometimes bands, as another microphone or another object would.
pub(super) fn disguise(mel: &mut [[f32; BANDS]], random: &mut Random, gain_db: f32) {
    let mut curve = [gain_db + random.range(-GAIN_DB, GAIN_DB); BANDS];
    for wave in 1..4 {
        let wave = wave as f32;
        let turns = wave * random.range(0.3, 0.7);
        let (phase, height) = (
            random.range(0.0, 6.3),
            random.normal() * TONE_DB / wave.sqrt(),
        );
        for (b, db) in curve.iter_mut().enumerate() {
            let at = std::f32::consts::TAU * turns * b as f32 / BANDS as f32;
            *db += height * (at + phase).sin();
        }
    }
    let factor = curve.map(|db| 10f32.powf(db / 20.0));
    let moved = if random.unit() < MOVED {
        random.range(-MOVED_BANDS, MOVED_BANDS)
    } else {
        0.0
    };
    for row in mel {
        let old = *row;
        *row = std::array::from_fn(|b| {
            let at = (b as f32 + moved).clamp(0.0, (BANDS - 1) as f32);
            let low = (at as usize).min(BANDS - 2);
            let part = at - low as f32;
            (old[low] * (1.0 - part) + old[low + 1] * part) * factor[b]
        });
    }
}

/// One crop, the same for the same random numbers.
pub(super) fn crop(recordings: &[Recording], random: &mut Random) -> Crop {
    let mut crop = piece(recordings, random);
    disguise(&mut crop.mel, random, 0.0);
    if random.unit() < MIXED {
        let mut other = piece(recordings, random);
        let quieter = random.range(-MIXED_DB, 0.0);
        disguise(&mut other.mel, random, quieter);
        for (row, more) in crop.mel.iter_mut().zip(&other.mel) {
            for (m, n) in row.iter_mut().zip(more) {
                *m = m.hypot(*n);
            }
        }
        let length = crop.mel.len() as f32 * STEP;
        crop.events
            .extend(other.events.into_iter().filter(|event| event.0 < length));
    }
    crop
}
