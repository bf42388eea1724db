//! The element: what goes in comes out, in order; what is wrong is said and leaves nothing behind.

use anchoring::plan::Reason;
use anchoring::tier::Tier;
use gst::glib;
use gst::prelude::*;
use gstearmark::h5::{Summary, read_cues, read_summary, read_tables, read_thumbnails};
use gstearmark::onnx::{Provider, providers};
use gstearmark::structures::{Message, cue_to_text};

use crate::feed::{self, Feed, anchor, cue, entry};
use crate::tiny;

/// Half a minute of frames of all tiers; the plan's times lie 3 ms before the frames'.
fn feed_all(feed: &mut Feed) {
    feed.plan(30_000, 30 * 196);
    for id in 0..5 {
        assert!(feed.send(&Message::Anchor(anchor(id, 1000 + 5000 * i64::from(id)))));
    }
    for k in 0..375 {
        assert!(feed.send(&Message::Cue(cue(k))));
    }
    for second in 0..30 {
        let ms = second * 1000 + 40;
        let what = match second {
            1 | 6 | 11 | 16 | 21 => entry(
                ms - 3,
                Tier::High,
                Reason::Anchor,
                Some((second / 5) as u32),
            ),
            7..=9 => entry(ms - 3, Tier::Base, Reason::Untrusted, None),
            _ => entry(ms - 3, Tier::Low, Reason::Background, None),
        };
        feed.frame(ms, what).unwrap();
    }
    feed.send(&Message::Miss(entry(
        30_000,
        Tier::Low,
        Reason::Background,
        None,
    )));
    feed.summary(30_000, 30 * 196);
}

fn summary(feed: &Feed) -> Summary {
    read_summary(&feed.output()).unwrap()
}

#[test]
fn frames_anchors_and_cues_are_written_in_order() {
    let mut feed = Feed::new(|sink| {
        sink.set_property("batch", 4u32);
        sink.set_property("input-uri", "file:///kitchen.mp4");
        sink.set_property("input-bytes", 1234u64);
        sink.set_property("streams", "[{\"kind\":\"video\"}]");
    });
    assert_eq!(feed.files(), ["out.h5.partial"]);
    feed.frames_of(322, 180);
    feed_all(&mut feed);
    assert!(feed.end());
    assert_eq!(feed.files(), ["out.h5"]);

    let tables = read_tables(&feed.output()).unwrap();
    assert_eq!(
        tables.pts_ns,
        (0..30)
            .map(|s| (s * 1000 + 40) * 1_000_000)
            .collect::<Vec<i64>>()
    );
    assert_eq!(
        tables.planned_ns,
        (0..30)
            .map(|s| (s * 1000 + 37) * 1_000_000)
            .collect::<Vec<i64>>()
    );
    assert_eq!(tables.tier[1], Tier::High);
    assert_eq!(tables.anchor[..8], [-1, 0, -1, -1, -1, -1, 1, -1]);
    assert_eq!(tables.anchors[4].label, "Käfer, \"4\"");
    assert_eq!(tables.anchors[4].stop_ns, 21_040_000_000);

    let s = summary(&feed);
    let spent = 5 * 784 + 3 * 196 + 22 * 49;
    assert!(s.complete);
    assert_eq!(
        (s.video_id.as_str(), s.duration_ns),
        ("kitchen", 30_000_000_000)
    );
    assert_eq!(
        (s.frames, s.dim, s.spent_tokens, s.budget_tokens),
        (30, 3, spent, 30 * 196)
    );
    assert_eq!(
        (
            s.anchors,
            s.cues,
            s.frames_missed,
            s.access_units_seen,
            s.access_units_passed
        ),
        (5, 375, 1, 250, 20)
    );
    assert_eq!(
        (s.input_uri.as_str(), s.input_bytes),
        ("file:///kitchen.mp4", 1234)
    );
    assert_eq!(s.warnings, ["one thing"]);
    assert_eq!(
        s.shares
            .iter()
            .map(|share| share.frames)
            .collect::<Vec<_>>(),
        [22, 3, 5]
    );
    assert_eq!(s.models[0].name, "colour");
    assert_eq!(s.streams[0]["kind"], "video");
    assert!(s.config.contains("tokens_per_s"));
    assert!(s.versions.contains_key("onnxruntime"));

    // Both stages say what they did.
    let stats: Vec<gst::Structure> =
        std::iter::from_fn(|| feed.bus.pop_filtered(&[gst::MessageType::Element]))
            .filter_map(|message| message.structure().map(ToOwned::to_owned))
            .collect();
    let stages: Vec<String> = stats.iter().map(|s| s.get("stage").unwrap()).collect();
    assert_eq!(stages, ["encode", "write"]);
    assert_eq!(stats[0].get::<u64>("frames").unwrap(), 30);
    assert!(
        stats[0]
            .get::<String>("shares")
            .unwrap()
            .contains("\"high\"")
    );
}

