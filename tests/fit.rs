//! `earmark fit` on recordings that the test makes: quiet noise with tones.

use std::path::{Path, PathBuf};

use super::recordings::{earmark, folder, root};

const RATE: u32 = 16_000;
const SECONDS: u32 = 60;

/// A WAV file of noise with a tone every so often, and its labels.
fn recording(folder: &Path, name: &str, seed: u32) {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut labels = String::from("start_s,stop_s,class\n");
    let mut sound: Vec<f32> = (0..SECONDS * RATE).map(|_| 0.01 * noise()).collect();
    let mut at = 1.0 + noise();
    while at < SECONDS as f32 - 2.0 {
        let (length, pitch) = (0.5 + 0.3 * noise(), 900.0 + 1200.0 * noise());
        labels.push_str(&format!("{at:.3},{:.3},tone\n", at + length));
        let first = (at * RATE as f32) as usize;
        for i in 0..(length * RATE as f32) as usize {
            let turn = std::f32::consts::TAU * pitch * i as f32 / RATE as f32;
            sound[first + i] += 0.2 * turn.sin();
        }
        at += 1.6 + 0.8 * noise();
    }
    let size = 2 * sound.len() as u32;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + size).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    for x in [16, 1 | 1 << 16, RATE, 2 * RATE, 2 | 16 << 16] {
        wav.extend(u32::to_le_bytes(x));
    }
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(
        sound
            .iter()
            .flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes()),
    );
    std::fs::write(folder.join(format!("{name}.wav")), wav).unwrap();
    std::fs::write(folder.join(format!("{name}.labels.csv")), labels).unwrap();
}

fn fit(recordings: &Path, output: &Path, more: &[&str]) -> std::process::Output {
    let paths = [recordings, output].map(|path| path.to_str().unwrap().to_owned());
    let mut args = vec!["fit", "--recordings", &paths[0], "--output", &paths[1]];
    args.extend(more);
    earmark(&args)
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with two recordings, and one with another.
fn recordings(name: &str) -> (PathBuf, PathBuf) {
    let (own, other) = (
        folder(&format!("{name}-own")),
        folder(&format!("{name}-other")),
    );
    recording(&own, "a", 1);
    recording(&own, "b", 2);
    recording(&other, "c", 3);
    (own, other)
}

#[test]
fn it_learns_what_begins_the_same_way_each_time() {
    let (own, other) = recordings("fit-same");
    recording(&other, "d", 4);
    let outputs = ["one", "two"].map(|name| own.join(format!("{name}.safetensors")));
    let held_out = [
        "--steps",
        "30",
        "--held-out",
        other.to_str().unwrap(),
        "--json",
    ];
    let first = fit(&own, &outputs[0], &held_out);
    assert!(first.status.success(), "{}", text(&first));
    let said: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    let scores = said["scores"].as_array().unwrap();
    let ours = |score: &&serde_json::Value| {
        ["onset", "onset+tcn"].contains(&score["probe"].as_str().unwrap())
    };
    assert_eq!(scores.iter().filter(ours).count(), 2, "{scores:?}");
    assert!(
        scores.iter().any(|score| score["probe"] == "flux"),
        "{scores:?}"
    );
    for score in scores {
        let figures = match score["probe"].as_str().unwrap() {
            "flux" => "nothing learned",
            "onset" | "onset+tcn" => "out of sample",
            _ => "made elsewhere",
        };
        assert_eq!(score["figures"], figures, "{score}");
    }
    for score in scores.iter().filter(ours) {
        assert!(
            score["recall"]["plan"].as_f64() > score["recall"]["uniform"].as_f64(),
            "{score}"
        );
        // Beginnings are plain here: what was learned is sure of them, and right; flux alone is not so sure.
        assert!(score["precision"].as_f64() > Some(0.9), "{score}");
        assert!(score["ece"].as_f64() < Some(0.1), "{score}");
    }
    for probe in ["onset", "onset+tcn"] {
        let tuned = &said["probes"][probe];
        // Tones begin where the labels say; a candidate's frame is 10 ms long.
        assert!(tuned["shift_ms"].as_i64().unwrap().abs() <= 30, "{tuned}");
        assert!(
            tuned["fitted_shift"]["matched"].as_u64() > Some(20),
            "{tuned}"
        );
        let least = tuned["threshold"].as_f64().unwrap();
        assert!((0.01..=0.5).contains(&(least + 1e-6)), "{tuned}");
    }
    let verdicts = said["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    for verdict in verdicts {
        assert_eq!(
            (&verdict["recordings"], &verdict["judgement"]),
            (&2.into(), &"too_few".into())
        );
    }
    assert!(
        said["usage"].as_str().unwrap().contains("ears.weights="),
        "{said}"
    );
    let card = std::fs::read_to_string(outputs[0].with_extension("md")).unwrap();
    assert!(card.contains(said["sha256"].as_str().unwrap()));
    assert!(card.contains("**Shift of `onset`**") && card.contains("on the held-out recordings"));
    assert!(card.contains("| out of sample |") && card.contains("- **out of sample**: "));
    // What two recordings say is not enough to be called better.
    let second = fit(
        &own,
        &outputs[1],
        &[&held_out[..4], &["--require-better"]].concat(),
    );
    assert_eq!(second.status.code(), Some(1), "{}", text(&second));
    let words = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(
        words.contains("verdict     onset: too few held-out recordings"),
        "{words}"
    );
    assert!(words.contains("to use it"), "{words}");
    let [one, two] = outputs.map(|path| std::fs::read(path).unwrap());
    // Nothing but the name differs.
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\\\"one\\\"", "\\\"two\\\"");
    assert_eq!(name(&one), name(&two));
}

