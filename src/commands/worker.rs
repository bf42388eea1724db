//! `earmark worker` (internal): processes recordings for `earmark batch`.

use crate::batch;

/// Plays recordings as told on stdin.
pub(super) fn run() -> anyhow::Result<()> {
    batch::work()
}
