//! Sound that is late, short, wrongly stamped or out of phase, and timestamps that jump: in both ways of planning.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::recordings::{
    call, earmark, ffmpeg, folder, made, pipeline, python, root, said, succeeds,
};

const CLICKS: [f64; 4] = [2.0, 4.5, 7.0, 9.0];

/// Makes a recording of others with ffmpeg.
pub fn make(folder: &Path, name: &str, inputs: &[&str], base: &Path, options: &str) -> PathBuf {
    let path = folder.join(name);
    let mut args: Vec<&OsStr> = Vec::new();
    for input in inputs {
        args.extend(input.split_whitespace().map(OsStr::new));
        args.extend(["-i".as_ref(), base.as_os_str()]);
    }
    args.extend(options.split_whitespace().map(OsStr::new));
    ffmpeg(args.into_iter().chain([path.as_os_str()]));
    path
}

/// What `earmark inspect` says of a recording that was run: anchors' onsets in seconds, frames, and what was warned of.
struct Ran {
    onsets: Vec<f64>,
    frames: usize,
    warnings: String,
    text: String,
}

fn run(python: &Path, folder: &Path, input: &Path, budget: &str) -> Ran {
    let pipeline = pipeline(python, folder, budget);
    let file = folder.join("out.h5");
    let args = call("run", &pipeline, input, &file);
    let output = succeeds(args.into_iter().chain(["--overwrite".as_ref()]));
    let text = said(&output);
    succeeds(["verify".as_ref(), file.as_os_str()]);
    let script = "import h5py, sys
with h5py.File(sys.argv[1]) as f:
    cues = f['cues/pts_ns'][:]
    assert (cues[1:] > cues[:-1]).all(), 'cues step back'
    assert f.attrs['spent_tokens'] <= f.attrs['budget_tokens']
    pts = f['frames/pts_ns'][:]
    print(len(pts), *(f['anchors/onset_ns'][:] / 1e9))";
    let read = Command::new(python)
        .args(["-c", script])
        .arg(&file)
        .output();
    let read = read.unwrap();
    assert!(read.status.success(), "{text}{}", said(&read));
    let numbers = String::from_utf8(read.stdout).unwrap();
    let mut numbers = numbers.split_whitespace();
    Ran {
        frames: numbers.next().unwrap().parse().unwrap(),
        onsets: numbers.map(|onset| onset.parse().unwrap()).collect(),
        warnings: text
            .lines()
            .filter(|line| line.starts_with("warning"))
            .collect::<Vec<_>>()
            .join("\n"),
        text,
    }
}

/// In both ways of planning: these clicks are anchors, each part of these warnings appears once, and no internal file is named.
fn hears(name: &str, input: &Path, clicks: &[f64], warnings: &[&str]) {
    let Some(python) = python() else { return };
    let folder = folder(&format!("sound_{name}"));
    for planning in ["global", "streaming"] {
        let budget = format!("tokens_per_s: 784, planning: {planning}");
        let ran = run(&python, &folder, input, &budget);
        // In one pass the bucket may be unable to pay for the first, and something weaker may have taken what the last one costs.
        let clicks = match planning {
            "global" => clicks,
            _ => clicks.get(1..clicks.len().max(2) - 1).unwrap_or_default(),
        };
        for click in clicks {
            let near = ran.onsets.iter().any(|onset| (onset - click).abs() < 0.1);
            assert!(
                near,
                "{name}, {planning}: no {click}: {:?}\n{}",
                ran.onsets, ran.text
            );
        }
        for part in warnings {
            let times = ran.warnings.matches(part).count();
            assert_eq!(times, 1, "{name}, {planning}: {part}\n{}", ran.text);
        }
        assert!(!ran.text.contains("/dev/fd"), "{}", ran.text);
    }
}

