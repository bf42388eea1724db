//! `earmark models add` on tiny models with the inputs and outputs of CLIP, SigLIP, DINOv2, ViT, EfficientNet and a YAMNet-like tagger; and what
//! `validate` says of manifests that differ from their model.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::recordings::{earmark, folder, python, root};

/// A folder with the models; `None` where there is nothing that makes or runs them.
fn models(name: &str) -> Option<PathBuf> {
    if !root().join("models/built/libonnxruntime.so").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return None;
    }
    let python = python()?;
    let folder = folder(name);
    let made = Command::new(python)
        .arg(root().join("tests/make_models.py"))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    Some(folder)
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

fn add(folder: &Path, model: &str, more: &[&str]) -> Output {
    let file = folder.join(model);
    let mut args = vec!["models", "add", file.to_str().unwrap()];
    args.extend(more);
    earmark(args)
}

/// The result of adding, as JSON, and the manifest.
#[track_caller]
fn added(folder: &Path, model: &str, more: &[&str]) -> (Value, String) {
    let output = add(folder, model, &[more, &["--json"]].concat());
    assert!(output.status.success(), "{model}: {}", said(&output));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let manifest = std::fs::read_to_string(value["manifest"].as_str().unwrap()).unwrap();
    (value, manifest)
}

#[test]
fn models_of_well_known_shapes_are_added_and_run() {
    let Some(folder) = models("models-add") else {
        return;
    };
    for (model, more, manifest_has, tried) in [
        (
            "clip.onnx",
            &["--name", "clip-vit-b32", "--like", "clip"][..],
            &[
                "name: \"clip-vit-b32\"",
                "mean: [122.7709, 116.746, 104.0937]",
                "fit: crop",
                "dim: 512",
                "low: { px: 224, tokens: 196 }",
                "high: { px: 224, tokens: 196 }",
            ][..],
            "224 x 224 pixels for 196 tokens: every tier is this size and this price",
        ),
        (
            "siglip.onnx",
            &["--like", "siglip", "--fit", "pad"],
            &[
                "name: \"pooler_output\"",
                "dim: 768",
                "fit: pad",
                "mean: [127.5, 127.5, 127.5]",
            ],
            "224 x 224 pixels",
        ),
        (
            "dinov2.onnx",
            &["--like", "dinov2", "--px", "112,224,448"],
            &[
                "name: \"pooler_output\"",
                "low: { px: 112, tokens: 49 }",
                "high: { px: 448, tokens: 784 }",
            ],
            "112 x 112 pixels for 49 tokens, 224 x 224 pixels for 196 tokens, 448 x 448 pixels for 784 tokens",
        ),
        (
            "vit.onnx",
            &["--like", "vit"],
            &["resize: bilinear", "fit: squash", "dim: 192"],
            "224 x 224",
        ),
        (
            "vit-tokens.onnx",
            &[
                "--output",
                "last_hidden_state",
                "--mean",
                "0.5",
                "--std",
                "0.5",
            ],
            &["pool: first", "dim: 32", "mean: [127.5, 127.5, 127.5]"],
            "224 x 224",
        ),
        (
            "efficientnet.onnx",
            &["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"],
            &[
                "layout: NHWC",
                "mean: [123.675, 116.28, 103.53]",
                "std: [58.395, 57.12, 57.375]",
            ],
            "224 x 224",
        ),
    ] {
        let (value, manifest) = added(&folder, model, more);
        assert_eq!(value["kind"], "encoder");
        for text in manifest_has {
            assert!(manifest.contains(text), "{model}: {text} in {manifest}");
        }
        assert!(value["tried"].as_str().unwrap().contains(tried), "{value}");
        // A pipeline that names it is valid.
        let set = format!("features.model={}", value["manifest"].as_str().unwrap());
        let valid = earmark(["validate", "gated", "--set", &set]);
        assert!(valid.status.success(), "{model}: {}", said(&valid));
        assert!(!said(&valid).contains("not checked"), "{}", said(&valid));
    }
    let classes = folder.join("classes.csv");
    let classes = [
        "--classes",
        classes.to_str().unwrap(),
        "--speech-classes",
        "0,1",
    ];
    let (value, manifest) = added(&folder, "tagger.onnx", &classes);
    assert_eq!(value["kind"], "tagger");
    assert!(
        manifest.contains("classes: \"classes.csv\"") && manifest.contains("dim: 8"),
        "{manifest}"
    );
    let set = format!("ears.tagger={}", value["manifest"].as_str().unwrap());
    let valid = earmark(["validate", "gated", "--set", &set]);
    assert!(valid.status.success(), "{}", said(&valid));
}