#[test]
fn a_frame_that_was_moved_keeps_the_time_asked_for() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(322, 180);
    feed.plan(2_000, 392);
    let moved = anchoring::plan::Entry {
        asked: Some(anchoring::time::Nanos::from_ms(300)),
        ..entry(37, Tier::Low, Reason::Background, None)
    };
    feed.frame(40, moved).unwrap();
    feed.frame(1_040, entry(1_037, Tier::Low, Reason::Background, None))
        .unwrap();
    assert!(feed.end());
    let tables = read_tables(&feed.output()).unwrap();
    assert_eq!(tables.planned_ns, [37_000_000, 1_037_000_000]);
    assert_eq!(tables.asked_ns, [300_000_000, 1_037_000_000]);
}

#[test]
fn without_the_provider_featuresink_warns_and_runs_on_the_cpu() {
    let providers = providers().unwrap();
    assert!(providers.contains(&Provider::Cpu), "{providers:?}");
    let absent = Provider::ALL
        .into_iter()
        .find(|provider| !providers.contains(provider));
    for provider in std::iter::once(Provider::Cpu).chain(absent) {
        let mut feed = Feed::new(|sink| sink.set_property("provider", provider));
        feed.frames_of(322, 180);
        feed.plan(2_000, 392);
        feed.frame(40, entry(37, Tier::Low, Reason::Background, None))
            .unwrap();
        assert!(feed.end());
        let s = summary(&feed);
        assert_eq!((s.frames, s.provider.as_str()), (1, "cpu"));
        let expected = format!("cannot run the encoder on {provider} 0");
        let warned = provider != Provider::Cpu;
        assert_eq!(s.warnings.len(), usize::from(warned), "{:?}", s.warnings);
        assert!(
            s.warnings.iter().all(|text| text.contains(&expected)
                && text.contains(&format!("no provider {provider}")))
        );
    }
}

#[test]
fn thumbnails_bands_and_times_are_kept() {
    let mut feed = Feed::new(|sink| {
        sink.set_property("thumbnails", true);
        sink.set_property("times", "[{\"pass\":\"listen and plan\",\"seconds\":1.5}]");
    });
    feed.frames_of(320, 180);
    feed_all(&mut feed);
    assert!(feed.end());
    let s = summary(&feed);
    assert!(s.thumbnails);
    assert_eq!(s.times[0]["seconds"], 1.5);
    assert_eq!(s.times[1]["pass"], "decode, encode, write");
    assert!(s.times[1]["busy"]["thumbnails"].as_f64() > Some(0.0));

    let mut seen = Vec::new();
    read_thumbnails(&feed.output(), &[0, 1, 29, 500], |row, jpeg| {
        assert_eq!(jpeg[..2], [0xff, 0xd8], "row {row} is not a JPEG");
        seen.push((row, jpeg.len()));
    })
    .unwrap();
    assert_eq!(
        seen.iter().map(|(row, _)| *row).collect::<Vec<_>>(),
        [0, 1, 29]
    );

    let cues = read_cues(&feed.output()).unwrap();
    assert_eq!((cues.pts_ns.len(), cues.bands.len()), (375, 375 * 16));
    assert_eq!(cues.bands[16..18], cue(1).bands[..2]);
    assert_eq!(cues.speech[7], 0.125);
}

