//! Every container and codec, and every oddity of time: the planned frames are written.

use std::path::Path;
use std::process::Command;

use crate::recordings::{
    call, check_h5, earmark, folder, made, pipeline, python, root, said, succeeds,
};

/// Budget of the tests: four high frames and a low one every second fit.
const BUDGET: &str = "tokens_per_s: 392";
const CLICKS: &str = "2.0,4.5,7.0,9.0";
/// In one pass the bucket may be unable to pay for the first yet, and something weaker may have taken what the last one costs.
const MIDDLE_CLICKS: &str = "4.5,7.0";

/// What a recording is like, as far as the check must know.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Clicks at their known times.
    Plain,
    /// The same, from a recording whose time does not begin at zero: the clicks are somewhere else.
    Shifted,
    /// The video goes on after the sound: frames without an anchor take their share there.
    Longer,
    /// Shifted, and its start was cut off: what is left begins between two keyframes.
    Cut,
    /// Stored turned by 90 degrees.
    Turned,
    /// Nothing to hear: the uniform fallback.
    Unheard,
}

/// Plans, runs by that plan in two passes, runs in one pass; checks all three.
fn holds(name: &str, kind: Kind) {
    let Some(python) = python() else { return };
    let input = made(&python, name);
    let folder = folder(name);
    for planning in ["global", "streaming"] {
        let budget = match kind {
            Kind::Longer => "tokens_per_s: 784",
            _ => BUDGET,
        };
        let pipeline = pipeline(&python, &folder, &format!("{budget}, planning: {planning}"));
        let file = folder.join(format!("{planning}.h5"));
        let output = succeeds(call("run", &pipeline, &input, &file));
        let mut args = vec![
            file.clone().into_os_string(),
            "--recording".into(),
            input.clone().into_os_string(),
        ];
        if planning == "global" {
            let plan = folder.join("plan.jsonl");
            succeeds(call("plan", &pipeline, &input, &plan));
            args.extend(["--plan".into(), plan.into_os_string()]);
        }
        let clicks = if planning == "global" {
            CLICKS
        } else {
            MIDDLE_CLICKS
        };
        match kind {
            Kind::Plain | Kind::Longer => {
                args.extend(["--clicks".into(), clicks.into()]);
            }
            Kind::Turned => args.extend(["--turned".into(), "--clicks".into(), clicks.into()]),
            Kind::Shifted => {}
            Kind::Cut => args.extend(["--numbered".into(), "250".into()]),
            Kind::Unheard => {
                let text = said(&output);
                assert_eq!(
                    text.matches("warning").count(),
                    1,
                    "one warning, once: {text}"
                );
            }
        }
        check_h5(&python, args);
        assert!(
            leftovers(&folder).is_empty(),
            "left behind: {:?}",
            leftovers(&folder)
        );
    }
}

/// Files that are neither a pipeline nor a finished output.
fn leftovers(folder: &Path) -> Vec<std::ffi::OsString> {
    let known = ["pipeline.yaml", "plan.jsonl", "global.h5", "streaming.h5"];
    std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .filter(|n| !known.iter().any(|k| n == k))
        .collect()
}

