//! Frames, cues and messages -> jobs for the worker.

use std::time::Instant;

use anchoring::plan::{Entry, Reason};
use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::frame::{ANCHOR_PX, Orientation, pixels, shape};
use super::imp::FeatureSink;
use super::job::{Frame, Job};
use super::start::Started;
use super::{CAT, lock};
use crate::pads;
use crate::printable::shown;
use crate::structures::{self, Message};

impl FeatureSink {
    /// The element that decodes the frames.
    pub(super) fn decoder(&self) -> Option<String> {
        let kinds = gst::ElementFactoryType::DECODER | gst::ElementFactoryType::MEDIA_VIDEO;
        let pad = self.obj().static_pad("sink")?;
        let decodes = |element: &gst::Element| {
            let factory = element.factory()?;
            factory.has_type(kinds).then(|| factory.name().to_string())
        };
        let decoder = pads::before(&pad)
            .iter()
            .find_map(|(_, inside)| inside.iter().find_map(decodes));
        gst::info!(CAT, imp = self, "decoded by {decoder:?}");
        decoder
    }

    /// A frame with its plan entry, scaled.
    pub(super) fn frame_job(
        &self,
        started: &mut Started,
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
    ) -> Result<Job, gst::ErrorMessage> {
        let segment = self.obj().segment();
        let pts = buffer.pts().and_then(|pts| {
            segment
                .downcast_ref::<gst::ClockTime>()?
                .to_stream_time(pts)
        });
        let Some(pts) = pts.map(|pts| Nanos::new(pts.nseconds() as i64)) else {
            return Err(gst::error_msg!(
                gst::StreamError::Format,
                ("a frame has no timestamp inside its segment")
            ));
        };
        let chosen = match structures::buffer_tag(buffer) {
            Some(chosen) => chosen
                .map_err(|err| gst::error_msg!(gst::StreamError::Format, ("{}", shown(&err))))?,
            None => {
                return Err(gst::error_msg!(
                    gst::StreamError::Format,
                    ("the frame at {pts} has no plan entry (put framepick before featuresink, and anchorgate before the decoder)")
                ));
            }
        };
        let unreadable = |why: &dyn std::fmt::Display| {
            gst::error_msg!(
                gst::StreamError::Decode,
                ("cannot read the frame at {pts}: {why}")
            )
        };
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info)
            .map_err(|err| unreadable(&err))?;
        let pixels = pixels(&frame).map_err(|err| unreadable(&err))?;

        let orientation = started
            .stream_orientation
            .or(started.container_orientation)
            .unwrap_or_default();
        let tier = started.tiers[chosen.entry.tier as usize];
        let begun = Instant::now();
        let square = started
            .scaler
            .square(
                (info.width() as usize, info.height() as usize),
                &pixels,
                tier.px,
                orientation,
                &started.input,
            )
            .map_err(|err| unreadable(&err))?;
        let wants_large =
            started.thumbnails && chosen.entry.reason == Reason::Anchor && tier.px < ANCHOR_PX;
        let large = wants_large.then(|| {
            let size = (info.width() as usize, info.height() as usize);
            let input = &started.input;
            started
                .scaler
                .square(size, &pixels, ANCHOR_PX, orientation, input)
        });
        let large = large.transpose().map_err(|err| unreadable(&err))?;
        let scaled = Instant::now();
        started.scaling += scaled - begun;
        let size = (info.width() as usize, info.height() as usize);
        let quality = started.measure.frame(pts, size, &pixels);
        let quality = quality.ok_or_else(|| unreadable(&"its data is too short"))?;
        started.measuring += scaled.elapsed();
        let par = (info.par().numer(), info.par().denom());
        let size = (info.width(), info.height());
        let shape = shape(size, par, orientation, started.input.fit);
        {
            let mut closing = lock(&started.closing);
            closing.orientation(orientation.name());
            closing.reached(pts);
        }
        self.check_price(started, &chosen.entry);
        Ok(Job::Frame(Frame {
            pts,
            entry: chosen.entry,
            square,
            large: large.map(|large| (ANCHOR_PX, large)),
            shape,
            quality,
        }))
    }

    /// Warns once if the plan was priced for another encoder.
    fn check_price(&self, started: &mut Started, entry: &Entry) {
        let price = started.tiers[entry.tier as usize].tokens;
        if entry.tokens == price || started.warned_of_prices {
            return;
        }
        started.warned_of_prices = true;
        let text = format!(
            "the plan prices tier {1} at {0} tokens, but the encoder's manifest at {price} (was it made for another model?)",
            entry.tokens, entry.tier
        );
        gst::element_imp_warning!(self, gst::StreamError::Format, ("{}", shown(&text)));
        lock(&started.closing).warn(text);
    }

    /// Takes a message from `anchorgate` or `framepick`.
    pub(super) fn take_message(&self, message: Message) -> bool {
        if self.restart_after_flush().is_err() {
            return false;
        }
        let job = {
            let mut state = lock(&self.state);
            let Some(started) = state.as_mut() else {
                return false;
            };
            let mut closing = lock(&started.closing);
            match message {
                Message::Plan(header) => {
                    let earns = header.config["budget"]["tokens_per_s"].as_f64();
                    closing.plan(header);
                    drop(closing);
                    if let Some(segments) = &mut started.segments {
                        segments.earns(earns.unwrap_or(0.0));
                    }
                    return true;
                }
                Message::Summary(summary) => {
                    closing.summary(summary);
                    return true;
                }
                Message::Miss(_) => {
                    closing.missed();
                    return true;
                }
                // Its frame carries it.
                Message::Chosen(_) => return true,
                Message::Anchor(anchor) => Job::Anchor(anchor),
                Message::Candidate(one) => Job::Candidate(one),
                Message::Cue(cue) => {
                    closing.reached(cue.pts);
                    Job::Cue(cue)
                }
            }
        };
        self.give(job).is_ok()
    }

    pub(super) fn take_tags(&self, tags: &gst::TagListRef) {
        let Some(tag) = tags.get::<gst::tags::ImageOrientation>() else {
            return;
        };
        let orientation = Orientation::from_tag(tag.get());
        if orientation.is_none() {
            gst::warning!(CAT, imp = self, "unknown image-orientation {}", tag.get());
        }
        if let Some(started) = lock(&self.state).as_mut() {
            match tags.scope() {
                gst::TagScope::Global => started.container_orientation = orientation,
                _ => started.stream_orientation = orientation,
            }
        }
    }

    /// A buffer of the cue stream, in recordings without video.
    pub(super) fn cue_job(
        started: &mut Started,
        buffer: &gst::Buffer,
    ) -> Result<Job, gst::ErrorMessage> {
        let wrong = |why: &dyn std::fmt::Display| {
            gst::error_msg!(
                gst::StreamError::Format,
                ("cannot read a cue: {}", shown(&why))
            )
        };
        let data = buffer.map_readable().map_err(|err| wrong(&err))?;
        let cue = structures::cue_from_text(&data).map_err(|err| wrong(&err))?;
        lock(&started.closing).reached(cue.pts);
        Ok(Job::Cue(cue))
    }
}
