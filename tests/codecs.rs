//! Codecs by containers: the planned frames are written, as few as possible are decoded, and unreadable files are refused by name.

use std::ffi::OsStr;
use std::process::Command;

use crate::recordings::{
    call, check_h5, earmark, ffmpeg, folder, made, pipeline, python, said, succeeds,
};

const BUDGET: &str = "tokens_per_s: 392";

/// What a recording is like, as far as the check must know.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A frame that is asked for is decoded, and no other.
    Alone,
    /// Frames come in groups.
    Groups,
    /// The gate knows nothing of the codec: all is decoded, and a warning says so.
    Unknown,
    /// It says when frames are decoded, not when they are shown.
    Untimed,
}

fn holds(kind: Kind, names: &[&str]) {
    let Some(python) = python() else { return };
    let folder = folder(&format!("codecs_{}", names[0]));
    for name in names {
        let input = made(&python, name);
        for planning in ["global", "streaming"] {
            let pipeline = pipeline(&python, &folder, &format!("{BUDGET}, planning: {planning}"));
            let file = folder.join(format!("{name}_{planning}.h5"));
            let output = succeeds(call("run", &pipeline, &input, &file));
            let text = said(&output);
            let mut args = vec![
                file.clone().into_os_string(),
                "--recording".into(),
                input.clone().into_os_string(),
            ];
            if kind == Kind::Untimed {
                args.extend(["--even".into(), "25".into()]);
            }
            println!("{name}, {planning}: {text}");
            check_h5(&python, args);
            let warned = text.contains("does not know where a decoder can start");
            assert_eq!(warned, kind == Kind::Unknown, "{name}: {text}");
            let decoded = decoded(&text);
            let frames = frames(&text);
            assert!(frames > 0, "{name}: {text}");
            if kind == Kind::Alone {
                assert!(decoded.0 <= frames, "{name}: {text}");
            }
            if kind == Kind::Groups {
                assert!(decoded.0 < decoded.1, "{name}: {text}");
            }
        }
    }
}

