//! The sharpest of the frames that are decoded on the way to a wanted one.

use anchoring::time::Nanos;
use gst_video::prelude::*;

use crate::frame_quality::{CutSample, Luma, WorkingImage, sharpness};

/// Frames whose sharpness differs by less are equally sharp: the nearest to the time asked for is taken.
const TIE: f32 = 0.02;

/// Holds the best frame so far on the way to the next wanted one, and no other.
#[derive(Default)]
pub(super) struct Sharpest {
    info: Option<gst_video::VideoInfo>,
    working: WorkingImage,
    kept: Option<KeptFrame>,
    /// The frame before, to detect a cut.
    before: Option<CutSample>,
}

struct KeptFrame {
    buffer: gst::Buffer,
    at: Nanos,
    sharpness: f32,
    /// The highest sharpness so far; that frame may have been further from the time asked for.
    most: f32,
}

impl Sharpest {
    /// Frames have these caps from here on.
    pub(super) fn set_caps(&mut self, caps: &gst::CapsRef) {
        self.info = gst_video::VideoInfo::from_caps(caps).ok();
        self.forget();
    }

    /// A frame that may be taken in place of the next wanted one.
    pub(super) fn offer(&mut self, buffer: &gst::Buffer, at: Nanos, asked: Nanos) {
        let Some(sharpness) = self.measure(buffer) else {
            self.forget();
            return;
        };
        let most = self
            .kept
            .as_ref()
            .map_or(sharpness, |kept| kept.most.max(sharpness));
        match &mut self.kept {
            Some(kept) if is_better(kept, most, sharpness, at, asked) => kept.most = most,
            kept => {
                *kept = Some(KeptFrame {
                    buffer: buffer.clone(),
                    at,
                    sharpness,
                    most,
                });
            }
        }
    }

    /// The wanted frame has come. `Some`: the frame that is taken in its place. Holds nothing afterwards.
    pub(super) fn settle(
        &mut self,
        wanted: &gst::Buffer,
        at: Nanos,
        asked: Nanos,
    ) -> Option<gst::Buffer> {
        // Nothing came before it: there is nothing to measure.
        self.kept.as_ref()?;
        let sharpness = self.measure(wanted);
        let kept = self.kept.take();
        self.forget();
        let (kept, sharpness) = (kept?, sharpness?);
        let most = kept.most.max(sharpness);
        is_better(&kept, most, sharpness, at, asked).then_some(kept.buffer)
    }

    /// Drops the held frame.
    pub(super) fn forget(&mut self) {
        self.kept = None;
        self.before = None;
    }

    /// Sharpness of a frame; drops a frame held from before a cut. `None` if its pixels can't be read here (they may be on a GPU).
    fn measure(&mut self, buffer: &gst::Buffer) -> Option<f32> {
        let info = self.info.as_ref()?;
        let format = info.format_info();
        let plain = (format.is_yuv() || format.is_gray())
            && format.depth().first() == Some(&8)
            && format.pixel_stride().first() == Some(&1);
        if !plain {
            return None;
        }
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
        let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
        let size = (info.width() as usize, info.height() as usize);
        // Sharpness is the same in either range.
        let luma = Luma::new(frame.plane_data(0).ok()?, stride, size.0, size.1, true)?;
        self.working.take(&luma);
        let sample = CutSample::of(&self.working);
        if self
            .before
            .as_ref()
            .is_some_and(|before| before.is_cut(&sample))
        {
            self.kept = None;
        }
        self.before = Some(sample);
        Some(sharpness(&self.working))
    }
}

/// Whether to take the held frame rather than another. `most`: the highest sharpness so far.
fn is_better(kept: &KeptFrame, most: f32, sharpness: f32, at: Nanos, asked: Nanos) -> bool {
    match (kept.sharpness > most - TIE, sharpness > most - TIE) {
        (true, true) => kept.at.distance(asked) <= at.distance(asked),
        (held, _) => held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    /// Stripes of a pixel, blurred by so many pixels, of this much lightness.
    fn frame(blur: usize, light: u8) -> gst::Buffer {
        let stripe = |x: usize| usize::from(x % 16 < 8) * 100;
        let row = (0..SIDE).map(|x| {
            let sum: usize = (x..=x + blur).map(stripe).sum();
            light + (sum / (blur + 1)) as u8
        });
        let row: Vec<u8> = row.collect();
        let rotated = |y: usize| {
            let sum: usize = (y..=y + blur).map(stripe).sum();
            (sum / (blur + 1)) as u8 / 2
        };
        let pixels = (0..SIDE).flat_map(|y| {
            row.iter()
                .map(move |x| x / 2 + rotated(y))
                .collect::<Vec<_>>()
        });
        gst::Buffer::from_slice(pixels.collect::<Vec<u8>>())
    }

    fn seeing() -> Sharpest {
        gst::init().unwrap();
        let mut sharpest = Sharpest::default();
        let caps =
            gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray8, SIDE as u32, SIDE as u32);
        sharpest.set_caps(&caps.build().unwrap().to_caps().unwrap());
        sharpest
    }

    fn taken(blurs: &[(i64, usize, u8)], asked: i64) -> i64 {
        let mut sharpest = seeing();
        let frames: Vec<_> = blurs
            .iter()
            .map(|&(at, blur, light)| (Nanos::from_ms(at), frame(blur, light)))
            .collect();
        let asked = Nanos::from_ms(asked);
        let ((wanted, last), before) = frames.split_last().unwrap();
        for (at, buffer) in before {
            sharpest.offer(buffer, *at, asked);
        }
        let instead = sharpest.settle(last, *wanted, asked);
        assert!(sharpest.kept.is_none());
        let found = instead.and_then(|buffer| {
            frames
                .iter()
                .find(|(_, own)| own.as_ptr() == buffer.as_ptr())
                .map(|(at, _)| *at)
        });
        found.unwrap_or(*wanted).get() / 1_000_000
    }

    #[test]
    fn the_sharpest_is_taken_and_of_equals_the_nearest_to_the_time_asked_for() {
        assert_eq!(
            taken(&[(0, 6, 20), (40, 0, 20), (80, 3, 20), (120, 5, 20)], 120),
            40
        );
        assert_eq!(
            taken(&[(0, 0, 20), (40, 0, 20), (80, 4, 20), (120, 0, 20)], 120),
            120
        );
        assert_eq!(
            taken(&[(0, 0, 20), (40, 0, 20), (80, 0, 20), (120, 0, 20)], 50),
            40
        );
        assert_eq!(taken(&[(120, 9, 20)], 120), 120);
    }

    #[test]
    fn no_frame_of_another_shot_is_taken() {
        assert_eq!(taken(&[(0, 0, 20), (40, 0, 150), (80, 4, 150)], 80), 40);
        assert_eq!(taken(&[(0, 0, 20), (40, 0, 20), (80, 6, 150)], 80), 80);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut sharpest = seeing();
        let caps = gst_video::VideoInfo::builder(gst_video::VideoFormat::I42010le, 64, 64);
        sharpest.set_caps(&caps.build().unwrap().to_caps().unwrap());
        sharpest.offer(&frame(0, 20), Nanos::ZERO, Nanos::ZERO);
        assert!(
            sharpest
                .settle(&frame(6, 20), Nanos::from_ms(40), Nanos::ZERO)
                .is_none()
        );
    }
}
