//! An encoder that is too slow: a live source loses frames, those of anchors last, and all are counted; a file waits.

use anchoring::plan::Reason;
use anchoring::tier::Tier;
use gst::prelude::*;
use gstearmark::h5::{LEFT_OUT, read_summary, read_tables};
use gstearmark::structures::Message;

use crate::feed::{Feed, anchor, entry};
use crate::tiny;

/// Frames one right after the other; one in 25 is an anchor's.
fn fed(live: bool, frames: i64, set: impl Fn(&gst::Element)) -> Feed {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny::slow_encoder(dir.path(), 30);
    let mut feed = Feed::with(dir, &model, |sink| {
        sink.set_property("keep-up", true);
        sink.set_property("threads", 1u32);
        set(sink);
    });
    feed.live(live);
    feed.frames_of(64, 36);
    feed.plan(frames * 40, 1 << 20);
    for k in 0..frames {
        let ms = k * 40;
        let what = match k % 25 {
            10 => {
                let id = (k / 25) as u32;
                assert!(feed.send(&Message::Anchor(anchor(id, ms))));
                entry(ms, Tier::High, Reason::Anchor, Some(id))
            }
            _ => entry(ms, Tier::High, Reason::Background, None),
        };
        feed.frame(ms, what).unwrap();
    }
    feed
}

/// Messages that frames were left out, and warnings.
fn posted(feed: &Feed) -> (u64, usize) {
    let (mut left_out, mut warnings) = (0, 0);
    while let Some(message) = feed.bus.pop() {
        match message.view() {
            gst::MessageView::Warning(_) => warnings += 1,
            gst::MessageView::Element(element) => {
                let structure = element.structure();
                left_out += u64::from(structure.is_some_and(|s| s.name() == "earmark-left-out"));
            }
            _ => {}
        }
    }
    (left_out, warnings)
}

#[test]
fn a_live_source_loses_frames_without_an_anchor_and_every_loss_is_counted() {
    let frames = 300;
    let mut feed = fed(true, frames, |_| {});
    assert!(feed.end());
    let (left_out, warnings) = posted(&feed);
    let tables = read_tables(&feed.output()).unwrap();
    let summary = read_summary(&feed.output()).unwrap();
    let anchors = tables.reason.iter().filter(|&&r| r == Reason::Anchor);
    assert_eq!(anchors.count(), 12);
    assert!(left_out > 100 && summary.frames > 16, "{left_out}");
    assert_eq!(summary.frames + left_out, frames as u64);
    assert_eq!(summary.frames_missed, left_out);
    assert_eq!(summary.further[LEFT_OUT[0]], left_out.to_string());
    assert_eq!(summary.further[LEFT_OUT[1]], "0");
    assert_eq!(warnings, 1);
    assert!(
        summary
            .warnings
            .iter()
            .any(|text| text.contains("too slow"))
    );
}

#[test]
fn a_file_waits_for_the_encoder() {
    let mut feed = fed(false, 45, |_| {});
    assert!(feed.end());
    assert_eq!(posted(&feed), (0, 0));
    let summary = read_summary(&feed.output()).unwrap();
    assert_eq!((summary.frames, summary.frames_missed), (45, 0));
    assert!(!summary.further.contains_key(LEFT_OUT[0]));
}

/// Of consecutive files, each counts its own; a stop leaves out what cannot be encoded soon.
#[test]
fn consecutive_files_count_their_own_and_a_stop_takes_only_seconds() {
    let feed = fed(true, 300, |sink| sink.set_property("segment-s", 4u32));
    feed.sink.set_state(gst::State::Null).unwrap();
    let (mut frames, mut missed, mut left_out) = (0, 0, 0);
    let files: Vec<String> = feed
        .files()
        .into_iter()
        .filter(|f| f.ends_with(".h5"))
        .collect();
    assert_eq!(files, ["out-00000.h5", "out-00001.h5", "out-00002.h5"]);
    for file in files {
        let summary = read_summary(&feed.dir.path().join(file)).unwrap();
        assert!(summary.complete);
        assert!(summary.frames + summary.frames_missed <= 100, "{summary:?}");
        frames += summary.frames;
        missed += summary.frames_missed;
        let further = summary.further.get(LEFT_OUT[0]);
        left_out += further.map_or(0, |text| text.parse::<u64>().unwrap());
    }
    assert_eq!(frames + left_out, 300);
    assert_eq!(missed, left_out);
    assert_eq!(posted(&feed).0, left_out);
}
