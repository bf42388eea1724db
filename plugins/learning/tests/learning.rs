//! Training from end to end: repeatable, resumable, equal to the plain forward pass, and of use only where there is something to learn.
#![expect(clippy::unwrap_used, reason = "tests may panic, their helpers too")]

use std::path::Path;

use learning::dataset::{Dataset, Split};
use learning::network::{Kind, Sizes, forward, tensor};
use learning::runtime::Head;
use learning::tensors::{self, Array};
use learning::train::{NextStep, Settings, accuracy, train};

use burn::backend::NdArray;
use burn::tensor::{Tensor, TensorData};
use serde_json::json;

const SECONDS: usize = 6;
const VALUES: usize = 12;
const CLASSES: usize = 3;

/// Recordings whose class is in some of the values of each second; with `shuffled`, labels are drawn apart from them.
fn write(path: &Path, recordings: usize, shuffled: bool) {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut features, mut labels, mut split) = (vec![], vec![], vec![]);
    for i in 0..recordings {
        split.push((i % 4).saturating_sub(1) as u8);
        for _ in 0..SECONDS {
            let class = random.usize(..CLASSES);
            labels.push(if shuffled {
                random.usize(..CLASSES)
            } else {
                class
            } as i64);
            for value in 0..VALUES {
                let seen = if value % CLASSES == class { 1.5 } else { 0.0 };
                features.push(5.0 + seen + 2.0 * (random.f32() - 0.5));
            }
        }
    }
    labels[3] = -1;
    let names: Vec<String> = (0..recordings).map(|i| format!("r{i}")).collect();
    let note = json!({ "layout": "earmark-seconds/1", "classes": ["a", "b", "c"], "names": names });
    let arrays = [
        (
            "features".to_owned(),
            Array::Floats(vec![recordings, SECONDS, VALUES], &features),
        ),
        (
            "labels".to_owned(),
            Array::Whole(vec![recordings, SECONDS], &labels),
        ),
        ("split".to_owned(), Array::Bytes(vec![recordings], &split)),
    ];
    tensors::write(path, &arrays, &note).unwrap();
}

fn data(recordings: usize, shuffled: bool) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.safetensors");
    write(&path, recordings, shuffled);
    Dataset::read(&path).unwrap()
}

fn sizes(model: Kind) -> Sizes {
    Sizes {
        model,
        values: VALUES,
        seconds: SECONDS,
        hidden: 16,
        heads: 4,
        classes: CLASSES,
    }
}

fn bytes(head: &Head) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.safetensors");
    head.write(&path).unwrap();
    assert!(path.with_extension("json").exists());
    std::fs::read(path).unwrap()
}

fn whole(data: &Dataset, model: Kind, settings: Settings) -> Head {
    train(data, sizes(model), settings, None, |_| NextStep::On)
        .unwrap()
        .unwrap()
}