#[test]
fn encoders_of_text_are_added_with_their_tokenizer() {
    let Some(folder) = models("models-text") else {
        return;
    };
    let tokenizer = folder.join("tokenizer.json");
    let tokenizer = ["--tokenizer", tokenizer.to_str().unwrap()];
    let (value, manifest) = added(&folder, "minilm.onnx", &tokenizer);
    assert_eq!(value["kind"], "text-encoder");
    assert!(value["tried"].as_str().unwrap().contains("5 numbers"));
    for text in [
        "mask: \"attention_mask\"",
        "longest: 16",
        "padded: false",
        "tokenizer: \"tokenizer.json\"",
        "name: \"last_hidden_state\", dim: 5",
    ] {
        assert!(manifest.contains(text), "{text} in {manifest}");
    }
    let (_, manifest) = added(&folder, "clip-text.onnx", &tokenizer);
    for text in [
        "name: \"text_embeds\", dim: 3",
        "longest: 16",
        "padded: true",
    ] {
        assert!(manifest.contains(text), "{text} in {manifest}");
    }
    for (model, more, word) in [
        ("minilm.onnx", &[][..], "--tokenizer"),
        (
            "minilm.onnx",
            &["--tokenizer", "nowhere.json"],
            "nowhere.json",
        ),
    ] {
        let output = add(&folder, model, &[more, &["--name", "other"]].concat());
        assert!(!output.status.success());
        assert!(said(&output).contains(word), "{word}: {}", said(&output));
    }
    assert!(!folder.join("other.yaml").exists());
    // A tokenizer that has changed, and rules that are broken.
    let path = folder.join("minilm.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    let plan = crate::ask::plan(&folder, "kitchen");
    let video = root().join("fixtures/kitchen.mp4");
    let use_it = |manifest: &str| {
        std::fs::write(&path, manifest).unwrap();
        let output = earmark([
            "ask",
            plan.to_str().unwrap(),
            "--video",
            video.to_str().unwrap(),
            "--question",
            "x",
            "--dry-run",
            "--text-encoder",
            path.to_str().unwrap(),
        ]);
        assert!(!output.status.success());
        said(&output)
    };
    for (from, to, words) in [
        ("longest: 16", "longest: 1", &["text.longest is 1"][..]),
        ("dtype: i64", "dtype: f32", &["input.dtype", "i64 or i32"]),
        ("dtype: i64", "dtype: i32", &["input.dtype is i32"]),
        ("kind: text-encoder", "kind: probe", &["text"]),
        (
            "  longest: 16  # tokens\n",
            "",
            &["text.longest is missing"],
        ),
        ("dim: 5", "dim: 6", &["output.dim is 6"]),
    ] {
        let wrong = use_it(&good.replace(from, to));
        for word in words {
            assert!(wrong.contains(word), "`{word}` is not in {wrong}");
        }
    }
    let text = std::fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    std::fs::write(folder.join("tokenizer.json"), text + "\n").unwrap();
    let wrong = use_it(&good);
    assert!(wrong.contains("tokenizer.json has changed"), "{wrong}");
}

#[test]
fn a_model_of_one_size_and_one_frame_at_a_time_extracts() {
    let Some(folder) = models("models-fixed") else {
        return;
    };
    let (value, _) = added(
        &folder,
        "siglip.onnx",
        &["--like", "siglip", "--fit", "pad"],
    );
    let set = format!("features.model={}", value["manifest"].as_str().unwrap());
    let input = root().join("fixtures/kitchen.mp4");
    let output = folder.join("kitchen.h5");
    let [input, output] = [&input, &output].map(|path| path.to_str().unwrap());
    let run = earmark([
        "run", "gated", "--set", &set, "--input", input, "--output", output,
    ]);
    assert!(run.status.success(), "{}", said(&run));
    let inspected = earmark(["inspect", output, "--json"]);
    let value: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(value["features"]["dim"], 768);
    assert!(value["features"]["frames"].as_u64() > Some(10), "{value}");
    assert_eq!(value["features"]["warnings"], serde_json::json!([]));
}

#[test]
fn a_model_that_cannot_be_added_leaves_nothing() {
    let Some(folder) = models("models-wrong") else {
        return;
    };
    for (model, more, words) in [
        ("clip.onnx", &[][..], &["--like clip", "--mean"][..]),
        (
            "clip.onnx",
            &["--like", "clip", "--px", "448"],
            &["one size, 224"],
        ),
        (
            "clip.onnx",
            &["--like", "clip", "--output", "logits"],
            &["image_embeds"],
        ),
        (
            "clip.onnx",
            &["--mean", "0.5,0.5", "--std", "0.5"],
            &["--mean has 2 numbers"],
        ),
        (
            "clip.onnx",
            &["--like", "clip", "--name", "a/b"],
            &["--name a/b"],
        ),
        (
            "text.onnx",
            &["--like", "clip"],
            &["input_ids", "vision model"],
        ),
        ("half.onnx", &["--like", "clip"], &["32-bit floats"]),
        ("wide.onnx", &["--like", "clip"], &["not square"]),
        ("tagger.onnx", &[], &["--classes"]),
        ("nowhere.onnx", &["--like", "clip"], &["nowhere.onnx"]),
        ("classes.csv", &["--like", "clip"], &["classes.csv"]),
    ] {
        let output = add(&folder, model, more);
        assert!(
            !output.status.success(),
            "{model} {more:?}: {}",
            said(&output)
        );
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
    }
    let manifests = std::fs::read_dir(&folder).unwrap().flatten();
    let manifests = manifests.filter(|e| e.path().extension().is_some_and(|e| e == "yaml"));
    assert_eq!(manifests.count(), 0);
    // What is there stays.
    added(&folder, "clip.onnx", &["--like", "clip"]);
    let again = add(&folder, "clip.onnx", &["--like", "clip"]);
    assert!(said(&again).contains("--overwrite"), "{}", said(&again));
}

#[test]
fn validate_finds_a_manifest_that_differs_from_its_model() {
    let Some(folder) = models("models-validate") else {
        return;
    };
    let (value, manifest) = added(&folder, "clip.onnx", &["--like", "clip"]);
    let path = PathBuf::from(value["manifest"].as_str().unwrap());
    let set = format!("features.model={}", path.display());
    let sha = manifest
        .lines()
        .find(|line| line.starts_with("sha256"))
        .unwrap();
    for (changes, words) in [
        (
            &[("pixel_values", "pixels")][..],
            &["input.name is \"pixels\"", "pixel_values"][..],
        ),
        (&[("dim: 512", "dim: 768")], &["output.dim is 768", "512"]),
        (
            &[("layout: NCHW", "layout: NHWC")],
            &["input.layout is NHWC", "is it NCHW?"],
        ),
        (
            &[(
                sha,
                "sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"",
            )],
            &["has changed"],
        ),
        (
            &[("low: { px: 224", "low: { px: 112")],
            &["tiers.low.px is 112", "one size"],
        ),
        // All of it at once.
        (
            &[
                ("\"image_embeds\"", "\"embeds\""),
                ("low: { px: 224", "low: { px: 112"),
                ("layout: NCHW", "layout: NCHW"),
            ],
            &["output.name is \"embeds\"", "tiers.low.px is 112"],
        ),
        (
            &[("  dtype: f32\n", ""), ("kind: encoder", "kinds: encoder")],
            &[
                "input.dtype is missing: write `dtype: f32`",
                "did you mean `kind`?",
            ],
        ),
    ] {
        let mut text = manifest.clone();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).unwrap();
        let output = earmark(["validate", "gated", "--set", &set]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
    }
}

#[test]
fn encoders_of_clips_are_added_run_and_held_against_their_manifests() {
    let Some(folder) = models("models-clips") else {
        return;
    };
    for (model, more, manifest_has, tried) in [
        (
            "slowfast.onnx",
            &["--like", "slowfast", "--every", "1", "--px", "64"][..],
            &[
                "{ name: \"slow\", frames: 8 }",
                "{ name: \"fast\", frames: 32 }",
                "every: { frames: 1 }",
                "layout: NCTHW",
                "mean: [114.75, 114.75, 114.75]",
                "fit: crop",
            ][..],
            "one grey clip: 2304 numbers at 32 frames of 64 x 64 pixels for 256 tokens",
        ),
        (
            "videomae.onnx",
            &["--like", "videomae"],
            &["layout: NTCHW", "frames: 16", "every: { frames: 4 }"],
            "16 frames of 224 x 224 pixels for 1568 tokens",
        ),
        (
            "r2plus1d.onnx",
            &[
                "--like",
                "r2plus1d",
                "--frames",
                "16",
                "--every-ms",
                "40",
                "--crop",
                "0.875",
            ],
            &["frames: 16", "every: { ms: 40 }", "crop: 0.875"],
            "16 frames of 112 x 112 pixels for 392 tokens",
        ),
    ] {
        let (value, manifest) = added(&folder, model, more);
        assert_eq!(value["kind"], "clip-encoder");
        for text in manifest_has {
            assert!(manifest.contains(text), "{model}: {text} in {manifest}");
        }
        assert!(value["tried"].as_str().unwrap().contains(tried), "{value}");
        let set = format!("features.model={}", value["manifest"].as_str().unwrap());
        let valid = earmark(["validate", "slowfast", "--set", &set]);
        assert!(valid.status.success(), "{model}: {}", said(&valid));
        // Wrong shapes and rules are found, all at once.
        let path = PathBuf::from(value["manifest"].as_str().unwrap());
        for (changes, words) in [
            (&[("layout: N", "layout: X")][..], &["NCTHW"][..]),
            (
                &[("frames: 16", "frames: 0"), ("std: [", "std: [0, 0, 0] #")],
                &["input.frames", "input.std"],
            ),
            (&[("dim: ", "dim: 1")], &["output.dim is 1"]),
            (
                &[("name: \"fast\", frames: 32", "name: \"fast\", frames: 16")],
                &["the pathway fast is 16", "32 frames"],
            ),
            (
                &[("name: \"slow\"", "name: \"slo\"")],
                &["input.pathways is \"slo\""],
            ),
            (&[("layout: NTCHW", "layout: NCTHW")], &["is it NTCHW?"]),
            (
                &[("px: 112", "px: 96")],
                &["tiers.low.px is 96", "one size"],
            ),
            (
                &[("every: { frames: 4 }", "every: { frames: 4, ms: 5 }")],
                &["input.every"],
            ),
        ] {
            let mut text = manifest.clone();
            if changes.iter().any(|(from, _)| !text.contains(from)) {
                continue;
            }
            for (from, to) in changes {
                text = text.replace(from, to);
            }
            std::fs::write(&path, text).unwrap();
            let output = earmark(["validate", "slowfast", "--set", &set]);
            assert_eq!(
                output.status.code(),
                Some(2),
                "{changes:?}: {}",
                said(&output)
            );
            for word in words {
                assert!(said(&output).contains(word), "{word}: {}", said(&output));
            }
        }
    }
    for (model, more, words) in [
        ("slowfast.onnx", &["--like", "slowfast"][..], &["--px"][..]),
        ("r2plus1d.onnx", &["--like", "r2plus1d"], &["--frames"]),
        (
            "videomae.onnx",
            &["--like", "videomae", "--frames", "8"],
            &["--frames 8", "16 frames"],
        ),
        ("flow.onnx", &["--like", "videomae"], &["neither clips"]),
    ] {
        let output = add(&folder, model, &[more, &["--overwrite"]].concat());
        assert!(!output.status.success(), "{model}: {}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "{word}: {}", said(&output));
        }
    }
}
