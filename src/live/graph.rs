//! Helpers for a source's graph: selects streams, ends it, and explains its errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::secret::without_password;
use super::supervisor::Cause;
use crate::session::OURS;
use crate::session::stream::Stream;

/// Longest time for data in the graph to reach the file when it is torn down.
const DRAIN: Duration = Duration::from_secs(4);

/// Takes one video and one audio stream of a camera's several, as far as they are played; never requests the others.
pub(super) fn choose_streams(pipeline: &gst::Pipeline, hears: bool, sees: bool) {
    let sources = pipeline.iterate_all_by_element_factory_name("rtspsrc");
    for source in sources.into_iter().flatten() {
        let chosen = Mutex::new([None; 2]);
        source.connect("select-stream", false, move |values| {
            let number = values.get(1).and_then(|v| v.get::<u32>().ok());
            let caps = values.get(2).and_then(|v| v.get::<gst::Caps>().ok());
            let media = caps
                .as_ref()
                .and_then(|caps| caps.structure(0)?.get::<String>("media").ok());
            let at = match media.as_deref() {
                Some("video") if sees => 0,
                Some("audio") if hears => 1,
                _ => return Some(false.to_value()),
            };
            let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
            let first = *chosen[at].get_or_insert(number) == number;
            Some(first.to_value())
        });
    }
}

/// Lets the data in the graph reach the file, unless that takes too long.
pub(super) fn drain(stream: &Stream, ended: &Arc<AtomicBool>) {
    if ended.load(Ordering::Relaxed) {
        return;
    }
    let pipeline = stream.pipeline.clone();
    // A hanging source may block its caller.
    let asked = std::thread::Builder::new()
        .name("earmark-end".into())
        .spawn(move || pipeline.send_event(gst::event::Eos::new()));
    if asked.is_err() {
        return;
    }
    let begun = Instant::now();
    while !ended.load(Ordering::Relaxed) && begun.elapsed() < DRAIN {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Stops a graph for good. A source may hang here.
pub(super) fn stop(stream: &Stream) {
    // Closes the file, whatever the source does then.
    stream.sink.set_locked_state(true);
    let _ = stream.sink.set_state(gst::State::Null);
    // A jitter buffer that never got a packet sleeps through the end of its stream (GStreamer 1.22), so wake it first.
    let pipeline = &stream.pipeline;
    let buffers = pipeline.iterate_all_by_element_factory_name("rtpjitterbuffer");
    for pad in buffers
        .into_iter()
        .flatten()
        .filter_map(|b| b.static_pad("sink"))
    {
        pad.send_event(gst::event::FlushStart::new());
    }
    let _ = pipeline.set_state(gst::State::Null);
}

/// The cause of an error, and its description.
pub(super) fn explain(error: &gst::message::Error) -> (Cause, String) {
    let element = error
        .src()
        .and_then(|src| src.downcast_ref::<gst::Element>());
    let factory = element
        .and_then(|element| element.factory())
        .map(|factory| factory.name().to_string())
        .unwrap_or_default();
    let what = error.error();
    let said = what.message().trim_end_matches('.').to_owned();
    let debug = error.debug().unwrap_or_default();
    let detail = debug.lines().last().unwrap_or_default().trim();
    // If one of ours fails, the source is not to blame.
    if OURS.contains(&factory.as_str()) {
        return (Cause::Work, said);
    }
    let refused = what.matches(gst::ResourceError::NotAuthorized)
        || what.matches(gst::StreamError::CodecNotFound)
        || what.matches(gst::StreamError::WrongType)
        || what.matches(gst::CoreError::MissingPlugin)
        || detail.contains("Unauthorized");
    let cause = if refused { Cause::Refused } else { Cause::Lost };
    let said = match (refused, detail.contains("Unauthorized")) {
        (true, true) => {
            "the camera refuses the login (401 Unauthorized): check user and password in its url"
                .into()
        }
        _ if detail.is_empty() => format!("{factory}: {said}"),
        _ => format!("{factory}: {said} ({detail})"),
    };
    (cause, without_password(&said))
}
