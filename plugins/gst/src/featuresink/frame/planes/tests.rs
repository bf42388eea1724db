//! Compares planes scaled on their own with the scaled RGB frame, and that with Pillow.

use std::process::Command;

use super::super::orientation::Orientation;
use super::super::prepare::Pixels;
use super::*;
use crate::models::{Colour, Dtype, Fit, Layout, Resize};

const BT709: Colours = Colours {
    kr: 0.2126,
    kb: 0.0722,
    full: false,
};

fn input(resize: Resize, fit: Fit) -> Input {
    Input {
        name: "x".into(),
        layout: Layout::Nchw,
        dtype: Dtype::F32,
        colour: Colour::Rgb,
        mean: None,
        std: None,
        resize,
        fit,
        sample_rate: None,
        frames: None,
        bands: None,
        hop_frames: None,
        samples: None,
        crop: None,
        every: None,
        pathways: Vec::new(),
    }
}

/// Shapes of every size from a frame to two pixels, in colours that exist: what lies outside RGB is clipped, and clipping before or after
/// scaling is not the same.
fn samples(width: usize, height: usize) -> [Vec<u8>; 3] {
    let wave =
        |x: f64, y: f64| (x * x / 6000.0 + y / 9.0).sin() * (y * y / 5000.0 - x / 11.0).cos();
    // The same shapes at any size.
    let zoom = 1920.0 / width as f64;
    let plane = |width: usize, height: usize, step: f64, phase: f64, low: f64, high: f64| {
        (0..width * height)
            .map(|i| {
                let (x, y) = (
                    (i % width) as f64 * step * zoom,
                    (i / width) as f64 * step * zoom,
                );
                let v = (wave(x + phase, y) + 1.0) / 2.0;
                (low + v * (high - low)) as u8
            })
            .collect::<Vec<u8>>()
    };
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    [
        plane(width, height, 1.0, 0.0, 60.0, 200.0),
        plane(half_width, half_height, 2.0, 40.0, 108.0, 148.0),
        plane(half_width, half_height, 2.0, 90.0, 108.0, 148.0),
    ]
}

fn planes<'a>(data: &'a [Vec<u8>; 3], width: usize, height: usize) -> Planes<'a> {
    let plane = |data: &'a [u8], stride: usize| Plane {
        data,
        stride,
        step: 1,
    };
    Planes {
        width,
        height,
        y: plane(&data[0], width),
        u: plane(&data[1], width.div_ceil(2)),
        v: plane(&data[2], width.div_ceil(2)),
        colours: BT709,
    }
}

/// The frame in RGB at full size; each chroma sample covers its four pixels.
fn full_size(data: &[Vec<u8>; 3], width: usize, height: usize) -> Vec<u8> {
    let wide = |plane: &[u8]| -> Vec<u8> {
        let half = width.div_ceil(2);
        (0..width * height)
            .map(|i| plane[(i / width / 2) * half + i % width / 2])
            .collect()
    };
    BT709.rgb(&data[0], &wide(&data[1]), &wide(&data[2]))
}

/// Mean and largest difference.
fn differences(a: &[u8], b: &[u8]) -> (f64, u8) {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = each.clone().map(u64::from).sum();
    (sum as f64 / a.len() as f64, each.max().unwrap_or(0))
}

#[test]
fn known_colours_come_out() {
    // 75 % bars of ITU-R BT.709, limited range: white, yellow, cyan, green, magenta, red, blue.
    let bars = [
        ([180, 128, 128], [191, 191, 191]),
        ([168, 44, 136], [191, 191, 0]),
        ([145, 147, 44], [0, 191, 191]),
        ([134, 63, 52], [0, 191, 0]),
        ([63, 193, 204], [191, 0, 191]),
        ([51, 109, 212], [191, 0, 0]),
        ([28, 212, 120], [0, 0, 191]),
    ];
    for ([y, u, v], expected) in bars {
        let rgb = BT709.rgb(&[y], &[u], &[v]);
        assert!(differences(&rgb, &expected).1 <= 2, "{rgb:?} {expected:?}");
    }
    let grey = Colours {
        full: true,
        ..BT709
    };
    assert_eq!(
        grey.rgb(&[0, 77, 255], &[128; 3], &[128; 3]),
        [0, 0, 0, 77, 77, 77, 255, 255, 255]
    );
}

#[test]
fn planes_agree_with_scaling_the_rgb_frame() {
    let mut scaler = Scaler::default();
    for (width, height) in [(1920, 1080), (1280, 720)] {
        let data = samples(width, height);
        let rgb = full_size(&data, width, height);
        for resize in [Resize::Bicubic, Resize::Bilinear, Resize::Area] {
            for fit in [Fit::Squash, Fit::Crop] {
                for px in [112, 224, 448] {
                    let input = input(resize, fit);
                    let mut scale = |pixels: &Pixels<'_>| {
                        let turn = Orientation::default();
                        scaler
                            .square((width, height), pixels, px, turn, &input)
                            .unwrap()
                    };
                    let ours = scale(&Pixels::Planes(planes(&data, width, height)));
                    let whole = scale(&Pixels::Rgb(&rgb, width * 3));
                    let (mean, most) = differences(&ours, &whole);
                    eprintln!(
                        "{width}x{height} {resize:?} {fit:?} {px}: mean {mean:.2} most {most}"
                    );
                    // A box takes whole samples, and chroma's are twice as wide.
                    let (mean_limit, limit) = match resize {
                        Resize::Area => (4.0, 40),
                        _ => (1.0, 8),
                    };
                    assert!(
                        mean < mean_limit && most <= limit,
                        "{width}x{height} {resize:?} {fit:?} {px}: {mean} {most}"
                    );
                }
            }
        }
    }
}

