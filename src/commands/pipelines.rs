//! `earmark pipelines`: lists or prints the shipped pipelines.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Pipelines;
use crate::failure::Usage;
use crate::pipeline::shipped::{self, SHIPPED};
use crate::terminal::{Output, print};

/// Lists the shipped pipelines, or prints one.
pub(super) fn run(args: &Pipelines, output: Output) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        let Some(shipped) = shipped::find(Path::new(name)) else {
            let names = SHIPPED.map(|shipped| shipped.name).join(", ");
            return Err(Usage(format!(
                "no shipped pipeline is called {name}; there are {names}"
            ))
            .into());
        };
        return print(&match output.json {
            true => format!(
                "{:#}",
                json!({ "ok": true, "name": shipped.name, "text": shipped.text })
            ),
            false => shipped.text.trim_end().to_owned(),
        });
    }
    if output.json {
        let all: Vec<Value> = SHIPPED
            .iter()
            .map(|shipped| json!({ "name": shipped.name, "about": shipped.about() }))
            .collect();
        return print(&format!("{:#}", json!({ "ok": true, "pipelines": all })));
    }
    let lines = SHIPPED.map(|shipped| format!("{:<14}{}", shipped.name, shipped.about()));
    print(&lines.join("\n"))
}