#[test]
fn times_that_step_back_are_no_error() {
    let Some(python) = python() else { return };
    let folder = folder("sound_steps");
    let base = made(&python, "mkv_h264_pcm");
    let drift = "-c:v copy -af asetpts=PTS*0.98 -c:a pcm_s16le";
    let drift = make(&folder, "drift.mkv", &[""], &base, drift);
    hears("drift", &drift, &CLICKS, &["times step back"]);
    let adpcm = make(
        &folder,
        "adpcm.avi",
        &[""],
        &base,
        "-c:v copy -bsf:v h264_mp4toannexb -c:a adpcm_ms",
    );
    hears("adpcm", &adpcm, &CLICKS[..2], &["times step back"]);
    let still = make(
        &folder,
        "still.mov",
        &[""],
        &base,
        "-c:v copy -c:a pcm_s16le -ar 96000",
    );
    hears("still", &still, &CLICKS, &[]);
    // Packets of a transport stream are lost in three places, the click at 4.5 s among them.
    let stream = std::fs::read(made(&python, "ts_h264_aac")).unwrap();
    let packets = stream.len() / 188;
    let lost =
        [(20, 22), (42, 50), (70, 72)].map(|(from, to)| packets * from / 100..packets * to / 100);
    let kept = (0..packets).filter(|at| !lost.iter().any(|lost| lost.contains(at)));
    let kept: Vec<u8> = kept
        .flat_map(|at| &stream[188 * at..188 * (at + 1)])
        .copied()
        .collect();
    let path = folder.join("lost.ts");
    std::fs::write(&path, kept).unwrap();
    hears(
        "lost",
        &path,
        &[],
        &["packets of the transport stream are missing"],
    );
}

#[test]
fn sound_or_video_may_begin_late_or_end_early() {
    let Some(python) = python() else { return };
    let folder = folder("sound_late");
    let base = made(&python, "mkv_h264_pcm");
    let both = "-map 0:v -map 1:a -c:v copy -c:a libopus";
    let late = make(&folder, "late.mkv", &["", "-itsoffset 2"], &base, both);
    let clicks = CLICKS.map(|at| at + 2.0);
    hears("late_mkv", &late, &clicks[..3], &["sound begins at"]);
    let both = "-map 0:v -map 1:a -c:v copy -c:a aac";
    let late = make(&folder, "late.ts", &["", "-itsoffset 3"], &base, both);
    hears("late_ts", &late, &[], &["sound begins at"]);
    let pictures = "-map 0:v -map 1:a -c:v copy -c:a libopus";
    let ahead = make(
        &folder,
        "ahead.mkv",
        &["-itsoffset 30", ""],
        &base,
        pictures,
    );
    hears("ahead", &ahead, &[], &["do not overlap"]);
    let after = make(
        &folder,
        "after.mkv",
        &["", "-itsoffset 30"],
        &base,
        pictures,
    );
    hears("after", &after, &[], &["do not overlap"]);
    let some = make(&folder, "some.mkv", &["-itsoffset 3", ""], &base, pictures);
    hears("some", &some, &[4.5, 7.0], &["video begins at 3.0"]);
    let short = make(&folder, "short.mp4", &["", "-t 3"], &base, both);
    for planning in ["global", "streaming"] {
        let budget = format!("tokens_per_s: 392, planning: {planning}");
        let ran = run(&python, &folder, &short, &budget);
        assert_eq!(ran.warnings.matches("end early").count(), 1, "{}", ran.text);
    }
}

#[test]
fn channels_in_opposite_phase_are_heard() {
    let Some(python) = python() else { return };
    let folder = folder("sound_phase");
    let base = made(&python, "mkv_h264_pcm");
    for (name, codec) in [("opposite.mov", "pcm_s16le"), ("opposite.mkv", "flac")] {
        let options = format!("-c:v copy -af pan=stereo|FL=c0|FR=-1*c0 -c:a {codec}");
        let opposite = make(&folder, name, &[""], &base, &options);
        hears("opposite", &opposite, &CLICKS, &["opposite phase"]);
    }
}

