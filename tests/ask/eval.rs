//! `earmark eval qa`: strategies by prompts at equal tokens, published layouts, and a kill in the middle.

use std::collections::HashSet;
use std::time::Duration;

use super::*;

/// `earmark eval qa` with these arguments.
pub(super) fn evaluated(folder: &Path, args: &[&str]) -> Value {
    printed_json(&run(
        folder,
        &[
            &["eval", "qa", "--quiet", "--json", "--model", "made"],
            args,
        ]
        .concat(),
    ))
}

pub(super) fn row<'a>(value: &'a Value, sampling: &str, prompt: &str) -> &'a Value {
    let rows = value["rows"].as_array().unwrap();
    rows.iter()
        .find(|row| row["sampling"] == sampling && row["prompt"] == prompt)
        .unwrap()
}

pub(super) fn accuracy(value: &Value, sampling: &str, prompt: &str) -> f64 {
    row(value, sampling, prompt)["accuracy"]["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn what_matches_the_question_finds_what_even_frames_miss() {
    let Some(python) = reading_python() else {
        return;
    };
    let set = printed(&python);
    let server = Answerer::new(&python, &[]);
    let folder = folder("qa_printed");
    let path = |name: &str| set.join(name).to_str().unwrap().to_owned();
    let (questions, plans, videos) = (path("questions.jsonl"), path("plans"), path("videos"));
    let value = evaluated(
        &folder,
        &[
            "--endpoint",
            &server.url,
            "--questions",
            &questions,
            "--features",
            &plans,
            "--videos",
            &videos,
            "--sampling",
            "uniform,random,shifted,anchors,matched,aks,bolt",
            "--prompt",
            "plain,sound",
            "--answers",
            "answers.jsonl",
        ],
    );
    assert_eq!(
        (&value["questions"], &value["recordings"]),
        (&json!(20), &json!(2))
    );
    for row in value["rows"].as_array().unwrap() {
        assert_eq!(
            (&row["tokens"], &row["tokens_equal"]),
            (&json!(20 * 3136), &json!(true)),
            "{row}"
        );
        assert_eq!(
            (&row["calls"], &row["localizer"]["calls"]),
            (&json!(20), &json!(0)),
            "{row}"
        );
    }
    let matched = accuracy(&value, "matched", "sound");
    for control in ["uniform", "random", "shifted"] {
        let other = accuracy(&value, control, "sound");
        assert!(
            matched >= 2.0 * other && matched >= 0.5,
            "{control} {other}, matched {matched}"
        );
    }
    assert!(accuracy(&value, "bolt", "sound") > accuracy(&value, "uniform", "sound"));
    let evidence = &row(&value, "matched", "sound")["evidence"];
    assert!(
        evidence["in_label"].as_f64().unwrap() > 0.5
            && evidence["in_anchors"].as_f64().unwrap() > 0.9,
        "{evidence}"
    );
    let kinds = row(&value, "matched", "sound")["by_type"]
        .as_object()
        .unwrap();
    let sum: u64 = kinds
        .values()
        .map(|kind| kind["questions"].as_u64().unwrap())
        .sum();
    assert_eq!((kinds.len(), sum), (2, 20));
    let answers = std::fs::read_to_string(folder.join("answers.jsonl")).unwrap();
    assert_eq!(answers.lines().count(), 20 * 14);
    // The halves are disjoint and together all of it.
    let ids = |half: &str| -> HashSet<String> {
        let file = format!("{half}.jsonl");
        evaluated(
            &folder,
            &[
                "--endpoint",
                &server.url,
                "--questions",
                &questions,
                "--features",
                &plans,
                "--videos",
                &videos,
                "--sampling",
                "uniform",
                "--prompt",
                "plain",
                "--half",
                half,
                "--answers",
                &file,
            ],
        );
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        text.lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["id"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let (dev, held_out) = (ids("dev"), ids("held-out"));
    assert!(dev.is_disjoint(&held_out) && dev.len() + held_out.len() == 20);
}

#[test]
fn a_localizer_finds_what_it_can_read() {
    let Some(python) = reading_python() else {
        return;
    };
    let set = printed(&python);
    let server = Answerer::new(&python, &[]);
    let folder = folder("qa_localizer");
    let path = |name: &str| set.join(name).to_str().unwrap().to_owned();
    let (questions, plans, videos) = (path("questions.jsonl"), path("plans"), path("videos"));
    let value = evaluated(
        &folder,
        &[
            "--endpoint",
            &server.url,
            "--questions",
            &questions,
            "--features",
            &plans,
            "--videos",
            &videos,
            "--limit",
            "5",
            "--sampling",
            "uniform,localizer",
            "--prompt",
            "plain",
        ],
    );
    assert!(
        accuracy(&value, "localizer", "plain") > accuracy(&value, "uniform", "plain"),
        "{value:#}"
    );
    let localizer = row(&value, "localizer", "plain");
    assert_eq!(
        localizer["localizer"],
        json!({ "calls": 5 * 32, "tokens": 5 * 32 * 196 })
    );
    assert_eq!(
        localizer["tokens"],
        row(&value, "uniform", "plain")["tokens"]
    );
}

/// Questions about the shipped recording, answered from a file: nothing is read.
fn known(folder: &Path, n: usize) -> [String; 3] {
    let plans = folder.join("plans");
    let videos = folder.join("videos");
    std::fs::create_dir_all(&plans).unwrap();
    std::fs::create_dir_all(&videos).unwrap();
    let mut lines = String::new();
    for name in ["a", "b"] {
        plan(&plans, name);
        std::os::unix::fs::symlink(kitchen(), videos.join(format!("{name}.mp4"))).unwrap();
        for i in 0..n {
            let row = json!({
                "video": name, "question": format!("Was it case {i} of {name} when the glass rang?"), "answer": "yes", "options": ["no", "yes", "maybe"],
                "start_s": 5.1, "stop_s": 5.9,
            });
            lines.push_str(&format!("{row}\n"));
        }
    }
    let questions = folder.join("questions.jsonl");
    std::fs::write(&questions, lines).unwrap();
    [questions, plans, videos].map(|path| path.to_str().unwrap().to_owned())
}

#[test]
fn a_server_that_errs_is_as_right_as_it_is() {
    let Some(python) = python() else { return };
    let folder = folder("qa_truth");
    let [questions, plans, videos] = known(&folder, 30);
    let right = |rate: &str| {
        let server = Answerer::new(&python, &["--truth", &questions, "--error-rate", rate]);
        let value = evaluated(
            &folder,
            &[
                "--endpoint",
                &server.url,
                "--questions",
                &questions,
                "--features",
                &plans,
                "--videos",
                &videos,
                "--sampling",
                "uniform,matched",
                "--prompt",
                "plain",
            ],
        );
        accuracy(&value, "uniform", "plain")
    };
    assert_eq!(right("0"), 1.0);
    let half = right("0.5");
    assert!((0.25..0.75).contains(&half), "{half}");
}

/// What does not depend on when it was run.
fn lasting(mut value: Value) -> Value {
    for row in value["rows"].as_array_mut().unwrap() {
        row["server_s"] = Value::Null;
    }
    value["sent"] = Value::Null;
    value["server"] = Value::Null;
    value
}

#[test]
fn a_killed_evaluation_ends_as_if_it_had_not_been_and_pays_nothing_twice() {
    let Some(python) = python() else { return };
    let folder = folder("qa_killed");
    let [questions, plans, videos] = known(&folder, 12);
    let log = folder.join("log");
    let server = Answerer::new(
        &python,
        &[
            "--truth",
            &questions,
            "--error-rate",
            "0.3",
            "--delay-ms",
            "15",
            "--log",
            log.to_str().unwrap(),
        ],
    );
    let args = |calls: &'static str| {
        vec![
            "eval",
            "qa",
            "--quiet",
            "--json",
            "--model",
            "made",
            "--endpoint",
            &server.url,
            "--questions",
            &questions,
            "--features",
            &plans,
            "--videos",
            &videos,
            "--sampling",
            "uniform,matched,localizer",
            "--prompt",
            "plain,contrastive",
            "--localizer-calls",
            "6",
            "--calls",
            calls,
        ]
    };
    let logged = || -> Vec<String> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let whole = lasting(printed_json(&run(&folder, &args("whole"))));
    let calls = logged().len();
    assert_eq!(
        logged().iter().collect::<HashSet<_>>().len(),
        calls,
        "a whole run pays twice"
    );
    std::fs::remove_file(&log).unwrap();
    // Killed at moments that a seed chooses.
    let (mut state, mut kills) = (7_u32, 0);
    for _ in 0..20 {
        let stored = kept(&folder.join("killed"));
        let before = logged().len();
        let mut child = Command::new(env!("CARGO_BIN_EXE_earmark"))
            .args(args("killed"))
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Long enough to start, and for some calls.
        std::thread::sleep(Duration::from_millis(200 + u64::from(state >> 22)));
        child.kill().unwrap();
        kills += u64::from(!child.wait().unwrap().success());
        for hash in &logged()[before..] {
            assert!(!stored.contains(hash), "{hash} was kept and is asked again");
        }
    }
    let resumed = lasting(printed_json(&run(&folder, &args("killed"))));
    assert_eq!(resumed, whole);
    let all = logged();
    let distinct: HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), calls);
    // A call that was under way when the kill came has no answer to keep.
    assert!(
        (all.len() - distinct.len()) as u64 <= kills,
        "{} of {} calls were sent again by {kills} kills",
        all.len() - distinct.len(),
        all.len()
    );
}

