//! Damaged and old feature files: always reported, never a crash, never "complete".

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anchoring::cue::Cue;
use anchoring::plan::{Entry, Reason};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gstearmark::frame_quality::FrameQuality;
use gstearmark::h5::{Closing, Merger, Opening, Precision, Row, Writer};
use serde_json::Value;

use crate::feature_files::{anchor, cue, encoder};
use crate::recordings::{earmark, folder, python, root, said, succeeds};

/// How many bits are flipped, over all kinds of files.
const FLIPS: usize = 500;

/// Writes a feature file with a frame a second and an anchor at every fourth.
pub fn make(file: &Path, precision: Precision, thumbnails: bool, sound: bool) {
    let opening = Opening {
        dim: 16,
        precision,
        thumbnails,
        quality: sound,
        sound_quality: sound,
        input_uri: "file:///kitchen.mp4".into(),
        models: vec![encoder("0")],
        further: [("audio_track".to_owned(), "0".to_owned())].into(),
        ..Opening::default()
    };
    let mut writer = Writer::create(file, true, &opening).unwrap();
    for k in 0..150_i64 {
        let at = Nanos::from_ms(1000 * k);
        let of_anchor = sound && k % 4 == 1;
        let id = (k / 4) as u32;
        if of_anchor {
            writer.anchor(&anchor(id, at, 200, 400)).unwrap();
        }
        let entry = Entry {
            planned: at,
            tier: Tier::Low,
            tokens: 49,
            reason: match of_anchor {
                true => Reason::Anchor,
                false => Reason::Background,
            },
            asked: None,
            anchor: of_anchor.then_some(id),
        };
        let row = Row {
            pts: at,
            entry,
            features: (0..16).map(|d| (k * 16 + d) as f32 * 0.37).collect(),
            thumbnail: vec![k as u8; 30 + k as usize % 50],
            quality: FrameQuality::from_values([0, 1, 2, 3, 4, 5].map(|m| (k + m) as f32 / 160.0)),
            clip: None,
        };
        writer.frame(&row).unwrap();
        if sound {
            writer.cue(&cue(k)).unwrap();
        }
    }
    let closing = Closing {
        video_id: "kitchen".into(),
        duration: Nanos::from_ms(150_000),
        budget_tokens: 10_000,
        // Longer than an attribute may be.
        config: format!("{{\"graph\":\"{}\"}}", "x".repeat(70_000)),
        warnings: vec!["one thing".into()],
        ..Closing::default()
    };
    writer.finish(&closing).unwrap();
}

/// Files of several kinds, all of them whole.
fn kinds(folder: &Path) -> [PathBuf; 4] {
    let [thumbnails, half, silent, merged] =
        ["thumbnails", "half", "silent", "merged"].map(|name| folder.join(format!("{name}.h5")));
    make(&thumbnails, Precision::F32, true, true);
    make(&half, Precision::F16, false, true);
    make(&silent, Precision::F32, false, false);
    let mut merger = Merger::create(&merged, true).unwrap();
    merger.add(&thumbnails, "a").unwrap();
    merger.add(&half, "b").unwrap();
    merger.finish().unwrap();
    [thumbnails, half, silent, merged]
}

/// A file of the version before this schema, as its build wrote it.
pub fn old(folder: &Path) -> PathBuf {
    let file = folder.join("old.h5");
    let unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(root().join("tests/old/earmark1.h5.gz"))
        .output()
        .unwrap();
    assert!(unpacked.status.success());
    std::fs::write(&file, unpacked.stdout).unwrap();
    file
}

/// The text of a failure that the command reported itself.
#[track_caller]
pub fn failure_text(run: &Output) -> String {
    let text = said(run);
    assert_eq!(run.status.signal(), None, "{text}");
    assert_eq!(run.status.code(), Some(1), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Places that differ from run to run of nothing: the same in every run of the tests.
struct Places(u64);

impl Places {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 16) % end
    }
}