#[test]
fn files_without_thumbnails_or_bands_are_read() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(320, 180);
    feed_all(&mut feed);
    assert!(feed.end());
    assert!(!summary(&feed).thumbnails);
    read_thumbnails(&feed.output(), &[0], |_, _| panic!("there is none")).unwrap();
    let Some(python) = crate::files::python() else {
        return;
    };
    let script = "import h5py, sys\nwith h5py.File(sys.argv[1], 'a') as f:\n    del f['cues/bands'], f['cues/change'], f.attrs['times']";
    let done = std::process::Command::new(python)
        .args(["-c", script])
        .arg(feed.output())
        .status()
        .unwrap();
    assert!(done.success());
    // The seal is broken: only a copy is read.
    let copy = feed.output().with_file_name("copy.h5");
    gstearmark::h5::copy(&feed.output(), &copy, gstearmark::h5::Parts::All).unwrap();
    assert!(read_cues(&copy).unwrap().bands.is_empty());
    assert!(read_summary(&copy).unwrap().times.is_null());
}

#[test]
fn h5py_reads_what_was_written() {
    let Some(python) = crate::files::python() else {
        return;
    };
    for precision in ["f32", "f16"] {
        let mut feed = Feed::new(|sink| {
            sink.set_property_from_str("precision", precision);
            sink.set_property("thumbnails", precision == "f16");
        });
        feed.frames_of(64, 48);
        feed_all(&mut feed);
        assert!(feed.end());
        let script =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/featuresink/read.py");
        let done = std::process::Command::new(&python)
            .arg(script)
            .arg(feed.output())
            .arg(precision)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn a_change_of_size_in_mid_stream_is_followed() {
    let mut feed = Feed::new(|_| {});
    for (k, (width, height)) in [(64, 48), (1920, 1080), (1, 1)].into_iter().enumerate() {
        feed.frames_of(width, height);
        let ms = 1000 * k as i64;
        feed.frame(ms, entry(ms, Tier::Low, Reason::Background, None))
            .unwrap();
    }
    assert!(feed.end());
    assert_eq!(summary(&feed).frames, 3);
}

#[test]
fn rows_bear_the_recordings_own_time() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::from_seconds(3600));
    segment.set_time(gst::ClockTime::ZERO);
    assert!(feed.event(gst::event::Segment::new(&segment)));
    feed.frame(3_600_040, entry(40, Tier::Low, Reason::Background, None))
        .unwrap();
    assert!(feed.end());
    assert_eq!(read_tables(&feed.output()).unwrap().pts_ns, [40_000_000]);
    // Without a plan or a summary, the recording is as long as what was seen of it, and called like the file.
    assert_eq!(
        (summary(&feed).duration_ns, summary(&feed).video_id.as_str()),
        (40_000_000, "out")
    );
}

#[test]
fn a_recording_without_video_has_cues_and_anchors() {
    let mut feed = Feed::new(|_| {});
    feed.cues_only();
    feed.send(&Message::Anchor(anchor(0, 100)));
    feed.send(&Message::Cue(cue(0)));
    let mut buffer = gst::Buffer::from_slice(cue_to_text(&cue(1)));
    buffer
        .get_mut()
        .unwrap()
        .set_pts(gst::ClockTime::from_mseconds(80));
    feed.push(buffer).unwrap();
    assert!(feed.end());
    let s = summary(&feed);
    assert_eq!((s.frames, s.cues, s.anchors, s.spent_tokens), (0, 2, 1, 0));
}

/// What `videoflip` makes of a frame under that tag.
fn flipped(buffer: gst::Buffer, caps: &gst::Caps, tags: &gst::TagList) -> Vec<u8> {
    let mut flip = gst_check::Harness::new_parse("videoflip video-direction=auto");
    flip.set_src_caps(caps.clone());
    flip.push_event(gst::event::Tag::new(tags.clone()));
    flip.push(buffer).unwrap();
    flip.pull().unwrap().map_readable().unwrap().to_vec()
}

