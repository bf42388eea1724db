//! Pipelines: what is wrong is reported all at once, with place, value, rule and likely mistake.

use std::path::Path;
use std::process::{Command, Output};

use earmark::pipeline::shipped::SHIPPED;

use crate::recordings::{folder, root};

/// `earmark` in `folder`, with the models of the repository.
pub(crate) fn earmark(folder: &Path, args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "120", env!("CARGO_BIN_EXE_earmark")])
        .args(args)
        .current_dir(folder)
        .env("EARMARK_MODELS", root().join("models"))
        .output()
        .unwrap()
}

/// Status, stderr and stdout as a person sees them, without this machine's paths.
pub(crate) fn seen(output: &Output) -> String {
    let text = format!(
        "status {}\n{}{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout)
    );
    let lines =
        text.lines().map(
            |line| match (line.find(".yaml in "), line.find(" (`earmark models`")) {
                (Some(start), Some(stop)) => {
                    format!("{}.yaml in [folders]{}", &line[..start], &line[stop..])
                }
                _ => line.replace(root().to_str().unwrap(), "[root]"),
            },
        );
    lines.collect::<Vec<_>>().join("\n")
}

const GRAPH: &str = "graph: |
  filesrc location=${input} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${output}
";

/// What `earmark validate` says of this pipeline.
fn said_of(name: &str, text: &str, args: &[&str]) -> String {
    let folder = folder(&format!("validate_{name}"));
    std::fs::write(folder.join("p.yaml"), text).unwrap();
    let mut all = vec!["validate", "p.yaml"];
    all.extend(args);
    seen(&earmark(&folder, &all))
}

/// Values for the variables that a shipped pipeline needs.
fn variables(name: &str) -> Vec<&'static str> {
    match name {
        "live_rtsp" => vec!["--set", "url=rtsp://10.0.0.7/a"],
        "live_srt" => vec!["--set", "url=srt://10.0.0.7:7001"],
        "live_udp" => vec!["--set", "url=udp://127.0.0.1:5004"],
        "live_file" => vec!["--set", "url=a.mp4"],
        "live_camera" => vec!["--set", "device=/dev/video0", "--set", "microphone=default"],
        // Its model is the user's; a manifest alone is enough here.
        "slowfast" | "videomae" => vec!["--set", clip_model()],
        _ => Vec::new(),
    }
}

/// `features.model=` and a manifest of an encoder of clips whose file is not there.
fn clip_model() -> &'static str {
    static SET: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    SET.get_or_init(|| {
        let path = folder("validate_clips").join("mine.yaml");
        let sha = "0".repeat(64);
        let text = format!(
            "schema: earmark-model/1\nname: mine\nkind: clip-encoder\nfile: mine.onnx\nsha256: \"{sha}\"\n\
             input: {{ name: x, frames: 32, layout: NCTHW, dtype: f32, mean: [1, 1, 1], std: [1, 1, 1] }}\n\
             output: {{ name: y, dim: 9 }}\ntiers: {{ low: {{ px: 64 }}, base: {{ px: 64 }}, high: {{ px: 64 }} }}\n"
        );
        std::fs::write(&path, text).unwrap();
        format!("features.model={}", path.display())
    })
}

#[test]
fn the_shipped_pipelines_are_fine() {
    for name in SHIPPED.map(|shipped| shipped.name) {
        let path = format!("pipelines/{name}.yaml");
        let mut args = vec!["validate", &path];
        args.extend(variables(name));
        let output = earmark(root(), &args);
        assert!(output.status.success(), "{}", seen(&output));
    }
}

#[test]
fn every_wrong_setting_is_reported_at_once() {
    let text = format!(
        "version: 2
{GRAPH}ears: {{ probe: flucs, tagger: none, ear_count: 2 }}
anchors:
  pre_sm: 200
  post_ms: 0.4
  min_gap_ms: 250ms
  threshold: \"0.1\"
  uncertainty_gain: 11
budget:
  policy: gatd
  tokens_per_s: 1,5
  anchor_tier: huge
  max_gap_ms: 0
  pre_ms: 200
  planning: globl
features:
  batch: 1000
  precision: f64
  model: efficientnet-lite1
speed: fast
pre_ms: 3
"
    );
    insta::assert_snapshot!("settings", said_of("settings", &text, &[]));
}

#[test]
fn every_mistake_in_a_graph_is_reported_at_once() {
    let text = "version: 1
graph: |
  # the source
  filesrc locatoin=x location=${input} ! parsbin name=demux
  demux. ! queue max-size-buffers=lots ! gate.vidoe
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears threads=2 ! gaet.cues
  anchorgate name=gate pre-ms=3 ! decodebin ! facedetect ! framepick ! videoconvert ! featuresink name=features location=x.h5
  videotestsrc
  queue ! ! fakesink
ears: { tagger: none }
";
    insta::assert_snapshot!("graph", said_of("graph", text, &[]));
}

