//! The gate alone: events, bounds, ends in either order, flushes, stops at any moment.

use std::time::{Duration, Instant};

use anchoring::cue::{Cue, HOP, Onset};
use anchoring::time::Nanos;
use gst::prelude::*;
use gst_check::Harness;
use gstearmark::structures::{self, CUE_CAPS, Message};

use crate::support::{ffmpeg, init, plan, run};

/// A frame every 40 ms, a keyframe every second.
const FRAME: u64 = 40;
const GOP: u64 = 25;

pub(crate) struct Gate {
    pub(crate) video: Harness,
    /// `None` where nothing is linked to pad `cues`.
    pub(crate) cues: Option<Harness>,
    pub(crate) bus: gst::Bus,
}

impl Gate {
    pub(crate) fn new(properties: &[(&str, &str)], linked: bool) -> Self {
        init();
        let element = gst::ElementFactory::make("anchorgate").build().unwrap();
        for (name, value) in properties {
            element.set_property_from_str(name, value);
        }
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let cues = linked.then(|| {
            let mut cues = Harness::with_element(&element, Some("cues"), None);
            cues.set_src_caps_str(CUE_CAPS);
            cues
        });
        let mut video = Harness::with_element(&element, Some("video"), Some("src"));
        video.set_live(false);
        video.set_src_caps_str("video/x-vp8");
        Self { video, cues, bus }
    }

    pub(crate) fn element(&self) -> gst::Element {
        self.video.element().unwrap()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        let stats: gst::Structure = self.element().property("stats");
        stats.get(name).unwrap()
    }

    fn frame(&mut self, number: u64, bytes: usize) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut buffer = gst::Buffer::from_mut_slice(vec![0; bytes]);
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(gst::ClockTime::from_mseconds(number * FRAME));
            buffer.set_duration(gst::ClockTime::from_mseconds(FRAME));
            if !number.is_multiple_of(GOP) {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.video.push(buffer)
    }

    pub(crate) fn frames(&mut self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.frame(number, 100).unwrap();
        }
    }

    /// Cues of 80 ms each from `from` to `until`, with an onset at every whole second.
    pub(crate) fn hear(&mut self, from: u64, until: u64) {
        cues_between(self.cues.as_mut().unwrap(), from, until);
    }

    /// Everything that comes out up to EOS: events by kind, buffers as `frame`.
    pub(crate) fn until_eos(&mut self) -> Vec<gst::Event> {
        let mut events = Vec::new();
        let began = Instant::now();
        loop {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no EOS: {events:?}"
            );
            let Some(event) = self.video.try_pull_event() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let ended = event.type_() == gst::EventType::Eos;
            events.push(event);
            if ended {
                return events;
            }
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        std::iter::from_fn(|| self.bus.pop_filtered(&[gst::MessageType::Warning]))
            .map(|message| match message.view() {
                gst::MessageView::Warning(warning) => warning.error().to_string(),
                _ => String::new(),
            })
            .collect()
    }
}

/// See [`Gate::hear`].
pub(crate) fn cues_between(cues: &mut Harness, from: u64, until: u64) {
    for number in from * 25 / 2..until * 25 / 2 {
        let pts = Nanos::new(HOP.get() * number as i64);
        let second = Nanos::new(pts.get().div_euclid(1_000_000_000) * 1_000_000_000);
        let onset = (second - pts).get().abs() < HOP.get() && pts >= second;
        let cue = Cue {
            pts,
            eventness: 0.5,
            uncertainty: 0.1,
            speech: 0.0,
            tags: Vec::new(),
            onset: (onset && pts.get() - second.get() < HOP.get()).then_some(Onset {
                at: pts + Nanos::from_ms(10),
                p: 0.9,
                uncertainty: 0.1,
            }),
            ..Cue::default()
        };
        let mut buffer = gst::Buffer::from_slice(structures::cue_to_text(&cue).into_bytes());
        let time = gst::ClockTime::from_nseconds(pts.get() as u64);
        buffer.make_mut().set_pts(time);
        cues.push(buffer).unwrap();
    }
}