/// Of "decoded 7 of 125 frames" both numbers.
fn decoded(text: &str) -> (u64, u64) {
    let line = text.lines().find(|line| line.starts_with("decoded"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    let number = |word: &str| word.replace(',', "").parse().unwrap();
    (number(words[1]), number(words[3]))
}

/// The sum of "frames 4 low (uniform), 2 high (anchor)".
fn frames(text: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with("frames"));
    let numbers = line.unwrap().split([' ', ',']);
    numbers.filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// Recordings of which every frame is a keyframe.
pub(crate) const ALONE: [&str; 12] = [
    "avi_mjpeg",
    "mov_mjpeg",
    "mkv_mjpeg",
    "mov_prores",
    "mov_cineform",
    "mov_dnxhd",
    "avi_dv",
    "avi_huffyuv",
    "mkv_png",
    "avi_raw",
    "mkv_raw",
    "avi_ffv1",
];

/// Recordings with frames in GOPs.
pub(crate) const IN_GOPS: [&str; 9] = [
    "mkv_ffv1_groups",
    "mpg_mpeg1",
    "mpg_mpeg2",
    "mkv_mpeg2",
    "mp4_mpeg4",
    "flv_flv1",
    "wmv_wmv2",
    "mkv_theora",
    "avi_vp8",
];

/// Recordings without presentation times.
pub(crate) const UNTIMED: [&str; 7] = [
    "avi_h264",
    "avi_h264_b",
    "avi_h264_pyramid",
    "avi_mpeg2_b",
    "avi_mpeg4_b",
    "h264_alone",
    "m2v_alone",
];

#[test]
fn of_keyframes_only_those_asked_for_are_decoded() {
    holds(Kind::Alone, &ALONE);
}

#[test]
fn frames_in_gops_are_decoded_from_their_keyframes() {
    holds(Kind::Groups, &IN_GOPS);
}

#[test]
fn a_codec_that_the_gate_does_not_know_is_decoded_whole_with_a_warning() {
    holds(Kind::Unknown, &["mov_qtrle", "avi_zmbv"]);
}

#[test]
fn pictures_without_presentation_times_get_them_from_their_order() {
    holds(Kind::Untimed, &UNTIMED);
}

#[test]
fn what_cannot_be_read_is_refused_with_a_line_that_helps() {
    let Some(python) = python() else { return };
    let folder = folder("codecs_refused");
    for (name, words) in [
        ("avi_xvid_packed", &["packed", "mpeg4_unpack_bframes"][..]),
        ("h265_alone", &["H.265", "ffmpeg -i"]),
        ("avi_h265", &["another codec", "ffmpeg -i"]),
        ("avi_utvideo", &["ULY0", "ffmpeg -i"]),
        (
            "mp4_short_video",
            &["a video track of 1.6 s", "10.0 s", "-c copy OUT.mkv"],
        ),
    ] {
        let input = made(&python, name);
        for planning in ["global", "streaming"] {
            let pipeline = pipeline(&python, &folder, &format!("{BUDGET}, planning: {planning}"));
            let output = earmark(call("run", &pipeline, &input, &folder.join("x.h5")));
            let text = said(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {text}");
            for word in words {
                assert!(text.contains(word), "{name}: no {word} in {text}");
            }
        }
    }
    let pipeline = pipeline(&python, &folder, BUDGET);
    let camera = std::path::Path::new("rtsp://127.0.0.1:9/camera");
    let output = earmark(call("run", &pipeline, camera, &folder.join("x.h5")));
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("`earmark live`"), "{text}");
}

#[test]
fn video_that_ends_before_the_file_is_reported() {
    let Some(python) = python() else { return };
    let input = made(&python, "mp4_two_edits");
    let folder = folder("codecs_edits");
    let pipeline = pipeline(&python, &folder, BUDGET);
    let output = succeeds(call("run", &pipeline, &input, &folder.join("x.h5")));
    let text = said(&output);
    assert!(
        text.contains("made of 2 edits, lasts 6.0 s, the file 10.0 s"),
        "{text}"
    );
    // Of several tracks, the first is taken.
    let input = made(&python, "mp4_short_first_track");
    let output = succeeds(call("run", &pipeline, &input, &folder.join("y.h5")));
    let text = said(&output);
    assert!(
        text.contains("the video track lasts 4.1 s, the file 10.0 s"),
        "{text}"
    );
}

/// Red 200, green 60, blue 40, however it is stored; as ffmpeg shows it.
#[test]
fn colours_are_those_that_were_recorded() {
    let Some(python) = python() else { return };
    let folder = folder("codecs_colours");
    let pipeline = pipeline(&python, &folder, BUDGET);
    let named = |matrix: &str, range: &str| {
        format!(
            "-colorspace {matrix} -color_primaries {matrix} -color_trc {matrix} -color_range {range}"
        )
    };
    let x264 = "-c:v libx264 -preset ultrafast";
    for (name, size, scale, options) in [
        (
            "full709.mp4",
            "320x240",
            "out_color_matrix=bt709:out_range=full",
            format!("{x264} -pix_fmt yuvj420p {}", named("bt709", "pc")),
        ),
        (
            "full709.mkv",
            "320x240",
            "out_color_matrix=bt709:out_range=full",
            format!("{x264} -pix_fmt yuvj420p {}", named("bt709", "pc")),
        ),
        (
            "full_unnamed.mp4",
            "320x240",
            "out_color_matrix=bt601:out_range=full",
            format!("{x264} -pix_fmt yuvj420p"),
        ),
        (
            "limited_unnamed.mp4",
            "320x240",
            "out_color_matrix=bt601:out_range=tv",
            format!("{x264} -pix_fmt yuv420p"),
        ),
        (
            "limited709.mp4",
            "320x240",
            "out_color_matrix=bt709:out_range=tv",
            format!("{x264} -pix_fmt yuv420p {}", named("bt709", "tv")),
        ),
        (
            "large709.mp4",
            "1280x720",
            "out_color_matrix=bt709:out_range=tv",
            format!("{x264} -pix_fmt yuv420p {}", named("bt709", "tv")),
        ),
        // Nothing in the file says it: what is large is taken for BT.709, as players do.
        (
            "large_unnamed.mp4",
            "1280x720",
            "out_color_matrix=bt709:out_range=tv",
            format!("{x264} -pix_fmt yuv420p"),
        ),
        (
            "full265.mp4",
            "320x240",
            "out_color_matrix=bt709:out_range=full",
            format!(
                "-c:v libx265 -preset ultrafast -pix_fmt yuvj420p {} -x265-params log-level=error:range=full:colormatrix=bt709:colorprim=bt709:transfer=bt709",
                named("bt709", "pc")
            ),
        ),
        (
            "mjpeg.mov",
            "320x240",
            "out_color_matrix=bt601:out_range=full",
            "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p".to_owned(),
        ),
        (
            "mjpeg.avi",
            "320x240",
            "out_color_matrix=bt601:out_range=full",
            "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p".to_owned(),
        ),
        (
            "rgb.avi",
            "320x240",
            "out_range=full",
            "-c:v rawvideo -pix_fmt bgr24".to_owned(),
        ),
    ] {
        let path = folder.join(name);
        let source = format!("color=c=0xC83C28:s={size}:r=5:d=2");
        let scale = format!("scale={scale}");
        let args = ["-f", "lavfi", "-i", &source, "-vf", &scale].into_iter();
        let args = args.chain(options.split(' ')).map(OsStr::new);
        ffmpeg(args.chain([path.as_os_str()]));
        let file = folder.join("x.h5");
        let _ = std::fs::remove_file(&file);
        succeeds(call("run", &pipeline, &path, &file));
        let script = "import h5py, sys, numpy as np
x = h5py.File(sys.argv[1])['frames/features'][:].astype('f4').reshape(-1, 3, 64).mean((0, 2)) * 255
print(*x.round(1)); sys.exit(int(abs(x - [200, 60, 40]).max() > 3))";
        let read = Command::new(&python)
            .args(["-c", script])
            .arg(&file)
            .output()
            .unwrap();
        assert!(read.status.success(), "{name}: {}", said(&read));
        println!("{name}: {}", said(&read));
    }
}