/// The labels of a recording, that much later, ms, and of this class.
fn relabel(labels: &Path, ms: i64, class: &str) {
    let text = std::fs::read_to_string(labels).unwrap();
    let moved = text.lines().skip(1).map(|line| {
        let times = line
            .split(',')
            .take(2)
            .map(|time| time.parse::<f64>().unwrap());
        let times: Vec<String> = times.map(|t| (t + ms as f64 / 1e3).to_string()).collect();
        format!("{},{class}", times.join(","))
    });
    let lines: Vec<String> = std::iter::once("start_s,stop_s,class".into())
        .chain(moved)
        .collect();
    std::fs::write(labels, lines.join("\n")).unwrap();
}

#[test]
fn existing_weights_get_only_the_requested_parameters() {
    let (own, _) = recordings("fit-only");
    let old = root().join("plugins/anchoring/weights/ears.safetensors");
    let old = old.to_str().unwrap();
    let json = |name: &str, more: &[&str]| -> serde_json::Value {
        let output = own.join(format!("{name}.safetensors"));
        let mut args = vec!["--calibrate-only", old, "--tagger", "none", "--json"];
        args.extend(more);
        let said = fit(&own, &output, &args);
        assert!(said.status.success(), "{}", text(&said));
        serde_json::from_slice(&said.stdout).unwrap()
    };
    let plain = json("plain", &[]);
    let built_in = own.join("named.safetensors");
    let named = ["--calibrate-only", "builtin", "--tagger", "none", "--json"];
    let named = fit(&own, &built_in, &named);
    assert!(named.status.success(), "{}", text(&named));
    let [named, same] = ["named", "plain"]
        .map(|name| std::fs::read(own.join(format!("{name}.safetensors"))).unwrap());
    assert!(
        named == same,
        "the built-in weights are not those of the file"
    );
    let kept = &plain["probes"]["onset"];
    assert!(
        kept["fitted_shift"].is_null() && kept["fitted_threshold"].is_null(),
        "{kept}"
    );
    let first = json("first", &["--also", "shift,threshold"]);
    let shift = |said: &serde_json::Value| said["probes"]["onset"]["shift_ms"].as_i64().unwrap();
    assert!(
        first["probes"]["onset"]["fitted_threshold"].is_object(),
        "{first}"
    );
    let as_it_was = kept["shift_ms"].as_i64().unwrap();
    // What is labelled later is heard later, and a class of labels tells how much.
    for name in ["a", "b"] {
        relabel(&own.join(format!("{name}.labels.csv")), 60, "Tone");
    }
    let second = json("second", &["--also", "shift"]);
    assert!((shift(&second) - shift(&first) - 60).abs() <= 3, "{second}");
    let apart = &json("third", &[])["offsets"][0];
    assert_eq!(apart["class"], "Tone");
    let median = apart["median_ms"].as_f64().unwrap();
    assert!(
        (median - (60 + shift(&first) - as_it_was) as f64).abs() <= 5.0,
        "{apart}"
    );
}

