//! One attempt to play a source: builds its graph, names its files, and watches the media that arrives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gst::prelude::*;
use gstearmark::pads::stream_time;
use gstearmark::structures;
use serde_json::json;

use super::graph::choose_streams;
use super::media::{Kind, Media, now_ns};
use super::plan::{Parts, Plan};
use super::seen::SourceStatus;
use super::skew::Skew;
use super::{damage, files};
use crate::recording::Input;
use crate::session::stream::Stream;

/// Seconds from 1900, where RTCP starts counting, to 1970.
const FROM_1900: i64 = 2_208_988_800_000_000_000;

/// One attempt to play a source.
pub(super) struct Attempt {
    pub(super) stream: Stream,
    pub(super) bus: gst::Bus,
    pub(super) media: Arc<Media>,
    pub(super) ended: Arc<AtomicBool>,
    pub(super) last: [u64; 2],
    pub(super) begun: Instant,
    /// Tokens spent and frames missed, as the gate last reported.
    pub(super) gate: [u64; 2],
    pub(super) asked: Instant,
    /// Seconds for which the source has earned tokens.
    pub(super) counted: f64,
    /// Media that were reported as missing.
    pub(super) gone: [bool; 2],
}

impl Attempt {
    /// Builds the graph. `epoch`: how often the source was started. `parts`: what it plays.
    pub(super) fn build(
        plan: &Plan,
        seen: &Arc<SourceStatus>,
        epoch: u64,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let input = Input {
            given: plan.about.clone(),
            uri: plan.about.clone(),
            path: None,
        };
        let Parts { sees, hears } = parts;
        let stream = Stream::build(
            &plan.pipeline,
            &input,
            &plan.about,
            Some(plan.threads),
            hears,
            sees,
        )?;
        if let Some(ears) = &stream.ears {
            ears.set_property("early-cues", true);
        }
        let media = Arc::new(Media::default());
        if let Some(pad) = stream.gate.static_pad("video") {
            media.watch(&pad, Kind::Video);
        }
        if let Some(pad) = stream
            .ears
            .as_ref()
            .and_then(|ears| ears.static_pad("sink"))
        {
            media.watch(&pad, Kind::Audio);
        }
        watch_work(seen, &stream, &media);
        damage::watch(&stream.pipeline, &stream.gate, seen);
        watch_clocks(&stream.pipeline, seen, &media);
        let pipeline = &stream.pipeline;
        // Messages that arrive during the teardown still count.
        pipeline.set_auto_flush_bus(false);
        choose_streams(pipeline, hears, sees);
        name_files(plan, epoch, &stream.sink, &media);
        if plan.pipeline.events.jpeg {
            stream.sink.set_property("thumbnails", true);
        }
        let bus = pipeline
            .bus()
            .ok_or_else(|| anyhow::anyhow!("the graph has no bus"))?;
        Ok(Self {
            bus,
            media,
            ended: Arc::default(),
            last: [0; 2],
            begun: Instant::now(),
            gate: [0; 2],
            asked: Instant::now(),
            counted: 0.0,
            gone: [false; 2],
            stream,
        })
    }
}

/// Tells the sink where its files go.
fn name_files(plan: &Plan, epoch: u64, sink: &gst::Element, media: &Arc<Media>) {
    let seconds = plan.pipeline.live.segment_minutes * 60.0;
    sink.set_property("keep-up", true);
    sink.set_property("segment-s", (seconds.round() as u32).max(1));
    sink.set_property(
        "location",
        plan.folder.join("none.h5").display().to_string(),
    );
    let (folder, name, run) = (plan.folder.clone(), plan.name.clone(), plan.run.clone());
    let media = media.clone();
    sink.connect("name-segment", false, move |values| {
        let index = values.get(1).and_then(|v| v.get::<u32>().ok()).unwrap_or(0);
        let start = values.get(2).and_then(|v| v.get::<u64>().ok()).unwrap_or(0);
        let wall = media.wall();
        let start_ns = i64::try_from(start).unwrap_or(0);
        let at = wall.map_or_else(now_ns, |wall| wall.at(start_ns));
        let place = files::segment(&folder, &name, at, &run, epoch, index);
        // If the folder cannot be made, creating the file fails and reports the error.
        let _ = place.parent().map(std::fs::create_dir_all);
        let mut attributes = json!({
            "source": name,
            "run": run,
            "epoch": epoch.to_string(),
            "segment": index.to_string(),
            "segment_start_ns": start.to_string(),
            "wall_start": files::wall(at),
            "wall_start_ns": at.to_string(),
            "wall_uncertainty_ms": wall.map_or_else(
                || "unknown".into(),
                |wall| wall.uncertainty.as_millis().to_string(),
            ),
            "wall_clock": "this machine's, at arrival",
        });
        if let Some(camera) = media.camera() {
            let at = camera.at(start_ns);
            attributes["camera_start"] = json!(files::wall(at));
            attributes["camera_start_ns"] = json!(at.to_string());
            let doubt = camera.uncertainty.as_millis();
            attributes["camera_uncertainty_ms"] = json!(doubt.to_string());
        }
        let structure = gst::Structure::builder("segment")
            .field("location", place.display().to_string())
            .field("attributes", attributes.to_string())
            .build();
        Some(Some(structure).to_value())
    });
}

