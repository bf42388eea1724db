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
        "batch",
        "verify",
        "recover",
        "models",
        "doctor",
        "eval",
        "Examples:",
        "Exit status",
    ] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    assert!(seen(&earmark(root(), &["run", "--help"])).contains("--overwrite"));
}

#[test]
fn a_graph_is_drawn_with_its_waiting_links() {
    let output = earmark(root(), &["graph", "pipelines/grid.yaml"]);
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
fn the_doctor_says_how_to_install_what_is_missing() {
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
    std::fs::create_dir(folder.join("empty")).unwrap();
    for (file, word) in [
        ("x.h5", "x.h5"),
        ("x.jsonl", "line 1"),
        ("none.h5", "none.h5"),
        ("empty", "folder"),
    ] {
        let output = earmark(&folder, &["inspect", file]);
        assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
        assert!(seen(&output).contains(word), "{}", seen(&output));
    }
}

/// A plan of three frames in ten seconds, and labels that know of four events and a stretch without sound.
fn judged(folder: &std::path::Path) {
    let frame = |ms: i64, tier: &str, tokens: u64, rest: &str| {
        format!(
            r#"{{"kind":"frame","planned_ns":{},"tier":"{tier}","tokens":{tokens},{rest}}}"#,
            ms * 1_000_000
        )
    };
    let anchor = |id: u32, ms: i64, p: f64| {
        format!(
            r#"{{"kind":"anchor","id":{id},"onset_ns":{0},"start_ns":{0},"stop_ns":{1},"score":{p},"uncertainty":{2}}}"#,
            ms * 1_000_000,
            (ms + 100) * 1_000_000,
            1.0 - p
        )
    };
    let plan = [
        r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"kitchen","duration_ns":10000000000,"budget_tokens":1960,"spent_tokens":1813,"config":{}}"#.to_owned(),
        anchor(0, 1_010, 0.9),
        frame(1_050, "high", 784, r#""reason":"anchor","anchor":0"#),
        anchor(1, 4_000, 0.25),
        frame(4_050, "high", 784, r#""reason":"anchor","anchor":1"#),
        frame(6_000, "base", 196, r#""reason":"untrusted""#),
        frame(8_000, "low", 49, r#""reason":"uniform""#),
    ];
    std::fs::write(folder.join("kitchen.jsonl"), plan.join("\n") + "\n").unwrap();
    let labels = "start_s,stop_s,class,snr_db\n1,2,tap,10\n5.9,6.1,glass,-2\n7.9,8.1,glass,4\n9,9.5,tap,12\n20,21,tap,0\n";
    std::fs::write(folder.join("kitchen.labels.csv"), labels).unwrap();
    std::fs::write(
        folder.join("kitchen.json"),
        r#"{"dead": [[5.5, 6.5, "muted"]]}"#,
    )
    .unwrap();
}

#[test]
fn a_plan_is_held_against_labels() {
    let folder = folder("eval_anchors");
    judged(&folder);
    let args = [
        "eval",
        "anchors",
        "--plan",
        "kitchen.jsonl",
        "--labels",
        "kitchen.labels.csv",
    ];
    let output = earmark(
        &folder,
        &[&args[..], &["--plot", "plot.svg", "--json"]].concat(),
    );
    assert!(output.status.success(), "{}", seen(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // The low frame at 8 s does not count, and the event at 20 s is not in the recording.
    assert_eq!((&found["frames"], &found["events"]), (&3.into(), &4.into()));
    assert_eq!(found["tokens"], 1_764);
    assert_eq!(found["recall"][0]["plan"]["value"], 0.5);
    assert_eq!(found["recall"][0]["oracle"]["value"], 0.75);
    assert_eq!(found["anchors"]["precision"], 0.5);
    assert_eq!(found["anchors"]["auroc"], 1.0);
    assert_eq!(found["warnings"].as_array().unwrap().len(), 1);
    let dead = |g: &&serde_json::Value| g["name"] == "in untrusted sound";
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.iter().find(dead).unwrap()["plan"], 1.0);
    let drawn = std::fs::read_to_string(folder.join("plot.svg")).unwrap();
    assert!(
        drawn.starts_with("<svg") && drawn.contains("recovery"),
        "{drawn}"
    );

    let text = seen(&earmark(&folder, &args));
    assert!(
        text.contains("time-shifted") && text.contains("1 of 5 events"),
        "{text}"
    );
    let low = earmark(&folder, &[&args[..], &["--tier", "low", "--json"]].concat());
    let low: serde_json::Value = serde_json::from_slice(&low.stdout).unwrap();
    assert_eq!(low["recall"][0]["plan"]["value"], 0.75);
}

#[test]
fn plans_without_labels_are_refused() {
    let folder = folder("eval_refused");
    judged(&folder);
    std::fs::write(folder.join("other.labels.csv"), "start_s,stop_s\n1,2\n").unwrap();
    std::fs::write(folder.join("third.csv"), "start_s,stop_s\n1,2\n").unwrap();
    std::fs::write(folder.join("ms.csv"), "start_s,stop_s\n1000,2000\n").unwrap();
    for (plan, labels, word) in [
        (
            "kitchen.jsonl",
            &["other.labels.csv", "third.csv"][..],
            "kitchen.labels.csv",
        ),
        ("kitchen.jsonl", &["ms.csv"], "milliseconds"),
        ("kitchen.jsonl", &["none.csv"], "none.csv"),
        ("other.labels.csv", &["third.csv"], "line 1"),
    ] {
        let mut args = vec!["eval", "anchors", "--plan", plan, "--labels"];
        args.extend(labels);
        let output = earmark(&folder, &args);
        assert_eq!(output.status.code(), Some(1), "{}", seen(&output));
        assert!(seen(&output).contains(word), "{word}: {}", seen(&output));
    }
}

/// A plan of a minute, with frames at these times, ms, and anchors: onset and start of their windows.
fn plan(folder: &std::path::Path, name: &str, frames: &[i64], anchors: &[(i64, i64)]) {
    let ns = |ms: i64| ms * 1_000_000;
    let header = format!(
        r#"{{"kind":"plan","schema":"earmark-plan/2","video_id":"{name}","duration_ns":60000000000,"budget_tokens":19600,"spent_tokens":{},"config":{{}}}}"#,
        784 * frames.len()
    );
    let anchors = anchors.iter().enumerate().map(|(id, &(onset, start))| {
        format!(
            r#"{{"kind":"anchor","id":{id},"onset_ns":{},"start_ns":{},"stop_ns":{},"score":0.9,"uncertainty":0.1}}"#,
            ns(onset),
            ns(start),
            ns(start + 300)
        )
    });
    let frames = frames.iter().map(|&at| {
        format!(
            r#"{{"kind":"frame","planned_ns":{},"tier":"high","tokens":784,"reason":"uniform"}}"#,
            ns(at)
        )
    });
    let lines: Vec<String> = std::iter::once(header)
        .chain(anchors)
        .chain(frames)
        .collect();
    std::fs::write(
        folder.join(format!("{name}.jsonl")),
        lines.join("\n") + "\n",
    )
    .unwrap();
}

/// What `earmark eval anchors` finds.
#[track_caller]
fn found(folder: &std::path::Path, args: &[&str]) -> serde_json::Value {
    let output = earmark(folder, &[&["eval", "anchors"], args, &["--json"]].concat());
    assert!(output.status.success(), "{}", seen(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn anchors_whose_windows_an_offset_moved_past_each_other_are_judged_by_their_onsets() {
    let folder = folder("eval_permuted");
    plan(&folder, "p", &[10_000], &[(4_000, 1_000), (2_000, 2_000)]);
    std::fs::write(folder.join("p.csv"), "start_s,stop_s\n2,2.5\n4,4.5\n").unwrap();
    let found = found(&folder, &["--plan", "p.jsonl", "--labels", "p.csv"]);
    assert_eq!(found["anchors"]["precision"], 1.0, "{found:#}");
}

#[test]
fn where_little_is_measured_it_is_said_and_no_interval_is_given() {
    let folder = folder("eval_few");
    // Even frames hit everything, so there is nothing to recover.
    plan(&folder, "p", &[30_100], &[]);
    std::fs::write(folder.join("p.csv"), "start_s,stop_s\n29.9,30.5\n").unwrap();
    let args = ["--plan", "p.jsonl", "--labels", "p.csv"];
    let few = found(&folder, &args);
    let plan_found = &few["recall"][0]["plan"];
    assert_eq!(
        (&plan_found["value"], &plan_found["low"]),
        (&1.0.into(), &serde_json::Value::Null)
    );
    assert!(few["recall"][0]["recovery"].is_null(), "{few:#}");
    assert_eq!(
        (&few["resampled_by"], &few["resampled_units"]),
        (&"nothing".into(), &1.into())
    );
    let text = seen(&earmark(
        &folder,
        &[&["eval", "anchors"], &args[..]].concat(),
    ));
    assert!(text.contains("intervals    none: only 1 minute"), "{text}");
    let shares = text.split("waste").next().unwrap();
    for word in ["NaN", "inf", " to "] {
        assert!(!shares.contains(word), "{word}: {text}");
    }
}

#[test]
fn an_event_without_length_is_an_instant() {
    let folder = folder("eval_instant");
    plan(&folder, "p", &[5_200], &[(2_000, 2_000)]);
    std::fs::write(folder.join("p.csv"), "start_s,stop_s\n2,2\n5,5.5\n").unwrap();
    let found = found(&folder, &["--plan", "p.jsonl", "--labels", "p.csv"]);
    assert_eq!(
        (&found["events"], &found["anchors"]["precision"]),
        (&2.into(), &1.0.into())
    );
    assert!(
        found["warnings"][0]
            .as_str()
            .unwrap()
            .contains("1 of 2 events have no length")
    );
}

#[test]
fn a_spreadsheets_labels_of_many_recordings_are_understood() {
    let folder = folder("eval_quoted");
    for name in ["a", "b"] {
        plan(&folder, name, &[10_000], &[]);
    }
    let labels = "\u{feff}\"video_id\",\"start_s\",\"stop_s\"\r\n\"a\",9,11\r\n\"b\",1,2\r\n";
    std::fs::write(folder.join("all.csv"), labels).unwrap();
    let found = found(
        &folder,
        &["--plan", "a.jsonl", "b.jsonl", "--labels", "all.csv"],
    );
    assert_eq!(
        (&found["each"][0]["plan"], &found["each"][1]["plan"]),
        (&1.0.into(), &0.0.into())
    );
}

#[test]
fn eval_refuses_duplicates() {
    let folder = folder("eval_twice");
    plan(&folder, "p", &[10_000], &[]);
    std::fs::copy(folder.join("p.jsonl"), folder.join("q.jsonl")).unwrap();
    std::fs::create_dir(folder.join("other")).unwrap();
    for name in ["p.csv", "other/p.csv"] {
        std::fs::write(folder.join(name), "start_s,stop_s\n2,2.5\n").unwrap();
    }
    for (plans, labels, word) in [
        (&["p.jsonl", "p.jsonl"][..], &["p.csv"][..], "given twice"),
        (&["p.jsonl", "q.jsonl"], &["p.csv"], "q.jsonl"),
        (&["p.jsonl"], &["p.csv", "other/p.csv"], "both match"),
    ] {
        let args = [&["eval", "anchors", "--plan"], plans, &["--labels"], labels].concat();
        let output = earmark(&folder, &args);
        assert_eq!(output.status.code(), Some(2), "{}", seen(&output));
        assert!(seen(&output).contains(word), "{word}: {}", seen(&output));
    }
}

/// Whatever a file says, a terminal does nothing about it.
#[test]
fn control_characters_of_files_are_shown_not_sent() {
    let folder = folder("control_characters");
    let plan = r#"{"kind":"plan","schema":"earmark-plan/2","video_id":"x\u001b[2J\u009b1m\u202e\ny","duration_ns":10000000000,"budget_tokens":1960,"spent_tokens":49,"config":{"anchors":{"class_offset_ms":{"a\u001bb\nc":-300}}}}
{"kind":"frame","planned_ns":5000000000,"tier":"low","tokens":49,"reason":"uniform","anchor":null}
"#;
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("plan.jsonl", plan);
    write(
        "bad.jsonl",
        &plan.replace("frame", "fr\\u001b]0;x\\u0007me"),
    );
    write(
        "labels.csv",
        "start_s,stop_s,class\n1,2,\u{1b}[31mtap\u{9b}\n",
    );
    write(
        "pipeline.yaml",
        "version: 1\n\"k\\ey\": \"\\e[2J\\x9b\"\ngraph: \"filesrc na\\eme=\\x9bx ! fakesink\"\n",
    );
    write(
        "labels2.csv",
        "start_s,stop_s,class\n1,\u{1b}[31m\u{9b},tap\n",
    );
    for (args, shown) in [
        (
            &["inspect", "plan.jsonl"][..],
            Some("x\\u001b[2J\\u009b1m\\u202e\\u000ay"),
        ),
        (&["inspect", "plan.jsonl", "--json"], None),
        (&["inspect", "bad.jsonl"], None),
        (&["validate", "pipeline.yaml"], None),
        (&["validate", "pipeline.yaml", "--json"], None),
        (
            &[
                "eval",
                "anchors",
                "--plan",
                "plan.jsonl",
                "--labels",
                "labels.csv",
            ],
            Some("\\u001b[31mtap\\u009b"),
        ),
        (
            &[
                "eval",
                "anchors",
                "--plan",
                "plan.jsonl",
                "--labels",
                "labels2.csv",
            ],
            None,
        ),
        (
            &["inspect", "no\u{1b}[2Jfile\u{9b}"],
            Some("no\\u001b[2Jfile\\u009b"),
        ),
        (&["frob\u{1b}[2J\u{9b}"], None),
    ] {
        let output = earmark(&folder, args);
        let text = seen(&output);
        let acts = |c: &char| c.is_control() && *c != '\n' && *c != '\t' || *c == '\u{202e}';
        assert!(!text.chars().any(|c| acts(&c)), "{args:?}: {text:?}");
        assert!(
            shown.is_none_or(|shown| text.contains(shown)),
            "{args:?}: {text}"
        );
        if args.contains(&"--json") {
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
        }
    }
}

/// Whatever a command writes is whole, or what was there before: no half of it, and nothing beside it. A limit on the size of files
/// stands in for a disk that is full.
#[test]
fn outputs_are_complete_or_absent() {
    let folder = folder("commands_whole");
    judged(&folder);
    std::fs::create_dir(folder.join("into")).unwrap();
    let root = root().to_str().unwrap().to_owned();
    let pipeline = format!("{root}/pipelines/grid.yaml");
    let recording = format!("{root}/fixtures/kitchen.mp4");
    let list = "into/recordings.jsonl";
    for (file, args) in [
        (
            "into/g.dot",
            vec!["graph", &pipeline, "--output", "into/g.dot"],
        ),
        (
            "into/e.svg",
            vec![
                "eval",
                "anchors",
                "--plan",
                "kitchen.jsonl",
                "--labels",
                "kitchen.labels.csv",
                "--plot",
                "into/e.svg",
            ],
        ),
        (
            list,
            vec![
                "batch", &pipeline, &recording, "--output", "into", "--emit", "slurm",
            ],
        ),
    ] {
        let path = folder.join(file);
        std::fs::write(&path, "what was there").unwrap();
        let line = "trap '' XFSZ; ulimit -f 0; exec timeout 60 \"$@\"";
        let output = std::process::Command::new("bash")
            .args(["-c", line, "bash", env!("CARGO_BIN_EXE_earmark")])
            .args(&args)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", seen(&output));
        assert!(seen(&output).contains("cannot write"), "{}", seen(&output));
        let there = || -> Vec<String> {
            let entries = std::fs::read_dir(folder.join("into")).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names
                .map(|name| name.to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(there().len(), 1, "{args:?}: {:?}", there());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there");
        let output = earmark(&folder, &args);
        assert!(output.status.success(), "{args:?}: {}", seen(&output));
        assert_ne!(std::fs::read_to_string(&path).unwrap(), "what was there");
        assert_eq!(there().len(), 1, "{args:?}: {:?}", there());
        std::fs::remove_file(&path).unwrap();
    }
    // A device is written to, and stays one.
    let output = earmark(&folder, &["graph", &pipeline, "--output", "/dev/null"]);
    assert!(output.status.success(), "{}", seen(&output));
    assert!(!std::path::Path::new("/dev/null").is_file());
}
