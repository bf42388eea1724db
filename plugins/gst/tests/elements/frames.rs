//! Every frame taken is the nearest one, and equals that of a full decode bit for bit, on every container and codec.

use std::path::Path;

use gstearmark::structures::Message;

use crate::support::{ffmpeg, launch, plan};

const SOURCE: &str = "-f lavfi -i testsrc2=size=192x108:rate=25:duration=12";

/// Takes frames at times between, on and around frames all over the recording, and compares with a full decode.
fn check(name: &str, arguments: &str) {
    check_all(name, arguments, 0);
}

fn check_all(name: &str, arguments: &str, unreachable: usize) {
    let folder = tempfile::tempdir().unwrap();
    let Some(file) = ffmpeg(folder.path(), name, arguments) else {
        return;
    };
    compare(name, &file, folder.path(), unreachable);
}

/// The same for a recording that is there. Gives the number of its frames.
pub(crate) fn compare(name: &str, file: &Path, folder: &Path, unreachable: usize) -> usize {
    let file = file.display();
    let all = launch(&format!(
        "filesrc location={file} ! parsebin ! decodebin ! videoconvert ! video/x-raw,format=I420 ! fakesink name=out"
    ));
    assert_eq!(all.error, None);
    let mut all: Vec<(i64, u64)> = all
        .frames
        .iter()
        .map(|(_, at, hash)| (*at, *hash))
        .collect();
    all.sort_unstable();
    let (first, last) = (all[0].0, all[all.len() - 1].0);
    // 0.37 s apart, to meet every position in a GOP; some exactly on a frame, among them the first and the last.
    let mut times: Vec<i64> = (0..)
        .map(|i| first + i * 370_000_000)
        .take_while(|at| *at < last)
        .collect();
    times.extend(all.iter().step_by(29).map(|(at, _)| *at));
    times.push(last);
    times.sort_unstable();
    times.dedup();
    let plan = plan(folder, &times);
    let gated = launch(&format!(
        "filesrc location={file} ! parsebin ! anchorgate plan={} ! decodebin ! framepick ! videoconvert ! video/x-raw,format=I420 ! fakesink name=out",
        plan.display()
    ));
    assert_eq!(gated.error, None);
    let missed = gated.missed();
    assert!(missed.len() <= unreachable, "{name}: missed {missed:?}");
    let answered = gated
        .frames
        .iter()
        .map(|(chosen, ..)| chosen.unwrap().entry.planned.get());
    let mut answered: Vec<i64> = answered.chain(missed).collect();
    answered.sort_unstable();
    // In a discontinuity of the video, a frame that is taken already is not taken again.
    let times: Vec<i64> = times
        .into_iter()
        .filter(|time| {
            let folded = !answered.contains(time);
            if folded {
                let nearest = all.iter().map(|(at, _)| *at);
                let nearest = nearest.min_by_key(|at| (at - time).abs()).unwrap();
                assert!((nearest - time).abs() > 100_000_000, "{name}: {time}");
                assert!(
                    gated.frames.iter().any(|(_, at, _)| *at == nearest),
                    "{name}: {time}"
                );
            }
            !folded
        })
        .collect();
    assert_eq!(answered, times, "{name}");
    for (chosen, at, hash) in &gated.frames {
        let entry = chosen.unwrap().entry;
        let asked = entry.planned.get();
        let nearest = all
            .iter()
            .min_by_key(|(at, _)| (at.abs_diff(asked), *at))
            .unwrap();
        assert_eq!(*at, nearest.0, "{name}: asked for {asked}");
        assert_eq!(*hash, nearest.1, "{name}: another frame at {at}");
    }
    assert!(matches!(gated.messages[0], Message::Plan(_)));
    assert!(matches!(gated.messages.last(), Some(Message::Summary(_))));
    let passed = gated.number("gate", "units-passed");
    eprintln!(
        "{name}: {} of {} units passed for {} frames",
        passed,
        gated.number("gate", "units-seen"),
        times.len()
    );
    all.len()
}

#[test]
fn h264_with_b_frames_in_mp4() {
    check(
        "a.mp4",
        &format!("{SOURCE} -c:v libx264 -g 50 -bf 3 -pix_fmt yuv420p"),
    );
}

