//! `earmark doctor`: checks what this machine has, or what the sources of a live pipeline give.

use serde_json::json;

use crate::cli::Doctor;
use crate::failure::Reported;
use crate::live;
use crate::machine::doctor;
use crate::terminal::{Output, print};

/// Reports what is missing here and how to install it; or how the sources of a live pipeline are.
pub(super) fn run(args: &Doctor, output: Output) -> anyhow::Result<()> {
    if let Some(pipeline) = &args.live {
        let ok = live::trial(pipeline, &args.set, args.seconds, output)?;
        return if ok { Ok(()) } else { Err(Reported.into()) };
    }
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
