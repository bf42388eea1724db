//! Decides where to look in a long recording from what is heard in it.
//!
//! Nothing here knows GStreamer, ONNX, HDF5, files, threads or clocks: samples and media time go in, values come out.
//!
//! # Layout
//!
//! The ground, which everything else stands on:
//!
//! - [`time`]: media time in integer nanoseconds, half-open windows.
//! - [`tier`]: resolutions, prices, tokens.
//! - [`settings`]: everything a user may choose, with defaults, ranges and one check.
//! - [`cue`]: what the audio says about one hop of 80 ms.
//! - [`plan`]: the plan, its entries, its checks, its text form (`plan.jsonl`).
//! - [`discontinuity`]: the times of frames -> where there are none, and a recording's time without those stretches.
//!
//! The rooms, in the order in which data flows; each uses only those before it:
//!
//! 1. [`hearing`]: samples -> mel frames, onset strength, noise floor, trust.
//! 2. [`onset`]: mel frames -> onsets with their probability.
//! 3. [`listener`]: samples, and what a tagger and a voice detector say -> cues.
//! 4. [`anchor`]: cues -> candidates with their windows.
//! 5. [`planning`]: candidates and a budget -> plan entries.
//! 6. [`gate`]: access units and plan entries -> a verdict for every access unit.

pub mod anchor;
pub mod cue;
pub mod discontinuity;
pub mod gate;
pub mod hearing;
pub mod listener;
pub mod onset;
pub mod plan;
pub mod planning;
pub mod settings;
pub mod tier;
pub mod time;

#[doc(hidden)]
pub use old_paths::*;

/// Where things were before they had rooms; goes when no caller uses it any more.
#[expect(missing_docs, reason = "documented where they are now")]
mod old_paths {
    pub mod offset {
        pub use crate::anchor::offset::*;
        pub use crate::settings::FURTHEST_MS;
    }
    pub mod global {
        pub use crate::plan::{MAX_DURATION, MIN_DURATION};
        pub use crate::planning::global::*;
    }
    pub use crate::gate::gop;
    pub use crate::hearing::{background as above, mel, noise_floor as floor, trust as dead};
    pub use crate::hearing::{flux, sample_clock as stretch};
    pub use crate::onset::{candidate, head, mlp, tcn};
    pub use crate::planning::streaming as stream;
    pub use crate::planning::uniform;
    pub use crate::{discontinuity as holes, listener as listen};
    pub mod snap {
        pub use crate::planning::decode_cost::*;
        pub use crate::planning::snapping::*;
    }
    pub mod probe {
        pub use crate::cue::Onset as Heard;
        pub use crate::onset::probe::*;
    }
    pub mod weights {
        pub use crate::onset::calibration::*;
        pub use crate::onset::inputs::*;
        pub use crate::onset::spec::*;
        pub use crate::onset::tensors::*;
        pub use crate::onset::weights::*;
    }
}
