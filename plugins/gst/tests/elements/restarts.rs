//! Restarts: flushes, further streams and segments, and events that go upstream.

use std::time::{Duration, Instant};

use anchoring::plan::Reason;
use gst::prelude::*;
use gst_check::Harness;
use gstearmark::structures::{CUE_CAPS, Message};

use crate::eventness_and_framepick::{chosen, frame, picker};
use crate::gate::{Gate, cues_between, messages, served};
use crate::support::{ffmpeg, init, run};

/// Events up to the first of this type, that one included.
fn until(gate: &mut Gate, kind: gst::EventType) -> Vec<gst::Event> {
    let began = Instant::now();
    let mut events = Vec::new();
    loop {
        assert!(began.elapsed() < Duration::from_secs(20), "{events:?}");
        let Some(event) = gate.video.try_pull_event() else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let found = event.type_() == kind;
        events.push(event);
        if found {
            return events;
        }
    }
}

fn segment(from_s: u64) -> gst::Event {
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    let from = gst::ClockTime::from_seconds(from_s);
    segment.set_start(from);
    segment.set_time(from);
    segment.set_position(from);
    gst::event::Segment::new(&segment)
}

fn flush(harness: &mut Harness) {
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
}

fn seeks(harness: &mut Harness) -> Vec<gst::Seqnum> {
    std::iter::from_fn(|| harness.try_pull_upstream_event())
        .filter(|event| event.type_() == gst::EventType::Seek)
        .map(|event| event.seqnum())
        .collect()
}

fn seek(to_s: u64) -> gst::Event {
    gst::event::Seek::new(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::from_seconds(to_s),
        gst::SeekType::None,
        gst::ClockTime::NONE,
    )
}

#[test]
fn a_flush_keeps_stream_caps_and_tags_that_still_wait() {
    let mut gate = Gate::new(&[], true);
    gate.frames(0..30);
    until(&mut gate, gst::EventType::Segment);
    let caps = |width: i32| {
        let caps = gst::Caps::builder("video/x-vp8").field("width", width);
        gst::event::Caps::new(&caps.build())
    };
    let tag = || {
        let mut tags = gst::TagList::new();
        let orientation = &"rotate-90";
        tags.make_mut()
            .add::<gst::tags::ImageOrientation>(orientation, gst::TagMergeMode::Append);
        gst::event::Tag::new(tags)
    };
    // Before a unit that is held, and after the last one.
    gate.video.push_event(caps(64));
    gate.video.push_event(tag());
    gate.frames(30..40);
    gate.video.push_event(caps(32));
    gate.video.push_event(segment(7));
    flush(&mut gate.video);
    until(&mut gate, gst::EventType::FlushStop);
    gate.video.push_event(segment(60));
    let events = until(&mut gate, gst::EventType::Segment);
    let kinds: Vec<_> = events.iter().map(|event| event.type_()).collect();
    let wanted = [
        gst::EventType::Tag,
        gst::EventType::Caps,
        gst::EventType::Segment,
    ];
    assert_eq!(kinds, wanted, "of the caps the last, of the segments none");
    let gst::EventView::Caps(caps) = events[1].view() else {
        unreachable!();
    };
    let width = caps.caps().structure(0).unwrap().get::<i32>("width");
    assert_eq!(width, Ok(32));
}

#[test]
fn sound_that_is_flushed_before_the_video_is_heard_afterwards() {
    let mut gate = Gate::new(&[], true);
    gate.hear(0, 3);
    gate.frames(0..100);
    let mut cues = gate.cues.take().unwrap();
    flush(&mut cues);
    let hearing = std::thread::spawn(move || {
        cues.push_event(segment(60));
        cues_between(&mut cues, 60, 70);
        cues.push_event(gst::event::Eos::new());
        cues
    });
    std::thread::sleep(Duration::from_millis(200));
    flush(&mut gate.video);
    while gate.video.try_pull_event().is_some() {}
    gate.video.push_event(segment(60));
    gate.frames(1500..1750);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let _cues = hearing.join().unwrap();
    let reasons: Vec<Reason> = messages(&events)
        .iter()
        .filter_map(|message| match message {
            Message::Chosen(chosen) => Some(chosen.entry.reason),
            _ => None,
        })
        .collect();
    assert!(reasons.contains(&Reason::Anchor), "{reasons:?}");
    let warnings = gate.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn sound_alone_that_is_flushed_goes_on() {
    let mut gate = Gate::new(&[], true);
    gate.hear(0, 3);
    let cues = gate.cues.as_mut().unwrap();
    flush(cues);
    cues.push_event(segment(0));
    gate.hear(3, 10);
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::Eos::new());
    gate.frames(0..250);
    gate.video.push_event(gst::event::Eos::new());
    assert!(served(&gate.until_eos()) >= 9);
}

