//! Describes the sound, frame by frame, from samples. Nothing in this folder is learned.
//!
//! In reading order: [`sample_clock`] (when samples sound), [`mel`] (the spectrogram, on `spectrum` and `simd`), [`flux`] (onset strength),
//! [`noise_floor`], [`background`] (distance above it), [`trust`] (whether the sound can be trusted, with `sound_quality`).

pub mod background;
pub mod flux;
pub mod mel;
pub mod noise_floor;
pub mod sample_clock;
pub(crate) mod simd;
mod sound_quality;
mod spectrum;
pub mod trust;
