//! Scaling to a square, as the model's manifest says.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use crate::models::{Fit, Input, Resize};

/// A frame that cannot be scaled.
#[derive(Debug, thiserror::Error)]
#[error("cannot scale a frame of {width} x {height} pixels to {px} x {px}: {message}")]
pub(in super::super) struct ScaleError {
    width: usize,
    height: usize,
    px: usize,
    message: String,
}

impl ScaleError {
    pub(super) fn new(width: usize, height: usize, px: usize, why: impl ToString) -> Self {
        Self {
            width,
            height,
            px,
            message: why.to_string(),
        }
    }
}

/// Scales to squares. Keeps its buffers.
#[derive(Default)]
pub(in super::super) struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// Scales packed pixels of one kind to `to` columns and rows.
    ///
    /// # Errors
    /// The data is too short, or a side is 0.
    pub(super) fn resize<P: PixelTrait>(
        &mut self,
        width: usize,
        height: usize,
        packed: &[u8],
        to: (usize, usize),
        input: &Input,
    ) -> Result<Vec<u8>, ScaleError> {
        let fail =
            |err: &dyn std::fmt::Display| ScaleError::new(width, height, to.0.max(to.1), err);
        let source = TypedImageRef::<P>::from_buffer(width as u32, height as u32, packed)
            .map_err(|err| fail(&err))?;
        let mut square = vec![0; to.0 * to.1 * P::size()];
        let mut scaled = TypedImage::<P>::from_buffer(to.0 as u32, to.1 as u32, &mut square)
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
            options = match input.crop {
                None => options.fit_into_destination(None),
                Some(share) => {
                    let (w, h) = (width as f64, height as f64);
                    let side = w.min(h * to.0 as f64 / to.1 as f64) * share;
                    let (w_in, h_in) = (side, side * to.1 as f64 / to.0 as f64);
                    options.crop((w - w_in) / 2.0, (h - h_in) / 2.0, w_in, h_in)
                }
            };
        }
        self.resizer
            .resize_typed(&source, &mut scaled, &options)
            .map_err(|err| fail(&err))?;
        drop(scaled);
        Ok(square)
    }
}