#[test]
fn h264_open_gop_in_mkv() {
    check(
        "a.mkv",
        &format!(
            "{SOURCE} -c:v libx264 -x264-params open-gop=1:keyint=40:min-keyint=40:bframes=3:b-pyramid=normal:scenecut=0 -pix_fmt yuv420p"
        ),
    );
}

#[test]
fn h264_open_gop_in_ts() {
    check(
        "a.ts",
        &format!(
            "{SOURCE} -c:v libx264 -x264-params open-gop=1:keyint=40:min-keyint=40:bframes=2:scenecut=0 -pix_fmt yuv420p -f mpegts"
        ),
    );
}

#[test]
fn h264_with_intra_frames_that_are_not_keyframes() {
    // Scene cuts inside the least keyframe distance become intra frames that later ones reach across.
    check(
        "cuts.mp4",
        "-f lavfi -i testsrc2=size=192x108:rate=25:duration=12,hue=h='90*floor(t*2.3)' -c:v libx264 -g 100 -keyint_min 90 -sc_threshold 80 -refs 4 -bf 2 -pix_fmt yuv420p",
    );
}

#[test]
fn h265_with_open_gops_in_mp4() {
    check(
        "b.mp4",
        &format!(
            "{SOURCE} -c:v libx265 -x265-params log-level=error:keyint=40:min-keyint=40:open-gop=1:bframes=4 -pix_fmt yuv420p -tag:v hvc1"
        ),
    );
}

#[test]
fn h265_in_ts() {
    check(
        "b.ts",
        &format!(
            "{SOURCE} -c:v libx265 -x265-params log-level=error:keyint=30 -pix_fmt yuv420p -f mpegts"
        ),
    );
}

#[test]
fn vp8_in_webm() {
    check(
        "c.webm",
        &format!(
            "{SOURCE} -c:v libvpx -deadline realtime -cpu-used 8 -g 50 -auto-alt-ref 1 -lag-in-frames 10"
        ),
    );
}

#[test]
fn vp9_in_webm() {
    check(
        "d.webm",
        &format!(
            "{SOURCE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 50 -auto-alt-ref 1 -lag-in-frames 12"
        ),
    );
}

#[test]
fn vp9_in_mp4() {
    check(
        "d.mp4",
        &format!("{SOURCE} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 60"),
    );
}

#[test]
fn mpeg2_in_ts() {
    check(
        "e.ts",
        &format!("{SOURCE} -c:v mpeg2video -g 12 -bf 2 -f mpegts"),
    );
}

#[test]
fn a_variable_frame_rate() {
    let vfr = "select='gt(mod(n*n\\,7)\\,2)+not(mod(n\\,50))',settb=1/1000,setpts='PTS+floor(random(1)*9)'";
    check(
        "vfr.mp4",
        &format!(
            "{SOURCE} -vf {vfr} -fps_mode vfr -c:v libx264 -g 60 -bf 2 -pix_fmt yuv420p -video_track_timescale 1000"
        ),
    );
    check(
        "vfr.mkv",
        &format!("{SOURCE} -vf {vfr} -fps_mode vfr -c:v libx264 -g 60 -bf 2 -pix_fmt yuv420p"),
    );
}

#[test]
fn a_hole_in_the_video() {
    check(
        "hole.mkv",
        &format!(
            "{SOURCE} -vf select='lt(t\\,3)+gt(t\\,8)' -fps_mode vfr -c:v libx264 -g 50 -pix_fmt yuv420p"
        ),
    );
}

#[test]
fn a_first_timestamp_that_is_not_zero() {
    for name in ["late.mp4", "late.mkv", "late.ts"] {
        check(
            name,
            &format!("{SOURCE} -vf setpts=PTS+3.5/TB -c:v libx264 -g 50 -bf 2 -pix_fmt yuv420p"),
        );
    }
}

#[test]
fn one_gop_for_the_whole_recording() {
    check(
        "long.mp4",
        &format!("{SOURCE} -c:v libx264 -g 100000 -bf 2 -sc_threshold 0 -pix_fmt yuv420p"),
    );
}

#[test]
fn intra_frames_only() {
    check(
        "intra.mp4",
        &format!("{SOURCE} -c:v libx264 -g 1 -pix_fmt yuv420p"),
    );
    check(
        "mjpeg.mkv",
        &format!("{SOURCE} -c:v mjpeg -pix_fmt yuvj420p"),
    );
}
