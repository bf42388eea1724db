//! Strategies with models of their own: a text encoder, a dual encoder, and a localizer head that learns from a server that errs.

use std::ffi::OsStr;

use anchoring::plan::{Entry, Reason};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gstearmark::h5::{Closing, Opening, Precision, Row, Writer};

use super::eval::{accuracy, evaluated, row};
use super::*;
use crate::feature_files::{anchor, encoder};
use crate::recordings::{ffmpeg, has_ffmpeg};

/// What the recording shows, one after the other, each for three seconds; grey before and after.
const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
];

/// When a colour is first shown, ms.
fn shown(colour: usize) -> i64 {
    3_000 + 6_000 * colour as i64
}

/// Recordings that show colours, feature files that hold them, and questions: the folder of features, of videos, and the files for training, for
/// the test (two recordings more), and of the truth. Sounds begin with the colours; `label` says what the tagger calls them.
fn coloured(folder: &Path, train: usize, label: fn(&str) -> String) -> Option<[String; 5]> {
    if !has_ffmpeg() {
        return None;
    }
    let (features, videos) = (folder.join("features"), folder.join("videos"));
    std::fs::create_dir_all(&features).unwrap();
    std::fs::create_dir_all(&videos).unwrap();
    let boxes: Vec<String> = COLOURS
        .iter()
        .enumerate()
        .map(|(at, (_, [r, g, b]))| {
            let from = shown(at) as f64 / 1e3;
            format!(
                "drawbox=c=0x{r:02x}{g:02x}{b:02x}:t=fill:enable='between(t,{from},{})'",
                from + 2.9
            )
        })
        .collect();
    let boxes = boxes.join(",");
    let options = "-f lavfi -i color=c=gray:s=64x64:r=5:d=42 -c:v libx264 -pix_fmt yuv444p -g 15 -threads 1 -vf";
    let args = options.split(' ').chain([&*boxes]).map(OsStr::new);
    ffmpeg(args.chain([videos.join("r0.mp4").as_os_str()]));
    let (mut lines, mut truth) = ([String::new(), String::new()], String::new());
    for recording in 0..train + 2 {
        let name = format!("r{recording}");
        if recording > 0 {
            std::os::unix::fs::symlink(videos.join("r0.mp4"), videos.join(format!("{name}.mp4")))
                .unwrap();
        }
        write_features(&features.join(format!("{name}.h5")), &name, label);
        for (at, (colour, rgb)) in COLOURS.iter().enumerate() {
            let question = format!("Which card was {colour} in {name}?");
            let answer = format!("card {at}");
            let own = json!({ "video": name, "question": question, "answer": answer });
            lines[usize::from(recording >= train)].push_str(&format!("{own}\n"));
            let known = json!({ "question": question, "answer": answer, "shown": rgb });
            truth.push_str(&format!("{known}\n"));
        }
    }
    let [train, test] = lines;
    let all = [("train", train), ("test", test), ("truth", truth)].map(|(name, text)| {
        let file = folder.join(format!("{name}.jsonl"));
        std::fs::write(&file, text).unwrap();
        file
    });
    let [train, test, truth] = all;
    Some([features, videos, train, test, truth].map(|path| path.to_str().unwrap().to_owned()))
}

fn write_features(file: &Path, name: &str, label: fn(&str) -> String) {
    let opening = Opening {
        dim: 4,
        precision: Precision::F32,
        input_uri: "file:///a.mp4".into(),
        streams: "[]".into(),
        models: vec![encoder(&"a".repeat(64))],
        ..Opening::default()
    };
    let mut writer = Writer::create(file, true, &opening).unwrap();
    let mut frames: Vec<(i64, Option<u32>, [u8; 3])> = Vec::new();
    for (at, (colour, rgb)) in COLOURS.iter().enumerate() {
        let id = at as u32;
        let mut sound = anchor(id, Nanos::from_ms(shown(at)), 200, 2_800);
        sound.label = label(colour);
        sound.score = 0.9 - 0.01 * at as f32;
        writer.anchor(&sound).unwrap();
        frames.push((shown(at) + 400, Some(id), *rgb));
        frames.push((shown(at) + 4_500, None, [128; 3]));
    }
    for (ms, id, rgb) in frames {
        let features = rgb.map(|x| f32::from(x) / 255.0);
        let row = Row {
            pts: Nanos::from_ms(ms),
            entry: Entry {
                planned: Nanos::from_ms(ms),
                asked: None,
                tier: Tier::High,
                tokens: 784,
                reason: if id.is_some() {
                    Reason::Anchor
                } else {
                    Reason::Background
                },
                anchor: id,
            },
            features: [&features[..], &[1.0]].concat(),
            thumbnail: Vec::new(),
            quality: Default::default(),
            clip: None,
        };
        writer.frame(&row).unwrap();
    }
    let closing = Closing {
        video_id: name.into(),
        duration: Nanos::from_ms(42_000),
        config: "{}".into(),
        budget_tokens: 784 * 12,
        ..Closing::default()
    };
    writer.finish(&closing).unwrap();
}

