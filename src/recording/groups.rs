//! Detects open GOPs in H.264: keyframes that are recovery points, not IDR frames.

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstearmark::anchorgate::is_idr;

use super::probe::Input;

/// Limits of the search: keyframes, access units, time.
const KEYFRAMES: usize = 4;
const UNITS: usize = 3000;
const LONGEST: Duration = Duration::from_secs(10);

/// Whether one of the first H.264 keyframes of a recording is not an IDR frame; false if it cannot be read.
pub(crate) fn open_groups(input: &Input) -> bool {
    if input.path.is_none() {
        // A network source may be readable only once.
        return false;
    }
    let pipeline = gst::Pipeline::new();
    let open = open_among_first(&pipeline, input);
    let _ = pipeline.set_state(gst::State::Null);
    open == Some(true)
}

/// The same; `None` if nothing can be played.
fn open_among_first(pipeline: &gst::Pipeline, input: &Input) -> Option<bool> {
    let source = gst::Element::make_from_uri(gst::URIType::Src, &input.uri, None).ok()?;
    let parse = gst::ElementFactory::make("parsebin").build().ok()?;
    let h264 = gst::ElementFactory::make("h264parse").build().ok()?;
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "byte-stream")
        .field("alignment", "au")
        .build();
    let sink = gst_app::AppSink::builder()
        .caps(&caps)
        .sync(false)
        .max_buffers(4)
        .build();
    pipeline
        .add_many([&source, &parse, &h264, sink.upcast_ref()])
        .ok()?;
    gst::Element::link_many([&source, &parse]).ok()?;
    gst::Element::link_many([&h264, sink.upcast_ref()]).ok()?;
    let into = h264.static_pad("sink")?;
    parse.connect_pad_added(move |_, pad| {
        // Other streams fail to link, which is fine.
        if !into.is_linked() {
            let _ = pad.link(&into);
        }
    });
    pipeline.set_state(gst::State::Playing).ok()?;
    let bus = pipeline.bus()?;
    let (mut keyframes, mut units, began) = (0, 0, Instant::now());
    while keyframes < KEYFRAMES && units < UNITS && began.elapsed() < LONGEST {
        let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) else {
            let failed = bus.pop_filtered(&[gst::MessageType::Error]).is_some();
            if sink.is_eos() || failed {
                break;
            }
            continue;
        };
        units += 1;
        let Some(buffer) = sample.buffer() else {
            continue;
        };
        if buffer.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            continue;
        }
        match buffer.map_readable().ok().and_then(|unit| is_open(&unit)) {
            Some(true) => return Some(true),
            Some(false) => keyframes += 1,
            None => {}
        }
    }
    Some(false)
}

/// Whether the first slice of an access unit in byte-stream format belongs to a frame that is not an IDR frame; `None` without slices.
fn is_open(unit: &[u8]) -> Option<bool> {
    is_idr(unit).map(|idr| !idr)
}

#[cfg(test)]
mod tests {
    use super::is_open;

    #[test]
    fn the_first_slice_decides() {
        let sets = [0, 0, 0, 1, 0x67, 5, 0, 0, 1, 0x68, 5];
        let with = |slice: u8| [&sets[..], &[0, 0, 1, slice, 0x88]].concat();
        assert_eq!(is_open(&with(0x65)), Some(false));
        assert_eq!(is_open(&with(0x41)), Some(true));
        assert_eq!(is_open(&sets), None);
        assert_eq!(is_open(&[0, 0, 1]), None);
    }
}
