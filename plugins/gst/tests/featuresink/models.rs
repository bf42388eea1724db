//! Any ONNX file with a manifest works; the shipped ones agree with their golden outputs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anchoring::tier::Tier;
use gstearmark::models::{self, ModelError};
use gstearmark::onnx::{Device, load_encoder, load_probe, load_tagger, load_voice};
use gstearmark::structures::cue_from_text;

use crate::{feed, tiny};

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_encoder_that_the_user_brings_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut encoder = load_encoder(
        name(&tiny::encoder(dir.path(), |m| m)),
        1,
        Device::default(),
    )
    .unwrap();
    assert_eq!(encoder.dim(), 3);
    for (n, px) in [(1, 112), (3, 448), (2, 7)] {
        let pictures: Vec<f32> = (0..n * 3).flat_map(|k| vec![k as f32; px * px]).collect();
        let colours = encoder.encode(n, px, &pictures, <[f32]>::to_vec).unwrap();
        let wanted: Vec<f32> = (0..n * 3).map(|k| k as f32).collect();
        assert!(
            colours
                .iter()
                .zip(&wanted)
                .all(|(a, b)| (a - b).abs() < 1e-3),
            "{colours:?}"
        );
    }
}

#[test]
fn a_tagger_that_the_user_brings_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut tagger = load_tagger(name(&tiny::tagger(dir.path())), 1).unwrap();
    assert_eq!(tagger.labels()[3], "Band 3, of eight");
    // Band group k holds k / 10.
    let mel: Vec<f32> = (0..96 * 64).map(|i| (i % 64 / 8) as f32 / 10.0).collect();
    let (tags, speech) = tagger.tag(&mel).unwrap();
    assert_eq!(
        tags.iter().map(|tag| tag.class_id).collect::<Vec<_>>(),
        [7, 6, 5, 4, 3]
    );
    assert!((tags[0].p - 0.7).abs() < 1e-5);
    assert!((speech - 0.2).abs() < 1e-5);
}

#[test]
fn patches_shown_together_are_named_as_those_shown_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut tagger = load_tagger(name(&tiny::tagger(dir.path())), 1).unwrap();
    assert!(tagger.takes_many());
    let mels: Vec<Vec<f32>> = (1..4)
        .map(|n| {
            (0..96 * 64)
                .map(|i| (i % 64 * n % 50) as f32 / 50.0)
                .collect()
        })
        .collect();
    let alone: Vec<_> = mels.iter().map(|mel| tagger.tag(mel).unwrap()).collect();
    assert_eq!(tagger.tag_all(3, &mels.concat()).unwrap(), alone);

    feed::init();
    let cues = |batch: u32, step: usize| {
        // To learned probes the same stroke again is nothing new.
        let element = gst::ElementFactory::make("eventness")
            .property_from_str("probe", "flux")
            .property_from_str("tagger", name(&tiny::tagger(dir.path())))
            .property("batch", batch)
            .build()
            .unwrap();
        let mut ears = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        ears.set_src_caps_str(
            "audio/x-raw, format=F32LE, rate=16000, channels=1, layout=interleaved",
        );
        ears.play();
        // Noise, louder for a while every three seconds: what the tagger says of it lies between 0 and 1.
        let mut noise = 1_u32;
        let samples: Vec<f32> = (0..640_000_u32)
            .map(|n| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let white = noise as f32 / u32::MAX as f32 - 0.5;
                let fading = (-((n % 48_000) as f32) / 4000.0).exp();
                white * (0.1 + fading)
            })
            .collect();
        for (n, some) in samples.chunks(step).enumerate() {
            let bytes: Vec<u8> = some.iter().flat_map(|x| x.to_le_bytes()).collect();
            let mut buffer = gst::Buffer::from_mut_slice(bytes);
            let at = gst::ClockTime::from_nseconds((n * step) as u64 * 62_500);
            buffer.get_mut().unwrap().set_pts(at);
            ears.push(buffer).unwrap();
        }
        ears.push_event(gst::event::Eos::new());
        std::iter::from_fn(|| ears.try_pull())
            .map(|cue| cue_from_text(&cue.map_readable().unwrap()).unwrap())
            .collect::<Vec<_>>()
    };
    let alone = cues(1, 1600);
    assert_eq!(alone.len(), 500);
    assert!(
        alone.iter().any(|cue| cue.tags.is_empty()) && alone.iter().any(|cue| !cue.tags.is_empty())
    );
    for (batch, step) in [(2, 1600), (8, 160), (8, 50_000)] {
        assert!(cues(batch, step) == alone, "{batch} {step}");
    }
}

