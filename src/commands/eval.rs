//! `earmark eval`: scores plans against labelled events.

use serde_json::json;

use crate::cli::{Eval, EvalAnchors, EvalCurve, EvalLayout};
use crate::datasets::survey;
use crate::terminal::{Output, print};
use crate::{eval, evidence, files, qa, scores};

pub(super) fn run(args: &Eval, output: Output) -> anyhow::Result<()> {
    let scored = match args {
        Eval::Anchors(args) => return anchors(args, output),
        Eval::Curve(args) => return curve(args, output),
        Eval::Detection(args) => scores::detection(args)?,
        Eval::Onsets(args) => scores::onsets(args)?,
        Eval::Moments(args) => scores::moments(args)?,
        Eval::Parsing(args) => scores::parsing(args)?,
        Eval::Sed(args) => scores::sed(args)?,
        Eval::Psds(args) => scores::psds(args)?,
        Eval::Tokens(args) => evidence::tokens(args, output)?,
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

/// `earmark eval curve`: events shown against tokens.
fn curve(args: &EvalCurve, output: Output) -> anyhow::Result<()> {
    let curve = eval::curve::curve(&args.plan, &args.labels, &args.tokens_per_s)?;
    if let Some(file) = &args.plot {
        files::write(file, eval::curve_svg(&curve).as_bytes(), true)?;
    }
    if let Some(file) = &args.csv {
        files::write(file, curve.csv().as_bytes(), true)?;
    }
    if output.json {
        let mut value = serde_json::to_value(&curve)?;
        value["ok"] = json!(true);
        return print(&format!("{value:#}"));
    }
    print(curve.to_string().trim_end())
}

/// `earmark eval layout`: checks a published dataset.
fn layout(args: &EvalLayout, output: Output) -> anyhow::Result<()> {
    let survey = survey::survey(&args.data, args.layout, args.videos.as_deref())?;
    if output.json {
        let mut value = serde_json::to_value(&survey)?;
        value["ok"] = json!(true);
        return print(&format!("{value:#}"));
    }
    print(survey.to_string().trim_end())
}
