//! Ends: of the stream, of the run, of the disk; pauses, flushes, and one run after another.

use std::time::{Duration, Instant};

use anchoring::plan::Reason;
use anchoring::tier::Tier;
use gst::prelude::*;
use gstearmark::h5::{self, Summary, read_summary, read_tables};
use gstearmark::structures::Message;

use crate::feed::{Feed, anchor, cue, entry};

fn low(ms: i64) -> anchoring::plan::Entry {
    entry(ms, Tier::Low, Reason::Background, None)
}

/// What was left where the file is written, which is whole but for its end.
fn kept(feed: &Feed) -> Summary {
    assert_eq!(feed.files(), ["out.h5.partial"]);
    let path = feed.dir.path().join("out.h5.partial");
    let problems = h5::check(&path).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("not complete"), "{problems:?}");
    read_summary(&path).unwrap()
}

fn posted(feed: &Feed, kind: gst::MessageType) -> Option<gst::Message> {
    feed.bus.pop_filtered(&[kind])
}

/// The message that a program gets about what is kept.
fn kept_message(feed: &Feed) -> gst::Structure {
    std::iter::from_fn(|| posted(feed, gst::MessageType::Element))
        .filter_map(|message| message.structure().map(ToOwned::to_owned))
        .find(|structure| structure.name() == "earmark-kept")
        .unwrap()
}

#[test]
fn a_run_that_is_stopped_keeps_every_frame_it_was_given_and_says_where() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.plan(60_000, 60 * 196);
    feed.send(&Message::Anchor(anchor(0, 100)));
    for k in 0..20 {
        feed.send(&Message::Cue(cue(k)));
        feed.frame(1000 * k, low(1000 * k)).unwrap();
    }
    feed.sink.set_state(gst::State::Ready).unwrap();
    let s = kept(&feed);
    assert_eq!((s.frames, s.anchors, s.cues), (20, 1, 20));
    assert_eq!(
        (s.video_id.as_str(), s.budget_tokens),
        ("kitchen", 60 * 196)
    );
    assert!(s.further[h5::BECAUSE].contains("stopped before the end"));
    let structure = kept_message(&feed);
    assert_eq!(structure.get::<u64>("frames").unwrap(), 20);
    // Who runs the pipeline said nothing, so that the element tells people, too.
    let warning = posted(&feed, gst::MessageType::Warning).unwrap();
    let gst::MessageView::Warning(warning) = warning.view() else {
        panic!()
    };
    let text = warning.error().to_string();
    assert!(
        text.contains("earmark recover") && text.contains("out.h5.partial"),
        "{text}"
    );
    // The file that is made of it is a file.
    let saved = feed.dir.path().join("saved.h5");
    let partial = feed.dir.path().join("out.h5.partial");
    assert_eq!(h5::recover(&partial, &saved).unwrap().frames, 20);
    let rows = |path: &std::path::Path| {
        let tables = read_tables(path).unwrap();
        (
            tables.pts_ns,
            tables.tokens,
            h5::read_features(path).unwrap(),
        )
    };
    assert_eq!(rows(&partial), rows(&saved));
}

#[test]
fn the_reason_of_the_application_is_kept_and_the_telling_left_to_it() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.frame(0, low(0)).unwrap();
    feed.sink
        .set_property("incomplete-because", "the server went away");
    feed.sink.set_property("warnings", "it was slow");
    feed.sink.set_state(gst::State::Null).unwrap();
    let s = kept(&feed);
    assert_eq!(s.further[h5::BECAUSE], "the server went away");
    assert_eq!(s.warnings, ["it was slow"]);
    assert!(posted(&feed, gst::MessageType::Warning).is_none());
}

#[test]
fn a_recording_of_sound_alone_keeps_its_cues() {
    let mut feed = Feed::new(|_| {});
    feed.cues_only();
    for k in 0..30 {
        feed.send(&Message::Cue(cue(k)));
    }
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(kept(&feed).cues, 30);
}

/// An element that fails at its work says at once what is kept, not when it is stopped.
#[test]
fn an_error_of_the_worker_is_posted_at_once_with_what_is_kept() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    for k in 0..3 {
        feed.frame(1000 * k, low(1000 * k)).unwrap();
    }
    feed.send(&Message::Anchor(anchor(7, 100)));
    let message = feed
        .bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(20), &[gst::MessageType::Error]);
    let message = message.unwrap();
    let gst::MessageView::Error(err) = message.view() else {
        panic!()
    };
    let text = err.error().to_string();
    assert!(
        text.contains("anchor 7") && text.contains("earmark recover"),
        "{text}"
    );
    assert!(text.contains("3 frames"), "{text}");
    assert!(!feed.end());
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(kept(&feed).frames, 3);
}

#[test]
fn a_target_that_appears_meanwhile_costs_nothing() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.frame(0, low(0)).unwrap();
    std::fs::write(feed.output(), "other").unwrap();
    assert!(!feed.end());
    let text = feed.error().unwrap().to_string();
    assert!(
        text.contains("exists already") && text.contains("out.h5.partial"),
        "{text}"
    );
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(feed.files(), ["out.h5", "out.h5.partial"]);
    assert_eq!(std::fs::read_to_string(feed.output()).unwrap(), "other");
    let partial = feed.dir.path().join("out.h5.partial");
    assert_eq!(read_summary(&partial).unwrap().frames, 1);
}

