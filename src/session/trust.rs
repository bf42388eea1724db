//! Watches a streaming pass: whether sound can be trusted, and when sound and video begin and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use anchoring::cue::HOP;
use anchoring::time::Nanos;
use gst::prelude::*;
use gstearmark::pads::stream_time;
use gstearmark::structures;

use super::spans::{self, Span};
use crate::pipeline::Pipeline;

/// Warned once if every cue is silence.
pub(super) const NOTHING: &str =
    "the recording is silent: falls back to evenly spaced frames (reason `untrusted`)";

/// What was observed in a streaming pass.
pub(super) struct SoundTrust {
    seen: Arc<TrustState>,
}

/// How many cues came, how many of them can be trusted, and when cues and frames begin and end, in nanoseconds.
struct TrustState {
    cues: AtomicU64,
    trusted: AtomicU64,
    sound: [AtomicI64; 2],
    video: [AtomicI64; 2],
}

impl TrustState {
    fn span([from, to]: &[AtomicI64; 2]) -> Option<Span> {
        let (from, to) = (from.load(Ordering::Relaxed), to.load(Ordering::Relaxed));
        (from < to).then_some((Nanos::new(from), Nanos::new(to)))
    }

    fn came([first, last]: &[AtomicI64; 2], from: Nanos, to: Nanos) {
        first.fetch_min(from.get(), Ordering::Relaxed);
        last.fetch_max(to.get(), Ordering::Relaxed);
    }
}

impl SoundTrust {
    /// Warnings for the end of the run.
    pub(super) fn warnings(&self) -> Vec<String> {
        let seen = &self.seen;
        if seen.cues.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        if seen.trusted.load(Ordering::Relaxed) == 0 {
            warnings.push(NOTHING.into());
        }
        if let (Some(video), Some(sound)) =
            (TrustState::span(&seen.video), TrustState::span(&seen.sound))
        {
            // The gate itself warns if the sound ends early.
            let hints = spans::hints(video, sound).into_iter();
            warnings.extend(hints.filter(|hint| !hint.starts_with("the sound ends")));
        }
        warnings
    }
}

/// Observes the cues of a streaming pass, and its video if there is any.
pub(super) fn watch(
    ears: &gst::Element,
    gate: Option<&gst::Element>,
    pipeline: &Pipeline,
) -> SoundTrust {
    let nothing = || [AtomicI64::new(i64::MAX), AtomicI64::new(i64::MIN)];
    let seen = Arc::new(TrustState {
        cues: AtomicU64::new(0),
        trusted: AtomicU64::new(0),
        sound: nothing(),
        video: nothing(),
    });
    let distrust = pipeline.settings.budget.distrust;
    for pad in ears.src_pads() {
        let seen = seen.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let cue = info
                .buffer()
                .and_then(|buffer| structures::cue_from_text(&buffer.map_readable().ok()?).ok());
            seen.cues.fetch_add(1, Ordering::Relaxed);
            if let Some(cue) = cue {
                TrustState::came(&seen.sound, cue.pts, cue.pts + HOP);
                let trusted = u64::from(cue.trusted(distrust));
                seen.trusted.fetch_add(trusted, Ordering::Relaxed);
            }
            gst::PadProbeReturn::Ok
        });
    }
    if let Some(pad) = gate.and_then(|gate| gate.static_pad("video")) {
        let seen = seen.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts())
                && let Some(event) = pad.sticky_event::<gst::event::Segment>(0)
                && let Some(segment) = event.segment().downcast_ref::<gst::ClockTime>()
                && let Some(at) = stream_time(segment, pts)
            {
                TrustState::came(&seen.video, at.max(Nanos::ZERO), at);
            }
            gst::PadProbeReturn::Ok
        });
    }
    SoundTrust { seen }
}
