//! The measures of published benchmarks: on cases made by `scores/make.py` against what the authors' scorers say of them, on published label
//! files against golden scores where those are. `refused`: files that make no sense; `layouts`: what is there of a dataset.

mod layouts;
mod refused;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::recordings::{folder, python, root};
use crate::validate::{earmark, seen};

/// A made case.
fn made(name: &str) -> String {
    let path = root().join("tests/scores").join(name);
    path.to_str().unwrap().to_owned()
}

/// Published label files and golden scores, which no checkout has; `None` (and a line that says so) without them.
fn published(name: &str) -> Option<PathBuf> {
    let shared =
        std::env::var_os("EARMARK_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let folder = shared.join("layouts").join(name);
    if !folder.exists() {
        eprintln!("skipped: there is no {}", folder.display());
    }
    folder.exists().then_some(folder)
}

/// What the authors' scorers say of the made cases.
fn golden(name: &str) -> Value {
    let all = std::fs::read(made("golden.json")).unwrap();
    let all: Value = serde_json::from_slice(&all).unwrap();
    assert!(!all[name].is_null(), "{name}");
    all[name].clone()
}

fn eval(args: &[&str]) -> Output {
    earmark(root(), &[&["eval"], args].concat())
}

/// What a command says in JSON.
fn said(args: &[&str]) -> Value {
    let output = eval(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{}", seen(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["ok"], true);
    value
}

/// Every number of `golden` stands in `value` at its place.
fn agrees(value: &Value, golden: &Value, within: f64, place: &str) {
    match golden {
        Value::Object(fields) => {
            for (key, golden) in fields {
                agrees(&value[key], golden, within, &format!("{place}.{key}"));
            }
        }
        Value::Array(items) => {
            for (i, golden) in items.iter().enumerate() {
                agrees(&value[i], golden, within, &format!("{place}[{i}]"));
            }
        }
        Value::Number(golden) => {
            let (found, golden) = (value.as_f64(), golden.as_f64().unwrap());
            let near = found.is_some_and(|found| (found - golden).abs() <= within);
            assert!(near, "{place}: {found:?} against {golden}");
        }
        golden => assert_eq!(value, golden, "{place}"),
    }
}

/// The command refuses, with a message that has every one of these words, and without a panic.
fn refuses(args: &[&str], words: &[&str]) {
    let output = eval(args);
    let text = seen(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn detections(submission: &str, annotations: &str) -> Value {
    let args = ["--submission", submission, "--annotations", annotations];
    said(&[&["detection"], &args[..]].concat())
}

#[test]
fn detections_of_sounds_score_as_the_challenge_scores_them() {
    let value = detections(&made("sounds.json"), &made("sounds.csv"));
    agrees(&value, &golden("sounds"), 1e-6, "");
    // The submission states version 0.1.
    assert_eq!(value["background_left_out"], 1);
    let args = [
        "--submission",
        &made("sounds.json"),
        "--annotations",
        &made("sounds.csv"),
    ];
    let kept = said(&[&["detection"], &args[..], &["--background", "keep"]].concat());
    assert_eq!(kept["AP"]["13"]["0.1"], 0.0);
    assert_eq!(value["videos_not_annotated"], json!(["P09_09"]));
}

#[test]
fn detections_of_actions_score_as_the_challenge_scores_them() {
    let value = detections(&made("kitchens.json"), &made("kitchens.csv"));
    agrees(&value, &golden("kitchens"), 1e-6, "");
}

#[test]
fn published_detections_score_as_the_challenge_scores_them() {
    let Some(folder) = published("epic-sounds") else {
        return;
    };
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let value = detections(
        &path("golden_submission.json.gz"),
        &path("EPIC_Sounds_validation_50_videos.csv"),
    );
    let golden = std::fs::read(folder.join("golden_metrics.json")).unwrap();
    agrees(&value, &serde_json::from_slice(&golden).unwrap(), 1e-6, "");
}

#[test]
fn onsets_score_as_mir_eval_scores_them() {
    let (heard, reference) = (made("heard.txt"), made("onsets.txt"));
    let args = ["onsets", "--estimated", &heard, "--reference", &reference];
    let golden = golden("onsets");
    agrees(&said(&args), &golden, 1e-6, "");
    let one = said(&[&args[..], &["--collar-ms", "150"]].concat());
    agrees(&one, &golden["collars"][1], 1e-6, "");
    let f = format!("{:.4}", golden["collars"][1]["F-measure"].as_f64().unwrap());
    let text = seen(&eval(&args));
    assert!(text.contains(&f), "{text}");
}

/// Against mir_eval itself, where python has it.
#[test]
fn onsets_score_as_mir_eval_scores_them_whatever_they_are() {
    const SCRIPT: &str = "
import random, sys
try:
    import mir_eval
except ImportError:
    sys.exit('skipped: python has no mir_eval; `pip install mir_eval` brings it')
random.seed(1)
for case in range(12):
    n, m, grid = random.randint(1, 60), random.randint(1, 60), random.choice([.001, .05, .25])
    for name, count in ('r', n), ('e', m):
        times = sorted(round(random.uniform(0, 8) / grid) * grid for _ in range(count))
        open(f'{name}{case}.txt', 'w').write(''.join(f'{t!r}\\n' for t in times))
    r, e = (mir_eval.io.load_events(f'{name}{case}.txt') for name in 're')
    for ms in 50, 150, 250:
        print(case, ms, *map(float, mir_eval.onset.f_measure(r, e, window=ms / 1000)))
";
    let Some(python) = python() else { return };
    let folder = folder("scores-mir-eval");
    let output = Command::new(python)
        .args(["-W", "ignore", "-c", SCRIPT])
        .current_dir(&folder)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("skipped:") {
        eprintln!("{}", stderr.trim());
        return;
    }
    assert!(output.status.success(), "{stderr}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut values = std::collections::HashMap::new();
    for line in lines.lines() {
        let numbers: Vec<f64> = line.split(' ').map(|x| x.parse().unwrap()).collect();
        let [case, ms, golden @ ..] = &numbers[..] else {
            panic!("{line}");
        };
        let path = |name: &str| {
            folder
                .join(format!("{name}{case}.txt"))
                .to_str()
                .unwrap()
                .to_owned()
        };
        let value = values.entry(*case as u32).or_insert_with(|| {
            said(&[
                "onsets",
                "--estimated",
                &path("e"),
                "--reference",
                &path("r"),
            ])
        });
        let found = &value["collars"][[50.0, 150.0, 250.0].iter().position(|x| x == ms).unwrap()];
        for (name, golden) in ["F-measure", "Precision", "Recall"].iter().zip(golden) {
            let found = found[*name].as_f64().unwrap();
            assert!((found - golden).abs() < 1e-6, "{line}: {name} {found}");
        }
    }
    assert_eq!(values.len(), 12);
}

fn moments(submission: &str, labels: &str) -> Value {
    said(&["moments", "--submission", submission, "--labels", labels])
}

#[test]
fn moments_score_as_the_authors_score_them() {
    let value = moments(&made("predicted.jsonl"), &made("moments.jsonl"));
    agrees(&value, &golden("moments"), 1e-6, "");
}

#[test]
fn published_moments_score_as_the_authors_score_them() {
    let Some(folder) = published("qvhighlights") else {
        return;
    };
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let value = moments(
        &path("sample_val_preds.jsonl.gz"),
        &path("highlight_val_release.jsonl.gz"),
    );
    let golden = std::fs::read(folder.join("sample_val_preds_metrics_raw.json")).unwrap();
    agrees(&value, &serde_json::from_slice(&golden).unwrap(), 0.005, "");
}

/// A set of two classes and two videos, and predictions for it.
fn parsing_set(name: &str, predictions: &str) -> Option<(PathBuf, String, String)> {
    let python = python()?;
    let folder = folder(name);
    write(&folder, "classes.txt", "Dog\nSpeech\n");
    write(
        &folder,
        "AVVP_test_pd.csv",
        "filename\tevent_labels\r\na_0_10\tDog,Speech\r\nb_0_10\tSpeech\r\n",
    );
    write(
        &folder,
        "AVVP_eval_audio.csv",
        "filename\tonset\toffset\tevent_labels\na_0_10\t0\t4\tDog\na_0_10\t6\t10\tDog\nb_0_10\t0\t10\tSpeech\nb_0_10\t9\t0\tDog\nother\t0\t1\tDog\n",
    );
    write(
        &folder,
        "AVVP_eval_visual.csv",
        "\u{feff}filename\tonset\toffset\tevent_labels\na_0_10\t0\t2\tDog\n",
    );
    let code = format!(
        "import numpy as np\na = np.zeros((2, 10, 2), 'u1'); v = a.copy()\nfilenames = ['b_0_10', 'a_0_10']; classes = ['Speech', 'Dog']\n{predictions}\nnp.savez_compressed('p.npz', filenames=filenames, classes=classes, audio=a, visual=v)"
    );
    let output = Command::new(python)
        .args(["-c", &code])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = folder.join("p.npz").to_str().unwrap().to_owned();
    let labels = folder.to_str().unwrap().to_owned();
    Some((folder, path, labels))
}

/// What was reckoned by hand.
#[test]
fn parsing_scores_as_its_authors_describe_it() {
    // a: Dog heard 0 to 4 s and falsely 4 to 5 s, seen 0 to 4 s; b: Speech heard 0 to 4 s of 10.
    let Some((_, predictions, labels)) = parsing_set(
        "scores-parsing",
        "a[1, 0:5, 1] = 1; v[1, 0:4, 1] = 1; a[0, 0:4, 0] = 1",
    ) else {
        return;
    };
    let golden = json!({ "metrics": {
        // a: 2·4 / (2·4 + 1 + 4); b: 2·4 / (2·4 + 6).
        "seg_A": 100.0 * (8.0 / 13.0 + 8.0 / 14.0) / 2.0,
        // a: 2·2 / (2·2 + 2); b has nothing to see, and nothing was.
        "seg_V": 100.0 * (4.0 / 6.0 + 1.0) / 2.0,
        // a: both 0 to 4 s were said, 0 to 2 s are true.
        "seg_AV": 100.0 * (4.0 / 6.0 + 1.0) / 2.0,
        "seg_Event": 100.0 * (12.0 / 19.0 + 8.0 / 14.0) / 2.0,
        "seg_Type": 100.0 * ((8.0 / 13.0 + 8.0 / 14.0) / 2.0 + 4.0 / 6.0 + 1.0) / 3.0,
        // a: 0 to 5 s has IoU 4/5 with 0 to 4 s, the other is missed; b: IoU 4/10.
        "event_A": 100.0 * (2.0 / 3.0 + 0.0) / 2.0,
        // IoU 2/4: just enough.
        "event_V": 100.0,
        "event_AV": 100.0,
        "event_Event": 100.0 * (4.0 / 5.0 + 0.0) / 2.0,
        "event_Type": 100.0 * (1.0 / 3.0 + 2.0) / 3.0,
    } });
    for scorer in ["avvp", "strict"] {
        let value = said(&[
            "parsing",
            "--predictions",
            &predictions,
            "--labels",
            &labels,
            "--scorer",
            scorer,
        ]);
        agrees(&value, &golden, 1e-9, scorer);
        assert_eq!(value["per_video"][0]["filename"], "a_0_10");
        let warning = value["warnings"][0].as_str().unwrap();
        assert!(
            warning.starts_with("1 stretches of the labels end"),
            "{warning}"
        );
    }
}

#[test]
fn published_parsing_scores_as_its_authors_score_it() {
    let Some(folder) = published("llp") else {
        return;
    };
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let golden = std::fs::read(folder.join("golden_predictions.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let predictions = path("golden_predictions.npz");
    for scorer in ["avvp", "strict"] {
        let labels = folder.to_str().unwrap();
        let value = said(&[
            "parsing",
            "--predictions",
            &predictions,
            "--labels",
            labels,
            "--scorer",
            scorer,
        ]);
        agrees(&value["metrics"], &golden["metrics"], 1e-6, scorer);
        agrees(
            &value["per_video"],
            &golden["per_video_first20"],
            1e-6,
            scorer,
        );
    }
}

#[test]
fn segments_of_ave_are_right_by_the_second() {
    let Some(python) = python() else { return };
    let folder = folder("scores-ave");
    write(
        &folder,
        "Annotations.txt",
        "Bark&x&good&0&4\nFlute&y&good&2&10\nBark&z&good&0&10\n",
    );
    let code = "
import numpy as np, h5py
h5py.File('test_order.h5', 'w')['order'] = np.array([2, 0])
labels = np.zeros((2, 10), 'i8'); labels[0] = 1; labels[1, :5] = 1
np.savez('p.npz', filenames=['z', 'x'], classes=['Background', 'Bark', 'Flute'], labels=labels)
labels[1, 3] = 3
np.savez('odd.npz', filenames=['z', 'x'], classes=['Background', 'Bark', 'Flute'], labels=labels)";
    let output = Command::new(python)
        .args(["-c", code])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let labels = folder.to_str().unwrap();
    let args = [
        "parsing",
        "--scorer",
        "ave",
        "--labels",
        labels,
        "--predictions",
    ];
    let value = said(&[&args[..], &[&path("p.npz")]].concat());
    let golden = json!({ "accuracy": 95.0, "accuracy_of_events": 100.0, "accuracy_of_background": 500.0 / 6.0, "per_video": { "x": 90.0, "z": 100.0 } });
    agrees(&value, &golden, 1e-9, "");
    refuses(
        &[&args[..], &[&path("odd.npz")]].concat(),
        &["x, second 3", "is 3", "0 to 2"],
    );
}

#[test]
fn sound_events_score_as_sed_eval_scores_them() {
    let (found, labels) = (made("sed_1.tsv"), made("sed_true.tsv"));
    let args = ["sed", "--estimated", &found, "--reference", &labels];
    let golden = golden("sed");
    agrees(&said(&args), &golden[0], 1e-6, "");
    let dcase = said(&[&args[..], &["--offset-share", "0.2"]].concat());
    agrees(&dcase, &golden[1], 1e-6, "");
    let text = seen(&eval(&args));
    let f = golden[0]["event_based"]["overall"]["f_measure"]
        .as_f64()
        .unwrap();
    assert!(text.contains(&format!("{f:.4}")), "{text}");
}

#[test]
fn operating_points_score_as_psds_eval_scores_them() {
    let points = [made("sed_0.tsv"), made("sed_1.tsv"), made("sed_2.tsv")];
    let (labels, durations) = (made("sed_true.tsv"), made("sed_durations.tsv"));
    let mut args = vec![
        "psds",
        "--reference",
        &labels,
        "--durations",
        &durations,
        "--estimated",
    ];
    args.extend(points.iter().map(String::as_str));
    let golden = golden("psds");
    let value = said(&args);
    agrees(&value["psds1"]["value"], &golden["psds1"], 1e-6, "psds1");
    agrees(&value["psds2"]["value"], &golden["psds2"], 1e-6, "psds2");
    args.extend(
        "--dtc 0.5 --gtc 0.4 --cttc 0.2 --alpha-ct 0.7 --alpha-st 0.3 --max-efpr 400".split(' '),
    );
    agrees(&said(&args)["psds"]["value"], &golden["own"], 1e-6, "own");
}