pub(crate) fn messages(events: &[gst::Event]) -> Vec<Message> {
    let ours = events.iter().filter_map(|event| Message::from_event(event));
    ours.map(Result::unwrap).collect()
}

pub(crate) fn served(events: &[gst::Event]) -> usize {
    let chosen = |message: &&Message| matches!(message, Message::Chosen(_));
    messages(events).iter().filter(chosen).count()
}

#[test]
fn sound_cannot_be_linked_to_the_video_pad_and_caps_are_passed_on() {
    init();
    let gate = gst::ElementFactory::make("anchorgate").build().unwrap();
    let video = gate.static_pad("video").unwrap();
    let caps = video.query_caps(None);
    for sound in ["audio/mpeg, mpegversion=4", "audio/x-raw", "text/x-raw"] {
        let sound: gst::Caps = sound.parse().unwrap();
        assert!(!caps.can_intersect(&sound), "{sound}");
    }
    let au: gst::Caps = "video/x-h264, stream-format=avc, alignment=au"
        .parse()
        .unwrap();
    assert!(caps.can_intersect(&au));
    let nal: gst::Caps = "video/x-h264, stream-format=byte-stream, alignment=nal"
        .parse()
        .unwrap();
    assert!(!caps.can_intersect(&nal));
    // What comes behind the gate narrows what may come before it.
    let filter = gst::ElementFactory::make("capsfilter")
        .property("caps", &au)
        .build()
        .unwrap();
    gate.link(&filter).unwrap();
    let vp8: gst::Caps = "video/x-vp8".parse().unwrap();
    assert!(!video.query_caps(None).can_intersect(&vp8));
}

#[test]
fn events_keep_their_order_and_the_header_comes_before_all_messages() {
    let mut gate = Gate::new(&[("policy", "uniform")], false);
    gate.frames(0..30);
    let caps = gst::Caps::builder("video/x-vp8")
        .field("width", 64i32)
        .build();
    gate.video.push_event(gst::event::Caps::new(&caps));
    gate.video.push_event(gst::event::Gap::new(
        gst::ClockTime::ZERO,
        gst::ClockTime::SECOND,
    ));
    gate.frames(50..60);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let kinds: Vec<_> = events.iter().map(|event| event.type_()).collect();
    let first = [
        gst::EventType::StreamStart,
        gst::EventType::Caps,
        gst::EventType::Segment,
    ];
    assert_eq!(kinds[..3], first);
    assert!(matches!(messages(&events)[0], Message::Plan(_)));
    assert!(matches!(
        messages(&events).last(),
        Some(Message::Summary(_))
    ));
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == gst::EventType::Caps)
            .count(),
        2
    );
    assert!(gate.warnings().is_empty());
}

#[test]
fn what_only_helps_to_decode_others_is_flagged() {
    let folder = tempfile::tempdir().unwrap();
    let at = |number: u64| (number * FRAME * 1_000_000) as i64;
    let plan = plan(folder.path(), &[at(0), at(3), at(52)]);
    let mut gate = Gate::new(&[("plan", plan.to_str().unwrap())], false);
    gate.frames(0..75);
    gate.video.push_event(gst::event::Eos::new());
    gate.until_eos();
    let passed: Vec<(u64, bool)> = std::iter::from_fn(|| gate.video.try_pull())
        .map(|unit| {
            let wanted = !unit.flags().contains(gst::BufferFlags::DECODE_ONLY);
            (unit.pts().unwrap().mseconds() / FRAME, wanted)
        })
        .collect();
    let first = [(0, true), (1, false), (2, false), (3, true)];
    let second = [(50, false), (51, false), (52, true)];
    assert_eq!(passed, [&first[..], &second[..]].concat());
}

