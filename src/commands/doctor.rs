//! `earmark doctor`: checks what this machine has.

use serde_json::json;

use crate::failure::Reported;
use crate::machine::doctor;
use crate::terminal::{Output, print};

/// Says what is missing here, and what puts it there.
pub(super) fn run(output: Output) -> anyhow::Result<()> {
    let findings = doctor::examine();
    let ok = findings.iter().all(|finding| finding.ok || !finding.needed);
    if output.json {
        print(&format!("{:#}", json!({ "ok": ok, "findings": findings })))?;
    } else {
        for finding in &findings {
            let mark = match (finding.ok, finding.needed) {
                (true, _) => "ok      ",
                (false, true) => "MISSING ",
                (false, false) => "optional",
            };
            let mut line = format!(
                "{mark} {:<13} {:<20} {}",
                finding.topic, finding.what, finding.detail
            );
            if let Some(fix) = &finding.fix {
                line.push_str(&format!("\n         fix: {fix}"));
            }
            print(&line)?;
        }
        print(if ok {
            "everything needed is installed"
        } else {
            "something is missing; run the commands after `fix`"
        })?;
    }
    if ok { Ok(()) } else { Err(Reported.into()) }
}
