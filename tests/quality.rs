//! Quality of frames in whole runs: the stored measures, other programs' measures of the same faults, and the sharpest decoded frame.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anchoring::plan::Reason;
use anchoring::time::Nanos;
use gstearmark::frame_quality::{FrameQuality, Luma, Measure};
use gstearmark::h5::{self, Tables};
use serde_json::Value;

use crate::recordings::{call, ffmpeg, folder, has_ffmpeg, root, succeeds};

/// Frames a second of the shipped recording.
const FPS: i64 = 25;
/// How far from the time asked for the tests take the sharpest frame.
const WITHIN_MS: i64 = 100;

/// Whether the models are built and ffmpeg is there; says so if not.
fn ready() -> bool {
    let models = root().join("models/built/efficientnet-lite0.onnx").exists();
    if !models {
        eprintln!("skipped: the models are not installed; `make setup` does");
    }
    models && has_ffmpeg()
}

/// Whether a frame of the blurred recording is blurred: two of five, in no simple order.
fn is_blurred(frame: i64) -> bool {
    frame * 37 % 100 < 40
}

/// The shipped recording with motion blur on two frames of five.
fn blurred(folder: &Path) -> PathBuf {
    let path = folder.join("blurred.mp4");
    let kitchen = root().join("fixtures/kitchen.mp4");
    // A frame that is blurred all at once would become a keyframe, and no frame is on the way to a keyframe.
    let options = r"-c:v libx264 -preset veryfast -crf 18 -g 50 -bf 0 -sc_threshold 0 -c:a copy -vf avgblur=sizeX=9:sizeY=1:enable='lt(mod(n*37\,100)\,40)'";
    let input = [OsStr::new("-i"), kitchen.as_os_str()].into_iter();
    let options = options.split(' ').map(OsStr::new);
    ffmpeg(input.chain(options).chain([path.as_os_str()]));
    path
}

struct Ran {
    tables: Tables,
    decoded: u64,
}

fn run(folder: &Path, input: &Path, name: &str, settings: &[&str]) -> Ran {
    let output = folder.join(name);
    let pipeline = root().join("pipelines/gated.yaml");
    let mut args: Vec<_> = call("run", &pipeline, input, &output)
        .map(ToOwned::to_owned)
        .into();
    args.push("--json".into());
    for setting in settings {
        args.extend(["--set".into(), (*setting).into()]);
    }
    let said: Value = serde_json::from_slice(&succeeds(&args).stdout).unwrap();
    assert_eq!(said["features"]["frames_missed"], 0);
    Ran {
        tables: h5::read_tables(&output).unwrap(),
        decoded: said["features"]["access_units_passed"].as_u64().unwrap(),
    }
}

/// Share of the frames at anchors that are not blurred.
fn sharp(tables: &Tables) -> f64 {
    let at_anchor = tables
        .pts_ns
        .iter()
        .zip(&tables.reason)
        .filter(|(_, reason)| **reason == Reason::Anchor);
    let (mut sharp, mut all) = (0, 0);
    for (pts, _) in at_anchor {
        let frame = (pts * FPS + 500_000_000) / 1_000_000_000;
        sharp += i64::from(!is_blurred(frame));
        all += 1;
    }
    assert!(all >= 10, "{all} frames at anchors");
    sharp as f64 / all as f64
}

