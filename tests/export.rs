//! Feature files in other formats: each is loaded like its consumers do, and problems are reported before anything is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use anchoring::plan::{Entry, Reason};
use anchoring::tier::{Prices, Tier};
use anchoring::time::Nanos;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{Closing, Opening, Precision, Row, Writer};
use serde_json::Value;

use crate::feature_files::{anchor, cue, encoder};
use crate::recordings::{earmark, folder, python, root, said, succeeds};

/// How a feature file differs from the usual one.
#[derive(Clone, Copy)]
struct Made {
    id: &'static str,
    rows: i64,
    dim: usize,
    precision: Precision,
    encoder: &'static str,
}

const P01: Made = Made {
    id: "P01",
    rows: 700,
    dim: 6,
    precision: Precision::F32,
    encoder: "0",
};

/// Writes a feature file: an occasional frame, an anchor with an expensive frame for every seventh.
fn make(file: &Path, made: Made) {
    let opening = Opening {
        dim: made.dim,
        precision: made.precision,
        models: vec![encoder(made.encoder)],
        thumbnails: true,
        quality: made.precision == Precision::F32,
        sound_quality: made.precision == Precision::F32,
        further: [("audio_track".to_owned(), "0".to_owned())].into(),
        ..Opening::default()
    };
    let mut writer = Writer::create(file, true, &opening).unwrap();
    let mut anchors = 0;
    for k in 0..made.rows {
        let at = Nanos::from_ms(37 + 331 * k + 900 * (k / 50));
        let of_anchor = k % 7 == 3;
        if of_anchor {
            writer.anchor(&anchor(anchors, at, 20, 40)).unwrap();
            anchors += 1;
        }
        let tier = if of_anchor { Tier::High } else { Tier::Low };
        let entry = Entry {
            planned: at - Nanos::from_ms(3),
            tier,
            tokens: Prices::default().of(tier),
            reason: if of_anchor {
                Reason::Anchor
            } else {
                Reason::Background
            },
            asked: None,
            anchor: of_anchor.then(|| anchors - 1),
        };
        let features = (0..made.dim).map(|d| (k as f32 - 5.0) * 0.25 + d as f32);
        let row = Row {
            pts: at,
            entry,
            features: features.collect(),
            thumbnail: vec![k as u8; 3 + k as usize % 5],
            quality: FrameQuality::from_values([0, 1, 2, 3, 4, 5].map(|m| (k + m) as f32 / 800.0)),
            clip: None,
        };
        writer.frame(&row).unwrap();
        writer.cue(&cue(k)).unwrap();
    }
    let closing = Closing {
        video_id: made.id.into(),
        duration: Nanos::from_ms(331 * made.rows + 900 * (made.rows / 50) + 4000),
        budget_tokens: 200_000,
        config: "{}".into(),
        ..Closing::default()
    };
    writer.finish(&closing).unwrap();
}

/// Two recordings' feature files in a folder.
fn two(folder: &Path) -> [PathBuf; 2] {
    let files = [folder.join("in/P01.h5"), folder.join("in/P02.h5")];
    std::fs::create_dir(folder.join("in")).unwrap();
    make(&files[0], P01);
    let p02 = Made {
        id: "P02",
        rows: 9,
        precision: Precision::F16,
        ..P01
    };
    make(&files[1], p02);
    files
}

/// Runs `export` on `in/`.
fn export(folder: &Path, format: &str, output: &str, more: &[&str]) -> std::process::Output {
    let (input, output) = (folder.join("in"), folder.join(output));
    let mut args = vec![
        "export".as_ref(),
        input.as_os_str(),
        "--format".as_ref(),
        format.as_ref(),
    ];
    args.extend(["--output".as_ref(), output.as_os_str()]);
    args.extend(more.iter().map(std::ffi::OsStr::new));
    earmark(args)
}

