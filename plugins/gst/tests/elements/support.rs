//! Helpers: media files, plans, and pipelines with a time limit.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};

use anchoring::plan::{Entry, Header, Line, Reason, SCHEMA};
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use gst::prelude::*;
use gstearmark::structures::{self, Message};

/// No test pipeline may take longer than this.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

pub(crate) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstearmark::plugin_register_static().unwrap();
    });
}

/// Runs ffmpeg; `None`, with a plain word about it, where it is not installed or lacks the encoder.
pub(crate) fn ffmpeg(folder: &Path, name: &str, arguments: &str) -> Option<PathBuf> {
    let path = folder.join(name);
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .output();
    match made {
        Ok(output) if output.status.success() => Some(path),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                text.contains("Unknown encoder"),
                "ffmpeg {arguments}: {text}"
            );
            eprintln!("skipped: ffmpeg has no such encoder: {arguments}");
            None
        }
        Err(error) => {
            eprintln!("skipped: ffmpeg: {error}");
            None
        }
    }
}

/// A plan with entries at these times, in nanoseconds, of a recording that goes on for a second after the last.
pub(crate) fn plan(folder: &Path, times: &[i64]) -> PathBuf {
    plan_and(folder, times, 1_000_000_000)
}

/// As above, of a recording that goes on for `rest` nanoseconds after the last.
pub(crate) fn plan_and(folder: &Path, times: &[i64], rest: i64) -> PathBuf {
    let price = Prices::default().of(Tier::Low);
    let spent = price * times.len() as u64;
    let mut text = String::new();
    let header = Line::Plan(Header {
        schema: SCHEMA.into(),
        video_id: "test".into(),
        duration: Nanos::new(times.last().copied().unwrap_or(0) + rest),
        budget_tokens: spent,
        spent_tokens: spent,
        config: serde_json::json!({}),
        candidates_per_min: 0,
    });
    writeln!(text, "{}", header.to_text()).unwrap();
    for &ns in times {
        writeln!(text, "{}", Line::Frame(entry(ns)).to_text()).unwrap();
    }
    let path = folder.join("plan.jsonl");
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn entry(ns: i64) -> Entry {
    Entry {
        planned: Nanos::new(ns),
        asked: None,
        tier: Tier::Low,
        tokens: Prices::default().of(Tier::Low),
        reason: Reason::Background,
        anchor: None,
    }
}

/// What a pipeline ended with.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Each frame at `name=out`: its entry if it has one, its time in the recording, the hash of its bytes.
    pub(crate) frames: Vec<(Option<structures::Chosen>, i64, u64)>,
    /// Our messages that came to `name=out`.
    pub(crate) messages: Vec<Message>,
    pub(crate) warnings: Vec<String>,
    pub(crate) error: Option<String>,
    /// Bytes that passed `name=meter`, an identity.
    pub(crate) read: u64,
    /// `earmark-stats` of each stage.
    pub(crate) stats: Vec<gst::Structure>,
}

impl Ended {
    pub(crate) fn number(&self, stage: &str, name: &str) -> u64 {
        let stats = self.stats.iter().find(|s| s.get("stage") == Ok(stage));
        stats.unwrap().get(name).unwrap()
    }

    pub(crate) fn missed(&self) -> Vec<i64> {
        self.messages
            .iter()
            .filter_map(|message| match message {
                Message::Miss(entry) => Some(entry.planned.get()),
                _ => None,
            })
            .collect()
    }
}

fn time_at(pad: &gst::Pad, buffer: &gst::BufferRef) -> i64 {
    let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
    let segment = segment.segment().clone();
    let segment = segment.downcast::<gst::ClockTime>().unwrap();
    let time = segment.to_stream_time(buffer.pts().unwrap()).unwrap();
    time.nseconds() as i64
}