#[test]
fn a_manifest_that_lies_about_its_model_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, word) in [
        ("dim: 3", "dim: 4", "output.dim is 4"),
        ("name: picture", "name: image", "input.name is \"image\""),
        (
            "{ name: colour, dim",
            "{ name: other, dim",
            "output.name is \"other\"",
        ),
    ] {
        let path = tiny::encoder(dir.path(), |m| m.replace(from, to));
        let err = load_encoder(name(&path), 1, Device::default())
            .err()
            .unwrap()
            .to_string();
        assert!(err.contains(word), "{err}");
    }
}

#[test]
fn altered_missing_and_misplaced_models_have_different_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny::encoder(dir.path(), |m| m);
    assert!(matches!(
        load_tagger(name(&path), 1),
        Err(ModelError::Kind { .. })
    ));
    let onnx = dir.path().join("colour.onnx");
    let mut altered = std::fs::read(&onnx).unwrap();
    altered.push(0);
    std::fs::write(&onnx, altered).unwrap();
    assert!(matches!(
        load_encoder(name(&path), 1, Device::default()),
        Err(ModelError::Altered { .. })
    ));
    std::fs::remove_file(&onnx).unwrap();
    assert!(matches!(
        load_encoder(name(&path), 1, Device::default()),
        Err(ModelError::Missing { .. })
    ));
    assert!(matches!(
        load_encoder("no-such-model", 1, Device::default()),
        Err(ModelError::Unknown { .. })
    ));
}

#[test]
fn the_shipped_models_are_listed_and_whole() {
    let listed = models::list();
    for wanted in ["efficientnet-lite0", "yamnet"] {
        let entry = listed
            .iter()
            .find(|entry| entry.path.ends_with(format!("{wanted}.yaml")))
            .unwrap();
        entry.manifest.as_ref().unwrap().check().unwrap();
    }
    let version = gstearmark::onnx::runtime_version().unwrap();
    assert!(version.starts_with("1."), "{version}");
}

/// The f32 arrays of an `.npz`, by name.
fn npz(path: PathBuf) -> HashMap<String, Vec<f32>> {
    let zip = std::fs::read(path).unwrap();
    let half = |at: usize| usize::from(u16::from_le_bytes([zip[at], zip[at + 1]]));
    let word = |at: usize| half(at) | half(at + 2) << 16;
    let end = zip
        .windows(4)
        .rposition(|four| four == b"PK\x05\x06")
        .unwrap();
    let mut at = word(end + 16);
    let mut arrays = HashMap::new();
    for _ in 0..half(end + 10) {
        let (packed, local) = (word(at + 20), word(at + 42));
        let name = String::from_utf8(zip[at + 46..][..half(at + 28)].to_vec()).unwrap();
        let data = &zip[local + 30 + half(local + 26) + half(local + 28)..][..packed];
        let npy = match half(at + 10) {
            0 => data.to_vec(),
            _ => miniz_oxide::inflate::decompress_to_vec(data).unwrap(),
        };
        let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
        assert!(String::from_utf8_lossy(&npy[..header]).contains("'<f4'"));
        let numbers = npy[header..]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        arrays.insert(name.trim_end_matches(".npy").to_owned(), numbers.collect());
        at += 46 + half(at + 28) + half(at + 30) + half(at + 32);
    }
    arrays
}