#[test]
fn an_embedding_gets_a_head_that_the_probe_reads() {
    let onnx = root().join("models/built/yamnet.onnx");
    if !onnx.exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return;
    }
    let (own, other) = recordings("fit-head");
    let yamnet = std::fs::read_to_string(root().join("models/yamnet.yaml")).unwrap();
    let sha = yamnet
        .lines()
        .find(|line| line.starts_with("sha256:"))
        .unwrap();
    let manifest = own.join("mine.yaml");
    let text = format!(
        "schema: earmark-model/1
name: mine
kind: probe
file: {}
{sha}
source: {{ package: none, version: \"1\", licence: none }}
input: {{ name: log_mel, layout: NCTF, dtype: f32, sample_rate: 16000, frames: 96, bands: 64, hop_frames: 48 }}
output: {{ name: embedding, dim: 1024 }}
head: mine.safetensors
",
        onnx.display()
    );
    std::fs::write(&manifest, text).unwrap();
    let (mine, head) = (manifest.to_str().unwrap(), own.join("mine.safetensors"));
    let pipeline = own.join("p.yaml");
    let gated = std::fs::read_to_string(root().join("pipelines/grid.yaml")).unwrap();
    let gated = gated.replace("probe: onset ", &format!("probe: {mine} "));
    std::fs::write(&pipeline, gated.replace("tagger: yamnet ", "tagger: none ")).unwrap();
    let sound = other.join("c.wav");
    let plan = || {
        let [pipeline, sound, plan] =
            [&pipeline, &sound, &own.join("p.jsonl")].map(|path| path.to_str().unwrap().to_owned());
        let args = [
            "plan",
            &pipeline,
            "--input",
            &sound,
            "--output",
            &plan,
            "--overwrite",
        ];
        earmark(args)
    };
    let without = plan();
    assert!(!without.status.success());
    let stderr = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(stderr.contains("fit --embedding"), "{stderr}");
    let args = [
        "--embedding",
        mine,
        "--held-out",
        other.to_str().unwrap(),
        "--json",
    ];
    let said = fit(&own, &head, &args);
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let score = said["scores"].as_array().unwrap().last().unwrap();
    assert_eq!(score["probe"], "mine");
    // Of one recording no other says how likely a patch is.
    assert_eq!(score["figures"], "in sample");
    assert!(score["auroc"].as_f64() > Some(0.6), "{score}");
    let card = std::fs::read_to_string(own.join("mine.md")).unwrap();
    assert!(
        card.contains("linear head on the embedding `mine`"),
        "{card}"
    );
    let with = plan();
    assert!(
        with.status.success(),
        "{}",
        String::from_utf8_lossy(&with.stderr)
    );
}

#[test]
fn training_recordings_cannot_be_held_out() {
    let (own, other) = recordings("fit-overlap");
    std::fs::copy(own.join("b.wav"), other.join("z.wav")).unwrap();
    std::fs::copy(own.join("b.labels.csv"), other.join("z.labels.csv")).unwrap();
    let output = own.join("w.safetensors");
    for (held_out, word) in [(&own, "hold out other"), (&other, "z.wav")] {
        let more = ["--steps", "1", "--held-out", held_out.to_str().unwrap()];
        let said = fit(&own, &output, &more);
        assert_eq!(said.status.code(), Some(2), "{}", text(&said));
        assert!(text(&said).contains(word), "{word}: {}", text(&said));
        assert!(!output.exists());
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let own = folder("fit-wrong");
    let output = own.join("w.safetensors");
    for (labels, word) in [
        (None, "has labels"),
        (Some("begin,end\n1,2\n"), "start_s"),
        (Some("start_s,stop_s\n"), "has no events"),
        (Some("start_s,stop_s\n5000,6000\n"), "milliseconds"),
        (Some("start_s,stop_s\n1,2\n"), "begin an event"),
    ] {
        recording(&own, "a", 1);
        let path = own.join("a.labels.csv");
        match labels {
            Some(labels) => std::fs::write(&path, labels).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let said = fit(&own, &output, &["--steps", "1"]);
        assert!(!said.status.success());
        assert!(text(&said).contains(word), "{word}: {}", text(&said));
        assert!(!output.exists());
    }
    std::fs::write(&output, "mine").unwrap();
    let said = fit(&own, &output, &["--steps", "1"]);
    assert_eq!(said.status.code(), Some(2), "{}", text(&said));
    assert_eq!(std::fs::read(&output).unwrap(), b"mine");
}
