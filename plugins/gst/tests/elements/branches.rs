//! Launch lines on recordings without sound, without video, or without a planned frame: each ends normally.

use std::path::Path;

use anchoring::plan::Reason;
use gstearmark::structures::Message;

use crate::support::{Ended, ffmpeg, launch, plan};

const VIDEO: &str = "-f lavfi -i testsrc2=size=128x72:rate=25:duration=20";
/// A knock every 1.5 s.
const SOUND: &str =
    "-f lavfi -i aevalsrc='0.8*sin(2000*t)*exp(-30*mod(t\\,1.5))+0.001*random(0)':s=48000:d=20";
const X264: &str = "-c:v libx264 -g 50 -bf 2 -pix_fmt yuv420p";

/// The line of the README with a fakesink at its end. The video branch comes first in the text: links of pads that appear later
/// are tried in that order, and the template caps of `gate.video` keep sound out.
fn reference(file: &Path, gate: &str) -> Ended {
    launch(&format!(
        "filesrc location={} ! parsebin name=demux \
         demux. ! queue ! gate.video \
         demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness ! gate.cues \
         anchorgate name=gate {gate} ! decodebin ! framepick ! videoconvert ! fakesink name=out",
        file.display()
    ))
}

fn entries(ended: &Ended) -> Vec<anchoring::plan::Entry> {
    let frames = ended.frames.iter();
    frames.map(|(chosen, ..)| chosen.unwrap().entry).collect()
}

fn cues(ended: &Ended) -> usize {
    let cue = |message: &&Message| matches!(message, Message::Cue(_));
    ended.messages.iter().filter(cue).count()
}

fn check_frame(ended: &Ended) {
    for (chosen, at, _) in &ended.frames {
        let chosen = chosen.unwrap();
        assert!(chosen.entry.planned.get().abs_diff(*at) <= 40_000_000);
    }
    assert!(matches!(ended.messages[0], Message::Plan(_)));
    assert!(matches!(ended.messages.last(), Some(Message::Summary(_))));
}

#[test]
fn with_sound_anchors_are_taken_within_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{VIDEO} {SOUND} {X264} -c:a aac");
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &arguments) else {
        return;
    };
    let ended = reference(&file, "");
    assert_eq!((&ended.error, ended.warnings.len()), (&None, 0));
    check_frame(&ended);
    let entries = entries(&ended);
    let anchors = entries
        .iter()
        .filter(|entry| entry.reason == Reason::Anchor);
    assert!(anchors.count() >= 2, "{entries:?}");
    assert!(entries.iter().map(|entry| entry.tokens).sum::<u64>() <= 196 * 20);
    assert!((245..=252).contains(&cues(&ended)), "{}", cues(&ended));
    assert_eq!(
        ended.number("pick", "frames"),
        ended.number("gate", "entries")
    );
}

#[test]
fn a_silent_recording_ends_with_even_frames_and_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "a.mkv", "a.ts", "a.webm"] {
        let codec = match name {
            "a.webm" => "-c:v libvpx -deadline realtime -cpu-used 8 -g 50",
            _ => X264,
        };
        let Some(file) = ffmpeg(folder.path(), name, &format!("{VIDEO} {codec}")) else {
            continue;
        };
        let ended = reference(&file, "");
        assert_eq!(ended.error, None, "{name}");
        assert_eq!(
            ended.warnings.len(),
            1 + usize::from(!ended.missed().is_empty()),
            "{name}: {:?}",
            ended.warnings
        );
        assert!(
            ended.warnings[0].contains("no audio track"),
            "{name}: {:?}",
            ended.warnings
        );
        check_frame(&ended);
        let entries = entries(&ended);
        assert!(entries.len() > 10, "{name}: {}", entries.len());
        assert!(
            entries
                .iter()
                .all(|entry| entry.reason == Reason::Untrusted)
        );
    }
}

#[test]
fn a_silent_recording_ends_under_every_policy() {
    // Longer than what may wait to be pushed before the pipeline plays.
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("-f lavfi -i testsrc2=size=64x36:rate=50:duration=60 {X264}");
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &arguments) else {
        return;
    };
    for (gate, frames) in [
        ("policy=dense", 3000..=3000),
        ("policy=uniform", 55..=60),
        ("policy=anchors_only", 0..=0),
    ] {
        let ended = reference(&file, gate);
        assert_eq!(ended.error, None, "{gate}");
        let warns = usize::from(gate.contains("anchors"));
        assert_eq!(ended.warnings.len(), warns, "{gate}: {:?}", ended.warnings);
        assert!(
            frames.contains(&ended.frames.len()),
            "{gate}: {}",
            ended.frames.len()
        );
        assert!(
            entries(&ended)
                .iter()
                .all(|entry| entry.reason == Reason::Uniform)
        );
    }
}

