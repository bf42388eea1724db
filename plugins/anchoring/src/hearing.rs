//! Samples -> a description of the sound, frame by frame. Nothing in this room is learned.
//!
//! In reading order: [`sample_clock`] (when samples sound), [`mel`] (the spectrogram, on `spectrum` and `simd`), [`flux`] (onset
//! strength), [`noise_floor`], [`background`] (distance above it), [`trust`] (whether the sound can be trusted, with `sound_quality`: how good it is).

pub mod background;
pub mod flux;
pub mod mel;
pub mod noise_floor;
pub mod sample_clock;
pub(crate) mod simd;
mod sound_quality;
mod spectrum;
pub mod trust;