#[test]
fn a_seek_goes_to_sound_and_video() {
    let mut gate = Gate::new(&[], true);
    gate.hear(0, 1);
    gate.frames(0..10);
    let seek = seek(3);
    let seqnum = seek.seqnum();
    assert!(gate.video.push_upstream_event(seek));
    assert_eq!(seeks(&mut gate.video), [seqnum]);
    assert_eq!(seeks(gate.cues.as_mut().unwrap()), [seqnum]);
}

#[test]
fn without_video_queries_and_seeks_go_to_the_sound() {
    init();
    let element = gst::ElementFactory::make("anchorgate")
        .property("look-ahead-ms", 1500u32)
        .build()
        .unwrap();
    let mut sound = Harness::with_element(&element, Some("cues"), Some("src"));
    sound.set_live(true);
    sound.set_src_caps_str(CUE_CAPS);
    sound.set_upstream_latency(gst::ClockTime::from_mseconds(300));
    let latency = sound.query_latency();
    assert_eq!(latency, Some(gst::ClockTime::from_mseconds(1800)));
    let src = element.static_pad("src").unwrap();
    let before = element.static_pad("cues").unwrap().peer().unwrap();
    before.add_probe(gst::PadProbeType::QUERY_UPSTREAM, |_, info| {
        match info.query_mut().map(|query| query.view_mut()) {
            Some(gst::QueryViewMut::Duration(query)) => query.set(gst::ClockTime::from_seconds(7)),
            Some(gst::QueryViewMut::Position(query)) => query.set(gst::ClockTime::from_seconds(5)),
            _ => return gst::PadProbeReturn::Ok,
        }
        gst::PadProbeReturn::Handled
    });
    let seconds = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::seconds);
    assert_eq!(seconds(src.query_duration()), Some(7));
    assert_eq!(seconds(src.query_position()), Some(5));
    let seek = seek(3);
    let seqnum = seek.seqnum();
    assert!(sound.push_upstream_event(seek));
    assert_eq!(seeks(&mut sound), [seqnum]);
}

