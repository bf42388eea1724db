//! The command line itself: usage, drawing, models, doctor, inspect; no recording is played.

use crate::recordings::{folder, root};
use crate::validate::{earmark, seen};

#[test]
fn a_wrong_command_line_exits_with_2() {
    let folder = folder("usage");
    for args in [
        &["fly"][..],
        &["run"],
        &["run", "p.yaml", "--input", "x"],
        &["validate", "nowhere.yaml"],
        &["validate", "nowhere.yaml", "--set", "x"],
        &["graph", "nowhere.yaml", "--format", "gif"],
    ] {
        let output = earmark(&folder, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", seen(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_names_every_command_and_gives_examples() {
    let output = earmark(root(), &["--help"]);
    let text = seen(&output);
    for word in [
        "run",
        "plan",
        "validate",
        "graph",
        "inspect",
        "models",
        "doctor",
        "Examples:",
        "Exit status",
    ] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    assert!(seen(&earmark(root(), &["run", "--help"])).contains("--overwrite"));
}

#[test]
fn a_graph_is_drawn_with_its_waiting_links() {
    let output = earmark(root(), &["graph", "pipelines/gated.yaml"]);
    insta::assert_snapshot!("gated_dot", seen(&output));
}

#[test]
fn a_graph_is_drawn_as_svg_where_graphviz_is() {
    let folder = folder("svg");
    let output = earmark(
        &folder,
        &[
            "graph",
            root().join("pipelines/uniform.yaml").to_str().unwrap(),
            "--format",
            "svg",
            "--output",
            "u.svg",
        ],
    );
    if output.status.success() {
        assert!(
            std::fs::read_to_string(folder.join("u.svg"))
                .unwrap()
                .contains("<svg")
        );
    } else {
        assert!(seen(&output).contains("graphviz"), "{}", seen(&output));
    }
}

#[test]
fn models_are_listed() {
    let output = earmark(root(), &["models", "--json"]);
    assert!(output.status.success(), "{}", seen(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = value["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap().to_owned())
        .collect();
    for name in ["efficientnet-lite0", "yamnet"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
}

#[test]
fn an_altered_model_is_found_by_checking() {
    let folder = folder("models_check");
    let manifest = std::fs::read_to_string(root().join("models/yamnet.yaml"))
        .unwrap()
        .replace("built/", "");
    std::fs::write(folder.join("yamnet.yaml"), manifest).unwrap();
    std::fs::write(folder.join("yamnet.onnx"), "not it").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(["models", "--check"])
        .env("EARMARK_MODELS", &folder)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
    assert!(seen(&output).contains("SHA-256"), "{}", seen(&output));
}

#[test]
fn the_doctor_says_how_to_fix_what_is_missing() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args(["doctor", "--json"])
        .env("EARMARK_MODELS", folder("doctor"))
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = value["findings"].as_array().unwrap();
    let runtime = findings
        .iter()
        .find(|finding| finding["topic"] == "ONNX Runtime")
        .unwrap();
    assert_eq!(
        (runtime["ok"].as_bool(), runtime["fix"].as_str()),
        (Some(false), Some("make setup"))
    );
    assert!(
        findings
            .iter()
            .filter(|finding| finding["topic"] == "Earmark")
            .all(|finding| finding["ok"] == true)
    );
}

#[test]
fn inspect_refuses_what_earmark_did_not_write() {
    let folder = folder("inspect_bad");
    std::fs::write(folder.join("x.h5"), "nothing of the kind").unwrap();
    std::fs::write(folder.join("x.jsonl"), "{\"kind\":\"frame\"}\n").unwrap();
    for (file, word) in [
        ("x.h5", "x.h5"),
        ("x.jsonl", "line 1"),
        ("none.h5", "none.h5"),
        (".", "folder"),
    ] {
        let output = earmark(&folder, &["inspect", file]);
        assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
        assert!(seen(&output).contains(word), "{}", seen(&output));
    }
}