#[test]
fn a_turned_recording_is_stood_upright_as_videoflip_does() {
    const TAGS: [&str; 8] = [
        "rotate-0",
        "rotate-90",
        "rotate-180",
        "rotate-270",
        "flip-rotate-0",
        "flip-rotate-90",
        "flip-rotate-180",
        "flip-rotate-270",
    ];
    for tag in TAGS {
        let dir = tempfile::tempdir().unwrap();
        let model = tiny::quarter_encoder(dir.path());
        let mut feed = Feed::with(dir, &model, |_| {});
        feed.frames_of(64, 64);
        let mut tags = gst::TagList::new();
        tags.get_mut()
            .unwrap()
            .add::<gst::tags::ImageOrientation>(&tag, gst::TagMergeMode::Replace);
        assert!(feed.event(gst::event::Tag::new(tags.clone())));

        // Four quarters of four brightnesses.
        let mut buffer = feed.buffer(0);
        let mut map = buffer.make_mut().map_writable().unwrap();
        for (k, pixel) in map.chunks_mut(3).enumerate() {
            let quarter = k / 64 / 32 * 2 + k % 64 / 32;
            pixel.fill(50 * (quarter as u8 + 1));
        }
        drop(map);
        let caps = feed.caps();
        let upright = flipped(buffer.clone(), &caps, &tags);
        let wanted: Vec<f32> = [(16, 16), (16, 48), (48, 16), (48, 48)]
            .map(|(row, column)| f32::from(upright[(row * 64 + column) * 3]) / 255.0)
            .to_vec();

        feed.tagged(buffer, 0, entry(0, Tier::Low, Reason::Background, None))
            .unwrap();
        assert!(feed.end());
        assert_eq!(summary(&feed).rotation, tag);
        let features = gstearmark::h5::read_features(&feed.output()).unwrap();
        let far = features[..4]
            .iter()
            .zip(&wanted)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        // Scaling blurs the edges between the quarters a little.
        assert!(
            far < 0.03,
            "{tag}: {:?} instead of {wanted:?}",
            &features[..4]
        );
    }
}

#[test]
fn a_frame_without_an_entry_is_refused() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    let buffer = feed.buffer(0);
    assert_eq!(feed.push(buffer), Err(gst::FlowError::Error));
    assert!(feed.error().unwrap().to_string().contains("framepick"));
    drop_and_expect_nothing(feed);
}

#[test]
fn frames_out_of_order_are_refused() {
    let mut feed = Feed::new(|sink| sink.set_property("batch", 1u32));
    feed.frames_of(64, 48);
    feed.frame(1000, entry(1000, Tier::Low, Reason::Background, None))
        .unwrap();
    let _ = feed.frame(0, entry(0, Tier::Low, Reason::Background, None));
    assert!(!feed.end());
    let err = feed.error().unwrap();
    let text = err.to_string();
    assert!(
        err.matches(gst::StreamError::Format) && text.contains("seek back"),
        "{text}"
    );
    assert!(text.contains("(1 frame) is kept in"), "{text}");
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(kept(&feed).frames, 1);
}

#[test]
fn stopping_before_the_first_frame_leaves_nothing() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.send(&Message::Anchor(anchor(0, 100)));
    feed.send(&Message::Cue(cue(0)));
    drop_and_expect_nothing(feed);
}

/// What is there besides is complete but for its end.
fn kept(feed: &Feed) -> Summary {
    assert_eq!(feed.files(), ["out.h5.partial"]);
    let path = feed.dir.path().join("out.h5.partial");
    let problems = gstearmark::h5::check(&path).unwrap();
    assert!(
        problems.len() == 1 && problems[0].contains("not complete"),
        "{problems:?}"
    );
    read_summary(&path).unwrap()
}

fn drop_and_expect_nothing(feed: Feed) {
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(feed.files(), Vec::<String>::new());
}

