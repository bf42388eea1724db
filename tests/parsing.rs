//! `earmark parse` from end to end: the shipped experiments, made small, on files in the published layouts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::recordings::{folder, python, root, said};

/// What makes a paper's network small.
const SMALL: [&str; 14] = [
    "temporal.encoder.hidden=8",
    "temporal.encoder.layers=1",
    "temporal.encoder.heads=2",
    "temporal.encoder.feed_forward=8",
    "temporal.training.epochs=2",
    "temporal.training.warm_up=0",
    "parser.encoder.hidden=8",
    "parser.encoder.layers=2",
    "parser.encoder.heads=2",
    "parser.encoder.feed_forward=8",
    "parser.input_audio=8",
    "training.epochs=2",
    "training.warm_up=0",
    "training.lr=0.01",
];

/// Runs `earmark`; what takes longer than two minutes has hung.
fn earmark(args: &[&str]) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", "120", env!("CARGO_BIN_EXE_earmark")])
        .args(args)
        .output()
        .unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = earmark(&[args, &["--json", "--quiet"]].concat());
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = earmark(args);
    assert!(!output.status.success(), "{args:?}: {}", said(&output));
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The sets; `None` without Python, or without what trains.
fn sets(name: &str) -> Option<PathBuf> {
    let python = python()?;
    if !earmark(&["learn", "--version"]).status.success() {
        eprintln!("skipped: earmark-learning is not built (`make learning`)");
        return None;
    }
    let at = folder(name);
    let made = Command::new(python)
        .arg(root().join("tests/parsing_set.py"))
        .arg(&at)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    Some(at)
}

/// Trains a shipped experiment, or a file, at a size that takes seconds.
fn train<'a>(
    experiment: &'a str,
    data: &'a Path,
    dense: Option<&'a Path>,
    out: &'a Path,
) -> Vec<&'a str> {
    let mut args = vec![
        "parse",
        "train",
        experiment,
        "--data",
        text(data),
        "--output",
        text(out),
    ];
    if let Some(dense) = dense {
        args.extend(["--dense", text(dense)]);
    }
    for change in SMALL {
        args.extend(["--set", change]);
    }
    args
}

#[test]
fn each_paper_has_one_command_from_published_files_to_its_table() {
    let Some(at) = sets("parsing-papers") else {
        return;
    };
    let (llp, unav) = (at.join("llp"), at.join("unav"));
    for (experiment, dense, rows) in [
        ("uwav-llp", Some(unav.as_path()), 10),
        ("link-llp", None, 6),
    ] {
        let out = at.join(experiment);
        let args = train(experiment, &llp, dense, &out);
        let trained = json(&args);
        assert_eq!(
            (&trained["ok"], &trained["epochs"]),
            (&true.into(), &2.into())
        );
        let weights = std::fs::read(out.join("parser.safetensors")).unwrap();
        // What is there is not made again; without it, the same seed gives the same bytes.
        let model = out.join("parser.safetensors");
        let before = model.metadata().unwrap().modified().unwrap();
        json(&args);
        assert_eq!(model.metadata().unwrap().modified().unwrap(), before);
        std::fs::remove_file(&model).unwrap();
        json(&args);
        assert_eq!(std::fs::read(&model).unwrap(), weights);

        let scored = json(&["parse", "eval", text(&out)]);
        assert_eq!(scored["avvp"]["videos"], 3);
        let beside = scored["paper"]["figures"].as_object().unwrap();
        assert_eq!(beside.len(), rows);
        for (name, row) in beside {
            assert_eq!(row["ours"], scored["avvp"]["metrics"][name], "{name}");
            assert!(row["paper"].as_f64().unwrap() > 50.0);
        }
        assert!(!scored["paper"]["differs"].as_array().unwrap().is_empty());

        // What was predicted is what the scorer of published predictions takes.
        let npz = at.join(format!("{experiment}.npz"));
        let predicted = json(&["parse", "predict", text(&out), "--output", text(&npz)]);
        assert_eq!(predicted["videos"], 3);
        let again = json(&[
            "eval",
            "parsing",
            "--predictions",
            text(&npz),
            "--labels",
            text(&llp),
        ]);
        assert_eq!(again["metrics"], scored["avvp"]["metrics"]);
        let list: Value =
            serde_json::from_slice(&std::fs::read(npz.with_extension("json")).unwrap()).unwrap();
        let events = list["results"].as_object().unwrap().values();
        let count: usize = events.map(|of| of.as_array().unwrap().len()).sum();
        assert_eq!(predicted["events"], count);
    }
}