/// Fits a head with a server that errs in a tenth of cases, and evaluates it with one that does not.
fn fitted(name: &str, train: usize, label: fn(&str) -> String) -> Option<(Value, Value)> {
    let python = python().filter(|_| crate::recordings::is_learning_there())?;
    let folder = folder(name);
    let [features, videos, learn, test, truth] = coloured(&folder, train, label)?;
    let place = [
        "--features",
        &features,
        "--videos",
        &videos,
        "--model",
        "made",
    ];
    let erring = Answerer::new(&python, &["--truth", &truth, "--error-rate", "0.1"]);
    let fit = [
        &[
            "fit-localizer",
            "--quiet",
            "--json",
            "--questions",
            &learn,
            "--endpoint",
            &erring.url,
        ][..],
        &place,
        &[
            "--localizer-calls",
            "10",
            "--tier",
            "low",
            "--output",
            "head.safetensors",
        ],
    ];
    let card = printed_json(&run(&folder, &fit.concat()));
    let right = Answerer::new(&python, &["--truth", &truth]);
    let head = [
        "--localizer-head",
        "head.safetensors",
        "--sampling",
        "matched,localizer-head",
    ];
    let more = [
        &["--questions", &test, "--endpoint", &right.url][..],
        &place[..4],
        &head,
        &[
            "--prompt",
            "plain",
            "--tokens",
            "784",
            "--answers",
            "answers.jsonl",
        ],
    ];
    let value = evaluated(&folder, &more.concat());
    for row in value["rows"].as_array().unwrap() {
        assert_eq!(
            (&row["tokens"], &row["calls"], &row["localizer"]["calls"]),
            (&json!(12 * 784), &json!(12), &json!(0)),
            "{row}"
        );
    }
    let file = std::fs::read_to_string(folder.join("head.json")).unwrap();
    let beside: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(beside["helps"], card["helps"]);
    Some((card, value))
}

