//! `earmark import-audio`: plans from an HDF5 file with the sound of many recordings.

use super::read;
use crate::cli::ImportAudio;
use crate::session;
use crate::stop::Stop;
use crate::terminal::Output;

/// Plans from a file of many recordings' sound.
pub(super) fn run(args: &ImportAudio, output: Output) -> anyhow::Result<()> {
    let stop = Stop::new()?;
    let pipeline = read(&args.pipeline)?;
    session::import_audio(args, &pipeline, &stop, output)
}