/// Reads an export in Python.
#[track_caller]
fn read(python: &Path, format: &str, output: &Path, more: &[&str], files: &[PathBuf]) {
    let run = Command::new(python)
        .arg(root().join("tests/read_export.py"))
        .arg(format)
        .arg(output)
        .args(more)
        .args(files)
        .output()
        .unwrap();
    assert!(run.status.success(), "{format}: {}", said(&run));
    print!("{}", String::from_utf8_lossy(&run.stdout));
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_format_is_read_by_its_consumers() {
    let Some(python) = python() else { return };
    let folder = folder("export");
    let files = two(&folder);
    for (format, output, more) in [
        ("actionformer", "near", &[][..]),
        (
            "actionformer",
            "zero",
            &["--fill", "zero", "--stride-ms", "333"],
        ),
        ("actionformer", "thumos", &["--loader", "thumos"]),
        ("actionformer", "anet", &["--loader", "anet"]),
        ("actionformer", "ego4d", &["--loader", "ego4d"]),
        ("pt", "pt", &[]),
        ("npy", "npy", &[]),
        ("safetensors", "safetensors", &[]),
        ("hdf5", "all.h5", &[]),
        ("parquet", "all.parquet", &[]),
        ("quality", "quality.csv", &[]),
        ("quality", "quality.json", &[]),
    ] {
        let run = export(&folder, format, output, more);
        assert!(run.status.success(), "{}", said(&run));
        let fill = if output == "zero" { &more[..2] } else { &[] };
        read(&python, format, &folder.join(output), fill, &files);
    }
    let near = ["P01.npz", "P02.npz", "dataset.yaml"];
    assert_eq!(names(&folder.join("near")), near);
    let plain = ["P01.npy", "P02.npy", "dataset.yaml"];
    assert_eq!(names(&folder.join("anet")), plain);
    assert_eq!(
        names(&folder.join("npy")),
        [
            "P01.npy",
            "P01.quality.npy",
            "P01.times.npy",
            "P02.npy",
            "P02.quality.npy",
            "P02.times.npy"
        ]
    );
    // The same files give the same bytes.
    export(&folder, "safetensors", "again", &[]);
    export(&folder, "actionformer", "again", &[]);
    for (a, b) in [
        ("safetensors/P01.safetensors", "again/P01.safetensors"),
        ("near/P01.npz", "again/P01.npz"),
    ] {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        assert!(read(a) == read(b), "{a} and {b} differ");
    }
}

#[test]
fn parquet_is_read_back() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let folder = folder("export_parquet");
    two(&folder);
    let run = export(&folder, "parquet", "all.parquet", &["--json"]);
    assert!(run.status.success(), "{}", said(&run));
    let value: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&value["frames"], &value["dim"]), (&709.into(), &6.into()));
    let file = std::fs::File::open(folder.join("all.parquet")).unwrap();
    let rows = SerializedFileReader::new(file).unwrap();
    let rows: Vec<_> = rows
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 709);
    let field = |row: usize, name: &str| {
        let found = rows[row].get_column_iter().find(|(n, _)| *n == name);
        found.unwrap().1.clone()
    };
    let text = |text: &str| Field::Str(text.into());
    assert_eq!(field(3, "video_id"), text("P01"));
    assert_eq!(field(3, "label"), text("Käse 0"));
    assert_eq!(field(3, "tier"), text("high"));
    assert_eq!(field(4, "label"), Field::Null);
    assert_eq!(field(4, "anchor"), Field::Null);
    assert_eq!(field(700, "video_id"), text("P02"));
    assert_eq!(field(702, "pts_s"), Field::Double(0.699));
    let Field::ListInternal(features) = field(9, "features") else {
        panic!("features are not a list")
    };
    let wanted: Vec<_> = (0..6).map(|d| Field::Float(1.0 + d as f32)).collect();
    assert_eq!(features.elements(), wanted);
}

