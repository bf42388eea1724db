//! `earmark eval layout` on published layouts.

use std::path::Path;

use serde_json::{Value, json};

use super::{eval, made, published, refuses, said, write};
use crate::recordings::{folder, python};
use crate::validate::seen;

fn layout(folder: &Path, more: &[&str]) -> Value {
    let data = folder.to_str().unwrap();
    said(&[&["layout", "--data", data], more].concat())
}

/// A count by its name.
fn count(value: &Value, what: &str) -> (u64, Option<u64>) {
    let counts = value["counts"].as_array().unwrap();
    let found = counts.iter().find(|count| count["what"] == what);
    assert!(found.is_some(), "{what} is not in {counts:?}");
    let found = found.unwrap();
    (
        found["found"].as_u64().unwrap(),
        found["published"].as_u64(),
    )
}

#[test]
fn missing_videos_are_listed() {
    let folder = folder("layout-missing");
    std::fs::copy(
        made("sounds.csv"),
        folder.join("EPIC_Sounds_validation.csv"),
    )
    .unwrap();
    let videos = folder.join("videos/deeper");
    std::fs::create_dir_all(&videos).unwrap();
    for name in ["P01_01.MP4", "P09_01.mp4", "P01_02.txt"] {
        std::fs::write(videos.join(name), "").unwrap();
    }
    let videos = folder.join("videos");
    let videos = videos.to_str().unwrap();
    let value = layout(&folder, &["--videos", videos]);
    let golden = json!({ "named": 3, "there": 1, "missing": ["P01_02", "P02_01"], "unnamed": 1 });
    assert_eq!(value["videos"], golden);
    assert_eq!(value["layout"], "epic-sounds");
    assert_eq!(value["as_published"], false);
    assert_eq!(
        count(&value, "EPIC_Sounds_validation.csv, annotations"),
        (16, Some(8_035))
    );
    let data = folder.to_str().unwrap();
    let text = seen(&eval(&["layout", "--data", data, "--videos", videos]));
    for word in ["differs", "missing: P02_01", "background"] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
}

#[test]
fn splits_of_ave_are_checked() {
    let Some(python) = python() else { return };
    let folder = folder("layout-ave");
    write(
        &folder,
        "Annotations.txt",
        "Category&VideoID&Quality&StartTime&EndTime\nBark&x&good&0&4\nFlute&x&good&2&10\nBark&z&good&3&3\n",
    );
    let order = |numbers: &str| {
        let code = format!(
            "import h5py; h5py.File('{}/test_order.h5', 'w')['order'] = {numbers}",
            folder.display()
        );
        let done = std::process::Command::new(&python)
            .args(["-c", &code])
            .status();
        assert!(done.unwrap().success());
    };
    order("[2, 0]");
    let value = layout(&folder, &[]);
    assert_eq!(count(&value, "test split"), (2, Some(402)));
    assert_eq!(count(&value, "train split"), (0, Some(3_339)));
    assert_eq!(count(&value, "annotations"), (3, Some(4_143)));
    let notes = value["notes"].to_string();
    for word in [
        "train_order.h5 is missing",
        "1 annotations are of videos",
        "1 annotations end when they begin",
    ] {
        assert!(notes.contains(word), "`{word}` is not in {notes}");
    }
    let data = folder.to_str().unwrap();
    for (numbers, words) in [
        ("[2, 3]", &["test_order.h5", "number 1 is 3", "0 to 2"][..]),
        ("[-1]", &["number 0 is -1"]),
        ("[1, 1]", &["line 1 twice"]),
        ("[[1], [2]]", &["one axis"]),
        ("[1.5]", &["not whole numbers"]),
    ] {
        order(numbers);
        refuses(&["layout", "--data", data], words);
    }
    std::fs::write(folder.join("test_order.h5"), "no HDF5").unwrap();
    refuses(&["layout", "--data", data], &["test_order.h5"]);
    std::fs::remove_file(folder.join("test_order.h5")).unwrap();
    write(&folder, "Annotations.txt", "Bark&x&good&0&11\n");
    refuses(&["layout", "--data", data], &["line 1", "EndTime is `11`"]);
    write(&folder, "Annotations.txt", "Bark&x&0&1\n");
    refuses(&["layout", "--data", data], &["4 fields"]);
}