#[test]
fn every_head_learns_what_can_be_learned_and_not_shuffled_labels() {
    let (plain, shuffled) = (data(120, false), data(120, true));
    for (model, name) in Kind::ALL {
        let settings = Settings {
            epochs: 30,
            patience: 30,
            lr: 3e-3,
            ..Settings::default()
        };
        let share = |data: &Dataset| {
            let head = whole(data, model, settings);
            accuracy(data, &head, &data.of(Split::Test))
                .unwrap()
                .share()
                .unwrap()
        };
        let (right, chance) = (share(&plain), share(&shuffled));
        assert!(right > 0.9, "{name}: {right}");
        // 180 seconds of three classes: chance is 1/3, with a deviation of .035.
        assert!(
            (chance - 1.0 / 3.0).abs() < 0.14,
            "{name}: {chance} of shuffled labels"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let data = data(24, false);
    for (model, name) in Kind::ALL {
        let settings = Settings {
            epochs: 3,
            ..Settings::default()
        };
        let one = bytes(&whole(&data, model, settings));
        assert!(one == bytes(&whole(&data, model, settings)), "{name}");
        assert!(
            one != bytes(&whole(
                &data,
                model,
                Settings {
                    seed: 1,
                    ..settings
                }
            )),
            "{name}"
        );
    }
}

#[test]
fn training_that_is_interrupted_ends_as_training_that_is_not() {
    let data = data(24, false);
    let folder = tempfile::tempdir().unwrap();
    for (model, name) in Kind::ALL {
        let path = folder.path().join(name);
        let settings = Settings {
            epochs: 6,
            ..Settings::default()
        };
        let mut heads = 0;
        let head = loop {
            // Stopped after every epoch.
            let done = train(&data, sizes(model), settings, Some(&path), |_| {
                NextStep::Stop
            })
            .unwrap();
            heads += 1;
            assert!(heads < 10, "{name} does not end");
            if let Some(head) = done {
                break head;
            }
        };
        assert!(heads > 3, "{name} was not interrupted");
        assert!(
            bytes(&head) == bytes(&whole(&data, model, settings)),
            "{name}"
        );
    }
    // Settings of another training are refused.
    let other = Settings {
        epochs: 6,
        lr: 0.1,
        ..Settings::default()
    };
    let error = train(
        &data,
        sizes(Kind::Mlp),
        other,
        Some(&folder.path().join("mlp")),
        |_| NextStep::On,
    )
    .unwrap_err();
    assert!(error.to_string().contains("another training"), "{error}");
}

#[test]
fn the_trainer_and_the_plain_forward_pass_agree() {
    type B = NdArray<f32>;
    let data = data(24, false);
    let device = Default::default();
    for (model, name) in Kind::ALL {
        let sizes = sizes(model);
        let settings = Settings {
            epochs: 4,
            lr: 1e-2,
            ..Settings::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head.safetensors");
        whole(&data, model, settings).write(&path).unwrap();
        let head = Head::read(&path).unwrap();
        let (bytes, _) = tensors::bytes(&path).unwrap();
        let (file, _) = tensors::open(&path, &bytes).unwrap();
        let mut all = tensors::matrices(&path, &file, "").unwrap();
        let (mean, scale) = (
            all.remove("input.mean").unwrap(),
            all.remove("input.scale").unwrap(),
        );
        let weights = all
            .iter()
            .map(|(name, m)| (name.clone(), tensor::<B>(m, &device)))
            .collect();
        let recordings = [0, 5, 9];
        let x: Vec<f32> = recordings
            .iter()
            .flat_map(|i| data.recording(*i).to_vec())
            .collect();
        let x = Tensor::<B, 2>::from_data(
            TensorData::new(x, [recordings.len() * SECONDS, VALUES]),
            &device,
        );
        let x = (x - tensor(&mean, &device)) * tensor(&scale, &device);
        let trained = forward(sizes, &weights, x, None)
            .into_data()
            .to_vec::<f32>()
            .unwrap();
        let plain: Vec<f32> = recordings
            .iter()
            .flat_map(|i| {
                head.scores(data.recording(*i))
                    .unwrap()
                    .into_raw_vec_and_offset()
                    .0
            })
            .collect();
        let off = trained
            .iter()
            .zip(&plain)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(
            off < 1e-4 && plain.iter().any(|x| x.abs() > 0.1),
            "{name}: {off}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.safetensors");
    let refused = || format!("{:#}", Dataset::read(&path).unwrap_err());
    assert!(refused().contains("cannot read"));
    std::fs::write(&path, b"no tensors").unwrap();
    assert!(refused().contains("not a safetensors file"));
    let good = json!({ "layout": "earmark-seconds/1", "classes": ["a", "b"], "names": ["r"] });
    let spoilt = |features: &[f32], label: i64, split: u8, note: &serde_json::Value| {
        let labels = [label];
        let split = [split];
        let arrays = [
            (
                "features".to_owned(),
                Array::Floats(vec![1, 1, features.len()], features),
            ),
            ("labels".to_owned(), Array::Whole(vec![1, 1], &labels)),
            ("split".to_owned(), Array::Bytes(vec![1], &split)),
        ];
        tensors::write(&path, &arrays, note).unwrap();
    };
    spoilt(&[1.0], 0, 0, &good);
    let whole = std::fs::read(&path).unwrap();
    Dataset::read(&path).unwrap();
    for (features, label, split, note, word) in [
        (&[f32::NAN][..], 0, 0, good.clone(), "must be finite"),
        (&[1.0], 2, 0, good.clone(), "second 0, is 2"),
        (&[1.0], 0, 7, good.clone(), "split of `r` is 7"),
        (&[], 0, 0, good.clone(), "no axis may be empty"),
        (
            &[1.0],
            0,
            0,
            json!({ "layout": "x" }),
            "must be \"earmark-seconds/1\"",
        ),
        (
            &[1.0],
            0,
            0,
            json!({ "layout": "earmark-seconds/1", "classes": ["a", "b"], "names": [] }),
            "0 names",
        ),
    ] {
        spoilt(features, label, split, &note);
        assert!(refused().contains(word), "{}", refused());
    }
    // Any byte may be spoilt: an answer, and no panic.
    for at in 0..whole.len() {
        for byte in [0, 0x7b, 0xff] {
            let mut spoilt = whole.clone();
            spoilt[at] = byte;
            std::fs::write(&path, &spoilt).unwrap();
            let _ = Dataset::read(&path);
            let _ = Head::read(&path);
        }
    }
    // Only validation and test: nothing to train on.
    spoilt(&[1.0], 0, 2, &good);
    let data = Dataset::read(&path).unwrap();
    let sizes = Sizes {
        model: Kind::Mlp,
        values: 1,
        seconds: 1,
        hidden: 4,
        heads: 1,
        classes: 2,
    };
    let error = train(&data, sizes, Settings::default(), None, |_| NextStep::On).unwrap_err();
    assert!(error.to_string().contains("training split"), "{error}");
}
