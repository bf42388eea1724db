//! `earmark models`: lists models, and adds one.

use serde_json::json;

use crate::cli::{Models, ModelsCommand};
use crate::failure::Reported;
use crate::machine::{models, new_model};
use crate::terminal::{Output, print};

/// Lists the models; with `--check` it fails if one cannot be used.
pub(super) fn run(args: &Models, output: Output) -> anyhow::Result<()> {
    if let Some(ModelsCommand::Add(args)) = &args.command {
        let added = new_model::add(args)?;
        return print(&match output.json {
            true => format!("{:#}", added.value),
            false => added.text,
        });
    }
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
