//! GStreamer's own validation scenarios, and seeks that coincide with the gate's own.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gst::prelude::*;
use gstearmark::structures;

use crate::support::{ffmpeg, in_time, linking, plan, run};

const MEDIA: &str = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=20 \
    -f lavfi -i aevalsrc='0.8*sin(2000*t)*exp(-30*mod(t\\,1.5))':s=48000:d=20 \
    -c:v libx264 -preset ultrafast -g 25 -bf 2 -pix_fmt yuv420p -c:a aac";

fn seconds(s: f64) -> gst::ClockTime {
    gst::ClockTime::from_seconds_f64(s)
}

/// What is done to a pipeline.
#[derive(Clone, Copy, Debug)]
enum Act {
    Go(gst::State),
    /// From a place to a place or the end, in seconds.
    Seek(f64, Option<f64>),
    Wait(u64),
}

use Act::{Go, Seek, Wait};
use gst::State::{Null, Paused, Playing, Ready};

/// After the names of the scenarios.
fn scenarios() -> Vec<(&'static str, Vec<Act>)> {
    let scrub = (0..40).map(|step| Seek(f64::from(step * 7 % 19), None));
    let seeks = |times: &[f64]| {
        let steps = times.iter().flat_map(|at| [Seek(*at, None), Wait(60)]);
        [Go(Playing)].into_iter().chain(steps).collect::<Vec<_>>()
    };
    let pauses = [Go(Playing), Wait(40), Go(Paused), Wait(20)];
    let intensive = [Go(Playing), Wait(15), Go(Ready), Go(Null), Go(Paused)];
    vec![
        ("simple_seeks", seeks(&[5.0, 0.0, 12.5])),
        ("seek_forward", seeks(&[2.0, 5.0, 8.0, 11.0, 14.0, 17.0])),
        (
            "seek_backward",
            seeks(&[17.0, 14.0, 11.0, 8.0, 5.0, 2.0, 0.0]),
        ),
        ("pause_resume", pauses.repeat(12)),
        ("change_state_intensive", intensive.repeat(8)),
        ("seek_with_stop", vec![Go(Paused), Seek(4.0, Some(7.0))]),
        ("scrub", [Go(Paused)].into_iter().chain(scrub).collect()),
    ]
}

fn act(pipeline: &gst::Pipeline, act: Act, what: &str) {
    let pipeline = pipeline.clone();
    in_time(what, move || match act {
        Go(state) => {
            pipeline.set_state(state).unwrap();
            let (done, ..) = pipeline.state(gst::ClockTime::from_seconds(30));
            done.unwrap();
        }
        Wait(ms) => std::thread::sleep(Duration::from_millis(ms)),
        Seek(from, until) => {
            let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
            let (kind, stop) = match until {
                Some(until) => (gst::SeekType::Set, Some(seconds(until))),
                None => (gst::SeekType::Set, gst::ClockTime::NONE),
            };
            let (set, from) = (gst::SeekType::Set, seconds(from));
            pipeline.seek(1.0, flags, set, from, kind, stop).unwrap();
            let (done, ..) = pipeline.state(gst::ClockTime::from_seconds(30));
            done.unwrap();
        }
    });
}

fn pipeline(file: &Path, gate: &str, planned: bool) -> gst::Pipeline {
    let sound = "queue name=sound ! decodebin name=heard audioconvert name=audio ! audioresample ! eventness ! gate.cues";
    let line = format!(
        "filesrc location={} ! parsebin name=demux queue name=coded ! gate.video {} \
         anchorgate name=gate {gate} ! decodebin name=seen framepick name=pick ! videoconvert ! fakesink name=out sync=true",
        file.display(),
        if planned { "" } else { sound },
    );
    let all = [
        ("demux", "coded", "video/"),
        ("seen", "pick", "video/"),
        ("demux", "sound", "audio/"),
        ("heard", "audio", "audio/"),
    ];
    linking(&line, if planned { &all[..2] } else { &all })
}

