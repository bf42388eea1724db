//! Clips from every recording of the input tests: each frame of each clip is the one of a full decode, by a grid and by a budget.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::bad_input::noisy;
use crate::clips::pipeline;
use crate::codecs;
use crate::recordings::{call, earmark, folder, made, python, root, said, succeeds};
use crate::sound;

/// Clips of one pathway that cover every frame, and overlap.
const EVERY: &str = "budget: { policy: grid, clip_stride: 7 }";
/// Clips of two pathways at sounds and between them; whatever is heard, some are taken.
const SOME: &str = "budget: { tokens_per_s: 500, max_gap_ms: 2000 }";

/// Calls of the check, made all at once: most of its time is Python's start.
struct Checks {
    python: PathBuf,
    folder: PathBuf,
    every: PathBuf,
    some: PathBuf,
    calls: String,
}

impl Checks {
    fn new(name: &str) -> Option<Self> {
        let python = python()?;
        let folder = folder(&format!("clips_inputs_{name}"));
        let yaml = |name: &str, model: &str, budget: &str| {
            let own = folder.join(name);
            std::fs::create_dir(&own).unwrap();
            pipeline(&python, &own, model, "frames: 1", budget)
        };
        Some(Self {
            every: yaml("every", "clips8", EVERY),
            some: yaml("some", "clips16", SOME),
            calls: String::new(),
            python,
            folder,
        })
    }

    /// Runs with both pipelines.
    #[track_caller]
    fn run(&mut self, name: &str, input: &Path, more: &[&str]) {
        let grid = ["--frames", "8", "--grid", "ego4d", "--stride", "7"];
        let two = ["--frames", "16", "--slow", "4"];
        for (way, pipeline, own) in [
            ("every", &self.every, &grid[..]),
            ("some", &self.some, &two),
        ] {
            let file = self.folder.join(format!("{name}_{way}.h5"));
            let run = earmark(call("run", pipeline, input, &file));
            assert!(run.status.success(), "{name}, {way}: {}", said(&run));
            let mut args = vec![json!(file), json!(input)];
            args.extend(own.iter().chain(more).map(|arg| json!(arg)));
            self.calls += &format!("{}\n", json!(args));
        }
    }

    /// The runs of recordings of the input tests.
    fn made(mut self, names: &[&str], more: &[&str]) -> Self {
        for name in names {
            let input = made(&self.python, name);
            self.run(name, &input, more);
        }
        self
    }

    /// Holds all that was written against full decodes.
    #[track_caller]
    fn hold(self) {
        let calls = self.folder.join("calls.jsonl");
        std::fs::write(&calls, &self.calls).unwrap();
        let checked = Command::new(&self.python)
            .arg(root().join("tests/check_clips.py"))
            .args(["--calls".as_ref(), calls.as_os_str()])
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", said(&checked));
        print!("{}", String::from_utf8_lossy(&checked.stdout));
        succeeds(["verify".as_ref(), self.folder.as_os_str()]);
    }
}

/// Containers, B frames, open groups, fields, uneven times, cut starts.
#[test]
fn clips_in_containers_and_oddities() {
    let Some(mut checks) = Checks::new("oddities") else {
        return;
    };
    for (name, more) in [
        ("mp4_h264_aac", &[][..]),
        ("mp4_h264_pyramid", &[]),
        ("mp4_h264_open_gop", &[]),
        ("mkv_h264_open_gop", &[]),
        ("mkv_h265_open_gop", &[]),
        ("mkv_h265_opus", &[]),
        ("webm_vp9_opus", &[]),
        ("mkv_av1_opus", &[]),
        ("ts_h264_aac", &[]),
        ("ts_h265_mp3", &[]),
        ("mp4_vfr", &[]),
        ("mkv_vfr", &[]),
        ("mp4_rotated", &["--turned"]),
        ("mp4_interlaced", &[]),
        ("ts_resized", &[]),
        ("mp4_one_gop", &[]),
        ("mp4_edit_list", &["--numbered", "250"]),
        ("ts_no_first_keyframe", &["--numbered", "250"]),
        ("mkv_starts_at_5s", &[]),
        ("ts_starts_at_90s", &[]),
        ("mp4_no_audio", &[]),
    ] {
        let input = made(&checks.python, name);
        checks.run(name, &input, more);
    }
    checks.hold();
}

#[test]
fn clips_of_frames_that_stand_alone() {
    let Some(checks) = Checks::new("alone") else {
        return;
    };
    let more = ["mp4_intra_only", "mov_qtrle", "avi_zmbv"];
    let names = [&codecs::ALONE[..], &more].concat();
    checks.made(&names, &[]).hold();
}

#[test]
fn clips_of_frames_in_gops() {
    let Some(checks) = Checks::new("gops") else {
        return;
    };
    let more = [
        "mp4_h265_aac",
        "mp4_h264_mp3",
        "webm_vp8_vorbis",
        "mkv_vp9_pcm",
        "mp4_av1_aac",
        "mp4_starts_at_5s",
        "ts_wraps",
        "mkv_two_tracks",
        "mkv_silent",
        "mp4_short_first_track",
    ];
    let names = [&codecs::IN_GOPS[..], &more].concat();
    checks.made(&names, &[]).hold();
}

