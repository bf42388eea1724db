//! `earmark plan`: listens and writes a plan.

use std::time::Duration;

use anchoring::plan::PlanError;
use anchoring::settings::Policy;

use super::read_with;
use crate::cli::Plan;
use crate::files;
use crate::recording::Input;
use crate::session::{self, PlanTask};
use crate::stop::Stop;
use crate::terminal::Output;

/// Listens and writes a plan.
///
/// # Errors
/// The plan cannot be completed; then there is none.
pub(super) fn run(args: &Plan, output: Output) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let pipeline = read_with(&args.pipeline, args.cues_from.as_deref())?;
    if pipeline.settings.budget.policy == Policy::Dense {
        return Err(PlanError::Dense.into());
    }
    // Cheap checks come before the input is opened.
    files::check(&args.output, args.overwrite)?;
    let input = Input::from_os(&args.input)?;
    let task = PlanTask {
        pipeline: &pipeline,
        input: &input,
        output: &args.output,
        overwrite: args.overwrite,
        cues: args.cues,
        recording: None,
        audio_track: args.listening.audio_track,
        threads: args.listening.threads,
        stall: Duration::from_secs(args.listening.stall_timeout),
    };
    session::plan(&task, output.watch(), &stop)?.print(output)
}
