//! A decoded frame -> what the encoder takes: scaled to a square, turned upright, normalised.

use std::borrow::Cow;

use fast_image_resize::pixels::U8x3;

use super::orientation::Orientation;
use super::planes::Planes;
use super::scale::{ScaleError, Scaler};
use crate::models::{Colour, Fit, Input, Layout};

/// Pixels of a decoded frame, as they lie in memory.
pub(in super::super) enum Pixels<'a> {
    /// RGB, and the bytes from one row to the next.
    Rgb(&'a [u8], usize),
    /// Luma and chroma.
    Planes(Planes<'a>),
}

impl Scaler {
    /// A frame as an upright square of side `px`: RGB, row-major, 3 bytes per pixel.
    ///
    /// # Errors
    /// The frame is empty, or its data is too short.
    pub(in super::super) fn square(
        &mut self,
        (width, height): (usize, usize),
        pixels: &Pixels<'_>,
        px: usize,
        orientation: Orientation,
        input: &Input,
    ) -> Result<Vec<u8>, ScaleError> {
        let to = inside((width, height), px, input.fit);
        let scaled = match pixels {
            Pixels::Rgb(data, stride) => {
                let packed = pack(width, height, *stride, data)
                    .ok_or_else(|| ScaleError::new(width, height, px, "its data is too short"))?;
                // Typed, so that only the code for this kind of pixel is compiled.
                self.resize::<U8x3>(width, height, &packed, to, input)?
            }
            Pixels::Planes(planes) => planes.scale(self, to, input)?,
        };
        let square = match input.fit {
            Fit::Pad => padded(&scaled, to, px, input),
            Fit::Squash | Fit::Crop => scaled,
        };
        Ok(upright(square, px, orientation))
    }
}

/// Columns and rows that a frame takes of a square of side `px`.
fn inside((width, height): (usize, usize), px: usize, fit: Fit) -> (usize, usize) {
    let longer = width.max(height).max(1);
    let part = |length: usize| ((length * px + longer / 2) / longer).clamp(1, px.max(1));
    match fit {
        Fit::Squash | Fit::Crop => (px, px),
        Fit::Pad => (part(width), part(height)),
    }
}

/// A frame in the middle of a square of the model's mean colour, which it takes for nothing.
fn padded(frame: &[u8], (width, height): (usize, usize), px: usize, input: &Input) -> Vec<u8> {
    let mut mean = input.mean.unwrap_or([0.0; 3]).map(|x| x.round() as u8);
    if input.colour == Colour::Bgr {
        mean.reverse();
    }
    let mut square = mean.repeat(px * px);
    let (left, top) = ((px - width) / 2, (px - height) / 2);
    for (row, line) in frame.chunks_exact(width * 3).take(height).enumerate() {
        let at = ((top + row) * px + left) * 3;
        square[at..at + width * 3].copy_from_slice(line);
    }
    square
}

/// The rows without padding.
fn pack(width: usize, height: usize, stride: usize, data: &[u8]) -> Option<Cow<'_, [u8]>> {
    let row = width * 3;
    if height == 0 || width == 0 || stride < row || data.len() < stride * (height - 1) + row {
        return None;
    }
    Some(if stride == row {
        Cow::Borrowed(&data[..row * height])
    } else {
        let mut packed = Vec::with_capacity(row * height);
        for line in data.chunks(stride).take(height) {
            packed.extend_from_slice(&line[..row]);
        }
        Cow::Owned(packed)
    })
}

/// A square, turned upright.
fn upright(square: Vec<u8>, px: usize, orientation: Orientation) -> Vec<u8> {
    if orientation == Orientation::default() {
        return square;
    }
    let mut turned = Vec::with_capacity(square.len());
    for row in 0..px {
        for column in 0..px {
            let (r, c) = orientation.source(px, row, column);
            let at = (r * px + c) * 3;
            turned.extend_from_slice(&square[at..at + 3]);
        }
    }
    turned
}

/// Appends an RGB square of side `px` to `batch` as the model takes it: `(x - mean) / std`, in its channel order and layout.
pub(in super::super) fn normalise(square: &[u8], px: usize, input: &Input, batch: &mut Vec<f32>) {
    let mean = input.mean.unwrap_or([0.0; 3]);
    let scale = input.std.unwrap_or([1.0; 3]).map(|std| 1.0 / std);
    // Channel `c` of the model is byte `from[c]` of a pixel.
    let from = match input.colour {
        Colour::Rgb => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
    };
    batch.reserve(px * px * 3);
    if input.layout == Layout::Nhwc {
        for pixel in square.chunks_exact(3) {
            batch.extend((0..3).map(|c| (f32::from(pixel[from[c]]) - mean[c]) * scale[c]));
        }
    } else {
        for c in 0..3 {
            batch.extend(
                square
                    .chunks_exact(3)
                    .map(|pixel| (f32::from(pixel[from[c]]) - mean[c]) * scale[c]),
            );
        }
    }
}