#[test]
fn clips_of_frames_without_presentation_times() {
    let Some(checks) = Checks::new("untimed") else {
        return;
    };
    let names = codecs::UNTIMED;
    checks.made(&names, &["--even", "25"]).hold();
}

/// Sound that drifts, begins late, ends early or lies beside the video; video that begins late; times that jump.
#[test]
fn clips_beside_odd_sound_and_times() {
    let Some(mut checks) = Checks::new("odd") else {
        return;
    };
    let base = made(&checks.python, "mkv_h264_pcm");
    let both = "-map 0:v -map 1:a -c:v copy -c:a";
    let jump = "setts=pts='PTS+gte(PTS*TB,5)*60/TB':dts='DTS+gte(PTS*TB,5)*60/TB'";
    for (name, inputs, options) in [
        (
            "drift.mkv",
            &[""][..],
            "-c:v copy -af asetpts=PTS*0.98 -c:a pcm_s16le",
        ),
        ("rate.mov", &[""], "-c:v copy -c:a pcm_s16le -ar 96000"),
        (
            "late.mkv",
            &["", "-itsoffset 2"],
            &format!("{both} libopus"),
        ),
        ("late.ts", &["", "-itsoffset 3"], &format!("{both} aac")),
        ("short.mp4", &["", "-t 3"], &format!("{both} aac")),
        (
            "some.mkv",
            &["-itsoffset 3", ""],
            &format!("{both} libopus"),
        ),
        (
            "ahead.mkv",
            &["-itsoffset 30", ""],
            &format!("{both} libopus"),
        ),
        (
            "after.mkv",
            &["", "-itsoffset 30"],
            &format!("{both} libopus"),
        ),
        (
            "phase.mov",
            &[""],
            "-c:v copy -af pan=stereo|FL=c0|FR=-1*c0 -c:a pcm_s16le",
        ),
        (
            "jump.mkv",
            &[""],
            &format!("-c copy -bsf:v {jump} -bsf:a {jump}"),
        ),
    ] {
        let input = sound::make(&checks.folder, name, inputs, &base, options);
        checks.run(name, &input, &[]);
    }
    let avi = "-c:v copy -bsf:v h264_mp4toannexb -c:a adpcm_ms";
    let input = sound::make(&checks.folder, "adpcm.avi", &[""], &base, avi);
    checks.run("adpcm", &input, &["--even", "25"]);
    checks.hold();
}

/// Lost packets, and noise over a tenth of the file: beside the damaged groups, every frame is the one that its time says.
#[test]
fn clips_beside_damage() {
    let Some(mut checks) = Checks::new("damage") else {
        return;
    };
    let even = ["--even", "25", "--damaged"];
    let stream = std::fs::read(made(&checks.python, "ts_h264_aac")).unwrap();
    let packets = stream.len() / 188;
    let lost = (packets * 42 / 100) * 188..(packets * 50 / 100) * 188;
    let path = checks.folder.join("lost.ts");
    std::fs::write(&path, [&stream[..lost.start], &stream[lost.end..]].concat()).unwrap();
    checks.run("lost", &path, &[&even[..], &["3.9", "6.1"]].concat());
    // Matroska's demuxer finds nothing more.
    for (name, until) in [
        ("mp4_h264_aac", "7.05"),
        ("ts_h264_aac", "7.05"),
        ("mkv_h264_pcm", "10"),
    ] {
        let whole = made(&checks.python, name);
        let path = checks
            .folder
            .join(name)
            .with_extension(whole.extension().unwrap());
        std::fs::write(&path, noisy(std::fs::read(&whole).unwrap())).unwrap();
        checks.run(name, &path, &[&even[..], &["4.39", until]].concat());
    }
    checks.hold();
}

/// What has no frames, or too few, is dealt with as by encoders of frames.
#[test]
fn clips_of_what_has_no_video_or_is_refused() {
    let Some(checks) = Checks::new("none") else {
        return;
    };
    for name in ["m4a_no_video", "wav_no_video"] {
        let (input, file) = (
            made(&checks.python, name),
            checks.folder.join(format!("{name}.h5")),
        );
        succeeds(call("run", &checks.some, &input, &file));
        let script = "import h5py, sys
with h5py.File(sys.argv[1]) as f:
    print(len(f['frames/pts_ns']), f['clips/frame_pts_ns'].shape, len(f['cues/pts_ns']) > 100, len(f['anchors/onset_ns']) >= 2)";
        let read = Command::new(&checks.python)
            .args(["-c", script])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&read.stdout).trim(),
            "0 (0, 16) True True",
            "{name}: {}",
            said(&read)
        );
    }
    for (name, words) in [
        ("avi_xvid_packed", "mpeg4_unpack_bframes"),
        ("h265_alone", "H.265"),
        ("avi_h265", "another codec"),
        ("avi_utvideo", "ULY0"),
        ("mp4_short_video", "a video track of 1.6 s"),
    ] {
        let input = made(&checks.python, name);
        for pipeline in [&checks.every, &checks.some] {
            let file = checks.folder.join("refused.h5");
            let run = earmark(call("run", pipeline, &input, &file));
            assert_eq!(run.status.code(), Some(1), "{name}: {}", said(&run));
            assert!(
                said(&run).contains(words) && !file.exists(),
                "{name}: {}",
                said(&run)
            );
        }
    }
}
