//! Reads back what Earmark wrote: plans and feature files, even damaged or hostile ones. Also reads other programs' HDF5 files.
//!
//! # Layout
//!
//! - `reader`: the child process that reads feature files.
//! - `features`: opens feature files safely; `foreign`: other programs' files.
//! - `plan`: reads a plan line by line; `plan_summary`: summarises one.
//! - `quality`: quality of frames and sound, overall and per ten seconds.
//! - `untaken`: summarises candidates that were not taken.
//! - `untrusted`: stretches of untrusted sound.

pub mod features;
pub(crate) mod foreign;
pub(crate) mod plan;
mod plan_summary;
mod quality;
pub(crate) mod reader;
mod untaken;
mod untrusted;

pub(crate) use plan_summary::distrust;
pub use plan_summary::{PlanSummary, summarize};
pub use quality::{FrameScores, Means, QualityStretch, RecordingQuality};
pub use untaken::LeftOut;
pub(crate) use untaken::TIMES;
pub use untrusted::{Untrusted, UntrustedSpan};