/// The hashes of the answers in a folder of calls.
fn kept(folder: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    for inner in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in std::fs::read_dir(inner.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = file.file_name().into_string().unwrap();
            found.extend(name.strip_suffix(".json").map(str::to_owned));
        }
    }
    found
}

#[test]
fn published_layouts_are_asked_as_they_are() {
    let Some(python) = python() else { return };
    let folder = folder("qa_layouts");
    let [_, plans, videos] = known(&folder, 1);
    let truth = folder.join("truth.jsonl");
    let rows = [
        json!({ "question": "why did the glass ring", "answer": "it was hit", "options": ["it fell", "it was hit", "it broke", "wind", "no"] }),
        json!({ "question": "Is the glass louder than the beep?", "answer": "yes" }),
        json!({ "question": "Where did I put the glass?", "answer": "You put the glass on the shelf." }),
    ];
    std::fs::write(&truth, rows.map(|row| format!("{row}\n")).concat()).unwrap();
    let server = Answerer::new(&python, &["--truth", truth.to_str().unwrap()]);
    std::fs::write(
        folder.join("next.csv"),
        "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\na,1500,640,360,why did the glass ring,1,3,CW,it fell,it was hit,it broke,wind,no\nz,1500,640,360,what,0,4,CH,a,b,c,d,e\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("music.json"),
        r#"[{"video_id": "a", "question_id": 7, "type": "[\"Audio\", \"Comparative\"]", "question_content": "Is the <Object> louder than the <Object>?", "templ_values": "[\"glass\", \"beep\"]", "anser": "yes", "question_deleted": 0}]"#,
    )
    .unwrap();
    std::fs::write(
        folder.join("hme.json"),
        r#"[{"video_uid": "b", "memory_qa_pairs": [{"question": "Where did I put the glass?", "answer": "You put the glass on the shelf.", "start_time_sec": 5.0, "end_time_sec": 6.0}]}]"#,
    )
    .unwrap();
    std::fs::write(
        folder.join("star.json"),
        r#"[{"question_id": "Interaction_T1_1", "video_id": "a", "question": "why did the glass ring", "answer": "it was hit", "start": 5.0, "end": 6.0, "choices": [{"choice_id": 0, "choice": "it fell"}, {"choice_id": 1, "choice": "it was hit"}, {"choice_id": 2, "choice": "it broke"}, {"choice_id": 3, "choice": "wind"}, {"choice_id": 4, "choice": "no"}]}]"#,
    )
    .unwrap();
    std::fs::write(
        folder.join("avqa.json"),
        r#"[{"id": 4, "video_name": "a", "video_id": 9, "question_text": "why did the glass ring", "multi_choice": ["it fell", "it was hit", "it broke", "wind", "no"], "answer": 1, "question_relation": "Both", "question_type": "Why"}]"#,
    )
    .unwrap();
    std::fs::write(
        folder.join("ego.json"),
        r#"[{"q_uid": "a", "question": "why did the glass ring", "option 0": "it fell", "option 1": "it was hit", "option 2": "it broke", "option 3": "wind", "option 4": "no"}]"#,
    )
    .unwrap();
    std::fs::write(folder.join("subset_answers.json"), r#"{"a": 1}"#).unwrap();
    for (file, layout) in [
        ("next.csv", "nextqa"),
        ("star.json", "star"),
        ("avqa.json", "avqa"),
        ("ego.json", "egoschema"),
        ("music.json", "music-avqa"),
        ("hme.json", "hme-qa"),
    ] {
        let value = evaluated(
            &folder,
            &[
                "--endpoint",
                &server.url,
                "--questions",
                file,
                "--layout",
                layout,
                "--features",
                &plans,
                "--videos",
                &videos,
                "--sampling",
                "matched",
                "--prompt",
                "sound",
            ],
        );
        assert_eq!(
            (&value["questions"], accuracy(&value, "matched", "sound")),
            (&json!(1), 1.0),
            "{layout}: {value:#}"
        );
        let row = row(&value, "matched", "sound");
        let kinds: Vec<&String> = row["by_type"].as_object().unwrap().keys().collect();
        let (kind, in_label) = match layout {
            "nextqa" => ("CW", Value::Null),
            "star" => ("Interaction", json!(1.0)),
            "avqa" => ("Why Both", Value::Null),
            "music-avqa" => ("Audio Comparative", Value::Null),
            "hme-qa" => ("(none)", json!(1.0)),
            _ => ("(none)", Value::Null),
        };
        assert_eq!(
            (kinds, &row["evidence"]["in_label"]),
            (vec![&kind.to_owned()], &in_label),
            "{layout}"
        );
    }
    let none = run(
        &folder,
        &[
            "eval",
            "qa",
            "--questions",
            "hme.json",
            "--layout",
            "hme-qa",
            "--features",
            &videos,
            "--videos",
            &videos,
            "--endpoint",
            &server.url,
            "--model",
            "made",
        ],
    );
    assert!(
        said(&none).contains("no question can be asked"),
        "{}",
        said(&none)
    );
    let twice = run(
        &folder,
        &[
            "eval",
            "qa",
            "--questions",
            "hme.json",
            "--features",
            &plans,
            "--videos",
            &videos,
            "--sampling",
            "uniform,uniform",
        ],
    );
    assert_eq!(twice.status.code(), Some(2));
    assert!(said(&twice).contains("asked for twice"), "{}", said(&twice));
}