/// Watches cues and frames.
fn watch_work(seen: &Arc<SourceStatus>, stream: &Stream, media: &Arc<Media>) {
    let (heard, place) = (seen.clone(), media.clone());
    if let Some(pad) = stream.ears.as_ref().and_then(|ears| ears.static_pad("src")) {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let cue = info
                .buffer()
                .and_then(|buffer| structures::cue_from_text(&buffer.map_readable().ok()?).ok());
            if let Some(cue) = cue {
                let at = place
                    .wall()
                    .map_or_else(now_ns, |wall| wall.at(cue.pts.get()));
                heard.heard.cue(&cue, at);
            }
            gst::PadProbeReturn::Ok
        });
    }
    let (seen, place) = (seen.clone(), media.clone());
    if let Some(pad) = stream.sink.static_pad("sink") {
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
                let wall = place.wall();
                seen.counts.taken.fetch_add(1, Ordering::Relaxed);
                let pts = i64::try_from(pts.nseconds()).unwrap_or(0);
                seen.heard
                    .frame(wall.map_or_else(now_ns, |wall| wall.at(pts)));
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Compares the clocks in packets with ours.
fn watch_clocks(pipeline: &gst::Pipeline, seen: &Arc<SourceStatus>, media: &Arc<Media>) {
    *seen.skew.lock().unwrap_or_else(PoisonError::into_inner) = Skew::default();
    let begun = Instant::now();
    let sources = pipeline.iterate_all_by_element_factory_name("rtspsrc");
    for source in sources.into_iter().flatten() {
        // From here on packets carry the camera's wall clock, which it sends by RTCP.
        source.connect("new-manager", false, |values| {
            let manager = values.get(1).and_then(|v| v.get::<gst::Element>().ok());
            let property = "add-reference-timestamp-meta";
            if let Some(manager) = manager.filter(|m| m.find_property(property).is_some()) {
                manager.set_property(property, true);
            }
            None
        });
        let (seen, media) = (seen.clone(), media.clone());
        source.connect_pad_added(move |_, pad| {
            let (seen, media) = (seen.clone(), media.clone());
            // The last time stamp, and the sum of all steps since the first: time stamps wrap around.
            let sum: Mutex<Option<(u32, i64)>> = Mutex::new(None);
            pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
                let clock = pad.current_caps().and_then(|caps| {
                    let structure = caps.structure(0)?;
                    let rate = structure.get::<i32>("clock-rate").ok()?;
                    let kind = match structure.get::<&str>("media").ok()? {
                        "video" => Kind::Video,
                        "audio" => Kind::Audio,
                        _ => return None,
                    };
                    (rate > 0).then_some((kind, f64::from(rate)))
                });
                let stamp = info.buffer().and_then(|buffer| {
                    let bytes = buffer.map_readable().ok()?;
                    let stamp = bytes.get(4..8)?;
                    Some(u32::from_be_bytes(stamp.try_into().ok()?))
                });
                if let Some(zero_ns) = info.buffer().and_then(|buffer| camera_zero(pad, buffer)) {
                    media.camera_said(zero_ns);
                }
                if let Some(((kind, rate), stamp)) = clock.zip(stamp) {
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    let (last, all) = sum.unwrap_or((stamp, 0));
                    let all = all + i64::from(stamp.wrapping_sub(last) as i32);
                    *sum = Some((stamp, all));
                    let mut skew = seen.skew.lock().unwrap_or_else(PoisonError::into_inner);
                    skew.came(kind, begun.elapsed().as_secs_f64(), all as f64 / rate);
                }
                gst::PadProbeReturn::Ok
            });
        });
    }
}

/// The stream's zero by the camera's wall clock, ns since 1970, if a packet says it.
fn camera_zero(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<i64> {
    let meta = buffer.meta::<gst::ReferenceTimestampMeta>()?;
    if !meta
        .reference()
        .structure(0)?
        .name()
        .starts_with("timestamp/x-ntp")
    {
        return None;
    }
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    let time = stream_time(segment, buffer.pts()?)?;
    let said = i64::try_from(meta.timestamp().nseconds()).ok()?;
    said.checked_sub(FROM_1900)?.checked_sub(time.get())
}
