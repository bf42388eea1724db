//! What Earmark wrote, read back: feature files so that none can take the process with it, and plans.
//!
//! # Layout
//!
//! - `reader`: the child process that reads files which may be damaged, or made to do harm.
//! - `features`: a feature file -> what is in it, or a copy that is safe to read here.
//! - `plan`: a plan's file, line by line; `plan_summary`: at a glance.
//! - `untrusted`: where the sound can't be trusted, out of cues.

pub mod features;
pub(crate) mod plan;
mod plan_summary;
pub(crate) mod reader;
mod untrusted;

pub(crate) use plan_summary::distrust;
pub use plan_summary::{PlanSummary, summarize};
pub use untrusted::{Stretch, Untrusted};