#[test]
fn what_is_wrong_from_the_start_is_said_at_the_start() {
    type Set = fn(&gst::Element, &std::path::Path);
    let cases: [(Set, gst::ResourceError, &str); 7] = [
        (
            |_, dir| std::fs::write(dir.join("out.h5"), "old").unwrap(),
            gst::ResourceError::OpenWrite,
            "exists already",
        ),
        (
            |sink, dir| sink.set_property("location", dir.join("no/out.h5").to_str()),
            gst::ResourceError::OpenWrite,
            "no folder",
        ),
        (
            |sink, dir| sink.set_property("location", dir.to_str()),
            gst::ResourceError::OpenWrite,
            "is a folder",
        ),
        (
            |sink, _| sink.set_property("location", ""),
            gst::ResourceError::Settings,
            "`location` is empty",
        ),
        (
            |sink, _| sink.set_property("times", "{}"),
            gst::ResourceError::Settings,
            "JSON array",
        ),
        (
            |sink, _| sink.set_property("model", "no-such-model"),
            gst::ResourceError::NotFound,
            "no-such-model",
        ),
        (
            |_, dir| std::fs::write(dir.join("colour.onnx"), "altered").unwrap(),
            gst::ResourceError::OpenRead,
            "has changed",
        ),
    ];
    for (set, error, word) in cases {
        let dir = tempfile::tempdir().unwrap();
        let (sink, bus) = feed::element(dir.path(), &tiny::encoder(dir.path(), |m| m));
        set(&sink, dir.path());
        let before = feed::files(dir.path());
        assert!(sink.set_state(gst::State::Paused).is_err());
        let err = feed::first_error(&bus).unwrap();
        assert!(
            err.matches(error) && err.to_string().contains(word),
            "{err:?}"
        );
        sink.set_state(gst::State::Null).unwrap();
        assert_eq!(feed::files(dir.path()), before);
    }
}

#[test]
fn the_second_of_two_runs_is_refused() {
    let mut first = Feed::new(|_| {});
    let (second, bus) = feed::element(first.dir.path(), &first.dir.path().join("colour.yaml"));
    second.set_property("overwrite", true);
    assert!(second.set_state(gst::State::Paused).is_err());
    assert!(
        feed::first_error(&bus)
            .unwrap()
            .matches(gst::ResourceError::Busy)
    );
    second.set_state(gst::State::Null).unwrap();
    first.frames_of(8, 8);
    first
        .frame(0, entry(0, Tier::Low, Reason::Background, None))
        .unwrap();
    assert!(first.end());
    assert_eq!(summary(&first).frames, 1);
}

#[test]
fn what_the_worker_finds_wrong_reaches_the_bus() {
    let mut feed = Feed::new(|_| {});
    feed.send(&Message::Anchor(anchor(7, 100)));
    assert!(!feed.end());
    let err = feed.error().unwrap();
    let text = err.to_string();
    assert!(
        err.is::<gst::StreamError>() && text.contains("anchor 7"),
        "{text}"
    );
    drop_and_expect_nothing(feed);
}

#[test]
fn an_old_file_is_replaced_only_when_the_new_one_is_finished() {
    let mut feed = Feed::new(|sink| {
        sink.set_property("overwrite", true);
        std::fs::write(sink.property::<String>("location"), "old").unwrap();
    });
    feed.frames_of(8, 8);
    feed.frame(0, entry(0, Tier::Low, Reason::Background, None))
        .unwrap();
    assert_eq!(std::fs::read_to_string(feed.output()).unwrap(), "old");
    assert!(feed.end());
    assert!(summary(&feed).complete);
}

#[test]
fn properties_cannot_change_while_started() {
    let feed = Feed::new(|_| {});
    feed.sink.set_property("location", "/elsewhere");
    feed.sink.set_property("batch", 7u32);
    assert_eq!(
        feed.sink.property::<String>("location"),
        feed.output().to_str().unwrap()
    );
    assert_eq!(feed.sink.property::<u32>("batch"), 16);
}

#[test]
fn every_property_has_a_blurb_and_a_default() {
    feed::init();
    let sink = gst::ElementFactory::make("featuresink").build().unwrap();
    let own: Vec<glib::ParamSpec> = sink
        .list_properties()
        .iter()
        .filter(|p| p.owner_type() == sink.type_())
        .cloned()
        .collect();
    assert_eq!(own.len(), 23);
    assert!(
        own.iter()
            .all(|p| p.blurb().is_some_and(|blurb| blurb.len() > 20))
    );
    assert!(!sink.property::<bool>("sync"));
}
