//! Frames of recordings as JPEG images: decodes them on demand and keeps them within a memory limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anchoring::tier::Tier;
use anchoring::time::Nanos;
use anyhow::{Context, bail};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder};

use super::heard::HeardRecording;
use crate::chat::Image;
use crate::session::{self, DecodedFrame};
use crate::stop::Stop;

/// JPEG quality, 1..=100: print must stay legible.
const QUALITY: u8 = 90;
/// Most bytes of images kept at once.
const MOST_BYTES: usize = 256 << 20;
/// How much earlier to take a frame at the end of a recording.
const EARLIER: [Nanos; 2] = [Nanos::from_ms(200), Nanos::from_ms(1500)];

/// A frame as an image.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Its own time.
    pub(crate) pts: Nanos,
    pub(crate) image: Image,
}

/// Identifies a frame: recording, time, tier.
type Which = (usize, Nanos, Tier);

/// Decoded frames.
pub(crate) struct Gallery {
    frames: BTreeMap<Which, Frame>,
    bytes: usize,
    resizer: Resizer,
    stall: Duration,
    stop: Stop,
}

/// The longer side of a frame at a tier, px.
pub(crate) const fn side(tier: Tier) -> u32 {
    match tier {
        Tier::Low => 112,
        Tier::Base => 224,
        Tier::High => 448,
    }
}

impl Gallery {
    pub(crate) fn new(stall: Duration, stop: Stop) -> Self {
        Self {
            frames: BTreeMap::new(),
            bytes: 0,
            resizer: Resizer::new(),
            stall,
            stop,
        }
    }

    /// Forgets everything; from here on, recordings are numbered anew.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Decodes the missing ones of these frames, each recording in one pass.
    ///
    /// # Errors
    /// A recording cannot be decoded.
    pub(crate) fn want(
        &mut self,
        heard: &[HeardRecording],
        wanted: &[Which],
    ) -> anyhow::Result<()> {
        let mut missing: BTreeMap<usize, BTreeMap<Nanos, BTreeSet<Tier>>> = BTreeMap::new();
        for which in wanted
            .iter()
            .filter(|which| !self.frames.contains_key(which))
        {
            let times = missing.entry(which.0).or_default();
            times.entry(which.1).or_default().insert(which.2);
        }
        if self.bytes > MOST_BYTES {
            // Decodes everything again that is wanted now.
            self.clear();
            return self.want(heard, wanted);
        }
        for (recording, times) in missing {
            self.decode(recording, &heard[recording], &times)?;
        }
        Ok(())
    }

    fn decode(
        &mut self,
        recording: usize,
        heard: &HeardRecording,
        times: &BTreeMap<Nanos, BTreeSet<Tier>>,
    ) -> anyhow::Result<()> {
        // Times to decode, each with the wanted times that it serves.
        let mut open: BTreeMap<Nanos, Vec<Nanos>> =
            times.keys().map(|at| (*at, vec![*at])).collect();
        for earlier in [None, Some(EARLIER[0]), Some(EARLIER[1])] {
            let asked: Vec<Nanos> = open.keys().copied().collect();
            let mut found = Vec::new();
            let (stall, stop) = (self.stall, self.stop.clone());
            session::frames(&heard.video, &asked, stall, &stop, |decoded| {
                for at in open.remove(&decoded.asked).into_iter().flatten() {
                    for tier in times.get(&at).into_iter().flatten() {
                        found.push(((recording, at, *tier), self.frame(&decoded, *tier)?));
                    }
                }
                Ok(())
            })?;
            for (which, frame) in found {
                self.bytes += frame.image.0.len();
                self.frames.insert(which, frame);
            }
            if open.is_empty() {
                return Ok(());
            }
            let next = if earlier.is_none() {
                EARLIER[0]
            } else {
                EARLIER[1]
            };
            let late: Vec<Nanos> = std::mem::take(&mut open).into_values().flatten().collect();
            for at in late {
                open.entry((at - next).max(Nanos::ZERO))
                    .or_default()
                    .push(at);
            }
        }
        let at = open.into_values().flatten().next().unwrap_or(Nanos::ZERO);
        bail!(
            "{} has no frame at {at}; is it the same recording, and complete?",
            heard.video.display()
        );
    }

    fn frame(&mut self, decoded: &DecodedFrame, tier: Tier) -> anyhow::Result<Frame> {
        Ok(Frame {
            pts: decoded.pts,
            image: Image(Arc::from(
                self.jpeg(decoded, side(tier))
                    .context("cannot scale a frame")?,
            )),
        })
    }

    /// A frame as JPEG with this longer side, or its own if that is shorter.
    fn jpeg(&mut self, decoded: &DecodedFrame, side: u32) -> anyhow::Result<Vec<u8>> {
        let longer = decoded.width.max(decoded.height);
        let part = |length: u32| {
            (u64::from(length) * u64::from(side.min(longer)) / u64::from(longer)).max(1) as u32
        };
        let (width, height) = (part(decoded.width), part(decoded.height));
        let source =
            TypedImageRef::<U8x3>::from_buffer(decoded.width, decoded.height, &decoded.rgb)?;
        let mut scaled = vec![0; width as usize * height as usize * 3];
        let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut scaled)?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .use_alpha(false);
        self.resizer.resize_typed(&source, &mut target, &options)?;
        drop(target);
        let mut jpeg = Vec::new();
        Encoder::new(&mut jpeg, QUALITY).encode(
            &scaled,
            width as u16,
            height as u16,
            ColorType::Rgb,
        )?;
        Ok(jpeg)
    }

    /// A frame that was decoded with `want`.
    ///
    /// # Errors
    /// It was not.
    pub(crate) fn get(&self, which: Which) -> anyhow::Result<&Frame> {
        self.frames.get(&which).context("a frame was not decoded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_scaled_to_its_tier_and_never_enlarged() {
        let mut gallery = Gallery::new(Duration::from_secs(1), Stop::new().unwrap());
        let decoded = |width: u32, height: u32| DecodedFrame {
            asked: Nanos::ZERO,
            pts: Nanos::ZERO,
            width,
            height,
            rgb: vec![90; (width * height * 3) as usize],
        };
        let mut size = |width: u32, height: u32, tier: Tier| {
            let jpeg = gallery.jpeg(&decoded(width, height), side(tier)).unwrap();
            let at = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
            let number = |k: usize| u16::from_be_bytes([jpeg[at + k], jpeg[at + k + 1]]);
            (number(7), number(5))
        };
        assert_eq!(size(640, 360, Tier::High), (448, 252));
        assert_eq!(size(360, 640, Tier::Low), (63, 112));
        assert_eq!(size(64, 64, Tier::Base), (64, 64));
    }
}
