//! The section `quality`: the weights that combine the quality of sound and frames.

use std::path::Path;

use serde_json::Value;

use super::live::Key;
use super::problem::Problem;
use super::sections::{GivenSection, typed};
use crate::quality::Weights;

/// The section as given.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Section {
    /// A file of weights; empty for the default.
    weights: String,
}

/// What a run records of the section; `None` if it was left out or names no file.
pub(super) fn section(given: &GivenSection<'_>, problems: &mut Vec<Problem>) -> Option<Value> {
    let before = problems.len();
    let Section { weights } = typed(given, &[], |_| None, problems);
    if problems.len() > before || weights.is_empty() {
        return None;
    }
    match Weights::read(Path::new(&weights)) {
        Ok(read) => Some(read.recorded(&weights)),
        Err(err) => {
            let problem = Problem::new(
                given.place("weights"),
                "quality.weights",
                format!("cannot be used: {err:#}"),
            );
            problems.push(problem.value(weights));
            None
        }
    }
}

/// Its keys, for the reference.
pub(super) fn keys() -> [Key; 1] {
    [Key {
        section: "quality",
        name: "weights",
        default: Value::String(String::new()),
        range: None,
        what: "a file that `earmark fit quality` wrote: how much the quality of the sound, of the frames and of both together count, by scene; without it, the built-in weights",
    }]
}
