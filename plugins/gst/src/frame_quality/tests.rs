//! Every measure falls with its own fault and is stable under the others, as far as its definition says.

use anchoring::time::Nanos;

use super::*;

const WIDTH: usize = 640;
const HEIGHT: usize = 360;

/// Pseudo-random numbers, the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// Discs of all sizes over one another, as large and small things hide one another in real frames ("dead leaves"; Lee, Mumford and Huang, 2001),
/// and a little noise.
fn scene(seed: u64) -> Vec<f64> {
    let mut chance = Chance(seed.wrapping_mul(7919) + 1);
    let mut image = vec![120.0; WIDTH * HEIGHT];
    let mut radii: Vec<f64> = (0..900)
        .map(|_| 1.0 / (1.0 / 16.0 * chance.next() + 1.0 / 90_000.0).sqrt())
        .collect();
    radii.sort_by(|a, b| b.total_cmp(a));
    for radius in radii {
        let (x, y) = (chance.next() * WIDTH as f64, chance.next() * HEIGHT as f64);
        let level = (120.0 + 45.0 * chance.normal()).clamp(30.0, 220.0);
        let span = |centre: f64, most: usize| {
            (centre - radius).max(0.0) as usize..((centre + radius) as usize + 1).min(most)
        };
        for row in span(y, HEIGHT) {
            for column in span(x, WIDTH) {
                if (column as f64 - x).hypot(row as f64 - y) <= radius {
                    image[row * WIDTH + column] = level;
                }
            }
        }
    }
    // Blur of a lens.
    let image = boxed(&boxed(&image, 2, true), 2, false);
    image.into_iter().map(|v| v + chance.normal()).collect()
}

/// The mean of this many pixels, along rows or columns.
fn boxed(image: &[f64], taps: usize, along: bool) -> Vec<f64> {
    let at = |x: usize, y: usize| image[y.min(HEIGHT - 1) * WIDTH + x.min(WIDTH - 1)];
    let mean = |x: usize, y: usize| {
        let sum: f64 = (0..taps)
            .map(|k| if along { at(x + k, y) } else { at(x, y + k) })
            .sum();
        sum / taps as f64
    };
    (0..HEIGHT)
        .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
        .map(|(x, y)| mean(x, y))
        .collect()
}

fn blocks(image: &[f64], share: f64) -> Vec<f64> {
    let mean = |x: usize, y: usize| {
        let cells = (0..64).map(|k| image[(y / 8 * 8 + k / 8) * WIDTH + x / 8 * 8 + k % 8]);
        cells.sum::<f64>() / 64.0
    };
    let at = |k: usize| (1.0 - share) * image[k] + share * mean(k % WIDTH, k / WIDTH);
    (0..image.len()).map(at).collect()
}

fn bytes(image: &[f64]) -> Vec<u8> {
    image
        .iter()
        .map(|v| v.round().clamp(0.0, 255.0) as u8)
        .collect()
}

fn measured(measure: &mut Measure, at_ms: i64, image: &[f64]) -> FrameQuality {
    let bytes = bytes(image);
    let luma = Luma::new(&bytes, WIDTH, WIDTH, HEIGHT, true).unwrap();
    measure.frame(Nanos::from_ms(at_ms), &luma)
}

fn alone(image: &[f64]) -> FrameQuality {
    measured(&mut Measure::default(), 0, image)
}

fn by_name(quality: &FrameQuality, name: &str) -> f32 {
    let at = FrameQuality::NAMES
        .iter()
        .position(|own| *own == name)
        .unwrap();
    quality.values()[at]
}

/// A fault, how it is made at five strengths, its measure, and the measures that it must not affect.
type Fault = (
    &'static str,
    [f64; 5],
    fn(&[f64], f64) -> Vec<f64>,
    &'static str,
    &'static [&'static str],
);

