//! `earmark live`.

use crate::cli::Live;
use crate::live;
use crate::stop::Stop;
use crate::terminal::Output;

/// Keeps streams going until it is told to stop.
///
/// # Errors
/// Anything that keeps it from starting; a source that fails is tried again instead.
pub(super) fn run(args: &Live, output: Output) -> anyhow::Result<()> {
    live::run(args, output, &Stop::new()?)
}
