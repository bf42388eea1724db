//! A frame's pixels -> its measures of quality.

use anchoring::time::Nanos;

use super::prepare::Pixels;
use crate::frame_quality::{FrameQuality, Luma, Measure};

/// Measures frames as they are decoded. Keeps its buffers.
#[derive(Default)]
pub(in super::super) struct FrameMeasure {
    measure: Measure,
    luma: Vec<u8>,
}

impl FrameMeasure {
    /// The next frame; `None` if its data is too short.
    pub(in super::super) fn frame(
        &mut self,
        pts: Nanos,
        (width, height): (usize, usize),
        pixels: &Pixels<'_>,
    ) -> Option<FrameQuality> {
        let luma = match pixels {
            Pixels::Planes(planes) => {
                let full = planes.colours.full;
                Luma::new(planes.y.data, planes.y.stride, width, height, full)?
            }
            Pixels::Rgb(data, stride) => {
                self.luma.clear();
                for row in data.chunks((*stride).max(1)).take(height) {
                    let row = row.get(..3 * width)?.as_chunks::<3>().0;
                    // BT.709, in 256ths.
                    self.luma.extend(row.iter().map(|&[r, g, b]| {
                        ((54 * u32::from(r) + 183 * u32::from(g) + 19 * u32::from(b)) >> 8) as u8
                    }));
                }
                Luma::new(&self.luma, width, width, height, true)?
            }
        };
        Some(self.measure.frame(pts, &luma))
    }

    /// Another stream begins.
    pub(in super::super) fn restart(&mut self) {
        self.measure.restart();
    }
}