#[test]
fn ave_is_read_from_folders_and_from_its_own_files() {
    let Some(at) = sets("parsing-ave") else {
        return;
    };
    let (ave, unav) = (at.join("ave"), at.join("unav"));
    let out = at.join("uwav-ave");
    json(&train("uwav-ave", &ave, Some(&unav), &out));
    let scored = json(&["parse", "eval", text(&out)]);
    assert_eq!(
        (&scored["ave"]["videos"], &scored["ave"]["segments"]),
        (&2.into(), &20.into())
    );
    let beside = &scored["paper"]["figures"]["accuracy"];
    assert_eq!(
        (beside["paper"].as_f64(), &beside["ours"]),
        (Some(80.6), &scored["ave"]["accuracy"])
    );

    let own = at.join("own.yaml");
    std::fs::write(
        &own,
        "title: AVE's own files, weak labels alone\nlabels: ave\nseconds: 10\nfeatures: { audio: ['audio_feature.h5:avadataset'], visual: ['visual_feature.h5:avadataset'] }\n",
    )
    .unwrap();
    let out = at.join("own");
    json(&train(text(&own), &ave, None, &out));
    let scored = json(&["parse", "eval", text(&out)]);
    assert_eq!(scored["ave"]["segments"], 20);
    assert_eq!(scored["paper"], Value::Null);

    // The means over 7 x 7 places, row by row of the file, whichever rows the splits have.
    let Some(python) = python() else { return };
    let check = "import glob, h5py, json, numpy as np, sys\n\
        d = sys.argv[1]; b = open(glob.glob(d + '/own/cache/data-*')[0], 'rb').read(); n = int.from_bytes(b[:8], 'little')\n\
        h = json.loads(b[8:8+n]); get = lambda k: np.frombuffer(b[8+n+h[k]['data_offsets'][0]:8+n+h[k]['data_offsets'][1]], '<f4').reshape(h[k]['shape'])\n\
        rows = list(range(11)); f = h5py.File(d + '/ave/visual_feature.h5')['avadataset'][:][rows].mean((2, 3))\n\
        assert get('visual').shape == (11, 10, 32) and np.allclose(get('visual'), f, atol=1e-5)\n\
        assert np.array_equal(get('audio'), h5py.File(d + '/ave/audio_feature.h5')['avadataset'][:][rows])";
    let checked = Command::new(python)
        .args(["-c", check, text(&at)])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn misfits_are_reported_by_name() {
    let Some(at) = sets("parsing-refused") else {
        return;
    };
    let (llp, unav) = (at.join("llp"), at.join("unav"));
    let out = at.join("out");
    let refuses = |args: &[&str], wanted: &str| {
        let said = refused(args);
        assert!(said.contains(wanted), "{args:?}: {said}");
    };
    refuses(
        &train("uwav", &llp, None, &out),
        "there are uwav-llp, uwav-ave, link-llp, kitchenmix",
    );
    refuses(&train("uwav-llp", &llp, None, &out), "--dense");
    let typo = [
        train("link-llp", &llp, None, &out),
        vec!["--set", "losses.mixpu=none"],
    ]
    .concat();
    refuses(&typo, "unknown field `mixpu`");
    refuses(
        &["parse", "eval", text(&out.join("nothing"))],
        "not a trained parser",
    );

    json(&train("link-llp", &llp, None, &out));
    let other = [train("link-llp", &llp, None, &out), vec!["--seed", "9"]].concat();
    refuses(&other, "choose another folder");

    std::fs::remove_file(llp.join("feats_CLAP/video-00003.npy")).unwrap();
    refuses(
        &train("link-llp", &llp, None, &at.join("missing")),
        "video-00003",
    );
    let wrong = std::fs::read(llp.join("feats/res152/video-00001_1_11.npy")).unwrap();
    std::fs::write(
        llp.join("feats/vggish/video-00001_1_11.npy"),
        &wrong[..wrong.len() - 8],
    )
    .unwrap();
    refuses(
        &train("uwav-llp", &llp, Some(&unav), &at.join("cut")),
        "video-00001_1_11.npy should have",
    );
}

/// The shipped recording: its features in LLP's layout, a parser trained on them, and what it says as a table of the feature file.
#[test]
fn a_recording_of_ones_own_is_parsed_beside_its_anchors() {
    if sets("parsing-own-sets").is_none() {
        return;
    }
    if !root().join("models/built/yamnet.onnx").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return;
    }
    let at = folder("parsing-own");
    let (recording, file) = (root().join("fixtures/kitchen.mp4"), at.join("kitchen.h5"));
    json(&[
        "run",
        "gated",
        "--input",
        text(&recording),
        "--output",
        text(&file),
    ]);
    let own = ["--recording", text(&recording), "--features", text(&file)];
    let made = json(&[&["parse", "features"], &own[..], &["--output", text(&at)]].concat());
    assert_eq!(made["values"], serde_json::json!([1024, 1280]));
    let pieces = made["pieces"].as_u64().unwrap() as usize;
    assert!(pieces >= 4, "{made}");
    // Nothing of the sound is written: a row a second.
    let npy = std::fs::read(at.join("audio/kitchen_0_10.npy")).unwrap();
    assert!(npy.len() < 10 * 1024 * 4 + 256, "{}", npy.len());

    // One class is everywhere, the other nowhere but in one piece.
    let name = |piece: usize| format!("kitchen_{}_{}", 10 * piece, 10 * piece + 10);
    let weak = |pieces: std::ops::Range<usize>| {
        let rows = pieces.map(|piece| format!("{}\tkitchen\n", name(piece)));
        format!("filename\tevent_labels\n{}", rows.collect::<String>())
    };
    let dense: String = (pieces - 2..pieces)
        .map(|piece| format!("{}\t0\t10\tkitchen\n", name(piece)))
        .collect();
    let dense = format!("filename\tonset\toffset\tevent_labels\n{dense}");
    for (file, text) in [
        ("classes.txt", "kitchen\nnothing\n".to_owned()),
        ("AVVP_train.csv", weak(0..pieces - 2).replacen("\tkitchen", "\tkitchen,nothing", 1)),
        ("AVVP_val_pd.csv", weak(pieces - 2..pieces - 1)),
        ("AVVP_test_pd.csv", weak(pieces - 1..pieces)),
        ("AVVP_eval_audio.csv", dense.clone()),
        ("AVVP_eval_visual.csv", dense),
        ("own.yaml", "title: mine\nlabels: llp\nseconds: 10\nfeatures: { audio: [audio], visual: [visual] }\n".to_owned()),
    ] {
        std::fs::write(at.join(file), text).unwrap();
    }
    let (experiment, out) = (at.join("own.yaml"), at.join("parser"));
    let mut args = train(text(&experiment), &at, None, &out);
    args.extend(["--set", "training.epochs=30", "--set", "training.batch=4"]);
    json(&args);

    let parsed = at.join("parsed.h5");
    let predict = [
        &["parse", "predict", text(&out)],
        &own[..],
        &["--output", text(&parsed)],
    ]
    .concat();
    let said = json(&predict);
    let events = said["events"].as_array().unwrap();
    assert!(
        !events.is_empty() && events.iter().all(|e| e["class"] == "kitchen"),
        "{said}"
    );
    let ends = |e: &Value| {
        (
            e["onset_ns"].as_i64().unwrap(),
            e["offset_ns"].as_i64().unwrap(),
        )
    };
    assert!(
        events
            .iter()
            .map(ends)
            .all(|(from, until)| 0 <= from && from < until)
    );

    // The copy has everything that the file had, and the table.
    let (before, after) = (
        json(&["inspect", text(&file)]),
        json(&["inspect", text(&parsed)]),
    );
    assert_eq!(before["events"], Value::Null);
    assert_eq!(after["events"], said["events"]);
    assert_eq!(before["features"], after["features"]);
    assert_eq!(json(&["verify", text(&parsed)])["ok"], true);
    let shown = earmark(&["inspect", text(&parsed)]);
    assert!(said_of(&shown).contains("heard,") && said_of(&shown).contains("kitchen"));
    let page = at.join("page.html");
    json(&["report", text(&parsed), "--output", text(&page)]);
    assert!(
        std::fs::read_to_string(&page)
            .unwrap()
            .contains("Events that a parser heard or saw")
    );
    let list = at.join("events.json");
    json(&[
        "export",
        text(&parsed),
        "--format",
        "events",
        "--output",
        text(&list),
    ]);
    let list: Value = serde_json::from_slice(&std::fs::read(&list).unwrap()).unwrap();
    assert_eq!(
        list["results"]["kitchen"].as_array().unwrap().len(),
        events.len()
    );
    let refuses = refused(&[
        "export",
        text(&file),
        "--format",
        "events",
        "--output",
        text(&at.join("none.json")),
    ]);
    assert!(refuses.contains("nobody parsed it"), "{refuses}");

    let refuses = refused(&predict);
    assert!(refuses.contains("--overwrite"), "{refuses}");
}