fn golden(file: &str) -> HashMap<String, Vec<f32>> {
    npz(Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models/golden")
        .join(file))
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn efficientnet_gives_the_original_embeddings() {
    gives_the_original_embeddings("efficientnet-lite0", "efficientnet_lite0_golden.npz");
}

#[test]
fn the_optional_efficientnet_does_too() {
    let optional = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/optional");
    let manifest = optional.join("efficientnet-lite2.yaml");
    if !optional
        .join("../built/optional/efficientnet-lite2.onnx")
        .exists()
    {
        eprintln!("skipped: EfficientNet-Lite2 is not installed; `make setup-lite2` does");
        return;
    }
    gives_the_original_embeddings(manifest.to_str().unwrap(), "efficientnet_lite2_golden.npz");
}

fn gives_the_original_embeddings(model: &str, file: &str) {
    let golden = golden(file);
    let mut encoder = load_encoder(model, 2, Device::default()).unwrap();
    for tier in Tier::ALL {
        let px = encoder.tier(tier).unwrap().px;
        // The golden input, already normalised, twice: a batch gives what single frames give.
        let at = |k: usize| (k % px) as f64 / px as f64;
        let pixel = |c: usize, k: usize| {
            let (x, y) = (at(k), (k / px) as f64 / px as f64);
            match c {
                0 => (12.0 * x + 5.0 * y).sin() as f32,
                1 => (9.0 * y - 4.0 * x * x).cos() as f32,
                _ => (20.0 * x * y).sin() as f32,
            }
        };
        let picture: Vec<f32> = (0..3)
            .flat_map(|c| (0..px * px).map(move |k| pixel(c, k)))
            .collect();
        let both = encoder
            .encode(2, px, &[picture.clone(), picture].concat(), <[f32]>::to_vec)
            .unwrap();
        for embedding in both.chunks(encoder.dim()) {
            let far = furthest(embedding, &golden[&format!("embedding_{px}")]);
            assert!(far < 1e-4, "{px} px: {far}");
        }
    }
}

#[test]
fn yamnet_gives_the_original_scores() {
    let golden = golden("yamnet_golden.npz");
    let mut tagger = load_tagger("yamnet", 1).unwrap();
    assert_eq!(tagger.labels().len(), 521);
    for sound in ["chirp", "clicks", "sine1k"] {
        let scores = tagger.scores(&golden[&format!("{sound}_log_mel")]).unwrap();
        let far = furthest(&scores, &golden[&format!("{sound}_scores")]);
        assert!(far < 1e-3, "{sound}: {far}");
    }
}

#[test]
fn silero_gives_the_original_probabilities() {
    let golden = golden("silero_vad_golden.npz");
    let mut voice = load_voice("silero-vad").unwrap();
    // A buzz with three gliding resonances after half a second of nothing, as models/build.py makes it.
    let samples: Vec<f32> = (0..32_768)
        .map(|n| {
            let t = f64::from(n) / 16_000.0;
            let peaks = [
                600.0 + 150.0 * (6.0 * t).sin(),
                1300.0 + 300.0 * (5.0 * t).cos(),
                2500.0,
            ];
            let sound: f64 = (1..25)
                .map(|k| {
                    let pitch = 140.0 * f64::from(k);
                    let gain: f64 = peaks
                        .iter()
                        .map(|f| (-((pitch - f) / 120.0).powi(2)).exp())
                        .sum();
                    gain * (std::f64::consts::TAU * pitch * t + f64::from(k * k)).sin()
                })
                .sum();
            let loudness = (std::f64::consts::TAU * 4.0 * t).sin().clamp(0.0, 1.0);
            if t > 0.5 {
                (0.1 * sound * loudness) as f32
            } else {
                0.0
            }
        })
        .collect();
    for _ in 0..2 {
        let found: Vec<f32> = samples
            .chunks(512)
            .map(|chunk| voice.hear(chunk).unwrap())
            .collect();
        let far = furthest(&found, &golden["voice"]);
        assert!(far < 1e-3, "{far}");
        voice.reset();
    }
}

#[test]
fn any_embedding_with_a_head_is_a_probe() {
    let dir = tempfile::tempdir().unwrap();
    let path = tiny::probe(dir.path(), 8);
    let (mut embedder, head) = load_probe(name(&path), 1).unwrap();
    // Bands of ln(mel) 1 and 3: the head weighs the last eighth by 2 and takes 5 away.
    let patch: Vec<f32> = (0..96 * 64)
        .map(|k| if k % 64 < 56 { 1.0 } else { 3.0 })
        .collect();
    let embedding = embedder.embed(&patch, &[]).unwrap();
    assert_eq!(embedding, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0]);
    assert!((head.judge(&embedding) - 1.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
    // A head for other embeddings is refused by name.
    let error = load_probe(name(&tiny::probe(dir.path(), 7)), 1)
        .err()
        .unwrap();
    assert!(matches!(&error, ModelError::Weights { .. }), "{error}");
    assert!(error.to_string().contains("head.weight"), "{error}");
    // And it is not a tagger.
    assert!(matches!(
        load_tagger(name(&path), 1),
        Err(ModelError::Kind { .. })
    ));
}
