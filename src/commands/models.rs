//! `earmark models`: lists models.

use serde_json::json;

use crate::cli::Models;
use crate::failure::Reported;
use crate::machine::models;
use crate::terminal::{Output, print};

/// Lists the models; with `--check` it fails if one cannot be used.
pub(super) fn run(args: &Models, output: Output) -> anyhow::Result<()> {
    let found = models::list(args.check);
    let ok = found.bad == 0;
    print(&if output.json {
        format!("{:#}", json!({ "ok": ok, "models": found.rows }))
    } else {
        found.text.trim_end().to_owned()
    })?;
    if args.check && !ok {
        Err(Reported.into())
    } else {
        Ok(())
    }
}