#[test]
fn every_flipped_bit_is_found_and_located() {
    let folder = folder("damage_flips");
    let files = kinds(&folder);
    let mut args = vec!["verify".into()];
    args.extend(files.iter().map(|file| file.clone().into_os_string()));
    succeeds(args);
    let mut places = Places(18);
    let into = folder.join("flipped");
    std::fs::create_dir(&into).unwrap();
    for (file, k) in files.iter().cycle().zip(0..FLIPS) {
        let mut bytes = std::fs::read(file).unwrap();
        let at = places.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << places.below(8);
        let name = file.file_stem().unwrap().to_string_lossy();
        std::fs::write(into.join(format!("{k:03}-{name}-{at}.h5")), bytes).unwrap();
    }
    let mut flipped: Vec<PathBuf> = std::fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    flipped.sort();
    assert_eq!(flipped.len(), FLIPS);
    let mut all = Vec::new();
    // Some at a time: a broken seal costs a child each.
    for some in flipped.chunks(50) {
        let mut args = vec!["verify".into(), "--json".into()];
        args.extend(some.iter().map(|file| file.clone().into_os_string()));
        let run = earmark(args);
        failure_text(&run);
        let value: Value = serde_json::from_slice(&run.stdout).unwrap();
        all.extend(value["files"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(all.len(), FLIPS);
    for file in all {
        assert_eq!(file["ok"], false, "{file}");
        let problems = file["problems"].to_string();
        let named = [
            "/frames/",
            "/anchors/",
            "/cues/",
            "/thumbnails/",
            "attribute",
            "structure",
            "seal",
            "not an HDF5 file",
            "schema",
            "HDF5 cannot open it",
            "is damaged",
        ];
        assert!(named.iter().any(|name| problems.contains(name)), "{file}");
    }
}

/// Another program may change a column and leave HDF5's own checksums right.
#[test]
fn a_column_that_was_zeroed_is_named() {
    let Some(python) = python() else { return };
    let folder = folder("damage_zeroed");
    let [whole, ..] = kinds(&folder);
    let script = "
import shutil, sys, h5py
whole, into = sys.argv[1:]
with h5py.File(whole) as f:
    columns = []
    f.visititems(lambda name, d: columns.append(name) if isinstance(d, h5py.Dataset) and d.size and name[:6] != 'texts/' else None)
    attributes = [n for n in f.attrs if n not in ('digests', 'sha256', 'schema')]
for k, name in enumerate(columns):
    shutil.copy(whole, f'{into}/{k:02}.h5')
    with h5py.File(f'{into}/{k:02}.h5', 'r+') as f:
        zero = f[name][:] * 0 if f[name].dtype.kind != 'S' else b''
        if (f[name][:] == zero).all(): zero = zero + 1
        f[name][...] = zero
    print(f'{k:02}.h5 /{name}')
for name in attributes:
    shutil.copy(whole, f'{into}/a-{name}.h5')
    with h5py.File(f'{into}/a-{name}.h5', 'r+') as f:
        old = f.attrs[name]
        f.attrs.modify(name, old + b'x' if isinstance(old, bytes) else not old if name == 'complete' else old + 1)
    print(f'a-{name}.h5 `{name}`')
";
    let into = folder.join("zeroed");
    std::fs::create_dir(&into).unwrap();
    let made = Command::new(python)
        .args(["-c", script])
        .args([&whole, &into])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let run = earmark(["verify".as_ref(), into.as_os_str()]);
    let text = failure_text(&run);
    let list = String::from_utf8(made.stdout).unwrap();
    assert!(list.lines().count() > 35, "{list}");
    for line in list.lines() {
        let (file, name) = line.split_once(' ').unwrap();
        let problem = |line: &str| line.contains(file) && line.contains(name);
        // A long text is a dataset; its attribute only says where.
        assert!(
            text.lines().any(problem) || name == "`config`",
            "{line}: {text}"
        );
    }
}

/// What ended older versions: texts without a place, datasets of 2^42 numbers.
#[test]
fn a_file_that_kills_its_reader_is_reported_by_every_command() {
    let folder = folder("damage_crash");
    let file = old(&folder);
    let whole = std::fs::read(&file).unwrap();
    let out = folder.join("out");
    let (mut crashed, mut refused) = (0, 0);
    // Every bit of the heaps in which texts of variable length lie, and of the shapes of datasets.
    let heaps = whole.windows(4).enumerate().filter(|(_, w)| w == b"GCOL");
    let heap = heaps.map(|(at, _)| at).next().unwrap();
    for (k, at) in (heap + 4..heap + 40).chain(800..836).enumerate() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&file, bytes).unwrap();
        let run = earmark(["verify".as_ref(), file.as_os_str()]);
        assert_eq!(run.status.signal(), None, "byte {at}: {}", said(&run));
        if run.status.success() {
            continue;
        }
        refused += 1;
        crashed +=
            usize::from(said(&run).contains("is damaged: the process that read it was killed"));
        // All the others take the same way; a few of these are enough.
        if k % 12 > 0 {
            continue;
        }
        let file = file.as_os_str();
        let out = out.as_os_str();
        for args in [
            vec!["inspect".as_ref(), file],
            vec!["inspect".as_ref(), folder.as_os_str()],
            vec![
                "report".as_ref(),
                file,
                "--output".as_ref(),
                out,
                "--overwrite".as_ref(),
            ],
            vec![
                "export".as_ref(),
                file,
                "--format".as_ref(),
                "npy".as_ref(),
                "--output".as_ref(),
                out,
            ],
            vec!["recover".as_ref(), file, "--output".as_ref(), out],
        ] {
            let run = earmark(args);
            assert_eq!(run.status.signal(), None, "byte {at}: {}", said(&run));
            let _ = std::fs::remove_file(out);
            let _ = std::fs::remove_dir_all(out);
        }
    }
    eprintln!("{refused} were refused, {crashed} of them by a child that died");
    assert!(refused > 10, "{refused}");
}

#[test]
fn a_file_of_the_schema_before_is_read_as_before() {
    let folder = folder("damage_old");
    let file = old(&folder);
    succeeds(["verify".as_ref(), file.as_os_str()]);
    let run = succeeds(["inspect".as_ref(), file.as_os_str(), "--json".as_ref()]);
    let value: Value = serde_json::from_slice(&run.stdout).unwrap();
    let about = &value["features"];
    assert_eq!(about["schema"], "earmark/1");
    assert_eq!(about["top_labels"][0][0], "Käse, \"chopping\"");
    assert_eq!(about["frames"], 3);
    assert_eq!(about["spent_tokens"], 1176);
    assert_eq!(about["cues"], 50);
    // It calls these `pictures_seen` and `pictures_passed`.
    assert_eq!(about["access_units_seen"], 100);
    assert_eq!(about["access_units_passed"], 21);
    assert_eq!(about["input_uri"], "file:///recordings/short.mp4");
    assert_eq!(about["thumbnails"], true);
    assert!(about["config"].as_str().unwrap().contains("tokens_per_s"));
    let page = folder.join("old.html");
    succeeds(["report".as_ref(), file.as_os_str()]);
    let text = std::fs::read_to_string(page).unwrap();
    // Its frames are in it.
    assert!(text.contains("/9j/"), "no JPEG is shown");
    for (format, output) in [
        ("npy", "npy"),
        ("hdf5", "all.h5"),
        ("parquet", "all.parquet"),
    ] {
        let output = folder.join(output);
        succeeds([
            "export".as_ref(),
            file.as_os_str(),
            "--format".as_ref(),
            format.as_ref(),
            "--output".as_ref(),
            output.as_os_str(),
        ]);
    }
    succeeds(["verify".as_ref(), folder.join("all.h5").as_os_str()]);
    let npy = std::fs::metadata(folder.join("npy/short.npy")).unwrap();
    assert_eq!(npy.len(), 128 + 3 * 1280 * 4);
    let recovered = folder.join("recovered.h5");
    succeeds([
        "recover".as_ref(),
        file.as_os_str(),
        "--output".as_ref(),
        recovered.as_os_str(),
    ]);
    let run = earmark(["verify".as_ref(), recovered.as_os_str()]);
    assert!(failure_text(&run).contains("not complete"));
}

#[test]
fn a_damaged_file_is_left_out_of_an_export_and_named() {
    let folder = folder("damage_export");
    let whole = folder.join("in/whole.h5");
    std::fs::create_dir(folder.join("in")).unwrap();
    make(&whole, Precision::F32, false, true);
    let mut bytes = std::fs::read(&whole).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(folder.join("in/bad.h5"), bytes).unwrap();
    for (format, output) in [("npy", "npy"), ("hdf5", "all.h5")] {
        let output = folder.join(output);
        let input = folder.join("in");
        let run = earmark([
            "export".as_ref(),
            input.as_os_str(),
            "--format".as_ref(),
            format.as_ref(),
            "--output".as_ref(),
            output.as_os_str(),
        ]);
        let text = failure_text(&run);
        assert!(
            text.contains("skipped") && text.contains("bad.h5"),
            "{text}"
        );
        assert!(text.contains("exported   1 recordings"), "{text}");
        assert!(output.exists(), "{text}");
    }
    assert!(folder.join("npy/kitchen.npy").exists());
}

#[test]
fn sound_whose_times_step_back_is_not_written() {
    let folder = folder("damage_order");
    let opening = Opening {
        dim: 1,
        ..Opening::default()
    };
    let mut writer = Writer::create(&folder.join("a.h5"), false, &opening).unwrap();
    let cue = |ms| Cue {
        pts: Nanos::from_ms(ms),
        ..Cue::default()
    };
    writer.cue(&cue(160)).unwrap();
    let refused = writer.cue(&cue(80)).unwrap_err().to_string();
    assert!(refused.contains("step back"), "{refused}");
    writer.cue(&cue(240)).unwrap();
    let totals = writer.finish(&Closing::default()).unwrap();
    assert_eq!(totals.cues, 2);
    succeeds(["verify".as_ref(), folder.join("a.h5").as_os_str()]);
}

/// A summary that was lost on the way leaves a budget of nothing.
#[test]
fn spending_without_a_budget_is_reported() {
    let folder = folder("damage_budget");
    let opening = Opening {
        dim: 1,
        ..Opening::default()
    };
    let file = folder.join("a.h5");
    let entry = Entry {
        planned: Nanos::ZERO,
        asked: None,
        tier: Tier::Low,
        tokens: 49,
        reason: Reason::Uniform,
        anchor: None,
    };
    for (budget, whole) in [(49, true), (48, false), (0, false)] {
        let mut writer = Writer::create(&file, true, &opening).unwrap();
        writer
            .frame(&Row {
                pts: Nanos::ZERO,
                entry,
                features: vec![1.0],
                thumbnail: Vec::new(),
                quality: FrameQuality::default(),
                clip: None,
            })
            .unwrap();
        let closing = Closing {
            video_id: "a".into(),
            budget_tokens: budget,
            ..Closing::default()
        };
        writer.finish(&closing).unwrap();
        let run = earmark(["verify".as_ref(), file.as_os_str()]);
        assert_eq!(run.status.success(), whole, "{budget}: {}", said(&run));
        if !whole {
            let spent = format!("49 tokens are spent of a budget of {budget}");
            assert!(
                failure_text(&run).contains(&spent),
                "{budget}: {}",
                said(&run)
            );
        }
    }
}
