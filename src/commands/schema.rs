//! `earmark schema`.

use crate::pipeline::schema::schema;
use crate::terminal::print;

/// Prints the JSON Schema of pipelines.
pub(super) fn run() -> anyhow::Result<()> {
    print(&format!("{:#}", schema()))
}
