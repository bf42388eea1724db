//! `earmark reader` (internal): reads a file that may be damaged, for other commands.

use crate::cli::Reader;
use crate::outputs::reader;

/// Reads a file that may be damaged, for the parent process.
pub(super) fn run(args: &Reader) -> anyhow::Result<()> {
    let dataset = args.dataset.as_deref();
    reader::serve(args.task, &args.file, args.to.as_deref(), dataset)
}
