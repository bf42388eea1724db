//! Servers as they are: without log probabilities, with few images, slow, broken, busy.

use super::*;

/// A file of one question, for a server that knows the answer.
fn truth(folder: &Path) -> String {
    let file = folder.join("truth.jsonl");
    let row = json!({ "question": "What stood there when the glass rang?", "answer": "two glasses", "options": ["two glasses", "a pan"] });
    std::fs::write(&file, format!("{row}\n")).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What is asked of each server.
fn answer(name: &str, server: &[&str], more: &[&str]) -> Option<Output> {
    let python = python()?;
    let folder = folder(name);
    let truth = truth(&folder);
    let server = Answerer::new(&python, &[&["--truth", &truth], server].concat());
    let args = [
        &[
            "--options",
            "two glasses,a pan",
            "--retry-wait-ms",
            "1",
            "--json",
        ],
        more,
    ]
    .concat();
    Some(ask(&folder, &server.url, &args))
}

#[test]
fn log_probabilities_give_the_confidence() {
    let Some(output) = answer("ask_logprobs", &[], &[]) else {
        return;
    };
    let value = printed_json(&output);
    assert_eq!(
        (&value["answer"], &value["option"]),
        (&json!("two glasses"), &json!("A"))
    );
    assert_eq!(value["confidence_is"], "log probabilities");
    assert!(
        (value["confidence"].as_f64().unwrap() - 0.8).abs() < 1e-6,
        "{value:#}"
    );
    assert_eq!(
        value["server"]["abilities"],
        json!({ "logprobs": true, "structured": true, "images": 4 })
    );
    assert_eq!(value["cited"], json!([1]));
}

#[test]
fn without_log_probabilities_samples_give_the_confidence() {
    for awkward in ["--no-logprobs", "--refuse-logprobs"] {
        let Some(output) = answer(
            "ask_samples",
            &[awkward, "--no-structured"],
            &["--samples", "3"],
        ) else {
            return;
        };
        let value = printed_json(&output);
        assert_eq!(
            (&value["answer"], &value["confidence"]),
            (&json!("two glasses"), &json!(1.0))
        );
        assert_eq!(value["confidence_is"], "share of samples");
        assert_eq!(
            value["server"]["abilities"],
            json!({ "logprobs": false, "structured": false, "images": 4 })
        );
    }
}

#[test]
fn few_images_are_shown_to_a_server_that_takes_few() {
    let Some(output) = answer("ask_images", &["--max-images", "3"], &[]) else {
        return;
    };
    let value = printed_json(&output);
    assert_eq!(value["frames"].as_array().unwrap().len(), 3);
    assert_eq!(value["tokens"], 3 * 784);
    assert!(
        value["notes"][0]
            .as_str()
            .unwrap()
            .contains("3 of 4 frames"),
        "{value:#}"
    );
    let Some(output) = answer("ask_no_images", &["--max-images", "0"], &[]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("does the model take images?"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_passes_is_waited_for() {
    for awkward in ["--broken-every", "--status-429-every", "--status-500-every"] {
        let Some(output) = answer("ask_passing", &[awkward, "2"], &[]) else {
            return;
        };
        let value = printed_json(&output);
        assert_eq!(value["answer"], "two glasses", "{awkward}");
        assert!(
            value["calls"]["repeated"].as_u64().unwrap() >= 2,
            "{awkward}: {value:#}"
        );
    }
    let Some(output) = answer(
        "ask_stalled",
        &["--stall-every", "3"],
        &["--timeout-s", "1"],
    ) else {
        return;
    };
    assert!(printed_json(&output)["calls"]["repeated"].as_u64().unwrap() >= 1);
}

#[test]
fn what_does_not_pass_ends_it() {
    for (awkward, word) in [
        (&["--status-500-every", "1"][..], "says 500: out of order"),
        (
            &["--broken-every", "1"],
            "not a chat completion, 3 times in a row",
        ),
        (&["--stall-every", "1"], "did not answer within 1 s"),
        (&["--key", "secret"], "401"),
    ] {
        let more = ["--retries", "2", "--timeout-s", "1"];
        let Some(output) = answer("ask_ended", awkward, &more) else {
            return;
        };
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(
            said(&output).contains(word),
            "{awkward:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn the_key_reaches_the_server_and_nothing_else() {
    let Some(python) = python() else { return };
    let folder = folder("ask_key");
    let truth = truth(&folder);
    let server = Answerer::new(&python, &["--truth", &truth, "--key", "s3cr3t-of-mine"]);
    std::fs::write(
        folder.join("model.yaml"),
        format!(
            "model:\n  endpoint: {}\n  name: made\n  key_env: MY_KEY\n  extra: {{ top_k: 1 }}\n",
            server.url
        ),
    )
    .unwrap();
    let plan = plan(&folder, "kitchen");
    let output = Command::new(env!("CARGO_BIN_EXE_earmark"))
        .args([
            "ask",
            plan.to_str().unwrap(),
            "--video",
            kitchen().to_str().unwrap(),
            "--question",
            "What stood there when the glass rang?",
        ])
        .args([
            "--options",
            "two glasses,a pan",
            "--model-file",
            "model.yaml",
            "--json",
        ])
        .env("MY_KEY", "s3cr3t-of-mine")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(printed_json(&output)["answer"], "two glasses");
    assert!(!said(&output).contains("s3cr3t"));
    let kept = Command::new("grep")
        .args(["-r", "s3cr3t", "."])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(kept.stdout).unwrap(), "");
}