/// Rows reach the disk by time: neither the batch of sixteen nor the round of 64 is full.
#[test]
fn rows_are_on_the_disk_after_so_many_seconds() {
    let mut feed = Feed::new(|sink| sink.set_property("flush-s", 1u32));
    feed.frames_of(64, 48);
    for k in 0..5 {
        feed.send(&Message::Cue(cue(k)));
        feed.frame(1000 * k, low(1000 * k)).unwrap();
    }
    // As a kill would leave it.
    let partial = feed.dir.path().join("out.h5.partial");
    let begun = Instant::now();
    let mut found = (0, 0);
    for k in 0.. {
        let [torn, saved] =
            ["partial", "h5"].map(|kind| feed.dir.path().join(format!("colour{k}.{kind}")));
        std::fs::copy(&partial, &torn).unwrap();
        if let Ok(totals) = h5::recover(&torn, &saved) {
            found = (totals.frames, totals.cues);
        }
        if found == (5, 5) || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(found, (5, 5));
    assert!(feed.end());
    assert_eq!(read_summary(&feed.output()).unwrap().frames, 5);
}

/// What came before a flush does not count, as in filesink; numbers restart.
#[test]
fn a_flush_begins_the_file_anew() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.plan(60_000, 60 * 196);
    let run = |feed: &mut Feed, from: i64| {
        for id in 0..2 {
            feed.send(&Message::Anchor(anchor(id, 1000 * (from + i64::from(id)))));
        }
        for k in from..from + 20 {
            feed.send(&Message::Cue(cue(k)));
            let id = u32::try_from(k - from).unwrap();
            let what = match id {
                0 | 1 => entry(1000 * k, Tier::High, Reason::Anchor, Some(id)),
                _ => low(1000 * k),
            };
            feed.frame(1000 * k, what).unwrap();
        }
    };
    let flush = |feed: &mut Feed| {
        assert!(feed.event(gst::event::FlushStart::new()));
        let refused = feed.frame(500, low(500));
        assert_eq!(refused, Err(gst::FlowError::Flushing));
        assert!(feed.event(gst::event::FlushStop::new(true)));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        assert!(feed.event(gst::event::Segment::new(&segment)));
    };
    // Forward, back, and again before anything came.
    run(&mut feed, 5);
    flush(&mut feed);
    run(&mut feed, 30);
    flush(&mut feed);
    flush(&mut feed);
    run(&mut feed, 0);
    assert!(feed.end());
    assert_eq!(feed.files(), ["out.h5"]);
    assert_eq!(h5::check(&feed.output()).unwrap(), Vec::<String>::new());
    let s = read_summary(&feed.output()).unwrap();
    assert_eq!((s.frames, s.anchors, s.cues), (20, 2, 20));
    assert_eq!(read_tables(&feed.output()).unwrap().pts_ns[0], 0);
    // What the plan said is not said again, and stays.
    assert_eq!(
        (s.video_id.as_str(), s.budget_tokens),
        ("kitchen", 60 * 196)
    );

    // After the end, too: the file that was finished in this run is replaced.
    flush(&mut feed);
    run(&mut feed, 10);
    assert!(feed.end());
    assert_eq!(feed.files(), ["out.h5"]);
    let pts = read_tables(&feed.output()).unwrap().pts_ns;
    assert_eq!((pts.len(), pts[0]), (20, 10_000_000_000));
    assert!(feed.error().is_none());

    // But not one that somebody else has put there.
    std::fs::remove_file(feed.output()).unwrap();
    std::fs::write(feed.output(), "other").unwrap();
    flush(&mut feed);
    let _ = feed.frame(0, low(0));
    assert!(!feed.end());
    assert!(feed.error().unwrap().to_string().contains("exists already"));
}

#[test]
fn a_flush_after_which_nothing_comes_leaves_what_was_there() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.frame(0, low(0)).unwrap();
    feed.event(gst::event::FlushStart::new());
    feed.event(gst::event::FlushStop::new(true));
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(kept(&feed).frames, 1);
}

/// One file holds one recording: the base class refuses what follows the end of the stream until a flush, and the file stays.
#[test]
fn a_stream_that_begins_after_the_end_changes_nothing() {
    let mut feed = Feed::new(|_| {});
    feed.frames_of(64, 48);
    feed.frame(0, low(0)).unwrap();
    assert!(feed.end());
    feed.event(gst::event::StreamStart::new("second"));
    assert!(feed.frame(1000, low(1000)).is_err());
    feed.end();
    assert!(feed.error().is_none());
    feed.sink.set_state(gst::State::Null).unwrap();
    assert_eq!(feed.files(), ["out.h5"]);
    assert_eq!(read_summary(&feed.output()).unwrap().frames, 1);
}
