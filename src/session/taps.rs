//! Ends for branches that would have gone on to the gate: sinks in which only probes look.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use gst::prelude::*;

/// Ends a branch that would have gone on to the gate.
pub(super) fn end_in(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    sink: gst::Element,
) -> anyhow::Result<()> {
    pipeline.add(&sink)?;
    source
        .link(&sink)
        .with_context(|| format!("{} does not link to {}", source.name(), sink.name()))
}

/// A sink to which nothing comes but the end. One that takes its first buffer holds it until everything plays, and with it the demuxer, which
/// may have seconds of pictures to go to the first sound, or of sound to the first picture.
pub(super) fn end(name: &str) -> anyhow::Result<(gst::Element, gst::Pad)> {
    let sink = gst::ElementFactory::make("fakesink")
        .name(name)
        .property("sync", false)
        .property("async", false)
        .build()?;
    let pad = sink.static_pad("sink").context("fakesink has no pad")?;
    Ok((sink, pad))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
