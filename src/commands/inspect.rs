//! `earmark inspect`: shows a file or folder on one screen.

use crate::cli::Inspect;
use crate::inspect;
use crate::terminal::{Output, print};

/// Shows what is in a file or folder.
pub(super) fn run(args: &Inspect, output: Output) -> anyhow::Result<()> {
    let about = inspect::inspect(&args.file)?;
    print(&if output.json {
        format!("{:#}", about.json())
    } else {
        about.to_string()
    })
}