#[test]
fn the_least_latency_is_never_more_than_the_most() {
    let gate = Gate::new(&[("look-ahead-ms", "1500"), ("max-lag-ms", "2000")], true);
    for (pad, ms) in [("video", 100), ("cues", 9000)] {
        let before = gate.element().static_pad(pad).unwrap().peer().unwrap();
        before.add_probe(gst::PadProbeType::QUERY_UPSTREAM, move |_, info| {
            if let Some(gst::QueryViewMut::Latency(query)) =
                info.query_mut().map(|query| query.view_mut())
            {
                let time = gst::ClockTime::from_mseconds(ms);
                query.set(true, time, Some(time));
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        });
    }
    let mut query = gst::query::Latency::new();
    assert!(gate.element().static_pad("src").unwrap().query(&mut query));
    let (live, min, max) = query.result();
    assert!(live);
    // Cues come nine seconds late, and the gate waits for them.
    assert_eq!(min.mseconds(), 9000 + 1500);
    assert!(max.unwrap() >= min, "{max:?}");
}

#[test]
fn a_finished_segment_releases_its_frames_and_another_may_follow() {
    let mut gate = Gate::new(&[("policy", "uniform")], false);
    for from in [0, 40, 40] {
        gate.video.push_event(segment(from));
        gate.frames(from * 25..from * 25 + 60);
        let at = gst::ClockTime::from_mseconds(from * 1000 + 2400);
        gate.video.push_event(gst::event::SegmentDone::new(at));
        let events = until(&mut gate, gst::EventType::SegmentDone);
        assert!(served(&events) >= 2, "{events:?}");
        let summary = messages(&events).pop();
        assert!(matches!(summary, Some(Message::Summary(_))), "{summary:?}");
        assert_eq!(gate.number("held-bytes"), 0);
    }
    let entries = gate.number("entries");
    assert!(entries >= 6, "{entries}");
}

#[test]
fn a_stream_after_the_end_of_another_is_gated_like_the_first() {
    let mut gate = Gate::new(&[("policy", "uniform")], false);
    for number in 0..3 {
        if number > 0 {
            let start = gst::event::StreamStart::new(&format!("stream {number}"));
            assert!(gate.video.push_event(start));
            let caps: gst::Caps = "video/x-vp8".parse().unwrap();
            assert!(gate.video.push_event(gst::event::Caps::new(&caps)));
            assert!(gate.video.push_event(segment(0)));
        }
        gate.frames(0..75);
        gate.video.push_event(gst::event::Eos::new());
        let events = gate.until_eos();
        assert_eq!(events[0].type_(), gst::EventType::StreamStart);
        assert!(served(&events) >= 2, "{number}: {events:?}");
        let messages = messages(&events);
        assert!(matches!(messages.first(), Some(Message::Plan(_))));
        let Some(Message::Summary(summary)) = messages.last() else {
            panic!("{messages:?}");
        };
        assert_eq!(summary.duration.get(), 3_000_000_000);
    }
}

#[test]
fn a_picker_goes_on_with_a_stream_after_the_end_of_another() {
    let mut picker = picker();
    for number in 0..2 {
        if number > 0 {
            assert!(picker.push_event(gst::event::StreamStart::new("second")));
            let caps = "video/x-raw, format=RGB, width=8, height=8, framerate=25/1";
            let caps: gst::Caps = caps.parse().unwrap();
            assert!(picker.push_event(gst::event::Caps::new(&caps)));
            assert!(picker.push_event(segment(0)));
        }
        picker.push_event(Message::Chosen(chosen(40)).to_event());
        for ms in [0, 40, 80] {
            picker.push(frame(ms)).unwrap();
        }
        picker.push_event(gst::event::Eos::new());
        let at: Vec<_> = std::iter::from_fn(|| picker.try_pull())
            .map(|buffer| buffer.pts().unwrap().mseconds())
            .collect();
        assert_eq!(at, [40], "{number}");
    }
}

#[test]
fn a_picker_marks_the_first_frame_of_a_segment_and_keeps_lateness_to_itself() {
    let mut picker = picker();
    for ms in [40, 80, 200] {
        picker.push_event(Message::Chosen(chosen(ms)).to_event());
    }
    let mut discont = Vec::new();
    for ms in [0, 40, 80, 120, 160, 200] {
        if ms == 120 {
            picker.push_event(segment(0));
        }
        let mut frame = frame(ms);
        frame.make_mut().unset_flags(gst::BufferFlags::DISCONT);
        picker.push(frame).unwrap();
        while let Some(out) = picker.try_pull() {
            discont.push(out.flags().contains(gst::BufferFlags::DISCONT));
        }
    }
    assert_eq!(discont, [true, false, true]);
    let late = gst::event::Qos::new(
        gst::QOSType::Underflow,
        2.0,
        1_000_000_000,
        Some(gst::ClockTime::SECOND),
    );
    assert!(picker.push_upstream_event(late));
    let kinds = std::iter::from_fn(|| picker.try_pull_upstream_event());
    assert!(
        !kinds
            .into_iter()
            .any(|event| event.type_() == gst::EventType::Qos)
    );
}

#[test]
fn nothing_can_be_pulled_from() {
    init();
    for name in ["anchorgate", "framepick"] {
        let element = gst::ElementFactory::make(name).build().unwrap();
        element.set_state(gst::State::Ready).unwrap();
        for pad in element.pads() {
            let pulled = pad.activate_mode(gst::PadMode::Pull, true);
            assert!(pulled.is_err(), "{name} {}", pad.name());
            let mut query = gst::query::Scheduling::new();
            let answered = pad.direction() == gst::PadDirection::Src && pad.query(&mut query);
            assert!(!(answered && query.has_scheduling_mode(gst::PadMode::Pull)));
        }
        element.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn the_summary_comes_through_where_the_segment_ends_inside_the_last_frame() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=6 -c:v libx264 -g 50 -bf 2 -pix_fmt yuv420p";
    let Some(file) = ffmpeg(folder.path(), "a.mp4", arguments) else {
        return;
    };
    init();
    let line = format!(
        "filesrc location={} ! parsebin ! anchorgate name=gate ! decodebin ! framepick ! videoconvert ! fakesink name=out",
        file.display()
    );
    let pipeline = gst::parse::launch(&line).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let pad = |name: &str, pad: &str| pipeline.by_name(name).unwrap().static_pad(pad).unwrap();
    let kinds = gst::PadProbeType::EVENT_DOWNSTREAM;
    pad("gate", "video").add_probe(kinds, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(segment) = event.view()
        {
            let mut segment = segment.segment().clone();
            let segment = segment.downcast_mut::<gst::ClockTime>().unwrap();
            let start = segment.start().unwrap();
            segment.set_stop(start + gst::ClockTime::from_mseconds(5985));
            *event = gst::event::Segment::new(segment);
        }
        gst::PadProbeReturn::Ok
    });
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = seen.clone();
    pad("out", "sink").add_probe(kinds, move |_, info| {
        let message = info.event().and_then(|event| Message::from_event(event));
        noted.lock().unwrap().extend(message.map(Result::unwrap));
        gst::PadProbeReturn::Ok
    });
    let ended = run(&pipeline);
    assert_eq!(ended.error, None);
    let seen = seen.lock().unwrap();
    let Some(Message::Summary(summary)) = seen.last() else {
        panic!("{:?}", seen.last());
    };
    assert_eq!(summary.duration.get(), 5_985_000_000);
    assert_eq!(summary.access_units_seen, 150);
    assert_eq!(summary.warnings.len(), 1, "{:?}", summary.warnings);
    let spent = ended.number("gate", "tokens");
    assert!(0 < spent && spent <= summary.budget_tokens);
}

/// What shows frames beside what keeps them, too slowly, asks for fewer. Those that were chosen come all the same. The decoder waits after each
/// frame: it still decodes when the display asks.
#[test]
fn a_slow_display_behind_a_tee_costs_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=6 -c:v libx264 -g 50 -bf 2 -pix_fmt yuv420p";
    let Some(file) = ffmpeg(folder.path(), "a.mp4", arguments) else {
        return;
    };
    init();
    for picked in [
        "framepick name=asked ! tee name=tee",
        "tee name=tee ! queue ! framepick name=asked",
    ] {
        let (kept, shown) = match picked.ends_with("tee") {
            true => ("tee. ! queue", "tee."),
            false => ("asked.", "tee."),
        };
        let line = format!(
            "filesrc location={} ! parsebin ! anchorgate policy=dense tokens-per-s=5000 ! decodebin name=decoder ! \
             identity sleep-time=5000 ! {picked} {kept} ! fakesink name=out sync=false \
             {shown} ! queue ! fakesink name=shown sync=true qos=true",
            file.display()
        );
        let pipeline = gst::parse::launch(&line).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let pad = |name: &str| pipeline.by_name(name).unwrap().static_pad("sink").unwrap();
        let late = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = late.clone();
        pad("shown").add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let qos = info
                .event()
                .is_some_and(|event| event.type_() == gst::EventType::Qos);
            counted.fetch_add(usize::from(qos), std::sync::atomic::Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
        let taken = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = taken.clone();
        // The display is late once a frame has come through: `framepick` has seen the decoder by then.
        let display = pipeline.by_name("shown").unwrap();
        pad("out").add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            display.set_property("ts-offset", -3_000_000_000_i64);
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            noted.lock().unwrap().extend(pts.map(|pts| pts.mseconds()));
            gst::PadProbeReturn::Ok
        });
        let ended = run(&pipeline);
        assert_eq!(ended.error, None, "{picked}");
        let late = late.load(std::sync::atomic::Ordering::Relaxed);
        assert!(late > 100, "{picked}: {late} times late");
        let taken = taken.lock().unwrap();
        let gap = taken.windows(2).find(|pair| pair[1] - pair[0] != 40);
        assert_eq!((taken.len(), gap), (150, None), "{picked}");
    }
}
