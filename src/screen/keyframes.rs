//! Measures some keyframes of a recording: seeks from one to the next, so that nothing else is decoded.

use anchoring::time::Nanos;
use anyhow::{Context, bail};
use gst::prelude::*;
use gstearmark::frame_quality::{FrameQuality, Luma, Measure};

/// Longest wait for a frame.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(20);
/// A stream without a length gives one frame.
const DESCRIPTION: &str = "uridecodebin name=source ! videoconvert ! video/x-raw,format=GRAY8 ! fakesink name=end sync=false enable-last-sample=true";

/// Measures this many keyframes, spread evenly over the recording; none if it has no video.
pub(super) fn some(uri: &str, most: usize) -> anyhow::Result<Vec<FrameQuality>> {
    let pipeline = gst::parse::launch(DESCRIPTION)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| anyhow::anyhow!("no pipeline"))?;
    let source = pipeline.by_name("source").context("no source")?;
    source.set_property("uri", uri);
    // Sound would wait for a missing sink.
    source.set_property(
        "caps",
        gst::Caps::builder("video/x-raw").any_features().build(),
    );
    source.set_property("expose-all-streams", false);
    let end = pipeline.by_name("end").context("no sink")?;
    let found = walk(&pipeline, &end, most);
    // Nothing more is wanted of it.
    let _ = pipeline.set_state(gst::State::Null);
    found
}

fn walk(
    pipeline: &gst::Pipeline,
    end: &gst::Element,
    most: usize,
) -> anyhow::Result<Vec<FrameQuality>> {
    pipeline.set_state(gst::State::Paused)?;
    if !settled(pipeline)? {
        return Ok(Vec::new());
    }
    let length = pipeline
        .query_duration::<gst::ClockTime>()
        .unwrap_or_default();
    let (mut measure, mut all, mut last) = (Measure::default(), Vec::new(), None);
    for k in 0..most.max(1) as u64 {
        if length.is_zero() && k > 0 {
            break;
        }
        let at = gst::ClockTime::from_nseconds(
            length.nseconds() / (2 * most.max(1) as u64) * (2 * k + 1),
        );
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        if !length.is_zero() && (pipeline.seek_simple(flags, at).is_err() || !settled(pipeline)?) {
            break;
        }
        let Some(sample) = end.property::<Option<gst::Sample>>("last-sample") else {
            continue;
        };
        let pts = sample.buffer().and_then(|buffer| buffer.pts());
        // Two points may lead to the same keyframe.
        if pts.is_none() || pts == last {
            continue;
        }
        last = pts;
        all.extend(measured(&mut measure, &sample));
    }
    Ok(all)
}

/// Waits until the pipeline has a frame; false if it has no video.
fn settled(pipeline: &gst::Pipeline) -> anyhow::Result<bool> {
    let bus = pipeline.bus().context("no bus")?;
    let wanted = [
        gst::MessageType::AsyncDone,
        gst::MessageType::Error,
        gst::MessageType::Eos,
    ];
    match bus.timed_pop_filtered(PATIENCE, &wanted) {
        None => bail!("no frame arrived in {} s", PATIENCE.seconds()),
        Some(message) => match message.view() {
            gst::MessageView::Error(error) if error.error().matches(gst::StreamError::Failed) => {
                Ok(false)
            }
            gst::MessageView::Error(error) => bail!("{}", error.error()),
            gst::MessageView::Eos(_) => Ok(false),
            _ => Ok(true),
        },
    }
}

/// Grey frames, as `DESCRIPTION` makes them: rows are padded to four bytes.
fn measured(measure: &mut Measure, sample: &gst::Sample) -> Option<FrameQuality> {
    let caps = sample.caps()?.structure(0)?;
    let side = |name: &str| usize::try_from(caps.get::<i32>(name).ok()?).ok();
    let (width, height) = (side("width")?, side("height")?);
    let colours = caps.get::<&str>("colorimetry").unwrap_or_default();
    let full = colours.starts_with("1:") || colours == "sRGB";
    let buffer = sample.buffer()?;
    let map = buffer.map_readable().ok()?;
    let luma = Luma::new(&map, width.next_multiple_of(4), width, height, full)?;
    let pts = i64::try_from(buffer.pts()?.nseconds()).ok()?;
    Some(measure.frame(Nanos::new(pts), &luma))
}