const FAULTS: [Fault; 8] = [
    (
        "motion blur",
        [3.0, 6.0, 10.0, 16.0, 24.0],
        |i, s| boxed(i, s as usize, true),
        "sharpness",
        &["exposure", "blockiness", "noise"],
    ),
    (
        "out of focus",
        [2.0, 4.0, 7.0, 11.0, 16.0],
        |i, s| boxed(&boxed(i, s as usize, true), s as usize, false),
        "sharpness",
        &["exposure", "blockiness", "noise"],
    ),
    (
        "too dark",
        [0.5, 0.3, 0.2, 0.12, 0.05],
        |i, s| i.iter().map(|v| v * s).collect(),
        "exposure",
        &["sharpness", "noise"],
    ),
    (
        "too light",
        [1.4, 1.8, 2.4, 3.2, 5.0],
        |i, s| i.iter().map(|v| v * s).collect(),
        "exposure",
        &["sharpness"],
    ),
    (
        "haze",
        [0.6, 0.45, 0.3, 0.2, 0.1],
        |i, s| i.iter().map(|v| 190.0 + (v - 190.0) * s).collect(),
        "contrast",
        &["sharpness", "exposure", "noise"],
    ),
    (
        "grey",
        [0.6, 0.45, 0.3, 0.2, 0.1],
        |i, s| i.iter().map(|v| 128.0 + (v - 128.0) * s).collect(),
        "contrast",
        &["sharpness", "exposure", "noise"],
    ),
    (
        "blocks",
        [0.3, 0.45, 0.6, 0.8, 1.0],
        blocks,
        "blockiness",
        &["exposure", "noise"],
    ),
    (
        "noise",
        [4.0, 8.0, 14.0, 24.0, 40.0],
        |i, s| {
            let mut chance = Chance(5);
            i.iter().map(|v| v + s * chance.normal()).collect()
        },
        "noise",
        &["sharpness", "contrast", "blockiness"],
    ),
];

