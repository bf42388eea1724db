//! Mel frames and flux agree with the golden arrays of the study (`../shared/anchors`), where that folder exists.

#![expect(
    clippy::unwrap_used,
    reason = "a golden file that can't be read fails the test"
)]

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use anchoring::hearing::flux::{FluxStream, REFERENCES};
use anchoring::hearing::mel::{BANDS, MelStream};
use anchoring::onset::peak_features::{FEATURE_NAMES, FEATURES, PeakFeatureStream, PeakFeatures};
use anchoring::onset::probe::{Probe, ProbeStream, tcn_features};
use anchoring::onset::tcn::TcnStream;
use anchoring::onset::weights::Weights;
use anchoring::time::Nanos;
use symphonia::core::formats::TrackType;
use symphonia::core::io::MediaSourceStream;

const TOLERANCE: f32 = 1e-3;

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("EARMARK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("anchors");
    folder.join("golden.npz").is_file().then_some(folder)
}

/// Mono samples of a FLAC file.
fn flac(path: PathBuf) -> Vec<f32> {
    let file = Box::new(std::fs::File::open(path).unwrap());
    let stream = MediaSourceStream::new(file, Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(
            &Default::default(),
            stream,
            Default::default(),
            Default::default(),
        )
        .unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &Default::default())
        .unwrap();
    let mut all = Vec::new();
    let mut some: Vec<f32> = Vec::new();
    while let Some(packet) = format.next_packet().unwrap() {
        let decoded = decoder.decode(&packet).unwrap();
        some.resize(decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut some);
        all.extend_from_slice(&some);
    }
    all
}

/// The two-dimensional f32 arrays of an `.npz`: a zip archive of `.npy` files. Name -> columns and row-major values.
fn npz(path: PathBuf) -> HashMap<String, (usize, Vec<f32>)> {
    let zip = std::fs::read(path).unwrap();
    let u16_at = |i: usize| usize::from(u16::from_le_bytes([zip[i], zip[i + 1]]));
    let u32_at = |i: usize| u16_at(i) | u16_at(i + 2) << 16;
    // The end record is last; it says how many entries the directory has and where it begins.
    let end = (0..=zip.len() - 22)
        .rev()
        .find(|&i| zip[i..].starts_with(b"PK\x05\x06"))
        .unwrap();
    let mut arrays = HashMap::new();
    let mut at = u32_at(end + 16);
    for _ in 0..u16_at(end + 10) {
        let (method, packed, name) = (u16_at(at + 10), u32_at(at + 20), u16_at(at + 28));
        let local = u32_at(at + 42);
        let path = String::from_utf8(zip[at + 46..at + 46 + name].to_vec()).unwrap();
        let data = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let npy = match method {
            0 => zip[data..data + packed].to_vec(),
            _ => miniz_oxide::inflate::decompress_to_vec(&zip[data..data + packed]).unwrap(),
        };
        at += 46 + name + u16_at(at + 30) + u16_at(at + 32);
        let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
        let text = String::from_utf8_lossy(&npy[10..header]);
        if !text.contains("'<f4'") || !text.contains("'fortran_order': False") {
            continue;
        }
        let shape = text.split(['(', ')']).nth(1).unwrap();
        let sizes: Vec<usize> = shape
            .split(',')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        let values = npy[header..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let name = path.trim_end_matches(".npy").to_owned();
        arrays.insert(name, (sizes.get(1).copied().unwrap_or(1), values));
    }
    arrays
}

#[test]
fn mel_and_flux_agree_with_the_golden_arrays() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/anchors is not there (set EARMARK_SHARED to say where)");
        return;
    };
    let samples = flac(folder.join("golden.flac"));
    assert_eq!(samples.len(), 640_000);
    let golden = npz(folder.join("golden.npz"));
    let (bands, golden_mel) = &golden["mel"];
    let (references, golden_flux) = &golden["flux"];
    assert_eq!((*bands, *references), (BANDS, 6));

    let mut mel = Vec::new();
    MelStream::new().push(&samples, |frame| mel.push(*frame));
    let mut flux = FluxStream::new();
    let mut strengths: Vec<_> = mel.iter().filter_map(|frame| flux.push(frame)).collect();

    let rows = golden_mel.len() / BANDS;
    strengths.extend(flux.finish());
    assert!(rows > 3_900 && mel.len() >= rows && strengths.len() >= rows);
    for (t, row) in golden_mel.chunks(BANDS).enumerate() {
        for (ours, theirs) in mel[t].iter().zip(row) {
            assert!(
                (ours - theirs).abs() < 1e-5 * theirs.abs().max(1.0),
                "mel, frame {t}: {ours} {theirs}"
            );
        }
    }
    // The golden arrays were made from the whole file at once: they mirror it at its beginning, and have smoothed their last frame
    // with nothing after it. A stream has no future, so it is compared once its reference is full.
    for (t, row) in golden_flux.chunks(6).enumerate().take(rows - 1) {
        for (r, (ours, theirs)) in strengths[t].flux.iter().zip(row).enumerate() {
            if t > REFERENCES[r] + 3 || t < 5 {
                assert!(
                    (ours - theirs).abs() < TOLERANCE,
                    "flux_{}, frame {t}: {ours} {theirs}",
                    REFERENCES[r]
                );
            }
        }
    }
}