#[test]
fn questions_are_read_as_published() {
    let folder = folder("layout-questions");
    let header = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4\n";
    write(
        &folder,
        "val.csv",
        &format!("{header}7,9,1,1,why,4,0,CW,a,b,c,d,e\n7,9,1,1,how,0,1,CH,a,b,c,d,e\n"),
    );
    let value = layout(&folder, &[]);
    assert_eq!(value["layout"], "nextqa");
    assert_eq!(count(&value, "val.csv, questions"), (2, Some(4_996)));
    assert_eq!(count(&value, "val.csv, CW"), (1, None));
    let data = folder.to_str().unwrap();
    write(
        &folder,
        "val.csv",
        &format!("{header}7,9,1,1,why,5,0,CW,a,b,c,d,e\n"),
    );
    refuses(
        &["layout", "--data", data],
        &["line 2", "answer is `5`", "0 to 4"],
    );
    std::fs::remove_file(folder.join("val.csv")).unwrap();
    let music = |values: &str| {
        let one = json!([{ "video_id": "1", "question_id": 3, "type": "[\"Audio\", \"Counting\"]", "question_content": "Is <Object> heard?",
            "templ_values": values, "question_deleted": 0, "anser": "yes" }]);
        write(&folder, "avqa-val.json", &one.to_string());
    };
    music("[\"flute\"]");
    assert_eq!(
        count(&layout(&folder, &[]), "avqa-val.json, Audio Counting"),
        (1, None)
    );
    music("[]");
    refuses(&["layout", "--data", data], &["question 3", "<Object>"]);
    std::fs::remove_file(folder.join("avqa-val.json")).unwrap();
    write(
        &folder,
        "HME-QA_annotations_v0.json",
        "[{\"video_uid\": \"u\", \"memory_qa_pairs\": [{\"question\": \"?\", \"answer\": \"!\", \"start_time_sec\": 3, \"end_time_sec\": 2}]}]",
    );
    refuses(&["layout", "--data", data], &["u, question 0", "3 to 2 s"]);
    refuses(
        &["layout", "--data", data, "--layout", "ave"],
        &["none of the files of ave"],
    );
    std::fs::remove_file(folder.join("HME-QA_annotations_v0.json")).unwrap();
    refuses(&["layout", "--data", data], &["no file of a known layout"]);
    refuses(
        &["layout", "--data", &made("sounds.csv")],
        &["is not a folder"],
    );
}

#[test]
fn published_sets_are_as_published() {
    for (name, known, counts) in [
        (
            "ave",
            "ave",
            &[
                ("annotations", 4_143),
                ("train split", 3_339),
                ("val split", 402),
                ("test split", 402),
                ("classes, without background", 28),
            ][..],
        ),
        (
            "llp",
            "llp",
            &[
                ("AVVP_train.csv, videos", 10_000),
                ("AVVP_val_pd.csv, videos", 649),
                ("AVVP_test_pd.csv, videos", 1_200),
                ("AVVP_eval_audio.csv, stretches", 4_131),
            ],
        ),
        (
            "qvhighlights",
            "qvhighlights",
            &[("highlight_val_release.jsonl, queries", 1_550)],
        ),
        (
            "hmeqa",
            "hme-qa",
            &[
                ("HME-QA_annotations_v0.json, questions", 340),
                ("videos named", 50),
            ],
        ),
        (
            "musicavqa",
            "music-avqa",
            &[("avqa-val.json, questions", 4_568)],
        ),
        ("nextqa", "nextqa", &[("val.csv, questions", 4_996)]),
    ] {
        let Some(folder) = published(name) else {
            continue;
        };
        let value = layout(&folder, &[]);
        assert_eq!(value["layout"], known);
        assert_eq!(value["as_published"], true, "{name}: {}", value["counts"]);
        for (what, golden) in counts {
            assert_eq!(count(&value, what).0, *golden, "{name}: {what}");
        }
    }
    let Some(folder) = published("epic-sounds") else {
        return;
    };
    let value = layout(&folder, &[]);
    assert_eq!(count(&value, "videos named").0, 50);
    let Some(folder) = published("../kitchenmix") else {
        return;
    };
    let value = layout(&folder, &[]);
    assert_eq!(value["layout"], "kitchenmix");
    assert_eq!(count(&value, "recordings").0, 50);
}