/// As many as there are, through the plugin alone, and where weights are learned.
#[test]
fn channels_in_opposite_phase_are_heard_by_everybody() {
    let Some(python) = python() else { return };
    let folder = folder("sound_phase_everybody");
    let base = made(&python, "mkv_h264_pcm");
    let pan = "-c:v copy -af pan=4.0|c0=0.1*c0|c1=c0|c2=0*c0|c3=-1*c0 -c:a pcm_s24le";
    let four = make(&folder, "four.mkv", &[""], &base, pan);
    hears("four", &four, &CLICKS, &["opposite phase"]);
    let Some(plugins) = crate::ends::plugin(&folder) else {
        return;
    };
    let two = "-vn -af pan=stereo|FL=c0|FR=-1*c0 -c:a pcm_s24be";
    let two = make(&folder, "two.aiff", &[""], &base, two);
    // Without decodebin: it now and then takes aiffparse's pad so late that the parser gives up, and nobody is told.
    let line = format!(
        "filesrc location={} ! aiffparse ! audioconvert ! audioresample ! eventness probe=flux ! fakesink silent=false",
        two.display()
    );
    let output = Command::new("timeout")
        .args(["--kill-after=5", "60", "gst-launch-1.0", "-v"])
        .args(line.split_whitespace())
        .env("GST_PLUGIN_PATH", &plugins)
        .env("GST_REGISTRY", folder.join("registry.bin"))
        .output();
    let text = said(&output.unwrap());
    assert!(text.contains("opposite phase"), "{text}");
    let learned = folder.join("learned");
    std::fs::create_dir(&learned).unwrap();
    let two = "-vn -af pan=stereo|FL=c0|FR=-1*c0 -c:a pcm_s24le";
    make(&learned, "two.wav", &[""], &base, two);
    std::fs::write(
        learned.join("two.csv"),
        "start_s,stop_s,class\n2,2.2,click\n",
    )
    .unwrap();
    let weights = root().join("plugins/anchoring/weights/ears.safetensors");
    let mine = folder.join("mine.safetensors");
    let args: [&std::ffi::OsStr; 7] = [
        "fit".as_ref(),
        "--recordings".as_ref(),
        learned.as_os_str(),
        "--calibrate-only".as_ref(),
        weights.as_os_str(),
        "--output".as_ref(),
        mine.as_os_str(),
    ];
    // One recording is too little to learn from; but its sounds are listed.
    let text = said(&earmark(args));
    assert!(text.contains("opposite phase"), "{text}");
}

#[test]
fn a_jump_in_time_is_one_discontinuity_however_long() {
    let Some(python) = python() else { return };
    let folder = folder("sound_jump");
    let base = made(&python, "mkv_h264_pcm");
    for (name, seconds) in [("minute", 60_i64), ("day", 86_400), ("year", 31_536_000)] {
        let jump = format!("setts=ts='TS+gte(TS*TB,5)*{seconds}/TB'");
        let options = format!("-c copy -bsf:v {jump} -bsf:a {jump}");
        let jumps = make(&folder, &format!("{name}.mkv"), &[""], &base, &options);
        for planning in ["global", "streaming"] {
            if (name, planning) == ("year", "global") {
                // No plan lasts longer than a hundred hours; that is said at once.
                let pipeline = pipeline(&python, &folder, "tokens_per_s: 392");
                let args =
                    call("run", &pipeline, &jumps, &folder.join("no.h5")).map(|a| a.to_owned());
                let refused = said(&earmark(args));
                assert!(refused.contains("last timestamp"), "{refused}");
                continue;
            }
            let budget = format!("tokens_per_s: 392, planning: {planning}");
            let ran = run(&python, &folder, &jumps, &budget);
            let at = |click: f64| {
                if click < 5.0 {
                    click
                } else {
                    click + seconds as f64
                }
            };
            let near = |click: f64| ran.onsets.iter().any(|on| (on - at(click)).abs() < 0.1);
            let found = CLICKS.iter().filter(|click| near(**click)).count();
            assert!(
                found >= 1,
                "{name}, {planning}: {:?}\n{}",
                ran.onsets,
                ran.text
            );
            assert!(
                (4..=40).contains(&ran.frames),
                "{name}, {planning}: {}",
                ran.text
            );
            let count = ran.warnings.matches("no frames from").count();
            assert_eq!(count, 1, "{name}, {planning}: {}", ran.text);
        }
    }
}
