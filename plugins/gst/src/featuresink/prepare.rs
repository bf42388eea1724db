//! A decoded picture -> what the encoder takes: scaled to a square, turned upright, normalised.

use std::borrow::Cow;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::planar::Planes;

use crate::models::{Colour, Fit, Input, Layout, Resize};

/// How a picture must be turned to stand upright: first (if `mirror`) left to right, then by quarter turns clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Quarter turns clockwise, 0..=3.
    pub(super) quarters: u8,
    /// Mirrored left to right before that.
    pub(super) mirror: bool,
}

impl Turn {
    /// The eight turns, as in the tag `image-orientation`.
    pub(super) const ALL: [(&'static str, Self); 8] = [
        ("rotate-0", Self::new(0, false)),
        ("rotate-90", Self::new(1, false)),
        ("rotate-180", Self::new(2, false)),
        ("rotate-270", Self::new(3, false)),
        ("flip-rotate-0", Self::new(0, true)),
        ("flip-rotate-90", Self::new(1, true)),
        ("flip-rotate-180", Self::new(2, true)),
        ("flip-rotate-270", Self::new(3, true)),
    ];

    const fn new(quarters: u8, mirror: bool) -> Self {
        Self { quarters, mirror }
    }

    /// From the tag `image-orientation`; `None` if it is no such thing.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == tag)
            .map(|(_, turn)| *turn)
    }

    /// As in the tag `image-orientation`.
    pub(super) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, turn)| *turn == self)
            .map_or("rotate-0", |(name, _)| name)
    }

    /// Where pixel `(row, column)` of the upright square of side `px` comes from.
    fn source(self, px: usize, row: usize, column: usize) -> (usize, usize) {
        let last = px - 1;
        let (row, column) = match self.quarters {
            1 => (last - column, row),
            2 => (last - row, last - column),
            3 => (column, last - row),
            _ => (row, column),
        };
        (row, if self.mirror { last - column } else { column })
    }
}

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("a picture of {width} x {height} pixels cannot be scaled to {px} x {px}: {message}")]
pub(super) struct PrepareError {
    width: usize,
    height: usize,
    px: usize,
    message: String,
}

impl PrepareError {
    pub(super) fn new(width: usize, height: usize, px: usize, why: impl ToString) -> Self {
        Self {
            width,
            height,
            px,
            message: why.to_string(),
        }
    }
}

/// Pixels of a decoded picture, as they lie in memory.
pub(super) enum Pixels<'a> {
    /// RGB, rows so many bytes apart.
    Rgb(&'a [u8], usize),
    /// Luma and chroma.
    Planes(Planes<'a>),
}

/// Scales pictures. Keeps its buffers.
#[derive(Default)]
pub(super) struct Preparer {
    resizer: Resizer,
}

impl Preparer {
    /// A picture as an upright square of side `px`, RGB, row-major, 3 bytes a pixel.
    ///
    /// # Errors
    /// The picture is empty or shorter than it says.
    pub(super) fn scale(
        &mut self,
        (width, height): (usize, usize),
        pixels: &Pixels<'_>,
        px: usize,
        turn: Turn,
        input: &Input,
    ) -> Result<Vec<u8>, PrepareError> {
        let square = match pixels {
            Pixels::Rgb(data, stride) => {
                let packed = pack(width, height, *stride, data)
                    .ok_or_else(|| PrepareError::new(width, height, px, "its data is too short"))?;
                // Typed, so that code for these kinds of pixel alone is compiled and not that for every other.
                self.resize::<U8x3>(width, height, &packed, px, input)?
            }
            Pixels::Planes(planes) => self.scale_planes(planes, px, input)?,
        };
        Ok(upright(square, px, turn))
    }

    /// One plane of bytes as a square of side `px`.
    pub(super) fn scale_plane(
        &mut self,
        width: usize,
        height: usize,
        samples: &[u8],
        px: usize,
        input: &Input,
    ) -> Result<Vec<u8>, PrepareError> {
        self.resize::<U8>(width, height, samples, px, input)
    }

    fn resize<P: PixelTrait>(
        &mut self,
        width: usize,
        height: usize,
        packed: &[u8],
        px: usize,
        input: &Input,
    ) -> Result<Vec<u8>, PrepareError> {
        let fail = |err: &dyn std::fmt::Display| PrepareError::new(width, height, px, err);
        let source = TypedImageRef::<P>::from_buffer(width as u32, height as u32, packed)
            .map_err(|err| fail(&err))?;
        let mut square = vec![0; px * px * P::size()];
        let mut scaled = TypedImage::<P>::from_buffer(px as u32, px as u32, &mut square)
            .map_err(|err| fail(&err))?;
        let filter = match input.resize {
            Resize::Bicubic => FilterType::CatmullRom,
            Resize::Bilinear => FilterType::Bilinear,
            Resize::Area => FilterType::Box,
        };
        let mut options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(filter))
            .use_alpha(false);
        if input.fit == Fit::Crop {
            options = options.fit_into_destination(None);
        }
        self.resizer
            .resize_typed(&source, &mut scaled, &options)
            .map_err(|err| fail(&err))?;
        drop(scaled);
        Ok(square)
    }
}