#[test]
fn the_sharpest_frame_is_taken_of_those_that_are_decoded_anyway() {
    if !ready() {
        return;
    }
    let folder = folder("quality");
    let input = blurred(&folder);
    let within = format!("gate.sharpest_ms={WITHIN_MS}");
    for (way, file) in [("global", "a"), ("streaming", "b")] {
        let way = format!("budget.planning={way}");
        // Late enough for the frames before it to lie in the event.
        let common = [&*way, "anchors.look_ms=140"];
        let before = run(&folder, &input, &format!("{file}0.h5"), &common);
        let after = run(
            &folder,
            &input,
            &format!("{file}1.h5"),
            &[common[0], common[1], &within],
        );
        assert_eq!(
            after.decoded, before.decoded,
            "not one more frame is decoded"
        );
        let (b, a) = (&before.tables, &after.tables);
        assert_eq!(
            (&a.planned_ns, &a.asked_ns, &a.anchor, &a.tokens),
            (&b.planned_ns, &b.asked_ns, &b.anchor, &b.tokens)
        );
        assert!(a.pts_ns.windows(2).all(|w| w[0] <= w[1]));
        let mut moved = 0;
        for (k, (&pts, &planned)) in a.pts_ns.iter().zip(&b.pts_ns).enumerate() {
            moved += i64::from(pts != planned);
            assert!(pts <= planned);
            assert!(pts == planned || (a.asked_ns[k] - pts).abs() <= WITHIN_MS * 1_000_000);
            if let Some(anchor) = usize::try_from(a.anchor[k]).ok().filter(|_| pts != planned) {
                assert!((a.anchors[anchor].start_ns..a.anchors[anchor].stop_ns).contains(&pts));
            }
        }
        assert!(moved > 0);
        let (had, has) = (sharp(b), sharp(a));
        assert!(
            has >= 0.9 && has > had,
            "{has} of the frames at anchors are sharp, {had} without"
        );
        let mean = |t: &Tables| {
            t.quality.iter().map(|q| q.sharpness).sum::<f32>() / t.quality.len() as f32
        };
        assert!(mean(a) > mean(b), "the file says so, too");
    }
}

