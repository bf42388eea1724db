//! Seeking over parts that the plan does not need gives the same frames as reading everything, and reads less.

use std::path::Path;

use gstearmark::structures::{Message, Summary};

use crate::support::{Ended, ffmpeg, launch, plan, plan_and};

const SOURCE: &str = "-f lavfi -i testsrc2=size=192x108:rate=25:duration=60";
const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";
const X265: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p";

/// A plan with wide gaps: entries on keyframes, off them and right before them, close together, at the beginning and at the end.
const TIMES_MS: [i64; 16] = [
    0, 480, 520, 9_980, 10_000, 10_020, 23_370, 23_990, 24_000, 24_010, 37_777, 40_000, 52_990,
    53_000, 59_900, 59_960,
];

fn play(file: &Path, plan: &Path, gate: &str) -> Ended {
    launch(&format!(
        "filesrc location={} ! identity name=meter ! parsebin ! queue ! anchorgate plan={} {gate} ! decodebin ! framepick ! videoconvert ! video/x-raw,format=I420 ! fakesink name=out",
        file.display(),
        plan.display()
    ))
}

fn summary(ended: &Ended) -> Summary {
    match ended.messages.last() {
        Some(Message::Summary(summary)) => summary.clone(),
        other => panic!("{other:?}"),
    }
}

/// Entry, time and bytes of every frame, what was missed, and how long the recording is.
fn seen(ended: &Ended) -> (Vec<(i64, i64, u64)>, Vec<i64>, i64) {
    assert_eq!(ended.error, None);
    let frame = |(chosen, at, hash): &(Option<gstearmark::structures::Chosen>, i64, u64)| {
        (chosen.unwrap().entry.planned.get(), *at, *hash)
    };
    (
        ended.frames.iter().map(frame).collect(),
        ended.missed(),
        summary(ended).duration.get(),
    )
}

/// Compares; gives the jumps made by `access=seek`, and bytes read by it and by reading through.
fn check_times(name: &str, arguments: &str, times_ms: &[i64]) -> Option<(u64, u64, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let file = ffmpeg(folder.path(), name, arguments)?;
    let times: Vec<i64> = times_ms.iter().map(|ms| ms * 1_000_000).collect();
    let plan = plan_and(folder.path(), &times, 10_000_000);
    let linear = play(&file, &plan, "access=linear");
    assert_eq!(linear.number("gate", "jumps"), 0);
    let wanted = seen(&linear);
    // Where frames are missing, none is taken twice, and a warning says so.
    let merged = times.len() - wanted.0.len() - wanted.1.len();
    let warned = linear
        .warnings
        .iter()
        .any(|text| text.contains("in a stretch without frames"));
    assert_eq!(merged > 0, warned, "{name}: {merged}");
    let auto = play(&file, &plan, "");
    let sought = play(&file, &plan, "access=seek");
    for other in [&auto, &sought] {
        assert_eq!(seen(other), wanted, "{name}");
        assert_eq!(other.warnings, linear.warnings, "{name}");
        assert_eq!(
            other.number("gate", "units-passed"),
            linear.number("gate", "units-passed"),
            "{name}"
        );
    }
    let jumps = sought.number("gate", "jumps");
    eprintln!(
        "{name}: {jumps} jumps ({} by auto), {} of {} units and {} of {} bytes read",
        auto.number("gate", "jumps"),
        sought.number("gate", "units-seen"),
        linear.number("gate", "units-seen"),
        sought.read,
        linear.read,
    );
    Some((jumps, sought.read, linear.read))
}

/// As above; something must have been left out.
#[track_caller]
fn check(name: &str, arguments: &str) {
    check_at(name, arguments, &TIMES_MS);
}

#[track_caller]
fn check_at(name: &str, arguments: &str, times_ms: &[i64]) {
    if let Some((jumps, read, all)) = check_times(name, arguments, times_ms) {
        assert!(jumps >= 2, "{name}: {jumps} jumps");
        assert!(read < all, "{name}: {read} of {all} bytes");
    }
}

#[test]
fn h264_with_short_gops() {
    for name in ["a.mp4", "a.mkv"] {
        check(name, &format!("{SOURCE} {X264} -g 25 -bf 2"));
    }
}

#[test]
fn h264_with_long_gops_and_b_pyramids() {
    for name in ["a.mp4", "a.mkv"] {
        check(
            name,
            &format!("{SOURCE} {X264} -g 250 -bf 4 -b-pyramid normal -refs 4"),
        );
    }
}

#[test]
fn h264_with_open_gops() {
    for name in ["a.mp4", "a.mkv"] {
        check(
            name,
            &format!(
                "{SOURCE} {X264} -x264-params open-gop=1:keyint=40:min-keyint=40:bframes=3:b-pyramid=normal:scenecut=0"
            ),
        );
    }
}

#[test]
fn h265_with_short_and_long_gops() {
    for (name, keyint) in [("a.mp4", 25), ("a.mkv", 250)] {
        check(
            name,
            &format!(
                "{SOURCE} {X265} -x265-params log-level=error:keyint={keyint}:min-keyint={keyint}:open-gop=0:bframes=4:b-pyramid=1:scenecut=0"
            ),
        );
    }
}