/// The rows without what lies between them.
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

/// A square picture, turned.
fn upright(square: Vec<u8>, px: usize, turn: Turn) -> Vec<u8> {
    if turn == Turn::default() {
        return square;
    }
    let mut turned = Vec::with_capacity(square.len());
    for row in 0..px {
        for column in 0..px {
            let (r, c) = turn.source(px, row, column);
            let at = (r * px + c) * 3;
            turned.extend_from_slice(&square[at..at + 3]);
        }
    }
    turned
}

/// Appends a square RGB picture of side `px` to `batch`, as the model wants it: `(x - mean) / std` in its channel order and layout.
pub(super) fn normalise(picture: &[u8], px: usize, input: &Input, batch: &mut Vec<f32>) {
    let mean = input.mean.unwrap_or([0.0; 3]);
    let scale = input.std.unwrap_or([1.0; 3]).map(|std| 1.0 / std);
    // Channel `c` of the model is byte `from[c]` of a pixel.
    let from = match input.colour {
        Colour::Rgb => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
    };
    batch.reserve(px * px * 3);
    if input.layout == Layout::Nhwc {
        for pixel in picture.chunks_exact(3) {
            batch.extend((0..3).map(|c| (f32::from(pixel[from[c]]) - mean[c]) * scale[c]));
        }
    } else {
        for c in 0..3 {
            batch.extend(
                picture
                    .chunks_exact(3)
                    .map(|pixel| (f32::from(pixel[from[c]]) - mean[c]) * scale[c]),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Dtype;

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
        let square = Preparer::default()
            .scale(
                (64, 16),
                &Pixels::Rgb(&data, 64 * 3 + 4),
                8,
                Turn::default(),
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
        let square = Preparer::default()
            .scale(
                (64, 16),
                &Pixels::Rgb(&data, 64 * 3),
                16,
                Turn::default(),
                &crop,
            )
            .unwrap();
        assert_eq!(pixel(&square, 16, 8, 0), [250, 0, 0]);
        assert_eq!(pixel(&square, 16, 8, 15), [0, 0, 250]);
    }

    #[test]
    fn every_turn_stands_a_picture_upright() {
        // The upright picture: 0 1 / 2 3.
        for (tag, turn) in Turn::ALL {
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
            assert_eq!(Turn::from_tag(tag), Some(turn));
            assert_eq!(turn.name(), tag);
        }
    }

    #[test]
    fn short_and_empty_pictures_are_refused() {
        let mut preparer = Preparer::default();
        for (width, height, stride, len) in
            [(0, 4, 0, 0), (4, 0, 12, 0), (4, 4, 12, 47), (4, 4, 11, 100)]
        {
            let data = vec![0; len];
            assert!(
                preparer
                    .scale(
                        (width, height),
                        &Pixels::Rgb(&data, stride),
                        8,
                        Turn::default(),
                        &input()
                    )
                    .is_err()
            );
        }
    }

    #[test]
    fn normalising_follows_layout_and_colour() {
        let mut batch = Vec::new();
        let picture = [1, 2, 3, 5, 6, 7];
        normalise(&picture, 1, &input(), &mut batch);
        assert_eq!(batch, [0.0, 2.0, 0.0, 2.0, 0.0, 1.0]);
        batch.clear();
        normalise(
            &picture,
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