fn said_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `scripts/parsing.py` at a size that takes seconds: what it draws, and that a parser learns from it.
#[test]
fn the_set_that_can_be_had_is_of_llps_shape_and_trains_a_parser() {
    let (Some(python), Some(_)) = (python(), sets("parsing-made-sets")) else {
        return;
    };
    if !root().join("models/built/yamnet.onnx").exists() {
        eprintln!("skipped: the models are not installed; `make setup` does");
        return;
    }
    let at = folder("parsing-made");
    let script = root().join("scripts/parsing.py");
    let made = Command::new(&python)
        .arg(&script)
        .arg("make")
        .arg(at.join("set"))
        .args(["--train", "8", "--val", "4", "--test", "4", "--dense", "6"])
        .output()
        .unwrap();
    if said(&made).contains("is missing") {
        eprintln!("skipped: {}", said(&made));
        return;
    }
    assert!(made.status.success(), "{}", said(&made));
    // Sounds and pictures are drawn apart in thirds or so, and the weak labels of the test are the union of what is heard and seen.
    let check = "import csv, sys, numpy as np\n\
        sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n\
        import parsing\n\
        rng = np.random.default_rng(0)\n\
        drawn = [e for _ in range(2000) for e in parsing.draw(0, rng)]\n\
        heard, seen = (np.array([e[k] for e in drawn]) for k in (3, 4))\n\
        shares = [(heard & ~seen).mean(), (seen & ~heard).mean(), (heard & seen).mean()]\n\
        assert np.allclose(shares, [.3, .3, .4], atol=.03), shares\n\
        assert all(e[3] and e[4] for _ in range(200) for e in parsing.draw(3, rng))\n\
        assert len(parsing.CLASSES) == 12\n\
        rows = lambda f: list(csv.DictReader(open(f'{sys.argv[2]}/llp/{f}.csv'), delimiter='\\t'))\n\
        weak = {r['filename']: set(r['event_labels'].split(',')) for r in rows('AVVP_test_pd')}\n\
        union = {name: set() for name in weak}\n\
        for r in rows('AVVP_eval_audio') + rows('AVVP_eval_visual'):\n\
        \x20   assert 0 <= int(r['onset']) < int(r['offset']) <= 10\n\
        \x20   if r['filename'] in union: union[r['filename']].add(r['event_labels'])\n\
        assert union == weak and len(weak) == 4";
    let checked = Command::new(&python)
        .args([
            "-c",
            check,
            text(&root().join("scripts")),
            text(&at.join("set")),
        ])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));

    let (llp, dense, out) = (at.join("set/llp"), at.join("set/dense"), at.join("out"));
    json(&train("kitchenmix", &llp, Some(&dense), &out));
    let scored = json(&["parse", "eval", text(&out)]);
    assert_eq!(
        (&scored["avvp"]["videos"], &scored["avvp"]["classes"]),
        (&4.into(), &12.into())
    );

    // Beginnings at the onsets of plans; one that is missing is named.
    let (plans, npz) = (at.join("plans"), at.join("p.npz"));
    std::fs::create_dir(&plans).unwrap();
    for i in 0..4 {
        let wav = llp.join(format!("sound/test{i:05}.wav"));
        let plan = plans.join(format!("test{i:05}.jsonl"));
        json(&[
            "plan",
            "gated",
            "--input",
            text(&wav),
            "--output",
            text(&plan),
        ]);
    }
    let predict = [
        "parse",
        "predict",
        text(&out),
        "--onsets",
        text(&plans),
        "--output",
        text(&npz),
    ];
    json(&predict);
    std::fs::remove_file(plans.join("test00002.jsonl")).unwrap();
    assert!(refused(&predict).contains("test00002.jsonl"));
}