#[test]
fn pads_that_are_not_linked_are_named() {
    let text = "version: 1
graph: |
  filesrc location=${input} ! parsebin name=demux
  demux. ! queue ! decodebin ! audioconvert ! audioresample ! eventness name=ears ! gate.cues
  anchorgate name=gate decodebin ! framepick ! videoconvert ! featuresink name=features location=${output}
  queue name=stray
  filesink location=y ! identity
ears: { tagger: none }
";
    insta::assert_snapshot!("pads", said_of("pads", text, &[]));
}

#[test]
fn problems_that_only_gstreamer_finds_are_reported() {
    let text = "version: 1
graph: |
  filesrc location=${input} ! parsebin name=demux
  demux. ! queue ! gate.video
  demux. ! queue ! decodebin ! audioconvert ! video/x-raw ! eventness name=ears ! gate.cues
  anchorgate name=gate ! decodebin ! framepick ! videoconvert ! featuresink name=features location=${output}
ears: { tagger: none }
";
    insta::assert_snapshot!("builds", said_of("builds", text, &[]));
}

#[test]
fn the_parts_that_every_pipeline_has_are_missed() {
    let text = "version: 1
graph: |
  filesrc location=${input} ! parsebin ! decodebin ! fakesink
budget: { policy: dense, planning: global }
";
    insta::assert_snapshot!("parts", said_of("parts", text, &[]));
}

#[test]
fn broken_yaml_says_where() {
    let bad = [
        "version: 1\ngraph: [\n",
        "- 1\n",
        "",
        "version: 1\nversion: 1\ngraph: &a x\nears: *a\n",
        "version: 1\n\tgraph: x\n",
    ];
    let all: Vec<_> = bad
        .iter()
        .enumerate()
        .map(|(n, text)| said_of(&format!("yaml{n}"), text, &[]))
        .collect();
    insta::assert_snapshot!("yaml", all.join("\n----\n"));
}

#[test]
fn a_budget_too_small_for_background_frames_is_reported_with_both_numbers() {
    let text =
        format!("version: 1\n{GRAPH}ears: {{ tagger: none }}\nbudget: {{ tokens_per_s: 40 }}\n");
    insta::assert_snapshot!("budget", said_of("budget", &text, &[]));
}

#[test]
fn keys_are_set_on_the_command_line_and_checked_like_yaml() {
    let good = said_of(
        "set",
        &format!("version: 1\n{GRAPH}ears: {{ tagger: none }}\n"),
        &[
            "--json",
            "--set",
            "budget.tokens_per_s=392",
            "--set",
            "anchors.pre_ms=150",
        ],
    );
    assert!(good.contains("\"tokens_per_s\": 392.0"), "{good}");
    assert!(good.contains("\"pre_ms\": 150"), "{good}");
    let bad = [
        &[
            "--set",
            "budget.tokens_per_s=-1",
            "--set",
            "anchors.pre_mss=1",
        ][..],
        &["--set", "budgets.tokens_per_s=1"][..],
        &["--set", "budget.max_gap_ms=1s"][..],
    ];
    let text = format!("version: 1\n{GRAPH}ears: {{ tagger: none }}\n");
    let said: Vec<_> = bad.iter().map(|args| said_of("set", &text, args)).collect();
    insta::assert_snapshot!("set", said.join("\n----\n"));
}

#[test]
fn shipped_pipelines_have_names_everywhere() {
    let folder = folder("validate_shipped");
    let files = std::fs::read_dir(root().join("pipelines")).unwrap();
    let files =
        files.filter(|file| file.as_ref().unwrap().path().extension() == Some("yaml".as_ref()));
    assert_eq!(files.count(), SHIPPED.len());
    for name in SHIPPED.map(|shipped| shipped.name) {
        let text = earmark(&folder, &["pipelines", name]);
        let shipped = std::fs::read(root().join(format!("pipelines/{name}.yaml"))).unwrap();
        assert_eq!(text.stdout, shipped, "{name}");
        let mut args = vec!["validate", name, "--set", "features.thumbnails=true"];
        args.extend(variables(name));
        let checked = earmark(&folder, &args);
        assert!(checked.status.success(), "{}", seen(&checked));
    }
    let list = seen(&earmark(&folder, &["pipelines"]));
    assert!(list.contains("thrifty"), "{list}");
    let slip = seen(&earmark(&folder, &["validate", "gatd"]));
    assert!(slip.contains("did you mean `gated`?"), "{slip}");
    let none = seen(&earmark(&folder, &["pipelines", "nothing"]));
    assert!(
        none.starts_with("status 2") && none.contains("anchors_only"),
        "{none}"
    );
}