#[test]
fn interleaved_and_padded_planes_are_the_same_frame() {
    let (width, height) = (64, 36);
    let data = samples(width, height);
    let mut scaler = Scaler::default();
    let input = input(Resize::Bicubic, Fit::Squash);
    let tight = planes(&data, width, height)
        .scale(&mut scaler, (24, 24), &input)
        .unwrap();
    let padded: Vec<u8> = data[0]
        .chunks(width)
        .flat_map(|row| row.iter().copied().chain([9; 16]))
        .collect();
    let both: Vec<u8> = data[1]
        .iter()
        .zip(&data[2])
        .flat_map(|(u, v)| [*u, *v])
        .collect();
    let planes = Planes {
        y: Plane {
            data: &padded,
            stride: width + 16,
            step: 1,
        },
        u: Plane {
            data: &both,
            stride: width,
            step: 2,
        },
        v: Plane {
            data: &both[1..],
            stride: width,
            step: 2,
        },
        ..planes(&data, width, height)
    };
    assert_eq!(planes.scale(&mut scaler, (24, 24), &input).unwrap(), tight);
}

#[test]
fn odd_sizes_have_chroma_for_their_last_samples() {
    let data = samples(639, 361);
    let input = input(Resize::Bicubic, Fit::Squash);
    let square = planes(&data, 639, 361).scale(&mut Scaler::default(), (112, 112), &input);
    let whole = full_size(&data, 639, 361);
    let turn = Orientation::default();
    let whole =
        Scaler::default().square((639, 361), &Pixels::Rgb(&whole, 639 * 3), 112, turn, &input);
    assert!(differences(&square.unwrap(), &whole.unwrap()).0 < 2.0);
}

#[test]
fn short_planes_are_refused() {
    let data = samples(64, 36);
    let mut scaler = Scaler::default();
    let input = input(Resize::Area, Fit::Squash);
    for cut in 0..3 {
        let mut data = data.clone();
        data[cut].pop();
        let refused = planes(&data, 64, 36).scale(&mut scaler, (24, 24), &input);
        assert!(refused.unwrap_err().to_string().contains("too short"));
    }
    assert!(
        planes(&data, 0, 36)
            .scale(&mut scaler, (24, 24), &input)
            .is_err()
    );
}

/// The reference that is promised: Pillow's filters of the same name over the RGB frame. It scales rows first, this columns, and both round
/// in between.
#[test]
fn rgb_agrees_with_pillow() {
    const SCRIPT: &str = "import sys; from PIL import Image; w, h, px, name, path, out = sys.argv[1:]; \
        im = Image.frombytes('RGB', (int(w), int(h)), open(path, 'rb').read()); \
        open(out, 'wb').write(im.resize((int(px),) * 2, getattr(Image.Resampling, name)).tobytes())";
    let python = std::env::var_os("EARMARK_PYTHON").unwrap_or_else(|| {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../models/built/venv/bin/python"
        )
        .into()
    });
    let has = Command::new(&python).args(["-c", "import PIL"]).output();
    if !has.is_ok_and(|out| out.status.success()) {
        eprintln!(
            "skipped: {} has no Pillow (make setup installs it; EARMARK_PYTHON names another)",
            python.display()
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("in"), folder.path().join("out"));
    let (width, height) = (640, 362);
    let rgb = full_size(&samples(width, height), width, height);
    std::fs::write(&path, &rgb).unwrap();
    for (resize, name) in [
        (Resize::Bicubic, "BICUBIC"),
        (Resize::Bilinear, "BILINEAR"),
        (Resize::Area, "BOX"),
    ] {
        for px in [112usize, 448] {
            let status = Command::new(&python)
                .args([
                    "-c",
                    SCRIPT,
                    &width.to_string(),
                    &height.to_string(),
                    &px.to_string(),
                    name,
                ])
                .args([&path, &out])
                .status();
            assert!(status.unwrap().success());
            let theirs = std::fs::read(&out).unwrap();
            let ours = Scaler::default()
                .square(
                    (width, height),
                    &Pixels::Rgb(&rgb, width * 3),
                    px,
                    Orientation::default(),
                    &input(resize, Fit::Squash),
                )
                .unwrap();
            let (mean, most) = differences(&ours, &theirs);
            assert!(
                mean < 0.3 && most <= 8,
                "{name} {px}: mean {mean}, most {most}"
            );
        }
    }
}
