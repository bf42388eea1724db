//! Weights are read completely, or refused with a reason.

use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};

use super::*;
use crate::listener::discount_speech;
use crate::onset::inputs::INPUTS;
use crate::onset::probe::Probe;
use crate::onset::spec::{ONSET, ONSET_TCN};

/// A file of these tensors with this entry `ears`.
fn file(ears: &str, tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, shape, x)| {
            (
                *name,
                shape.clone(),
                x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            )
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, x)| {
        (
            *name,
            TensorView::new(Dtype::F32, shape.clone(), x).unwrap(),
        )
    });
    serialize(
        views,
        Some([(ENTRY.to_owned(), ears.to_owned())].into_iter().collect()),
    )
    .unwrap()
}

const ABOUT: &str = r#"{"schema": "earmark-ears/1", "name": "tiny", "mlps": [{"name": "a", "inputs": ["snr", "jump"]}],
    "probes": {"onset": {"mix": ["a"], "temperature": 2, "knots": [[0.25, 0], [0.75, 1]]}}}"#;

fn tensors() -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
    vec![
        ("mlp.a.mean", vec![2], vec![1.0, 0.0]),
        ("mlp.a.scale", vec![2], vec![2.0, 1.0]),
        ("mlp.a.0.weight", vec![2, 1], vec![1.0, 10.0]),
        ("mlp.a.0.bias", vec![1], vec![0.5]),
    ]
}

#[test]
fn inputs_are_found_by_name_and_logits_calibrated() {
    let weights = Weights::read(&file(ABOUT, &tensors())).unwrap();
    let mut all = [0.0; INPUTS];
    let at = |name| input_index(name).unwrap();
    all[at("snr")] = 3.0;
    all[at("jump")] = 0.1;
    assert!((weights.mlp("a").unwrap().logit(&all, &Default::default()) - 2.5).abs() < 1e-6);
    let calibration = &weights.probe(ONSET).unwrap().calibration;
    // Half way between the knots, and beyond them.
    assert!((calibration.apply(0.0) - 0.5).abs() < 1e-6);
    assert_eq!(
        (calibration.apply(-9.0), calibration.apply(9.0)),
        (0.0, 1.0)
    );
    assert_eq!(calibration.apply(f32::NAN), 0.0);
}

#[test]
fn the_weights_that_come_with_the_crate_have_both_probes() {
    let weights = Weights::embedded().unwrap();
    assert!(weights.tcn().is_some());
    for name in [ONSET, ONSET_TCN] {
        assert!(weights.probe(name).is_some(), "{name}");
    }
}

#[test]
fn speech_discounts_onsets_fully_unless_the_file_says_less() {
    let speech_discount = |spec: &str| {
        let weights = Weights::read(&file(spec, &tensors())).unwrap();
        Probe::Onset(Arc::new(weights)).speech_discount()
    };
    let less = ABOUT.replace("\"temperature\": 2", "\"voiced\": 0.25");
    assert_eq!(
        (speech_discount(ABOUT), speech_discount(&less)),
        (1.0, 0.25)
    );
    assert_eq!(Probe::Flux.speech_discount(), 1.0);
    assert_eq!(discount_speech(0.8, 0.5, 0.25), 0.7);
}

