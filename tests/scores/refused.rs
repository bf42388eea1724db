//! Invalid files are refused with their place and the likely mistake; files of other programs are read.

use std::io::Write;

use super::{detections, made, parsing_set, refuses, said, write};
use crate::recordings::folder;

#[test]
fn sound_events_that_make_no_sense_are_refused_with_their_line() {
    let folder = folder("scores-bad-sed");
    let header = "filename\tonset\toffset\tevent_label\n";
    for (name, text, words) in [
        ("empty.tsv", String::new(), &["is empty"][..]),
        (
            "columns.tsv",
            "file\tonset\toffset\tevent_label\n".into(),
            &["no column `filename`"],
        ),
        (
            "commas.tsv",
            header.replace('\t', " ") + "a 1 2 x\n",
            &["no column `filename`"],
        ),
        ("header.tsv", header.into(), &["no rows"]),
        (
            "nothing.tsv",
            format!("{header}f00.wav\t\t\t\n"),
            &["has no events"],
        ),
        (
            "nan.tsv",
            format!("{header}a.wav\tnan\t2\tx\n"),
            &["line 2", "onset is `nan`"],
        ),
        (
            "negative.tsv",
            format!("{header}a.wav\t-1\t2\tx\n"),
            &["line 2", "not negative"],
        ),
        (
            "swapped.tsv",
            format!("{header}a.wav\t3\t2\tx\n"),
            &["line 2", "swapped"],
        ),
        (
            "unnamed.tsv",
            format!("{header}a.wav\t1\t2\t\n"),
            &["line 2", "event_label"],
        ),
        (
            "samples.tsv",
            format!("{header}a.wav\t1\t44100000\tx\n"),
            &["line 2", "samples"],
        ),
        (
            "other.tsv",
            format!("{header}f00.wav\t1\t2\tx\n"),
            &["files that", "f01.wav"],
        ),
    ] {
        let path = write(&folder, name, &text);
        refuses(
            &[
                "sed",
                "--estimated",
                &made("sed_1.tsv"),
                "--reference",
                &path,
            ],
            words,
        );
    }
    let durations = made("sed_durations.tsv");
    let twice = write(
        &folder,
        "twice.tsv",
        &format!("{header}f00.wav\t1\t3\tdog\nf00.wav\t2\t4\tdog\n"),
    );
    refuses(
        &[
            "psds",
            "--estimated",
            &twice,
            "--reference",
            &made("sed_true.tsv"),
            "--durations",
            &durations,
        ],
        &["lines 2 and 3", "overlap"],
    );
    let short = write(&folder, "short.tsv", "filename\tduration\nf00.wav\t0\n");
    refuses(
        &[
            "psds",
            "--estimated",
            &twice,
            "--reference",
            &made("sed_true.tsv"),
            "--durations",
            &short,
        ],
        &["duration is `0`", "above 0"],
    );
    // A system that found nothing says so with a header.
    let none = write(&folder, "none.tsv", header);
    let value = said(&[
        "sed",
        "--estimated",
        &none,
        "--reference",
        &made("sed_true.tsv"),
    ]);
    assert_eq!(value["event_based"]["overall"]["recall"], 0.0);
    assert!(value["event_based"]["overall"]["precision"].is_null());
    assert!(
        value["warnings"][0]
            .as_str()
            .unwrap()
            .contains("nothing was found")
    );
    refuses(
        &[
            "psds",
            "--estimated",
            &none,
            "--reference",
            &made("sed_true.tsv"),
            "--durations",
            &durations,
            "--dtc",
            "2",
        ],
        &["0..=1"],
    );
}

