//! `earmark eval parsing --scorer ave`: the share of a video's ten seconds with the right class, over AVE's test split (Tian et al., 2018).
//! Outside its event, a second's class is background.

use std::collections::{BTreeSet, HashMap};

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::Scored;
use crate::cli::EvalParsing;
use crate::datasets::ave::{self, Labelled, SECONDS};
use crate::datasets::npz::Npz;

/// The class of seconds without an event.
const BACKGROUND: &str = "Background";
/// Videos to list.
const NAMED: usize = 5;

/// Counts of right seconds.
#[derive(Clone, Copy, Debug, Default)]
struct SecondCounts {
    right: usize,
    all: usize,
}

impl SecondCounts {
    fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    fn percent(self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

/// `earmark eval parsing --scorer ave`.
///
/// # Errors
/// A file cannot be read, or the predictions are not for the test split.
pub(super) fn run(args: &EvalParsing) -> anyhow::Result<Scored> {
    let path = args.predictions.display();
    let annotations = ave::annotations(&args.labels.join(ave::ANNOTATIONS))?;
    let order = ave::order(&args.labels.join("test_order.h5"), annotations.len())?;
    let test: Vec<&Labelled> = order.iter().map(|row| &annotations[*row]).collect();

    let mut file = Npz::open(&args.predictions)?;
    let names = file.text("filenames")?;
    let classes = file.text("classes")?;
    let background = |class: &str| class.eq_ignore_ascii_case(BACKGROUND);
    let known: BTreeSet<&str> = annotations.iter().map(|a| a.class.as_str()).collect();
    if let Some(other) = classes
        .iter()
        .find(|class| !background(class) && !known.contains(class.as_str()))
    {
        bail!(
            "{path}: `classes` has `{other}`, which {} doesn't have",
            ave::ANNOTATIONS
        );
    }
    if !classes.iter().any(|class| background(class)) {
        bail!("{path}: `classes` has no {BACKGROUND}: seconds without an event need a class");
    }
    let mut rows: HashMap<&str, usize> = HashMap::new();
    for (row, name) in names.iter().enumerate() {
        if let Some(before) = rows.insert(name, row) {
            bail!("{path}: `filenames` has {name} twice, in rows {before} and {row}");
        }
    }
    let missing: Vec<&str> = test
        .iter()
        .map(|a| a.video.as_str())
        .filter(|v| !rows.contains_key(v))
        .collect();
    if !missing.is_empty() || names.len() != test.len() {
        bail!(
            "{path} has {} videos, and must have the {} of the test split; missing: {}",
            names.len(),
            test.len(),
            if missing.is_empty() {
                "none".into()
            } else {
                some(&missing)
            }
        );
    }
    let shape = [("videos", Some(names.len())), ("seconds", Some(SECONDS))];
    let (_, labels) = file.numbers("labels", &shape)?;
    if let Some(at) = labels
        .iter()
        .position(|label| !(label.fract() == 0.0 && (0.0..classes.len() as f64).contains(label)))
    {
        bail!(
            "{path}: `labels` of {}, second {} is {}: must be an index of `classes`, 0 to {}",
            names[at / SECONDS],
            at % SECONDS,
            labels[at],
            classes.len() - 1
        );
    }
    let (mut all, mut event, mut quiet) = (
        SecondCounts::default(),
        SecondCounts::default(),
        SecondCounts::default(),
    );
    let mut each: Map<String, Value> = Map::new();
    for labelled in test {
        let row = rows[labelled.video.as_str()];
        let mut own = SecondCounts::default();
        for second in 0..SECONDS {
            let said = classes[labels[row * SECONDS + second] as usize].as_str();
            let inside = (labelled.span.0..labelled.span.1).contains(&second);
            let right = if inside {
                said == labelled.class
            } else {
                background(said)
            };
            all.count(right);
            own.count(right);
            if inside { &mut event } else { &mut quiet }.count(right);
        }
        each.insert(labelled.video.clone(), json!(own.percent()));
    }
    let value = json!({
        "ok": true, "scorer": "ave", "videos": names.len(), "segments": all.all, "accuracy": all.percent(),
        "accuracy_of_events": event.percent(), "accuracy_of_background": quiet.percent(), "per_video": each,
    });
    let text = format!(
        "AVE: {} videos, {} segments of a second\n\naccuracy       {:>6.2} %\nof events      {:>6.2} %\nof background  {:>6.2} %",
        names.len(),
        all.all,
        all.percent(),
        event.percent(),
        quiet.percent()
    );
    Ok(Scored { value, text })
}

/// The first few of them.
fn some(names: &[&str]) -> String {
    let more = if names.len() > NAMED { ", …" } else { "" };
    format!(
        "{}{more}",
        names
            .iter()
            .take(NAMED)
            .copied()
            .collect::<Vec<_>>()
            .join(", ")
    )
}
