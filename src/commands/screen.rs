//! `earmark screen`: lists recordings that are not worth training on.

use crate::cli::Screen;
use crate::screen;
use crate::terminal::Output;

/// Screens recordings.
pub(super) fn run(args: &Screen, output: Output) -> anyhow::Result<()> {
    screen::screen(args, output)
}
