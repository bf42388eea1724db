//! Frames, cues and messages -> jobs for the worker.

use std::sync::Arc;
use std::time::Instant;

use anchoring::plan::{Entry, Reason};
use anchoring::tier::Tier;
use anchoring::time::Nanos;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::prelude::*;

use super::clips::{Closed, OpenClips, PreparedFrame, WantedFrames};
use super::frame::{ANCHOR_PX, Orientation, pixels, shape};
use super::imp::FeatureSink;
use super::job::{Frame, Job};
use super::start::Started;
use super::{CAT, lock};
use crate::pads;
use crate::printable::shown;
use crate::structures::{self, Chosen, Message};

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

    /// A frame with its plan entry: a job of its own, or the end of some clips.
    pub(super) fn frame_jobs(
        &self,
        started: &mut Started,
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
    ) -> Result<Vec<Job>, gst::ErrorMessage> {
        let (pts, chosen) = self.tagged(buffer)?;
        let entry = chosen.entry;
        let Some(clips) = &started.clips else {
            let wanted = WantedFrames {
                at_all: true,
                as_middle: true,
                of_anchor: entry.reason == Reason::Anchor,
            };
            let prepared = Self::prepare(started, buffer, info, (pts, entry.tier), wanted, None)?;
            self.check_price(started, &entry);
            return Ok(vec![Job::Frame(Frame {
                pts,
                entry,
                square: prepared.square,
                large: prepared.large,
                shape: prepared.shape,
                quality: prepared.quality.unwrap_or_default(),
                clip: None,
            })]);
        };
        let wanted = clips.wants(entry.planned, entry.tier);
        if !wanted.at_all {
            return match entry.tokens {
                0 => Ok(Vec::new()),
                _ => Err(gst::error_msg!(
                    gst::StreamError::Format,
                    ("the plan has single frames, but the encoder takes clips: make a plan with this model")
                )),
            };
        }
        let again = clips.again(pts, entry.tier);
        let prepared = Self::prepare(started, buffer, info, (pts, entry.tier), wanted, again)?;
        let closed = started
            .clips
            .as_mut()
            .map(|clips| clips.frame(entry.planned, Arc::new(prepared)));
        Ok(self.clip_jobs(started, closed.unwrap_or_default()))
    }

    /// Clips that are whole.
    fn clip_jobs(&self, started: &mut Started, closed: Closed) -> Vec<Job> {
        for _ in 0..closed.lost {
            lock(&started.closing).missed();
        }
        for row in &closed.rows {
            self.check_price(started, &row.entry);
        }
        closed.rows.into_iter().map(Job::Frame).collect()
    }

    /// The end of the stream, for clips.
    pub(super) fn last_clips(&self) -> Result<(), gst::FlowError> {
        let jobs = match lock(&self.state).as_mut() {
            Some(started) => {
                let closed = started.clips.as_mut().map(OpenClips::finish);
                self.clip_jobs(started, closed.unwrap_or_default())
            }
            None => Vec::new(),
        };
        jobs.into_iter().try_for_each(|job| self.give(job))
    }

    /// A frame's time and plan entry.
    fn tagged(&self, buffer: &gst::Buffer) -> Result<(Nanos, Chosen), gst::ErrorMessage> {
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
        match structures::buffer_tag(buffer) {
            Some(Ok(chosen)) => Ok((pts, chosen)),
            Some(Err(err)) => Err(gst::error_msg!(
                gst::StreamError::Format,
                ("{}", shown(&err))
            )),
            None => Err(gst::error_msg!(
                gst::StreamError::Format,
                ("the frame at {pts} has no plan entry (put framepick before featuresink, and anchorgate before the decoder)")
            )),
        }
    }

    /// Scales a frame, and measures its quality where `wanted` says so; `again`: the same frame from an earlier call.
    fn prepare(
        started: &mut Started,
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
        (pts, tier): (Nanos, Tier),
        wanted: WantedFrames,
        again: Option<Arc<PreparedFrame>>,
    ) -> Result<PreparedFrame, gst::ErrorMessage> {
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
        let px = started.tiers[tier as usize].px;
        let size = (info.width() as usize, info.height() as usize);
        let begun = Instant::now();
        let input = &started.input;
        let mut square = |px: usize| {
            let square = started.scaler.square(size, &pixels, px, orientation, input);
            square.map(Arc::new).map_err(|err| unreadable(&err))
        };
        let scaled = match &again {
            Some(again) => again.square.clone(),
            None => square(px)?,
        };
        let wants_large = started.thumbnails && wanted.of_anchor && px < ANCHOR_PX;
        let large = wants_large.then(|| square(ANCHOR_PX)).transpose()?;
        let measuring = Instant::now();
        started.scaling += measuring - begun;
        let quality = match wanted.as_middle {
            true => {
                let quality = started.measure.frame(pts, size, &pixels);
                Some(quality.ok_or_else(|| unreadable(&"its data is too short"))?)
            }
            false => again.and_then(|again| again.quality),
        };
        started.measuring += measuring.elapsed();
        let par = (info.par().numer(), info.par().denom());
        let size = (info.width(), info.height());
        let shape = shape(size, par, orientation, started.input.fit);
        let mut closing = lock(&started.closing);
        closing.orientation(orientation.name());
        closing.reached(pts);
        Ok(PreparedFrame {
            pts,
            tier,
            square: scaled,
            large: large.map(|large| (ANCHOR_PX, large)),
            shape,
            quality,
        })
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
            if let Message::Clip(clip) = message {
                let Some(clips) = &mut started.clips else {
                    drop(state);
                    self.post_error_message(gst::error_msg!(
                        gst::StreamError::Format,
                        ("the plan has clips, but the encoder takes single frames: make a plan with this model")
                    ));
                    return false;
                };
                let wanted = started.input.frames.unwrap_or(0);
                let there = clip.frames.times.len();
                if there != wanted {
                    drop(state);
                    self.post_error_message(gst::error_msg!(
                        gst::StreamError::Format,
                        ("the plan has clips of {there} frames, but the encoder takes {wanted}: make a plan with this model")
                    ));
                    return false;
                }
                let closed = clips.begin(clip);
                let jobs = self.clip_jobs(started, closed);
                drop(state);
                return jobs.into_iter().all(|job| self.give(job).is_ok());
            }
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
                Message::Chosen(_) | Message::Clip(_) => return true,
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