#[test]
fn h265_with_open_gops() {
    for name in ["a.mp4", "a.mkv"] {
        check(
            name,
            &format!(
                "{SOURCE} {X265} -x265-params log-level=error:keyint=40:min-keyint=40:open-gop=1:bframes=4:scenecut=0"
            ),
        );
    }
}

#[test]
fn vp9_and_intra_frames_only() {
    check(
        "a.webm",
        &format!(
            "{SOURCE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -auto-alt-ref 1 -lag-in-frames 12"
        ),
    );
    check("a.mp4", &format!("{SOURCE} {X264} -g 1"));
    check("a.mkv", &format!("{SOURCE} -c:v mjpeg -pix_fmt yuvj420p"));
}

#[test]
fn times_that_are_not_even() {
    let vfr = "-vf select='gt(mod(n*n\\,7)\\,2)+not(mod(n\\,50))',settb=1/1000,setpts='PTS+floor(random(1)*9)' -fps_mode vfr";
    let before_the_end = &TIMES_MS[..14];
    for (name, clock) in [("vfr.mp4", "-video_track_timescale 1000"), ("vfr.mkv", "")] {
        let arguments = format!("{SOURCE} {vfr} {X264} -g 60 -bf 2 {clock}");
        check_at(name, &arguments, before_the_end);
    }
    let ntsc = "-f lavfi -i testsrc2=size=192x108:rate=30000/1001:duration=60";
    for name in ["ntsc.mp4", "ntsc.mkv"] {
        check_at(name, &format!("{ntsc} {X264} -g 30 -bf 2"), before_the_end);
    }
}

#[test]
fn a_first_timestamp_that_is_not_zero_and_a_hole() {
    // Matroska times count from the first frame, until a seek.
    for (name, late) in [("late.mp4", 3.5), ("late.mkv", 3.5), ("little.mkv", 0.007)] {
        check(
            name,
            &format!("{SOURCE} -vf setpts=PTS+{late}/TB {X264} -g 50 -bf 2"),
        );
    }
    check(
        "hole.mkv",
        &format!("{SOURCE} -vf select='lt(t\\,20)+gt(t\\,33)' -fps_mode vfr {X264} -g 50"),
    );
}

#[test]
fn one_gop_for_all_is_read_through_and_nothing_comes_twice() {
    let whole = format!("{SOURCE} {X264} -g 100000 -bf 2 -sc_threshold 0");
    for name in ["long.mp4", "long.mkv"] {
        check_times(name, &whole, &TIMES_MS);
    }
}

#[test]
fn frames_within_one_gop_and_right_behind_it() {
    // Jumps lead to the keyframe before reading stopped, again and again.
    for name in ["a.mp4", "a.mkv"] {
        check_times(
            name,
            &format!("{SOURCE} {X264} -g 250 -bf 2 -sc_threshold 0"),
            &[
                0, 3_000, 6_000, 9_000, 9_980, 12_000, 19_960, 20_000, 33_000,
            ],
        );
    }
}

#[test]
fn frames_that_no_decoder_can_start_at_lead_back() {
    // Intra frames without a recovery point, which some containers mark as keyframes.
    check_times(
        "cuts.mp4",
        "-f lavfi -i testsrc2=size=192x108:rate=25:duration=60,hue=h='90*floor(t*2.3)' -c:v libx264 -preset ultrafast -g 100 -keyint_min 90 -sc_threshold 80 -refs 4 -bf 2 -pix_fmt yuv420p",
        &TIMES_MS,
    );
}

#[test]
fn a_plan_that_wants_nothing_more_leaves_the_rest_but_the_end() {
    for times in [&[][..], &[0, 200][..]] {
        let arguments = format!("{SOURCE} {X264} -g 50 -bf 2");
        if let Some((jumps, read, all)) = check_times("a.mp4", &arguments, times) {
            assert_eq!(jumps, 1);
            assert!(read * 2 < all, "{read} of {all}");
        }
    }
}

#[test]
fn a_recording_that_is_longer_than_its_container_says_is_read_through() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{SOURCE} {X264} -g 50 -bf 2");
    let Some(file) = ffmpeg(folder.path(), "a.mkv", &arguments) else {
        return;
    };
    let plan = plan_and(
        folder.path(),
        &[2_000_000_000, 59_000_000_000],
        1_500_000_000,
    );
    let sought = play(&file, &plan, "access=seek");
    assert_eq!((&sought.error, sought.number("gate", "jumps")), (&None, 0));
    assert_eq!(sought.number("gate", "units-seen"), 1500);
}

#[test]
fn what_has_no_exact_index_is_read_through() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = format!("{SOURCE} {X264} -g 50 -bf 2 -f mpegts");
    let Some(file) = ffmpeg(folder.path(), "a.ts", &arguments) else {
        return;
    };
    let plan = plan(folder.path(), &[2_000_000_000, 40_000_000_000]);
    let auto = play(&file, &plan, "");
    assert_eq!((auto.number("gate", "jumps"), auto.warnings.len()), (0, 0));
    let sought = play(&file, &plan, "access=seek");
    assert_eq!(sought.number("gate", "jumps"), 0);
    assert_eq!(sought.warnings.len(), 1, "{:?}", sought.warnings);
    assert!(
        sought.warnings[0].contains("tsdemux"),
        "{:?}",
        sought.warnings
    );
    assert_eq!(seen(&sought).0, seen(&auto).0);
}
