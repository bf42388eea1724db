//! Tests the network's sums, and that chunk sizes make no difference.

use proptest::prelude::*;

use super::*;

/// Pseudo-random numbers in -1..1.
fn numbers(n: usize, mut state: u32) -> Vec<f32> {
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    })
    .take(n)
    .collect()
}

const WIDTH: usize = 21;
const DILATIONS: [usize; 3] = [1, 5, 2];

fn spec() -> TcnSpec {
    TcnSpec {
        input: TcnInput::Mel,
        stride: 2,
        first_pad: 1,
        dilations: DILATIONS.to_vec(),
        delay: 3,
    }
}

/// A weight and its bias, drawn from a seed, small enough that sums stay small.
fn drawn(kernel: usize, from: usize, to: usize, seed: u32) -> (Vec<f32>, Vec<f32>) {
    let scale = (kernel * from) as f32;
    let weight = numbers(kernel * from * to, seed)
        .iter()
        .map(|w| w * 3.0 / scale.sqrt())
        .collect();
    (weight, numbers(to, seed + 100))
}

fn tcn() -> Tcn {
    let conv = |kernel, from, to, dilation, seed| {
        let (weight, bias) = drawn(kernel, from, to, seed);
        CausalConv::new(kernel, from, to, dilation, &weight, &bias)
    };
    let layers = DILATIONS
        .iter()
        .zip(1..)
        .map(|(&d, seed)| conv(3, WIDTH, WIDTH, d, seed));
    Tcn::new(
        &spec(),
        vec![0.5; BANDS],
        vec![0.25; BANDS],
        conv(4, BANDS, WIDTH, 1, 9),
        layers.collect(),
        conv(1, WIDTH, 2, 1, 10),
    )
}

/// The same, sum by sum, over the whole recording.
fn plain(frames: &[[f32; BANDS]]) -> Vec<[f64; 2]> {
    let x: Vec<Vec<f64>> = frames
        .iter()
        .map(|mel| {
            mel.iter()
                .map(|m| f64::from(m + LEAST).ln() * 0.5 + 0.25)
                .collect()
        })
        .collect();
    let conv = |x: &[Vec<f64>],
                t: &dyn Fn(usize, usize) -> i64,
                n: usize,
                k: usize,
                to: usize,
                seed: u32|
     -> Vec<Vec<f64>> {
        let from = x.first().map_or(0, Vec::len);
        let (weight, bias) = drawn(k, from, to, seed);
        (0..n)
            .map(|r| {
                (0..to)
                    .map(|o| {
                        let mut sum = f64::from(bias[o]);
                        for tap in 0..k {
                            let Ok(at) = usize::try_from(t(r, tap)) else {
                                continue;
                            };
                            for (i, x) in x[at].iter().enumerate() {
                                sum += x * f64::from(weight[(tap * from + i) * to + o]);
                            }
                        }
                        sum
                    })
                    .collect()
            })
            .collect()
    };
    // Frames 2 i - 1 to 2 i + 2.
    let n = (frames.len().saturating_sub(1)) / 2;
    let mut y = conv(&x, &|r, tap| (2 * r + tap) as i64 - 1, n, 4, WIDTH, 9);
    y.iter_mut().flatten().for_each(|y| *y = y.max(0.0));
    for (&d, seed) in DILATIONS.iter().zip(1..) {
        let z = conv(
            &y,
            &|r, tap| r as i64 - ((2 - tap) * d) as i64,
            n,
            3,
            WIDTH,
            seed,
        );
        for (y, z) in y.iter_mut().flatten().zip(z.iter().flatten()) {
            *y += z.max(0.0);
        }
    }
    let out = conv(&y, &|r, _| r as i64, n, 1, 2, 10);
    out.iter().map(|row| [row[0], row[1]]).collect()
}

fn frames(n: usize) -> Vec<[f32; BANDS]> {
    let x = numbers(n * BANDS, 77);
    x.chunks_exact(BANDS)
        .map(|row| std::array::from_fn(|b| row[b].abs()))
        .collect()
}

#[test]
fn a_stream_gives_the_plain_sums() {
    let frames = frames(300);
    let wanted = plain(&frames);
    let mut stream = TcnStream::new(Arc::new(tcn()));
    frames.iter().for_each(|mel| stream.push_frame(mel));
    stream.advance();
    assert_eq!(stream.outputs(), wanted.len() as u64);
    for (i, wanted) in wanted.iter().enumerate() {
        let ours = stream.output(i as i64);
        assert!(
            (f64::from(ours.onset) - wanted[0]).abs() < 1e-3,
            "output {i}: {ours:?} {wanted:?}"
        );
        assert!(
            (f64::from(ours.active) - wanted[1]).abs() < 1e-3,
            "output {i}: {ours:?} {wanted:?}"
        );
    }
}

#[test]
fn an_output_comes_as_soon_as_its_frames_are_known() {
    let mut stream = TcnStream::new(Arc::new(tcn()));
    for (t, mel) in frames(60).iter().enumerate() {
        stream.push_frame(mel);
        stream.advance();
        let heard = t as u64 + 1;
        let said = stream.outputs();
        assert!(
            stream.tcn().frames_for(said) > heard
                && (said == 0 || stream.tcn().frames_for(said - 1) <= heard)
        );
    }
}

#[test]
fn state_does_not_grow() {
    let mut stream = TcnStream::new(Arc::new(tcn()));
    let mel = [0.3; BANDS];
    let mut most = 0;
    for t in 0..4_000 {
        stream.push_frame(&mel);
        let held = stream.frames.values.capacity()
            + stream
                .rows
                .iter()
                .map(|r| r.values.capacity())
                .sum::<usize>();
        if t < 400 {
            most = most.max(held);
        }
        assert!(held <= most);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn portions_make_no_difference(asked in prop::collection::vec(any::<bool>(), 200)) {
        let frames = frames(200);
        let mut whole = TcnStream::new(Arc::new(tcn()));
        let mut parts = whole.clone();
        for (mel, ask) in frames.iter().zip(asked) {
            whole.push_frame(mel);
            parts.push_frame(mel);
            if ask {
                parts.advance();
            }
        }
        whole.advance();
        parts.advance();
        prop_assert_eq!(whole.outputs(), parts.outputs());
        for i in 0..whole.outputs() as i64 {
            prop_assert_eq!(whole.output(i), parts.output(i));
        }
    }
}
