//! `earmark parse`: trains parsers, predicts with them, scores them; writes features.

use crate::cli::Parse;
use crate::parse;
use crate::terminal::{Output, print};

/// Runs one of its commands.
///
/// # Errors
/// The command fails.
pub(super) fn run(args: &Parse, output: Output) -> anyhow::Result<()> {
    let done = match args {
        Parse::Train(args) => parse::train(args, output)?,
        Parse::Predict(args) => parse::predict(args)?,
        Parse::Features(args) => parse::features(args)?,
        Parse::Eval(args) => parse::eval(args)?,
    };
    print(&if output.json {
        format!("{:#}", done.value)
    } else {
        done.text.trim_end().to_owned()
    })
}