#[test]
fn measures_of_frames_are_stored_and_the_features_are_what_they_were() {
    if !ready() {
        return;
    }
    let folder = folder("quality-stored");
    let input = root().join("fixtures/kitchen.mp4");
    let ran = run(&folder, &input, "a.h5", &[]);
    let tables = &ran.tables;
    assert_eq!(tables.quality.len(), tables.pts_ns.len());
    let bad = tables.quality.iter().filter(|q| q.score() < 0.3).count();
    assert_eq!(bad, 0, "{:?}", tables.quality);
    let said = succeeds([Path::new("inspect"), &folder.join("a.h5")]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for line in ["quality      0.", "of sound     0.", "of both      0."] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let cues = h5::read_cues(&folder.join("a.h5")).unwrap();
    assert!(!cues.pts_ns.is_empty() && cues.quality.len() == cues.pts_ns.len());
    // The uncertainty of an anchor is more than its score turned round.
    let anchors = &tables.anchors;
    assert!(anchors.len() > 10);
    assert!(anchors.iter().all(|a| (0.0..=1.0).contains(&a.uncertainty)));
    assert!(
        anchors
            .iter()
            .any(|a| (a.uncertainty - (1.0 - a.score)).abs() > 0.01)
    );
    assert!(
        succeeds([Path::new("verify"), &folder.join("a.h5")])
            .status
            .success()
    );
    // Where no frame is sharper than another, none is moved far, and the default moves none.
    let same = run(&folder, &input, "b.h5", &["gate.sharpest_ms=0"]);
    assert_eq!(same.tables, ran.tables);
    let features = |name| h5::read_features(&folder.join(name)).unwrap();
    assert_eq!(features("a.h5"), features("b.h5"));
}

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

/// Frames that ffmpeg makes of its test pattern, in grey, and what one of its measures says of them on average.
fn referee(
    filters: &str,
    codec: Option<&str>,
    measure: &str,
    key: &str,
) -> (Vec<FrameQuality>, f64) {
    let source = "mandelbrot=size=640x360:rate=5:start_scale=0.8:inner=convergence";
    let made = |to: &[&str], from: &[&str], input: Option<Vec<u8>>| {
        let mut child = Command::new("ffmpeg")
            .args(["-v", "error"])
            .args(from)
            .args(to)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || {
            let _ = std::io::Write::write_all(&mut stdin, &input.unwrap_or_default());
        });
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let codec: Vec<&str> = codec.unwrap_or("-c:v rawvideo").split(' ').collect();
    let chain = format!("{filters},format=yuvj420p");
    let mut to = vec!["-vf", &chain];
    to.extend(codec);
    to.extend(["-t", "2", "-f", "nut", "-"]);
    let clip = made(&to, &["-f", "lavfi", "-i", source], None);
    let grey = ["-pix_fmt", "gray", "-f", "rawvideo", "-"];
    let pixels = made(&grey, &["-f", "nut", "-i", "-"], Some(clip.clone()));
    let mut all = Measure::default();
    let own: Vec<_> = pixels
        .chunks_exact(WIDTH * HEIGHT)
        .zip(0..)
        .map(|(frame, k)| {
            all.frame(
                Nanos::from_ms(1000 * k),
                &Luma::new(frame, WIDTH, WIDTH, HEIGHT, true).unwrap(),
            )
        })
        .collect();
    let printing = format!("{measure},metadata=print:file=-");
    let said = made(
        &["-vf", &printing, "-f", "null", "-"],
        &["-f", "nut", "-i", "-"],
        Some(clip),
    );
    let said = String::from_utf8_lossy(&said).into_owned();
    let values: Vec<f64> = said
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        .collect();
    assert!(
        !own.is_empty() && values.len() == own.len(),
        "{key}: {said}"
    );
    (own, values.iter().sum::<f64>() / values.len() as f64)
}

/// Pairs of our own mean and the referee's must go the same way at every step.
fn agree(
    steps: &[(String, Option<&str>)],
    measure: &str,
    key: &str,
    own: fn(&FrameQuality) -> f32,
    sign: f64,
) {
    let pairs: Vec<(f64, f64)> = steps
        .iter()
        .map(|(filters, codec)| {
            let (frames, theirs) = referee(filters, *codec, measure, key);
            let mean = frames.iter().map(|q| f64::from(own(q))).sum::<f64>() / frames.len() as f64;
            (mean, sign * theirs)
        })
        .collect();
    assert!(
        pairs.windows(2).all(|w| w[1].0 < w[0].0 && w[1].1 < w[0].1),
        "{measure}: {pairs:?}"
    );
}

#[test]
fn measures_of_frames_go_the_way_of_ffmpegs() {
    if !has_ffmpeg() {
        return;
    }
    let blur = [0.3, 1.0, 2.0, 4.0].map(|s| (format!("gblur=sigma={s}"), None));
    agree(&blur, "blurdetect", "lavfi.blur", |q| q.sharpness, -1.0);
    let coarse = [
        "-c:v mjpeg -q:v 4",
        "-c:v mjpeg -q:v 12",
        "-c:v mjpeg -q:v 31",
    ];
    let coarse = coarse.map(|codec| ("null".to_owned(), Some(codec)));
    agree(
        &coarse,
        "blockdetect",
        "lavfi.block",
        |q| q.blockiness,
        -1.0,
    );
    // Their average is of all pixels; ours counts those that are too light.
    let light = [1.0, 1.5, 2.2, 4.0].map(|s| (format!("lutyuv=y='clip(val*{s},0,255)'"), None));
    agree(
        &light,
        "signalstats",
        "lavfi.signalstats.YAVG",
        |q| q.exposure,
        -1.0,
    );
}

#[test]
fn black_silent_and_broken_recordings_are_listed_before_training() {
    if !ready() {
        return;
    }
    let folder = folder("quality-screen");
    let recordings = folder.join("recordings");
    std::fs::create_dir(&recordings).unwrap();
    std::fs::copy(
        root().join("fixtures/kitchen.mp4"),
        recordings.join("good.mp4"),
    )
    .unwrap();
    let dark = "-f lavfi -i color=black:size=320x180:rate=25 -f lavfi -i anullsrc=r=16000:cl=mono -t 12 -c:v libx264 -preset ultrafast -g 25 -c:a aac";
    let dark = dark.split(' ').map(OsStr::new);
    ffmpeg(dark.chain([recordings.join("dark.mp4").as_os_str()]));
    std::fs::write(recordings.join("broken.mp4"), "no recording").unwrap();
    let page = folder.join("screen.html");
    let args = [
        Path::new("screen"),
        &recordings,
        Path::new("--output"),
        &page,
        Path::new("--json"),
    ];
    let said: Value = serde_json::from_slice(&succeeds(args).stdout).unwrap();
    let why = |name: &str| -> Vec<String> {
        let all = said["recordings"].as_array().unwrap();
        let one = all.iter().find(|one| one["name"] == name).unwrap();
        let why = one["unusable"].as_array().unwrap().iter();
        why.map(|reason| reason.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(why("good"), [""; 0]);
    let dark = why("dark");
    assert!(
        dark.len() == 2 && dark[0].contains("sound") && dark[1].contains("frames"),
        "{dark:?}"
    );
    assert_eq!(why("broken").len(), 1, "{:?}", why("broken"));
    let good = said["recordings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "good")
        .unwrap();
    assert!(
        good["keyframes"].as_u64().unwrap() >= 3 && good["frames"].as_f64().unwrap() > 0.5,
        "{good}"
    );
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("2 of 3 recordings are unusable"), "{page}");
    // The page is not replaced unasked.
    assert!(!crate::recordings::earmark(&args[..4]).status.success());
    let table = succeeds(&args[..2]);
    assert!(
        String::from_utf8_lossy(&table.stdout).contains("dark: "),
        "{table:?}"
    );
}

/// A table of 48 clips of 12 contents; people like them as much as their frames are good.
fn opinions() -> String {
    let mut table = String::from("recording,content,scene,mos,sound,frames\n");
    for k in 0..48 {
        let (content, sound) = (k % 12, f64::from(k * 29 % 48) / 48.0);
        let frames = f64::from(k * 7 % 48) / 48.0;
        let mos = 1.5 + 3.0 * frames + 0.1 * f64::from(content % 3);
        table += &format!("c{k}.mp4,{content},action,{mos:.3},{sound:.3},{frames:.3}\n");
    }
    table
}

#[test]
fn weights_are_learned_from_opinion_scores_and_a_pipeline_names_them() {
    let folder = folder("quality-fit");
    let (scores, weights) = (folder.join("scores.csv"), folder.join("weights.yaml"));
    std::fs::write(&scores, opinions()).unwrap();
    let fit = |more: &[&str]| {
        let mut args: Vec<_> = ["fit", "quality", "--mos"].map(Path::new).into();
        args.extend([scores.as_path(), Path::new("--output"), &weights]);
        args.extend(more.iter().map(Path::new));
        crate::recordings::earmark(args)
    };
    let run = fit(&["--json"]);
    assert!(run.status.success(), "{}", crate::recordings::said(&run));
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    let of = |what: &str| said["agreement"][what]["srocc"].as_f64().unwrap();
    assert!(
        of("learned, on other contents") > 0.97 && of("sound alone") < 0.5,
        "{said}"
    );
    assert_eq!(
        (&said["clips"], &said["contents"]),
        (&48.into(), &12.into())
    );
    let card = std::fs::read_to_string(folder.join("weights.md")).unwrap();
    assert!(
        card.contains("| learned, on other contents | 0.9") && card.contains("| music |"),
        "{card}"
    );

    let named = format!("quality.weights={}", weights.display());
    let pipeline = root().join("pipelines/gated.yaml");
    let validate = |set: &str| {
        let args = [
            Path::new("validate"),
            &pipeline,
            Path::new("--set"),
            Path::new(set),
        ];
        crate::recordings::earmark(args)
    };
    // The models may be missing here; the section is not what is wrong.
    let run = validate(&named);
    let wrong = crate::recordings::said(&run);
    assert!(!wrong.contains("quality.weights"), "{wrong}");
    let run = validate(&format!("quality.weights={}", scores.display()));
    let wrong = crate::recordings::said(&run);
    assert!(
        !run.status.success() && wrong.contains("does not hold weights of quality"),
        "{wrong}"
    );

    for (more, message) in [
        (&[][..], "already exists"),
        (&["--overwrite", "--scale", "1,3"], "--scale"),
        (&["--overwrite", "--scale", "5,1"], "the lower first"),
        (&["--overwrite", "--folds", "1"], "2..=100"),
    ] {
        let run = fit(more);
        let wrong = crate::recordings::said(&run);
        assert!(
            !run.status.success() && wrong.contains(message),
            "{message}: {wrong}"
        );
    }
    let few: String = opinions()
        .lines()
        .take(10)
        .fold(String::new(), |all, line| all + line + "\n");
    for (text, message) in [
        (few, "at least 20 clips"),
        ("recording,mos\na,3\n".into(), "--recordings"),
        (opinions().replace("c3.mp4", "c4.mp4"), "twice"),
    ] {
        std::fs::write(&scores, text).unwrap();
        let run = fit(&["--overwrite"]);
        let wrong = crate::recordings::said(&run);
        assert!(
            !run.status.success() && wrong.contains(message),
            "{message}: {wrong}"
        );
    }
}
