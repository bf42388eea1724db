//! `earmark live`: keeps cameras and microphones going for weeks.

use crate::cli::Live;
use crate::live;
use crate::stop::Stop;
use crate::terminal::Output;

/// Keeps streams going until asked to stop.
///
/// # Errors
/// Something prevents the start. A source that fails does not: it is tried again.
pub(super) fn run(args: &Live, output: Output) -> anyhow::Result<()> {
    live::run(args, output, &Stop::new()?)
}
