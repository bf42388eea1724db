//! Sinks for branches that end before the gate, and helpers for their pad probes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use gst::prelude::*;

/// Links a sink to a branch that would otherwise go on to the gate.
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

/// A sink that receives nothing but the end of the stream. A sink that takes its first buffer holds it until everything plays, and blocks the
/// demuxer, which may still have seconds of video to read before the first sound, or the reverse.
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
