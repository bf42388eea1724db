//! Reads back what Earmark wrote: feature files, also damaged or hostile ones, and plans; and other programs' HDF5 files.
//!
//! # Layout
//!
//! - `reader`: the child process that reads feature files.
//! - `features`: opens feature files safely; `foreign`: other programs' files.
//! - `plan`: reads a plan line by line; `plan_summary`: summarises one.
//! - `quality`: how good frames and sound are, together and by ten seconds.
//! - `untaken`: candidates that were not taken, at a glance.
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
pub use quality::{Means, QualityStretch, RecordingQuality, Scene};
pub use untaken::LeftOut;
pub(crate) use untaken::TIMES;
pub use untrusted::{Stretch, Untrusted};
