//! `earmark fit` on recordings that the test makes: quiet noise in which tones begin.

use std::path::{Path, PathBuf};

use super::recordings::{earmark, folder};

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
    for score in scores.iter().filter(ours) {
        assert!(
            score["recall"]["plan"].as_f64() > score["recall"]["uniform"].as_f64(),
            "{score}"
        );
        // Beginnings are plain here: what was learned is sure of them, and right; flux alone is not so sure.
        assert!(score["precision"].as_f64() > Some(0.9), "{score}");
        assert!(score["ece"].as_f64() < Some(0.1), "{score}");
    }
    let card = std::fs::read_to_string(outputs[0].with_extension("md")).unwrap();
    assert!(card.contains(said["sha256"].as_str().unwrap()));
    let second = fit(&own, &outputs[1], &held_out);
    assert!(second.status.success(), "{}", text(&second));
    let [one, two] = outputs.map(|path| std::fs::read(path).unwrap());
    // Nothing but the name differs.
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\\\"one\\\"", "\\\"two\\\"");
    assert_eq!(name(&one), name(&two));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let own = folder("fit-wrong");
    let output = own.join("w.safetensors");
    for (labels, word) in [
        (None, "has labels"),
        (Some("begin,end\n1,2\n"), "start_s"),
        (Some("start_s,stop_s\n"), "labels no event"),
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