/// An upright RGB frame without padding as the encoder takes it at side `px`.
///
/// # Errors
/// The frame is empty, or its data is too short; in words.
pub(in super::super) fn packed(
    (width, height): (usize, usize),
    rgb: &[u8],
    px: usize,
    input: &Input,
) -> Result<Vec<f32>, String> {
    let square = Scaler::default().square(
        (width, height),
        &Pixels::Rgb(rgb, width * 3),
        px,
        Orientation::default(),
        input,
    );
    let square = square.map_err(|err| err.to_string())?;
    let mut numbers = Vec::new();
    normalise(&square, px, input, &mut numbers);
    Ok(numbers)
}

/// Appends a clip of RGB squares to `batch` as the model takes it. Where there is no square: the mean colour, which the model takes for nothing.
pub(in super::super) fn normalise_clip(
    squares: &[Option<&[u8]>],
    px: usize,
    input: &Input,
    batch: &mut Vec<f32>,
) {
    let frame = px * px * 3;
    let at = batch.len();
    batch.resize(at + squares.len() * frame, 0.0);
    let mut one = Vec::with_capacity(frame);
    for (k, square) in squares.iter().enumerate() {
        let Some(square) = square else { continue };
        one.clear();
        normalise(square, px, input, &mut one);
        for (c, plane) in one.chunks_exact(px * px).enumerate() {
            let plane_at = match input.layout {
                Layout::Ncthw => c * squares.len() + k,
                _ => k * 3 + c,
            };
            let to = at + plane_at * px * px;
            batch[to..to + px * px].copy_from_slice(plane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Dtype, Resize};

    fn input() -> Input {
        Input {
            name: "x".into(),
            layout: Layout::Nchw,
            dtype: Dtype::F32,
            colour: Colour::Rgb,
            mean: Some([1.0, 2.0, 3.0]),
            std: Some([2.0, 2.0, 4.0]),
            resize: Resize::Bicubic,
            fit: Fit::Squash,
            crop: None,
            every: None,
            pathways: Vec::new(),
            sample_rate: None,
            frames: None,
            bands: None,
            hop_frames: None,
            samples: None,
        }
    }

    /// Left half red, right half blue, with `pad` bytes after each row.
    fn halves(width: usize, height: usize, pad: usize) -> Vec<u8> {
        (0..height)
            .flat_map(|_| {
                (0..width)
                    .flat_map(|x| {
                        if x < width / 2 {
                            [250, 0, 0]
                        } else {
                            [0, 0, 250]
                        }
                    })
                    .chain(std::iter::repeat_n(77, pad))
                    .collect::<Vec<u8>>()
            })
            .collect()
    }

    fn pixel(square: &[u8], px: usize, row: usize, column: usize) -> [u8; 3] {
        let at = (row * px + column) * 3;
        [square[at], square[at + 1], square[at + 2]]
    }

    #[test]
    fn squashing_keeps_the_whole_field_of_view() {
        let data = halves(64, 16, 4);
        let square = Scaler::default()
            .square(
                (64, 16),
                &Pixels::Rgb(&data, 64 * 3 + 4),
                8,
                Orientation::default(),
                &input(),
            )
            .unwrap();
        assert_eq!(pixel(&square, 8, 4, 0), [250, 0, 0]);
        assert_eq!(pixel(&square, 8, 4, 7), [0, 0, 250]);
    }

    #[test]
    fn cropping_keeps_the_middle() {
        let mut data = halves(64, 16, 0);
        for row in data.chunks_mut(64 * 3) {
            row[..16 * 3].fill(9);
        }
        let crop = Input {
            fit: Fit::Crop,
            ..input()
        };
        let square = Scaler::default()
            .square(
                (64, 16),
                &Pixels::Rgb(&data, 64 * 3),
                16,
                Orientation::default(),
                &crop,
            )
            .unwrap();
        assert_eq!(pixel(&square, 16, 8, 0), [250, 0, 0]);
        assert_eq!(pixel(&square, 16, 8, 15), [0, 0, 250]);
    }

    #[test]
    fn padding_keeps_the_shape_and_fills_with_the_mean() {
        let data = halves(64, 16, 0);
        let pad = Input {
            fit: Fit::Pad,
            mean: Some([10.0, 20.4, 30.0]),
            ..input()
        };
        let pixels = Pixels::Rgb(&data, 64 * 3);
        let square = |input: &Input, size: (usize, usize)| {
            let plain = Orientation::default();
            Scaler::default()
                .square(size, &pixels, 16, plain, input)
                .unwrap()
        };
        let wide = square(&pad, (64, 16));
        assert_eq!(wide.len(), 16 * 16 * 3);
        // Four rows in the middle.
        assert_eq!(pixel(&wide, 16, 5, 3), [10, 20, 30]);
        assert_eq!(pixel(&wide, 16, 10, 3), [10, 20, 30]);
        assert_eq!(pixel(&wide, 16, 7, 2), [250, 0, 0]);
        assert_eq!(pixel(&wide, 16, 9, 13), [0, 0, 250]);
        let bgr = Input {
            colour: Colour::Bgr,
            ..pad
        };
        assert_eq!(pixel(&square(&bgr, (64, 16)), 16, 0, 0), [30, 20, 10]);
    }

    #[test]
    fn every_orientation_is_turned_upright() {
        // The upright square: 0 1 / 2 3.
        for (tag, turn) in Orientation::ALL {
            let stored: [u8; 4] = match tag {
                "rotate-0" => [0, 1, 2, 3],
                "rotate-90" => [1, 3, 0, 2],
                "rotate-180" => [3, 2, 1, 0],
                "rotate-270" => [2, 0, 3, 1],
                "flip-rotate-0" => [1, 0, 3, 2],
                "flip-rotate-90" => [3, 1, 2, 0],
                "flip-rotate-180" => [2, 3, 0, 1],
                _ => [0, 2, 1, 3],
            };
            let square: Vec<u8> = stored.iter().flat_map(|v| [*v; 3]).collect();
            let upright: Vec<u8> = upright(square, 2, turn).chunks(3).map(|p| p[0]).collect();
            assert_eq!(upright, [0, 1, 2, 3], "{tag}");
            assert_eq!(Orientation::from_tag(tag), Some(turn));
            assert_eq!(turn.name(), tag);
        }
    }

    #[test]
    fn short_and_empty_frames_are_refused() {
        let mut preparer = Scaler::default();
        for (width, height, stride, len) in
            [(0, 4, 0, 0), (4, 0, 12, 0), (4, 4, 12, 47), (4, 4, 11, 100)]
        {
            let data = vec![0; len];
            assert!(
                preparer
                    .square(
                        (width, height),
                        &Pixels::Rgb(&data, stride),
                        8,
                        Orientation::default(),
                        &input()
                    )
                    .is_err()
            );
        }
    }

    #[test]
    fn a_clip_has_its_frames_in_the_order_of_the_layout() {
        let (a, b) = ([1, 2, 3], [3, 4, 7]);
        let squares = [Some(&a[..]), None, Some(&b[..])];
        let clip = |layout| {
            let mut batch = vec![9.0];
            let input = Input { layout, ..input() };
            normalise_clip(&squares, 1, &input, &mut batch);
            batch
        };
        let by_channel = [9.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        assert_eq!(clip(Layout::Ncthw), by_channel);
        let by_frame = [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        assert_eq!(clip(Layout::Ntchw), by_frame);
    }

    #[test]
    fn a_crop_takes_its_share_of_the_middle() {
        let data = halves(64, 16, 0);
        let crop = |share| Input {
            fit: Fit::Crop,
            crop: Some(share),
            ..input()
        };
        let square = |input: &Input| {
            let plain = Orientation::default();
            let pixels = Pixels::Rgb(&data, 64 * 3);
            Scaler::default()
                .square((64, 16), &pixels, 16, plain, input)
                .unwrap()
        };
        let whole = Input {
            crop: None,
            ..crop(1.0)
        };
        assert_eq!(square(&crop(1.0)), square(&whole));
        let inner = square(&crop(0.5));
        assert_eq!(pixel(&inner, 16, 8, 1), [250, 0, 0]);
        assert_eq!(pixel(&inner, 16, 8, 14), [0, 0, 250]);
    }

    #[test]
    fn normalising_follows_layout_and_colour() {
        let mut batch = Vec::new();
        let square = [1, 2, 3, 5, 6, 7];
        normalise(&square, 1, &input(), &mut batch);
        assert_eq!(batch, [0.0, 2.0, 0.0, 2.0, 0.0, 1.0]);
        batch.clear();
        normalise(
            &square,
            1,
            &Input {
                layout: Layout::Nhwc,
                colour: Colour::Bgr,
                ..input()
            },
            &mut batch,
        );
        assert_eq!(batch, [1.0, 0.0, -0.5, 3.0, 2.0, 0.5]);
    }
}
