//! How fast each stage of listening is: `cargo bench -p earmark-anchoring [-- SOUND.wav]`, 16 kHz mono 16-bit; without a file, ten minutes
//! of noise with two strokes a second. Prints the CPU seconds that an hour takes, the least of five runs, and asserts nothing.

#![expect(clippy::unwrap_used, reason = "a measurement that can't be made stops")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anchoring::hearing::background::BackgroundSubtractor;
use anchoring::hearing::flux::FluxStream;
use anchoring::hearing::mel::{MelStream, RATE};
use anchoring::hearing::noise_floor::NoiseFloor;
use anchoring::hearing::trust::ImpairmentDetector;
use anchoring::listener::{Listener, ListenerSettings, TagScope, TaggerAnswer};
use anchoring::onset::peak_features::PeakFeatureStream;
use anchoring::onset::probe::Probe;
use anchoring::onset::tcn::TcnStream;
use anchoring::onset::weights::{EMBEDDED, Weights};
use anchoring::time::Nanos;

const RUNS: usize = 5;
/// Samples in a chunk: what a WAV reader hands on.
const CHUNK: usize = 2048;

/// Seconds that this thread has run; those that went by where the system doesn't say.
fn seconds(began: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ran.map_or_else(|| began.elapsed().as_secs_f64(), |ns| ns * 1e-9)
}

fn measure(name: &str, hours: f64, mut run: impl FnMut()) {
    let began = Instant::now();
    let runs = (0..RUNS).map(|_| {
        let before = seconds(began);
        run();
        seconds(began) - before
    });
    let an_hour = runs.fold(f64::MAX, f64::min) / hours;
    println!(
        "{name:24} {an_hour:7.3} s an hour, {:7.0} x",
        3600.0 / an_hour
    );
}

fn strokes() -> Vec<f32> {
    let mut noise = 1u32;
    (0..600 * RATE)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = noise as f32 / u32::MAX as f32 - 0.5;
            let (stroke, since) = (n / 8000, (n % 8000) as f32);
            let tone = (since * (0.05 + 0.01 * (stroke % 23) as f32)).sin();
            0.02 * white + 0.4 * tone * (-since / 900.0).exp()
        })
        .collect()
}

fn main() {
    // Cargo adds `--bench`.
    let path = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let samples: Vec<f32> = path.map_or_else(strokes, |path| {
        let bytes = std::fs::read(path).unwrap();
        let numbers = bytes[44..].chunks_exact(2);
        numbers
            .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0)
            .collect()
    });
    let hours = samples.len() as f64 / f64::from(RATE) / 3600.0;
    let weights = Arc::new(Weights::read(EMBEDDED).unwrap());

    let mut frames = Vec::new();
    measure("mel", hours, || {
        frames.clear();
        let mut stream = MelStream::new();
        for chunk in samples.chunks(CHUNK) {
            stream.push(chunk, |mel| frames.push(*mel));
        }
    });
    measure("dead", hours, || {
        let mut stream = ImpairmentDetector::new();
        for chunk in samples.chunks(CHUNK) {
            stream.push(chunk, |trouble, energy, _| {
                black_box((trouble, energy));
            });
        }
    });
    measure("flux", hours, || {
        let mut stream = FluxStream::new();
        frames.iter().for_each(|mel| {
            black_box(stream.push(mel));
        });
    });
    measure("floor", hours, || {
        let mut stream = NoiseFloor::new();
        frames.iter().for_each(|mel| {
            black_box(stream.push(mel));
        });
    });
    measure("candidates", hours, || {
        let mut stream = PeakFeatureStream::new();
        frames.iter().for_each(|mel| {
            black_box(stream.push_frame(mel));
        });
    });
    measure("above", hours, || {
        let mut stream = BackgroundSubtractor::new();
        frames.iter().for_each(|mel| {
            black_box(stream.push(mel));
        });
    });
    if let Some(tcn) = weights.tcn() {
        measure("tcn", hours, || {
            let mut stream = TcnStream::new(Arc::clone(tcn));
            frames.iter().for_each(|mel| stream.push_frame(mel));
            black_box(stream.outputs());
        });
    }
    let probes = [
        ("flux", Probe::Flux, TagScope::Nothing),
        (
            "onset",
            Probe::Onset(Arc::clone(&weights)),
            TagScope::Nothing,
        ),
        (
            "onset+tcn",
            Probe::OnsetTcn(Arc::clone(&weights)),
            TagScope::Nothing,
        ),
        (
            "onset, patches",
            Probe::Onset(Arc::clone(&weights)),
            TagScope::Onsets,
        ),
    ];
    for (name, probe, naming) in probes {
        let hearing = ListenerSettings {
            probe,
            tag_scope: naming,
            ..ListenerSettings::default()
        };
        measure(&format!("all, {name}"), hours, || {
            let mut listener = Listener::new(Nanos::ZERO, &hearing);
            for chunk in samples.chunks(CHUNK) {
                listener.push(chunk);
                while listener.next_patch().is_some() {
                    listener.push_answer(TaggerAnswer::default());
                }
                while let Some(cue) = listener.next_cue() {
                    black_box(cue);
                }
            }
        });
    }
}