#[test]
fn a_file_without_weights_is_refused() {
    let good = file(ABOUT, &tensors());
    assert!(matches!(Weights::read(&[]), Err(WeightsError::Format(_))));
    assert!(matches!(
        Weights::read(b"PK\x03\x04 something else"),
        Err(WeightsError::Format(_))
    ));
    for cut in 0..good.len() {
        assert!(Weights::read(&good[..cut]).is_err(), "cut at {cut}");
    }
    let other = serialize(std::iter::empty::<(&str, TensorView<'_>)>(), None).unwrap();
    assert_eq!(
        Weights::read(&other).unwrap_err(),
        WeightsError::NotProbeWeights
    );
}

#[test]
fn each_mistake_is_named() {
    for (from, to, named) in [
        ("earmark-ears/1", "earmark-ears/9", "schema"),
        ("\"snr\"", "\"loudness\"", "`loudness`"),
        ("\"snr\"", "\"probe_max\"", "the file has none"),
        ("\"mix\": [\"a\"]", "\"mix\": [\"b\"]", "probes.onset.mix"),
        ("\"mix\": [\"a\"]", "\"mix\": []", "probes.onset.mix"),
        (
            "\"temperature\": 2",
            "\"temperature\": 0",
            "probes.onset.temperature",
        ),
        ("0.75, 1", "0.75, -1", "probes.onset.knots"),
        (
            "\"temperature\": 2",
            "\"voiced\": 1.5",
            "probes.onset.voiced",
        ),
        ("\"onset\":", "\"offset\":", "`offset`"),
        (
            "\"name\": \"tiny\"",
            "\"name\": \"tiny\", \"typo\": 1",
            "typo",
        ),
    ] {
        assert!(ABOUT.contains(from));
        let error = Weights::read(&file(&ABOUT.replace(from, to), &tensors())).unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    for (name, shape, values, named) in [
        ("mlp.a.mean", vec![1], vec![1.0], "[2]"),
        ("mlp.a.scale", vec![2], vec![1.0, 0.0], "scale of zero"),
        ("mlp.a.0.weight", vec![3, 1], vec![1.0; 3], "[2, 1..=1024]"),
        ("mlp.a.0.bias", vec![1], vec![f32::NAN], "NaN"),
        ("mlp.a.0.bias", vec![1, 1], vec![0.0], "F32 [1, 1]"),
    ] {
        let mut all = tensors();
        all.retain(|(other, ..)| *other != name);
        let error = Weights::read(&file(ABOUT, &all)).unwrap_err();
        assert_eq!(error, WeightsError::Missing(name.into()));
        all.push((name, shape, values));
        let error = Weights::read(&file(ABOUT, &all)).unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
}

#[test]
fn peers_join_before_the_second_layer() {
    let spec = ABOUT.replace(
        "[\"snr\", \"jump\"]",
        "[\"snr\", \"jump\"], \"peers\": [\"ago\"]",
    );
    let mut all = tensors();
    all.retain(|(name, ..)| !name.contains(".0."));
    all.extend([
        ("mlp.a.0.weight", vec![2, 1], vec![1.0, 10.0]),
        ("mlp.a.0.bias", vec![1], vec![0.5]),
        ("mlp.a.peers.mean", vec![1], vec![0.0]),
        ("mlp.a.peers.scale", vec![1], vec![1.0]),
        ("mlp.a.peers.0.weight", vec![3, 1], vec![1.0; 3]),
        ("mlp.a.peers.0.bias", vec![1], vec![0.0]),
        ("mlp.a.peers.1.weight", vec![1, 1], vec![1.0]),
        ("mlp.a.peers.1.bias", vec![1], vec![0.0]),
        ("mlp.a.1.weight", vec![3, 1], vec![1.0, 2.0, 4.0]),
        ("mlp.a.1.bias", vec![1], vec![0.25]),
    ]);
    let weights = Weights::read(&file(&spec, &all)).unwrap();
    let mut inputs = [0.0; INPUTS];
    inputs[input_index("snr").unwrap()] = 3.0;
    // ((3 - 1) / 2) + 0.5, without earlier peaks.
    let alone = weights
        .mlp("a")
        .unwrap()
        .logit(&inputs, &Default::default());
    assert!((alone - 1.75).abs() < 1e-6, "{alone}");
    // Comparison with a peak one second earlier: ln(1.05) + 1 + 0 from the peer, 0.3 of it as sum, all of it as maximum.
    let mut stream = crate::onset::peak_features::PeakFeatureStream::new();
    let mut found = Vec::new();
    for t in 0..600 {
        let loud = [300, 400].iter().any(|at| (*at..at + 20).contains(&t));
        found.extend(stream.push_frame(&[if loud { 1.0 } else { 0.1 }; BANDS]));
    }
    let comparisons = &found.last().unwrap().comparisons;
    assert_eq!(comparisons.rows().len(), 1);
    let with = weights.mlp("a").unwrap().logit(&inputs, comparisons);
    let peer = 1.05f32.ln() + 1.0;
    assert!(
        (with - (alone + 2.0 * 0.3 * peer + 4.0 * peer)).abs() < 1e-4,
        "{with}"
    );
    let error = Weights::read(&file(&spec.replace("ago", "then"), &all)).unwrap_err();
    assert!(error.to_string().contains("`then`"), "{error}");
    // There is no second layer.
    let mut one = all.clone();
    one.retain(|(name, ..)| !name.starts_with("mlp.a.1"));
    let error = Weights::read(&file(&spec, &one)).unwrap_err();
    assert_eq!(error, WeightsError::Missing("mlp.a.1.weight".into()));
}

#[test]
fn inputs_that_need_the_metric_require_it() {
    let spec = ABOUT.replace("\"snr\"", "\"steady\"");
    assert_ne!(spec, ABOUT);
    let mut all = tensors();
    let error = Weights::read(&file(&spec, &all)).unwrap_err();
    assert_eq!(error, WeightsError::Missing("metric.mean".into()));
    all.push(("metric.mean", vec![BANDS], vec![-3.0; BANDS]));
    all.push((
        "metric.weight",
        vec![BANDS, BANDS],
        vec![0.5; BANDS * BANDS],
    ));
    let weights = Weights::read(&file(&spec, &all)).unwrap();
    assert_eq!(weights.metric().unwrap().mean()[0], -3.0);
    all.pop();
    all.push(("metric.weight", vec![BANDS, 3], vec![0.5; BANDS * 3]));
    assert!(Weights::read(&file(&spec, &all)).is_err());
}

#[test]
fn a_tcn_must_fit_together() {
    let spec = ABOUT.replace(
        "\"probes\"",
        "\"tcn\": {\"stride\": 2, \"first_pad\": 1, \"dilations\": [1], \"delay\": 3}, \"probes\"",
    );
    let mut all = tensors();
    all.extend([
        ("tcn.scale", vec![BANDS], vec![1.0; BANDS]),
        ("tcn.shift", vec![BANDS], vec![0.0; BANDS]),
        (
            "tcn.first.weight",
            vec![2, BANDS, 5],
            vec![0.1; 2 * BANDS * 5],
        ),
        ("tcn.first.bias", vec![5], vec![0.0; 5]),
        ("tcn.0.weight", vec![3, 5, 5], vec![0.1; 75]),
        ("tcn.0.bias", vec![5], vec![0.0; 5]),
        ("tcn.out.weight", vec![5, 2], vec![0.1; 10]),
        ("tcn.out.bias", vec![2], vec![0.0; 2]),
    ]);
    assert!(Weights::read(&file(&spec, &all)).is_ok());
    for (from, to, named) in [
        ("\"first_pad\": 1", "\"first_pad\": 2", "first_pad"),
        ("[1]", "[0]", "dilations"),
        ("[1]", "[1, 2]", "tcn.1.weight"),
        ("\"stride\": 2", "\"stride\": 0", "stride"),
    ] {
        let error = Weights::read(&file(&spec.replace(from, to), &all)).unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
    }
    let layer = all
        .iter_mut()
        .find(|(name, ..)| *name == "tcn.0.weight")
        .unwrap();
    *layer = ("tcn.0.weight", vec![3, 5, 4], vec![0.1; 60]);
    let error = Weights::read(&file(&spec, &all)).unwrap_err();
    assert!(error.to_string().contains("tcn.0.weight"), "{error}");
}
