//! `earmark schema`: prints the JSON Schema of pipelines.

use crate::cli::Schema;
use crate::live::EVENT_SCHEMA;
use crate::pipeline::schema::schema;
use crate::terminal::print;

/// Prints the JSON Schema of pipelines or of events.
pub(super) fn run(args: &Schema) -> anyhow::Result<()> {
    match args.events {
        true => print(EVENT_SCHEMA.trim_end()),
        false => print(&format!("{:#}", schema())),
    }
}
