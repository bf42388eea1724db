//! Parsing from end to end on made-up features: repeatable, resumable, better with pseudo labels, and clear about what it refuses.
#![expect(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

use std::path::{Path, PathBuf};

use learning::dataset::Split;
use learning::parsing::experiment::{Experiment, Mixup, Similarity, Targets};
use learning::parsing::labelling::{pretrain, pseudo, pseudo_of_names};
use learning::parsing::model::Model;
use learning::parsing::pseudo::Pseudo;
use learning::parsing::score::segments;
use learning::parsing::tasks::{predict, train};
use learning::parsing::videos::{Modality, Videos};
use learning::tensors::{self, Array};
use learning::train::NextStep;
use serde_json::json;

const T: usize = 5;
const C: usize = 3;
const WIDTHS: [usize; 2] = [6, 9];

/// Videos whose classes are heard and seen apart (`together`: at the same time); each class lifts its own values.
fn write(path: &Path, videos: usize, together: bool, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut weak, mut dense, mut split) = (vec![], vec![], vec![]);
    let mut labels = [vec![], vec![]];
    let mut features = [vec![], vec![]];
    for i in 0..videos {
        split.push((i % 4).saturating_sub(1) as u8);
        dense.push(u8::from(together || i % 4 > 1));
        let class = random.usize(..C);
        let other = if together { class } else { random.usize(..C) };
        let mut any = [0; C];
        let mut span = 0..T;
        for (m, class) in [class, other].into_iter().enumerate() {
            if m == 0 || !together {
                let start = random.usize(..T - 1);
                span = start..start + 1 + random.usize(..T - start);
            }
            any[class] = 1;
            for second in 0..T {
                let there = span.contains(&second);
                for c in 0..C {
                    labels[m].push(u8::from(there && c == class));
                }
                for value in 0..WIDTHS[m] {
                    let lift = if there && value % C == class {
                        1.0
                    } else {
                        0.0
                    };
                    features[m].push(3.0 + lift + 0.8 * (random.f32() - 0.5));
                }
            }
        }
        weak.extend(any);
    }
    let names: Vec<String> = (0..videos).map(|i| format!("v{i}")).collect();
    let lengths = vec![T as i64; videos];
    let words: Vec<Vec<f32>> = WIDTHS
        .iter()
        .map(|w| {
            (0..C * w)
                .map(|i| if i % w % C == i / w { 1.0 } else { 0.0 })
                .collect()
        })
        .collect();
    let note = json!({ "layout": "earmark-parsing/1", "classes": ["a", "b", "c"], "names": names });
    let floats = |m: usize| Array::Floats(vec![videos, T, WIDTHS[m]], &features[m]);
    let cells = |m: usize| Array::Bytes(vec![videos, T, C], &labels[m]);
    let arrays = [
        ("audio", floats(0)),
        ("visual", floats(1)),
        ("heard", cells(0)),
        ("seen", cells(1)),
        ("weak", Array::Bytes(vec![videos, C], &weak)),
        ("dense", Array::Bytes(vec![videos], &dense)),
        ("split", Array::Bytes(vec![videos], &split)),
        ("length", Array::Whole(vec![videos], &lengths)),
        ("words_audio", Array::Floats(vec![C, WIDTHS[0]], &words[0])),
        ("words_visual", Array::Floats(vec![C, WIDTHS[1]], &words[1])),
    ];
    let arrays = arrays.map(|(name, array)| (name.to_owned(), array));
    tensors::write(path, &arrays, &note).unwrap();
}

fn small() -> Experiment {
    let mut of = Experiment::default();
    for layers in [&mut of.temporal.encoder, &mut of.parser.encoder] {
        (layers.hidden, layers.heads, layers.feed_forward) = (16, 2, 16);
    }
    for training in [&mut of.temporal.training, &mut of.training] {
        (training.epochs, training.batch, training.lr) = (20, 16, 5e-3);
    }
    of
}

fn everything() -> Experiment {
    let mut of = small();
    (of.parser.tsam, of.parser.plsim) = (true, true);
    of.losses.pseudo = Targets::Uncertainty;
    of.losses.pseudo_video = true;
    of.losses.reweight = true;
    of.losses.mixup = Mixup::Linear;
    of.losses.similarity = Similarity::Dynamic;
    of
}

struct Set {
    _folder: tempfile::TempDir,
    at: PathBuf,
    videos: Videos,
    pseudo: Pseudo,
}

fn set() -> Set {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    write(&at.join("dense.safetensors"), 80, true, 1);
    write(&at.join("weak.safetensors"), 160, false, 2);
    let dense = Videos::open(&at.join("dense.safetensors")).unwrap();
    let model = pretrain(&dense, small(), None, &mut |_| NextStep::On)
        .unwrap()
        .unwrap();
    model.write(&at.join("temporal.safetensors")).unwrap();
    let model = Model::read(&at.join("temporal.safetensors"), "temporal").unwrap();
    let videos = Videos::open(&at.join("weak.safetensors")).unwrap();
    let labels = pseudo(&model, &videos).unwrap();
    labels
        .write(&at.join("pseudo.safetensors"), &videos, &json!(null))
        .unwrap();
    let pseudo = Pseudo::read(&at.join("pseudo.safetensors"), &videos).unwrap();
    assert_eq!(pseudo.logits, labels.logits);
    Set {
        _folder: folder,
        at,
        videos,
        pseudo,
    }
}