#[test]
fn completions_and_man_pages_cover_every_command() {
    let folder = folder("validate_shells");
    for shell in ["bash", "zsh", "fish"] {
        let said = seen(&earmark(&folder, &["completions", shell]));
        assert!(
            said.contains("import-audio") && said.contains("tokens") || said.contains("pipelines"),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
    let man = earmark(&folder, &["man", "--output", "man"]);
    assert!(man.status.success(), "{}", seen(&man));
    for page in ["earmark.1", "earmark-run.1", "earmark-eval-anchors.1"] {
        let text = std::fs::read_to_string(folder.join("man").join(page)).unwrap();
        assert!(
            text.starts_with(".ie") && text.contains(".SH"),
            "{page}: {text}"
        );
    }
    assert!(!folder.join("man/earmark-worker.1").exists());
}

#[test]
fn keys_of_earlier_versions_are_refused_with_their_new_names() {
    let text = format!(
        "version: 1\n{GRAPH}ears: {{ tagger: none }}\nbudget: {{ fallback_tier: low, uniform_tier: base, picture_tokens: 10 }}\n"
    );
    insta::assert_snapshot!("renamed", said_of("renamed", &text, &[]));
}

#[test]
fn an_anchor_that_may_wait_needs_a_decode_penalty() {
    let text = format!(
        "version: 1\n{GRAPH}ears: {{ tagger: none }}\nbudget: {{ anchor_snap_ms: 1000 }}\n"
    );
    insta::assert_snapshot!("wait", said_of("wait", &text, &[]));
}

#[test]
fn offsets_by_class_must_name_classes_of_the_tagger() {
    if !root().join("models/built/yamnet_class_map.csv").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return;
    }
    let of = |name: &str, tagger: &str, anchors: &str| {
        let text = format!("version: 1\n{GRAPH}ears: {{ tagger: {tagger} }}\nanchors: {anchors}\n");
        said_of(&format!("offsets_{name}"), &text, &[])
    };
    let good = of(
        "good",
        "yamnet",
        "{ offset_ms: -40, class_offset_ms: { \"Water tap, faucet\": -300 }, widen: before }",
    );
    assert!(good.starts_with("status 0"), "{good}");
    let said = [
        of(
            "wrong",
            "yamnet",
            "{ class_offset_ms: { Water tap: -300, Speech: 0.2, Violins: 5 }, widen: left }",
        ),
        of(
            "names",
            "yamnet",
            "{ class_offset_ms: { water tap: -300, Chopping: 5, Sdrftgz: 1 } }",
        ),
        of("none", "none", "{ class_offset_ms: { Speech: 5 } }"),
        of(
            "range",
            "yamnet",
            "{ offset_ms: 6000, class_offset_ms: { Speech: -9000 } }",
        ),
        of("limits", "yamnet", "{ max_window_ms: 500 }"),
        of(
            "swapped",
            "yamnet",
            "{ min_window_ms: 2000, max_window_ms: 1000 }",
        ),
        of("list", "yamnet", "{ class_offset_ms: [3] }"),
    ];
    insta::assert_snapshot!("offsets", said.join("\n----\n"));
}

#[test]
fn variables_are_filled_in_and_unknown_ones_reported() {
    let graph = GRAPH.replace(
        "queue ! gate.video",
        "queue max-size-buffers=${buffers} ! gate.video",
    );
    let text = format!(
        "version: 1\n{graph}ears: {{ tagger: \"${{tagger}}\" }}\nbudget: {{ tokens_per_s: \"${{rate}}\" }}\n"
    );
    let good = said_of(
        "variables",
        &text,
        &[
            "--set",
            "buffers=7",
            "--set",
            "tagger=none",
            "--set",
            "rate=300",
            "--json",
        ],
    );
    assert!(
        good.contains("\"tokens_per_s\": 300.0") && good.contains("\"tagger\": \"none\""),
        "{good}"
    );
    let bad = said_of(
        "variables",
        &text,
        &[
            "--set",
            "bufers=7",
            "--set",
            "rate=many",
            "--set",
            "tagger=none",
        ],
    );
    insta::assert_snapshot!("variables", bad);
}

#[test]
fn programs_get_the_same_as_json() {
    let folder = folder("validate_json");
    std::fs::write(
        folder.join("p.yaml"),
        format!("version: 1\n{GRAPH}ears: {{ tagger: none }}\nanchors: {{ pre_sm: 2 }}\n"),
    )
    .unwrap();
    let output = earmark(&folder, &["validate", "p.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = &value["problems"][0];
    assert_eq!(
        (
            value["ok"].as_bool(),
            problem["line"].as_u64(),
            problem["field"].as_str()
        ),
        (Some(false), Some(8), Some("anchors.pre_sm"))
    );
    assert_eq!(problem["hint"], "did you mean `pre_ms`?");
}