/// Times of the frames that come after the last flush, in seconds.
fn note(pipeline: &gst::Pipeline) -> Arc<Mutex<Vec<f64>>> {
    let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(kinds, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Event(_)) => noted.lock().unwrap().clear(),
            Some(gst::PadProbeData::Buffer(buffer)) => {
                let chosen = structures::buffer_tag(buffer).unwrap().unwrap();
                noted.lock().unwrap().push(chosen.pts.seconds());
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    seen
}

#[test]
fn scenarios_pass_wherever_they_lead() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", MEDIA) else {
        return;
    };
    let all: Vec<i64> = (0..20).map(|s| s * 1_000_000_000).collect();
    let plan = plan(folder.path(), &all);
    for (gate, planned) in [
        (String::new(), false),
        (format!("plan={} access=seek", plan.display()), true),
    ] {
        for (name, acts) in scenarios() {
            let pipeline = pipeline(&file, &gate, planned);
            let seen = note(&pipeline);
            let (mut from, mut until) = (0.0, 20.0);
            for (step, doing) in acts.into_iter().enumerate() {
                act(
                    &pipeline,
                    doing,
                    &format!("{name}, {step}: {doing:?} {gate}"),
                );
                match doing {
                    Seek(at, stop) => (from, until) = (at, stop.unwrap_or(20.0)),
                    Go(Null) => seen.lock().unwrap().clear(),
                    _ => {}
                }
            }
            // The rest as fast as it goes.
            pipeline.by_name("out").unwrap().set_property("sync", false);
            let ended = run(&pipeline);
            assert_eq!(ended.error, None, "{name} {gate}");
            let seen = seen.lock().unwrap();
            // Nothing comes from elsewhere, and all of what was asked for last comes.
            let inside = |at: &f64| (from - 1.1..until + 0.1).contains(at);
            assert!(seen.iter().all(inside), "{name} {gate}: {seen:?}");
            let least = (until - from) as usize * 3 / 4;
            assert!(seen.len() >= least, "{name} {gate}: {seen:?}");
            assert!(seen.is_sorted(), "{name} {gate}: {seen:?}");
        }
    }
}

/// An application's seek is under way whenever the gate makes one of its own.
#[test]
fn seeks_of_an_application_and_of_the_gate_come_together() {
    const TIMES: u32 = 6;
    let folder = tempfile::tempdir().unwrap();
    let arguments = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=60 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p";
    let Some(file) = ffmpeg(folder.path(), "a.mp4", arguments) else {
        return;
    };
    let times: Vec<i64> = (0..6).map(|number| number * 10_000_000_000).collect();
    let plan = plan(folder.path(), &times);
    for access in ["auto", "seek"] {
        let gate = format!("plan={} access={access}", plan.display());
        let pipeline = pipeline(&file, &gate, true);
        pipeline.by_name("out").unwrap().set_property("sync", false);
        let video = pipeline
            .by_name("gate")
            .unwrap()
            .static_pad("video")
            .unwrap();
        let (arrived, arrival) = sync_channel(100);
        video.add_probe(gst::PadProbeType::EVENT_FLUSH, move |_, info| {
            let starts =
                info.event().map(|event| event.type_()) == Some(gst::EventType::FlushStart);
            if starts {
                let _ = arrived.try_send(std::thread::current().id());
            }
            gst::PadProbeReturn::Ok
        });
        let (sought, seeks) = sync_channel(100);
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let (arrival, playing) = (Mutex::new(arrival), pipeline.downgrade());
        video.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            let Some(gst::EventView::Seek(seek)) = info.event().map(|event| event.view()) else {
                return gst::PadProbeReturn::Ok;
            };
            let own = seek.get().1.contains(gst::SeekFlags::SNAP_BEFORE);
            if !own || counted.fetch_add(1, Ordering::SeqCst) >= TIMES {
                return gst::PadProbeReturn::Ok;
            }
            let arrival = arrival.lock().unwrap();
            while arrival.try_recv().is_ok() {}
            let (pipeline, sought) = (playing.clone(), sought.clone());
            std::thread::spawn(move || {
                let pipeline = pipeline.upgrade().unwrap();
                let _ = pipeline.seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::SECOND);
                let _ = sought.send(());
            });
            // Its flush has come to the gate, or waits behind a lock that this seek's thread has.
            let _ = arrival.recv_timeout(Duration::from_secs(2));
            std::thread::sleep(Duration::from_millis(50));
            gst::PadProbeReturn::Ok
        });
        let ended = in_time("a seek does not come back", move || run(&pipeline));
        assert_eq!(ended.error, None, "{access}");
        let times = count.load(Ordering::SeqCst).min(TIMES);
        assert!(times >= 1, "{access}");
        for _ in 0..times {
            let back = seeks.recv_timeout(Duration::from_secs(20));
            assert_ne!(back, Err(RecvTimeoutError::Timeout), "{access}");
        }
    }
}