#[test]
fn a_head_learns_from_a_server_that_errs_what_labels_do_not_say() {
    let Some((card, value)) = fitted("ask_head", 8, |_| "Thump, thud".into()) else {
        return;
    };
    assert_eq!(
        (&card["helps"], &card["question"]),
        (&json!(true), &json!(64)),
        "{card:#}"
    );
    let (head, matched) = (
        accuracy(&value, "localizer-head", "plain"),
        accuracy(&value, "matched", "plain"),
    );
    assert!(
        head >= matched + 0.3,
        "head {head}, matched {matched}, {card:#}"
    );
    // The head is for these features, and for questions as words.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ask_head");
    let ask = |more: &[&str]| {
        let question = [
            "--question",
            "Which card was red?",
            "--dry-run",
            "--sampling",
            "localizer-head",
        ];
        run(&folder, &[&["ask"], more, &question].concat())
    };
    let (file, video) = ("features/r0.h5", "videos/r0.mp4");
    let output = ask(&[
        file,
        "--video",
        video,
        "--localizer-head",
        "head.safetensors",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let output = ask(&[file, "--video", video]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("earmark fit-localizer"),
        "{}",
        said(&output)
    );
    plan(&folder, "r0");
    let output = ask(&[
        "r0.jsonl",
        "--video",
        video,
        "--localizer-head",
        "head.safetensors",
    ]);
    assert!(
        said(&output).contains("holds no features"),
        "{}",
        said(&output)
    );
    let output = ask(&[file, "--video", video, "--localizer-head", "test.jsonl"]);
    assert!(
        said(&output).contains("no localizer head"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_head_that_does_not_help_says_so_and_makes_nothing_worse() {
    let Some((card, value)) = fitted("ask_no_head", 4, |colour| format!("{colour} bell")) else {
        return;
    };
    assert_eq!(card["helps"], false, "{card:#}");
    let (head, matched) = (
        accuracy(&value, "localizer-head", "plain"),
        accuracy(&value, "matched", "plain"),
    );
    assert_eq!((head, matched), (1.0, 1.0));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ask_no_head");
    let answers = std::fs::read_to_string(folder.join("answers.jsonl")).unwrap();
    assert!(
        answers.contains("no better than matched, by its own card"),
        "{answers}"
    );
}

/// Manifests of the tiny models: a text encoder of five numbers, both halves of a dual encoder of three.
fn manifests(python: &Path, folder: &Path) -> Option<[String; 3]> {
    if !root().join("models/built/libonnxruntime.so").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return None;
    }
    let made = Command::new(python)
        .arg(root().join("tests/make_models.py"))
        .arg(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let tokenizer = ["--tokenizer", "tokenizer.json"];
    let all: [(&str, &[&str]); 3] = [
        ("minilm", &tokenizer),
        ("clip-text", &tokenizer),
        ("colours", &["--mean", "0.5", "--std", "0.5"]),
    ];
    Some(all.map(|(name, more)| {
        let file = format!("{name}.onnx");
        let value = printed_json(&run(
            folder,
            &[&["models", "add", &file, "--json"], more].concat(),
        ));
        folder
            .join(value["manifest"].as_str().unwrap())
            .to_str()
            .unwrap()
            .to_owned()
    }))
}

#[test]
fn labels_are_matched_by_meaning_and_frames_by_their_look() {
    let Some(python) = python() else { return };
    let folder = folder("ask_meaning");
    let Some([text, clip_text, colours]) = manifests(&python, &folder) else {
        return;
    };
    let Some([features, videos, _, test, truth]) = coloured(&folder, 0, |_| "Thump, thud".into())
    else {
        return;
    };
    // "Woof" is like "dog" to the model, though it is another word: the glass is more probable by sound.
    let labels = ["Glass", "Dog"];
    let plan = plan(&folder, "kitchen");
    let changed = std::fs::read_to_string(&plan)
        .unwrap()
        .replace("Beep, bleep", labels[1]);
    std::fs::write(&plan, changed).unwrap();
    let video = kitchen();
    let ask = |more: &[&str]| {
        let args = [
            "ask",
            plan.to_str().unwrap(),
            "--video",
            video.to_str().unwrap(),
            "--question",
            "What made the woof?",
            "--dry-run",
            "--json",
        ];
        run(&folder, &[&args, more].concat())
    };
    let times = |output: &Output| -> Vec<i64> {
        let parts = printed_json(output)["calls"][0]["parts"].clone();
        let parts = parts.as_array().unwrap().clone();
        parts
            .iter()
            .filter_map(|part| part["at_ns"].as_i64())
            .collect()
    };
    let near = |times: &[i64]| {
        times
            .iter()
            .filter(|at| (25_000_000_000..26_000_000_000).contains(*at))
            .count()
    };
    assert!(near(&times(&ask(&["--tokens", "1568"]))) < 2);
    let by_meaning = ask(&["--tokens", "1568", "--text-encoder", &text]);
    assert_eq!(near(&times(&by_meaning)), 2, "{}", said(&by_meaning));
    // A dual encoder finds what is red without any label.
    let server = Answerer::new(&python, &["--truth", &truth]);
    let dual = format!("{colours},{clip_text}");
    let value = evaluated(
        &folder,
        &[
            "--endpoint",
            &server.url,
            "--questions",
            &test,
            "--limit",
            "3",
            "--features",
            &features,
            "--videos",
            &videos,
            "--prompt",
            "plain",
            "--tokens",
            "784",
            "--sampling",
            "uniform,image-text",
            "--dual-encoder",
            &dual,
        ],
    );
    assert_eq!(accuracy(&value, "image-text", "plain"), 1.0, "{value:#}");
    assert_eq!(
        row(&value, "image-text", "plain")["tokens"],
        row(&value, "uniform", "plain")["tokens"]
    );
    assert!(accuracy(&value, "uniform", "plain") < 1.0);
    for (given, word) in [
        (&[][..], "--dual-encoder"),
        (&["--dual-encoder", &colours], "must name two"),
        (
            &["--dual-encoder", &format!("{colours},{text}")],
            "halves of one model",
        ),
        (
            &["--dual-encoder", &format!("{text},{text}")],
            "must be of kind",
        ),
    ] {
        let output = ask(&[&["--sampling", "image-text"], given].concat());
        assert!(!output.status.success());
        assert!(said(&output).contains(word), "`{word}`: {}", said(&output));
    }
}
