//! `earmark sample`: plans at equal tokens, by policy.

use crate::cli::Sample;
use crate::evidence;
use crate::terminal::{Output, print};

/// Writes plans, and prints how many seconds of events their anchors hit.
///
/// # Errors
/// A plan cannot be written.
pub(super) fn run(args: &Sample, output: Output) -> anyhow::Result<()> {
    let sampled = evidence::sample(args, output)?;
    print(&if output.json {
        format!("{:#}", sampled.value)
    } else {
        sampled.text.trim_end().to_owned()
    })
}
