//! `earmark eval`: scores plans against labelled events.

use serde_json::json;

use crate::cli::{Eval, EvalAnchors, EvalLayout};
use crate::datasets::survey;
use crate::terminal::{Output, print};
use crate::{eval, files, qa, scores};

pub(super) fn run(args: &Eval, output: Output) -> anyhow::Result<()> {
    let scored = match args {
        Eval::Anchors(args) => return anchors(args, output),
        Eval::Detection(args) => scores::detection(args)?,
        Eval::Onsets(args) => scores::onsets(args)?,
        Eval::Moments(args) => scores::moments(args)?,
        Eval::Parsing(args) => scores::parsing(args)?,
        Eval::Sed(args) => scores::sed(args)?,
        Eval::Psds(args) => scores::psds(args)?,
        Eval::Qa(args) => return qa::evaluate(args, output),
        Eval::Layout(args) => return layout(args, output),
    };
    print(&if output.json {
        format!("{:#}", scored.value)
    } else {
        scored.text.trim_end().to_owned()
    })
}

/// `earmark eval anchors`: scores plans against labels.
fn anchors(args: &EvalAnchors, output: Output) -> anyhow::Result<()> {
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

/// `earmark eval layout`: what of a published dataset is there.
fn layout(args: &EvalLayout, output: Output) -> anyhow::Result<()> {
    let survey = survey::survey(&args.data, args.layout, args.videos.as_deref())?;
    if output.json {
        let mut value = serde_json::to_value(&survey)?;
        value["ok"] = json!(true);
        return print(&format!("{value:#}"));
    }
    print(survey.to_string().trim_end())
}
