//! Decides which frames of a long recording to take, from its sound.
//!
//! Nothing here knows GStreamer, ONNX, HDF5, files, threads or clocks: samples and media time go in, values come out.
//!
//! # Layout
//!
//! The ground that everything else uses:
//!
//! - [`time`]: media time in integer nanoseconds, half-open windows.
//! - [`tier`]: resolutions, prices, tokens.
//! - [`settings`]: settings of anchors and budget, with defaults, ranges and one check.
//! - [`cue`]: what the audio says about one hop of 80 ms.
//! - [`plan`]: the plan, its entries, its checks, its text form (`plan.jsonl`).
//! - [`discontinuity`]: times of frames -> stretches without frames, and the recording's time without them.
//!
//! The folders, in the order of the data flow; each uses only those before it:
//!
//! 1. [`hearing`]: samples -> mel frames, onset strength, noise floor, background, trust.
//! 2. [`onset`]: mel frames -> peaks -> onsets with their probability.
//! 3. [`listener`]: samples, and the answers of a tagger and a voice detector -> cues.
//! 4. [`anchor`]: cues -> candidates with their windows and offsets.
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
