//! Elements in bins of their own, and pipelines that are used twice.

use std::path::Path;

use anchoring::plan::Reason;
use gst::prelude::*;
use gstearmark::structures;

use crate::support::{Ended, ffmpeg, init, linking, plan, run};

const VIDEO: &str = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=20";
const SOUND: &str =
    "-f lavfi -i aevalsrc='0.8*sin(2000*t)*exp(-30*mod(t\\,1.5))+0.001*random(0)':s=48000:d=20";
const X264: &str = "-c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p";

/// Runs it and notes the frames' entries.
fn entries(pipeline: &gst::Pipeline) -> (Ended, Vec<anchoring::plan::Entry>) {
    let pad = pipeline.by_name("out").unwrap().static_pad("sink").unwrap();
    let (noted, seen) = std::sync::mpsc::sync_channel(10_000);
    let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let chosen = info
            .buffer()
            .and_then(|buffer| structures::buffer_tag(buffer));
        let _ = noted.try_send(chosen.unwrap().unwrap().entry);
        gst::PadProbeReturn::Ok
    });
    let ended = run(pipeline);
    pad.remove_probe(probe.unwrap());
    (ended, seen.try_iter().collect())
}

#[test]
fn a_pipeline_can_be_used_again_also_for_a_recording_with_sound_after_one_without() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, arguments: &str| ffmpeg(folder.path(), name, arguments);
    let (Some(silent), Some(heard)) = (
        made("silent.mp4", &format!("{VIDEO} {X264}")),
        made("heard.mp4", &format!("{VIDEO} {SOUND} {X264} -c:a aac")),
    ) else {
        return;
    };
    let pipeline = linking(
        "filesrc name=from ! parsebin name=demux queue name=coded ! gate.video \
         queue name=sound ! decodebin name=heard audioconvert name=audio ! audioresample ! eventness ! gate.cues \
         anchorgate name=gate ! decodebin name=seen framepick name=pick ! videoconvert ! fakesink name=out",
        &[
            ("demux", "coded", "video/"),
            ("seen", "pick", "video/"),
            ("demux", "sound", "audio/"),
            ("heard", "audio", "audio/"),
        ],
    );
    let from = pipeline.by_name("from").unwrap();
    let mut silently: Vec<usize> = Vec::new();
    for (file, anchors) in [(&silent, 0), (&silent, 0), (&heard, 2), (&silent, 0)] {
        from.set_property("location", file.to_str().unwrap());
        let (ended, entries) = entries(&pipeline);
        assert_eq!(ended.error, None);
        let found = entries.iter().filter(|it| it.reason == Reason::Anchor);
        assert!(found.count() >= anchors, "{entries:?}");
        assert_eq!(ended.warnings.len(), usize::from(anchors == 0));
        if anchors == 0 {
            silently.push(entries.len());
        }
    }
    assert!(silently[0] > 10 && silently.iter().all(|count| *count == silently[0]));
}

/// A source and a demuxer, and a bin with all the rest that is fed by ghost pads, another bin around it.
fn nested(file: &Path, gate: &str, sound: Option<&str>) -> gst::Pipeline {
    init();
    let heard = sound.map_or(String::new(), |wait| {
        format!("queue name=sound ! {wait} decodebin ! audioconvert ! audioresample ! eventness ! gate.cues")
    });
    let inner = gst::parse::bin_from_description(
        &format!(
            "queue name=coded ! gate.video {heard} \
             anchorgate name=gate {gate} ! decodebin ! framepick ! videoconvert ! fakesink name=out"
        ),
        false,
    );
    let (inner, outer) = (inner.unwrap(), gst::Bin::new());
    outer.add(&inner).unwrap();
    let pipeline = gst::Pipeline::new();
    let source = format!("filesrc location={} ! parsebin name=demux", file.display());
    let source = gst::parse::bin_from_description(&source, false).unwrap();
    pipeline.add_many([&source, &outer]).unwrap();
    for (queue, begin) in [("coded", "video/"), ("sound", "audio/")] {
        let Some(queue) = inner.by_name(queue) else {
            continue;
        };
        let mut pad = queue.static_pad("sink").unwrap();
        for bin in [&inner, &outer] {
            let ghost = gst::GhostPad::builder_with_target(&pad).unwrap();
            let ghost = ghost.name(begin.trim_end_matches('/')).build();
            ghost.set_active(true).unwrap();
            bin.add_pad(&ghost).unwrap();
            pad = ghost.upcast();
        }
        let source = source.clone();
        let demux = source.by_name("demux").unwrap();
        demux.connect_pad_added(move |_, from| {
            let caps = from.current_caps().unwrap_or_else(|| from.query_caps(None));
            let fits = caps
                .structure(0)
                .is_some_and(|s| s.name().starts_with(begin));
            if fits && !pad.is_linked() {
                let ghost = gst::GhostPad::with_target(from).unwrap();
                ghost.set_active(true).unwrap();
                source.add_pad(&ghost).unwrap();
                ghost.link(&pad).unwrap();
            }
        });
    }
    pipeline
}

#[test]
fn a_branch_that_is_fed_through_ghost_pads_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{VIDEO} {SOUND} {X264} -c:a aac");
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &arguments) else {
        return;
    };
    // The video ends long before the first sound comes.
    let wait = "identity sleep-time=5000 !";
    let (ended, entries) = entries(&nested(&file, "", Some(wait)));
    assert_eq!(
        (&ended.error, ended.warnings.len()),
        (&None, 0),
        "{:?}",
        ended.warnings
    );
    let anchors = entries.iter().filter(|it| it.reason == Reason::Anchor);
    assert!(anchors.count() >= 2, "{entries:?}");
}

#[test]
fn a_branch_in_a_bin_that_nothing_feeds_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &format!("{VIDEO} {X264}")) else {
        return;
    };
    let (ended, entries) = entries(&nested(&file, "", Some("")));
    assert_eq!(
        (&ended.error, ended.warnings.len()),
        (&None, 1),
        "{:?}",
        ended.warnings
    );
    assert!(ended.warnings[0].contains("no audio track"));
    assert!(entries.len() > 10);
}

#[test]
fn a_gate_in_a_bin_jumps_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &format!("{VIDEO} {X264}")) else {
        return;
    };
    let plan = plan(
        folder.path(),
        &[1_000_000_000, 12_000_000_000, 19_000_000_000],
    );
    let gate = format!("plan={} access=seek", plan.display());
    let (ended, entries) = entries(&nested(&file, &gate, None));
    assert_eq!(
        (&ended.error, ended.warnings.len()),
        (&None, 0),
        "{:?}",
        ended.warnings
    );
    assert_eq!(entries.len(), 3);
    assert!(ended.number("gate", "jumps") >= 1);
}
