//! Estimates how long decoding every frame would take, by decoding some.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use gst::prelude::*;
use serde_json::{Value, json};

use crate::files;

/// Longest time to decode.
const PATIENCE: Duration = Duration::from_secs(4);

/// Decodes the beginning of a recording. Returns JSON: `frames` decoded in `seconds`, and the estimate `everything` for `all` frames.
///
/// # Errors
/// The recording has no frame that can be decoded here.
pub(super) fn time(video: &Path, all: u64) -> anyhow::Result<Value> {
    let name = || format!("cannot decode {}", video.display());
    let whole = video.canonicalize().with_context(name)?;
    let make = |factory: &str| gst::ElementFactory::make(factory).build();
    let pipeline = gst::Pipeline::new();
    let (source, demux, decoder) = (make("filesrc")?, make("parsebin")?, make("decodebin")?);
    source.set_property("location", files::text_of(&whole)?);
    let sink = gst::ElementFactory::make("fakesink")
        .property("sync", false)
        .property("enable-last-sample", false)
        .build()?;
    pipeline.add_many([&source, &demux, &decoder, &sink])?;
    source.link(&demux)?;
    let into = sink.static_pad("sink").context("fakesink has no pad")?;
    let first = Arc::new(AtomicU64::new(0));
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    into.add_probe(gst::PadProbeType::BUFFER, {
        let (first, count) = (first.clone(), count.clone());
        move |_, _| {
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                first.store(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        }
    });
    // A second video fails to link, and sound has no sink; neither matters.
    demux.connect_pad_added({
        let decoder = decoder.downgrade();
        move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let is_video = caps
                .structure(0)
                .is_some_and(|s| s.name().starts_with("video/"));
            let into = decoder
                .upgrade()
                .and_then(|decoder| decoder.static_pad("sink"));
            if let Some(into) = into.filter(|_| is_video) {
                let _ = pad.link(&into);
            }
        }
    });
    decoder.connect_pad_added(move |_, pad| {
        let _ = pad.link(&into);
    });
    let bus = pipeline.bus().context("the graph has no bus")?;
    let playing = pipeline.set_state(gst::State::Playing);
    let mut error = None;
    while playing.is_ok() && begun.elapsed() < PATIENCE {
        let message = bus.timed_pop_filtered(
            gst::ClockTime::from_mseconds(50),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => break,
            Some(gst::MessageView::Error(e)) => {
                error = Some(e.error().to_string());
                break;
            }
            _ => {}
        }
    }
    let frames = count.load(Ordering::Relaxed);
    let busy = begun.elapsed() - Duration::from_nanos(first.load(Ordering::Relaxed));
    let _ = pipeline.set_state(gst::State::Null);
    if frames < 2 {
        bail!(
            "{}{}",
            name(),
            error.map(|e| format!(": {e}")).unwrap_or_default()
        );
    }
    let seconds = busy.as_secs_f64();
    Ok(json!({
        "frames": frames,
        "seconds": seconds,
        "everything": seconds / frames as f64 * all as f64,
    }))
}
