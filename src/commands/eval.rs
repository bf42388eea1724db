//! `earmark eval`.

use serde_json::json;

use crate::cli::EvalAnchors;
use crate::eval;
use crate::files;
use crate::terminal::{Output, print};

/// `earmark eval anchors`: scores plans against labels.
pub(super) fn anchors(args: &EvalAnchors, output: Output) -> anyhow::Result<()> {
    let results = eval::anchors(&args.plan, &args.labels, args.tier)?;
    if let Some(file) = &args.plot {
        files::write(file, eval::svg(&results).as_bytes(), true)?;
    }
    if output.json {
        let mut value = serde_json::to_value(&results)?;
        value["ok"] = json!(true);
        return print(&format!("{value:#}"));
    }
    print(results.to_string().trim_end())
}
