//! Describes the sound, frame by frame, from samples. Nothing in this folder is learned, but for the weights of `handling`.
//!
//! In reading order: [`sample_clock`] (when samples sound), [`mel`] (the spectrogram, on `spectrum` and `simd`), [`flux`] (onset strength),
//! [`noise_floor`], [`background`] (distance above it), [`trust`] (whether the sound can be trusted, with `handling` and `sound_quality`).

pub mod background;
pub mod flux;
mod handling;
pub mod mel;
pub mod noise_floor;
pub mod sample_clock;
pub(crate) mod simd;
mod sound_quality;
mod spectrum;
pub mod trust;
