//! `earmark run`: extracts features from a recording.

use std::time::Duration;

use super::read_with;
use crate::cli::Run;
use crate::files;
use crate::recording::Input;
use crate::session::{self, Task};
use crate::stop::Stop;
use crate::terminal::Output;

/// Listens, plans, decodes, encodes and writes.
///
/// # Errors
/// The output cannot be completed; then there is no output, but a partial file is kept beside it.
pub(super) fn run(args: &Run, output: Output) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let mut pipeline = read_with(&args.pipeline, args.cues_from.as_deref())?;
    if args.thumbnails {
        pipeline.keep_thumbnails();
    }
    files::check(&args.output, args.overwrite)?;
    let input = Input::from_os(&args.input)?;
    let task = Task {
        pipeline: &pipeline,
        input: &input,
        recording: None,
        video_id: None,
        output: &args.output,
        overwrite: args.overwrite,
        plan: args.plan.as_deref(),
        variables: args.pipeline.variables(),
        audio_track: args.listening.audio_track,
        threads: args.listening.threads,
        hash_whole: false,
        stall: Duration::from_secs(args.listening.stall_timeout),
    };
    session::extract(task, output.watch(), &stop)?.print(output)
}