#[test]
fn candidates_and_their_features_agree_with_the_golden_arrays() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/anchors is not there (set EARMARK_SHARED to say where)");
        return;
    };
    let samples = flac(folder.join("golden.flac"));
    let golden = npz(folder.join("golden.npz"));
    let (columns, features) = &golden["A"];
    assert_eq!(*columns, FEATURES);

    let (mut mel, mut stream) = (MelStream::new(), PeakFeatureStream::new());
    let mut found = Vec::new();
    mel.push(&samples, |frame| found.extend(stream.push_frame(frame)));
    found.extend(stream.finish());
    // There is one more in the first second, which the golden arrays compare with its own mirror image.
    found.retain(|c| c.frame > 100);
    assert_eq!(found.len(), features.len() / FEATURES);
    // What looks back further than the recording goes sees the mirror image there.
    let back = |name: &str| match name {
        "lR100" | "prevmax" => 310,
        "lR200" => 210,
        "lR400" => 410,
        "busy" => 230,
        "gap2" => 210,
        "since" | "sincelevel" | "sim3" | "sim10" | "ldiff" => 1030,
        _ => 0,
    };
    for (candidate, row) in found.iter().zip(features.chunks(FEATURES)) {
        for ((name, ours), theirs) in FEATURE_NAMES.iter().zip(candidate.features).zip(row) {
            if candidate.frame >= back(name) {
                assert!(
                    (ours - theirs).abs() < TOLERANCE,
                    "{name} of the candidate at {}: {ours} {theirs}",
                    candidate.at()
                );
            }
        }
    }
}

/// The study's weights, with which the golden arrays were made; the shipped ones are others.
fn study() -> Arc<Weights> {
    Arc::new(Weights::read(include_bytes!("study.safetensors")).unwrap())
}

#[test]
fn networks_agree_with_the_golden_arrays() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/anchors is not there (set EARMARK_SHARED to say where)");
        return;
    };
    let samples = flac(folder.join("golden.flac"));
    let golden = npz(folder.join("golden.npz"));
    let (_, features) = &golden["B"];
    let weights = study();
    let mut tcn = TcnStream::new(Arc::clone(weights.tcn().unwrap()));
    let mut stream = PeakFeatureStream::new();
    let (mut frames, mut waiting, mut views) = (Vec::new(), VecDeque::new(), Vec::new());
    MelStream::new().push(&samples, |frame| frames.push(*frame));
    for (t, frame) in frames.iter().enumerate() {
        tcn.push_frame(frame);
        waiting.extend(stream.push_frame(frame).filter(|c| c.frame > 100));
        if waiting
            .front()
            .is_some_and(|c: &PeakFeatures| t as u64 >= c.frame + 46)
        {
            tcn.advance();
            views.push(tcn_features(&tcn, &waiting.pop_front().unwrap()));
        }
        // As many as are remembered.
        if t % 400 == 399 || t == frames.len() - 1 {
            tcn.advance();
            let (_, logits) = &golden["probe_raw"];
            let rows = logits.chunks(2).enumerate();
            for (i, row) in rows
                .take(tcn.outputs() as usize)
                .skip(tcn.outputs().saturating_sub(200) as usize)
            {
                let ours = tcn.output(i as i64);
                for (ours, theirs) in [(ours.onset, row[0]), (ours.active, row[1])] {
                    // The golden arrays end with a frame of nothing.
                    assert!(
                        (ours - theirs).abs() < TOLERANCE || i + 1 == logits.len() / 2,
                        "output {i}: {ours} {theirs}"
                    );
                }
            }
        }
    }
    for (i, (ours, theirs)) in views.iter().zip(features.chunks(25)).enumerate() {
        for (ours, theirs) in ours.iter().zip(&theirs[FEATURES..]) {
            assert!(
                (ours - theirs).abs() < TOLERANCE,
                "view of candidate {i}: {ours} {theirs}"
            );
        }
    }
    assert!(views.len() * 25 + 25 >= features.len());
}

#[test]
fn probabilities_agree_with_the_golden_arrays() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/anchors is not there (set EARMARK_SHARED to say where)");
        return;
    };
    let samples = flac(folder.join("golden.flac"));
    let golden = npz(folder.join("golden.npz"));
    for (probe, name) in [
        (Probe::Onset(study()), "p_dsp"),
        (Probe::OnsetTcn(study()), "p"),
    ] {
        let (mut mel, mut stream) = (MelStream::new(), ProbeStream::new(&probe));
        let mut found = Vec::new();
        mel.push(&samples, |frame| {
            stream.push_frame(frame);
            found.extend(stream.next_onset());
        });
        stream.finish();
        found.extend(std::iter::from_fn(|| stream.next_onset()));
        found.retain(|heard| heard.at > Nanos::from_ms(1_000));
        let (_, theirs) = &golden[name];
        assert_eq!(found.len(), theirs.len());
        // Before that, what looks back is mirrored in the golden arrays.
        let late = found
            .iter()
            .zip(theirs)
            .filter(|(heard, _)| heard.at > Nanos::from_ms(10_300));
        assert!(late.clone().count() > 30);
        for (heard, theirs) in late {
            assert!(
                (heard.p - theirs).abs() < TOLERANCE,
                "{name} at {}: {} {theirs}",
                heard.at,
                heard.p
            );
        }
    }
}