#[test]
fn detections_that_make_no_sense_are_refused_with_their_place() {
    let folder = folder("scores-bad-detection");
    let good = std::fs::read_to_string(made("sounds.csv")).unwrap();
    for (name, text, words) in [
        ("empty.csv", String::new(), &["is empty"][..]),
        (
            "header.csv",
            good.lines().next().unwrap().to_owned() + "\n",
            &["no rows"],
        ),
        (
            "columns.csv",
            "a,b\n1,2\n".to_owned(),
            &["no column `video_id`", "it has a, b"],
        ),
        (
            "nan.csv",
            good.replacen("00:00:", "NaN:00:", 1),
            &["line 2", "start_timestamp", "NaN"],
        ),
        (
            "swapped.csv",
            good.replace(
                "start_timestamp,stop_timestamp",
                "stop_timestamp,start_timestamp",
            ),
            &["line 2", "swapped"],
        ),
        (
            "class.csv",
            good.replacen(",b,1", ",b,99", 1)
                .replacen(",a,0", ",a,99", 1)
                .replacen(",d,3", ",d,99", 1)
                .replacen(",h,7", ",h,99", 1),
            &["class_id is `99`", "0 to 43"],
        ),
        (
            "cut.csv",
            good.trim_end().rsplit_once(',').unwrap().0.to_owned(),
            &["fields, the header"],
        ),
        (
            "other.csv",
            good.replace("P0", "Q0"),
            &["no video in common"],
        ),
    ] {
        let path = write(&folder, name, &text);
        refuses(
            &[
                "detection",
                "--submission",
                &made("sounds.json"),
                "--annotations",
                &path,
            ],
            words,
        );
    }
    let entry = |entry: &str| format!("{{\"results\": {{\"P01_01\": [{entry}]}}}}");
    for (name, text, words) in [
        ("empty.json", String::new(), &["is empty"][..]),
        ("list.json", "[1]".into(), &["must be a submission"]),
        (
            "nan.json",
            entry("{\"interaction\": 1, \"score\": NaN, \"segment\": [1, 2]}"),
            &["line 1", "NaN"],
        ),
        ("none.json", "{\"results\": {}}".into(), &["no detections"]),
        (
            "score.json",
            entry("{\"interaction\": 1, \"segment\": [1, 2]}"),
            &["P01_01, detection 0", "score is missing"],
        ),
        (
            "class.json",
            entry("{\"interaction\": 44, \"score\": 1, \"segment\": [1, 2]}"),
            &["interaction is 44", "0 to 43"],
        ),
        (
            "backwards.json",
            entry("{\"interaction\": 4, \"score\": 1, \"segment\": [3, 2]}"),
            &["[3, 2]", "before it starts"],
        ),
        (
            "three.json",
            entry("{\"interaction\": 4, \"score\": 1, \"segment\": [1, 2, 3]}"),
            &["3 numbers"],
        ),
        (
            "twice.json",
            "{\"results\": {\"a\": [], \"a\": []}}".into(),
            &["comes twice"],
        ),
        (
            "other.json",
            "{\"challenge\": \"action_detection\", \"results\": {}}".into(),
            &["action_detection", "EPIC-SOUNDS"],
        ),
    ] {
        let path = write(&folder, name, &text);
        refuses(
            &[
                "detection",
                "--submission",
                &path,
                "--annotations",
                &made("sounds.csv"),
            ],
            words,
        );
    }
    refuses(
        &[
            "detection",
            "--submission",
            folder.to_str().unwrap(),
            "--annotations",
            &made("sounds.csv"),
        ],
        &["is a folder"],
    );
}

/// A mark of byte order, a carriage return at every line's end, gzip: what other programs write.
#[test]
fn files_that_other_programs_wrote_are_read() {
    let folder = folder("scores-written");
    let good = std::fs::read_to_string(made("sounds.csv")).unwrap();
    let csv = write(
        &folder,
        "marked.csv",
        &format!("\u{feff}{}", good.replace('\n', "\r\n")),
    );
    let packed = folder.join("packed.json.gz");
    let file = std::fs::File::create(&packed).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(&std::fs::read(made("sounds.json")).unwrap())
        .unwrap();
    gzip.finish().unwrap();
    let plain = detections(&made("sounds.json"), &made("sounds.csv"));
    assert_eq!(detections(packed.to_str().unwrap(), &csv), plain);
    let bytes = std::fs::read(&packed).unwrap();
    std::fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let args = [
        "detection",
        "--submission",
        packed.to_str().unwrap(),
        "--annotations",
        &csv,
    ];
    refuses(&args, &["cannot unpack"]);
}

#[test]
fn onsets_that_make_no_sense_are_refused_with_their_line() {
    let folder = folder("scores-bad-onsets");
    for (name, text, words) in [
        ("empty.txt", "", &["is empty"][..]),
        ("header.txt", "time\n1\n", &["line 1", "a header?"]),
        ("nan.txt", "1\nNaN\n", &["line 2", "`NaN`"]),
        ("negative.txt", "-1\n", &["line 1", "not negative"]),
        ("back.txt", "2\n1\n", &["line 2", "must ascend"]),
        ("ms.txt", "31000\n", &["milliseconds"]),
        ("none.txt", "# nothing\n", &["no onsets"]),
    ] {
        let path = write(&folder, name, text);
        refuses(
            &[
                "onsets",
                "--estimated",
                &made("heard.txt"),
                "--reference",
                &path,
            ],
            words,
        );
    }
    let none = folder.join("none.txt");
    let value = said(&[
        "onsets",
        "--reference",
        &made("onsets.txt"),
        "--estimated",
        none.to_str().unwrap(),
    ]);
    assert_eq!(value["collars"][0]["F-measure"], 0.0);
    assert!(value["warnings"][0].as_str().unwrap().contains("no onsets"));
    refuses(
        &[
            "onsets",
            "--estimated",
            &made("heard.txt"),
            "--reference",
            &made("onsets.txt"),
            "--collar-ms",
            "0",
        ],
        &["above 0"],
    );
}