#[test]
fn ends_come_in_either_order() {
    for cues_first in [true, false] {
        let mut gate = Gate::new(&[], true);
        gate.hear(0, 10);
        gate.frames(0..250);
        if cues_first {
            gate.cues
                .as_mut()
                .unwrap()
                .push_event(gst::event::Eos::new());
            gate.video.push_event(gst::event::Eos::new());
        } else {
            gate.video.push_event(gst::event::Eos::new());
            std::thread::sleep(Duration::from_millis(200));
            gate.cues
                .as_mut()
                .unwrap()
                .push_event(gst::event::Eos::new());
        }
        let events = gate.until_eos();
        assert!(served(&events) >= 10, "{}", served(&events));
        assert_eq!(gate.number("entries"), served(&events) as u64);
        assert!(gate.number("anchors") >= 1);
        assert!(gate.warnings().is_empty());
        assert_eq!(gate.number("held-bytes"), 0);
    }
}

#[test]
fn an_end_that_the_cues_never_reach_is_waited_for_no_longer_than_patience() {
    let mut gate = Gate::new(&[("patience-ms", "300")], true);
    gate.hear(0, 2);
    gate.frames(0..250);
    let began = Instant::now();
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let waited = began.elapsed();
    assert!(
        Duration::from_millis(250) < waited && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    assert!(served(&events) >= 8);
    assert_eq!(gate.warnings().len(), 2, "late, and cues that end early");
}

#[test]
fn held_units_are_bounded_in_bytes_and_in_time() {
    for (bound, bytes, frames) in [("max-bytes", 64 << 10, 400), ("max-lag-ms", 100, 600)] {
        let value = if bound == "max-bytes" {
            "1048576"
        } else {
            "3000"
        };
        let mut gate = Gate::new(&[(bound, value), ("patience-ms", "200")], true);
        gate.hear(0, 1);
        let began = Instant::now();
        for number in 0..frames {
            gate.frame(number, bytes).unwrap();
            while let Some(_passed) = gate.video.try_pull() {}
            if bound == "max-bytes" {
                // What waits for cues, 8 MiB that wait to be pushed, and the GOP that went over.
                assert!(gate.number("held-bytes") < (1 << 20) + (8 << 20) + 25 * (65 << 10));
            } else {
                assert!(gate.number("held-ns") <= 3_100_000_000);
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        let warnings = gate.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        gate.video.push_event(gst::event::Eos::new());
        let events = gate.until_eos();
        assert!(served(&events) >= (frames * FRAME / 1000) as usize - 2);
    }
}

#[test]
fn cues_that_make_progress_are_waited_for_at_the_bound() {
    let mut gate = Gate::new(&[("max-lag-ms", "2000"), ("patience-ms", "2000")], true);
    let mut cues = gate.cues.take().unwrap();
    let hearing = std::thread::spawn(move || {
        for number in 0..125 {
            std::thread::sleep(Duration::from_millis(5));
            let cue = Cue {
                pts: Nanos::new(HOP.get() * number),
                uncertainty: 0.1,
                ..Cue::default()
            };
            let text = structures::cue_to_text(&cue).into_bytes();
            cues.push(gst::Buffer::from_slice(text)).unwrap();
        }
        cues.push_event(gst::event::Eos::new());
        cues
    });
    gate.frames(0..250);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let _cues = hearing.join().unwrap();
    let warnings = gate.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    let fallback = messages(&events).iter().any(|message| {
        matches!(message, Message::Chosen(chosen) if chosen.entry.reason == anchoring::plan::Reason::Untrusted)
    });
    assert!(!fallback);
}

#[test]
fn a_jump_of_the_video_is_one_discontinuity() {
    // A day without cues, so that all frames are evenly spaced.
    let day = 24 * 3600 * 1000 / FRAME;
    let mut gate = Gate::new(&[("max-gap-ms", "100"), ("tokens-per-s", "490")], false);
    gate.frames(0..100);
    gate.frames(day..day + 100);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    assert!(served(&events) <= 100, "{}", served(&events));
    assert!(messages(&events).len() < 250, "{}", messages(&events).len());
    let warnings = gate.warnings();
    let warnings: Vec<_> = warnings
        .iter()
        .filter(|w| w.contains("no frames"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn no_frame_is_paid_twice_where_the_caps_give_no_rate() {
    // Two entries a frame could be paid.
    let mut gate = Gate::new(&[("max-gap-ms", "20"), ("tokens-per-s", "9800")], false);
    gate.frames(0..250);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let frame = FRAME as i64 * 1_000_000;
    let taken: Vec<i64> = messages(&events)
        .into_iter()
        .filter_map(|message| match message {
            Message::Chosen(chosen) => Some(chosen.entry.planned.get()),
            _ => None,
        })
        // The interval is known after eight frames.
        .filter(|&planned| planned >= 10 * frame)
        .collect();
    assert!(taken.len() >= 200, "{}", taken.len());
    assert_eq!(taken.windows(2).filter(|w| w[1] - w[0] < frame).count(), 0);
}

#[test]
fn cues_that_step_back_are_left_out_and_said_once() {
    let mut gate = Gate::new(&[], true);
    gate.frames(0..25);
    gate.hear(0, 2);
    gate.hear(0, 2);
    gate.hear(2, 4);
    gate.frames(25..100);
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::Eos::new());
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let cues: Vec<Nanos> = messages(&events)
        .into_iter()
        .filter_map(|message| match message {
            Message::Cue(cue) => Some(cue.pts),
            _ => None,
        })
        .collect();
    assert_eq!(cues.len(), 50);
    assert!(cues.windows(2).all(|w| w[0] < w[1]), "{cues:?}");
    let warnings = gate.warnings();
    let back = warnings.iter().filter(|w| w.contains("lie before"));
    assert_eq!(back.count(), 1, "{warnings:?}");
}

#[test]
fn an_unlinked_cues_pad_is_said_once_and_held_against_nothing() {
    let mut gate = Gate::new(&[], false);
    gate.frames(0..250);
    // Decided as it comes: all but what the next GOP may still need.
    assert!(gate.number("held-ns") < 2_100_000_000);
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    assert!(served(&events) >= 9);
    assert_eq!(gate.warnings().len(), 1);
}

#[test]
fn a_flush_forgets_held_units_and_starts_over() {
    let mut gate = Gate::new(&[], true);
    gate.hear(0, 3);
    gate.frames(0..100);
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::FlushStart::new());
    gate.video.push_event(gst::event::FlushStart::new());
    assert_eq!(gate.frame(101, 10), Err(gst::FlowError::Flushing));
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::FlushStop::new(true));
    gate.video.push_event(gst::event::FlushStop::new(true));
    assert_eq!(gate.number("held-bytes"), 0);
    while let Some(_stale) = gate.video.try_pull_event() {}
    // Entered at 60 s, as after a seek.
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(60));
    segment.set_time(gst::ClockTime::from_seconds(60));
    segment.set_position(gst::ClockTime::from_seconds(60));
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::Segment::new(&segment));
    gate.video.push_event(gst::event::Segment::new(&segment));
    gate.hear(60, 70);
    gate.frames(1500..1750);
    gate.cues
        .as_mut()
        .unwrap()
        .push_event(gst::event::Eos::new());
    gate.video.push_event(gst::event::Eos::new());
    let events = gate.until_eos();
    let messages = messages(&events);
    assert!(
        !messages
            .iter()
            .any(|message| matches!(message, Message::Miss(_)))
    );
    let times: Vec<f64> = messages
        .iter()
        .filter_map(|message| match message {
            Message::Chosen(chosen) => Some(chosen.entry.planned.seconds()),
            _ => None,
        })
        .collect();
    assert!(times.len() >= 10, "{times:?}");
    assert!(
        times.iter().all(|at| (60.0..70.0).contains(at)),
        "{times:?}"
    );
}

#[test]
fn the_latency_grows_with_the_longest_gop_and_the_look_ahead() {
    let mut gate = Gate::new(&[("look-ahead-ms", "1500")], false);
    gate.video.set_live(true);
    gate.video
        .set_upstream_latency(gst::ClockTime::from_mseconds(100));
    gate.frames(0..60);
    let latency = gate.video.query_latency().unwrap();
    assert_eq!(latency.mseconds(), 100 + 1500 + 1000);
}

#[test]
fn a_live_source_is_never_held_up_by_cues_that_do_not_come() {
    let mut gate = Gate::new(&[("max-lag-ms", "1000"), ("patience-ms", "60000")], true);
    gate.video.set_live(true);
    let began = Instant::now();
    gate.frames(0..250);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(gate.warnings().len(), 1);
}

#[test]
fn an_invalid_cue_is_an_error() {
    let mut gate = Gate::new(&[], true);
    let pushed = gate
        .cues
        .as_mut()
        .unwrap()
        .push(gst::Buffer::from_slice(b"nonsense"));
    assert_eq!(pushed, Err(gst::FlowError::Error));
    assert!(gate.bus.pop_filtered(&[gst::MessageType::Error]).is_some());
}

const MEDIA: &str = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=30 \
    -f lavfi -i aevalsrc='0.8*sin(2000*t)*exp(-30*mod(t\\,1.5))':s=48000:d=30 \
    -c:v libx264 -g 50 -bf 2 -pix_fmt yuv420p -c:a aac";

fn pipeline(file: &std::path::Path, gate: &str) -> gst::Pipeline {
    init();
    let line = format!(
        "filesrc location={} ! parsebin name=demux demux. ! queue ! gate.video \
         demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness ! gate.cues \
         anchorgate name=gate {gate} ! decodebin ! framepick ! videoconvert ! fakesink name=out",
        file.display()
    );
    gst::parse::launch(&line).unwrap().downcast().unwrap()
}

#[test]
fn a_pipeline_can_be_stopped_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", MEDIA) else {
        return;
    };
    for step in 0..40 {
        let sync = if step % 2 == 0 { "sync=true" } else { "" };
        let pipeline = pipeline(&file, "");
        let out = pipeline.by_name("out").unwrap();
        out.set_property("sync", !sync.is_empty());
        let target = if step % 4 < 2 {
            gst::State::Playing
        } else {
            gst::State::Paused
        };
        let _ = pipeline.set_state(target);
        std::thread::sleep(Duration::from_millis(step * 15));
        let (done, stopped) = std::sync::mpsc::sync_channel(1);
        let stopping = pipeline.clone();
        std::thread::spawn(move || {
            let _ = stopping.set_state(gst::State::Null);
            let _ = done.send(());
        });
        assert!(
            stopped.recv_timeout(Duration::from_secs(20)).is_ok(),
            "stuck at step {step}"
        );
    }
}

#[test]
fn a_flushing_seek_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", MEDIA) else {
        return;
    };
    let plan = plan(
        folder.path(),
        &(0..30).map(|s| s * 1_000_000_000).collect::<Vec<_>>(),
    );
    for gate in [String::new(), format!("plan={}", plan.display())] {
        let pipeline = pipeline(&file, &gate);
        pipeline.set_state(gst::State::Paused).unwrap();
        let (result, ..) = pipeline.state(gst::ClockTime::from_seconds(20));
        assert!(result.is_ok());
        let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = seen.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let chosen = info
                .buffer()
                .and_then(|buffer| structures::buffer_tag(buffer));
            noted.lock().unwrap().extend(chosen.map(Result::unwrap));
            gst::PadProbeReturn::Ok
        });
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT;
        pipeline
            .seek_simple(flags, gst::ClockTime::from_seconds(20))
            .unwrap();
        let ended = run(&pipeline);
        assert_eq!(ended.error, None);
        let seen = seen.lock().unwrap();
        assert!(seen.len() >= 9, "{gate}: {seen:?}");
        assert!(
            seen.iter().all(|chosen| chosen.pts.seconds() >= 19.9),
            "{gate}: {seen:?}"
        );
    }
}
