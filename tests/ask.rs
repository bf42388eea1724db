//! Questions about recordings: asked, answered by servers that the tests make, evaluated, killed and resumed.

mod eval;
mod learned;
mod servers;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::recordings::{folder, python, root, said};

/// A server of `answerer.py`; it ends with the test.
struct Answerer {
    child: Child,
    url: String,
}

impl Answerer {
    fn new(python: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(python)
            .arg(root().join("tests/answerer.py"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line
            .trim()
            .strip_prefix("listening ")
            .unwrap()
            .parse()
            .unwrap();
        Self {
            child,
            url: format!("http://127.0.0.1:{port}/v1"),
        }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python, if tesseract is there, too.
fn reading_python() -> Option<PathBuf> {
    let there = Command::new("tesseract").arg("--version").output().is_ok();
    if !there {
        eprintln!("skipped: tesseract is missing; `scripts/setup.sh tests` installs it");
    }
    python().filter(|_| there)
}

/// Two recordings with print in them, their plans and questions: made once.
fn printed(python: &Path) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("printed");
    let script = root().join("tests/printed.py");
    let done = folder.join("done");
    let is_fresh =
        || Some(done.metadata().ok()?.modified().ok()? > script.metadata().ok()?.modified().ok()?);
    if is_fresh() == Some(true) {
        return folder;
    }
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("plans")).unwrap();
    let output = Command::new(python)
        .arg(script)
        .arg(&folder)
        .args(["--recordings", "2", "--seconds", "75", "--seed", "3"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for name in ["r00", "r01"] {
        let output = crate::recordings::earmark([
            "plan".into(),
            root().join("pipelines/gated.yaml"),
            "--input".into(),
            folder.join(format!("videos/{name}.mp4")),
            "--output".into(),
            folder.join(format!("plans/{name}.jsonl")),
        ]);
        assert!(output.status.success(), "{}", said(&output));
    }
    std::fs::write(done, "").unwrap();
    folder
}

/// A made-up plan of the shipped recording: glass at 5.1 s, a beep at 25.2 s.
pub(crate) fn plan(folder: &Path, name: &str) -> PathBuf {
    let anchor = |id: u32, ms: i64, label: &str| {
        json!({
            "kind": "anchor", "id": id, "onset_ns": ms * 1_000_000, "start_ns": (ms - 200) * 1_000_000, "stop_ns": (ms + 600) * 1_000_000,
            "score": 0.9, "uncertainty": 0.1, "label": label, "class_id": 1,
        })
    };
    let lines = [
        json!({ "kind": "plan", "schema": "earmark-plan/2", "video_id": name, "duration_ns": 60_000_000_000_i64, "budget_tokens": 0, "spent_tokens": 0, "config": {} }),
        anchor(0, 5_100, "Glass"),
        anchor(1, 25_200, "Beep, bleep"),
    ];
    let file = folder.join(format!("{name}.jsonl"));
    std::fs::write(&file, lines.map(|line| format!("{line}\n")).concat()).unwrap();
    file
}

fn kitchen() -> PathBuf {
    root().join("fixtures/kitchen.mp4")
}

/// Runs `earmark` in a folder.
fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "300", env!("CARGO_BIN_EXE_earmark")])
        .args(args)
        .env_remove("EARMARK_API_KEY")
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The JSON that a command prints; it must succeed.
#[track_caller]
fn printed_json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `earmark ask` about the made-up plan, with further arguments.
fn ask(folder: &Path, url: &str, more: &[&str]) -> Output {
    let plan = plan(folder, "kitchen");
    let video = kitchen();
    let mut args = vec![
        "ask",
        plan.to_str().unwrap(),
        "--video",
        video.to_str().unwrap(),
        "--question",
        "What stood there when the glass rang?",
    ];
    if !url.is_empty() {
        args.extend(["--endpoint", url, "--model", "made"]);
    }
    args.extend(more);
    run(folder, &args)
}

#[test]
fn a_dry_run_prints_every_call_and_sends_nothing() {
    let folder = folder("ask_dry");
    // Nobody listens there: a call would fail.
    let output = ask(
        &folder,
        "http://127.0.0.1:1/v1",
        &["--dry-run", "--options", "two glasses,a pan"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    for part in [
        "something like \"Glass\" begins at 5.1 s",
        "Option A: two glasses",
        "high, 784 tokens",
        "Nothing was sent",
        "call 1 of 1",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
    assert!(!folder.join("earmark-calls").exists());
    let value = printed_json(&ask(
        &folder,
        "",
        &["--dry-run", "--json", "--prompt", "contrastive"],
    ));
    let calls = value["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    let frames: Vec<_> = calls[0]["parts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|part| part.get("frame").is_some())
        .collect();
    assert_eq!(frames.len(), 4);
    assert_eq!(
        frames.iter().filter(|frame| frame["far"] == true).count(),
        1
    );
    let localizer = printed_json(&ask(
        &folder,
        "",
        &["--dry-run", "--json", "--sampling", "localizer"],
    ));
    assert_eq!(localizer["calls"].as_array().unwrap().len(), 32);
}

#[test]
fn impossible_questions_are_refused() {
    let folder = folder("ask_refused");
    for (more, status, word) in [
        (&[][..], 2, "--endpoint"),
        (&["--dry-run", "--options", "one"], 2, "2 to 26"),
        (&["--dry-run", "--options", "one,,two"], 2, "comma too many"),
        (&["--dry-run", "--prompt", "nothing"], 2, "--print"),
        (&["--dry-run", "--tokens", "5"], 2, "0 frames"),
        (&["--dry-run", "--sounds", "nothing.txt"], 1, "nothing.txt"),
        (
            &["--endpoint", "127.0.0.1", "--model", "x"],
            2,
            "not an address",
        ),
        (&["--endpoint", "http://127.0.0.1:1/v1"], 2, "--model"),
        (
            &[
                "--endpoint",
                "http://127.0.0.1:1/v1",
                "--model",
                "x",
                "--key-env",
                "NO_SUCH_KEY",
            ],
            2,
            "NO_SUCH_KEY",
        ),
        (
            &[
                "--endpoint",
                "http://127.0.0.1:1/v1",
                "--model",
                "x",
                "--retries",
                "0",
            ],
            1,
            "is the server running",
        ),
    ] {
        let output = ask(&folder, "", more);
        assert_eq!(
            output.status.code(),
            Some(status),
            "{more:?}: {}",
            said(&output)
        );
        assert!(said(&output).contains(word), "{more:?}: {}", said(&output));
    }
    let missing = run(
        &folder,
        &[
            "ask",
            "kitchen.jsonl",
            "--video",
            ".",
            "--question",
            "x",
            "--dry-run",
        ],
    );
    assert!(
        said(&missing).contains("no recording kitchen"),
        "{}",
        said(&missing)
    );
}

#[test]
fn templates_are_printed_to_be_changed() {
    let folder = folder("ask_templates");
    let output = run(&folder, &["ask", "--print", "sound"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    std::fs::write(
        folder.join("mine.txt"),
        text.replace("Question:", "My question:"),
    )
    .unwrap();
    let output = ask(&folder, "", &["--dry-run", "--prompt", "mine.txt"]);
    assert!(
        said(&output).contains("My question: What stood"),
        "{}",
        said(&output)
    );
    let sounds = run(&folder, &["ask", "--print", "sounds"]);
    assert!(said(&sounds).contains("Water tap, faucet |"));
}

#[test]
fn an_answer_comes_with_its_evidence_and_a_page() {
    let Some(python) = reading_python() else {
        return;
    };
    let set = printed(&python);
    let server = Answerer::new(&python, &[]);
    let folder = folder("ask_answer");
    let questions = std::fs::read_to_string(set.join("questions.jsonl")).unwrap();
    // A car's horn is heard once, and the tagger knows it.
    let row: Value = questions
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|row: &Value| row["id"] == "r00_horn")
        .unwrap();
    let (plan, video) = (set.join("plans/r00.jsonl"), set.join("videos/r00.mp4"));
    let args = [
        "ask",
        plan.to_str().unwrap(),
        "--video",
        video.to_str().unwrap(),
        "--question",
        row["question"].as_str().unwrap(),
        "--endpoint",
        &server.url,
        "--model",
        "made",
    ];
    let value = printed_json(&run(
        &folder,
        &[&args[..], &["--json", "--page", "answer.html"]].concat(),
    ));
    assert_eq!(value["answer"], row["answer"], "{value:#}");
    assert_eq!(value["tokens"], 3136);
    let evidence = &value["evidence"][0];
    let (start, stop) = (
        evidence["start_ns"].as_i64().unwrap(),
        evidence["stop_ns"].as_i64().unwrap(),
    );
    let onset = (row["start_s"].as_f64().unwrap() * 1e9) as i64;
    assert!(start <= onset && onset <= stop, "{evidence} {row}");
    assert_eq!(value["evidence"][0]["recording"], "r00");
    assert!(
        value["server_tokens"]["prompt"].as_u64().unwrap() > 400,
        "{value:#}"
    );
    let page = std::fs::read_to_string(folder.join("answer.html")).unwrap();
    for part in [
        "data:image/jpeg;base64,",
        "r00.mp4",
        "data-start=\"",
        row["answer"].as_str().unwrap(),
    ] {
        assert!(page.contains(part), "`{part}` is not in the page");
    }
    assert!(!page.contains("src=\"http"), "the page fetches something");
    // The second time, nothing is paid.
    let again = printed_json(&run(&folder, &[&args[..], &["--json"]].concat()));
    assert_eq!(
        (&again["answer"], &again["calls"]["sent"]),
        (&row["answer"], &json!(0))
    );
    // The same moment at 112 px cannot be read.
    let low = printed_json(&run(
        &folder,
        &[&args[..], &["--json", "--tier", "low"]].concat(),
    ));
    assert_ne!(low["answer"], row["answer"]);
    // In a folder, the answer says which recording, and when.
    let (plans, videos) = (set.join("plans"), set.join("videos"));
    let both = [
        "ask",
        plans.to_str().unwrap(),
        "--video",
        videos.to_str().unwrap(),
        "--question",
        row["question"].as_str().unwrap(),
        "--endpoint",
        &server.url,
        "--model",
        "made",
    ];
    let output = run(&folder, &both);
    assert!(output.status.success(), "{}", said(&output));
    let text = said(&output);
    assert!(
        text.contains("evidence   r0")
            && text.contains("server     4 images a call, log probabilities, structured output"),
        "{text}"
    );
}