/// Rank correlation; equal values share their mean rank.
fn spearman(strengths: &[f64; 5], values: &[f32]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        let rank = |v: &f64| {
            let below = values.iter().filter(|other| *other < v).count();
            let equal = values.iter().filter(|other| *other == v).count();
            below as f64 + (equal as f64 - 1.0) / 2.0
        };
        values.iter().map(rank).collect()
    };
    let values: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let (a, b) = (ranks(strengths), ranks(&values));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        ab += (a - 2.0) * (b - 2.0);
        aa += (a - 2.0).powi(2);
        bb += (b - 2.0).powi(2);
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn every_measure_falls_with_its_own_fault_and_not_with_others() {
    for seed in 0..2 {
        let clean = scene(seed);
        let before = alone(&clean);
        assert!(before.score() > 0.8, "{before:?}");
        for (fault, strengths, make, own, others) in FAULTS {
            let worse: Vec<_> = strengths.iter().map(|&s| alone(&make(&clean, s))).collect();
            let falls: Vec<_> = worse.iter().map(|q| by_name(q, own)).collect();
            let rank = spearman(&strengths, &falls);
            let toward = if strengths[4] > strengths[0] {
                -1.0
            } else {
                1.0
            };
            assert!(rank * toward >= 0.9 - 1e-9, "{fault}: {own} {falls:?}");
            let fallen = by_name(&before, own) - falls[4];
            assert!(
                fallen > 0.25 && falls[4] < falls[1],
                "{fault}: {own} from {} to {falls:?}",
                by_name(&before, own)
            );
            for name in others {
                for quality in &worse {
                    let change = by_name(&before, name) - by_name(quality, name);
                    assert!(
                        change < 0.15,
                        "{fault} takes {change} from {name}: {worse:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_camera_that_stands_still_is_not_frozen_but_a_repeated_frame_is() {
    let (one, mut chance) = (scene(3), Chance(9));
    let mut still = Measure::default();
    let mut frozen = Measure::default();
    for k in 0..6 {
        let noisy: Vec<_> = one.iter().map(|v| v + 1.5 * chance.normal()).collect();
        assert_eq!(measured(&mut still, 1000 * k, &noisy).freeze, 1.0);
        let expected = if k == 0 { 1.0 } else { 0.0 };
        assert_eq!(measured(&mut frozen, 1000 * k, &one).freeze, expected);
    }
    // Two frames within half a second may be alike.
    let mut near = Measure::default();
    for at in [0, 40, 400] {
        assert_eq!(measured(&mut near, at, &one).freeze, 1.0);
    }
    assert_eq!(measured(&mut near, 520, &one).freeze, 0.0);
    near.restart();
    assert_eq!(measured(&mut near, 2000, &one).freeze, 1.0);
}

#[test]
fn freeze_falls_as_less_and_less_moves() {
    let (one, mut chance) = (scene(3), Chance(11));
    let falls = [1.2, 0.9, 0.7, 0.5, 0.0].map(|deviation| {
        let mut measure = Measure::default();
        let mut noisy = || -> Vec<f64> {
            one.iter()
                .map(|v| v.round() + deviation * chance.normal())
                .collect()
        };
        measured(&mut measure, 0, &noisy());
        measured(&mut measure, 1000, &noisy()).freeze
    });
    assert!(
        falls.is_sorted_by(|a, b| a >= b) && falls[0] > 0.9,
        "{falls:?}"
    );
    assert!(falls[4] == 0.0 && falls[1] > falls[3], "{falls:?}");
}

/// The formula with its sums written out, in floating point.
#[test]
fn sharpness_is_the_published_formula() {
    let image = bytes(&boxed(&scene(4), 3, true));
    let mut working = WorkingImage::default();
    working.take(&Luma::new(&image, WIDTH, WIDTH, HEIGHT, true).unwrap());
    let at = |x: usize, y: usize| f64::from(image[y * WIDTH + x]);
    let share = |pixel: &dyn Fn(usize, usize) -> f64, along: usize, across: usize| {
        let (mut all, mut gone) = (0.0, 0.0);
        let mean = |k: usize, j: usize| (k - 4..=k + 4).map(|k| pixel(k, j)).sum::<f64>() / 9.0;
        for j in 0..across {
            for k in 5..along - 4 {
                let sharp = (pixel(k, j) - pixel(k - 1, j)).abs();
                let blurred = (mean(k, j) - mean(k - 1, j)).abs();
                all += sharp;
                gone += (sharp - blurred).max(0.0);
            }
        }
        gone / all
    };
    let wanted = share(&at, WIDTH, HEIGHT).min(share(&|k, j| at(j, k), HEIGHT, WIDTH));
    assert!(
        (f64::from(sharpness(&working)) - wanted).abs() < 1e-3,
        "{wanted}"
    );
}

/// Frames of odd sizes, with flat parts, blocks, and pixels of any value. `stride` is more than the width.
fn odd_frames() -> impl Iterator<Item = (Vec<u8>, [usize; 3])> {
    let sizes = [
        (61, 50),
        (64, 64),
        (333, 97),
        (730, 64),
        (1300, 50),
        (1923, 43),
        (4099, 41),
    ];
    sizes.into_iter().zip(0..).map(|((width, height), seed)| {
        let stride = width + 3;
        let mut chance = Chance(seed);
        let pixel = |k: usize| match chance.next() {
            x if x < 0.02 => (x * 12_000.0) as u8,
            x => 90 + (k % stride / 8 % 2 * 40) as u8 + (4.0 * x) as u8,
        };
        (
            (0..stride * height).map(pixel).collect(),
            [width, height, stride],
        )
    })
}

/// The measures that work on many pixels at once equal their definitions, pixel by pixel.
#[test]
fn measures_equal_their_definitions_at_any_size() {
    for (pixels, [width, height, stride]) in odd_frames() {
        let luma = Luma::new(&pixels, stride, width, height, true).unwrap();
        let at = |x: usize, y: usize| i64::from(pixels[y * stride + x]);

        let mut working = WorkingImage::default();
        working.take(&luma);
        let factor = ((width + 240) / 480).max(1);
        let cells = (factor * factor) as i64;
        let means = (0..height / factor)
            .flat_map(|y| (0..width / factor).map(move |x| (x * factor, y * factor)))
            .map(|(x, y)| {
                let sum: i64 = (0..factor * factor)
                    .map(|k| at(x + k % factor, y + k / factor))
                    .sum();
                ((sum + cells / 2) / cells) as u8
            });
        assert!(
            working.pixels().iter().copied().eq(means),
            "{width} x {height}"
        );

        let alone = |[a, b, c, d]: [i64; 4]| {
            f32::from((b - c).abs() > (2 * (a - b).abs().max((c - d).abs()) + 1).min(255))
        };
        let (mut across, mut down) = ([0.0; 8], [0.0; 8]);
        for (y, x) in (0..height)
            .step_by(4)
            .flat_map(|y| (0..(width - 3) / 8 * 8).map(move |x| (y, x)))
        {
            across[x % 8] += alone([0, 1, 2, 3].map(|k| at(x + k, y)));
        }
        let blocks = (height.div_ceil(4) * ((width - 3) / 8)) as f32;
        let tops = (0..height.saturating_sub(10)).step_by(32);
        for (y, x) in tops
            .clone()
            .flat_map(|top| (0..8 * width).map(move |k| (top + k / width, k % width)))
        {
            down[y % 8] += alone([0, 1, 2, 3].map(|k| at(x, y + k)));
        }
        let pairs = (tops.count() * width) as f32;
        let excess = |counts: [f32; 8], of: f32| {
            let most = counts.into_iter().fold(0.0, f32::max);
            (most - (counts.iter().sum::<f32>() - most) / 7.0) / of
        };
        let over = (excess(across, blocks).max(excess(down, pairs)) - 0.12).max(0.0) / 0.18;
        let own = blockiness::blockiness(&luma);
        assert!(
            (own - 1.0 / (1.0 + over * over)).abs() < 1e-4,
            "{width} x {height}: {own}"
        );

        let mut sigmas = Vec::new();
        for (top, left) in (0..height.saturating_sub(17)).step_by(48).flat_map(|y| {
            (0..width.saturating_sub(17))
                .step_by(48)
                .map(move |x| (y, x))
        }) {
            let (mut sum, mut light) = (0, 0);
            for (x, y) in (0..256).map(|k| (left + k % 16, top + k / 16)) {
                let mask =
                    (0..9).map(|k| [1, -2, 1, -2, 4, -2, 1, -2, 1][k] * at(x + k % 3, y + k / 3));
                sum += mask.sum::<i64>().abs();
                light += at(x + 1, y + 1);
            }
            if (24..228).contains(&(light / 256)) {
                sigmas.push(sum as f32 / 256.0 * std::f32::consts::FRAC_PI_2.sqrt() / 6.0);
            }
        }
        sigmas.sort_by(f32::total_cmp);
        let sigma = sigmas
            .get((0.2 * sigmas.len() as f32) as usize)
            .filter(|_| sigmas.len() >= 8);
        let expected = sigma.map_or(1.0, |sigma| 1.0 / (1.0 + (sigma / 8.0).powi(2)));
        let own = noise::noise(&luma, &mut Vec::new());
        assert!(
            (own - expected).abs() < 1e-4,
            "{width} x {height}: {own} is not {expected}"
        );
    }
}

#[test]
fn frames_of_any_size_and_content_have_measures_in_range() {
    let mut measure = Measure::default();
    for (width, height) in [(1, 1), (7, 5), (16, 16), (17, 300), (1000, 18), (2000, 40)] {
        for level in [0, 90, 255] {
            let pixels = vec![level; width * height];
            for full in [false, true] {
                let luma = Luma::new(&pixels, width, width, height, full).unwrap();
                let quality = measure.frame(Nanos::ZERO, &luma);
                let fits = |x: f32| (0.0..=1.0).contains(&x);
                assert!(
                    quality.values().into_iter().all(fits) && fits(quality.score()),
                    "{quality:?}"
                );
            }
        }
    }
    assert!(Luma::new(&[0; 11], 4, 4, 3, true).is_none());
    assert!(Luma::new(&[], 0, 0, 0, true).is_none());
    assert_eq!(alone(&vec![0.0; WIDTH * HEIGHT]).exposure, 0.0);
}

#[test]
fn a_cut_differs_from_a_turn_of_the_head() {
    let (one, other) = (scene(5), scene(6));
    let sample = |image: &[f64]| {
        let mut working = WorkingImage::default();
        let bytes = bytes(image);
        working.take(&Luma::new(&bytes, WIDTH, WIDTH, HEIGHT, true).unwrap());
        CutSample::of(&working)
    };
    let turned: Vec<_> = (0..one.len())
        .map(|k| one[k - k % WIDTH + (k % WIDTH + 40).min(WIDTH - 1)])
        .collect();
    assert!(!sample(&one).is_cut(&sample(&turned)));
    let night: Vec<_> = other.iter().map(|v| v * 0.4).collect();
    assert!(sample(&one).is_cut(&sample(&night)));
}

#[test]
fn the_weights_of_the_score_add_up_to_one() {
    assert!((FrameQuality::WEIGHTS.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    assert_eq!(FrameQuality::from_values([1.0; 6]).score(), 1.0);
    let blurred = FrameQuality::from_values([0.01, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert!(blurred.score() < 0.25, "{}", blurred.score());
}
