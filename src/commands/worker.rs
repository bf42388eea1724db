//! `earmark worker` (internal): processes recordings for `earmark batch`.

use crate::batch;

/// Processes the recordings that stdin names.
pub(super) fn run() -> anyhow::Result<()> {
    batch::work()
}
