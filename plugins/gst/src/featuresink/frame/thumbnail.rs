//! The encoder's square -> a small JPEG for people, on the worker's thread.

use anchoring::plan::{Entry, Reason};
use anchoring::tier::Tier;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::orientation::Orientation;
use crate::models::Fit;

/// JPEG's own scale, 1..=100.
const QUALITY: u8 = 70;

/// The longer side of a thumbnail at an anchor: as large as reports show it.
pub(in super::super) const ANCHOR_PX: usize = 320;

/// The longer side of a thumbnail: large at anchors, else by tier.
const fn side(entry: &Entry) -> usize {
    match (entry.reason, entry.tier) {
        (Reason::Anchor, _) => ANCHOR_PX,
        (_, Tier::Low) => 96,
        (_, Tier::Base | Tier::High) => 160,
    }
}

/// Width and height of the frame that was squashed into the encoder's square, upright and with square pixels; of the square itself if it was
/// cropped or padded. `par`: the pixel's aspect ratio.
pub(in super::super) fn shape(
    (width, height): (u32, u32),
    par: (i32, i32),
    turn: Orientation,
    fit: Fit,
) -> (usize, usize) {
    let part = |length: u32, factor: i32| length as usize * factor.clamp(1, 1 << 16) as usize;
    let (width, height) = (part(width, par.0), part(height, par.1));
    match fit {
        Fit::Crop | Fit::Pad => (1, 1),
        Fit::Squash if turn.quarters % 2 == 1 => (height, width),
        Fit::Squash => (width, height),
    }
}

/// Makes thumbnails. Keeps its buffers.
#[derive(Default)]
pub(in super::super) struct Thumbnails {
    resizer: Resizer,
    scaled: Vec<u8>,
}

impl Thumbnails {
    /// An RGB square of side `px` as a JPEG, stretched back to the shape (width, height) of its frame; empty if that fails, which only costs
    /// the thumbnail.
    pub(in super::super) fn jpeg(
        &mut self,
        square: &[u8],
        px: usize,
        shape: (usize, usize),
        entry: &Entry,
    ) -> Vec<u8> {
        self.try_jpeg(square, px, shape, side(entry))
            .unwrap_or_default()
    }

    fn try_jpeg(
        &mut self,
        square: &[u8],
        px: usize,
        (width, height): (usize, usize),
        side: usize,
    ) -> Option<Vec<u8>> {
        let longer = width.max(height);
        let part = |length: usize| (side * length).checked_div(longer).map(|n| n.max(1));
        let (width, height) = (part(width)?, part(height)?);
        let source = TypedImageRef::<U8x3>::from_buffer(px as u32, px as u32, square).ok()?;
        self.scaled.resize(width * height * 3, 0);
        let mut scaled =
            TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut self.scaled).ok()?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false);
        self.resizer
            .resize_typed(&source, &mut scaled, &options)
            .ok()?;
        drop(scaled);
        let mut jpeg = Vec::new();
        let mut encoder = Encoder::new(&mut jpeg, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_optimized_huffman_tables(true);
        encoder
            .encode(&self.scaled, width as u16, height as u16, ColorType::Rgb)
            .ok()?;
        Some(jpeg)
    }
}

#[cfg(test)]
mod tests {
    use anchoring::time::Nanos;

    use super::*;

    /// Width and height from the start-of-frame marker.
    fn size(jpeg: &[u8]) -> (u16, u16) {
        let at = jpeg
            .windows(2)
            .position(|w| w == [0xff, 0xc0])
            .expect("a baseline JPEG");
        let number = |k: usize| u16::from_be_bytes([jpeg[at + k], jpeg[at + k + 1]]);
        (number(7), number(5))
    }

    fn entry(tier: Tier, reason: Reason) -> Entry {
        Entry {
            planned: Nanos::ZERO,
            asked: None,
            tier,
            tokens: 1,
            reason,
            anchor: None,
        }
    }

    #[test]
    fn thumbnails_have_the_shape_of_the_frame_and_are_large_at_anchors() {
        let mut thumbnails = Thumbnails::default();
        for (tier, reason, shape, expected) in [
            (Tier::Low, Reason::Background, (1920, 1080), (96, 54)),
            (Tier::Base, Reason::Uniform, (1080, 1920), (90, 160)),
            (Tier::High, Reason::Untrusted, (640, 480), (160, 120)),
            (Tier::Base, Reason::Anchor, (640, 480), (320, 240)),
            (Tier::High, Reason::Anchor, (10_000, 1), (320, 1)),
        ] {
            let jpeg = thumbnails.jpeg(&[90; 64 * 64 * 3], 64, shape, &entry(tier, reason));
            assert_eq!(size(&jpeg), expected, "{tier} {reason} {shape:?}");
        }
    }

    #[test]
    fn a_shape_is_upright_and_has_square_pixels() {
        let quarter = Orientation {
            quarters: 1,
            mirror: false,
        };
        let plain = Orientation::default();
        assert_eq!(
            shape((720, 576), (16, 15), plain, Fit::Squash),
            (11_520, 8_640)
        );
        assert_eq!(shape((640, 360), (1, 1), quarter, Fit::Squash), (360, 640));
        assert_eq!(shape((640, 360), (0, 0), plain, Fit::Squash), (640, 360));
        assert_eq!(shape((640, 360), (1, 1), plain, Fit::Crop), (1, 1));
    }

    #[test]
    fn what_cannot_be_drawn_is_empty() {
        let mut thumbnails = Thumbnails::default();
        let entry = entry(Tier::Low, Reason::Background);
        assert!(thumbnails.jpeg(&[], 64, (4, 4), &entry).is_empty());
        assert!(thumbnails.jpeg(&[0; 12], 2, (0, 0), &entry).is_empty());
    }
}
