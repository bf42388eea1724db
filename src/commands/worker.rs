//! `earmark worker`, which `earmark batch` starts.

use crate::batch;

/// Plays recordings as told on stdin.
pub(super) fn run() -> anyhow::Result<()> {
    batch::work()
}