/// Type@AV of segments on the test split.
fn score(set: &Set, model: &Model) -> f64 {
    let test = set.videos.of(Split::Test);
    let said = predict(model, &set.videos, Some(&set.pseudo), &test).unwrap();
    let each = test.iter().enumerate().map(|(n, video)| {
        let there = [0, 1].map(|m| said.there(m, n, T, C));
        let truth = Modality::BOTH.map(|m| {
            let labels = set.videos.dense_labels(m, &[*video]);
            labels.iter().map(|x| *x > 0.0).collect::<Vec<_>>()
        });
        segments([&there[0], &there[1]], [&truth[0], &truth[1]], C)
            .iter()
            .sum::<f64>()
            / 3.0
    });
    each.sum::<f64>() / test.len() as f64
}

fn bytes(at: &Path, model: &Model) -> Vec<u8> {
    model.write(&at.join("model.safetensors")).unwrap();
    std::fs::read(at.join("model.safetensors")).unwrap()
}

#[test]
fn pseudo_labels_help_and_training_is_repeatable_and_resumable() {
    let set = set();
    let fit = |of: Experiment| {
        train(&set.videos, Some(&set.pseudo), of, None, &mut |_| {
            NextStep::On
        })
        .unwrap()
        .unwrap()
    };
    let weak = score(&set, &fit(small()));
    let whole = fit(everything());
    let with = score(&set, &whole);
    assert!(
        with > weak + 0.05 && with > 0.6,
        "weak labels {weak}, everything {with}"
    );

    let again = bytes(&set.at, &fit(everything()));
    assert_eq!(
        bytes(&set.at, &whole),
        again,
        "the same seed gives the same bytes"
    );
    let mut other = everything();
    other.training.seed = 1;
    assert_ne!(bytes(&set.at, &fit(other)), again);

    // Names alone tell less than the transformer that was trained on dense labels, and more than nothing.
    let named = pseudo_of_names(&set.videos).unwrap();
    let of_names = train(&set.videos, Some(&named), everything(), None, &mut |_| {
        NextStep::On
    });
    let of_names = score(&set, &of_names.unwrap().unwrap());
    assert!(
        of_names > weak,
        "weak labels {weak}, labels of names {of_names}"
    );

    let checkpoint = set.at.join("checkpoint");
    let stopped = train(
        &set.videos,
        Some(&set.pseudo),
        everything(),
        Some(&checkpoint),
        &mut |epoch| {
            if epoch.number == 3 {
                NextStep::Stop
            } else {
                NextStep::On
            }
        },
    );
    assert!(stopped.unwrap().is_none());
    let mut seen = Vec::new();
    let resumed = train(
        &set.videos,
        Some(&set.pseudo),
        everything(),
        Some(&checkpoint),
        &mut |epoch| {
            seen.push(epoch.number);
            NextStep::On
        },
    );
    assert_eq!(seen, (4..=20).collect::<Vec<_>>());
    assert_eq!(
        bytes(&set.at, &resumed.unwrap().unwrap()),
        again,
        "what was interrupted ends as if it had not been"
    );
    let refused = train(
        &set.videos,
        Some(&set.pseudo),
        small(),
        Some(&checkpoint),
        &mut |_| NextStep::On,
    );
    assert!(format!("{:#}", refused.unwrap_err()).contains("another training"));
}

#[test]
fn what_does_not_fit_together_is_refused_by_name() {
    let set = set();
    let said = |e: anyhow::Error| format!("{e:#}");
    let none = train(&set.videos, None, everything(), None, &mut |_| NextStep::On);
    assert!(said(none.unwrap_err()).contains("needs pseudo labels"));
    let model = Model::read(&set.at.join("temporal.safetensors"), "parser");
    assert!(said(model.unwrap_err()).contains("not a model of kind parser"));
    let data = set.at.join("dense.safetensors");
    let dense = Videos::open(&data).unwrap();
    let pseudo = Pseudo::read(&set.at.join("pseudo.safetensors"), &dense);
    assert!(said(pseudo.unwrap_err()).contains("other videos"));

    let whole = std::fs::read(&data).unwrap();
    std::fs::write(&data, &whole[..whole.len() - 5]).unwrap();
    assert!(said(Videos::open(&data).unwrap_err()).contains("cut off"));
    // A value that is not finite is found when it is read.
    let mut broken = whole.clone();
    let n = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (_, about) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let at = 8 + n + about.info("audio").unwrap().data_offsets.0;
    broken[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&data, &broken).unwrap();
    let broken = Videos::open(&data).unwrap();
    assert!(said(broken.features(Modality::Audio, &[0]).unwrap_err()).contains("must be finite"));

    for (text, wanted) in [
        (r#"{"parser": {"tsma": true}}"#, "unknown field `tsma`"),
        (
            r#"{"parser": {"encoder": {"hidden": 10, "heads": 4}}}"#,
            "does not divide",
        ),
        (
            r#"{"losses": {"temperature": 0}}"#,
            "losses.temperature is 0",
        ),
        (r#"{"training": {"epochs": 0}}"#, "training.epochs is 0"),
    ] {
        let found = said(Experiment::parse(text).unwrap_err());
        assert!(found.contains(wanted), "{found}");
    }
}

#[test]
fn the_rate_rises_and_falls() {
    let mut of = Experiment::default().training;
    (of.epochs, of.warm_up, of.lr, of.lr_end) = (12, 1, 1.0, 0.1);
    let rates: Vec<f64> = (0..12).map(|epoch| of.rate(epoch)).collect();
    assert_eq!((rates[0], rates[1]), (0.5, 1.0));
    assert!(
        (rates[6] - 0.55).abs() < 1e-9 && (rates[11] - 0.1).abs() < 1e-9,
        "{rates:?}"
    );
    assert!(rates[1..].windows(2).all(|w| w[0] > w[1]));
}