/// Runs a launch line to its end, as gst-launch-1.0 does. What reaches the element `out` is noted.
pub(crate) fn launch(line: &str) -> Ended {
    init();
    let pipeline = gst::parse::launch(line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Ended::default()));
    let noted = seen.clone();
    let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let mut seen = noted.lock().unwrap();
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let mut hasher = DefaultHasher::new();
                buffer.map_readable().unwrap().as_slice().hash(&mut hasher);
                let chosen = structures::buffer_tag(buffer).map(Result::unwrap);
                seen.frames
                    .push((chosen, time_at(pad, buffer), hasher.finish()));
            }
            Some(gst::PadProbeData::Event(event)) => {
                let message = Message::from_event(event);
                seen.messages.extend(message.map(Result::unwrap));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    let read = Arc::new(AtomicU64::new(0));
    if let Some(meter) = pipeline.by_name("meter") {
        let read = read.clone();
        meter.connect("handoff", false, move |values| {
            let bytes = values[1].get::<gst::Buffer>().unwrap().size();
            read.fetch_add(bytes as u64, Ordering::Relaxed);
            None
        });
    }
    let mut ended = run(&pipeline);
    ended.read = read.load(Ordering::Relaxed);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    ended.frames = std::mem::take(&mut seen.frames);
    ended.messages = std::mem::take(&mut seen.messages);
    ended
}

/// To PAUSED, when that is done to PLAYING, to the end, to NULL.
pub(crate) fn run(pipeline: &gst::Pipeline) -> Ended {
    let mut ended = Ended::default();
    let bus = pipeline.bus().unwrap();
    let began = std::time::Instant::now();
    if pipeline.set_state(gst::State::Paused).is_err() {
        let error = bus.timed_pop_filtered(gst::ClockTime::SECOND, &[gst::MessageType::Error]);
        ended.error = error.map(text_of);
        let _ = pipeline.set_state(gst::State::Null);
        return ended;
    }
    loop {
        assert!(
            began.elapsed().as_nanos() < u128::from(PATIENCE.nseconds()),
            "the pipeline hangs: {:?}",
            pipeline.debug_to_dot_data(gst::DebugGraphDetails::STATES)
        );
        let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) else {
            continue;
        };
        match message.view() {
            gst::MessageView::AsyncDone(_) => {
                let _ = pipeline.set_state(gst::State::Playing);
            }
            gst::MessageView::Warning(_) => ended.warnings.push(text_of(message)),
            gst::MessageView::Error(_) => {
                ended.error = Some(text_of(message));
                break;
            }
            gst::MessageView::Element(_) => {
                let structure = message.structure().map(gst::StructureRef::to_owned);
                ended
                    .stats
                    .extend(structure.filter(|s| s.name() == "earmark-stats"));
            }
            gst::MessageView::Eos(_) => break,
            _ => {}
        }
    }
    let (done, waiting) = std::sync::mpsc::sync_channel(1);
    let stopping = pipeline.clone();
    std::thread::spawn(move || {
        let _ = stopping.set_state(gst::State::Null);
        let _ = done.send(());
    });
    let stopped = waiting.recv_timeout(std::time::Duration::from_secs(20));
    assert!(stopped.is_ok(), "the pipeline does not stop");
    ended
}

/// A pipeline that links pads whenever they come, not only the first time, as a launch line does: (from, to, how their caps begin).
pub(crate) fn linking(line: &str, links: &[(&str, &str, &'static str)]) -> gst::Pipeline {
    init();
    let pipeline = gst::parse::launch(line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    for (from, to, begin) in links {
        let sink = pipeline.by_name(to).unwrap().static_pad("sink").unwrap();
        let begin = *begin;
        let from = pipeline.by_name(from).unwrap();
        from.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            let fits = caps
                .structure(0)
                .is_some_and(|s| s.name().starts_with(begin));
            if fits && !sink.is_linked() {
                pad.link(&sink).unwrap();
            }
        });
    }
    pipeline
}

/// Does what may not hang on a thread of its own.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, waiting) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || done.send(work()));
    match waiting.recv_timeout(std::time::Duration::from_secs(40)) {
        Ok(result) => result,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn text_of(message: gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => format!("{} {:?}", error.error(), error.debug()),
        gst::MessageView::Warning(warning) => warning.error().to_string(),
        _ => String::new(),
    }
}
