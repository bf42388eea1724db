//! `earmark parse`: audio-visual video parsing (which events are heard and seen in each second), from published sets to a table of results.
//!
//! # Layout
//!
//! - `experiment`: reads an experiment's YAML: the data and the training.
//! - `set`: reads labels of LLP, AVE and densely labelled sets.
//! - `features`: reads streams of features, second by second.
//! - `pack`: writes labels and features into one file for `earmark-learning`.
//! - `steps`: packing, pseudo labels, training; keeps what exists already.
//! - `events`: runs of seconds; `refine`: their beginnings at onsets; `predictions`: what comes out, as NumPy's file and as JSON.
//! - `own`: computes features of the user's own recording; `recording`: parses it.
//! - `papers`: published results.

mod events;
mod experiment;
mod features;
mod own;
mod pack;
mod papers;
mod predictions;
mod recording;
mod refine;
mod set;
mod steps;

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::{
    EvalParsing, ParseEval, ParseFeatures, ParsePredict, ParseSplit, ParseTrain, Scorer,
};
use crate::scores::{self, Scored};
use crate::terminal::Output;
use experiment::Labels;
use steps::Trained;

/// Reads a file of features, `.npy` or HDF5 with the dataset `features`, as a stream of one video.
///
/// # Errors
/// It is not one, or damaged.
pub(crate) fn read_features(path: &std::path::Path) -> anyhow::Result<usize> {
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let of = match path.extension().is_some_and(|ending| ending == "npy") {
        true => ".".to_owned(),
        false => format!("{name}.h5:features"),
    };
    let classes = ["a", "b"].map(str::to_owned).to_vec();
    let mut set = set::Set::unlabelled(vec![name.into_owned()], classes, 10);
    set.rows = Some(vec![0]);
    let (seconds, _) = features::Stream::open(folder, &of)?.seconds(&set, 0)?;
    Ok(seconds)
}

/// `earmark parse train`.
///
/// # Errors
/// The experiment or the data is invalid, or training fails.
pub(crate) fn train(args: &ParseTrain, output: Output) -> anyhow::Result<Scored> {
    if let Some(name) = &args.print_experiment {
        let text = experiment::shipped(name)?.to_owned();
        let value = json!({ "ok": true, "experiment": text });
        return Ok(Scored { value, text });
    }
    let value = steps::train(args, output)?;
    let mut text = String::new();
    for (key, what) in value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|x| x.0 != "ok")
    {
        let _ = match what {
            Value::String(what) => writeln!(text, "{key}: {what}"),
            what => writeln!(text, "{key}: {what}"),
        };
    }
    Ok(Scored { value, text })
}

/// `earmark parse features`.
///
/// # Errors
/// A model fails, or something cannot be read or written.
pub(crate) fn features(args: &ParseFeatures) -> anyhow::Result<Scored> {
    recording::features(args)
}

/// `earmark parse predict`.
///
/// # Errors
/// There is no trained parser, or it fails.
pub(crate) fn predict(args: &ParsePredict) -> anyhow::Result<Scored> {
    let trained = Trained::read(&args.model)?;
    if let (Some(input), Some(features)) = (&args.recording, &args.features) {
        return recording::predict(&trained, input, features, args);
    }
    let said = trained.predict(args.split)?;
    let onsets = args.onsets.as_deref();
    let events = said.write(&args.output, trained.labels(), onsets)?;
    let value =
        json!({ "ok": true, "videos": said.names.len(), "events": events, "output": args.output });
    let text = format!(
        "{} videos, {events} events: {}",
        said.names.len(),
        args.output.display()
    );
    Ok(Scored { value, text })
}

/// `earmark parse eval`.
///
/// # Errors
/// There is no trained parser, it fails, or the labels cannot be read.
pub(crate) fn eval(args: &ParseEval) -> anyhow::Result<Scored> {
    let trained = Trained::read(&args.model)?;
    let said = trained.predict(ParseSplit::Test)?;
    let file = args.model.join("predictions.npz");
    said.write(&file, trained.labels(), None)?;
    let score = |scorer| {
        scores::parsing(&EvalParsing {
            predictions: file.clone(),
            labels: trained.data.clone(),
            scorer,
        })
    };
    let mut text = format!("{}\n\n", trained.experiment.title);
    let (ours, mut value) = if trained.labels() == Labels::Ave {
        let ave = score(Scorer::Ave)?;
        text.push_str(ave.text.trim_end());
        let ours = ave.value;
        let mut value = ours.clone();
        if let Some(of) = value.as_object_mut() {
            of.remove("per_video");
        }
        (ours, json!({ "ave": value }))
    } else {
        let (avvp, strict) = (score(Scorer::Avvp)?, score(Scorer::Strict)?);
        let _ = write!(
            text,
            "{}\n\n{}",
            avvp.text.trim_end(),
            strict.text.trim_end()
        );
        let ours = avvp.value["metrics"].clone();
        let mut value = json!({ "avvp": avvp.value, "strict": strict.value });
        for scorer in ["avvp", "strict"] {
            if let Some(of) = value[scorer].as_object_mut() {
                of.remove("per_video");
            }
        }
        (ours, value)
    };
    if let Some(paper) = trained.experiment.paper.as_deref() {
        let beside = papers::beside(paper, &ours)?;
        let _ = write!(text, "\n\n{}", beside.text.trim_end());
        value["paper"] = beside.value;
    }
    value["ok"] = true.into();
    value["title"] = trained.experiment.title.clone().into();
    Ok(Scored { value, text })
}