#[test]
fn without_video_the_cues_are_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.m4a", &format!("{SOUND} -c:a aac")) else {
        return;
    };
    let ended = launch(&format!(
        "filesrc location={} ! parsebin name=demux \
         demux. ! queue ! gate.video \
         demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness ! gate.cues \
         anchorgate name=gate ! fakesink name=out",
        file.display()
    ));
    assert_eq!((&ended.error, ended.frames.len()), (&None, 0));
    assert!(matches!(ended.messages[0], Message::Plan(_)));
    assert!(cues(&ended) >= 245);
    let Some(Message::Summary(summary)) = ended.messages.last() else {
        panic!("{:?}", ended.messages.last());
    };
    assert!((19.5..20.5).contains(&summary.duration.seconds()));
    // A decoder behind the gate has nothing to decode: an error, not a hang.
    assert!(reference(&file, "").error.is_some());
}

#[test]
fn a_plan_that_wants_nothing_ends() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &format!("{VIDEO} {X264}")) else {
        return;
    };
    let plan = plan(folder.path(), &[]);
    let ended = reference(&file, &format!("plan={}", plan.display()));
    assert_eq!((ended.error.as_ref(), ended.frames.len()), (None, 0));
    assert_eq!(ended.number("gate", "served"), 0);
}

#[test]
fn a_plan_beyond_the_recording_is_missed_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &format!("{VIDEO} {X264}")) else {
        return;
    };
    let plan = plan(
        folder.path(),
        &[1_000_000_000, 25_000_000_000, 26_000_000_000],
    );
    let ended = reference(&file, &format!("plan={}", plan.display()));
    assert_eq!((ended.error.as_ref(), ended.frames.len()), (None, 1));
    assert_eq!(ended.missed(), [25_000_000_000, 26_000_000_000]);
    assert_eq!(ended.warnings.len(), 1);
}

#[test]
fn sound_that_stops_early_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let sound = SOUND.replace("d=20", "d=5");
    let arguments = format!("{VIDEO} {sound} {X264} -c:a aac");
    let Some(file) = ffmpeg(folder.path(), "a.mkv", &arguments) else {
        return;
    };
    let ended = reference(&file, "");
    assert_eq!(
        (&ended.error, ended.warnings.len()),
        (&None, 1),
        "{:?}",
        ended.warnings
    );
    check_frame(&ended);
    let late = |entry: &&anchoring::plan::Entry| entry.planned.seconds() > 6.0;
    let entries = entries(&ended);
    let late: Vec<_> = entries.iter().filter(late).collect();
    assert!(late.len() > 8);
    assert!(late.iter().all(|entry| entry.reason == Reason::Untrusted));
}

#[test]
fn sound_far_behind_the_video_in_the_file_is_waited_for() {
    // All the video first, then all the sound: more than the queue before the gate holds.
    let folder = tempfile::tempdir().unwrap();
    let (Some(video), Some(sound)) = (
        ffmpeg(folder.path(), "v.mkv", &format!("{VIDEO} {X264}")),
        ffmpeg(folder.path(), "a.mkv", &format!("{SOUND} -c:a libopus")),
    ) else {
        return;
    };
    let ended = launch(&format!(
        "filesrc location={} ! parsebin ! gate.video \
         filesrc location={} ! identity sleep-time=20000 ! parsebin ! decodebin ! audioconvert ! audioresample ! eventness ! gate.cues \
         anchorgate name=gate max-lag-ms=4000 ! decodebin ! framepick ! videoconvert ! fakesink name=out",
        video.display(),
        sound.display()
    ));
    assert_eq!(
        (&ended.error, ended.warnings.len()),
        (&None, 0),
        "{:?}",
        ended.warnings
    );
    check_frame(&ended);
    let anchors = entries(&ended);
    let anchors = anchors
        .iter()
        .filter(|entry| entry.reason == Reason::Anchor);
    assert!(anchors.count() >= 2);
}

#[test]
fn several_sound_tracks_and_none_to_decode_with_do_not_hang() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{VIDEO} {SOUND} {SOUND} -map 0 -map 1 -map 2 {X264} -c:a aac");
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &arguments) else {
        return;
    };
    let ended = reference(&file, "");
    assert_eq!((&ended.error, ended.warnings.len()), (&None, 0));
    assert!(cues(&ended) >= 245);
}

#[test]
fn an_invalid_plan_is_refused_before_anything_plays() {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), "a.mp4", &format!("{VIDEO} {X264}")) else {
        return;
    };
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "hello\n").unwrap();
    for (gate, text) in [
        (format!("plan={}", bad.display()), "line 1"),
        (format!("plan={}/none", folder.path().display()), "none"),
        ("tokens-per-s=1".into(), "tokens_per_s"),
    ] {
        let error = reference(&file, &gate).error.unwrap();
        assert!(error.contains(text), "{gate}: {error}");
    }
}