#[test]
fn moments_that_make_no_sense_are_refused_with_their_line() {
    let folder = folder("scores-bad-moments");
    let label = |more: &str| format!("{{\"qid\": 1, \"vid\": \"v\", \"duration\": 10{more}}}\n");
    let good = label(
        ", \"relevant_windows\": [[0, 4]], \"relevant_clip_ids\": [0, 1], \"saliency_scores\": [[1, 2, 3], [4, 4, 4]]",
    );
    let labels = write(&folder, "good.jsonl", &good);
    for (name, text, words) in [
        ("test.jsonl", label(""), &["line 1", "test split"][..]),
        (
            "clip.jsonl",
            good.replace("[0, 1]", "[0, 5]"),
            &["relevant clip 5", "0 to 4"],
        ),
        (
            "uneven.jsonl",
            good.replace("[0, 1]", "[0]"),
            &["must be equal"],
        ),
        (
            "five.jsonl",
            good.replace("[4, 4, 4]", "[4, 5, 4]"),
            &["saliency 5"],
        ),
        (
            "twice.jsonl",
            good.repeat(2),
            &["line 2", "qid 1 is in line 1 too"],
        ),
        (
            "window.jsonl",
            good.replace("[[0, 4]]", "[[4, 0]]"),
            &["[4, 0]"],
        ),
        (
            "nothing.jsonl",
            good.replace("[[0, 4]]", "[]"),
            &["relevant_windows is empty"],
        ),
        ("cut.jsonl", good[..20].into(), &["line 1", "cut off"]),
    ] {
        let path = write(&folder, name, &text);
        refuses(
            &[
                "moments",
                "--submission",
                &made("predicted.jsonl"),
                "--labels",
                &path,
            ],
            words,
        );
    }
    for (name, text, words) in [
        (
            "other.jsonl",
            "{\"qid\": 2, \"pred_saliency_scores\": [1]}",
            &["same queries", "qid 1", "qid 2"][..],
        ),
        ("neither.jsonl", "{\"qid\": 1}", &["neither"]),
        (
            "two.jsonl",
            "{\"qid\": 1, \"pred_relevant_windows\": [[1, 2]]}",
            &["2 numbers"],
        ),
        (
            "back.jsonl",
            "{\"qid\": 1, \"pred_relevant_windows\": [[2, 1, 0.5]]}",
            &["[2, 1]"],
        ),
        (
            "none.jsonl",
            "{\"qid\": 1, \"pred_relevant_windows\": []}",
            &["is empty"],
        ),
        (
            "infinite.jsonl",
            "{\"qid\": 1, \"pred_saliency_scores\": [Infinity]}",
            &["NaN and Infinity"],
        ),
    ] {
        let path = write(&folder, name, text);
        refuses(
            &["moments", "--submission", &path, "--labels", &labels],
            words,
        );
    }
}

#[test]
fn parsing_that_makes_no_sense_is_refused() {
    let Some((folder, predictions, labels)) = parsing_set("scores-bad-parsing", "a = a + .5")
    else {
        return;
    };
    let args = |labels: &str| {
        ["parsing", "--predictions", &predictions, "--labels", labels]
            .map(str::to_owned)
            .to_vec()
    };
    let refuses = |words: &[&str]| {
        let args = args(&labels);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refuses(&args, words);
    };
    refuses(&[
        "`audio` of b_0_10, second 0, class Speech is 0.5",
        "threshold",
    ]);
    for (code, words) in [
        (
            "a = a[:, :9]",
            &["`audio` has the shape [2, 9, 2]", "seconds (10)"][..],
        ),
        (
            "filenames[0] = 'c'",
            &["1 are missing (b_0_10)", "1 are not in it (c)"],
        ),
        ("filenames[0] = 'a_0_10'", &["twice"]),
        ("classes[0] = 'Spech'", &["did you mean `Speech`?"]),
        ("classes = ['Dog', 'Dog']", &["each of the 2 exactly once"]),
        (
            "filenames = np.array(filenames, dtype=object)",
            &["Python objects"],
        ),
    ] {
        parsing_set("scores-bad-parsing", code);
        refuses(words);
    }
    std::fs::write(&predictions, b"no archive").unwrap();
    refuses(&["not an .npz file"]);
    for (name, text, words) in [
        (
            "AVVP_eval_audio.csv",
            "filename\tonset\toffset\tevent_labels\na_0_10\t0\t11\tDog\n",
            &["line 2", "offset is `11`"][..],
        ),
        (
            "AVVP_eval_audio.csv",
            "filename\tonset\toffset\tevent_labels\na_0_10\t0.5\t4\tDog\n",
            &["onset is `0.5`", "whole number"],
        ),
        (
            "AVVP_eval_audio.csv",
            "filename\tonset\toffset\tevent_labels\nc\t0\t4\tDog\n",
            &["labels no video of"],
        ),
        (
            "AVVP_test_pd.csv",
            "filename\tevent_labels\na_0_10\tDgo\n",
            &["line 2", "did you mean `Dog`?"],
        ),
        (
            "AVVP_test_pd.csv",
            "filename,event_labels\na_0_10,Dog,Speech\n",
            &["line 2 has 3 fields"],
        ),
    ] {
        let before = std::fs::read(folder.join(name)).unwrap();
        write(&folder, name, text);
        refuses(words);
        std::fs::write(folder.join(name), before).unwrap();
    }
    std::fs::remove_file(folder.join("AVVP_eval_visual.csv")).unwrap();
    refuses(&["AVVP_eval_visual.csv"]);
}
