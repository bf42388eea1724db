//! Samples -> what the sound is like from moment to moment, streaming; nothing here is learned.

pub mod background;
pub mod flux;
pub mod mel;
pub mod noise_floor;
pub mod sample_clock;
pub(crate) mod simd;
mod spectrum;
pub mod trust;
