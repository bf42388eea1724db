//! Plans at equal tokens and their table, on a small set that `scripts/evidence.py` makes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::recordings::{folder, is_learning_there, python, root, said};

/// Runs `earmark`; what takes longer than ten minutes has hung.
fn earmark(args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "600", env!("CARGO_BIN_EXE_earmark")])
        .args(args)
        .output()
        .unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = earmark(&[args, &["--json", "--quiet"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = earmark(args);
    assert!(!output.status.success(), "{}", said(&output));
    said(&output)
}

/// A set of so many recordings of ten seconds; `None` without Python or ffmpeg.
fn set(python: &Path, at: &Path, clips: usize) -> Option<PathBuf> {
    let made = Command::new(python)
        .arg(root().join("scripts/evidence.py"))
        .arg("make")
        .arg(at.join("set"))
        .args(["--clips", &clips.to_string(), "--long", "0"])
        .output()
        .unwrap();
    if !made.status.success() {
        eprintln!("skipped: {}", said(&made));
        return None;
    }
    Some(at.join("set/ave"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The first plan of a folder.
fn first(folder: &Path) -> PathBuf {
    let all = std::fs::read_dir(folder).unwrap();
    all.map(|entry| entry.unwrap().path()).min().unwrap()
}

/// The features of a file: what `earmark export` makes of it.
fn features(h5: &Path, at: &Path) -> Vec<f32> {
    let _ = std::fs::remove_dir_all(at);
    let output = earmark(&[
        "export",
        text(h5),
        "--format",
        "safetensors",
        "--output",
        text(at),
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let bytes = std::fs::read(first(at)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor("features").unwrap().data();
    data.as_chunks::<4>()
        .0
        .iter()
        .map(|x| f32::from_le_bytes(*x))
        .collect()
}

#[test]
fn plans_of_every_policy_cost_the_same_and_can_be_run() {
    let at = folder("evidence-sample");
    let Some(data) = python().and_then(|python| set(&python, &at, 5)) else {
        return;
    };
    let out = at.join("sampled");
    let args = [
        "sample",
        "--layout",
        "ave",
        "--data",
        text(&data),
        "--output",
        text(&out),
    ];
    let sampled = json(&args);
    assert_eq!(sampled["recordings"], 5);
    let policies = sampled["policies"].as_array().unwrap();
    let of = |name: &str| {
        policies
            .iter()
            .find(|p| p["policy"] == name)
            .unwrap()
            .clone()
    };
    for name in [
        "uniform-224",
        "random",
        "energy",
        "tagger",
        "onset",
        "shifted",
        "oracle",
        "onset-grown",
        "f2c-like",
    ] {
        assert_eq!(of(name)["tokens"], 1960.0, "{name}");
    }
    assert!(of("egotrigger-like")["tokens"].as_f64().unwrap() <= 1960.0);
    for key in ["recall_at_k", "recall_at_k_d"] {
        assert!(
            of("uniform-224")[key].is_null(),
            "an even policy chooses nothing"
        );
    }
    // Events last two to four seconds: two anchors hit from half of them to all.
    let oracle = of("oracle")["recall_at_k"].as_f64().unwrap();
    assert!((0.5..=1.0).contains(&oracle), "{oracle}");
    for name in [
        "random",
        "energy",
        "tagger",
        "onset",
        "shifted",
        "onset-grown",
    ] {
        let p = of(name);
        assert!(p["recall_at_k"].as_f64().unwrap() <= oracle + 1e-9, "{p}");
        assert!(
            p["recall_at_k_d"].as_f64() >= p["recall_at_k"].as_f64(),
            "{p}"
        );
    }
    // What is there is not made again, and a plan that was changed is not taken.
    assert_eq!(json(&args), sampled);
    let name = first(&out.join("plans/onset"));
    let plan = std::fs::read_to_string(&name).unwrap();
    std::fs::write(&name, plan.replace("\"high\"", "\"base\"")).unwrap();
    assert!(refused(&args).contains("is a different plan"));
    std::fs::write(&name, plan).unwrap();
    // Any plan is one for `run`.
    let video = data
        .join("AVE")
        .join(name.file_stem().unwrap())
        .with_extension("mp4");
    let h5 = at.join("run.h5");
    let run = earmark(&[
        "run",
        "uniform",
        "--input",
        text(&video),
        "--plan",
        text(&name),
        "--output",
        text(&h5),
    ]);
    assert!(run.status.success(), "{}", said(&run));
    let inspected = json(&["inspect", text(&h5)]);
    assert_eq!(inspected["features"]["spent_tokens"], 1960, "{inspected}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let at = folder("evidence-refused");
    let data = at.join("data");
    std::fs::create_dir_all(data.join("events")).unwrap();
    let out = at.join("out");
    let protocol = at.join("protocol.yaml");
    let args = [
        "sample",
        "--layout",
        "kitchenmix",
        "--data",
        text(&data),
        "--output",
        text(&out),
        "--protocol",
        text(&protocol),
    ];
    let shipped = earmark(&["sample", "--print-protocol"]);
    assert!(shipped.status.success(), "{}", said(&shipped));
    let shipped = String::from_utf8(shipped.stdout).unwrap();
    for (from, to, word) in [
        ("version: 1", "version: 2", "version is 2: must be 1"),
        ("grow_s: 0 ", "grow_s: 3 ", "grow_s is 3: must be 0, 1 or 2"),
        (
            "baseline: uniform-224",
            "baseline: even",
            "baseline is `even`",
        ),
        ("kind: random", "kind: lucky", "lucky"),
        ("name: energy", "name: ../energy", "`../energy`"),
        ("anchors: 2 ", "anchors: 11 ", "anchors is 11"),
    ] {
        assert!(shipped.contains(from), "{from}");
        std::fs::write(&protocol, shipped.replacen(from, to, 1)).unwrap();
        let said = refused(&args);
        assert!(said.contains(word), "{said}");
    }
    std::fs::write(&protocol, &shipped).unwrap();
    assert!(refused(&args).contains("has no labels"));
    std::fs::write(data.join("events/a.csv"), "start_s,stop_s,class\n1,2,tap\n").unwrap();
    assert!(refused(&args).contains("none of the 1 labelled recordings"));
    assert!(refused(&["sample"]).contains("--output"));
}

/// Without the program that trains, it says how to build it, before anything else is done.
#[test]
fn a_trainer_that_is_missing_is_said_first() {
    let at = folder("evidence-missing");
    let program = at.join("earmark");
    std::fs::copy(env!("CARGO_BIN_EXE_earmark"), &program).unwrap();
    let tokens = [
        "eval", "tokens", "--layout", "ave", "--data", "none", "--output", "none",
    ];
    for args in [&["learn", "train"][..], &tokens] {
        let output = Command::new(&program)
            .args(args)
            .env("PATH", &at)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).contains("`make learning` builds it"),
            "{}",
            said(&output)
        );
    }
}

const FEW: &str = "version: 1
seconds: 10
budget_tokens: 1960
anchors: 2
grow_s: 0
anchor_tier: high
grown_tier: base
background_tier: low
probe: onset
baseline: uniform-224
seed: 0
policies:
  - { name: uniform-224, kind: uniform, tier: base }
  - { name: oracle, kind: oracle }
  - { name: onset, kind: onset }
  - { name: fusion, kind: uniform, tier: base, also: audio }
  - { name: location, kind: uniform, tier: base, also: location }
  - { name: oracle-location, kind: uniform, tier: base, also: oracle-location }
";

#[test]
fn one_command_gives_the_table_and_goes_on_where_it_was() {
    if !is_learning_there() {
        return;
    }
    let at = folder("evidence-tokens");
    let Some(data) = python().and_then(|python| set(&python, &at, 10)) else {
        return;
    };
    let (out, protocol) = (at.join("out"), at.join("few.yaml"));
    std::fs::write(&protocol, FEW).unwrap();
    let args = [
        "eval",
        "tokens",
        "--layout",
        "ave",
        "--data",
        text(&data),
        "--output",
        text(&out),
        "--protocol",
        text(&protocol),
        "--seeds",
        "2",
        "--epochs",
        "3",
        "--title",
        "Ten made recordings",
    ];
    // Said beforehand, without a file.
    let mut dry = args.to_vec();
    dry.drain(6..8);
    dry.push("--dry-run");
    let there = json(&dry);
    assert_eq!(there["recordings"], 10, "{there}");
    assert_eq!(there["splits"]["training"]["pieces"], 6, "{there}");
    assert_eq!(
        (&there["frames"], &there["heads"]),
        (&json!(300), &json!(12))
    );
    // Without a video, too: then all are missing.
    std::fs::create_dir_all(at.join("none")).unwrap();
    let none = at.join("none");
    let labels = json(&[&dry[..], &["--videos", text(&none)]].concat());
    assert_eq!(labels["labelled"]["training"], 6, "{labels}");
    assert_eq!(labels["missing"].as_array().unwrap().len(), 10, "{labels}");
    assert_eq!(labels["frames"], 0, "{labels}");
    assert!(!out.exists());
    let value = json(&args);
    let rows = value["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert_eq!(row["tokens"], 1960.0, "{row}");
        let accuracy = row["accuracy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&accuracy), "{row}");
        // Ten frames of 224 px have as many pixels as two of 448 and eight of 112; edges of layers differ a little.
        let gflops = row["gflops"].as_f64().unwrap();
        assert!((gflops / 7.8 - 1.0).abs() < 0.05, "{row}");
        assert!(row["wall_s"].as_f64().unwrap() > 0.0, "{row}");
    }
    let table = std::fs::read_to_string(out.join("table.md")).unwrap();
    assert!(
        table.starts_with("# Ten made recordings\n") && table.contains("| oracle | 1960 |"),
        "{table}"
    );
    assert!(
        table.contains("encoder: efficientnet-lite0, SHA-256"),
        "{table}"
    );
    assert!(
        std::fs::read_to_string(out.join("curve.svg"))
            .unwrap()
            .contains("</svg>")
    );
    assert!(
        std::fs::read(out.join("curve.png"))
            .unwrap()
            .starts_with(b"\x89PNG")
    );
    assert!(table.contains("| base (`uniform-224`) | 1960 |"), "{table}");
    // The features of a mixed plan are those that `run` gives for it.
    let plan = first(&out.join("plans/oracle"));
    let name = plan.file_stem().unwrap();
    let video = data.join("AVE").join(name).with_extension("mp4");
    let h5 = at.join("run.h5");
    let run = earmark(&[
        "run",
        "uniform",
        "--input",
        text(&video),
        "--plan",
        text(&plan),
        "--output",
        text(&h5),
    ]);
    assert!(run.status.success(), "{}", said(&run));
    let whole = features(&h5, &at.join("whole"));
    let tiers: Vec<String> = std::fs::read_to_string(&plan)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["kind"] == "frame")
        .map(|line| line["tier"].as_str().unwrap().to_owned())
        .collect();
    let row = whole.len() / tiers.len();
    for tier in ["low", "high"] {
        let even = features(
            &out.join("encoded")
                .join(tier)
                .join(name)
                .with_extension("h5"),
            &at.join(tier),
        );
        let own: Vec<usize> = (0..tiers.len()).filter(|i| tiers[*i] == tier).collect();
        assert!(!own.is_empty());
        for i in own {
            let of = i * row..(i + 1) * row;
            let off = whole[of.clone()]
                .iter()
                .zip(&even[of])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(off < 1e-4, "{tier}, second {i}: {off}");
        }
    }
    // Again: nothing is encoded or trained anew, and the result is the same. A head that is lost is trained to the same bytes.
    let head = out.join("heads/oracle/seed1.safetensors");
    let bytes = std::fs::read(&head).unwrap();
    let encoded = out.join("encoded/low").join(name).with_extension("h5");
    let made = encoded.metadata().unwrap().modified().unwrap();
    std::fs::remove_file(&head).unwrap();
    assert_eq!(json(&args)["rows"], value["rows"]);
    assert!(std::fs::read(&head).unwrap() == bytes);
    assert_eq!(encoded.metadata().unwrap().modified().unwrap(), made);
    // Another protocol does not go into the same folder.
    std::fs::write(&protocol, FEW.replace("seed: 0", "seed: 1")).unwrap();
    assert!(refused(&args).contains("choose another folder"));
}

/// A ViT of one size that gives a vector a token: from its file to a manifest, features and the table.
#[test]
fn a_vit_of_ones_own_is_compared_by_its_manifest() {
    if !is_learning_there() {
        return;
    }
    let at = folder("evidence-vit");
    let Some(python) = python() else { return };
    let Some(data) = set(&python, &at, 5) else {
        return;
    };
    let made = Command::new(&python)
        .arg(root().join("tests/make_models.py"))
        .arg(&at)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let onnx = at.join("vit-tokens.onnx");
    let add = [
        "models",
        "add",
        text(&onnx),
        "--output",
        "last_hidden_state",
    ];
    json(&[&add[..], &["--mean", "0.5", "--std", "0.25"]].concat());
    let (out, protocol) = (at.join("out"), at.join("few.yaml"));
    let few = FEW.split("  - { name: fusion").next().unwrap();
    let low = "  - { name: uniform-112, kind: uniform, tier: low }\n";
    std::fs::write(&protocol, format!("{few}{low}")).unwrap();
    let manifest = onnx.with_extension("yaml");
    let args = [
        "eval",
        "tokens",
        "--layout",
        "ave",
        "--data",
        text(&data),
        "--output",
        text(&out),
    ];
    let more = [
        "--protocol",
        text(&protocol),
        "--encoder",
        text(&manifest),
        "--seeds",
        "1",
        "--epochs",
        "1",
    ];
    let value = json(&[args, more].concat());
    for row in value["rows"].as_array().unwrap() {
        assert_eq!(row["tokens"], 1960.0, "{row}");
        assert!(row["gflops"].as_f64().unwrap() > 0.0, "{row}");
    }
    let table = std::fs::read_to_string(out.join("table.md")).unwrap();
    assert!(table.contains("vit-tokens"), "{table}");
    assert!(table.contains("one size and one price"), "{table}");
    // Its features are the class token's of frames as the manifest wants them: as ONNX Runtime gives them in Python.
    let plan = first(&out.join("plans/oracle"));
    let name = plan.file_stem().unwrap();
    let h5 = out.join("encoded/high").join(name).with_extension("h5");
    let own = features(&h5, &at.join("own"));
    assert_eq!(own.len(), 10 * 32);
    let video = data.join("AVE").join(name).with_extension("mp4");
    let check = "
import subprocess, sys, numpy, onnxruntime, PIL.Image
raw = subprocess.run(['ffmpeg', '-loglevel', 'error', '-i', sys.argv[1], '-pix_fmt', 'rgb24', '-f', 'rawvideo', '-'], capture_output=True, check=True).stdout
frames = numpy.frombuffer(raw, 'u1').reshape(-1, 448, 448, 3)[4::8]
small = [numpy.asarray(PIL.Image.fromarray(frame).resize((224, 224), PIL.Image.BICUBIC), 'f4') for frame in frames]
model = onnxruntime.InferenceSession(sys.argv[2])
for frame in small:
    x = ((frame / 255 - 0.5) / 0.25).transpose(2, 0, 1)[None].astype('f4')
    print(*model.run(None, {'pixel_values': x})[0][0, 0])
";
    let wanted = Command::new(&python)
        .args(["-c", check, text(&video), text(&onnx)])
        .output()
        .unwrap();
    assert!(wanted.status.success(), "{}", said(&wanted));
    let wanted: Vec<f32> = String::from_utf8_lossy(&wanted.stdout)
        .split_whitespace()
        .map(|x| x.parse().unwrap())
        .collect();
    assert_eq!(wanted.len(), own.len());
    // Decoders and scalers round differently; another deviation gives .976, the mean of all tokens .3.
    for (a, b) in own.chunks(32).zip(wanted.chunks(32)) {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let alike = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        assert!(alike > 0.99, "{alike}");
    }
}