/// Each of these is reported, and nothing is written.
#[test]
fn files_that_cannot_be_exported_are_reported_first() {
    let folder = folder("export_wrong");
    let [p01, p02] = two(&folder);
    let out = folder.join("out");
    let refused = |files: &[&Path], format: &str, more: &[&str], words: &[&str]| {
        let mut args = vec!["export".as_ref(), "--format".as_ref(), format.as_ref()];
        args.extend(["--output".as_ref(), out.as_os_str()]);
        args.extend(files.iter().map(|file| file.as_os_str()));
        args.extend(more.iter().map(std::ffi::OsStr::new));
        let run = earmark(args);
        assert!(!run.status.success(), "{}", said(&run));
        for word in words {
            assert!(said(&run).contains(word), "`{word}`: {}", said(&run));
        }
        assert!(!out.exists(), "{}", said(&run));
    };
    let file = |name: &str| folder.join(name);
    // The same recording twice, under two names.
    std::fs::copy(&p01, file("other.h5")).unwrap();
    refused(
        &[&p01, &file("other.h5")],
        "npy",
        &[],
        &["P01.h5", "other.h5", "recording P01"],
    );
    // Two models.
    make(
        &file("wide.h5"),
        Made {
            id: "P03",
            dim: 7,
            ..P01
        },
    );
    refused(
        &[&p01, &file("wide.h5")],
        "parquet",
        &[],
        &["6 values", "7"],
    );
    make(
        &file("as_wide.h5"),
        Made {
            id: "P06",
            encoder: "1",
            ..P01
        },
    );
    refused(
        &[&p01, &file("as_wide.h5")],
        "hdf5",
        &[],
        &["as_wide.h5", "was encoded by"],
    );
    // A name that would leave the folder.
    make(
        &file("odd.h5"),
        Made {
            id: "../P04",
            rows: 3,
            ..P01
        },
    );
    refused(
        &[&file("odd.h5")],
        "npy",
        &[],
        &["../P04", "cannot be a file name"],
    );
    // Nothing to see.
    make(
        &file("empty.h5"),
        Made {
            id: "P05",
            rows: 0,
            ..P01
        },
    );
    refused(&[&file("empty.h5")], "npy", &[], &["empty.h5", "no frames"]);
    // Foreign, torn, missing: all of them are reported at once.
    std::fs::write(file("text.h5"), "no features").unwrap();
    let whole = std::fs::read(&p01).unwrap();
    std::fs::write(file("torn.h5"), &whole[..whole.len() * 2 / 3]).unwrap();
    let wrong = [&file("text.h5"), &file("torn.h5"), &file("none.h5")];
    let wrong: Vec<&Path> = wrong.iter().map(|file| file.as_path()).collect();
    refused(&wrong, "hdf5", &[], &["text.h5", "torn.h5", "none.h5"]);
    // What `earmark recover` saved says that it is not complete.
    std::fs::copy(&p02, file("killed.h5.partial")).unwrap();
    succeeds(["recover".as_ref(), file("killed.h5.partial").as_os_str()]);
    refused(
        &[&file("killed.recovered.h5")],
        "parquet",
        &[],
        &["incomplete"],
    );
    // A grid is for one format only.
    refused(&[&p01], "npy", &["--stride-ms", "100"], &["actionformer"]);
    refused(&[&p01], "hdf5", &["--loader", "anet"], &["actionformer"]);
    std::fs::create_dir(file("bare")).unwrap();
    refused(&[&file("bare")], "npy", &[], &["bare", "no feature files"]);
}

#[test]
fn existing_files_stay_unless_they_may_be_replaced() {
    let folder = folder("export_there");
    two(&folder);
    for (format, output, there) in [
        ("npy", "npy", "npy/P02.times.npy"),
        ("actionformer", "npz", "npz/P02.npz"),
        ("actionformer", "yaml", "yaml/dataset.yaml"),
        ("hdf5", "all.h5", "all.h5"),
        ("parquet", "all.parquet", "all.parquet"),
    ] {
        let there = folder.join(there);
        std::fs::create_dir_all(there.parent().unwrap()).unwrap();
        std::fs::write(&there, "mine").unwrap();
        let run = export(&folder, format, output, &[]);
        assert!(
            !run.status.success() && said(&run).contains("--overwrite"),
            "{}",
            said(&run)
        );
        assert_eq!(std::fs::read(&there).unwrap(), b"mine");
        // Nor is anything beside it.
        assert!(!folder.join(output).join("P01.npy").exists());
        assert!(!folder.join(output).join("P01.npz").exists());
        let run = export(&folder, format, output, &["--overwrite"]);
        assert!(run.status.success(), "{}", said(&run));
        assert_ne!(std::fs::read(&there).unwrap(), b"mine");
    }
    assert!(
        names(&folder).iter().all(|name| !name.contains("partial")),
        "{:?}",
        names(&folder)
    );
    // Files for recordings go into a folder, the others into a file.
    let run = export(&folder, "npy", "all.h5", &[]);
    assert!(said(&run).contains("is a file"), "{}", said(&run));
    let run = export(&folder, "parquet", "npy", &["--overwrite"]);
    assert!(said(&run).contains("is a folder"), "{}", said(&run));
}