macro_rules! recordings {
    ($($name:ident: $kind:ident,)*) => {
        $(#[test] fn $name() { holds(stringify!($name), Kind::$kind); })*
    };
}

recordings! {
    mp4_h264_aac: Plain,
    mp4_h264_pyramid: Plain,
    mp4_h264_open_gop: Plain,
    mkv_h264_open_gop: Plain,
    mp4_h265_aac: Plain,
    mkv_h265_opus: Plain,
    mkv_h265_open_gop: Plain,
    mkv_h264_mp3: Plain,
    mkv_h264_pcm: Plain,
    mp4_h264_mp3: Plain,
    webm_vp8_vorbis: Plain,
    webm_vp9_opus: Plain,
    mkv_vp9_pcm: Plain,
    ts_h264_aac: Shifted,
    ts_h265_mp3: Shifted,
    mp4_vfr: Longer,
    mkv_vfr: Longer,
    mp4_rotated: Turned,
    mkv_starts_at_5s: Shifted,
    mp4_starts_at_5s: Shifted,
    ts_starts_at_90s: Shifted,
    mkv_av1_opus: Plain,
    mp4_av1_aac: Plain,
    mp4_interlaced: Plain,
    mp4_edit_list: Cut,
    ts_no_first_keyframe: Cut,
    ts_wraps: Shifted,
    ts_resized: Shifted,
    mp4_intra_only: Plain,
    mp4_one_gop: Plain,
    mp4_no_audio: Unheard,
    mkv_silent: Unheard,
}

/// Where the first frame is not at 0, the file and `inspect` say where it is.
#[test]
fn the_first_frame_may_lie_after_the_container_begins() {
    let Some(python) = python() else { return };
    for (name, late) in [
        ("mp4_h264_aac", false),
        ("ts_h264_aac", true),
        ("mp4_starts_at_5s", true),
    ] {
        let input = made(&python, name);
        let folder = folder(&format!("first_frame_{name}"));
        let pipeline = pipeline(&python, &folder, "policy: dense");
        let file = folder.join("all.h5");
        succeeds(call("run", &pipeline, &input, &file));
        let file = file.to_str().unwrap();
        let about = earmark(["inspect", file, "--json"]).stdout;
        let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
        let said_of_first = said(&earmark(["inspect", file])).contains("first frame  at ");
        assert_eq!(said_of_first, late, "{name}");
        let first = &about["features"]["further"]["first_frame_ns"];
        assert_eq!(first.is_string(), late, "{name}: {about}");
        let read = Command::new(&python)
            .args(["-c", FIRST_ROW])
            .arg(file)
            .output()
            .unwrap();
        let row = String::from_utf8(read.stdout).unwrap();
        assert_eq!(first.as_str().unwrap_or("0"), row.trim(), "{name}");
    }
}

const FIRST_ROW: &str = "import h5py, sys; print(h5py.File(sys.argv[1])['frames/pts_ns'][0])";

#[test]
fn the_second_audio_track_is_heard_when_asked_for() {
    let Some(python) = python() else { return };
    let input = made(&python, "mkv_two_tracks");
    let folder = folder("mkv_two_tracks");
    let pipeline = pipeline(&python, &folder, BUDGET);
    for (track, clicks) in [("0", "1.0"), ("1", CLICKS)] {
        let file = folder.join(format!("track{track}.h5"));
        succeeds([
            "run".as_ref(),
            pipeline.as_os_str(),
            "--input".as_ref(),
            input.as_os_str(),
            "--output".as_ref(),
            file.as_os_str(),
            "--audio-track".as_ref(),
            track.as_ref(),
        ]);
        check_h5(
            &python,
            [
                file.as_os_str(),
                "--recording".as_ref(),
                input.as_os_str(),
                "--clicks".as_ref(),
                clicks.as_ref(),
            ],
        );
    }
}

#[test]
fn without_video_cues_and_anchors_are_still_written() {
    let Some(python) = python() else { return };
    for name in ["m4a_no_video", "wav_no_video"] {
        let input = made(&python, name);
        let folder = folder(name);
        let pipeline = pipeline(&python, &folder, BUDGET);
        let file = folder.join("cues.h5");
        succeeds(call("run", &pipeline, &input, &file));
        check_h5(
            &python,
            [file.as_os_str(), "--clicks".as_ref(), CLICKS.as_ref()],
        );
    }
}

/// Runs the pipeline of these tests and holds the anchors against labels.
fn finds_the_events(python: &Path, folder: &Path, input: &Path, labels: &Path, onsets: &str) {
    let pipeline = pipeline(python, folder, "tokens_per_s: 196");
    let file = folder.join("features.h5");
    succeeds(call("run", &pipeline, input, &file));
    check_h5(
        python,
        [
            file.as_os_str(),
            "--labels".as_ref(),
            labels.as_os_str(),
            "--onsets".as_ref(),
            onsets.as_ref(),
        ],
    );
}

#[test]
fn the_shipped_recording_has_its_anchors_where_its_labels_say() {
    let Some(python) = python() else { return };
    let fixtures = root().join("fixtures");
    finds_the_events(
        &python,
        &folder("labels"),
        &fixtures.join("kitchen.mp4"),
        &fixtures.join("kitchen.labels.csv"),
        "0.75",
    );
}

/// Real sounds at real times, where that collection lies beside the repository (or in `$EARMARK_SHARED`).
#[test]
fn real_kitchen_sounds_have_their_anchors_where_their_labels_say() {
    let Some(python) = python() else { return };
    let shared = std::env::var_os("EARMARK_SHARED")
        .map_or_else(|| root().join("../shared"), std::path::PathBuf::from);
    let make = shared.join("kitchenmix/make.py");
    if !make.exists() {
        eprintln!("skipped: there is no {}", make.display());
        return;
    }
    let folder = folder("kitchenmix");
    let output = std::process::Command::new(&python)
        .arg(make)
        .args("mix --video P11_21 --snr 10 --size 320x180 --gop 50 --out".split(' '))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let stem = folder.join("P11_21_snr10_s0");
    finds_the_events(
        &python,
        &folder,
        &stem.with_extension("mp4"),
        &stem.with_extension("labels.csv"),
        // Six frames for half a minute of sounds in quick succession: the last of them gets one, whatever it is.
        "0.3",
    );
}
